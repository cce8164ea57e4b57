//! One connection: its requests go to the service, and it is ended where its client does not keep up.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower_service::Service;

use super::admit::admit;
use super::flow::Coming;
use super::limits::ServeOptions;
use super::metrics::Metrics;
use super::peer::Peer;
use super::proxy::close;
use crate::body::{Body, BodyError, held};
use crate::client_certificate::ClientCertificate;

/// How much of an answer is handed on at once: whoever takes less of it within the time is taken not to read it.
const PART: usize = 16 << 10;

/// How a connection is doing.
#[derive(Debug, Default)]
struct Counts {
    /// Requests that came, and those that are done with: their answers were sent to the end.
    came: AtomicU64,
    done: AtomicU64,
    /// How often it was looked at.
    looks: AtomicU64,
    /// Answers of which the client has a part to take and has taken none since a look: an even one, or an odd one.
    since_even: AtomicU64,
    since_odd: AtomicU64,
}

impl Counts {
    fn requests(&self) -> (u64, u64) {
        (self.came.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed))
    }

    fn since(&self, look: u64) -> &AtomicU64 {
        if look.is_multiple_of(2) { &self.since_even } else { &self.since_odd }
    }

    /// Looks at it, and says whether an answer has not moved from before the last look to this one, for its client alone:
    /// whatever else it asks for meanwhile in the same connection.
    fn is_left_unread(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        self.since(look.wrapping_add(1)).load(Ordering::Relaxed) > 0
    }
}

/// Serves a connection until it ends.
pub(crate) async fn connection<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    (peer, certificate): (Peer, Option<ClientCertificate>),
    options: &ServeOptions,
    service: S,
    metrics: &Metrics,
    stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let counts = Arc::<Counts>::default();
    let kept = Arc::clone(&counts);
    let idle_timeout = options.idle_timeout;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let under_way = UnderWay::begun(&kept);
        request.extensions_mut().insert(peer.clone());
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        // RFC 9112 section 6.1: hyper reads such a request by its coding and leaves out its length, where it had both. What
        // is behind it in the connection may be a second request to a reader that does not: nobody reads it.
        let ends =
            request.version() == Version::HTTP_11 && request.headers().contains_key(hyper::header::TRANSFER_ENCODING);
        let is_http1 = request.version() != Version::HTTP_2;
        let refused = admit(&request).err();
        let (mut service, metrics) = (service.clone(), metrics.clone());
        async move {
            let mut answer = if let Some(problem) = refused {
                metrics.counted(problem.answer())
            } else {
                std::future::poll_fn(|context| service.poll_ready(context)).await?;
                let coming = |body| Body::coming(Coming::new(body, "client", idle_timeout));
                service.call(request.map(coming)).await?
            };
            if ends || refused.is_some() && is_http1 {
                close(&mut answer);
            }
            Ok::<_, Infallible>(answer.map(|body| Body::coming(Ending { body, rest: Bytes::new(), under_way })))
        }
    });
    // Which of the two it is was agreed on in the handshake: nothing is guessed from the first bytes. `auto` of hyper-util
    // guesses, whatever it is told, where it serves upgrades.
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.max_streams)
            .max_header_list_size(u32::try_from(options.max_head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(options.idle_timeout)
            .keep_alive_timeout(options.head_timeout);
        let serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        watched(serving, hyper::server::conn::http2::Connection::graceful_shutdown, options, &counts, stopped).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(options.head_timeout)
            .max_buf_size(options.max_head_bytes.max(8192));
        let serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        watched(
            serving,
            hyper::server::conn::http1::UpgradeableConnection::graceful_shutdown,
            options,
            &counts,
            stopped,
        )
        .await;
    }
}

/// Serves a connection, and ends it where it is told to stop, or its client does not keep up.
async fn watched<F: Future>(
    mut serving: Pin<&mut F>,
    end: fn(Pin<&mut F>),
    options: &ServeOptions,
    counts: &Counts,
    mut stopped: watch::Receiver<bool>,
) {
    let mut is_ending = false;
    loop {
        let before = counts.requests();
        let (came, done) = before;
        // hyper's own time-out begins with the first byte.
        let patience = if came == 0 { options.head_timeout } else { options.idle_timeout };
        tokio::select! {
            // How a connection ends is its client's affair.
            _ = serving.as_mut() => return,
            _ = stopped.wait_for(|stop| *stop), if !is_ending => {
                is_ending = true;
                end(serving.as_mut());
            }
            () = tokio::time::sleep(patience) => {
                if counts.is_left_unread() {
                    return;
                }
                if came == done && counts.requests() == before {
                    if is_ending {
                        return;
                    }
                    is_ending = true;
                    end(serving.as_mut());
                }
            }
        }
    }
}

/// A request, from its head until the last byte of its answer was sent.
struct UnderWay {
    counts: Arc<Counts>,
    /// The look since which its client could have taken a part; none where the upstream, or the guard, is waited for.
    since: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl UnderWay {
    fn begun(counts: &Arc<Counts>) -> Arc<Self> {
        counts.came.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { counts: Arc::clone(counts), since: AtomicU64::new(NONE) })
    }

    /// It is the client's turn, from now on, or nobody's.
    fn waits_for_client(&self, waits: bool) {
        let now = if waits { self.counts.looks.load(Ordering::Relaxed) } else { NONE };
        let before = self.since.swap(now, Ordering::Relaxed);
        if now != before {
            if now != NONE {
                self.counts.since(now).fetch_add(1, Ordering::Relaxed);
            }
            if before != NONE {
                self.counts.since(before).fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.waits_for_client(false);
        self.counts.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer, which is under way for as long as there is a part of it that was not sent.
struct Ending {
    body: Body,
    /// What has come of it, and was not asked for.
    rest: Bytes,
    under_way: Arc<UnderWay>,
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let polled = Pin::new(&mut this.body).poll_frame(context);
            this.under_way.waits_for_client(polled.is_ready());
            match polled.map_ok(Frame::into_data) {
                Poll::Ready(Some(Ok(Ok(bytes)))) => this.rest = bytes,
                other => return other.map_ok(|frame| frame.map_or_else(|frame| frame, Frame::data)),
            }
        } else {
            this.under_way.waits_for_client(true);
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        Poll::Ready(Some(Ok(Frame::data(held(part, Arc::clone(&this.under_way))))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or(u64::MAX));
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests;
