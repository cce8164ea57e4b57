//! A client of a service that takes E-Keys: it keeps a key a session, asks for tokens, and makes proofs.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use chio_core::canonical::{self, Json, Limits};
use chio_core::crypto::Keypair;
use chio_core::error::SignError;
use chio_kernel::clock::{BoxFuture, Clock, KernelError};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::token::Cap;
use crate::dpop::ProofClaims;
use crate::jwk::public_jwk;
use crate::response_key::RESPONSE_KEY;
use crate::rfc9449::PROOF;

/// How many seconds before its end a token is no longer used.
const MARGIN_SECS: u64 = 5;

/// Asks an issuer. Who implements it sends the JSON by POST to the issuer's `/token`, with the client's secret, and gives
/// back the body of an answer of the status 200.
pub trait Transport: Send + Sync {
    /// Sends a request for a token.
    /// Fails where there is no such answer.
    fn ask(&self, request: String) -> BoxFuture<'_, Result<Vec<u8>, KernelError>>;
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The issuer gave no token.
    Issuer(String),
    /// The key refuses, or there is no randomness.
    Key(String),
    /// The clock cannot be read.
    Clock,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(why) => write!(f, "the issuer gave no token: {why}"),
            Self::Key(why) => f.write_str(why),
            Self::Clock => f.write_str("the clock cannot be read"),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<SignError> for SessionError {
    fn from(error: SignError) -> Self {
        Self::Key(error.to_string())
    }
}

/// A session: one key, made for it and never written down, and the token of the moment.
pub struct EKeySession<T, C> {
    key: Keypair,
    transport: T,
    clock: C,
    subject: String,
    audience: String,
    cap: Cap,
    current: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    token: String,
    trace: String,
    expires_at: u64,
    left: Option<u64>,
}

impl<T, C> fmt::Debug for EKeySession<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EKeySession({})", self.key.public_key())
    }
}

impl<T: Transport, C: Clock> EKeySession<T, C> {
    /// A session with a new key, for tokens about `subject`, for the service `audience`.
    /// Fails where there is no randomness.
    pub fn new(
        transport: T,
        clock: C,
        subject: impl Into<String>,
        audience: impl Into<String>,
        cap: Cap,
    ) -> Result<Self, SessionError> {
        let (subject, audience) = (subject.into(), audience.into());
        Ok(Self { key: Keypair::generate()?, transport, clock, subject, audience, cap, current: Mutex::default() })
    }

    /// The headers of one request: the token, renewed where it is about to end or used up, and a proof. `url` is the one that
    /// is requested; a body that is given is covered.
    /// Fails where there is no token, or no proof can be made.
    pub async fn headers(&self, method: &str, url: &str, body: Option<&[u8]>) -> Result<HeaderMap, SessionError> {
        self.headers_for(method, url, body, None).await
    }

    /// The same, with the key that the answer is to be sealed for: the proof covers it.
    /// Fails as [`Self::headers`].
    pub async fn headers_for(
        &self,
        method: &str,
        url: &str,
        body: Option<&[u8]>,
        response_key: Option<&str>,
    ) -> Result<HeaderMap, SessionError> {
        let now = self.clock.now().map_err(|_| SessionError::Clock)?;
        let current = match self.usable(now) {
            Some(current) => current,
            None => self.renewed().await?,
        };
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (token, nonce) = (Some(&*current.token), Some(&*current.trace));
        let proof = ProofClaims { method, url, now, token, nonce, query: None, body, response_key }.sign(&self.key)?;
        let value = |text: String| HeaderValue::try_from(text).map_err(|error| SessionError::Key(error.to_string()));
        let mut headers = HeaderMap::new();
        let mut authorization = value(format!("EKey {}", current.token))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(PROOF, value(proof)?);
        if let Some(key) = response_key {
            headers.insert(RESPONSE_KEY, value(key.to_owned())?);
        }
        Ok(headers)
    }

    /// The token of the moment, of whose calls one is taken.
    fn usable(&self, now: u64) -> Option<Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_mut().filter(|current| now.saturating_add(MARGIN_SECS) < current.expires_at)?;
        if let Some(left) = &mut current.left {
            *left = left.checked_sub(1)?;
        }
        Some(current.clone())
    }

    async fn renewed(&self) -> Result<Current, SessionError> {
        let jwk: serde_json::Value = serde_json::from_str(&public_jwk(&self.key.public_key())).unwrap_or_default();
        let cap: serde_json::Value =
            serde_json::from_slice(&self.cap.to_json().to_canonical_bytes()).unwrap_or_default();
        let asked = serde_json::json!({
            "sub": self.subject, "aud": self.audience, "bind": "DPoP", "cap": cap, "jwk": jwk,
        });
        let answer = self.transport.ask(asked.to_string()).await;
        let answer = answer.map_err(|error| SessionError::Issuer(error.to_string()))?;
        let wrong = || SessionError::Issuer("its answer is not understood".into());
        let json = canonical::parse(&answer, Limits::bytes(32 << 10)).map_err(|_| wrong())?;
        let object = json.as_object().ok_or_else(wrong)?;
        let text = |name: &str| object.get(name).and_then(Json::as_str).map(str::to_owned).ok_or_else(wrong);
        let expires_at = match object.get("expires_at") {
            Some(Json::Number(seconds)) => seconds.to_integer().and_then(|seconds| u64::try_from(seconds).ok()),
            _ => None,
        };
        let left = self.cap.limit.map(|limit| limit.saturating_sub(1));
        let new =
            Current { token: text("token")?, trace: text("trace")?, expires_at: expires_at.ok_or_else(wrong)?, left };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
        Ok(new)
    }
}
