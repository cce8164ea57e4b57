//! The guard before a tool server: every request of a client is decided here, and by a kernel where it is a call.

use std::borrow::Cow;
use std::sync::Arc;

use chio_core::canonical::{self, Json, Limits};
use chio_core::digest::Digest;
use chio_core::error::excerpt;
use chio_core::receipt::OutcomeStatus;
use chio_kernel::config::Mode;
use chio_kernel::store::BoxFuture;
use chio_kernel::tool_server::{ToolFailure, ToolRequest, ToolServer};
use chio_kernel::{AuthorizedCall, BuildError, Denial, Denied, Kernel, KernelBuilder, SignedCall};

use crate::action::Action;
use crate::answer::{self, Asked, DenyAs, NO_ANSWER};
use crate::definitions::Definitions;
use crate::json::{Object, one_line, quoted};
use crate::message::{INVALID_PARAMS, Id, Kind, METHOD_NOT_FOUND, Message, Refusal, cancelled};
use crate::meta::{self, Taken};
use crate::methods::{Methods, Rule};
use crate::relay::{FromClient, FromServer, Relay, Session, Waits, answered, is_meant_as_message, with_params};

/// What the owner of a guard decides.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The name of the tool server, as capabilities and proofs have it.
    pub server_id: String,
    /// What becomes of each method.
    pub methods: Methods,
    /// How a client is told that its capability does not cover a call.
    pub deny_as: DenyAs,
    /// Whether denials deny.
    pub mode: Mode,
}

impl GuardOptions {
    /// The name of a tool server that has no other.
    pub const DEFAULT_SERVER_ID: &'static str = "mcp";
}

impl Default for GuardOptions {
    fn default() -> Self {
        let server_id = Self::DEFAULT_SERVER_ID.to_owned();
        Self { server_id, methods: Methods::default(), deny_as: DenyAs::default(), mode: Mode::default() }
    }
}

/// The guard before one tool server.
#[derive(Debug)]
pub struct Guard {
    kernel: Kernel,
    options: GuardOptions,
    definitions: Arc<Definitions>,
}

/// What a guard remembers of a request until it is answered.
#[derive(Debug)]
pub enum Waiting {
    /// It is being decided on: nobody can answer it yet.
    Deciding,
    /// It passed.
    Passed {
        /// Whether its answer brings a nonce.
        opens: bool,
    },
    /// It asked for a list of tools; without a capability, where none is needed or nothing is shown.
    List(Option<Box<AuthorizedCall>>),
    /// It is a call.
    Call(Box<AuthorizedCall>),
    /// Its client does not wait any more. Its id stays taken, so that a late answer is nobody else's.
    Cancelled,
}

impl Waits for Waiting {
    fn is_over(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

/// The tool server as the kernel sees it: the guard dispatches to it.
struct Elsewhere(Arc<Definitions>);

impl ToolServer for Elsewhere {
    fn has_tool(&self, _: &str) -> bool {
        true
    }

    fn definition(&self, tool_name: &str) -> Option<Digest> {
        self.0.digest(tool_name)
    }

    fn call<'a>(&'a self, _: ToolRequest<'a>) -> BoxFuture<'a, Result<Json, ToolFailure>> {
        Box::pin(std::future::ready(Err(ToolFailure::NotReached("the guard dispatches to it".into()))))
    }
}

impl Guard {
    /// A guard with a kernel of its own: of the builder, with the tool server added to it.
    /// Fails as [`KernelBuilder::build`].
    pub fn new(kernel: KernelBuilder, options: GuardOptions) -> Result<Self, BuildError> {
        let definitions = Arc::new(Definitions::default());
        let kernel = kernel
            .tool_server(&options.server_id, Elsewhere(Arc::clone(&definitions)))
            .mode(&options.server_id, options.mode)
            .build()?;
        Ok(Self { kernel, options, definitions })
    }

    /// Its kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The definitions of tools that its tool server was seen to give.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    async fn request(
        &self,
        session: &Session<Waiting>,
        message: &Message<'_>,
        id: &Id<'_>,
        method: &str,
    ) -> Result<FromClient, String> {
        let refused = |refused: Refusal| answer::refusal(&refused);
        let rule = self.options.methods.rule(method);
        // What is a notification has no answer, and so no id.
        if rule == Rule::Deny || method.starts_with("notifications/") {
            let what = format!("`{}` is no method that this guard passes", excerpt(method));
            return Err(answer::error(id.text, METHOD_NOT_FOUND, &what, None));
        }
        session.begin(id, Waiting::Deciding).map_err(refused)?;
        let decided = self.decide(message, id, method, rule).await;
        match decided {
            Ok((waiting, text)) => {
                session.change(&id.key, |entry| *entry = waiting);
                Ok(FromClient::Forward(text))
            }
            Err(answer) => {
                session.end(&id.key, |_| true);
                Err(answer)
            }
        }
    }

    /// What to remember of a request and what to send on, or what to answer.
    async fn decide(
        &self,
        message: &Message<'_>,
        id: &Id<'_>,
        method: &str,
        rule: Rule,
    ) -> Result<(Waiting, String), String> {
        let refuse =
            |code, what: &str| answer::refusal(&Refusal { id: id.text.to_owned(), code, what: what.to_owned() });
        let (taken, forward) = taken(message);
        if rule == Rule::Pass {
            let opens = matches!(method, "initialize" | "server/discover");
            return Ok((Waiting::Passed { opens }, forward));
        }
        let params = taken.as_ref().and_then(|taken| Object::read(taken.rest.as_deref()?).ok());
        let action = Action::of(id.text, method, params.as_ref()).map_err(|refusal| answer::refusal(&refusal))?;
        if method == "tools/call" && self.options.methods.is_method(&action.tool_name) {
            return Err(refuse(INVALID_PARAMS, "a tool is called that has the name of a method"));
        }
        let presented = taken.as_ref().and_then(|taken| taken.member(meta::CALL));
        let (capability, proof) = match presented.map(|(own, call)| presentation(&own.inner(call)?)) {
            None if rule == Rule::List => {
                // Where denials deny, nobody sees anything who shows nothing.
                return Ok((Waiting::List(None), forward));
            }
            None => (Vec::new(), None),
            Some(Some((capability, proof))) => (capability.as_bytes().to_vec(), proof.map(std::convert::Into::into)),
            Some(None) => return Err(refuse(INVALID_PARAMS, "`dev.chio/call` has a `capability` and a `proof`")),
        };
        let is_modern = params.as_ref().and_then(|params| params.object("_meta"));
        let is_modern = is_modern.is_some_and(|meta| meta.get("io.modelcontextprotocol/protocolVersion").is_some());
        let asked = Asked { id: id.text, method, tool_name: &action.tool_name, is_modern };
        let call = SignedCall {
            tool_server: self.options.server_id.clone(),
            tool_name: action.tool_name.clone(),
            arguments: action.arguments.into_bytes(),
            capability,
            proof,
        };
        let decided = match rule {
            Rule::List => self.kernel.authorize_list(call).await.map(|call| Waiting::List(Some(Box::new(call)))),
            _ => self.kernel.authorize(call).await.map(|call| Waiting::Call(Box::new(call))),
        };
        decided.map(|waiting| (waiting, forward)).map_err(|denied| self.denied(&asked, &denied))
    }

    fn denied(&self, asked: &Asked<'_>, denied: &Denied) -> String {
        let predates = matches!(denied.denial, Denial::ProofPredatesKernel { .. });
        let nonce = if predates { self.kernel.new_nonce().ok() } else { None };
        answer::denial(asked, denied, self.options.deny_as, nonce)
    }

    async fn cancel(&self, session: &Session<Waiting>, message: &Message<'_>) {
        let Some(id) = cancelled(message) else { return };
        let was = session.change(&id, |entry| match entry {
            // What is not sent on yet cannot be cancelled: this message comes before it.
            Waiting::Deciding => None,
            _ => Some(std::mem::replace(entry, Waiting::Cancelled)),
        });
        if let Some(Some(Waiting::Call(call) | Waiting::List(Some(call)))) = was {
            // It may have had an effect, and nobody waits to hear of it. A receipt that is lost is logged by the kernel.
            let _ = call.finish(OutcomeStatus::TimedOut, None).await;
        }
    }

    /// An answer of the tool server to a request that waited for it.
    async fn answer(&self, message: &Message<'_>, waiting: Waiting) -> Result<String, String> {
        let Some(taken) = meta::take_from(&message.object, "result") else {
            if let Waiting::Call(call) | Waiting::List(Some(call)) = waiting {
                let _ = call.finish(OutcomeStatus::ToolError, None).await;
            }
            return Ok(without_own_data(message));
        };
        let nonce = || self.kernel.new_nonce().ok().map(|nonce| quoted(&nonce));
        let rest = taken.rest.unwrap_or(Cow::Borrowed("{}"));
        let (rest, entries) = match waiting {
            Waiting::Passed { opens } => {
                (rest, Vec::from_iter(nonce().filter(|_| opens).map(|nonce| (meta::NONCE, nonce))))
            }
            Waiting::List(call) => {
                let shows_all = call.is_none() && self.options.mode != Mode::Enforce;
                let sees = |name: &str| shows_all || call.as_ref().is_some_and(|call| call.sees(name));
                let filtered = self.definitions.filtered(&rest, sees);
                let mut entries = Vec::from_iter(nonce().map(|nonce| (meta::NONCE, nonce)));
                let filtered = match (filtered, call) {
                    (Ok(filtered), Some(call)) => {
                        entries.extend(finish(*call, OutcomeStatus::Ok, &filtered).await);
                        filtered
                    }
                    (Ok(filtered), None) => filtered,
                    (Err(what), call) => {
                        if let Some(call) = call {
                            let _ = call.finish(OutcomeStatus::Failed, None).await;
                        }
                        return Err(format!("the tool server's list of tools cannot be read: {what}"));
                    }
                };
                (Cow::Owned(filtered), entries)
            }
            Waiting::Call(call) => {
                let result = message.object.object("result");
                let failed = result.is_some_and(|result| result.get("isError") == Some("true"));
                let status = if failed { OutcomeStatus::ToolError } else { OutcomeStatus::Ok };
                let entries = finish(*call, status, &rest).await;
                (rest, entries)
            }
            Waiting::Deciding | Waiting::Cancelled => (rest, Vec::new()),
        };
        let entries: Vec<_> = entries.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let put = if entries.is_empty() {
            None
        } else {
            Object::read(&rest).ok().and_then(|rest| meta::put(Some(&rest), &entries))
        };
        let result = put.map_or(rest, Cow::Owned);
        Ok(one_line(&message.object.with("result", &result)))
    }
}

impl Relay for Guard {
    type Waiting = Waiting;

    async fn of_client(&self, session: &Session<Waiting>, text: &[u8]) -> FromClient {
        let message = match Message::read(text) {
            Ok(message) => message,
            Err(refusal) => return FromClient::Answer(answer::refusal(&refusal)),
        };
        match &message.kind {
            Kind::Request { id, method } => {
                self.request(session, &message, id, method).await.unwrap_or_else(FromClient::Answer)
            }
            Kind::Notification { method }
                if method.starts_with("notifications/") && self.options.methods.rule(method) == Rule::Pass =>
            {
                self.cancel(session, &message).await;
                FromClient::Forward(taken(&message).1)
            }
            Kind::Notification { method } => {
                tracing::warn!(method = excerpt(method), "dropped: no notification that this guard passes");
                FromClient::Drop
            }
            Kind::Response { id } if session.answer(&id.key) => FromClient::Forward(one_line(message.object.text())),
            Kind::Response { .. } => {
                tracing::warn!("dropped: an answer to what the tool server did not ask");
                FromClient::Drop
            }
            Kind::Unattributed => FromClient::Forward(one_line(message.object.text())),
        }
    }

    async fn of_server(&self, session: &Session<Waiting>, text: &[u8]) -> FromServer {
        let message = match Message::read(text) {
            Ok(message) => message,
            Err(refusal) if is_meant_as_message(text) => {
                tracing::warn!("the tool server sent what is no message: {}", refusal.what);
                let why = "it sent an answer that cannot be understood";
                // Whose answer it is can mostly be seen all the same. If not, it is nobody's.
                return FromServer::Instead(match answered(text) {
                    Some(id) => self.give_up(session, Some(&id), why, true).await,
                    None => Vec::new(),
                });
            }
            Err(_) => {
                tracing::warn!("the tool server printed {} bytes that are no message", text.len());
                return FromServer::Instead(Vec::new());
            }
        };
        if let Kind::Request { id, .. } = &message.kind {
            session.ask(&id.key);
        }
        let Kind::Response { id } = &message.kind else {
            return FromServer::Forward(one_line(message.object.text()));
        };
        let Some(entry) = session.end(&id.key, |waiting| !matches!(waiting, Waiting::Deciding)) else {
            tracing::warn!("the tool server answered what it was not asked");
            return FromServer::Instead(Vec::new());
        };
        if matches!(entry.waiting, Waiting::Cancelled) {
            return FromServer::Instead(Vec::new());
        }
        match self.answer(&message, entry.waiting).await {
            Ok(text) => FromServer::Forward(text),
            Err(what) => FromServer::Instead(vec![answer::error(&entry.id, NO_ANSWER, &what, None)]),
        }
    }

    async fn give_up(&self, session: &Session<Waiting>, id: Option<&str>, why: &str, is_reached: bool) -> Vec<String> {
        let status = if is_reached { OutcomeStatus::Failed } else { OutcomeStatus::NotReached };
        let mut answers = Vec::new();
        for entry in session.end_of(id) {
            match entry.waiting {
                Waiting::Cancelled => continue,
                Waiting::Call(call) | Waiting::List(Some(call)) => {
                    let _ = call.finish(status, None).await;
                }
                Waiting::Deciding | Waiting::Passed { .. } | Waiting::List(None) => {}
            }
            answers.push(answer::error(&entry.id, NO_ANSWER, &format!("the tool server gave no answer: {why}"), None));
        }
        answers
    }

    fn definitions(&self) -> Option<&Definitions> {
        Some(&self.definitions)
    }
}

/// What Chio has in the parameters of a message, and the message without that, on one line.
fn taken<'a>(message: &Message<'a>) -> (Option<Taken<'a>>, String) {
    let taken = meta::take_from(&message.object, "params");
    let forward = match &taken {
        Some(taken) if !taken.is_nothing() => with_params(&message.object, taken.rest.as_deref()),
        _ => one_line(message.object.text()),
    };
    (taken, forward)
}

/// A chain and a proof, as they are written.
fn presentation<'a>(object: &Object<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let known = object.members().iter().all(|member| matches!(&*member.name, "capability" | "proof"));
    known.then_some((object.get("capability")?, object.get("proof")))
}

/// Writes the receipt of an outcome, and returns it with that of its decision.
async fn finish(call: AuthorizedCall, status: OutcomeStatus, result: &str) -> Vec<(&'static str, String)> {
    let canonical = canonical::canonicalize(result.as_bytes(), Limits::bytes(result.len())).ok();
    let hash = canonical.map(|canonical| Digest::of(&canonical));
    // Where they cannot be written the kernel says so in its log, and the call has had its effect all the same.
    let Ok(receipts) = call.finish_both(status, hash).await else { return Vec::new() };
    let named = [meta::DECISION, meta::RECEIPT].into_iter().zip(&receipts);
    named.filter_map(|(name, receipt)| Some((name, answer::receipt(receipt)?))).collect()
}

/// An error of the tool server, without what only a guard may say in one.
fn without_own_data(message: &Message<'_>) -> String {
    let text = || one_line(message.object.text());
    let Some(error) = message.object.object("error") else { return text() };
    let Some(data) = error.object("data") else { return text() };
    if !data.members().iter().any(|member| meta::is_own(&member.name)) {
        return text();
    }
    let error = error.with("data", &data.only(|member| !meta::is_own(&member.name)));
    one_line(&message.object.with("error", &error))
}
