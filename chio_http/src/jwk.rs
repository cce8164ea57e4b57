//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037), strictly: one key has one text.

use std::fmt;
use std::sync::OnceLock;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::crypto::{Algorithm, PreparedKey, PublicKey};
use chio_core::digest::Digest;
use chio_core::error::excerpt;
use ring::signature::RsaPublicKeyComponents;

/// How much of a set of keys is read, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 << 10;

/// Members that only a private or a symmetric key has: RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwkError {
    /// It is no JSON object with a `kty`, or a member has the wrong type.
    Malformed,
    /// It has a member that only a private or symmetric key has.
    Secret,
    /// It is of a type, a curve or a size that is not used here.
    Unsupported,
    /// It is not for verifying signatures, by its own word (`use`, `key_ops`, `alg`).
    Purpose,
    /// Its numbers are not canonically encoded, or no point of the curve.
    Encoding,
    /// Two keys of a set have the same `kid`.
    SameKid(String),
}

impl fmt::Display for JwkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the key is no JSON Web Key"),
            Self::Secret => f.write_str("the key is a private or a symmetric one"),
            Self::Unsupported => f.write_str("the key is of a type, a curve or a size that is not used here"),
            Self::Purpose => f.write_str("the key is not for verifying signatures"),
            Self::Encoding => f.write_str("the key is not canonically encoded, or no point of its curve"),
            Self::SameKid(kid) => write!(f, "two keys have the `kid` {kid}"),
        }
    }
}

impl std::error::Error for JwkError {}

/// What verifies.
#[derive(Clone)]
pub(crate) enum Verifier {
    Core(PublicKey, Box<PreparedKey>),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// A public key.
#[derive(Clone)]
pub struct Jwk {
    pub(crate) verifier: Verifier,
    kid: Option<String>,
    alg: Option<String>,
    /// What its thumbprint is the digest of.
    required: String,
    thumbprint: OnceLock<Digest>,
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({})", self.thumbprint())
    }
}

impl Jwk {
    /// Reads the key of a proof: EC or OKP. One that is for signing alone has no place in a proof.
    /// Fails where it is none that is used here, or is private.
    pub fn from_json(json: &Json) -> Result<Self, JwkError> {
        let object = json.as_object().ok_or(JwkError::Malformed)?;
        if object.iter().any(|(name, _)| SECRET_MEMBERS.contains(&name)) {
            return Err(JwkError::Secret);
        }
        let string = |name: &str| match object.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(JwkError::Malformed),
        };
        let needed = |name: &str| string(name)?.ok_or(JwkError::Malformed);
        check_purpose(object, string("use")?)?;
        let (alg, kid) = (string("alg")?, string("kid")?);
        let (verifier, required, algs) = match needed("kty")? {
            "EC" => {
                let (x, y, curve) = (needed("x")?, needed("y")?, needed("crv")?);
                let (algorithm, bytes, prefix, alg) = match curve {
                    "P-256" => (Algorithm::P256, 32, "p256:04", &["ES256"][..]),
                    "P-384" => (Algorithm::P384, 48, "p384:04", &["ES384"][..]),
                    _ => return Err(JwkError::Unsupported),
                };
                let key = core_key(prefix, &[&exactly(x, bytes)?, &exactly(y, bytes)?], algorithm)?;
                (key, format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#), alg)
            }
            "OKP" => {
                let x = needed("x")?;
                if needed("crv")? != "Ed25519" {
                    return Err(JwkError::Unsupported);
                }
                let key = core_key("", &[&exactly(x, 32)?], Algorithm::Ed25519)?;
                (key, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#), &["EdDSA", "Ed25519"][..])
            }
            "RSA" => {
                let (n, e) = (needed("n")?, needed("e")?);
                let key = rsa_key(decoded(n)?, decoded(e)?)?;
                (key, format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#), &["RS256", "PS256"][..])
            }
            "oct" => return Err(JwkError::Secret),
            _ => return Err(JwkError::Unsupported),
        };
        if alg.is_some_and(|alg| !algs.contains(&alg)) {
            return Err(JwkError::Purpose);
        }
        let (alg, kid) = (alg.map(str::to_owned), kid.map(str::to_owned));
        Ok(Self { verifier, kid, alg, required, thumbprint: OnceLock::new() })
    }

    /// The JSON Web Key of a key of the core.
    /// Fails where the key is no point of its curve.
    pub fn of(key: &PublicKey) -> Result<Self, JwkError> {
        let prepared = key.prepare().map_err(|_| JwkError::Encoding)?;
        let required = public_jwk(key);
        let verifier = Verifier::Core(key.clone(), Box::new(prepared));
        Ok(Self { verifier, kid: None, alg: None, required, thumbprint: OnceLock::new() })
    }

    /// The thumbprint by SHA-256: RFC 7638.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint(*self.thumbprint.get_or_init(|| Digest::of(self.required.as_bytes())))
    }

    /// The key as the core has it; none where it is an RSA key.
    pub fn public_key(&self) -> Option<&PublicKey> {
        if let Verifier::Core(key, _) = &self.verifier { Some(key) } else { None }
    }

    /// By which a token names it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it is for, where it says so.
    pub(crate) fn alg(&self) -> Option<&str> {
        self.alg.as_deref()
    }
}

/// A key as a JSON Web Key with its required members alone: what a proof carries, and what a thumbprint is of.
pub fn public_jwk(key: &PublicKey) -> String {
    let encoded = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    // A point is uncompressed: a byte that says so, and two coordinates of the same length.
    let point = key.as_bytes().get(1..).unwrap_or_default();
    let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
    let of_curve = |curve: &str| format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, encoded(x), encoded(y));
    match key.algorithm() {
        Algorithm::Ed25519 => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encoded(key.as_bytes())),
        Algorithm::P256 => of_curve("P-256"),
        Algorithm::P384 => of_curve("P-384"),
    }
}

/// Keys as an issuer publishes them: a JWK Set in which each has its thumbprint as `kid`.
/// Fails where one is none.
pub fn jwks(keys: &[PublicKey]) -> Result<String, JwkError> {
    let named = |key: &PublicKey| {
        let kid = Jwk::of(key)?.thumbprint();
        Ok(public_jwk(key).replacen('{', &format!(r#"{{"kid":"{kid}","use":"sig","#), 1))
    };
    let keys = keys.iter().map(named).collect::<Result<Vec<_>, JwkError>>()?;
    Ok(format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// The digest that names a key: RFC 7638, and `jkt` of RFC 9449 section 6.1. Or a certificate: RFC 8705 section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub Digest);

impl Thumbprint {
    /// Reads a thumbprint. There is one text of each.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let read = Base64UrlUnpadded::decode(text, &mut bytes).is_ok_and(|read| read.len() == 32);
        read.then_some(Self(Digest(bytes)))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 43];
        f.write_str(Base64UrlUnpadded::encode(self.0.as_bytes(), &mut text).unwrap_or_default())
    }
}

fn check_purpose(object: &Object, r#use: Option<&str>) -> Result<(), JwkError> {
    if r#use.is_some_and(|r#use| r#use != "sig") {
        return Err(JwkError::Purpose);
    }
    match object.get("key_ops") {
        None => Ok(()),
        Some(Json::Array(operations)) => {
            let verifies = operations.iter().any(|operation| operation.as_str() == Some("verify"));
            if verifies { Ok(()) } else { Err(JwkError::Purpose) }
        }
        Some(_) => Err(JwkError::Malformed),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, JwkError> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| JwkError::Encoding)
}

/// RFC 7518 section 6.2.1.2: a coordinate has the full length, leading zeros too.
fn exactly(text: &str, bytes: usize) -> Result<Vec<u8>, JwkError> {
    decoded(text).ok().filter(|decoded| decoded.len() == bytes).ok_or(JwkError::Encoding)
}

fn core_key(prefix: &str, parts: &[&[u8]], algorithm: Algorithm) -> Result<Verifier, JwkError> {
    let mut text = String::with_capacity(210);
    text.push_str(prefix);
    for part in parts {
        text.push_str(&base16ct::lower::encode_string(part));
    }
    let key: PublicKey = text.parse().map_err(|_| JwkError::Encoding)?;
    let prepared = key.prepare().map_err(|_| JwkError::Encoding)?;
    if key.algorithm() != algorithm {
        return Err(JwkError::Encoding);
    }
    Ok(Verifier::Core(key, Box::new(prepared)))
}

/// From 2048 to 8192 bits in whole bytes; an exponent of at least 65537.
fn rsa_key(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Verifier, JwkError> {
    let is_canonical = |bytes: &[u8]| bytes.first().is_some_and(|first| *first != 0);
    if !is_canonical(&modulus) || !is_canonical(&exponent) {
        return Err(JwkError::Encoding);
    }
    let is_whole = modulus.first().is_some_and(|first| *first >= 0x80);
    let is_usual = matches!(exponent.as_slice(), [_, _, low] if low % 2 == 1)
        || matches!(exponent.as_slice(), [_, _, _, low] if low % 2 == 1);
    if !(256..=1024).contains(&modulus.len()) || !is_whole || !is_usual {
        return Err(JwkError::Unsupported);
    }
    Ok(Verifier::Rsa { modulus, exponent })
}

impl Verifier {
    pub(crate) fn rsa(&self) -> Option<RsaPublicKeyComponents<&[u8]>> {
        if let Self::Rsa { modulus, exponent } = self {
            return Some(RsaPublicKeyComponents { n: modulus, e: exponent });
        }
        None
    }
}

/// The keys of an issuer: a JWK Set.
#[derive(Clone, Debug, Default)]
pub struct Jwks(Vec<Jwk>);

impl Jwks {
    /// Reads a set. Keys of another use or type are left out.
    /// Fails where it is none, a key is private or symmetric, a key is broken, or two have the same `kid`: then nobody can
    /// say what the issuer meant.
    pub fn parse(text: &[u8]) -> Result<Self, JwkError> {
        let json =
            canonical::parse(text, Limits { bytes: MAX_JWKS_BYTES, depth: 16 }).map_err(|_| JwkError::Malformed)?;
        let keys = json.as_object().and_then(|object| object.get("keys")).and_then(Json::as_array);
        let mut read: Vec<Jwk> = Vec::new();
        for key in keys.ok_or(JwkError::Malformed)? {
            match Jwk::from_json(key) {
                Ok(key) => {
                    if let Some(kid) = key.kid().filter(|kid| read.iter().any(|other| other.kid() == Some(kid))) {
                        return Err(JwkError::SameKid(excerpt(kid)));
                    }
                    read.push(key);
                }
                Err(JwkError::Unsupported | JwkError::Purpose) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(read))
    }

    /// The keys.
    pub fn keys(&self) -> &[Jwk] {
        &self.0
    }
}

impl FromIterator<Jwk> for Jwks {
    fn from_iter<T: IntoIterator<Item = Jwk>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::crypto::Keypair;

    fn read(text: &str) -> Result<Jwk, JwkError> {
        Jwk::from_json(&canonical::parse(text.as_bytes(), Limits::bytes(1 << 16)).unwrap())
    }

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn p256(rest: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{rest}}}"#)
    }

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        // RFC 8037 appendix A.3.
        let key = read(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#).unwrap();
        assert_eq!(key.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        // RFC 7638 section 3.1.
        let key = read(r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#).unwrap();
        assert_eq!(key.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!((key.kid(), key.alg(), key.public_key()), (Some("2011-04-29"), Some("RS256"), None));
        assert_eq!(Thumbprint::parse("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), Some(key.thumbprint()));
        for text in
            ["", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs=", "AA"]
        {
            assert_eq!(Thumbprint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_of_the_core_is_the_same_key_as_a_jwk() {
        for algorithm in Algorithm::ALL {
            let key = Keypair::generate_for(algorithm).unwrap().public_key();
            let jwk = read(&public_jwk(&key)).unwrap();
            assert_eq!(jwk.public_key(), Some(&key));
            assert_eq!(jwk.thumbprint(), Jwk::of(&key).unwrap().thumbprint());
        }
    }

    #[test]
    fn what_is_no_public_key_for_signatures_is_refused() {
        use JwkError::{Encoding, Malformed, Purpose, Secret, Unsupported};
        for good in
            ["", r#","use":"sig""#, r#","alg":"ES256""#, r#","key_ops":["verify"]"#, r#","kid":"a","x5c":[1],"foo":{}"#]
        {
            assert!(read(&p256(good)).is_ok(), "{good}");
        }
        for (member, why) in [
            (r#","d":"AA""#, Secret),
            (r#","d":null"#, Secret),
            (r#","k":"AA""#, Secret),
            (r#","p":1"#, Secret),
            (r#","use":"enc""#, Purpose),
            (r#","use":1"#, Malformed),
            (r#","alg":"ES384""#, Purpose),
            (r#","alg":"HS256""#, Purpose),
            (r#","alg":"none""#, Purpose),
            (r#","key_ops":["sign"]"#, Purpose),
            (r#","key_ops":[]"#, Purpose),
            (r#","key_ops":"verify""#, Malformed),
            (r#","kid":1"#, Malformed),
        ] {
            assert_eq!(read(&p256(member)).err(), Some(why), "{member}");
        }
        let ec =
            |crv: &str, x: &str, y: &str| read(&format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#)).err();
        for (x, y) in [
            (&*format!("{X}="), Y),
            (&X[1..], Y),
            (&*format!("AA{X}"), Y),
            (&*X.replace('3', "+"), Y),
            // The last digit has two bits that stand for nothing.
            (&*format!("{}V", &X[..42]), Y),
            (X, X),
            ("", ""),
            (" ", Y),
        ] {
            assert_eq!(ec("P-256", x, y), Some(Encoding), "{x} {y}");
        }
        assert_eq!(ec("P-521", X, Y), Some(Unsupported));
        assert_eq!(ec("p-256", X, Y), Some(Unsupported));
        assert_eq!(ec("P-384", X, Y), Some(Encoding));
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (text, why) in [
            ("[]".to_owned(), Malformed),
            ("{}".to_owned(), Malformed),
            (r#"{"kty":"oct"}"#.to_owned(), Secret),
            (r#"{"kty":"AKP"}"#.to_owned(), Unsupported),
            (r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(), Unsupported),
            // A point of small order.
            (format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{zeros}"}}"#), Encoding),
        ] {
            assert_eq!(read(&text).err(), Some(why), "{text}");
        }
    }

    #[test]
    fn rsa_keys_have_a_size() {
        let rsa = |bytes: usize, first: u8, e: &[u8]| {
            let mut n = vec![0xff; bytes];
            n[0] = first;
            let (n, e) = (Base64UrlUnpadded::encode_string(&n), Base64UrlUnpadded::encode_string(e));
            read(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)).err()
        };
        assert_eq!(rsa(256, 0x80, &[1, 0, 1]), None);
        assert_eq!(rsa(1024, 0x80, &[1, 0, 0, 1]), None);
        for (bytes, first, e) in [
            (255, 0xff, &[1, 0, 1][..]),
            (256, 0x7f, &[1, 0, 1]),
            (1025, 0xff, &[1, 0, 1]),
            (256, 0xff, &[1]),
            (256, 0xff, &[3]),
            (256, 0xff, &[1, 0, 2]),
        ] {
            assert_eq!(rsa(bytes, first, e), Some(JwkError::Unsupported), "{bytes} {first} {e:?}");
        }
        assert_eq!(rsa(257, 0, &[1, 0, 1]), Some(JwkError::Encoding));
        assert_eq!(rsa(256, 0xff, &[0, 1, 0, 1]), Some(JwkError::Encoding));
    }

    #[test]
    fn a_set_says_one_thing_or_is_refused() {
        let set = |keys: &[String]| Jwks::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        let (one, other) = (p256(r#","kid":"a""#), p256(r#","kid":"b""#));
        assert_eq!(set(&[one.clone(), other.clone()]).unwrap().keys().len(), 2);
        assert_eq!(set(&[one.clone(), p256(r#","use":"enc""#), r#"{"kty":"new"}"#.into()]).unwrap().keys().len(), 1);
        assert_eq!(set(&[one.clone(), one.clone()]).unwrap_err(), JwkError::SameKid("a".into()));
        assert_eq!(set(&[one.clone(), p256(r#","d":"AA""#)]).unwrap_err(), JwkError::Secret);
        assert_eq!(set(&[one, r#"{"kty":"oct","k":"AA"}"#.into()]).unwrap_err(), JwkError::Secret);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(Jwks::parse(text.as_bytes()).unwrap_err(), JwkError::Malformed, "{text}");
        }
    }
}
