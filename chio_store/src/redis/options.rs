//! How a Redis is reached and used, and why it is not used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chio_kernel::clock::{Clock, SystemClock};

/// How a Redis or Valkey is reached and used. All kernels that share one have the same `prefix` and
/// `clock_tolerance_secs`, and each has a `chain` of its own.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://USER:PASSWORD@HOST:PORT/DB`, or `rediss://` for TLS; of several hosts with commas between them, the first
    /// counts that takes writes. One node of a cluster is enough: the one that has the keys is found by it. It has a secret
    /// in it: `Debug` does not show it.
    pub url: String,
    /// The name by which sentinels know the primary. Then the hosts of the URL are sentinels, which have no password.
    pub primary: Option<String>,
    /// What all keys begin with, in braces: a hash tag, so that a cluster keeps them in one place. Printable ASCII without
    /// braces, 64 bytes at most.
    pub prefix: String,
    /// The name of this kernel's chain of receipts: of the letters, digits, `-`, `_` and `.`, 64 bytes at most. Two kernels
    /// that work at the same time must not have the same.
    pub chain: String,
    /// How many live nonces one account (a root capability and all that is derived from it) may have.
    pub account_quota: u64,
    /// How far the clocks of the kernels may be apart, in seconds. So much longer than it has to is everything remembered; and
    /// after a loss of memory, proofs are refused for so much longer.
    pub clock_tolerance_secs: u64,
    /// How long after a claim its proof could still be found fresh, in seconds: the life of proofs and the clock skew. The
    /// longest among the kernels counts for all of them; a kernel that comes with a longer one begins a new epoch.
    pub proof_life_secs: u64,
    /// How many replicas have to have a change before it is answered; where fewer have, the call is denied.
    pub min_replicas: u32,
    /// After how long an operation is given up, connecting again included.
    pub timeout: Duration,
    /// The clock by which it is told since when nonces are remembered: that of the kernel.
    pub clock: Arc<dyn Clock>,
}

impl RedisOptions {
    /// The usual options: the prefix `chio`, 131,072 live nonces an account, clocks 30 s apart, no replicas, 250 ms.
    pub fn new(url: impl Into<String>, chain: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            primary: None,
            prefix: "chio".into(),
            chain: chain.into(),
            account_quota: 131_072,
            clock_tolerance_secs: 30,
            proof_life_secs: 330,
            min_replicas: 0,
            timeout: Duration::from_millis(250),
            clock: Arc::new(SystemClock),
        }
    }

    /// The options that a URL names behind a `?`, with `&` between them, and the usual ones for the rest: `prefix=NAME`,
    /// `primary=NAME`, `min_replicas=N`, `clock_tolerance_s=N`.
    /// Fails where it names another, or one of them badly.
    pub fn from_url(url: &str, chain: impl Into<String>) -> Result<Self, ConnectError> {
        const WRITTEN: &str = "behind the `?` of the URL stand `prefix=NAME`, `primary=NAME`, `min_replicas=N` and \
                               `clock_tolerance_s=N` alone, with `&` between them";
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let mut options = Self::new(url, chain);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let wrong = ConnectError::Options(WRITTEN);
            match pair.split_once('=').ok_or_else(|| wrong.clone())? {
                ("prefix", prefix) => prefix.clone_into(&mut options.prefix),
                ("primary", name) if !name.is_empty() => options.primary = Some(name.to_owned()),
                ("min_replicas", number) => options.min_replicas = number.parse().map_err(|_| wrong)?,
                ("clock_tolerance_s", number) => options.clock_tolerance_secs = number.parse().map_err(|_| wrong)?,
                _ => return Err(wrong),
            }
        }
        options.check()?;
        Ok(options)
    }

    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let printable = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let short = |text: &str| (1..=64).contains(&text.len());
        if !short(&self.prefix) || !self.prefix.bytes().all(printable) {
            return Err(ConnectError::Options("the prefix has to be 1 to 64 printable characters other than braces"));
        }
        if !short(&self.chain) || !self.chain.bytes().all(named) {
            return Err(ConnectError::Options(
                "the name of the chain has to be 1 to 64 letters, digits, `-`, `_` or `.`",
            ));
        }
        if self.account_quota == 0 || self.timeout.is_zero() {
            return Err(ConnectError::Options("the quota of an account and the timeout have to be more than 0"));
        }
        if self.clock_tolerance_secs > 86_400 {
            return Err(ConnectError::Options("clocks may be a day apart at most"));
        }
        Ok(())
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("chain", &self.chain)
            .field("account_quota", &self.account_quota)
            .field("clock_tolerance_secs", &self.clock_tolerance_secs)
            .field("min_replicas", &self.min_replicas)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why a Redis is not used. Its text says what to do, and has no secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option is out of its range.
    Options(&'static str),
    /// The URL cannot be read.
    Url,
    /// There is no tokio runtime.
    Runtime,
    /// The clock of this kernel, or its source of random numbers, does not answer.
    Machine(&'static str),
    /// It does not answer, or not in time.
    Unreachable(String),
    /// It does not let this user in, or not do what has to be done.
    Refused(String),
    /// It is too old.
    Version(String),
    /// It is a replica.
    Replica,
    /// It drops keys when its memory is full.
    Eviction(String),
    /// What it says of itself cannot be read.
    Unknown(&'static str),
    /// What it keeps is not what a `RedisState` has written.
    Contents(&'static str),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(what) => f.write_str(what),
            Self::Url => f.write_str(
                "the URL of Redis cannot be read: write redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS, several \
                 hosts with commas between them, and percent-encode what is no letter or digit in the password",
            ),
            Self::Runtime => f.write_str("Redis is reached from within a tokio runtime with I/O and time: start one"),
            Self::Machine(what) => write!(f, "{what} cannot be read on this machine"),
            Self::Unreachable(why) => {
                write!(f, "Redis does not answer ({why}): check that it runs, and the host and port of the URL")
            }
            Self::Refused(why) => write!(
                f,
                "Redis refuses ({why}): check user and password; the user needs the keys of the prefix and the commands of \
                 `+@read +@write +@scripting +@connection +info +wait`"
            ),
            Self::Version(version) => write!(f, "Redis {version} is too old: 6 or later, or Valkey, is needed"),
            Self::Replica => f.write_str("this Redis is a replica, which takes no writes: name its primary in the URL"),
            Self::Eviction(policy) => write!(
                f,
                "this Redis drops keys when its memory is full (maxmemory-policy {policy}), so that replays would be let \
                 through: set `maxmemory-policy noeviction`"
            ),
            Self::Unknown(what) => {
                write!(f, "Redis does not say {what}: allow its user `+info`, or `+config|get`")
            }
            Self::Contents(what) => {
                write!(f, "{what} was not written by Chio: use another prefix, or remove the key")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_options() {
        let options = |url: &str| RedisOptions::from_url(url, "a");
        let all = options("redis://h,i/2?prefix=x&primary=main&min_replicas=2&clock_tolerance_s=5").unwrap();
        assert_eq!(
            (all.url.as_str(), all.prefix.as_str(), all.primary.as_deref()),
            ("redis://h,i/2", "x", Some("main"))
        );
        assert_eq!((all.min_replicas, all.clock_tolerance_secs), (2, 5));
        assert_eq!(options("redis://h").unwrap().prefix, "chio");
        for wrong in ["?x=1", "?prefix", "?prefix=", "?primary=", "?min_replicas=-1", "?clock_tolerance_s=1s"] {
            let url = format!("redis://u:hunter2@h{wrong}");
            let refused = options(&url).unwrap_err();
            assert!(matches!(refused, ConnectError::Options(_)), "{wrong}");
            assert!(!refused.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn options_have_their_ranges_and_show_no_secret() {
        let usual = RedisOptions::new("redis://u:hunter2@h", "a");
        assert_eq!(usual.check(), Ok(()));
        assert!(!format!("{usual:?}").contains("hunter2"));
        let wrong: [fn(&mut RedisOptions); 8] = [
            |options| options.prefix.clear(),
            |options| options.prefix = "a{b".into(),
            |options| options.prefix = "a b".into(),
            |options| options.chain.clear(),
            |options| options.chain = "a:b".into(),
            |options| options.account_quota = 0,
            |options| options.timeout = Duration::ZERO,
            |options| options.clock_tolerance_secs = 86_401,
        ];
        for change in wrong {
            let mut options = usual.clone();
            change(&mut options);
            assert!(matches!(options.check(), Err(ConnectError::Options(_))), "{options:?}");
        }
    }
}
