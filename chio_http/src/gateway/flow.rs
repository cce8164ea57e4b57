//! Bodies on their way: passed on as they come, up to a limit, and given up where they do not go on coming.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::headers::trailers;
use crate::body::{Body, BodyError};

/// Why a body was not passed on to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    TooLong,
    /// Its sender went away, or wrote what is no body.
    Broken,
    /// Its sender did not go on.
    Stalled,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the body is too long",
            Self::Broken => "the body broke off",
            Self::Stalled => "the body did not go on coming",
        })
    }
}

impl std::error::Error for Fault {}

/// How far the body of a request has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    frames: AtomicU64,
    /// It is the client that is waited for, not the upstream.
    waits: AtomicBool,
    fault: AtomicU8,
}

impl Progress {
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(Fault::TooLong),
            2 => Some(Fault::Broken),
            3 => Some(Fault::Stalled),
            _ => None,
        }
    }
}

/// The body of a request.
pub(crate) struct Upload {
    body: Body,
    left: u64,
    progress: Arc<Progress>,
    /// Dropped with the body, when all of it was sent or nobody wants more of it.
    _end: oneshot::Sender<()>,
}

impl Upload {
    /// A body, what tells how far it has come, and what tells that it is at its end.
    pub(crate) fn new(body: Body, limit: u64) -> (Self, Arc<Progress>, oneshot::Receiver<()>) {
        let (progress, (end, ended)) = (Arc::<Progress>::default(), oneshot::channel());
        (Self { body, left: limit, progress: Arc::clone(&progress), _end: end }, progress, ended)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        this.progress.waits.store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(Some(frame)) = polled else { return polled };
        this.progress.frames.fetch_add(1, Ordering::Relaxed);
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let is_stalled = error.downcast_ref::<Fault>() == Some(&Fault::Stalled);
                this.progress.fault.store(if is_stalled { 3 } else { 2 }, Ordering::Relaxed);
                return Poll::Ready(Some(Err(error)));
            }
        };
        let frame = match frame.into_data() {
            Ok(bytes) => {
                let Some(left) = this.left.checked_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) else {
                    this.progress.fault.store(1, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(Fault::TooLong.into())));
                };
                this.left = left;
                Frame::data(bytes)
            }
            // Whoever stands between may have put some in.
            Err(frame) => Frame::trailers(frame.into_trailers().map(trailers).unwrap_or_default()),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body as it comes from the network: never kept together, each part goes on when it is there, and it is given up where
/// none comes for a time.
pub(crate) struct Coming {
    body: Incoming,
    from: &'static str,
    idle: Duration,
    /// Made when it is first waited for: most bodies are there at once.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Coming {
    pub(crate) fn new(body: Incoming, from: &'static str, idle: Duration) -> Self {
        Self { body, from, idle, sleep: None }
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.sleep = None;
            let Some(frame) = frame else { return Poll::Ready(None) };
            // That it broke off is told by breaking off: it must not be taken for whole.
            let frame = frame.map_err(|_| {
                tracing::debug!("the body from the {} broke off", this.from);
                BodyError::from(Fault::Broken)
            });
            return Poll::Ready(Some(frame.map(|frame| match frame.into_trailers() {
                Ok(fields) => Frame::trailers(trailers(fields)),
                Err(frame) => frame,
            })));
        }
        let idle = this.idle;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        tracing::warn!("the body from the {} did not go on coming", this.from);
        Poll::Ready(Some(Err(Fault::Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
