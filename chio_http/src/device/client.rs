//! A client with a device key: it enrols the key once, and signs every request with it.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::crypto::{SigningBackend, random_hex};
use chio_core::digest::Digest;
use chio_core::error::SignError;
use chio_kernel::clock::{BoxFuture, KernelError};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri};

use super::enroll::{CHALLENGE_PATH, ENROLL_PATH, EnrollmentText};
use super::possession::{HeaderNames, REQUEST_LABEL, signed};
use crate::jwk::{Jwk, public_jwk};
use crate::jws::MAX_TOKEN_BYTES;
use crate::origin::Origin;
use crate::response_key::RESPONSE_KEY;
use crate::signed_request::{Proven, SignedRequest};

/// How much of an answer is read, in bytes.
const MAX_ANSWER_BYTES: usize = 32 << 10;

/// Asks the service. Who implements it sends the JSON by POST to that path of the service, with
/// `Authorization: Bearer TOKEN`, and gives back the body of an answer of the status 200 or 201.
pub trait DeviceTransport: Send + Sync {
    /// Sends a request of an enrolment.
    /// Fails where there is no such answer.
    fn post<'a>(
        &'a self,
        path: &'static str,
        token: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<u8>, KernelError>>;
}

/// Why there is no device, or no signature of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceClientError {
    /// The service does not enrol it.
    Service(String),
    /// The key refuses, or there is no randomness.
    Key(String),
    /// The token is no JWT with an issuer and a subject, the URL or the origin is none, or a value is no header's.
    Input(&'static str),
}

impl fmt::Display for DeviceClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(why) => write!(f, "the service does not enrol the device: {why}"),
            Self::Key(why) => f.write_str(why),
            Self::Input(what) => write!(f, "the {what} is none that can be used"),
        }
    }
}

impl std::error::Error for DeviceClientError {}

impl From<SignError> for DeviceClientError {
    fn from(error: SignError) -> Self {
        Self::Key(error.to_string())
    }
}

/// A request that is to be signed.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL, at the origin of the device.
    pub url: &'a str,
    /// Its body; none is no bytes.
    pub body: &'a [u8],
    /// The token.
    pub token: &'a str,
    /// The time, in Unix seconds.
    pub now: u64,
    /// The key that the answer is to be sealed for, as it is sent.
    pub response_key: Option<&'a str>,
    /// What the service gave in `DPoP-Nonce` with the error `use_nonce`: the nonce begins with it.
    pub nonce: Option<&'a str>,
}

/// What a service knows a key as.
pub struct DeviceClient {
    origin: Origin,
    id: String,
    names: HeaderNames,
}

impl fmt::Debug for DeviceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceClient({} at {})", self.id, self.origin.as_str())
    }
}

impl DeviceClient {
    /// Enrols a key in the session of a token, at a service that is reached at this origin. `name` is what its owner calls
    /// the device. A key that is enrolled again is the device that it was.
    /// Fails where the service refuses.
    pub async fn enroll(
        transport: &dyn DeviceTransport,
        key: &dyn SigningBackend,
        origin: &Origin,
        token: &str,
        name: Option<&str>,
    ) -> Result<Self, DeviceClientError> {
        let failed = |error: KernelError| DeviceClientError::Service(error.to_string());
        let answer = object(&transport.post(CHALLENGE_PATH, token, String::new()).await.map_err(failed)?)?;
        let challenge = text(&answer, "challenge")?;
        // Where the service is, and whose session it is, is known here: who stands in between could say something else.
        let (issuer, subject, session) = session_of(token)?;
        let jwk = public_jwk(&key.public_key());
        let thumbprint = Jwk::of(&key.public_key()).map_err(|error| DeviceClientError::Key(error.to_string()))?;
        let covered = EnrollmentText {
            origin: origin.as_str(),
            issuer: &issuer,
            subject: &subject,
            session: &session,
            challenge,
            key: thumbprint.thumbprint(),
        };
        let signature = signed(key, covered.text().as_bytes())?;
        let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap_or_default();
        let mut asked = serde_json::json!({ "challenge": challenge, "jwk": jwk, "signature": signature });
        if let (Some(name), Some(asked)) = (name, asked.as_object_mut()) {
            asked.insert("name".to_owned(), name.into());
        }
        let answer = transport.post(ENROLL_PATH, token, asked.to_string()).await.map_err(failed)?;
        Self::of(origin.clone(), &object(&answer)?)
    }

    fn of(origin: Origin, answer: &Object) -> Result<Self, DeviceClientError> {
        let id = text(answer, "device_id")?.to_owned();
        let headers = answer.get("headers").and_then(Json::as_object).ok_or_else(not_understood)?;
        let name = |name| HeaderName::try_from(text(headers, name)?).map_err(|_| not_understood());
        let (device_id, timestamp) = (name("device_id")?, name("timestamp")?);
        let names = HeaderNames { device_id, timestamp, nonce: name("nonce")?, signature: name("signature")? };
        Ok(Self { origin, id, names })
    }

    /// The id of the device.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its service is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// As it is kept in a file: there is nothing secret in it.
    pub fn to_json(&self) -> String {
        let HeaderNames { device_id, timestamp, nonce, signature } = &self.names;
        serde_json::json!({
            "device_id": self.id,
            "headers": {
                "device_id": device_id.as_str(), "nonce": nonce.as_str(), "signature": signature.as_str(),
                "timestamp": timestamp.as_str(),
            },
            "origin": self.origin.as_str(),
        })
        .to_string()
    }

    /// Reads what [`Self::to_json`] has written.
    /// Fails where it is none.
    pub fn from_json(json: &[u8]) -> Result<Self, DeviceClientError> {
        let wrong = |_| DeviceClientError::Input("device");
        let object = object(json).map_err(wrong)?;
        let origin = Origin::parse(text(&object, "origin").map_err(wrong)?);
        Self::of(origin.map_err(|_| DeviceClientError::Input("origin"))?, &object).map_err(wrong)
    }

    /// The headers of one request: the token, and the proof. The request is to be sent with this very method, URL and body.
    /// Fails where the key refuses, or the URL is at another origin.
    pub fn headers(
        &self,
        key: &dyn SigningBackend,
        request: DeviceRequest<'_>,
    ) -> Result<HeaderMap, DeviceClientError> {
        self.proven(key, request).map(|proven| proven.headers)
    }

    /// The same, with what a sealed answer to the request names.
    /// Fails as [`Self::headers`].
    pub fn proven(&self, key: &dyn SigningBackend, request: DeviceRequest<'_>) -> Result<Proven, DeviceClientError> {
        let uri: Uri = request.url.parse().map_err(|_| DeviceClientError::Input("URL"))?;
        let target = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let at = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |at| at.as_str()));
        // What is signed for one service is of no use at another; but the token would be.
        if Origin::parse(&at).ok().as_ref() != Some(&self.origin) {
            return Err(DeviceClientError::Input("URL, at another origin than that of the device,"));
        }
        let (timestamp, random) = (request.now.to_string(), random_hex()?);
        let nonce = request.nonce.map_or_else(|| random.clone(), |given| format!("{given}.{random}"));
        let text = SignedRequest {
            label: REQUEST_LABEL,
            method: request.method,
            origin: self.origin.as_str(),
            target,
            body: Digest::of(request.body),
            token: Digest::of(request.token.as_bytes()),
            signer: &self.id,
            timestamp: &timestamp,
            nonce: &nonce,
            response_key: request.response_key.unwrap_or_default(),
        }
        .text();
        let signature = signed(key, text.as_bytes())?;
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| DeviceClientError::Input("token"));
        let mut authorization = value(&format!("Bearer {}", request.token))?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(self.names.device_id.clone(), value(&self.id)?);
        headers.insert(self.names.timestamp.clone(), value(&timestamp)?);
        headers.insert(self.names.nonce.clone(), value(&nonce)?);
        headers.insert(self.names.signature.clone(), value(&signature)?);
        if let Some(key) = request.response_key {
            headers.insert(RESPONSE_KEY, value(key)?);
        }
        Ok(Proven { headers, request: Digest::of(text.as_bytes()) })
    }
}

fn not_understood() -> DeviceClientError {
    DeviceClientError::Service("its answer is not understood".into())
}

fn object(bytes: &[u8]) -> Result<Object, DeviceClientError> {
    match canonical::parse(bytes, Limits { bytes: MAX_ANSWER_BYTES, depth: 16 }) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(not_understood()),
    }
}

fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, DeviceClientError> {
    object.get(name).and_then(Json::as_str).ok_or_else(not_understood)
}

/// The issuer, the subject and the session of a token, by its own word: the service looks at its signature.
fn session_of(token: &str) -> Result<(String, String, String), DeviceClientError> {
    let wrong = || DeviceClientError::Input("token");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(wrong());
    }
    let signing_input = token.rsplit_once('.').ok_or_else(wrong)?.0;
    let payload = signing_input.split_once('.').ok_or_else(wrong)?.1;
    let claims = object(&Base64UrlUnpadded::decode_vec(payload).map_err(|_| wrong())?).map_err(|_| wrong())?;
    let claim = |name| text(&claims, name).map(str::to_owned).map_err(|_| wrong());
    let session =
        if claims.get("sid").is_some() { claim("sid")? } else { Digest::of(signing_input.as_bytes()).to_string() };
    Ok((claim("iss")?, claim("sub")?, session))
}
