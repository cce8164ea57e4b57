//! Where the Redis is that takes writes: behind several hosts, sentinels, a cluster, TLS.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chio_kernel::clock::ManualClock;
use chio_kernel::store::{NonceAnswer, NonceStore as _};
use chio_store::{ConnectError, RedisOptions, RedisState, State as _};
use chio_tests::world::NOW;
use tempfile::TempDir;

use crate::server::{Redis, START, claim, claimed, eventually, options, program};

const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

fn replica_of(primary: u16) -> Redis {
    let primary = primary.to_string();
    Redis::start(&[["--replicaof", "127.0.0.1"].as_slice(), &[primary.as_str()], &AT_ONCE].concat()).unwrap()
}

/// A port that nothing listens on, from a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn of_several_hosts_the_first_that_takes_writes_counts() {
    let Some(primary) = Redis::start(&[]) else { return };
    let replica = replica_of(primary.port);
    let clock = ManualClock::at(START);
    let (dead, port) = (free_port(), primary.port);
    let url = format!("redis://127.0.0.1:{dead},127.0.0.1:{},127.0.0.1:{port}", replica.port);
    let store = RedisState::connect(RedisOptions { url, ..options(&primary, "a", &clock) }).await.unwrap();
    assert_eq!(claimed(&store, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    let url = format!("redis://127.0.0.1:{dead},127.0.0.1:{}", replica.port);
    let refused = RedisState::connect(RedisOptions { url, ..options(&primary, "a", &clock) }).await.unwrap_err();
    assert_eq!(refused, ConnectError::Replica);
}

/// A sentinel of one's own, whose vote is enough.
struct Sentinel(Child, u16, #[allow(dead_code)] TempDir);

impl Sentinel {
    fn start(primary: u16) -> Self {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile /dev/null\nsentinel monitor main 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds main 200\nsentinel failover-timeout main 2000\n",
            folder.path().display()
        );
        fs::write(&file, text).unwrap();
        let child = Command::new(program()).arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self(child, port, folder)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn sentinels_say_who_the_primary_is_before_and_after_it_fails() {
    let Some(mut first) = Redis::start(&AT_ONCE) else { return };
    let second = replica_of(first.port);
    let sentinel = Sentinel::start(first.port);
    let clock = ManualClock::at(START);
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}?primary=main", free_port(), sentinel.1);
    let named = RedisOptions::from_url(&url, "a").unwrap();
    let options =
        || RedisOptions { url: named.url.clone(), primary: Some("main".into()), ..options(&first, "a", &clock) };
    let unknown = RedisOptions { primary: Some("another".into()), ..options() };
    eventually("the sentinel answers", || async {
        matches!(RedisState::connect(unknown.clone()).await, Err(ConnectError::Unknown(_)))
    })
    .await;
    let store = RedisState::connect(options()).await.unwrap();
    assert_eq!(claimed(&store, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    let url = first.url();
    // The sentinel has to have heard of the replica, from its primary, which it asks now and then.
    eventually("the sentinel knows of the replica", || async {
        let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}", sentinel.1))
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let known: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("replicas").arg("main").query_async(&mut connection).await.unwrap();
        !known.is_empty() && second.ask(&["GET", "x"]) == "$-1"
    })
    .await;
    clock.set(NOW);
    first.kill();
    drop(url);
    eventually("another is the primary", || async { store.overview().await.is_ok() }).await;
    // What was spent may be lost with the one that was killed: proofs from before are refused by the kernel.
    assert_eq!(store.remembers_since(), Some(NOW + 30));
    let later = NOW + 100;
    assert_eq!(claimed(&store, claim(2, 1, later, later + 330)).await.unwrap(), NonceAnswer::Spent);
    assert_eq!(second.ask(&["EXISTS", "{chio}:epoch"]), ":1");
}

#[tokio::test]
async fn the_node_of_a_cluster_that_has_the_keys_is_found() {
    const CLUSTER: [&str; 2] = ["--cluster-enabled", "yes"];
    let Some(first) = Redis::start(&CLUSTER) else { return };
    let second = Redis::start(&CLUSTER).unwrap();
    let clock = ManualClock::at(START);
    let all: Vec<_> = (0..16384).map(|slot| slot.to_string()).collect();
    let all: Vec<_> = ["CLUSTER", "ADDSLOTS"].into_iter().chain(all.iter().map(String::as_str)).collect();
    let slots = |redis: &Redis| redis.ask(&all);
    assert_eq!(slots(&second), "+OK");
    assert!(
        matches!(RedisState::connect(options(&first, "a", &clock)).await, Err(ConnectError::Unknown(_))),
        "not whole"
    );
    assert_eq!(second.ask(&["CLUSTER", "MEET", "127.0.0.1", &first.port.to_string()]), "+OK");
    let short = RedisOptions { timeout: Duration::from_secs(10), ..options(&first, "a", &clock) };
    eventually("the nodes know each other", || async { RedisState::connect(short.clone()).await.is_ok() }).await;
    let store = RedisState::connect(short).await.unwrap();
    assert_eq!(claimed(&store, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    assert_eq!((first.ask(&["DBSIZE"]), second.ask(&["EXISTS", "{chio}:epoch"])), (":0".into(), ":1".into()));
    // The slot goes to the other node; its keys do not. So that one is new, and what was spent is not known there.
    clock.set(NOW);
    let (slot, owner) = (first.ask(&["CLUSTER", "KEYSLOT", "{chio}:epoch"]), first.ask(&["CLUSTER", "MYID"]));
    assert_eq!(second.ask(&["FLUSHALL"]), "+OK");
    for node in [&first, &second] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot[1..], "NODE", &owner]), "+OK");
    }
    assert!(claimed(&store, claim(2, 1, NOW, NOW + 330)).await.is_err(), "it is told that the keys have moved");
    eventually("the other node is found", || async { store.overview().await.is_ok() }).await;
    assert_eq!(store.remembers_since(), Some(NOW + 30));
    let later = NOW + 100;
    assert_eq!(claimed(&store, claim(3, 1, later, later + 330)).await.unwrap(), NonceAnswer::Spent);
    assert_eq!(first.ask(&["EXISTS", "{chio}:epoch"]), ":1");
}

#[tokio::test]
async fn the_longest_life_of_a_proof_counts_for_all_kernels() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let short = RedisState::connect(options(&redis, "a", &clock)).await.unwrap();
    assert_eq!(claimed(&short, claim(1, 1, NOW, NOW + 330)).await.unwrap(), NonceAnswer::Spent);
    clock.set(NOW);
    let options = RedisOptions { proof_life_secs: 1000, ..options(&redis, "b", &clock) };
    let long = RedisState::connect(options.clone()).await.unwrap();
    // What was spent before was kept for the shorter life: proofs from before are refused.
    assert_eq!(long.remembers_since(), Some(NOW + 30));
    assert!(claimed(&short, claim(2, 1, NOW, NOW + 330)).await.is_err(), "it hears of it");
    assert_eq!(short.remembers_since(), Some(NOW + 30));
    let later = NOW + 100;
    assert_eq!(claimed(&short, claim(3, 1, later, later + 330)).await.unwrap(), NonceAnswer::Spent);
    // Another account's claim drops what has expired: the nonce of the shorter life is kept as long as the longer one.
    let late = later + 330 + 400;
    for number in 4..200 {
        assert_eq!(claimed(&long, claim(number, 2, late, late + 1000)).await.unwrap(), NonceAnswer::Spent);
    }
    assert_eq!(claimed(&long, claim(3, 1, late, late + 1000)).await.unwrap(), NonceAnswer::Replayed);
    let again = RedisState::connect(options).await.unwrap();
    assert_eq!(again.remembers_since(), Some(NOW + 30), "the same life begins nothing anew");
}

/// An account that was entered once and has emptied since is entered again.
#[tokio::test]
async fn nothing_that_was_spent_stays_for_ever() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let store = RedisState::connect(options(&redis, "a", &clock)).await.unwrap();
    let mut now = NOW;
    for round in 0..6_u64 {
        // Every other time others call, and what has expired of the first is dropped, all of it.
        let accounts = if round % 2 == 0 { 0 } else { 100 };
        for number in 0..200 {
            let claim = claim(1000 * round + number, accounts + number % 3, now, now + 330);
            assert_eq!(claimed(&store, claim).await.unwrap(), NonceAnswer::Spent);
        }
        now += 1000;
    }
    store.compact(now).await.unwrap();
    assert_eq!((store.overview().await.unwrap().nonces, redis.ask(&["EXISTS", "{chio}:n"])), (0, ":0".into()));
    // Not even what stands in no index.
    assert_eq!(redis.ask(&["KEYS", "{chio}:n:*"]), "*0");
}

#[test]
fn a_redis_is_reached_by_tls() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |words: &[&str]| {
        let done = Command::new("openssl").args(words).current_dir(&folder).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    let made = openssl(&[
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a",
        "-days", "2",
    ]) && openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "redis.key",
        "-out",
        "redis.csr",
        "-subj",
        "/CN=b",
    ]) && fs::write(folder.path().join("names"), "subjectAltName=IP:127.0.0.1\n").is_ok()
        && openssl(&[
            "x509",
            "-req",
            "-in",
            "redis.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "redis.pem",
        ]);
    if !made {
        println!("skipped: there is no openssl");
        return;
    }
    let port = free_port().to_string();
    let (key, certificate, authority) = (at("redis.key"), at("redis.pem"), at("ca.pem"));
    let tls = [
        "--tls-port",
        &port,
        "--tls-key-file",
        &key,
        "--tls-cert-file",
        &certificate,
        "--tls-ca-cert-file",
        &authority,
    ];
    let Some(redis) = Redis::start(&[tls.as_slice(), &["--tls-auth-clients", "no"]].concat()) else { return };
    assert_eq!(redis.ask(&["ACL", "SETUSER", "agent", "on", ">hunter2", "~*", "+@all"]), "+OK");
    let show = |authority: &str, url: &str| {
        let mut chio = Command::new(crate::common::chio());
        chio.args(["state", "show", "env:STATE"]).env("STATE", url).env("SSL_CERT_FILE", authority).output().unwrap()
    };
    let url = format!("rediss://agent:hunter2@127.0.0.1:{port}");
    let shown = show(&authority, &url);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("hunter2"));
    for (authority, url) in [
        (certificate.as_str(), url.as_str()),
        (&authority, &url.replace("rediss", "redis")),
        (&authority, &url.replace("hunter2", "hunter3")),
    ] {
        let refused = show(authority, url);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && !told.contains("hunter"), "{told}");
    }
}
