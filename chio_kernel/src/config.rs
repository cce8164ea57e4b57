//! What the owner of a kernel decides.

use std::time::Duration;

use chio_core::canonical::Limits;
use chio_core::capability::{Grant, MAX_CHAIN_BYTES};
use chio_core::crypto::PublicKey;
use chio_core::digest::Arguments;

/// The settings of a kernel. All have defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long proofs are fresh, and how many nonces the default store remembers.
    pub dpop: DpopConfig,
    /// How much of the arguments is read: 1 MiB and a nesting of 64.
    pub arguments: Limits,
    /// How many bytes of a capability chain are read: 256 KiB, and never more.
    pub chain_bytes: usize,
    /// How long to wait for stores, guards and tool servers.
    pub patience: Patience,
    /// What attacks lead to.
    pub threat: ThreatResponse,
    /// How many denials of unproven callers get a receipt of their own each second: 100. The rest is summed up.
    pub unproven_receipts_per_second: u64,
    /// How much memory the cache of verified chains may take, by estimate: 64 MiB, some two thousand usual chains.
    pub chain_cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dpop: DpopConfig::default(),
            arguments: Limits::bytes(Arguments::MAX_BYTES),
            chain_bytes: MAX_CHAIN_BYTES,
            patience: Patience::default(),
            threat: ThreatResponse::default(),
            unproven_receipts_per_second: 100,
            chain_cache_bytes: 64 << 20,
        }
    }
}

/// How long the kernel waits for what is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a store: 250 ms by default.
    pub store: Duration,
    /// For a guard: 5 s by default.
    pub guard: Duration,
    /// For a tool server: without end by default, for tools may take as long as they do.
    pub tool_server: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { store: Duration::from_millis(250), guard: Duration::from_secs(5), tool_server: None }
    }
}

/// How long a proof is fresh, and how many nonces are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpopConfig {
    /// A proof is fresh for this many seconds after it was signed.
    pub proof_ttl_secs: u64,
    /// A proof may be dated this many seconds in the future.
    pub max_clock_skew_secs: u64,
    /// How many live nonces the default store remembers.
    pub nonce_store_capacity: usize,
}

impl Default for DpopConfig {
    /// 300 s, 30 s, and 1,048,576 nonces: with a life of 330 s, over three thousand calls a second.
    fn default() -> Self {
        Self { proof_ttl_secs: 300, max_clock_skew_secs: 30, nonce_store_capacity: 1 << 20 }
    }
}

/// Whether a denial denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does. The default.
    #[default]
    Enforce,
    /// Everything is verified; what would have been denied is recorded, and allowed.
    Report,
    /// Nothing is verified.
    Off,
}

impl Mode {
    /// The name, as receipts have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Off => "off",
        }
    }
}

/// A key whose word this kernel takes.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    /// The key.
    pub key: PublicKey,
    /// The calls its tokens can allow at most; without it, all. A `max_invocations` in it has no meaning.
    pub ceiling: Option<Vec<Grant>>,
    /// The longest life of a root token, in seconds; without it, any.
    pub max_lifetime_secs: Option<u64>,
}

impl From<PublicKey> for TrustRoot {
    fn from(key: PublicKey) -> Self {
        Self { key, ceiling: None, max_lifetime_secs: None }
    }
}

/// What an event leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Response {
    /// To its receipt, and nothing more.
    #[default]
    Report,
    /// The subject is suspended for this many seconds.
    Suspend {
        /// For how long.
        seconds: u64,
    },
    /// The subject is banned.
    Ban,
}

/// What attacks lead to.
///
/// The default is to report them and do nothing more. Somebody who has captured a call can replay it, and somebody
/// who has a stolen token can make signatures that fail: neither has the key, and either could get its victim banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreatResponse {
    /// What a replayed nonce leads to.
    pub replay: Response,
    /// How many failed signatures against one subject lead to `signature`.
    pub signature_failures: u64,
    /// What that many failed signatures lead to.
    pub signature: Response,
    /// How many failed signatures against the subjects of one root issuer lead to `root_signature`.
    pub root_signature_failures: u64,
    /// What that many lead to, for the issuer: whoever holds a token of it is turned away with it.
    pub root_signature: Response,
    /// How many seconds it takes until one failed signature is forgiven; 0 for never.
    pub forgiven_after_secs: u64,
}

impl Default for ThreatResponse {
    fn default() -> Self {
        Self {
            replay: Response::Report,
            signature_failures: 5,
            signature: Response::Report,
            root_signature_failures: 100,
            root_signature: Response::Report,
            forgiven_after_secs: 60,
        }
    }
}
