//! The arithmetic of P-256 and P-384 by AWS-LC.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature;

use crate::error::FormatError;

macro_rules! curve {
    ($module:ident, $verifying:ident, $signing:ident) => {
        pub(super) mod $module {
            use super::*;

            #[derive(Clone)]
            pub(in super::super) struct Verifier(signature::ParsedPublicKey);

            impl Verifier {
                pub(in super::super) fn new(point: &[u8]) -> Result<Self, FormatError> {
                    signature::ParsedPublicKey::new(&signature::$verifying, point)
                        .map(Self)
                        .map_err(|_| FormatError::PublicKey("not a point of its curve"))
                }

                pub(in super::super) fn verify(&self, message: &[u8], fixed: &[u8]) -> bool {
                    self.0.verify_sig(message, fixed).is_ok()
                }
            }

            pub(in super::super) fn sign(secret: &[u8], point: &[u8], message: &[u8]) -> Option<Vec<u8>> {
                let key = signature::EcdsaKeyPair::from_private_key_and_public_key(&signature::$signing, secret, point)
                    .ok()?;
                Some(key.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
            }
        }
    };
}

curve!(p256, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING);
curve!(p384, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING);
