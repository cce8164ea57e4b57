//! What the owner of a kernel decides.

use chio_core::capability::Grant;
use chio_core::crypto::PublicKey;

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
}

impl Default for ThreatResponse {
    fn default() -> Self {
        Self { replay: Response::Report, signature_failures: 5, signature: Response::Report }
    }
}
