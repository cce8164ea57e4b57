//! The signer beside a client: it presents a capability, and proves possession of its key, with every request.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use chio_core::canonical::Limits;
use chio_core::capability::CapabilityChain;
use chio_core::crypto::{SigningBackend, random_hex};
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::clock::{Clock, SystemClock};

use crate::action::Action;
use crate::answer::{self, NO_ANSWER, RECEIPT_INVALID};
use crate::json::{Object, one_line, string};
use crate::keeper::{Keeper, Signed};
use crate::message::{INVALID_PARAMS, Kind, Message, Refusal, cancelled};
use crate::meta::{self, Taken};
use crate::methods::is_presented;
use crate::relay::{FromClient, FromServer, Relay, Session, Waits, with_params};

/// The signer of one agent, for one tool server.
pub struct Signer {
    key: Box<dyn SigningBackend>,
    capability: CapabilityChain,
    /// The chain in canonical form, as it is presented.
    chain: String,
    server_id: String,
    clock: Box<dyn Clock>,
    /// What the guard gave out last. Nonces that begin with it are its own.
    nonce: Mutex<Option<String>>,
    /// Whether the guard has answered anything with more than a denial.
    has_answered: AtomicBool,
    keeper: Option<Keeper>,
}

/// What a signer remembers of a request until it is answered.
#[derive(Debug)]
pub struct Waiting {
    /// The request as the client sent it, until it was signed a second time.
    request: Option<String>,
    signed: Option<Signed>,
    is_over: bool,
}

impl Waits for Waiting {
    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.server_id)
    }
}

impl Signer {
    /// A signer with the key of the capability's subject. Without the name of the tool server, it is the only one that
    /// the capability's last token names.
    /// Fails where the key is another, or the capability names several tool servers.
    pub fn new(
        key: impl SigningBackend + 'static,
        capability: CapabilityChain,
        server_id: Option<String>,
    ) -> Result<Self, String> {
        let leaf = capability.leaf();
        if key.public_key() != leaf.subject {
            return Err("the capability is for another key".into());
        }
        let server_id = if let Some(server_id) = server_id {
            server_id
        } else {
            let mut named = leaf.grants.iter().map(|grant| &grant.tool_server);
            let first = named.next().ok_or("the capability grants nothing")?;
            if named.any(|other| other != first) {
                return Err("the capability is for several tool servers, and which one this is was not said".into());
            }
            first.clone()
        };
        let chain = capability.to_json().map_err(|error| error.to_string())?.to_canonical_bytes();
        let chain = String::from_utf8(chain).map_err(|error| error.to_string())?;
        let (key, clock, nonce) = (Box::new(key), Box::new(SystemClock), Mutex::new(None));
        let has_answered = AtomicBool::new(false);
        Ok(Self { key, capability, chain, server_id, clock, nonce, has_answered, keeper: None })
    }

    /// Keeps and verifies the receipts of its calls.
    #[must_use]
    pub fn keeping(mut self, keeper: Keeper) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The name of the tool server.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    fn next_nonce(&self) -> Result<String, String> {
        let random = random_hex().map_err(|error| error.to_string())?;
        let given_out = self.nonce.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(given_out.as_ref().map_or_else(|| random.clone(), |given_out| format!("{given_out}.{random}")))
    }

    /// A nonce of the guard, as a JSON text. One that leaves no room for more is none.
    fn learn(&self, nonce: Option<&str>) -> bool {
        let nonce = nonce.and_then(string).filter(|nonce| (1..=128).contains(&nonce.len()));
        let is_new = nonce.is_some();
        if let Some(nonce) = nonce {
            *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce.into_owned());
        }
        is_new
    }

    /// A request with what it presents.
    fn sign(&self, message: &Message<'_>, id: &str, method: &str) -> Result<(String, Signed), Refusal> {
        let refuse = |what: String| Refusal { id: id.to_owned(), code: INVALID_PARAMS, what };
        // What the client put there itself would stand beside what the signer says.
        let taken = meta::take_from(&message.object, "params");
        let params = taken.as_ref().and_then(|taken| taken.rest.as_deref());
        let object = params.and_then(|params| Object::read(params).ok());
        let action = Action::of(id, method, object.as_ref())?;
        let arguments = Arguments::parse(action.arguments.as_bytes(), Limits::bytes(Arguments::MAX_BYTES));
        let arguments = arguments.map_err(|error| refuse(format!("what is called cannot be signed: {error}")))?;
        let now = self.clock.now().map_err(|error| refuse(error.to_string()))?;
        let nonce = self.next_nonce().map_err(refuse)?;
        let tool = (self.server_id.as_str(), action.tool_name.as_str());
        let body = DpopProofBody::new(self.capability.leaf(), tool, &arguments, nonce, now);
        let proof = DpopProof::sign_with_backend(body, &*self.key).map_err(|error| refuse(error.to_string()))?;
        let signed = Signed::new(&proof, method == "tools/call").map_err(|error| refuse(error.to_string()))?;
        let proof = proof.to_bytes().ok().and_then(|proof| String::from_utf8(proof).ok()).unwrap_or_default();
        let presented = format!("{{\"capability\":{},\"proof\":{proof}}}", self.chain);
        let params = meta::put(object.as_ref(), &[(meta::CALL, &presented)]);
        let params = params.ok_or_else(|| refuse("`_meta` is an object".into()))?;
        Ok((with_params(&message.object, Some(&params)), signed))
    }

    /// A request that was denied because the guard cannot remember proofs like it, with another that it can.
    fn sign_again(&self, session: &Session<Waiting>, message: &Message<'_>, request: &str) -> Option<String> {
        let Kind::Response { id } = &message.kind else { return None };
        let data = message.object.object("error")?.object("data")?;
        if data.string("code").as_deref() != Some("proof_predates_kernel") || !self.learn(data.get(meta::NONCE)) {
            return None;
        }
        let request = Message::read(request.as_bytes()).ok()?;
        let Kind::Request { id: asked, method } = &request.kind else { return None };
        // Whoever stands between could have a call made twice by this. A guard that answered before remembers proofs, or was
        // started anew: then the client hears of it, and makes the call again if it wants to.
        if self.has_answered.load(Ordering::SeqCst) && method != "tools/list" {
            return None;
        }
        let (text, signed) = self.sign(&request, asked.text, method).ok()?;
        session.begin(id, Waiting { request: None, signed: Some(signed), is_over: false }).ok()?;
        Some(text)
    }

    /// A result without what the guard says to the signer alone, when its receipts fit it.
    fn received(&self, message: &Message<'_>, taken: &Taken<'_>, signed: Option<&Signed>) -> Result<String, String> {
        let has_nonce = self.learn(taken.get(meta::NONCE));
        let rest = taken.rest.as_deref().unwrap_or("{}");
        let receipts = [meta::DECISION, meta::RECEIPT].map(|name| taken.get(name));
        if has_nonce || receipts.iter().any(Option::is_some) {
            self.has_answered.store(true, Ordering::SeqCst);
        }
        if let (Some(keeper), Some(signed)) = (&self.keeper, signed) {
            keeper.keep(signed, receipts[0], receipts[1], rest)?;
        }
        let entries = [meta::DECISION, meta::RECEIPT].into_iter().zip(receipts);
        let entries: Vec<_> = entries.filter_map(|(name, receipt)| Some((name, receipt?))).collect();
        if taken.is_nothing() {
            return Ok(one_line(message.object.text()));
        }
        let put = if entries.is_empty() {
            None
        } else {
            Object::read(rest).ok().and_then(|rest| meta::put_plainly(&rest, &entries))
        };
        Ok(one_line(&message.object.with("result", put.as_deref().unwrap_or(rest))))
    }
}

impl Relay for Signer {
    type Waiting = Waiting;

    async fn of_client(&self, session: &Session<Waiting>, text: &[u8]) -> FromClient {
        let message = match Message::read(text) {
            Ok(message) => message,
            Err(refusal) => return FromClient::Answer(answer::refusal(&refusal)),
        };
        let plain = || one_line(message.object.text());
        let Kind::Request { id, method } = &message.kind else {
            if let Some(id) = cancelled(&message) {
                session.change(&id, |waiting| (waiting.request, waiting.is_over) = (None, true));
            }
            return FromClient::Forward(plain());
        };
        let signed = if is_presented(method) {
            self.sign(&message, id.text, method).map(|(text, signed)| (text, Some(signed)))
        } else {
            Ok((plain(), None))
        };
        let begun = signed.and_then(|(text, signed)| {
            let request = signed.as_ref().map(|_| message.object.text().to_owned());
            session.begin(id, Waiting { request, signed, is_over: false }).map(|()| text)
        });
        begun.map_or_else(|refusal| FromClient::Answer(answer::refusal(&refusal)), FromClient::Forward)
    }

    async fn of_server(&self, session: &Session<Waiting>, text: &[u8]) -> FromServer {
        let Ok(message) = Message::read(text) else {
            tracing::warn!("the tool server sent {} bytes that are no message", text.len());
            return FromServer::Instead(Vec::new());
        };
        let plain = || FromServer::Forward(one_line(message.object.text()));
        let Kind::Response { id } = &message.kind else { return plain() };
        let Some(entry) = session.end(&id.key, |_| true) else {
            // Some client could take it for an answer to what it did ask.
            tracing::warn!("the tool server answered what it was not asked");
            return FromServer::Instead(Vec::new());
        };
        if let Some(text) = entry.waiting.request.and_then(|request| self.sign_again(session, &message, &request)) {
            return FromServer::Back(text);
        }
        let Some(taken) = meta::take_from(&message.object, "result") else { return plain() };
        match self.received(&message, &taken, entry.waiting.signed.as_ref()) {
            Ok(text) => FromServer::Forward(text),
            Err(what) => {
                tracing::warn!("the receipt of a call does not hold: {what}");
                let what = format!("the receipt of the answer does not hold: {what}");
                FromServer::Instead(vec![answer::error(&entry.id, RECEIPT_INVALID, &what, None)])
            }
        }
    }

    async fn give_up(&self, session: &Session<Waiting>, id: Option<&str>, why: &str, _: bool) -> Vec<String> {
        let what = format!("the tool server gave no answer: {why}");
        session.end_of(id).iter().map(|entry| answer::error(&entry.id, NO_ANSWER, &what, None)).collect()
    }
}
