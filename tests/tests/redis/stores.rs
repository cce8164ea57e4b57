//! The same answers as the stores in memory.

use std::time::Duration;

use chio_core::digest::Digest;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{
    Allowance, MemoryRevocations, MemoryStandings, MemoryUsage, NonceAnswer, NonceStore, RevocationStore, Spending,
    Standing, StandingStore, UsageStore,
};
use chio_store::{RedisOptions, RedisState};
use chio_tests::world::NOW;

use crate::server::{Redis, START, claim, claimed, options, state};

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test]
async fn a_nonce_is_spent_once_and_an_account_has_its_quota() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let options = RedisOptions { account_quota: 3, ..options(&redis, "a", &clock) };
    let store = RedisState::connect(options).await.unwrap();
    assert!(store.survives_restart());
    assert_eq!(store.remembers_since(), Some(START + 30));
    let spend = async |nonce, account, now| claimed(&store, claim(nonce, account, now, now + 330)).await.unwrap();
    for nonce in 1..=3 {
        assert_eq!(spend(nonce, 1, NOW).await, NonceAnswer::Spent);
    }
    assert_eq!(spend(4, 1, NOW).await, NonceAnswer::QuotaExceeded);
    assert_eq!(spend(2, 1, NOW).await, NonceAnswer::Replayed);
    assert_eq!(spend(5, 2, NOW).await, NonceAnswer::Spent, "another account has its own");
    // It is kept for the tolerance of the clocks, and for calls that come late: 330 + 30 + 5.
    assert_eq!(spend(1, 1, NOW + 365).await, NonceAnswer::Replayed);
    assert_eq!(spend(4, 1, NOW + 365).await, NonceAnswer::QuotaExceeded);
    assert_eq!(spend(4, 1, NOW + 366).await, NonceAnswer::Spent, "what has expired makes room");
    // Whoever comes later than that is not told apart from a replay.
    assert_eq!(spend(1, 1, NOW + 330).await, NonceAnswer::Full);
    assert_eq!(spend(6, 3, NOW + 331).await, NonceAnswer::Spent);
}

#[tokio::test]
async fn what_was_spent_stays_spent() {
    let Some(redis) = Redis::start(&[]) else { return };
    let store = state(&redis, "a").await;
    let (mut numbers, mut now, mut spent) = (Numbers(7), NOW, Vec::new());
    for _ in 0..3000 {
        now += numbers.below(3) * numbers.below(8);
        // The clocks of two kernels, 20 s apart.
        let at = now - 20 * numbers.below(2);
        let claim = claim(numbers.below(300), numbers.below(5), at, at + numbers.below(40));
        let lives =
            spent.iter().any(|(key, account, until)| (key, account) == (&claim.key, &claim.account) && *until >= at);
        let answer = claimed(&store, claim).await.unwrap();
        assert!(!lives || answer == NonceAnswer::Replayed, "{answer:?} for a live nonce");
        if answer == NonceAnswer::Spent {
            spent.push((claim.key, claim.account, claim.until));
        }
        assert_ne!(answer, NonceAnswer::Full, "nobody is late within the tolerance");
    }
    assert!(spent.len() > 1000, "{}", spent.len());
}

#[tokio::test]
async fn calls_are_counted_as_in_memory() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (store, memory) = (state(&redis, "a").await, MemoryUsage::default());
    let mut numbers = Numbers(11);
    for _ in 0..2000 {
        let mut used = Vec::new();
        let places: Vec<Vec<Allowance>> = (0..=numbers.below(3))
            .map(|place| {
                let alternatives = (0..numbers.below(3) + u64::from(place == 0)).map(|_| {
                    let grant = Digest::of(&[u8::try_from(place).unwrap(), u8::try_from(numbers.below(12)).unwrap()]);
                    used.push(grant);
                    Allowance { grant, account: Digest::of(b"root"), limit: numbers.below(9), until: NOW + 1000 }
                });
                alternatives.collect()
            })
            .collect();
        let (one, other) = (UsageStore::spend(&*store, &places, NOW).await, memory.spend(&places, NOW).await);
        assert_eq!(one, other);
        if numbers.below(3) == 0 {
            store.refund(&used).await.unwrap();
            memory.refund(&used).await.unwrap();
        }
    }
    store.refund(&[]).await.unwrap();
    assert_eq!(UsageStore::spend(&*store, &[], NOW).await.unwrap(), Spending::Spent(Vec::new()));
}

#[tokio::test]
async fn counts_of_tokens_that_expired_are_forgotten_and_late_calls_denied() {
    let Some(redis) = Redis::start(&[]) else { return };
    let store = state(&redis, "a").await;
    let place = |number: u64, until| {
        let grant = Digest::of(&number.to_be_bytes());
        [vec![Allowance { grant, account: Digest::of(b"root"), limit: 1, until }]]
    };
    let spent = |place: &[Vec<Allowance>; 1]| Spending::Spent(vec![place[0][0].grant]);
    let (first, second) = (place(1, NOW + 10), place(2, NOW + 500));
    assert_eq!(UsageStore::spend(&*store, &first, NOW).await.unwrap(), spent(&first));
    assert_eq!(UsageStore::spend(&*store, &first, NOW + 44).await.unwrap(), Spending::Exhausted { place: 0 });
    assert_eq!(UsageStore::spend(&*store, &second, NOW + 46).await.unwrap(), spent(&second));
    assert_eq!(UsageStore::spend(&*store, &first, NOW + 9).await.unwrap(), Spending::Full);
}

#[tokio::test]
async fn standings_failures_and_revocations_are_as_in_memory() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (store, standings, revocations) =
        (state(&redis, "a").await, MemoryStandings::default(), MemoryRevocations::default());
    let (mut numbers, mut now) = (Numbers(13), NOW);
    for _ in 0..2000 {
        now += numbers.below(4);
        let who = Digest::of(&[u8::try_from(numbers.below(6)).unwrap()]);
        let standing = match numbers.below(12) {
            0 => Standing::Banned,
            1..=3 => Standing::Good,
            _ => Standing::Suspended { until: now + numbers.below(30) },
        };
        match numbers.below(4) {
            0 => {
                store.worsen(who, standing, now).await.unwrap();
                standings.worsen(who, standing, now).await.unwrap();
            }
            1 => {
                StandingStore::set(&*store, who, standing).await.unwrap();
                standings.set(who, standing).await.unwrap();
            }
            2 => {
                let forgive = numbers.below(9);
                let counted = store.count_failure(who, now, forgive).await.unwrap();
                assert_eq!(counted, standings.count_failure(who, now, forgive).await.unwrap());
            }
            _ => {
                let id = Digest::of(&[100, u8::try_from(numbers.below(200)).unwrap()]);
                store.revoke(id).await.unwrap();
                revocations.revoke(id).await.unwrap();
            }
        }
        let asked: Vec<Digest> = (0..numbers.below(3)).map(|n| Digest::of(&[u8::try_from(n).unwrap()])).collect();
        assert_eq!(store.worst(&asked, now).await.unwrap(), standings.worst(&asked, now).await.unwrap());
        let ids: Vec<Digest> = (0..3).map(|_| Digest::of(&[100, u8::try_from(numbers.below(250)).unwrap()])).collect();
        assert_eq!(store.first_revoked(&ids).await.unwrap(), revocations.first_revoked(&ids).await.unwrap());
    }
    assert_eq!(store.first_revoked(&[]).await.unwrap(), None);
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    let Some(redis) = Redis::start(&[]) else { return };
    let store = state(&redis, "a").await;
    for nonce in 0..3 {
        assert_eq!(redis.ask(&["SCRIPT", "FLUSH"]), "+OK");
        assert_eq!(claimed(&store, claim(nonce, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    }
}

#[tokio::test]
async fn enough_replicas_have_to_have_it() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let short = RedisOptions { min_replicas: 1, timeout: Duration::from_secs(2), ..options(&redis, "a", &clock) };
    let store = RedisState::connect(short).await.unwrap();
    let error = claimed(&store, claim(1, 1, NOW, NOW + 330)).await.unwrap_err().to_string();
    assert_eq!(error, "0 of 1 replicas of Redis have the change");
    assert!(store.revoke(Digest::of(b"a")).await.is_err());
    let replica =
        Redis::start(&["--replicaof", "127.0.0.1", &redis.port.to_string(), "--repl-diskless-sync-delay", "0"]);
    let replica = replica.unwrap();
    crate::server::eventually("a replica follows", || async { store.revoke(Digest::of(b"a")).await.is_ok() }).await;
    // Denied before, and spent all the same: it is no replay that anybody was allowed.
    assert_eq!(claimed(&store, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Replayed);
    assert_eq!(claimed(&store, claim(2, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    let refused = RedisState::connect(options(&replica, "a", &clock)).await.unwrap_err();
    assert_eq!(refused, chio_store::ConnectError::Replica);
}
