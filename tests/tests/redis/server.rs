//! A redis-server of a test's own, on a free loopback port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chio_core::crypto::Keypair;
use chio_core::digest::Digest;
use chio_kernel::Kernel;
use chio_kernel::clock::ManualClock;
use chio_kernel::config::Patience;
use chio_kernel::store::{KernelError, NonceAnswer, NonceClaim, NonceStore};
use chio_kernel::{Settings, Stores};
use chio_store::{RedisOptions, RedisState};
use chio_tests::world::{NOW, SERVER, echo, issuer};
use tempfile::TempDir;

/// The server that the tests are run against: another one than Redis as it is installed here is named by its path.
pub const PROGRAM: &str = "CHIO_REDIS_SERVER";

pub fn program() -> String {
    std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".into())
}

pub struct Redis {
    child: Child,
    pub port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

impl Redis {
    /// Starts one; none, and a word about it, where there is no such program.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        if Command::new(program()).arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: there is no {}", program());
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = TempDir::new().unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = Self::spawn(port, &directory, &arguments);
        let redis = Self { child, port, directory, arguments };
        redis.wait();
        Some(redis)
    }

    fn spawn(port: u16, directory: &TempDir, arguments: &[String]) -> Child {
        Command::new(program())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--loglevel", "warning", "--dir"])
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while self.try_ask(&["PING"]).is_none_or(|answer| answer.starts_with("-LOADING")) {
            assert!(Instant::now() < until, "{} does not start", program());
            std::thread::yield_now();
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn try_ask(&self, words: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        stream.write_all(text.as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(length) = line.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) {
            let mut text = vec![0; length];
            reader.read_exact(&mut text).ok()?;
            return String::from_utf8(text).ok();
        }
        Some(line.trim_end().to_owned())
    }

    /// Asks one thing over a connection of its own.
    pub fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Stops the process: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again what was killed, with whatever file it has left.
    pub fn start_again(&mut self) {
        self.child = Self::spawn(self.port, &self.directory, &self.arguments);
        self.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When the stores of the tests connect.
pub const START: u64 = NOW - 100_000;

pub fn options(redis: &Redis, chain: &str, clock: &ManualClock) -> RedisOptions {
    RedisOptions {
        clock: Arc::new(clock.clone()),
        timeout: Duration::from_secs(10),
        ..RedisOptions::new(redis.url(), chain)
    }
}

/// A state with a lot of patience, whose clock stood at `START` when it connected, and at `NOW` since.
pub async fn state(redis: &Redis, chain: &str) -> Arc<RedisState> {
    let clock = ManualClock::at(START);
    let state = RedisState::connect(options(redis, chain, &clock)).await.unwrap();
    clock.set(NOW);
    Arc::new(state)
}

/// A kernel on a state.
pub fn kernel(state: &Arc<RedisState>, clock: &ManualClock, key: Keypair) -> Kernel {
    let patience = Patience { store: Duration::from_secs(10), ..Patience::default() };
    Kernel::builder()
        .trust_root(issuer().public_key())
        .name("kernel-a")
        .tool_server(SERVER, echo())
        .signing_key(key)
        .clock(clock.clone())
        .settings(Settings { patience, ..Settings::default() })
        .stores(stores(state))
        .build()
        .unwrap()
}

pub fn stores(state: &Arc<RedisState>) -> Stores {
    Stores {
        nonces: Some(Arc::<RedisState>::clone(state)),
        usage: Arc::<RedisState>::clone(state),
        revocations: Arc::<RedisState>::clone(state),
        standings: Arc::<RedisState>::clone(state),
        receipts: Arc::<RedisState>::clone(state),
    }
}

pub fn claim(nonce: u64, account: u64, now: u64, until: u64) -> NonceClaim {
    let id = |number: u64| Digest::of(&number.to_be_bytes());
    NonceClaim { key: id(nonce), account: id(account), now, until }
}

/// Asks again and again until it is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let until = Instant::now() + PATIENCE;
    let mut interval = tokio::time::interval(Duration::from_millis(10));
    while !ask().await {
        assert!(Instant::now() < until, "{what}");
        interval.tick().await;
    }
}

/// Spends a nonce.
pub async fn claimed(state: &RedisState, claim: NonceClaim) -> Result<NonceAnswer, KernelError> {
    NonceStore::spend(state, claim).await
}
