//! Threads that each serve connections by themselves: a request, and the connection to the upstream that it goes by, stay
//! on the core that its connection has come to.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;

use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tower_service::Service;

use super::limits::{ServeOptions, share};
use super::metrics::Metrics;
use super::serve::{Stopped, serve};
use crate::body::Body;

/// The threads. They end when this is dropped, and with them all that still runs there.
pub struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl Workers {
    /// How many there are for so many connections: one for each core, none of them without a connection.
    pub fn count_for(connections: usize) -> NonZeroUsize {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        NonZeroUsize::new(connections).map_or(NonZeroUsize::MIN, |connections| connections.min(cores))
    }

    /// Starts so many.
    /// Fails where there is no room for another thread.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        (0..count.get()).map(|_| Worker::start()).collect::<io::Result<_>>().map(Self)
    }

    /// Serves as [`serve`] does, each thread by a service of its own and with its share of the connections.
    /// Fails where the listener cannot be shared.
    pub async fn serve<S>(
        &self,
        listener: TcpListener,
        options: &ServeOptions,
        services: Vec<S>,
        metrics: &Metrics,
        stop: impl Future<Output = ()>,
    ) -> io::Result<Stopped>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let (stopping, stopped) = watch::channel(false);
        let (listener, mut serving) = (listener.into_std()?, Vec::new());
        for ((worker, service), index) in self.0.iter().zip(services).zip(0..) {
            let (listener, metrics, mut stopped) = (listener.try_clone()?, metrics.clone(), stopped.clone());
            let max_connections = share(options.max_connections, self.0.len(), index);
            let options = ServeOptions { max_connections, ..options.clone() };
            serving.push(worker.runtime.spawn(async move {
                let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
                Ok::<_, io::Error>(serve(TcpListener::from_std(listener)?, options, service, metrics, stop).await)
            }));
        }
        drop(listener);
        let mut stop = pin!(stop);
        let mut all = Stopped { cut_off: 0 };
        for mut one in serving {
            let ended = tokio::select! {
                ended = &mut one => ended,
                () = &mut stop, if !*stopping.borrow() => {
                    let _ = stopping.send(true);
                    one.await
                }
            };
            all.cut_off = all.cut_off.saturating_add(ended.map_err(io::Error::other)??.cut_off);
        }
        Ok(all)
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel::<()>();
        let worker = Self { runtime: runtime.handle().clone(), _running: running };
        std::thread::Builder::new().name("chio-gateway".to_owned()).spawn(move || {
            let _ = runtime.block_on(ended);
            // Tunnels, and what was cut off.
            runtime.shutdown_background();
        })?;
        Ok(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_to_what_there_is() {
        for (all, by) in [(1, 1), (7, 3), (1024, 64), (5, 5), (2, 4)] {
            let shares: Vec<usize> = (0..by).map(|index| share(all, by, index)).collect();
            assert_eq!(shares.iter().sum::<usize>(), all, "{shares:?}");
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
        assert_eq!(Workers::count_for(1).get(), 1);
        assert_eq!(Workers::count_for(0).get(), 1);
    }
}
