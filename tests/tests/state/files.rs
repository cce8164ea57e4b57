//! Files that somebody has, that are something else, newer, damaged, not to be written, or on a disk that is full.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chio_core::crypto::Keypair;
use chio_store::{Entry, OpenError, Put, Records, Room, SqliteOptions, SqliteState, State as _, Table};
use chio_tests::world::{NOW, code, honest};
use pollster::block_on;

use crate::{kernel, open, options};

fn refused(path: &Path) -> OpenError {
    SqliteState::open(&options(path)).unwrap_err()
}

#[test]
fn one_kernel_has_a_file_and_the_second_hears_who() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = open(&path);
    let OpenError::Owned { by } = refused(&path) else { panic!("it is owned") };
    assert!(by.contains(&std::process::id().to_string()), "{by}");
    drop(first);
    drop(open(&path));
}

#[test]
fn the_receipts_of_another_kernel_are_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    assert_eq!(code(&kernel(open(&path).stores()), honest("a")), "");
    let other = Keypair::from_seed(&[9; 32]).public_key();
    let options = SqliteOptions { kernel_key: Some(other), ..options(&path) };
    assert!(matches!(SqliteState::open(&options), Err(OpenError::OtherKernel { .. })));
}

#[test]
fn what_is_no_state_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    for text in ["text, and not short: ".repeat(100), "x".into()] {
        fs::write(&path, &text).unwrap();
        assert_eq!(refused(&path), OpenError::NotAState);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    sqlite(&path, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let before = fs::read(&path).unwrap();
    assert_eq!(refused(&path), OpenError::NotAState);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left beside it");
}

/// Python brings SQLite with it.
fn sqlite(path: &Path, script: &str) {
    let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    let done = Command::new("python3").args(["-c", program]).arg(path).arg(script).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_newer_file_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path));
    sqlite(&path, "PRAGMA user_version = 7");
    assert_eq!(refused(&path), OpenError::Newer { found: 7, known: 3 });
}

#[test]
fn a_file_of_an_older_version_is_brought_up_and_nothing_of_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = kernel(open(&path).stores());
    assert_eq!((code(&first, honest("a")), code(&first, honest("b"))), ("", ""));
    drop(first);
    // Version 1 had a row for each nonce.
    let nonces: Vec<u8> = {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut sheets = connection.prepare("SELECT nonces FROM sheet ORDER BY number").unwrap();
        sheets.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().flat_map(Result::unwrap).collect()
    };
    assert_eq!(nonces.len(), 2 * 72);
    let mut down = String::from(
        "BEGIN; DROP TABLE record; DROP TABLE record_count; DROP TABLE sheet; CREATE TABLE nonce (number INTEGER PRIMARY KEY, key BLOB NOT NULL, account BLOB NOT NULL, \
         until INTEGER NOT NULL);",
    );
    for nonce in nonces.chunks(72) {
        let until = u64::from_be_bytes(nonce[64..].try_into().unwrap());
        let (key, account) = (hex::encode(&nonce[..32]), hex::encode(&nonce[32..64]));
        write!(down, "INSERT INTO nonce (key, account, until) VALUES (x'{key}', x'{account}', {until});").unwrap();
    }
    sqlite(&path, &(down + "PRAGMA user_version = 1; COMMIT"));
    let second = kernel(open(&path).stores());
    let codes = ["a", "b", "c"].map(|nonce| code(&second, honest(nonce)));
    assert_eq!(codes, ["nonce_replayed", "nonce_replayed", ""]);
    drop(second);
    assert_eq!(block_on(open(&path).overview()).unwrap().nonces, 3);
    let rest = rusqlite::Connection::open(&path).unwrap();
    let kept: Vec<u8> = rest.query_row("SELECT nonces FROM sheet ORDER BY number", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, nonces[..72], "to the byte");
}

#[test]
fn a_file_without_records_has_room_for_them_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = kernel(open(&path).stores());
    assert_eq!(code(&first, honest("a")), "");
    drop(first);
    // Version 2 had no records.
    sqlite(&path, "BEGIN; DROP TABLE record; DROP TABLE record_count; PRAGMA user_version = 2; COMMIT");
    let state = open(&path);
    let key = chio_kernel::store::key_id("key");
    let entry = Entry { key, owner: key, value: b"value".to_vec(), until: None };
    let room = Room { table: 1, owner: 1 };
    let put = |key| Records::put(&*state, Table::Device, Entry { key, ..entry.clone() }, None, room, NOW);
    assert_eq!(block_on(put(key)).unwrap(), Put::Kept);
    assert_eq!(block_on(put(chio_kernel::store::key_id("other"))).unwrap(), Put::Full);
    let second = kernel(state.stores());
    assert_eq!(["a", "b"].map(|nonce| code(&second, honest(nonce))), ["nonce_replayed", ""]);
    drop((second, state));
    assert_eq!(block_on(open(&path).get(Table::Device, key, NOW)).unwrap(), Some(entry));
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = kernel(open(&path).stores());
    for number in 0..50 {
        assert_eq!(code(&first, honest(&number.to_string())), "");
    }
    drop(first);
    let good = fs::read(&path).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for page in (4096..good.len()).step_by(4096) {
        let mut bad = good.clone();
        bad[page..page + 4096].fill(0xa5);
        fs::write(&path, &bad).unwrap();
        match SqliteState::open(&options(&path)) {
            Err(error) => drop(found.insert(format!("{error:?}"))),
            // A page that is not read at the start: then it is found when it is.
            Ok(state) => {
                let kernel = kernel(Arc::new(state).stores());
                let code = code(&kernel, honest("0"));
                assert!(["nonce_replayed", "store_unavailable"].contains(&code), "{code}");
            }
        }
    }
    assert!(found.iter().any(|error| error.starts_with("Damaged")), "{found:?}");
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(SqliteState::open(&options(&path)).is_err(), "half of it");
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_and_a_place_that_is_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refused(folder.path()), OpenError::Io(_) | OpenError::ReadOnly | OpenError::NotAState));
    assert!(matches!(refused(&folder.path().join("none/state.db")), OpenError::Io(_)));
    assert!(matches!(
        SqliteState::beside(&SqliteOptions::new(folder.path().join("none"), NOW)),
        Err(OpenError::Missing)
    ));
}

/// A small file system that fills, where one may be mounted: as root, on Linux.
#[cfg(target_os = "linux")]
#[test]
fn on_a_disk_that_is_full_calls_are_denied_and_later_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("small");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let path = mount.join("state.db");
        let state = open(&path);
        let first = kernel(state.stores());
        let filler = mount.join("filler");
        assert_eq!(code(&first, honest("a")), "");
        let rest = vec![0; 4 << 20];
        assert!(fs::write(&filler, &rest).is_err(), "it is full");
        let denied: Vec<_> = (0..40).map(|number| code(&first, honest(&format!("full {number}")))).collect();
        assert_eq!(denied.last(), Some(&"store_unavailable"));
        fs::remove_file(&filler).unwrap();
        assert_eq!(code(&first, honest("b")), "");
        assert_eq!(code(&first, honest("full 39")), "nonce_replayed", "what was denied is spent all the same");
        let receipts = crate::kernels::receipts(&state).len();
        drop((first, state));
        let state = open(&path);
        assert_eq!(crate::kernels::receipts(&state).len(), receipts, "nothing half written");
        let second = kernel(state.stores());
        assert_eq!((code(&second, honest("a")), code(&second, honest("b"))), ("nonce_replayed", "nonce_replayed"));
    });
    assert!(Command::new("umount").arg("-l").arg(&mount).status().unwrap().success());
    outcome.unwrap();
}

/// A second name of a file, or a lock that somebody removed, does not make two kernels of one file.
#[cfg(unix)]
#[test]
fn by_whatever_name_a_file_has_one_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path);
    let first = kernel(state.stores());
    let other = folder.path().join("other.db");
    std::os::unix::fs::symlink(&path, &other).unwrap();
    assert!(matches!(refused(&other), OpenError::Owned { .. }));
    assert_eq!(code(&first, honest("a")), "");
    fs::remove_file(folder.path().join("state.db.lock")).unwrap();
    let second = kernel(open(&path).stores());
    assert_eq!(code(&second, honest("a")), "nonce_replayed");
    assert_eq!(code(&first, honest("b")), "store_unavailable", "it finds that it has lost its file");
    let claim = chio_kernel::store::NonceClaim {
        key: chio_kernel::store::key_id("c"),
        account: chio_kernel::store::key_id("account"),
        now: NOW,
        until: NOW + 330,
    };
    let spent = pollster::block_on(chio_kernel::store::NonceStore::spend(&*state, claim));
    assert!(spent.is_err(), "and so nothing is spent in its name");
    assert_eq!(code(&second, honest("b")), "");
}
