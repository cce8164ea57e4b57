//! The proof of RFC 9449: every check of its section 4.3, and what a client makes it with.

mod error;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{Json, Object};
use chio_core::crypto::{SigningBackend, random_hex};
use chio_core::digest::Digest;
use chio_core::error::SignError;
use ring::digest::{SHA256, SHA512, digest};

use crate::claims::{Seconds, needed, needed_time, text, time};
use crate::jwk::{Jwk, JwkError, Thumbprint, public_jwk};
use crate::jws::{self, Alg, KnownHeader, MAX_PROOF_BYTES, Unverified};
use crate::origin::Origin;

pub use self::error::ProofError;

/// What a proof has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRules {
    /// A proof is fresh for this many seconds after it was made: 60. Never longer than for the kernel.
    pub max_age_secs: u64,
    /// A proof may be dated this many seconds ahead: 5.
    pub max_ahead_secs: u64,
    /// What it may be signed with.
    pub algs: Vec<Alg>,
    /// Whether the proof must cover the body, by `content_digest`, on every route.
    pub content_digest: bool,
    /// Whether the proof must cover the query, by `htq`.
    pub htq: bool,
}

impl Default for ProofRules {
    fn default() -> Self {
        let algs = Alg::OF_PROOFS.to_vec();
        Self { max_age_secs: 60, max_ahead_secs: 5, algs, content_digest: false, htq: false }
    }
}

/// The request that a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Where clients reach the service: configured, never taken from the request.
    pub origin: &'a Origin,
    /// Its path.
    pub path: &'a str,
    /// Its query.
    pub query: Option<&'a str>,
    /// The token, as it was sent.
    pub token: &'a str,
}

/// A proof of which all holds that does not depend on the time, the nonce and the body.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing but a proof that holds makes one.
/// let forged = chio_http::dpop::Proof { ..todo!() };
/// ```
/// ```
/// fn takes(_: &chio_http::dpop::Proof) {}
/// ```
#[derive(Clone, Debug)]
pub struct Proof {
    key: Thumbprint,
    id: Digest,
    issued_at: Seconds,
    not_before: Option<Seconds>,
    expires_at: Option<Seconds>,
    nonce: Option<String>,
    names_token: bool,
    body: Option<BodyDigest>,
    response_key: Option<String>,
    digest: Digest,
}

/// The longest header that is remembered, in bytes.
const MAX_KNOWN_BYTES: usize = 1024;

/// What the proofs for one token have in common: the `ath`, and a header, which a client sends with each, and whose key is
/// decoded once.
#[derive(Clone, Debug)]
pub(crate) struct OfOneToken {
    ath: String,
    header: OnceLock<Known>,
}

impl OfOneToken {
    /// Of the token whose text has this digest.
    pub(crate) fn new(token: Digest) -> Self {
        Self { ath: encoded(token), header: OnceLock::new() }
    }
}

/// A header of a proof that holds.
#[derive(Clone, Debug)]
struct Known {
    header: KnownHeader,
    key: Arc<Jwk>,
}

impl Proof {
    /// Reads a proof and checks it: checks 2 to 9 and, where the proof has an `ath`, that part of check 12.
    /// Fails with the first that does not hold.
    pub fn check(proof: &str, asked: Asked<'_>, rules: &ProofRules) -> Result<Self, ProofError> {
        Self::read(proof, asked, rules, None).map(|(proof, _)| proof)
    }

    /// The same, and check 12 for a token that is bound to this key. What the header says is remembered, once it was the
    /// header of a proof that holds. `token` is of the very token that is asked with.
    pub(crate) fn check_bound(
        proof: &str,
        asked: Asked<'_>,
        rules: &ProofRules,
        (bound, needs_ath): (Thumbprint, bool),
        token: &OfOneToken,
    ) -> Result<Self, ProofError> {
        let (checked, new) = Self::read(proof, asked, rules, Some(token))?;
        checked.check_binding(bound, needs_ath)?;
        if let Some(new) = new.filter(|new| new.header.text.len() <= MAX_KNOWN_BYTES) {
            let _ = token.header.set(new);
        }
        Ok(checked)
    }

    fn read(
        proof: &str,
        asked: Asked<'_>,
        rules: &ProofRules,
        token: Option<&OfOneToken>,
    ) -> Result<(Self, Option<Known>), ProofError> {
        let known = token.and_then(|token| token.header.get());
        let unverified = Unverified::parse_with(proof, MAX_PROOF_BYTES, &rules.algs, known.map(|known| &known.header))?;
        let (key, new) = if let Some(known) = known.filter(|known| unverified.is_of(&known.header)) {
            (Arc::clone(&known.key), None)
        } else {
            if !unverified.header_text("typ").is_some_and(is_dpop) {
                return Err(ProofError::Type);
            }
            let key = Arc::new(key_of(&unverified.header).map_err(ProofError::Key)?);
            (Arc::clone(&key), Some(Known { header: unverified.to_known(), key }))
        };
        let verified = unverified.verify(&key)?;
        let claims = verified.claims()?;
        let (id, htm) = (needed(&claims, "jti", 256)?, needed(&claims, "htm", 64)?);
        let (htu, issued_at) = (needed(&claims, "htu", MAX_PROOF_BYTES)?, needed_time(&claims, "iat")?);
        if htm != asked.method {
            return Err(ProofError::Method);
        }
        if !asked.origin.is_htu(htu, asked.path) {
            return Err(ProofError::Url);
        }
        let names_token = match text(&claims, "ath")? {
            None => false,
            Some(said) => {
                let its = token.map_or_else(|| Cow::Owned(ath(asked.token)), |token| Cow::Borrowed(&token.ath));
                if said != *its {
                    return Err(ProofError::Token);
                }
                true
            }
        };
        let is_its_query = match text(&claims, "htq")? {
            None => !rules.htq,
            Some(htq) => htq == asked.query.unwrap_or_default(),
        };
        if !is_its_query {
            return Err(ProofError::Query);
        }
        let body = text(&claims, "content_digest")?;
        let body = body.map(|text| BodyDigest::parse(text).ok_or(ProofError::Claim("content_digest"))).transpose()?;
        let nonce = text(&claims, "nonce")?;
        if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > 256) {
            return Err(ProofError::Claim("nonce"));
        }
        let proof = Self {
            key: key.thumbprint(),
            id: Digest::of(id.as_bytes()),
            issued_at,
            not_before: time(&claims, "nbf")?,
            expires_at: time(&claims, "exp")?,
            nonce: nonce.map(str::to_owned),
            names_token,
            body,
            response_key: text(&claims, "response_key")?.map(str::to_owned),
            digest: verified.digest(),
        };
        Ok((proof, new))
    }

    /// Check 11: whether it is fresh. An `exp` or `nbf` that it has of its own is honoured, too (RFC 7519 section 4.1).
    pub fn check_time(&self, now: u64, rules: &ProofRules) -> Result<(), ProofError> {
        let ProofRules { max_age_secs, max_ahead_secs, .. } = *rules;
        let (issued_at, limit) = (self.issued_at.floor, now.saturating_add(max_ahead_secs));
        let begins = self.not_before.map_or(self.issued_at.ceil, |begins| begins.ceil.max(self.issued_at.ceil));
        if begins > limit {
            return Err(ProofError::Future { issued_at: begins, now, max_ahead_secs });
        }
        let has_ended = self.expires_at.is_some_and(|ends| now >= ends.floor);
        if has_ended || now > issued_at.saturating_add(max_age_secs) {
            return Err(ProofError::Stale { issued_at, now, max_age_secs });
        }
        Ok(())
    }

    /// Check 12: whether it was made for the token, by the key that the token is for.
    pub fn check_binding(&self, key: Thumbprint, needs_ath: bool) -> Result<(), ProofError> {
        if needs_ath && !self.names_token {
            return Err(ProofError::Token);
        }
        if self.key == key { Ok(()) } else { Err(ProofError::Binding) }
    }

    /// Whether the body is the one that it was made for.
    pub fn check_body(&self, body: Option<&[u8]>, is_required: bool) -> Result<(), ProofError> {
        match (&self.body, body) {
            (None, _) if !is_required => Ok(()),
            (Some(digest), Some(body)) if digest.is_of(body) => Ok(()),
            _ => Err(ProofError::Body),
        }
    }

    /// Whether it covers the key that the answer is to be sealed for, as it was sent.
    /// Fails where it covers another, or one that was not sent: somebody has changed it, or taken it out.
    pub fn check_response_key(&self, sent: Option<&str>) -> Result<bool, ProofError> {
        match (self.response_key.as_deref(), sent) {
            (None, _) => Ok(false),
            (covered, sent) if covered == sent => Ok(true),
            _ => Err(ProofError::ResponseKey),
        }
    }

    /// The key that it was made with.
    pub fn key(&self) -> Thumbprint {
        self.key
    }

    /// The digest of its `jti`.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// When it was made, by its own word.
    pub fn issued_at(&self) -> u64 {
        self.issued_at.floor
    }

    /// Its nonce.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Whether it covers the body.
    pub fn covers_body(&self) -> bool {
        self.body.is_some()
    }

    /// The digest of what was signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The key that a header has in it.
fn key_of(header: &Object) -> Result<Jwk, JwkError> {
    let key = Jwk::from_json(header.get("jwk").ok_or(JwkError::Malformed)?)?;
    if key.public_key().is_some() { Ok(key) } else { Err(JwkError::Unsupported) }
}

/// RFC 7515 section 4.1.9: media types are compared without regard to case, and `application/` may be left out.
fn is_dpop(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("dpop+jwt") || typ.eq_ignore_ascii_case("application/dpop+jwt")
}

/// The digests of a body, in the form of RFC 9530 section 2.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BodyDigest {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl BodyDigest {
    /// Other algorithms are passed over; one of the two has to be there.
    fn parse(text: &str) -> Option<Self> {
        let mut found = Self { sha256: None, sha512: None };
        for member in text.split(',') {
            let (name, value) = member.trim_matches(' ').split_once('=')?;
            let value = value.strip_prefix(':')?.strip_suffix(':')?;
            let bytes = Base64::decode_vec(value).ok()?;
            let (place, length) = match name {
                "sha-256" => (&mut found.sha256, 32),
                "sha-512" => (&mut found.sha512, 64),
                _ => continue,
            };
            if bytes.len() != length || place.replace(bytes).is_some() {
                return None;
            }
        }
        (found.sha256.is_some() || found.sha512.is_some()).then_some(found)
    }

    fn is_of(&self, body: &[u8]) -> bool {
        let is = |said: &Option<Vec<u8>>, algorithm| {
            said.as_ref().is_none_or(|said| digest(algorithm, body).as_ref() == said.as_slice())
        };
        is(&self.sha256, &SHA256) && is(&self.sha512, &SHA512)
    }
}

/// The `content_digest` of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", Base64::encode_string(Digest::of(body).as_bytes()))
}

/// The `ath` of a token: RFC 9449 section 4.2.
pub fn ath(token: &str) -> String {
    encoded(Digest::of(token.as_bytes()))
}

fn encoded(digest: Digest) -> String {
    Base64UrlUnpadded::encode_string(digest.as_bytes())
}

/// The digest of what a proof signs, by which a sealed answer names its request.
pub fn signed_digest(proof: &str) -> Digest {
    Digest::of(proof.rsplit_once('.').map_or(proof, |(signed, _)| signed).as_bytes())
}

/// What a client makes a proof of.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProofClaims<'a> {
    /// The method.
    pub method: &'a str,
    /// The URL, without query and fragment.
    pub url: &'a str,
    /// The time.
    pub now: u64,
    /// The token that goes with it.
    pub token: Option<&'a str>,
    /// A nonce of the server, or the `trace` of an E-Key.
    pub nonce: Option<&'a str>,
    /// The query, if it is to be covered.
    pub query: Option<&'a str>,
    /// The body, if it is to be covered.
    pub body: Option<&'a [u8]>,
    /// The key that the answer is to be sealed for, as `Response-Key` has it.
    pub response_key: Option<&'a str>,
}

impl ProofClaims<'_> {
    /// Makes the proof: the value of the `DPoP` header.
    /// Fails where the key refuses, or there is no randomness.
    pub fn sign(&self, key: &dyn SigningBackend) -> Result<String, SignError> {
        let text = |text: &str| Json::String(text.to_owned());
        let now = serde_json::to_string(&self.now).unwrap_or_default();
        let mut claims = vec![
            ("htm".to_owned(), text(self.method)),
            ("htu".to_owned(), text(self.url)),
            ("jti".to_owned(), text(&random_hex()?)),
        ];
        let mut also = |name: &str, value: Option<String>| {
            claims.extend(value.map(|value| (name.to_owned(), Json::String(value))));
        };
        also("ath", self.token.map(ath));
        also("nonce", self.nonce.map(str::to_owned));
        also("htq", self.query.map(str::to_owned));
        also("content_digest", self.body.map(content_digest));
        also("response_key", self.response_key.map(str::to_owned));
        let claims = Json::Object(Object::new(claims).unwrap_or_default()).to_canonical_bytes();
        // The time goes before them: it is the one number.
        let claims = [format!(r#"{{"iat":{now},"#).as_bytes(), claims.get(1..).unwrap_or_default()].concat();
        let header = format!(r#""jwk":{},"typ":"dpop+jwt""#, public_jwk(&key.public_key()));
        jws::sign(key, &header, &claims)
    }
}

#[cfg(test)]
mod tests;
