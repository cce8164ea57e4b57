//! What the owner of a state asks and changes by hand, beside a kernel that goes on.

use std::sync::Arc;

use chio_kernel::store::{NonceClaim, NonceStore, Standing, UsageStore as _, key_id};
use chio_store::{Kind, Record, SqliteState, State};
use chio_tests::world::{ARGUMENTS, NOW, agent, call, code, honest, issue, terms};
use pollster::block_on;

use crate::{kernel, limited, open, options};

fn claim(nonce: &str) -> NonceClaim {
    NonceClaim { key: key_id(nonce), account: key_id("account"), now: NOW, until: NOW + 330 }
}

fn all(state: &dyn State, kind: Kind) -> Vec<Record> {
    let (mut records, mut from) = (Vec::new(), None);
    loop {
        let page = block_on(state.records(kind, from)).unwrap();
        records.extend(page.items);
        let Some(next) = page.next else { return records };
        from = Some(next);
    }
}

#[test]
fn what_is_changed_by_hand_counts_for_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let running = kernel(open(&path).stores());
    assert_eq!(code(&running, honest("a")), "");
    let hand = SqliteState::beside(&options(&path)).unwrap();
    let agent = agent().public_key().to_string();
    let revoked = Record::Revocation { id: key_id(&agent), what: agent.clone(), at: NOW };
    block_on(hand.put(vec![revoked.clone()])).unwrap();
    assert_eq!(code(&running, honest("b")), "capability_revoked");
    assert_eq!(all(&hand, Kind::Revocation), [revoked]);
    assert!(block_on(hand.unrevoke(key_id(&agent))).unwrap());
    assert!(!block_on(hand.unrevoke(key_id(&agent))).unwrap());
    assert_eq!(code(&running, honest("c")), "");
    block_on(hand.set_standing(&agent, Standing::Banned)).unwrap();
    assert_eq!(code(&running, honest("d")), "subject_banned");
    block_on(hand.set_standing(&agent, Standing::Suspended { until: NOW + 9 })).unwrap();
    assert_eq!(code(&running, honest("e")), "subject_suspended");
    let suspended = Record::Standing { id: key_id(&agent), who: agent.clone(), until: Some(NOW + 9) };
    assert_eq!(all(&hand, Kind::Standing), [suspended]);
    block_on(hand.set_standing(&agent, Standing::Good)).unwrap();
    assert_eq!(code(&running, honest("f")), "");
    // Whoever stands beside a kernel spends nothing: its nonces are in that kernel's memory.
    assert!(block_on(NonceStore::spend(&hand, claim("beside"))).is_err());
    assert_eq!(code(&kernel(Arc::new(hand).stores()), honest("g")), "store_unavailable");
    assert_eq!(code(&running, honest("g")), "");
}

#[test]
fn what_is_taken_out_can_be_put_in_elsewhere_and_nothing_becomes_weaker() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
    let chain = issue(terms(vec![limited(3)]));
    let first = open(&from);
    let running = kernel(first.stores());
    for nonce in ["a", "b"] {
        assert_eq!(code(&running, call(&chain, ARGUMENTS, nonce)), "");
    }
    block_on(running.revoke_key(&chio_tests::world::thief().public_key())).unwrap();
    block_on(first.set_standing("somebody", Standing::Banned)).unwrap();
    let list = Record::RevocationList { issuer: "an issuer".into(), sequence: 7 };
    block_on(first.put(vec![list])).unwrap();
    let taken = |state: &SqliteState| Kind::ALL.map(|kind| all(state, kind));
    let records = taken(&first);
    assert_eq!(records.each_ref().map(Vec::len), [1, 1, 1, 0, 1, 2]);
    for record in records.iter().flatten() {
        let line = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), *record, "{line}");
    }

    let second = open(&to);
    let weaker = vec![
        Record::Standing { id: key_id("somebody"), who: String::new(), until: Some(5) },
        Record::RevocationList { issuer: "an issuer".into(), sequence: 9 },
    ];
    block_on(second.put(weaker.clone())).unwrap();
    for _ in 0..2 {
        // Nonces stand in the file twice then, which changes nothing.
        block_on(second.put(records.iter().flatten().cloned().collect())).unwrap();
    }
    block_on(second.put(weaker)).unwrap();
    let mut expected = records;
    expected[1] = vec![Record::RevocationList { issuer: "an issuer".into(), sequence: 9 }];
    let mut found = taken(&second);
    found[5].dedup_by_key(|record| format!("{record:?}"));
    found[5].truncate(2);
    assert_eq!(found, expected);
    let running = kernel(second.stores());
    assert_eq!(block_on(second.overview()).unwrap().remembers_since, options(&to).now);
    assert_eq!(code(&running, call(&chain, ARGUMENTS, "a")), "nonce_replayed");
    assert_eq!(code(&running, call(&chain, ARGUMENTS, "c")), "");
    assert_eq!(code(&running, call(&chain, ARGUMENTS, "d")), "budget_exhausted");
}

/// An export may be older than the last call: what it does not have could have been spent.
#[test]
fn after_nonces_are_put_in_proofs_from_before_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path));
    let late = chio_store::SqliteOptions { now: NOW, ..options(&path) };
    let state = Arc::new(SqliteState::open(&late).unwrap());
    assert_eq!(code(&kernel(state.stores()), honest("a")), "");
    let nonce = Record::Nonce { key: key_id("nonce"), account: key_id("account"), until: NOW };
    let running = kernel(state.stores());
    let given_out = running.new_nonce().unwrap();
    block_on(state.put(vec![nonce])).unwrap();
    assert_eq!(code(&running, honest("b")), "proof_predates_kernel");
    assert_eq!(code(&running, honest(&given_out)), "proof_predates_kernel", "it may have been spent, too");
    drop((running, state));
    assert_eq!(code(&kernel(open(&path).stores()), honest("b")), "proof_predates_kernel");
}

#[test]
fn a_count_beyond_all_numbers_does_not_stop_those_that_can_be_counted() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let count = |calls| Record::Usage { grant: key_id("g"), account: key_id("a"), calls, until: NOW + 100 };
    block_on(state.put(vec![count(5)])).unwrap();
    block_on(state.put(vec![count(u64::MAX), count(u64::MAX)])).unwrap();
    assert_eq!(all(&*state, Kind::Usage), [count(1 << 53)]);
}

#[test]
fn many_records_come_page_by_page_and_compacting_drops_what_expired() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let records = (0..2500_u64).map(|number| Record::Nonce {
        key: key_id(&number.to_string()),
        account: key_id("account"),
        until: NOW + number,
    });
    let records: Vec<_> = records.collect();
    block_on(state.put(records.clone())).unwrap();
    assert!(all(&*state, Kind::Nonce) == records);
    let ids =
        (0..1500_u64).map(|number| Record::Revocation { id: key_id(&number.to_string()), what: "x".into(), at: 1 });
    block_on(state.put(ids.collect())).unwrap();
    assert_eq!(all(&*state, Kind::Revocation).len(), 1500);
    block_on(state.compact(NOW + 60 + 1000)).unwrap();
    // They are kept 900 together, until the last of them has expired.
    assert!(all(&*state, Kind::Nonce) == records[900..]);
    block_on(state.refund(&[])).unwrap();
}
