//! What is revoked, and who is turned away, in memory: asked for every call, and seldom changed.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chio_core::digest::Digest;
use chio_kernel::store::Standing;
use rusqlite::Connection;

use super::open::number;
use super::tables::Told;

/// What changed of it.
#[derive(Debug)]
pub(super) enum Change {
    /// All of it was read anew.
    All(Told),
    Revoked(Digest),
    Standing(Digest, Standing),
}

/// What was told last, and a connection that sees whether it still is so.
pub(super) struct Known {
    told: RwLock<Told>,
    watch: Mutex<Connection>,
}

impl Known {
    pub(super) fn new(watch: Connection) -> rusqlite::Result<Self> {
        Ok(Self { told: RwLock::new(Told::load(&watch)?), watch: Mutex::new(watch) })
    }

    fn told(&self) -> RwLockReadGuard<'_, Told> {
        self.told.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn telling(&self) -> RwLockWriteGuard<'_, Told> {
        self.told.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has changed the file by hand. A page of it is read for this, from memory; where that cannot be
    /// done, it is to be read anew.
    pub(super) fn is_stale(&self) -> bool {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = number(&watch, "changes");
        drop(watch);
        changes != Ok(self.told().changes)
    }

    /// The number of changes by hand that is known.
    pub(super) fn changes(&self) -> u64 {
        self.told().changes
    }

    /// What was written is known. Only the thread that writes calls this, in the order of its commits: whoever asked may not
    /// wait any more, or be told later than another.
    pub(super) fn apply(&self, changes: impl Iterator<Item = Change>) {
        for change in changes {
            let mut known = self.telling();
            match change {
                Change::All(told) => *known = told,
                Change::Revoked(id) => drop(known.revoked.insert(id)),
                Change::Standing(id, Standing::Good) => drop(known.standings.remove(&id)),
                Change::Standing(id, standing) => drop(known.standings.insert(id, standing)),
            }
        }
    }

    pub(super) fn first_revoked(&self, ids: &[Digest]) -> Option<usize> {
        let told = self.told();
        ids.iter().position(|id| told.revoked.contains(id))
    }

    pub(super) fn worst(&self, principals: &[Digest], now: u64) -> Standing {
        let told = self.told();
        let of = |principal| told.standings.get(principal).copied().unwrap_or(Standing::Good);
        let ended = |standing| matches!(standing, Standing::Suspended { until } if until <= now);
        principals.iter().map(of).filter(|standing| !ended(*standing)).fold(Standing::Good, worse)
    }
}

/// The worse of two standings.
pub(super) fn worse(a: Standing, b: Standing) -> Standing {
    match (a, b) {
        (Standing::Banned, _) | (_, Standing::Banned) => Standing::Banned,
        (Standing::Suspended { until: a }, Standing::Suspended { until: b }) => Standing::Suspended { until: a.max(b) },
        (Standing::Good, other) | (other, Standing::Good) => other,
    }
}
