//! Under which keys everything is kept, for whoever looks into a Redis:
//!
//! | key | type | what |
//! |---|---|---|
//! | `{chio}:epoch` | hash | `id`, `since`, `run`: since when nonces are remembered; `life`: for how long, in seconds; `nonces`, `usage`: up to when they were forgotten |
//! | `{chio}:n:ACCOUNT` | sorted set | the nonces of an account, by the last second at which they matter |
//! | `{chio}:n` | sorted set | the accounts with nonces, by when the first of them expires |
//! | `{chio}:u` | hash | grant → calls, end and account |
//! | `{chio}:u:ACCOUNT`, `{chio}:ui` | sorted sets | the same for counts of calls as for nonces |
//! | `{chio}:r` | hash | what is revoked → when, and what it was called |
//! | `{chio}:s` | hash | who is suspended or banned → until when, and who it is |
//! | `{chio}:se` | sorted set | the suspensions that end |
//! | `{chio}:f`, `{chio}:fl` | hash, sorted set | failed signatures; who failed last |
//! | `{chio}:v` | hash | issuer of a revocation list → its number |
//! | `{chio}:e:TABLE` | hash | the records of a table: the epoch in which each was kept, its end, its owner and what it says |
//! | `{chio}:ee:TABLE` | sorted set | the same by when they end |
//! | `{chio}:eo:TABLE:OWNER` | sorted set | those of an owner, likewise |
//! | `{chio}:h:CHAIN` | hash | the end of a chain of receipts: `sequence`, `digest`, `key` |
//! | `{chio}:l:CHAIN` | stream | its receipts; the id is the sequence number |
//! | `{chio}:o:CHAIN` | sorted set | its allows that have no outcome |
//!
//! Nothing has a time to live: the server's clock is never asked.

use chio_core::digest::Digest;

use crate::records::Table;

/// The keys.
pub(super) struct Keys {
    pub(super) epoch: Vec<u8>,
    pub(super) accounts: Vec<u8>,
    pub(super) nonces_of: Vec<u8>,
    pub(super) usage: Vec<u8>,
    pub(super) usage_accounts: Vec<u8>,
    pub(super) usage_of: Vec<u8>,
    pub(super) revoked: Vec<u8>,
    pub(super) standings: Vec<u8>,
    pub(super) suspensions: Vec<u8>,
    pub(super) failures: Vec<u8>,
    pub(super) failed_last: Vec<u8>,
    pub(super) lists: Vec<u8>,
    pub(super) entries: Vec<u8>,
    pub(super) entry_ends: Vec<u8>,
    pub(super) entries_of: Vec<u8>,
    pub(super) head: Vec<u8>,
    pub(super) receipts: Vec<u8>,
    pub(super) open: Vec<u8>,
}

impl Keys {
    pub(super) fn new(prefix: &str, chain: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}}}:{name}").into_bytes();
        Self {
            epoch: key("epoch"),
            accounts: key("n"),
            nonces_of: key("n:"),
            usage: key("u"),
            usage_accounts: key("ui"),
            usage_of: key("u:"),
            revoked: key("r"),
            standings: key("s"),
            suspensions: key("se"),
            failures: key("f"),
            failed_last: key("fl"),
            lists: key("v"),
            entries: key("e:"),
            entry_ends: key("ee:"),
            entries_of: key("eo:"),
            head: key(&format!("h:{chain}")),
            receipts: key(&format!("l:{chain}")),
            open: key(&format!("o:{chain}")),
        }
    }

    /// The keys of a table: of its records, of their ends, and how those of its owners begin.
    pub(super) fn table(&self, table: Table) -> [Vec<u8>; 3] {
        let name = table.name().as_bytes();
        [
            [self.entries.as_slice(), name].concat(),
            [self.entry_ends.as_slice(), name].concat(),
            [self.entries_of.as_slice(), name, b":"].concat(),
        ]
    }

    /// The key of an account's nonces.
    pub(super) fn nonces(&self, account: &Digest) -> Vec<u8> {
        [self.nonces_of.as_slice(), account.to_string().as_bytes()].concat()
    }
}
