//! A deadline for what is waited for here: what schemes and desks ask of stores by themselves (the kernel's fence is around
//! what the kernel asks), and bodies that have to be looked at before there is a decision.
//!
//! A disk that hangs, or a client that sends a byte a minute, would else hold a request, with all that belongs to it, for as
//! long as it likes.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chio_core::digest::Digest;
use chio_kernel::clock::{BoxFuture, KernelError, ThreadTimer, Timer};
use chio_kernel::config::Patience;
use chio_kernel::store::{Allowance, RevocationStore, Spending, Standing, StandingStore, UsageStore};
use chio_store::{Entry, Page, Put, Records, Room, Table};

/// How long something is waited for. A store that does not answer by then has failed; what it was asked to write may be
/// written all the same.
#[derive(Clone)]
pub struct Deadline {
    timer: Arc<dyn Timer>,
    patience: Duration,
}

impl Default for Deadline {
    /// As long as a kernel waits for a store by default, in any executor and in none.
    fn default() -> Self {
        Self::new(ThreadTimer, Patience::default().store)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadline({:?})", self.patience)
    }
}

impl Deadline {
    /// As long as that, by this timer.
    pub fn new(timer: impl Timer + 'static, patience: Duration) -> Self {
        Self { timer: Arc::new(timer), patience }
    }

    /// Waits so long. None where that was not enough: what was waited for is dropped then.
    /// The timer is started only when the answer is not there at once.
    pub(crate) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let (mut answer, mut alarm) = (pin!(answer), None);
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            let alarm = alarm.get_or_insert_with(|| self.timer.sleep(self.patience));
            alarm.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// A store with this deadline for each thing that it is asked.
    pub(crate) fn around<S: ?Sized>(&self, store: Arc<S>) -> Arc<InTime<S>> {
        Arc::new(InTime { store, deadline: self.clone() })
    }
}

/// A store that answers in time, or fails.
pub(crate) struct InTime<S: ?Sized> {
    deadline: Deadline,
    store: Arc<S>,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, KernelError>>;

impl<S: ?Sized + Send + Sync> InTime<S> {
    fn in_time<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        let late = || Err(KernelError::new("a store did not answer in time"));
        Box::pin(async move { self.deadline.wait(answer).await.unwrap_or_else(late) })
    }
}

impl Records for InTime<dyn Records> {
    fn get(&self, table: Table, key: Digest, now: u64) -> Answer<'_, Option<Entry>> {
        self.in_time(self.store.get(table, key, now))
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> Answer<'a, Put> {
        self.in_time(self.store.put(table, entry, replaces, room, now))
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> Answer<'_, Option<Entry>> {
        self.in_time(self.store.take(table, key, now))
    }

    fn list(&self, table: Table, owner: Option<Digest>, from: Option<String>, now: u64) -> Answer<'_, Page<Entry>> {
        self.in_time(self.store.list(table, owner, from, now))
    }
}

impl UsageStore for InTime<dyn UsageStore> {
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> Answer<'a, Spending> {
        self.in_time(self.store.spend(places, now))
    }

    fn refund<'a>(&'a self, grants: &'a [Digest]) -> Answer<'a, ()> {
        self.in_time(self.store.refund(grants))
    }
}

impl RevocationStore for InTime<dyn RevocationStore> {
    fn first_revoked<'a>(&'a self, ids: &'a [Digest]) -> Answer<'a, Option<usize>> {
        self.in_time(self.store.first_revoked(ids))
    }

    fn revoke(&self, id: Digest) -> Answer<'_, ()> {
        self.in_time(self.store.revoke(id))
    }
}

impl StandingStore for InTime<dyn StandingStore> {
    fn worst<'a>(&'a self, principals: &'a [Digest], now: u64) -> Answer<'a, Standing> {
        self.in_time(self.store.worst(principals, now))
    }

    fn worsen(&self, principal: Digest, standing: Standing, now: u64) -> Answer<'_, ()> {
        self.in_time(self.store.worsen(principal, standing, now))
    }

    fn set(&self, principal: Digest, standing: Standing) -> Answer<'_, ()> {
        self.in_time(self.store.set(principal, standing))
    }

    fn count_failure(&self, principal: Digest, now: u64, forgive: u64) -> Answer<'_, u64> {
        self.in_time(self.store.count_failure(principal, now, forgive))
    }
}

#[cfg(test)]
mod tests;
