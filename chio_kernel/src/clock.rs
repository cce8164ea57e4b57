//! Time, at the rim: the only places where a clock is read. And how foreign code answers, or fails to.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicU64, Ordering};

/// A boxed future. What has its answer at hand returns `Box::pin(std::future::ready(answer))`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is nobody's decision: a store that is down, a tool server that died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    reason: String,
}

impl KernelError {
    /// An error with a text for operators. It must not hold a secret or the value of an argument.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for KernelError {}

fn unreadable() -> KernelError {
    KernelError::new("the clock cannot be read")
}

/// A source of the time. The kernel reads it once a call.
pub trait Clock: Send + Sync {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    /// Fails where the time cannot be told: the call is denied.
    fn now(&self) -> Result<u64, KernelError>;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Result<u64, KernelError> {
        SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).map_err(|_| unreadable())
    }
}

/// A clock that is set by hand, for tests.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    /// Sets the clock, forwards or backwards. `u64::MAX` makes it unreadable.
    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Result<u64, KernelError> {
        Some(self.0.load(Ordering::SeqCst)).filter(|now| *now != u64::MAX).ok_or_else(unreadable)
    }
}

/// A clock that never runs backwards: set back, it stands still until the other has caught up. So no proof becomes
/// fresh again, and no nonce is forgotten while its proof could be.
pub(crate) struct ForwardClock {
    clock: Box<dyn Clock>,
    latest: AtomicU64,
}

impl ForwardClock {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> Result<u64, KernelError> {
        let now = catch_unwind(AssertUnwindSafe(|| self.clock.now())).unwrap_or_else(|_| Err(unreadable()))?;
        Ok(self.latest.fetch_max(now, Ordering::SeqCst).max(now))
    }
}

/// Waits, so that a store that does not answer can be given up.
pub trait Timer: Send + Sync {
    /// Completes after that long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A timer on a thread of its own: it works in any executor and in none.
#[cfg(feature = "os")]
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTimer;

#[cfg(feature = "os")]
impl Timer for ThreadTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(futures_timer::Delay::new(duration))
    }
}

/// A timer that has no patience: what does not answer at once is given up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPatience;

impl Timer for NoPatience {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
