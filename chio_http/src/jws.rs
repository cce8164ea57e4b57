//! JSON Web Signatures in the compact form (RFC 7515), strictly: one signature has one text, and its algorithm is one that
//! the reader allows and the key is for (RFC 8725 sections 3.1 and 3.2).

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::crypto::{Algorithm, Signature, SigningBackend};
use chio_core::digest::Digest;
use chio_core::error::SignError;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256};

use crate::jwk::{Jwk, Verifier};

/// How much of a proof is read, in bytes.
pub const MAX_PROOF_BYTES: usize = 8 << 10;

/// How much of a token is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// How deep the claims of a token may be nested.
const DEPTH: usize = 16;

/// A signature algorithm. There is none without a key, and none whose key both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519, which is `EdDSA` in RFC 8037 and `Ed25519` in RFC 9864.
    Ed25519,
    /// RSA, PKCS #1 v1.5, with SHA-256: for the tokens of issuers alone.
    Rs256,
    /// RSA, PSS, with SHA-256: for the tokens of issuers alone.
    Ps256,
}

impl Alg {
    /// What a proof may be signed with.
    pub const OF_PROOFS: [Self; 3] = [Self::Es256, Self::Es384, Self::Ed25519];

    /// What an issuer's token may be signed with.
    pub const OF_ISSUERS: [Self; 5] = [Self::Es256, Self::Es384, Self::Ed25519, Self::Rs256, Self::Ps256];

    /// The names that it has in a header; the first is the one that is written.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Es256 => &["ES256"],
            Self::Es384 => &["ES384"],
            Self::Ed25519 => &["EdDSA", "Ed25519"],
            Self::Rs256 => &["RS256"],
            Self::Ps256 => &["PS256"],
        }
    }

    /// The algorithm of a key of the core.
    pub const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::P256 => Self::Es256,
            Algorithm::P384 => Self::Es384,
            Algorithm::Ed25519 => Self::Ed25519,
        }
    }
}

/// Why a signed text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwsError {
    /// It is longer than it may be.
    TooLong,
    /// It is not three parts in canonical Base64url, or its header is not one strict JSON object.
    Form,
    /// Its `alg` is missing, or none that is allowed.
    Alg,
    /// It has a `crit`, or another member that changes what its parts are (RFC 7515 section 4.1.11, RFC 7797).
    Crit,
    /// Its algorithm is not that of the key.
    KeyType,
    /// The signature is not the key's.
    Signature,
    /// Its payload is not one strict JSON object.
    Claims,
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is too long",
            Self::Form => "it is no compact JWS with a strict header",
            Self::Alg => "its `alg` is not allowed",
            Self::Crit => "it has critical extensions, and none is understood",
            Self::KeyType => "its `alg` is not that of the key",
            Self::Signature => "its signature is not that of the key",
            Self::Claims => "its claims are not one strict JSON object",
        })
    }
}

impl std::error::Error for JwsError {}

/// A signed text that is read and not verified. Its header may be looked at, to find the key.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// The header.
    pub header: Arc<Object>,
    alg: Alg,
    signing_input: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// A header that was read before: its text, and what that says.
#[derive(Clone, Debug)]
pub(crate) struct KnownHeader {
    pub(crate) text: String,
    header: Arc<Object>,
    alg: Alg,
}

impl<'a> Unverified<'a> {
    /// Takes a compact JWS apart.
    /// Fails where it is longer than `max_bytes` or none, or its `alg` is none of those allowed.
    pub fn parse(text: &'a str, max_bytes: usize, allowed: &[Alg]) -> Result<Self, JwsError> {
        Self::parse_with(text, max_bytes, allowed, None)
    }

    /// The same, where a header may be known already.
    pub(crate) fn parse_with(
        text: &'a str,
        max_bytes: usize,
        allowed: &[Alg],
        known: Option<&KnownHeader>,
    ) -> Result<Self, JwsError> {
        if text.len() > max_bytes {
            return Err(JwsError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::Form)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Form)?;
        // A dot more would be no Base64url.
        let decoded = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| JwsError::Form);
        if let Some(known) = known.filter(|known| known.text == header) {
            let (payload, signature) = (decoded(payload)?, decoded(signature)?);
            let (header, alg) = (Arc::clone(&known.header), known.alg);
            let is_allowed = allowed.contains(&alg);
            return is_allowed.then_some(Self { header, alg, signing_input, payload, signature }).ok_or(JwsError::Alg);
        }
        let header = Arc::new(object(&decoded(header)?).ok_or(JwsError::Form)?);
        let (payload, signature) = (decoded(payload)?, decoded(signature)?);
        if ["crit", "b64", "zip"].iter().any(|name| header.get(name).is_some()) {
            return Err(JwsError::Crit);
        }
        let name = header.get("alg").and_then(Json::as_str).ok_or(JwsError::Alg)?;
        let alg = *allowed.iter().find(|alg| alg.names().contains(&name)).ok_or(JwsError::Alg)?;
        Ok(Self { header, alg, signing_input, payload, signature })
    }

    /// Its header, to be known again.
    pub(crate) fn to_known(&self) -> KnownHeader {
        let text = self.signing_input.split('.').next().unwrap_or_default().to_owned();
        KnownHeader { text, header: Arc::clone(&self.header), alg: self.alg }
    }

    /// Whether its header is the one that was known.
    pub(crate) fn is_of(&self, known: &KnownHeader) -> bool {
        Arc::ptr_eq(&self.header, &known.header)
    }

    /// A text of the header.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Json::as_str)
    }

    /// Its algorithm.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// Whether a key could be the one that it was signed with, by their types.
    pub(crate) fn could_be_of(&self, key: &Jwk) -> bool {
        let is_of_type = match &key.verifier {
            Verifier::Core(key, _) => self.alg == Alg::of(key.algorithm()),
            Verifier::Rsa { .. } => matches!(self.alg, Alg::Rs256 | Alg::Ps256),
        };
        is_of_type && key.alg().is_none_or(|alg| self.alg.names().contains(&alg))
    }

    /// The claims, as they stand there: nobody has said them yet.
    pub(crate) fn unverified_claims(&self) -> Option<Object> {
        object(&self.payload)
    }

    /// Verifies the signature.
    /// Fails where the algorithm is not that of the key, or the signature is not the key's.
    pub fn verify(self, key: &Jwk) -> Result<Verified<'a>, JwsError> {
        if !self.could_be_of(key) {
            return Err(JwsError::KeyType);
        }
        let message = self.signing_input.as_bytes();
        let holds = match &key.verifier {
            Verifier::Core(public, prepared) => {
                of_raw(public.algorithm(), self.signature).is_some_and(|signature| prepared.verify(message, &signature))
            }
            rsa @ Verifier::Rsa { .. } => {
                let parameters =
                    if self.alg == Alg::Ps256 { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
                rsa.rsa().is_some_and(|key| key.verify(parameters, message, &self.signature).is_ok())
            }
        };
        if !holds {
            return Err(JwsError::Signature);
        }
        Ok(Verified { header: self.header, signing_input: self.signing_input, payload: self.payload })
    }
}

/// A signed text whose signature holds.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing but a signature that holds makes one.
/// let forged = chio_http::jws::Verified { header: todo!(), signing_input: "", payload: Vec::new() };
/// ```
/// ```
/// fn takes(_: &chio_http::jws::Verified<'_>) {}
/// ```
#[derive(Debug)]
pub struct Verified<'a> {
    header: Arc<Object>,
    signing_input: &'a str,
    payload: Vec<u8>,
}

impl Verified<'_> {
    /// The header.
    pub fn header(&self) -> &Object {
        &self.header
    }

    /// What was signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The claims.
    /// Fails where the payload is not one strict JSON object.
    pub fn claims(&self) -> Result<Object, JwsError> {
        object(&self.payload).ok_or(JwsError::Claims)
    }

    /// The digest of what the signature covers, and of nothing that a holder can vary.
    pub fn digest(&self) -> Digest {
        Digest::of(self.signing_input.as_bytes())
    }
}

fn object(text: &[u8]) -> Option<Object> {
    match canonical::parse(text, Limits { bytes: MAX_TOKEN_BYTES, depth: DEPTH }) {
        Ok(Json::Object(object)) => Some(object),
        _ => None,
    }
}

/// A signature of JOSE as the core has it: RFC 7518 section 3.4 has the two numbers of ECDSA at their full length, the core
/// has DER.
pub(crate) fn of_raw(algorithm: Algorithm, raw: Vec<u8>) -> Option<Signature> {
    let bytes = match algorithm {
        Algorithm::Ed25519 => raw,
        Algorithm::P256 => p256::ecdsa::Signature::from_slice(&raw).ok()?.to_der().as_bytes().to_vec(),
        Algorithm::P384 => p384::ecdsa::Signature::from_slice(&raw).ok()?.to_der().as_bytes().to_vec(),
    };
    Signature::from_bytes(algorithm, bytes).ok()
}

pub(crate) fn to_raw(signature: &Signature) -> Option<Vec<u8>> {
    let bytes = signature.as_bytes();
    Some(match signature.algorithm() {
        Algorithm::Ed25519 => bytes.to_vec(),
        Algorithm::P256 => p256::ecdsa::Signature::from_der(bytes).ok()?.to_bytes().to_vec(),
        Algorithm::P384 => p384::ecdsa::Signature::from_der(bytes).ok()?.to_bytes().to_vec(),
    })
}

/// Signs claims. `header` is what else its header has, as members of a JSON object: `"typ":"JWT","kid":"1"`.
/// Fails where the key refuses.
pub fn sign(key: &dyn SigningBackend, header: &str, claims: &[u8]) -> Result<String, SignError> {
    let alg = Alg::of(key.algorithm()).names().first().copied().unwrap_or_default();
    let comma = if header.is_empty() { "" } else { "," };
    let header = format!(r#"{{"alg":"{alg}"{comma}{header}}}"#);
    let mut text = Base64UrlUnpadded::encode_string(header.as_bytes());
    text.push('.');
    text.push_str(&Base64UrlUnpadded::encode_string(claims));
    let signature = to_raw(&key.sign(text.as_bytes())?)
        .ok_or_else(|| SignError::Backend("the signature is of no known form".into()))?;
    text.push('.');
    text.push_str(&Base64UrlUnpadded::encode_string(&signature));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::crypto::Keypair;

    fn parsed(text: &str) -> Result<Unverified<'_>, JwsError> {
        Unverified::parse(text, MAX_PROOF_BYTES, &Alg::OF_PROOFS)
    }

    fn with_header(header: &str) -> String {
        format!("{}.e30.AA", Base64UrlUnpadded::encode_string(header.as_bytes()))
    }

    #[test]
    fn what_is_signed_verifies_under_its_key_alone() {
        for algorithm in Algorithm::ALL {
            let key = Keypair::generate_for(algorithm).unwrap();
            let jwk = Jwk::of(&key.public_key()).unwrap();
            let text = sign(&key, r#""typ":"JWT""#, br#"{"a":1}"#).unwrap();
            let verified = parsed(&text).unwrap().verify(&jwk).unwrap();
            assert_eq!(verified.header().get("typ").and_then(Json::as_str), Some("JWT"));
            assert_eq!((verified.payload(), verified.claims().unwrap().iter().count()), (&br#"{"a":1}"#[..], 1));
            assert_eq!(verified.digest(), Digest::of(text.rsplit_once('.').unwrap().0.as_bytes()));
            for other in Algorithm::ALL {
                let other = Jwk::of(&Keypair::generate_for(other).unwrap().public_key()).unwrap();
                let error = parsed(&text).unwrap().verify(&other).unwrap_err();
                assert!(matches!(error, JwsError::Signature | JwsError::KeyType), "{error:?}");
            }
            let tampered = text.replacen(".eyJhIjoxfQ.", ".eyJhIjoyfQ.", 1);
            assert_ne!(tampered, text);
            assert_eq!(parsed(&tampered).unwrap().verify(&jwk).unwrap_err(), JwsError::Signature);
        }
    }

    #[test]
    fn one_signature_has_one_text() {
        let text = sign(&Keypair::generate().unwrap(), "", b"{}").unwrap();
        assert!(parsed(&text).is_ok());
        let [header, payload, signature] = text.split('.').collect::<Vec<_>>()[..] else { panic!() };
        let last = signature.chars().last().unwrap();
        let other = char::from(u8::try_from(last).unwrap() + 1);
        for wrong in [
            String::new(),
            "..".into(),
            ".".into(),
            header.into(),
            format!("{header}.{payload}"),
            format!("{text}."),
            format!(".{text}"),
            format!("{text}.AA"),
            format!("{text}="),
            format!("{text} "),
            format!(" {text}"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}\n.{payload}.{signature}"),
            text.replace(&format!(".{signature}"), &format!(".{}{other}", &signature[..signature.len() - 1])),
            format!("{text},{text}"),
            r#"{"payload":"e30","signatures":[]}"#.into(),
        ] {
            assert_eq!(parsed(&wrong).unwrap_err(), JwsError::Form, "{wrong}");
        }
        assert_eq!(Unverified::parse(&text, text.len() - 1, &Alg::OF_PROOFS).unwrap_err(), JwsError::TooLong);
    }

    #[test]
    fn no_algorithm_but_those_allowed_and_no_extension() {
        for (header, why) in [
            (r#"{"alg":"none"}"#, JwsError::Alg),
            (r#"{"alg":"None"}"#, JwsError::Alg),
            (r#"{"alg":"HS256"}"#, JwsError::Alg),
            (r#"{"alg":"RS256"}"#, JwsError::Alg),
            (r#"{"alg":"PS256"}"#, JwsError::Alg),
            (r#"{"alg":"ES512"}"#, JwsError::Alg),
            (r#"{"alg":"es256"}"#, JwsError::Alg),
            (r#"{"alg":["ES256"]}"#, JwsError::Alg),
            (r#"{"alg":""}"#, JwsError::Alg),
            ("{}", JwsError::Alg),
            (r#"{"alg":"ES256","crit":[]}"#, JwsError::Crit),
            (r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, JwsError::Crit),
            (r#"{"alg":"ES256","b64":false}"#, JwsError::Crit),
            (r#"{"alg":"ES256","zip":"DEF"}"#, JwsError::Crit),
            (r#"{"alg":"ES256","alg":"ES256"}"#, JwsError::Form),
            (r#"[{"alg":"ES256"}]"#, JwsError::Form),
            (r#"{"alg":"ES256"} {}"#, JwsError::Form),
            ("", JwsError::Form),
        ] {
            assert_eq!(parsed(&with_header(header)).unwrap_err(), why, "{header}");
        }
        assert!(parsed(&with_header(r#"{"alg":"ES256","kid":1,"foo":[]}"#)).is_ok());
        let ed25519 = Unverified::parse("eyJhbGciOiJFZDI1NTE5In0.e30.AA", 100, &[Alg::Es256]);
        assert_eq!(ed25519.unwrap_err(), JwsError::Alg);
    }

    #[test]
    fn the_algorithm_that_a_key_names_binds_it() {
        let key = Keypair::generate().unwrap();
        let text = crate::jwk::public_jwk(&key.public_key()).replacen('{', r#"{"alg":"Ed25519","#, 1);
        let jwk = Jwk::from_json(&canonical::parse(text.as_bytes(), Limits::bytes(1000)).unwrap()).unwrap();
        let text = sign(&key, "", b"{}").unwrap();
        // Two names of one algorithm.
        assert!(parsed(&text).unwrap().verify(&jwk).is_ok());
    }
}
