//! A listener: connections come in, are held to their limits, and are ended in good order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::admit::admit;
use super::metrics::Metrics;
use super::peer::Peer;
use super::proxy::close;
use crate::body::Body;
use crate::client_certificate::ClientCertificate;

/// The limits of a listener.
#[derive(Clone)]
pub struct ServeOptions {
    /// TLS, with HTTP/2 where the client wants it; without it, HTTP/1.1 alone.
    pub tls: Option<Arc<ServerConfig>>,
    /// How many connections there may be at once, tunnels included. Others wait.
    pub max_connections: usize,
    /// How many requests there may be at once in one HTTP/2 connection.
    pub max_streams: u32,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take to come, and in HTTP/1.1 the next one to begin.
    pub head_timeout: Duration,
    /// How long a connection is kept in which there is no request.
    pub idle_timeout: Duration,
    /// How long the head of a request may be; at least 8192.
    pub max_head_bytes: usize,
    /// How long what is under way may take when it is told to stop.
    pub stop_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 1024,
            max_streams: 100,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            max_head_bytes: 32 << 10,
            stop_timeout: Duration::from_secs(20),
        }
    }
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

/// How many connections were not done when the time for it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// They.
    pub cut_off: usize,
}

/// Serves until it is told to stop, and then until what is under way is done, or has had its time.
pub async fn serve<S>(
    listener: TcpListener,
    options: ServeOptions,
    service: S,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) -> Stopped
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let all = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(all));
    let stop_timeout = options.stop_timeout;
    let options = Arc::new(options);
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&places).acquire_owned() => permit,
            () = &mut stop => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Too many files are open, say: it passes.
                Err(error) => {
                    tracing::warn!("a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let (options, service, metrics) = (Arc::clone(&options), service.clone(), metrics.clone());
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let _held = metrics.connection();
            accept(stream, address, permit, &options, service, &metrics, stopped).await;
        });
    }
    drop(listener);
    let _ = stopping.send(true);
    // They are all back when the last connection has ended.
    let everything = u32::try_from(all).unwrap_or(u32::MAX);
    match tokio::time::timeout(stop_timeout, places.acquire_many(everything)).await {
        Ok(_) => Stopped { cut_off: 0 },
        Err(_) => Stopped { cut_off: all.saturating_sub(places.available_permits()) },
    }
}

async fn accept<S>(
    stream: TcpStream,
    address: std::net::SocketAddr,
    permit: OwnedSemaphorePermit,
    options: &ServeOptions,
    service: S,
    metrics: &Metrics,
    stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let peer = Peer::holding(address, options.tls.is_some(), Some(permit));
    let Some(tls) = &options.tls else {
        return connection(stream, false, (peer, None), options, service, metrics, stopped).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    let mut to_stop = stopped.clone();
    let stream = tokio::select! {
        stream = tokio::time::timeout(options.handshake_timeout, handshake) => stream,
        _ = to_stop.wait_for(|stop| *stop) => return,
    };
    let Ok(Ok(stream)) = stream else {
        metrics.handshake_failed();
        return;
    };
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|der| ClientCertificate { der: der.clone().into_owned() });
    connection(stream, is_http2, (peer, certificate), options, service, metrics, stopped).await;
}

async fn connection<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    (peer, certificate): (Peer, Option<ClientCertificate>),
    options: &ServeOptions,
    service: S,
    metrics: &Metrics,
    mut stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    // How many requests came, and how many of them are done: what tells whether the connection is idle.
    let (came, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (came_here, done_here) = (Arc::clone(&came), Arc::clone(&done));
    let service = service_fn(move |mut request: Request<Incoming>| {
        came_here.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(Arc::clone(&done_here));
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
                service.call(request.map(Body::coming)).await?
            };
            if ends || refused.is_some() && is_http1 {
                close(&mut answer);
            }
            Ok::<_, Infallible>(answer.map(|body| Body::coming(Ending { body, _under_way: under_way })))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.max_head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(u32::try_from(options.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(options.idle_timeout)
        .keep_alive_timeout(options.head_timeout);
    // Which of the two it is was agreed on in the handshake: nothing is guessed from the first bytes, for which there would
    // be no time-out.
    let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut is_ending = false;
    loop {
        let before = came.load(Ordering::Relaxed);
        // hyper's own time-out begins with the first byte.
        let patience = if before == 0 { options.head_timeout } else { options.idle_timeout };
        tokio::select! {
            // How a connection ends is its client's affair.
            _ = serving.as_mut() => return,
            _ = stopped.wait_for(|stop| *stop), if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(patience) => {
                let after = came.load(Ordering::Relaxed);
                if after == before && done.load(Ordering::Relaxed) == after {
                    if is_ending {
                        return;
                    }
                    is_ending = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Dropped when a request is done with.
struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer that is under way until its end.
struct Ending {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Ending {
    type Data = hyper::body::Bytes;
    type Error = crate::body::BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
