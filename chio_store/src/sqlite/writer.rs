//! The thread that writes. What waits is written as one group, with one commit, and answered when that is on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chio_kernel::store::KernelError;
use futures_channel::oneshot;
use rusqlite::Connection;

use super::desk::Desk;
use super::known::Known;
use super::open::{OpenError, told};
use super::tables::Tables;

/// How many pieces of work one commit is for, at most.
const GROUP: usize = 256;

/// How many pieces of work may wait: while the disk stands still, who asks is denied after this, and not remembered.
const WAITING: usize = 16_384;

/// How long more work is waited for while there is none: a fraction of what a disk takes.
const MOMENT: Duration = Duration::from_micros(100);

/// Does a piece of work; what comes back answers it, once it is known whether all of it is on the disk.
type Work = Box<dyn FnOnce(&mut Desk) -> rusqlite::Result<Answer> + Send>;
type Answer = Box<dyn FnOnce(Result<(), KernelError>) + Send>;

/// Hands work to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    work: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        tables: Tables,
        complete_from: Arc<AtomicU64>,
        known: Arc<Known>,
        owner: Option<u64>,
    ) -> Result<Self, OpenError> {
        let (work, waiting) = sync_channel(WAITING);
        let desk = Desk::new(connection, tables, complete_from, known, owner);
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
        let is_handed_on = self.work.as_ref().is_some_and(|queue| queue.try_send(work).is_ok());
        async move {
            // Where the thread has dropped the question, it could not do the work, or is gone. Where it was not taken, too
            // much waits.
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
    let mut last = 0;
    while let Some(first) = soon(waiting, true).or_else(|| waiting.recv().ok()) {
        let mut answers = Vec::with_capacity(last);
        let written = catch_unwind(AssertUnwindSafe(|| {
            desk.begin()?;
            let mut next = Some(first);
            while let Some(work) = next {
                answers.push(work(&mut desk)?);
                // Those who were answered last are likely to ask again, and what comes a moment after the commit has begun
                // waits for the whole of it.
                next = if answers.len() < GROUP { soon(waiting, answers.len() < last) } else { None };
            }
            desk.commit()
        }));
        last = answers.len();
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

/// What waits; or what comes within a moment, if that is worth waiting for. To be woken takes longer than a moment on some
/// machines, so others are let run meanwhile, and nobody sleeps.
fn soon(waiting: &Receiver<Work>, is_worth_it: bool) -> Option<Work> {
    let began = Instant::now();
    loop {
        match waiting.try_recv() {
            Ok(work) => return Some(work),
            Err(TryRecvError::Empty) if is_worth_it && began.elapsed() < MOMENT => std::thread::yield_now(),
            Err(_) => return None,
        }
    }
}
