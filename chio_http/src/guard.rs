//! The guard before a service: which requests are let through, and as whose.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use chio_core::digest::Digest;
use chio_core::receipt::Event;
use chio_kernel::clock::ThreadTimer;
use chio_kernel::config::Mode;
use chio_kernel::{AuthorizedCall, Kernel};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::audit::{Audit, AuditEvent, TracedAudit, event_of};
use crate::authorization::{Unclear, authorization, word_and_token};
use crate::body::{Body, BodyError};
use crate::caller::Caller;
use crate::client_certificate::ClientCertificate;
use crate::deadline::Deadline;
use crate::denied::{Denied, Refusal};
use crate::dpop::ProofError;
use crate::failure::Failure;
use crate::origin::Origin;
use crate::outcome::Pending;
use crate::response_key::{RESPONSE_KEY, ResponseKey};
use crate::rfc9449::PROOF;
use crate::rollout::Rollouts;
use crate::room::{ReadBody, Room};
use crate::route::{Route, Routes};
use crate::scheme::{Attempt, Bridge, HttpScheme, Opened, Presented, Refused, Told};
use crate::sealed::{Sealing, ToSeal};
use crate::shape::{is_form, shape};
use crate::target::Target;

pub use crate::room::{BODIES_LIMIT, BODY_LIMIT, BODY_TIMEOUT};

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

/// What else a guard does.
pub struct GuardOptions {
    /// What is told of each decision.
    pub audit: Box<dyn Audit>,
    /// In which mode requests are decided; without it, in the kernel's.
    pub rollouts: Option<Rollouts>,
    /// When answers are sealed.
    pub sealing: Sealing,
    /// How long a body may take that has to be looked at before there is a decision: [`BODY_TIMEOUT`].
    pub body_deadline: Deadline,
}

impl Default for GuardOptions {
    fn default() -> Self {
        let body_deadline = Deadline::new(ThreadTimer, BODY_TIMEOUT);
        Self { audit: Box::new(TracedAudit), rollouts: None, sealing: Sealing::default(), body_deadline }
    }
}

impl fmt::Debug for GuardOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rollouts, sealing, .. } = self;
        f.debug_struct("GuardOptions").field("rollouts", rollouts).field("sealing", sealing).finish_non_exhaustive()
    }
}

struct Inner {
    kernel: Kernel,
    service: GuardedService,
    tool_server: String,
    schemes: Vec<Box<dyn HttpScheme>>,
    options: GuardOptions,
    /// What no service behind sees, besides `Authorization`.
    proof_headers: Vec<HeaderName>,
    room: Room,
}

impl Inner {
    /// The schemes with this word in `Authorization`.
    fn of_word(&self, word: &str) -> impl Iterator<Item = &dyn HttpScheme> {
        self.schemes.iter().map(|scheme| &**scheme).filter(move |scheme| scheme.word().eq_ignore_ascii_case(word))
    }

    /// Whether an `Authorization` could be one of ours. By a route that is open to everybody nothing is verified, so what
    /// could be is told by its looks: it can be read in two ways, or it has the word of a scheme, and what follows could be a
    /// token of that scheme. Such a credential never goes on, not even one that has expired or is another issuer's: the service behind
    /// could lose it or relay it. What cannot be ours is between the client and the service, and goes on as it came.
    fn is_addressed(&self, headers: &HeaderMap) -> bool {
        let could_be_ours = |value: &HeaderValue| match word_and_token(value) {
            Ok((word, token)) => self.of_word(word).any(|scheme| scheme.could_be_its(token)),
            Err(Unclear) => true,
        };
        headers.get_all(AUTHORIZATION).iter().any(could_be_ours)
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
        Self::with(kernel, service, schemes, GuardOptions::default())
    }

    /// The same, with an audit of one's own.
    /// Fails as [`Self::new`].
    pub fn with_audit(
        kernel: Kernel,
        service: GuardedService,
        schemes: Vec<Box<dyn HttpScheme>>,
        audit: impl Audit + 'static,
    ) -> Result<Self, GuardError> {
        Self::with(kernel, service, schemes, GuardOptions { audit: Box::new(audit), ..GuardOptions::default() })
    }

    /// The same, with all that can be chosen.
    /// Fails as [`Self::new`].
    pub fn with(
        kernel: Kernel,
        service: GuardedService,
        schemes: Vec<Box<dyn HttpScheme>>,
        options: GuardOptions,
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
        let room = Room::new(service.body_limit, options.sealing.body_limit, options.body_deadline.clone());
        let own = [PROOF, RESPONSE_KEY];
        let proof_headers = schemes.iter().flat_map(|scheme| scheme.proof_headers()).chain(own).collect();
        Ok(Self(Arc::new(Inner { kernel, service, tool_server, schemes, options, proof_headers, room })))
    }

    /// Decides a request.
    /// Fails with the answer to one that is not let through.
    pub(crate) async fn admit<B>(&self, parts: &Parts, body: B) -> Result<Admitted, Response<Body>>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let guard = &*self.0;
        let (target, origin) = shape(parts, &guard.service.origins).map_err(Refusal::answer)?;
        let route = guard.service.routes.find(parts.method.as_str(), target.path());
        let route = route.ok_or_else(|| Refusal::Unknown.answer())?;
        if route.is_public() {
            return Ok(Admitted {
                decided: None,
                body: Body::coming(body),
                nonce: None,
                room: None,
                seal: None,
                is_bare: true,
            });
        }

        // One for the whole of the request, whatever comes in between.
        let rollout = guard.options.rollouts.as_ref().map(Rollouts::now);
        let (scheme, token) = self.presented(&parts.headers).map_err(Refusal::answer)?;
        let scheme_name = scheme.map(HttpScheme::name);
        let in_any_profile = rollout.as_ref().and_then(|of| of.mode_of_any_profile(route.tool_name(), scheme_name));
        let (mut opened, key) = match (scheme, in_any_profile) {
            (Some(scheme), mode) if mode != Some(Mode::Off) => {
                self.open(scheme, token, parts, target, origin, route).await
            }
            _ => (Err(Failure::NoCredentials.into()), None),
        };
        let has_profiles = scheme.is_some_and(HttpScheme::has_profiles);
        let mode = rollout.as_ref().map(|of| match &opened {
            Ok(opened) => of.mode(route.tool_name(), scheme_name, opened.profile()),
            // Whose a token is that does not hold here, nobody can say: the service behind may read it otherwise.
            Err(refused) if refused.claimed.is_none() && has_profiles => {
                of.strictest_mode(route.tool_name(), scheme_name)
            }
            Err(refused) => of.mode(route.tool_name(), scheme_name, refused.profile.as_deref()),
        });
        let is_looked_at = opened.is_ok() && mode != Some(Mode::Off);

        let covers_body =
            is_looked_at && opened.as_ref().is_ok_and(|opened| opened.covers_body() || route.requires_digest());
        let is_form = is_looked_at && is_form(&parts.headers).map_err(Refusal::answer)?;
        let may_pass = mode == Some(Mode::Report);
        let body = guard.room.read(body, covers_body, is_form, may_pass).await;
        let ReadBody { body, read, room, is_unread } = body.map_err(Refusal::answer)?;
        if is_unread {
            opened = Err(Failure::Body { limit: guard.service.body_limit }.into());
        }
        let key = key.filter(|_| is_looked_at && opened.is_ok());
        let longest_answer = u64::try_from(guard.options.sealing.body_limit).unwrap_or(u64::MAX);
        let room_to_seal = key.map(|_| guard.room.of(longest_answer)).transpose().map_err(Refusal::answer)?;

        let arguments = arguments(route, target, read.as_deref());
        let (failure, now, proof) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let attempt = Attempt { opened, body: read, failure, now, proof, is_sealed: key.is_some(), mode };
        let bridge = Bridge(scheme_name.unwrap_or("none"));
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
        // Of what nobody has looked at there is nothing to tell.
        if let (Some(at), Some(scheme), true) = (now, scheme_name, mode != Some(Mode::Off)) {
            let sub = told.as_ref().map(|told| &*told.subject);
            let trace = told.as_ref().and_then(|told| told.trace.as_deref());
            let event = denial.map_or("allowed", event_of);
            guard.options.audit.record(&AuditEvent { event, scheme, sub, trace, action: route.tool_name(), at });
        }
        match decided {
            Ok(call) => {
                let renewed =
                    attempt.opened.as_ref().is_ok_and(|opened| now.is_some_and(|now| opened.renews_nonce(now)));
                let nonce = scheme.filter(|_| renewed).and_then(|scheme| scheme.new_nonce(now?));
                let proof = attempt.proof.get().copied().flatten();
                // A key is the asker's where the proof holds that covers it.
                let seal = match (key.filter(|_| !call.principal().is_empty()), proof, room_to_seal) {
                    (Some(key), Some(request), Some(room)) => {
                        Some(ToSeal { key, request, body_limit: guard.options.sealing.body_limit, room })
                    }
                    _ => None,
                };
                let is_enforced = mode.is_none_or(|_| is_enforced(&call));
                let is_bare = is_enforced || !rollout.is_some_and(|of| of.passes_credentials);
                let caller = caller(&call, scheme, told);
                Ok(Admitted { decided: Some((caller, Pending::new(call))), body, nonce, room, seal, is_bare })
            }
            Err(denied) => {
                let failure = attempt.failure.get();
                let denied = Denied { denial: &denied.denial, failure, scheme, schemes: &guard.schemes, now };
                Err(denied.answer())
            }
        }
    }

    /// Takes out of a request what its service is not to see: one that never sees a credential cannot lose or relay it.
    pub(crate) fn take_out(&self, headers: &mut HeaderMap, is_decided: bool, is_bare: bool) {
        // Where everybody may call, another than ours is the service's own affair.
        if is_bare && (is_decided || self.0.is_addressed(headers)) {
            headers.remove(AUTHORIZATION);
        }
        for name in self.0.proof_headers.iter().filter(|name| is_bare || **name == RESPONSE_KEY) {
            headers.remove(name);
        }
    }

    /// By which scheme a request is presented, and with what: by the word in `Authorization`.
    /// Fails where two could stand there, in every mode: the service might read the other one.
    fn presented<'a>(&self, headers: &'a HeaderMap) -> Result<(Option<&dyn HttpScheme>, &'a str), Refusal> {
        let presented = authorization(headers).map_err(|_| Refusal::Ambiguous(Unclear::TOLD))?;
        let Some((word, token)) = presented else { return Ok((None, "")) };
        // Some take the first of them, some the last.
        if self.0.of_word(word).next().is_some() && token.contains(' ') {
            return Err(Refusal::Ambiguous("after the word in `Authorization` there is more than one token"));
        }
        Ok((self.0.of_word(word).find(|scheme| scheme.form().fits(token)), token))
    }

    /// Has a scheme read what was presented, and the key that the answer is to be sealed for, where its proof covers one.
    async fn open(
        &self,
        scheme: &dyn HttpScheme,
        token: &str,
        parts: &Parts,
        target: Target<'_>,
        origin: &Origin,
        route: &Route,
    ) -> (Result<Box<dyn Opened>, Refused>, Option<[u8; 32]>) {
        // Also where it is none: the mode is that of the profile, and so whoever asks has to be known.
        let response_key = ResponseKey::of(&parts.headers);
        let key = response_key.as_ref().ok().copied().flatten();
        let presented = Presented {
            method: parts.method.as_str(),
            origin,
            target,
            route,
            tool_server: &self.0.tool_server,
            token,
            headers: &parts.headers,
            certificate: parts.extensions.get::<ClientCertificate>(),
            response_key: key,
        };
        let is_required = self.0.options.sealing.required || route.requires_sealed();
        let opened = scheme.open(presented).await.and_then(|opened| {
            let failure = match &response_key {
                Err(failure) => failure.clone(),
                Ok(Some(_)) if !opened.covers_response_key() => ProofError::ResponseKey.into(),
                Ok(Some(_)) if parts.method == Method::HEAD || parts.headers.contains_key(UPGRADE) => {
                    Failure::Request("an answer without a body, or that never ends, cannot be sealed")
                }
                Ok(None) if is_required => Failure::Unsealed,
                Ok(_) => return Ok(opened),
            };
            Err(Refused::of(failure, opened.told(), opened.profile()))
        });
        let opened = opened.map_err(|refused| match response_key {
            Err(failure) if refused.claimed.is_some() => Refused { failure, ..refused },
            _ => refused,
        });
        (opened, key.map(|key| key.bytes))
    }
}

/// Whether a call was let through for its merits, whatever the mode of its subject.
fn is_enforced(call: &AuthorizedCall) -> bool {
    match &call.receipt().body.event {
        Event::Decision(decision) => decision.mode == Mode::Enforce.name(),
        _ => true,
    }
}

/// A request that is let through.
pub(crate) struct Admitted {
    /// Nothing for a route that is open to everybody.
    pub(crate) decided: Option<(Caller, Pending)>,
    pub(crate) body: Body,
    pub(crate) nonce: Option<String>,
    /// Where its body was read: given back when the service has answered.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// Where its answer is to be sealed.
    pub(crate) seal: Option<ToSeal>,
    /// Whether the service is not to see its credentials.
    pub(crate) is_bare: bool,
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
