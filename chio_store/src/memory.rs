//! Records in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError};

use crate::records::{Entry, PAGE, Page, Put, Records, Room, Table, after, check, page};

type Key = [u8; 32];

/// How many records that have expired one call drops at most, so that nobody waits long for it.
const STEP: usize = 1000;

/// The records, and what tells without going through them how many there are, whose they are, and which end first.
#[derive(Debug, Default)]
struct Tables {
    entries: BTreeMap<Table, BTreeMap<Key, Entry>>,
    owned: BTreeMap<(Table, Key), BTreeSet<Key>>,
    ends: BTreeSet<(u64, Table, Key)>,
}

impl Tables {
    fn get(&self, table: Table, key: Digest, now: u64) -> Option<&Entry> {
        self.entries.get(&table)?.get(&key.0).filter(|entry| entry.is_live(now))
    }

    fn insert(&mut self, table: Table, entry: Entry) {
        self.remove(table, entry.key.0);
        if let Some(until) = entry.until {
            self.ends.insert((until, table, entry.key.0));
        }
        self.owned.entry((table, entry.owner.0)).or_default().insert(entry.key.0);
        self.entries.entry(table).or_default().insert(entry.key.0, entry);
    }

    fn remove(&mut self, table: Table, key: Key) -> Option<Entry> {
        let entry = self.entries.get_mut(&table)?.remove(&key)?;
        if let Some(until) = entry.until {
            self.ends.remove(&(until, table, key));
        }
        let owner = (table, entry.owner.0);
        if let Some(keys) = self.owned.get_mut(&owner) {
            keys.remove(&key);
            if keys.is_empty() {
                self.owned.remove(&owner);
            }
        }
        Some(entry)
    }

    fn drop_expired(&mut self, now: u64) {
        for _ in 0..STEP {
            match self.ends.first() {
                Some(&(until, table, key)) if until <= now => drop(self.remove(table, key)),
                _ => return,
            }
        }
    }

    fn put(&mut self, table: Table, entry: Entry, replaces: Option<&[u8]>, room: Room, now: u64) -> Put {
        self.drop_expired(now);
        let there = self.get(table, entry.key, now);
        if there.map(|there| &*there.value) != replaces {
            return Put::Differs;
        }
        let is_full = |held: Option<usize>, most: u64| u64::try_from(held.unwrap_or(0)).unwrap_or(u64::MAX) >= most;
        if there.is_none() && is_full(self.entries.get(&table).map(BTreeMap::len), room.table) {
            return Put::Full;
        }
        let owned = || self.owned.get(&(table, entry.owner.0)).map(BTreeSet::len);
        if there.is_none_or(|there| there.owner != entry.owner) && is_full(owned(), room.owner) {
            return Put::OwnerFull;
        }
        self.insert(table, entry);
        Put::Kept
    }

    /// One more than a page has, after a key.
    fn some(&self, table: Table, owner: Option<Digest>, after: Option<Digest>, now: u64) -> Vec<Entry> {
        let range = (after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.0)), Bound::Unbounded);
        let Some(entries) = self.entries.get(&table) else { return Vec::new() };
        let most = PAGE.saturating_add(1);
        let is_live = |entry: &&Entry| entry.is_live(now);
        match owner {
            None => entries.range(range).map(|(_, entry)| entry).filter(is_live).take(most).cloned().collect(),
            Some(owner) => {
                let keys = self.owned.get(&(table, owner.0)).map(|keys| keys.range(range));
                let found = keys.into_iter().flatten().filter_map(|key| entries.get(key));
                found.filter(is_live).take(most).cloned().collect()
            }
        }
    }
}

/// Records in memory: they end with the process.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<Tables>);

impl MemoryRecords {
    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        let found = self.with(|tables| tables.get(table, key, now).cloned());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> BoxFuture<'a, Result<Put, KernelError>> {
        let kept = check(&entry.value).map(|()| self.with(|tables| tables.put(table, entry, replaces, room, now)));
        Box::pin(std::future::ready(kept))
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        let taken = self.with(|tables| tables.remove(table, key.0).filter(|entry| entry.is_live(now)));
        Box::pin(std::future::ready(Ok(taken)))
    }

    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>> {
        let page = after(from).map(|after| page(self.with(|tables| tables.some(table, owner, after, now))));
        Box::pin(std::future::ready(page))
    }
}
