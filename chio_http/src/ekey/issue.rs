//! Who issues E-Keys: `POST /token`.
//!
//! A client may ask for what its owner has configured, and for no more: what is asked for is issued as it is or refused,
//! never made smaller in silence.

use std::fmt;
use std::sync::{Arc, OnceLock};

use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::crypto::{PublicKey, SigningBackend, random_hex};
use chio_core::digest::Digest;
use chio_kernel::Kernel;
use chio_kernel::clock::Clock;
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use ring::hmac;

use super::token::{ALGS, Cap, DEFAULT_TTL_SECS, MAX_TTL_SECS, number};
use crate::authorization::bearer;
use crate::body::{Body, whole};
use crate::client_certificate::ClientCertificate;
use crate::json::{is_json, said};
use crate::jwk::{Jwk, Thumbprint};
use crate::jws::{self, Alg};
use crate::problem::UNAVAILABLE;

/// How much of a request is read, in bytes.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// Where E-Keys are asked for.
pub const PATH: &str = "/token";

/// Who may ask, and for what at most.
#[derive(Clone, Debug)]
pub struct IssuerClient {
    /// The SHA-256 of its secret. The secret itself is not kept, and is to be random: 32 bytes or more.
    pub secret: Digest,
    /// Whom its tokens may be about.
    pub subjects: Vec<String>,
    /// What services they may be for.
    pub audiences: Vec<String>,
    /// The actions that they may name, by their exact texts.
    pub actions: Vec<String>,
    /// The scopes that they may have.
    pub scopes: Vec<String>,
    /// The finer rights that they may name.
    pub subcaps: Vec<String>,
    /// How long they may live: never longer than [`MAX_TTL_SECS`].
    pub max_ttl_secs: u64,
    /// How many requests they may allow; without it, any number, and they need no limit.
    pub max_limit: Option<u64>,
}

/// Why no E-Key is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueError {
    /// The request cannot be read, or asks for what nobody can have.
    InvalidRequest(&'static str),
    /// It is not from a client that is known here.
    InvalidClient,
    /// The client may not have this issued.
    CapabilityMismatch(&'static str),
    /// The key that signs refuses, the clock cannot be read, or there is no randomness.
    Unavailable,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest(what) => write!(f, "the request's `{what}` is missing, or not as it has to be"),
            Self::InvalidClient => f.write_str("the client is not known here"),
            Self::CapabilityMismatch(what) => write!(f, "the client may not have this `{what}`"),
            Self::Unavailable => f.write_str("nothing can be issued now"),
        }
    }
}

impl std::error::Error for IssueError {}

/// An E-Key, and what its holder has to know of it. Whoever has no key to it can do nothing with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// The first second at which it is no longer valid.
    pub expires_at: u64,
    /// The `nonce` of its proofs.
    pub trace: String,
    /// `jkt` or `x5t#S256`, and of what.
    pub confirmation: (&'static str, Thumbprint),
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued(until {})", self.expires_at)
    }
}

/// Issues E-Keys. A clone is another handle to the same issuer.
#[derive(Clone)]
pub struct EKeyIssuer(Arc<Inner>);

struct Inner {
    name: String,
    key: Box<dyn SigningBackend>,
    kid: String,
    clients: Vec<IssuerClient>,
    clock: Box<dyn Clock>,
    kernel: OnceLock<Kernel>,
    /// Digests are compared by their MACs, in constant time.
    mac: hmac::Key,
}

impl fmt::Debug for EKeyIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EKeyIssuer({})", self.0.name)
    }
}

impl EKeyIssuer {
    /// An issuer of that name (`iss`). Its key is named by its thumbprint.
    /// Fails where the key is of another algorithm than E-Keys are signed with, or there is no randomness.
    pub fn new(
        name: impl Into<String>,
        key: impl SigningBackend + 'static,
        clients: Vec<IssuerClient>,
        clock: impl Clock + 'static,
    ) -> Result<Self, IssueError> {
        let mac = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new());
        let mac = mac.map_err(|_| IssueError::Unavailable)?;
        let jwk = Jwk::of(&key.public_key()).map_err(|_| IssueError::Unavailable)?;
        if !ALGS.contains(&Alg::of(key.algorithm())) {
            return Err(IssueError::InvalidRequest("key"));
        }
        let (kid, key, clock) = (jwk.thumbprint().to_string(), Box::new(key), Box::new(clock));
        Ok(Self(Arc::new(Inner { name: name.into(), key, kid, clients, clock, mac, kernel: OnceLock::new() })))
    }

    /// From now on its traces are nonces of this kernel, which decides on the requests that are sent with its tokens: right
    /// after a start, a proof with one of them is known to be made since.
    pub fn traces_of(&self, kernel: Kernel) {
        // Were it told twice, the first would stay.
        drop(self.0.kernel.set(kernel));
    }

    /// The key that it signs with.
    pub fn public_key(&self) -> PublicKey {
        self.0.key.public_key()
    }

    /// Issues an E-Key. `secret` is what stands after `Bearer` in the one `Authorization`, `certificate` what the client has
    /// shown in the TLS handshake.
    /// Fails with the reason why none is issued.
    pub fn issue(
        &self,
        secret: &str,
        request: &[u8],
        certificate: Option<&ClientCertificate>,
    ) -> Result<Issued, IssueError> {
        use IssueError::{CapabilityMismatch, InvalidRequest};
        let client = self.client(secret).ok_or(IssueError::InvalidClient)?;
        let json = canonical::parse(request, Limits { bytes: MAX_REQUEST_BYTES, depth: 8 });
        let Ok(Json::Object(mut asked)) = json else { return Err(InvalidRequest("body")) };
        let mut text = |name: &'static str| match asked.take(name) {
            Some(Json::String(text)) if !text.is_empty() && text.len() <= 256 => Ok(text),
            _ => Err(InvalidRequest(name)),
        };
        let (sub, aud, bind) = (text("sub")?, text("aud")?, text("bind")?);
        let ttl = match asked.take("ttl") {
            None => DEFAULT_TTL_SECS.min(client.max_ttl_secs).min(MAX_TTL_SECS),
            Some(Json::Number(ttl)) => ttl
                .to_integer()
                .and_then(|ttl| u64::try_from(ttl).ok())
                .filter(|ttl| (1..=MAX_TTL_SECS).contains(ttl))
                .ok_or(InvalidRequest("ttl"))?,
            Some(_) => return Err(InvalidRequest("ttl")),
        };
        let cap = asked.take("cap").as_ref().and_then(Cap::from_json).ok_or(InvalidRequest("cap"))?;
        let jwk = asked.take("jwk");
        if asked.iter().next().is_some() {
            return Err(InvalidRequest("body"));
        }
        let confirmation = match (bind.as_str(), jwk) {
            ("DPoP", Some(jwk)) => {
                let jwk = Jwk::from_json(&jwk).ok().filter(|jwk| jwk.public_key().is_some());
                ("jkt", jwk.ok_or(InvalidRequest("jwk"))?.thumbprint())
            }
            ("mTLS", None) => {
                let shown = certificate.ok_or(InvalidRequest("bind"))?;
                ("x5t#S256", Thumbprint(Digest::of(&shown.der)))
            }
            ("DPoP" | "mTLS", _) => return Err(InvalidRequest("jwk")),
            _ => return Err(InvalidRequest("bind")),
        };
        if !client.subjects.contains(&sub) {
            return Err(CapabilityMismatch("sub"));
        }
        if !client.audiences.contains(&aud) {
            return Err(CapabilityMismatch("aud"));
        }
        if ttl > client.max_ttl_secs {
            return Err(CapabilityMismatch("ttl"));
        }
        check_cap(&cap, client)?;
        self.sign(&sub, &aud, ttl, &cap, confirmation)
    }

    fn sign(
        &self,
        sub: &str,
        aud: &str,
        ttl: u64,
        cap: &Cap,
        confirmation: (&'static str, Thumbprint),
    ) -> Result<Issued, IssueError> {
        let now = self.0.clock.now().map_err(|_| IssueError::Unavailable)?;
        let trace = match self.0.kernel.get() {
            Some(kernel) => kernel.new_nonce().map_err(|_| IssueError::Unavailable)?,
            None => random_hex().map_err(|_| IssueError::Unavailable)?,
        };
        let expires_at = now.saturating_add(ttl);
        let text = |text: &str| Json::String(text.to_owned());
        let object = |members| Object::new(members).map(Json::Object).ok_or(IssueError::Unavailable);
        let time = |seconds| number(seconds).ok_or(IssueError::Unavailable);
        let bound = object(vec![(confirmation.0.to_owned(), text(&confirmation.1.to_string()))])?;
        let claims = object(vec![
            ("iss".to_owned(), text(&self.0.name)),
            ("sub".to_owned(), text(sub)),
            ("aud".to_owned(), text(aud)),
            ("iat".to_owned(), time(now)?),
            ("exp".to_owned(), time(expires_at)?),
            ("trace".to_owned(), text(&trace)),
            ("cap".to_owned(), cap.to_json()),
            ("cnf".to_owned(), bound),
        ])?;
        let header = format!(r#""kid":"{}","typ":"EKEY""#, self.0.kid);
        let token = jws::sign(&*self.0.key, &header, &claims.to_canonical_bytes());
        Ok(Issued { token: token.map_err(|_| IssueError::Unavailable)?, expires_at, trace, confirmation })
    }

    /// The client with that secret. All are compared, whichever it is.
    fn client(&self, secret: &str) -> Option<&IssuerClient> {
        let presented = hmac::sign(&self.0.mac, Digest::of(secret.as_bytes()).as_bytes());
        let is_its =
            |client: &&IssuerClient| hmac::verify(&self.0.mac, client.secret.as_bytes(), presented.as_ref()).is_ok();
        let found: Vec<_> = self.0.clients.iter().filter(is_its).collect();
        found.first().copied()
    }

    /// Answers an HTTP request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        if parts.uri.path() != PATH || parts.uri.query().is_some() {
            return problem(StatusCode::NOT_FOUND, "invalid_request");
        }
        if parts.method != Method::POST {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "invalid_request");
        }
        if !is_json(&parts.headers) {
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request");
        }
        let Ok(Some(secret)) = bearer(&parts.headers) else { return refused(IssueError::InvalidClient) };
        // A stranger's body is not read.
        if self.client(secret).is_none() {
            return refused(IssueError::InvalidClient);
        }
        let Ok(body) = whole(body, MAX_REQUEST_BYTES).await else { return refused(IssueError::InvalidRequest("body")) };
        match self.issue(secret, &body, parts.extensions.get::<ClientCertificate>()) {
            Ok(issued) => issued.answer(),
            Err(error) => refused(error),
        }
    }
}

fn check_cap(cap: &Cap, client: &IssuerClient) -> Result<(), IssueError> {
    let is_action = |name: &str| client.actions.iter().any(|action| action == name);
    if !cap.actions.iter().all(|action| is_action(action.tool_name())) {
        return Err(IssueError::CapabilityMismatch("action"));
    }
    let is_scope = |scope: &str| client.scopes.iter().any(|one| one == scope);
    if !cap.scope.iter().flat_map(|all| all.split(' ')).all(is_scope) {
        return Err(IssueError::CapabilityMismatch("scope"));
    }
    if !cap.subcap.iter().all(|name| client.subcaps.contains(name)) {
        return Err(IssueError::CapabilityMismatch("subcap"));
    }
    match client.max_limit {
        Some(most) if cap.limit.is_none_or(|limit| limit > most) => Err(IssueError::CapabilityMismatch("limit")),
        _ => Ok(()),
    }
}

impl Issued {
    fn answer(&self) -> Response<Body> {
        let (name, thumbprint) = &self.confirmation;
        let confirmation = serde_json::json!({ *name: thumbprint.to_string() });
        let answer = serde_json::json!({
            "token": self.token, "expires_at": self.expires_at, "cnf": confirmation, "trace": self.trace,
        });
        said(StatusCode::OK, &answer)
    }
}

fn refused(error: IssueError) -> Response<Body> {
    match error {
        IssueError::InvalidRequest(_) => problem(StatusCode::BAD_REQUEST, "invalid_request"),
        IssueError::CapabilityMismatch(_) => problem(StatusCode::FORBIDDEN, "capability_mismatch"),
        IssueError::Unavailable => problem(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE),
        IssueError::InvalidClient => {
            let mut answer = problem(StatusCode::UNAUTHORIZED, "invalid_client");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
    }
}

fn problem(status: StatusCode, error: &'static str) -> Response<Body> {
    crate::problem::problem(status, error, status.canonical_reason().unwrap_or_default(), None, Some(error))
}
