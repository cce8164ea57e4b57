//! Why a proof is refused.

use std::fmt;

use crate::claims::BadClaim;
use crate::jwk::JwkError;
use crate::jws::JwsError;

/// Why a proof is refused, in the order of RFC 9449 section 4.3, whose number each has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// 1: there is none.
    Missing,
    /// 1: there is more than one.
    Several,
    /// 2 and 5: it is no JWS that is read here, or its `alg` is not allowed.
    Jws(JwsError),
    /// 3: a claim is missing, or of the wrong type or length.
    Claim(&'static str),
    /// 4: its `typ` is another.
    Type,
    /// 6: the signature is not that of its key.
    Signature,
    /// 7: its key is missing, private or none that is used here.
    Key(JwkError),
    /// 8: it was made for another method.
    Method,
    /// 9: it was made for another URL.
    Url,
    /// 10: its nonce is none that was given out for it, or is too old.
    Nonce,
    /// 11: it is too old.
    Stale {
        /// When it was made.
        issued_at: u64,
        /// The time.
        now: u64,
        /// How old it may be.
        max_age_secs: u64,
    },
    /// 11: it is dated ahead, or not valid yet by its own word.
    Future {
        /// From when on it is valid.
        issued_at: u64,
        /// The time.
        now: u64,
        /// How far ahead it may be.
        max_ahead_secs: u64,
    },
    /// 12: it was made for another token, or for none.
    Token,
    /// 12: it was made by another key than the token is for.
    Binding,
    /// It was made for another query, or for none.
    Query,
    /// It was made for another body, or for none.
    Body,
    /// It does not cover the key that the answer is to be sealed for.
    ResponseKey,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no proof"),
            Self::Several => f.write_str("there is more than one proof"),
            Self::Jws(error) => write!(f, "{error}"),
            Self::Claim(name) => write!(f, "its `{name}` is missing, or not as it has to be"),
            Self::Type => f.write_str("its `typ` is not `dpop+jwt`"),
            Self::Signature => f.write_str("its signature is not that of its key"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Method => f.write_str("it was made for another method"),
            Self::Url => f.write_str("it was made for another URL"),
            Self::Nonce => f.write_str("its nonce is none that is valid here"),
            Self::Stale { issued_at, now, max_age_secs } => {
                write!(f, "it is dated {issued_at}, more than {max_age_secs} s before {now}")
            }
            Self::Future { issued_at, now, max_ahead_secs } => {
                write!(f, "it is dated {issued_at}, more than {max_ahead_secs} s after {now}")
            }
            Self::Token => f.write_str("it was made for another token, or for none"),
            Self::Binding => f.write_str("it was made by another key than the token is for"),
            Self::Query => f.write_str("it was made for another query, or for none"),
            Self::Body => f.write_str("it was made for another body, or for none"),
            Self::ResponseKey => f.write_str("it does not cover `Response-Key`"),
        }
    }
}

impl std::error::Error for ProofError {}

impl From<BadClaim> for ProofError {
    fn from(BadClaim(name): BadClaim) -> Self {
        Self::Claim(name)
    }
}

impl From<JwsError> for ProofError {
    fn from(error: JwsError) -> Self {
        if error == JwsError::Signature { Self::Signature } else { Self::Jws(error) }
    }
}
