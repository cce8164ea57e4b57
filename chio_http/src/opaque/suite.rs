//! The suite: 3DH over Ristretto255 with SHA-512, as RFC 9807 section 7 recommends it, and Argon2id on the client's side.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits, Object};
use opaque_ke::argon2::Argon2;
use opaque_ke::{CipherSuite, Ristretto255, TripleDh};
use ring::rand::{SecureRandom as _, SystemRandom};

pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_010::Sha512>;
    type Ksf = Argon2<'static>;
}

/// Where its secrets come from.
pub(super) use rand_core_06::OsRng as Random;

/// How much of a request to a desk is read, and of an answer of one, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// How many bytes a session's reference, the name of a login, and an invitation's code have.
pub(super) const REFERENCE_BYTES: usize = 32;

/// How many characters that is.
pub(super) const REFERENCE_CHARS: usize = 43;

pub(super) fn encoded(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The bytes of a text that is base64url without padding.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// A text that nobody can guess.
pub(super) fn reference() -> Option<String> {
    let mut bytes = [0; REFERENCE_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(encoded(&bytes))
}

/// The members of a JSON object, of which none is left over.
pub(super) struct Members(Object);

impl Members {
    /// Reads a strict JSON object.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match canonical::parse(bytes, Limits { bytes: MAX_MESSAGE_BYTES, depth: 2 }) {
            Ok(Json::Object(object)) => Some(Self(object)),
            _ => None,
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.0.take(name)? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of that name, which is empty where there is none.
    pub(super) fn optional(&mut self, name: &str) -> Option<String> {
        match self.0.get(name) {
            None => Some(String::new()),
            Some(_) => self.text(name),
        }
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        decoded(&self.text(name)?)
    }

    pub(super) fn seconds(&mut self, name: &str) -> Option<u64> {
        match self.0.take(name) {
            Some(Json::Number(seconds)) => u64::try_from(seconds.to_integer()?).ok(),
            _ => None,
        }
    }

    /// That there was nothing else.
    pub(super) fn end(self) -> Option<()> {
        self.0.iter().next().is_none().then_some(())
    }
}
