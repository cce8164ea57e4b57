//! What makes a server this one: its OPRF seed and its key, and the key that seals what it keeps elsewhere. Without it the
//! accounts of a store say nothing of their passwords, and the sessions of a store open nothing.

use std::fmt;

use chio_core::digest::Digest;
use opaque_ke::ServerSetup;
use ring::{aead, hkdf};
use zeroize::Zeroizing;

use super::suite::{Random, Suite, decoded, encoded};

/// How many bytes it has: the seed, the private key, and the public key of accounts that are none.
const SETUP_BYTES: usize = 128;

/// How many bytes an account's registration has: a public key, a masking key, an envelope.
pub(super) const REGISTRATION_BYTES: usize = 192;

/// Why there is no setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupError;

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no setup of `chio session setup`")
    }
}

impl std::error::Error for SetupError {}

/// The secret of a server. All gateways of one service have the same.
pub struct Setup {
    pub(super) opaque: ServerSetup<Suite>,
    seal: hkdf::Prk,
    /// What is read in the place of an account that there is none of.
    pub(super) decoy: Vec<u8>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setup")
    }
}

impl Setup {
    /// A new one, as text: 128 bytes of base64url, as other programs with this suite have it.
    pub fn generate() -> Zeroizing<String> {
        let bytes = Zeroizing::new(ServerSetup::<Suite>::new(&mut Random).serialize().to_vec());
        Zeroizing::new(encoded(&bytes))
    }

    /// Reads one.
    /// Fails where it is none.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let bytes = Zeroizing::new(decoded(text).filter(|bytes| bytes.len() == SETUP_BYTES).ok_or(SetupError)?);
        let opaque = ServerSetup::<Suite>::deserialize(&bytes).map_err(|_| SetupError)?;
        let mut decoy = opaque.keypair().public().serialize().to_vec();
        decoy.resize(REGISTRATION_BYTES, 0);
        let seal = hkdf::Salt::new(hkdf::HKDF_SHA256, b"chio-session-seal-v1").extract(&bytes);
        Ok(Self { opaque, seal, decoy })
    }

    /// A key of its own for each record, so that each seals one text, and a nonce has nothing to tell apart.
    fn key(&self, kind: &str, record: Digest) -> Option<aead::LessSafeKey> {
        let info = [kind.as_bytes(), b"\n", record.as_bytes()];
        let key = self.seal.expand(&info, &aead::CHACHA20_POLY1305).ok()?;
        Some(aead::LessSafeKey::new(aead::UnboundKey::from(key)))
    }

    /// Seals what a record keeps, bound to its kind, to its key, and to what else it says. A record is sealed once.
    pub(super) fn seal(&self, kind: &str, record: Digest, about: &str, secret: &[u8]) -> Option<Vec<u8>> {
        // With room for the tag: else the secret would be left where the vector grew from.
        let room = secret.len().saturating_add(aead::CHACHA20_POLY1305.tag_len());
        let mut sealed = Zeroizing::new(Vec::with_capacity(room));
        sealed.extend_from_slice(secret);
        let nonce = aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN]);
        let about = aead::Aad::from(about.as_bytes());
        self.key(kind, record)?.seal_in_place_append_tag(nonce, about, &mut *sealed).ok()?;
        Some(std::mem::take(&mut *sealed))
    }

    /// Opens it again.
    pub(super) fn open(&self, kind: &str, record: Digest, about: &str, sealed: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        let mut sealed = Zeroizing::new(sealed);
        let nonce = aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN]);
        let about = aead::Aad::from(about.as_bytes());
        let opened = self.key(kind, record)?.open_in_place(nonce, about, &mut sealed).ok()?.len();
        sealed.truncate(opened);
        Some(sealed)
    }
}
