//! Why an operation failed, and what an answer says.

use chio_kernel::store::KernelError;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value};

use super::options::ConnectError;

/// The largest number that a score in Redis holds exactly.
const MAX_EXACT: u64 = 1 << 53;

/// A number for a script.
pub(super) fn number(number: u64) -> String {
    number.min(MAX_EXACT).to_string()
}

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no memory left, and nothing was changed.
    Full,
    /// Another reason. The text has no secret in it.
    Other(String),
}

impl Failure {
    pub(super) fn new(reason: &str) -> Self {
        Self::Other(reason.to_owned())
    }

    pub(super) fn unexpected() -> Self {
        Self::new("Redis answered what it should not: was a key of the prefix changed by another hand?")
    }
}

impl From<Failure> for KernelError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::new("Redis has no memory left: raise `maxmemory`"),
            Failure::Other(reason) => Self::new(reason),
        }
    }
}

/// What went wrong, without what was sent: a server repeats arguments in its errors.
fn reason(error: &RedisError) -> String {
    match error.code() {
        Some(code) => code.to_owned(),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}

pub(super) fn refused(error: &RedisError) -> ConnectError {
    match error.kind() {
        ErrorKind::Io => ConnectError::Unreachable(reason(error)),
        _ => ConnectError::Refused(reason(error)),
    }
}

/// What an answer says.
pub(super) fn typed<T: FromRedisValue>(answer: Value) -> Result<T, Failure> {
    redis::from_redis_value(answer).map_err(|_| Failure::unexpected())
}

/// Whether the server is no longer the one to write to, or no longer lets this user.
pub(super) fn is_no_primary(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, NoPerm, ReadOnly};
    matches!(
        error.kind(),
        ErrorKind::Server(Ask | ClusterDown | MasterDown | Moved | NoPerm | ReadOnly) | ErrorKind::AuthenticationFailed
    ) || matches!(error.code(), Some("NOAUTH"))
}

pub(super) fn failure(error: &RedisError) -> Failure {
    // Redis 6 says it in the text of an error of the script.
    let is_full = error.code() == Some("OOM") || error.detail().is_some_and(|detail| detail.contains("-OOM "));
    if is_full { Failure::Full } else { Failure::Other(format!("Redis failed: {}", reason(error))) }
}
