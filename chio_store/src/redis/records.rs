//! The records of the schemes over HTTP.
//!
//! Each ends by the kernels' clocks alone: for each kernel by its own, and it is dropped when it has ended for the one whose
//! clock is farthest behind. Records of what is under way are good in the epoch alone in which they were kept: where Redis has
//! lost its memory, one that was taken could be there again.

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError};
use redis::Value;

use super::RedisState;
use super::failure::{Failure, number, typed};
use super::link::{Link, Live};
use super::scripts::Script;
use crate::records::{self, Entry, PAGE, Page, Put, Records, Room, Table};
use crate::state::Record;

/// The end of a record for Redis.
pub(super) fn until(until: Option<u64>) -> String {
    until.map_or_else(|| "inf".to_owned(), number)
}

fn flag(is_so: bool) -> &'static [u8] {
    if is_so { b"1" } else { b"0" }
}

/// A record of Redis, and the epoch in which it was kept.
fn read<'a>(key: &[u8], value: &'a [u8]) -> Option<(&'a [u8], Entry)> {
    let mut parts = value.splitn(4, |byte| *byte == b' ');
    let (epoch, until) = (parts.next()?, parts.next()?);
    let owner = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let until = if until == b"inf" { None } else { Some(std::str::from_utf8(until).ok()?.parse().ok()?) };
    Some((epoch, Entry { key: Digest(key.try_into().ok()?), owner, value: parts.next()?.to_vec(), until }))
}

/// The same, where it is there for a kernel at its time.
fn there(live: &Live, table: Table, key: &[u8], value: &[u8], now: u64) -> Result<Option<Entry>, Failure> {
    let (epoch, entry) = read(key, value).ok_or_else(Failure::unexpected)?;
    Ok(Some(entry).filter(|entry| entry.is_live(now) && (!table.is_under_way() || *epoch == *live.epoch)))
}

/// Runs a script that changes records, in the epoch that is known here.
async fn change(link: &Link, script: &Script, table: Table, arguments: &[&[u8]]) -> Result<Value, Failure> {
    let deadline = link.deadline();
    let live = link.live(deadline).await?;
    let [records, ends, _] = link.keys.table(table);
    let keys: [&[u8]; 3] = [&link.keys.epoch, &records, &ends];
    let arguments: Vec<&[u8]> = [&*live.epoch].into_iter().chain(arguments.iter().copied()).collect();
    let answer = link.run_on(&live, script, &keys, &arguments, deadline).await?;
    if answer == Value::Int(4) {
        // As for nonces: whoever asks next is told the new epoch.
        link.give_up(&live);
        let _ = link.live(deadline).await;
        return Err(Failure::new("Redis has lost what it had"));
    }
    link.replicated(&live, deadline).await?;
    Ok(answer)
}

impl RedisState {
    /// Where the pages of a table, or of an owner's records in it, go on.
    async fn some(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> Result<Page<Entry>, Failure> {
        let link = &self.link;
        let deadline = link.deadline();
        let live = link.live(deadline).await?;
        let [records, _, owners] = link.keys.table(table);
        // Redis gives somewhat more than it is asked for.
        let (cursor, count) = (from.map_or_else(|| Ok("0".to_owned()), super::owner::checked)?, PAGE.div_ceil(2));
        let answer = match owner {
            None => {
                let mut scan = redis::cmd("HSCAN");
                scan.arg(records).arg(cursor).arg("COUNT").arg(count);
                link.ask(&live, &scan, deadline).await?
            }
            Some(owner) => {
                let set = [owners.as_slice(), owner.to_string().as_bytes()].concat();
                let count = count.to_string();
                let arguments: [&[u8]; 2] = [cursor.as_bytes(), count.as_bytes()];
                link.run_on(&live, &link.scripts.owned, &[&set, &records], &arguments, deadline).await?
            }
        };
        let (cursor, found): (String, Vec<Vec<u8>>) = typed(answer)?;
        let (pairs, _) = found.as_chunks();
        let entry = |[key, value]: &[Vec<u8>; 2]| there(&live, table, key, value, now).transpose();
        let items = pairs.iter().filter_map(entry).collect::<Result<_, _>>()?;
        Ok(Page { items, next: (cursor != "0").then_some(cursor) })
    }

    /// All records of all tables, but for what is under way. `from` is `TABLE/CURSOR`.
    pub(super) async fn listed(&self, from: Option<String>) -> Result<Page<Record>, Failure> {
        let mut tables = Table::ALL.into_iter().filter(|table| !table.is_under_way());
        let wrong = || Failure::new("this is no place in the records");
        let (table, cursor) = match &from {
            None => (tables.next().ok_or_else(wrong)?, None),
            Some(from) => {
                let (name, cursor) = from.split_once('/').ok_or_else(wrong)?;
                (tables.find(|table| table.name() == name).ok_or_else(wrong)?, Some(cursor.to_owned()))
            }
        };
        let page = self.some(table, None, cursor, 0).await?;
        let next = page.next.map(|cursor| format!("{}/{cursor}", table.name()));
        let next = next.or_else(|| tables.next().map(|table| format!("{}/0", table.name())));
        Ok(Page { items: page.items.into_iter().map(|entry| Record::entry(table, entry)).collect(), next })
    }

    /// Drops the records that have expired.
    pub(super) async fn expire(&self, now: u64) -> Result<(), Failure> {
        let link = &self.link;
        let bound = link.ended_before(now);
        for table in Table::ALL {
            let [records, ends, owners] = link.keys.table(table);
            let arguments: [&[u8]; 2] = [&owners, bound.as_bytes()];
            while typed::<u64>(link.change(&link.scripts.expire, &[&records, &ends], &arguments).await?)? > 0 {}
        }
        Ok(())
    }
}

impl Records for RedisState {
    fn get(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        self.link.within(async move {
            let deadline = self.link.deadline();
            let live = self.link.live(deadline).await?;
            let [records, ..] = self.link.keys.table(table);
            let mut get = redis::cmd("HGET");
            get.arg(records).arg(key.as_bytes());
            let value: Option<Vec<u8>> = typed(self.link.ask(&live, &get, deadline).await?)?;
            Ok(value.map_or(Ok(None), |value| there(&live, table, key.as_bytes(), &value, now))?)
        })
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> BoxFuture<'a, Result<Put, KernelError>> {
        self.link.within(async move {
            records::check(&entry.value)?;
            let link = &self.link;
            let [_, _, owners] = link.keys.table(table);
            match change(
                link,
                &link.scripts.keep,
                table,
                &[
                    entry.key.as_bytes(),
                    entry.owner.to_string().as_bytes(),
                    until(entry.until).as_bytes(),
                    &entry.value,
                    flag(replaces.is_some()),
                    replaces.unwrap_or_default(),
                    number(now).as_bytes(),
                    number(room.table).as_bytes(),
                    number(room.owner).as_bytes(),
                    &owners,
                    link.ended_before(now).as_bytes(),
                    flag(table.is_under_way()),
                ],
            )
            .await?
            {
                Value::Int(0) => Ok(Put::Kept),
                Value::Int(1) => Ok(Put::Differs),
                Value::Int(2) => Ok(Put::Full),
                Value::Int(3) => Ok(Put::OwnerFull),
                _ => Err(Failure::unexpected().into()),
            }
        })
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> BoxFuture<'_, Result<Option<Entry>, KernelError>> {
        self.link.within(async move {
            let link = &self.link;
            let [_, _, owners] = link.keys.table(table);
            let now = number(now);
            let arguments: [&[u8]; 4] = [key.as_bytes(), now.as_bytes(), &owners, flag(table.is_under_way())];
            match change(link, &link.scripts.take, table, &arguments).await? {
                Value::Int(0) => Ok(None),
                Value::BulkString(value) => {
                    let (_, entry) = read(key.as_bytes(), &value).ok_or_else(Failure::unexpected)?;
                    Ok(Some(entry))
                }
                _ => Err(Failure::unexpected().into()),
            }
        })
    }

    fn list(
        &self,
        table: Table,
        owner: Option<Digest>,
        from: Option<String>,
        now: u64,
    ) -> BoxFuture<'_, Result<Page<Entry>, KernelError>> {
        self.link.within(async move { Ok(self.some(table, owner, from, now).await?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_script_writes_is_read() {
        let (key, owner) = (Digest::of(b"key"), Digest::of(b"owner"));
        let of = |text: &str| read(key.as_bytes(), text.as_bytes()).map(|(epoch, entry)| (epoch.to_vec(), entry));
        let entry = |value: &str, until| Entry { key, owner, value: value.into(), until };
        assert_eq!(of(&format!("ab {} {owner} a b", 7)), Some((b"ab".to_vec(), entry("a b", Some(7)))));
        assert_eq!(of(&format!("ab inf {owner} ")), Some((b"ab".to_vec(), entry("", None))));
        for wrong in ["", "ab", "ab inf", "ab inf x y", "ab inf  y"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        for wrong in [format!("ab -1 {owner} x"), format!("ab  {owner} x"), format!("ab 1 {owner}")] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
        assert!(read(b"short", format!("ab 1 {owner} x").as_bytes()).is_none());
    }
}
