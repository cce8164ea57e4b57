//! E-Key, from the issuer to the service: what passes, and a test for each attack.

use std::sync::{Arc, Mutex};

use chio_core::canonical::{self, Limits};
use chio_core::crypto::{Algorithm, Keypair};
use chio_core::digest::Digest;
use chio_http::dpop::{ProofClaims, ProofRules};
use chio_http::ekey::issue::{IssueError, Issued};
use chio_http::ekey::token::Cap;
use chio_http::ekey::{EKey, EKeyIssuer, EKeyRules, EKeySession, IssuerClient, Transport};
use chio_http::issuer::Issuer;
use chio_http::jwk::{Jwks, public_jwk};
use chio_http::jws::{self, Alg};
use chio_http::keys::Keys;
use chio_http::route::Route;
use chio_http::{Body, ClientCertificate};
use chio_kernel::clock::{BoxFuture, ManualClock};
use chio_kernel::{Kernel, KernelError};
use hyper::Request;
use serde_json::{Value, json};

use crate::world::*;

const NAME: &str = "https://ekey.example";
const SECRET: &str = "s3cret-of-the-client";

fn signer() -> Keypair {
    Keypair::from_seed(&[3; 32])
}

fn ekeys(clock: &ManualClock) -> EKeyIssuer {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let client = IssuerClient {
        secret: Digest::of(SECRET.as_bytes()),
        subjects: texts(&["agent-1"]),
        audiences: texts(&[ORIGIN]),
        actions: texts(&["GET:/orders/:id", "POST:/orders/:id", "DELETE:/orders/:id", "GET:/orders/1"]),
        scopes: texts(&["orders", "read"]),
        subcaps: texts(&["lines"]),
        max_ttl_secs: 45,
        max_limit: Some(5),
    };
    EKeyIssuer::new(NAME, signer(), vec![client], clock.clone()).unwrap()
}

fn scheme(kernel: &Kernel, rules: EKeyRules) -> Box<dyn chio_http::scheme::HttpScheme> {
    let text = chio_http::jwk::jwks(&[ekeys(&ManualClock::at(NOW)).public_key()]).unwrap();
    let keys = Jwks::parse(text.as_bytes()).unwrap();
    let issuer = Issuer {
        name: NAME.into(),
        audiences: vec![ORIGIN.into()],
        algs: Alg::OF_ISSUERS.to_vec(),
        keys: Keys::fixed(keys),
    };
    Box::new(EKey::new(vec![issuer], rules, kernel.clone()))
}

fn setting() -> Setting {
    Setting { schemes: |kernel| vec![scheme(kernel, EKeyRules::default())], ..Setting::default() }
}

fn ekey_world() -> World {
    World::of(setting(), Vec::new())
}

fn wanted(limit: u64) -> Value {
    let jwk: Value = serde_json::from_str(&public_jwk(&client_key().public_key())).unwrap();
    json!({
        "sub": "agent-1", "aud": ORIGIN, "ttl": 30, "bind": "DPoP", "jwk": jwk,
        "cap": {"action": ["GET:/orders/:id", "POST:/orders/:id"], "scope": "orders", "limit": limit, "subcap": ["lines"]},
    })
}

fn issue(wanted: &Value) -> Result<Issued, IssueError> {
    ekeys(&ManualClock::at(NOW)).issue(SECRET, wanted.to_string().as_bytes(), None)
}

/// A request with the token, and a proof as `change` makes it.
fn request<'a>(
    key: &Keypair,
    issued: &'a Issued,
    method: &'a str,
    path: &str,
    change: impl FnOnce(&mut ProofClaims<'a>),
) -> Request<Body> {
    let url = format!("{ORIGIN}{}", path.split('?').next().unwrap()).leak();
    let mut claims = ProofClaims { method, url, now: NOW, nonce: Some(&issued.trace), ..ProofClaims::default() };
    change(&mut claims);
    let proof = claims.sign(key).unwrap();
    let request = bare(method, path).header("authorization", format!("EKey {}", issued.token));
    request.header("dpop", proof).body(Body::empty()).unwrap()
}

fn good(issued: &Issued) -> Request<Body> {
    request(&client_key(), issued, "GET", "/orders/1", |_| {})
}

/// Its word is ours alone, whatever comes after it.
#[tokio::test]
async fn by_a_public_route_no_ekey_goes_on_and_the_services_own_tokens_do() {
    let (mut world, issued) = (ekey_world(), issue(&wanted(2)).unwrap());
    for own in [format!("EKey {}", issued.token), format!("ekey\t{}", issued.token), "EKEY".into(), "EKey x".into()] {
        assert_eq!(world.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        assert!(!world.last().headers.contains_key("authorization"), "{own}");
    }
    for own in ["Bearer the-services-own", "Bearer a.b.c", "EKeys x"] {
        assert_eq!(world.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        assert_eq!(world.last().headers["authorization"], own);
    }
}

#[tokio::test]
async fn an_ekey_passes_and_a_replay_of_it_does_not() {
    let (mut world, issued) = (ekey_world(), issue(&wanted(5)).unwrap());
    assert_eq!((issued.expires_at, issued.trace.len(), issued.confirmation.0), (NOW + 30, 32, "jkt"));
    let first = good(&issued);
    let mut copy = good(&issued);
    copy.headers_mut().insert("dpop", first.headers()["dpop"].clone());
    assert_eq!(world.send(first).await.status, 200);
    let seen = world.last();
    let caller = seen.caller.unwrap();
    assert_eq!(caller.principal, format!("scheme:ekey:{}", thumbprint(&client_key())));
    assert_eq!(
        (caller.scheme, caller.subject.as_deref(), caller.scope.as_deref()),
        ("ekey", Some("agent-1"), Some("orders"))
    );
    assert_eq!(caller.subcap, ["lines"]);
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("dpop"));
    assert_eq!(world.send(copy).await.answer(), answer(401, "nonce_replayed", "replay_detected"));
    assert_eq!(world.seen(), 1);
}

/// What was captured before a start, and forgotten since, is told from what cannot be that old.
#[tokio::test]
async fn right_after_a_start_a_trace_of_that_kernel_is_enough() {
    let started = || World::of(Setting { started: NOW, ..setting() }, Vec::new());
    let (mut world, mut restarted) = (started(), started());
    let old = answer(401, "proof_predates_kernel", "invalid_proof");
    assert_eq!(world.send(good(&issue(&wanted(5)).unwrap())).await.answer(), old);
    let issuer = ekeys(&ManualClock::at(NOW));
    issuer.traces_of(world.kernel.clone());
    let issued = issuer.issue(SECRET, wanted(5).to_string().as_bytes(), None).unwrap();
    assert_eq!(world.send(good(&issued)).await.status, 200);
    assert_eq!(restarted.send(good(&issued)).await.answer(), old);
}

/// A route that stands beside a template was made for something of its own: an action that is the template is not for it.
#[tokio::test]
async fn an_action_does_not_pass_over_a_narrower_route() {
    let routes = || ["GET:/orders/:id", "GET:/orders/export"].map(|text| Route::parse(text).unwrap());
    let (general, narrow) = routes().into();
    let cap =
        |action: &str| Cap::from_json(&chio_core::canonical::to_json(&json!({"action": action})).unwrap()).unwrap();
    for (action, path, route, covered) in [
        ("GET:/orders/:id", "/orders/1", &general, true),
        ("GET:/orders/:id", "/orders/export", &narrow, false),
        ("GET:/orders/export", "/orders/export", &narrow, true),
        ("GET:/orders/1", "/orders/1", &general, true),
        ("GET:/orders/1", "/orders/2", &general, false),
        ("GET:/*all", "/orders/export", &narrow, true),
    ] {
        assert_eq!(cap(action).covers("GET", path, route), covered, "{action} {path}");
    }
}

#[tokio::test]
async fn a_thief_without_the_key_uses_nothing_up() {
    let (mut world, issued) = (ekey_world(), issue(&wanted(2)).unwrap());
    let thief = Keypair::from_seed(&[66; 32]);
    for _ in 0..5 {
        let stolen = request(&thief, &issued, "GET", "/orders/1", |_| {});
        assert_eq!(world.send(stolen).await.answer(), answer(401, "proof_sender_mismatch", "invalid_proof"));
    }
    let mut stripped = good(&issued);
    stripped.headers_mut().remove("dpop");
    assert_eq!(world.send(stripped).await.answer(), answer(401, "proof_missing", "invalid_proof"));
    for _ in 0..2 {
        assert_eq!(world.send(good(&issued)).await.status, 200);
    }
    // The limit is of the token, whatever its actions are.
    let post = request(&client_key(), &issued, "POST", "/orders/1", |_| {});
    assert_eq!(world.send(post).await.answer(), answer(403, "budget_exhausted", "capability_mismatch"));
    let other = issue(&wanted(1)).unwrap();
    assert_eq!(world.send(good(&other)).await.status, 200, "another token has its own");
}

#[tokio::test]
async fn an_issuer_whose_name_begins_with_another_s_uses_nothing_of_it_up() {
    let longer = format!("{NAME}a");
    let scheme = |kernel: &Kernel| -> Vec<Box<dyn chio_http::scheme::HttpScheme>> {
        let issuer = |name: &str, seed: u8| Issuer {
            name: name.into(),
            audiences: vec![ORIGIN.into()],
            algs: Alg::OF_ISSUERS.to_vec(),
            keys: {
                let text = chio_http::jwk::jwks(&[Keypair::from_seed(&[seed; 32]).public_key()]).unwrap();
                Keys::fixed(Jwks::parse(text.as_bytes()).unwrap())
            },
        };
        let issuers = vec![issuer(NAME, 3), issuer(&format!("{NAME}a"), 4)];
        vec![Box::new(EKey::new(issuers, EKeyRules::default(), kernel.clone()))]
    };
    let mut world = World::of(Setting { schemes: scheme, ..Setting::default() }, Vec::new());
    let sent = |iss: &str, seed: u8, holder: &Keypair, trace: &str| {
        let claims = json!({
            "iss": iss, "sub": "agent-1", "aud": ORIGIN, "iat": NOW, "exp": NOW + 30, "trace": trace,
            "cap": {"action": "GET:/orders/:id", "scope": "orders", "limit": 1}, "cnf": {"jkt": thumbprint(holder)},
        });
        let key = Keypair::from_seed(&[seed; 32]);
        let token = jws::sign(&key, r#""typ":"EKEY""#, claims.to_string().as_bytes()).unwrap();
        let (method, now, nonce) = ("GET", NOW, Some(trace));
        let proof = ProofClaims { method, url: ONE, now, nonce, ..ProofClaims::default() }.sign(holder).unwrap();
        let request = bare(method, "/orders/1").header("authorization", format!("EKey {token}"));
        request.header("dpop", proof).body(Body::empty()).unwrap()
    };
    let trace = "0123456789abcdef0123456789abcdef";
    let thief = Keypair::from_seed(&[66; 32]);
    assert_eq!(world.send(sent(NAME, 3, &thief, &format!("a{trace}"))).await.status, 200);
    assert_eq!(world.send(sent(&longer, 4, &client_key(), trace)).await.status, 200);
    assert_eq!(world.send(sent(&longer, 4, &client_key(), trace)).await.answer().1, "budget_exhausted");
}

#[tokio::test]
async fn an_ekey_is_for_what_it_names() {
    let mut world = ekey_world();
    let issued = issue(&wanted(5)).unwrap();
    for (method, path) in [("DELETE", "/orders/1"), ("GET", "/files/a"), ("HEAD", "/orders/1")] {
        let request = request(&client_key(), &issued, method, path, |_| {});
        let got = world.send(request).await;
        assert_eq!(got.answer(), answer(403, "tool_not_granted", "capability_mismatch"), "{method} {path}");
    }
    let one = |action: &str, scope: Option<&str>| {
        let mut wanted = wanted(5);
        wanted["cap"] = json!({"action": action, "limit": 5});
        if let Some(scope) = scope {
            wanted["cap"]["scope"] = json!(scope);
        }
        issue(&wanted).unwrap()
    };
    let exact = one("GET:/orders/1", Some("orders"));
    assert_eq!(world.send(good(&exact)).await.status, 200);
    let other = request(&client_key(), &exact, "GET", "/orders/2", |_| {});
    assert_eq!(world.send(other).await.answer().2, "capability_mismatch");
    for scope in [None, Some("read")] {
        assert_eq!(world.send(good(&one("GET:/orders/:id", scope))).await.answer().2, "capability_mismatch");
    }
}

#[tokio::test]
async fn a_proof_for_something_else() {
    let issued = issue(&wanted(5)).unwrap();
    let other = issue(&wanted(5)).unwrap();
    let get = |path: &str, change: &dyn Fn(&mut ProofClaims<'_>)| {
        request(&client_key(), &issued, "GET", path, |claims| change(claims))
    };
    let mut cases = vec![
        ("method", get("/orders/1", &|claims| claims.method = "POST"), "proof_binding_mismatch"),
        ("path", get("/orders/1", &|claims| claims.url = "https://api.example.com/orders/2"), "proof_binding_mismatch"),
        ("host", get("/orders/1", &|claims| claims.url = "https://evil.example/orders/1"), "proof_binding_mismatch"),
        ("query", get("/orders/1?a=2", &|claims| claims.query = Some("a=1")), "proof_binding_mismatch"),
        ("body", get("/orders/1", &|claims| claims.body = Some(b"other")), "proof_binding_mismatch"),
        ("token", get("/orders/1", &|claims| claims.token = Some("other")), "proof_binding_mismatch"),
        ("no trace", get("/orders/1", &|claims| claims.nonce = None), "proof_malformed"),
        ("stale", get("/orders/1", &|claims| claims.now = NOW - 61), "proof_expired"),
        ("future", get("/orders/1", &|claims| claims.now = NOW + 6), "proof_from_future"),
    ];
    // Made for another token of the same key.
    let mut swapped = good(&other);
    swapped.headers_mut().insert("dpop", good(&issued).headers()["dpop"].clone());
    cases.push(("trace", swapped, "proof_malformed"));
    let mut twice = good(&issued);
    let proof = twice.headers()["dpop"].clone();
    twice.headers_mut().append("dpop", proof);
    cases.push(("twice", twice, "proof_malformed"));
    for (name, request, code) in cases {
        let mut world = ekey_world();
        assert_eq!(world.send(request).await.answer(), answer(401, code, "invalid_proof"), "{name}");
        assert_eq!(world.seen(), 0, "{name}");
    }
    for path in ["//orders/1", "/orders/%2e%2e/orders/1", "/orders/1;a"] {
        assert_eq!(
            ekey_world().send(get(path, &|_| {})).await.answer(),
            answer(400, "malformed_call", "invalid_request")
        );
    }
    assert_eq!(ekey_world().send(get("/Orders/1", &|_| {})).await.status, 404);
    // `ath` may be there, and has to be where the configuration says so.
    let with_ath = || request(&client_key(), &issued, "GET", "/orders/1", |claims| claims.token = Some(&issued.token));
    assert_eq!(ekey_world().send(with_ath()).await.status, 200);
    let strict = || Setting {
        schemes: |kernel| vec![scheme(kernel, EKeyRules { ath: true, proof: ProofRules::default() })],
        ..Setting::default()
    };
    assert_eq!(World::of(strict(), Vec::new()).send(with_ath()).await.status, 200);
    let without = World::of(strict(), Vec::new()).send(good(&issued)).await;
    assert_eq!(without.answer(), answer(401, "proof_binding_mismatch", "invalid_proof"));
}

#[tokio::test]
async fn a_token_that_is_none() {
    let issued = issue(&wanted(5)).unwrap();
    for (now, error) in
        [(NOW + 29, None), (NOW + 30, Some("expired_token")), (NOW - 5, None), (NOW - 6, Some("invalid_token"))]
    {
        let mut world = ekey_world();
        world.clock.set(now);
        let got = world.send(request(&client_key(), &issued, "GET", "/orders/1", |claims| claims.now = now)).await;
        match error {
            None => assert_eq!(got.status, 200, "{now}"),
            Some(error) => assert_eq!(got.answer().2, error, "{now}"),
        }
    }
    let trace = "0123456789abcdef0123456789abcdef";
    let claims = || {
        json!({
            "iss": NAME, "aud": ORIGIN, "sub": "agent-1", "iat": NOW, "exp": NOW + 60, "trace": trace,
            "cap": {"action": "GET:/orders/:id", "scope": "orders"}, "cnf": {"jkt": thumbprint(&client_key())},
        })
    };
    let send = async |header: &str, claims: &Value, key: &Keypair| {
        let token = jws::sign(key, header, claims.to_string().as_bytes()).unwrap();
        let issued = Issued { token, trace: trace.into(), ..issued.clone() };
        ekey_world().send(good(&issued)).await
    };
    let kid = format!(r#""kid":"{}""#, thumbprint(&signer()));
    let header = format!(r#"{kid},"typ":"EKEY""#);
    assert_eq!(send(&header, &claims(), &signer()).await.status, 200);
    for typ in ["at+jwt", "JWT", "dpop+jwt", "ekey", ""] {
        let got = send(&format!(r#"{kid},"typ":"{typ}""#), &claims(), &signer()).await;
        assert_eq!(got.answer(), answer(401, "capability_malformed", "invalid_token"), "{typ}");
    }
    assert_eq!(send(&kid, &claims(), &signer()).await.answer().2, "invalid_token", "no typ");
    let stranger = send(&header, &claims(), &Keypair::from_seed(&[66; 32])).await;
    assert_eq!(stranger.answer(), answer(401, "capability_signature_invalid", "invalid_token"));
    let p384 = send(&header, &claims(), &Keypair::generate_for(Algorithm::P384).unwrap()).await;
    assert_eq!(p384.answer(), answer(401, "capability_malformed", "invalid_token"));
    for (member, value) in [
        ("exp", json!(NOW + 61)),
        ("iat", Value::Null),
        ("trace", json!("0123456789ABCDEF0123456789ABCDEF")),
        ("trace", json!("short")),
        ("cap", json!({"action": "GET:/orders/:id", "more": 1})),
        ("cap", json!({})),
        ("cnf", json!({})),
        ("aud", json!("https://other.example")),
        ("iss", json!("https://evil.example")),
        ("sub", json!("")),
    ] {
        let mut claims = claims();
        claims[member] = value;
        assert_eq!(send(&header, &claims, &signer()).await.answer().2, "invalid_token", "{member}");
    }
    // And an E-Key is no access token.
    let mut both = World::of(setting(), vec![Issuer { name: NAME.into(), ..issuer(&signer()) }]);
    let as_dpop = Client { key: client_key(), token: issued.token.clone() };
    assert_eq!(both.send(as_dpop.request("GET", "/orders/1")).await.answer().2, "invalid_token");
}

#[tokio::test]
async fn an_ekey_of_a_certificate_is_of_the_connection_that_has_shown_it() {
    let shown = |bytes: &[u8]| ClientCertificate { der: bytes.to_vec().into() };
    let mut wanted = wanted(3);
    wanted["bind"] = json!("mTLS");
    let own = shown(b"a certificate");
    assert_eq!(issue(&wanted).unwrap_err(), IssueError::InvalidRequest("jwk"));
    wanted.as_object_mut().unwrap().remove("jwk");
    assert_eq!(issue(&wanted).unwrap_err(), IssueError::InvalidRequest("bind"), "it is never taken from the request");
    let issuer = ekeys(&ManualClock::at(NOW));
    let issued = issuer.issue(SECRET, wanted.to_string().as_bytes(), Some(&own)).unwrap();
    assert_eq!(issued.confirmation.0, "x5t#S256");
    let with = |certificate: Option<ClientCertificate>| {
        let request = bare("GET", "/orders/1").header("authorization", format!("EKey {}", issued.token));
        let mut request = request.header("x-client-cert", "a certificate").body(Body::empty()).unwrap();
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        request
    };
    // Right after a start, too: each request has a nonce of the kernel.
    let mut world = World::of(Setting { started: NOW, ..setting() }, Vec::new());
    for wrong in [None, Some(shown(b"another"))] {
        assert_eq!(world.send(with(wrong)).await.answer(), answer(401, "proof_sender_mismatch", "invalid_proof"));
    }
    for _ in 0..3 {
        assert_eq!(world.send(with(Some(own.clone()))).await.status, 200);
    }
    assert_eq!(world.send(with(Some(own))).await.answer(), answer(403, "budget_exhausted", "capability_mismatch"));
}

#[test]
fn a_client_has_issued_what_it_may_and_nothing_more() {
    let change = |name: &str, value: Value| {
        let mut wanted = wanted(5);
        match name.split_once('.') {
            Some((_, member)) => wanted["cap"][member] = value,
            None => wanted[name] = value,
        }
        issue(&wanted).map(|_| ()).err()
    };
    use IssueError::{CapabilityMismatch, InvalidRequest};
    for (name, value, error) in [
        ("sub", json!("root"), CapabilityMismatch("sub")),
        ("aud", json!("https://other.example"), CapabilityMismatch("aud")),
        ("ttl", json!(46), CapabilityMismatch("ttl")),
        ("cap.action", json!("GET:/*all"), CapabilityMismatch("action")),
        ("cap.action", json!(["GET:/orders/:id", "PUT:/orders/:id"]), CapabilityMismatch("action")),
        ("cap.scope", json!("orders admin"), CapabilityMismatch("scope")),
        ("cap.subcap", json!(["all"]), CapabilityMismatch("subcap")),
        ("cap.limit", json!(6), CapabilityMismatch("limit")),
        ("ttl", json!(61), InvalidRequest("ttl")),
        ("ttl", json!(0), InvalidRequest("ttl")),
        ("ttl", json!(1.5), InvalidRequest("ttl")),
        ("bind", json!("none"), InvalidRequest("bind")),
        ("bind", json!("dpop"), InvalidRequest("bind")),
        ("cap.more", json!(1), InvalidRequest("cap")),
        ("more", json!(1), InvalidRequest("body")),
        ("sub", json!(1), InvalidRequest("sub")),
        ("jwk", json!({"kty": "oct", "k": "AA"}), InvalidRequest("jwk")),
        ("jwk", Value::Null, InvalidRequest("jwk")),
    ] {
        assert_eq!(change(name, value.clone()), Some(error), "{name} {value}");
    }
    assert_eq!(change("ttl", json!(45)), None);
    let mut unlimited = wanted(5);
    unlimited["cap"].as_object_mut().unwrap().remove("limit");
    assert_eq!(issue(&unlimited).unwrap_err(), CapabilityMismatch("limit"));
    let twice = wanted(5).to_string().replacen('{', r#"{"sub":"root","#, 1);
    let issuer = ekeys(&ManualClock::at(NOW));
    assert_eq!(issuer.issue(SECRET, twice.as_bytes(), None).unwrap_err(), InvalidRequest("body"));
    for secret in ["", "other", &SECRET[1..], &Digest::of(SECRET.as_bytes()).to_string()] {
        assert_eq!(issuer.issue(secret, wanted(5).to_string().as_bytes(), None), Err(IssueError::InvalidClient));
    }
}

async fn ask(issuer: &EKeyIssuer, request: Request<Body>) -> (u16, Value) {
    let (parts, body) = issuer.answer(request).await.into_parts();
    assert_eq!(parts.headers["cache-control"], "no-store");
    (parts.status.as_u16(), serde_json::from_slice(&bytes(body).await.unwrap()).unwrap())
}

#[tokio::test]
async fn the_issuer_speaks_http() {
    let issuer = ekeys(&ManualClock::at(NOW));
    let post = || {
        Request::post("/token")
            .header("authorization", format!("Bearer {SECRET}"))
            .header("content-type", "application/json")
    };
    let body = || Body::whole(wanted(5).to_string());
    let (status, answer) = ask(&issuer, post().body(body()).unwrap()).await;
    assert_eq!(
        (status, &answer["expires_at"], &answer["cnf"]["jkt"]),
        (200, &json!(NOW + 30), &json!(thumbprint(&client_key())))
    );
    assert!(answer["token"].is_string() && answer["trace"].is_string() && answer.as_object().unwrap().len() == 4);
    for (request, status, error) in [
        (Request::get("/token").body(body()), 405, "invalid_request"),
        (Request::post("/tokens").body(body()), 404, "invalid_request"),
        (Request::post("/token").header("content-type", "application/json").body(body()), 401, "invalid_client"),
        (
            Request::post("/token").header("authorization", format!("Bearer {SECRET}")).body(body()),
            415,
            "invalid_request",
        ),
        (post().header("authorization", format!("Bearer {SECRET}")).body(body()), 401, "invalid_client"),
        (post().body(Body::whole("{}")), 400, "invalid_request"),
        (post().body(Body::whole(vec![b' '; 20_000])), 400, "invalid_request"),
        (post().body(Body::whole(wanted(6).to_string())), 403, "capability_mismatch"),
    ] {
        let (got, problem) = ask(&issuer, request.unwrap()).await;
        assert_eq!((got, problem["error"].as_str()), (status, Some(error)));
        assert!(!problem.to_string().contains(SECRET));
    }
}

struct Direct {
    issuer: EKeyIssuer,
    asked: Arc<Mutex<u32>>,
}

impl Transport for Direct {
    fn ask(&self, request: String) -> BoxFuture<'_, Result<Vec<u8>, KernelError>> {
        Box::pin(async move {
            *self.asked.lock().unwrap() += 1;
            let request = Request::post("/token")
                .header("authorization", format!("Bearer {SECRET}"))
                .header("content-type", "application/json")
                .body(Body::whole(request));
            let response = self.issuer.answer(request.unwrap()).await;
            if response.status() != 200 {
                return Err(KernelError::new(response.status().to_string()));
            }
            Ok(bytes(response.into_body()).await.unwrap())
        })
    }
}

#[tokio::test]
async fn a_session_keeps_its_key_and_renews_its_token() {
    let mut world = ekey_world();
    let asked = Arc::new(Mutex::new(0));
    let transport = Direct { issuer: ekeys(&world.clock), asked: Arc::clone(&asked) };
    let cap = r#"{"action":["GET:/orders/:id","POST:/orders/:id"],"limit":3,"scope":"orders"}"#;
    let cap = Cap::from_json(&canonical::parse(cap.as_bytes(), Limits::bytes(1000)).unwrap()).unwrap();
    let session = EKeySession::new(transport, world.clock.clone(), "agent-1", ORIGIN, cap).unwrap();
    let mut principals = Vec::new();
    for (now, tokens) in [(0, 1), (1, 1), (2, 1), (3, 2), (27, 2), (28, 3), (1000, 4)] {
        world.clock.set(NOW + now);
        let headers = session.headers("POST", &format!("{ONE}?q=1"), Some(b"body")).await.unwrap();
        let mut request = bare("POST", "/orders/1?q=1").body(Body::whole("body")).unwrap();
        request.headers_mut().extend(headers);
        assert_eq!(world.send(request).await.status, 200, "{now}");
        assert_eq!(*asked.lock().unwrap(), tokens, "{now}");
        principals.push(world.last().caller.unwrap().principal);
    }
    principals.dedup();
    assert_eq!(principals.len(), 1);
    let greedy = Cap::from_json(&canonical::parse(br#"{"action":"GET:/*all"}"#, Limits::bytes(1000)).unwrap()).unwrap();
    let transport = Direct { issuer: ekeys(&world.clock), asked };
    let session = EKeySession::new(transport, world.clock.clone(), "agent-1", ORIGIN, greedy).unwrap();
    assert!(session.headers("GET", ONE, None).await.is_err());
}

#[tokio::test]
async fn an_audit_is_told_what_became_of_each() {
    let (mut world, issued) = (ekey_world(), issue(&wanted(1)).unwrap());
    let copy = good(&issued).headers()["dpop"].clone();
    let with_copy = || {
        let mut request = good(&issued);
        request.headers_mut().insert("dpop", copy.clone());
        request
    };
    world.send(with_copy()).await;
    world.send(with_copy()).await;
    world.send(good(&issued)).await;
    world.send(request(&client_key(), &issued, "DELETE", "/orders/1", |_| {})).await;
    world.send(request(&Keypair::from_seed(&[66; 32]), &issued, "GET", "/orders/1", |_| {})).await;
    let forged = Issued { token: format!("{}A", issued.token), ..issued.clone() };
    world.send(good(&forged)).await;
    world.clock.set(NOW + 30);
    world.send(good(&issued)).await;
    let (sub, trace) = (Some("agent-1".to_owned()), Some(issued.trace.clone()));
    let of = |event, at| (event, "ekey", sub.clone(), trace.clone(), at);
    let told = world.log.0.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            of("allowed", NOW),
            of("replay_blocked", NOW),
            of("limit_reached", NOW),
            of("capability_mismatch", NOW),
            of("invalid_proof", NOW),
            ("invalid_token", "ekey", None, None, NOW),
            of("expired", NOW + 30),
        ]
    );
}

#[tokio::test]
async fn an_ekey_by_an_algorithm_that_is_for_others() {
    let key = Keypair::generate_for(Algorithm::P384).unwrap();
    assert!(EKeyIssuer::new(NAME, key.clone(), Vec::new(), ManualClock::at(NOW)).is_err());
    let keys = Keys::fixed([chio_http::jwk::Jwk::of(&key.public_key()).unwrap()].into_iter().collect());
    let (name, audiences, algs) = (NAME.to_owned(), vec![ORIGIN.to_owned()], Alg::OF_ISSUERS.to_vec());
    let kernel = Kernel::builder().build().unwrap();
    let scheme = EKey::new(vec![Issuer { name, audiences, algs, keys }], EKeyRules::default(), kernel);
    let token = jws::sign(&key, r#""typ":"EKEY""#, json!({"iss": NAME}).to_string().as_bytes()).unwrap();
    let (origin, route) =
        (chio_http::origin::Origin::parse(ORIGIN).unwrap(), chio_http::route::Route::parse("GET:/").unwrap());
    let presented = chio_http::scheme::Presented {
        method: "GET",
        origin: &origin,
        target: chio_http::target::Target::parse("/").unwrap(),
        route: &route,
        tool_server: ORIGIN,
        token: &token,
        headers: &hyper::HeaderMap::new(),
        certificate: None,
        response_key: None,
    };
    let refused = chio_http::scheme::HttpScheme::open(&scheme, presented).await.err().unwrap();
    let wanted = chio_http::issuer::TokenError::Jws(chio_http::jws::JwsError::Alg);
    assert_eq!(refused.failure, chio_http::failure::Failure::Token(wanted));
}

/// What is signed would be the same for each request with the token, and an answer could be taken for another's.
#[tokio::test]
async fn an_answer_is_sealed_where_a_proof_covers_the_key_and_not_for_a_certificate_alone() {
    use chio_http::dpop::signed_digest;
    use chio_http::sealed::{ResponseSecret, open};
    let secret = ResponseSecret::from_bytes([77; 32]);
    let key = || secret.header().parse().unwrap();
    let (mut world, own) = (ekey_world(), ClientCertificate { der: b"a certificate".to_vec().into() });
    let mut for_certificate = wanted(3);
    for_certificate["bind"] = json!("mTLS");
    for_certificate.as_object_mut().unwrap().remove("jwk");
    let issuer = ekeys(&ManualClock::at(NOW));
    let issued = issuer.issue(SECRET, for_certificate.to_string().as_bytes(), Some(&own)).unwrap();
    let alone = bare("GET", "/orders/1").header("authorization", format!("EKey {}", issued.token));
    let mut alone = alone.header("response-key", secret.header()).body(Body::empty()).unwrap();
    alone.extensions_mut().insert(own);
    assert_eq!(world.send(alone).await.answer(), answer(401, "proof_binding_mismatch", "invalid_proof"));
    let issued = issue(&wanted(5)).unwrap();
    let mut uncovered = good(&issued);
    uncovered.headers_mut().insert("response-key", key());
    assert_eq!(world.send(uncovered).await.answer(), answer(401, "proof_binding_mismatch", "invalid_proof"));
    assert_eq!(world.seen(), 0);
    let mut asking = request(&client_key(), &issued, "GET", "/orders/1", |claims| {
        claims.response_key = Some(secret.header().to_owned().leak())
    });
    asking.headers_mut().insert("response-key", key());
    let proof = asking.headers()["dpop"].to_str().unwrap().to_owned();
    let got = world.send(asking).await;
    assert_eq!(&open(&secret, &got.body, signed_digest(&proof)).unwrap().body[..], b"answer");
}
