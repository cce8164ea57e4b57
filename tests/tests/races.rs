//! Races: the same calls in every order in which threads can come.
//!
//! `.ci/races` runs them. The kernel's locks and atomics are those of `shuttle` then (`chio_kernel/src/sync.rs`), which
//! decides at each of them who goes on: a thousand random schedules a scenario, a thousand by PCT (schedules with few
//! changes of threads), and of the small ones all there are. `CHIO_RACES=100000` looks a hundred times as hard.
//!
//! By itself, `cargo test` runs each a few times with the threads of the operating system, and `.ci/miri` those of the
//! stores with Miri's, which finds data races.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chio_audit::{ChainReport, ChainVerifier};
use chio_core::capability::{CapabilityChain, Terms};
use chio_core::digest::Digest;
use chio_core::receipt::OutcomeStatus;
use chio_kernel::config::{Response, ThreatResponse};
use chio_kernel::store::{
    Allowance, DpopNonceStore, MemoryReceipts, MemoryStandings, MemoryUsage, NonceAnswer, NonceClaim, NonceStore,
    Spending, Standing, StandingStore, UsageStore,
};
use chio_kernel::{Kernel, Settings, SignedCall, Stores};
use chio_tests::world::{
    ARGUMENTS, NOW, World, body, call, call_with, capability, code, docs_grant, honest, issue, kernel_key, serial,
    terms, thief,
};
use pollster::block_on;
use scheduled::{JoinHandle, exhaust, explore, spawn};

#[cfg(shuttle)]
mod scheduled {
    use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
    pub use shuttle::thread::{JoinHandle, spawn};
    use shuttle::{Config, Runner};

    /// How many changes of threads, at most, a PCT schedule is made around: more than any scenario here needs to fail.
    const PCT_DEPTH: usize = 3;

    /// How many schedules are all there are, at most.
    const MOST: usize = 300_000;

    fn run(name: &str, scheduler: impl Scheduler + 'static, scenario: fn()) -> usize {
        let mut config = Config::new();
        // Signatures take more than the usual 60 KiB.
        config.stack_size = 1 << 20;
        let schedules = Runner::new(scheduler, config).run(scenario);
        println!("{name}: {schedules} schedules");
        schedules
    }

    /// Runs a scenario under many schedules.
    pub fn explore(scenario: fn()) {
        let asked = std::env::var("CHIO_RACES").ok().and_then(|asked| asked.parse().ok());
        let schedules: usize = asked.unwrap_or(1000);
        run("random", RandomScheduler::new(schedules), scenario);
        run("PCT", PctScheduler::new(PCT_DEPTH, schedules), scenario);
    }

    /// Runs a small scenario under every schedule there is.
    pub fn exhaust(scenario: fn()) {
        explore(scenario);
        let schedules = run("all", DfsScheduler::new(Some(MOST), false), scenario);
        assert!(schedules < MOST, "there are more schedules than {MOST}: the scenario is no longer small");
    }
}

#[cfg(not(shuttle))]
mod scheduled {
    pub use std::thread::{JoinHandle, spawn};

    pub fn explore(scenario: fn()) {
        (0..if cfg!(miri) { 5 } else { 20 }).for_each(|_| scenario());
    }

    pub use explore as exhaust;
}

/// What comes of calls that are made at the same time.
fn together<T: Send + 'static>(calls: impl IntoIterator<Item = impl FnOnce() -> T + Send + 'static>) -> Vec<T> {
    let threads: Vec<JoinHandle<T>> = calls.into_iter().map(spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn count<T: PartialEq>(answers: &[T], of: &T) -> usize {
    answers.iter().filter(|answer| *answer == of).count()
}

// ---- The nonce store ----

fn claim(nonce: u8, account: u8, now: u64, until: u64) -> NonceClaim {
    NonceClaim { key: Digest::of(&[nonce]), account: Digest::of(&[account]), now, until }
}

/// What a store answers to claims that come at the same time.
fn claims(store: DpopNonceStore, claims: &[NonceClaim]) -> (Vec<NonceAnswer>, Arc<DpopNonceStore>) {
    let store = Arc::new(store);
    let claims = claims.iter().copied().map(|claim| {
        let store = Arc::clone(&store);
        move || store.claim(&claim)
    });
    (together(claims), store)
}

fn one_nonce(capacity: usize) {
    let store = DpopNonceStore::with_quota(capacity, capacity, Duration::ZERO);
    let (answers, _) = claims(store, &[claim(1, 1, 0, 10); 3]);
    assert_eq!(count(&answers, &NonceAnswer::Spent), 1, "{answers:?}");
    assert_eq!(count(&answers, &NonceAnswer::Replayed), 2, "{answers:?}");
}

#[test]
fn one_nonce_is_spent_by_one_thread() {
    exhaust(|| one_nonce(8));
}

#[test]
fn one_nonce_is_spent_by_one_thread_in_a_store_of_several_shards() {
    exhaust(|| one_nonce(1 << 16));
}

#[test]
fn no_more_nonces_are_spent_than_there_is_room_for() {
    exhaust(|| {
        let store = DpopNonceStore::with_quota(2, 2, Duration::ZERO);
        let (answers, store) = claims(store, &[claim(1, 1, 0, 10), claim(2, 2, 0, 10), claim(3, 3, 0, 10)]);
        assert_eq!(count(&answers, &NonceAnswer::Spent), 2, "{answers:?}");
        assert_eq!(count(&answers, &NonceAnswer::Full), 1, "{answers:?}");
        assert_eq!(store.len(), 2);
    });
}

#[test]
fn no_account_gets_more_than_its_quota() {
    exhaust(|| {
        let store = DpopNonceStore::with_quota(8, 1, Duration::ZERO);
        let (answers, _) = claims(store, &[claim(1, 1, 0, 10), claim(2, 1, 0, 10), claim(3, 2, 0, 10)]);
        assert_eq!(count(&answers[..2], &NonceAnswer::Spent), 1, "{answers:?}");
        assert_eq!(count(&answers[..2], &NonceAnswer::QuotaExceeded), 1, "{answers:?}");
        assert_eq!(answers[2], NonceAnswer::Spent);
    });
}

#[test]
fn a_replay_that_comes_late_is_not_spent_while_others_drop_what_expired() {
    exhaust(|| {
        let store = DpopNonceStore::with_quota(8, 8, Duration::ZERO);
        assert_eq!(store.claim(&claim(1, 1, 0, 10)), NonceAnswer::Spent);
        let (answers, _) = claims(store, &[claim(1, 1, 10, 20), claim(2, 1, 16, 26), claim(3, 1, 17, 27)]);
        assert_ne!(answers[0], NonceAnswer::Spent);
        assert_eq!(count(&answers[1..], &NonceAnswer::Full), usize::from(answers[1] == NonceAnswer::Full));
    });
}

// ---- The counts of calls ----

fn allowance(grant: u8, limit: u64) -> Vec<Allowance> {
    vec![Allowance { grant: Digest::of(&[grant]), account: Digest::of(b"root"), limit, until: 100 }]
}

fn spend(usage: &MemoryUsage, places: &[Vec<Allowance>]) -> Spending {
    block_on(usage.spend(places, 0)).unwrap()
}

#[test]
fn the_last_call_of_a_grant_is_spent_once_and_the_loser_spends_nothing() {
    exhaust(|| {
        let usage = Arc::new(MemoryUsage::default());
        // One parent, and a child each.
        let answers = together([1, 2, 3].map(|child| {
            let usage = Arc::clone(&usage);
            move || matches!(spend(&usage, &[allowance(0, 1), allowance(child, 1)]), Spending::Spent(_))
        }));
        assert_eq!(count(&answers, &true), 1, "{answers:?}");
        for (child, spent) in (1..).zip(answers) {
            let left = matches!(spend(&usage, &[allowance(child, 1)]), Spending::Spent(_));
            assert_eq!(left, !spent, "child {child}");
        }
    });
}

#[test]
fn what_is_given_back_can_be_spent_once_more() {
    exhaust(|| {
        let usage = Arc::new(MemoryUsage::default());
        let held = Arc::new(AtomicUsize::new(0));
        let answers = together([true, true, false].map(|gives_back| {
            let (usage, held) = (Arc::clone(&usage), Arc::clone(&held));
            move || {
                let Spending::Spent(spent) = spend(&usage, &[allowance(0, 1)]) else { return false };
                // An atomic of the standard library: no thread comes in between.
                assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0, "two hold the only call");
                if gives_back {
                    held.fetch_sub(1, Ordering::SeqCst);
                    block_on(usage.refund(&spent)).unwrap();
                }
                !gives_back
            }
        }));
        let left = matches!(spend(&usage, &[allowance(0, 1)]), Spending::Spent(_));
        assert_eq!(left, count(&answers, &true) == 0, "{answers:?}");
    });
}

// ---- Standings ----

#[test]
fn no_suspension_takes_the_place_of_a_ban_and_no_failure_goes_uncounted() {
    exhaust(|| {
        let store = Arc::new(MemoryStandings::default());
        let who = Digest::of(b"agent");
        let counts = together([Standing::Banned, Standing::Suspended { until: 50 }].map(|standing| {
            let store = Arc::clone(&store);
            move || {
                block_on(store.worsen(who, standing, 0)).unwrap();
                block_on(store.count_failure(who, 0, 0)).unwrap()
            }
        }));
        assert_eq!(block_on(store.worst(&[who], 0)), Ok(Standing::Banned));
        assert_eq!(counts.iter().sum::<u64>(), 1 + 2);
    });
}

// ---- The whole kernel ----

static HONEST: LazyLock<Vec<SignedCall>> = LazyLock::new(|| ["a", "b", "c", "d"].map(honest).to_vec());

fn calls(kernel: &Kernel, calls: impl IntoIterator<Item = SignedCall>) -> Vec<&'static str> {
    together(calls.into_iter().map(|call| {
        let kernel = kernel.clone();
        move || code(&kernel, call)
    }))
}

/// The chain of receipts holds, whatever the order was.
fn report(receipts: &MemoryReceipts) -> ChainReport {
    let mut verifier = ChainVerifier::new(Some(kernel_key().public_key()));
    receipts.all().iter().try_for_each(|receipt| verifier.push(receipt)).unwrap();
    verifier.finish()
}

/// No race, but the one path through a whole kernel for which Miri has the time.
#[test]
#[cfg_attr(shuttle, ignore = "it has one thread")]
fn one_call_is_allowed_once_and_revoked() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = world.kernel();
    let call = honest("a");
    assert_eq!(code(&kernel, call.clone()), "");
    assert_eq!(code(&kernel, call.clone()), "nonce_replayed");
    let id = CapabilityChain::parse(&call.capability).unwrap().leaf().id.parse().unwrap();
    block_on(kernel.revoke_capability(id)).unwrap();
    assert_eq!(code(&kernel, call), "capability_revoked");
    let report = report(&receipts);
    assert_eq!((report.receipts, report.allowed, report.denied, report.unfinished), (4, 1, 2, 0));
}

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn one_proof_is_allowed_once_and_the_receipts_are_one_chain() {
    explore(|| {
        let world = World::new();
        let receipts = Arc::clone(&world.receipts);
        let kernel = world.kernel();
        let [same, other, ..] = &HONEST[..] else { panic!("four") };
        let answers = calls(&kernel, [same.clone(), same.clone(), other.clone()]);
        assert_eq!(count(&answers[..2], &""), 1, "{answers:?}");
        assert_eq!(count(&answers[..2], &"nonce_replayed"), 1, "{answers:?}");
        assert_eq!(answers[2], "");
        let report = report(&receipts);
        assert_eq!((report.receipts, report.allowed, report.denied, report.unfinished), (5, 2, 1, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn one_proof_is_allowed_once_by_two_kernels_that_share_a_store() {
    explore(|| {
        let nonces: Arc<dyn NonceStore> = Arc::new(DpopNonceStore::new(64, Duration::ZERO));
        let kernels = [(); 2].map(|()| {
            let stores = Stores { nonces: Some(Arc::clone(&nonces)), ..Stores::default() };
            World::with_stores(stores).kernel()
        });
        let answers = together([0, 1, 0].map(|number| {
            let kernel = kernels[number].clone();
            move || code(&kernel, HONEST[0].clone())
        }));
        assert_eq!(count(&answers, &""), 1, "{answers:?}");
        assert_eq!(count(&answers, &"nonce_replayed"), 2, "{answers:?}");
    });
}

/// Calls by a grant of one call.
static LAST: LazyLock<Vec<SignedCall>> = LazyLock::new(|| {
    let chain = issue(terms(vec![docs_grant().max_invocations(1)]));
    ["a", "b", "c", "d"].map(|nonce| call(&chain, ARGUMENTS, nonce)).to_vec()
});

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn two_calls_race_for_the_last_of_max_invocations() {
    explore(|| {
        let kernel = World::new().kernel();
        let answers = calls(&kernel, LAST[..3].to_vec());
        assert_eq!(count(&answers, &""), 1, "{answers:?}");
        assert_eq!(count(&answers, &"budget_exhausted"), 2, "{answers:?}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn a_call_that_never_reached_its_tool_server_is_given_back_once() {
    explore(|| {
        let kernel = World::new().kernel();
        let answers = together([false, true, true].into_iter().zip(LAST.iter()).map(|(reaches, call)| {
            let (kernel, call) = (kernel.clone(), call.clone());
            move || {
                if reaches {
                    return code(&kernel, call);
                }
                match block_on(kernel.authorize(call)) {
                    Ok(authorized) => {
                        block_on(authorized.finish(OutcomeStatus::NotReached, None)).unwrap();
                        "given back"
                    }
                    Err(denied) => denied.denial.code(),
                }
            }
        }));
        let reached = count(&answers, &"");
        assert!(reached <= 1, "{answers:?}");
        let last = if reached == 0 { "" } else { "budget_exhausted" };
        assert_eq!(code(&kernel, LAST[3].clone()), last, "{answers:?}");
    });
}

/// Calls by two chains, of which the cache has room for one.
static CHAINS: LazyLock<[Vec<SignedCall>; 2]> = LazyLock::new(|| {
    [1, 2].map(|number| {
        let chain = issue(Terms { serial: serial(number), ..terms(vec![docs_grant()]) });
        ["a", "b", "c", "d"].map(|nonce| call(&chain, ARGUMENTS, nonce)).to_vec()
    })
});

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn a_revoked_chain_is_denied_from_then_on_while_the_cache_fills_and_empties() {
    explore(|| {
        let world = World::new();
        let receipts = Arc::clone(&world.receipts);
        let [revoked, other] = &*CHAINS;
        let chain_cache_bytes = revoked[0].capability.len() * 32 + 100;
        let settings = Settings { chain_cache_bytes, ..Settings::default() };
        let kernel = world.builder.settings(settings).build().unwrap();
        world.clock.set(NOW);
        let twice = |calls: &[SignedCall]| {
            let (kernel, calls) = (kernel.clone(), calls.to_vec());
            move || calls.into_iter().map(|call| code(&kernel, call)).collect::<Vec<_>>()
        };
        let (one, another) = (spawn(twice(&revoked[..2])), spawn(twice(&other[..2])));
        let id = CapabilityChain::parse(&revoked[0].capability).unwrap().leaf().id.parse().unwrap();
        let (revoking, after) = (kernel.clone(), revoked[2].clone());
        let revoking = spawn(move || {
            block_on(revoking.revoke_capability(id)).unwrap();
            code(&revoking, after)
        });
        assert_eq!(revoking.join().unwrap(), "capability_revoked");
        let answers = one.join().unwrap();
        assert!([["", ""], ["", "capability_revoked"], ["capability_revoked"; 2]].contains(&[answers[0], answers[1]]));
        assert_eq!(another.join().unwrap(), ["", ""]);
        assert_eq!(code(&kernel, revoked[3].clone()), "capability_revoked");
        assert_eq!(code(&kernel, other[2].clone()), "");
        let report = report(&receipts);
        assert_eq!(report.allowed, u64::try_from(3 + count(&answers, &"")).unwrap());
    });
}

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn denials_that_prove_nothing_are_counted_or_receipted_each_once() {
    explore(|| {
        let world = World::new();
        let (receipts, clock) = (Arc::clone(&world.receipts), world.clock.clone());
        let settings = Settings { unproven_receipts_per_second: 1, ..Settings::default() };
        let kernel = world.builder.settings(settings).build().unwrap();
        clock.set(NOW);
        let later = spawn(move || clock.set(NOW + 1));
        let answers = calls(&kernel, [(); 3].map(|()| SignedCall { proof: None, ..HONEST[0].clone() }));
        later.join().unwrap();
        assert_eq!(answers, ["proof_missing"; 3]);
        block_on(kernel.flush()).unwrap();
        let report = report(&receipts);
        assert!((1..=2).contains(&report.denied), "{report:?}");
        assert_eq!(report.denied + report.suppressed, 3);
    });
}

/// The calls of somebody who has the capability and not the key.
static FORGED: LazyLock<Vec<SignedCall>> = LazyLock::new(|| {
    let chain = capability();
    ["x", "y"].map(|nonce| call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, nonce), &thief())).to_vec()
});

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn no_forged_signature_goes_uncounted() {
    explore(|| {
        let threat = ThreatResponse { signature_failures: 2, signature: Response::Ban, ..ThreatResponse::default() };
        let world = World::new();
        let kernel = world.builder.settings(Settings { threat, ..Settings::default() }).build().unwrap();
        world.clock.set(NOW);
        assert_eq!(calls(&kernel, FORGED.clone()), ["proof_signature_invalid"; 2]);
        assert_eq!(code(&kernel, HONEST[0].clone()), "subject_banned");
    });
}

#[test]
#[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
fn a_clock_that_is_set_back_is_not_followed() {
    explore(|| {
        let world = World::new();
        let clock = world.clock.clone();
        let kernel = world.kernel();
        let meanwhile = kernel.clone();
        let meanwhile = spawn(move || code(&meanwhile, HONEST[0].clone()));
        clock.set(NOW + 301);
        assert_eq!(code(&kernel, HONEST[1].clone()), "proof_expired");
        clock.set(NOW);
        assert!(["", "proof_expired"].contains(&meanwhile.join().unwrap()));
        assert_eq!(code(&kernel, HONEST[2].clone()), "proof_expired", "it is fresh again");
    });
}
