//! The thread that writes. What waits is written as one group, with one commit, and answered when that is on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chio_kernel::store::KernelError;
use futures_channel::oneshot;
use rusqlite::Connection;

use super::desk::Desk;
use super::open::{OpenError, told};
use super::tables::Tables;

/// How many pieces of work one commit is for, at most.
const GROUP: usize = 256;

/// How long a group waits for as many as the last one had: a fraction of what a disk takes.
const MOMENT: Duration = Duration::from_micros(200);

/// Does a piece of work; what comes back answers it, once it is known whether all of it is on the disk.
type Work = Box<dyn FnOnce(&mut Desk) -> rusqlite::Result<Answer> + Send>;
type Answer = Box<dyn FnOnce(Result<(), KernelError>) + Send>;

/// Hands work to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        tables: Tables,
        complete_from: Arc<AtomicU64>,
    ) -> Result<Self, OpenError> {
        let (work, waiting) = channel();
        let desk = Desk::new(connection, tables, complete_from);
        let thread = std::thread::Builder::new().name("chio-state".into()).spawn(move || write(desk, &waiting));
        let thread = thread.map_err(|error| OpenError::Io(format!("no thread for it: {error}")))?;
        Ok(Self { work: Some(work), thread: Some(thread) })
    }

    /// Has work done, and waits until it is on the disk.
    /// Fails where it is not: then nothing of it is.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk) -> rusqlite::Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, KernelError>> + Send + 'static {
        let (tell, told) = oneshot::channel();
        let work: Work = Box::new(|desk| {
            let done = work(desk)?;
            Ok(Box::new(|is_written| drop(tell.send(is_written.map(|()| done)))))
        });
        let is_handed_on = self.work.as_ref().is_some_and(|queue| queue.send(work).is_ok());
        async move {
            // Where the thread has dropped the question, it could not do the work, or is gone.
            let lost = || KernelError::new("the state file could not be written");
            if is_handed_on { told.await.map_err(|_| lost())? } else { Err(lost()) }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What waits is written, and then the thread ends.
        self.work = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write(mut desk: Desk, waiting: &Receiver<Work>) {
    let mut last = 1;
    while let Ok(first) = waiting.recv() {
        let group = gather(first, waiting, last);
        last = group.len();
        let mut answers = Vec::with_capacity(last);
        let written = catch_unwind(AssertUnwindSafe(|| {
            desk.begin()?;
            for work in group {
                answers.push(work(&mut desk)?);
            }
            desk.commit()
        }));
        let written = match written {
            Ok(written) => written.map_err(|error| told(&error)),
            Err(_) => Err("a piece of work panicked".to_owned()),
        };
        if let Err(error) = &written {
            tracing::error!("the state file: {error}; nothing of what waited was written");
            desk.take_back();
        }
        for answer in answers {
            answer(written.clone().map_err(KernelError::new));
        }
    }
    desk.close();
}

/// What waits, and what comes at once from those who were answered last: they are likely to ask again, and what comes a
/// moment after the commit has begun waits for the whole of it.
fn gather(first: Work, waiting: &Receiver<Work>, last: usize) -> Vec<Work> {
    let began = Instant::now();
    let mut group = vec![first];
    while group.len() < GROUP {
        let next = waiting.try_recv().ok().or_else(|| {
            let left = MOMENT.saturating_sub(began.elapsed());
            if group.len() < last { waiting.recv_timeout(left).ok() } else { None }
        });
        let Some(next) = next else { break };
        group.push(next);
    }
    group
}

/// A second, told to those who must not go back behind it.
pub(super) fn raise(complete_from: &AtomicU64, to: u64) {
    complete_from.fetch_max(to, Ordering::SeqCst);
}
