//! The thread that reads records, with a connection of its own: no executor waits for a disk, and nobody who reads for those
//! who write. What was answered to be written is there for whoever asks after that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use chio_kernel::store::KernelError;
use futures_channel::oneshot;
use rusqlite::Connection;

use super::open::{OpenError, told};

/// How many questions may wait. Who asks more fails.
const WAITING: usize = 4096;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Hands questions to the thread.
#[derive(Debug)]
pub(super) struct Reader {
    questions: Option<SyncSender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(connection: Connection) -> Result<Self, OpenError> {
        connection.pragma_update(None, "query_only", true)?;
        let (questions, waiting) = sync_channel::<Question>(WAITING);
        let read = move || {
            while let Ok(question) = waiting.recv() {
                // Its answer is then missing, and whoever asked fails.
                let _ = catch_unwind(AssertUnwindSafe(|| question(&connection)));
            }
        };
        let thread = std::thread::Builder::new().name("chio-records".into()).spawn(read);
        let thread = thread.map_err(|error| OpenError::Io(format!("no thread for it: {error}")))?;
        Ok(Self { questions: Some(questions), thread: Some(thread) })
    }

    /// Has something read.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, KernelError>> + Send + 'static {
        let (tell, answer) = oneshot::channel();
        let question: Question = Box::new(|connection| {
            if !tell.is_canceled() {
                let read = read(connection).map_err(|error| KernelError::new(told(&error)));
                drop(tell.send(read));
            }
        });
        let is_asked = self.questions.as_ref().is_some_and(|questions| questions.try_send(question).is_ok());
        async move {
            let lost = || KernelError::new("the state file could not be read");
            if is_asked { answer.await.map_err(|_| lost())? } else { Err(lost()) }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
