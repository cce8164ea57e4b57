//! A tool server as a process: started, signalled, and ended in order. It is never left behind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::pump::pump;
use crate::relay::Relay;

/// How long a command may take to end.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// By itself, after its input has ended or a signal was handed on to it. Then it is asked to (SIGTERM).
    pub by_itself: Duration,
    /// After it was asked. Then it is made to (SIGKILL).
    pub asked: Duration,
}

impl Patience {
    /// For a tool server: 5 s and 2 s.
    pub const TOOL_SERVER: Self = Self { by_itself: Duration::from_secs(5), asked: Duration::from_secs(2) };

    /// For what may have a tool server to end itself, such as a guard: 10 s and 8 s.
    pub const GUARD: Self = Self { by_itself: Duration::from_secs(10), asked: Duration::from_secs(8) };
}

/// How long what it said before it ended may take to be read by the client: a minute.
const LINGER: Duration = Duration::from_secs(60);

/// A process of a tool server, with a process group of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<Pid>,
}

impl Process {
    /// Starts a command. Its standard error is ours.
    pub fn start(command: &[std::ffi::OsString]) -> io::Result<(Self, ChildStdout, ChildStdin)> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let streams = child.stdout.take().zip(child.stdin.take());
        let (stdout, stdin) = streams.ok_or(io::ErrorKind::BrokenPipe)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok((Self { child, group }, stdout, stdin))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended in between.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until it has ended: by itself, then as it is asked, and then as it is made to.
    pub async fn end(mut self, patience: Patience) -> io::Result<ExitStatus> {
        match timeout(patience.by_itself, self.child.wait()).await {
            Ok(ended) => self.ended(ended),
            Err(_) => self.make_end(patience).await,
        }
    }

    async fn make_end(mut self, patience: Patience) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = if let Ok(ended) = timeout(patience.asked, self.child.wait()).await {
            ended
        } else {
            self.signal(Signal::KILL);
            self.child.wait().await
        };
        self.ended(ended)
    }

    /// What it started is in its group, and goes with it.
    fn ended(&mut self, ended: io::Result<ExitStatus>) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.group = None;
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a relay between our standard input and output and a command, until one of them ends. Signals that would end us are
/// handed on to it.
/// Returns how the command ended. Fails where it cannot be started.
pub async fn run<R: Relay>(relay: &R, command: &[std::ffi::OsString], patience: Patience) -> io::Result<ExitStatus> {
    let (mut process, stdout, stdin) = Process::start(command)?;
    let client_ended = Notify::new();
    let mut interrupts = Interrupts::new()?;
    let is_late = {
        let relayed = pump(relay, (standard_input(), standard_output()), (stdout, stdin), &client_ended);
        let mut relayed = std::pin::pin!(relayed);
        loop {
            tokio::select! {
                // A client that cannot be written to is gone: the tool server is ended in order.
                _ = &mut relayed => break false,
                signal = interrupts.next() => {
                    process.signal(signal);
                    client_ended.notify_one();
                }
                status = process.child.wait() => {
                    // With all that it started its stream ends, and what it said before is still passed on.
                    let status = process.ended(status);
                    let _ = timeout(LINGER, &mut relayed).await;
                    return status;
                }
                () = impatient(&client_ended, patience) => break true,
            }
        }
    };
    if is_late { process.make_end(patience).await } else { process.end(patience).await }
}

async fn impatient(client_ended: &Notify, patience: Patience) {
    client_ended.notified().await;
    sleep(patience.by_itself).await;
}

/// The exit code of a command that ended so: 128 and the signal, where it was one.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}

struct Interrupts([(Signals, Signal); 3]);

impl Interrupts {
    fn new() -> io::Result<Self> {
        let on = |kind| signal(kind);
        Ok(Self([
            (on(SignalKind::terminate())?, Signal::TERM),
            (on(SignalKind::interrupt())?, Signal::INT),
            (on(SignalKind::hangup())?, Signal::HUP),
        ]))
    }

    async fn next(&mut self) -> Signal {
        let [first, second, third] = &mut self.0;
        tokio::select! {
            _ = first.0.recv() => first.1,
            _ = second.0.recv() => second.1,
            _ = third.0.recv() => third.1,
        }
    }
}

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// Standard input, by the operating system's own readiness where it is a pipe or a socket: a thread for it costs more
/// than what is decided.
pub fn standard_input() -> Reader {
    let stdin = std::io::stdin();
    own(&stdin).and_then(reader).unwrap_or_else(|| Box::pin(tokio::io::stdin()))
}

/// Standard output, likewise.
pub fn standard_output() -> Writer {
    let stdout = std::io::stdout();
    own(&stdout).and_then(writer).unwrap_or_else(|| Box::pin(tokio::io::stdout()))
}

/// A handle of our own, if it may be made not to block: standard error, which our children share, would be, too.
fn own(stream: &impl AsFd) -> Option<OwnedFd> {
    let stat = |fd: &dyn AsFd| rustix::fs::fstat(fd.as_fd()).ok().map(|stat| (stat.st_dev, stat.st_ino));
    let is_shared = stat(stream)? == stat(&std::io::stderr())?;
    if is_shared { None } else { stream.as_fd().try_clone_to_owned().ok() }
}

fn socket(fd: OwnedFd) -> Option<UnixStream> {
    let socket = StdUnixStream::from(fd);
    socket.local_addr().ok()?;
    socket.set_nonblocking(true).ok()?;
    UnixStream::from_std(socket).ok()
}

fn reader(fd: OwnedFd) -> Option<Reader> {
    let again = fd.try_clone().ok()?;
    match pipe::Receiver::from_owned_fd(fd) {
        Ok(pipe) => Some(Box::pin(pipe)),
        Err(_) => Some(Box::pin(socket(again)?)),
    }
}

fn writer(fd: OwnedFd) -> Option<Writer> {
    let again = fd.try_clone().ok()?;
    match pipe::Sender::from_owned_fd(fd) {
        Ok(pipe) => Some(Box::pin(pipe)),
        Err(_) => Some(Box::pin(socket(again)?)),
    }
}
