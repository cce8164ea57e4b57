//! Why a request is not let through, before the kernel has had its say; and how the kernel is told.

use std::fmt;

use chio_core::error::excerpt;
use chio_kernel::denial::{Binding, Denial, Step};
use chio_kernel::store::Standing;

use crate::dpop::ProofError;
use crate::issuer::TokenError;

/// Why a scheme refuses what was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was presented, or by a scheme that is none here.
    NoCredentials,
    /// What was presented cannot be told: there is more than one, or it is no text.
    Request(&'static str),
    /// Answers are sealed here, and it does not ask for that.
    Unsealed,
    /// A proof covers the body, and that is longer than so many bytes, or there is no room for it: only where nothing is
    /// enforced, for else it is no denial of the kernel.
    Body {
        /// How many bytes of it are read.
        limit: usize,
    },
    /// The token is refused.
    Token(TokenError),
    /// The proof is refused.
    Proof(ProofError),
    /// The device is refused.
    Device(DeviceError),
    /// The client application that the token was issued to is turned away.
    Client(Standing),
    /// What the scheme remembers cannot be had, or nothing more can be kept.
    Records(String),
}

/// Why a device is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The token's subject has none of that id.
    Unknown,
    /// The session belongs to another.
    Taken,
    /// The session belongs to none yet, and one has to be enrolled in it.
    NotEnrolled,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the subject has none of that id",
            Self::Taken => "the session belongs to another",
            Self::NotEnrolled => "none has been enrolled in this session",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str("no credentials of a scheme of this service"),
            Self::Request(why) => f.write_str(why),
            Self::Unsealed => f.write_str("answers are sealed here, and there is no `Response-Key`"),
            Self::Body { limit } => write!(f, "the body is longer than {limit} bytes, or there is no room for it"),
            Self::Token(error) => write!(f, "the token: {error}"),
            Self::Proof(error) => write!(f, "the proof: {error}"),
            Self::Device(error) => write!(f, "the device: {error}"),
            Self::Client(_) => f.write_str("the client application is turned away"),
            Self::Records(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<&Failure> for Denial {
    fn from(failure: &Failure) -> Self {
        let malformed = |error: &dyn fmt::Display| Self::ProofMalformed { reason: excerpt(&error.to_string()) };
        let bound = |member| Self::ProofBindingMismatch { member };
        match failure {
            Failure::NoCredentials => Self::ProofMissing,
            Failure::Request(why) => malformed(why),
            Failure::Unsealed => malformed(failure),
            Failure::Body { limit } => Self::CallTooLarge { limit: *limit },
            Failure::Token(error) => of_token(error),
            Failure::Device(_) => Self::ProofSenderMismatch,
            Failure::Client(Standing::Suspended { until }) => Self::SubjectSuspended { until: *until },
            Failure::Client(_) => Self::SubjectBanned,
            Failure::Records(why) => {
                Self::StoreUnavailable { store: "records", step: Step::Authority, reason: excerpt(why) }
            }
            Failure::Proof(error) => match error {
                ProofError::Missing => Self::ProofMissing,
                ProofError::Several
                | ProofError::Jws(_)
                | ProofError::Claim(_)
                | ProofError::Type
                | ProofError::Key(_)
                | ProofError::Nonce => malformed(error),
                ProofError::Signature => Self::ProofSignatureInvalid,
                ProofError::Method | ProofError::Url => bound(Binding::ToolName),
                ProofError::Query | ProofError::Body | ProofError::ResponseKey => bound(Binding::ActionHash),
                ProofError::Token => bound(Binding::CapabilityId),
                ProofError::Binding => Self::ProofSenderMismatch,
                ProofError::Stale { issued_at, now, max_age_secs } => {
                    Self::ProofExpired { issued_at: *issued_at, now: *now, proof_ttl_secs: *max_age_secs }
                }
                ProofError::Future { issued_at, now, max_ahead_secs } => {
                    Self::ProofFromFuture { issued_at: *issued_at, now: *now, max_clock_skew_secs: *max_ahead_secs }
                }
            },
        }
    }
}

fn of_token(error: &TokenError) -> Denial {
    // A token stands alone: it is the root of its chain.
    let token = 0;
    match error {
        TokenError::Signature => Denial::CapabilitySignatureInvalid { token },
        TokenError::Audience => Denial::CapabilityAudienceMismatch { token },
        TokenError::Certificate => Denial::ProofSenderMismatch,
        TokenError::Early { from, now } => Denial::CapabilityNotYetValid { token, issued_at: *from, now: *now },
        TokenError::Expired { expires_at, now } => {
            Denial::CapabilityExpired { token, expires_at: *expires_at, now: *now }
        }
        TokenError::Keys(why) => {
            Denial::StoreUnavailable { store: "issuer's keys", step: Step::Authority, reason: excerpt(why) }
        }
        TokenError::Jws(_)
        | TokenError::Unknown
        | TokenError::Type
        | TokenError::Issuer
        | TokenError::Claim(_)
        | TokenError::Unbound
        | TokenError::Bound => Denial::CapabilityMalformed { reason: error.to_string() },
    }
}
