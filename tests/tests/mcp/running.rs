//! The real `chio mcp`, running, with something to say to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use crate::common::{Place, chio};
use crate::wire::parse;

/// How long anything may take that has to happen. Nothing waits for it to pass.
const LONG: Duration = Duration::from_secs(60);

/// The tool server that fails in every way there is.
pub const TOOL_SERVER: &str = env!("CARGO_BIN_EXE_tool_server");

/// A directory with keys, and a capability for all tools of the tool server but `secret`.
pub fn furnished() -> Place {
    let place = Place::empty();
    place.chio("keygen --out issuer.key").done();
    place.chio("keygen --out agent.key").done();
    let tools =
        ["echo", "hang", "die", "twice", "print", "flood", "ask"].map(|tool| format!("--tool mcp/{tool}")).join(" ");
    place.chio(&format!("issue --key issuer.key --subject agent.key {tools} --ttl 1d --out agent.cap")).done();
    place
}

/// A process that is running.
pub struct Running {
    pub child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    told: Arc<Mutex<String>>,
    heard: Receiver<String>,
    listens: Mutex<Option<SocketAddr>>,
}

impl Running {
    /// Runs `chio` with these words.
    pub fn chio(place: &Place, words: &[&str]) -> Self {
        Self::start(place.command(chio()), words)
    }

    /// Runs a command with these words.
    pub fn start(mut command: Command, words: &[&str]) -> Self {
        command.args(words).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let (sender, heard) = channel();
        let told = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&told));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, told, heard, listens: Mutex::default() }
    }

    /// A guard before the tool server, or before what is named.
    pub fn guard(place: &Place, server: &[&str]) -> Self {
        Self::chio(place, &[&["mcp", "guard", "--root", "issuer.key", "--"], server].concat())
    }

    /// A signer, and behind it a guard before the tool server, or before what is named.
    pub fn signed(place: &Place, server: &[&str]) -> Self {
        let chio = chio().to_str().unwrap();
        let sign = ["mcp", "sign", "--key", "agent.key", "--capability", "agent.cap", "--"];
        Self::chio(place, &[&sign, [chio, "mcp", "guard", "--root", "issuer.key", "--"].as_slice(), server].concat())
    }

    pub fn say(&mut self, text: &str) {
        // Whether it is still listening is seen by what it answers.
        let _ = self.stdin.as_mut().unwrap().write_all(format!("{text}\n").as_bytes());
    }

    /// The next line that it says.
    pub fn next(&self) -> Value {
        let line = self.lines.recv_timeout(LONG);
        parse(&line.unwrap_or_else(|error| panic!("{error}: {}", self.told())))
    }

    /// What it answers to a request.
    pub fn ask(&mut self, text: &str) -> Value {
        self.say(text);
        self.next()
    }

    /// It says nothing more.
    pub fn ends(&self) -> bool {
        self.lines.recv_timeout(LONG) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
    }

    pub fn close(&mut self) {
        self.stdin = None;
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        let id = self.child.id();
        assert!(has_ended(id, LONG), "it does not end: {}", self.told());
        self.child.wait().unwrap()
    }

    pub fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// The address that it said before that it listens at.
    pub fn known_address(&self) -> SocketAddr {
        if let Some(address) = *self.listens.lock().unwrap() {
            return address;
        }
        let address = self.address();
        *self.listens.lock().unwrap() = Some(address);
        address
    }

    /// Whether it ends with an error, or else what is asked of it at its address.
    pub fn refuses_or(&mut self, asked: impl FnOnce(SocketAddr) -> bool) -> bool {
        loop {
            match self.heard.recv_timeout(LONG) {
                Ok(line) if line.starts_with("listening on http://") => {
                    let address = line.trim_start_matches("listening on http://").trim_end_matches("/mcp");
                    return asked(address.parse().unwrap());
                }
                Ok(_) => {}
                Err(_) => return !self.wait().success(),
            }
        }
    }

    /// The address that it listens at.
    pub fn address(&self) -> SocketAddr {
        loop {
            let line = self.heard.recv_timeout(LONG).unwrap_or_else(|error| panic!("{error}: {}", self.told()));
            if let Some(address) = line.strip_prefix("listening on http://").and_then(|line| line.strip_suffix("/mcp"))
            {
                return address.parse().unwrap();
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(pid(self.child.id()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Whether a process has ended, or does within that time.
pub fn has_ended(id: u32, within: Duration) -> bool {
    let Ok(fd) = pidfd_open(pid(id), PidfdFlags::empty()) else { return true };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: i64::try_from(within.as_secs()).unwrap(), tv_nsec: 0 })).unwrap() > 0
}

/// It is gone, or soon.
pub fn is_gone(id: &Value) -> bool {
    has_ended(u32::try_from(id.as_u64().unwrap()).unwrap(), LONG)
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        parse(self.body.trim())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Sends a request as it is, and reads until the other side closes.
pub fn exchange(address: SocketAddr, head: &str, body: &str) -> Answered {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // What is refused early is not read to its end.
    let _ = stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body =
        if head.to_lowercase().contains("transfer-encoding: chunked") { dechunked(body) } else { body.to_owned() };
    Answered { status, head: head.to_owned(), body }
}

fn dechunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// Posts a message with these headers besides the usual.
pub fn post(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Answered {
    let usual = [
        ("Host", "localhost"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut head = format!("POST /mcp HTTP/1.1\r\nContent-Length: {}", body.len());
    for (name, value) in usual.into_iter().filter(|(name, _)| !is_given(name)).chain(headers.iter().copied()) {
        head.push_str(&format!("\r\n{name}: {value}"));
    }
    exchange(address, &head, body)
}
