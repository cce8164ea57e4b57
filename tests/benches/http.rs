//! What a guarded request takes longer than a bare one, by each scheme, beside one verification by a key that is decoded already:
//! in one process, in turns.
//!
//! `cargo bench -p chio_tests --bench http`. What was seen: `docs/performance.md`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use chio_core::crypto::{Algorithm, Keypair, PreparedKey, SigningBackend};
use chio_core::digest::Digest;
use chio_http::access_token::AccessTokens;
use chio_http::audit::TracedAudit;
use chio_http::device::client::DeviceRequest;
use chio_http::device::record::{Device, DeviceId};
use chio_http::device::{BearerTokens, Clients, DeviceBook, DeviceClient, DeviceRules, DeviceScheme, SessionRules};
use chio_http::dpop::{ProofClaims, ProofRules};
use chio_http::ekey::{EKey, EKeyRules};
use chio_http::issuer::Issuer;
use chio_http::jwk::{Jwk, Jwks, Thumbprint, public_jwk};
use chio_http::jws::{self, Alg};
use chio_http::keys::Keys;
use chio_http::opaque::client::{self, Asked, Place, Reply, Transport};
use chio_http::opaque::rules::{DeskRules, Registration};
use chio_http::opaque::{Accounts, SessionDesk, SessionMac, Sessions, Setup, Stretch, User};
use chio_http::origin::Origin;
use chio_http::route::{Route, Routes};
use chio_http::scheme::HttpScheme;
use chio_http::sealed::ResponseSecret;
use chio_http::server_nonce::ServerNonces;
use chio_http::{Body, ClientCertificate, GuardLayer, GuardedService, HttpGuard, Rfc9449};
use chio_kernel::clock::{BoxFuture, ManualClock};
use chio_kernel::store::{MemoryRevocations, MemoryStandings, MemoryUsage};
use chio_kernel::{Kernel, KernelError};
use chio_store::{Entry, MemoryRecords, Put, Records as _, Room, Table};
use chio_tests::world::NOW;
use hyper::body::Body as _;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower_layer::Layer as _;
use tower_service::Service;

const ORIGIN: &str = "https://api.example.com";
const PATH: &str = "/orders/42";
const ISSUER: &str = "https://issuer.example";

/// In each round there is a new token, some seconds later, and so many requests with it.
const ROUNDS: u64 = 64;
const REQUESTS: usize = 32;

/// The service behind: it answers at once.
#[derive(Clone, Default)]
struct Answering(hyper::body::Bytes);

impl Service<Request<Body>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Body::whole(self.0.clone()))))
    }
}

/// What a token is bound to.
#[derive(Clone, Copy)]
enum Bound {
    Key,
    Certificate,
}

/// Which scheme.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rfc9449,
    EKey,
    Device,
}

struct Row {
    name: &'static str,
    kind: Kind,
    bound: Bound,
    algorithm: Algorithm,
}

fn issuer_key() -> Keypair {
    Keypair::from_seed(&[2; 32])
}

fn certificate() -> ClientCertificate {
    // As long as many are.
    ClientCertificate { der: vec![7; 900].into() }
}

/// What a key is enrolled as.
fn device(key: &Keypair) -> Device {
    let key = Jwk::of(&key.public_key()).expect("a key");
    let (issuer, subject) = (ISSUER.to_owned(), "agent-1".to_owned());
    let id = DeviceId::of(&issuer, &subject, key.thumbprint());
    Device { id, issuer, subject, client: None, name: None, enrolled_at: NOW, key }
}

fn devices(issuers: Vec<Issuer>, kernel: &Kernel, key: &Keypair) -> DeviceScheme {
    let (records, standings) = (Arc::new(MemoryRecords::default()), Arc::new(MemoryStandings::default()));
    let device = device(key);
    let entry = Entry { key: device.id.0, owner: device.owner(), value: device.to_bytes(), until: None };
    let put = records.put(Table::Device, entry, None, Room { table: 1, owner: 1 }, NOW);
    assert_eq!(pollster::block_on(put), Ok(Put::Kept));
    let tokens = Arc::new(BearerTokens::new(issuers, "scope"));
    let book = Arc::new(DeviceBook::new(records, standings.clone(), SessionRules::default()));
    let clients = Arc::new(Clients::new(BTreeMap::new(), standings));
    DeviceScheme::new(tokens, book, clients, DeviceRules::default(), kernel.clone())
}

fn scheme(kind: Kind, kernel: &Kernel, holder: &Keypair) -> Box<dyn HttpScheme> {
    let key = public_jwk(&issuer_key().public_key()).replacen('{', r#"{"kid":"1","#, 1);
    let keys = Jwks::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).expect("a set of keys");
    let (audiences, algs) = (vec![ORIGIN.into()], Alg::OF_ISSUERS.to_vec());
    let issuers = vec![Issuer { name: ISSUER.into(), audiences, algs, keys: Keys::fixed(keys) }];
    match kind {
        Kind::Rfc9449 => {}
        Kind::EKey => return Box::new(EKey::new(issuers, EKeyRules::default(), kernel.clone())),
        Kind::Device => return Box::new(devices(issuers, kernel, holder)),
    }
    let nonces = Arc::new(ServerNonces::with_key(kernel.clone(), false, &[9; 32]));
    Box::new(Rfc9449::new(AccessTokens::new(issuers), ProofRules::default(), nonces))
}

fn token(row: &Row, key: &Keypair, trace: &str, now: u64) -> String {
    let confirmation = match row.bound {
        Bound::Key => json!({"jkt": Jwk::of(&key.public_key()).expect("a key").thumbprint().to_string()}),
        Bound::Certificate => json!({"x5t#S256": Thumbprint(Digest::of(&certificate().der)).to_string()}),
    };
    let mut claims = json!({
        "iss": ISSUER, "aud": ORIGIN, "sub": "agent-1", "iat": now, "exp": now + 30, "cnf": confirmation, "jti": trace,
    });
    let of_kind: Value = match row.kind {
        Kind::Rfc9449 => json!({"scope": "orders read"}),
        Kind::EKey => json!({"trace": trace, "cap": {"action": ["GET:/orders/:id"], "scope": "orders"}}),
        Kind::Device => json!({"scope": "orders read", "sid": "session-1", "azp": "app"}),
    };
    let members = claims.as_object_mut().expect("an object");
    if row.kind == Kind::Device {
        members.remove("cnf");
    }
    members.extend(of_kind.as_object().expect("an object").clone());
    let typ = if row.kind == Kind::EKey { "EKEY" } else { "at+jwt" };
    jws::sign(&issuer_key(), &format!(r#""kid":"1","typ":"{typ}""#), claims.to_string().as_bytes()).expect("a token")
}

/// A request with a token, and a new proof.
fn request(row: &Row, key: &Keypair, token: &str, trace: &str, now: u64) -> Request<Body> {
    let word = match row.kind {
        Kind::Rfc9449 => "DPoP",
        Kind::EKey => "EKey",
        Kind::Device => "Bearer",
    };
    let mut request = Request::builder()
        .uri(PATH)
        .header("host", "api.example.com")
        .header("user-agent", "agent/1.0")
        .header("accept", "*/*")
        .header("authorization", format!("{word} {token}"));
    if row.kind == Kind::Device {
        let url = format!("{ORIGIN}{PATH}");
        let known = json!({
            "device_id": device(key).id.to_string(), "origin": ORIGIN,
            "headers": {"device_id": "x-device-id", "timestamp": "x-pop-timestamp", "nonce": "x-pop-nonce",
                "signature": "x-pop-signature"},
        });
        let client = DeviceClient::from_json(known.to_string().as_bytes()).expect("a device");
        let asked = DeviceRequest { method: "GET", url: &url, token, now, ..DeviceRequest::default() };
        for (name, value) in &client.headers(key, asked).expect("a proof") {
            if name != "authorization" {
                request = request.header(name, value);
            }
        }
    } else if let Bound::Key = row.bound {
        let url = format!("{ORIGIN}{PATH}");
        let (ath, nonce) = if row.kind == Kind::EKey { (None, Some(trace)) } else { (Some(token), None) };
        let claims = ProofClaims { method: "GET", url: &url, now, token: ath, nonce, ..ProofClaims::default() };
        request = request.header("dpop", claims.sign(key).expect("a proof"));
    } else {
        request = request.extension(certificate());
    }
    request.body(Body::empty()).expect("a request")
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// How many microseconds a request takes to be answered.
fn answered<S>(runtime: &Runtime, service: &mut S, request: Request<Body>) -> f64
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (took, answer) = runtime.block_on(async {
        let started = Instant::now();
        let answer = service.call(request).await;
        (micros(started), answer)
    });
    let Ok(answer) = answer;
    assert_eq!(answer.status(), 200);
    took
}

/// How many microseconds a verification takes of a message that is as long as a proof and another one each time.
fn verified(key: &Keypair, prepared: &PreparedKey, number: usize) -> f64 {
    let message = format!("{number:0471}").into_bytes();
    let signature = key.sign(&message).expect("a signature");
    let started = Instant::now();
    assert!(prepared.verify(black_box(&message), &signature));
    micros(started)
}

/// What was added, and how much that is beside a verification: each beside what was measured soon after it, for whatever else
/// the machine does then, it does to both. Where nothing is verified, that is the pace of the machine.
fn added(with: &[f64], without: &[f64], verifications: &[f64]) -> (f64, f64) {
    let turns = with.iter().zip(without).zip(verifications);
    let ratio = p50(turns.map(|((with, without), verification)| (with - without) / verification).collect());
    (p50(with.to_vec()) - p50(without.to_vec()), ratio)
}

/// The median.
fn p50(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn measure(row: &Row, runtime: &Runtime) {
    let clock = ManualClock::at(NOW - 1000);
    let kernel = Kernel::builder().clock(clock.clone()).tool_server_elsewhere(ORIGIN).build().expect("a kernel");
    let service = GuardedService {
        origins: vec![Origin::parse(ORIGIN).expect("an origin")],
        routes: Routes::new([Route::parse("GET:/orders/:id").expect("a route").scope("orders")]).expect("routes"),
        body_limit: 1 << 20,
    };
    let key = Keypair::generate_for(row.algorithm).expect("a key");
    let guard = HttpGuard::new(kernel.clone(), service, vec![scheme(row.kind, &kernel, &key)]).expect("a guard");
    let (mut guarded, mut bare) = (GuardLayer::new(guard).layer(Answering::default()), Answering::default());
    let prepared = key.public_key().prepare().expect("a key");
    let (mut with, mut without, mut verifications, mut outcomes) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let (now, trace) = (NOW + round * 10, format!("{round:032x}"));
        clock.set(now);
        let token = token(row, &key, &trace, now);
        let one = || request(row, &key, &token, &trace, now);
        // So that the token is known.
        answered(runtime, &mut guarded, one());
        let turns: Vec<_> = (0..REQUESTS).map(|_| (one(), one())).collect();
        for (number, (guarded_one, bare_one)) in turns.into_iter().enumerate() {
            with.push(answered(runtime, &mut guarded, guarded_one));
            let started = Instant::now();
            // The receipt of the outcome, which nobody waits for.
            runtime.block_on(tokio::task::yield_now());
            outcomes.push(micros(started));
            without.push(answered(runtime, &mut bare, bare_one));
            verifications.push(verified(&key, &prepared, number));
        }
    }
    let (added, ratio) = added(&with, &without, &verifications);
    let (verification, outcome) = (p50(verifications), p50(outcomes));
    println!("| {} | {added:.1} µs | {verification:.1} µs | {ratio:.2} × | ≤ 1.5 × | {outcome:.1} µs |", row.name);
}

/// What a sealed answer of 10 KB takes longer than one that is not: the proof that covers the key is verified for both.
fn sealing(runtime: &Runtime) {
    let (row, clock) = (
        Row { name: "", kind: Kind::Rfc9449, bound: Bound::Key, algorithm: Algorithm::Ed25519 },
        ManualClock::at(NOW - 1000),
    );
    let kernel = Kernel::builder().clock(clock.clone()).tool_server_elsewhere(ORIGIN).build().expect("a kernel");
    let service = GuardedService {
        origins: vec![Origin::parse(ORIGIN).expect("an origin")],
        routes: Routes::new([Route::parse("GET:/orders/:id").expect("a route")]).expect("routes"),
        body_limit: 1 << 20,
    };
    let key = Keypair::generate_for(row.algorithm).expect("a key");
    let guard = HttpGuard::new(kernel.clone(), service, vec![scheme(Kind::Rfc9449, &kernel, &key)]).expect("a guard");
    let mut guarded = GuardLayer::new(guard).layer(Answering(vec![7; 10_000].into()));
    let secret = ResponseSecret::generate().expect("a key");
    let prepared = key.public_key().prepare().expect("a key");
    let (mut with, mut without, mut verifications) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let now = NOW + round * 10;
        clock.set(now);
        let token = token(&row, &key, "", now);
        for _ in 0..REQUESTS {
            let url = format!("{ORIGIN}{PATH}");
            let (method, token_of, response_key) = ("GET", Some(&*token), Some(secret.header()));
            let claims =
                ProofClaims { method, url: &url, now, token: token_of, response_key, ..ProofClaims::default() };
            let mut asking = request(&row, &key, &token, "", now);
            asking.headers_mut().insert("dpop", claims.sign(&key).expect("a proof").parse().expect("a header"));
            asking.headers_mut().insert("response-key", secret.header().parse().expect("a header"));
            // Who reads a body gives way once, and what waits is done then: the receipt of the answer before.
            without.push(answered(runtime, &mut guarded, request(&row, &key, &token, "", now)));
            runtime.block_on(tokio::task::yield_now());
            with.push(answered(runtime, &mut guarded, asking));
            runtime.block_on(tokio::task::yield_now());
        }
        verifications.extend((0..REQUESTS).map(|number| verified(&key, &prepared, number)));
    }
    let ((added, ratio), verification) = (added(&with, &without, &verifications), p50(verifications));
    println!("| sealing 10 KB | {added:.1} µs | {verification:.1} µs | {ratio:.2} × | ≤ 150 µs | |");
}

struct Direct(SessionDesk);

impl Transport for Direct {
    fn post(&self, path: String, _: HeaderMap, body: String) -> BoxFuture<'_, Result<Reply, KernelError>> {
        Box::pin(async move {
            let request = Request::post(path).header("content-type", "application/json");
            let answer = self.0.answer(request.body(Body::whole(body)).expect("a request"), None).await;
            let (status, mut body) = (answer.status().as_u16(), answer.into_body());
            let mut bytes = Vec::new();
            while let Some(frame) =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
            {
                bytes.extend_from_slice(&frame.expect("a frame").into_data().unwrap_or_default());
            }
            Ok(Reply { status, body: bytes })
        })
    }
}

/// A session: what its guard adds to a request, in all.
fn measure_session(runtime: &Runtime) {
    let clock = ManualClock::at(NOW - 1000);
    let kernel = Kernel::builder().clock(clock.clone()).tool_server_elsewhere(ORIGIN).build().expect("a kernel");
    clock.set(NOW);
    let origin = Origin::parse(ORIGIN).expect("an origin");
    let accounts = Accounts::new(Arc::new(MemoryRecords::default()), Arc::new(MemoryRevocations::default()));
    let setup = Setup::parse(&Setup::generate()).expect("a setup");
    let sessions = Sessions::new(setup, accounts, &origin, kernel.clone(), clock.clone());
    let rules = DeskRules {
        registration: Registration::Open,
        scope: Some("orders".into()),
        session_secs: 86_400,
        ..DeskRules::default()
    };
    let desk = SessionDesk::new(sessions.clone(), rules, Arc::new(MemoryUsage::default()), TracedAudit);
    let desk = Direct(desk.expect("a desk"));
    let place = Place { origin: origin.clone(), prefix: "/session".into() };
    let (user, stretch) = (User::parse("agent-1").expect("a name"), Stretch::new(8, 1, 1).expect("parameters"));
    let session = runtime.block_on(async {
        client::register(&desk, &place, (&user, b"password"), None, &stretch).await.expect("an account");
        client::login(&desk, &place, (&user, b"password"), &stretch).await.expect("a session")
    });
    let service = GuardedService {
        origins: vec![origin],
        routes: Routes::new([Route::parse("GET:/orders/:id").expect("a route").scope("orders")]).expect("routes"),
        body_limit: 1 << 20,
    };
    let guard = HttpGuard::new(kernel, service, vec![Box::new(SessionMac::new(sessions, 5))]).expect("a guard");
    let (mut guarded, mut bare) = (GuardLayer::new(guard).layer(Answering::default()), Answering::default());
    let key = Keypair::generate_for(Algorithm::Ed25519).expect("a key");
    let prepared = key.public_key().prepare().expect("a key");
    let (mut with, mut without, mut verifications, mut outcomes) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let now = NOW + round * 10;
        clock.set(now);
        let one = || {
            let asked = Asked { method: "GET", target: PATH, body: b"", response_key: None };
            let mut request = Request::builder().uri(PATH).header("host", "api.example.com");
            let headers = session.headers(&asked, now).expect("headers");
            request.headers_mut().expect("headers").extend(headers);
            request.body(Body::empty()).expect("a request")
        };
        let turns: Vec<_> = (0..REQUESTS).map(|_| (one(), one())).collect();
        for (guarded_one, bare_one) in turns {
            with.push(answered(runtime, &mut guarded, guarded_one));
            let started = Instant::now();
            runtime.block_on(tokio::task::yield_now());
            outcomes.push(micros(started));
            without.push(answered(runtime, &mut bare, bare_one));
        }
        verifications.extend((0..REQUESTS).map(|number| verified(&key, &prepared, number)));
    }
    let (added, ratio) = added(&with, &without, &verifications);
    let (verification, outcome) = (p50(verifications), p50(outcomes));
    println!("| session MAC | {added:.1} µs | {verification:.1} µs | {ratio:.2} × | ≤ 15 µs | {outcome:.1} µs |");
}

fn main() {
    // `cargo test --all-targets` runs it to see that it runs, and no longer.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    // `cargo bench -p chio_tests --bench http -- EdDSA` measures those alone.
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("| p50 of | added by the guard | one verification | seen | aim | later: the receipt of the outcome |");
    println!("|---|---|---|---|---|---|");
    for (name, kind, bound, algorithm) in [
        ("rfc9449, ES256", Kind::Rfc9449, Bound::Key, Algorithm::P256),
        ("rfc9449, ES384", Kind::Rfc9449, Bound::Key, Algorithm::P384),
        ("rfc9449, EdDSA", Kind::Rfc9449, Bound::Key, Algorithm::Ed25519),
        ("E-Key, ES256", Kind::EKey, Bound::Key, Algorithm::P256),
        ("E-Key, EdDSA", Kind::EKey, Bound::Key, Algorithm::Ed25519),
        // Nothing is verified: beside what its token was signed with.
        ("E-Key by certificate", Kind::EKey, Bound::Certificate, Algorithm::Ed25519),
        ("device key, ES256", Kind::Device, Bound::Key, Algorithm::P256),
        ("device key, EdDSA", Kind::Device, Bound::Key, Algorithm::Ed25519),
    ] {
        if !name.contains(&filter) {
            continue;
        }
        measure(&Row { name, kind, bound, algorithm }, &runtime);
    }
    if "sealing".contains(&filter) {
        sealing(&runtime);
    }
    if "session MAC".contains(&filter) {
        measure_session(&runtime);
    }
}
