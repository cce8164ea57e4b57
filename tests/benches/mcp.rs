//! What a signer and a guard add to a tool call over stdio: the same client and server, with and without them, in turns.
//!
//! `cargo bench -p chio_tests --bench mcp`. The server is npm's `server-everything` where `CHIO_PEERS` says where it is
//! (`export CHIO_PEERS=$(.ci/peers)`), and else this repository's own, which does next to nothing: what is added is then
//! compared with next to nothing. What was seen: `docs/performance.md`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many calls one after the other, in turns of so many; and how many at once, how often.
const CALLS: usize = 2000;
const TURN: usize = 50;
const AT_ONCE: usize = 2000;
const ROUNDS: usize = 7;

/// A server, with what is said to it.
struct Connection {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Connection {
    fn open(command: &[String]) -> Self {
        let mut child = Command::new(&command[0]);
        child.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().expect("the server starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::with_capacity(1 << 16, child.stdout.take().expect("a pipe"));
        let mut connection = Self { child, stdin, stdout, next: 0 };
        let opened =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}});
        connection.say(&json!({"jsonrpc": "2.0", "id": "open", "method": "initialize", "params": opened}).to_string());
        connection.answer("\"open\"");
        connection.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        connection
    }

    fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(format!("{text}\n").as_bytes()).expect("it reads");
    }

    /// The answer to a request, and nothing that is said besides.
    fn answer(&mut self, id: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).expect("it speaks") > 0, "it ended");
            if line.contains("\"result\"") && line.contains(&format!("\"id\":{id}")) {
                return line;
            }
        }
    }

    fn call(id: u64) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"message":"hello"}}}}}}"#
        )
    }

    /// How long one call takes.
    fn once(&mut self) -> Duration {
        let id = self.next;
        self.next += 1;
        let started = Instant::now();
        self.say(&Self::call(id));
        let answer = self.answer(&id.to_string());
        let took = started.elapsed();
        assert!(answer.contains("hello"), "{answer}");
        took
    }

    /// How long many take that do not wait for each other.
    fn at_once(&mut self) -> Duration {
        let from = self.next;
        self.next += u64::try_from(AT_ONCE).expect("it is small");
        let calls: String = (from..self.next).map(|id| format!("{}\n", Self::call(id))).collect();
        let mut stdin = self.stdin.take().expect("it is open");
        let started = Instant::now();
        let writing = std::thread::spawn(move || {
            stdin.write_all(calls.as_bytes()).expect("it reads");
            stdin
        });
        let mut answers = 0;
        let mut line = String::new();
        while answers < AT_ONCE {
            line.clear();
            assert!(self.stdout.read_line(&mut line).expect("it speaks") > 0, "it ended");
            answers += usize::from(line.contains("\"result\""));
        }
        let took = started.elapsed();
        self.stdin = Some(writing.join().expect("it was written"));
        took
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn server(peers: Option<&Path>) -> Vec<String> {
    match peers {
        Some(peers) => {
            let program = peers.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
            vec!["node".to_owned(), program.to_string_lossy().into_owned()]
        }
        None => vec![env!("CARGO_BIN_EXE_tool_server").to_owned()],
    }
}

fn guarded(chio: &str, folder: &Path, server: &[String]) -> Vec<String> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let run = |words: &[&str]| {
        let done = Command::new(chio).args(words).stdout(Stdio::null()).status().expect("chio runs");
        assert!(done.success(), "{words:?}");
    };
    let (issuer, agent, capability) = (path("issuer.key"), path("agent.key"), path("agent.cap"));
    run(&["keygen", "--out", &issuer]);
    run(&["keygen", "--out", &agent]);
    let rule = "/message=max_length:100";
    run(&["issue", "--key", &issuer, "--subject", &agent, "--tool", "mcp/echo", "--arg", rule, "--out", &capability]);
    let words = [
        chio,
        "mcp",
        "sign",
        "--key",
        &agent,
        "--capability",
        &capability,
        "--",
        chio,
        "mcp",
        "guard",
        "--root",
        &issuer,
        "--",
    ];
    words.into_iter().map(str::to_owned).chain(server.iter().cloned()).collect()
}

fn main() {
    // `cargo test --all-targets` runs it to see that it runs, and no longer.
    let is_test = std::env::args().any(|word| word == "--test");
    if is_test {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it has a parent").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    chio_tests::not_told(&mut cargo).args(["build", "-q", "--release", "--bin", "chio"]).current_dir(&root);
    assert!(cargo.status().expect("cargo runs").success());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let chio = target.join("release/chio").to_string_lossy().into_owned();
    let folder = tempfile::tempdir().expect("there is room");
    let peers = std::env::var_os("CHIO_PEERS").map(PathBuf::from);
    let server = server(peers.as_deref());
    let mut direct = Connection::open(&server);
    let mut between = Connection::open(&guarded(&chio, folder.path(), &server));
    for _ in 0..200 {
        direct.once();
        between.once();
    }
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..CALLS / TURN {
        alone.extend((0..TURN).map(|_| direct.once()));
        together.extend((0..TURN).map(|_| between.once()));
    }
    let (alone, together) = (median(&mut alone), median(&mut together));
    let (mut rounds_alone, mut rounds_together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rounds_alone.push(direct.at_once());
        rounds_together.push(between.at_once());
    }
    let (many_alone, many_together) = (median(&mut rounds_alone), median(&mut rounds_together));
    let added = together.saturating_sub(alone);
    let name = if peers.is_some() { "server-everything" } else { "tool_server" };
    println!("| what, over stdio, with `{name}` | direct | with sign and guard | seen | aim |\n|---|---|---|---|---|");
    println!(
        "| p50 of a small call | {} µs | {} µs | + {} µs, {:.2} × | ≤ + 400 µs, ≤ 1.5 × |",
        alone.as_micros(),
        together.as_micros(),
        added.as_micros(),
        ratio(together, alone)
    );
    let second = |took: Duration| {
        Value::from((f64::from(u32::try_from(AT_ONCE).unwrap_or(u32::MAX)) / took.as_secs_f64()).round())
    };
    println!(
        "| {AT_ONCE} calls that do not wait, calls a second | {} | {} | {:.2} × | ≥ 0.5 × |",
        second(many_alone),
        second(many_together),
        ratio(many_alone, many_together)
    );
}
