//! A fence around code that is not the kernel's: a store, a guard, a tool server may panic or never answer.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::{BoxFuture, KernelError, Timer};

/// Foreign code gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    Panicked,
    TimedOut,
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "panicked",
            Self::TimedOut => "did not answer in time",
        })
    }
}

/// Runs a foreign future to its answer, its panic or the end of the patience. The timer is started only when the
/// future does not answer at once.
pub(crate) async fn fenced<'a, T: 'a>(
    timer: &dyn Timer,
    patience: Option<Duration>,
    start: impl FnOnce() -> BoxFuture<'a, T>,
) -> Result<T, Lapse> {
    // What unwinds is dropped and never polled again, so no broken state of it can be seen.
    let mut future = catch_unwind(AssertUnwindSafe(start)).map_err(|_| Lapse::Panicked)?;
    let mut alarm = None;
    poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(answer)) => return Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(Lapse::Panicked)),
        }
        let Some(patience) = patience else { return Poll::Pending };
        let alarm = alarm.get_or_insert_with(|| timer.sleep(patience));
        alarm.as_mut().poll(context).map(|()| Err(Lapse::TimedOut))
    })
    .await
}

/// The fence around all stores: one that panics, or does not answer in time, has failed.
#[derive(Clone)]
pub(crate) struct Fence {
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) patience: Duration,
}

impl Fence {
    pub(crate) async fn ask<'a, T: 'a>(
        &self,
        store: impl FnOnce() -> BoxFuture<'a, Result<T, KernelError>>,
    ) -> Result<T, KernelError> {
        let answer = fenced(&*self.timer, Some(self.patience), store).await;
        answer.unwrap_or_else(|lapse| Err(KernelError::new(lapse.to_string())))
    }
}
