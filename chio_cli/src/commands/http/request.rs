//! `chio http request`

use std::time::Duration;

use chio_core::crypto::Keypair;
use chio_core::digest::Digest;
use chio_http::Body;
use chio_http::client::{Answer, Client};
use chio_http::device::DeviceClient;
use chio_http::device::client::DeviceRequest;
use chio_http::dpop::{ProofClaims, signed_digest};
use chio_http::ekey::token::Cap;
use chio_http::ekey::{EKeySession, Transport};
use chio_http::response_key::RESPONSE_KEY;
use chio_http::sealed::{self, ResponseSecret};
use chio_http::signed_request::Proven;
use chio_kernel::clock::{BoxFuture, KernelError, SystemClock};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::super::at;
use crate::args::Request;
use crate::exit::{Exit, Failure, printable};
use crate::files;
use crate::print::{Printer, aside, document};
use crate::source;
use crate::write::{Audience, Pending};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;
const MAX_DATA_BYTES: usize = 16 << 20;
const MAX_SECRET_BYTES: usize = 16 << 10;
const DPOP: HeaderName = HeaderName::from_static("dpop");

pub(super) fn run(args: &Request, printer: &Printer) -> Result<Exit, Failure> {
    let sources = [&args.key, &args.token, &args.secret, &args.session, &args.data, &args.device];
    source::read_once(sources.map(|source| source.as_ref().is_some_and(source::Source::is_standard_input)))?;
    let method = args.method.to_ascii_uppercase();
    let usage =
        |what: &str| Failure::usage(what, "write it as `chio http request GET https://api.example.com/orders/42`");
    let method: Method = method.parse().map_err(|_| usage("the method is none of HTTP"))?;
    let client = client(&args.url)?;
    let data = args.data.as_ref().map(|data| data.read("the body", MAX_DATA_BYTES)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error, "this machine has no room for it"))?;
    let saved = args.save.as_ref().map(|path| Pending::new(path, Audience::Owner, false)).transpose()?;
    let secret = args.sealed.then(ResponseSecret::generate).transpose();
    let secret = secret.map_err(|error| Failure::new(error, "this machine cannot make secrets"))?;
    let asked = Asked { method, url: &args.url, client, data, secret };
    let Sent { proven, answer } = match (&args.key, &args.token, &args.issuer) {
        (Some(key), Some(token), _) => {
            let (key, token) = (files::read_key(key)?, text(token, "the token")?);
            match &args.device {
                Some(device) => asked.by_device(&runtime, device, &key, &token)?,
                None => asked.by_rfc9449(&runtime, &key, &token)?,
            }
        }
        _ if args.session.is_some() => asked.by_session(&runtime, args)?,
        (_, _, Some(issuer)) => asked.by_ekey(&runtime, args, issuer)?,
        _ => return Err(usage("neither a key with its token, nor an issuer, nor a session is named")),
    };
    if let Some(saved) = saved {
        saved.finish(&written(&proven.headers))?;
    }
    let answer = match &asked.secret {
        Some(secret) => opened(secret, answer, proven.request)?,
        None => answer,
    };
    let body = String::from_utf8_lossy(&answer.body);
    if printer.is_json() {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| body.clone().into());
        document(&format!("{}\n", json!({"status": answer.status.as_u16(), "body": body})))?;
    } else {
        aside(&format!("{}\n", answer.status));
        if let Some(challenge) = answer.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()) {
            aside(&format!("www-authenticate: {}\n", printable(challenge)));
        }
        let end = if body.ends_with('\n') || body.is_empty() { "" } else { "\n" };
        document(&format!("{body}{end}"))?;
    }
    Ok(match answer.status {
        status if status.is_success() => Exit::Done,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Denied,
        _ => Exit::Failed,
    })
}

/// What is in a sealed answer, once it is certain that it is the one to this request. A refusal comes open: no proof has made
/// the key the asker's.
fn opened(secret: &ResponseSecret, answer: Answer, request: Digest) -> Result<Answer, Failure> {
    let is =
        |media_type: &str| answer.headers.get(CONTENT_TYPE).is_some_and(|of| of.as_bytes() == media_type.as_bytes());
    let is_sealed = is(sealed::MEDIA_TYPE);
    if !is_sealed && !answer.status.is_success() && is("application/problem+json") {
        return Ok(answer);
    }
    let help = "do not rely on this answer: whoever is in between has made it, or the service seals none";
    if !is_sealed {
        return Err(Failure::new("the answer is not sealed", help));
    }
    sealed::open(secret, &answer.body, request).map_err(|error| Failure::new(error, help))
}

pub(super) fn client(url: &str) -> Result<Client, Failure> {
    Client::new(url).map_err(|error| Failure::new(error, "plain HTTP is for this machine alone: use https"))
}

pub(super) fn text(source: &source::Source, what: &str) -> Result<String, Failure> {
    let bytes = source.read(what, MAX_SECRET_BYTES)?;
    let text = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned());
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or_else(|| Failure::new(format!("{what} {source} is not one word"), "is it the right file?"))
}

/// What is requested.
struct Asked<'a> {
    method: Method,
    url: &'a str,
    client: Client,
    data: Option<Vec<u8>>,
    /// The key that the answer is to be sealed for.
    secret: Option<ResponseSecret>,
}

/// What was sent last, and what came back.
struct Sent {
    proven: Proven,
    answer: Answer,
}

/// A request with these headers, of which one is a proof of RFC 9449.
fn by_dpop(headers: HeaderMap) -> Proven {
    let proof = headers.get(DPOP).and_then(|proof| proof.to_str().ok()).unwrap_or_default();
    let request = signed_digest(proof);
    Proven { headers, request }
}

impl Asked<'_> {
    /// The key that the answer is to be sealed for, as it is sent.
    fn response_key(&self) -> Option<&str> {
        self.secret.as_ref().map(ResponseSecret::header)
    }

    fn sent(&self, runtime: &Runtime, proven: Proven) -> Result<Sent, Failure> {
        let answer = self.send(runtime, &proven.headers)?;
        Ok(Sent { proven, answer })
    }

    /// Sends it; and where the service gives a nonce with this error, once more with that.
    fn sent_with_nonce(
        &self,
        runtime: &Runtime,
        error: &str,
        proven: impl Fn(Option<&str>) -> Result<Proven, Failure>,
    ) -> Result<Sent, Failure> {
        let first = self.sent(runtime, proven(None)?)?;
        match given_nonce(&first.answer, error) {
            None => Ok(first),
            nonce @ Some(_) => self.sent(runtime, proven(nonce)?),
        }
    }

    fn send(&self, runtime: &Runtime, headers: &HeaderMap) -> Result<Answer, Failure> {
        let body = self.data.clone().map_or_else(Body::empty, Body::whole);
        let mut request = hyper::Request::new(body);
        request.method_mut().clone_from(&self.method);
        request.headers_mut().clone_from(headers);
        if self.data.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        runtime.block_on(self.client.send(request, PATIENCE, MAX_ANSWER_BYTES)).map_err(|error| {
            Failure::new(format!("no answer: {error}"), "check that the service runs, and its host and port")
        })
    }

    /// With a proof; and where the service asks for a nonce of its own, once more with that.
    fn by_rfc9449(&self, runtime: &Runtime, key: &Keypair, token: &str) -> Result<Sent, Failure> {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        let proven = |nonce: Option<&str>| {
            let claims = ProofClaims {
                method: self.method.as_str(),
                url,
                now: at(None)?,
                token: Some(token),
                nonce,
                query: self.client.uri().query(),
                body: self.data.as_deref(),
                response_key: self.response_key(),
            };
            let proof = claims.sign(key).map_err(|error| Failure::new(error, "check the key"))?;
            let value =
                |text: String| HeaderValue::try_from(text).map_err(|error| Failure::new(error, "check the token"));
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value(format!("DPoP {token}"))?);
            headers.insert(DPOP, value(proof)?);
            if let Some(key) = self.response_key() {
                headers.insert(RESPONSE_KEY, value(key.to_owned())?);
            }
            Ok(by_dpop(headers))
        };
        self.sent_with_nonce(runtime, "use_dpop_nonce", proven)
    }

    /// Signed by an enrolled device.
    fn by_device(
        &self,
        runtime: &Runtime,
        device: &source::Source,
        key: &Keypair,
        token: &str,
    ) -> Result<Sent, Failure> {
        let failed = |error| Failure::new(error, "enrol the key at this service: `chio http enroll`");
        let device = DeviceClient::from_json(&device.read("the device", MAX_SECRET_BYTES)?).map_err(failed)?;
        let request = DeviceRequest {
            method: self.method.as_str(),
            url: self.url,
            body: self.data.as_deref().unwrap_or_default(),
            token,
            now: at(None)?,
            response_key: self.response_key(),
            nonce: None,
        };
        let proven = |nonce: Option<&str>| device.proven(key, DeviceRequest { nonce, ..request }).map_err(failed);
        self.sent_with_nonce(runtime, "use_nonce", proven)
    }

    fn by_session(&self, runtime: &Runtime, args: &Request) -> Result<Sent, Failure> {
        let session = args.session.as_ref().map(super::session::kept).transpose()?;
        let session = session.ok_or_else(|| Failure::usage("no session is named", "`chio http login` opens one"))?;
        let (uri, body) = (self.client.uri(), self.data.as_deref());
        let proven = super::session::proven(&session, &self.method, uri, body, self.response_key())?;
        self.sent(runtime, proven)
    }

    fn by_ekey(&self, runtime: &Runtime, args: &Request, issuer: &str) -> Result<Sent, Failure> {
        let secret = args.secret.as_ref().map(|secret| text(secret, "the secret")).transpose()?.unwrap_or_default();
        let issuer = issuer.trim_end_matches('/');
        let issuer = client(&if issuer.ends_with("/token") { issuer.to_owned() } else { format!("{issuer}/token") })?;
        let cap = cap(&args.action, args.limit)?;
        let origin = || {
            let uri = self.client.uri();
            format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |at| at.as_str()))
        };
        let audience = args.audience.clone().unwrap_or_else(origin);
        let subject = args.subject.clone().unwrap_or_default();
        let failed = |error: chio_http::ekey::client::SessionError| {
            Failure::new(error, "check the issuer, the secret, and what its client may ask for")
        };
        let session = EKeySession::new(Post { issuer, secret }, SystemClock, subject, audience, cap).map_err(failed)?;
        let (body, key) = (self.data.as_deref(), self.response_key());
        let headers = session.headers_for(self.method.as_str(), self.url, body, key);
        self.sent(runtime, by_dpop(runtime.block_on(headers).map_err(failed)?))
    }
}

/// The nonce that a service gives to who has to use one.
fn given_nonce<'a>(answer: &'a Answer, error: &str) -> Option<&'a str> {
    let nonce = answer.headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
    let challenge = answer.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    nonce.filter(|_| answer.status == StatusCode::UNAUTHORIZED && challenge.contains(error))
}

/// What an E-Key is to be for.
fn cap(actions: &[String], limit: Option<u64>) -> Result<Cap, Failure> {
    let mut cap = json!({ "action": actions });
    if let (Some(limit), Some(cap)) = (limit, cap.as_object_mut()) {
        cap.insert("limit".to_owned(), limit.into());
    }
    let cap = chio_core::canonical::to_json(&cap).ok().as_ref().and_then(Cap::from_json);
    cap.ok_or_else(|| Failure::usage("an action is written as METHOD:/path", "such as GET:/orders/:id"))
}

/// Asks the issuer over HTTP.
struct Post {
    issuer: Client,
    secret: String,
}

impl Transport for Post {
    fn ask(&self, request: String) -> BoxFuture<'_, Result<Vec<u8>, KernelError>> {
        let failed = |why: String| KernelError::new(why);
        let request = HeaderValue::try_from(format!("Bearer {}", self.secret)).map(|mut secret| {
            secret.set_sensitive(true);
            let mut asked = hyper::Request::new(Body::whole(request));
            *asked.method_mut() = Method::POST;
            asked.headers_mut().insert(AUTHORIZATION, secret);
            asked.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            asked
        });
        Box::pin(async move {
            let request = request.map_err(|_| failed("the secret is no text of a header".into()))?;
            let answer = self.issuer.send(request, PATIENCE, MAX_ANSWER_BYTES).await;
            let answer = answer.map_err(|error| failed(error.to_string()))?;
            if answer.status == StatusCode::OK {
                return Ok(answer.body.into());
            }
            let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let error = problem.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            Err(failed(format!("{} ({})", answer.status, printable(error))))
        })
    }
}

/// As `curl --header @FILE` reads them.
fn written(headers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text
}
