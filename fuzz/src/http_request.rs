//! Requests over HTTP: any text as a target, and proofs of RFC 9449 with any header and any claims, really signed.

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::crypto::Keypair;
use chio_http::dpop::{Asked, Proof, ProofRules, ath};
use chio_http::jwk::Jwk;
use chio_http::jws::sign;
use chio_http::origin::Origin;
use chio_http::target::Target;
use serde_json::Value;
use url::Url;

/// Who signs.
pub static KEY: LazyLock<Keypair> = LazyLock::new(|| Keypair::from_seed(&[1; 32]));
static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin::parse("https://api.example").unwrap());

/// A target; or, where the first byte is one that starts none, the members of a proof's header, and in the next line its
/// claims.
pub fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0..=8, proof)) => {
            let Ok(text) = std::str::from_utf8(proof) else { return };
            let (header, claims) = text.split_once('\n').unwrap_or((text, "{}"));
            if let Ok(signed) = sign(&*KEY, header, claims.as_bytes()) {
                decided(&signed);
            }
            decided(text);
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                target(text);
            }
        }
    }
}

/// What is read is what the readers of browsers read (the URL standard): the same path, the same query, nothing put right.
fn target(text: &str) {
    let Ok(target) = Target::parse(text) else { return };
    let read = Url::parse(&format!("https://api.example{text}")).unwrap();
    assert_eq!(read.path(), target.path());
    assert_eq!(read.host_str(), Some("api.example"));
    assert_eq!(read.fragment(), None);
    let unescaped = |c: char| !matches!(c, '"' | '\'' | '<' | '>');
    if target.query().is_none_or(|query| query.chars().all(unescaped)) {
        assert_eq!(read.query(), target.query());
    }
}

fn asked(method: &str) -> Asked<'_> {
    Asked { method, origin: &ORIGIN, path: "/orders/42", query: Some("a=b"), token: "token" }
}

/// A proof that is taken says all that it has to say, by another reader of JSON and of URLs.
fn decided(proof: &str) {
    let Ok(taken) = Proof::check(proof, asked("GET"), &ProofRules::default()) else { return };
    assert!(Proof::check(proof, asked("POST"), &ProofRules::default()).is_err());
    let mut parts = proof.split('.').map(|part| Base64UrlUnpadded::decode_vec(part).unwrap());
    let mut json = || serde_json::from_slice::<Value>(&parts.next().unwrap()).unwrap();
    let (header, claims) = (json(), json());
    assert!(header["typ"].as_str().unwrap().to_ascii_lowercase().ends_with("dpop+jwt"));
    assert!(header.get("crit").is_none());
    let jwk = &header["jwk"];
    assert!(["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|secret| jwk.get(secret).is_none()));
    // Nobody but the holder of this key signs here.
    assert_eq!(taken.key(), Jwk::of(&KEY.public_key()).unwrap().thumbprint());
    assert_eq!(jwk["crv"], "Ed25519");

    assert_eq!(claims["htm"], "GET");
    let url = Url::parse(claims["htu"].as_str().unwrap()).unwrap();
    assert_eq!((url.origin().ascii_serialization().as_str(), url.path()), ("https://api.example", "/orders/42"));
    assert!((1..=256).contains(&claims["jti"].as_str().unwrap().len()));
    assert!(claims["iat"].is_number());
    assert!(claims.get("ath").is_none_or(|said| *said == ath("token")));
    assert!(claims.get("htq").is_none_or(|said| said == "a=b"));
}
