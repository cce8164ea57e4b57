//! The one connection to Redis: made again when it is lost, and never waited for longer than the deadline.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chio_kernel::store::{BoxFuture, NonceClaim};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, failure, is_no_primary, number, refused, typed};
use super::keys::Keys;
use super::options::{ConnectError, RedisOptions};
use super::place::Place;
use super::scripts::{Script, Scripts};
use super::server::Server;

/// A connection over which its server has said which run it is, and since when it remembers.
#[derive(Clone)]
pub(super) struct Live {
    number: u64,
    connection: MultiplexedConnection,
    /// The id of the epoch. It is random: a Redis that has lost what it had has another, or none.
    pub(super) epoch: Arc<[u8]>,
}

impl Live {
    /// Which of the connections that were made it is.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The connection, and all that is needed to make it.
pub(super) struct Link {
    pub(super) options: RedisOptions,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    place: Place,
    handle: Handle,
    live: Mutex<Option<Live>>,
    /// Who holds this connects. When and why it failed last.
    turn: tokio::sync::Mutex<Option<(Instant, String)>>,
    made: AtomicU64,
    claims: AtomicU64,
    since: AtomicU64,
    /// How much longer than its own the proofs of another kernel can live, in seconds.
    longer: AtomicU64,
    /// The time at which this epoch was first heard of, where another was known before.
    adopted: AtomicU64,
    known: Mutex<Option<Arc<[u8]>>>,
    latest: AtomicU64,
}

/// How long after a failed attempt there is no other: calls are denied at once instead.
const PAUSE: Duration = Duration::from_millis(50);

/// How much longer what has expired is kept, in seconds, for calls that began before and come late.
const GRACE: u64 = 5;

/// Every how many claims some of the nonces that have expired are dropped: three times as many.
const SWEEP_EVERY: u64 = 64;

/// How many commands may wait to be written.
const WAITING: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// A link that has no connection yet.
    pub(super) fn new(options: RedisOptions) -> Result<Self, ConnectError> {
        options.check()?;
        let handle = Handle::try_current().map_err(|_| ConnectError::Runtime)?;
        let place = Place::new(&options)?;
        if options.url.starts_with("rediss:") {
            // Where several providers of cryptography are built in, rustls takes none by itself.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self {
            keys: Keys::new(&options.prefix, &options.chain),
            scripts: Scripts::new(),
            place,
            handle,
            live: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            made: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            since: AtomicU64::new(0),
            longer: AtomicU64::new(0),
            adopted: AtomicU64::new(0),
            known: Mutex::default(),
            latest: AtomicU64::new(0),
            options,
        })
    }

    /// A future that can be polled from outside of the runtime, too.
    pub(super) fn within<'a, T: 'a>(&'a self, future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        let mut future = Box::pin(future);
        Box::pin(poll_fn(move |context| {
            let _entered = self.handle.enter();
            future.as_mut().poll(context)
        }))
    }

    /// When what begins now is given up.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.options.timeout).unwrap_or(now)
    }

    /// Since when nonces are remembered.
    pub(super) fn since(&self) -> u64 {
        self.since.load(Ordering::SeqCst)
    }

    /// Up to when a call may have asked since when nonces are remembered, and been told the time before this one.
    pub(super) fn adopted(&self) -> u64 {
        self.adopted.load(Ordering::SeqCst)
    }

    /// Until when a nonce is to be remembered, for the kernel whose proofs live longest.
    pub(super) fn until(&self, claim: &NonceClaim) -> u64 {
        claim.until.saturating_add(self.longer.load(Ordering::SeqCst))
    }

    /// Takes note of the time of a call: a kernel's clock may be ahead of that of this machine, where that was set back.
    pub(super) fn saw(&self, now: u64) {
        self.latest.fetch_max(now, Ordering::SeqCst);
    }

    /// Whether what has expired is to be dropped by this claim.
    pub(super) fn is_to_sweep(&self) -> bool {
        self.claims.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY)
    }

    /// The time by the kernel's clock.
    pub(super) fn now(&self) -> Result<u64, ConnectError> {
        let now = self.options.clock.now().map_err(|_| ConnectError::Machine("the clock"))?;
        Ok(now.max(self.latest.load(Ordering::SeqCst)))
    }

    /// The time before which everything ends for the kernel whose clock is farthest behind.
    pub(super) fn ended_before(&self, now: u64) -> String {
        number(now.saturating_sub(self.options.clock_tolerance_secs).saturating_sub(GRACE))
    }

    /// The connection; a new one where there is none.
    pub(super) async fn live(&self, deadline: Instant) -> Result<Live, Failure> {
        if let Some(live) = lock(&self.live).clone() {
            return Ok(live);
        }
        let late = || Failure::new("Redis did not answer in time");
        let mut turn = timeout_at(deadline, self.turn.lock()).await.map_err(|_| late())?;
        if let Some(live) = lock(&self.live).clone() {
            return Ok(live);
        }
        if let Some((at, why)) = turn.as_ref()
            && at.elapsed() < PAUSE
        {
            return Err(Failure::new(why));
        }
        let why = match timeout_at(deadline, self.connect()).await {
            Ok(Ok(live)) => {
                *turn = None;
                return Ok(live);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "Redis did not answer in time".to_owned(),
        };
        *turn = Some((Instant::now(), why.clone()));
        Err(Failure::Other(why))
    }

    /// Connects, and asks the server who it is and since when it remembers.
    pub(super) async fn connect(&self) -> Result<Live, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let (mut connection, server) = self.place.connect(&config, &self.keys.epoch).await?;
        if !server.appends {
            tracing::warn!(
                "this Redis writes no append-only file: what it has is lost, or partly, when it stops. Set `appendonly yes`"
            );
        }
        let begins = self.now()?.saturating_add(self.options.clock_tolerance_secs);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| ConnectError::Machine("the source of random numbers"))?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let own = self.options.proof_life_secs;
        let command = self.scripts.begin.by_text(
            &[&self.keys.epoch],
            &[id.as_bytes(), number(begins).as_bytes(), server.run.as_bytes(), number(own).as_bytes()],
        );
        let (epoch, since, longest): (Vec<u8>, u64, u64) =
            command.query_async(&mut connection).await.map_err(|error| match error.kind() {
                ErrorKind::UnexpectedReturnType | ErrorKind::Parse => ConnectError::Contents("the epoch"),
                _ => refused(&error),
            })?;
        if epoch == id.as_bytes() {
            tracing::warn!(since, "Redis is new, was started, or lost what it had: proofs made before are refused");
        }
        // First, so that nothing is spent with the new epoch by who still believes in the old.
        self.longer.fetch_max(longest.saturating_sub(own), Ordering::SeqCst);
        self.since.fetch_max(since, Ordering::SeqCst);
        let epoch: Arc<[u8]> = epoch.into();
        let known = lock(&self.known).replace(Arc::clone(&epoch));
        if known.is_some_and(|known| known != epoch) {
            self.adopted.fetch_max(self.now()?, Ordering::SeqCst);
        }
        let live = Live { number: self.made.fetch_add(1, Ordering::SeqCst), connection, epoch };
        *lock(&self.live) = Some(live.clone());
        Ok(live)
    }

    /// Gives a connection up. Who still waits on it waits until his own deadline.
    pub(super) fn give_up(&self, live: &Live) {
        let mut current = lock(&self.live);
        if current.as_ref().is_some_and(|current| current.number == live.number) {
            *current = None;
        }
    }

    /// Asks one thing.
    pub(super) async fn ask(&self, live: &Live, command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        self.try_ask(live, command, deadline).await?.map_err(|error| failure(&error))
    }

    /// Asks several things in one go. Between them, other connections may be answered.
    pub(super) async fn ask_all(
        &self,
        live: &Live,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let mut connection = live.connection.clone();
        let answers = connection.send_packed_commands(commands, 0, commands.len());
        let answers = self.wait(live, answers, deadline).await?.map_err(|error| failure(&error))?;
        let fine = |answer| match answer {
            Value::ServerError(error) => {
                let error = RedisError::from(error);
                self.give_up_after(live, &error);
                Err(failure(&error))
            }
            answer => Ok(answer),
        };
        answers.into_iter().map(fine).collect()
    }

    async fn try_ask(
        &self,
        live: &Live,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Result<Value, RedisError>, Failure> {
        let mut connection = live.connection.clone();
        self.wait(live, command.query_async::<Value>(&mut connection), deadline).await
    }

    /// Waits for an answer. What comes after the deadline is taken off the connection in its turn, and thrown away: it is no
    /// other's answer.
    async fn wait<T>(
        &self,
        live: &Live,
        answer: impl Future<Output = Result<T, RedisError>>,
        deadline: Instant,
    ) -> Result<Result<T, RedisError>, Failure> {
        let mut waiting = Waiting { link: self, live, deadline, is_answered: false };
        let answer = timeout_at(deadline, answer).await.map_err(|_| Failure::new("Redis did not answer in time"))?;
        waiting.is_answered = true;
        if let Err(error) = &answer {
            self.give_up_after(live, error);
        }
        Ok(answer)
    }

    fn give_up_after(&self, live: &Live, error: &RedisError) {
        if error.is_unrecoverable_error() || is_no_primary(error) {
            self.give_up(live);
        }
    }

    /// Runs a script on a connection, loading it where it is not loaded.
    pub(super) async fn run_on(
        &self,
        live: &Live,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, Failure> {
        match self.try_ask(live, &script.by_hash(keys, arguments), deadline).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(live, &script.by_text(keys, arguments), deadline).await
            }
            answer => answer.map_err(|error| failure(&error)),
        }
    }

    /// Runs a script that changes something, and waits for the replicas that have to have it.
    pub(super) async fn change(&self, script: &Script, keys: &[&[u8]], arguments: &[&[u8]]) -> Result<Value, Failure> {
        let deadline = self.deadline();
        let live = self.live(deadline).await?;
        let answer = self.run_on(&live, script, keys, arguments, deadline).await?;
        self.replicated(&live, deadline).await?;
        Ok(answer)
    }

    /// Asks one thing that changes nothing, on whatever connection there is.
    pub(super) async fn read<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let deadline = self.deadline();
        let live = self.live(deadline).await?;
        typed(self.ask(&live, command, deadline).await?)
    }

    /// What the server says of itself.
    pub(super) async fn server(&self) -> Result<Server, Failure> {
        let deadline = self.deadline();
        let mut live = self.live(deadline).await?;
        let server = timeout_at(deadline, Server::ask(&mut live.connection)).await;
        let server = server.map_err(|_| Failure::new("Redis did not answer in time"))?;
        server.map_err(|error| Failure::Other(error.to_string()))
    }

    /// Waits until enough replicas have what was changed over this connection.
    pub(super) async fn replicated(&self, live: &Live, deadline: Instant) -> Result<(), Failure> {
        let wanted = self.options.min_replicas;
        if wanted == 0 {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now()).mul_f32(0.8).as_millis().max(1);
        let mut command = redis::cmd("WAIT");
        command.arg(wanted).arg(u64::try_from(left).unwrap_or(1));
        match self.ask(live, &command, deadline).await? {
            Value::Int(have) if have >= i64::from(wanted) => Ok(()),
            Value::Int(have) => Err(Failure::Other(format!("{have} of {wanted} replicas of Redis have the change"))),
            _ => Err(Failure::unexpected()),
        }
    }
}

/// Waits for an answer. Where that ends without one, because of the deadline or because the kernel has none of its patience
/// left, the connection is given up: it may be dead.
struct Waiting<'a> {
    link: &'a Link,
    live: &'a Live,
    deadline: Instant,
    is_answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A caller that went away early says nothing about the connection.
        let left = self.deadline.saturating_duration_since(Instant::now());
        if !self.is_answered && left < self.link.options.timeout.mul_f32(0.5) {
            self.link.give_up(self.live);
        }
    }
}
