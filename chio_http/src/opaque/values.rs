//! What the records say: JSON, which gateways alone write.

use chio_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountValue {
    pub(super) user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    /// What OPAQUE calls the password file.
    pub(super) registration: String,
}

/// An invitation, under the digest of its code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationValue {
    pub(super) user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(default)]
    pub(super) replaces: bool,
}

/// A login that is under way.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginValue {
    pub(super) user: String,
    /// The digest of the account that it began with.
    pub(super) account: Digest,
    pub(super) sealed: String,
}

/// A session.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionValue {
    pub(super) user: String,
    /// The digest of the account that has opened it: it ends with that.
    pub(super) account: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    pub(super) opened_at: u64,
    pub(super) expires_at: u64,
    /// What its nonces begin with.
    pub(super) trace: String,
    pub(super) sealed: String,
}

impl LoginValue {
    /// What its seal is bound to besides its key.
    pub(super) fn about(&self) -> String {
        text(&(&self.user, &self.account))
    }
}

impl SessionValue {
    /// What its seal is bound to besides its key.
    pub(super) fn about(&self, origin: &str) -> String {
        text(&(&self.user, &self.account, &self.scope, self.opened_at, self.expires_at, &self.trace, origin))
    }
}

fn text(value: &impl Serialize) -> String {
    // Texts and numbers have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn bytes(value: &impl Serialize) -> Vec<u8> {
    text(value).into_bytes()
}

/// Reads a record. One that cannot be read is none: nothing rests on it.
pub(super) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
