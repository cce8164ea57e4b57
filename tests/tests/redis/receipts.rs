//! The chain of receipts: one writer, no fork, and no gap that is not told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chio_audit::{ChainReport, ChainVerifier, FaultKind, ReceiptFault};
use chio_core::crypto::Keypair;
use chio_core::receipt::{ChainHead, Decision, Event, Receipt, Summary, Verdict};
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{KernelError, ReceiptStore};
use chio_store::{RedisOptions, RedisState, State};
use chio_tests::world::{NOW, SERVER, TOOL, honest, kernel_key};

use crate::kernels::answer;
use crate::server::{Redis, START, eventually, kernel, options, state};

/// All receipts of a state's chain, verified.
pub async fn verified(state: &RedisState) -> Result<ChainReport, ReceiptFault> {
    let mut verifier = ChainVerifier::new(None);
    let mut after = 0;
    loop {
        let page = State::receipts(state, after).await.unwrap();
        for line in &page.items {
            verifier.push(&Receipt::parse(line).unwrap())?;
        }
        let Some(next) = page.next else { return Ok(verifier.finish()) };
        after = next.parse().unwrap();
    }
}

/// Appends an allow, or a denial, of nobody.
async fn append(state: &RedisState, verdict: Verdict, key: &Keypair) -> Result<Receipt, KernelError> {
    let event = Event::Decision(Decision {
        verdict,
        code: None,
        step: None,
        mode: "enforce".into(),
        capability_id: None,
        subject: None,
        tool_server: SERVER.into(),
        tool_name: TOOL.into(),
        action_hash: None,
        proof_hash: None,
    });
    append_event(state, event, key.clone()).await
}

async fn append_event(state: &RedisState, event: Event, key: Keypair) -> Result<Receipt, KernelError> {
    state.append(Box::new(move |head: Option<ChainHead>| Receipt::append(head, NOW, event, &key))).await
}

#[tokio::test]
async fn a_second_connection_goes_on_with_the_chain_and_sums_up_what_was_left_open() {
    let Some(redis) = Redis::start(&[]) else { return };
    let first = state(&redis, "a").await;
    for _ in 0..1200 {
        append(&first, Verdict::Deny, &kernel_key()).await.unwrap();
    }
    append(&first, Verdict::Allow, &kernel_key()).await.unwrap();
    append(&first, Verdict::Allow, &kernel_key()).await.unwrap();
    assert_eq!(first.unfinished(), [0_u64; 0]);
    drop(first);

    let clock = ManualClock::at(START);
    let second = Arc::new(RedisState::connect(options(&redis, "a", &clock)).await.unwrap());
    assert_eq!(second.unfinished(), [1201, 1202]);
    assert_eq!(second.overview().await.unwrap().unfinished, 2);
    let kernel = kernel(&second, &clock, kernel_key());
    clock.set(NOW);
    assert_eq!(answer(&kernel, honest("a")).await, "");
    let overview = second.overview().await.unwrap();
    assert_eq!((overview.unfinished, overview.receipts.unwrap().sequence), (0, 1205));
    assert_eq!(overview.kernel_key, Some(kernel_key().public_key().to_string()));
    let report = verified(&second).await.unwrap();
    assert_eq!((report.receipts, report.allowed, report.denied), (1205, 3, 1200));
    assert_eq!(report.head, overview.receipts);

    let third = state(&redis, "a").await;
    assert_eq!(third.unfinished(), [0_u64; 0]);
    assert_eq!(state(&redis, "b").await.overview().await.unwrap().receipts, None, "another chain is another's");
}

#[tokio::test]
async fn no_more_is_summed_up_than_a_receipt_has_room_for() {
    let Some(redis) = Redis::start(&[]) else { return };
    let first = state(&redis, "a").await;
    for _ in 0..2003 {
        append(&first, Verdict::Allow, &kernel_key()).await.unwrap();
    }
    let second = state(&redis, "a").await;
    assert_eq!(second.unfinished(), (1..=2000).collect::<Vec<u64>>());
    let summary = Event::Summary(Summary { suppressed: 0, unfinished: second.unfinished() });
    append_event(&second, summary, kernel_key()).await.unwrap();
    assert_eq!(state(&redis, "a").await.unfinished(), [2001, 2002, 2003]);
}

#[tokio::test]
async fn a_stale_end_of_the_chain_is_not_appended_to() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (one, other) = (state(&redis, "a").await, state(&redis, "a").await);
    append(&one, Verdict::Deny, &kernel_key()).await.unwrap();
    let error = append(&other, Verdict::Deny, &kernel_key()).await.unwrap_err().to_string();
    assert!(error.contains("does another kernel write to a chain of this name?"), "{error}");
    // It has read the end again; a kernel would not sign after what it has not written.
    let receipt = append(&other, Verdict::Deny, &kernel_key()).await.unwrap();
    assert_eq!(receipt.body.sequence, 2);
    append(&one, Verdict::Deny, &kernel_key()).await.unwrap_err();
    assert_eq!(verified(&one).await.unwrap().receipts, 2);
}

#[tokio::test]
async fn two_kernels_with_one_chain_make_no_fork() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (clock, mut kernels) = (ManualClock::at(START), Vec::new());
    for _ in 0..2 {
        let state = Arc::new(RedisState::connect(options(&redis, "a", &clock)).await.unwrap());
        kernels.push((kernel(&state, &clock, kernel_key()), state));
    }
    clock.set(NOW);
    assert_eq!(answer(&kernels[0].0, honest("a")).await, "");
    for nonce in ["b", "c", "d"] {
        assert_eq!(answer(&kernels[1].0, honest(nonce)).await, "store_unavailable");
    }
    assert_eq!(answer(&kernels[0].0, honest("e")).await, "");
    assert_eq!(verified(&kernels[0].1).await.unwrap().allowed, 2);
}

#[tokio::test]
async fn receipts_that_redis_has_lost_leave_a_gap_that_is_told() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let store = Arc::new(RedisState::connect(options(&redis, "a", &clock)).await.unwrap());
    let kernel = kernel(&store, &clock, kernel_key());
    clock.set(NOW);
    assert_eq!(answer(&kernel, honest("a")).await, "");
    assert_eq!(redis.ask(&["DEL", "{chio}:h:a", "{chio}:l:a"]), ":2");
    // The end is read again after the first that fails.
    assert_eq!(answer(&kernel, honest("b")).await, "store_unavailable");
    assert_eq!(answer(&kernel, honest("c")).await, "");
    let fault = verified(&store).await.unwrap_err();
    assert_eq!((fault.sequence, fault.kind), (1, FaultKind::Missing { next: 3 }));
}

/// A command that was sent is run, even where nobody waits for its answer any more.
#[tokio::test]
async fn a_receipt_whose_confirmation_was_lost_is_found_again() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let options = RedisOptions { timeout: Duration::from_millis(100), ..options(&redis, "a", &clock) };
    let store = RedisState::connect(options).await.unwrap();
    let mut confirmed = 0;
    for _ in 0..20 {
        redis.stop();
        append(&store, Verdict::Deny, &kernel_key()).await.unwrap_err();
        redis.go_on();
        eventually("it goes on", || async { append(&store, Verdict::Deny, &kernel_key()).await.is_ok() }).await;
        confirmed += 1;
    }
    let report = verified(&store).await.unwrap();
    assert!(report.denied >= confirmed, "{} of {confirmed}", report.denied);
    println!("{} of 20 whose confirmation was lost were kept", report.denied - confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_whose_redis_is_stopped_again_and_again_has_one_whole_chain() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let options = RedisOptions { timeout: Duration::from_millis(50), ..options(&redis, "a", &clock) };
    let store = Arc::new(RedisState::connect(options).await.unwrap());
    let kernel = Arc::new(kernel(&store, &clock, kernel_key()));
    clock.set(NOW);
    let mut allowed = 0;
    for round in 0..20 {
        let calls = (0..16).map(|number| {
            let kernel = Arc::clone(&kernel);
            tokio::spawn(async move { answer(&kernel, honest(&format!("{round}-{number}"))).await.is_empty() })
        });
        let calls: Vec<_> = calls.collect();
        redis.stop();
        for call in calls {
            allowed += u64::from(call.await.unwrap());
        }
        redis.go_on();
        eventually("it goes on", || async {
            answer(&kernel, honest(&format!("{round}-{:?}", Instant::now()))).await.is_empty()
        })
        .await;
        allowed += 1;
    }
    eventually("it answers", || async { store.overview().await.is_ok() }).await;
    let report = verified(&store).await.unwrap();
    // What was written and not confirmed was not dispatched, and has no outcome.
    assert!(report.allowed >= allowed && report.allowed - allowed <= report.unfinished, "{allowed} {report:?}");
}
