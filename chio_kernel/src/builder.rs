//! Putting a kernel together. Everything has a default that denies.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chio_core::crypto::{Keypair, PublicKey, SigningBackend, random_hex};
use chio_core::digest::Digest;
use chio_core::error::excerpt;

use crate::authority::Authorities;
use crate::budget::Budget;
use crate::call::ToolCall;
use crate::clock::{Clock, ForwardClock, SystemClock, Timer};
use crate::config::{Mode, Settings, TrustRoot};
use crate::denial::Denial;
use crate::fence::Fence;
use crate::guard::Guard;
use crate::kernel::Kernel;
use crate::proof::Prover;
use crate::receipts::{Ledger, Unproven};
use crate::store::{
    DpopNonceStore, MemoryReceipts, MemoryRevocations, MemoryStandings, MemoryUsage, NonceStore, ReceiptStore,
    RevocationStore, StandingStore, UsageStore,
};
use crate::sync::Mutex;
use crate::tool_server::ToolServer;

/// Everything a kernel works with.
pub(crate) struct Parts {
    pub(crate) clock: ForwardClock,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) fence: Fence,
    pub(crate) settings: Settings,
    pub(crate) authorities: Authorities,
    pub(crate) revocations: Arc<dyn RevocationStore>,
    pub(crate) standings: Arc<dyn StandingStore>,
    pub(crate) prover: Prover,
    pub(crate) budget: Budget,
    pub(crate) guards: Vec<Arc<dyn Guard>>,
    pub(crate) ledger: Ledger,
    pub(crate) servers: HashMap<String, Server>,
    server_modes: HashMap<String, Mode>,
    subject_modes: HashMap<String, Mode>,
}

/// Where a tool server is.
pub(crate) enum Server {
    Here(Arc<dyn ToolServer>),
    /// The embedder dispatches to it.
    Elsewhere,
}

impl Parts {
    pub(crate) fn mode_of_server(&self, tool_server: &str) -> Mode {
        self.server_modes.get(tool_server).copied().unwrap_or_default()
    }

    pub(crate) fn mode_of_subject(&self, principal: &str) -> Option<Mode> {
        self.subject_modes.get(principal).copied()
    }

    pub(crate) fn check_exists(&self, call: &ToolCall) -> Result<(), Denial> {
        let tool_server = || excerpt(call.tool_server());
        match self.servers.get(call.tool_server()) {
            None => Err(Denial::UnknownToolServer { tool_server: tool_server() }),
            Some(Server::Here(server)) if !has_tool(&**server, call.tool_name()) => {
                Err(Denial::UnknownTool { tool_server: tool_server(), tool_name: excerpt(call.tool_name()) })
            }
            Some(_) => Ok(()),
        }
    }

    /// What the tool server says of a tool's definition: nothing where it panics, or the embedder dispatches.
    pub(crate) fn definition(&self, tool_server: &str, tool_name: &str) -> Option<Digest> {
        let Some(Server::Here(server)) = self.servers.get(tool_server) else { return None };
        catch_unwind(AssertUnwindSafe(|| server.definition(tool_name))).ok().flatten()
    }
}

/// A tool server that panics at the question has no tool.
fn has_tool(server: &dyn ToolServer, tool_name: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| server.has_tool(tool_name))).unwrap_or(false)
}

/// Why a kernel cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The clock cannot be read.
    Clock,
    /// There is no key to sign receipts with, and none could be made.
    NoKey,
    /// A name is given to two tool servers.
    TwoServers(String),
    /// A key is a trust root twice, perhaps with two ceilings.
    TwoRoots(PublicKey),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("the clock cannot be read"),
            Self::NoKey => f.write_str("no key to sign receipts with: set one with `signing_key`"),
            Self::TwoRoots(key) => write!(f, "{key} is a trust root twice"),
            Self::TwoServers(name) => write!(f, "two tool servers have the name `{}`", excerpt(name)),
        }
    }
}

impl std::error::Error for BuildError {}

#[cfg(not(feature = "os"))]
use crate::clock::NoPatience as DefaultTimer;
#[cfg(feature = "os")]
use crate::clock::ThreadTimer as DefaultTimer;

/// Puts a kernel together.
#[derive(Default)]
pub struct KernelBuilder {
    roots: Vec<TrustRoot>,
    names: Vec<String>,
    servers: Vec<(String, Server)>,
    server_modes: HashMap<String, Mode>,
    subject_modes: HashMap<String, Mode>,
    guards: Vec<Arc<dyn Guard>>,
    key: Option<Arc<dyn SigningBackend>>,
    clock: Option<Box<dyn Clock>>,
    timer: Option<Arc<dyn Timer>>,
    settings: Settings,
    stores: Stores,
}

/// What a kernel remembers with. In memory by default, and so until it stops.
pub struct Stores {
    /// The nonces that were spent; by default a [`DpopNonceStore`] of the configured capacity.
    pub nonces: Option<Arc<dyn NonceStore>>,
    /// How often grants were used.
    pub usage: Arc<dyn UsageStore>,
    /// What is revoked.
    pub revocations: Arc<dyn RevocationStore>,
    /// Who is suspended or banned.
    pub standings: Arc<dyn StandingStore>,
    /// The receipts.
    pub receipts: Arc<dyn ReceiptStore>,
}

impl Default for Stores {
    fn default() -> Self {
        Self {
            nonces: None,
            usage: Arc::new(MemoryUsage::default()),
            revocations: Arc::new(MemoryRevocations::default()),
            standings: Arc::new(MemoryStandings::default()),
            receipts: Arc::new(MemoryReceipts::default()),
        }
    }
}

impl KernelBuilder {
    /// Builds the kernel.
    /// Fails where the clock cannot be read, there is no key to sign receipts with, or a tool server or root is named twice.
    pub fn build(self) -> Result<Kernel, BuildError> {
        let clock = ForwardClock::new(self.clock.unwrap_or_else(|| Box::new(SystemClock)));
        let started_at = clock.now().map_err(|_| BuildError::Clock)?;
        let key = self.key.or_else(|| Some(Arc::new(Keypair::generate().ok()?))).ok_or(BuildError::NoKey)?;
        let mut servers = HashMap::new();
        for (name, server) in self.servers {
            if servers.insert(name.clone(), server).is_some() {
                return Err(BuildError::TwoServers(name));
            }
        }
        for (index, root) in self.roots.iter().enumerate() {
            if self.roots.iter().skip(index.saturating_add(1)).any(|other| other.key == root.key) {
                return Err(BuildError::TwoRoots(root.key.clone()));
            }
        }
        for (name, mode) in self.server_modes.iter().chain(&self.subject_modes) {
            if *mode != Mode::Enforce {
                tracing::warn!(name = excerpt(name), mode = mode.name(), "denials are not enforced");
            }
        }
        let timer = self.timer.unwrap_or_else(|| Arc::new(DefaultTimer));
        let (stores, settings) = (self.stores, self.settings);
        let Settings { dpop, patience, .. } = settings;
        let nonces = stores.nonces.unwrap_or_else(|| {
            let life = Duration::from_secs(dpop.proof_ttl_secs.saturating_add(dpop.max_clock_skew_secs));
            Arc::new(DpopNonceStore::new(dpop.nonce_store_capacity, life))
        });
        if !nonces.survives_restart() {
            tracing::warn!("what this kernel remembers in memory is gone when it stops: nonces, and all kept there");
        }
        let since = if nonces.survives_restart() { nonces.remembers_since() } else { Some(started_at) };
        let epoch = random_hex().ok().map(|random| format!("{random}."));
        let unproven = Mutex::new(Unproven::new(settings.unproven_receipts_per_second, stores.receipts.unfinished()));
        let fence = Fence { timer: Arc::clone(&timer), patience: patience.store };
        Ok(Kernel::new(Parts {
            clock,
            settings,
            authorities: Authorities::new(self.roots, self.names, &settings),
            revocations: stores.revocations,
            standings: stores.standings,
            prover: Prover { config: dpop, nonces, fence: fence.clone(), since, epoch },
            budget: Budget { usage: stores.usage, fence: fence.clone() },
            guards: self.guards,
            ledger: Ledger { store: stores.receipts, key, fence: fence.clone(), unproven, ends: Arc::default() },
            fence,
            servers,
            server_modes: self.server_modes,
            subject_modes: self.subject_modes,
            timer,
        }))
    }
}

macro_rules! setters {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident: $type:ty),+) |$builder:ident| $set:expr;)*) => {
        impl KernelBuilder {$(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $name(self, $($arg: $type),+) -> Self {
                let mut $builder = self;
                $set;
                $builder
            }
        )*}
    };
}

setters! {
    /// Takes the word of a key: tokens it issues are roots. A [`TrustRoot`] can limit what they give.
    trust_root(root: impl Into<TrustRoot>) |builder| builder.roots.push(root.into());

    /// Gives the kernel a name. A token with an `audience` is accepted only by a kernel of that name.
    name(name: impl Into<String>) |builder| builder.names.push(name.into());

    /// Adds a tool server.
    tool_server(name: impl Into<String>, server: impl ToolServer + 'static)
        |builder| builder.servers.push((name.into(), Server::Here(Arc::new(server))));

    /// Adds the name of a tool server to which the embedder dispatches: see [`crate::AuthorizedCall::finish`].
    tool_server_elsewhere(name: impl Into<String>) |builder| builder.servers.push((name.into(), Server::Elsewhere));

    /// Adds a guard.
    guard(guard: impl Guard + 'static) |builder| builder.guards.push(Arc::new(guard));

    /// Sets whether denials of calls to a tool server deny. Anything but `enforce` is warned of, and written in every
    /// receipt.
    mode(tool_server: impl Into<String>, mode: Mode) |builder| builder.server_modes.insert(tool_server.into(), mode);

    /// Sets the same for a subject, by the text of its key. It counts from the moment at which the subject is proven,
    /// and then before the mode of the tool server.
    subject_mode(principal: impl fmt::Display, mode: Mode)
        |builder| builder.subject_modes.insert(principal.to_string(), mode);

    /// Sets the key that signs receipts. Without one, and with the feature `os`, a new one is made at every start.
    signing_key(key: impl SigningBackend + 'static) |builder| builder.key = Some(Arc::new(key));

    /// Sets the clock. It is wrapped so that it never runs backwards.
    clock(clock: impl Clock + 'static) |builder| builder.clock = Some(Box::new(clock));

    /// Sets the timer that ends the patience with foreign code. Without the feature `os` the default has none at all.
    timer(timer: impl Timer + 'static) |builder| builder.timer = Some(Arc::new(timer));

    /// Sets everything that is a number.
    settings(settings: Settings) |builder| builder.settings = settings;

    /// Sets what the kernel remembers with.
    stores(stores: Stores) |builder| builder.stores = stores;
}
