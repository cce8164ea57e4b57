//! A Redis that is stopped, killed, emptied, full, or no longer lets its user in: denied within the deadline, and it goes on
//! without a restart of the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chio_kernel::clock::ManualClock;
use chio_kernel::config::Patience;
use chio_kernel::store::{NonceAnswer, NonceStore, RevocationStore};
use chio_kernel::{Kernel, Settings, SignedCall};
use chio_store::{ConnectError, RedisOptions, RedisState};
use chio_tests::world::{ARGUMENTS, NOW, SERVER, agent, body, call_with, capability, echo, honest, issuer, kernel_key};

use crate::kernels::{answer, two};
use crate::server::{Redis, START, claim, claimed, eventually, kernel, options, stores};

/// The deadline of the states of these tests, and how much later an answer may come on a busy machine.
const DEADLINE: Duration = Duration::from_millis(250);
const SLACK: Duration = Duration::from_millis(750);

struct One {
    state: Arc<RedisState>,
    clock: ManualClock,
    kernel: Arc<Kernel>,
}

async fn one(redis: &Redis) -> One {
    let clock = ManualClock::at(START);
    let options = RedisOptions { timeout: DEADLINE, ..options(redis, "a", &clock) };
    let state = Arc::new(RedisState::connect(options).await.unwrap());
    let kernel = Arc::new(kernel(&state, &clock, kernel_key()));
    clock.set(NOW);
    One { state, clock, kernel }
}

fn dated(nonce: &str, at: u64) -> SignedCall {
    let chain = capability();
    let mut body = body(&chain, ARGUMENTS, nonce);
    body.issued_at = at;
    call_with(&chain, ARGUMENTS, body, &agent())
}

/// Denied within the deadline, and with this code.
async fn denied(kernel: &Kernel, call: SignedCall, code: &str) {
    let start = Instant::now();
    assert_eq!(answer(kernel, call).await, code);
    // A call asks its stores one after the other, and the first that fails ends it; its denial may have a receipt.
    assert!(start.elapsed() < 2 * DEADLINE + SLACK, "{:?}", start.elapsed());
}

/// After a loss of memory: what was made before is refused, and what is made after is taken.
async fn remembers_anew(one: &One, used: SignedCall) {
    eventually("the kernel goes on", || async { answer(&one.kernel, used.clone()).await == "proof_predates_kernel" })
        .await;
    // The tolerance of the clocks, and the skew of a proof, 30 s each.
    let since = NOW + 30;
    assert_eq!(one.state.remembers_since(), Some(since));
    one.clock.set(NOW + 61);
    assert_eq!(answer(&one.kernel, used).await, "proof_predates_kernel");
    assert_eq!(answer(&one.kernel, dated("on the edge", since + 30)).await, "proof_predates_kernel");
    assert_eq!(answer(&one.kernel, dated("after", since + 31)).await, "");
    assert_eq!(answer(&one.kernel, dated("after", since + 31)).await, "nonce_replayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_is_denied_for_within_the_deadline_and_nobody_queues() {
    let Some(redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    assert_eq!(answer(&one.kernel, honest("before")).await, "");
    redis.stop();
    denied(&one.kernel, honest("first"), "store_unavailable").await;
    let start = Instant::now();
    for round in 0..3 {
        let calls = (0..100).map(|number| {
            let kernel = Arc::clone(&one.kernel);
            tokio::spawn(async move { answer(&kernel, honest(&format!("{round}-{number}"))).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), "store_unavailable");
        }
    }
    assert!(start.elapsed() < 3 * (2 * DEADLINE) + SLACK, "{:?}", start.elapsed());
    redis.go_on();
    eventually("it goes on", || async { claimed(&one.state, claim(1, 1, NOW, NOW + 330)).await.is_ok() }).await;
    denied(&one.kernel, honest("before"), "nonce_replayed").await;
    denied(&one.kernel, honest("after"), "").await;
    assert_eq!(one.state.remembers_since(), Some(START + 30), "nothing was lost");
}

/// Passes connections on. Those that were made before it went deaf stay open, and nothing comes through them any more.
async fn proxy(to: u16) -> (u16, tokio::sync::watch::Sender<u64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (deaf, heard) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut heard = heard.clone();
            heard.mark_unchanged();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    _ = heard.changed() => std::future::pending::<()>().await,
                }
            });
        }
    });
    (port, deaf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_over_which_nothing_comes_any_more_is_given_up() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (port, deaf) = proxy(redis.port).await;
    let clock = ManualClock::at(START);
    let options =
        RedisOptions { url: format!("redis://127.0.0.1:{port}"), timeout: DEADLINE, ..options(&redis, "a", &clock) };
    let state = Arc::new(RedisState::connect(options).await.unwrap());
    // A kernel with less patience than the state: it gives up first.
    let patience = Patience { store: Duration::from_millis(200), ..Patience::default() };
    let builder = Kernel::builder().trust_root(issuer().public_key()).name("kernel-a").clock(clock.clone());
    let builder = builder.stores(stores(&state)).settings(Settings { patience, ..Settings::default() });
    let kernel = builder.tool_server(SERVER, echo()).signing_key(kernel_key()).build().unwrap();
    clock.set(NOW);
    assert_eq!(answer(&kernel, honest("before")).await, "");
    for round in 0..3 {
        deaf.send(round + 1).unwrap();
        denied(&kernel, honest(&format!("a{round}")), "store_unavailable").await;
        eventually("it goes on", || async { answer(&kernel, honest("before")).await == "nonce_replayed" }).await;
        denied(&kernel, honest(&format!("b{round}")), "").await;
    }
}

/// What was asked before the stop, and answered after it, is nobody else's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_taken_for_anothers() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let options = RedisOptions { timeout: Duration::from_millis(30), ..options(&redis, "a", &clock) };
    let state = Arc::new(RedisState::connect(options).await.unwrap());
    let used = |number: u64| claim(1_000_000 + number, 1, NOW, NOW + 330);
    for number in 0..50 {
        while claimed(&state, used(number)).await.is_err() {}
    }
    let ended = Arc::new(AtomicBool::new(false));
    let tasks = (0..8).map(|task| {
        let (state, ended) = (Arc::clone(&state), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut right = 0_u32;
            for number in 0..10_000 {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                match claimed(&state, claim(task * 10_000 + number, 2, NOW, NOW + 330)).await {
                    Ok(answer) => assert_eq!(answer, NonceAnswer::Spent),
                    Err(_) => continue,
                }
                match claimed(&state, used(number % 50)).await {
                    Ok(answer) => assert_eq!(answer, NonceAnswer::Replayed),
                    Err(_) => continue,
                }
                right += 1;
            }
            right
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..25 {
        redis.stop();
        for _ in 0..3 {
            interval.tick().await;
        }
        redis.go_on();
        interval.tick().await;
    }
    ended.store(true, Ordering::SeqCst);
    let mut right = 0;
    for task in tasks {
        right += task.await.unwrap();
    }
    println!("{right} pairs of right answers across 25 stops");
    assert!(right > 0);
}

#[tokio::test]
async fn a_killed_redis_that_comes_back_empty_is_noticed() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    assert_eq!(answer(&one.kernel, honest("used")).await, "");
    redis.kill();
    for nonce in ["a", "b", "c"] {
        denied(&one.kernel, honest(nonce), "store_unavailable").await;
    }
    redis.start_again();
    remembers_anew(&one, honest("used")).await;
}

/// The epoch that such a Redis has is the one that the kernels know: its run is not.
#[tokio::test]
async fn a_killed_redis_that_comes_back_with_an_older_state_is_noticed() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    assert_eq!(answer(&one.kernel, honest("saved")).await, "");
    assert_eq!(redis.ask(&["SAVE"]), "+OK");
    for nonce in ["used", "b", "c"] {
        assert_eq!(answer(&one.kernel, honest(nonce)).await, "");
    }
    redis.kill();
    redis.start_again();
    remembers_anew(&one, honest("used")).await;
}

#[tokio::test]
async fn an_emptied_redis_is_noticed_by_every_kernel() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [(state, clock, kernel), (other_state, _, other)] = two(&redis).await;
    let one = One { state, clock, kernel };
    assert_eq!(answer(&one.kernel, honest("used")).await, "");
    assert_eq!(redis.ask(&["FLUSHALL"]), "+OK");
    denied(&one.kernel, honest("used"), "store_unavailable").await;
    assert_eq!(other_state.remembers_since(), Some(START + 30), "the other has not noticed");
    denied(&other, honest("used"), "store_unavailable").await;
    assert_eq!(other_state.remembers_since(), Some(NOW + 30));
    denied(&other, honest("used"), "proof_predates_kernel").await;
    remembers_anew(&one, honest("used")).await;
}

/// A nonce that the kernel gave out before the loss may have been spent, too.
#[tokio::test]
async fn a_nonce_that_was_given_out_before_a_loss_is_not_taken_after_it() {
    let Some(redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    let nonce = one.kernel.new_nonce().unwrap();
    assert_eq!(answer(&one.kernel, honest(&nonce)).await, "");
    redis.ask(&["FLUSHALL"]);
    denied(&one.kernel, honest(&nonce), "store_unavailable").await;
    one.clock.set(NOW + 61);
    denied(&one.kernel, honest(&nonce), "proof_predates_kernel").await;
}

/// It is taken from the first second on by a kernel that starts on a new Redis: agents need not wait.
#[tokio::test]
async fn a_nonce_that_was_given_out_is_taken_at_once_on_a_new_redis() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(NOW);
    let state = Arc::new(RedisState::connect(options(&redis, "a", &clock)).await.unwrap());
    let kernel = kernel(&state, &clock, kernel_key());
    let nonce = kernel.new_nonce().unwrap();
    assert_eq!(answer(&kernel, honest(&nonce)).await, "");
    assert_eq!(answer(&kernel, honest(&nonce)).await, "nonce_replayed");
}

/// It does not know of the new epoch, and the time of its call is after the beginning of it.
#[tokio::test]
async fn a_kernel_that_notices_the_loss_late_is_not_fooled() {
    let Some(redis) = Redis::start(&[]) else { return };
    let [(_, _, kernel), (_, late, other)] = two(&redis).await;
    assert_eq!(answer(&kernel, honest("used")).await, "");
    redis.ask(&["FLUSHALL"]);
    assert_eq!(answer(&kernel, honest("a")).await, "store_unavailable");
    late.set(NOW + 61);
    assert_eq!(answer(&other, honest("used")).await, "store_unavailable");
    assert_eq!(answer(&other, honest("used")).await, "proof_predates_kernel");
    // Within the same second a call could still have been told of the time before.
    late.set(NOW + 62);
    assert_eq!(answer(&other, dated("new", NOW + 62)).await, "");
}

/// Between the question since when it remembers, and the claim, another call can have noticed the loss.
#[tokio::test]
async fn a_call_that_began_before_the_loss_was_noticed_is_denied() {
    let Some(redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    assert_eq!(claimed(&one.state, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    redis.ask(&["FLUSHALL"]);
    claimed(&one.state, claim(2, 1, NOW, NOW + 330)).await.unwrap_err();
    claimed(&one.state, claim(1, 1, NOW, NOW + 330)).await.unwrap_err();
    assert_eq!(claimed(&one.state, claim(3, 1, NOW + 1, NOW + 331)).await.unwrap(), NonceAnswer::Spent);
}

#[tokio::test]
async fn a_new_redis_is_one_that_has_forgotten() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(NOW);
    let state = Arc::new(RedisState::connect(options(&redis, "a", &clock)).await.unwrap());
    let kernel = kernel(&state, &clock, kernel_key());
    assert_eq!(answer(&kernel, honest("a")).await, "proof_predates_kernel");
    clock.set(NOW + 61);
    assert_eq!(answer(&kernel, dated("b", NOW + 61)).await, "");
    // One that was not new has not.
    let later = Arc::new(RedisState::connect(options(&redis, "b", &clock)).await.unwrap());
    assert_eq!(later.remembers_since(), Some(NOW + 30));
    let other = crate::server::kernel(&later, &clock, kernel_key());
    assert_eq!(answer(&other, dated("b", NOW + 61)).await, "nonce_replayed");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_being_shown() {
    let Some(redis) = Redis::start(&["--requirepass", "right"]) else { return };
    let clock = ManualClock::at(START);
    let with = |password: &str| RedisOptions {
        url: format!("redis://:{password}@127.0.0.1:{}", redis.port),
        timeout: DEADLINE,
        ..options(&redis, "a", &clock)
    };
    let error = RedisState::connect(with("hunter2")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("check user and password") && !text.contains("hunter2"), "{text}");
    let none = RedisState::connect(RedisOptions { url: redis.url(), ..with("") }).await.unwrap_err();
    assert!(matches!(none, ConnectError::Refused(_)), "{none:?}");

    let state = Arc::new(RedisState::connect(with("right")).await.unwrap());
    let kernel = kernel(&state, &clock, kernel_key());
    clock.set(NOW);
    assert_eq!(answer(&kernel, honest("a")).await, "");
    let changed = |from: &str, to: &str| {
        let port = redis.port.to_string();
        let words = ["-p", &port, "-a", from, "--no-auth-warning"].map(str::to_owned);
        let run = |more: &[&str]| {
            let done = std::process::Command::new("redis-cli").args(&words).args(more).output().unwrap();
            assert!(done.status.success());
        };
        // A password that is changed leaves the connections that are there, so these are closed.
        run(&["CONFIG", "SET", "requirepass", to]);
        let words = ["-p", &port, "-a", to, "--no-auth-warning"].map(str::to_owned);
        std::process::Command::new("redis-cli")
            .args(words)
            .args(["CLIENT", "KILL", "TYPE", "normal"])
            .output()
            .unwrap();
    };
    changed("right", "other");
    denied(&kernel, honest("b"), "store_unavailable").await;
    denied(&kernel, honest("c"), "store_unavailable").await;
    let told = state.revoke(chio_core::digest::Digest::of(b"x")).await.unwrap_err().to_string();
    assert!(told.contains("check user and password") && !told.contains("right"), "{told}");
    changed("other", "right");
    eventually("it lets its user in again", || async { answer(&kernel, honest("a")).await == "nonce_replayed" }).await;
    assert_eq!(answer(&kernel, honest("d")).await, "");
}

#[tokio::test]
async fn a_full_redis_denies_and_forgets_nothing() {
    let Some(redis) = Redis::start(&[]) else { return };
    let one = one(&redis).await;
    assert_eq!(answer(&one.kernel, honest("used")).await, "");
    assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "1"]), "+OK");
    for nonce in ["a", "b", "used"] {
        denied(&one.kernel, honest(nonce), "nonce_store_full").await;
    }
    assert!(one.state.revoke(chio_core::digest::Digest::of(b"x")).await.is_err());
    assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "0"]), "+OK");
    denied(&one.kernel, honest("used"), "nonce_replayed").await;
    denied(&one.kernel, honest("a"), "").await;
    assert_eq!(one.state.remembers_since(), Some(START + 30));
}

#[tokio::test]
async fn a_redis_that_drops_keys_is_refused() {
    let Some(mut redis) = Redis::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let clock = ManualClock::at(START);
    let error = RedisState::connect(options(&redis, "a", &clock)).await.unwrap_err();
    assert_eq!(error, ConnectError::Eviction("allkeys-lru".into()));
    assert!(error.to_string().contains("set `maxmemory-policy noeviction`"), "{error}");
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let one = one(&redis).await;
    assert_eq!(answer(&one.kernel, honest("a")).await, "");
    // Started again, it has its old policy.
    redis.kill();
    redis.start_again();
    denied(&one.kernel, honest("b"), "store_unavailable").await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_with_what_to_do() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let with = |url: &str| RedisOptions { url: url.into(), ..options(&redis, "a", &clock) };
    let url = RedisState::connect(with("http://:hunter2@h")).await.unwrap_err();
    assert_eq!(url, ConnectError::Url);
    assert!(!url.to_string().contains("hunter2"));
    let tls = RedisState::connect(with(&redis.url().replace("redis:", "rediss:"))).await.unwrap_err();
    assert!(matches!(tls, ConnectError::Unreachable(_) | ConnectError::Refused(_)), "{tls:?}");
    let usual = options(&redis, "a", &clock);
    redis.kill();
    let gone = RedisState::connect(usual).await.unwrap_err();
    assert!(matches!(gone, ConnectError::Unreachable(_)), "{gone:?}");
    assert!(gone.to_string().contains("check that it runs"), "{gone}");
}

#[test]
fn without_a_runtime_it_says_so() {
    let connecting = RedisState::connect(RedisOptions::new("redis://127.0.0.1:1", "a"));
    assert_eq!(pollster::block_on(connecting).unwrap_err(), ConnectError::Runtime);
}
