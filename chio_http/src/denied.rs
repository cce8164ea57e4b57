//! The answer to a request that is not let through. It tells a stranger what to do, and nothing of the policy.

use chio_kernel::denial::Denial;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::body::Body;
use crate::decided::Decided;
use crate::failure::Failure;
use crate::problem::problem;
use crate::scheme::HttpScheme;

/// The header in which a client is given a nonce: RFC 9449 section 8.
pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a client is told to wait, in seconds, where something is full or down.
const RETRY_AFTER_SECS: u64 = 5;

/// A refusal that is no denial of the kernel: the request itself cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its target, its framing or its credentials can be read in two ways, or not at all.
    Ambiguous(&'static str),
    TargetTooLong,
    /// No route.
    Unknown,
    /// It is for another host.
    Misdirected,
    /// The body is longer than can be judged.
    TooLong,
    /// The body did not come to its end.
    Incomplete,
    /// The body did not come to its end in time.
    Late,
    /// There is no room for another body.
    Busy,
}

impl Refusal {
    pub(crate) fn answer(self) -> Response<Body> {
        let (status, code, title, detail) = match self {
            Self::Ambiguous(why) => {
                (StatusCode::BAD_REQUEST, "malformed_call", "The request was not understood.", Some(why))
            }
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "call_too_large", "The target is too long.", None),
            Self::Unknown => (StatusCode::NOT_FOUND, "unknown_tool", "There is nothing here.", None),
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "unknown_tool_server", "The request is for another host.", None)
            }
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "call_too_large", "The body is too long.", None),
            Self::Incomplete => (StatusCode::BAD_REQUEST, "malformed_call", "The body did not come to its end.", None),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "body_too_late", "The body took too long to come.", None),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "no_room", "Try again later.", None),
        };
        // RFC 6750 section 3.1.
        let error = (status == StatusCode::BAD_REQUEST).then_some("invalid_request");
        let mut response = problem(status, code, title, detail, error);
        if self == Self::Busy {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS.into());
        }
        response
    }
}

/// What is known of a denied request.
pub(crate) struct Denied<'a> {
    pub(crate) denial: &'a Denial,
    pub(crate) failure: Option<&'a Failure>,
    /// By which scheme it was presented.
    pub(crate) scheme: Option<&'a dyn HttpScheme>,
    /// All that there are.
    pub(crate) schemes: &'a [Box<dyn HttpScheme>],
    /// The kernel's time.
    pub(crate) now: Option<u64>,
}

impl Denied<'_> {
    pub(crate) fn answer(&self) -> Response<Body> {
        let status = match self.failure {
            Some(Failure::Request(_) | Failure::Unsealed) => StatusCode::BAD_REQUEST,
            _ => status(self.denial),
        };
        let error = match self.failure {
            Some(Failure::Request(_)) => Some("invalid_request"),
            Some(Failure::Unsealed) => Some("response_key_required"),
            failure => self.scheme.and_then(|scheme| scheme.error(failure, self.denial)),
        };
        let is_ours = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let error = error.filter(|_| !is_ours);
        let mut response = problem(status, self.denial.code(), self.denial.public(), None, error);
        if let Some(scheme) = self.scheme {
            response.extensions_mut().insert(Decided {
                scheme: scheme.name(),
                is_allowed: false,
                code: self.denial.code(),
            });
        }
        let headers = response.headers_mut();
        if is_ours {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECS.into());
            return response;
        }
        let is_asked_for = |scheme: &&dyn HttpScheme| self.scheme.is_none_or(|used| used.name() == scheme.name());
        for scheme in self.schemes.iter().map(|scheme| &**scheme).filter(is_asked_for) {
            let error_part = error.map(|error| format!(r#", error="{error}""#)).unwrap_or_default();
            let challenge = format!("{} {}{error_part}", scheme.word(), scheme.challenge());
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
            let nonce = || scheme.new_nonce(self.now?).and_then(|nonce| HeaderValue::try_from(nonce).ok());
            if matches!(error, Some("use_dpop_nonce" | "use_nonce"))
                && let Some(nonce) = nonce()
            {
                headers.insert(NONCE, nonce);
            }
        }
        response
    }
}

/// 401 where the credentials are not good enough, 403 where they are and this is not granted.
fn status(denial: &Denial) -> StatusCode {
    match denial {
        Denial::MalformedCall { .. } => StatusCode::BAD_REQUEST,
        Denial::CallTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Denial::UnknownToolServer { .. } | Denial::UnknownTool { .. } => StatusCode::NOT_FOUND,
        Denial::CapabilityMalformed { .. }
        | Denial::CapabilityIdMismatch { .. }
        | Denial::CapabilitySignatureInvalid { .. }
        | Denial::IssuerUntrusted { .. }
        | Denial::CapabilityNotYetValid { .. }
        | Denial::CapabilityExpired { .. }
        | Denial::CapabilityAudienceMismatch { .. }
        | Denial::DelegationBroken { .. }
        | Denial::DelegationTooDeep { .. }
        | Denial::RootCeilingExceeded { .. }
        | Denial::CapabilityRevoked { .. }
        | Denial::ProofMissing
        | Denial::ProofMalformed { .. }
        | Denial::ProofSchemaUnsupported { .. }
        | Denial::ProofSenderMismatch
        | Denial::ProofBindingMismatch { .. }
        | Denial::ProofFromFuture { .. }
        | Denial::ProofExpired { .. }
        | Denial::ProofPredatesKernel { .. }
        | Denial::ProofSignatureInvalid
        | Denial::NonceMalformed { .. }
        | Denial::NonceReplayed => StatusCode::UNAUTHORIZED,
        Denial::SubjectSuspended { .. }
        | Denial::SubjectBanned
        | Denial::ToolNotGranted { .. }
        | Denial::ArgumentMissing { .. }
        | Denial::ArgumentNotGranted { .. }
        | Denial::ArgumentConstraintViolated { .. }
        | Denial::BudgetExhausted { .. }
        | Denial::GuardDenied { .. } => StatusCode::FORBIDDEN,
        Denial::NonceQuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Denial::NonceStoreFull | Denial::StoreUnavailable { .. } | Denial::ClockUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
