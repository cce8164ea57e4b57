//! What the owner of a state asks and changes by hand, the same for every store, and its records as JSON Lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_core::receipt::ChainHead;
use chio_kernel::Stores;
use chio_kernel::store::{
    BoxFuture, KernelError, NonceStore, ReceiptStore, RevocationStore, Standing, StandingStore, UsageStore,
};
use serde::{Deserialize, Serialize};

#[cfg(any(feature = "redis", feature = "sqlite"))]
use crate::records::{self, Entry};
use crate::records::{Page, Records, Table};

/// Everything that a kernel remembers with, of one state.
pub fn stores<S>(state: &Arc<S>) -> Stores
where
    S: NonceStore + UsageStore + RevocationStore + StandingStore + ReceiptStore + 'static,
{
    let all = || Arc::clone(state);
    Stores { nonces: Some(all()), usage: all(), revocations: all(), standings: all(), receipts: all() }
}

/// What a state has, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// How many nonces are remembered, expired ones that nobody has dropped yet included.
    pub nonces: u64,
    /// How many grants have a count of calls.
    pub usage: u64,
    /// How many capabilities and keys are revoked.
    pub revocations: u64,
    /// How many principals are suspended or banned.
    pub standings: u64,
    /// The end of the chain of receipts.
    pub receipts: Option<ChainHead>,
    /// The key of the kernel whose chain it is.
    pub kernel_key: Option<String>,
    /// How many calls were allowed and have no outcome: under way, or left by a crash.
    pub unfinished: u64,
    /// How many records of each table there are, expired ones that nobody has dropped yet included.
    pub records: BTreeMap<Table, u64>,
    /// Since when nonces are remembered, in Unix seconds.
    pub remembers_since: u64,
    /// How many bytes it takes, where that can be told.
    pub bytes: Option<u64>,
}

/// What is remembered of one thing. As JSON, one object: a line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// A capability or a key is revoked.
    Revocation {
        /// Its id in the stores.
        id: Digest,
        /// What it was called when it was revoked: the id of a capability, or a key.
        what: String,
        /// When, in Unix seconds.
        at: u64,
    },
    /// A principal is suspended or banned.
    Standing {
        /// Its id in the stores.
        id: Digest,
        /// What it was called: a key, or empty where it was the kernel that turned it away.
        who: String,
        /// The first second at which it is welcome again; none where it is banned.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        until: Option<u64>,
    },
    /// Calls of a grant were spent.
    Usage {
        /// The grant: a digest of the token's id and the place of the grant in it.
        grant: Digest,
        /// The root capability.
        account: Digest,
        /// How many.
        calls: u64,
        /// The first second at which the count may be forgotten.
        until: u64,
    },
    /// A nonce was spent.
    Nonce {
        /// The digest of capability and nonce.
        key: Digest,
        /// The root capability.
        account: Digest,
        /// The last second at which its proof could be found fresh.
        until: u64,
    },
    /// A signed list of revocations was imported: an older one of the same issuer is not.
    RevocationList {
        /// Whose it is.
        issuer: String,
        /// Its number.
        sequence: u64,
    },
    /// What a scheme over HTTP remembers: a device, a session, an account, …
    Entry {
        /// What it is of; nothing that is under way.
        table: Table,
        /// Under what it is found.
        key: Digest,
        /// Whose it is.
        owner: Digest,
        /// What it says; as JSON, in base64url without padding.
        #[serde(with = "base64url")]
        value: Vec<u8>,
        /// The first second at which it is gone; none where it stays.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        until: Option<u64>,
    },
}

#[cfg(any(feature = "redis", feature = "sqlite"))]
impl Record {
    pub(crate) fn entry(table: Table, Entry { key, owner, value, until }: Entry) -> Self {
        Self::Entry { table, key, owner, value, until }
    }
}

/// Fails where one of these is nothing that can be put in.
#[cfg(any(feature = "redis", feature = "sqlite"))]
pub(crate) fn check(records: &[Record]) -> Result<(), KernelError> {
    for record in records {
        if let Record::Entry { table, value, .. } = record {
            if table.is_under_way() {
                return Err(KernelError::new("what is under way is not put in: whoever is behind it begins anew"));
            }
            records::check(value)?;
        }
    }
    Ok(())
}

mod base64url {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64UrlUnpadded::encode_string(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Base64UrlUnpadded::decode_vec(&text).map_err(|_| D::Error::custom("it is no base64url"))
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Record::Revocation`]
    Revocation,
    /// [`Record::Standing`]
    Standing,
    /// [`Record::Usage`]
    Usage,
    /// [`Record::Nonce`]
    Nonce,
    /// [`Record::RevocationList`]
    RevocationList,
    /// [`Record::Entry`]
    Entry,
}

impl Kind {
    /// All of them, in the order of an export.
    pub const ALL: [Self; 6] =
        [Self::Revocation, Self::RevocationList, Self::Standing, Self::Entry, Self::Usage, Self::Nonce];
}

/// What the owner of a state asks and changes by hand, beside the kernels that work with it. Every change counts for the next
/// call of every kernel when it is answered; it is as durable by then as its store makes it.
pub trait State: Send + Sync {
    /// The records of the schemes over HTTP, to be found, kept and taken one by one.
    fn entries(&self) -> &dyn Records;

    /// The same, for whoever keeps them.
    fn into_entries(self: Arc<Self>) -> Arc<dyn Records>;

    /// What there is.
    fn overview(&self) -> BoxFuture<'_, Result<Overview, KernelError>>;

    /// Records of a kind, a page at a time: from the start, or from what the page before said.
    fn records(&self, kind: Kind, from: Option<String>) -> BoxFuture<'_, Result<Page<Record>, KernelError>>;

    /// Adds records to what there is. Nothing becomes weaker by it: of two the worse standing, the higher count, the later
    /// end and the higher number hold, a revocation keeps its first time, and an entry that is there stays as it is. All or
    /// none of them. Where nonces or counts are among them, what was spent until now may be missing: proofs from before are
    /// refused from here on.
    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), KernelError>>;

    /// The number of the next revocation list of an issuer: one more than the highest that is known, and nobody else's.
    fn next_list(&self, issuer: &str) -> BoxFuture<'_, Result<u64, KernelError>>;

    /// Revokes no more what has this id. Returns whether it was revoked.
    fn unrevoke(&self, id: Digest) -> BoxFuture<'_, Result<bool, KernelError>>;

    /// Sets the standing of a principal, for better or worse, and forgives its failed signatures.
    fn set_standing(&self, who: &str, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>>;

    /// Receipts behind this sequence number, in order, each as its line, a page at a time.
    fn receipts(&self, after: u64) -> BoxFuture<'_, Result<Page<Vec<u8>>, KernelError>>;

    /// Drops what has expired, and gives back the room.
    fn compact(&self, now: u64) -> BoxFuture<'_, Result<(), KernelError>>;
}
