//! The proof of RFC 9449: every check of its section 4.3, and what a client makes it with.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{Json, Object};
use chio_core::crypto::{SigningBackend, random_hex};
use chio_core::digest::Digest;
use chio_core::error::SignError;
use ring::digest::{SHA256, SHA512, digest};

use crate::claims::{BadClaim, Seconds, needed, needed_time, text, time};
use crate::jwk::{Jwk, JwkError, Thumbprint, public_jwk};
use crate::jws::{self, Alg, JwsError, KnownHeader, MAX_PROOF_BYTES, Unverified};
use crate::origin::Origin;

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

/// Why a proof is refused, in the order of RFC 9449 section 4.3, whose number each has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// 1: there is none.
    Missing,
    /// 1: there is more than one.
    Several,
    /// 2 and 5: it is no JWS that is read here, or its `alg` is not allowed.
    Jws(JwsError),
    /// 3: a claim is missing, or of the wrong type or length.
    Claim(&'static str),
    /// 4: its `typ` is another.
    Type,
    /// 6: the signature is not that of its key.
    Signature,
    /// 7: its key is missing, private or none that is used here.
    Key(JwkError),
    /// 8: it was made for another method.
    Method,
    /// 9: it was made for another URL.
    Url,
    /// 10: its nonce is none that was given out for it, or is too old.
    Nonce,
    /// 11: it is too old.
    Stale {
        /// When it was made.
        issued_at: u64,
        /// The time.
        now: u64,
        /// How old it may be.
        max_age_secs: u64,
    },
    /// 11: it is dated ahead, or not valid yet by its own word.
    Future {
        /// From when on it is valid.
        issued_at: u64,
        /// The time.
        now: u64,
        /// How far ahead it may be.
        max_ahead_secs: u64,
    },
    /// 12: it was made for another token, or for none.
    Token,
    /// 12: it was made by another key than the token is for.
    Binding,
    /// It was made for another query, or for none.
    Query,
    /// It was made for another body, or for none.
    Body,
    /// It does not cover the key that the answer is to be sealed for.
    ResponseKey,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no proof"),
            Self::Several => f.write_str("there is more than one proof"),
            Self::Jws(error) => write!(f, "{error}"),
            Self::Claim(name) => write!(f, "its `{name}` is missing, or not as it has to be"),
            Self::Type => f.write_str("its `typ` is not `dpop+jwt`"),
            Self::Signature => f.write_str("its signature is not that of its key"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Method => f.write_str("it was made for another method"),
            Self::Url => f.write_str("it was made for another URL"),
            Self::Nonce => f.write_str("its nonce is none that is valid here"),
            Self::Stale { issued_at, now, max_age_secs } => {
                write!(f, "it is dated {issued_at}, more than {max_age_secs} s before {now}")
            }
            Self::Future { issued_at, now, max_ahead_secs } => {
                write!(f, "it is dated {issued_at}, more than {max_ahead_secs} s after {now}")
            }
            Self::Token => f.write_str("it was made for another token, or for none"),
            Self::Binding => f.write_str("it was made by another key than the token is for"),
            Self::Query => f.write_str("it was made for another query, or for none"),
            Self::Body => f.write_str("it was made for another body, or for none"),
            Self::ResponseKey => f.write_str("it does not cover `Response-Key`"),
        }
    }
}

impl std::error::Error for ProofError {}

impl From<BadClaim> for ProofError {
    fn from(BadClaim(name): BadClaim) -> Self {
        Self::Claim(name)
    }
}

impl From<JwsError> for ProofError {
    fn from(error: JwsError) -> Self {
        if error == JwsError::Signature { Self::Signature } else { Self::Jws(error) }
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
mod tests {
    use super::*;
    use chio_core::crypto::{Algorithm, Keypair};

    const URL: &str = "https://api.example.com/a";

    struct World {
        key: Keypair,
        origin: Origin,
    }

    fn world() -> World {
        World { key: Keypair::from_seed(&[7; 32]), origin: Origin::parse("https://api.example.com").unwrap() }
    }

    impl World {
        fn asked(&self) -> Asked<'_> {
            Asked { method: "GET", origin: &self.origin, path: "/a", query: Some("q=1"), token: "token" }
        }

        fn signed(&self, header: &str, claims: &str) -> Result<Proof, ProofError> {
            let jwk = public_jwk(&self.key.public_key());
            let header = header.replace("JWK", &jwk);
            let text = jws::sign(&self.key, &header, claims.as_bytes()).unwrap();
            Proof::check(&text, self.asked(), &ProofRules::default())
        }

        fn with(&self, more: &str) -> Result<Proof, ProofError> {
            let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100{more}}}"#);
            self.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims)
        }
    }

    #[test]
    fn what_a_client_makes_is_accepted() {
        for algorithm in Algorithm::ALL {
            let (key, world) = (Keypair::generate_for(algorithm).unwrap(), world());
            let made = ProofClaims {
                method: "GET",
                url: URL,
                now: 100,
                token: Some("token"),
                nonce: Some("n"),
                query: Some("q=1"),
                body: Some(b"body"),
                response_key: Some("key"),
            };
            let text = made.sign(&key).unwrap();
            let rules = ProofRules { htq: true, content_digest: true, ..ProofRules::default() };
            let proof = Proof::check(&text, world.asked(), &rules).unwrap();
            let thumbprint = Jwk::of(&key.public_key()).unwrap().thumbprint();
            assert_eq!((proof.key(), proof.issued_at(), proof.nonce()), (thumbprint, 100, Some("n")));
            assert_eq!(proof.check_response_key(Some("key")), Ok(true));
            for other in [None, Some("another"), Some("")] {
                assert_eq!(proof.check_response_key(other), Err(ProofError::ResponseKey), "{other:?}");
            }
            assert_eq!(signed_digest(&text), proof.digest());
            assert_eq!(proof.check_binding(thumbprint, true), Ok(()));
            assert_eq!(proof.check_binding(Thumbprint(Digest([0; 32])), true), Err(ProofError::Binding));
            assert_eq!((proof.check_time(100, &rules), proof.check_body(Some(b"body"), true)), (Ok(()), Ok(())));
            assert_eq!(proof.check_body(Some(b"other"), false), Err(ProofError::Body));
            assert_eq!(proof.check_body(None, false), Err(ProofError::Body));
            for other in [
                Asked { method: "POST", ..world.asked() },
                Asked { path: "/a/", ..world.asked() },
                Asked { query: Some("q=2"), ..world.asked() },
                Asked { query: None, ..world.asked() },
                Asked { token: "other", ..world.asked() },
                Asked { origin: &Origin::parse("https://b.example").unwrap(), ..world.asked() },
            ] {
                assert!(Proof::check(&text, other, &rules).is_err(), "{other:?}");
            }
        }
    }

    #[test]
    fn a_header_that_is_known_makes_no_proof_hold_that_would_not() {
        let (world, known, rules) = (world(), OfOneToken::new(Digest::of(b"token")), ProofRules::default());
        let thief = World { key: Keypair::from_seed(&[8; 32]), origin: world.origin.clone() };
        let bound = Jwk::of(&world.key.public_key()).unwrap().thumbprint();
        let check = |text: &str, rules| Proof::check_bound(text, world.asked(), rules, (bound, false), &known);
        let proof = |by: &World, header: &str, id: u8| {
            let claims = format!(r#"{{"jti":"{id}","htm":"GET","htu":"{URL}","iat":100}}"#);
            let header = header.replace("JWK", &public_jwk(&by.key.public_key()));
            jws::sign(&by.key, &header, claims.as_bytes()).unwrap()
        };
        let usual = r#""typ":"dpop+jwt","jwk":JWK"#;
        // Nothing of what does not hold, or is bound to another key, is remembered.
        assert_eq!(check(&proof(&thief, usual, 1), &rules).err(), Some(ProofError::Binding));
        let first = proof(&world, usual, 1);
        let (signed, _) = first.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&[1; 64]));
        assert_eq!(check(&forged, &rules).err(), Some(ProofError::Signature));
        assert!(known.header.get().is_none());
        let read = check(&first, &rules).unwrap();
        assert!(known.header.get().is_some());
        let second = check(&proof(&world, usual, 2), &rules).unwrap();
        assert_eq!((read.key(), second.key()), (bound, bound));
        assert_ne!((read.id(), read.digest()), (second.id(), second.digest()));
        // The header of one and the signature of another.
        let (header, rest) = first.split_once('.').unwrap();
        let stolen = proof(&thief, usual, 3);
        let (_, stolen) = stolen.split_once('.').unwrap();
        assert_eq!(check(&format!("{header}.{stolen}"), &rules).err(), Some(ProofError::Signature));
        assert!(check(&format!("{header}A.{rest}"), &rules).is_err());
        // Other headers are read as ever.
        assert_eq!(check(&proof(&thief, usual, 4), &rules).err(), Some(ProofError::Binding));
        let other = check(&proof(&world, r#""typ":"JWT","jwk":JWK"#, 5), &rules);
        assert_eq!(other.err(), Some(ProofError::Type));
        let only = ProofRules { algs: vec![Alg::Es256], ..rules.clone() };
        assert_eq!(check(&first, &only).err(), Some(ProofError::Jws(JwsError::Alg)));
    }

    #[test]
    fn a_proof_names_the_token_that_is_asked_with_and_no_other() {
        let (world, token, rules) = (world(), OfOneToken::new(Digest::of(b"token")), ProofRules::default());
        let bound = Jwk::of(&world.key.public_key()).unwrap().thumbprint();
        let check = |said: &str| {
            let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100,"ath":"{said}"}}"#);
            let header = format!(r#""typ":"dpop+jwt","jwk":{}"#, public_jwk(&world.key.public_key()));
            let text = jws::sign(&world.key, &header, claims.as_bytes()).unwrap();
            Proof::check_bound(&text, world.asked(), &rules, (bound, true), &token).err()
        };
        let its = ath("token");
        // The first time, and when its header is known.
        for _ in 0..2 {
            assert_eq!(check(&its), None);
            for other in ["", "x", &its[..42], &ath("other"), &ath(""), &its.to_uppercase(), &format!("{its}=")] {
                assert_eq!(check(other), Some(ProofError::Token), "{other}");
            }
        }
        assert!(token.header.get().is_some());
    }

    #[test]
    fn each_check_has_its_answer() {
        let world = world();
        let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100}}"#);
        let with_header = |header: &str| world.signed(header, &claims).err();
        assert_eq!(with_header(r#""typ":"dpop+jwt","jwk":JWK"#), None);
        assert_eq!(with_header(r#""typ":"application/DPoP+jwt","jwk":JWK"#), None);
        for typ in ["JWT", "dpop", "dpop+jwt ", "EKEY", ""] {
            assert_eq!(with_header(&format!(r#""typ":"{typ}","jwk":JWK"#)), Some(ProofError::Type), "{typ}");
        }
        assert_eq!(with_header(r#""jwk":JWK"#), Some(ProofError::Type));
        assert_eq!(with_header(r#""typ":"dpop+jwt""#), Some(ProofError::Key(JwkError::Malformed)));
        assert_eq!(
            with_header(r#""typ":"dpop+jwt","jwk":"JWK""#.replace("JWK", "x").as_str()),
            Some(ProofError::Key(JwkError::Malformed))
        );
        let private = r#""typ":"dpop+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"A","d":"A"}"#;
        assert_eq!(with_header(private), Some(ProofError::Key(JwkError::Secret)));
        let other = public_jwk(&Keypair::generate().unwrap().public_key());
        assert_eq!(with_header(&format!(r#""typ":"dpop+jwt","jwk":{other}"#)), Some(ProofError::Signature));

        for (from, to, claim) in [
            (r#""jti":"1","#, "", "jti"),
            (r#""jti":"1""#, r#""jti":1"#, "jti"),
            (r#""jti":"1""#, r#""jti":"""#, "jti"),
            (r#""htm":"GET","#, "", "htm"),
            (r#""htm":"GET""#, r#""htm":["GET"]"#, "htm"),
            (r#","iat":100"#, "", "iat"),
            (r#""iat":100"#, r#""iat":"100""#, "iat"),
            (r#""iat":100"#, r#""iat":-100"#, "iat"),
        ] {
            let claims = claims.replace(from, to);
            assert_eq!(
                world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims).err(),
                Some(ProofError::Claim(claim)),
                "{claims}"
            );
        }
        let long = format!(r#","x":0,"jti":"{}""#, "a".repeat(257));
        let long = claims.replace(r#""jti":"1""#, &long[7..]);
        assert_eq!(world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &long).err(), Some(ProofError::Claim("jti")));
        for (more, why) in [
            (r#","ath":"x""#, ProofError::Token),
            (r#","ath":1"#, ProofError::Claim("ath")),
            (r#","htq":"q=2""#, ProofError::Query),
            (r#","htq":"""#, ProofError::Query),
            (r#","content_digest":"x""#, ProofError::Claim("content_digest")),
            (r#","nonce":1"#, ProofError::Claim("nonce")),
            (r#","nonce":"""#, ProofError::Claim("nonce")),
            (r#","exp":"1""#, ProofError::Claim("exp")),
            (r#","htm":"POST""#, ProofError::Jws(JwsError::Claims)),
        ] {
            assert_eq!(world.with(more).err(), Some(why), "{more}");
        }
        let required = ProofRules { htq: true, ..ProofRules::default() };
        let text = ProofClaims { method: "GET", url: URL, now: 1, ..ProofClaims::default() }.sign(&world.key).unwrap();
        assert_eq!(Proof::check(&text, world.asked(), &required).err(), Some(ProofError::Query));
        let only = ProofRules { algs: vec![Alg::Es256], ..ProofRules::default() };
        assert_eq!(Proof::check(&text, world.asked(), &only).err(), Some(ProofError::Jws(JwsError::Alg)));
        let unbound = Proof::check(&text, world.asked(), &ProofRules::default()).unwrap();
        assert_eq!(unbound.check_binding(unbound.key(), true), Err(ProofError::Token));
        assert_eq!(unbound.check_binding(unbound.key(), false), Ok(()));
        assert_eq!(unbound.check_body(Some(b""), true), Err(ProofError::Body));
        assert_eq!(unbound.check_body(None, false), Ok(()));
    }

    #[test]
    fn a_proof_is_fresh_within_a_window_and_its_own() {
        let (world, rules) = (world(), ProofRules::default());
        let at = |more: &str, now| world.with(more).unwrap().check_time(now, &rules);
        for now in [95, 100, 160] {
            assert_eq!(at("", now), Ok(()), "{now}");
        }
        assert!(matches!(at("", 94), Err(ProofError::Future { issued_at: 100, now: 94, max_ahead_secs: 5 })));
        assert!(matches!(at("", 161), Err(ProofError::Stale { issued_at: 100, now: 161, max_age_secs: 60 })));
        assert_eq!(at(r#","exp":130"#, 129), Ok(()));
        assert!(at(r#","exp":130"#, 130).is_err() && at(r#","exp":1000"#, 161).is_err());
        assert_eq!(at(r#","nbf":130"#, 125), Ok(()));
        assert!(at(r#","nbf":130"#, 124).is_err() && at(r#","nbf":1"#, 94).is_err());
        let fraction = |now| {
            let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":99.5}}"#);
            world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims).unwrap().check_time(now, &rules)
        };
        assert_eq!((fraction(95), fraction(159)), (Ok(()), Ok(())));
        assert!(fraction(94).is_err() && fraction(160).is_err());
    }

    #[test]
    fn a_digest_of_a_body_has_the_form_of_rfc_9530() {
        // RFC 9530 appendix D: `{"hello": "world"}` and a line feed.
        let body = b"{\"hello\": \"world\"}\n";
        let sha256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        let sha512 =
            "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
        assert_eq!(content_digest(body), sha256);
        let both = format!("{sha256}, {sha512}");
        for text in [sha256, sha512, &both, &format!("md5=:AA==:,{sha256}")] {
            let digest = BodyDigest::parse(text).unwrap();
            assert!(digest.is_of(body) && !digest.is_of(b""), "{text}");
        }
        let half = format!("{sha256},sha-512=:{}:", Base64::encode_string(&[0; 64]));
        assert!(!BodyDigest::parse(&half).unwrap().is_of(body));
        for text in [
            "",
            "sha-256",
            "sha-256=::",
            "md5=:AA==:",
            "sha-256=AA",
            "sha-256=:AA==:",
            &sha256[..40],
            &format!("{sha256},{sha256}"),
            &sha256.to_uppercase(),
            &sha256.replace("=:", ":"),
        ] {
            assert_eq!(BodyDigest::parse(text), None, "{text}");
        }
    }
}
