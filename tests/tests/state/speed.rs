//! How long a full file takes to open.

use std::time::{Duration, Instant};

use chio_kernel::store::key_id;
use chio_store::{Record, State as _};
use chio_tests::world::NOW;
use pollster::block_on;

use crate::open;

/// Under a second in a release build, which `docs/performance.md` tells of. Here it is only seen that it ends, and that all
/// of it is there.
#[test]
fn a_file_with_a_hundred_thousand_live_nonces_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path);
    for part in 0..100_u64 {
        let nonce = |number: u64| Record::Nonce {
            key: key_id(&format!("{part} {number}")),
            account: key_id(&(number % 50).to_string()),
            until: NOW + 330,
        };
        block_on(state.put((0..1000).map(nonce).collect())).unwrap();
    }
    drop(state);
    let started = Instant::now();
    let state = open(&path);
    let took = started.elapsed();
    println!("opened in {took:?}");
    assert_eq!(block_on(state.overview()).unwrap().nonces, 100_000);
    assert!(took < Duration::from_secs(60), "{took:?}");
}
