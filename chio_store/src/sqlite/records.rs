//! The records of the schemes over HTTP.
//!
//! Whoever changes one begins with a write, so that nothing comes between what it reads and what it writes, not even of a
//! process beside the kernel. How many there are is counted in the file, by triggers: nobody goes through them.

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::SqliteState;
use super::desk::{Desk, STEP};
use super::open::{as_integer, as_number};
use super::tables::digest;
use crate::records::{self, Entry, PAGE, Page, Put, Records, Room, Table};
use crate::state::Record;

/// Under which owner all of a table are counted.
const ALL: &[u8] = &[];

impl Desk {
    fn put_record(
        &mut self,
        table: Table,
        entry: &Entry,
        replaces: Option<&[u8]>,
        room: Room,
        now: u64,
    ) -> rusqlite::Result<Put> {
        self.now = self.now.max(now);
        let name = table.name();
        let mut expired =
            self.connection.prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2 AND until <= ?3")?;
        expired.execute(params![name, entry.key.0, as_integer(now)])?;
        drop(expired);
        let there = {
            let there = "SELECT owner, value FROM record WHERE kind = ?1 AND key = ?2";
            let mut there = self.connection.prepare_cached(there)?;
            let read = |row: &Row<'_>| Ok((digest(row, 0)?, row.get::<_, Vec<u8>>(1)?));
            there.query_row(params![name, entry.key.0], read).optional()?
        };
        if there.as_ref().map(|(_, value)| value.as_slice()) != replaces {
            return Ok(Put::Differs);
        }
        let is_others = there.as_ref().is_none_or(|(owner, _)| *owner != entry.owner);
        let lacks = |desk: &Self| -> rusqlite::Result<Option<Put>> {
            Ok(if there.is_none() && count(&desk.connection, table, ALL)? >= room.table {
                Some(Put::Full)
            } else if is_others && count(&desk.connection, table, &entry.owner.0)? >= room.owner {
                Some(Put::OwnerFull)
            } else {
                None
            })
        };
        // What has expired makes room, a step at a time; the rest of it goes with the groups that follow.
        if lacks(self)?.is_some() {
            self.drop_records(now)?;
            if let Some(lacking) = lacks(self)? {
                return Ok(lacking);
            }
        }
        let keep = if there.is_some() {
            "UPDATE record SET owner = ?3, value = ?4, until = ?5 WHERE kind = ?1 AND key = ?2"
        } else {
            "INSERT INTO record (kind, key, owner, value, until) VALUES (?1, ?2, ?3, ?4, ?5)"
        };
        let until = entry.until.map(as_integer);
        let mut keep = self.connection.prepare_cached(keep)?;
        keep.execute(params![name, entry.key.0, entry.owner.0, entry.value, until])?;
        Ok(Put::Kept)
    }

    fn take_record(&mut self, table: Table, key: Digest, now: u64) -> rusqlite::Result<Option<Entry>> {
        self.now = self.now.max(now);
        let take = "DELETE FROM record WHERE kind = ?1 AND key = ?2 RETURNING key, owner, value, until";
        let mut take = self.connection.prepare_cached(take)?;
        let taken = take.query_row(params![table.name(), key.0], entry).optional()?;
        Ok(taken.filter(|entry| entry.is_live(now)))
    }

    /// Drops a step of what had expired before or at a second. Returns how many.
    pub(super) fn drop_records(&self, before: u64) -> rusqlite::Result<u64> {
        let mut expired = self.connection.prepare_cached(
            "DELETE FROM record WHERE number IN (SELECT number FROM record WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?;
        let dropped = expired.execute([as_integer(before), as_integer(STEP)])?;
        Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
    }

    /// Keeps a record where there is none.
    pub(super) fn add_record(
        &mut self,
        table: Table,
        key: Digest,
        owner: Digest,
        value: &[u8],
        until: Option<u64>,
    ) -> rusqlite::Result<()> {
        let mut add = self.connection.prepare_cached(
            "INSERT INTO record (kind, key, owner, value, until) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (kind, key) DO NOTHING",
        )?;
        add.execute(params![table.name(), key.0, owner.0, value, until.map(as_integer)]).map(drop)
    }
}

fn count(connection: &Connection, table: Table, owner: &[u8]) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached("SELECT count FROM record_count WHERE kind = ?1 AND owner = ?2")?;
    let count = count.query_row(params![table.name(), owner], |row| row.get(0)).optional()?;
    Ok(count.map_or(0, as_number))
}

/// How many there are of a table.
pub(super) fn count_of(connection: &Connection, table: Table) -> rusqlite::Result<u64> {
    count(connection, table, ALL)
}

/// A record from the columns key, owner, value, until.
fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let until = row.get::<_, Option<i64>>(3)?.map(as_number);
    Ok(Entry { key: digest(row, 0)?, owner: digest(row, 1)?, value: row.get(2)?, until })
}

/// One more than a page has of a table, after a key.
fn some(
    connection: &Connection,
    table: Table,
    owner: Option<Digest>,
    after: Option<Digest>,
    now: u64,
) -> rusqlite::Result<Vec<Entry>> {
    let of_owner = if owner.is_some() { "owner = ?5 AND" } else { "?5 IS NULL AND" };
    let mut some = connection.prepare_cached(&format!(
        "SELECT key, owner, value, until FROM record WHERE kind = ?1 AND {of_owner} key > ?2 \
         AND (until IS NULL OR until > ?3) ORDER BY key LIMIT ?4"
    ))?;
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX).saturating_add(1);
    let after: &[u8] = after.as_ref().map_or(&[], |after| &after.0);
    let values = params![table.name(), after, as_integer(now), most, owner.map(|owner| owner.0)];
    some.query_map(values, entry)?.collect()
}

/// A page of all records of all tables, but for what is under way, expired ones included.
pub(super) fn page(connection: &Connection, from: Option<(Table, Option<Digest>)>) -> rusqlite::Result<Page<Record>> {
    let mut tables = Table::ALL.into_iter().filter(|table| !table.is_under_way());
    let (table, after) = match from {
        Some((from, after)) => (tables.find(|table| *table == from), after),
        None => (tables.next(), None),
    };
    let Some(table) = table else { return Ok(Page { items: Vec::new(), next: None }) };
    let Page { items, next } = records::page(some(connection, table, None, after, 0)?);
    let next = next.map(|key| format!("{}/{key}", table.name()));
    let next = next.or_else(|| tables.next().map(|table| format!("{}/", table.name())));
    Ok(Page { items: items.into_iter().map(|entry| Record::entry(table, entry)).collect(), next })
}

/// Where a page of all records begins.
pub(super) fn place(from: Option<&str>) -> Result<Option<(Table, Option<Digest>)>, KernelError> {
    let place = |from: &str| {
        let (table, after) = from.split_once('/')?;
        let after = if after.is_empty() { None } else { Some(after.parse().ok()?) };
        Some((Table::named(table)?, after))
    };
    from.map(|from| place(from).ok_or_else(|| KernelError::new("this is no page of records"))).transpose()
}

impl Records for SqliteState {
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        Box::pin(self.reader.ask(move |connection| {
            let get = "SELECT key, owner, value, until FROM record WHERE kind = ?1 AND key = ?2";
            let found = connection.prepare_cached(get)?.query_row(params![table.name(), key.0], entry).optional()?;
            Ok(found.filter(|entry| entry.is_live(now)))
        }))
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> BoxFuture<'a, Result<Put, KernelError>> {
        if let Err(error) = records::check(&entry.value) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let replaces = replaces.map(<[u8]>::to_vec);
        Box::pin(self.writer.ask(move |desk| desk.put_record(table, &entry, replaces.as_deref(), room, now)))
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        Box::pin(self.writer.ask(move |desk| desk.take_record(table, key, now)))
    }

    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>> {
        Box::pin(async move {
            let after = records::after(from)?;
            self.reader.ask(move |connection| some(connection, table, owner, after, now)).await.map(records::page)
        })
    }
}
