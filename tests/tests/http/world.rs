//! A guarded service, a client with a key, and an issuer that knows both.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use chio_core::crypto::{Keypair, SigningBackend};
use chio_core::receipt::{Event, OutcomeStatus, Receipt};
use chio_http::access_token::AccessTokens;
use chio_http::audit::{Audit, AuditEvent};
use chio_http::deadline::Deadline;
use chio_http::dpop::{ProofClaims, ProofRules};
use chio_http::guard::BODY_LIMIT;
use chio_http::issuer::Issuer;
use chio_http::jwk::{Jwk, public_jwk};
use chio_http::jws::{self, Alg};
use chio_http::keys::Keys;
use chio_http::origin::Origin;
use chio_http::rollout::Rollouts;
use chio_http::route::{Route, Routes};
use chio_http::scheme::HttpScheme;
use chio_http::sealed::Sealing;
use chio_http::server_nonce::ServerNonces;
use chio_http::{Body, Caller, GuardLayer, GuardOptions, Guarded, GuardedService, HttpGuard, Rfc9449};
use chio_kernel::clock::{BoxFuture, ManualClock, Timer};
use chio_kernel::config::Mode;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, KernelBuilder, Stores};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_layer::Layer as _;
use tower_service::Service as _;

/// Long after the kernel has started.
pub const NOW: u64 = 1_800_000_000;
pub const ORIGIN: &str = "https://api.example.com";
/// The URL of one order.
pub const ONE: &str = "https://api.example.com/orders/1";
pub const ISSUER: &str = "https://issuer.example";

pub fn client_key() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

pub fn issuer_key() -> Keypair {
    Keypair::from_seed(&[2; 32])
}

pub fn thumbprint(key: &dyn SigningBackend) -> String {
    Jwk::of(&key.public_key()).unwrap().thumbprint().to_string()
}

/// What has reached the service behind the guard.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub caller: Option<Caller>,
    pub body: Vec<u8>,
}

/// The service behind: it says what it was sent, or what it is told to.
#[derive(Clone, Default)]
pub struct Echo {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub status: Option<StatusCode>,
    pub outcome: Option<OutcomeStatus>,
    pub answer: Option<Answer>,
    pub headers: Vec<(&'static str, &'static str)>,
}

/// A body of an answer that comes in parts, and may break.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Broken,
    Endless,
}

pub async fn bytes<B>(mut body: B) -> Result<Vec<u8>, B::Error>
where
    B: hyper::body::Body<Data = hyper::body::Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok(bytes)
}

struct Parts(Answer, u32);

impl hyper::body::Body for Parts {
    type Data = hyper::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.1 += 1;
        Poll::Ready(Some(match (self.0, self.1) {
            (Answer::Broken, 2) => Err(std::io::Error::other("broken")),
            _ => Ok(hyper::body::Frame::data("part".into())),
        }))
    }
}

impl tower_service::Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let seen = Seen {
                path: parts.uri.to_string(),
                headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                caller: parts.extensions.get().cloned(),
                body: bytes(body).await.unwrap(),
            };
            this.seen.lock().unwrap().push(seen);
            let body = match this.answer {
                None => Body::whole("answer"),
                Some(answer) => Body::coming(Parts(answer, 0)),
            };
            let mut response = Response::new(body);
            *response.status_mut() = this.status.unwrap_or(StatusCode::OK);
            for (name, value) in this.headers {
                response.headers_mut().append(name, value.parse().unwrap());
            }
            if let Some(outcome) = this.outcome {
                response.extensions_mut().insert(outcome);
            }
            Ok(response)
        })
    }
}

/// What a world is made with.
pub struct Setting {
    pub started: u64,
    pub rules: ProofRules,
    pub nonces: bool,
    pub mode: Mode,
    pub service: Echo,
    pub kernel: fn(KernelBuilder) -> KernelBuilder,
    pub schemes: fn(&Kernel) -> Vec<Box<dyn HttpScheme>>,
    pub rollouts: Option<Rollouts>,
    pub sealing: Sealing,
    pub body_deadline: Deadline,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            started: NOW - 1000,
            rules: ProofRules::default(),
            nonces: false,
            mode: Mode::Enforce,
            service: Echo::default(),
            kernel: |builder| builder,
            schemes: |_| Vec::new(),
            rollouts: None,
            sealing: Sealing::default(),
            body_deadline: GuardOptions::default().body_deadline,
        }
    }
}

/// A deadline that has passed for whatever is not there at once.
pub fn at_once() -> Deadline {
    struct AtOnce;

    impl Timer for AtOnce {
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    Deadline::new(AtOnce, Duration::ZERO)
}

/// An audit that keeps what it is told: event, scheme, sub, trace, time.
#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<Told>>>);

/// The event, the scheme, the subject, the trace and the time.
pub type Told = (&'static str, &'static str, Option<String>, Option<String>, u64);

impl Audit for Log {
    fn record(&self, event: &AuditEvent<'_>) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let event = (event.event, event.scheme, owned(event.sub), owned(event.trace), event.at);
        self.0.lock().unwrap().push(event);
    }
}

pub struct World {
    pub log: Log,
    pub clock: ManualClock,
    pub kernel: Kernel,
    pub receipts: Arc<MemoryReceipts>,
    pub service: Guarded<Echo>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

pub fn routes() -> Routes {
    let route = |text: &str| Route::parse(text).unwrap();
    Routes::new([
        route("GET:/orders/:id").scope("orders"),
        route("POST:/orders/:id").scope("orders"),
        route("HEAD:/orders/:id"),
        route("PUT:/orders/:id").with_digest(),
        route("DELETE:/orders/:id").scope("admin"),
        route("GET:/files/*path"),
        route("POST:/v1/tools/call"),
        route("GET:/v1/tools/call"),
        route("POST:/x"),
        route("GET:/orders/@me").scope("admin"),
        route("GET:/vault/:id").sealed(),
        route("GET:/about").public(),
    ])
    .unwrap()
}

pub fn issuer(key: &Keypair) -> Issuer {
    let text = public_jwk(&key.public_key()).replacen('{', r#"{"kid":"iss-1","#, 1);
    let keys = chio_http::jwk::Jwks::parse(format!(r#"{{"keys":[{text}]}}"#).as_bytes()).unwrap();
    Issuer {
        name: ISSUER.into(),
        audiences: vec![ORIGIN.into()],
        algs: Alg::OF_ISSUERS.to_vec(),
        keys: Keys::fixed(keys),
    }
}

pub fn world() -> World {
    World::of(Setting::default(), vec![issuer(&issuer_key())])
}

impl World {
    pub fn of(setting: Setting, issuers: Vec<Issuer>) -> Self {
        let (clock, receipts) = (ManualClock::at(setting.started), Arc::new(MemoryReceipts::default()));
        let stores = Stores { receipts: Arc::clone(&receipts) as _, ..Stores::default() };
        let builder = Kernel::builder()
            .clock(clock.clone())
            .tool_server_elsewhere(ORIGIN)
            .mode(ORIGIN, setting.mode)
            .stores(stores);
        let kernel = (setting.kernel)(builder).build().unwrap();
        clock.set(NOW);
        let nonces = Arc::new(ServerNonces::with_key(kernel.clone(), setting.nonces, &[9; 32]));
        let mut schemes: Vec<Box<dyn HttpScheme>> = (setting.schemes)(&kernel);
        if !issuers.is_empty() {
            schemes.push(Box::new(Rfc9449::new(AccessTokens::new(issuers), setting.rules, nonces)));
        }
        let origins = vec![Origin::parse(ORIGIN).unwrap(), Origin::parse("https://api.example.com:8443").unwrap()];
        let log = Log::default();
        let guarded = GuardedService { origins, routes: routes(), body_limit: BODY_LIMIT };
        let Setting { rollouts, sealing, body_deadline, .. } = setting;
        let options = GuardOptions { audit: Box::new(log.clone()), rollouts, sealing, body_deadline };
        let guard = HttpGuard::with(kernel.clone(), guarded, schemes, options).unwrap();
        let seen = Arc::clone(&setting.service.seen);
        Self { log, clock, kernel, receipts, service: GuardLayer::new(guard).layer(setting.service), seen }
    }

    pub async fn send(&mut self, request: Request<Body>) -> Got {
        Got::of(self.service.call(request).await.unwrap()).await
    }

    pub fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    /// The outcomes that are on record, once the tasks that write them have had their turn.
    pub async fn outcomes(&self) -> Vec<chio_core::receipt::Outcome> {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let outcome = |receipt: Receipt| match receipt.body.event {
            Event::Outcome(outcome) => Some(outcome),
            _ => None,
        };
        self.receipts.all().into_iter().filter_map(outcome).collect()
    }
}

/// A body that comes in these steps: a piece, or a moment in which there is none. Then it ends, or never does.
pub fn in_steps<'a>(steps: impl IntoIterator<Item = Option<&'a [u8]>>, ends: bool) -> Body {
    let steps = steps.into_iter().map(|step| step.map(<[u8]>::to_vec)).collect();
    Body::coming(Steps { steps, ends })
}

struct Steps {
    steps: VecDeque<Option<Vec<u8>>>,
    ends: bool,
}

impl hyper::body::Body for Steps {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        match self.steps.pop_front() {
            Some(Some(piece)) => Poll::Ready(Some(Ok(hyper::body::Frame::data(piece.into())))),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// A request by the route that is open to everybody, with this `Authorization`.
pub fn open_to_all(authorization: &[u8]) -> Request<Body> {
    let value = hyper::header::HeaderValue::from_bytes(authorization).unwrap();
    bare("GET", "/about").header("authorization", value).body(Body::empty()).unwrap()
}

/// An answer.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: parts.headers, body: bytes(body).await.unwrap_or_default() }
    }

    pub fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(" | ")
    }

    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status, the code, and the error of the challenge.
    pub fn answer(&self) -> (u16, String, String) {
        let problem = self.problem();
        assert_eq!(problem["status"], self.status);
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        if self.status == 401 && !text("error").is_empty() {
            assert!(self.header("www-authenticate").contains(&format!(r#"error="{}""#, text("error"))), "{self:?}");
        }
        (self.status, text("code"), text("error"))
    }
}

pub fn answer(status: u16, code: &str, error: &str) -> (u16, String, String) {
    (status, code.into(), error.into())
}

/// A client: what it does can be changed in every part.
pub struct Client {
    pub key: Keypair,
    pub token: String,
}

pub fn token_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ORIGIN, "sub": "agent-1", "scope": "orders read", "iat": NOW - 10, "exp": NOW + 3600,
        "cnf": {"jkt": thumbprint(&client_key())},
    })
}

pub fn token(claims: &Value) -> String {
    jws::sign(&issuer_key(), r#""kid":"iss-1","typ":"at+jwt""#, claims.to_string().as_bytes()).unwrap()
}

pub fn client() -> Client {
    Client { key: client_key(), token: token(&token_claims()) }
}

impl Client {
    pub fn claims<'a>(&'a self, method: &'a str, url: &'a str) -> ProofClaims<'a> {
        let url = url.split(['?', '#']).next().unwrap();
        ProofClaims { method, url, now: NOW, token: Some(&self.token), ..ProofClaims::default() }
    }

    pub fn proof(&self, method: &str, path: &str) -> String {
        self.claims(method, &format!("{ORIGIN}{path}")).sign(&self.key).unwrap()
    }

    /// A request with everything that it needs.
    pub fn request(&self, method: &str, path: &str) -> Request<Body> {
        self.with_proof(method, path, &self.proof(method, path))
    }

    pub fn with_proof(&self, method: &str, path: &str, proof: &str) -> Request<Body> {
        bare(method, path)
            .header("authorization", format!("DPoP {}", self.token))
            .header("dpop", proof)
            .body(Body::empty())
            .unwrap()
    }
}

pub fn bare(method: &str, path: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "api.example.com")
}
