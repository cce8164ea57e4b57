//! Records in Redis: clocks that differ, a memory that is lost, and a server that does not answer.

use std::time::{Duration, Instant};

use chio_core::digest::Digest;
use chio_kernel::clock::ManualClock;
use chio_store::{Entry, Put, Records, RedisOptions, RedisState, Room, State as _, Table};
use chio_tests::world::NOW;

use crate::server::{Redis, START, eventually, options, state};

const ROOM: Room = Room { table: 100, owner: 100 };

fn entry(name: &str, until: Option<u64>) -> Entry {
    Entry { key: Digest::of(name.as_bytes()), owner: Digest::of(b"owner"), value: name.into(), until }
}

async fn put(state: &RedisState, table: Table, entry: Entry, now: u64) -> Put {
    Records::put(state, table, entry, None, ROOM, now).await.unwrap()
}

#[tokio::test]
async fn a_record_ends_for_each_kernel_by_its_own_clock() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (ahead, behind) = (state(&redis, "a").await, state(&redis, "b").await);
    let one = entry("one", Some(NOW + 10));
    assert_eq!(put(&behind, Table::Session, one.clone(), NOW).await, Put::Kept);
    assert_eq!(ahead.get(Table::Session, one.key, NOW + 10).await.unwrap(), None);
    assert_eq!(ahead.take(Table::Session, one.key, NOW + 10).await.unwrap(), None);
    // Whatever is kept meanwhile drops nothing that has not ended for all.
    assert_eq!(put(&ahead, Table::Session, entry("two", None), NOW + 45).await, Put::Kept);
    assert_eq!(behind.get(Table::Session, one.key, NOW + 9).await.unwrap(), Some(one.clone()));
    assert_eq!(put(&ahead, Table::Session, entry("three", None), NOW + 46).await, Put::Kept);
    assert_eq!(behind.get(Table::Session, one.key, NOW + 9).await.unwrap(), None);
    let counts = behind.overview().await.unwrap().records;
    assert_eq!((counts[&Table::Session], counts[&Table::Device]), (2, 0));
    for key in ["{chio}:e:session", "{chio}:ee:session"] {
        let length = if key.contains(":ee:") { "ZCARD" } else { "HLEN" };
        assert_eq!(redis.ask(&[length, key]), ":2", "{key}");
    }
    assert_eq!(redis.ask(&["ZCARD", &format!("{{chio}}:eo:session:{}", Digest::of(b"owner"))]), ":2");
    for name in ["two", "three"] {
        assert!(ahead.take(Table::Session, Digest::of(name.as_bytes()), NOW).await.unwrap().is_some());
    }
    assert_eq!(redis.ask(&["KEYS", "*"]), "*1", "the epoch alone is left");
}

#[tokio::test]
async fn where_redis_has_lost_its_memory_nothing_that_was_under_way_goes_on() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (first, second) = (state(&redis, "a").await, state(&redis, "b").await);
    let (challenge, device) = (entry("challenge", Some(NOW + 60)), entry("device", None));
    assert_eq!(put(&first, Table::Challenge, challenge.clone(), NOW).await, Put::Kept);
    assert_eq!(put(&first, Table::Device, device.clone(), NOW).await, Put::Kept);
    // As an older file that was put back has it, or a replica that was promoted: the records are there, another epoch begins.
    assert_eq!(redis.ask(&["HDEL", "{chio}:epoch", "id"]), ":1");
    let lost = "Redis has lost what it had";
    assert_eq!(first.take(Table::Challenge, challenge.key, NOW).await.unwrap_err().to_string(), lost);
    let put_by_second = Records::put(&*second, Table::Challenge, entry("other", None), None, ROOM, NOW);
    assert_eq!(put_by_second.await.unwrap_err().to_string(), lost);
    for state in [&first, &second] {
        assert_eq!(state.get(Table::Challenge, challenge.key, NOW).await.unwrap(), None);
        assert_eq!(state.take(Table::Challenge, challenge.key, NOW).await.unwrap(), None);
        assert_eq!(state.list(Table::Challenge, None, None, NOW).await.unwrap().items, []);
        assert_eq!(state.get(Table::Device, device.key, NOW).await.unwrap(), Some(device.clone()));
    }
    // In its place another can be kept.
    assert_eq!(put(&second, Table::Challenge, challenge.clone(), NOW).await, Put::Kept);
    assert_eq!(first.take(Table::Challenge, challenge.key, NOW).await.unwrap(), Some(challenge.clone()));
    // Emptied, it has nothing, and says so once.
    assert_eq!(redis.ask(&["FLUSHALL"]), "+OK");
    assert!(first.take(Table::Device, device.key, NOW).await.is_err());
    assert_eq!(first.take(Table::Device, device.key, NOW).await.unwrap(), None);
    assert_eq!(put(&first, Table::Device, device, NOW).await, Put::Kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_is_an_error_within_the_deadline() {
    let Some(redis) = Redis::start(&[]) else { return };
    let clock = ManualClock::at(START);
    let deadline = Duration::from_millis(250);
    let short = RedisOptions { timeout: deadline, ..options(&redis, "a", &clock) };
    let state = RedisState::connect(short).await.unwrap();
    let one = entry("one", None);
    assert_eq!(put(&state, Table::Device, one.clone(), NOW).await, Put::Kept);
    redis.stop();
    for turn in 0..4 {
        let start = Instant::now();
        let failed = match turn {
            0 => state.get(Table::Device, one.key, NOW).await.is_err(),
            1 => state.take(Table::Device, one.key, NOW).await.is_err(),
            2 => state.list(Table::Device, None, None, NOW).await.is_err(),
            _ => Records::put(&state, Table::Device, entry("two", None), None, ROOM, NOW).await.is_err(),
        };
        assert!(failed, "{turn}");
        assert!(start.elapsed() < deadline + Duration::from_millis(750), "{turn}: {:?}", start.elapsed());
    }
    redis.go_on();
    eventually("it goes on", || async { state.get(Table::Device, one.key, NOW).await.is_ok() }).await;
}
