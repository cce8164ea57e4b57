//! Stores that never answer, by a clock that stands until everybody waits.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::Context;

use chio_core::crypto::Keypair;
use chio_kernel::Kernel;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{MemoryRevocations, MemoryStandings, MemoryUsage};
use chio_store::MemoryRecords;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::time::Instant;
use tower_layer::Layer as _;
use tower_service::Service;

use super::*;
use crate::body::{Body, BodyError, whole};
use crate::device::enroll::{CHALLENGE_PATH, ENROLL_PATH};
use crate::device::{
    BearerTokens, Clients, DeviceBook, DeviceRules, DeviceScheme, EnrollmentDesk, HeaderNames, SessionRules,
};
use crate::guard::{GuardedService, HttpGuard};
use crate::issuer::Issuer;
use crate::jwk::Jwk;
use crate::jws::{Alg, sign};
use crate::keys::Keys;
use crate::layer::GuardLayer;
use crate::opaque::client::{self, ClientError, Place, Reply, Stretch, Transport};
use crate::opaque::rules::{DeskRules, Registration};
use crate::opaque::{Accounts, SessionDesk, SessionMac, Sessions, Setup, User};
use crate::origin::Origin;
use crate::route::{Route, Routes};
use crate::scheme::HttpScheme;

mod cut_short;

const ORIGIN: &str = "https://api.example.com";
const NOW: u64 = 1_000_000;

struct Never;

impl Records for Never {
    fn get(&self, _: Table, _: Digest, _: u64) -> Answer<'_, Option<Entry>> {
        Box::pin(pending())
    }

    fn put<'a>(&'a self, _: Table, _: Entry, _: Option<&'a [u8]>, _: Room, _: u64) -> Answer<'a, Put> {
        Box::pin(pending())
    }

    fn take(&self, _: Table, _: Digest, _: u64) -> Answer<'_, Option<Entry>> {
        Box::pin(pending())
    }

    fn list(&self, _: Table, _: Option<Digest>, _: Option<String>, _: u64) -> Answer<'_, Page<Entry>> {
        Box::pin(pending())
    }
}

impl UsageStore for Never {
    fn spend<'a>(&'a self, _: &'a [Vec<Allowance>], _: u64) -> Answer<'a, Spending> {
        Box::pin(pending())
    }

    fn refund<'a>(&'a self, _: &'a [Digest]) -> Answer<'a, ()> {
        Box::pin(pending())
    }
}

impl RevocationStore for Never {
    fn first_revoked<'a>(&'a self, _: &'a [Digest]) -> Answer<'a, Option<usize>> {
        Box::pin(pending())
    }

    fn revoke(&self, _: Digest) -> Answer<'_, ()> {
        Box::pin(pending())
    }
}

impl StandingStore for Never {
    fn worst<'a>(&'a self, _: &'a [Digest], _: u64) -> Answer<'a, Standing> {
        Box::pin(pending())
    }

    fn worsen(&self, _: Digest, _: Standing, _: u64) -> Answer<'_, ()> {
        Box::pin(pending())
    }

    fn set(&self, _: Digest, _: Standing) -> Answer<'_, ()> {
        Box::pin(pending())
    }

    fn count_failure(&self, _: Digest, _: u64, _: u64) -> Answer<'_, u64> {
        Box::pin(pending())
    }
}

/// That of the runtime, whose clock the tests have.
struct Paused;

impl Timer for Paused {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// One that nobody should start.
struct Unwanted;

impl Timer for Unwanted {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        panic!("a timer was started")
    }
}

fn deadline() -> Deadline {
    Deadline::new(Paused, Patience::default().store)
}

/// Waits for what fails at the deadline, and not before it. What has none hangs, and is found by the second that it has.
async fn at_the_deadline<T>(asked: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.expect("it hangs");
    assert_eq!(begun.elapsed().as_millis(), 250);
    answer
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_has_failed() {
    let records = deadline().around::<dyn Records>(Arc::new(Never));
    let (table, key) = (Table::Session, Digest::of(b"k"));
    let entry = Entry { key, owner: key, value: Vec::new(), until: None };
    let room = Room { table: 1, owner: 1 };
    assert!(at_the_deadline(records.get(table, key, NOW)).await.is_err());
    assert!(at_the_deadline(records.put(table, entry, None, room, NOW)).await.is_err());
    assert!(at_the_deadline(records.take(table, key, NOW)).await.is_err());
    assert!(at_the_deadline(records.list(table, None, None, NOW)).await.is_err());
    let usage = deadline().around::<dyn UsageStore>(Arc::new(Never));
    assert!(at_the_deadline(usage.spend(&[], NOW)).await.is_err());
    assert!(at_the_deadline(usage.refund(&[])).await.is_err());
    let revocations = deadline().around::<dyn RevocationStore>(Arc::new(Never));
    assert!(at_the_deadline(revocations.first_revoked(&[])).await.is_err());
    assert!(at_the_deadline(revocations.revoke(key)).await.is_err());
    let standings = deadline().around::<dyn StandingStore>(Arc::new(Never));
    assert!(at_the_deadline(standings.worst(&[], NOW)).await.is_err());
    assert!(at_the_deadline(standings.worsen(key, Standing::Banned, NOW)).await.is_err());
    assert!(at_the_deadline(standings.set(key, Standing::Banned)).await.is_err());
    assert!(at_the_deadline(standings.count_failure(key, NOW, 0)).await.is_err());
}

#[tokio::test]
async fn what_answers_at_once_starts_no_timer() {
    let deadline = Deadline::new(Unwanted, Duration::ZERO);
    let records = deadline.around::<dyn Records>(Arc::new(MemoryRecords::default()));
    assert_eq!(records.get(Table::Session, Digest::of(b"k"), NOW).await, Ok(None));
}

/// What is guarded: it must not be asked.
#[derive(Clone)]
struct Behind;

impl Service<Request<Body>> for Behind {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("it was let through")
    }
}

fn origin() -> Origin {
    Origin::parse(ORIGIN).unwrap()
}

fn kernel() -> Kernel {
    let builder = Kernel::builder().clock(ManualClock::at(NOW)).timer(Paused).tool_server_elsewhere(ORIGIN);
    builder.build().unwrap()
}

async fn guarded(kernel: Kernel, scheme: impl HttpScheme + 'static, request: Request<Body>) -> Response<Body> {
    let routes = Routes::new([Route::parse("POST:/orders").unwrap()]).unwrap();
    let service = GuardedService { origins: vec![origin()], routes, body_limit: 1024 };
    let guard = HttpGuard::new(kernel, service, vec![Box::new(scheme)]).unwrap();
    GuardLayer::new(guard).layer(Behind).call(request).await.unwrap()
}

fn post(path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method("POST").uri(path).header("host", "api.example.com");
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

async fn told(answer: Response<Body>) -> (u16, String, bool) {
    let (status, is_to_come_again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    let body = whole(answer.into_body(), 1024).await;
    let body = body.ok().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    (status, body["code"].as_str().unwrap().to_owned(), is_to_come_again)
}

fn down() -> (u16, String, bool) {
    (503, "store_unavailable".to_owned(), true)
}

/// A body that never comes, either.
struct NoBody;

impl hyper::body::Body for NoBody {
    type Data = hyper::body::Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }
}

fn sessions(kernel: &Kernel, records: Arc<dyn Records>, revocations: Arc<dyn RevocationStore>) -> Sessions {
    let setup = Setup::parse(&Setup::generate()).unwrap();
    let accounts = Accounts::new(records, revocations);
    Sessions::within(deadline(), setup, accounts, &origin(), kernel.clone(), ManualClock::at(NOW))
}

fn desk(sessions: &Sessions, usage: Arc<dyn UsageStore>) -> SessionDesk {
    let rules = DeskRules { registration: Registration::Open, ..DeskRules::default() };
    SessionDesk::new(sessions.clone(), rules, usage, crate::audit::TracedAudit).unwrap()
}

struct Asks(SessionDesk);

impl Transport for Asks {
    fn post(&self, path: String, headers: HeaderMap, body: String) -> Answer<'_, Reply> {
        Box::pin(async move {
            let mut request = post(&path, &[], Body::whole(body));
            request.headers_mut().extend(headers);
            let answer = self.0.answer(request, None).await;
            let status = answer.status().as_u16();
            let body = whole(answer.into_body(), 1024).await.ok();
            Ok(Reply { status, body: body.unwrap_or_default().to_vec() })
        })
    }
}

/// The bodies of such requests never come: nobody without a session has them waited for.
#[tokio::test(start_paused = true)]
async fn a_request_of_a_session_is_not_held() {
    let kernel = kernel();
    let mac = "A".repeat(43);
    let headers =
        [("x-ts", "1000000"), ("x-nonce", "n"), ("x-pop", &*mac), ("authorization", &format!("Bearer {mac}"))];
    let records: Arc<dyn Records> = Arc::new(Never);
    let scheme = SessionMac::new(sessions(&kernel, records, Arc::new(MemoryRevocations::default())), 5);
    let request = post("/orders", &headers, Body::coming(NoBody));
    assert_eq!(told(at_the_deadline(guarded(kernel.clone(), scheme, request)).await).await, down());
    // Where the store answers, such a session is none: the body of a stranger is not read.
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::default());
    let scheme = SessionMac::new(sessions(&kernel, records, Arc::new(MemoryRevocations::default())), 5);
    let request = post("/orders", &headers, Body::coming(NoBody));
    let answer = tokio::time::timeout(Duration::from_secs(1), guarded(kernel, scheme, request)).await;
    assert_eq!(answer.expect("its body is waited for").status().as_u16(), 401);
}

#[tokio::test(start_paused = true)]
async fn the_desk_of_sessions_holds_nobody() {
    let (kernel, place) = (kernel(), Place { origin: origin(), prefix: "/session".into() });
    let (alice, stretch) = (User::parse("alice").unwrap(), Stretch::new(8, 1, 1).unwrap());
    let refused = ClientError::Refused { status: 503, code: "store_unavailable".to_owned() };
    let stores: [(Arc<dyn Records>, Arc<dyn UsageStore>); 2] =
        [(Arc::new(Never), Arc::new(MemoryUsage::default())), (Arc::new(MemoryRecords::default()), Arc::new(Never))];
    for (records, usage) in stores {
        let asks = Asks(desk(&sessions(&kernel, records, Arc::new(MemoryRevocations::default())), usage));
        let login = client::login(&asks, &place, (&alice, b"password"), &stretch);
        assert_eq!(at_the_deadline(login).await.unwrap_err(), refused);
    }
    // And one that ends is not taken for ended.
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::default());
    let asks = Asks(desk(&sessions(&kernel, records, Arc::new(Never)), Arc::new(MemoryUsage::default())));
    client::register(&asks, &place, (&alice, b"password"), None, &stretch).await.unwrap();
    let session = client::login(&asks, &place, (&alice, b"password"), &stretch).await.unwrap();
    assert_eq!(at_the_deadline(session.logout(&asks, NOW)).await.unwrap_err(), refused);
}

/// What reads the tokens of an issuer, and one of them.
fn issued(key: &Keypair) -> (Arc<BearerTokens>, String) {
    let keys = Keys::fixed([Jwk::of(&key.public_key()).unwrap()].into_iter().collect());
    let (name, audiences) = ("https://issuer.example".to_owned(), vec!["api".to_owned()]);
    let issuer = Issuer { name, audiences, algs: Alg::OF_ISSUERS.to_vec(), keys };
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api","sub":"alice","exp":{},"sid":"s","azp":"app"}}"#,
        NOW + 600
    );
    (Arc::new(BearerTokens::new(vec![issuer], "scope")), sign(key, "", claims.as_bytes()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn neither_the_desk_of_devices_nor_their_scheme_holds_anybody() {
    let (kernel, key) = (kernel(), Keypair::from_seed(&[1; 32]));
    let (tokens, token) = issued(&key);
    let bearer = format!("Bearer {token}");
    let memory = || Arc::new(MemoryStandings::default());
    let book = |records: Arc<dyn Records>, standings: Arc<dyn StandingStore>| {
        Arc::new(DeviceBook::within(&deadline(), records, standings, SessionRules::default()))
    };
    let clients = |standings: Arc<dyn StandingStore>| {
        Arc::new(Clients::within(&deadline(), std::collections::BTreeMap::new(), standings))
    };
    let desk = |book, clients| {
        let (tokens, names) = (Arc::clone(&tokens), HeaderNames::default());
        EnrollmentDesk::new(tokens, book, clients, names, origin(), ManualClock::at(NOW))
    };
    let signature = "A".repeat(86);
    let jwk = crate::jwk::public_jwk(&key.public_key());
    let answer = format!(r#"{{"challenge":"c","jwk":{jwk},"signature":"{signature}"}}"#);
    let authorized = [("authorization", &*bearer)];
    for desk in [
        desk(book(Arc::new(Never), memory()), clients(memory())),
        desk(book(Arc::new(MemoryRecords::default()), memory()), clients(Arc::new(Never))),
    ] {
        let request = post(CHALLENGE_PATH, &authorized, Body::whole(""));
        assert_eq!(told(at_the_deadline(desk.answer(request)).await).await, down());
    }
    let desk = desk(book(Arc::new(Never), memory()), clients(memory()));
    let request = post(ENROLL_PATH, &authorized, Body::whole(answer));
    assert_eq!(told(at_the_deadline(desk.answer(request)).await).await, down());

    let book = book(Arc::new(Never), memory());
    let scheme =
        DeviceScheme::new(Arc::clone(&tokens), book, clients(memory()), DeviceRules::default(), kernel.clone());
    let device = "A".repeat(43);
    let headers = [
        ("authorization", &*bearer),
        ("x-device-id", &*device),
        ("x-pop-timestamp", "1000000"),
        ("x-pop-nonce", "n"),
        ("x-pop-signature", &*signature),
    ];
    let request = post("/orders", &headers, Body::whole(""));
    assert_eq!(told(at_the_deadline(guarded(kernel, scheme, request)).await).await, down());
}
