//! Threads for blocking work, so that a slow disk holds no thread of an executor.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use chio_core::canonical::Json;

use crate::tool_server::ToolFailure;

/// How many threads are under way at once.
const MOST: usize = 16;

pub(super) type Answer = Result<Json, ToolFailure>;

/// One thread for each piece of work, and never more than [`MOST`] at once.
#[derive(Default)]
pub(super) struct Threads {
    under_way: Arc<AtomicUsize>,
}

impl Threads {
    /// Runs `work` on a thread of its own. Whatever becomes of that thread, there is an answer; where there
    /// is no room for it, the answer is [`ToolFailure::NotReached`].
    pub(super) async fn run(&self, work: impl FnOnce(&Promise) -> Answer + Send + 'static) -> Answer {
        let busy = || ToolFailure::NotReached("busy: too many calls are under way".into());
        let seat = Seat::take(&self.under_way).ok_or_else(busy)?;
        let slot = Arc::new(Mutex::new(Slot::default()));
        let answer = Err(ToolFailure::Failed("it panicked".into()));
        let promise = Promise { answer, slot: Arc::clone(&slot), seat: Some(seat) };
        let thread = thread::Builder::new().name("chio-files".into());
        thread.spawn(move || promise.keep(work)).map_err(|_| busy())?;
        poll_fn(|context| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = slot.answer.take() {
                return Poll::Ready(answer);
            }
            slot.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// What the thread and the one who waits for it share.
#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The thread's end: whatever `answer` is when it is dropped, by a panic too, is the answer.
pub(super) struct Promise {
    answer: Answer,
    slot: Arc<Mutex<Slot>>,
    seat: Option<Seat>,
}

impl Promise {
    fn keep(mut self, work: impl FnOnce(&Self) -> Answer) {
        self.answer = work(&self);
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.slot) == 1
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // The seat first: who has the answer may come back at once.
        drop(self.seat.take());
        let answer = std::mem::replace(&mut self.answer, Err(ToolFailure::TimedOut));
        let waker = {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.answer = Some(answer);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The right to one of the threads.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let one_more = |taken: usize| taken.checked_add(1).filter(|taken| *taken <= MOST);
        under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(Arc::clone(under_way)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Context;

    use super::*;

    #[test]
    fn every_thread_has_an_answer() {
        let threads = Threads::default();
        for _ in 0..3 * MOST {
            assert_eq!(pollster::block_on(threads.run(|_| Ok(Json::Null))), Ok(Json::Null));
        }
        for _ in 0..3 * MOST {
            let answer = pollster::block_on(threads.run(|_| panic!("as a test")));
            assert_eq!(answer, Err(ToolFailure::Failed("it panicked".into())));
        }
        assert_eq!(threads.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_too_many_is_turned_away_and_the_abandoned_are_told() {
        let threads = Threads::default();
        let (told, hear) = mpsc::channel();
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = Vec::new();
        for _ in 0..MOST {
            let told = told.clone();
            let mut future = Box::pin(threads.run(move |promise| {
                while !promise.is_abandoned() {
                    thread::yield_now();
                }
                told.send(()).unwrap();
                Ok(Json::Null)
            }));
            assert!(future.as_mut().poll(&mut context).is_pending());
            waiting.push(future);
        }
        let answer = pollster::block_on(threads.run(|_| Ok(Json::Null)));
        assert!(matches!(answer, Err(ToolFailure::NotReached(_))));
        drop(waiting);
        (0..MOST).for_each(|_| hear.recv().unwrap());
        while threads.under_way.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(pollster::block_on(threads.run(|_| Ok(Json::Null))), Ok(Json::Null));
    }
}
