//! What the owner asks and changes by hand.

use std::collections::BTreeSet;

use chio_core::digest::Digest;
use chio_kernel::store::{
    Allowance, NonceAnswer, NonceStore as _, RevocationStore, Spending, Standing, StandingStore, UsageStore, key_id,
};
use chio_store::{Kind, Record, RedisState, State};
use chio_tests::world::NOW;

use crate::server::{Redis, START, claim, claimed, state};

async fn all(state: &RedisState, kind: Kind) -> Vec<Record> {
    let (mut records, mut from) = (Vec::new(), None);
    loop {
        let page = state.records(kind, from).await.unwrap();
        records.extend(page.items);
        from = page.next;
        if from.is_none() {
            return records;
        }
    }
}

#[tokio::test]
async fn an_empty_state_has_nothing() {
    let Some(redis) = Redis::start(&[]) else { return };
    let state = state(&redis, "a").await;
    for kind in Kind::ALL {
        assert_eq!(all(&state, kind).await, []);
    }
    let overview = state.overview().await.unwrap();
    assert_eq!((overview.nonces, overview.usage, overview.revocations, overview.standings), (0, 0, 0, 0));
    assert_eq!((overview.receipts, overview.kernel_key, overview.unfinished), (None, None, 0));
    assert_eq!(overview.remembers_since, START + 30);
    assert!(overview.bytes.unwrap() > 0);
    for wrong in ["x", "", "1 COUNT", "-1", "0/x/0", "0//", "/"] {
        for kind in [Kind::Revocation, Kind::Nonce] {
            assert!(state.records(kind, Some(wrong.into())).await.is_err(), "{wrong}");
        }
    }
    state.compact(NOW).await.unwrap();
}

#[tokio::test]
async fn every_nonce_is_listed_and_what_expired_is_dropped() {
    let Some(redis) = Redis::start(&[]) else { return };
    let state = state(&redis, "a").await;
    let mut expected = BTreeSet::new();
    for nonce in 0..3000_u64 {
        // Many accounts with one nonce each, and one with many.
        let account = if nonce < 1500 { nonce + 10 } else { 1 };
        let claim = claim(nonce, account, NOW, NOW + 330 + nonce % 2);
        assert_eq!(claimed(&state, claim).await.unwrap(), NonceAnswer::Spent);
        expected.insert((claim.key.to_string(), claim.account.to_string(), claim.until));
    }
    let listed: BTreeSet<_> = all(&state, Kind::Nonce)
        .await
        .into_iter()
        .map(|record| match record {
            Record::Nonce { key, account, until } => (key.to_string(), account.to_string(), until),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(listed, expected);
    assert_eq!(state.overview().await.unwrap().nonces, 3000);
    state.compact(NOW + 365).await.unwrap();
    assert_eq!(state.overview().await.unwrap().nonces, 3000);
    state.compact(NOW + 366).await.unwrap();
    assert_eq!(state.overview().await.unwrap().nonces, 1500);
    assert_eq!(claimed(&state, claim(0, 10, NOW + 330, NOW + 660)).await.unwrap(), NonceAnswer::Full);
    state.compact(NOW + 367).await.unwrap();
    assert_eq!(state.overview().await.unwrap().nonces, 0);
    let keys = redis.ask(&["KEYS", "*"]);
    assert_eq!(keys, "*1", "the epoch alone is left");
}

#[tokio::test]
async fn records_are_put_and_come_back_and_none_becomes_weaker() {
    let Some(redis) = Redis::start(&[]) else { return };
    let state = state(&redis, "a").await;
    let id = |name: &str| Digest::of(name.as_bytes());
    let records = vec![
        Record::Revocation { id: id("r"), what: "a token\nof two lines".into(), at: NOW },
        Record::RevocationList { issuer: "issuer".into(), sequence: 7 },
        Record::Standing { id: id("s"), who: "someone".into(), until: Some(NOW + 50) },
        Record::Usage { grant: id("u"), account: id("root"), calls: 5, until: NOW + 900 },
        Record::Nonce { key: id("n"), account: id("root"), until: NOW + 330 },
    ];
    state.put(records.clone()).await.unwrap();
    let listed = async || {
        let mut listed = Vec::new();
        for kind in Kind::ALL {
            listed.extend(all(&state, kind).await);
        }
        listed
    };
    assert_eq!(listed().await, records);
    // What is weaker changes nothing.
    let weaker = vec![
        Record::Revocation { id: id("r"), what: "other".into(), at: NOW + 1 },
        Record::RevocationList { issuer: "issuer".into(), sequence: 6 },
        Record::Standing { id: id("s"), who: String::new(), until: Some(NOW + 49) },
        Record::Usage { grant: id("u"), account: id("root"), calls: 4, until: NOW + 800 },
        Record::Nonce { key: id("n"), account: id("root"), until: NOW + 329 },
    ];
    state.put(weaker).await.unwrap();
    assert_eq!(listed().await, records);
    let stronger = vec![
        Record::Revocation { id: id("r"), what: "a token\nof two lines".into(), at: NOW - 1 },
        Record::RevocationList { issuer: "issuer".into(), sequence: 8 },
        Record::Standing { id: id("s"), who: "someone".into(), until: None },
        Record::Usage { grant: id("u"), account: id("root"), calls: 6, until: NOW + 901 },
        Record::Nonce { key: id("n"), account: id("root"), until: NOW + 331 },
    ];
    state.put(stronger.clone()).await.unwrap();
    assert_eq!(listed().await, stronger);
    state.put(records).await.unwrap();
    assert_eq!(listed().await, stronger);
    // They count for the kernels.
    assert_eq!(state.first_revoked(&[id("x"), id("r")]).await.unwrap(), Some(1));
    assert_eq!(state.worst(&[id("s")], NOW).await.unwrap(), Standing::Banned);
    let places = [vec![Allowance { grant: id("u"), account: id("root"), limit: 7, until: NOW + 900 }]];
    assert!(matches!(UsageStore::spend(&*state, &places, NOW).await.unwrap(), Spending::Spent(_)));
    assert!(matches!(UsageStore::spend(&*state, &places, NOW).await.unwrap(), Spending::Exhausted { .. }));
    let spent = chio_kernel::store::NonceClaim { key: id("n"), account: id("root"), now: NOW, until: NOW + 330 };
    // An export may be older than the last call: the next claim finds that, and begins anew.
    claimed(&state, spent).await.unwrap_err();
    let later = chio_kernel::store::NonceClaim { now: spent.now + 100, ..spent };
    assert_eq!(claimed(&state, later).await.unwrap(), NonceAnswer::Replayed);
    assert!(state.remembers_since() >= Some(NOW + 30));
}

#[tokio::test]
async fn what_was_done_by_hand_is_undone_by_hand() {
    let Some(redis) = Redis::start(&[]) else { return };
    let state = state(&redis, "a").await;
    let who = key_id("someone");
    state.revoke(who).await.unwrap();
    assert_eq!(all(&state, Kind::Revocation).await, [Record::Revocation { id: who, what: String::new(), at: NOW }]);
    assert!(state.unrevoke(who).await.unwrap());
    assert!(!state.unrevoke(who).await.unwrap());
    assert_eq!(state.first_revoked(&[who]).await.unwrap(), None);

    assert_eq!(state.count_failure(who, NOW, 0).await.unwrap(), 1);
    state.set_standing("someone", Standing::Suspended { until: NOW + 9 }).await.unwrap();
    assert_eq!(state.count_failure(who, NOW, 0).await.unwrap(), 1, "forgiven");
    let listed = |until| [Record::Standing { id: who, who: "someone".into(), until }];
    assert_eq!(all(&state, Kind::Standing).await, listed(Some(NOW + 9)));
    state.worsen(who, Standing::Banned, NOW).await.unwrap();
    assert_eq!(all(&state, Kind::Standing).await, listed(None), "its name is kept");
    state.set_standing("someone", Standing::Good).await.unwrap();
    assert_eq!(state.worst(&[who], NOW).await.unwrap(), Standing::Good);
    state.set_standing("someone", Standing::Suspended { until: NOW + 9 }).await.unwrap();
    state.compact(NOW + 9 + 36).await.unwrap();
    assert_eq!(all(&state, Kind::Standing).await, []);
}
