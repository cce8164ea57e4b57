//! `chio http register`, `login` and `logout`, and requests in a session

use std::io::IsTerminal as _;

use chio_http::Body;
use chio_http::opaque::client::{self, Asked, ClientError, Place, Reply, Transport};
use chio_http::opaque::{ClientSession, Stretch, User};
use chio_http::origin::Origin;
use chio_http::signed_request::Proven;
use chio_kernel::clock::{BoxFuture, KernelError};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use serde_json::json;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::super::at;
use super::request::{MAX_ANSWER_BYTES, PATIENCE, client as one_client, text};
use crate::args::{Login, Logout, Register};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::interrupt;
use crate::print::{GREEN, Printer, RESET, time};
use crate::source::{self, Source};
use crate::write::{Audience, Pending};

const MAX_PASSWORD_BYTES: usize = 1 << 10;
const MAX_SESSION_BYTES: usize = 4 << 10;
const DEFAULT_PREFIX: &str = "/session";

/// The desk at a URL.
fn place(url: &str) -> Result<Place, Failure> {
    let uri = one_client(url)?.uri().clone();
    let path = uri.path().trim_end_matches('/');
    let prefix = if path.is_empty() { DEFAULT_PREFIX } else { path }.to_owned();
    Ok(Place { origin: origin(&uri)?, prefix })
}

fn origin(uri: &Uri) -> Result<Origin, Failure> {
    let text = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |at| at.as_str()));
    Origin::parse(&text).map_err(|error| Failure::new(error, "write it as https://api.example.com"))
}

fn user(name: &str) -> Result<User, Failure> {
    let help = "a name is 1 to 128 bytes: ASCII without spaces, and letters and digits of any script";
    User::parse(name).ok_or_else(|| Failure::usage("this is no name of a user", help))
}

/// Whoever sits at a terminal is asked, and nobody sees what is typed; twice where a slip would lock them out.
fn password(source: &Source, user: &User, is_new: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if source.is_standard_input() && std::io::stdin().is_terminal() {
        // Ctrl-C ends the process once the terminal shows again what is typed.
        let _held = interrupt::hold();
        let ask = |question: String| rpassword::prompt_password(question).map(Zeroizing::new);
        let no_terminal = |error| Failure::new(error, "name a FILE that holds the password by `--password`");
        let password = ask(format!("Password of {user}: ")).map_err(no_terminal)?;
        if is_new && *password != *ask("Once more: ".into()).map_err(no_terminal)? {
            return Err(Failure::new("the two passwords are not the same", "nothing was registered: try again"));
        }
        // As of a file.
        if password.trim_ascii().is_empty() {
            return Err(Failure::new("there is no password", "type one, or name a FILE that holds it by `--password`"));
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(Failure::new("the password is too long", format!("at most {MAX_PASSWORD_BYTES} bytes")));
        }
        return Ok(Zeroizing::new(password.as_bytes().to_vec()));
    }
    let mut bytes = Zeroizing::new(source.read("the password", MAX_PASSWORD_BYTES)?);
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(error, "this machine has no room for it"))
}

fn failed(error: &ClientError) -> Failure {
    let help = match error {
        ClientError::LoginFailed => "check the name and the password",
        ClientError::Refused { status: 429, .. } => "wait a minute",
        ClientError::Refused { status: 403, .. } => "ask for an invitation: `chio session invite`",
        _ => "check that the service runs, its host and port, and the path of its desk",
    };
    Failure::new(error, help)
}

pub(super) fn register(args: &Register, printer: &Printer) -> Result<Exit, Failure> {
    let is_input = |source: Option<&Source>| source.is_some_and(Source::is_standard_input);
    source::read_once([is_input(Some(&args.password)), is_input(args.invitation.as_ref())])?;
    let (place, user) = (place(&args.url)?, user(&args.user)?);
    let invitation = args.invitation.as_ref().map(|code| text(code, "the invitation")).transpose()?;
    let password = password(&args.password, &user, true)?;
    let desk = Http { origin: place.origin.clone() };
    let stretch = Stretch::default();
    let done = client::register(&desk, &place, (&user, &password), invitation.as_deref(), &stretch);
    runtime()?.block_on(done).map_err(|error| failed(&error))?;
    printer.answer(&json!({"registered": user.as_str()}), &format!("{GREEN}ok{RESET}     {user} is registered\n"))?;
    Ok(Exit::Done)
}

pub(super) fn login(args: &Login, printer: &Printer) -> Result<Exit, Failure> {
    let (place, user) = (place(&args.url)?, user(&args.user)?);
    let kept = Pending::new(&args.out, Audience::Owner, args.force)?;
    let password = password(&args.password, &user, false)?;
    let desk = Http { origin: place.origin.clone() };
    let stretch = Stretch::default();
    let session = client::login(&desk, &place, (&user, &password), &stretch);
    let session = runtime()?.block_on(session).map_err(|error| failed(&error))?;
    kept.finish(session.to_text().as_bytes())?;
    let value =
        json!({"user": user.as_str(), "session_file": args.out.to_string_lossy(), "expires_at": session.expires_at});
    printer.answer(&value, &format!("{GREEN}ok{RESET}     until {}\n", time(session.expires_at)))?;
    Ok(Exit::Done)
}

pub(super) fn logout(args: &Logout, printer: &Printer) -> Result<Exit, Failure> {
    let (session, now) = (kept(&args.session)?, at(None)?);
    let desk = Http { origin: session.place.origin.clone() };
    runtime()?.block_on(session.logout(&desk, now)).map_err(|error| failed(&error))?;
    printer.answer(&json!({"ended": true}), &format!("{GREEN}ok{RESET}     the session is over\n"))?;
    Ok(Exit::Done)
}

/// The session that was kept in a file.
pub(super) fn kept(source: &Source) -> Result<ClientSession, Failure> {
    if let Source::File(path) = source {
        files::check_private(path)?;
    }
    let bytes = Zeroizing::new(source.read("the session", MAX_SESSION_BYTES)?);
    let session = ClientSession::parse(&bytes);
    session.ok_or_else(|| Failure::new(format!("{source} is no session"), "`chio http login --out FILE` keeps one"))
}

/// The proof of a request. A session is sent to the origin alone that it was opened at.
pub(super) fn proven(
    session: &ClientSession,
    method: &Method,
    uri: &Uri,
    body: Option<&[u8]>,
    response_key: Option<&str>,
) -> Result<Proven, Failure> {
    if origin(uri)? != session.place.origin {
        let help = format!("it was opened at {}", session.place.origin.as_str());
        return Err(Failure::new("the session is of another service", help));
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let asked = Asked { method: method.as_str(), target, body: body.unwrap_or_default(), response_key };
    session.proven(&asked, at(None)?).map_err(|error| failed(&error))
}

/// Asks a desk over HTTP.
struct Http {
    origin: Origin,
}

impl Transport for Http {
    fn post(&self, path: String, headers: HeaderMap, body: String) -> BoxFuture<'_, Result<Reply, KernelError>> {
        let client = chio_http::client::Client::new(&format!("{}{path}", self.origin.as_str()));
        Box::pin(async move {
            let client = client.map_err(|error| KernelError::new(error.to_string()))?;
            let mut asked = hyper::Request::new(Body::whole(body));
            *asked.method_mut() = Method::POST;
            *asked.headers_mut() = headers;
            asked.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let answer = client.send(asked, PATIENCE, MAX_ANSWER_BYTES).await;
            let answer = answer.map_err(|error| KernelError::new(error.to_string()))?;
            Ok(Reply { status: answer.status.as_u16(), body: answer.body.to_vec() })
        })
    }
}
