//! Small records, each in a table, under a key: what the schemes over HTTP remember besides what the kernel does. Devices,
//! challenges, accounts, logins that are under way, sessions.

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError};
use serde::{Deserialize, Serialize};

/// How long a value may be, in bytes: 4 KiB.
pub const MAX_VALUE_BYTES: usize = 4096;

/// How many records a page has at most, or about: Redis is not exact.
pub const PAGE: usize = 256;

/// Some of many, and where the next ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page<T> {
    /// They.
    pub items: Vec<T>,
    /// What to ask for next; none at the end.
    pub next: Option<String>,
}

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// Whether its records are of something that is under way, each of them good for one answer. They do not outlive a loss
    /// of memory, are not taken out of a state, and not put in: whoever is behind one begins anew.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Challenge | Self::Pending)
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

/// How many records there may be when one is added. What takes the place of another needs no room, but where that is another
/// owner's.
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

    /// Takes a record away. Of several who take it, one has it. One that has expired is nothing.
    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>>;

    /// Those of an owner, or all of a table, a page at a time: from the start, or from what the page before said. A page can
    /// be empty and yet have a next one. What is there all the while is on one of them, or on two; of what comes meanwhile
    /// that is not certain.
    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>>;
}

/// Fails where a value is too long to be kept.
pub(crate) fn check(value: &[u8]) -> Result<(), KernelError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(KernelError::new("a record is too long to be kept"));
    }
    Ok(())
}

/// After which key a page begins, where pages are in the order of keys.
pub(crate) fn after(from: Option<String>) -> Result<Option<Digest>, KernelError> {
    let wrong = |_| KernelError::new("this is no page of records");
    from.map(|from| from.parse()).transpose().map_err(wrong)
}

/// A page of what is one more than it has, where there are more.
pub(crate) fn page(mut items: Vec<Entry>) -> Page<Entry> {
    let is_more = items.len() > PAGE;
    items.truncate(PAGE);
    let next = items.last().filter(|_| is_more).map(|entry| entry.key.to_string());
    Page { items, next }
}
