//! Durable claims: how many nonces a second are spent on the disk, beside bare inserts with the same durability, in turns. And how long a file with a million live nonces takes to open.
//!
//! `cargo bench -p chio_tests --bench state`. What was seen: `docs/performance.md`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chio_core::digest::Digest;
use chio_kernel::store::{NonceAnswer, NonceClaim, NonceStore as _};
use chio_store::{Record, RedisOptions, RedisState, SqliteOptions, SqliteState, State as _};
use chio_tests::world::NOW;
use pollster::block_on;
use rusqlite::{Connection, params};
use tokio::runtime::Runtime;

/// How long each is measured, and how often in turns.
const TURN: Duration = Duration::from_millis(200);
const TURNS: usize = 21;

fn claim(number: u64) -> NonceClaim {
    let key = Digest::of(&number.to_be_bytes());
    // So many accounts that no quota is met.
    let account = Digest::of(&(number % 64).to_be_bytes());
    NonceClaim { key, account, now: NOW, until: NOW + 330 }
}

/// Claims a second of so many callers, each a task that waits for its answer before it asks again.
fn claims(runtime: &Runtime, state: &Arc<SqliteState>, next: &Arc<AtomicU64>, callers: usize) -> f64 {
    let started = Instant::now();
    let done = runtime.block_on(async {
        let caller = || {
            let (state, next) = (Arc::clone(state), Arc::clone(next));
            runtime.spawn(async move {
                let mut done: u64 = 0;
                while started.elapsed() < TURN {
                    let answer =
                        state.spend(claim(next.fetch_add(1, Ordering::Relaxed))).await.expect("the disk works");
                    assert_eq!(answer, NonceAnswer::Spent);
                    done += 1;
                }
                done
            })
        };
        let callers: Vec<_> = (0..callers).map(|_| caller()).collect();
        let mut done = 0;
        for caller in callers {
            done += caller.await.expect("no caller panics");
        }
        done
    });
    rate(done, started)
}

fn rate(done: u64, started: Instant) -> f64 {
    f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / started.elapsed().as_secs_f64()
}

/// Inserts a second into the same tables, so many a commit.
fn inserts(connection: &Connection, next: &AtomicU64, together: u64) -> f64 {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < TURN {
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).expect("it begins");
        for _ in 0..together {
            let NonceClaim { key, account, until, .. } = claim(next.fetch_add(1, Ordering::Relaxed));
            let insert = connection.prepare_cached("INSERT INTO bare (key, account, until) VALUES (?1, ?2, ?3)");
            let until = i64::try_from(until).expect("it is small");
            insert.and_then(|mut insert| insert.execute(params![key.0, account.0, until])).expect("it is written");
        }
        connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).expect("it is on the disk");
        done += together;
    }
    rate(done, started)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// A connection to a table of nonces, a row each, in another file of the same kind, set as the store sets its own.
fn bare(path: &Path) -> Connection {
    drop(SqliteState::open(&SqliteOptions::new(path, NOW)).expect("it opens"));
    let connection = Connection::open(path).expect("it opens");
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;
             CREATE TABLE bare (number INTEGER PRIMARY KEY, key BLOB NOT NULL, account BLOB NOT NULL, until INTEGER NOT NULL)",
        )
        .expect("it is set");
    connection
}

/// A server that ends with this, however this ends.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The latency of a claim beside that of a bare `SET NX PX`, in turns, over connections to the same Redis.
fn redis(runtime: &Runtime) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let folder = tempfile::tempdir().expect("there is room");
    let started = std::process::Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(server) = started.map(Server) else {
        println!("| a claim over Redis | no redis-server here | | | ≤ 1.2 × |");
        return;
    };
    let url = format!("redis://127.0.0.1:{port}");
    let (mut claims, mut sets) = runtime.block_on(async {
        let client = redis::Client::open(url.as_str()).expect("a URL");
        let mut bare = loop {
            if let Ok(bare) = client.get_multiplexed_async_connection().await {
                break bare;
            }
        };
        let state = RedisState::connect(RedisOptions::new(url, "bench")).await.expect("it connects");
        // Some time after the start, so that nothing is too early.
        let now = NOW + 1_000_000_000;
        let (mut claims, mut sets) = (Vec::new(), Vec::new());
        for number in 0..20_000_u64 {
            let started = Instant::now();
            let answer = state.spend(NonceClaim { now, until: now + 330, ..claim(number) }).await.expect("it answers");
            claims.push(started.elapsed());
            assert_eq!(answer, NonceAnswer::Spent);
            let started = Instant::now();
            let mut set = redis::cmd("SET");
            set.arg(number).arg(1).arg("NX").arg("PX").arg(330_000);
            let _: redis::Value = set.query_async(&mut bare).await.expect("it answers");
            sets.push(started.elapsed());
        }
        (claims, sets)
    });
    drop(server);
    claims.sort_unstable();
    sets.sort_unstable();
    let (claim, set) = (claims[claims.len() / 2], sets[sets.len() / 2]);
    let ratio = claim.as_secs_f64() / set.as_secs_f64();
    println!(
        "| a claim over Redis, p50 | {} µs | {} µs, `SET NX PX` | {ratio:.2} × | ≤ 1.2 × |",
        claim.as_micros(),
        set.as_micros()
    );
}

fn main() {
    // `cargo test --all-targets` runs it to see that it runs, and no longer.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
    let options = SqliteOptions { nonce_capacity: 1 << 24, ..SqliteOptions::new(folder.path().join("state.db"), NOW) };
    let state = Arc::new(SqliteState::open(&options).expect("it opens"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("there are threads");
    let connection = bare(&folder.path().join("bare.db"));
    let (next, other) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    println!("| durable claims of nonces | a second | bare inserts a second | seen | aim |\n|---|---|---|---|---|");
    for (callers, together) in [(1, 1), (16, 16), (64, 64)] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(claims(&runtime, &state, &next, callers));
            theirs.push(inserts(&connection, &other, together));
        }
        let ratios = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
        let (ours, theirs) = (median(ours), median(theirs));
        println!("| {callers} callers | {ours:.0} | {theirs:.0}, {together} a commit | {ratios:.2} × | ≥ 0.9 × |");
    }
    drop(state);
    redis(&runtime);

    let million = folder.path().join("million.db");
    let state = SqliteState::open(&SqliteOptions::new(&million, NOW)).expect("it opens");
    for part in 0..1000_u64 {
        let record = |number: u64| {
            let NonceClaim { key, account, until, .. } = claim(part * 1000 + number);
            Record::Nonce { key, account, until }
        };
        block_on(state.put((0..1000).map(record).collect())).expect("it is written");
    }
    let bytes = block_on(state.overview()).expect("it is read").bytes.unwrap_or_default();
    drop(state);
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let state = SqliteState::open(&SqliteOptions::new(&million, NOW)).expect("it opens");
        times.push(started.elapsed().as_secs_f64());
        drop(state);
    }
    println!("| opening a file with 1,000,000 live nonces, {bytes} bytes | | | {:.2} s | < 1 s |", median(times));
}
