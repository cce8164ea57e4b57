//! Where accounts are registered, and sessions opened and closed. JSON in, JSON out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chio_core::digest::Digest;
use chio_kernel::clock::KernelError;
use chio_kernel::store::UsageStore;
use chio_store::{Entry, Put, Room, Table};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use opaque_ke::{
    CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
    ServerLoginParameters, ServerRegistration,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::accounts::AccountError;
use super::limits::{Limits, Peer, wait};
use super::proof::{Covered, Shown, check_time};
use super::rules::{DeskRules, Registration};
use super::scheme::{NAME, live};
use super::sessions::Sessions;
use super::setup::REGISTRATION_BYTES;
use super::suite::{MAX_MESSAGE_BYTES, Members, REFERENCE_CHARS, Random, Suite, decoded, encoded, reference};
use super::user::User;
use super::values::{AccountValue, LoginValue, bytes, read};
use crate::audit::{Audit, AuditEvent};
use crate::authorization::bearer;
use crate::body::{Body, whole};
use crate::failure::Failure;
use crate::json::{is_json, said};
use crate::problem::{STORE_UNAVAILABLE, UNAVAILABLE, problem};

/// What the seals of logins are for.
const KIND: &str = "chio-session-login-v1";

/// Why something is refused.
enum No {
    Malformed,
    Closed,
    NotInvited,
    Taken,
    LoginFailed,
    NotASession,
    /// For so many seconds.
    TooMany(u64),
    /// A store has failed, or has not answered in time.
    Store,
    Down,
}

impl From<KernelError> for No {
    fn from(_: KernelError) -> Self {
        Self::Store
    }
}

impl From<AccountError> for No {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Taken => Self::Taken,
            AccountError::NotInvited => Self::NotInvited,
            AccountError::Full => Self::Down,
            AccountError::Failed(_) => Self::Store,
        }
    }
}

impl No {
    fn answer(&self) -> Response<Body> {
        let (status, code, title) = match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "invalid_request", "The request was not understood."),
            Self::Closed => (StatusCode::FORBIDDEN, "registration_closed", "Nobody can register here."),
            Self::NotInvited => (StatusCode::FORBIDDEN, "not_invited", "The invitation does not count."),
            Self::Taken => (StatusCode::CONFLICT, "account_exists", "There is an account of that name."),
            Self::LoginFailed => (StatusCode::UNAUTHORIZED, "login_failed", "The login did not succeed."),
            Self::NotASession => (StatusCode::UNAUTHORIZED, "invalid_token", "There is no such session."),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Try again later."),
            Self::Store => (StatusCode::SERVICE_UNAVAILABLE, STORE_UNAVAILABLE, "Try again later."),
            Self::Down => (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "Try again later."),
        };
        // Which of the two it was is nothing that a client could do something about.
        let error = if matches!(self, Self::Store) { UNAVAILABLE } else { code };
        let mut response = problem(status, code, title, None, Some(error));
        let headers = response.headers_mut();
        match self {
            Self::TooMany(seconds) => {
                headers.insert(RETRY_AFTER, (*seconds).into());
            }
            Self::Store | Self::Down => {
                headers.insert(RETRY_AFTER, 5_u64.into());
            }
            Self::LoginFailed | Self::NotASession => {
                // RFC 9110 section 15.5.2: a 401 has a challenge.
                let challenge = format!(r#"Bearer realm="{NAME}", error="{code}""#);
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            _ => {}
        }
        response
    }
}

/// Registers accounts, and opens and closes sessions. A clone is another handle to the same desk.
#[derive(Clone)]
pub struct SessionDesk(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    rules: DeskRules,
    limits: Limits,
    audit: Box<dyn Audit>,
}

impl fmt::Debug for SessionDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionDesk({})", self.0.rules.prefix)
    }
}

/// Where a request comes from, and when it came.
#[derive(Clone, Copy)]
struct Came<'a> {
    from: &'a Peer,
    now: u64,
}

impl SessionDesk {
    /// A desk for these sessions, which counts in that store.
    /// Fails where the rules are none.
    pub fn new(
        sessions: Sessions,
        rules: DeskRules,
        usage: Arc<dyn UsageStore>,
        audit: impl Audit + 'static,
    ) -> Result<Self, &'static str> {
        rules.check()?;
        let usage = sessions.deadline().around(usage);
        let limits = Limits { usage, per_peer: rules.starts_of_peer, per_user: rules.starts_of_peer_for_user };
        Ok(Self(Arc::new(Inner { sessions, rules, limits, audit: Box::new(audit) })))
    }

    /// The part of a path that is its own.
    fn own<'a>(&self, path: &'a str) -> Option<&'a str> {
        let own = path.strip_prefix(&*self.0.rules.prefix)?;
        ["/register/start", "/register/finish", "/login/start", "/login/finish", "/logout"]
            .contains(&own)
            .then_some(own)
    }

    /// Whether a path is its own.
    pub fn has(&self, path: &str) -> bool {
        self.own(path).is_some()
    }

    /// Answers a request that came from there.
    pub async fn answer(&self, request: Request<Body>, address: Option<IpAddr>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Some(own) = self.own(parts.uri.path()).filter(|_| parts.uri.query().is_none()) else {
            return problem(StatusCode::NOT_FOUND, "unknown_tool", "There is nothing here.", None, None);
        };
        if parts.method != Method::POST {
            let mut response =
                problem(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "It is asked by POST.", None, None);
            response.headers_mut().insert(hyper::header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !is_json(&parts.headers) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return problem(status, "invalid_request", "It is asked in JSON.", None, None);
        }
        let Ok(body) = whole(body, MAX_MESSAGE_BYTES).await else { return No::Malformed.answer() };
        let Ok(now) = self.0.sessions.now() else { return No::Down.answer() };
        let came = Came { from: &Peer::of(address), now };
        let answered = match own {
            "/register/start" => self.register_start(&body, came).await,
            "/register/finish" => self.register_finish(&body, came).await,
            "/login/start" => self.login_start(&body, came).await,
            "/login/finish" => self.login_finish(&body, came).await,
            _ => self.logout(parts.uri.path(), &parts.headers, &body, came).await,
        };
        answered.map_or_else(|no| no.answer(), |answer| said(StatusCode::OK, &answer))
    }

    fn record(&self, event: &'static str, action: &'static str, sub: Option<&str>, at: u64) {
        self.0.audit.record(&AuditEvent { event, scheme: NAME, sub, trace: None, action, at });
    }

    /// One of those that may begin in a minute.
    async fn begin(&self, user: &User, came: Came<'_>) -> Result<(), No> {
        let is_left = self.0.limits.spend(came.from, user, came.now).await?;
        is_left.then_some(()).ok_or(No::TooMany(wait(came.now)))
    }

    async fn register_start(&self, body: &[u8], came: Came<'_>) -> Result<Value, No> {
        let asked = || {
            let mut members = Members::read(body)?;
            let (user, code) = (User::parse(&members.text("user")?)?, members.optional("invitation")?);
            let request = members.bytes("registration_request")?;
            members.end()?;
            Some((user, code, RegistrationRequest::<Suite>::deserialize(&request).ok()?))
        };
        let (user, code, request) = asked().ok_or(No::Malformed)?;
        self.begin(&user, came).await?;
        match (self.0.rules.registration, &*code) {
            (Registration::Closed, _) => return Err(No::Closed),
            (Registration::Invited, "") => return Err(No::NotInvited),
            (Registration::Open, "") => {}
            (_, code) => drop(self.0.sessions.accounts().invited(code, &user, came.now).await?),
        }
        let setup = &self.0.sessions.setup().opaque;
        let started = ServerRegistration::<Suite>::start(setup, request, user.as_str().as_bytes());
        let response = started.map_err(|_| No::Malformed)?.message.serialize();
        Ok(json!({ "registration_response": encoded(&response) }))
    }

    async fn register_finish(&self, body: &[u8], came: Came<'_>) -> Result<Value, No> {
        let asked = || {
            let mut members = Members::read(body)?;
            let (user, code) = (User::parse(&members.text("user")?)?, members.optional("invitation")?);
            let upload = members.bytes("registration_record")?;
            members.end()?;
            let upload = RegistrationUpload::<Suite>::deserialize(&upload).ok()?;
            Some((user, code, ServerRegistration::finish(upload).serialize()))
        };
        let (user, code, registration) = asked().ok_or(No::Malformed)?;
        self.begin(&user, came).await?;
        let accounts = self.0.sessions.accounts();
        let (scope, replaces) = match (self.0.rules.registration, &*code) {
            (Registration::Closed, _) => return Err(No::Closed),
            (Registration::Invited, "") => return Err(No::NotInvited),
            (Registration::Open, "") => (self.0.rules.scope.clone(), false),
            (_, code) => {
                let invitation = accounts.use_up(code, &user, came.now).await?;
                (invitation.scope, invitation.replaces)
            }
        };
        accounts.register(&user, scope, &registration, replaces, came.now).await?;
        self.record("registered", "register", Some(user.as_str()), came.now);
        Ok(json!({}))
    }

    /// What is done for a user without an account is what is done for one who has one: the same reads and writes, the same
    /// arithmetic, an answer that cannot be told from another without the password (RFC 9807 section 10.9).
    async fn login_start(&self, body: &[u8], came: Came<'_>) -> Result<Value, No> {
        let asked = || {
            let mut members = Members::read(body)?;
            let (user, request) = (User::parse(&members.text("user")?)?, members.bytes("login_request")?);
            members.end()?;
            Some((user, CredentialRequest::<Suite>::deserialize(&request).ok()?))
        };
        let (user, request) = asked().ok_or(No::Malformed)?;
        self.begin(&user, came).await?;
        let sessions = &self.0.sessions;
        let entry = sessions.accounts().account(&user, came.now).await?;
        let is_known = entry.is_some();
        let value = entry.map_or_else(|| decoy(&user, &sessions.setup().decoy), |entry| entry.value);
        let account = read::<AccountValue>(&value).ok_or(No::Down)?;
        let registration = decoded(&account.registration).filter(|bytes| bytes.len() == REGISTRATION_BYTES);
        let registration = ServerRegistration::<Suite>::deserialize(&registration.ok_or(No::Down)?);
        let registration = Some(registration.map_err(|_| No::Down)?).filter(|_| is_known);
        let (setup, name) = (&sessions.setup().opaque, user.as_str().as_bytes());
        let (random, parameters) = (&mut Random, ServerLoginParameters::default());
        let started = ServerLogin::start(random, setup, registration, request, name, parameters);
        let started = started.map_err(|_| No::Malformed)?;
        let login = reference().ok_or(No::Down)?;
        let key = of_login(&login);
        let mut pending =
            LoginValue { user: user.as_str().to_owned(), account: Digest::of(&value), sealed: String::new() };
        let state = Zeroizing::new(started.state.serialize().to_vec());
        let sealed = sessions.setup().seal(KIND, key, &pending.about(), &state);
        pending.sealed = encoded(&sealed.ok_or(No::Down)?);
        let until = came.now.saturating_add(self.0.rules.login_secs);
        let entry = Entry { key, owner: came.from.id(), value: bytes(&pending), until: Some(until) };
        let room = Room { table: self.0.rules.logins, owner: self.0.rules.logins_of_peer };
        match sessions.accounts().records.put(Table::Pending, entry, None, room, came.now).await? {
            Put::Kept => Ok(json!({ "login": login, "login_response": encoded(&started.message.serialize()) })),
            Put::OwnerFull => Err(No::TooMany(self.0.rules.login_secs)),
            Put::Full | Put::Differs => Err(No::Down),
        }
    }

    async fn login_finish(&self, body: &[u8], came: Came<'_>) -> Result<Value, No> {
        let asked = || {
            let mut members = Members::read(body)?;
            let login = members.text("login").filter(|login| login.len() == REFERENCE_CHARS)?;
            let finalization = members.bytes("login_finalization")?;
            members.end()?;
            Some((login, CredentialFinalization::<Suite>::deserialize(&finalization).ok()?))
        };
        let (login, finalization) = asked().ok_or(No::Malformed)?;
        let (sessions, now) = (&self.0.sessions, came.now);
        let accounts = sessions.accounts();
        // Taken before it is looked at: what is tried is tried once.
        let taken = accounts.records.take(Table::Pending, of_login(&login), now).await?;
        let failed = || {
            // Without a name: what stands there may be a password that somebody has typed in the wrong place.
            self.record("login_failed", "login", None, now);
            No::LoginFailed
        };
        let pending = taken.and_then(|entry| read::<LoginValue>(&entry.value)).ok_or_else(failed)?;
        let opened = || {
            let sealed = decoded(&pending.sealed)?;
            let state = sessions.setup().open(KIND, of_login(&login), &pending.about(), sealed)?;
            let state = ServerLogin::<Suite>::deserialize(&state).ok()?;
            let finished = state.finish(finalization, ServerLoginParameters::default()).ok()?;
            Some((User::parse(&pending.user)?, Zeroizing::new(finished.session_key.to_vec())))
        };
        let (user, session_key) = opened().ok_or_else(failed)?;
        // The password that this login was begun with must still be the account's. A registration that comes between this and
        // the session leaves one that is of another account, which `Sessions::find` refuses.
        let entry = accounts.still(&user, pending.account, now).await?.ok_or_else(failed)?;
        let AccountValue { scope, .. } = read(&entry.value).ok_or(No::Down)?;
        let rules = &self.0.rules;
        let size = (rules.session_secs, rules.sessions_of_user);
        let session = sessions.open((&user, pending.account), scope.clone(), &session_key, size, now).await?;
        let session = session.ok_or(No::TooMany(rules.session_secs))?;
        self.record("login", "login", Some(user.as_str()), now);
        let mut answer = json!({ "session": session.session, "expires_at": session.expires_at });
        if let (Some(scope), Some(answer)) = (scope, answer.as_object_mut()) {
            answer.insert("scope".to_owned(), scope.into());
        }
        Ok(answer)
    }

    /// Ends the session of a request, whose proof is one as any request has it. Its nonce is not spent: a second one finds no
    /// session.
    async fn logout(&self, path: &str, headers: &HeaderMap, body: &[u8], came: Came<'_>) -> Result<Value, No> {
        let token = bearer(headers).ok().flatten().ok_or(No::NotASession)?;
        let refused = |failure: Failure| match failure {
            Failure::Records(_) => No::Store,
            Failure::Request(_) => No::Malformed,
            _ => No::NotASession,
        };
        if Members::read(body).and_then(Members::end).is_none() || headers.contains_key("response-key") {
            return Err(No::Malformed);
        }
        let shown = Shown::of(headers).map_err(refused)?;
        let live = live(&self.0.sessions, token).await.map_err(refused)?;
        let covered = Covered {
            method: Method::POST.as_str().to_owned(),
            origin: self.0.sessions.origin().to_owned(),
            target: path.to_owned(),
            response_key: String::new(),
        };
        let checked = covered.check(&live.key, live.id, body, &shown);
        let checked = checked.and_then(|_| check_time(shown.at, came.now, self.0.rules.window_secs));
        checked.map_err(|error| refused(error.into()))?;
        if came.now >= live.expires_at {
            return Err(No::NotASession);
        }
        self.0.sessions.accounts().end(live.id, came.now).await?;
        self.0.sessions.forget(live.id);
        self.record("logout", "logout", Some(&live.user), came.now);
        Ok(json!({}))
    }
}

/// What stands for the account of a user who has none, until the answer is made.
fn decoy(user: &User, registration: &[u8]) -> Vec<u8> {
    let registration = Base64UrlUnpadded::encode_string(registration);
    bytes(&AccountValue { user: user.as_str().to_owned(), scope: None, registration })
}

fn of_login(login: &str) -> Digest {
    Digest::of(format!("chio-session-login-v1\n{login}").as_bytes())
}
