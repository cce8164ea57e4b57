//! What the kernel remembers, behind small traits. Answers are plain values: no store can make a witness.
//! A store that errs, panics or does not answer in time denies the call.

mod nonces;

mod memory;

use chio_core::digest::Digest;
use chio_core::error::SignError;
use chio_core::receipt::{ChainHead, Receipt};

pub use crate::clock::{BoxFuture, KernelError};

pub use self::memory::{MemoryReceipts, MemoryRevocations, MemoryStandings, MemoryUsage};
pub use self::nonces::DpopNonceStore;
pub(crate) use self::nonces::nonce_key;

/// A nonce to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceClaim {
    /// The digest of capability and nonce. What a caller sends is never stored.
    pub key: Digest,
    /// On whose account it is remembered: the root capability, so that deriving tokens opens no new account.
    pub account: Digest,
    /// The time of the call.
    pub now: u64,
    /// The last second at which the proof could be found fresh. It has to be remembered until it has passed for every
    /// call that is under way: a claim whose `now` is not after what was forgotten is to be denied.
    pub until: u64,
}

/// What came of spending a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceAnswer {
    /// It was not spent before, and is now.
    Spent,
    /// It was spent before.
    Replayed,
    /// There is no room to remember it. A live nonce is never dropped to make room.
    Full,
    /// Its account has as many live nonces as one may have.
    QuotaExceeded,
}

/// Remembers nonces.
pub trait NonceStore: Send + Sync {
    /// Spends a nonce, atomically.
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>>;

    /// Whether what was spent is still known after a crash. A kernel whose store forgets refuses proofs that could
    /// have been used before it started.
    fn survives_restart(&self) -> bool;

    /// Since when it remembers, in Unix seconds, where what a store that survives had before was lost, or it was never asked
    /// before. The kernel refuses proofs that could have been used until then.
    fn remembers_since(&self) -> Option<u64> {
        None
    }
}

/// The right to one of the calls of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The grant: a digest of the token's id and the place of the grant in it.
    pub grant: Digest,
    /// On whose account it is remembered: the root capability.
    pub account: Digest,
    /// How many calls the grant allows.
    pub limit: u64,
    /// The first second at which the token is no longer valid and the count may be forgotten.
    pub until: u64,
}

/// What came of spending budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spending {
    /// One call of each of these grants is spent.
    Spent(Vec<Digest>),
    /// No alternative at this place has a call left. Nothing is spent.
    Exhausted {
        /// The place.
        place: usize,
    },
    /// The account has as many counts as one may have. Nothing is spent.
    Full,
}

/// Counts the calls of grants.
pub trait UsageStore: Send + Sync {
    /// Spends one call of one alternative at every place, or nothing at all, atomically. At each place the first
    /// alternative that has a call left is taken.
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> BoxFuture<'a, Result<Spending, KernelError>>;

    /// Gives back what a call spent that never reached its tool server.
    fn refund<'a>(&'a self, grants: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>>;
}

/// Knows what is revoked.
pub trait RevocationStore: Send + Sync {
    /// The first of these ids (of capabilities, or of keys: see [`key_id`]) that is revoked.
    fn first_revoked<'a>(&'a self, ids: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>>;

    /// Revokes a capability, and with it every token derived from it; or a key, and with it every token that it
    /// issued or holds.
    fn revoke(&self, id: Digest) -> BoxFuture<'_, Result<(), KernelError>>;
}

/// How the kernel's owner thinks of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Good,
    /// It is turned away before this second.
    Suspended {
        /// The first second at which it is welcome again.
        until: u64,
    },
    /// It is turned away.
    Banned,
}

/// Knows who is suspended or banned.
pub trait StandingStore: Send + Sync {
    /// The worst standing among these principals (see [`key_id`]).
    fn worst<'a>(&'a self, principals: &'a [Digest], now: u64) -> BoxFuture<'a, Result<Standing, KernelError>>;

    /// Makes the standing of a principal worse, or leaves it: a suspension never takes the place of a ban.
    fn worsen(&self, principal: Digest, standing: Standing, now: u64) -> BoxFuture<'_, Result<(), KernelError>>;

    /// Sets the standing of a principal, for better or worse.
    fn set(&self, principal: Digest, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>>;

    /// Counts a failed signature against a principal, and returns how many there are now. One is forgiven every `forgive`
    /// seconds, or never where that is 0: see [`one_more_failure`].
    fn count_failure(&self, principal: Digest, now: u64, forgive: u64) -> BoxFuture<'_, Result<u64, KernelError>>;
}

/// With one more: how many failed signatures there were against a principal, and since when the next one to be forgiven
/// waits. A store keeps these two numbers.
pub fn one_more_failure((count, since): (u64, u64), now: u64, forgive: u64) -> (u64, u64) {
    let forgiven = now.saturating_sub(since).checked_div(forgive).unwrap_or_default();
    if forgiven >= count {
        return (1, now);
    }
    (count.saturating_sub(forgiven).saturating_add(1), since.saturating_add(forgiven.saturating_mul(forgive)))
}

/// Makes the receipt that follows the head of the chain.
pub type Seal = Box<dyn FnOnce(Option<ChainHead>) -> Result<(Receipt, ChainHead), SignError> + Send>;

/// Keeps the receipts of one kernel, in order.
pub trait ReceiptStore: Send + Sync {
    /// Calls `seal` with the end of the chain, keeps what it makes, and returns it: one at a time, in order. Where it
    /// cannot be kept, the end of the chain stays where it was, so that no gap arises.
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>>;

    /// The sequence numbers of the allows that had no outcome and stood in no summary when it was opened, since the kernel
    /// crashed: 2,000 at most, which fit in one receipt. The kernel sums them up before its first receipt.
    fn unfinished(&self) -> Vec<u64> {
        Vec::new()
    }
}

/// The id of a key or another principal in the stores: the digest of its text.
pub fn key_id(principal: &str) -> Digest {
    Digest::of(principal.as_bytes())
}
