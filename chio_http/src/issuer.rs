//! Tokens of configured issuers, as JWT (RFC 7519), each bound to a key or to a certificate (RFC 7800): what access tokens
//! and E-Keys have in common. A token is verified once, and remembered.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chio_core::canonical::{Json, Object};
use chio_core::digest::Digest;
use lru::LruCache;

use crate::claims::{BadClaim, Seconds, has, needed, text, time};
use crate::jwk::Thumbprint;
use crate::jws::{Alg, JwsError, MAX_TOKEN_BYTES, Unverified, Verified};
use crate::keys::{Keys, KeysError};

/// By how much the clocks of an issuer and this machine may differ, in seconds.
pub const MAX_DRIFT_SECS: u64 = 5;

/// How many verified tokens are remembered.
const CACHED: usize = 4096;

/// Who may issue tokens for this service.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its `iss`, exactly.
    pub name: String,
    /// The names of this service, one of which has to be in `aud`.
    pub audiences: Vec<String>,
    /// What it may sign with.
    pub algs: Vec<Alg>,
    /// Its keys.
    pub keys: Keys,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is a reference to nothing that is known here.
    Unknown,
    /// It is no JWS that is read here, or its `alg` is not allowed.
    Jws(JwsError),
    /// Its `typ` is another.
    Type,
    /// It is of an issuer that is not configured, or signed with a key that the issuer does not have.
    Issuer,
    /// The signature is not the issuer's.
    Signature,
    /// A claim is missing, or of the wrong type or length.
    Claim(&'static str),
    /// It is for others.
    Audience,
    /// It is bound to no key: whoever has it could use it (RFC 9449 section 7.2).
    Unbound,
    /// It is bound to a key or a certificate, and so is for a scheme that has it proven.
    Bound,
    /// It is bound to a certificate, and this connection has not shown that.
    Certificate,
    /// It is not valid yet.
    Early {
        /// From when on it is.
        from: u64,
        /// The time.
        now: u64,
    },
    /// It is no longer valid.
    Expired {
        /// Since when.
        expires_at: u64,
        /// The time.
        now: u64,
    },
    /// The issuer's keys cannot be had.
    Keys(String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("it is not known here"),
            Self::Jws(error) => write!(f, "{error}"),
            Self::Type => f.write_str("its `typ` is another"),
            Self::Issuer => f.write_str("its issuer, or the issuer's key, is not known here"),
            Self::Signature => f.write_str("its signature is not the issuer's"),
            Self::Claim(name) => write!(f, "its `{name}` is missing, or not as it has to be"),
            Self::Audience => f.write_str("it is for another audience"),
            Self::Unbound => f.write_str("it is bound to no key"),
            Self::Bound => f.write_str("it is bound, and so is for another scheme"),
            Self::Certificate => f.write_str("it is bound to another certificate"),
            Self::Early { from, now } => write!(f, "it is valid from {from}, and it is {now}"),
            Self::Expired { expires_at, now } => write!(f, "it expired at {expires_at}, and it is {now}"),
            Self::Keys(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TokenError {}

impl From<BadClaim> for TokenError {
    fn from(BadClaim(name): BadClaim) -> Self {
        Self::Claim(name)
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        if error == JwsError::Signature { Self::Signature } else { Self::Jws(error) }
    }
}

impl From<KeysError> for TokenError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Unknown => Self::Issuer,
            KeysError::Unavailable(_) | KeysError::Place(_) => Self::Keys(error.to_string()),
        }
    }
}

pub(crate) fn check_time(begins: Option<Seconds>, expires_at: u64, now: u64) -> Result<(), TokenError> {
    if let Some(begins) = begins.filter(|begins| begins.ceil > now.saturating_add(MAX_DRIFT_SECS)) {
        return Err(TokenError::Early { from: begins.ceil, now });
    }
    if now >= expires_at { Err(TokenError::Expired { expires_at, now }) } else { Ok(()) }
}

/// The later of `iat` and `nbf`.
pub(crate) fn begins(claims: &Object) -> Result<Option<Seconds>, BadClaim> {
    let (issued, valid) = (time(claims, "iat")?, time(claims, "nbf")?);
    Ok([issued, valid].into_iter().flatten().max_by_key(|seconds| seconds.ceil))
}

/// What a token is bound to: `cnf.jkt` (RFC 9449 section 6.1), `cnf.x5t#S256` (RFC 8705 section 3.1), or both.
pub(crate) fn confirmation(claims: &Object) -> Result<(Option<Thumbprint>, Option<Thumbprint>), TokenError> {
    let confirmation = match claims.get("cnf") {
        None => return Err(TokenError::Unbound),
        Some(Json::Object(confirmation)) => confirmation,
        Some(_) => return Err(TokenError::Claim("cnf")),
    };
    let of = |name| match text(confirmation, name) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => Thumbprint::parse(text).map(Some).ok_or(TokenError::Claim("cnf")),
        Err(_) => Err(TokenError::Claim("cnf")),
    };
    match (of("jkt")?, of("x5t#S256")?) {
        (None, None) => Err(TokenError::Unbound),
        bound => Ok(bound),
    }
}

struct Cached<T> {
    token: Arc<T>,
    issuer: usize,
    generation: u64,
}

/// Verifies tokens of one kind, and remembers which hold.
pub(crate) struct Tokens<T> {
    issuers: Vec<Issuer>,
    cache: Mutex<LruCache<Digest, Cached<T>>>,
}

impl<T> fmt::Debug for Tokens<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl<T> Tokens<T> {
    pub(crate) fn new(issuers: Vec<Issuer>) -> Self {
        Self { issuers, cache: Mutex::new(LruCache::new(NonZeroUsize::new(CACHED).unwrap_or(NonZeroUsize::MIN))) }
    }

    /// Verifies a token, once: a text that was found to hold holds for as long as its issuer has the same keys. When it is
    /// valid is looked at in every call. `read` is told the digest of its text, too.
    /// Fails where it is none of a configured issuer for this service, its `typ` is not of this kind, or `read` fails.
    pub(crate) async fn verify(
        &self,
        text: &str,
        is_typ: fn(Option<&str>) -> bool,
        read: impl Fn(&Verified<'_>, &Object, &Issuer, Digest) -> Result<T, TokenError> + Send,
    ) -> Result<Arc<T>, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Jws(JwsError::TooLong));
        }
        let name = Digest::of(text.as_bytes());
        match self.cached(name) {
            Some(token) => Ok(token),
            // In a box: a token that is known waits for none of it, and needs no room for it.
            None => Box::pin(self.verify_new(text, name, is_typ, read)).await,
        }
    }

    async fn verify_new(
        &self,
        text: &str,
        name: Digest,
        is_typ: fn(Option<&str>) -> bool,
        read: impl Fn(&Verified<'_>, &Object, &Issuer, Digest) -> Result<T, TokenError> + Send,
    ) -> Result<Arc<T>, TokenError> {
        let unverified = Unverified::parse(text, MAX_TOKEN_BYTES, &Alg::OF_ISSUERS)?;
        let typ = match unverified.header.get("typ") {
            None => None,
            Some(typ) => Some(typ.as_str().ok_or(TokenError::Type)?),
        };
        if !is_typ(typ) {
            return Err(TokenError::Type);
        }
        // Whose it claims to be says only with whose keys to look at it.
        let claimed = unverified.unverified_claims().ok_or(TokenError::Jws(JwsError::Claims))?;
        let iss = needed(&claimed, "iss", 512)?;
        let found = self.issuers.iter().enumerate().find(|(_, issuer)| issuer.name == iss);
        let (index, issuer) = found.ok_or(TokenError::Issuer)?;
        if !issuer.algs.contains(&unverified.alg()) {
            return Err(TokenError::Jws(JwsError::Alg));
        }
        let (key, generation) = issuer.keys.find(&unverified).await?;
        let verified = unverified.verify(&key)?;
        let claims = verified.claims()?;
        if !has(&claims, "aud", &issuer.audiences)? {
            return Err(TokenError::Audience);
        }
        let token = Arc::new(read(&verified, &claims, issuer, name)?);
        let cached = Cached { token: Arc::clone(&token), issuer: index, generation };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(name, cached);
        Ok(token)
    }

    fn cached(&self, name: Digest) -> Option<Arc<T>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Cached { token, issuer, generation } = cache.get(&name)?;
        let keys = &self.issuers.get(*issuer)?.keys;
        if keys.generation() != Some(*generation) {
            cache.pop(&name);
            return None;
        }
        keys.keep_fresh();
        Some(Arc::clone(token))
    }
}
