//! What can be written, each piece within the transaction of its group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chio_core::digest::Digest;
use chio_core::receipt::{Event, Receipt, Verdict};
use chio_kernel::store::{Allowance, KernelError, NonceClaim, Seal, Spending, Standing, one_more_failure};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::known::{Change, Known, worse};
use super::open::{as_integer, as_number, number};
use super::sheet::Sheet;
use super::tables::{Tables, Told, digest, standing};

/// As many counts as the stores in memory keep: 2^20 grants, and an eighth of them a root capability.
const MAX_COUNTS: u64 = 1 << 20;
const MAX_COUNTS_OF_ACCOUNT: u64 = MAX_COUNTS / 8;

/// The most principals that attacks can lead to a standing of, or to failures.
const MAX_PRINCIPALS: i64 = 65_536;

/// How long what has expired is kept, in seconds: calls come late, and clocks are set back a little.
pub(super) const GRACE: u64 = 60;

/// How many rows of each kind a group drops at most, so that nobody waits long for it.
pub(super) const STEP: u64 = 500;

/// What ends so many seconds later than others do was written by a clock that was ahead.
const FAR: u64 = 3600;

/// The connection that writes, and what is in memory of what it wrote.
pub(super) struct Desk {
    pub(super) connection: Connection,
    pub(super) tables: Tables,
    complete_from: Arc<AtomicU64>,
    /// The latest second that a call told, and that at which all that had expired was dropped.
    pub(super) now: u64,
    swept: u64,
    /// What this group raises `complete_from` to, once it is written.
    forgotten: u64,
    known: Arc<Known>,
    /// What of it this group changes, once it is written.
    changes: Vec<Change>,
    /// The nonces of this group.
    sheet: Sheet,
    /// How far the sheets were looked through.
    looked_to: i64,
    /// The number of the kernel that this is; none beside one, where nothing of its goes by itself: it has to know what is
    /// forgotten.
    owner: Option<u64>,
    /// What is in memory is not what is in the file: it is to be read anew.
    is_lost: bool,
}

impl Desk {
    pub(super) fn new(
        connection: Connection,
        tables: Tables,
        complete_from: Arc<AtomicU64>,
        known: Arc<Known>,
        owner: Option<u64>,
    ) -> Self {
        let (changes, sheet) = (Vec::new(), Sheet::default());
        Self {
            connection,
            tables,
            complete_from,
            now: 0,
            swept: 0,
            forgotten: 0,
            known,
            changes,
            sheet,
            looked_to: 0,
            owner,
            is_lost: false,
        }
    }

    /// Begins a group. A kernel finds here that another has taken its file, whatever became of the lock.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        // Who only reads beside a kernel is not in its way.
        let begin = if self.owner.is_some() { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.connection.prepare_cached(begin)?.execute([])?;
        if let Some(owner) = self.owner
            && number(&self.connection, "owner")? != owner
        {
            return Err(rusqlite::Error::InvalidQuery);
        }
        if self.is_lost {
            self.tables = Tables::load(&self.connection).map_err(|_| rusqlite::Error::InvalidQuery)?;
            self.is_lost = false;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.keep_sheet()?;
        if self.swept < self.now && self.owner.is_some() && !self.drop_expired(self.now.saturating_sub(GRACE))? {
            self.swept = self.now;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.complete_from.fetch_max(self.forgotten, Ordering::SeqCst);
        self.known.apply(self.changes.drain(..));
        Ok(())
    }

    /// Nothing of the group is written: what is in memory of it is read anew.
    pub(super) fn take_back(&mut self) {
        if !self.connection.is_autocommit() {
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        (self.swept, self.looked_to, self.forgotten, self.is_lost) = (0, 0, 0, true);
        self.changes.clear();
        self.sheet.clear();
    }

    /// What is in the log goes into the file, so that it alone is the state. Beside a kernel that is the kernel's to do.
    pub(super) fn close(self) {
        if self.owner.is_none() {
            return;
        }
        drop(self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
    }

    pub(super) fn spend_nonce(&mut self, claim: &NonceClaim) -> rusqlite::Result<()> {
        self.now = self.now.max(claim.now);
        self.insert_nonce(claim.key, claim.account, claim.until)
    }

    pub(super) fn insert_nonce(&mut self, key: Digest, account: Digest, until: u64) -> rusqlite::Result<()> {
        self.sheet.add(key, account, until);
        if self.sheet.is_full() { self.keep_sheet() } else { Ok(()) }
    }

    fn keep_sheet(&mut self) -> rusqlite::Result<()> {
        if self.sheet.bytes.is_empty() {
            return Ok(());
        }
        let mut insert = self.connection.prepare_cached("INSERT INTO sheet (until, nonces) VALUES (?1, ?2)")?;
        insert.execute(params![as_integer(self.sheet.until), self.sheet.bytes])?;
        self.sheet.clear();
        Ok(())
    }

    pub(super) fn spend_usage(&mut self, places: &[Vec<Allowance>], now: u64) -> rusqlite::Result<Spending> {
        self.now = self.now.max(now);
        let mut chosen = Vec::with_capacity(places.len());
        for (place, alternatives) in places.iter().enumerate() {
            let mut found = None;
            for one in alternatives {
                let calls = self.calls(one.grant)?;
                if calls.unwrap_or_default() < one.limit {
                    found = Some((one, calls.is_none()));
                    break;
                }
            }
            let Some(found) = found else { return Ok(Spending::Exhausted { place }) };
            chosen.push(found);
        }
        let mut new: HashMap<Digest, u64> = HashMap::new();
        for (one, _) in chosen.iter().filter(|(_, is_new)| *is_new) {
            let held = new.entry(one.account).or_default();
            *held = held.saturating_add(1);
        }
        let all = new.values().fold(self.tables.counts, |all, new| all.saturating_add(*new));
        let is_full = |(account, new): (&Digest, &u64)| {
            self.tables.held.get(account).map_or(0, |held| *held).saturating_add(*new) > MAX_COUNTS_OF_ACCOUNT
        };
        if !new.is_empty() && (all > MAX_COUNTS || new.iter().any(is_full)) {
            return Ok(Spending::Full);
        }
        for (one, _) in &chosen {
            self.add_calls(one.grant, one.account, 1, one.until)?;
        }
        Ok(Spending::Spent(chosen.iter().map(|(one, _)| one.grant).collect()))
    }

    fn calls(&self, grant: Digest) -> rusqlite::Result<Option<u64>> {
        let mut calls = self.connection.prepare_cached("SELECT calls FROM usage WHERE grant_id = ?1")?;
        calls.query_row([grant.0], |row| row.get(0).map(as_number)).optional()
    }

    /// Adds to a count, or begins it.
    fn add_calls(&mut self, grant: Digest, account: Digest, calls: u64, until: u64) -> rusqlite::Result<()> {
        let is_new = self.calls(grant)?.is_none();
        let mut add = self.connection.prepare_cached(
            "INSERT INTO usage (grant_id, account, calls, until) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (grant_id) \
             DO UPDATE SET calls = min(calls + excluded.calls, 9007199254740992), until = max(until, excluded.until)",
        )?;
        add.execute(params![grant.0, account.0, as_integer(calls), as_integer(until)])?;
        if is_new {
            let held = self.tables.held.entry(account).or_default();
            *held = held.saturating_add(1);
            self.tables.counts = self.tables.counts.saturating_add(1);
        }
        Ok(())
    }

    /// Makes a count at least as high.
    pub(super) fn raise_calls(
        &mut self,
        grant: Digest,
        account: Digest,
        calls: u64,
        until: u64,
    ) -> rusqlite::Result<()> {
        // More than a document can say is no more than that: beyond 2^63 SQLite has no integers.
        let calls = calls.min(1 << 53);
        let missing = calls.saturating_sub(self.calls(grant)?.unwrap_or_default());
        self.add_calls(grant, account, missing, until)
    }

    pub(super) fn refund(&mut self, grants: &[Digest]) -> rusqlite::Result<()> {
        let mut back =
            self.connection.prepare_cached("UPDATE usage SET calls = max(calls - 1, 0) WHERE grant_id = ?1")?;
        grants.iter().try_for_each(|grant| back.execute([grant.0]).map(drop))
    }

    pub(super) fn revoke(&mut self, id: Digest, what: &str, at: Option<u64>) -> rusqlite::Result<()> {
        let at = as_integer(at.unwrap_or(self.now));
        let mut insert = self.connection.prepare_cached("INSERT INTO revocation VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET what = iif(what = '', excluded.what, what)")?;
        insert.execute(params![id.0, what, at])?;
        self.changes.push(Change::Revoked(id));
        Ok(())
    }

    /// What somebody changed by hand is read anew, by the first who asks.
    pub(super) fn know(&mut self) -> rusqlite::Result<()> {
        let changes = number(&self.connection, "changes")?;
        let told = self.changes.iter().rev().find_map(|change| match change {
            Change::All(told) => Some(told.changes),
            _ => None,
        });
        if told.unwrap_or(self.known.changes()) != changes {
            self.changes.push(Change::All(Told::load(&self.connection)?));
        }
        Ok(())
    }

    /// Changes a standing, and returns whether there was room for it.
    pub(super) fn change_standing(
        &mut self,
        id: Digest,
        who: Option<&str>,
        change: impl FnOnce(Standing) -> Standing,
        forgive: bool,
    ) -> rusqlite::Result<bool> {
        let was = self.connection.prepare_cached("SELECT until FROM standing WHERE id = ?1")?;
        let was = { was }.query_row([id.0], |row| row.get(0).map(standing)).optional()?;
        let is = change(was.unwrap_or(Standing::Good));
        if forgive {
            self.connection.prepare_cached("DELETE FROM failure WHERE id = ?1")?.execute([id.0])?;
        }
        if is == Standing::Good {
            self.connection.prepare_cached("DELETE FROM standing WHERE id = ?1")?.execute([id.0])?;
            self.changes.push(Change::Standing(id, is));
            return Ok(true);
        }
        if was.is_none() && who.is_none() && !self.has_room_for_a_standing()? {
            return Ok(false);
        }
        let until = if let Standing::Suspended { until } = is { Some(as_integer(until)) } else { None };
        let mut set = self.connection.prepare_cached(
            "INSERT INTO standing VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET until = excluded.until, \
             who = iif(excluded.who = '', who, excluded.who)",
        )?;
        set.execute(params![id.0, who.unwrap_or_default(), until])?;
        self.changes.push(Change::Standing(id, is));
        Ok(true)
    }

    fn has_room_for_a_standing(&mut self) -> rusqlite::Result<bool> {
        let count = || -> rusqlite::Result<i64> {
            self.connection.prepare_cached("SELECT count(*) FROM standing")?.query_row([], |row| row.get(0))
        };
        if count()? >= MAX_PRINCIPALS {
            let mut ended = self.connection.prepare_cached("DELETE FROM standing WHERE until <= ?1")?;
            let has_ended = ended.execute([as_integer(self.now)])? > 0;
            drop(ended);
            if has_ended {
                self.changes.push(Change::All(Told::load(&self.connection)?));
            }
        }
        Ok(count()? < MAX_PRINCIPALS)
    }

    pub(super) fn count_failure(&mut self, id: Digest, now: u64, forgive: u64) -> rusqlite::Result<u64> {
        self.now = self.now.max(now);
        let mut failures = self.connection.prepare_cached("SELECT count, since FROM failure WHERE id = ?1")?;
        let were = failures.query_row([id.0], |row| Ok((as_number(row.get(0)?), as_number(row.get(1)?)))).optional()?;
        let (count, since) = one_more_failure(were.unwrap_or_default(), now, forgive);
        let mut set = self.connection.prepare_cached(
            "INSERT INTO failure VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) \
             DO UPDATE SET count = excluded.count, since = excluded.since, at = excluded.at",
        )?;
        set.execute(params![id.0, as_integer(count), as_integer(since), as_integer(now)])?;
        if were.is_none() {
            let mut oldest = self.connection.prepare_cached(
                "DELETE FROM failure WHERE id IN (SELECT id FROM failure ORDER BY at LIMIT \
                 max((SELECT count(*) FROM failure) - ?1, 0))",
            )?;
            oldest.execute([MAX_PRINCIPALS])?;
        }
        Ok(count)
    }

    /// Makes the receipt that follows, and keeps it. That it cannot be made is nobody else's failure.
    pub(super) fn append(&mut self, seal: Seal) -> rusqlite::Result<Result<Receipt, KernelError>> {
        let sealed = seal(self.tables.head).map_err(|error| KernelError::new(error.to_string()));
        let line = |receipt: &Receipt| receipt.to_line().map_err(|error| KernelError::new(error.to_string()));
        let (receipt, head, line) = match sealed.and_then(|(receipt, head)| Ok((line(&receipt)?, receipt, head))) {
            Ok((line, receipt, head)) => (receipt, head, line),
            Err(error) => return Ok(Err(error)),
        };
        let sequence = as_integer(receipt.body.sequence);
        let insert = "INSERT INTO receipt (sequence, line) VALUES (?1, ?2)";
        self.connection.prepare_cached(insert)?.execute(params![sequence, line])?;
        let mut closed = self.connection.prepare_cached("DELETE FROM open_call WHERE sequence = ?1")?;
        match &receipt.body.event {
            Event::Decision(decision) if decision.verdict == Verdict::Allow => {
                self.connection.prepare_cached("INSERT INTO open_call VALUES (?1)")?.execute([sequence])?;
            }
            Event::Decision(_) => {}
            Event::Outcome(outcome) => drop(closed.execute([as_integer(outcome.of)])?),
            Event::Summary(summary) => {
                summary.unfinished.iter().try_for_each(|of| closed.execute([as_integer(*of)]).map(drop))?;
            }
        }
        drop(closed);
        self.tables.head = Some(head);
        Ok(Ok(receipt))
    }

    /// Drops some of what had expired before a second, and remembers that it did. Returns whether there may be more.
    pub(super) fn drop_expired(&mut self, before: u64) -> rusqlite::Result<bool> {
        let limit = as_integer(STEP);
        let (mut forgotten, has_more_nonces) = self.drop_sheets(before, limit)?;
        let mut counts = 0_u64;
        let mut ended = self.connection.prepare_cached(
            "DELETE FROM usage WHERE grant_id IN (SELECT grant_id FROM usage WHERE until <= ?1 ORDER BY until LIMIT ?2) \
             RETURNING account, until",
        )?;
        let mut rows = ended.query((as_integer(before), limit))?;
        while let Some(row) = rows.next()? {
            counts = counts.saturating_add(1);
            forgotten = forgotten.max(as_number(row.get(1)?));
            let account = digest(row, 0)?;
            let held = self.tables.held.get(&account).map_or(0, |held| held.saturating_sub(1));
            if held == 0 {
                self.tables.held.remove(&account);
            } else {
                self.tables.held.insert(account, held);
            }
        }
        drop(rows);
        self.tables.counts = self.tables.counts.saturating_sub(counts);
        if forgotten > self.forgotten {
            let raise = "UPDATE number SET value = max(value, ?1) WHERE name = 'complete_from'";
            self.connection.prepare_cached(raise)?.execute([as_integer(forgotten)])?;
            self.forgotten = forgotten;
        }
        let records = self.drop_records(before)?;
        Ok(has_more_nonces || counts >= STEP || records >= STEP)
    }

    /// The sheets are in the order in which they end, but for those of a clock that was far ahead: these are passed over.
    /// Returns the second before which nonces may be forgotten, and whether there may be more to drop.
    fn drop_sheets(&mut self, before: u64, limit: i64) -> rusqlite::Result<(u64, bool)> {
        let mut sheets = self
            .connection
            .prepare_cached("SELECT number, until FROM sheet WHERE number > ?1 ORDER BY number LIMIT ?2")?;
        let mut ended = self.connection.prepare_cached("DELETE FROM sheet WHERE number = ?1")?;
        let sheets = sheets.query_map((self.looked_to, limit), |row| Ok((row.get(0)?, row.get(1).map(as_number)?)))?;
        let (mut forgotten, mut seen) = (0, 0);
        for (number, until) in sheets.collect::<rusqlite::Result<Vec<(i64, u64)>>>()? {
            if until < before {
                ended.execute([number])?;
                forgotten = forgotten.max(until.saturating_add(1));
            } else if until < before.saturating_add(FAR) {
                break;
            }
            (self.looked_to, seen) = (number, i64::saturating_add(seen, 1));
        }
        if seen < limit {
            self.looked_to = 0;
        }
        Ok((forgotten, seen >= limit))
    }

    /// What somebody beside a kernel changed has to come to its notice.
    pub(super) fn note_change(&mut self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE number SET value = value + 1 WHERE name = 'changes'")?
            .execute([])
            .map(drop)
    }

    /// Adds a standing, where it is worse than the one that there is.
    pub(super) fn worsen_by_hand(&mut self, id: Digest, who: &str, standing: Standing) -> rusqlite::Result<()> {
        self.change_standing(id, Some(who), |was| worse(was, standing), false).map(drop)
    }
}
