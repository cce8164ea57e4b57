//! A client: it registers, logs in, and proves its requests. The password does not leave it.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::digest::Digest;
use chio_kernel::clock::{BoxFuture, KernelError};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse,
};
use ring::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::proof::{Covered, MAC, NONCE, TIMESTAMP};
use super::sessions::{KEY_BYTES, proof_key};
use super::suite::{Members, REFERENCE_CHARS, Random, Suite, encoded, reference};
use super::user::User;
use crate::origin::Origin;
use crate::response_key::RESPONSE_KEY;
use crate::signed_request::Proven;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Asks a desk. Who implements it sends the JSON by POST to that path of the service, with these headers besides the
/// content type.
pub trait Transport: Send + Sync {
    /// Sends a request.
    /// Fails where there is no answer.
    fn post(&self, path: String, headers: HeaderMap, body: String) -> BoxFuture<'_, Result<Reply, KernelError>>;
}

/// Why it came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The desk refuses, by its own word.
    Refused {
        /// The status.
        status: u16,
        /// The word.
        code: String,
    },
    /// There is no such user, or the password is another, or the server is.
    LoginFailed,
    /// There is no answer.
    Unreached(String),
    /// The answer is none that is understood.
    Answer,
    /// There is no randomness, or too little memory.
    Machine,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, code } => write!(f, "the service refuses: {status} ({code})"),
            Self::LoginFailed => f.write_str("there is no such user, or the password is another"),
            Self::Unreached(why) => write!(f, "no answer: {why}"),
            Self::Answer => f.write_str("the answer is not understood"),
            Self::Machine => f.write_str("this machine has no randomness, or no memory"),
        }
    }
}

impl std::error::Error for ClientError {}

/// How passwords are stretched: Argon2id. A user's registration and logins have to do it alike.
pub struct Stretch(Argon2<'static>);

impl fmt::Debug for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stretch")
    }
}

impl Default for Stretch {
    /// The second recommendation of RFC 9106 section 4: 64 MiB, three passes, four lanes.
    fn default() -> Self {
        Self(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1 << 16, 3, 4, None).unwrap_or_default()))
    }
}

impl Stretch {
    /// With that much memory in KiB, passes and lanes. Fails where Argon2 has no such parameters.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Self> {
        let parameters = Params::new(memory_kib, passes, lanes, None).ok()?;
        Some(Self(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)))
    }
}

/// The desk of a service.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the service is reached.
    pub origin: Origin,
    /// What the desk's paths begin with, such as `/session`.
    pub prefix: String,
}

/// Registers an account.
/// Fails where the desk refuses, or is not reached.
pub async fn register(
    transport: &impl Transport,
    place: &Place,
    (user, password): (&User, &[u8]),
    invitation: Option<&str>,
    stretch: &Stretch,
) -> Result<(), ClientError> {
    let started = ClientRegistration::<Suite>::start(&mut Random, password).map_err(|_| ClientError::Machine)?;
    let asked = json!({ "user": user.as_str(), "registration_request": encoded(&started.message.serialize()) });
    let mut answer = ask(transport, place, "/register/start", invited(asked, invitation)).await?;
    let response = answer.bytes("registration_response").ok_or(ClientError::Answer)?;
    let response = RegistrationResponse::deserialize(&response).map_err(|_| ClientError::Answer)?;
    let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&stretch.0));
    let finished = started.state.finish(&mut Random, password, response, parameters);
    let record = finished.map_err(|_| ClientError::Machine)?.message.serialize();
    let asked = json!({ "user": user.as_str(), "registration_record": encoded(&record) });
    ask(transport, place, "/register/finish", invited(asked, invitation)).await.map(drop)
}

fn invited(mut asked: Value, invitation: Option<&str>) -> Value {
    if let (Some(code), Some(asked)) = (invitation, asked.as_object_mut()) {
        asked.insert("invitation".to_owned(), code.into());
    }
    asked
}

/// Logs in.
/// Fails where there is no such user, the password is another, or the desk refuses or is not reached.
pub async fn login(
    transport: &impl Transport,
    place: &Place,
    (user, password): (&User, &[u8]),
    stretch: &Stretch,
) -> Result<ClientSession, ClientError> {
    let started = ClientLogin::<Suite>::start(&mut Random, password).map_err(|_| ClientError::Machine)?;
    let asked = json!({ "user": user.as_str(), "login_request": encoded(&started.message.serialize()) });
    let mut answer = ask(transport, place, "/login/start", asked).await?;
    let (login, response) = (answer.text("login"), answer.bytes("login_response"));
    let (login, response) = login.zip(response).ok_or(ClientError::Answer)?;
    let response = CredentialResponse::deserialize(&response).map_err(|_| ClientError::Answer)?;
    let parameters = ClientLoginFinishParameters::new(None, Identifiers::default(), Some(&stretch.0));
    let finished = started.state.finish(&mut Random, password, response, parameters);
    let finished = finished.map_err(|_| ClientError::LoginFailed)?;
    let session_key = Zeroizing::new(finished.session_key.to_vec());
    let asked = json!({ "login": login, "login_finalization": encoded(&finished.message.serialize()) });
    let mut answer = ask(transport, place, "/login/finish", asked).await.map_err(|error| match error {
        ClientError::Refused { status: 401, .. } => ClientError::LoginFailed,
        error => error,
    })?;
    let session = answer.text("session").filter(|session| session.len() == REFERENCE_CHARS);
    let (session, expires_at) = session.zip(answer.seconds("expires_at")).ok_or(ClientError::Answer)?;
    let key = proof_key(&session_key, place.origin.as_str(), &session, user.as_str()).ok_or(ClientError::Machine)?;
    Ok(ClientSession { place: place.clone(), user: user.clone(), session, expires_at, key })
}

async fn ask(transport: &impl Transport, place: &Place, path: &str, asked: Value) -> Result<Members, ClientError> {
    send(transport, place, path, HeaderMap::new(), asked.to_string()).await
}

async fn send(
    transport: &impl Transport,
    place: &Place,
    path: &str,
    headers: HeaderMap,
    body: String,
) -> Result<Members, ClientError> {
    let reply = transport.post(format!("{}{path}", place.prefix), headers, body).await;
    let Reply { status, body } = reply.map_err(|error| ClientError::Unreached(error.to_string()))?;
    if status == 200 {
        return Members::read(&body).ok_or(ClientError::Answer);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem.get("code").and_then(Value::as_str).unwrap_or("no reason given");
    // What a server says may be printed.
    let code = code.chars().filter(char::is_ascii_graphic).take(64).collect();
    Err(ClientError::Refused { status, code })
}

/// A session, with the key of its proofs.
pub struct ClientSession {
    /// Where it was opened.
    pub place: Place,
    /// Whose it is.
    pub user: User,
    session: String,
    /// The first second at which it is over.
    pub expires_at: u64,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSession(of {} until {})", self.user, self.expires_at)
    }
}

/// A request that is to be proven.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The path with its query, as it is sent.
    pub target: &'a str,
    /// The body; no bytes where there is none.
    pub body: &'a [u8],
    /// The key that its answer is to be sealed for, as it is sent.
    pub response_key: Option<&'a str>,
}

impl ClientSession {
    /// The headers of one request, made now.
    /// Fails where there is no randomness, or the response key is no text of a header.
    pub fn headers(&self, asked: &Asked<'_>, now: u64) -> Result<HeaderMap, ClientError> {
        self.proven(asked, now).map(|proven| proven.headers)
    }

    /// The same, with what a sealed answer to the request names.
    /// Fails as [`Self::headers`].
    pub fn proven(&self, asked: &Asked<'_>, now: u64) -> Result<Proven, ClientError> {
        let nonce = reference().ok_or(ClientError::Machine)?;
        let covered = Covered {
            method: asked.method.to_owned(),
            origin: self.place.origin.as_str().to_owned(),
            target: asked.target.to_owned(),
            response_key: asked.response_key.unwrap_or_default().to_owned(),
        };
        let (timestamp, id) = (now.to_string(), Digest::of(self.session.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.key);
        let (mac, request) = covered.mac(&key, id, asked.body, (&timestamp, &nonce));
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| ClientError::Machine);
        let mut authorization = value(&format!("Bearer {}", self.session))?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(TIMESTAMP, value(&timestamp)?);
        headers.insert(NONCE, value(&nonce)?);
        headers.insert(MAC, value(&mac)?);
        if let Some(response_key) = asked.response_key {
            headers.insert(RESPONSE_KEY, value(response_key)?);
        }
        Ok(Proven { headers, request })
    }

    /// Ends the session.
    /// Fails where the desk refuses, or is not reached.
    pub async fn logout(&self, transport: &impl Transport, now: u64) -> Result<(), ClientError> {
        let (body, target) = ("{}", format!("{}/logout", self.place.prefix));
        let asked = Asked { method: "POST", target: &target, body: body.as_bytes(), response_key: None };
        send(transport, &self.place, "/logout", self.headers(&asked, now)?, body.to_owned()).await.map(drop)
    }

    /// As text, for a file that nobody else can read: whoever has it has the session.
    pub fn to_text(&self) -> Zeroizing<String> {
        let text = json!({
            "expires_at": self.expires_at, "key": &*Zeroizing::new(encoded(&*self.key)),
            "origin": self.place.origin.as_str(), "prefix": self.place.prefix, "session": self.session,
            "user": self.user.as_str(),
        });
        Zeroizing::new(format!("{text}\n"))
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut members = Members::read(text)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let encoded = Zeroizing::new(members.text("key")?);
        let read = Base64UrlUnpadded::decode(&*encoded, &mut *key).ok()?.len();
        let session = members.text("session").filter(|session| session.len() == REFERENCE_CHARS)?;
        let place = Place { origin: Origin::parse(&members.text("origin")?).ok()?, prefix: members.text("prefix")? };
        let (user, expires_at) = (User::parse(&members.text("user")?)?, members.seconds("expires_at")?);
        members.end()?;
        (read == KEY_BYTES).then_some(Self { place, user, session, expires_at, key })
    }
}
