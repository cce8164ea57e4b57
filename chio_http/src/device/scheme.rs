//! The scheme `device`: the six stages, in their order. Each is a function of its own, and says its own reason.

use std::fmt;
use std::sync::Arc;

use chio_core::capability::Grant;
use chio_core::digest::Digest;
use chio_kernel::Kernel;
use chio_kernel::clock::BoxFuture;
use chio_kernel::config::Response;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::Claims;
use chio_kernel::store::{Standing, key_id};
use hyper::header::{HeaderName, UPGRADE};

use super::book::DeviceBook;
use super::possession::{DEFAULT_WINDOW_SECS, HeaderNames, MAX_WINDOW_SECS, Possession};
use super::profile::Profiles;
use super::record::SCHEME;
use super::status::Clients;
use super::token::{BearerToken, BearerTokens};
use crate::dpop::ProofError;
use crate::failure::{DeviceError, Failure};
use crate::scheme::{HttpScheme, Opened, Presented, Refused, TokenForm, Told, granted};

/// What attacks on a device lead to. The default is to report them: somebody who has captured a request can replay it, and
/// somebody who has a stolen token can send signatures that fail. Neither has the key, and either could get its victim
/// turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceThreat {
    /// What a replay of a request leads to, for the device that has signed it.
    pub replay: Response,
    /// How many failed signatures in the name of one device lead to `signature`.
    pub signature_failures: u64,
    /// What that many lead to.
    pub signature: Response,
    /// How many seconds it takes until one failed signature is forgiven; 0 for never.
    pub forgiven_after_secs: u64,
}

impl Default for DeviceThreat {
    fn default() -> Self {
        let (replay, signature) = (Response::Report, Response::Report);
        Self { replay, signature_failures: 5, signature, forgiven_after_secs: 60 }
    }
}

/// What holds of requests.
#[derive(Clone, Debug)]
pub struct DeviceRules {
    /// How old a request may be, in seconds: at most [`MAX_WINDOW_SECS`].
    pub window_secs: u64,
    /// The headers of a proof.
    pub names: HeaderNames,
    /// What is required of whom.
    pub profiles: Profiles,
    /// What attacks lead to.
    pub threat: DeviceThreat,
}

impl Default for DeviceRules {
    fn default() -> Self {
        let (names, profiles) = (HeaderNames::default(), Profiles::default());
        Self { window_secs: DEFAULT_WINDOW_SECS, names, profiles, threat: DeviceThreat::default() }
    }
}

/// Device keys as a scheme of the kernel.
pub struct DeviceScheme(Arc<Inner>);

struct Inner {
    tokens: Arc<BearerTokens>,
    book: Arc<DeviceBook>,
    clients: Arc<Clients>,
    rules: DeviceRules,
    kernel: Kernel,
}

impl fmt::Debug for DeviceScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceScheme").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl DeviceScheme {
    /// With the tokens, devices and client applications that the desk of enrolments has, too.
    pub fn new(
        tokens: Arc<BearerTokens>,
        book: Arc<DeviceBook>,
        clients: Arc<Clients>,
        mut rules: DeviceRules,
        kernel: Kernel,
    ) -> Self {
        rules.window_secs = rules.window_secs.min(MAX_WINDOW_SECS);
        Self(Arc::new(Inner { tokens, book, clients, rules, kernel }))
    }

    async fn opened(&self, presented: Presented<'_>) -> Result<Box<dyn Opened>, Refused> {
        let inner = &self.0;
        let token = inner.tokens.verify(presented.token).await?;
        let (profile, require) = inner.rules.profiles.of(token.client());
        let names = &inner.rules.names;
        let possession = if names.are_in(presented.headers) {
            let read = Possession::read(&presented, token.text(), names);
            Some(read.map_err(|failure| Refused::of(failure, told(&token), profile))?)
        } else {
            None
        };
        let is_upgrade = presented.headers.contains_key(UPGRADE);
        // A route whose bodies have to be covered has no use for a request that nothing covers.
        let is_required = require.covers(presented.method, is_upgrade) || presented.route.requires_digest();
        let grants = allowed(&token, &presented).into_iter().collect();
        let profile = profile.map(str::to_owned);
        Ok(Box::new(Bearer { inner: Arc::clone(inner), token, possession, is_required, grants, profile }))
    }
}

/// The fifth stage: what the token allows of this request. Where it is nothing, the kernel says so.
fn allowed(token: &BearerToken, presented: &Presented<'_>) -> Option<Grant> {
    let route = presented.route;
    let is_allowed = route.required_scope().is_none_or(|scope| token.has(scope));
    is_allowed.then(|| granted(presented.tool_server, route))
}

fn told(token: &BearerToken) -> Told {
    let scope = Some(token.abilities().join(" ")).filter(|scope| !scope.is_empty());
    Told { subject: token.subject().to_owned(), scope, subcap: Vec::new(), trace: None }
}

/// A request with a token that holds, and its proof where it has one.
struct Bearer {
    inner: Arc<Inner>,
    token: Arc<BearerToken>,
    possession: Option<Possession>,
    is_required: bool,
    grants: Vec<Grant>,
    profile: Option<String>,
}

/// Who calls, by a proof or by the token alone.
struct Caller {
    principal: String,
    nonce: String,
    issued_at: u64,
    proof_hash: Option<Digest>,
}

impl Bearer {
    /// The stages that need the time, one after the other.
    async fn judged(&self, now: u64, body: &[u8]) -> Result<Claims, Failure> {
        self.token.check_time(now)?;
        let caller = match &self.possession {
            Some(possession) => self.proven(possession, now, body).await?,
            None if self.is_required => return Err(ProofError::Missing.into()),
            None => self.unproven(now)?,
        };
        self.inner.clients.check(&self.token, now).await?;
        let Caller { principal, nonce, issued_at, proof_hash } = caller;
        Ok(Claims {
            principal,
            credential: self.token.session(),
            grants: self.grants.clone(),
            expires_at: self.token.expires_at(),
            nonce,
            issued_at,
            proof_hash,
        })
    }

    /// The second stage and the third: the device is the subject's, the request is its own, and so is the session.
    async fn proven(&self, possession: &Possession, now: u64, body: &[u8]) -> Result<Caller, Failure> {
        let book = &self.inner.book;
        let device = book.find(&self.token, possession.device, now).await?;
        possession.check_time(now, self.inner.rules.window_secs)?;
        let proof_hash = Some(possession.check(&device.key, body)?);
        book.belongs(&self.token, device.id, now).await?;
        let (principal, nonce) = (device.id.to_string(), possession.nonce.clone());
        Ok(Caller { principal, nonce, issued_at: possession.issued_at, proof_hash })
    }

    /// Where nothing is required, there is nothing that could be replayed either.
    fn unproven(&self, now: u64) -> Result<Caller, Failure> {
        let nonce = self.inner.kernel.new_nonce().map_err(|error| Failure::Records(error.to_string()))?;
        Ok(Caller { principal: format!("bearer:{}", self.token.owner()), nonce, issued_at: now, proof_hash: None })
    }

    /// Turns the device away, where that is what an attack leads to.
    async fn respond(&self, response: Response, failures: u64, now: u64) {
        let Some(possession) = &self.possession else { return };
        let standing = match response {
            Response::Report => return,
            Response::Suspend { seconds } => Standing::Suspended { until: now.saturating_add(seconds) },
            Response::Ban => Standing::Banned,
        };
        let (standings, device) = (self.inner.book.standings(), key_id(&possession.device.principal()));
        if failures > 0 {
            let forgive = self.inner.rules.threat.forgiven_after_secs;
            let count = standings.count_failure(device, now, forgive).await;
            if !count.is_ok_and(|count| count >= failures) {
                return;
            }
        }
        if standings.worsen(device, standing, now).await.is_err() {
            tracing::error!(store = "standing", "the response to an attack could not be stored");
        }
    }
}

impl Opened for Bearer {
    fn covers_body(&self) -> bool {
        self.possession.is_some()
    }

    fn claims<'a>(&'a self, now: u64, body: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>> {
        // The layer has read it, if there is a proof: it covers it.
        Box::pin(self.judged(now, body.unwrap_or_default()))
    }

    fn told(&self) -> Told {
        told(&self.token)
    }

    fn renews_nonce(&self, _: u64) -> bool {
        false
    }

    fn covers_response_key(&self) -> bool {
        self.possession.is_some()
    }

    fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    fn refused<'a>(&'a self, failure: &'a Failure, now: u64) -> BoxFuture<'a, ()> {
        let threat = self.inner.rules.threat;
        match failure {
            // The device was found by then, and is the subject's.
            Failure::Proof(ProofError::Signature) => {
                Box::pin(self.respond(threat.signature, threat.signature_failures.max(1), now))
            }
            _ => Box::pin(std::future::ready(())),
        }
    }

    fn denied<'a>(&'a self, denial: &'a Denial, now: u64) -> BoxFuture<'a, ()> {
        match denial {
            Denial::NonceReplayed => Box::pin(self.respond(self.inner.rules.threat.replay, 0, now)),
            _ => Box::pin(std::future::ready(())),
        }
    }
}

impl HttpScheme for DeviceScheme {
    fn name(&self) -> &'static str {
        SCHEME
    }

    fn word(&self) -> &'static str {
        "Bearer"
    }

    fn form(&self) -> TokenForm {
        TokenForm::Jwt
    }

    fn has_profiles(&self) -> bool {
        true
    }

    fn proof_headers(&self) -> Vec<HeaderName> {
        self.0.rules.names.all().into()
    }

    fn challenge(&self) -> String {
        r#"proof="device", algs="ES256 EdDSA""#.to_owned()
    }

    fn error(&self, failure: Option<&Failure>, denial: &Denial) -> Option<&'static str> {
        Some(match (failure, denial) {
            (Some(Failure::NoCredentials), _) => return None,
            (Some(Failure::Request(_)), _) => "invalid_request",
            (Some(Failure::Token(_)), _) => "invalid_token",
            (Some(Failure::Device(DeviceError::Unknown)), _) => "invalid_device",
            (Some(Failure::Device(DeviceError::Taken)), _) => "session_of_another_device",
            (Some(Failure::Device(DeviceError::NotEnrolled)), _) => "enrollment_required",
            (Some(Failure::Proof(ProofError::Missing)), _) => "proof_required",
            (Some(Failure::Proof(_)), _) => "invalid_proof",
            (Some(Failure::Client(Standing::Suspended { .. })), _) => "client_suspended",
            (Some(Failure::Client(_)), _) => "client_banned",
            (_, Denial::SubjectSuspended { .. }) => "device_suspended",
            (_, Denial::SubjectBanned) => "device_banned",
            (_, Denial::NonceReplayed) => "replay_detected",
            // A nonce that begins with one of this kernel's was made since it has begun to remember.
            (_, Denial::ProofPredatesKernel { .. }) => "use_nonce",
            _ if denial.code().starts_with("capability_") => "invalid_token",
            _ if denial.code().starts_with("proof_") || denial.code().starts_with("nonce_") => "invalid_proof",
            _ => "insufficient_scope",
        })
    }

    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>> {
        Box::pin(self.opened(presented))
    }

    fn new_nonce(&self, _: u64) -> Option<String> {
        self.0.kernel.new_nonce().ok()
    }
}
