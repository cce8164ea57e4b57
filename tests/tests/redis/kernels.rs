//! Two kernels on one Redis: what happens at both at once happens once.

use std::sync::Arc;

use chio_core::crypto::Keypair;
use chio_core::digest::Digest;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{Allowance, NonceAnswer, Spending, UsageStore};
use chio_kernel::{Kernel, SignedCall};
use chio_store::{RedisState, State};
use chio_tests::world::{
    ARGUMENTS, NOW, agent, body, call_with, capability, docs_grant, honest, issue, kernel_key, terms,
};

use crate::receipts::verified;
use crate::server::{Redis, START, claim, claimed, kernel, options, state};

const TASKS: u64 = 64;

/// Two kernels, each with its state and clock.
pub async fn two(redis: &Redis) -> [(Arc<RedisState>, ManualClock, Arc<Kernel>); 2] {
    let mut made = Vec::new();
    for (chain, key) in [("a", kernel_key()), ("b", Keypair::from_seed(&[6; 32]))] {
        let clock = ManualClock::at(START);
        let state = Arc::new(RedisState::connect(options(redis, chain, &clock)).await.unwrap());
        let kernel = kernel(&state, &clock, key);
        clock.set(NOW);
        made.push((state, clock, Arc::new(kernel)));
    }
    made.try_into().unwrap_or_else(|_| panic!("two"))
}

pub async fn answer(kernel: &Kernel, call: SignedCall) -> &'static str {
    match kernel.call(call).await {
        Ok(completed) => {
            completed.result.unwrap();
            ""
        }
        Err(denied) => denied.denial.code(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_nonce_is_spent_once_at_two_states_at_once() {
    const EACH: u64 = 160;
    let Some(redis) = Redis::start(&[]) else { return };
    let states = [state(&redis, "a").await, state(&redis, "b").await];
    let tasks = (0..TASKS).map(|task| {
        let [one, other] = states.clone();
        tokio::spawn(async move {
            for nonce in task * EACH..(task + 1) * EACH {
                let claim = claim(nonce, task % 3, NOW, NOW + 330);
                let (a, b) = tokio::join!(claimed(&one, claim), claimed(&other, claim));
                let mut answers = [a.unwrap(), b.unwrap()];
                answers.sort_by_key(|answer| *answer == NonceAnswer::Replayed);
                assert_eq!(answers, [NonceAnswer::Spent, NonceAnswer::Replayed]);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_proof_is_allowed_once_at_two_kernels_at_once() {
    const EACH: u64 = 20;
    let Some(redis) = Redis::start(&[]) else { return };
    let [(one, _, first), (other, _, second)] = two(&redis).await;
    let tasks = (0..TASKS).map(|task| {
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        tokio::spawn(async move {
            for nonce in 0..EACH {
                let call = honest(&format!("{task}-{nonce}"));
                let (a, b) = tokio::join!(answer(&first, call.clone()), answer(&second, call));
                let mut answers = [a, b];
                answers.sort_unstable();
                assert_eq!(answers, ["", "nonce_replayed"]);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let reports = [verified(&one).await.unwrap(), verified(&other).await.unwrap()];
    assert_eq!(reports.iter().map(|report| report.allowed).sum::<u64>(), TASKS * EACH);
    assert!(reports.iter().all(|report| report.unfinished == 0 && report.sealed));
}

/// A kernel may be asked from threads that know nothing of the runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_outside_of_the_runtime_works_as_well() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [(_, _, kernel), _] = two(&redis).await;
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let kernel = Arc::clone(&kernel);
            std::thread::spawn(move || pollster::block_on(answer(&kernel, honest(&format!("{}", thread % 4)))))
        })
        .collect();
    let answers: Vec<&str> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 4);
    assert_eq!(answers.iter().filter(|answer| **answer == "nonce_replayed").count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_across_two_states_is_spent_exactly() {
    const BUDGET: u64 = 500;
    let Some(redis) = Redis::start(&[]) else { return };
    let states = [state(&redis, "a").await, state(&redis, "b").await];
    let grant = Digest::of(b"grant");
    let places =
        Arc::new(vec![vec![Allowance { grant, account: Digest::of(b"root"), limit: BUDGET, until: NOW + 900 }]]);
    let tasks = (0..TASKS).map(|task| {
        let (state, places) = (Arc::clone(&states[usize::try_from(task % 2).unwrap()]), Arc::clone(&places));
        tokio::spawn(async move {
            let mut spent = 0;
            for _ in 0..20 {
                match UsageStore::spend(&*state, &places, NOW).await.unwrap() {
                    Spending::Spent(_) => spent += 1,
                    answer => assert_eq!(answer, Spending::Exhausted { place: 0 }),
                }
            }
            spent
        })
    });
    let mut spent = 0_u64;
    for task in tasks.collect::<Vec<_>>() {
        spent += task.await.unwrap();
    }
    assert_eq!(spent, BUDGET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_across_two_kernels_is_spent_exactly() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [(_, _, first), (_, _, second)] = two(&redis).await;
    let chain = issue(terms(vec![docs_grant().max_invocations(50)]));
    let tasks = (0..TASKS).map(|task| {
        let kernel = Arc::clone(if task % 2 == 0 { &first } else { &second });
        let chain = chain.clone();
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for nonce in 0..2 {
                let body = body(&chain, ARGUMENTS, &format!("{task}-{nonce}"));
                answers.push(answer(&kernel, call_with(&chain, ARGUMENTS, body, &agent())).await);
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        answers.extend(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 50);
    assert_eq!(answers.iter().filter(|answer| **answer == "budget_exhausted").count(), 2 * 64 - 50);
}

/// A proof is good for 300 s after it was made, and may be dated 30 s ahead.
#[tokio::test]
async fn a_kernel_whose_clock_is_20_seconds_ahead_forgets_nothing_that_the_other_could_take() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [(_, behind, first), (state, ahead, second)] = two(&redis).await;
    let dated = |nonce: &str, at| {
        let chain = capability();
        let mut body = body(&chain, ARGUMENTS, nonce);
        body.issued_at = at;
        call_with(&chain, ARGUMENTS, body, &agent())
    };
    ahead.set(NOW + 20);
    let (early, late) = (dated("early", NOW + 30), dated("late", NOW + 30));
    assert_eq!(answer(&first, early.clone()).await, "");
    assert_eq!(answer(&second, late.clone()).await, "");
    for second_of_life in (0..=420).step_by(10) {
        behind.set(NOW + second_of_life);
        ahead.set(NOW + 20 + second_of_life);
        // What has expired by the clock that is ahead is dropped.
        state.compact(NOW + 20 + second_of_life).await.unwrap();
        for (kernel, name, at) in [(&second, "b", NOW + 20), (&first, "a", NOW)] {
            let fresh = dated(&format!("{name}{second_of_life}"), at + second_of_life);
            assert_eq!(answer(kernel, fresh).await, "", "{name} at {second_of_life}");
            for call in [&early, &late] {
                let answer = answer(kernel, call.clone()).await;
                assert!(["nonce_replayed", "proof_expired"].contains(&answer), "{answer:?} at {second_of_life}");
            }
        }
    }
    assert_eq!(answer(&first, early).await, "proof_expired");
}
