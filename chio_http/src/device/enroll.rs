//! The desk where devices are enrolled: a challenge, and the signature of the new key over it.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits};
use chio_core::crypto::Algorithm;
use chio_core::digest::Digest;
use chio_kernel::clock::Clock;
use chio_kernel::store::{Standing, key_id};
use chio_store::{Entry, Put, Room, Table};
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;

use super::book::{DeviceBook, Enrolled};
use super::possession::{HeaderNames, is_signed};
use super::record::{Device, DeviceId, MAX_NAME_BYTES};
use super::status::Clients;
use super::token::{BearerToken, BearerTokens};
use crate::authorization::{Unclear, bearer};
use crate::body::{Body, whole};
use crate::failure::{DeviceError, Failure};
use crate::json::{is_json, said};
use crate::jwk::{Jwk, Thumbprint};
use crate::origin::Origin;
use crate::problem::{STORE_UNAVAILABLE, UNAVAILABLE};

/// Where a challenge is asked for.
pub const CHALLENGE_PATH: &str = "/device/challenge";

/// Where it is answered.
pub const ENROLL_PATH: &str = "/device/enroll";

/// The first line of what a key signs to be enrolled.
pub const ENROLLMENT_LABEL: &str = "chio-device-enrollment-v1";

/// How long a challenge waits for its answer, in seconds.
pub const CHALLENGE_SECS: u64 = 60;

/// How many challenges may wait, in all and of one subject.
const CHALLENGES: Room = Room { table: 100_000, owner: 16 };

/// How much of a request is read, in bytes.
const MAX_REQUEST_BYTES: usize = 8 << 10;

/// What a key signs to be enrolled. No field has a line's end in it.
#[derive(Clone, Copy, Debug)]
pub struct EnrollmentText<'a> {
    /// Where clients reach the service.
    pub origin: &'a str,
    /// Who issued the token.
    pub issuer: &'a str,
    /// Whom it is about.
    pub subject: &'a str,
    /// Its session: its `sid`, or the digest of what its signature covers.
    pub session: &'a str,
    /// The challenge.
    pub challenge: &'a str,
    /// The key.
    pub key: Thumbprint,
}

impl EnrollmentText<'_> {
    /// The text. It has no line's end after the last line.
    pub fn text(&self) -> String {
        let Self { origin, issuer, subject, session, challenge, key } = self;
        format!("{ENROLLMENT_LABEL}\n{origin}\n{issuer}\n{subject}\n{session}\n{challenge}\n{key}")
    }
}

/// Why there is no challenge, or no device.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EnrollError {
    Request(&'static str),
    /// The token, or the client application, or what is remembered.
    Failure(Failure),
    /// The challenge is none of this session's, or was answered before.
    Challenge,
    Key,
    Signature,
    /// The device was enrolled before, and has been turned away since.
    TurnedAway(Standing),
    TooMany,
    /// The subject has as many challenges as one may have.
    Busy,
    Unavailable,
}

impl<E: Into<Failure>> From<E> for EnrollError {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

impl EnrollError {
    fn answer(&self) -> Response<Body> {
        use StatusCode as Is;
        let (status, error, detail) = match self {
            Self::Request(what) => (Is::BAD_REQUEST, "invalid_request", Some(*what)),
            Self::Failure(Failure::Token(crate::issuer::TokenError::Keys(_)) | Failure::Records(_))
            | Self::Unavailable => (Is::SERVICE_UNAVAILABLE, UNAVAILABLE, None),
            Self::Failure(Failure::NoCredentials) => (Is::UNAUTHORIZED, "", None),
            Self::Failure(Failure::Client(Standing::Banned)) => (Is::FORBIDDEN, "client_banned", None),
            Self::Failure(Failure::Client(_)) => (Is::FORBIDDEN, "client_suspended", None),
            Self::Failure(Failure::Device(DeviceError::Taken)) => (Is::CONFLICT, "session_of_another_device", None),
            Self::Failure(_) => (Is::UNAUTHORIZED, "invalid_token", None),
            Self::Challenge => (Is::FORBIDDEN, "invalid_challenge", None),
            Self::Key => {
                (Is::BAD_REQUEST, "invalid_key", Some("the key is a public one of P-256 or Ed25519, as a JWK"))
            }
            Self::Signature => (Is::FORBIDDEN, "invalid_signature", None),
            Self::TurnedAway(Standing::Banned) => (Is::FORBIDDEN, "device_banned", None),
            Self::TurnedAway(_) => (Is::FORBIDDEN, "device_suspended", None),
            Self::TooMany => (Is::CONFLICT, "too_many_devices", None),
            Self::Busy => (Is::TOO_MANY_REQUESTS, "too_many_challenges", None),
        };
        let mut answer = match self {
            Self::Failure(Failure::Records(_)) => {
                crate::problem::problem(status, STORE_UNAVAILABLE, "Try again later.", detail, Some(error))
            }
            _ => problem(status, error, detail),
        };
        let headers = answer.headers_mut();
        if status == Is::UNAUTHORIZED {
            let challenge = if error.is_empty() { "Bearer" } else { r#"Bearer error="invalid_token""# };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if status == Is::SERVICE_UNAVAILABLE || status == Is::TOO_MANY_REQUESTS {
            headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }
}

fn problem(status: StatusCode, error: &'static str, detail: Option<&str>) -> Response<Body> {
    let (code, error) = if error.is_empty() { ("invalid_token", None) } else { (error, Some(error)) };
    crate::problem::problem(status, code, status.canonical_reason().unwrap_or_default(), detail, error)
}

/// Enrols devices.
pub struct EnrollmentDesk {
    tokens: Arc<BearerTokens>,
    book: Arc<DeviceBook>,
    clients: Arc<Clients>,
    names: HeaderNames,
    origin: Origin,
    clock: Box<dyn Clock>,
    random: SystemRandom,
}

impl fmt::Debug for EnrollmentDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrollmentDesk({})", self.origin.as_str())
    }
}

impl EnrollmentDesk {
    /// With the tokens, devices and client applications of the scheme, for the service at this origin. What the headers of a
    /// proof are called is told to who has enrolled.
    pub fn new(
        tokens: Arc<BearerTokens>,
        book: Arc<DeviceBook>,
        clients: Arc<Clients>,
        names: HeaderNames,
        origin: Origin,
        clock: impl Clock + 'static,
    ) -> Self {
        Self { tokens, book, clients, names, origin, clock: Box::new(clock), random: SystemRandom::new() }
    }

    /// Whether a path is one of the desk's.
    pub fn has(path: &str) -> bool {
        path == CHALLENGE_PATH || path == ENROLL_PATH
    }

    /// Answers an HTTP request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.answered(request).await {
            Ok(answer) => answer,
            Err(error) => error.answer(),
        }
    }

    async fn answered(&self, request: Request<Body>) -> Result<Response<Body>, EnrollError> {
        let (parts, body) = request.into_parts();
        if parts.uri.query().is_some() || !Self::has(parts.uri.path()) {
            return Ok(problem(StatusCode::NOT_FOUND, "invalid_request", None));
        }
        if parts.method != Method::POST {
            return Ok(problem(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", None));
        }
        let now = self.clock.now().map_err(|_| EnrollError::Unavailable)?;
        // A stranger's body is not read.
        let token = bearer(&parts.headers).map_err(|_| EnrollError::Request(Unclear::TOLD))?;
        let token = self.tokens.verify(token.ok_or(Failure::NoCredentials)?).await?;
        token.check_time(now)?;
        self.clients.check(&token, now).await?;
        if parts.uri.path() == CHALLENGE_PATH {
            return self.challenge(&token, now).await;
        }
        if !is_json(&parts.headers) {
            return Ok(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", None));
        }
        let body = whole(body, MAX_REQUEST_BYTES).await.map_err(|_| EnrollError::Request("the body is too long"))?;
        let asked = Asked::read(&body)?;
        self.enroll(&token, asked, now).await
    }

    /// A challenge for the token's session. It is answered once, and within a minute.
    async fn challenge(&self, token: &BearerToken, now: u64) -> Result<Response<Body>, EnrollError> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| EnrollError::Unavailable)?;
        let challenge = Base64UrlUnpadded::encode_string(&bytes);
        let until = now.saturating_add(CHALLENGE_SECS);
        let entry = Entry {
            key: key_of(&challenge),
            owner: token.owner(),
            value: token.session().as_bytes().to_vec(),
            until: Some(until),
        };
        let put = self.book.records().put(Table::Challenge, entry, None, CHALLENGES, now).await;
        match put.map_err(|error| EnrollError::Failure(Failure::Records(error.to_string())))? {
            Put::Kept => {}
            Put::OwnerFull => return Err(EnrollError::Busy),
            Put::Full | Put::Differs => return Err(EnrollError::Unavailable),
        }
        let answer = json!({
            "challenge": challenge, "expires_at": until, "iss": token.issuer(), "origin": self.origin.as_str(),
            "session": token.session_text(), "sub": token.subject(),
        });
        Ok(said(StatusCode::OK, &answer))
    }

    async fn enroll(&self, token: &BearerToken, asked: Asked, now: u64) -> Result<Response<Body>, EnrollError> {
        let Asked { challenge, key, name, signature } = asked;
        // Whatever comes of it: it was answered.
        let waiting = self.book.records().take(Table::Challenge, key_of(&challenge), now).await;
        let waiting = waiting.map_err(|error| EnrollError::Failure(Failure::Records(error.to_string())))?;
        let is_its = |entry: &Entry| entry.owner == token.owner() && entry.value == token.session().as_bytes();
        if !waiting.as_ref().is_some_and(is_its) {
            return Err(EnrollError::Challenge);
        }
        let session = token.session_text();
        let text = EnrollmentText {
            origin: self.origin.as_str(),
            issuer: token.issuer(),
            subject: token.subject(),
            session: &session,
            challenge: &challenge,
            key: key.thumbprint(),
        };
        if !is_signed(&key, text.text().as_bytes(), &signature) {
            return Err(EnrollError::Signature);
        }
        let id = DeviceId::of(token.issuer(), token.subject(), key.thumbprint());
        let standing = self.book.standings().worst(&[key_id(&id.principal())], now).await;
        match standing.map_err(|error| EnrollError::Failure(Failure::Records(error.to_string())))? {
            Standing::Good => {}
            Standing::Suspended { until } if until <= now => {}
            standing => return Err(EnrollError::TurnedAway(standing)),
        }
        let device = Device {
            id,
            issuer: token.issuer().to_owned(),
            subject: token.subject().to_owned(),
            client: token.client().map(str::to_owned),
            name,
            enrolled_at: now,
            key,
        };
        let status = match self.book.enroll(token, &device, now).await? {
            Enrolled::New => StatusCode::CREATED,
            Enrolled::Before => StatusCode::OK,
            Enrolled::TooMany => return Err(EnrollError::TooMany),
        };
        tracing::info!(target: "chio.audit", event = "device_enrolled", scheme = "device", sub = token.subject(), device = %id, at = now);
        let HeaderNames { device_id, timestamp, nonce, signature } = &self.names;
        let answer = json!({
            "device_id": id.to_string(),
            "headers": {
                "device_id": device_id.as_str(), "nonce": nonce.as_str(), "signature": signature.as_str(),
                "timestamp": timestamp.as_str(),
            },
        });
        Ok(said(status, &answer))
    }
}

fn key_of(challenge: &str) -> Digest {
    Digest::of_parts(&[b"chio-device-challenge", challenge.as_bytes()])
}

/// What is asked for.
struct Asked {
    challenge: String,
    key: Jwk,
    name: Option<String>,
    signature: Vec<u8>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, EnrollError> {
        let wrong = EnrollError::Request;
        let json = canonical::parse(body, Limits { bytes: MAX_REQUEST_BYTES, depth: 4 });
        let Ok(Json::Object(mut asked)) = json else { return Err(wrong("the body is no strict JSON object")) };
        let mut text = |name: &'static str, max: usize| match asked.take(name) {
            Some(Json::String(text)) if !text.is_empty() && text.len() <= max => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(wrong(name)),
        };
        let challenge = text("challenge", 64)?.ok_or(wrong("challenge"))?;
        let signature = text("signature", 128)?.ok_or(wrong("signature"))?;
        let name = text("name", MAX_NAME_BYTES)?;
        if name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(wrong("name"));
        }
        let key = asked.take("jwk").ok_or(wrong("jwk"))?;
        if asked.iter().next().is_some() {
            return Err(wrong("the body has a member that is not known"));
        }
        let key = Jwk::from_json(&key).map_err(|_| EnrollError::Key)?;
        let is_used = |algorithm| matches!(algorithm, Algorithm::P256 | Algorithm::Ed25519);
        if !key.public_key().is_some_and(|key| is_used(key.algorithm())) {
            return Err(EnrollError::Key);
        }
        let signature = Base64UrlUnpadded::decode_vec(&signature).map_err(|_| wrong("signature"))?;
        Ok(Self { challenge, key, name, signature })
    }
}
