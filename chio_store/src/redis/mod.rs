//! The state of several kernels in one Redis (6 or later) or Valkey.
//!
//! Whatever is decided is decided in one round trip, by a script, or by the one command that adds a nonce: of two kernels that
//! ask the same thing at the same instant one comes first. Nothing depends on the server's clock: what expires is dropped by
//! the kernels' own time.
//!
//! What Redis forgets is noticed: it has an *epoch*, a random id that every claim of a nonce has to find there, and which begins
//! anew with each run of the server. In a new epoch, proofs that could have been used before it are refused. See
//! `docs/decisions/0018-redis-state.md`.

mod options;

mod failure;

mod server;

mod keys;

mod scripts;

mod place;

mod link;

mod nonces;

mod usage;

mod people;

mod receipts;

mod records;

mod owner;

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

pub use self::options::{ConnectError, RedisOptions};

use self::failure::Failure;
use self::link::Link;
use self::nonces::Entered;
use self::receipts::Ends;

/// The state of a kernel in a Redis that several kernels share: all five stores of it, and what its owner asks.
///
/// It reconnects by itself. While Redis is away, every operation fails within its deadline, so that the kernel denies.
pub struct RedisState {
    link: Link,
    entered: Entered,
    ends: Mutex<Ends>,
    unfinished: Vec<u64>,
}

/// How long it may take to connect at the start.
const CONNECT: Duration = Duration::from_secs(5);

impl RedisState {
    /// Connects, from within a tokio runtime with I/O and time, in which the connection lives from then on.
    /// Fails where Redis cannot be reached within 5 s, or cannot be trusted to remember.
    pub async fn connect(options: RedisOptions) -> Result<Self, ConnectError> {
        let link = Link::new(options)?;
        let now = Instant::now();
        let deadline = now.checked_add(CONNECT.max(link.options.timeout)).unwrap_or(now);
        let late = |_| ConnectError::Unreachable("it did not answer in time".into());
        let live = timeout_at(deadline, link.connect()).await.map_err(late)??;
        let read = Ends::read(&link, &live, deadline).await;
        let (ends, unfinished) = read.map_err(|failure| match failure {
            Failure::Full => ConnectError::Refused("OOM".into()),
            Failure::Other(why) => ConnectError::Refused(why),
        })?;
        Ok(Self { link, entered: Entered::default(), ends: Mutex::new(ends), unfinished })
    }
}

impl std::fmt::Debug for RedisState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisState").field("options", &self.link.options).finish_non_exhaustive()
    }
}
