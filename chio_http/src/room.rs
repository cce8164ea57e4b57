//! Bodies that have to be looked at before there is a decision, and how many of them are held at once.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{Body, BodyError, Looked, whole_in_time};
use crate::deadline::Deadline;
use crate::denied::Refusal;
use crate::target::names_a_credential;

/// How much of a body that a proof covers is read by default, in bytes: 1 MiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// How much of bodies is held at once at most, in bytes: 64 MiB, or one body where that can be longer.
pub const BODIES_LIMIT: usize = 64 << 20;

/// How long such a body may take to come, by default. Whoever has one proof could else fill the room with bodies that
/// never end.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, and what of it was read.
pub(crate) struct ReadBody {
    /// As it goes on.
    pub(crate) body: Body,
    pub(crate) read: Option<Bytes>,
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// Whether it had to be read, and was not.
    pub(crate) is_unread: bool,
}

/// Room for bodies.
pub(crate) struct Room {
    /// How much of one is read.
    limit: usize,
    /// How long that may take.
    deadline: Deadline,
    /// What is left, in KiB.
    kib: Arc<Semaphore>,
}

impl Room {
    /// For bodies of which so much is read, in that time, and answers that are at most so long.
    pub(crate) fn new(limit: usize, answer_limit: usize, deadline: Deadline) -> Self {
        let longest = limit.max(answer_limit);
        Self { limit, deadline, kib: Arc::new(Semaphore::new(BODIES_LIMIT.max(longest).div_ceil(1024))) }
    }

    /// Room for a body that is going to be read whole: of those that have a signature anybody can send any number again.
    fn room_for<B: HttpBody>(&self, body: &B) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX);
        self.of(body.size_hint().upper().map_or(most, |upper| upper.min(most)))
    }

    /// Reads a body, where it has to be looked at before there is a decision.
    /// Fails where it cannot be, unless it may pass all the same.
    pub(crate) async fn read<B>(
        &self,
        body: B,
        is_covered: bool,
        is_form: bool,
        may_pass: bool,
    ) -> Result<ReadBody, Refusal>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if !is_covered && !is_form {
            return Ok(ReadBody { body: Body::coming(body), read: None, room: None, is_unread: false });
        }
        let unread = |body, why: Refusal| {
            may_pass.then_some(ReadBody { body, read: None, room: None, is_unread: true }).ok_or(why)
        };
        let room = match self.room_for(&body) {
            Ok(room) => room,
            Err(refusal) => return unread(Body::coming(body), refusal),
        };
        match whole_in_time(body, self.limit, &self.deadline, room).await {
            Ok(Looked::Whole(bytes, _)) if is_form && std::str::from_utf8(&bytes).map_or(true, names_a_credential) => {
                Err(Refusal::Ambiguous("credentials have no place in a form"))
            }
            Ok(Looked::Whole(bytes, room)) => {
                Ok(ReadBody { body: Body::whole(bytes.clone()), read: Some(bytes), room: Some(room), is_unread: false })
            }
            Ok(Looked::TooLong(body)) => unread(body, Refusal::TooLong),
            Ok(Looked::Late(body)) => unread(body, Refusal::Late),
            Err(_) => Err(Refusal::Incomplete),
        }
    }

    /// So many bytes of it.
    pub(crate) fn of(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.kib).try_acquire_many_owned(kib).map_err(|_| Refusal::Busy)
    }
}
