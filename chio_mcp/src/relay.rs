//! What stands between a client and a tool server: it is shown every message, one at a time, and says what goes on.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::definitions::Definitions;
use crate::json::{Object, one_line};
use crate::message::{INVALID_REQUEST, Id, Key, Refusal};

/// How many requests may be under way in one session.
pub const MAX_UNDER_WAY: usize = 16_384;

/// What becomes of a message of the client. Texts are JSON on one line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// It goes on to the tool server, as this text.
    Forward(String),
    /// It does not, and this is the answer.
    Answer(String),
    /// It does not, and there is nobody to answer.
    Drop,
}

/// What becomes of a message of the tool server.
#[derive(Debug, PartialEq, Eq)]
pub enum FromServer {
    /// It goes on to the client, as this text.
    Forward(String),
    /// It does not: this request goes to the tool server once more.
    Back(String),
    /// It does not. These are the answers to requests that will get no other.
    Instead(Vec<String>),
}

/// A guard or a signer.
pub trait Relay: Send + Sync + 'static {
    /// What is remembered of a request until it is answered.
    type Waiting: Waits;

    /// A message of the client.
    fn of_client(&self, session: &Session<Self::Waiting>, text: &[u8]) -> impl Future<Output = FromClient> + Send;

    /// A message of the tool server.
    fn of_server(&self, session: &Session<Self::Waiting>, text: &[u8]) -> impl Future<Output = FromServer> + Send;

    /// No answer comes any more to the request of this id, or to any: the answers instead. `is_reached` says whether what
    /// was asked may have had an effect.
    fn give_up(
        &self,
        session: &Session<Self::Waiting>,
        id: Option<&str>,
        why: &str,
        is_reached: bool,
    ) -> impl Future<Output = Vec<String>> + Send;

    /// The definitions by which the headers of a call can be checked, where it has seen them.
    fn definitions(&self) -> Option<&Definitions> {
        None
    }
}

/// What is remembered of a request.
pub trait Waits: Send + 'static {
    /// Whether nobody waits for its answer any more. Its id stays taken, but not for ever: such requests are forgotten where
    /// there are too many.
    fn is_over(&self) -> bool;
}

/// The requests under way between one client and one tool server.
#[derive(Debug)]
pub struct Session<W> {
    waiting: Mutex<HashMap<Key, Entry<W>>>,
    /// How many requests began, ever.
    begun: AtomicU64,
    /// The ids of what the tool server asked its client.
    asked: Mutex<HashSet<Key>>,
}

#[derive(Debug)]
pub(crate) struct Entry<W> {
    pub(crate) id: String,
    pub(crate) waiting: W,
    number: u64,
}

impl<W> Default for Session<W> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), begun: AtomicU64::new(0), asked: Mutex::default() }
    }
}

impl<W: Waits> Session<W> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry<W>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the id of a request for as long as it is under way: two at once could not be told apart by their answers.
    pub(crate) fn begin(&self, id: &Id<'_>, waiting: W) -> Result<(), Refusal> {
        let refuse = |id: &str, what: &str| Err(Refusal { id: id.into(), code: INVALID_REQUEST, what: what.into() });
        let mut all = self.lock();
        if all.contains_key(&id.key) {
            // With its id this would be taken for the answer to the other.
            return refuse("null", "the `id` is that of a request that is still under way");
        }
        if all.len() >= MAX_UNDER_WAY {
            all.retain(|_, entry| !entry.waiting.is_over());
        }
        if all.len() >= MAX_UNDER_WAY {
            return refuse(id.text, "too many requests are under way");
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        all.insert(id.key.clone(), Entry { id: id.text.to_owned(), waiting, number });
        Ok(())
    }

    /// The tool server asks its client. One question too many is not remembered, and so its answer does not pass.
    pub(crate) fn ask(&self, id: &Key) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MAX_UNDER_WAY {
            asked.insert(id.clone());
        }
    }

    /// Whether this is an answer to what the tool server asked, once.
    pub(crate) fn answer(&self, id: &Key) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Changes what is remembered of a request.
    pub(crate) fn change<T>(&self, key: &Key, change: impl FnOnce(&mut W) -> T) -> Option<T> {
        self.lock().get_mut(key).map(|entry| change(&mut entry.waiting))
    }

    /// A request is answered, if it is one of those that can be.
    pub(crate) fn end(&self, key: &Key, can_be_answered: impl FnOnce(&W) -> bool) -> Option<Entry<W>> {
        let mut all = self.lock();
        if all.get(key).is_some_and(|entry| can_be_answered(&entry.waiting)) { all.remove(key) } else { None }
    }

    /// No answer comes to the request of this id, or to any.
    pub(crate) fn end_of(&self, id: Option<&str>) -> Vec<Entry<W>> {
        match id {
            Some(id) => Vec::from_iter(Key::read(id).and_then(|key| self.lock().remove(&key))),
            None => self.lock().drain().map(|(_, entry)| entry).collect(),
        }
    }

    /// How many requests began so far.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The ids of those that are under way and began after so many, in their order.
    pub(crate) fn after(&self, begun: u64) -> Vec<String> {
        let all = self.lock();
        let mut late: Vec<_> = all.values().filter(|entry| entry.number >= begun).collect();
        late.sort_unstable_by_key(|entry| entry.number);
        late.into_iter().map(|entry| entry.id.clone()).collect()
    }

    /// Whether a request of this id is under way.
    pub fn has(&self, id: &str) -> bool {
        Key::read(id).is_some_and(|key| self.has_key(&key))
    }

    pub(crate) fn has_key(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_waited_in(&self) -> bool {
        self.lock().values().any(|entry| !entry.waiting.is_over())
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.lock().len()
    }
}

/// A message with other parameters, or with none, on one line.
pub(crate) fn with_params(message: &Object<'_>, params: Option<&str>) -> String {
    one_line(&match params {
        Some(params) => message.with("params", params),
        None => message.only(|member| member.name != "params"),
    })
}

/// Whether a text that cannot be understood was meant as a message, or is what a tool server prints besides.
pub(crate) fn is_meant_as_message(text: &[u8]) -> bool {
    text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// The id of an answer that is not strict enough to be read otherwise, as it is written.
pub(crate) fn answered(text: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        id: serde_json::Value,
        method: Option<serde::de::IgnoredAny>,
    }
    let envelope: Envelope = serde_json::from_slice(text).ok()?;
    if envelope.method.is_some() { None } else { Some(envelope.id.to_string()) }
}
