//! Small records, each in a table, under a key: what the schemes over HTTP remember besides what the kernel does. Devices,
//! challenges, accounts, logins that are under way, sessions.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError};

use crate::state::Page;

/// How long a value may be, in bytes: 4 KiB.
pub const MAX_VALUE_BYTES: usize = 4096;

/// How many records a page has at most.
pub const PAGE: usize = 256;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// A challenge that is waiting for its answer.
    Challenge,
    /// A device that has enrolled.
    Device,
    /// A session of an identity provider, and the device that it belongs to.
    Binding,
    /// An account with a password, as OPAQUE registers it.
    Account,
    /// A registration or a login that is under way.
    Pending,
    /// A session that a login has opened.
    Session,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Challenge, Self::Device, Self::Binding, Self::Account, Self::Pending, Self::Session];

    /// Its name in a store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Device => "device",
            Self::Binding => "binding",
            Self::Account => "account",
            Self::Pending => "pending",
            Self::Session => "session",
        }
    }

    /// The table of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Under what it is found: a digest, so that no store has the names that clients send.
    pub key: Digest,
    /// Whose it is: [`Records::list`] finds it by that, and an owner has only so many.
    pub owner: Digest,
    /// What it says.
    pub value: Vec<u8>,
    /// The first second at which it is gone; none where it stays.
    pub until: Option<u64>,
}

impl Entry {
    /// Whether it is still there.
    pub fn is_live(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How many records there may be when one is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In the table.
    pub table: u64,
    /// Of this owner in the table.
    pub owner: u64,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept, as durable as its store makes it.
    Kept,
    /// What is there is not what was expected: nothing has changed.
    Differs,
    /// There is no room for another. Nothing live is dropped to make some.
    Full,
    /// Its owner has as many as one may have.
    OwnerFull,
}

/// Keeps records. Each call is atomic, for all kernels that work with one store.
pub trait Records: Send + Sync {
    /// The record under a key, where it is still there.
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>>;

    /// Keeps a record: in the place of nothing, where `replaces` is none, and otherwise of one whose value is that. One that
    /// has expired is nothing. Fails where the value is longer than [`MAX_VALUE_BYTES`], and nothing is kept.
    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> BoxFuture<'a, Result<Put, KernelError>>;

    /// Takes a record away. Of several who take it, one has it.
    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>>;

    /// Those of an owner, or all of a table, a page at a time: from the start, or from what the page before said.
    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>>;
}

/// Fails where a value is too long to be kept.
pub(crate) fn check(entry: &Entry) -> Result<(), KernelError> {
    if entry.value.len() > MAX_VALUE_BYTES {
        return Err(KernelError::new("a record is too long to be kept"));
    }
    Ok(())
}

type Tables = BTreeMap<(Table, [u8; 32]), Entry>;

/// Records in memory: they end with the process.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<Tables>);

impl MemoryRecords {
    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn kept(tables: &mut Tables, table: Table, entry: Entry, replaces: Option<&[u8]>, room: Room, now: u64) -> Put {
        let there = tables.get(&(table, entry.key.0)).filter(|there| there.is_live(now));
        if there.map(|there| &*there.value) != replaces {
            return Put::Differs;
        }
        if there.is_none() {
            tables.retain(|_, there| there.is_live(now));
            let of_table = || tables.range((table, [0; 32])..=(table, [255; 32]));
            let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
            if count(of_table().count()) >= room.table {
                return Put::Full;
            }
            if count(of_table().filter(|(_, there)| there.owner == entry.owner).count()) >= room.owner {
                return Put::OwnerFull;
            }
        }
        tables.insert((table, entry.key.0), entry);
        Put::Kept
    }
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        let found = self.with(|tables| tables.get(&(table, key.0)).filter(|entry| entry.is_live(now)).cloned());
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
        let kept = check(&entry).map(|()| self.with(|tables| Self::kept(tables, table, entry, replaces, room, now)));
        Box::pin(std::future::ready(kept))
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        let taken = self.with(|tables| tables.remove(&(table, key.0)).filter(|entry| entry.is_live(now)));
        Box::pin(std::future::ready(Ok(taken)))
    }

    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>> {
        let start = match from.map(|from| from.parse::<Digest>()) {
            None => Bound::Included((table, [0; 32])),
            Some(Ok(last)) => Bound::Excluded((table, last.0)),
            Some(Err(_)) => return Box::pin(std::future::ready(Err(KernelError::new("this is no page")))),
        };
        let mut items: Vec<Entry> = self.with(|tables| {
            let range = tables.range((start, Bound::Included((table, [255; 32]))));
            let wanted = |entry: &&Entry| entry.is_live(now) && owner.is_none_or(|owner| owner == entry.owner);
            range.map(|(_, entry)| entry).filter(wanted).take(PAGE.saturating_add(1)).cloned().collect()
        });
        let is_more = items.len() > PAGE;
        items.truncate(PAGE);
        let next = items.last().filter(|_| is_more).map(|entry| entry.key.to_string());
        Box::pin(std::future::ready(Ok(Page { items, next })))
    }
}
