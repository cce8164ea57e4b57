//! What a file has, as it is read at the start; and what the thread that writes keeps in memory of it.

use std::collections::{HashMap, HashSet};

use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Receipt};
use chio_kernel::store::{NonceClaim, Standing};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::open::{OpenError, as_integer, as_number, number};
use super::sheet;

/// What the thread that writes keeps in memory, so that it need not be read each time.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) head: Option<ChainHead>,
    pub(super) kernel_key: Option<String>,
    /// How many grants of each account have a count, and how many of all.
    pub(super) held: HashMap<Digest, u64>,
    pub(super) counts: u64,
}

impl Tables {
    pub(super) fn load(connection: &Connection) -> Result<Self, OpenError> {
        let mut tables = Self::default();
        let last = "SELECT line FROM receipt ORDER BY sequence DESC LIMIT 1";
        if let Some(line) = connection.query_row(last, [], |row| row.get::<_, Vec<u8>>(0)).optional()? {
            let damaged = |error: String| OpenError::Damaged(format!("its last receipt: {error}"));
            let body = Receipt::parse(&line).map_err(|error| damaged(error.to_string()))?.body;
            let canonical = body.canonical().map_err(|error| damaged(error.to_string()))?;
            tables.head = Some(ChainHead { sequence: body.sequence, digest: Digest::of(&canonical) });
            tables.kernel_key = Some(body.kernel_key.to_string());
        }
        let mut counts = connection.prepare("SELECT account, count(*) FROM usage GROUP BY account")?;
        let mut rows = counts.query([])?;
        while let Some(row) = rows.next()? {
            let held = as_number(row.get(1)?);
            tables.held.insert(digest(row, 0)?, held);
            tables.counts = tables.counts.saturating_add(held);
        }
        Ok(tables)
    }
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest)
}

/// Every nonce that could still be found fresh.
pub(super) fn each_nonce(connection: &Connection, mut each: impl FnMut(NonceClaim), now: u64) -> Result<(), OpenError> {
    // Those of a minute before, too: calls come late, and clocks are set back a little.
    let from = now.saturating_sub(60);
    let mut sheets = connection.prepare("SELECT nonces FROM sheet WHERE until >= ?1 ORDER BY number")?;
    let mut rows = sheets.query([as_integer(from)])?;
    while let Some(row) = rows.next()? {
        let nonces = row.get_ref(0)?.as_blob().map_err(|_| OpenError::Damaged("a sheet of nonces".into()))?;
        let nonces = sheet::nonces(nonces).ok_or_else(|| OpenError::Damaged("a sheet of nonces".into()))?;
        nonces.filter(|nonce| nonce.until >= from).for_each(&mut each);
    }
    Ok(())
}

/// The decisions to allow that have no outcome, and stand in no summary: 2,000 at most.
pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<u64>> {
    let mut open = connection.prepare("SELECT sequence FROM open_call ORDER BY sequence LIMIT 2000")?;
    open.query_map([], |row| row.get(0).map(as_number))?.collect()
}

/// A standing as its table has it: one without an end is a ban.
pub(super) fn standing(until: Option<i64>) -> Standing {
    until.map_or(Standing::Banned, |until| Standing::Suspended { until: as_number(until) })
}

/// What is revoked, and who is turned away.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) revoked: HashSet<Digest>,
    pub(super) standings: HashMap<Digest, Standing>,
    /// How often something was changed by hand before it was read.
    pub(super) changes: u64,
}

impl Told {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        // The number first: a change that comes between is then read twice, and never missed.
        let changes = number(connection, "changes")?;
        let mut revoked = connection.prepare_cached("SELECT id FROM revocation")?;
        let revoked = revoked.query_map([], |row| digest(row, 0))?.collect::<rusqlite::Result<_>>()?;
        let mut standings = connection.prepare_cached("SELECT id, until FROM standing")?;
        let pair = |row: &Row<'_>| Ok((digest(row, 0)?, standing(row.get(1)?)));
        let standings = standings.query_map([], pair)?.collect::<rusqlite::Result<_>>()?;
        Ok(Self { revoked, standings, changes })
    }
}
