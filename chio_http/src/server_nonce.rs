//! Nonces that the server gives out (RFC 9449 section 9), without remembering any: each has in it when it was made, and a
//! MAC that says by whom.
//!
//! A nonce begins with one of the kernel's, so that the kernel knows, right after a start, that it was given out since. Which
//! nonce a proof spends depends on the proof alone, never on the switch or on the time: or a proof could be spent twice.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::digest::Digest;
use chio_kernel::{Kernel, KernelError};
use ring::hmac;

use crate::dpop::{Proof, ProofError};

/// For how many seconds a nonce is valid.
pub const NONCE_LIFE_SECS: u64 = 120;

/// After how many seconds a client that uses a nonce is given a new one.
const RENEWED_AFTER_SECS: u64 = 60;

/// Gives out nonces, and knows them again.
pub struct ServerNonces {
    kernel: Kernel,
    key: hmac::Key,
    is_required: bool,
}

impl fmt::Debug for ServerNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerNonces").field("is_required", &self.is_required).finish_non_exhaustive()
    }
}

/// What a proof's nonce is to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The nonce that it spends.
    pub nonce: String,
    /// Whether the client is to be given a new one with the answer.
    pub renews: bool,
}

impl ServerNonces {
    /// Nonces under a key of this process: none of them is known after a restart, and clients are given new ones.
    /// Fails where there is no randomness.
    pub fn new(kernel: Kernel, is_required: bool) -> Result<Self, KernelError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new());
        let key = key.map_err(|_| KernelError::new("the operating system gave no random bytes"))?;
        Ok(Self { kernel, key, is_required })
    }

    /// Nonces under this key, for several processes that serve the same clients.
    pub fn with_key(kernel: Kernel, is_required: bool, key: &[u8; 32]) -> Self {
        Self { kernel, key: hmac::Key::new(hmac::HMAC_SHA256, key), is_required }
    }

    /// Whether every proof needs one.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// A new nonce.
    /// Fails where there is no randomness.
    pub fn give(&self, now: u64) -> Result<String, KernelError> {
        let mut text = self.kernel.new_nonce()?;
        text.push('.');
        text.push_str(&now.to_string());
        let mac = Base64UrlUnpadded::encode_string(hmac::sign(&self.key, text.as_bytes()).as_ref());
        text.push('.');
        text.push_str(&mac);
        Ok(text)
    }

    /// What a proof spends: its nonce with its `jti`, or its `jti` alone where it has none and needs none.
    /// Fails where it needs one, or has one that was not given out here, or was too long ago: also where none is needed, for
    /// a proof that spends one thing now must not spend another later.
    pub fn spend(&self, proof: &Proof, now: u64) -> Result<Spent, ProofError> {
        let Some(nonce) = proof.nonce() else {
            if self.is_required {
                return Err(ProofError::Nonce);
            }
            return Ok(Spent { nonce: format!("j:{}", proof.id()), renews: false });
        };
        let given_at = self.read(nonce).ok_or(ProofError::Nonce)?;
        // One that was given out ahead of now was given out by a clock that has been set back.
        let age = now.saturating_sub(given_at);
        if age > NONCE_LIFE_SECS || given_at > now.saturating_add(NONCE_LIFE_SECS) {
            return Err(ProofError::Nonce);
        }
        Ok(Spent { nonce: with_id(nonce, proof.id()), renews: age > RENEWED_AFTER_SECS })
    }

    /// When it was given out.
    fn read(&self, nonce: &str) -> Option<u64> {
        let (text, mac) = nonce.rsplit_once('.')?;
        let mut bytes = [0; 32];
        let mac = Base64UrlUnpadded::decode(mac, &mut bytes).ok()?;
        hmac::verify(&self.key, text.as_bytes(), mac).ok()?;
        text.rsplit_once('.')?.1.parse().ok()
    }
}

fn with_id(nonce: &str, id: Digest) -> String {
    format!("{nonce}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpop::{Asked, ProofClaims, ProofRules};
    use crate::origin::Origin;
    use chio_core::crypto::Keypair;

    fn proof(nonce: Option<&str>) -> Proof {
        let origin = Origin::parse("https://a.example").unwrap();
        let claims = ProofClaims { method: "GET", url: "https://a.example/", now: 1, nonce, ..ProofClaims::default() };
        let text = claims.sign(&Keypair::from_seed(&[7; 32])).unwrap();
        let asked = Asked { method: "GET", origin: &origin, path: "/", query: None, token: "" };
        Proof::check(&text, asked, &ProofRules::default()).unwrap()
    }

    #[test]
    fn a_nonce_is_known_again_for_as_long_as_it_is_valid() {
        let kernel = Kernel::builder().build().unwrap();
        let nonces = ServerNonces::with_key(kernel.clone(), true, &[1; 32]);
        let nonce = nonces.give(1000).unwrap();
        let epoch = kernel.new_nonce().unwrap().split_once('.').unwrap().0.to_owned();
        assert!(nonce.starts_with(&epoch), "the kernel knows it again");
        let proof = proof(Some(&nonce));
        for (now, renews) in [(990, false), (1000, false), (1060, false), (1061, true), (1120, true)] {
            let spent = nonces.spend(&proof, now).unwrap();
            assert_eq!((spent.renews, spent.nonce.len() <= 256), (renews, true));
            assert_eq!(spent.nonce, format!("{nonce}{}", proof.id()));
        }
        for now in [1121, 2000, 879, 0] {
            assert_eq!(nonces.spend(&proof, now), Err(ProofError::Nonce), "{now}");
        }
    }

    #[test]
    fn what_was_not_given_out_here_is_refused_with_the_switch_on_or_off() {
        let kernel = Kernel::builder().build().unwrap();
        let nonce = ServerNonces::with_key(kernel.clone(), true, &[2; 32]).give(1000).unwrap();
        let own = ServerNonces::with_key(kernel.clone(), true, &[1; 32]).give(1000).unwrap();
        let later = own.replacen(".1000.", ".1001.", 1);
        assert_ne!(later, own);
        let epoch = format!("{}.", kernel.new_nonce().unwrap().split_once('.').unwrap().0);
        for is_required in [true, false] {
            let nonces = ServerNonces::with_key(kernel.clone(), is_required, &[1; 32]);
            for wrong in
                [&*nonce, &later, &epoch, "x", "srv-nonce-1", ".1000.", &own[..own.len() - 1], &format!("{own}A")]
            {
                assert_eq!(nonces.spend(&proof(Some(wrong)), 1000), Err(ProofError::Nonce), "{wrong}");
            }
            let spent = nonces.spend(&proof(Some(&own)), 1000).unwrap();
            assert!(spent.nonce.starts_with(&own));
        }
        let without = proof(None);
        let off = ServerNonces::new(kernel.clone(), false).unwrap();
        assert_eq!(off.spend(&without, 1000).unwrap().nonce, format!("j:{}", without.id()));
        let on = ServerNonces::new(kernel, true).unwrap();
        assert_eq!(on.spend(&without, 1000), Err(ProofError::Nonce));
    }
}
