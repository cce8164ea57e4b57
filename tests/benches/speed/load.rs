//! Whether a decision costs the same when the stores are full.

use std::sync::Arc;
use std::time::Duration;

use chio_core::digest::Digest;
use chio_kernel::Stores;
use chio_kernel::store::{DpopNonceStore, MemoryRevocations, NonceAnswer, NonceClaim, RevocationStore as _};
use chio_tests::world::NOW;

use crate::calls::{Caller, Guarded, Told};
use crate::measure::{Aim, Bench, Scale};

pub fn revoked(bench: &mut Bench) {
    let name = "allow, 100,000 ids revoked";
    if !bench.wants(name) {
        return;
    }
    let number: u32 = if bench.scale == Scale::Test { 100 } else { 100_000 };
    let revocations = Arc::new(MemoryRevocations::default());
    for id in 0..number {
        pollster::block_on(revocations.revoke(Digest::of(&id.to_be_bytes()))).unwrap();
    }
    let loaded = Guarded::with(|builder| builder.stores(Stores { revocations, ..Stores::default() }));
    compare(bench, name, &loaded, &Guarded::new());
}

pub fn live_nonces(bench: &mut Bench) {
    let name = "allow, 1,000,000 nonces live";
    if !bench.wants(name) {
        return;
    }
    let many = if bench.scale == Scale::Test { 1_000 } else { 1_000_000 };
    compare(bench, name, &remembering(many), &remembering(1_000));
}

/// A kernel that remembers that many nonces, one of which expires with every call that is made.
fn remembering(number: u64) -> Guarded {
    let store = DpopNonceStore::with_quota(4 << 20, 4 << 20, Duration::from_secs(330));
    for nonce in 0..number {
        let key = Digest::of(&nonce.to_be_bytes());
        let account = Digest::of(&(nonce % 64).to_be_bytes());
        let claim = NonceClaim { key, account, now: NOW - 1, until: NOW + nonce / 50 };
        assert_eq!(store.claim(&claim), NonceAnswer::Spent);
    }
    Guarded::with(|builder| builder.stores(Stores { nonces: Some(Arc::new(store)), ..Stores::default() }))
}

fn compare(bench: &mut Bench, name: &str, loaded: &Guarded, plain: &Guarded) {
    let (arguments, caller) = (Told::text(1024), Caller::of_depth(1));
    let prepare = || (caller.call(&arguments, loaded.tick()), caller.call(&arguments, plain.tick()));
    bench.compare(name, Aim::Times(1.05), prepare, |call| loaded.allows(call), |call| plain.allows(call));
}
