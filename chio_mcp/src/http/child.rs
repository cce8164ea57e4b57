//! A process of a tool server behind HTTP: what it says goes to whoever waits for it, and to nobody else.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, oneshot};

use crate::answer;
use crate::lines::{Line, Lines};
use crate::message::{Key, Kind, METHOD_NOT_FOUND, Message};
use crate::process::{Patience, Process};
use crate::pump::MAX_MESSAGE_BYTES;
use crate::relay::{FromServer, Relay, Session};

/// How many messages are kept for a client that does not listen at the moment, and how many bytes of them.
const MAX_KEPT: usize = 256;
const MAX_KEPT_BYTES: usize = MAX_MESSAGE_BYTES;

/// How many messages may wait for the process to read them.
const MAX_UNREAD: usize = 1024;

/// What comes of a request: messages on the way, and at last its answer. The answer has a place of its own, so that a client
/// that does not read holds up nobody.
pub(crate) struct Coming {
    pub(crate) on_the_way: Receiver<String>,
    pub(crate) last: oneshot::Receiver<String>,
    pub(crate) ticket: Ticket,
}

/// Which wait for an id it is: another may have the id later.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    id: Key,
    serial: u64,
}

/// A process, and who waits for what it says.
pub(crate) struct Child<R: Relay> {
    pub(crate) session: Session<R::Waiting>,
    /// Whether several clients share it: what is addressed to none of them is then for none of them.
    is_shared: bool,
    /// Whole lines, for the one task that writes them.
    unread: Mutex<Option<Sender<String>>>,
    routes: Mutex<Routes>,
    end: Notify,
    reaped: Notify,
}

#[derive(Default)]
struct Routes {
    /// By the ids of requests.
    waiting: HashMap<Key, Waiting>,
    next: u64,
    /// Who listens to what no request asked for.
    listener: Option<Sender<String>>,
    kept: VecDeque<String>,
    last_used: Option<Instant>,
    has_ended: bool,
    is_reaped: bool,
}

struct Waiting {
    serial: u64,
    on_the_way: Sender<String>,
    last: oneshot::Sender<String>,
    progress: Option<Key>,
}

impl<R: Relay> Child<R> {
    /// Starts a process, and listens to it until it ends.
    pub(crate) fn start(relay: &Arc<R>, command: &[OsString], is_shared: bool) -> io::Result<Arc<Self>> {
        let (process, stdout, stdin) = Process::start(command)?;
        let (sender, receiver) = channel(MAX_UNREAD);
        let child = Arc::new(Self {
            session: Session::default(),
            is_shared,
            unread: Mutex::new(Some(sender)),
            routes: Mutex::default(),
            end: Notify::new(),
            reaped: Notify::new(),
        });
        let writing = tokio::spawn(write(receiver, stdin)).abort_handle();
        let listening = Arc::clone(&child);
        let relay = Arc::clone(relay);
        tokio::spawn(async move {
            listening.listen(relay, stdout).await;
            // Its input ends, whether it reads it or not.
            writing.abort();
            if let Err(error) = process.end(Patience::TOOL_SERVER).await {
                tracing::warn!("the tool server cannot be waited for: {error}");
            }
            listening.routes().is_reaped = true;
            listening.reaped.notify_waiters();
        });
        Ok(child)
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.routes().has_ended
    }

    /// Since when nobody waits for anything of it, and nobody listens.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let routes = self.routes();
        let is_heard = routes.listener.as_ref().is_some_and(|listener| !listener.is_closed());
        routes.last_used.filter(|_| routes.waiting.is_empty() && !is_heard)
    }

    /// Whether somebody waits for something of it.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.routes().waiting.is_empty()
    }

    /// Whether this request could not be told from one that is under way.
    pub(crate) fn is_in_the_way(&self, id: &Key, progress: Option<&Key>) -> bool {
        let routes = self.routes();
        routes.waiting.contains_key(id)
            || progress.is_some_and(|token| routes.waiting.values().any(|one| one.progress.as_ref() == Some(token)))
    }

    /// Who sends a request waits for what comes of it. None where another of its id is waited for.
    pub(crate) fn wait(&self, id: Key, progress: Option<Key>) -> Option<Coming> {
        let (sender, on_the_way) = channel(MAX_KEPT);
        let (answer, last) = oneshot::channel();
        let mut routes = self.routes();
        if routes.waiting.contains_key(&id) {
            return None;
        }
        let serial = routes.next;
        routes.next = serial.saturating_add(1);
        routes.waiting.insert(id.clone(), Waiting { serial, on_the_way: sender, last: answer, progress });
        Some(Coming { on_the_way, last, ticket: Ticket { id, serial } })
    }

    /// Nobody waits any more. Returns whether the answer was still to come.
    pub(crate) fn forget(&self, ticket: &Ticket) -> bool {
        let mut routes = self.routes();
        routes.last_used = Some(Instant::now());
        let is_there = routes.waiting.get(&ticket.id).is_some_and(|waiting| waiting.serial == ticket.serial);
        is_there && routes.waiting.remove(&ticket.id).is_some()
    }

    /// A request was cancelled by its client: nothing more comes of it.
    pub(crate) fn cancel(&self, id: &Key) {
        self.routes().waiting.remove(id);
    }

    /// Whoever listened before does not any more.
    pub(crate) fn subscribe(&self) -> Receiver<String> {
        let (sender, receiver) = channel(MAX_KEPT);
        let mut routes = self.routes();
        for text in routes.kept.drain(..) {
            // There is room for all that is kept.
            let _ = sender.try_send(text);
        }
        routes.listener = Some(sender);
        receiver
    }

    /// Hands a message to the process. Fails where it has ended, or does not read.
    pub(crate) fn write(&self, text: String) -> Result<(), &'static str> {
        self.routes().last_used = Some(Instant::now());
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = unread.as_ref().ok_or("it has ended")?;
        unread.try_send(text).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => "it does not read",
            tokio::sync::mpsc::error::TrySendError::Closed(_) => "it has ended",
        })
    }

    /// Ends the process in order.
    pub(crate) fn close(&self) {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.end.notify_one();
    }

    /// Waits until it has ended.
    pub(crate) async fn reaped(&self) {
        loop {
            let reaped = self.reaped.notified();
            if self.routes().is_reaped {
                return;
            }
            reaped.await;
        }
    }

    async fn listen(&self, relay: Arc<R>, stdout: ChildStdout) {
        let mut lines = Lines::new(stdout, MAX_MESSAGE_BYTES);
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = self.end.notified() => break,
            };
            let decided = match line {
                Ok(Line::Text(text)) if text.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Line::Text(text)) => relay.of_server(&self.session, &text).await,
                Ok(Line::TooLong) => {
                    let why = "it sent an answer that is too long";
                    FromServer::Instead(relay.give_up(&self.session, None, why, true).await)
                }
                Ok(Line::End) | Err(_) => break,
            };
            match decided {
                FromServer::Forward(text) => self.route(text),
                FromServer::Back(text) => {
                    // Where it does not read, it gives no answer either.
                    let _ = self.write(text);
                }
                FromServer::Instead(texts) => texts.into_iter().for_each(|text| self.route(text)),
            }
        }
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        for text in relay.give_up(&self.session, None, "it has ended", true).await {
            self.route(text);
        }
        let mut routes = self.routes();
        routes.has_ended = true;
        routes.waiting.clear();
        routes.listener = None;
    }

    /// Hands a message to whoever it is for. One that reads too slowly holds up nobody else: it misses what it has no room
    /// for, but never its answer.
    fn route(&self, text: String) {
        let Ok(message) = Message::read(text.as_bytes()) else { return };
        let mut routes = self.routes();
        if let Kind::Response { id } = &message.kind {
            let Some(waiting) = routes.waiting.remove(&id.key) else { return };
            routes.last_used = Some(Instant::now());
            // A client that is gone is told nothing.
            let _ = waiting.last.send(text);
            return;
        }
        let params = message.params();
        let key = |name: &str| params.as_ref().and_then(|params| params.get(name)).and_then(Key::read);
        let meta = params.as_ref().and_then(|params| params.object("_meta"));
        let subscription = meta.and_then(|meta| meta.get("io.modelcontextprotocol/subscriptionId").and_then(Key::read));
        let by_id = subscription.or_else(|| key("requestId"));
        let by_progress = key("progressToken");
        let found = by_id.and_then(|id| routes.waiting.get(&id)).or_else(|| {
            let token = by_progress.as_ref()?;
            routes.waiting.values().find(|one| one.progress.as_ref() == Some(token))
        });
        let listener = routes.listener.as_ref().filter(|listener| !listener.is_closed());
        let to = found.map(|waiting| &waiting.on_the_way).or_else(|| {
            if self.is_shared {
                None
            } else {
                listener.or_else(|| routes.waiting.values().next().map(|one| &one.on_the_way))
            }
        });
        if let Some(to) = to {
            if to.try_send(text).is_err() {
                tracing::warn!("a client that reads too slowly missed a message");
            }
            return;
        }
        if self.is_shared {
            drop(routes);
            // Whose it is cannot be told, and what is one client's is not another's.
            if let Kind::Request { id, .. } = &message.kind {
                let what = "whose client is asked cannot be told";
                let _ = self.write(answer::error(id.text, METHOD_NOT_FOUND, what, None));
            }
            return;
        }
        routes.kept.push_back(text);
        while routes.kept.len() > MAX_KEPT || routes.kept.iter().map(String::len).sum::<usize>() > MAX_KEPT_BYTES {
            routes.kept.pop_front();
        }
    }
}

/// Writes whole lines: whoever hands one over may go away, the line does not.
async fn write(mut lines: Receiver<String>, mut stdin: ChildStdin) {
    while let Some(text) = lines.recv().await {
        let written = async {
            stdin.write_all(text.as_bytes()).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        if written.await.is_err() {
            // It reads no more. What it said before is still to be heard.
            return;
        }
    }
}
