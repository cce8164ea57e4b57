//! Callers with keys of P-256 and P-384, compared with what verifies their signatures in this build.

use chio_core::crypto::{Keypair, NIST_PROVIDER, P256Backend, P384Backend, SigningBackend as _};
use chio_kernel::SignedCall;

use crate::calls::{Caller, Guarded, Told};
use crate::measure::{Aim, Bench};

pub fn subjects(bench: &mut Bench) {
    let p256 = Keypair::P256(P256Backend::from_scalar(&[7; 32]).unwrap());
    let p384 = Keypair::P384(P384Backend::from_scalar(&[7; 48]).unwrap());
    let aim = if NIST_PROVIDER == "AWS-LC" { Aim::Times(1.2) } else { Aim::None };
    row(bench, "P-256", aim, &p256, raw::p256(&p256));
    row(bench, "P-384", Aim::None, &p384, raw::p384(&p384));
}

fn row(bench: &mut Bench, curve: &str, aim: Aim, key: &Keypair, verify: impl Fn(&[u8], &[u8]) -> bool) {
    let (arguments, caller, guarded) = (Told::text(1024), Caller::with_key(key.clone()), Guarded::new());
    let prepare = || -> (SignedCall, (Vec<u8>, Vec<u8>)) {
        let now = guarded.tick();
        let message = caller.body(&arguments, now).canonical().unwrap();
        let signature = key.sign(&message).unwrap().as_bytes().to_vec();
        (caller.call(&arguments, now), (message, signature))
    };
    let name = format!("allow, subject of {curve} by {NIST_PROVIDER}");
    let against = |(message, signature): (Vec<u8>, Vec<u8>)| assert!(verify(&message, &signature));
    bench.compare(&name, aim, prepare, |call| guarded.allows(call), against);
}

#[cfg(feature = "aws-lc")]
mod raw {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey};

    use super::*;

    pub fn p256(key: &Keypair) -> impl Fn(&[u8], &[u8]) -> bool + use<> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_bytes()).unwrap();
        move |message, signature| key.verify_sig(message, signature).is_ok()
    }

    pub fn p384(key: &Keypair) -> impl Fn(&[u8], &[u8]) -> bool + use<> {
        let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.public_key().as_bytes()).unwrap();
        move |message, signature| key.verify_sig(message, signature).is_ok()
    }
}

#[cfg(not(feature = "aws-lc"))]
mod raw {
    use super::*;

    macro_rules! curve {
        ($name:ident) => {
            pub fn $name(key: &Keypair) -> impl Fn(&[u8], &[u8]) -> bool + use<> {
                use ::$name::ecdsa::signature::Verifier as _;
                let key = ::$name::ecdsa::VerifyingKey::from_sec1_bytes(key.public_key().as_bytes()).unwrap();
                move |message, der| {
                    let signature = ::$name::ecdsa::Signature::from_der(der).unwrap();
                    key.verify(message, &signature).is_ok()
                }
            }
        };
    }

    curve!(p256);
    curve!(p384);
}
