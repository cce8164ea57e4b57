//! The nonce store, against a list of everything that was ever spent.

use std::sync::LazyLock;
use std::time::Duration;

use chio_core::digest::Digest;
use chio_kernel::store::{DpopNonceStore, NonceAnswer, NonceClaim};
use chio_tests::model::NonceModel;

use crate::bytes::Bytes;

/// Digests are costly beside what is checked here.
static DIGESTS: LazyLock<Vec<Digest>> = LazyLock::new(|| (0..=u8::MAX).map(|number| Digest::of(&[number])).collect());

/// Capacity and quota, two bytes; how times go, one byte; then a claim of four or more bytes each.
pub fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let (capacity, quota) = (usize::from(bytes.byte()), usize::from(bytes.byte()));
    let times = bytes.byte();
    // From 65,536 on the store is sharded, and its limits are no longer exact.
    let sharded = times & 1 != 0;
    let (capacity, quota) = if sharded { (65_536 + capacity, quota) } else { (capacity % 40, quota % 20) };
    let store = DpopNonceStore::with_quota(capacity, quota, Duration::ZERO);
    let mut model = NonceModel::new(capacity, quota.max(1));

    // A kernel gives all nonces one life, and its clock runs forwards; a store must not depend on it.
    let (one_life, forwards) = (times & 2 != 0, times & 4 != 0);
    let life = u64::from(bytes.byte());
    let mut now = if times & 8 != 0 { u64::MAX - 600 } else { 1_000 };
    let mut latest = now;
    while !bytes.is_empty() {
        let (nonce, account, passed) = (bytes.byte(), bytes.byte(), bytes.byte());
        // Mostly seconds; now and then most of a life, or back.
        now = match passed {
            0..=159 => now.saturating_add((passed % 8).into()),
            160..=223 => now.saturating_add(u64::from(passed - 159) * 4),
            _ if forwards => now,
            _ => now.saturating_sub((passed - 223).into()),
        };
        let life = if one_life { life } else { bytes.byte().into() };
        let claim = NonceClaim {
            key: DIGESTS[usize::from(nonce)],
            account: DIGESTS[usize::from(account % 16)],
            now,
            until: now.saturating_add(life),
        };
        let answer = store.claim(&claim);
        let fair = if sharded { model.law(claim, answer) } else { model.judge(claim, answer) };
        assert_eq!(fair, Ok(()), "{answer:?} at {now}, with {} kept of {capacity}, {quota} each", store.len());

        if answer == NonceAnswer::Spent {
            assert_eq!(store.claim(&claim), NonceAnswer::Replayed, "at once again");
        }
        latest = latest.max(now);
        assert!(store.len() >= model.live(latest), "a live nonce was dropped");
        assert!(store.len() <= if sharded { capacity.div_ceil(16) * 16 } else { capacity }, "more than its capacity");
    }
}
