//! A signed list of what is revoked: made by an issuer, published anywhere, and taken over by whoever trusts the issuer.

use std::fmt;
use std::str::FromStr;

use chio_core::canonical::{self, Limits};
use chio_core::crypto::{PublicKey, Signature, SigningBackend};
use chio_core::digest::Digest;
use chio_core::error::{FormatError, SignError};
use chio_kernel::store::key_id;
use serde::{Deserialize, Serialize};

use crate::state::Record;

/// The schema of a list.
pub const REVOCATION_LIST_SCHEMA: &str = "chio.revocation_list.v1";

/// The longest list that is read, in bytes: 16 MiB, some 150,000 entries.
pub const MAX_REVOCATION_LIST_BYTES: usize = 16 << 20;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// A capability, by its id: and with it every token derived from it.
    Capability(String),
    /// A key, by its text: and with it every token that it issued or holds.
    Key(String),
}

impl Revoked {
    /// Its id in the stores; nothing where the text is no id, or no key.
    pub fn id(&self) -> Option<Digest> {
        match self {
            Self::Capability(id) => id.parse().ok(),
            Self::Key(key) => key.parse::<PublicKey>().ok().map(|key| key_id(&key.to_string())),
        }
    }

    /// It as a record of a state; nothing where it has no id.
    pub fn record(&self, at: u64) -> Option<Record> {
        Some(Record::Revocation { id: self.id()?, what: self.to_string(), at })
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(id) => write!(f, "capability {id}"),
            Self::Key(key) => write!(f, "key {key}"),
        }
    }
}

impl FromStr for Revoked {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let revoked = match text.split_once(' ').ok_or(())? {
            ("capability", id) => Self::Capability(id.to_owned()),
            ("key", key) => Self::Key(key.to_owned()),
            _ => return Err(()),
        };
        revoked.id().map(|_| revoked).ok_or(())
    }
}

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationListBody {
    /// When it was made, in Unix seconds.
    pub issued_at: u64,
    /// Who made it.
    pub issuer: String,
    /// What is revoked.
    pub revoked: Vec<Revoked>,
    /// [`REVOCATION_LIST_SCHEMA`]
    pub schema: String,
    /// The number of the list, which grows: an older one is not taken over after a newer one.
    pub sequence: u64,
}

/// A list, and its issuer's signature over the RFC 8785 bytes of what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationList {
    /// What it says.
    pub body: RevocationListBody,
    /// The signature's text.
    pub signature: String,
}

impl RevocationList {
    /// Makes a list.
    /// Fails where the key refuses.
    pub fn sign(
        sequence: u64,
        issued_at: u64,
        revoked: Vec<Revoked>,
        key: &dyn SigningBackend,
    ) -> Result<Self, SignError> {
        let (issuer, schema) = (key.public_key().to_string(), REVOCATION_LIST_SCHEMA.to_owned());
        let body = RevocationListBody { issued_at, issuer, revoked, schema, sequence };
        let signature = key.sign(&canonical::canonical_json_bytes(&body)?)?.to_string();
        Ok(Self { body, signature })
    }

    /// Reads a list, and verifies that `issuer` signed it.
    /// Fails where the text is not strict JSON, is longer than [`MAX_REVOCATION_LIST_BYTES`] or no list; where something in
    /// it is no id and no key; and where it is another's, or was changed.
    pub fn verify(text: &[u8], issuer: &PublicKey) -> Result<Self, ListError> {
        let canonical = canonical::canonicalize(text, Limits::bytes(MAX_REVOCATION_LIST_BYTES));
        let canonical = canonical.map_err(|error| ListError::Format(FormatError::Json(error)))?;
        let read: Self = serde_json::from_slice(&canonical).map_err(|error| ListError::NoList(error.to_string()))?;
        if read.body.schema != REVOCATION_LIST_SCHEMA {
            return Err(ListError::NoList("it has another schema".into()));
        }
        if let Some(place) = read.body.revoked.iter().position(|revoked| revoked.id().is_none()) {
            return Err(ListError::NoList(format!("entry {place} is no id of a capability, and no key")));
        }
        if read.body.issuer != issuer.to_string() {
            return Err(ListError::OtherIssuer);
        }
        let signed = canonical::canonical_json_bytes(&read.body).map_err(|error| ListError::Format(error.into()))?;
        let signature: Option<Signature> = read.signature.parse().ok();
        if signature.is_some_and(|signature| issuer.verify(&signed, &signature)) {
            Ok(read)
        } else {
            Err(ListError::Forged)
        }
    }

    /// What a state is to remember of it.
    pub fn records(&self) -> Vec<Record> {
        let RevocationListBody { issuer, sequence, issued_at, .. } = &self.body;
        let revoked = self.body.revoked.iter().filter_map(|revoked| revoked.record(*issued_at));
        revoked.chain([Record::RevocationList { issuer: issuer.clone(), sequence: *sequence }]).collect()
    }
}

/// Why a list is not taken over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ListError {
    /// It is not strict JSON.
    Format(FormatError),
    /// It is no list of revocations.
    NoList(String),
    /// It is another issuer's.
    OtherIssuer,
    /// Its signature does not hold.
    Forged,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::NoList(what) => write!(f, "it is no list of revocations: {what}"),
            Self::OtherIssuer => f.write_str("it is another issuer's"),
            Self::Forged => f.write_str("its signature does not hold: it was changed"),
        }
    }
}

impl std::error::Error for ListError {}
