//! HTTP on both sides: requests, answers, streams and sessions pass, and every message on the way is shown to the relay.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::HttpError;
use super::body::{Reply, part, whole};
use super::check::{self, SESSION};
use super::front::{Answer, Front, answered, empty, events, is_events, is_json, json, message, refusal, refused};
use super::sse::{Event, Reader};
use super::upstream::{NoAnswer, Upstream, of_client, of_server};
use crate::answer::{self, NO_ANSWER};
use crate::message::{Kind, Message};
use crate::relay::{FromClient, FromServer, Relay, Session};

/// How many sessions are remembered. What is under way in the one that was used longest ago is given up for a new one.
const MAX_SESSIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How often one request may go back to its tool server.
const MAX_BACK: usize = 2;

/// Stands between HTTP clients and an HTTP server until the process is told to end.
/// Fails where it cannot listen, or the URL is none.
pub async fn proxy<R: Relay>(
    relay: Arc<R>,
    front: Front,
    url: &str,
    announce: fn(SocketAddr),
) -> Result<(), HttpError> {
    let upstream = Upstream::new(url)?;
    let sessions = Mutex::new(lru::LruCache::new(MAX_SESSIONS));
    let between = Arc::new(Between { relay, upstream, sessions });
    let serving = Arc::clone(&between);
    let served = front.serve(announce, move |request| Arc::clone(&serving).handle(request)).await;
    // No call is left without an outcome.
    let sessions: Vec<_> = {
        let mut sessions = between.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| sessions.pop_lru()).map(|(_, session)| session).collect()
    };
    for session in sessions {
        let _ = between.relay.give_up(&session, None, "the guard has ended", true).await;
    }
    served
}

type SharedSession<R> = Arc<Session<<R as Relay>::Waiting>>;

struct Between<R: Relay> {
    relay: Arc<R>,
    upstream: Upstream,
    sessions: Mutex<lru::LruCache<String, SharedSession<R>>>,
}

/// What one exchange is about.
struct Exchange<R: Relay> {
    between: Arc<Between<R>>,
    session: SharedSession<R>,
    /// Whether its answer can still come by another stream.
    has_session: bool,
    /// The id of the request, if it is one.
    id: Option<String>,
    headers: HeaderMap,
}

impl<R: Relay> Between<R> {
    #[allow(clippy::result_large_err)] // it is what is answered
    fn session(&self, headers: &HeaderMap) -> Result<(SharedSession<R>, bool), Answer> {
        let mut named = headers.get_all(SESSION).iter();
        let Some(name) = named.next() else { return Ok((Arc::default(), false)) };
        let name = name.to_str().ok().filter(|name| name.len() <= 1024 && !name.is_empty());
        let Some(name) = name.filter(|_| named.next().is_none()) else {
            return Err(refused(StatusCode::BAD_REQUEST, "a message is of one session"));
        };
        // One that the tool server did not name here is none: what is asked in it is answered in its own exchange, or not.
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sessions.get(name).map_or_else(|| (Arc::default(), false), |session| (Arc::clone(session), true)))
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        match *request.method() {
            Method::POST => self.post(request).await,
            Method::GET => self.listen(request).await,
            _ => self.delete(request).await,
        }
    }

    async fn post(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (headers, text) = match message(request).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let id = match Message::read(&text) {
            Ok(message) => {
                if let Err(wrong) = check::headers(&headers, &message, self.relay.definitions()) {
                    return refusal(&wrong);
                }
                match message.kind {
                    Kind::Request { id, .. } => Some(id.text.to_owned()),
                    _ => None,
                }
            }
            Err(wrong) => return refusal(&wrong),
        };
        let (session, has_session) = match self.session(&headers) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let mut waiter = Waiter { between: Arc::clone(&self), session: Arc::clone(&session), id: id.clone() };
        let exchange = Exchange { between: self, session, has_session, id, headers };
        let answer = match exchange.between.relay.of_client(&exchange.session, &text).await {
            FromClient::Forward(text) => exchange.run(text).await,
            FromClient::Answer(text) => answered(text, &exchange.headers),
            FromClient::Drop => refused(StatusCode::BAD_REQUEST, "a request has an `id`"),
        };
        waiter.id = None;
        answer
    }

    async fn listen(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let headers = request.headers().clone();
        let (session, _) = match self.session(&headers) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        // What is under way in the session goes on when this stream ends.
        let exchange = Exchange { between: self, session, has_session: true, id: None, headers };
        match exchange.between.upstream.send(Method::GET, of_client(&exchange.headers), None).await {
            Ok(response) => exchange.pass(response).await,
            Err(error) => exchange.unanswered(&error).await,
        }
    }

    async fn delete(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let headers = request.headers().clone();
        if let Err(answer) = self.session(&headers) {
            return answer;
        }
        match self.upstream.send(Method::DELETE, of_client(&headers), None).await {
            Ok(response) => {
                if response.status().is_success() {
                    self.forget(&headers).await;
                }
                empty(response.status())
            }
            Err(error) => bad_gateway("null", &error),
        }
    }

    async fn forget(&self, headers: &HeaderMap) {
        let Some(name) = headers.get(SESSION).and_then(|name| name.to_str().ok()) else { return };
        let gone = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop(name);
        if let Some(session) = gone {
            let _ = self.relay.give_up(&session, None, "its session has ended", true).await;
        }
    }

    async fn remember(&self, name: String, session: SharedSession<R>) {
        let old = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(name, session);
        if let Some((_, old)) = old {
            let _ = self.relay.give_up(&old, None, "there are too many sessions", true).await;
        }
    }
}

fn bad_gateway(id: &str, error: &NoAnswer) -> Answer {
    tracing::warn!("no answer of the tool server: {}", error.why);
    let what = if error.is_reached { "the tool server gave no answer" } else { "the tool server cannot be reached" };
    json(StatusCode::BAD_GATEWAY, answer::error(id, NO_ANSWER, what, None))
}

/// A client that waits for an answer to begin. Where it goes away first the request is given up, and with it the exchange
/// with the tool server, which is told so by that.
struct Waiter<R: Relay> {
    between: Arc<Between<R>>,
    session: SharedSession<R>,
    id: Option<String>,
}

impl<R: Relay> Drop for Waiter<R> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (between, session) = (Arc::clone(&self.between), Arc::clone(&self.session));
        tokio::spawn(async move {
            let _ = between.relay.give_up(&session, Some(&id), "its client is gone", true).await;
        });
    }
}

/// What becomes of an answer's messages.
enum Passed {
    Texts(Vec<String>),
    Again(String),
}

impl<R: Relay> Exchange<R> {
    /// Sends a message on, and its answer back.
    async fn run(self, text: String) -> Answer {
        match self.ask(text).await {
            Ok(response) => self.pass(response).await,
            Err(error) => self.unanswered(&error).await,
        }
    }

    async fn ask(&self, text: String) -> Result<Response<Incoming>, NoAnswer> {
        let mut headers = of_client(&self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.between.upstream.send(Method::POST, headers, Some(text)).await
    }

    async fn unanswered(self, error: &NoAnswer) -> Answer {
        let id = self.id.as_deref();
        let why = "it cannot be reached";
        let _ = self.between.relay.give_up(&self.session, Some(id.unwrap_or("null")), why, error.is_reached).await;
        bad_gateway(id.unwrap_or("null"), error)
    }

    async fn shown(&self, text: &[u8]) -> Passed {
        match self.between.relay.of_server(&self.session, text).await {
            FromServer::Forward(text) => Passed::Texts(vec![text]),
            FromServer::Instead(texts) => Passed::Texts(texts),
            FromServer::Back(text) => Passed::Again(text),
        }
    }

    /// The answer of the tool server, message by message.
    async fn pass(self, mut response: Response<Incoming>) -> Answer {
        if let Some(name) = response.headers().get(SESSION).and_then(|name| name.to_str().ok())
            && !self.has_session
        {
            self.between.remember(name.to_owned(), Arc::clone(&self.session)).await;
        }
        for _ in 0..=MAX_BACK {
            let (status, mut headers) = (response.status(), of_server(response.headers()));
            let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).map(str::to_owned);
            let media = media.as_deref().unwrap_or_default();
            let passed = if is_events(media) && status.is_success() {
                let (sender, reply) = Reply::stream();
                tokio::spawn(self.stream(response, sender));
                return with(events(reply), &headers);
            } else if is_json(media) {
                match whole(response.into_body()).await {
                    Ok(text) if text.iter().all(u8::is_ascii_whitespace) => Passed::Texts(Vec::new()),
                    Ok(text) => self.shown(&text).await,
                    Err(_) => Passed::Texts(Vec::new()),
                }
            } else {
                // What is neither is no message: only that there was something is told.
                Passed::Texts(Vec::new())
            };
            match passed {
                Passed::Again(text) => match self.ask(text).await {
                    Ok(again) => response = again,
                    Err(error) => return self.unanswered(&error).await,
                },
                Passed::Texts(texts) => {
                    if status == StatusCode::NOT_FOUND && self.has_session {
                        self.between.forget(&self.headers).await;
                    }
                    let text = match texts.into_iter().next() {
                        Some(text) => text,
                        None if status.is_success() && self.id.is_none() => return with(empty(status), &headers),
                        None => {
                            let why = format!("it answered with the status {}", status.as_u16());
                            let id = self.id.as_deref().unwrap_or("null");
                            let given_up = self.between.relay.give_up(&self.session, Some(id), &why, true).await;
                            if !status.is_success() && given_up.is_empty() {
                                return with(empty(status), &headers);
                            }
                            let text = given_up.into_iter().next();
                            let status = if status.is_success() { StatusCode::BAD_GATEWAY } else { status };
                            let text = text.unwrap_or_else(|| answer::error(id, NO_ANSWER, &why, None));
                            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                            return with(json(status, text), &headers);
                        }
                    };
                    return with(json(status, text), &headers);
                }
            }
        }
        let id = self.id.clone().unwrap_or_else(|| "null".into());
        let _ = self.between.relay.give_up(&self.session, Some(&id), "it was asked too often", true).await;
        json(StatusCode::BAD_GATEWAY, answer::error(&id, NO_ANSWER, "the tool server gave no answer", None))
    }

    /// A stream of events, until one of both sides ends it.
    async fn stream(self, response: Response<Incoming>, sender: Sender<Bytes>) {
        let mut next = Some(response);
        let mut back: usize = 0;
        let mut can_go_on = false;
        while let Some(response) = next.take() {
            match self.events(response, &sender, &mut can_go_on).await {
                Some(text) if back < MAX_BACK => {
                    back = back.saturating_add(1);
                    next = self.ask(text).await.ok();
                }
                _ => {}
            }
        }
        // Where it cannot be gone on with, nothing else brings the answer: for a client that is gone, that was to cancel it.
        if let Some(id) = self.id.as_deref().filter(|_| !(self.has_session && can_go_on)) {
            for text in self.between.relay.give_up(&self.session, Some(id), "its stream has ended", true).await {
                let _ = sender.send(Event::of(text).to_text().into()).await;
            }
        }
    }

    /// Passes the events of an answer on. Returns a request that has to go back, instead of the rest.
    async fn events(
        &self,
        response: Response<Incoming>,
        sender: &Sender<Bytes>,
        can_go_on: &mut bool,
    ) -> Option<String> {
        let media = response.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        if !media.is_some_and(|media| is_events(&media)) {
            let text = whole(body).await.ok()?;
            if let Passed::Texts(texts) = self.shown(&text).await {
                for text in texts {
                    sender.send(Event::of(text).to_text().into()).await.ok()?;
                }
            }
            return None;
        }
        let mut reader = Reader::default();
        loop {
            let part = tokio::select! {
                part = part(&mut body) => part.ok().flatten()?,
                () = sender.closed() => return None,
            };
            let Ok(events) = reader.read(&part) else {
                tracing::warn!("the tool server's stream of events cannot be read");
                return None;
            };
            for event in events {
                *can_go_on |= event.id.is_some();
                if !event.is_message() {
                    // Nothing but a place in the stream: whatever else it says is no message of this protocol.
                    if event.data.as_deref().is_none_or(str::is_empty) {
                        sender.send(event.to_text().into()).await.ok()?;
                    }
                    continue;
                }
                let text = event.data.clone().unwrap_or_default();
                match self.shown(text.as_bytes()).await {
                    Passed::Again(text) => return Some(text),
                    Passed::Texts(texts) => {
                        let mut event = Some(event);
                        for text in texts {
                            let event = event.take().unwrap_or_default().with(text);
                            sender.send(event.to_text().into()).await.ok()?;
                        }
                    }
                }
            }
        }
    }
}

/// An answer with the headers of another, where it has none of its own.
fn with(mut answer: Answer, headers: &HeaderMap) -> Answer {
    let own: Vec<_> = answer.headers().keys().cloned().collect();
    for (name, value) in headers.iter().filter(|(name, _)| !own.contains(name)) {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    answer
}
