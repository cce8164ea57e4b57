//! Session MACs, from the desk to the service: what passes, and a test for each attack.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use chio_core::digest::Digest;
use chio_http::guard::BODY_LIMIT;
use chio_http::opaque::client::{self, Asked, ClientError, Place, Reply, Transport};
use chio_http::opaque::rules::{DeskRules, Registration};
use chio_http::opaque::{Accounts, ClientSession, Invitation, SessionDesk, SessionMac, Sessions, Setup, Stretch, User};
use chio_http::origin::Origin;
use chio_http::{Body, GuardLayer, Guarded, GuardedService, HttpGuard};
use chio_kernel::clock::{BoxFuture, ManualClock};
use chio_kernel::store::{DpopNonceStore, MemoryRevocations, MemoryUsage, NonceStore, RevocationStore};
use chio_kernel::{Kernel, KernelError, Settings, Stores};
use chio_store::{Entry, MemoryRecords, Page, Put, Records, Room, Table};
use hyper::{HeaderMap, Request};
use serde_json::{Value, json};
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::world::*;

const PASSWORD: &[u8] = b"correct horse";
const HERE: &str = "192.0.2.1";

fn setup_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| Setup::generate().to_string())
}

pub fn stretch() -> Stretch {
    Stretch::new(8, 1, 1).unwrap()
}

pub fn user(name: &str) -> User {
    User::parse(name).unwrap()
}

pub fn place() -> Place {
    Place { origin: Origin::parse(ORIGIN).unwrap(), prefix: "/session".into() }
}

/// Records that say what was done with them.
#[derive(Default)]
pub struct Counted {
    records: MemoryRecords,
    done: Mutex<Vec<(&'static str, Table)>>,
}

impl Counted {
    fn note(&self, what: &'static str, table: Table) {
        self.done.lock().unwrap().push((what, table));
    }

    fn noted(&self) -> Vec<(&'static str, Table)> {
        std::mem::take(&mut *self.done.lock().unwrap())
    }
}

impl Records for Counted {
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        self.note("get", table);
        self.records.get(table, key, now)
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> BoxFuture<'a, Result<Put, KernelError>> {
        self.note("put", table);
        self.records.put(table, entry, replaces, room, now)
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        self.note("take", table);
        self.records.take(table, key, now)
    }

    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>> {
        self.note("list", table);
        self.records.list(table, owner, from, now)
    }
}

/// What several gateways of one service share.
pub struct Shared {
    pub clock: ManualClock,
    pub records: Arc<Counted>,
    nonces: Arc<dyn NonceStore>,
    usage: Arc<MemoryUsage>,
    revocations: Arc<MemoryRevocations>,
}

impl Shared {
    pub fn new() -> Self {
        Self {
            clock: ManualClock::at(NOW),
            records: Arc::default(),
            nonces: Arc::new(DpopNonceStore::new(1 << 16, std::time::Duration::from_secs(330))),
            usage: Arc::default(),
            revocations: Arc::default(),
        }
    }

    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.records) as _, Arc::clone(&self.revocations) as _)
    }

    pub fn gateway(&self, rules: DeskRules) -> Gateway {
        self.gateway_with(rules, setup_text())
    }

    fn gateway_with(&self, rules: DeskRules, setup: &str) -> Gateway {
        self.clock.set(NOW - 1000);
        let stores = Stores {
            nonces: Some(Arc::clone(&self.nonces)),
            usage: Arc::clone(&self.usage) as _,
            revocations: Arc::clone(&self.revocations) as _,
            ..Stores::default()
        };
        let kernel = Kernel::builder().clock(self.clock.clone()).tool_server_elsewhere(ORIGIN).stores(stores);
        let kernel = kernel.settings(Settings::default()).build().unwrap();
        self.clock.set(NOW);
        let origin = Origin::parse(ORIGIN).unwrap();
        let setup = Setup::parse(setup).unwrap();
        let sessions = Sessions::new(setup, self.accounts(), &origin, kernel.clone(), self.clock.clone());
        let log = Log::default();
        let usage = Arc::clone(&self.usage);
        let desk = SessionDesk::new(sessions.clone(), rules, usage as _, log.clone()).unwrap();
        let guarded = GuardedService { origins: vec![origin], routes: routes(), body_limit: BODY_LIMIT };
        let scheme = Box::new(SessionMac::new(sessions, 5));
        let guard = HttpGuard::with_audit(kernel, guarded, vec![scheme], log.clone()).unwrap();
        let echo = Echo::default();
        let seen = Arc::clone(&echo.seen);
        Gateway { desk, service: GuardLayer::new(guard).layer(echo), seen, log, from: HERE.parse().unwrap() }
    }
}

pub struct Gateway {
    pub desk: SessionDesk,
    service: Guarded<Echo>,
    seen: Arc<Mutex<Vec<Seen>>>,
    log: Log,
    from: IpAddr,
}

impl Gateway {
    pub async fn send(&mut self, request: Request<Body>) -> Got {
        Got::of(self.service.call(request).await.unwrap()).await
    }

    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let reply = self.posted(path, HeaderMap::new(), body.into()).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    async fn posted(&self, path: &str, headers: HeaderMap, body: String) -> Reply {
        let mut request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
        request.headers_mut().unwrap().extend(headers);
        let got = Got::of(self.desk.answer(request.body(Body::whole(body)).unwrap(), Some(self.from)).await).await;
        assert_eq!(got.header("cache-control"), "no-store");
        Reply { status: got.status, body: got.body }
    }

    async fn register(&self, name: &str, invitation: Option<&str>) -> Result<(), ClientError> {
        client::register(self, &place(), (&user(name), PASSWORD), invitation, &stretch()).await
    }

    async fn login(&self, name: &str) -> Result<ClientSession, ClientError> {
        client::login(self, &place(), (&user(name), PASSWORD), &stretch()).await
    }
}

impl Transport for Gateway {
    fn post(&self, path: String, headers: HeaderMap, body: String) -> BoxFuture<'_, Result<Reply, KernelError>> {
        Box::pin(async move { Ok(self.posted(&path, headers, body).await) })
    }
}

/// Sees a path and a body, which it may change, and says whether they go on.
type Look = Box<dyn FnMut(&str, &mut String) -> bool + Send>;

/// Stands in between, and may change what is asked.
struct Between<'a>(&'a Gateway, Mutex<Look>);

impl Transport for Between<'_> {
    fn post(&self, path: String, headers: HeaderMap, mut body: String) -> BoxFuture<'_, Result<Reply, KernelError>> {
        let passes = (self.1.lock().unwrap())(&path, &mut body);
        Box::pin(async move {
            if !passes {
                return Err(KernelError::new("lost"));
            }
            Ok(self.0.posted(&path, headers, body).await)
        })
    }
}

pub fn open() -> DeskRules {
    DeskRules { registration: Registration::Open, scope: Some("orders read".into()), ..DeskRules::default() }
}

async fn with_alice() -> (Shared, Gateway, ClientSession) {
    let shared = Shared::new();
    let gateway = shared.gateway(open());
    gateway.register("alice", None).await.unwrap();
    let session = gateway.login("alice").await.unwrap();
    (shared, gateway, session)
}

fn asked<'a>(method: &'a str, target: &'a str, body: &'a [u8]) -> Asked<'a> {
    Asked { method, target, body, response_key: None }
}

/// A request with these headers.
fn request(method: &str, target: &str, headers: &HeaderMap, body: &[u8]) -> Request<Body> {
    let mut request = bare(method, target).body(Body::whole(body.to_vec())).unwrap();
    request.headers_mut().extend(headers.clone());
    request
}

fn get(headers: &HeaderMap) -> Request<Body> {
    request("GET", "/orders/1", headers, b"")
}

fn headers(session: &ClientSession) -> HeaderMap {
    session.headers(&asked("GET", "/orders/1", b""), NOW).unwrap()
}

#[tokio::test]
async fn a_session_passes_and_a_replay_does_not() {
    let (shared, mut gateway, session) = with_alice().await;
    assert_eq!(session.expires_at, NOW + 3600);
    let first = headers(&session);
    assert_eq!(gateway.send(get(&first)).await.status, 200);
    let seen = gateway.seen.lock().unwrap().last().cloned().unwrap();
    let caller = seen.caller.unwrap();
    assert_eq!((caller.scheme, &*caller.principal), ("session", "scheme:session:alice"));
    assert_eq!((caller.subject.as_deref(), caller.scope.as_deref()), (Some("alice"), Some("orders read")));
    for name in ["authorization", "x-ts", "x-nonce", "x-pop"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    let replayed = answer(401, "nonce_replayed", "invalid_token");
    assert_eq!(gateway.send(get(&first)).await.answer(), replayed);
    // As long as it is fresh, and after.
    shared.clock.set(NOW + 5);
    assert_eq!(gateway.send(get(&first)).await.answer(), replayed);
    shared.clock.set(NOW + 6);
    assert_eq!(gateway.send(get(&first)).await.answer(), answer(401, "proof_expired", "invalid_token"));
    let body = br#"{"amount":1}"#;
    let with_body = session.headers(&asked("POST", "/orders/1?dry=1", body), NOW + 6).unwrap();
    assert_eq!(gateway.send(request("POST", "/orders/1?dry=1", &with_body, body)).await.status, 200);
    assert_eq!(gateway.seen.lock().unwrap().last().unwrap().body, body);
    assert_eq!(gateway.seen(), 2);
    let events: Vec<_> = gateway.log.0.lock().unwrap().iter().map(|told| (told.0, told.2.clone())).collect();
    let alice = || Some("alice".to_owned());
    assert_eq!(
        events[..4],
        [("registered", alice()), ("login", alice()), ("allowed", alice()), ("replay_blocked", alice())]
    );
}

#[tokio::test]
async fn what_differs_from_what_the_mac_is_of_does_not_pass() {
    let (_, mut gateway, session) = with_alice().await;
    let other = gateway.login("alice").await.unwrap();
    let good = session.headers(&asked("POST", "/orders/1?a=1", b"body"), NOW).unwrap();
    let misbound = answer(401, "proof_signature_invalid", "invalid_token");
    for (method, target, body) in [
        ("PUT", "/orders/1?a=1", &b"body"[..]),
        ("POST", "/orders/2?a=1", b"body"),
        ("POST", "/orders/1?a=2", b"body"),
        ("POST", "/orders/1?a=1&b=2", b"body"),
        ("POST", "/orders/1?", b"body"),
        ("POST", "/orders/1", b"body"),
        ("POST", "/orders/1?a=1", b"bodY"),
        ("POST", "/orders/1?a=1", b""),
    ] {
        let got = gateway.send(request(method, target, &good, body)).await;
        assert_eq!(got.answer(), misbound, "{method} {target}");
    }
    let changed = |name: &'static str, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, value.parse().unwrap());
        headers
    };
    let later = (NOW + 1).to_string();
    // A key of X25519 that somebody can have: the base point.
    let key = base64(&[&[9][..], &[0; 31]].concat());
    let others = other.headers(&asked("POST", "/orders/1?a=1", b"body"), NOW).unwrap();
    let text = |name: &str| others[name].to_str().unwrap().to_owned();
    for headers in [
        changed("x-ts", &later),
        changed("x-nonce", "another"),
        changed("x-pop", &text("x-pop")),
        changed("authorization", &text("authorization")),
        changed("response-key", &key),
    ] {
        assert_eq!(gateway.send(request("POST", "/orders/1?a=1", &headers, b"body")).await.answer(), misbound);
    }
    // A key that is covered is no hindrance; one that is taken away is.
    let covered = Asked { response_key: Some(&key), ..asked("GET", "/orders/1", b"") };
    let mut covered = session.headers(&covered, NOW).unwrap();
    assert_eq!(gateway.send(get(&covered)).await.status, 200);
    covered.remove("response-key");
    assert_eq!(gateway.send(get(&covered)).await.answer(), misbound);
    // The very request that it is of passes, with its query.
    assert_eq!(gateway.send(request("POST", "/orders/1?a=1", &good, b"body")).await.status, 200);
    assert_eq!(gateway.seen(), 2);
}

#[tokio::test]
async fn headers_that_are_missing_doubled_or_none_do_not_pass() {
    let (_, mut gateway, session) = with_alice().await;
    let good = headers(&session);
    for name in ["x-ts", "x-nonce", "x-pop", "authorization"] {
        let (mut stripped, mut doubled) = (good.clone(), good.clone());
        stripped.remove(name);
        doubled.append(name, good[name].clone());
        let missing = if name == "authorization" { "" } else { "invalid_token" };
        assert_eq!(gateway.send(get(&stripped)).await.answer(), answer(401, "proof_missing", missing), "{name}");
        let got = gateway.send(get(&doubled)).await;
        let code = if name == "authorization" { "malformed_call" } else { "proof_malformed" };
        assert_eq!(got.answer(), answer(400, code, "invalid_request"), "{name}");
    }
    let long = "n".repeat(1 << 20);
    let (edge, too_long) = ("n".repeat(128), "n".repeat(129));
    for (name, value) in [
        ("x-nonce", &*long),
        ("x-nonce", &too_long),
        ("x-nonce", "a b"),
        ("x-nonce", ""),
        ("x-ts", ""),
        ("x-ts", "+1800000000"),
        ("x-ts", "01800000000"),
        ("x-ts", "1800000000.0"),
        ("x-ts", "99999999999999999999"),
        ("x-pop", ""),
        ("x-pop", "AAAA"),
        ("x-pop", &*format!("{}=", "A".repeat(43))),
        ("response-key", "x"),
    ] {
        let mut headers = good.clone();
        headers.insert(name, value.parse().unwrap());
        let got = gateway.send(get(&headers)).await;
        assert_eq!(got.answer(), answer(400, "proof_malformed", "invalid_request"), "{name}: {:.20}", value);
    }
    let mut headers = good.clone();
    headers.insert("x-nonce", edge.parse().unwrap());
    assert_eq!(gateway.send(get(&headers)).await.answer().1, "proof_signature_invalid");
    for token in ["", "x", &"A".repeat(43), &"A".repeat(44), &"é".repeat(20)] {
        let mut headers = good.clone();
        headers.insert("authorization", hyper::header::HeaderValue::from_bytes(b"Bearer x").unwrap());
        if token.is_ascii() {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let got = gateway.send(get(&headers)).await;
        assert_eq!(got.answer(), answer(401, "capability_malformed", "invalid_token"), "{token}");
    }
    assert_eq!(gateway.send(get(&good)).await.status, 200);
    assert_eq!(gateway.seen(), 1);
}

#[tokio::test]
async fn a_request_is_of_now() {
    let (_, mut gateway, session) = with_alice().await;
    for (at, code) in [
        (NOW - 6, "proof_expired"),
        (NOW - 5, ""),
        (NOW + 5, ""),
        (NOW + 6, "proof_from_future"),
        (1, "proof_expired"),
        ((1 << 53) - 1, "proof_from_future"),
    ] {
        let got = gateway.send(get(&session.headers(&asked("GET", "/orders/1", b""), at).unwrap())).await;
        if code.is_empty() {
            assert_eq!(got.status, 200, "{at}");
        } else {
            assert_eq!(got.answer(), answer(401, code, "invalid_token"), "{at}");
        }
    }
}

#[tokio::test]
async fn a_session_is_for_its_scope_and_its_time() {
    let (shared, mut gateway, session) = with_alice().await;
    let admin = session.headers(&asked("DELETE", "/orders/1", b""), NOW).unwrap();
    let got = gateway.send(request("DELETE", "/orders/1", &admin, b"")).await;
    assert_eq!(got.answer(), answer(403, "tool_not_granted", "insufficient_scope"));
    shared.clock.set(NOW + 3599);
    let last = session.headers(&asked("GET", "/orders/1", b""), NOW + 3599).unwrap();
    assert_eq!(gateway.send(get(&last)).await.status, 200);
    shared.clock.set(NOW + 3600);
    let over = session.headers(&asked("GET", "/orders/1", b""), NOW + 3600).unwrap();
    // It is remembered, and over all the same.
    assert_eq!(gateway.send(get(&over)).await.answer(), answer(401, "capability_expired", "invalid_token"));
    assert!(session.logout(&gateway, NOW + 3600).await.is_err());
}

#[tokio::test]
async fn two_gateways_are_one() {
    let (shared, mut one, session) = with_alice().await;
    let mut two = shared.gateway(open());
    let (first, second) = (headers(&session), headers(&session));
    assert_eq!(one.send(get(&first)).await.status, 200);
    assert_eq!(two.send(get(&first)).await.answer(), answer(401, "nonce_replayed", "invalid_token"));
    assert_eq!(two.send(get(&second)).await.status, 200);
    // The second remembers the session, and what was done at the first counts there at once.
    session.logout(&one, NOW).await.unwrap();
    assert_eq!(two.send(get(&headers(&session))).await.answer(), answer(401, "capability_revoked", "invalid_token"));
    assert_eq!(one.send(get(&headers(&session))).await.answer(), answer(401, "capability_malformed", "invalid_token"));
    assert_eq!(session.logout(&one, NOW).await.unwrap_err(), refused(401, "invalid_token"));
}

fn refused(status: u16, code: &str) -> ClientError {
    ClientError::Refused { status, code: code.into() }
}

#[tokio::test]
async fn a_logout_needs_the_key_of_its_session() {
    let (_, mut gateway, session) = with_alice().await;
    let mac = |target: &str, at| session.headers(&asked("POST", target, b"{}"), at).unwrap();
    let thief = {
        let mut headers = mac("/session/logout", NOW);
        headers.insert("x-pop", "A".repeat(43).parse().unwrap());
        headers
    };
    for headers in [thief, mac("/orders/1", NOW), mac("/session/logout", NOW - 6), mac("/session/logout", NOW + 6)] {
        assert_eq!(gateway.posted("/session/logout", headers, "{}".into()).await.status, 401);
    }
    assert_eq!(gateway.posted("/session/logout", HeaderMap::new(), "{}".into()).await.status, 401);
    assert_eq!(gateway.posted("/session/logout", mac("/session/logout", NOW), r#"{"a":1}"#.into()).await.status, 400);
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
    assert_eq!(gateway.posted("/session/logout", mac("/session/logout", NOW), "{}".into()).await.status, 200);
}

/// What a client sends to finish a login.
async fn finish_of(gateway: &Gateway, name: &str) -> String {
    let kept = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&kept);
    let between = Between(
        gateway,
        Mutex::new(Box::new(move |path, body| {
            let is_finish = path.ends_with("/login/finish");
            if is_finish {
                keep.lock().unwrap().clone_from(body);
            }
            !is_finish
        })),
    );
    client::login(&between, &place(), (&user(name), PASSWORD), &stretch()).await.unwrap_err();
    let body = kept.lock().unwrap().clone();
    assert!(!body.is_empty());
    body
}

#[tokio::test]
async fn a_login_is_finished_once_and_by_who_began_it() {
    let (shared, gateway, _) = with_alice().await;
    gateway.register("bob", None).await.unwrap();
    let failed = |got: (u16, Value)| assert_eq!((got.0, &got.1["code"]), (401, &json!("login_failed")));
    let body = finish_of(&gateway, "alice").await;
    assert_eq!(gateway.post("/session/login/finish", &body).await.0, 200);
    failed(gateway.post("/session/login/finish", &body).await);
    // Raced, at two gateways.
    let other = shared.gateway(open());
    let body = finish_of(&gateway, "alice").await;
    let tries = (0..64).map(|at| {
        let (desk, body) = (if at % 2 == 0 { gateway.desk.clone() } else { other.desk.clone() }, body.clone());
        tokio::spawn(async move {
            let request = Request::post("/session/login/finish").header("content-type", "application/json");
            desk.answer(request.body(Body::whole(body)).unwrap(), None).await.status().as_u16()
        })
    });
    let mut statuses = BTreeMap::new();
    for one in tries.collect::<Vec<_>>() {
        *statuses.entry(one.await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 1), (401, 63)]));
    // Alice's answer for what bob began, and the other way round: neither counts, and neither is there any more.
    let read = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let (alice, bob) = (read(&finish_of(&gateway, "alice").await), read(&finish_of(&gateway, "bob").await));
    let crossed = json!({"login": bob["login"], "login_finalization": alice["login_finalization"]}).to_string();
    failed(gateway.post("/session/login/finish", &crossed).await);
    failed(gateway.post("/session/login/finish", &bob.to_string()).await);
    // Too late.
    shared.clock.set(NOW + 60);
    failed(gateway.post("/session/login/finish", &alice.to_string()).await);
}

#[tokio::test]
async fn nobody_is_told_who_has_an_account() {
    let (shared, gateway, _) = with_alice().await;
    let wrong = client::login(&gateway, &place(), (&user("alice"), b"wrong"), &stretch()).await.unwrap_err();
    let unknown = client::login(&gateway, &place(), (&user("nobody"), PASSWORD), &stretch()).await.unwrap_err();
    assert_eq!((&wrong, &unknown), (&ClientError::LoginFailed, &ClientError::LoginFailed));
    // A client that goes on all the same.
    let mut shapes = Vec::new();
    for name in ["alice", "nobody"] {
        shared.records.noted();
        let mut asked = json!({"user": name, "login_request": login_request()});
        let (status, started) = gateway.post("/session/login/start", &asked.to_string()).await;
        let members: Vec<_> = started.as_object().unwrap().iter().collect();
        let lengths: Vec<_> =
            members.iter().map(|(name, value)| (name.to_string(), value.as_str().unwrap().len())).collect();
        let began = shared.records.noted();
        asked = json!({"login": started["login"], "login_finalization": base64(&[7; 64])});
        let finished = gateway.post("/session/login/finish", &asked.to_string()).await;
        shapes.push((status, lengths, began, finished, shared.records.noted()));
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0].2, [("get", Table::Account), ("put", Table::Pending)]);
    assert_eq!(shapes[0].4, [("take", Table::Pending)]);
    // The same question has the same answer to it, where it depends on the user alone, as it has for an account.
    let question = json!({"user": "nobody", "login_request": login_request()}).to_string();
    let evaluated = |got: (u16, Value)| got.1["login_response"].as_str().unwrap()[..42].to_owned();
    let first = evaluated(gateway.post("/session/login/start", &question).await);
    assert_eq!(first, evaluated(gateway.post("/session/login/start", &question).await));
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    Base64UrlUnpadded::encode_string(bytes)
}

/// The first message of a login, as some client has made it.
fn login_request() -> String {
    static REQUEST: OnceLock<String> = OnceLock::new();
    let made = || {
        let kept = Arc::new(Mutex::new(String::new()));
        let (keep, shared) = (Arc::clone(&kept), Shared::new());
        let gateway = shared.gateway(open());
        let between = Between(
            &gateway,
            Mutex::new(Box::new(move |_, body| {
                keep.lock().unwrap().clone_from(body);
                false
            })),
        );
        pollster::block_on(client::login(&between, &place(), (&user("any"), PASSWORD), &stretch())).unwrap_err();
        let body: Value = serde_json::from_str(&kept.lock().unwrap()).unwrap();
        body["login_request"].as_str().unwrap().to_owned()
    };
    REQUEST.get_or_init(made).clone()
}

/// Medians of runs that alternate, so that whatever else this machine does meets both alike. The arithmetic that a missing
/// account would save is more than a third of all.
#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_known_one() {
    let shared = Shared::new();
    let rules =
        DeskRules { starts_of_peer: 1 << 30, starts_of_peer_for_user: 1 << 30, logins_of_peer: 1 << 30, ..open() };
    let gateway = shared.gateway(rules);
    gateway.register("alice", None).await.unwrap();
    let ask = |name: &str| json!({"user": name, "login_request": login_request()}).to_string();
    let (known, unknown) = (ask("alice"), ask("carol"));
    let median = || async {
        let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            for (body, times) in [(&known, &mut of_known), (&unknown, &mut of_unknown)] {
                let begun = Instant::now();
                assert_eq!(gateway.post("/session/login/start", body).await.0, 200);
                times.push(begun.elapsed().as_nanos());
            }
        }
        of_known.sort_unstable();
        of_unknown.sort_unstable();
        (of_known[100] as f64) / (of_unknown[100] as f64)
    };
    // One of five is enough: a difference in what is done would be in all of them.
    for _ in 0..5 {
        let ratio = median().await;
        if (0.9..1.1).contains(&ratio) {
            return;
        }
    }
    panic!("known and unknown users can be told apart by time");
}

#[tokio::test]
async fn stolen_records_say_nothing_without_the_setup() {
    let (shared, _, session) = with_alice().await;
    // Whoever has the records alone has another setup, and so the right password is as wrong as any.
    let thief = shared.gateway_with(open(), &Setup::generate());
    let mut of_thief = thief;
    assert_eq!(of_thief.login("alice").await.unwrap_err(), ClientError::LoginFailed);
    // Nor does a session open there: its key is sealed.
    let got = of_thief.send(get(&headers(&session))).await;
    assert_eq!(got.answer(), answer(401, "capability_malformed", "invalid_token"));
    let file: Value = serde_json::from_str(&session.to_text()).unwrap();
    for table in Table::ALL {
        for entry in shared.records.list(table, None, None, NOW).await.unwrap().items {
            let text = String::from_utf8(entry.value).unwrap();
            for secret in ["key", "session"] {
                assert!(!text.contains(file[secret].as_str().unwrap()), "{table:?}");
            }
            assert!(!text.contains("correct horse"));
        }
    }
}

#[tokio::test]
async fn a_record_that_was_changed_opens_no_session() {
    let (shared, mut gateway, session) = with_alice().await;
    let id =
        Digest::of(serde_json::from_str::<Value>(&session.to_text()).unwrap()["session"].as_str().unwrap().as_bytes());
    let entry = shared.records.get(Table::Session, id, NOW).await.unwrap().unwrap();
    let room = Room { table: 100, owner: 100 };
    let unknown = answer(401, "capability_malformed", "invalid_token");
    for (what, with) in [
        ("orders read", "orders read admin"),
        ("alice", "admin"),
        (&*(NOW + 3600).to_string(), &*(NOW + 9999).to_string()),
    ] {
        let value = String::from_utf8(entry.value.clone()).unwrap().replace(what, with).into_bytes();
        assert_ne!(value, entry.value);
        let changed = Entry { value: value.clone(), ..entry.clone() };
        let put = shared.records.put(Table::Session, changed, Some(&entry.value), room, NOW).await;
        assert_eq!(put, Ok(Put::Kept));
        assert_eq!(gateway.send(get(&headers(&session))).await.answer(), unknown, "{what}");
        shared.records.put(Table::Session, entry.clone(), Some(&value), room, NOW).await.unwrap();
    }
    // The record of one session in the place of another.
    let other = gateway.login("alice").await.unwrap();
    let other_id =
        Digest::of(serde_json::from_str::<Value>(&other.to_text()).unwrap()["session"].as_str().unwrap().as_bytes());
    shared.records.take(Table::Session, other_id, NOW).await.unwrap();
    let moved = Entry { key: other_id, ..entry };
    shared.records.put(Table::Session, moved, None, room, NOW).await.unwrap();
    assert_eq!(gateway.send(get(&headers(&other))).await.answer(), unknown);
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
}

/// Whoever replaces a password ends the sessions. One that it did not reach ends by itself.
#[tokio::test]
async fn a_session_ends_with_the_account_that_opened_it() {
    let (shared, mut one, session) = with_alice().await;
    assert_eq!(one.send(get(&headers(&session))).await.status, 200);
    let entry = shared.records.get(Table::Account, user("alice").id(), NOW).await.unwrap().unwrap();
    let value = String::from_utf8(entry.value.clone()).unwrap().replace("orders read", "orders").into_bytes();
    let (room, other) = (Room { table: 100, owner: 100 }, Entry { value, ..entry.clone() });
    let put = shared.records.put(Table::Account, other, Some(&entry.value), room, NOW).await;
    assert_eq!(put, Ok(Put::Kept));
    let unknown = answer(401, "capability_malformed", "invalid_token");
    let mut two = shared.gateway(open());
    assert_eq!(two.send(get(&headers(&session))).await.answer(), unknown);
    // What is remembered is read again after a minute.
    let later = |at| session.headers(&asked("GET", "/orders/1", b""), at).unwrap();
    shared.clock.set(NOW + 59);
    assert_eq!(one.send(get(&later(NOW + 59))).await.status, 200);
    shared.clock.set(NOW + 60);
    assert_eq!(one.send(get(&later(NOW + 60))).await.answer(), unknown);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_locks_nobody_out() {
    let shared = Shared::new();
    let rules = DeskRules { starts_of_peer: 6, starts_of_peer_for_user: 4, ..open() };
    let mut gateway = shared.gateway(rules);
    let ask = |name: &str| json!({"user": name, "login_request": login_request()}).to_string();
    for _ in 0..4 {
        assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, 200);
    }
    let (status, problem) = gateway.post("/session/login/start", &ask("alice")).await;
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_requests")));
    for _ in 0..2 {
        assert_eq!(gateway.post("/session/login/start", &ask("bob")).await.0, 200);
    }
    assert_eq!(gateway.post("/session/login/start", &ask("carol")).await.0, 429);
    let request = Request::post("/session/login/start").header("content-type", "application/json");
    let got = gateway.desk.answer(request.body(Body::whole(ask("bob"))).unwrap(), Some(gateway.from)).await;
    let wait: u64 = got.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    // The user is not who has to wait: from elsewhere she logs in.
    gateway.from = "2001:db8::1".parse().unwrap();
    for _ in 0..4 {
        assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, 200);
    }
    // An IPv6 network is one place.
    gateway.from = "2001:db8::2".parse().unwrap();
    assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, 429);
    gateway.from = HERE.parse().unwrap();
    shared.clock.set(NOW + wait);
    assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, 200);
}

#[tokio::test]
async fn logins_under_way_are_bounded() {
    let shared = Shared::new();
    let mut gateway = shared.gateway(DeskRules { logins: 5, logins_of_peer: 3, ..open() });
    let ask = |name: &str| json!({"user": name, "login_request": login_request()}).to_string();
    for expected in [200, 200, 200, 429] {
        assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, expected);
    }
    gateway.from = "192.0.2.2".parse().unwrap();
    for expected in [200, 200, 503] {
        assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, expected);
    }
    shared.clock.set(NOW + 60);
    assert_eq!(gateway.post("/session/login/start", &ask("alice")).await.0, 200);
}

#[tokio::test]
async fn who_may_register() {
    let shared = Shared::new();
    let closed = shared.gateway(DeskRules::default());
    assert_eq!(closed.register("alice", None).await.unwrap_err(), refused(403, "registration_closed"));
    let accounts = shared.accounts();
    let invite = |name: &str, replaces| Invitation {
        user: user(name),
        scope: Some("orders".into()),
        replaces,
        until: NOW + 100,
    };
    let code = accounts.invite(&invite("alice", false), NOW).await.unwrap();
    assert_eq!(closed.register("alice", Some(&code)).await.unwrap_err(), refused(403, "registration_closed"));
    let mut gateway = shared.gateway(DeskRules { registration: Registration::Invited, ..DeskRules::default() });
    let uninvited = refused(403, "not_invited");
    assert_eq!(gateway.register("alice", None).await.unwrap_err(), uninvited);
    assert_eq!(gateway.register("bob", Some(&code)).await.unwrap_err(), uninvited);
    assert_eq!(gateway.register("alice", Some("x")).await.unwrap_err(), uninvited);
    gateway.register("alice", Some(&code)).await.unwrap();
    assert_eq!(gateway.register("alice", Some(&code)).await.unwrap_err(), uninvited);
    let session = gateway.login("alice").await.unwrap();
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
    // Another invitation does not replace the account, unless it says so.
    let code = accounts.invite(&invite("alice", false), NOW).await.unwrap();
    assert_eq!(gateway.register("alice", Some(&code)).await.unwrap_err(), refused(409, "account_exists"));
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
    // From elsewhere: as many as one address may have in a minute have begun.
    gateway.from = "192.0.2.6".parse().unwrap();
    let under_way = finish_of(&gateway, "alice").await;
    let code = accounts.invite(&invite("alice", true), NOW).await.unwrap();
    shared.clock.set(NOW + 100);
    assert_eq!(gateway.register("alice", Some(&code)).await.unwrap_err(), uninvited);
    shared.clock.set(NOW);
    let replaced = Invitation { until: NOW + 200, ..invite("alice", true) };
    let code = accounts.invite(&replaced, NOW).await.unwrap();
    shared.clock.set(NOW);
    let new = (&user("alice"), &b"new password"[..]);
    gateway.from = "192.0.2.7".parse().unwrap();
    client::register(&gateway, &place(), new, Some(&code), &stretch()).await.unwrap();
    // Its sessions are over, and so is the login that was begun with the old password.
    assert_eq!(gateway.send(get(&headers(&session))).await.answer().0, 401);
    assert_eq!(gateway.post("/session/login/finish", &under_way).await.0, 401);
    assert_eq!(gateway.login("alice").await.unwrap_err(), ClientError::LoginFailed);
    let session = client::login(&gateway, &place(), new, &stretch()).await.unwrap();
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
    let mut open = shared.gateway(open());
    open.from = "192.0.2.8".parse().unwrap();
    assert_eq!(open.register("alice", None).await.unwrap_err(), refused(409, "account_exists"));
}

#[tokio::test]
async fn an_operator_ends_sessions() {
    let (shared, mut gateway, session) = with_alice().await;
    let accounts = shared.accounts();
    let listed = accounts.sessions(Some(&user("alice")), None, NOW).await.unwrap().items;
    assert_eq!((listed.len(), &*listed[0].user, listed[0].expires_at), (1, "alice", NOW + 3600));
    assert_eq!(accounts.sessions(Some(&user("bob")), None, NOW).await.unwrap().items, []);
    assert_eq!(gateway.send(get(&headers(&session))).await.status, 200);
    assert_eq!(accounts.end(listed[0].id, NOW).await, Ok(true));
    assert_eq!(
        gateway.send(get(&headers(&session))).await.answer(),
        answer(401, "capability_revoked", "invalid_token")
    );
    let sessions = [gateway.login("alice").await.unwrap(), gateway.login("alice").await.unwrap()];
    assert_eq!(accounts.end_all(&user("alice"), NOW).await, Ok(2));
    for session in &sessions {
        assert_eq!(gateway.send(get(&headers(session))).await.answer().0, 401);
    }
    assert!(shared.revocations.first_revoked(&[listed[0].id]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_user_has_only_so_many_sessions() {
    let shared = Shared::new();
    let gateway = shared.gateway(DeskRules { sessions_of_user: 2, ..open() });
    gateway.register("alice", None).await.unwrap();
    gateway.login("alice").await.unwrap();
    gateway.login("alice").await.unwrap();
    assert_eq!(gateway.login("alice").await.unwrap_err(), refused(429, "too_many_requests"));
    shared.clock.set(NOW + 3600);
    gateway.login("alice").await.unwrap();
}

#[tokio::test]
async fn the_desk_is_strict() {
    let shared = Shared::new();
    let gateway = shared.gateway(open());
    let good = json!({"user": "alice", "login_request": login_request()}).to_string();
    assert_eq!(gateway.post("/session/login/start", &good).await.0, 200);
    let long = format!("{}{good}", " ".repeat(4096));
    for body in [
        "",
        "[]",
        "{}",
        &good.replace('{', r#"{"more":1,"#),
        &good.replace('{', r#"{"user":"bob","#),
        &good.replace("alice", ""),
        &good.replace("alice", "a b"),
        &good.replace("alice", "a\\u0007"),
        &good.replace("alice", &"a".repeat(129)),
        &good.replace("alice", "\u{202e}a"),
        &good.replace("\"alice\"", "1"),
        &json!({"user": "alice", "login_request": base64(&[255; 96])}).to_string(),
        &json!({"user": "alice", "login_request": base64(&[0; 96])}).to_string(),
        &json!({"user": "alice", "login_request": base64(&[0; 95])}).to_string(),
        &long,
    ] {
        let (status, problem) = gateway.post("/session/login/start", body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")), "{body:.60}");
    }
    let send = |method: &str, path: &str, kind: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let (desk, request) = (gateway.desk.clone(), request.body(Body::whole(good.clone())).unwrap());
        async move { desk.answer(request, None).await.status().as_u16() }
    };
    assert_eq!(send("GET", "/session/login/start", "application/json").await, 405);
    assert_eq!(send("POST", "/session/login/start?a", "application/json").await, 404);
    assert_eq!(send("POST", "/session/login", "application/json").await, 404);
    assert_eq!(send("POST", "/session/login/start", "text/plain").await, 415);
    assert_eq!(send("POST", "/session/login/start", "application/json; charset=utf-8").await, 200);
    for prefix in ["", "/", "session", "/session/", "/a//b", "/../a"] {
        let rules = DeskRules { prefix: prefix.into(), ..open() };
        assert!(rules.check().is_err(), "{prefix}");
    }
}

#[test]
fn a_name_is_taken_as_it_is_written() {
    for name in ["a", "alice@example.com", "Łucja", "名前", &"a".repeat(128), "!~"] {
        assert_eq!(User::parse(name).unwrap().as_str(), name);
    }
    assert_ne!(user("Alice").id(), user("alice").id());
    for name in ["", " a", "a b", "a\n", "e\u{301}", "a\u{200b}", "\u{feff}a", &"a".repeat(129), "a\u{a0}b"] {
        assert!(User::parse(name).is_none(), "{name:?}");
    }
}

#[tokio::test]
async fn a_session_file_is_read_as_it_was_written() {
    let (_, mut gateway, session) = with_alice().await;
    let text = session.to_text();
    let again = ClientSession::parse(text.as_bytes()).unwrap();
    assert_eq!(gateway.send(get(&headers(&again))).await.status, 200);
    assert!(!format!("{session:?}").contains("key"));
    for (what, with) in [("\"key\"", "\"more\""), ("https", "nothttp"), ("{", "{\"a\":\"b\",")] {
        assert!(ClientSession::parse(text.replacen(what, with, 1).as_bytes()).is_none(), "{what}");
    }
}

#[tokio::test]
async fn by_a_public_route_no_session_goes_on_and_the_services_own_tokens_do() {
    let (_, mut gateway, session) = with_alice().await;
    let session = headers(&session)["authorization"].to_str().unwrap().to_owned();
    let reference = session.strip_prefix("Bearer ").unwrap();
    for own in [
        session.clone(),
        format!("bearer  {reference}"),
        format!("Bearer\t{reference}"),
        format!("Bearer {reference}="),
        format!("Bearer \"{reference}\""),
        format!("Bearer other, Bearer {reference}"),
        // One that is over looks like one that is not.
        format!("Bearer {}", "A".repeat(43)),
    ] {
        assert_eq!(gateway.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        let seen = gateway.seen.lock().unwrap().last().cloned().unwrap();
        assert!(!seen.headers.contains_key("authorization"), "{own}");
    }
    let (short, long) = (format!("Bearer {}", &reference[1..]), format!("Bearer a{reference}"));
    for own in [&*short, &long, "Bearer the-services-own", "Bearer a.b.c", "Basic YTpi"] {
        assert_eq!(gateway.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        assert_eq!(gateway.seen.lock().unwrap().last().unwrap().headers["authorization"], own);
    }
}
