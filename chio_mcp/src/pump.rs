//! Messages over a pair of byte streams: one line each, in order.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::answer;
use crate::lines::{Line, Lines};
use crate::message::INVALID_REQUEST;
use crate::relay::{FromClient, FromServer, Relay, Session};

/// The longest message that is read, in bytes: 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long after the end of the client's stream that of the tool server is kept open for what still has no answer: 2 s.
const DRAIN: Duration = Duration::from_secs(2);

/// A stream that messages are written to, until it is closed.
struct Out<W>(Mutex<Option<BufWriter<W>>>);

impl<W: AsyncWrite + Unpin> Out<W> {
    fn new(stream: W) -> Self {
        Self(Mutex::new(Some(BufWriter::with_capacity(64 << 10, stream))))
    }

    async fn write(&self, text: &str) -> io::Result<()> {
        let mut out = self.0.lock().await;
        let Some(out) = out.as_mut() else { return Ok(()) };
        out.write_all(text.as_bytes()).await?;
        out.write_all(b"\n").await
    }

    async fn flush(&self) -> io::Result<()> {
        match self.0.lock().await.as_mut() {
            Some(out) => out.flush().await,
            None => Ok(()),
        }
    }

    async fn close(&self) {
        if let Some(mut out) = self.0.lock().await.take() {
            // Whoever reads it may be gone already.
            let _ = out.shutdown().await;
        }
    }
}

/// Stands between a client and a tool server until the tool server has ended its stream. What comes from each is a pair
/// of what is read and what is written. When the client has ended its stream, that of the tool server is closed, and
/// `client_ended` is told.
/// Fails where the client can no longer be written to.
pub async fn pump<R: Relay>(
    relay: &R,
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    server: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    client_ended: &Notify,
) -> io::Result<()> {
    // What goes back is handed to whoever writes to the tool server anyway: to wait for that would be to wait for a tool
    // server that itself waits to be read.
    let (back, again) = unbounded_channel();
    let session = Session::default();
    let (to_client, to_server) = (Out::new(client.1), Out::new(server.1));
    let between = Between { relay, session, to_client, to_server, answered: Notify::new() };
    let up = async {
        match between.up(Lines::new(client.0, MAX_MESSAGE_BYTES), again, client_ended).await {
            // The rest of what the tool server says is still to come.
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let ended = tokio::select! {
        ended = between.down(Lines::new(server.0, MAX_MESSAGE_BYTES), back) => ended,
        error = up => Err(error),
    };
    // Whatever it was that ended, no call is left without an outcome.
    let _ = relay.give_up(&between.session, None, "the connection has ended", true).await;
    ended
}

struct Between<'a, R: Relay, C, S> {
    relay: &'a R,
    session: Session<R::Waiting>,
    to_client: Out<C>,
    to_server: Out<S>,
    /// Told whenever something of the tool server was passed on.
    answered: Notify,
}

impl<R: Relay, C: AsyncWrite + Unpin, S: AsyncWrite + Unpin> Between<'_, R, C, S> {
    /// From the client to the tool server.
    async fn up(
        &self,
        mut lines: Lines<impl AsyncRead + Unpin>,
        mut again: UnboundedReceiver<String>,
        client_ended: &Notify,
    ) -> io::Result<()> {
        // How many requests had begun when the tool server was last seen to read.
        let mut read = 0;
        loop {
            if !lines.is_ready() && again.is_empty() {
                self.flush(&mut read).await?;
            }
            let line = tokio::select! {
                biased;
                Some(text) = again.recv() => {
                    let _ = self.to_server.write(&text).await;
                    continue;
                }
                line = lines.next() => line,
            };
            let Some(decided) = of_line(self.relay, &self.session, line).await else { break };
            match decided {
                FromClient::Forward(text) => {
                    let _ = self.to_server.write(&text).await;
                }
                FromClient::Answer(text) => self.to_client.write(&text).await?,
                FromClient::Drop => {}
            }
        }
        self.flush(&mut read).await?;
        let _ = timeout(DRAIN, self.drain(again)).await;
        self.to_server.close().await;
        client_ended.notify_one();
        Ok(())
    }

    async fn flush(&self, read: &mut u64) -> io::Result<()> {
        let begun = self.session.begun();
        if self.to_server.flush().await.is_err() {
            // It reads no more. What it was asked before it may still answer, and its client goes on to be heard.
            for id in self.session.after(*read) {
                for text in self.relay.give_up(&self.session, Some(&id), "it reads no more", true).await {
                    self.to_client.write(&text).await?;
                }
            }
        }
        *read = begun;
        self.to_client.flush().await
    }

    /// What was asked may still have to go back once.
    async fn drain(&self, mut again: UnboundedReceiver<String>) {
        while self.session.is_waited_in() {
            tokio::select! {
                Some(text) = again.recv() => {
                    let _ = self.to_server.write(&text).await;
                }
                () = self.answered.notified() => {}
            }
            let _ = self.to_server.flush().await;
        }
    }

    /// From the tool server to the client.
    async fn down(&self, mut lines: Lines<impl AsyncRead + Unpin>, back: UnboundedSender<String>) -> io::Result<()> {
        loop {
            if !lines.is_ready() {
                self.to_client.flush().await?;
            }
            let decided = match lines.next().await {
                Ok(Line::Text(text)) if text.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Line::Text(text)) => self.relay.of_server(&self.session, &text).await,
                Ok(Line::TooLong) => {
                    tracing::warn!("the tool server sent a message of more than {MAX_MESSAGE_BYTES} bytes");
                    let why = "it sent an answer that is too long";
                    FromServer::Instead(self.relay.give_up(&self.session, None, why, true).await)
                }
                Ok(Line::End) | Err(_) => break,
            };
            match decided {
                FromServer::Forward(text) => self.to_client.write(&text).await?,
                FromServer::Back(text) => {
                    // Where nobody writes any more, the client has ended.
                    let _ = back.send(text);
                }
                FromServer::Instead(answers) => {
                    for text in answers {
                        self.to_client.write(&text).await?;
                    }
                }
            }
            self.answered.notify_one();
        }
        for text in self.relay.give_up(&self.session, None, "it has ended", true).await {
            self.to_client.write(&text).await?;
        }
        self.to_client.flush().await
    }
}

/// What becomes of what a client's stream brings; nothing where the stream has ended.
pub(crate) async fn of_line<R: Relay>(
    relay: &R,
    session: &Session<R::Waiting>,
    line: io::Result<Line>,
) -> Option<FromClient> {
    match line {
        Ok(Line::Text(text)) if text.iter().all(u8::is_ascii_whitespace) => Some(FromClient::Drop),
        Ok(Line::Text(text)) => Some(relay.of_client(session, &text).await),
        Ok(Line::TooLong) => {
            let what = format!("the message is longer than {MAX_MESSAGE_BYTES} bytes");
            Some(FromClient::Answer(answer::error("null", INVALID_REQUEST, &what, None)))
        }
        Ok(Line::End) | Err(_) => None,
    }
}
