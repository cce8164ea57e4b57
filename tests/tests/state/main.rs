//! State that survives: a real SQLite file, under kernels that are ended and killed.

mod by_hand;

mod crashes;

mod files;

mod kernels;

#[path = "../redis/server.rs"]
#[allow(dead_code)] // the tests of Redis use the rest of it
mod server;

mod model;

mod records;

mod speed;

use std::path::Path;
use std::sync::Arc;

use chio_core::capability::Grant;
use chio_kernel::clock::ManualClock;
use chio_kernel::{Kernel, Stores};
use chio_store::{SqliteOptions, SqliteState};
use chio_tests::world::{self, NOW, SERVER, docs_grant, issuer, kernel_key};

/// The options for a file that was made long ago.
fn options(path: &Path) -> SqliteOptions {
    SqliteOptions { kernel_key: Some(kernel_key_public()), ..SqliteOptions::new(path, NOW - 100_000) }
}

fn kernel_key_public() -> chio_core::crypto::PublicKey {
    kernel_key().public_key()
}

fn open(path: &Path) -> Arc<SqliteState> {
    Arc::new(SqliteState::open(&options(path)).unwrap())
}

/// The usual kernel with that state, at `NOW`.
fn kernel(stores: Stores) -> Kernel {
    Kernel::builder()
        .trust_root(issuer().public_key())
        .name("kernel-a")
        .tool_server(SERVER, world::echo())
        .signing_key(kernel_key())
        .clock(ManualClock::at(NOW))
        .stores(stores)
        .build()
        .unwrap()
}

/// The usual grant, for so many calls.
fn limited(calls: u64) -> Grant {
    Grant { max_invocations: Some(calls), ..docs_grant() }
}
