//! Why a request is not let through, before the kernel has had its say; and how the kernel is told.

use std::fmt;

use chio_core::error::excerpt;
use chio_kernel::denial::{Binding, Denial, Step};

use crate::dpop::ProofError;
use crate::issuer::TokenError;

/// Why a scheme refuses what was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was presented, or by a scheme that is none here.
    NoCredentials,
    /// What was presented cannot be told: there is more than one, or it is no text.
    Request(&'static str),
    /// The token is refused.
    Token(TokenError),
    /// The proof is refused.
    Proof(ProofError),
    /// What the scheme remembers cannot be had.
    Store(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str("no credentials of a scheme of this service"),
            Self::Request(why) => f.write_str(why),
            Self::Token(error) => write!(f, "the token: {error}"),
            Self::Proof(error) => write!(f, "the proof: {error}"),
            Self::Store(why) => write!(f, "the records: {why}"),
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
            Failure::Token(error) => of_token(error),
            Failure::Store(why) => {
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
        | TokenError::Unbound => Denial::CapabilityMalformed { reason: error.to_string() },
    }
}
