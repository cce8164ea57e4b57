//! A listener: connections come in, are held to their limits, and are ended in good order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::connection::connection;
use super::limits::ServeOptions;
use super::metrics::Metrics;
use super::peer::Peer;
use crate::body::Body;
use crate::client_certificate::ClientCertificate;

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
