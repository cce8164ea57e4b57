//! What the owner of a file asks and changes by hand.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError, NonceClaim, Standing, key_id};
use rusqlite::params;

use super::SqliteState;
use super::desk::Desk;
use super::open::{as_integer, as_number, number};
use super::records::{count_of, page, place};
use super::sheet;
use super::tables::{digest, standing};
use crate::records::{Page, Records, Table};
use crate::state::{self, Kind, Overview, Record, State};

/// How many records a page has at most.
const PAGE: i64 = 1000;

/// How many sheets of nonces a page has at most; a sheet has 900 at most.
const SHEETS: i64 = 8;

impl State for SqliteState {
    fn entries(&self) -> &dyn Records {
        self
    }

    fn into_entries(self: Arc<Self>) -> Arc<dyn Records> {
        self
    }

    fn overview(&self) -> BoxFuture<'_, Result<Overview, KernelError>> {
        Box::pin(self.writer.ask(Desk::overview))
    }

    fn records(&self, kind: Kind, from: Option<String>) -> BoxFuture<'_, Result<Page<Record>, KernelError>> {
        if kind == Kind::Entry {
            return Box::pin(async move {
                let from = place(from.as_deref())?;
                self.reader.ask(move |connection| page(connection, from)).await
            });
        }
        Box::pin(self.writer.ask(move |desk| desk.records(kind, from.as_deref().unwrap_or_default())))
    }

    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), KernelError>> {
        Box::pin(async move {
            state::check(&records)?;
            // What was taken out may be older than what was spent last: until now, nothing is known for certain.
            let spends = |record: &Record| matches!(record, Record::Nonce { .. } | Record::Usage { .. });
            let since = if records.iter().any(spends) {
                self.check_owned()?;
                let latest = self.opened_at.max(self.writer.ask(|desk| Ok(desk.now)).await?);
                latest.max(self.remembers_since.fetch_max(latest, Ordering::SeqCst))
            } else {
                0
            };
            for record in &records {
                if let Record::Nonce { key, account, until } = record {
                    let (key, account, now, until) = (*key, *account, 0, *until);
                    self.nonces.remember(&NonceClaim { key, account, now, until });
                }
            }
            self.writer.ask(move |desk| desk.put(&records, since)).await
        })
    }

    fn next_list(&self, issuer: &str) -> BoxFuture<'_, Result<u64, KernelError>> {
        let issuer = issuer.to_owned();
        Box::pin(self.writer.ask(move |desk| {
            desk.note_change()?;
            let mut next = desk.connection.prepare_cached(
                "INSERT INTO revocation_list VALUES (?1, 1) ON CONFLICT (issuer) DO UPDATE SET sequence = sequence + 1 \
                 RETURNING sequence",
            )?;
            next.query_row([issuer], |row| row.get(0)).map(as_number)
        }))
    }

    fn unrevoke(&self, id: Digest) -> BoxFuture<'_, Result<bool, KernelError>> {
        Box::pin(self.writer.ask(move |desk| {
            desk.note_change()?;
            let mut delete = desk.connection.prepare_cached("DELETE FROM revocation WHERE id = ?1")?;
            Ok(delete.execute([id.0])? > 0)
        }))
    }

    fn set_standing(&self, who: &str, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        let who = who.to_owned();
        Box::pin(self.writer.ask(move |desk| {
            desk.note_change()?;
            desk.change_standing(key_id(&who), Some(&who), |_| standing, true).map(drop)
        }))
    }

    fn receipts(&self, after: u64) -> BoxFuture<'_, Result<Page<Vec<u8>>, KernelError>> {
        Box::pin(self.writer.ask(move |desk| {
            let mut lines = desk
                .connection
                .prepare_cached("SELECT sequence, line FROM receipt WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")?;
            let mut page = Page { items: Vec::new(), next: None };
            let mut rows = lines.query((as_integer(after), PAGE))?;
            while let Some(row) = rows.next()? {
                page.next = Some(as_number(row.get(0)?).to_string());
                page.items.push(row.get(1)?);
            }
            Ok(page)
        }))
    }

    fn compact(&self, now: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        Box::pin(async move {
            self.check_owned()?;
            // One step a commit, so that a kernel could go on beside it.
            let before = now.saturating_sub(super::desk::GRACE);
            while self.writer.ask(move |desk| desk.drop_expired(before)).await? {}
            // No transaction may be open for this, so it is not for the thread that writes.
            let connection =
                super::open::connection(&self.path).map_err(|error| KernelError::new(error.to_string()))?;
            let done = connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
            done.map_err(|error| KernelError::new(super::open::told(&error)))
        })
    }
}

impl Desk {
    fn overview(&mut self) -> rusqlite::Result<Overview> {
        let count = |table: &str| {
            let all = format!("SELECT count(*) FROM {table}");
            self.connection.query_row(&all, [], |row| row.get(0)).map(as_number)
        };
        // The length of a blob is known without reading it.
        let all_nonces = format!("SELECT coalesce(sum(length(nonces)), 0) / {} FROM sheet", sheet::NONCE);
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        Ok(Overview {
            nonces: self.connection.query_row(&all_nonces, [], |row| row.get(0)).map(as_number)?,
            usage: count("usage")?,
            revocations: count("revocation")?,
            standings: count("standing")?,
            receipts: self.tables.head,
            kernel_key: self.tables.kernel_key.clone(),
            unfinished: count("open_call")?,
            records: Table::ALL
                .into_iter()
                .map(|table| Ok((table, count_of(&self.connection, table)?)))
                .collect::<rusqlite::Result<_>>()?,
            remembers_since: number(&self.connection, "remembers_since")?,
            bytes: Some(self.connection.query_row(size, [], |row| row.get(0)).map(as_number)?),
        })
    }

    fn records(&mut self, kind: Kind, from: &str) -> rusqlite::Result<Page<Record>> {
        // Each has its key first, by which the next page is found.
        let page = match kind {
            Kind::Revocation => "hex(id), id, what, at FROM revocation WHERE id > unhex(?1) ORDER BY id",
            Kind::RevocationList => "issuer, issuer, sequence FROM revocation_list WHERE issuer > ?1 ORDER BY issuer",
            Kind::Standing => "hex(id), id, who, until FROM standing WHERE id > unhex(?1) ORDER BY id",
            Kind::Usage => {
                "hex(grant_id), grant_id, account, calls, until FROM usage WHERE grant_id > unhex(?1) ORDER BY grant_id"
            }
            // These have a thread of their own.
            Kind::Entry => return Ok(Page { items: Vec::new(), next: None }),
            Kind::Nonce => "CAST(number AS TEXT), nonces FROM sheet WHERE number > CAST(?1 AS INTEGER) ORDER BY number",
        };
        let page = format!("SELECT {page} LIMIT {}", if kind == Kind::Nonce { SHEETS } else { PAGE });
        let mut select = self.connection.prepare_cached(&page)?;
        let mut page = Page { items: Vec::new(), next: None };
        let mut rows = select.query([from])?;
        while let Some(row) = rows.next()? {
            page.next = Some(row.get(0)?);
            let integer = |column| row.get(column).map(as_number);
            page.items.push(match kind {
                Kind::Revocation => Record::Revocation { id: digest(row, 1)?, what: row.get(2)?, at: integer(3)? },
                Kind::RevocationList => Record::RevocationList { issuer: row.get(1)?, sequence: integer(2)? },
                Kind::Standing => {
                    let until = row.get::<_, Option<i64>>(3)?.map(as_number);
                    Record::Standing { id: digest(row, 1)?, who: row.get(2)?, until }
                }
                Kind::Usage => {
                    let (grant, account) = (digest(row, 1)?, digest(row, 2)?);
                    Record::Usage { grant, account, calls: integer(3)?, until: integer(4)? }
                }
                Kind::Entry => continue,
                Kind::Nonce => {
                    let sheet = sheet::nonces(row.get_ref(1)?.as_blob()?).ok_or(rusqlite::Error::InvalidQuery)?;
                    page.items.extend(sheet.map(|NonceClaim { key, account, until, .. }| Record::Nonce {
                        key,
                        account,
                        until,
                    }));
                    continue;
                }
            });
        }
        Ok(page)
    }

    fn put(&mut self, records: &[Record], remembers_since: u64) -> rusqlite::Result<()> {
        self.note_change()?;
        let since = "UPDATE number SET value = max(value, ?1) WHERE name = 'remembers_since'";
        self.connection.prepare_cached(since)?.execute([as_integer(remembers_since)])?;
        for record in records {
            match record {
                Record::Revocation { id, what, at } => self.revoke(*id, what, Some(*at))?,
                Record::Standing { id, who, until } => {
                    self.worsen_by_hand(*id, who, standing(until.map(as_integer)))?;
                }
                Record::Usage { grant, account, calls, until } => self.raise_calls(*grant, *account, *calls, *until)?,
                Record::Nonce { key, account, until } => self.insert_nonce(*key, *account, *until)?,
                Record::Entry { table, key, owner, value, until } => {
                    self.add_record(*table, *key, *owner, value, *until)?;
                }
                Record::RevocationList { issuer, sequence } => {
                    let mut newest = self.connection.prepare_cached(
                        "INSERT INTO revocation_list VALUES (?1, ?2) ON CONFLICT (issuer) \
                         DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                    )?;
                    newest.execute(params![issuer, as_integer(*sequence)])?;
                }
            }
        }
        Ok(())
    }
}
