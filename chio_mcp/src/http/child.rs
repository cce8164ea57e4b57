//! A process of a tool server behind HTTP: what it says goes to whoever waits for it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::json::Object;
use crate::lines::{Line, Lines};
use crate::message::{Key, Kind, Message};
use crate::process::{Patience, Process};
use crate::pump::MAX_MESSAGE_BYTES;
use crate::relay::{FromServer, Relay, Session};

/// How many messages are kept for a client that does not listen at the moment.
const MAX_KEPT: usize = 256;

/// What comes of a request: messages on the way, and at last its answer.
#[derive(Debug)]
pub(crate) enum Said {
    OnTheWay(String),
    Last(String),
}

/// A process, and who waits for what it says.
pub(crate) struct Child<R: Relay> {
    pub(crate) session: Session<R::Waiting>,
    stdin: AsyncMutex<Option<ChildStdin>>,
    routes: Mutex<Routes>,
    end: Notify,
}

#[derive(Default)]
struct Routes {
    /// By the ids of requests.
    waiting: HashMap<Key, Waiting>,
    /// Who listens to what no request asked for.
    listener: Option<Sender<Said>>,
    kept: VecDeque<String>,
    last_used: Option<Instant>,
    has_ended: bool,
}

struct Waiting {
    sender: Sender<Said>,
    progress: Option<Key>,
}

impl<R: Relay> Child<R> {
    /// Starts a process, and listens to it until it ends.
    pub(crate) fn start(relay: &Arc<R>, command: &[OsString]) -> io::Result<Arc<Self>> {
        let (process, stdout, stdin) = Process::start(command)?;
        let child = Arc::new(Self {
            session: Session::default(),
            stdin: AsyncMutex::new(Some(stdin)),
            routes: Mutex::default(),
            end: Notify::new(),
        });
        tokio::spawn(Arc::clone(&child).listen(Arc::clone(relay), process, stdout));
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
        let is_used =
            !routes.waiting.is_empty() || routes.listener.as_ref().is_some_and(|listener| !listener.is_closed());
        routes.last_used.filter(|_| !is_used)
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

    /// Who sends a request waits for what comes of it.
    pub(crate) fn wait(&self, id: Key, progress: Option<Key>) -> Receiver<Said> {
        let (sender, receiver) = channel(64);
        self.routes().waiting.insert(id, Waiting { sender, progress });
        receiver
    }

    pub(crate) fn forget(&self, id: &Key) {
        let mut routes = self.routes();
        routes.waiting.remove(id);
        routes.last_used = Some(Instant::now());
    }

    /// Whoever listened before does not any more.
    pub(crate) fn subscribe(&self) -> Receiver<Said> {
        let (sender, receiver) = channel(MAX_KEPT);
        let mut routes = self.routes();
        for text in routes.kept.drain(..) {
            // There is room for all that is kept.
            let _ = sender.try_send(Said::OnTheWay(text));
        }
        routes.listener = Some(sender);
        receiver
    }

    /// Fails where the process reads no more.
    pub(crate) async fn write(&self, text: &str) -> io::Result<()> {
        self.routes().last_used = Some(Instant::now());
        let mut stdin = self.stdin.lock().await;
        let stdin = stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(text.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        stdin.flush().await
    }

    /// Ends the process in order.
    pub(crate) async fn close(&self) {
        self.stdin.lock().await.take();
        self.end.notify_one();
    }

    async fn listen(self: Arc<Self>, relay: Arc<R>, process: Process, stdout: ChildStdout) {
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
                FromServer::Forward(text) => self.route(text).await,
                FromServer::Back(text) => {
                    let _ = self.write(&text).await;
                }
                FromServer::Instead(texts) => {
                    for text in texts {
                        self.route(text).await;
                    }
                }
            }
        }
        self.stdin.lock().await.take();
        for text in relay.give_up(&self.session, None, "it has ended", true).await {
            self.route(text).await;
        }
        {
            let mut routes = self.routes();
            routes.has_ended = true;
            routes.waiting.clear();
            routes.listener = None;
        }
        if let Err(error) = process.end(Patience::TOOL_SERVER).await {
            tracing::warn!("the tool server cannot be waited for: {error}");
        }
    }

    /// Hands a message to whoever it is for. One that reads too slowly holds up nobody else: it misses what it has no room for.
    async fn route(&self, text: String) {
        let Some((sender, said)) = self.addressed(text) else { return };
        match said {
            // The answer is what all of it was for.
            Said::Last(text) => drop(sender.send(Said::Last(text)).await),
            said @ Said::OnTheWay(_) => {
                if sender.try_send(said).is_err() {
                    tracing::warn!("a client that reads too slowly missed a message");
                }
            }
        }
    }

    fn addressed(&self, text: String) -> Option<(Sender<Said>, Said)> {
        let message = Message::read(text.as_bytes()).ok()?;
        let mut routes = self.routes();
        if let Kind::Response { id } = &message.kind {
            let waiting = routes.waiting.remove(&id.key)?;
            routes.last_used = Some(Instant::now());
            return Some((waiting.sender, Said::Last(text)));
        }
        let params = message.params();
        let key = |name: &str| params.as_ref().and_then(|params| params.get(name)).and_then(Key::read);
        let subscription = params.as_ref().and_then(|params| params.object("_meta"));
        let subscription = subscription.and_then(|meta: Object<'_>| meta.get("io.modelcontextprotocol/subscriptionId"));
        let by_id = subscription.and_then(Key::read).or_else(|| key("requestId"));
        let by_progress = key("progressToken");
        let found = by_id.and_then(|id| routes.waiting.get(&id)).or_else(|| {
            let token = by_progress.as_ref()?;
            routes.waiting.values().find(|one| one.progress.as_ref() == Some(token))
        });
        if let Some(waiting) = found {
            return Some((waiting.sender.clone(), Said::OnTheWay(text)));
        }
        let listener = routes.listener.as_ref().filter(|listener| !listener.is_closed());
        // It says no more of who asked for it: any request that is under way may be the one.
        let any = listener.or_else(|| routes.waiting.values().next().map(|waiting| &waiting.sender)).cloned();
        if any.is_none() {
            routes.kept.push_back(text);
            if routes.kept.len() > MAX_KEPT {
                routes.kept.pop_front();
            }
            return None;
        }
        any.map(|sender| (sender, Said::OnTheWay(text)))
    }
}
