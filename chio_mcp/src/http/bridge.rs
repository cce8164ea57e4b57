//! A client on standard input and output, and a tool server over HTTP.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::HttpError;
use super::body::{part, whole};
use super::check::{self, METHOD, NAME, PARAMETER, SESSION, VERSION, argument, encoded};
use super::front::{end, is_events, is_json};
use super::sse::Reader;
use super::upstream::Upstream;
use crate::definitions::Definitions;
use crate::lines::Lines;
use crate::message::{Key, Kind, Message, cancelled};
use crate::pump::{MAX_MESSAGE_BYTES, of_line};
use crate::relay::{FromClient, FromServer, Relay, Session};

/// How long answers may take to come after the client has ended its stream: 5 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before a stream that was cut off is asked for again, where its server does not say: 1 s.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a stream that was cut off is asked for again.
const MAX_RESUMED: usize = 100;

/// Stands between a client's byte streams and an HTTP server, until the client ends its stream.
/// Fails where the URL is none, or the client can no longer be written to.
pub async fn bridge<R: Relay>(
    relay: Arc<R>,
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin + Send + 'static),
    url: &str,
) -> Result<(), HttpError> {
    let upstream = Upstream::new(url)?;
    let (sender, mut receiver) = channel::<String>(256);
    let bridge = Arc::new(Bridge {
        relay,
        upstream,
        session: Session::default(),
        name: Mutex::default(),
        version: Mutex::default(),
        definitions: Definitions::default(),
        is_listening: AtomicBool::new(false),
        under_way: Mutex::default(),
        sender,
    });
    let mut out = client.1;
    let written = tokio::spawn(async move {
        while let Some(text) = receiver.recv().await {
            out.write_all(text.as_bytes()).await?;
            out.write_all(b"\n").await?;
            out.flush().await?;
        }
        io::Result::Ok(())
    });
    let mut asked = JoinSet::new();
    let mut lines = Lines::new(client.0, MAX_MESSAGE_BYTES);
    let mut ending = std::pin::pin!(end());
    while !bridge.sender.is_closed() {
        while asked.try_join_next().is_some() {}
        let line = tokio::select! {
            line = lines.next() => line,
            () = &mut ending => break,
        };
        let Some(decided) = of_line(&*bridge.relay, &bridge.session, line).await else { break };
        match decided {
            FromClient::Forward(text) => {
                let Ok(message) = Message::read(text.as_bytes()) else { continue };
                let bridge = Arc::clone(&bridge);
                if let Kind::Request { id, .. } = &message.kind {
                    let is_modern = check::version(&message).is_some();
                    let (key, asking, sent) = (id.key.clone(), Arc::clone(&bridge), text.clone());
                    let task = asked.spawn(async move { asking.ask(sent).await });
                    let mut under_way = bridge.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                    under_way.retain(|_, (task, _)| !task.is_finished());
                    under_way.insert(key, (task, is_modern));
                } else if let Some(task) = cancelled(&message).and_then(|id| bridge.take_modern(&id)) {
                    // In the revisions without sessions, to go away is to cancel.
                    task.abort();
                    let params = message.params();
                    let id = params.as_ref().and_then(|params| params.get("requestId"));
                    let _ = bridge.relay.give_up(&bridge.session, id, "it was cancelled", true).await;
                } else {
                    // What comes after it may rely on it.
                    bridge.tell(&mut asked, text).await;
                }
            }
            FromClient::Answer(text) => bridge.say(text).await,
            FromClient::Drop => {}
        }
    }
    let _ = timeout(PATIENCE, async { while asked.join_next().await.is_some() {} }).await;
    asked.shutdown().await;
    let _ = bridge.relay.give_up(&bridge.session, None, "the connection has ended", true).await;
    bridge.end().await;
    drop(bridge);
    written.await.map_or(Ok(()), |written| written.map_err(HttpError::Io))
}

struct Bridge<R: Relay> {
    relay: Arc<R>,
    upstream: Upstream,
    session: Session<R::Waiting>,
    /// Of the session, where the server has them.
    name: Mutex<Option<HeaderValue>>,
    /// The revision that was agreed on when the session began.
    version: Mutex<Option<HeaderValue>>,
    definitions: Definitions,
    is_listening: AtomicBool,
    /// The requests under way, and whether each is of a revision without sessions.
    under_way: Mutex<HashMap<Key, (AbortHandle, bool)>>,
    sender: Sender<String>,
}

impl<R: Relay> Bridge<R> {
    fn take_modern(&self, id: &Key) -> Option<AbortHandle> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let is_modern = under_way.get(id).is_some_and(|(_, is_modern)| *is_modern);
        under_way.remove(id).filter(|_| is_modern).map(|(task, _)| task)
    }

    async fn say(&self, text: String) {
        // A client that is gone is seen by who reads from it.
        let _ = self.sender.send(text).await;
    }

    /// The headers of a message: what it says of itself, for those on the way who do not look into it.
    fn headers(&self, message: Option<&Message<'_>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let get = |kept: &Mutex<Option<HeaderValue>>| kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(name) = get(&self.name) {
            headers.insert(SESSION, name);
        }
        let own = message.and_then(check::version).and_then(|version| HeaderValue::from_str(&version).ok());
        let is_modern = own.is_some();
        if let Some(version) = own.or_else(|| get(&self.version)) {
            headers.insert(VERSION, version);
        }
        let mut insert = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(&encoded(text)) {
                headers.insert(name, value);
            }
        };
        let Some(message) = message.filter(|_| is_modern) else { return headers };
        let Kind::Request { method, .. } = &message.kind else { return headers };
        let params = message.params();
        insert(METHOD, method);
        if let Some(name) = check::name(method, params.as_ref()) {
            insert(NAME, &name);
        }
        let Some(params) = params.filter(|_| method == "tools/call") else { return headers };
        let known = params.string("name").and_then(|name| self.definitions.headers(&name)).unwrap_or_default();
        for (name, path) in known {
            let header = HeaderName::from_bytes(format!("{PARAMETER}{name}").as_bytes());
            if let (Ok(header), Some(value)) = (header, argument(&params, &path)) {
                insert(header, &value.text);
            }
        }
        headers
    }

    async fn post(&self, text: &str) -> Result<Response<Incoming>, super::upstream::NoAnswer> {
        let message = Message::read(text.as_bytes()).ok();
        let mut headers = self.headers(message.as_ref());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.upstream.send(Method::POST, headers, Some(text.to_owned())).await
    }

    /// Sends a notification or an answer.
    async fn tell(self: Arc<Self>, asked: &mut JoinSet<()>, text: String) {
        let opened = text.contains("notifications/initialized");
        let posted = timeout(PATIENCE, self.post(&text)).await;
        let late = || super::upstream::NoAnswer { is_reached: true, why: "it did not answer in time".into() };
        match posted.unwrap_or_else(|_| Err(late())) {
            Ok(response) if response.status().is_success() => {
                if opened && !self.is_listening.swap(true, Ordering::SeqCst) {
                    asked.spawn(async move { drop(self.listen(None, None).await) });
                }
            }
            Ok(response) => tracing::warn!(status = response.status().as_u16(), "a message was not accepted"),
            Err(error) => tracing::warn!("the tool server cannot be reached: {}", error.why),
        }
    }

    /// Sends a request, and passes on whatever comes of it.
    async fn ask(self: Arc<Self>, text: String) {
        let Some(id) = Message::read(text.as_bytes()).ok().and_then(|message| match message.kind {
            Kind::Request { id, .. } => Some(id.text.to_owned()),
            _ => None,
        }) else {
            return;
        };
        let mut text = text;
        let (why, is_reached) = loop {
            let response = match self.post(&text).await {
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!("the tool server cannot be reached: {}", error.why);
                    break ("it cannot be reached".to_owned(), error.is_reached);
                }
            };
            let status = response.status();
            if let Some(name) = response.headers().get(SESSION) {
                *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.clone());
            }
            match self.pass(response).await {
                Passed::Again(again) => text = again,
                Passed::All { mut last, mut retry } => {
                    // The stream was cut off where it can be gone on with.
                    let mut resumed = 0..MAX_RESUMED;
                    while self.session.has(&id) && last.is_some() && status.is_success() && resumed.next().is_some() {
                        (last, retry) = self.listen(last, retry).await;
                    }
                    break (format!("it answered with the status {}", status.as_u16()), true);
                }
            }
        };
        for text in self.relay.give_up(&self.session, Some(&id), &why, is_reached).await {
            self.say(text).await;
        }
    }

    /// Listens to what no request asked for; or, from an event on, to what was cut off.
    /// Returns from where on, and after how long, it could be asked for again.
    async fn listen(&self, from: Option<String>, mut retry: Option<u64>) -> (Option<String>, Option<u64>) {
        let is_resumed = from.is_some();
        let mut last = from;
        for _ in 0..1000 {
            if last.is_some() || is_resumed {
                sleep(retry.map_or(PAUSE, Duration::from_millis)).await;
            }
            let mut headers = self.headers(None);
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            if let Some(last) = last.as_ref().and_then(|last| HeaderValue::from_str(last).ok()) {
                headers.insert("last-event-id", last);
            }
            match self.upstream.send(Method::GET, headers, None).await {
                Ok(response) if response.status().is_success() => match self.pass(response).await {
                    Passed::Again(_) => return (None, retry),
                    Passed::All { last: seen, retry: said } => {
                        (last, retry) = (seen.or(last), said.or(retry));
                        if is_resumed {
                            return (last, retry);
                        }
                        sleep(retry.map_or(PAUSE, Duration::from_millis)).await;
                    }
                },
                _ => return (None, retry),
            }
        }
        (None, retry)
    }

    async fn pass(&self, response: Response<Incoming>) -> Passed {
        let media = response.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        let (json, events) = (is_json(media), is_events(media));
        let (mut last, mut retry) = (None, None);
        let mut body = response.into_body();
        if json {
            if let Ok(text) = whole(body).await
                && let Some(again) = self.shown(&text).await
            {
                return Passed::Again(again);
            }
            return Passed::All { last, retry };
        }
        let mut reader = Reader::default();
        while events && let Ok(Some(part)) = part(&mut body).await {
            let Ok(read) = reader.read(&part) else {
                tracing::warn!("the tool server's stream of events cannot be read");
                break;
            };
            for event in read {
                last = event.id.clone().or(last);
                retry = event.retry.or(retry);
                if event.is_message()
                    && let Some(again) = self.shown(event.data.unwrap_or_default().as_bytes()).await
                {
                    return Passed::Again(again);
                }
            }
        }
        Passed::All { last, retry }
    }

    /// A message of the tool server. Returns a request that has to go back.
    async fn shown(&self, text: &[u8]) -> Option<String> {
        self.learn(text);
        match self.relay.of_server(&self.session, text).await {
            FromServer::Forward(text) => self.say(text).await,
            FromServer::Back(text) => return Some(text),
            FromServer::Instead(texts) => {
                for text in texts {
                    self.say(text).await;
                }
            }
        }
        None
    }

    /// What later messages have to say in their headers.
    fn learn(&self, text: &[u8]) {
        let Ok(message) = Message::read(text) else { return };
        let Some(result) = message.object.object("result") else { return };
        if let Some(version) = result.string("protocolVersion").and_then(|version| HeaderValue::from_str(&version).ok())
        {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        }
        if result.get("tools").is_some() {
            // Whether it is a list of tools at all is seen by whoever it is for.
            let _ = self.definitions.filtered(result.text(), |_| true);
        }
    }

    /// Ends the session.
    async fn end(&self) {
        if self.name.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            let ended = self.upstream.send(Method::DELETE, self.headers(None), None);
            let _ = timeout(PATIENCE, ended).await;
        }
    }
}

enum Passed {
    Again(String),
    All { last: Option<String>, retry: Option<u64> },
}
