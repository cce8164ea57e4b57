//! The receipts of one kernel.
//!
//! A receipt is made in this process, after the end of the chain as it was read; Redis takes it only if the chain still
//! ends there. So a second writer, or a command whose answer was lost, makes no fork.

use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Event, Receipt, Verdict};
use chio_kernel::store::{BoxFuture, KernelError, ReceiptStore, Seal};
use redis::Value;
use tokio::time::{Instant, timeout_at};

use super::RedisState;
use super::failure::{Failure, typed};
use super::link::{Link, Live};

/// The end of the chain as Redis has it.
#[derive(Debug, Default)]
enum Stored {
    /// A receipt was sent and not confirmed.
    #[default]
    Unknown,
    Known(Option<ChainHead>),
}

/// Where the chain ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    stored: Stored,
    /// The last receipt that Redis has confirmed.
    confirmed: Option<ChainHead>,
}

/// How many calls without an outcome fit in one receipt.
const MAX_UNFINISHED: i64 = 2000;

impl Ends {
    /// Reads the end of the chain, and which of its allows have no outcome.
    pub(super) async fn read(link: &Link, live: &Live, deadline: Instant) -> Result<(Self, Vec<u64>), Failure> {
        let stored = head(link, live, deadline).await?;
        let mut command = redis::cmd("ZRANGE");
        command.arg(&link.keys.open).arg(0).arg(MAX_UNFINISHED.saturating_sub(1));
        let unfinished = typed(link.ask(live, &command, deadline).await?)?;
        Ok((Self { stored: Stored::Known(stored), confirmed: stored }, unfinished))
    }

    /// The receipt that the next one follows. A Redis that has lost the end of the chain, all of it or a part, is given the
    /// next one all the same: the gap stays, and whoever verifies the chain is told of it.
    fn head(&self, stored: Option<ChainHead>) -> Option<ChainHead> {
        let place = |head: Option<ChainHead>| head.map_or(0, |head| head.sequence);
        if place(stored) < place(self.confirmed) {
            tracing::error!(
                stored = place(stored),
                confirmed = place(self.confirmed),
                "Redis has lost receipts: the chain goes on with a gap"
            );
            return self.confirmed;
        }
        stored
    }
}

async fn head(link: &Link, live: &Live, deadline: Instant) -> Result<Option<ChainHead>, Failure> {
    let mut command = redis::cmd("HMGET");
    command.arg(&link.keys.head).arg("sequence").arg("digest");
    match typed::<(Option<u64>, Option<String>)>(link.ask(live, &command, deadline).await?)? {
        (None, None) => Ok(None),
        (Some(sequence), Some(digest)) => {
            let digest: Digest = digest.parse().map_err(|_| Failure::unexpected())?;
            Ok(Some(ChainHead { sequence, digest }))
        }
        _ => Err(Failure::unexpected()),
    }
}

impl ReceiptStore for RedisState {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        self.link.within(async move { Ok(append(self, seal).await?) })
    }

    fn unfinished(&self) -> Vec<u64> {
        self.unfinished.clone()
    }
}

async fn append(state: &RedisState, seal: Seal) -> Result<Receipt, Failure> {
    let link = &state.link;
    let deadline = link.deadline();
    let late = |_| Failure::new("Redis did not answer in time");
    let mut ends = timeout_at(deadline, state.ends.lock()).await.map_err(late)?;
    let live = link.live(deadline).await?;
    // Taken out: whatever happens from here on, the end is read again unless this receipt is confirmed.
    let stored = match std::mem::take(&mut ends.stored) {
        Stored::Known(stored) => stored,
        Stored::Unknown => head(link, &live, deadline).await?,
    };
    let (receipt, next) = seal(ends.head(stored)).map_err(|error| Failure::Other(error.to_string()))?;
    match write(link, &live, stored, &receipt, next, deadline).await? {
        Value::Int(1) => {}
        Value::Int(0) => {
            return Err(Failure::new(
                "the chain of receipts ends elsewhere than it did: does another kernel write to a chain of this name?",
            ));
        }
        _ => return Err(Failure::unexpected()),
    }
    link.replicated(&live, deadline).await?;
    ends.stored = Stored::Known(Some(next));
    ends.confirmed = Some(next);
    Ok(receipt)
}

async fn write(
    link: &Link,
    live: &Live,
    stored: Option<ChainHead>,
    receipt: &Receipt,
    next: ChainHead,
    deadline: Instant,
) -> Result<Value, Failure> {
    let text = receipt.to_line().map_err(|_| Failure::new("the receipt has no text"))?;
    let (sequence, digest) =
        stored.map_or_else(Default::default, |head| (head.sequence.to_string(), head.digest.to_string()));
    let (opens, closes): (&[u8], Vec<u64>) = match &receipt.body.event {
        Event::Decision(decision) if decision.verdict == Verdict::Allow => (b"1", Vec::new()),
        Event::Decision(_) => (b"0", Vec::new()),
        Event::Outcome(outcome) => (b"0", vec![outcome.of]),
        Event::Summary(summary) => (b"0", summary.unfinished.clone()),
    };
    let closes: Vec<String> = closes.iter().map(u64::to_string).collect();
    let (place, hash) = (next.sequence.to_string(), next.digest.to_string());
    let key = receipt.body.kernel_key.to_string();
    let mut arguments: Vec<&[u8]> =
        vec![sequence.as_bytes(), digest.as_bytes(), place.as_bytes(), hash.as_bytes(), &text, key.as_bytes(), opens];
    arguments.extend(closes.iter().map(String::as_bytes));
    let keys: [&[u8]; 3] = [&link.keys.head, &link.keys.receipts, &link.keys.open];
    link.run_on(live, &link.scripts.append, &keys, &arguments, deadline).await
}
