//! What a kernel knew before it ended, the next one knows.

use std::sync::Arc;

use chio_audit::ChainVerifier;
use chio_core::receipt::{Event, Receipt};
use chio_kernel::config::{Response, ThreatResponse};
use chio_kernel::store::{NonceAnswer, NonceClaim, NonceStore as _, StandingStore as _, key_id};
use chio_kernel::{Kernel, Settings};
use chio_store::{SqliteOptions, SqliteState, State as _};
use chio_tests::world::{self, ARGUMENTS, NOW, agent, call, capability, code, honest, issue, terms, thief};
use pollster::block_on;

use crate::{kernel, limited, open};

/// All receipts of a state, verified.
pub(crate) fn receipts(state: &SqliteState) -> Vec<Receipt> {
    let mut verifier = ChainVerifier::new(None);
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = block_on(state.receipts(after)).unwrap();
        for line in &page.items {
            let receipt = Receipt::parse(line).unwrap();
            verifier.push(&receipt).unwrap();
            all.push(receipt);
        }
        let Some(next) = page.next else { return all };
        after = next.parse().unwrap();
    }
}

#[test]
fn a_replay_after_a_restart_is_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = kernel(open(&path).stores());
    assert_eq!((code(&first, honest("a")), code(&first, honest("a"))), ("", "nonce_replayed"));
    drop(first);
    let second = kernel(open(&path).stores());
    assert_eq!((code(&second, honest("a")), code(&second, honest("b"))), ("nonce_replayed", ""));
}

#[test]
fn a_file_that_is_new_remembers_nothing_from_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let stores = || Arc::new(SqliteState::open(&SqliteOptions::new(&path, NOW - 5)).unwrap()).stores();
    // The proof is dated `NOW`, which is before the start and the clock skew.
    assert_eq!(code(&kernel(stores()), honest("a")), "proof_predates_kernel");
    let kernel = kernel(stores());
    let nonce = kernel.new_nonce().unwrap();
    assert_eq!(code(&kernel, honest(&nonce)), "", "nobody can have used what was given out since");
}

#[test]
fn budgets_revocations_and_standings_survive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let chain = issue(terms(vec![limited(3)]));
    let make = |nonce: &str| call(&chain, ARGUMENTS, nonce);
    let first = kernel(open(&path).stores());
    assert_eq!((code(&first, make("a")), code(&first, make("b"))), ("", ""));
    drop(first);
    let second = kernel(open(&path).stores());
    assert_eq!((code(&second, make("c")), code(&second, make("d"))), ("", "budget_exhausted"));
    block_on(second.revoke_key(&thief().public_key())).unwrap();
    block_on(second.revoke_capability(chain.leaf().id.parse().unwrap())).unwrap();
    assert_eq!(code(&second, make("e")), "capability_revoked");
    drop(second);
    let state = open(&path);
    let agent = key_id(&agent().public_key().to_string());
    block_on(state.set(agent, chio_kernel::store::Standing::Suspended { until: NOW + 1 })).unwrap();
    drop(state);
    let third = kernel(open(&path).stores());
    assert_eq!((code(&third, make("f")), code(&third, honest("g"))), ("capability_revoked", "subject_suspended"));
}

#[test]
fn the_chain_of_receipts_goes_on_and_says_what_a_crash_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = kernel(open(&path).stores());
    assert_eq!(code(&first, honest("a")), "");
    // Allowed, and then the process is gone: there is no outcome.
    let left = block_on(first.authorize(honest("b"))).unwrap();
    let open_since = left.receipt().body.sequence;
    drop(left);
    drop(first);
    let state = open(&path);
    assert_eq!(block_on(state.overview()).unwrap().unfinished, 1);
    let second = kernel(state.stores());
    assert_eq!(code(&second, honest("a")), "nonce_replayed");
    let all = receipts(&state);
    let sums: Vec<_> = all
        .iter()
        .filter_map(|receipt| match &receipt.body.event {
            Event::Summary(summary) => Some(summary.unfinished.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(sums, [vec![open_since]]);
    drop((second, state));
    let state = open(&path);
    assert_eq!(block_on(state.overview()).unwrap().unfinished, 0, "it is said once");
}

#[test]
fn failed_signatures_are_forgiven_in_time_and_count_for_the_root_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let who = key_id("who");
    let failures = |at| block_on(state.count_failure(who, at, 10)).unwrap();
    assert_eq!([failures(100), failures(100), failures(109)], [1, 2, 3]);
    assert_eq!(failures(125), 2, "two were forgiven");
    assert_eq!(failures(1000), 1);

    let threat = ThreatResponse {
        root_signature_failures: 2,
        root_signature: Response::Suspend { seconds: 60 },
        ..ThreatResponse::default()
    };
    let settings = Settings { threat, ..Settings::default() };
    let kernel = Kernel::builder()
        .trust_root(world::issuer().public_key())
        .name("kernel-a")
        .tool_server(world::SERVER, world::echo())
        .clock(chio_kernel::clock::ManualClock::at(NOW))
        .settings(settings)
        .stores(state.stores())
        .build()
        .unwrap();
    let forged = |nonce: &str| {
        let body = world::body(&capability(), ARGUMENTS, nonce);
        world::call_with(&capability(), ARGUMENTS, body, &thief())
    };
    assert_eq!(code(&kernel, forged("a")), "proof_signature_invalid");
    assert_eq!(code(&kernel, honest("b")), "", "once is not twice");
    assert_eq!(code(&kernel, forged("c")), "proof_signature_invalid");
    assert_eq!(code(&kernel, honest("d")), "subject_suspended", "its issuer is, and with it all that hold its tokens");
}

#[test]
fn what_was_forgotten_is_not_fresh_again_when_the_clock_is_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let claim = |state: &SqliteState, nonce: &str, now: u64| {
        let claim = NonceClaim { key: key_id(nonce), account: key_id("account"), now, until: now + 330 };
        block_on(state.spend(claim)).unwrap()
    };
    let state = open(&path);
    assert_eq!(claim(&state, "a", NOW), NonceAnswer::Spent);
    // Long after, it is dropped from the file.
    assert_eq!(claim(&state, "b", NOW + 10_000), NonceAnswer::Spent);
    assert_eq!(block_on(state.overview()).unwrap().nonces, 1);
    drop(state);
    let state = open(&path);
    assert_eq!(claim(&state, "a", NOW), NonceAnswer::Full, "it cannot be told from a replay");
    assert_eq!(claim(&state, "c", NOW + 10_000), NonceAnswer::Spent);
}

#[test]
fn what_expired_goes_and_the_file_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let mut most = 0;
    for second in 0..40 {
        let now = NOW + second * 40;
        let claims = (0..200_u64).map(|number| {
            let key = key_id(&format!("{second} {number}"));
            state.spend(NonceClaim { key, account: key_id(&number.to_string()), now, until: now + 330 })
        });
        for claim in claims {
            assert_eq!(block_on(claim).unwrap(), NonceAnswer::Spent);
        }
        let overview = block_on(state.overview()).unwrap();
        assert!(overview.nonces <= 200 * 12, "{}", overview.nonces);
        if second == 20 {
            most = overview.bytes.unwrap();
        }
    }
    let bytes = block_on(state.overview()).unwrap().bytes.unwrap();
    assert!(bytes <= most + most / 10, "{bytes} bytes, and {most} half way");
}

#[test]
fn what_a_clock_far_ahead_wrote_does_not_keep_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let claim = |nonce: String, now: u64, until: u64| {
        let claim = NonceClaim { key: key_id(&nonce), account: key_id(&nonce), now, until };
        assert_eq!(block_on(state.spend(claim)).unwrap(), NonceAnswer::Spent);
    };
    let nonces = || block_on(state.overview()).unwrap().nonces;
    // More of them than one step looks at.
    for number in 0..1200 {
        claim(format!("far {number}"), NOW, NOW + 1_000_000);
    }
    for number in 0..300 {
        claim(format!("near {number}"), NOW, NOW + 330);
    }
    for second in 0..5 {
        claim(format!("after {second}"), NOW + 1000 + second, NOW + 1330 + second);
    }
    assert_eq!(nonces(), 1200 + 5);
}

#[test]
fn a_quota_and_the_capacity_hold_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let open = || SqliteState::open(&SqliteOptions { nonce_capacity: 16, ..crate::options(&path) }).unwrap();
    let claim = |state: &SqliteState, account: &str, nonce: &str| {
        let claim = NonceClaim { key: key_id(nonce), account: key_id(account), now: NOW, until: NOW + 330 };
        block_on(state.spend(claim)).unwrap()
    };
    let state = open();
    assert_eq!(["a", "b"].map(|nonce| claim(&state, "x", nonce)), [NonceAnswer::Spent; 2]);
    assert_eq!(claim(&state, "x", "c"), NonceAnswer::QuotaExceeded);
    for number in 0..14 {
        assert_eq!(claim(&state, &format!("account {}", number / 2), &format!("{number}")), NonceAnswer::Spent);
    }
    drop(state);
    let state = open();
    assert_eq!(claim(&state, "x", "a"), NonceAnswer::Replayed);
    assert_eq!(claim(&state, "x", "c"), NonceAnswer::QuotaExceeded);
    assert_eq!(claim(&state, "y", "c"), NonceAnswer::Full);
    let smaller = SqliteOptions { nonce_capacity: 2, ..crate::options(&path) };
    drop(state);
    let state = SqliteState::open(&smaller).unwrap();
    assert_eq!(claim(&state, "x", "a"), NonceAnswer::Replayed, "a smaller capacity loses nothing");
}

/// What was forgotten while proofs lived for a minute could be fresh again when they live for five.
#[test]
fn proofs_that_live_longer_than_before_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let with = |proof_life_secs, now| {
        let options = SqliteOptions { proof_life_secs, now, ..crate::options(&path) };
        SqliteState::open(&options).unwrap().remembers_since().unwrap()
    };
    let began = with(90, NOW - 5000);
    assert_eq!(with(90, NOW - 4000), began);
    assert_eq!(with(30, NOW - 3000), began, "shorter is safe");
    assert_eq!(with(90, NOW - 2000), NOW - 2000, "and longer than that is not");
}

#[test]
fn what_a_kernel_revokes_and_bans_stays_known_whatever_is_read_anew_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path);
    let hand = SqliteState::beside(&crate::options(&path)).unwrap();
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| {
            for number in 0..300_u64 {
                block_on(chio_kernel::store::RevocationStore::first_revoked(&*state, &[key_id(&number.to_string())]))
                    .unwrap();
            }
        });
        let revokes = scope.spawn(|| {
            for number in 0..300_u64 {
                let id = key_id(&format!("kernel {number}"));
                // Nobody waits for the answer, as when a deadline has passed: it is done all the same.
                drop(chio_kernel::store::RevocationStore::revoke(&*state, id));
                block_on(chio_kernel::store::RevocationStore::revoke(&*state, id)).unwrap();
                let known = block_on(chio_kernel::store::RevocationStore::first_revoked(&*state, &[id])).unwrap();
                assert_eq!(known, Some(0), "{number}");
            }
        });
        for number in 0..60_u64 {
            let revoked =
                chio_store::Record::Revocation { id: key_id(&format!("hand {number}")), what: "x".into(), at: 1 };
            block_on(hand.put(vec![revoked])).unwrap();
            let id = [key_id(&format!("hand {number}"))];
            let known = block_on(chio_kernel::store::RevocationStore::first_revoked(&*state, &id)).unwrap();
            assert_eq!(known, Some(0), "{number}");
        }
        revokes.join().unwrap();
        asks.join().unwrap();
    });
}

#[test]
fn attacks_fill_the_standings_and_the_owner_has_room_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let held =
        |number: u64, until| chio_store::Record::Standing { id: key_id(&number.to_string()), who: "x".into(), until };
    for part in 0..67_u64 {
        let records = (part * 1000..(part + 1) * 1000).map(|number| held(number, (number < 500).then_some(NOW + 5)));
        block_on(state.put(records.collect())).unwrap();
    }
    let suspended = chio_kernel::store::Standing::Suspended { until: NOW + 9 };
    let worsen = |who: &str| block_on(state.worsen(key_id(who), suspended, NOW));
    assert!(worsen("attacked").is_err(), "67,000 are turned away already");
    block_on(state.set(key_id("owner's"), chio_kernel::store::Standing::Banned)).unwrap();
    assert_eq!(block_on(state.worst(&[key_id("owner's")], NOW)).unwrap(), chio_kernel::store::Standing::Banned);
    block_on(state.count_failure(key_id("somebody"), NOW + 6, 0)).unwrap();
    assert!(worsen("attacked").is_err(), "500 have ended, and that is not enough");
}
