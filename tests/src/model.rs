//! A naive model of a nonce store: a list of everything that was ever spent, asked from end to end. It holds what a
//! store may answer, not how it finds out. It reads no clock: the time of a call stands in its claim.

use chio_kernel::store::{NonceAnswer, NonceClaim};

/// For how many seconds an expired nonce may still take up room, for calls that come late.
const GRACE: u64 = 5;

/// Everything that was ever spent, and the limits of the store.
#[derive(Debug)]
pub struct NonceModel {
    capacity: usize,
    quota: usize,
    spent: Vec<NonceClaim>,
    latest: u64,
}

impl NonceModel {
    /// The model of a store whose limits are exact.
    pub fn new(capacity: usize, quota: usize) -> Self {
        Self { capacity, quota, spent: Vec::new(), latest: 0 }
    }

    /// Whether the nonce of this claim was allowed before, and a clock that shows the time of this claim finds the
    /// proof fresh.
    pub fn is_live(&self, claim: &NonceClaim) -> bool {
        self.spent.iter().any(|old| old.key == claim.key && old.until >= claim.now)
    }

    /// How many nonces must be remembered at `now`.
    pub fn live(&self, now: u64) -> usize {
        self.spent.iter().filter(|old| old.until >= now).count()
    }

    /// The law: a proof that was allowed once is never allowed again while any clock in range finds it fresh.
    /// Notes the answer of a store of any limits.
    /// Fails where the answer breaks the law.
    pub fn law(&mut self, claim: NonceClaim, answer: NonceAnswer) -> Result<(), &'static str> {
        let is_live = self.is_live(&claim);
        self.latest = self.latest.max(claim.now);
        if answer == NonceAnswer::Spent {
            self.spent.push(claim);
        }
        if is_live && answer == NonceAnswer::Spent { Err("a live nonce is spent again") } else { Ok(()) }
    }

    /// The law, and beyond it that nothing is denied without a reason and no limit is passed.
    /// Notes the answer of a store whose limits are exact.
    /// Fails where no such store may give this answer.
    pub fn judge(&mut self, claim: NonceClaim, answer: NonceAnswer) -> Result<(), &'static str> {
        let NonceClaim { key, account, now, .. } = claim;
        let is_live = self.is_live(&claim);
        let live: Vec<_> = self.spent.iter().filter(|old| old.until >= now).collect();
        // The oldest goes first: what stands behind one that is kept is kept.
        let kept: Vec<_> = self.spent.iter().skip_while(|old| old.until.saturating_add(GRACE) < now).collect();
        let of_account = |of: &[&NonceClaim]| of.iter().filter(|old| old.account == account).count();
        // So late that it could be one of those that are forgotten.
        let latest = self.latest.max(now);
        let late = self.spent.iter().any(|old| old.until >= now && old.until.saturating_add(GRACE) < latest);
        let fault = match answer {
            NonceAnswer::Spent if live.len() >= self.capacity => Some("more live nonces than there is room for"),
            NonceAnswer::Spent if of_account(&live) >= self.quota => Some("more live nonces than one account may have"),
            NonceAnswer::Replayed if !self.spent.iter().any(|old| old.key == key) => Some("a replay of nothing"),
            NonceAnswer::Full if !late && is_live => Some("a replay is not called one"),
            NonceAnswer::Full if !late && kept.len() < self.capacity => Some("full with room left"),
            NonceAnswer::QuotaExceeded if is_live => Some("a replay is not called one"),
            NonceAnswer::QuotaExceeded if of_account(&kept) < self.quota => Some("a quota exceeded that is not"),
            _ => None,
        };
        self.law(claim, answer)?;
        fault.map_or(Ok(()), Err)
    }
}
