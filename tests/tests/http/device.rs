//! Device keys, from the enrolment to the service: what passes, and a test for each attack.

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::crypto::{Algorithm, Keypair, SigningBackend};
use chio_http::device::book::NewSessions;
use chio_http::device::enroll::{CHALLENGE_PATH, ENROLL_PATH, EnrollmentText};
use chio_http::device::record::DeviceId;
use chio_http::device::status::client_principal;
use chio_http::device::token::ABILITIES;
use chio_http::device::{
    BearerTokens, ClientStatus, Clients, DeviceBook, DeviceClient, DeviceRules, DeviceScheme, DeviceThreat,
    DeviceTransport, EnrollmentDesk, HeaderNames, Profile, Profiles, Require, SessionRules,
};
use chio_http::guard::BODY_LIMIT;
use chio_http::issuer::Issuer;
use chio_http::jwk::public_jwk;
use chio_http::keys::{Keys, Refresh};
use chio_http::origin::Origin;
use chio_http::rollout::{Rollout, RolloutRule, Rollouts};
use chio_http::{Body, GuardLayer, GuardOptions, Guarded, GuardedService, HttpGuard, jws};
use chio_kernel::clock::{BoxFuture, ManualClock};
use chio_kernel::config::{Mode, Response as Reaction};
use chio_kernel::store::{DpopNonceStore, MemoryStandings, NonceStore, Standing, StandingStore, key_id};
use chio_kernel::{Kernel, KernelError, Stores};
use chio_store::{MemoryRecords, Records};
use hyper::Request;
use serde_json::{Value, json};
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::redis::{Redis, state};
use crate::world::*;

const ID: &str = "x-device-id";
const AT: &str = "x-pop-timestamp";
const NONCE: &str = "x-pop-nonce";
const SIGNATURE: &str = "x-pop-signature";

/// What several gateways share.
#[derive(Clone)]
struct Shared {
    records: Arc<dyn Records>,
    standings: Arc<dyn StandingStore>,
    nonces: Arc<dyn NonceStore>,
}

#[derive(Default)]
struct Options {
    rules: DeviceRules,
    sessions: SessionRules,
    clients: Vec<(&'static str, ClientStatus)>,
    shared: Option<Shared>,
    rollout: Option<Rollout>,
    /// Whose keys count, where it is not the issuer's own.
    keys: Option<Keys>,
}

/// A gateway, and its desk.
struct Site {
    clock: ManualClock,
    kernel: Kernel,
    service: Guarded<Echo>,
    echo: Echo,
    desk: Arc<EnrollmentDesk>,
    tokens: Arc<BearerTokens>,
    shared: Shared,
}

fn site() -> Site {
    Site::of(Options::default())
}

impl Site {
    fn of(options: Options) -> Self {
        Self::started(options, NOW - 1000)
    }

    /// Another one with the same devices, that starts at this time, and remembers no nonce.
    fn starting(other: &Self, at: u64) -> Self {
        let nonces = Arc::new(DpopNonceStore::new(1 << 16, std::time::Duration::from_secs(330)));
        let shared = Shared { nonces, ..other.shared.clone() };
        Self::started(Options { shared: Some(shared), ..Options::default() }, at)
    }

    fn started(options: Options, at: u64) -> Self {
        let shared = options.shared.unwrap_or_else(|| Shared {
            records: Arc::new(MemoryRecords::default()),
            standings: Arc::new(MemoryStandings::default()),
            nonces: Arc::new(DpopNonceStore::new(1 << 16, std::time::Duration::from_secs(330))),
        });
        let clock = ManualClock::at(at);
        let stores = Stores {
            standings: Arc::clone(&shared.standings),
            nonces: Some(Arc::clone(&shared.nonces)),
            ..Stores::default()
        };
        let builder = Kernel::builder().clock(clock.clone()).tool_server_elsewhere(ORIGIN).stores(stores);
        let kernel = builder.build().unwrap();
        clock.set(NOW);
        let issuer = issuer(&issuer_key());
        let issuer = Issuer { keys: options.keys.unwrap_or(issuer.keys), ..issuer };
        let tokens = Arc::new(BearerTokens::new(vec![issuer], ABILITIES));
        let book = DeviceBook::new(Arc::clone(&shared.records), Arc::clone(&shared.standings), options.sessions);
        let book = Arc::new(book);
        let clients = options.clients.into_iter().map(|(name, status)| (name.to_owned(), status)).collect();
        let clients = Arc::new(Clients::new(clients, Arc::clone(&shared.standings)));
        let handles = || (Arc::clone(&tokens), Arc::clone(&book), Arc::clone(&clients));
        let origin = Origin::parse(ORIGIN).unwrap();
        let (a, b, c) = handles();
        let desk = EnrollmentDesk::new(a, b, c, options.rules.names.clone(), origin.clone(), clock.clone());
        let (a, b, c) = handles();
        let scheme = DeviceScheme::new(a, b, c, options.rules, kernel.clone());
        let guarded = GuardedService { origins: vec![origin], routes: routes(), body_limit: BODY_LIMIT };
        let guard = GuardOptions { rollouts: options.rollout.map(Rollouts::new), ..GuardOptions::default() };
        let guard = HttpGuard::with(kernel.clone(), guarded, vec![Box::new(scheme)], guard).unwrap();
        let echo = Echo::default();
        let service = GuardLayer::new(guard).layer(echo.clone());
        Self { clock, kernel, service, echo, desk: Arc::new(desk), tokens, shared }
    }

    async fn send(&mut self, request: Request<Body>) -> Got {
        Got::of(self.service.call(request).await.unwrap()).await
    }

    fn seen(&self) -> usize {
        self.echo.seen.lock().unwrap().len()
    }

    async fn post(&self, path: &str, token: &str, body: &str) -> Got {
        let request = Request::builder().method("POST").uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json").body(Body::whole(body.to_owned())).unwrap();
        Got::of(self.desk.answer(request).await).await
    }

    async fn challenge(&self, token: &str) -> Value {
        let got = self.post(CHALLENGE_PATH, token, "").await;
        assert_eq!(got.status, 200, "{got:?}");
        serde_json::from_slice(&got.body).unwrap()
    }

    /// A phone that has enrolled.
    async fn phone(&self, key: Keypair, token: &str) -> Phone {
        let origin = Origin::parse(ORIGIN).unwrap();
        let client = DeviceClient::enroll(self, &key, &origin, token, Some("phone")).await.unwrap();
        Phone { id: client.id().to_owned(), key, token: token.to_owned() }
    }
}

impl DeviceTransport for Site {
    fn post<'a>(
        &'a self,
        path: &'static str,
        token: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<u8>, KernelError>> {
        Box::pin(async move {
            let got = Self::post(self, path, token, &body).await;
            if got.status < 300 { Ok(got.body) } else { Err(KernelError::new(got.problem()["error"].to_string())) }
        })
    }
}

fn bearer(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": ORIGIN, "sub": "alice", "scope": "orders read", "iat": NOW - 10, "exp": NOW + 3600,
        "sid": "session-1", "azp": "app",
    });
    change(&mut claims);
    jws::sign(&issuer_key(), r#""kid":"iss-1","typ":"at+jwt""#, claims.to_string().as_bytes()).unwrap()
}

fn alice() -> String {
    bearer(|_| {})
}

fn with(name: &'static str, value: &'static str) -> String {
    bearer(|claims| claims[name] = value.into())
}

fn p256(seed: u8) -> Keypair {
    Keypair::P256(chio_core::crypto::P256Backend::from_scalar(&[seed; 32]).unwrap())
}

fn encoded(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// A device, and all that it signs, written down here a second time: by `docs/http.md`, and not by the client of `chio_http`.
struct Phone {
    id: String,
    key: Keypair,
    token: String,
}

/// What a request is signed as; each field can be another than what is sent.
#[derive(Clone)]
struct Signed {
    method: String,
    origin: String,
    target: String,
    body: Vec<u8>,
    token: String,
    id: String,
    at: String,
    nonce: String,
    response_key: String,
}

impl Phone {
    fn of(id: &str, key: Keypair, token: &str) -> Self {
        Self { id: id.into(), key, token: token.into() }
    }

    fn signed(&self, method: &str, target: &str, nonce: &str) -> Signed {
        Signed {
            method: method.into(),
            origin: ORIGIN.into(),
            target: target.into(),
            body: Vec::new(),
            token: self.token.clone(),
            id: self.id.clone(),
            at: NOW.to_string(),
            nonce: nonce.into(),
            response_key: String::new(),
        }
    }

    fn signature(&self, signed: &Signed) -> String {
        let digest = |bytes: &[u8]| chio_core::digest::Digest::of(bytes).to_string();
        let Signed { method, origin, target, body, token, id, at, nonce, response_key } = signed;
        let (body, token) = (digest(body), digest(token.as_bytes()));
        let text = format!(
            "chio-device-request-v1\n{method}\n{origin}\n{target}\n{body}\n{token}\n{id}\n{at}\n{nonce}\n{response_key}"
        );
        encoded(self.key.sign(text.as_bytes()).unwrap().as_bytes())
    }

    /// A request with everything that it needs.
    fn request(&self, method: &str, target: &str, nonce: &str) -> Request<Body> {
        let signed = self.signed(method, target, nonce);
        self.sends(method, target, &signed)
    }

    /// A request of another shape than what was signed.
    fn sends(&self, method: &str, target: &str, signed: &Signed) -> Request<Body> {
        let request = bare(method, target).header("authorization", format!("Bearer {}", self.token));
        let request = request.header(ID, &self.id).header(AT, &signed.at).header(NONCE, &signed.nonce);
        request.header(SIGNATURE, self.signature(signed)).body(Body::whole(signed.body.clone())).unwrap()
    }
}

fn tokened(method: &str, target: &str, token: &str) -> Request<Body> {
    bare(method, target).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

/// Sends what an attacker makes of a request, and sees that it does not pass.
async fn refused(site: &mut Site, request: Request<Body>, with: (u16, &str, &str)) {
    let before = site.seen();
    let got = site.send(request).await;
    assert_eq!(got.answer(), answer(with.0, with.1, with.2), "{got:?}");
    assert_eq!(site.seen(), before);
    let told = format!("{:?} {}", got.headers, String::from_utf8_lossy(&got.body));
    for secret in ["alice", "orders", ISSUER, "eyJ", "session-1"] {
        assert!(!told.contains(secret), "a stranger is told of `{secret}`: {told}");
    }
}

const REPLAY: (u16, &str, &str) = (401, "nonce_replayed", "replay_detected");
const FORGED: (u16, &str, &str) = (401, "proof_signature_invalid", "invalid_proof");
const STALE: (u16, &str, &str) = (401, "proof_expired", "invalid_proof");
const TAKEN: (u16, &str, &str) = (401, "proof_sender_mismatch", "session_of_another_device");
const UNKNOWN: (u16, &str, &str) = (401, "proof_sender_mismatch", "invalid_device");

#[tokio::test]
async fn a_device_signs_its_requests_and_a_replay_does_not_pass() {
    for key in [p256(7), Keypair::from_seed(&[7; 32])] {
        let mut site = site();
        let phone = site.phone(key, &alice()).await;
        let got = site.send(phone.request("GET", "/orders/1?full=1", "n-1")).await;
        assert_eq!(got.status, 200, "{got:?}");
        let seen = site.echo.seen.lock().unwrap().last().cloned().unwrap();
        let caller = seen.caller.unwrap();
        assert_eq!((caller.scheme, caller.principal.as_str()), ("device", &*format!("scheme:device:{}", phone.id)));
        assert_eq!((caller.subject.as_deref(), caller.scope.as_deref()), (Some("alice"), Some("orders read")));
        for name in ["authorization", ID, AT, NONCE, SIGNATURE] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
        refused(&mut site, phone.request("GET", "/orders/1?full=1", "n-1"), REPLAY).await;
        assert_eq!(site.send(phone.request("GET", "/orders/1?full=1", "n-2")).await.status, 200);
        // Out of its window it is old, whether it was used or not.
        site.clock.set(NOW + 6);
        refused(&mut site, phone.request("GET", "/orders/1?full=1", "n-1"), STALE).await;
        refused(&mut site, phone.request("GET", "/orders/1?full=1", "n-3"), STALE).await;
    }
}

#[tokio::test]
async fn the_client_of_this_crate_signs_the_same_text() {
    let mut site = site();
    let (key, origin) = (p256(7), Origin::parse(ORIGIN).unwrap());
    let enrolled = DeviceClient::enroll(&site, &key, &origin, &alice(), None).await.unwrap();
    let read = DeviceClient::from_json(enrolled.to_json().as_bytes()).unwrap();
    assert_eq!((read.id(), read.origin()), (enrolled.id(), &origin));
    let token = alice();
    let asked = chio_http::device::client::DeviceRequest {
        method: "POST",
        url: "https://api.example.com/orders/1?a=1",
        body: b"{}",
        token: &token,
        now: NOW,
        response_key: None,
        nonce: None,
    };
    let mut request = bare("POST", "/orders/1?a=1").body(Body::whole("{}")).unwrap();
    request.headers_mut().extend(read.headers(&key, asked).unwrap());
    assert_eq!(site.send(request).await.status, 200);
    for url in ["https://evil.example/orders/1", "http://api.example.com/orders/1", "/orders/1", "no url"] {
        let asked = chio_http::device::client::DeviceRequest { url, ..asked };
        assert!(read.headers(&key, asked).is_err(), "{url}: the token does not go elsewhere");
    }
}

#[tokio::test]
async fn two_gateways_are_one() {
    let mut one = site();
    let mut other = Site::of(Options { shared: Some(one.shared.clone()), ..Options::default() });
    let phone = one.phone(p256(7), &alice()).await;
    assert_eq!(other.send(phone.request("GET", "/orders/1", "n-1")).await.status, 200);
    refused(&mut one, phone.request("GET", "/orders/1", "n-1"), REPLAY).await;
    // A challenge of one is answered at the other, once.
    let laptop = bearer(|claims| claims["sid"] = "session-2".into());
    let challenge = one.challenge(&laptop).await;
    let asked = enrollment(&challenge, &p256(8), |_| {});
    assert_eq!(other.post(ENROLL_PATH, &laptop, &asked).await.status, 201);
    assert_eq!(one.post(ENROLL_PATH, &laptop, &asked).await.problem()["error"], "invalid_challenge");
    // A ban at one is a ban at the other, at once.
    let id = DeviceId::parse(&phone.id).unwrap();
    one.shared.standings.set(key_id(&id.principal()), Standing::Banned).await.unwrap();
    refused(&mut other, phone.request("GET", "/orders/1", "n-2"), (403, "subject_banned", "device_banned")).await;
    one.shared.standings.set(key_id(&id.principal()), Standing::Good).await.unwrap();
    assert_eq!(other.send(phone.request("GET", "/orders/1", "n-3")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_redis_are_one() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut sites = Vec::new();
    for chain in ["one", "two"] {
        let state = state(&redis, chain).await;
        let (records, standings): (Arc<dyn Records>, Arc<dyn StandingStore>) = (state.clone(), state.clone());
        let shared = Shared { records, standings, nonces: state };
        sites.push(Site::of(Options { shared: Some(shared), ..Options::default() }));
    }
    let (mut two, mut one) = (sites.pop().unwrap(), sites.pop().unwrap());
    for round in 0..16_u8 {
        let token = bearer(|claims| (claims["sub"], claims["sid"]) = (format!("user-{round}").into(), round.into()));
        assert_eq!(one.post(CHALLENGE_PATH, &token, "").await.status, 401, "a `sid` is a text");
        let token = bearer(|claims| {
            (claims["sub"], claims["sid"]) = (format!("user-{round}").into(), format!("{round}").into());
        });
        // Two keys, at two gateways, at once.
        let (first, second) = (one.challenge(&token).await, two.challenge(&token).await);
        let (first, second) = (enrollment(&first, &p256(7), |_| {}), enrollment(&second, &p256(8), |_| {}));
        let (first, second) =
            tokio::join!(two.post(ENROLL_PATH, &token, &first), one.post(ENROLL_PATH, &token, &second));
        let (winner, key) = match (first.status, second.status) {
            (201, 409) => (first, p256(7)),
            (409, 201) => (second, p256(8)),
            other => panic!("{other:?}"),
        };
        let id = serde_json::from_slice::<Value>(&winner.body).unwrap()["device_id"].as_str().unwrap().to_owned();
        let phone = Phone::of(&id, key, &token);
        // One request, at both, at once.
        let request = || phone.request("GET", "/orders/1", "n");
        let (a, b) = tokio::join!(one.send(request()), two.send(request()));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "round {round}");
        // A ban at one is one at the other.
        let principal = key_id(&DeviceId::parse(&id).unwrap().principal());
        one.shared.standings.set(principal, Standing::Banned).await.unwrap();
        let got = two.send(phone.request("GET", "/orders/1", "m")).await;
        assert_eq!(got.answer(), answer(403, "subject_banned", "device_banned"));
    }
    assert_eq!(one.seen() + two.seen(), 16);
}

#[tokio::test]
async fn a_stolen_token_without_its_device() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    // Of another subject, enrolled in a session of its own.
    let mallory = bearer(|claims| (claims["sub"], claims["sid"]) = ("mallory".into(), "session-m".into()));
    let thief = site.phone(p256(66), &mallory).await;
    refused(&mut site, Phone::of(&thief.id, p256(66), &phone.token).request("GET", "/orders/1", "a"), UNKNOWN).await;
    refused(&mut site, Phone::of(&phone.id, p256(66), &phone.token).request("GET", "/orders/1", "b"), FORGED).await;
    for id in ["", "x", &encoded(&[0; 32]), &format!("{}=", phone.id), &phone.id.to_uppercase()] {
        refused(&mut site, Phone::of(id, p256(7), &phone.token).request("GET", "/orders/1", "c"), UNKNOWN).await;
    }
    // A second device of the same subject, in a session that belongs to the first.
    let laptop = bearer(|claims| claims["sid"] = "session-2".into());
    let second = site.phone(p256(8), &laptop).await;
    refused(&mut site, Phone::of(&second.id, p256(8), &phone.token).request("GET", "/orders/1", "d"), TAKEN).await;
    refused(&mut site, Phone::of(&phone.id, p256(7), &laptop).request("GET", "/orders/1", "e"), TAKEN).await;
    // Nothing at all.
    let required = (401, "proof_missing", "proof_required");
    refused(&mut site, tokened("GET", "/orders/1", &phone.token), required).await;
    assert_eq!(site.send(phone.request("GET", "/orders/1", "f")).await.status, 200);
}

#[tokio::test]
async fn a_thief_enrols_no_key_once_the_owner_has() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let challenge = site.challenge(&alice()).await;
    let got = site.post(ENROLL_PATH, &alice(), &enrollment(&challenge, &p256(66), |_| {})).await;
    assert_eq!((got.status, got.problem()["error"].as_str()), (409, Some("session_of_another_device")));
    // And nothing is left of it that could be used in the next session.
    let next = bearer(|claims| claims["sid"] = "session-2".into());
    let jwk = chio_http::jwk::Jwk::of(&p256(66).public_key()).unwrap();
    let id = DeviceId::of(ISSUER, "alice", jwk.thumbprint()).to_string();
    refused(&mut site, Phone::of(&id, p256(66), &next).request("GET", "/orders/1", "a"), UNKNOWN).await;
    // The owner's device is the next session's with its first request, and then the thief is too late again.
    assert_eq!(site.send(Phone::of(&phone.id, p256(7), &next).request("GET", "/orders/1", "b")).await.status, 200);
    let challenge = site.challenge(&next).await;
    assert_eq!(site.post(ENROLL_PATH, &next, &enrollment(&challenge, &p256(66), |_| {})).await.status, 409);
    // Another token of the same session changes nothing.
    let refreshed = bearer(|claims| claims["jti"] = "2".into());
    let challenge = site.challenge(&refreshed).await;
    assert_eq!(site.post(ENROLL_PATH, &refreshed, &enrollment(&challenge, &p256(66), |_| {})).await.status, 409);
    assert_eq!(site.send(Phone::of(&phone.id, p256(7), &refreshed).request("GET", "/orders/1", "c")).await.status, 200);
}

#[tokio::test]
async fn a_session_keeps_its_device_for_longer_than_its_token() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let days = |days: u64| NOW + days * 86_400;
    let later = |at: u64| bearer(|claims| (claims["iat"], claims["exp"]) = ((at - 1).into(), (at + 600).into()));
    let used = |at: u64, nonce: &str| {
        let phone = Phone::of(&phone.id, p256(7), &later(at));
        let signed = Signed { at: at.to_string(), ..phone.signed("GET", "/orders/1", nonce) };
        phone.sends("GET", "/orders/1", &signed)
    };
    for day in [20, 40, 60, 80] {
        site.clock.set(days(day));
        // The thief comes first: were the session forgotten, it would be the thief's.
        let token = later(days(day));
        let challenge = site.challenge(&token).await;
        let got = site.post(ENROLL_PATH, &token, &enrollment(&challenge, &p256(66), |_| {})).await;
        assert_eq!(got.status, 409, "day {day}");
        assert_eq!(site.send(used(days(day), "n")).await.status, 200, "day {day}");
    }
}

#[tokio::test]
async fn sessions_that_have_to_be_enrolled() {
    let sessions = SessionRules { new_sessions: NewSessions::Enroll, ..SessionRules::default() };
    let mut site = Site::of(Options { sessions, ..Options::default() });
    let phone = site.phone(p256(7), &alice()).await;
    assert_eq!(site.send(phone.request("GET", "/orders/1", "a")).await.status, 200);
    let next = bearer(|claims| claims["sid"] = "session-2".into());
    let again = Phone::of(&phone.id, p256(7), &next);
    let required = (401, "proof_sender_mismatch", "enrollment_required");
    refused(&mut site, again.request("GET", "/orders/1", "b"), required).await;
    let challenge = site.challenge(&next).await;
    let got = site.post(ENROLL_PATH, &next, &enrollment(&challenge, &p256(7), |_| {})).await;
    assert_eq!(got.status, 200, "it is the device that it was");
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap()["device_id"], phone.id);
    assert_eq!(site.send(again.request("GET", "/orders/1", "c")).await.status, 200);
}

#[tokio::test]
async fn a_request_that_is_another_than_was_signed() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let signed = phone.signed("POST", "/orders/1?a=1", "n");
    for (method, target) in [
        ("GET", "/orders/1?a=1"),
        ("POST", "/orders/2?a=1"),
        ("POST", "/orders/1?a=2"),
        ("POST", "/orders/1"),
        ("POST", "/orders/1?"),
        ("POST", "/orders/1?a=1&a=1"),
        ("PUT", "/orders/1?a=1"),
    ] {
        refused(&mut site, phone.sends(method, target, &signed), FORGED).await;
    }
    let mut body = phone.sends("POST", "/orders/1?a=1", &signed);
    *body.body_mut() = Body::whole("{}");
    refused(&mut site, body, FORGED).await;
    let other_token = bearer(|claims| claims["jti"] = "2".into());
    let change: [fn(&mut Signed); 7] = [
        |signed| signed.origin = "https://evil.example".into(),
        |signed| signed.body = b"x".to_vec(),
        |signed| signed.token = "x".into(),
        |signed| signed.id = encoded(&[1; 32]),
        |signed| signed.response_key = encoded(&[1; 32]),
        |signed| signed.method = "post".into(),
        |signed| signed.target = "/orders/1?a=1#".into(),
    ];
    for change in change {
        let mut other = signed.clone();
        change(&mut other);
        let mut request = phone.sends("POST", "/orders/1?a=1", &other);
        *request.body_mut() = Body::empty();
        refused(&mut site, request, FORGED).await;
    }
    // Another token of the same session, with the proof that was made for this one.
    let mut swapped = phone.sends("POST", "/orders/1?a=1", &signed);
    swapped.headers_mut().insert("authorization", format!("Bearer {other_token}").parse().unwrap());
    refused(&mut site, swapped, FORGED).await;
    for (name, value) in [(AT, (NOW + 1).to_string()), (NONCE, "m".into())] {
        let mut request = phone.sends("POST", "/orders/1?a=1", &signed);
        request.headers_mut().insert(name, value.parse().unwrap());
        refused(&mut site, request, FORGED).await;
    }
    assert_eq!(site.send(phone.sends("POST", "/orders/1?a=1", &signed)).await.status, 200);
    // A body is covered wherever there is one.
    let with_body = Signed { body: b"{\"a\":1}".to_vec(), ..phone.signed("POST", "/orders/1", "b") };
    let mut other = phone.sends("POST", "/orders/1", &with_body);
    *other.body_mut() = Body::whole("{\"a\":2}");
    refused(&mut site, other, FORGED).await;
    assert_eq!(site.send(phone.sends("POST", "/orders/1", &with_body)).await.status, 200);
}

#[tokio::test]
async fn a_request_of_another_time() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let at = |at: u64| {
        let signed = Signed { at: at.to_string(), ..phone.signed("GET", "/orders/1", &format!("n-{at}")) };
        phone.sends("GET", "/orders/1", &signed)
    };
    for (time, with) in [
        (NOW - 6, STALE),
        (NOW - 3600, STALE),
        (NOW + 6, (401, "proof_from_future", "invalid_proof")),
        (NOW + 3600, (401, "proof_from_future", "invalid_proof")),
    ] {
        refused(&mut site, at(time), with).await;
    }
    for time in [NOW - 5, NOW + 5] {
        assert_eq!(site.send(at(time)).await.status, 200, "{time}");
    }
    for text in ["", "x", "1.8e9", "-1", "0", "01800000000", "18000000000000000000000"] {
        let signed = Signed { at: text.into(), ..phone.signed("GET", "/orders/1", "x") };
        refused(&mut site, phone.sends("GET", "/orders/1", &signed), (401, "proof_malformed", "invalid_proof")).await;
    }
}

#[tokio::test]
async fn headers_that_are_stripped_doubled_or_huge() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let malformed = (401, "proof_malformed", "invalid_proof");
    for name in [ID, AT, NONCE, SIGNATURE] {
        let mut request = phone.request("GET", "/orders/1", "n");
        request.headers_mut().remove(name);
        refused(&mut site, request, malformed).await;
        let mut request = phone.request("GET", "/orders/1", "n");
        let value = request.headers()[name].clone();
        request.headers_mut().append(name, value);
        refused(&mut site, request, (400, "proof_malformed", "invalid_request")).await;
    }
    let mut request = phone.request("GET", "/orders/1", "n");
    request.headers_mut().append("authorization", format!("Bearer {}", phone.token).parse().unwrap());
    refused(&mut site, request, (400, "malformed_call", "invalid_request")).await;
    let long = "n".repeat(1 << 20);
    for nonce in [long.as_str(), &"n".repeat(129), "", "a b", "a\tb"] {
        refused(&mut site, phone.request("GET", "/orders/1", nonce), malformed).await;
    }
    for signature in ["", "=", "!", &"A".repeat(1 << 20), &encoded(&[0; 64]), &encoded(&[0x30; 70])] {
        let mut request = phone.request("GET", "/orders/1", "n");
        request.headers_mut().insert(SIGNATURE, signature.parse().unwrap());
        let got = site.send(request).await;
        assert_eq!(got.status, 401, "{got:?}");
    }
    assert_eq!(site.seen(), 0);
    assert_eq!(site.send(phone.request("GET", "/orders/1", &"n".repeat(128))).await.status, 200);
}

/// What is sent to be enrolled, and what else is in it.
fn enrollment(challenge: &Value, key: &Keypair, change: impl FnOnce(&mut Value)) -> String {
    let jwk: Value = serde_json::from_str(&public_jwk(&key.public_key())).unwrap();
    let text = |name: &str| challenge[name].as_str().unwrap();
    let thumbprint = thumbprint(key);
    let lines = [
        "chio-device-enrollment-v1",
        text("origin"),
        text("iss"),
        text("sub"),
        text("session"),
        text("challenge"),
        &thumbprint,
    ];
    let signature = encoded(key.sign(lines.join("\n").as_bytes()).unwrap().as_bytes());
    let mut asked = json!({"challenge": text("challenge"), "jwk": jwk, "signature": signature});
    change(&mut asked);
    asked.to_string()
}

#[tokio::test]
async fn an_enrolment_that_is_replayed_late_or_of_another() {
    let site = site();
    let error = async |site: &Site, token: &str, asked: &str| {
        let got = site.post(ENROLL_PATH, token, asked).await;
        assert!(got.status >= 400, "{got:?}");
        got.problem()["error"].as_str().unwrap().to_owned()
    };
    let challenge = site.challenge(&alice()).await;
    let asked = enrollment(&challenge, &p256(7), |_| {});
    assert_eq!(site.post(ENROLL_PATH, &alice(), &asked).await.status, 201);
    assert_eq!(error(&site, &alice(), &asked).await, "invalid_challenge", "it was answered");
    // Signed for another subject, session or origin, or over another challenge.
    for (name, value) in [("sub", "bob"), ("session", "session-2"), ("origin", "https://evil.example"), ("iss", "x")] {
        let mut challenge = site.challenge(&alice()).await;
        challenge[name] = value.into();
        let asked = enrollment(&challenge, &p256(8), |_| {});
        assert_eq!(error(&site, &alice(), &asked).await, "invalid_signature", "{name}");
        assert_eq!(error(&site, &alice(), &asked).await, "invalid_challenge", "{name}: it was answered");
    }
    // A challenge of somebody else, or of another session.
    for token in [with("sub", "bob"), with("sid", "session-2")] {
        let mut challenge = site.challenge(&alice()).await;
        let own = site.challenge(&token).await;
        for name in ["sub", "session"] {
            challenge[name] = own[name].clone();
        }
        assert_eq!(error(&site, &token, &enrollment(&challenge, &p256(8), |_| {})).await, "invalid_challenge");
    }
    // The key of somebody else: the signature is not its.
    let challenge = site.challenge(&with("sid", "session-3")).await;
    let other: Value = serde_json::from_str(&public_jwk(&p256(7).public_key())).unwrap();
    let asked = enrollment(&challenge, &p256(66), |asked| asked["jwk"] = other);
    assert_eq!(error(&site, &with("sid", "session-3"), &asked).await, "invalid_signature");
    // Too late.
    let challenge = site.challenge(&with("sid", "session-4")).await;
    site.clock.set(NOW + 60);
    let asked = enrollment(&challenge, &p256(8), |_| {});
    assert_eq!(error(&site, &with("sid", "session-4"), &asked).await, "invalid_challenge");
    // The token is looked at here as everywhere.
    for token in ["", "x", "a.b.c", &with("aud", "other"), &bearer(|claims| claims["exp"] = NOW.into())] {
        for path in [CHALLENGE_PATH, ENROLL_PATH] {
            let got = site.post(path, token, "{}").await;
            assert_eq!(got.status, 401, "{token} {got:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_none_for_a_device() {
    let site = site();
    let p384 = Keypair::generate_for(Algorithm::P384).unwrap();
    let jwk = |key: &Keypair| serde_json::from_str::<Value>(&public_jwk(&key.public_key())).unwrap();
    let mut private = jwk(&p256(7));
    private["d"] = encoded(&[7; 32]).into();
    let mut off_curve = jwk(&p256(7));
    off_curve["y"] = off_curve["x"].clone();
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[0; 32])});
    let mut encrypting = jwk(&p256(7));
    encrypting["use"] = "enc".into();
    let rsa = json!({"kty": "RSA", "n": encoded(&[0xff; 256]), "e": "AQAB"});
    let secret = json!({"kty": "oct", "k": "AAAA"});
    for (why, key) in [
        ("private", private),
        ("P-384", jwk(&p384)),
        ("off the curve", off_curve),
        ("weak", weak),
        ("for encryption", encrypting),
        ("RSA", rsa),
        ("symmetric", secret),
        ("a text", json!("key")),
        ("X25519", json!({"kty": "OKP", "crv": "X25519", "x": encoded(&[9; 32])})),
    ] {
        let challenge = site.challenge(&alice()).await;
        let got = site.post(ENROLL_PATH, &alice(), &enrollment(&challenge, &p256(7), |asked| asked["jwk"] = key)).await;
        assert_eq!((got.status, got.problem()["error"].as_str()), (400, Some("invalid_key")), "{why}");
        site.clock.set(NOW);
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"challenge":"a","challenge":"a"}"#,
        &enrollment(&json!({"origin":"o","iss":"i","sub":"s","session":"s","challenge":"c"}), &p256(7), |asked| {
            asked["more"] = 1.into();
        }),
        &"x".repeat(9000),
    ] {
        let got = site.post(ENROLL_PATH, &alice(), body).await;
        assert_eq!((got.status, got.problem()["error"].as_str()), (400, Some("invalid_request")), "{body:.40}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_that_is_raced_is_won_once() {
    for round in 0..8_u8 {
        let site = site();
        let mut others = Vec::new();
        for seed in 1..=8_u8 {
            let challenge = site.challenge(&alice()).await;
            let asked = enrollment(&challenge, &p256(seed), |_| {});
            let desk = Arc::clone(&site.desk);
            others.push(tokio::spawn(async move {
                let request = Request::builder().method("POST").uri(ENROLL_PATH);
                let request = request.header("authorization", format!("Bearer {}", alice()));
                let request = request.header("content-type", "application/json").body(Body::whole(asked)).unwrap();
                desk.answer(request).await.status().as_u16()
            }));
        }
        let mut statuses = Vec::new();
        for other in others {
            statuses.push(other.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409], "round {round}");
    }
}

#[tokio::test]
async fn nobody_takes_anothers_id_and_a_key_of_two_subjects_is_two_devices() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let bob = bearer(|claims| (claims["sub"], claims["sid"]) = ("bob".into(), "session-b".into()));
    let bobs = site.phone(p256(7), &bob).await;
    assert_ne!(phone.id, bobs.id);
    refused(&mut site, Phone::of(&bobs.id, p256(7), &phone.token).request("GET", "/orders/1", "a"), UNKNOWN).await;
    let id = DeviceId::parse(&bobs.id).unwrap();
    site.shared.standings.set(key_id(&id.principal()), Standing::Banned).await.unwrap();
    assert_eq!(site.send(phone.request("GET", "/orders/1", "b")).await.status, 200, "the one is not the other");
}

#[tokio::test]
async fn a_subject_has_so_many_devices_and_one_more_leaves_nothing_behind() {
    let sessions = SessionRules { max_devices: 2, ..SessionRules::default() };
    let site = Site::of(Options { sessions, ..Options::default() });
    let session = |number: u8| bearer(|claims| claims["sid"] = format!("session-{number}").into());
    for number in 1..=2 {
        site.phone(p256(number), &session(number)).await;
    }
    let challenge = site.challenge(&session(3)).await;
    let got = site.post(ENROLL_PATH, &session(3), &enrollment(&challenge, &p256(3), |_| {})).await;
    assert_eq!((got.status, got.problem()["error"].as_str()), (409, Some("too_many_devices")));
    // The session is still nobody's, and one of the two can have it.
    let challenge = site.challenge(&session(3)).await;
    assert_eq!(site.post(ENROLL_PATH, &session(3), &enrollment(&challenge, &p256(1), |_| {})).await.status, 200);
    // Challenges are bounded, too.
    let mut last = 0;
    for _ in 0..20 {
        last = site.post(CHALLENGE_PATH, &alice(), "").await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn a_captured_request_gets_its_victim_banned_only_where_that_is_configured() {
    let mut default = site();
    let phone = default.phone(p256(7), &alice()).await;
    assert_eq!(default.send(phone.request("GET", "/orders/1", "n")).await.status, 200);
    for _ in 0..10 {
        refused(&mut default, phone.request("GET", "/orders/1", "n"), REPLAY).await;
        refused(&mut default, Phone::of(&phone.id, p256(66), &alice()).request("GET", "/orders/1", "x"), FORGED).await;
    }
    assert_eq!(default.send(phone.request("GET", "/orders/1", "m")).await.status, 200);

    let threat = DeviceThreat { replay: Reaction::Ban, ..DeviceThreat::default() };
    let mut strict =
        Site::of(Options { rules: DeviceRules { threat, ..DeviceRules::default() }, ..Options::default() });
    let phone = strict.phone(p256(7), &alice()).await;
    assert_eq!(strict.send(phone.request("GET", "/orders/1", "n")).await.status, 200);
    // What nobody has signed is no replay.
    refused(&mut strict, Phone::of(&phone.id, p256(66), &alice()).request("GET", "/orders/1", "n"), FORGED).await;
    assert_eq!(strict.send(phone.request("GET", "/orders/1", "m")).await.status, 200);
    refused(&mut strict, phone.request("GET", "/orders/1", "n"), REPLAY).await;
    refused(&mut strict, phone.request("GET", "/orders/1", "o"), (403, "subject_banned", "device_banned")).await;

    let signature = Reaction::Suspend { seconds: 60 };
    let threat = DeviceThreat { signature, ..DeviceThreat::default() };
    let mut strict =
        Site::of(Options { rules: DeviceRules { threat, ..DeviceRules::default() }, ..Options::default() });
    let phone = strict.phone(p256(7), &alice()).await;
    for _ in 0..4 {
        refused(&mut strict, Phone::of(&phone.id, p256(66), &alice()).request("GET", "/orders/1", "x"), FORGED).await;
    }
    assert_eq!(strict.send(phone.request("GET", "/orders/1", "n")).await.status, 200);
    refused(&mut strict, Phone::of(&phone.id, p256(66), &alice()).request("GET", "/orders/1", "x"), FORGED).await;
    refused(&mut strict, phone.request("GET", "/orders/1", "o"), (403, "subject_suspended", "device_suspended")).await;
    strict.clock.set(NOW + 60);
    let signed = Signed { at: (NOW + 60).to_string(), ..phone.signed("GET", "/orders/1", "p") };
    assert_eq!(strict.send(phone.sends("GET", "/orders/1", &signed)).await.status, 200);
}

#[tokio::test]
async fn a_banned_device_stays_banned_when_it_enrols_again() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let principal = key_id(&DeviceId::parse(&phone.id).unwrap().principal());
    site.shared.standings.set(principal, Standing::Banned).await.unwrap();
    let next = with("sid", "session-2");
    for token in [alice(), next.clone()] {
        let challenge = site.challenge(&token).await;
        let got = site.post(ENROLL_PATH, &token, &enrollment(&challenge, &p256(7), |_| {})).await;
        assert_eq!((got.status, got.problem()["error"].as_str()), (403, Some("device_banned")));
    }
    let banned = (403, "subject_banned", "device_banned");
    refused(&mut site, phone.request("GET", "/orders/1", "a"), banned).await;
    // It takes no session for itself either: another device can have that.
    refused(&mut site, Phone::of(&phone.id, p256(7), &next).request("GET", "/orders/1", "b"), banned).await;
    let other = site.phone(p256(8), &next).await;
    assert_eq!(site.send(other.request("GET", "/orders/1", "c")).await.status, 200);
}

#[tokio::test]
async fn a_session_that_is_revoked_ends_at_once() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    assert_eq!(site.send(phone.request("GET", "/orders/1", "a")).await.status, 200);
    let session = site.tokens.verify(&alice()).await.unwrap().session();
    site.kernel.revoke_capability(session).await.unwrap();
    let revoked = (401, "capability_revoked", "invalid_token");
    refused(&mut site, phone.request("GET", "/orders/1", "b"), revoked).await;
    let refreshed = Phone::of(&phone.id, p256(7), &bearer(|claims| claims["jti"] = "2".into()));
    refused(&mut site, refreshed.request("GET", "/orders/1", "c"), revoked).await;
    let next = Phone::of(&phone.id, p256(7), &with("sid", "session-2"));
    assert_eq!(site.send(next.request("GET", "/orders/1", "d")).await.status, 200);
}

#[tokio::test]
async fn a_client_application_that_is_turned_away() {
    let clients =
        vec![("app", ClientStatus::Suspended), ("evil", ClientStatus::Banned), ("fine", ClientStatus::Active)];
    let mut site = Site::of(Options { clients, ..Options::default() });
    let suspended = (403, "subject_suspended", "client_suspended");
    for (client, error, with) in
        [("app", "client_suspended", suspended), ("evil", "client_banned", (403, "subject_banned", "client_banned"))]
    {
        let token = bearer(|claims| claims["azp"] = client.into());
        let got = site.post(CHALLENGE_PATH, &token, "").await;
        assert_eq!((got.status, got.problem()["error"].as_str()), (403, Some(error)));
        let session = bearer(|claims| (claims["azp"], claims["sid"]) = ("fine".into(), client.into()));
        let phone = site.phone(p256(7), &session).await;
        let token = bearer(|claims| (claims["azp"], claims["sid"]) = (client.into(), client.into()));
        refused(&mut site, Phone::of(&phone.id, p256(7), &token).request("GET", "/orders/1", client), with).await;
    }
    let fine = bearer(|claims| (claims["azp"], claims["sid"]) = ("fine".into(), "session-2".into()));
    let phone = site.phone(p256(7), &fine).await;
    assert_eq!(site.send(phone.request("GET", "/orders/1", "a")).await.status, 200);
    // By an operator, at once.
    let principal = key_id(&client_principal(ISSUER, "fine"));
    site.shared.standings.set(principal, Standing::Suspended { until: NOW + 10 }).await.unwrap();
    refused(&mut site, phone.request("GET", "/orders/1", "b"), suspended).await;
    site.shared.standings.set(principal, Standing::Good).await.unwrap();
    assert_eq!(site.send(phone.request("GET", "/orders/1", "c")).await.status, 200);
}

fn profiles() -> Profiles {
    let profile =
        |name: &str, client: &str, require| Profile { name: name.into(), clients: vec![client.to_owned()], require };
    let all = vec![
        profile("mobile", "app", Require::All),
        profile("web", "spa", Require::Mutating),
        profile("server", "batch", Require::None),
    ];
    Profiles::new(all, None).unwrap()
}

fn with_profiles() -> Site {
    let rules = DeviceRules { profiles: profiles(), ..DeviceRules::default() };
    Site::of(Options { rules, ..Options::default() })
}

#[tokio::test]
async fn what_is_required_depends_on_the_client_and_on_nothing_that_a_request_says() {
    let mut site = with_profiles();
    let required = (401, "proof_missing", "proof_required");
    let of = |client: &str| bearer(|claims| (claims["azp"], claims["sid"]) = (client.into(), client.into()));
    // Who is in no profile has to sign everything.
    for token in [of("app"), of("stranger")] {
        refused(&mut site, tokened("GET", "/orders/1", &token), required).await;
    }
    let nobody = bearer(|claims| {
        claims.as_object_mut().unwrap().remove("azp");
    });
    refused(&mut site, tokened("GET", "/orders/1", &nobody), required).await;
    for name in ["x-client-profile", "x-profile", "x-client-id", "x-pop-profile", "user-agent"] {
        let mut request = tokened("GET", "/orders/1", &of("app"));
        request.headers_mut().insert(name, "server".parse().unwrap());
        refused(&mut site, request, required).await;
    }
    assert_eq!(site.send(tokened("GET", "/orders/1", &of("spa"))).await.status, 200);
    let caller = site.echo.seen.lock().unwrap().last().cloned().unwrap().caller.unwrap();
    assert!(caller.principal.starts_with("scheme:device:bearer:"), "{caller:?}");
    refused(&mut site, tokened("POST", "/orders/1", &of("spa")), required).await;
    let mut tunnel = tokened("GET", "/orders/1", &of("spa"));
    tunnel.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    refused(&mut site, tunnel, required).await;
    assert_eq!(site.send(tokened("POST", "/orders/1", &of("batch"))).await.status, 200);
    // A route that wants its bodies covered has them covered.
    refused(&mut site, tokened("PUT", "/orders/1", &of("batch")), required).await;
    // What the token does not allow is not allowed by any profile.
    let denied = (403, "tool_not_granted", "insufficient_scope");
    refused(&mut site, tokened("DELETE", "/orders/1", &of("batch")), denied).await;
    // A proof that is there has to hold.
    let phone = site.phone(p256(7), &of("batch")).await;
    let mut forged = phone.request("GET", "/orders/1", "a");
    forged.headers_mut().insert(NONCE, "b".parse().unwrap());
    refused(&mut site, forged, FORGED).await;
    let mut alone = tokened("GET", "/orders/1", &of("batch"));
    alone.headers_mut().insert(ID, phone.id.parse().unwrap());
    refused(&mut site, alone, (401, "proof_malformed", "invalid_proof")).await;
    assert_eq!(site.send(phone.request("GET", "/orders/1", "c")).await.status, 200);
}

/// A stolen token of a phone is not let through to a service that would take it, because something beside it cannot be read.
#[tokio::test]
async fn the_mode_of_a_profile_holds_for_whatever_else_is_sent() {
    let rule = |profile: &str, mode| RolloutRule { scheme: None, profile: Some(profile.into()), route: None, mode };
    let with = |mobile: Mode, otherwise: Mode, keys: Option<Keys>| {
        let rollout = Rollout { rules: vec![rule("mobile", mobile)], ..Rollout::all(otherwise) };
        let rules = DeviceRules { profiles: profiles(), ..DeviceRules::default() };
        Site::of(Options { rules, rollout: Some(rollout), keys, ..Options::default() })
    };
    let of = |client: &str| bearer(|claims| (claims["azp"], claims["sid"]) = (client.into(), client.into()));
    let odd = |client: &str| {
        let sent = |name: &'static str, value: &str| {
            let mut request = tokened("GET", "/orders/1", &of(client));
            request.headers_mut().insert(name, value.parse().unwrap());
            request
        };
        let mut twice = sent("response-key", "a");
        twice.headers_mut().append("response-key", "b".parse().unwrap());
        [sent(ID, "x"), sent(NONCE, ""), sent(SIGNATURE, "?"), sent("response-key", "x"), twice]
    };
    for (mobile, otherwise) in [(Mode::Enforce, Mode::Report), (Mode::Report, Mode::Enforce)] {
        let mut site = with(mobile, otherwise, None);
        for (client, mode) in [("app", mobile), ("spa", otherwise)] {
            for request in odd(client) {
                let status = site.send(request).await.status;
                assert_eq!(status == 200, mode == Mode::Report, "{client} {status}");
            }
        }
    }
    // Whose a token is that does not hold, nobody knows either: a service could be less strict in reading it.
    for (mobile, otherwise) in [(Mode::Enforce, Mode::Report), (Mode::Report, Mode::Enforce)] {
        let mut site = with(mobile, otherwise, None);
        for token in [format!("{}=", of("app")), of("app").replace('.', ".."), "a.b".into()] {
            assert_eq!(site.send(tokened("GET", "/orders/1", &token)).await.status, 401, "{token}");
        }
    }
    // Where the issuer's keys cannot be had nobody knows whose token it is: it could be a phone's.
    let nowhere = || Keys::url("http://127.0.0.1:1/", Refresh::default()).unwrap();
    let mut site = with(Mode::Enforce, Mode::Report, Some(nowhere()));
    for request in odd("spa").into_iter().chain([tokened("GET", "/orders/1", &of("app"))]) {
        assert_eq!(site.send(request).await.status, 503);
    }
    let mut site = with(Mode::Report, Mode::Report, Some(nowhere()));
    assert_eq!(site.send(tokened("GET", "/orders/1", &of("app"))).await.status, 200);
}

#[tokio::test]
async fn the_key_that_an_answer_is_sealed_for_is_covered() {
    let mut site = with_profiles();
    let phone = site.phone(p256(7), &alice()).await;
    // The base point of X25519, and another.
    let own = encoded(&[&[9][..], &[0; 31]].concat());
    let other = "V9tLNZ8jrl4Ubk4lEgVnBHIlBjSMFQwUdT0Mkz0E1CE".to_owned();
    let sends = |nonce: &str, signed: &str, sent: &str| {
        let signed = Signed { response_key: signed.into(), ..phone.signed("GET", "/orders/1", nonce) };
        let mut request = phone.sends("GET", "/orders/1", &signed);
        request.headers_mut().insert("response-key", sent.parse().unwrap());
        request
    };
    refused(&mut site, sends("a", "", &own), FORGED).await;
    refused(&mut site, sends("a", &own, &other), FORGED).await;
    let spa = bearer(|claims| (claims["azp"], claims["sid"]) = ("spa".into(), "spa".into()));
    let mut bare = tokened("GET", "/orders/1", &spa);
    bare.headers_mut().insert("response-key", own.parse().unwrap());
    assert_eq!(site.send(bare).await.status, 401, "nothing covers it");
    assert_eq!(site.send(sends("a", &own, &own)).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_for_another_scheme() {
    let mut site = site();
    let bound = bearer(|claims| claims["cnf"] = json!({"jkt": thumbprint(&client_key())}));
    let invalid = (401, "capability_malformed", "invalid_token");
    refused(&mut site, tokened("GET", "/orders/1", &bound), invalid).await;
    assert_eq!(site.post(CHALLENGE_PATH, &bound, "").await.status, 401);
    let ended = bearer(|claims| claims["exp"] = NOW.into());
    refused(&mut site, tokened("GET", "/orders/1", &ended), (401, "capability_expired", "invalid_token")).await;
    refused(&mut site, tokened("GET", "/orders/1", "a.b.c"), invalid).await;
    let got = site.send(tokened("GET", "/orders/1", "reference")).await;
    assert_eq!(got.answer(), answer(401, "proof_missing", ""), "a token without a dot is for another scheme");
    assert!(got.header("www-authenticate").starts_with("Bearer proof=\"device\""), "{got:?}");
}

#[tokio::test]
async fn the_headers_of_a_proof_can_have_other_names() {
    let name = |name: &'static str| hyper::header::HeaderName::from_static(name);
    let names =
        HeaderNames { device_id: name("device"), signature: name("device-signature"), ..HeaderNames::default() };
    let mut site = Site::of(Options { rules: DeviceRules { names, ..DeviceRules::default() }, ..Options::default() });
    let phone = site.phone(p256(7), &alice()).await;
    let mut request = phone.request("GET", "/orders/1", "n");
    for (from, to) in [(ID, "device"), (SIGNATURE, "device-signature")] {
        let value = request.headers_mut().remove(from).unwrap();
        request.headers_mut().insert(to, value);
    }
    assert_eq!(site.send(request).await.status, 200);
    let seen = site.echo.seen.lock().unwrap().last().cloned().unwrap();
    assert!(!seen.headers.keys().any(|name| name.starts_with("device") || name.starts_with("x-pop")), "{seen:?}");
}

#[tokio::test]
async fn right_after_a_start_a_device_is_told_what_to_do() {
    let site = site();
    let phone = site.phone(p256(7), &alice()).await;
    site.clock.set(NOW);
    // A kernel that has just started, and forgets.
    let mut fresh = Site::starting(&site, NOW);
    let got = fresh.send(phone.request("GET", "/orders/1", "n")).await;
    assert_eq!(got.answer(), answer(401, "proof_predates_kernel", "use_nonce"));
    let nonce = format!("{}.1", got.header("dpop-nonce"));
    assert_eq!(fresh.send(phone.request("GET", "/orders/1", &nonce)).await.status, 200);
    refused(&mut fresh, phone.request("GET", "/orders/1", &nonce), REPLAY).await;
    // Of another kernel it says nothing.
    let other = Site::starting(&site, NOW).kernel.new_nonce().unwrap();
    let got = fresh.send(phone.request("GET", "/orders/1", &other)).await;
    assert_eq!(got.answer(), answer(401, "proof_predates_kernel", "use_nonce"));
}

/// Nothing is verified there. So whatever has the looks of a token of ours stays here, also one that does not hold.
#[tokio::test]
async fn by_a_public_route_no_token_of_ours_goes_on_and_the_services_own_does() {
    let mut site = site();
    let phone = site.phone(p256(7), &alice()).await;
    let expired = bearer(|claims| claims["exp"] = (NOW - 1000).into());
    let ours = [
        format!("Bearer {}", phone.token),
        format!("bEARER   {}", phone.token),
        format!("Bearer\t{}", phone.token),
        format!("Bearer {expired}"),
        format!("Bearer {}, Basic YTpi", phone.token),
        "Bearer a.b.c".to_owned(),
        format!("Bearer {}\u{e9}", phone.token),
    ];
    for own in &ours {
        assert_eq!(site.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        let seen = site.echo.seen.lock().unwrap().last().cloned().unwrap();
        assert!(!seen.headers.contains_key("authorization"), "{own}");
    }
    // What some would trim or take for a space is not looked into.
    for unclear in [&b"Bearer a\xff"[..], b"Bearer\xa0a.b.c", b"\xa0Bearer a.b.c", b" Bearer a.b.c"] {
        assert_eq!(site.send(open_to_all(unclear)).await.status, 200);
        assert!(!site.echo.seen.lock().unwrap().last().unwrap().headers.contains_key("authorization"), "{unclear:?}");
    }
    for own in ["Bearer the-services-own", "bearer 42", "Bearer", "Basic YS5iOmM=", "Token a.b.c"] {
        assert_eq!(site.send(open_to_all(own.as_bytes())).await.status, 200, "{own}");
        assert_eq!(site.echo.seen.lock().unwrap().last().unwrap().headers["authorization"], own);
    }
    // Of two, none goes on where one could be ours.
    let mut two = open_to_all(b"Bearer the-services-own");
    two.headers_mut().append("authorization", ours[0].parse().unwrap());
    assert_eq!(site.send(two).await.status, 200);
    assert!(!site.echo.seen.lock().unwrap().last().unwrap().headers.contains_key("authorization"));
}

#[test]
fn the_text_of_an_enrolment_is_as_it_is_written_down() {
    let key = chio_http::jwk::Jwk::of(&p256(7).public_key()).unwrap().thumbprint();
    let text = EnrollmentText { origin: "o", issuer: "i", subject: "s", session: "n", challenge: "c", key }.text();
    assert_eq!(text, format!("chio-device-enrollment-v1\no\ni\ns\nn\nc\n{key}"));
}
