//! The other stores, in memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::ready;
use std::num::NonZeroUsize;
use std::sync::PoisonError;

use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Receipt};
use lru::LruCache;

use super::{
    Allowance, BoxFuture, KernelError, ReceiptStore, RevocationStore, Seal, Spending, Standing, StandingStore,
    UsageStore, one_more_failure,
};
use crate::sync::{Mutex, RwLock, lock};

fn answer<'a, T: Send + 'a>(answer: T) -> BoxFuture<'a, Result<T, KernelError>> {
    Box::pin(ready(Ok(answer)))
}

/// Counts of calls in memory: at most 2^20 grants, and an eighth of them a root capability. A count is forgotten when
/// its token has expired; one that still matters is never dropped to make room.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    counts: Mutex<Counts>,
}

const MAX_COUNTS: usize = 1 << 20;
const MAX_COUNTS_OF_ACCOUNT: usize = MAX_COUNTS / 8;

#[derive(Debug, Default)]
struct Counts {
    used: HashMap<Digest, Count>,
    held: HashMap<Digest, usize>,
    swept_at: u64,
}

#[derive(Debug)]
struct Count {
    calls: u64,
    account: Digest,
    until: u64,
}

impl Counts {
    fn spend(&mut self, places: &[Vec<Allowance>], now: u64) -> Spending {
        let mut chosen = Vec::with_capacity(places.len());
        for (place, alternatives) in places.iter().enumerate() {
            let calls = |grant| self.used.get(grant).map_or(0, |count| count.calls);
            match alternatives.iter().find(|one| calls(&one.grant) < one.limit) {
                Some(allowance) => chosen.push(allowance),
                None => return Spending::Exhausted { place },
            }
        }
        let new = chosen.iter().filter(|one| !self.used.contains_key(&one.grant)).count();
        let account = chosen.first().map(|one| one.account);
        if new > 0 && self.is_full(account, new) {
            // At most once a second: a full store must not cost everybody a sweep each call.
            if self.swept_at < now {
                self.swept_at = now;
                self.drop_expired(now);
            }
            if self.is_full(account, new) {
                return Spending::Full;
            }
        }
        for one in &chosen {
            let held = &mut self.held;
            let count = self.used.entry(one.grant).or_insert_with(|| {
                let held = held.entry(one.account).or_default();
                *held = held.saturating_add(1);
                Count { calls: 0, account: one.account, until: one.until }
            });
            count.calls = count.calls.saturating_add(1);
            count.until = count.until.max(one.until);
        }
        Spending::Spent(chosen.iter().map(|one| one.grant).collect())
    }

    fn is_full(&self, account: Option<Digest>, new: usize) -> bool {
        let held = account.and_then(|account| self.held.get(&account)).copied().unwrap_or_default();
        self.used.len().saturating_add(new) > MAX_COUNTS || held.saturating_add(new) > MAX_COUNTS_OF_ACCOUNT
    }

    fn drop_expired(&mut self, now: u64) {
        self.used.retain(|_, count| count.until > now);
        self.held.clear();
        for count in self.used.values() {
            let held = self.held.entry(count.account).or_default();
            *held = held.saturating_add(1);
        }
    }
}

impl UsageStore for MemoryUsage {
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> BoxFuture<'a, Result<Spending, KernelError>> {
        answer(lock(&self.counts).spend(places, now))
    }

    fn refund<'a>(&'a self, grants: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>> {
        let mut counts = lock(&self.counts);
        for grant in grants {
            if let Some(count) = counts.used.get_mut(grant) {
                count.calls = count.calls.saturating_sub(1);
            }
        }
        answer(())
    }
}

/// Revocations in memory.
#[derive(Debug, Default)]
pub struct MemoryRevocations {
    revoked: RwLock<HashSet<Digest>>,
}

impl RevocationStore for MemoryRevocations {
    fn first_revoked<'a>(&'a self, ids: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        answer(ids.iter().position(|id| revoked.contains(id)))
    }

    fn revoke(&self, id: Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).insert(id);
        answer(())
    }
}

/// The most standings that attacks can lead to; from here on, suspensions that have ended are dropped.
const MAX_STANDINGS: usize = 65_536;

/// The worse of two standings; a suspension that has ended is none.
fn worse(a: Standing, b: Standing, now: u64) -> Standing {
    let until = |standing| match standing {
        Standing::Good => now,
        Standing::Suspended { until } => until,
        Standing::Banned => u64::MAX,
    };
    match until(a).max(until(b)) {
        u64::MAX => Standing::Banned,
        until if until > now => Standing::Suspended { until },
        _ => Standing::Good,
    }
}

/// Standings in memory, and the failure counts of the 65,536 principals that failed last. An attacker with as many
/// stolen tokens can push a count out; that is one reason why failures lead to nothing by default.
#[derive(Debug)]
pub struct MemoryStandings {
    standings: RwLock<HashMap<Digest, Standing>>,
    failures: Mutex<LruCache<Digest, (u64, u64), std::hash::RandomState>>,
}

impl Default for MemoryStandings {
    fn default() -> Self {
        let mut failures = LruCache::unbounded_with_hasher(std::hash::RandomState::new());
        failures.resize(NonZeroUsize::new(65_536).unwrap_or(NonZeroUsize::MIN));
        Self { standings: RwLock::default(), failures: Mutex::new(failures) }
    }
}

impl StandingStore for MemoryStandings {
    fn worst<'a>(&'a self, principals: &'a [Digest], now: u64) -> BoxFuture<'a, Result<Standing, KernelError>> {
        let standings = self.standings.read().unwrap_or_else(PoisonError::into_inner);
        let of = |principal| standings.get(principal).copied().unwrap_or(Standing::Good);
        answer(principals.iter().map(of).fold(Standing::Good, |a, b| worse(a, b, now)))
    }

    fn worsen(&self, principal: Digest, standing: Standing, now: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        let mut standings = self.standings.write().unwrap_or_else(PoisonError::into_inner);
        let before = standings.get(&principal).copied();
        if before.is_none() && standings.len() >= MAX_STANDINGS {
            standings.retain(|_, standing| worse(*standing, Standing::Good, now) != Standing::Good);
        }
        if before.is_none() && standings.len() >= MAX_STANDINGS {
            return Box::pin(ready(Err(KernelError::new("there is no room for another standing"))));
        }
        standings.insert(principal, worse(before.unwrap_or(Standing::Good), standing, now));
        answer(())
    }

    fn set(&self, principal: Digest, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        let mut standings = self.standings.write().unwrap_or_else(PoisonError::into_inner);
        if standing == Standing::Good {
            standings.remove(&principal);
            lock(&self.failures).pop(&principal);
        } else {
            standings.insert(principal, standing);
        }
        answer(())
    }

    fn count_failure(&self, principal: Digest, now: u64, forgive: u64) -> BoxFuture<'_, Result<u64, KernelError>> {
        let mut failures = lock(&self.failures);
        let failed = one_more_failure(failures.get(&principal).copied().unwrap_or_default(), now, forgive);
        failures.put(principal, failed);
        answer(failed.0)
    }
}

/// The last receipts of a kernel, in memory: 65,536 of them. Older ones are dropped, and with them the start
/// that verifying the chain needs: whoever wants all of it keeps each receipt, or another store.
#[derive(Debug, Default)]
pub struct MemoryReceipts {
    kept: Mutex<Kept>,
}

const MAX_RECEIPTS: usize = 65_536;

#[derive(Debug, Default)]
struct Kept {
    head: Option<ChainHead>,
    receipts: VecDeque<Receipt>,
}

impl MemoryReceipts {
    /// The receipts that are kept, oldest first.
    pub fn all(&self) -> Vec<Receipt> {
        lock(&self.kept).receipts.iter().cloned().collect()
    }
}

impl ReceiptStore for MemoryReceipts {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        let mut kept = lock(&self.kept);
        let sealed = seal(kept.head).map_err(|error| KernelError::new(error.to_string()));
        Box::pin(ready(sealed.map(|(receipt, head)| {
            kept.head = Some(head);
            kept.receipts.push_back(receipt.clone());
            if kept.receipts.len() > MAX_RECEIPTS {
                kept.receipts.pop_front();
            }
            receipt
        })))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use pollster::block_on;

    fn place(number: usize, account: u8, until: u64) -> Vec<Vec<Allowance>> {
        let grant = Digest::of(&[&number.to_be_bytes()[..], &[account]].concat());
        vec![vec![Allowance { grant, account: Digest::of(&[account]), limit: 1, until }]]
    }

    #[test]
    #[cfg_attr(miri, ignore = "a hundred thousand digests take hours under Miri")]
    fn an_account_has_an_eighth_of_the_counts_and_what_expires_makes_room() {
        let usage = MemoryUsage::default();
        let spend = |number, account, until, now| block_on(usage.spend(&place(number, account, until), now)).unwrap();
        for number in 0..MAX_COUNTS_OF_ACCOUNT {
            let until = if number < 10 { 100 } else { 200 };
            assert!(matches!(spend(number, 1, until, 0), Spending::Spent(_)), "{number}");
        }
        assert!(matches!(spend(usize::MAX, 1, 200, 0), Spending::Full));
        assert!(matches!(spend(0, 2, 200, 0), Spending::Spent(_)), "another account has its own");
        assert!(matches!(spend(3, 1, 200, 50), Spending::Exhausted { place: 0 }), "it is no new count");
        assert!(matches!(spend(usize::MAX, 1, 200, 99), Spending::Full));
        for number in 0..10 {
            assert!(matches!(spend(usize::MAX - number, 1, 200, 100), Spending::Spent(_)), "{number}");
        }
        assert!(matches!(spend(0, 1, 200, 100), Spending::Full), "forgotten, and there is no room for it");
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million digests take days under Miri")]
    fn all_accounts_together_have_no_more_than_all_counts() {
        let mut counts = Counts::default();
        let account = Digest::of(b"account");
        let mut insert = |number: usize| {
            counts.used.insert(Digest::of(&number.to_be_bytes()), Count { calls: 1, account, until: 1 });
            [counts.is_full(None, 1), counts.is_full(None, 2)]
        };
        for number in 2..MAX_COUNTS {
            insert(number);
        }
        assert_eq!([insert(0), insert(1)], [[false, true], [true, true]]);
    }

    #[test]
    fn what_is_given_back_can_be_spent_again_once() {
        let usage = MemoryUsage::default();
        let place = place(1, 1, 100);
        let spend = || matches!(block_on(usage.spend(&place, 0)).unwrap(), Spending::Spent(_));
        assert!(spend() && !spend());
        block_on(usage.refund(&[place[0][0].grant, Digest::of(b"another")])).unwrap();
        assert!(spend() && !spend());
    }

    #[test]
    fn the_worse_of_two_standings_holds_until_it_ends() {
        let (good, banned, suspended) = (Standing::Good, Standing::Banned, |until| Standing::Suspended { until });
        for (a, b, expected) in [
            (good, good, good),
            (good, banned, banned),
            (suspended(50), banned, banned),
            (suspended(50), suspended(60), suspended(60)),
            (suspended(51), good, suspended(51)),
            (suspended(50), good, good),
            (suspended(40), suspended(30), good),
        ] {
            assert_eq!((worse(a, b, 50), worse(b, a, 50)), (expected, expected));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of digests take hours under Miri")]
    fn standings_are_bounded_and_those_that_ended_make_room() {
        let standings = MemoryStandings::default();
        let id = |number: usize| Digest::of(&number.to_be_bytes());
        for number in 0..MAX_STANDINGS {
            let until = if number == 7 { 60 } else { 90 };
            block_on(standings.worsen(id(number), Standing::Suspended { until }, 50)).unwrap();
        }
        assert!(block_on(standings.worsen(id(MAX_STANDINGS), Standing::Banned, 59)).is_err());
        block_on(standings.worsen(id(3), Standing::Banned, 59)).unwrap();
        block_on(standings.worsen(id(MAX_STANDINGS), Standing::Banned, 60)).unwrap();
        assert!(block_on(standings.worsen(id(MAX_STANDINGS + 1), Standing::Banned, 60)).is_err());
        assert_eq!(block_on(standings.worst(&[id(5), id(3)], 60)).unwrap(), Standing::Banned);
        assert_eq!(block_on(standings.worst(&[id(5)], 60)).unwrap(), Standing::Suspended { until: 90 });
        assert_eq!(block_on(standings.count_failure(id(5), 60, 0)).unwrap(), 1);
        assert_eq!(block_on(standings.count_failure(id(5), 60, 0)).unwrap(), 2);
        block_on(standings.set(id(5), Standing::Good)).unwrap();
        assert_eq!(block_on(standings.worst(&[id(5)], 60)).unwrap(), Standing::Good);
        assert_eq!(block_on(standings.count_failure(id(5), 60, 0)).unwrap(), 1);
    }
}
