//! State in one SQLite file, for one kernel.
//!
//! Whatever is answered is on the disk before. All writes go through one thread: what waits while the disk is busy is
//! written together, with one commit (a group), so that many callers share what one waiting costs. Nonces are kept in
//! memory as well, as a [`DpopNonceStore`] does: the file is the journal that it is filled from at the start, and is written
//! in order. What is revoked, and who is turned away, is read from memory too, and read anew when somebody beside the kernel
//! has changed it. Records of the schemes over HTTP are written by the same thread, and read by another.

mod open;

mod sheet;

mod tables;

mod desk;

mod writer;

mod known;

mod reader;

mod records;

mod by_hand;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_core::receipt::Receipt;
use chio_kernel::Stores;
use chio_kernel::store::{
    Allowance, BoxFuture, DpopNonceStore, KernelError, NonceAnswer, NonceClaim, NonceStore, ReceiptStore,
    RevocationStore, Seal, Spending, Standing, StandingStore, UsageStore,
};

pub use self::open::OpenError;

use self::desk::Desk;
use self::known::Known;
use self::open::Ownership;
use self::reader::Reader;
use self::writer::Writer;

/// How a file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file. Beside it stand two of SQLite, `-wal` and `-shm`, and one that says who has it, `.lock`.
    pub path: PathBuf,
    /// The key of the kernel, whose receipts alone may be in it; without one, it is not compared.
    pub kernel_key: Option<PublicKey>,
    /// How many live nonces are remembered; 1,048,576 by default, of which one root capability may hold an eighth.
    pub nonce_capacity: usize,
    /// How long after a claim its proof could still be found fresh, in seconds: the life of proofs and the clock skew, 330
    /// by default. Where it is longer than it was, what was forgotten by then could be fresh again: the file begins to
    /// remember anew.
    pub proof_life_secs: u64,
    /// The time, in Unix seconds: that at which a new file begins to remember.
    pub now: u64,
}

impl SqliteOptions {
    /// The options for a file.
    pub fn new(path: impl Into<PathBuf>, now: u64) -> Self {
        Self { path: path.into(), kernel_key: None, nonce_capacity: 1 << 20, proof_life_secs: 330, now }
    }
}

/// The state of one kernel in one SQLite file.
pub struct SqliteState {
    path: PathBuf,
    nonces: DpopNonceStore,
    /// A call before this second could be one whose nonce, or whose count, is forgotten.
    complete_from: Arc<AtomicU64>,
    remembers_since: AtomicU64,
    opened_at: u64,
    unfinished: Vec<u64>,
    known: Arc<Known>,
    reader: Reader,
    writer: Writer,
    ownership: Ownership,
}

impl fmt::Debug for SqliteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteState({})", self.path.display())
    }
}

impl SqliteState {
    /// Opens a file for a kernel, or makes it. Nobody else can be its kernel until this is dropped, and all that waits is
    /// written.
    /// Fails where somebody else is; where the file is damaged, of a newer version, no state, or cannot be read and written.
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        open::check_file(&options.path)?;
        let ownership = Ownership::take(&options.path)?;
        Self::with(options, ownership)
    }

    /// Opens a file that there is, beside the kernel that it may belong to: to be read, and changed by hand.
    /// Fails likewise, and where there is none.
    pub fn beside(options: &SqliteOptions) -> Result<Self, OpenError> {
        match options.path.metadata() {
            Err(_) => return Err(OpenError::Missing),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => return Err(OpenError::NotAState),
            Ok(_) => open::check_file(&options.path)?,
        }
        Self::with(options, Ownership::Another)
    }

    fn with(options: &SqliteOptions, ownership: Ownership) -> Result<Self, OpenError> {
        let connection = open::connection(&options.path)?;
        if !ownership.is_ours() {
            // A call has a deadline; whoever stands beside a busy kernel has time.
            connection.busy_timeout(Duration::from_secs(10))?;
        }
        open::migrate(&connection, options.now)?;
        let owner = ownership.is_ours().then(|| open::own(&connection, options)).transpose()?;
        let tables = tables::Tables::load(&connection)?;
        if let (Some(expected), Some(found)) = (&options.kernel_key, &tables.kernel_key)
            && expected.to_string() != *found
        {
            return Err(OpenError::OtherKernel { key: found.clone() });
        }
        let nonces = DpopNonceStore::new(options.nonce_capacity, Duration::ZERO);
        if ownership.is_ours() {
            tables::each_nonce(&connection, |claim| nonces.remember(&claim), options.now)?;
        }
        let unfinished = tables::unfinished(&connection)?;
        let (remembers_since, opened_at) = (AtomicU64::new(open::number(&connection, "remembers_since")?), options.now);
        let complete_from = Arc::new(AtomicU64::new(open::number(&connection, "complete_from")?));
        let known = Arc::new(Known::new(open::connection(&options.path)?)?);
        let reader = Reader::start(open::connection(&options.path)?)?;
        let writer = Writer::start(connection, tables, Arc::clone(&complete_from), Arc::clone(&known), owner)?;
        let path = options.path.clone();
        Ok(Self {
            path,
            nonces,
            complete_from,
            remembers_since,
            opened_at,
            unfinished,
            known,
            reader,
            writer,
            ownership,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that a kernel remembers with.
    pub fn stores(self: &Arc<Self>) -> Stores {
        crate::state::stores(self)
    }

    /// Only its kernel spends: what is in another's memory is not known here.
    fn check_owned(&self) -> Result<(), KernelError> {
        if self.ownership.is_ours() { Ok(()) } else { Err(KernelError::new("the state file has another kernel")) }
    }

    /// What was changed by hand comes to be known here, before the next answer.
    async fn know(&self) -> Result<(), KernelError> {
        if self.known.is_stale() { self.writer.ask(Desk::know).await } else { Ok(()) }
    }

    async fn standing_changed(
        &self,
        principal: Digest,
        who: Option<&'static str>,
        change: impl FnOnce(Standing) -> Standing + Send + 'static,
        forgive: bool,
    ) -> Result<(), KernelError> {
        let has_room = self.writer.ask(move |desk| desk.change_standing(principal, who, change, forgive)).await?;
        if has_room { Ok(()) } else { Err(KernelError::new("there is no room for another standing")) }
    }
}

impl NonceStore for SqliteState {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        Box::pin(async move {
            self.check_owned()?;
            if claim.now < self.complete_from.load(Ordering::SeqCst) {
                return Ok(NonceAnswer::Full);
            }
            let answer = self.nonces.claim(&claim);
            if answer == NonceAnswer::Spent {
                // Where this fails the call is denied, and the nonce stays spent.
                self.writer.ask(move |desk| desk.spend_nonce(&claim)).await?;
            }
            Ok(answer)
        })
    }

    fn survives_restart(&self) -> bool {
        true
    }

    fn remembers_since(&self) -> Option<u64> {
        Some(self.remembers_since.load(Ordering::SeqCst))
    }
}

impl UsageStore for SqliteState {
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> BoxFuture<'a, Result<Spending, KernelError>> {
        let places = places.to_vec();
        Box::pin(async move {
            self.check_owned()?;
            if now < self.complete_from.load(Ordering::SeqCst) {
                return Ok(Spending::Full);
            }
            self.writer.ask(move |desk| desk.spend_usage(&places, now)).await
        })
    }

    fn refund<'a>(&'a self, grants: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>> {
        let grants = grants.to_vec();
        Box::pin(self.writer.ask(move |desk| desk.refund(&grants)))
    }
}

impl RevocationStore for SqliteState {
    fn first_revoked<'a>(&'a self, ids: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        Box::pin(async move {
            self.know().await?;
            Ok(self.known.first_revoked(ids))
        })
    }

    fn revoke(&self, id: Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        Box::pin(self.writer.ask(move |desk| desk.revoke(id, "", None)))
    }
}

impl StandingStore for SqliteState {
    fn worst<'a>(&'a self, principals: &'a [Digest], now: u64) -> BoxFuture<'a, Result<Standing, KernelError>> {
        Box::pin(async move {
            self.know().await?;
            Ok(self.known.worst(principals, now))
        })
    }

    fn worsen(&self, principal: Digest, standing: Standing, _: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        Box::pin(self.standing_changed(principal, None, move |was| known::worse(was, standing), false))
    }

    fn set(&self, principal: Digest, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        // The owner's word always has room.
        Box::pin(self.standing_changed(principal, Some(""), move |_| standing, standing == Standing::Good))
    }

    fn count_failure(&self, principal: Digest, now: u64, forgive: u64) -> BoxFuture<'_, Result<u64, KernelError>> {
        Box::pin(self.writer.ask(move |desk| desk.count_failure(principal, now, forgive)))
    }
}

impl ReceiptStore for SqliteState {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        Box::pin(async move {
            self.check_owned()?;
            self.writer.ask(move |desk| desk.append(seal)).await?
        })
    }

    fn unfinished(&self) -> Vec<u64> {
        self.unfinished.clone()
    }
}
