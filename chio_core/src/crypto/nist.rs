//! P-256 and P-384: one text for both curves.
//!
//! Decoding of keys and signatures is RustCrypto's in every build, so that a build with `aws-lc` accepts
//! exactly the same ones; the feature replaces the arithmetic.

use std::fmt;

use super::{Algorithm, PublicKey, Signature, SigningBackend};
use crate::error::{FormatError, SignError};

macro_rules! curve {
    ($module:ident, $krate:ident, $algorithm:ident, $backend:ident, $secret:literal) => {
        pub(super) mod $module {
            use super::*;
            #[cfg(not(feature = "aws-lc"))]
            use ::$krate::ecdsa::signature::{Signer as _, Verifier as _};
            use ::$krate::ecdsa::{Signature as Raw, SigningKey, VerifyingKey};

            /// A decoded public key.
            #[derive(Clone)]
            pub(in super::super) struct Verifier {
                #[cfg(not(feature = "aws-lc"))]
                key: VerifyingKey,
                #[cfg(feature = "aws-lc")]
                key: super::super::aws_lc::$module::Verifier,
            }

            impl Verifier {
                pub(in super::super) fn new(point: &[u8]) -> Result<Self, FormatError> {
                    let key = VerifyingKey::from_sec1_bytes(point)
                        .map_err(|_| FormatError::PublicKey("not a point of its curve"))?;
                    #[cfg(feature = "aws-lc")]
                    let key = {
                        let _: VerifyingKey = key;
                        super::super::aws_lc::$module::Verifier::new(point)?
                    };
                    Ok(Self { key })
                }

                pub(in super::super) fn verify(&self, message: &[u8], der: &[u8]) -> bool {
                    let Ok(signature) = Raw::from_der(der) else { return false };
                    #[cfg(not(feature = "aws-lc"))]
                    return self.key.verify(message, &signature).is_ok();
                    #[cfg(feature = "aws-lc")]
                    return self.key.verify(message, &signature.to_bytes());
                }
            }

            /// A signing key in memory, zeroized when dropped.
            #[derive(Clone)]
            pub struct $backend(SigningKey);

            impl $backend {
                /// The key with this secret scalar, big-endian.
                /// Fails where the scalar is zero or not below the order of the curve.
                pub fn from_scalar(scalar: &[u8; $secret]) -> Result<Self, FormatError> {
                    SigningKey::from_slice(scalar)
                        .map(Self)
                        .map_err(|_| FormatError::PrivateKey("the scalar is out of range"))
                }

                #[cfg(feature = "os")]
                pub(in super::super) fn from_pem(pem: &str) -> Option<Self> {
                    use ::$krate::pkcs8::DecodePrivateKey as _;
                    SigningKey::from_pkcs8_pem(pem).ok().map(Self)
                }

                #[cfg(feature = "os")]
                pub(in super::super) fn to_pem(&self) -> Option<zeroize::Zeroizing<String>> {
                    use ::$krate::pkcs8::EncodePrivateKey as _;
                    self.0.to_pkcs8_pem(pkcs8::LineEnding::LF).ok()
                }

                fn sign_raw(&self, message: &[u8]) -> Option<Raw> {
                    #[cfg(not(feature = "aws-lc"))]
                    return self.0.try_sign(message).ok();
                    #[cfg(feature = "aws-lc")]
                    {
                        let secret = zeroize::Zeroizing::new(self.0.to_bytes());
                        let point = self.0.verifying_key().to_sec1_point(false);
                        let fixed = super::super::aws_lc::$module::sign(&secret, point.as_bytes(), message)?;
                        Raw::from_slice(&fixed).ok()
                    }
                }
            }

            impl SigningBackend for $backend {
                fn algorithm(&self) -> Algorithm {
                    Algorithm::$algorithm
                }

                fn public_key(&self) -> PublicKey {
                    let bytes = self.0.verifying_key().to_sec1_point(false).as_bytes().to_vec();
                    PublicKey { algorithm: Algorithm::$algorithm, bytes }
                }

                fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
                    let raw =
                        self.sign_raw(message).ok_or_else(|| SignError::Backend("ECDSA signing failed".into()))?;
                    let low = raw.normalize_s();
                    Ok(Signature { algorithm: Algorithm::$algorithm, bytes: low.to_der().as_bytes().to_vec() })
                }
            }

            impl fmt::Debug for $backend {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($backend), "({})"), self.public_key())
                }
            }
        }

        pub use self::$module::$backend;
    };
}

curve!(p256, p256, P256, P256Backend, 32);
curve!(p384, p384, P384, P384Backend, 48);
