//! Proofs, tokens, signatures and keys that nobody here made.

use std::fs;
use std::ops::RangeInclusive;

use chio_core::canonical::{self, Limits};
use chio_http::Body;
use chio_http::dpop::{Asked, Proof, ProofRules};
use chio_http::issuer::Issuer;
use chio_http::jwk::{Jwk, JwkError, Jwks};
use chio_http::jws::{Alg, MAX_TOKEN_BYTES, Unverified};
use chio_http::keys::Keys;
use chio_http::origin::Origin;
use chio_tests::third_party;
use hyper::Request;
use serde_json::Value;

use crate::world::*;

fn read(folder: &str, file: &str) -> Option<Value> {
    let path = third_party(folder)?.join(file);
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

fn jwk(value: &Value) -> Result<Jwk, JwkError> {
    Jwk::from_json(&canonical::parse(value.to_string().as_bytes(), Limits::bytes(1 << 16)).unwrap())
}

fn request(case: &Value) -> Request<Body> {
    let text = |name: &str| case[name].as_str();
    let (authority, path) = text("url").unwrap().strip_prefix("https://").unwrap().split_once('/').unwrap();
    let mut request = Request::builder()
        .method(text("method").unwrap())
        .uri(format!("/{path}"))
        .header("host", authority)
        .header("authorization", format!("DPoP {}", text("access_token").unwrap()));
    if let Some(proof) = text("proof") {
        request = request.header("dpop", proof);
    }
    request.body(Body::empty()).unwrap()
}

/// The cases that the data leaves to us, as `docs/http.md` says.
const DECIDED: [(&str, bool); 1] = [("policy-htu-with-query", true)];

#[tokio::test]
async fn the_cases_of_rfc_9449_are_decided_as_they_say() {
    let Some(data) = read("dpop_rfc9449", "cases.json") else { return };
    let mut public = data["keys"]["issuer"].clone();
    public.as_object_mut().unwrap().remove("d");
    public["kid"] = "iss-1".into();
    let keys: Jwks = [jwk(&public).unwrap()].into_iter().collect();
    let cases = data["cases"].as_array().unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        assert_eq!(case["now"], NOW, "{name}");
        let issuer = Issuer { keys: Keys::fixed(keys.clone()), ..issuer(&issuer_key()) };
        let nonces = case.get("server_nonce").is_some();
        let mut world = World::of(Setting { nonces, ..Setting::default() }, vec![issuer]);
        let mut before = 0;
        if let Some(first) = case["replay_of"].as_str() {
            let first = cases.iter().find(|case| case["name"] == first).unwrap();
            assert_eq!(world.send(request(first)).await.status, 200, "{name}");
            before = 1;
        }
        let got = world.send(request(case)).await;
        let expected = match case["expect"].as_str().unwrap() {
            "accept" => true,
            "reject" => false,
            _ => DECIDED.iter().find(|(decided, _)| *decided == name).unwrap().1,
        };
        assert_eq!(got.status == 200, expected, "{name}: {got:?} {}", case["why"]);
        assert_eq!(world.seen(), before + usize::from(expected), "{name}");
        if expected {
            accepted += 1;
        } else {
            refused += 1;
            assert_eq!(got.status, 401, "{name}: {got:?}");
        }
    }
    assert_eq!((accepted, refused), (13, 41));
}

#[test]
fn the_proofs_of_the_rfc_itself_are_accepted() {
    let Some(data) = read("dpop_rfc9449", "rfc9449_examples.json") else { return };
    for case in data.as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let at = text("url").rfind('/').unwrap();
        let (origin, path) = text("url").split_at(at);
        let origin = Origin::parse(origin).unwrap();
        let asked = Asked { method: text("method"), origin: &origin, path, query: None, token: text("access_token") };
        let proof = Proof::check(text("proof"), asked, &ProofRules::default()).unwrap();
        assert_eq!(proof.key().to_string(), text("jkt"));
        assert_eq!(proof.check_time(case["now"].as_u64().unwrap(), &ProofRules::default()), Ok(()));
        let has_token = !text("access_token").is_empty();
        assert_eq!(proof.check_binding(proof.key(), true).is_ok(), has_token);
    }
}

/// Whether a text verifies under one of the keys, read as an issuer's are.
fn verifies(jws: &str, keys: &[Jwk]) -> bool {
    let parsed = || Unverified::parse(jws, MAX_TOKEN_BYTES, &Alg::OF_ISSUERS);
    let kid = |key: &Jwk| match parsed() {
        Ok(jws) => jws.header_text("kid").is_none_or(|kid| key.kid() == Some(kid)),
        Err(_) => false,
    };
    keys.iter().filter(|key| kid(key)).any(|key| parsed().is_ok_and(|jws| jws.verify(key).is_ok()))
}

/// What the data calls valid and is refused here: each is signed with an algorithm, or a key, that is not used.
const NOT_USED: [RangeInclusive<u64>; 11] = [
    1..=1,     // HS256
    264..=271, // RS384, RS512
    320..=323, // PS384
    325..=328, // PS512
    346..=346, // PS384
    347..=348, // ES512, HS256
    350..=352, // PS384, ES512, HS256
    357..=359, // HS256, as are those below
    372..=373,
    376..=376,
    377..=377,
];

#[test]
fn wycheproof_signatures_verify_as_they_say_or_are_of_what_is_not_used_here() {
    let Some(data) = read("wycheproof", "json_web_signature_test.json") else { return };
    let (mut wrongly_accepted, mut accepted, mut left_out) = (Vec::new(), 0, Vec::new());
    for group in data["testGroups"].as_array().unwrap() {
        let keys: Vec<_> = group.get("public").into_iter().filter_map(|key| jwk(key).ok()).collect();
        for test in group["tests"].as_array().unwrap() {
            let Some(jws) = test["jws"].as_str() else { continue };
            let id = test["tcId"].as_u64().unwrap();
            match (test["result"] == "valid", verifies(jws, &keys)) {
                (true, true) => accepted += 1,
                (false, true) => wrongly_accepted.push(id),
                (true, false) => left_out.push(id),
                (false, false) => {}
            }
        }
    }
    assert_eq!((wrongly_accepted, accepted), (Vec::new(), 16));
    assert_eq!(left_out, NOT_USED.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn wycheproof_keys_are_read_as_they_say_or_are_not_used_here() {
    let Some(data) = read("wycheproof", "json_web_key_test.json") else { return };
    let (mut wrongly_accepted, mut accepted, mut left_out) = (Vec::new(), 0, Vec::new());
    for group in data["testGroups"].as_array().unwrap() {
        let public = group.get("public").or_else(|| group.get("private")).unwrap();
        let keys = Jwks::parse(public.to_string().as_bytes()).unwrap_or_default();
        for test in group["tests"].as_array().unwrap() {
            let Some(jws) = test["jws"].as_str() else { continue };
            let id = test["tcId"].as_u64().unwrap();
            match (test["result"] == "valid", verifies(jws, keys.keys())) {
                (true, true) => accepted += 1,
                (false, true) => wrongly_accepted.push(id),
                (true, false) => left_out.push(id),
                (false, false) => {}
            }
        }
    }
    // Those that are left out are symmetric.
    assert_eq!((wrongly_accepted, accepted, left_out), (Vec::new(), 1, vec![2, 13, 14, 15]));
}
