//! How much memory a live nonce takes: what the store has allocated, at its worst moment between two sizes.

use std::alloc::System;
use std::time::Duration;

use chio_core::digest::Digest;
use chio_kernel::store::{DpopNonceStore, NonceAnswer, NonceClaim};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn main() {
    // `cargo test --benches` has no such flag: it is enough to see that it runs.
    let full = std::env::args().any(|arg| arg == "--bench");
    let capacity: u64 = if full { 1 << 20 } else { 1 << 16 };
    let before = live();
    let store = DpopNonceStore::new(usize::try_from(capacity).unwrap(), Duration::from_secs(330));
    let (mut worst, mut worst_at, mut spent) = (0.0, 0, 0);
    let mut last = 0.0;
    for nonce in 0..capacity {
        let key = Digest::of(&nonce.to_be_bytes());
        let account = Digest::of(&(nonce % 64).to_be_bytes());
        let claim = NonceClaim { key, account, now: 0, until: 330 };
        spent += u64::from(store.claim(&claim) == NonceAnswer::Spent);
        last = (live() - before) as f64 / spent as f64;
        // Below that, what the store takes when it is empty counts.
        if spent >= capacity / 16 && last > worst {
            (worst, worst_at) = (last, spent);
        }
    }
    assert!(spent > capacity * 9 / 10);
    println!("| what | at worst | at {spent} nonces | aim | reached |");
    println!("|---|---|---|---|---|");
    let reached = if worst <= 64.0 { "yes" } else { "no" };
    println!("| bytes a live nonce | {worst:.1} (at {worst_at}) | {last:.1} | ≤ 64 | {reached} |");
}
