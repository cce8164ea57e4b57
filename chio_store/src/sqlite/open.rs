//! Opening a file: who has it, which version it is of, and what is wrong with it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteOptions;

/// Why a state file cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// There is none.
    Missing,
    /// Another process is its kernel.
    Owned {
        /// Which, as it says itself.
        by: String,
    },
    /// It is a file of something else.
    NotAState,
    /// A newer version has written it.
    Newer {
        /// The version of its tables.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// It is damaged.
    Damaged(String),
    /// The receipts in it are another kernel's.
    OtherKernel {
        /// Its key.
        key: String,
    },
    /// The disk is full.
    Full,
    /// It cannot be written.
    ReadOnly,
    /// The operating system refuses.
    Io(String),
}

impl OpenError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Missing => "name a state file that there is",
            Self::Owned { .. } => "one kernel has one file: end the other, or name another file",
            Self::NotAState => "name another file; this one was left as it is",
            Self::Newer { .. } => "use the newer `chio` that wrote it: an older one would forget what it does not know",
            Self::Damaged(_) => {
                "put back a backup, or move the file away: proofs made before the new one are then refused, and counts \
                 and revocations are gone"
            }
            Self::OtherKernel { .. } => "name the key of that kernel, or another file",
            Self::Full => "make room on the disk",
            Self::ReadOnly => "name a file and a directory where you may write",
            Self::Io(_) => "see that the directory is there, and that you may read and write in it",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Owned { by } => write!(f, "it is the state of {by}"),
            Self::NotAState => f.write_str("it is no state of a kernel"),
            Self::Newer { found, known } => {
                write!(f, "its tables are of version {found}, and no newer one than {known} is known here")
            }
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::OtherKernel { key } => write!(f, "its receipts are those of the kernel {key}"),
            Self::Full => f.write_str("the disk is full"),
            Self::ReadOnly => f.write_str("it cannot be written"),
            Self::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            std::io::ErrorKind::StorageFull => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotAState,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged("SQLite cannot read it".into()),
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            _ => Self::Io(told(&error)),
        }
    }
}

/// What SQLite says went wrong. It has no values in it, but a statement could stand behind it: that is left out.
pub(super) fn told(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => format!("SQLite: {code}"),
        rusqlite::Error::InvalidQuery => "another kernel has taken it, or its receipts cannot be read".into(),
        _ => "SQLite answered something that was not expected".into(),
    }
}

/// Whether the file is ours.
#[derive(Debug)]
pub(super) enum Ownership {
    /// Until this is dropped.
    Ours { _lock: Lock },
    /// Another process is its kernel, or may become it.
    Another,
}

/// Given back when it is dropped, and not when the last copy of its descriptor is closed: a child process that was
/// started meanwhile has one until it runs its own program.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If that fails, closing the file does it.
        let _ = self.0.unlock();
    }
}

impl Ownership {
    /// The operating system gives it back when the process ends, however it does.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        // By whatever name it goes: two names of one file have one lock.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default();
        let file = path.canonicalize().or_else(|_| folder.canonicalize().map(|folder| folder.join(name)))?;
        let place = beside(&file, ".lock");
        let mut lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                let read = lock.read_to_string(&mut by);
                let by = if read.is_ok() && !by.is_empty() { by } else { "another process".into() };
                return Err(OpenError::Owned { by: by.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let program = std::env::args_os().next().map(PathBuf::from);
        let program = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let owner = format!("the process {} ({})\n", std::process::id(), program.unwrap_or_default());
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(owner.as_bytes()))?;
        Ok(Self::Ours { _lock: Lock(lock) })
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }
}

/// The path with something at the end of its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A connection whose commits are on the disk when they are answered.
pub(super) fn connection(path: &Path) -> Result<Connection, OpenError> {
    #[cfg(unix)]
    if !path.exists() {
        // What was called, and by whom, is nobody else's to read. SQLite gives its own files the mode of this one.
        use std::os::unix::fs::OpenOptionsExt as _;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(200))?;
    check(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// What says that a database is a state: `Chio`.
const APPLICATION: i64 = 0x4368_696f;

/// From each version of the tables to the next: the first makes them.
const STEPS: [&str; 3] = ["
    CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE nonce (number INTEGER PRIMARY KEY, key BLOB NOT NULL, account BLOB NOT NULL, until INTEGER NOT NULL);
    CREATE TABLE usage (grant_id BLOB PRIMARY KEY, account BLOB NOT NULL, calls INTEGER NOT NULL, until INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX usage_until ON usage (until);
    CREATE TABLE revocation (id BLOB PRIMARY KEY, what TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE revocation_list (issuer TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE standing (id BLOB PRIMARY KEY, who TEXT NOT NULL, until INTEGER) WITHOUT ROWID;
    CREATE TABLE failure (id BLOB PRIMARY KEY, count INTEGER NOT NULL, since INTEGER NOT NULL, at INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX failure_at ON failure (at);
    CREATE TABLE receipt (sequence INTEGER PRIMARY KEY, line BLOB NOT NULL);
    CREATE TABLE open_call (sequence INTEGER PRIMARY KEY);
", "
    CREATE TABLE sheet (number INTEGER PRIMARY KEY, until INTEGER NOT NULL, nonces BLOB NOT NULL);
    INSERT INTO sheet (until, nonces)
        SELECT until, CAST(key || account || unhex(printf('%016x', until)) AS BLOB) FROM nonce ORDER BY number;
    DROP TABLE nonce;
", "
    CREATE TABLE record (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key BLOB NOT NULL, owner BLOB NOT NULL,
        value BLOB NOT NULL, until INTEGER, UNIQUE (kind, key));
    CREATE INDEX record_owner ON record (kind, owner, key);
    CREATE INDEX record_until ON record (until) WHERE until IS NOT NULL;
    CREATE TABLE record_count (kind TEXT NOT NULL, owner BLOB NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (kind, owner))
        WITHOUT ROWID;
    CREATE TRIGGER record_added AFTER INSERT ON record BEGIN
        INSERT INTO record_count VALUES (new.kind, new.owner, 1), (new.kind, x'', 1)
            ON CONFLICT (kind, owner) DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER record_dropped AFTER DELETE ON record BEGIN
        UPDATE record_count SET count = count - 1 WHERE kind = old.kind AND owner IN (old.owner, x'');
        DELETE FROM record_count WHERE kind = old.kind AND owner IN (old.owner, x'') AND count = 0;
    END;
    CREATE TRIGGER record_given AFTER UPDATE OF owner ON record WHEN old.owner <> new.owner BEGIN
        UPDATE record_count SET count = count - 1 WHERE kind = old.kind AND owner = old.owner;
        DELETE FROM record_count WHERE kind = old.kind AND owner = old.owner AND count = 0;
        INSERT INTO record_count VALUES (new.kind, new.owner, 1) ON CONFLICT (kind, owner) DO UPDATE SET count = count + 1;
    END;
"];

/// Fails where a file is none of ours, before anything in it is changed; nothing is made where there is none.
///
/// It is opened by SQLite alone: by POSIX a process loses its locks on a file when it closes that file anywhere, and what
/// it has open elsewhere as a database would be open to be destroyed.
pub(super) fn check_file(path: &Path) -> Result<(), OpenError> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    if metadata.is_dir() {
        return Err(OpenError::Io("it is a directory".into()));
    }
    // SQLite takes a file that is shorter than a page for an empty one, and writes over it.
    if (1..SHORTEST).contains(&metadata.len()) {
        return Err(OpenError::NotAState);
    }
    check(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}

/// No page of SQLite has fewer bytes.
const SHORTEST: u64 = 512;

fn check(connection: &Connection) -> Result<(), OpenError> {
    let (version, tables) = (pragma(connection, "user_version")?, "SELECT count(*) FROM sqlite_schema");
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    if pragma(connection, "application_id")? != APPLICATION && (tables > 0 || version != 0) {
        return Err(OpenError::NotAState);
    }
    if version > KNOWN { Err(OpenError::Newer { found: version, known: KNOWN }) } else { Ok(()) }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// The newest version of the tables.
const KNOWN: i64 = 3;

/// Brings the tables of a file to the newest version, all of it or nothing.
pub(super) fn migrate(connection: &Connection, now: u64) -> Result<(), OpenError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let version = pragma(connection, "user_version")?;
    for step in STEPS.iter().skip(usize::try_from(version).map_err(|_| OpenError::NotAState)?) {
        connection.execute_batch(step)?;
    }
    if version == 0 {
        let mut insert = connection.prepare("INSERT INTO number VALUES (?1, ?2)")?;
        for (name, value) in [
            ("remembers_since", as_integer(now)),
            ("complete_from", 0),
            ("changes", 0),
            ("owner", 0),
            ("proof_life", 0),
        ] {
            insert.execute((name, value))?;
        }
    }
    if version < KNOWN {
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", KNOWN)?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Takes a file over: who had it before, and has lost its lock, finds a higher number in it. Returns the number.
pub(super) fn own(connection: &Connection, options: &SqliteOptions) -> Result<u64, OpenError> {
    let life = as_integer(options.proof_life_secs);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute("UPDATE number SET value = value + 1 WHERE name = 'owner'", [])?;
    let anew = "UPDATE number SET value = max(value, ?1) WHERE name = 'remembers_since' AND EXISTS \
                (SELECT 1 FROM number WHERE name = 'proof_life' AND value BETWEEN 1 AND ?2 - 1)";
    connection.execute(anew, (as_integer(options.now), life))?;
    connection.execute("UPDATE number SET value = ?1 WHERE name = 'proof_life' AND ?1 > 0", [life])?;
    let owner = number(connection, "owner")?;
    connection.execute_batch("COMMIT")?;
    Ok(owner)
}

/// A number as SQLite has it. One so high means for ever.
pub(super) fn as_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of SQLite, where none is below 0.
pub(super) fn as_number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or_default()
}

/// One of the numbers that a file has.
pub(super) fn number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut number = connection.prepare_cached("SELECT value FROM number WHERE name = ?1")?;
    number.query_row([name], |row| row.get(0)).map(as_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_given_back_although_a_child_was_started_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let Ok(Ownership::Ours { _lock: lock }) = Ownership::take(&path) else { panic!("it is nobody's") };
        let child = lock.0.try_clone().unwrap();
        assert!(matches!(Ownership::take(&path), Err(OpenError::Owned { .. })));
        drop(lock);
        assert!(Ownership::take(&path).unwrap().is_ours());
        drop(child);
    }
}
