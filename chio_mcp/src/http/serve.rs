//! HTTP before processes: each session of the revisions that have them is a process of its own; requests without one share
//! as few as have no two of the same id under way, for ids are never rewritten.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::HttpError;
use super::body::Reply;
use super::check::{self, SESSION};
use super::child::{Child, Coming, Ticket};
use super::front::{Answer, Front, answered, empty, events, is_events, json, message, refusal, refused};
use super::sse::Event;
use crate::answer::{self, NO_ANSWER, UNAVAILABLE};
use crate::message::{Key, Kind, Message, cancelled};
use crate::relay::{FromClient, Relay};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};

/// How many sessions there may be at once, each with a process.
const MAX_SESSIONS: usize = 64;

/// How many processes there are for requests without a session.
const MAX_SHARED: usize = 8;

/// A session in which nothing happens for so long ends when another begins: a quarter of an hour.
const IDLE: Duration = Duration::from_secs(900);

/// Serves a tool server's processes over HTTP until told to end.
/// Fails where it cannot listen, or the command cannot be started.
pub async fn serve<R: Relay>(
    relay: Arc<R>,
    front: Front,
    command: &[OsString],
    announce: fn(SocketAddr),
) -> Result<(), HttpError> {
    // One is started at once: a command that cannot be is told of now, and not to the first client.
    let first = Child::start(&relay, command, true).map_err(HttpError::Io)?;
    let children = Mutex::new(Children { sessions: HashMap::new(), shared: vec![first] });
    let behind = Arc::new(Behind { relay, command: command.to_vec(), children });
    let serving = Arc::clone(&behind);
    let served = front.serve(announce, move |request| Arc::clone(&serving).handle(request)).await;
    let children: Vec<_> = {
        let mut children = behind.children();
        let shared: Vec<_> = children.shared.drain(..).collect();
        children.sessions.drain().map(|(_, child)| child).chain(shared).collect()
    };
    for child in &children {
        child.close();
    }
    for child in &children {
        child.reaped().await;
    }
    served
}

struct Behind<R: Relay> {
    relay: Arc<R>,
    command: Vec<OsString>,
    children: Mutex<Children<R>>,
}

struct Children<R: Relay> {
    sessions: HashMap<String, Arc<Child<R>>>,
    shared: Vec<Arc<Child<R>>>,
}

/// A request that waits for its answer. When nobody does any more, the tool server is told so.
struct Waiter<R: Relay> {
    behind: Arc<Behind<R>>,
    child: Arc<Child<R>>,
    id: String,
    ticket: Ticket,
    stage: Stage,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Deciding,
    Decided,
    /// The tool server has it.
    Sent,
}

impl<R: Relay> Drop for Waiter<R> {
    fn drop(&mut self) {
        let is_unanswered = self.child.forget(&self.ticket);
        if !is_unanswered || self.stage == Stage::Decided {
            return;
        }
        let (behind, child) = (Arc::clone(&self.behind), Arc::clone(&self.child));
        if self.stage == Stage::Deciding {
            let id = self.id.clone();
            tokio::spawn(async move {
                let _ = behind.relay.give_up(&child.session, Some(&id), "its client is gone", false).await;
            });
            return;
        }
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{}}}}}",
            self.id
        );
        tokio::spawn(async move {
            if let FromClient::Forward(text) = behind.relay.of_client(&child.session, text.as_bytes()).await {
                let _ = child.write(text);
            }
        });
    }
}

impl<R: Relay> Behind<R> {
    fn children(&self) -> MutexGuard<'_, Children<R>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        match *request.method() {
            Method::POST => self.post(request).await,
            Method::GET => self.listen(request.headers()),
            _ => self.delete(request.headers()),
        }
    }

    /// The child of the session that the headers name; none where they name none.
    #[allow(clippy::result_large_err)] // it is what is answered
    fn session(&self, headers: &HeaderMap) -> Result<Option<Arc<Child<R>>>, Answer> {
        let mut named = headers.get_all(SESSION).iter();
        let Some(name) = named.next() else { return Ok(None) };
        if named.next().is_some() {
            return Err(refused(StatusCode::BAD_REQUEST, "a message is of one session"));
        }
        let found = name.to_str().ok().and_then(|name| self.children().sessions.get(name).map(Arc::clone));
        let alive = found.filter(|child| !child.has_ended());
        alive.map(Some).ok_or_else(|| refused(StatusCode::NOT_FOUND, "there is no such session"))
    }

    #[allow(clippy::result_large_err)] // it is what is answered
    fn begin(&self) -> Result<(String, Arc<Child<R>>), Answer> {
        let busy = |what: &str| json(StatusCode::SERVICE_UNAVAILABLE, answer::error("null", UNAVAILABLE, what, None));
        let now = Instant::now();
        let idle = {
            let mut children = self.children();
            let is_idle = |child: &Arc<Child<R>>| {
                child.has_ended() || child.idle_since().is_some_and(|since| now.duration_since(since) > IDLE)
            };
            let names: Vec<_> =
                children.sessions.iter().filter(|(_, child)| is_idle(child)).map(|(name, _)| name.clone()).collect();
            let idle: Vec<_> = names.iter().filter_map(|name| children.sessions.remove(name)).collect();
            if children.sessions.len() >= MAX_SESSIONS {
                return Err(busy("there are too many sessions"));
            }
            idle
        };
        for child in idle {
            child.close();
        }
        let name = chio_core::crypto::random_hex().map_err(|_| busy("no session can be named"))?;
        let child = self.start(false).map_err(|()| busy("the tool server cannot be started"))?;
        self.children().sessions.insert(name.clone(), Arc::clone(&child));
        Ok((name, child))
    }

    fn start(&self, is_shared: bool) -> Result<Arc<Child<R>>, ()> {
        Child::start(&self.relay, &self.command, is_shared).map_err(|error| tracing::error!("the tool server: {error}"))
    }

    /// One in which this request can be told from all others under way.
    fn shared(&self, id: &Key, progress: Option<&Key>) -> Option<Arc<Child<R>>> {
        let mut children = self.children();
        children.shared.retain(|child| !child.has_ended());
        let is_free = |child: &&Arc<Child<R>>| !child.is_in_the_way(id, progress) && !child.session.has_key(id);
        if let Some(free) = children.shared.iter().find(is_free) {
            return Some(Arc::clone(free));
        }
        if children.shared.len() >= MAX_SHARED {
            // One in which nothing but what was cancelled is in the way makes room for another.
            let spent = children.shared.iter().position(|child| !child.is_waited_for())?;
            children.shared.remove(spent).close();
        }
        let child = self.start(true).ok()?;
        children.shared.push(Arc::clone(&child));
        Some(child)
    }

    async fn post(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (headers, text) = match message(request).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let read = match Message::read(&text) {
            Ok(read) => read,
            Err(wrong) => return refusal(&wrong),
        };
        // Its parameters do not reach the process in headers: what they say counts for nobody.
        if let Err(wrong) = check::headers(&headers, &read, None) {
            return refusal(&wrong);
        }
        let session = match self.session(&headers) {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let Kind::Request { id, method } = &read.kind else {
            return self.hand_on(session, &headers, &text).await;
        };
        let meta = read.params().and_then(|params| params.object("_meta"));
        let progress = meta.and_then(|meta| meta.get("progressToken").and_then(Key::read));
        let (child, name) = match session {
            Some(child) => (child, None),
            None if method == "initialize" => match self.begin() {
                Ok((name, child)) => (child, Some(name)),
                Err(answer) => return answer,
            },
            None if check::version(&read).is_none() => {
                return refused(StatusCode::BAD_REQUEST, "the header `Mcp-Session-Id` is missing");
            }
            None => {
                if let Some(child) = self.shared(&id.key, progress.as_ref()) {
                    (child, None)
                } else {
                    let what = "too many requests of this id are under way";
                    return json(StatusCode::SERVICE_UNAVAILABLE, answer::error(id.text, UNAVAILABLE, what, None));
                }
            }
        };
        let Some(coming) = child.wait(id.key.clone(), progress) else {
            return refused(StatusCode::BAD_REQUEST, "the `id` is that of a request that is still under way");
        };
        let mut waiter = Waiter {
            behind: Arc::clone(&self),
            child: Arc::clone(&child),
            id: id.text.to_owned(),
            ticket: coming.ticket.clone(),
            stage: Stage::Deciding,
        };
        let decided = self.relay.of_client(&child.session, &text).await;
        waiter.stage = Stage::Decided;
        let forward = match decided {
            FromClient::Forward(text) => text,
            decided => {
                if let Some(name) = name {
                    // A session that does not begin has no process.
                    self.children().sessions.remove(&name);
                    child.close();
                }
                return match decided {
                    FromClient::Answer(text) => answered(text, &headers),
                    _ => refused(StatusCode::BAD_REQUEST, "a request has an `id`"),
                };
            }
        };
        if let Err(why) = child.write(forward) {
            let given_up = self.relay.give_up(&child.session, Some(id.text), why, false).await;
            let text = given_up.into_iter().next();
            let text = text.unwrap_or_else(|| answer::error(id.text, NO_ANSWER, "the tool server has ended", None));
            return json(StatusCode::OK, text);
        }
        waiter.stage = Stage::Sent;
        let mut answer = reply(waiter, coming, accepts_events(&headers)).await;
        if let Some(name) = name.and_then(|name| HeaderValue::from_str(&name).ok()) {
            answer.headers_mut().insert(SESSION, name);
        }
        answer
    }

    /// A message that no answer comes to.
    async fn hand_on(&self, session: Option<Arc<Child<R>>>, headers: &HeaderMap, text: &[u8]) -> Answer {
        let Some(child) = session else {
            // Without a session there is nobody it could be about.
            return refused(StatusCode::BAD_REQUEST, "the header `Mcp-Session-Id` is missing");
        };
        match self.relay.of_client(&child.session, text).await {
            FromClient::Forward(forward) => {
                if let Some(id) = Message::read(text).ok().as_ref().and_then(cancelled) {
                    child.cancel(&id);
                }
                match child.write(forward) {
                    Ok(()) => empty(StatusCode::ACCEPTED),
                    Err(_) => refused(StatusCode::NOT_FOUND, "the session has ended"),
                }
            }
            FromClient::Answer(text) => answered(text, headers),
            FromClient::Drop => refused(StatusCode::BAD_REQUEST, "a request has an `id`"),
        }
    }

    fn listen(&self, headers: &HeaderMap) -> Answer {
        let child = match self.session(headers) {
            Ok(Some(child)) => child,
            Ok(None) => {
                return refused(StatusCode::METHOD_NOT_ALLOWED, "without a session there is nothing to listen to");
            }
            Err(answer) => return answer,
        };
        let mut receiver = child.subscribe();
        let (sender, reply) = Reply::stream();
        tokio::spawn(async move {
            loop {
                let said = tokio::select! {
                    said = receiver.recv() => said,
                    () = sender.closed() => return,
                };
                let Some(text) = said else { return };
                if sender.send(Event::of(text).to_text().into()).await.is_err() {
                    return;
                }
            }
        });
        events(reply)
    }

    fn delete(&self, headers: &HeaderMap) -> Answer {
        match self.session(headers) {
            Ok(Some(child)) => {
                self.children().sessions.retain(|_, other| !Arc::ptr_eq(other, &child));
                child.close();
                empty(StatusCode::OK)
            }
            Ok(None) => refused(StatusCode::METHOD_NOT_ALLOWED, "without a session there is nothing to end"),
            Err(answer) => answer,
        }
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media = values.flat_map(|value| value.split(','));
    media.any(|media| is_events(media.trim()) || media.trim().starts_with("*/*"))
}

/// The answer as it is, where nothing comes before it; else a stream.
async fn reply<R: Relay>(waiter: Waiter<R>, mut coming: Coming, streams: bool) -> Answer {
    let gone =
        answer::error(&waiter.id, NO_ANSWER, "the tool server gave no answer: it has ended, or was told to stop", None);
    let first = loop {
        tokio::select! {
            biased;
            Some(text) = coming.on_the_way.recv() => {
                // A client that does not understand streams hears of the answer alone.
                if streams {
                    break text;
                }
            }
            text = &mut coming.last => return json(StatusCode::OK, text.unwrap_or(gone)),
        }
    };
    let (sender, reply) = Reply::stream();
    tokio::spawn(async move {
        // All of it is kept for as long as the stream.
        let _waiter = waiter;
        let mut next = Some(first);
        while let Some(text) = next.take() {
            if sender.send(Event::of(text).to_text().into()).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                text = coming.on_the_way.recv(), if !coming.on_the_way.is_closed() || !coming.on_the_way.is_empty() => {
                    next = text;
                    if next.is_none() {
                        break;
                    }
                }
                () = sender.closed() => return,
                text = &mut coming.last => {
                    let _ = sender.send(Event::of(text.unwrap_or(gone)).to_text().into()).await;
                    return;
                }
            }
        }
        // Nothing more comes on the way: the answer does.
        if let Ok(text) = coming.last.await {
            let _ = sender.send(Event::of(text).to_text().into()).await;
        } else {
            let _ = sender.send(Event::of(gone).to_text().into()).await;
        }
    });
    events(reply)
}
