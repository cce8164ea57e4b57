//! The guard as a layer around a service: what it lets through is what the kernel has allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use chio_core::digest::Digest;
use chio_core::receipt::OutcomeStatus;
use chio_kernel::{AuthorizedCall, Kernel};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;
use tower_service::Service;

use crate::audit::{Audit, AuditEvent, TracedAudit, event_of};
use crate::body::{Body, BodyError, whole};
use crate::caller::Caller;
use crate::client_certificate::ClientCertificate;
use crate::decided::Decided;
use crate::denied::{Denied, NONCE, Refusal};
use crate::dpop::ProofError;
use crate::failure::Failure;
use crate::origin::Origin;
use crate::outcome::{Pending, Watched, status_of};
use crate::response_key::{RESPONSE_KEY, ResponseKey};
use crate::rfc9449::PROOF;
use crate::route::{Route, Routes};
use crate::scheme::{Attempt, Bridge, HttpScheme, Opened, Presented, Refused, Told};
use crate::shape::{is_form, shape};
use crate::target::{Target, names_a_credential};

/// How much of a body that a proof covers is read by default, in bytes: 1 MiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// How much of bodies is held at once at most, in bytes: 64 MiB, or one body where that can be longer.
pub const BODIES_LIMIT: usize = 64 << 20;

/// Why there is no such guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardError {
    /// A service is reached at no origin.
    NoOrigin,
    /// There is no scheme, and a route that is not open to everybody.
    NoScheme,
    /// Two schemes have the same name or the same word.
    SameScheme(&'static str),
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => f.write_str("the service has no origin"),
            Self::NoScheme => f.write_str("there is no scheme, and a route that is not open to everybody"),
            Self::SameScheme(name) => write!(f, "two schemes are called `{name}`"),
        }
    }
}

impl std::error::Error for GuardError {}

/// What is guarded.
#[derive(Clone, Debug)]
pub struct GuardedService {
    /// Where clients reach it. The first names the tool server.
    pub origins: Vec<Origin>,
    /// What of it may be asked for at all.
    pub routes: Routes,
    /// How much of a body is read that a proof covers, or that is a form.
    pub body_limit: usize,
}

struct Inner {
    kernel: Kernel,
    service: GuardedService,
    tool_server: String,
    schemes: Vec<Box<dyn HttpScheme>>,
    audit: Box<dyn Audit>,
    /// What no service behind sees, besides `Authorization`.
    proof_headers: Vec<HeaderName>,
    /// Room for bodies, in KiB.
    room: Arc<Semaphore>,
}

impl Inner {
    /// Whether a credential is for one of our schemes.
    fn is_addressed(&self, headers: &HeaderMap) -> bool {
        let word = |value: &HeaderValue| {
            let word = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
            self.schemes.iter().any(|scheme| scheme.word().as_bytes().eq_ignore_ascii_case(word))
        };
        headers.get_all(AUTHORIZATION).iter().any(word)
    }

    /// Room for a body that is going to be read whole: of those that have a signature anybody can send any number again.
    fn room_for<B: HttpBody>(&self, body: &B) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = u64::try_from(self.service.body_limit).unwrap_or(u64::MAX);
        let bytes = body.size_hint().upper().map_or(most, |upper| upper.min(most));
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| Refusal::Busy)
    }
}

/// The guard before a service. A clone is another handle to the same guard.
#[derive(Clone)]
pub struct HttpGuard(Arc<Inner>);

impl fmt::Debug for HttpGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpGuard({})", self.0.tool_server)
    }
}

impl HttpGuard {
    /// A guard before a service. The kernel has to have its first origin as a tool server elsewhere.
    /// Fails where the service has no origin, or there is no scheme, or two are called the same.
    pub fn new(kernel: Kernel, service: GuardedService, schemes: Vec<Box<dyn HttpScheme>>) -> Result<Self, GuardError> {
        Self::with_audit(kernel, service, schemes, TracedAudit)
    }

    /// The same, with an audit of one's own.
    /// Fails as [`Self::new`].
    pub fn with_audit(
        kernel: Kernel,
        service: GuardedService,
        schemes: Vec<Box<dyn HttpScheme>>,
        audit: impl Audit + 'static,
    ) -> Result<Self, GuardError> {
        let tool_server = service.origins.first().ok_or(GuardError::NoOrigin)?.as_str().to_owned();
        if schemes.is_empty() && !service.routes.iter().all(Route::is_public) {
            return Err(GuardError::NoScheme);
        }
        for (index, scheme) in schemes.iter().enumerate() {
            let is_same = |other: &dyn HttpScheme| {
                let has_its_word = other.word().eq_ignore_ascii_case(scheme.word());
                other.name() == scheme.name() || (has_its_word && other.form().overlaps(scheme.form()))
            };
            if schemes.iter().take(index).any(|other| is_same(&**other)) {
                return Err(GuardError::SameScheme(scheme.name()));
            }
        }
        let room = Arc::new(Semaphore::new(BODIES_LIMIT.max(service.body_limit).div_ceil(1024)));
        let own = [PROOF, RESPONSE_KEY];
        let proof_headers = schemes.iter().flat_map(|scheme| scheme.proof_headers()).chain(own).collect();
        let audit = Box::new(audit);
        Ok(Self(Arc::new(Inner { kernel, service, tool_server, schemes, audit, proof_headers, room })))
    }

    /// Decides a request.
    /// Fails with the answer to one that is not let through.
    async fn admit<B>(&self, parts: &Parts, body: B) -> Result<Admitted, Response<Body>>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let guard = &*self.0;
        let (target, origin) = shape(parts, &guard.service.origins).map_err(Refusal::answer)?;
        let route = guard.service.routes.find(parts.method.as_str(), target.path());
        let route = route.ok_or_else(|| Refusal::Unknown.answer())?;
        if route.is_public() {
            return Ok(Admitted { decided: None, body: Body::coming(body), nonce: None, room: None });
        }

        let (scheme, opened) = self.open(parts, target, origin, route).await;
        let covers_body = opened.as_ref().is_ok_and(|opened| opened.covers_body() || route.requires_digest());
        let is_form = opened.is_ok() && is_form(&parts.headers);
        let mut room = None;
        let (body, read) = if covers_body || is_form {
            room = Some(guard.room_for(&body).map_err(Refusal::answer)?);
            let bytes = whole(body, guard.service.body_limit).await.map_err(|why| Refusal::from(why).answer())?;
            if is_form && std::str::from_utf8(&bytes).map_or(true, names_a_credential) {
                return Err(Refusal::Ambiguous("credentials have no place in a form").answer());
            }
            (Body::whole(bytes.clone()), Some(bytes))
        } else {
            (Body::coming(body), None)
        };

        let arguments = arguments(route, target, read.as_deref());
        let (failure, now, proof) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let attempt = Attempt { opened, body: read, failure, now, proof };
        let bridge = Bridge(scheme.map_or("none", |scheme| scheme.name()));
        let decided =
            guard.kernel.authorize_by(&bridge, &attempt, &guard.tool_server, route.tool_name(), &arguments).await;
        let now = attempt.now.get().copied();
        let told = match &attempt.opened {
            Ok(opened) => Some(opened.told()),
            Err(refused) => refused.claimed.as_deref().cloned(),
        };
        let denial = match &decided {
            Ok(call) => call.unenforced(),
            Err(denied) => Some(&denied.denial),
        };
        // What the scheme itself has refused, it knows.
        if let (Some(denial), Some(now), Ok(opened)) = (denial, now, &attempt.opened)
            && attempt.failure.get().is_none()
        {
            opened.denied(denial, now).await;
        }
        if let (Some(at), Some(scheme)) = (now, scheme) {
            let (sub, trace) =
                (told.as_ref().map(|told| &*told.subject), told.as_ref().and_then(|told| told.trace.as_deref()));
            let event = denial.map_or("allowed", event_of);
            guard.audit.record(&AuditEvent { event, scheme: scheme.name(), sub, trace, action: route.tool_name(), at });
        }
        match decided {
            Ok(call) => {
                let renewed =
                    attempt.opened.as_ref().is_ok_and(|opened| now.is_some_and(|now| opened.renews_nonce(now)));
                let nonce = scheme.filter(|_| renewed).and_then(|scheme| scheme.new_nonce(now?));
                let caller = caller(&call, scheme, told);
                Ok(Admitted { decided: Some((caller, Pending::new(call))), body, nonce, room })
            }
            Err(denied) => {
                let failure = attempt.failure.get();
                let denied = Denied { denial: &denied.denial, failure, scheme, schemes: &guard.schemes, now };
                Err(denied.answer())
            }
        }
    }

    /// Finds the scheme by its word, and has it read what was presented.
    async fn open(
        &self,
        parts: &Parts,
        target: Target<'_>,
        origin: &Origin,
        route: &Route,
    ) -> (Option<&dyn HttpScheme>, Result<Box<dyn Opened>, Refused>) {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return (None, Err(Failure::NoCredentials.into())) };
        if values.next().is_some() {
            return (None, Err(Failure::Request("there is more than one `Authorization`").into()));
        }
        let Ok(text) = value.to_str() else {
            return (None, Err(Failure::Request("`Authorization` is no text").into()));
        };
        let (word, token) = text.split_once(' ').unwrap_or((text, ""));
        let token = token.trim_matches(' ');
        let mut schemes = self.0.schemes.iter().map(|scheme| &**scheme);
        let scheme = schemes.find(|scheme| scheme.word().eq_ignore_ascii_case(word) && scheme.form().fits(token));
        let Some(scheme) = scheme else { return (None, Err(Failure::NoCredentials.into())) };
        let response_key = match ResponseKey::of(&parts.headers) {
            Ok(response_key) => response_key,
            Err(failure) => return (Some(scheme), Err(failure.into())),
        };
        let presented = Presented {
            method: parts.method.as_str(),
            origin,
            target,
            route,
            tool_server: &self.0.tool_server,
            token,
            headers: &parts.headers,
            certificate: parts.extensions.get::<ClientCertificate>(),
            response_key,
        };
        let opened = scheme.open(presented).await;
        let covered = opened.and_then(|opened| match response_key {
            Some(_) if !opened.covers_response_key() => Err(ProofError::ResponseKey.into()),
            _ => Ok(opened),
        });
        (Some(scheme), covered)
    }
}

/// A request that is let through.
struct Admitted {
    /// Nothing for a route that is open to everybody.
    decided: Option<(Caller, Pending)>,
    body: Body,
    nonce: Option<String>,
    /// Where its body was read: given back when the service has answered.
    room: Option<OwnedSemaphorePermit>,
}

/// What is told of a caller is told of one that is proven alone.
fn caller(call: &AuthorizedCall, scheme: Option<&dyn HttpScheme>, told: Option<Told>) -> Caller {
    let principal = call.principal().to_owned();
    let is_proven = !principal.is_empty();
    let (subject, scope, subcap) = match told.filter(|_| is_proven) {
        Some(Told { subject, scope, subcap, trace: _ }) => (Some(subject), scope, subcap),
        None => (None, None, Vec::new()),
    };
    Caller {
        scheme: scheme.filter(|_| is_proven).map_or("none", |scheme| scheme.name()),
        principal,
        subject,
        scope,
        subcap,
        receipt: Some(call.receipt().body.sequence),
    }
}

/// The arguments of the call, in canonical form: what a grant can have rules for.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<Digest>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<&'a str, String>,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
}

fn arguments(route: &Route, target: Target<'_>, body: Option<&[u8]>) -> Vec<u8> {
    let (path, query) = (target.path(), target.query());
    let arguments = Arguments { content_digest: body.map(Digest::of), params: route.parameters(path), path, query };
    // Texts have a JSON form; were there none, no call has empty arguments.
    serde_json::to_vec(&arguments).unwrap_or_default()
}

/// Puts a guard around a service.
#[derive(Clone, Debug)]
pub struct GuardLayer(HttpGuard);

impl GuardLayer {
    /// A layer of this guard.
    pub fn new(guard: HttpGuard) -> Self {
        Self(guard)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.0.clone(), inner }
    }
}

/// A service that is called for what the guard lets through alone.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: HttpGuard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
    R: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let guard = self.guard.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = match guard.admit(&parts, body).await {
                Ok(admitted) => admitted,
                Err(answer) => return Ok(answer),
            };
            let Admitted { decided, body, nonce, room: _room } = admitted;
            // A service that never sees a credential cannot lose or relay it: nor where everybody may call. There, another
            // than ours is the service's own affair.
            if decided.is_some() || guard.0.is_addressed(&parts.headers) {
                parts.headers.remove(AUTHORIZATION);
            }
            for name in &guard.0.proof_headers {
                parts.headers.remove(name);
            }
            let Some((caller, mut pending)) = decided else {
                parts.extensions.remove::<Caller>();
                return Ok(inner.call(Request::from_parts(parts, body)).await?.map(Body::coming));
            };
            let decided = Decided { scheme: caller.scheme, is_allowed: true, code: "" };
            // In the place of any that came with it: nobody but this guard says who calls.
            parts.extensions.insert(caller);
            let is_head = parts.method == Method::HEAD;
            let response = inner.call(Request::from_parts(parts, body)).await?;
            let said = response.extensions().get::<OutcomeStatus>().copied();
            let status = status_of(response.status(), said);
            if status == OutcomeStatus::NotReached {
                pending.finish(status, None);
            }
            let mut response = response.map(|body| Body::coming(Watched::new(body, pending, status, is_head)));
            response.extensions_mut().insert(decided);
            if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
                response.headers_mut().insert(NONCE, nonce);
            }
            Ok(response)
        })
    }
}
