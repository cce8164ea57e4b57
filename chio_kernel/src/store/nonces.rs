//! The nonces that were spent, in memory.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::hash::BuildHasher;
use std::time::Duration;

use chio_core::digest::Digest;
use hashbrown::HashTable;

use super::{BoxFuture, KernelError, NonceAnswer, NonceClaim, NonceStore};
use crate::clock::{ForwardClock, SystemClock};
use crate::sync::{Mutex, lock};

/// Remembers nonces in memory: an LRU-ordered map of fixed-size digests.
///
/// A nonce is used once, so the least recently used is the oldest, and the oldest expires first: every call drops
/// what has expired from the old end, in constant time. A live nonce is never dropped. When the store is full of
/// them, calls are denied, and one account (a root capability and all that is derived from it) may hold at most a
/// share, so that no holder can lock out the rest.
///
/// Memory is bounded by the capacity and grows with use: at most about 50 bytes a live nonce. It forgets everything at a
/// restart. A [`crate::Kernel`] with this store therefore refuses every proof that could have been used before it
/// started; [`crate::dpop::verify_dpop_proof`] alone cannot know.
pub struct DpopNonceStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    ttl: u64,
    clock: ForwardClock,
}

/// Below this capacity one shard keeps the limits exact; above it, they are divided evenly, and a shard may be full
/// a few per cent early.
const SHARDED_FROM: usize = 65_536;
const SHARDS: usize = 16;

/// The share of the capacity that one account may hold: an eighth.
const ACCOUNT_SHARE: usize = 8;

impl DpopNonceStore {
    /// A store for at most `capacity` live nonces, which [`Self::check_and_insert`] remembers for `ttl`: the life of a
    /// proof and the clock skew together, in whole seconds.
    /// One capability may hold an eighth of the capacity, and at least one nonce.
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        Self::with_quota(capacity, capacity / ACCOUNT_SHARE, ttl)
    }

    /// A store in which one capability may hold at most `quota` live nonces.
    pub fn with_quota(capacity: usize, quota: usize, ttl: Duration) -> Self {
        let shards = if capacity < SHARDED_FROM { 1 } else { SHARDS };
        let limits = Limits { nonces: capacity.div_ceil(shards), account: quota.max(1).div_ceil(shards) };
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new(limits))).collect(),
            hasher: RandomState::new(),
            ttl: ttl.as_secs(),
            clock: ForwardClock::new(Box::new(SystemClock)),
        }
    }

    /// Spends a nonce now, by the clock of the operating system: `Ok(true)` if it was not spent before, `Ok(false)`
    /// for a replay.
    /// Fails where the store is full of live nonces, the capability holds its share, or the clock cannot be read. Treat it
    /// as a denial.
    pub fn check_and_insert(&self, nonce: &str, capability_id: &str) -> Result<bool, KernelError> {
        let now = self.now()?;
        let claim = NonceClaim {
            key: nonce_key(capability_id, nonce),
            account: super::key_id(capability_id),
            now,
            until: now.saturating_add(self.ttl),
        };
        match self.claim(&claim) {
            NonceAnswer::Spent => Ok(true),
            NonceAnswer::Replayed => Ok(false),
            NonceAnswer::Full => Err(KernelError::new("the nonce store is full of live nonces")),
            NonceAnswer::QuotaExceeded => Err(KernelError::new("the capability holds its share of live nonces")),
        }
    }

    pub(crate) fn now(&self) -> Result<u64, KernelError> {
        self.clock.now()
    }

    /// Spends a nonce.
    pub fn claim(&self, claim: &NonceClaim) -> NonceAnswer {
        let (shard, entry, hash) = self.place(claim);
        shard.map_or(NonceAnswer::Full, |shard| lock(shard).claim(entry, hash, claim.now, &self.hasher))
    }

    fn place(&self, claim: &NonceClaim) -> (Option<&Mutex<Shard>>, Entry, u64) {
        // The hash is keyed at random, so nobody can aim at a shard or a bucket.
        let entry = Entry { key: half(&claim.key), account: self.hasher.hash_one(claim.account), until: claim.until };
        let hash = self.hasher.hash_one(entry.key);
        let index = usize::try_from(hash >> 32).unwrap_or_default().checked_rem(self.shards.len());
        (index.and_then(|index| self.shards.get(index)), entry, hash)
    }

    /// Remembers a nonce that was spent before, such as one that a file has kept: no limit keeps it out.
    pub fn remember(&self, claim: &NonceClaim) {
        let (shard, entry, hash) = self.place(claim);
        if let Some(shard) = shard {
            lock(shard).insert(entry, hash, &self.hasher);
        }
    }

    /// How many nonces are remembered, expired ones that nobody has dropped yet included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).queue.len()).sum()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The digest under which a nonce is remembered.
pub(crate) fn nonce_key(capability_id: &str, nonce: &str) -> Digest {
    Digest::of_parts(&[capability_id.as_bytes(), nonce.as_bytes()])
}

impl NonceStore for DpopNonceStore {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        Box::pin(ready(Ok(self.claim(&claim))))
    }

    fn survives_restart(&self) -> bool {
        false
    }
}

#[derive(Clone, Copy)]
struct Limits {
    nonces: usize,
    account: usize,
}

/// Half of a digest is enough to tell nonces apart: a collision would deny a call, never allow one.
type Key = [u8; 16];

fn half(digest: &Digest) -> Key {
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// 32 bytes a live nonce, and about 10 more in the index.
struct Entry {
    key: Key,
    /// A keyed hash of the account: two that collide share their quota.
    account: u64,
    until: u64,
}

struct Shard {
    limits: Limits,
    /// Oldest first. An entry is known by its number, counted from the first one ever; `dropped` came before.
    queue: VecDeque<Entry>,
    dropped: u32,
    numbers: HashTable<u32>,
    held: HashMap<u64, usize>,
    /// The first second at which no nonce that is forgotten could have been found fresh.
    complete_from: u64,
}

/// How long an expired nonce is kept, in seconds, for calls that began before it expired and come late.
const GRACE: u64 = 5;

/// How many expired nonces a call drops at most. Two for each that it adds: the store drains faster than it fills.
const DROPS: usize = 2;

impl Shard {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            dropped: 0,
            numbers: HashTable::new(),
            held: HashMap::new(),
            complete_from: 0,
        }
    }

    fn claim(&mut self, entry: Entry, hash: u64, now: u64, hasher: &RandomState) -> NonceAnswer {
        for _ in 0..DROPS {
            self.drop_expired(now, hasher);
        }
        // A call that comes so late that its nonce could be one of the forgotten ones cannot be told from a replay.
        if now < self.complete_from {
            return NonceAnswer::Full;
        }
        let (queue, dropped) = (&self.queue, self.dropped);
        if self.numbers.find(hash, |number| key_of(queue, dropped, *number) == Some(entry.key)).is_some() {
            return NonceAnswer::Replayed;
        }
        // Nobody is denied for what has expired. Each nonce is dropped once, so this is constant over time.
        if self.is_full_for(&entry).is_some() {
            while self.drop_expired(now, hasher) {}
        }
        if let Some(answer) = self.is_full_for(&entry) {
            return answer;
        }
        self.insert(entry, hash, hasher)
    }

    fn insert(&mut self, entry: Entry, hash: u64, hasher: &RandomState) -> NonceAnswer {
        let held = self.held.get(&entry.account).copied().unwrap_or_default();
        let Ok(place) = u32::try_from(self.queue.len()) else { return NonceAnswer::Full };
        self.held.insert(entry.account, held.saturating_add(1));
        if self.queue.len() == self.queue.capacity() {
            // By an eighth: of twice as many, half would lie empty.
            self.queue.reserve_exact((self.queue.len() / 8).max(64));
        }
        self.queue.push_back(entry);
        let (queue, dropped) = (&self.queue, self.dropped);
        self.numbers.insert_unique(hash, dropped.wrapping_add(place), |number| {
            key_of(queue, dropped, *number).map_or(0, |key| hasher.hash_one(key))
        });
        NonceAnswer::Spent
    }

    fn is_full_for(&self, entry: &Entry) -> Option<NonceAnswer> {
        if self.held.get(&entry.account).is_some_and(|held| *held >= self.limits.account) {
            return Some(NonceAnswer::QuotaExceeded);
        }
        (self.queue.len() >= self.limits.nonces).then_some(NonceAnswer::Full)
    }

    /// Drops the oldest nonce, if it has expired.
    fn drop_expired(&mut self, now: u64, hasher: &RandomState) -> bool {
        if self.queue.front().is_none_or(|oldest| oldest.until.saturating_add(GRACE) >= now) {
            return false;
        }
        let Some(oldest) = self.queue.pop_front() else { return false };
        self.complete_from = self.complete_from.max(oldest.until.saturating_add(1));
        let first = self.dropped;
        if let Ok(number) = self.numbers.find_entry(hasher.hash_one(oldest.key), |number| *number == first) {
            number.remove();
        }
        self.dropped = self.dropped.wrapping_add(1);
        let held = self.held.get(&oldest.account).copied().unwrap_or_default();
        if held > 1 {
            self.held.insert(oldest.account, held.saturating_sub(1));
        } else {
            self.held.remove(&oldest.account);
        }
        true
    }
}

fn key_of(queue: &VecDeque<Entry>, dropped: u32, number: u32) -> Option<Key> {
    queue.get(usize::try_from(number.wrapping_sub(dropped)).ok()?).map(|entry| entry.key)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(nonce: u8, account: u8, now: u64, until: u64) -> NonceClaim {
        NonceClaim { key: Digest::of(&[nonce]), account: Digest::of(&[account]), now, until }
    }

    #[test]
    fn full_means_deny_and_only_the_expired_make_room() {
        let store = DpopNonceStore::with_quota(2, 2, Duration::ZERO);
        assert_eq!(store.claim(&claim(1, 1, 0, 10)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(2, 1, 0, 10)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(3, 2, 10, 20)), NonceAnswer::Full);
        assert_eq!(store.claim(&claim(1, 1, 10, 20)), NonceAnswer::Replayed);
        assert_eq!(store.claim(&claim(3, 2, 15, 25)), NonceAnswer::Full);
        assert_eq!(store.claim(&claim(3, 2, 16, 26)), NonceAnswer::Spent);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_call_that_comes_late_finds_no_forgotten_nonce_unspent() {
        let store = DpopNonceStore::with_quota(8, 8, Duration::ZERO);
        assert_eq!(store.claim(&claim(1, 1, 0, 10)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(2, 1, 11, 21)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(1, 1, 10, 20)), NonceAnswer::Replayed, "within the grace");
        assert_eq!(store.claim(&claim(3, 1, 16, 26)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(1, 1, 10, 20)), NonceAnswer::Full, "after it");
    }

    #[test]
    fn one_account_cannot_lock_out_the_rest() {
        let store = DpopNonceStore::new(16, Duration::ZERO);
        assert_eq!(store.claim(&claim(1, 1, 0, 10)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(2, 1, 0, 10)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(3, 1, 0, 10)), NonceAnswer::QuotaExceeded);
        assert_eq!(store.claim(&claim(4, 2, 0, 10)), NonceAnswer::Spent);
    }

    #[test]
    fn what_expires_is_taken_off_its_account_once() {
        let store = DpopNonceStore::with_quota(100, 3, Duration::ZERO);
        assert!(store.is_empty());
        for (nonce, until) in [(1, 10), (2, 100), (3, 100)] {
            assert_eq!(store.claim(&claim(nonce, 1, 0, until)), NonceAnswer::Spent);
        }
        assert!(!store.is_empty());
        assert_eq!(store.claim(&claim(4, 1, 15, 100)), NonceAnswer::QuotaExceeded);
        assert_eq!(store.claim(&claim(4, 1, 16, 100)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(5, 1, 16, 100)), NonceAnswer::QuotaExceeded);
        for nonce in 6..9 {
            assert_eq!(store.claim(&claim(nonce, nonce, 106, 200)), NonceAnswer::Spent);
        }
        assert_eq!(store.claim(&claim(9, 9, 206, 300)), NonceAnswer::Spent);
        assert_eq!(store.claim(&claim(10, 9, 206, 300)), NonceAnswer::Spent);
        assert_eq!(lock(&store.shards[0]).held.len(), 1, "no account without a nonce is kept");
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of digests take minutes under Miri")]
    fn room_is_made_by_an_eighth() {
        let mut shard = Shard::new(Limits { nonces: 10_000, account: 10_000 });
        let hasher = RandomState::new();
        for number in 0..10_000_u64 {
            let key = half(&Digest::of(&number.to_be_bytes()));
            let entry = Entry { key, account: 1, until: 10 };
            assert_eq!(shard.claim(entry, hasher.hash_one(key), 0, &hasher), NonceAnswer::Spent);
            let (used, room) = (shard.queue.len(), shard.queue.capacity());
            assert!(room <= used + (used / 8).max(64), "{used} of {room}");
        }
    }

    proptest! {
        /// Against a list of everything ever spent: what was spent is a replay for as long as it lives, whatever the
        /// order, the times and the capacity.
        #[test]
        fn what_was_spent_stays_spent(
            capacity in 1usize..12,
            calls in prop::collection::vec((0u8..24, 0u8..3, 0u64..4, 0u64..12), 0..if cfg!(miri) { 40 } else { 200 }),
        ) {
            let store = DpopNonceStore::with_quota(capacity, capacity, Duration::ZERO);
            let mut spent: Vec<NonceClaim> = Vec::new();
            let mut now = 0;
            for (nonce, account, passed, life) in calls {
                now += passed;
                let claim = claim(nonce, account, now, now + life);
                let lives = spent.iter().any(|old| old.key == claim.key && old.until >= now);
                let answer = store.claim(&claim);
                prop_assert!(!lives || answer == NonceAnswer::Replayed, "{answer:?} for a live nonce");
                if answer == NonceAnswer::Spent {
                    spent.push(claim);
                }
                prop_assert!(store.len() <= capacity);
            }
        }
    }
}
