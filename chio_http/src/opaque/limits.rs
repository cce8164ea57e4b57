//! How often anybody may begin a registration or a login. It is counted by where a request comes from, and never by a user
//! alone: else a stranger could lock a user out.

use std::net::IpAddr;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_kernel::clock::KernelError;
use chio_kernel::store::{Allowance, Spending, UsageStore};

use super::user::User;

/// In which it is counted, in seconds.
pub(super) const WINDOW_SECS: u64 = 60;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Peer(String);

impl Peer {
    /// An address; of IPv6, the network of 64 bits that a client has to itself.
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            None => "nowhere".to_owned(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
        })
    }

    /// The account on which it is counted.
    pub(super) fn id(&self) -> Digest {
        Digest::of(format!("chio-session-peer-v1\n{}", self.0).as_bytes())
    }
}

pub(super) struct Limits {
    pub(super) usage: Arc<dyn UsageStore>,
    pub(super) per_peer: u64,
    pub(super) per_user: u64,
}

impl Limits {
    /// Counts one of this peer and of this peer for this user, or neither. Whether there was one left.
    pub(super) async fn spend(&self, from: &Peer, user: &User, now: u64) -> Result<bool, KernelError> {
        let window = now.checked_div(WINDOW_SECS).unwrap_or_default();
        let until = window.saturating_add(1).saturating_mul(WINDOW_SECS);
        let account = from.id();
        let allowance = |user: &str, limit| {
            let grant = Digest::of(format!("chio-session-start-v1\n{window}\n{}\n{user}", from.0).as_bytes());
            vec![Allowance { grant, account, limit, until }]
        };
        // No user has no name.
        let places = [allowance("", self.per_peer), allowance(user.as_str(), self.per_user)];
        Ok(matches!(self.usage.spend(&places, now).await?, Spending::Spent(_)))
    }
}

/// How long until it is counted anew.
pub(super) fn wait(now: u64) -> u64 {
    WINDOW_SECS.saturating_sub(now.checked_rem(WINDOW_SECS).unwrap_or_default())
}
