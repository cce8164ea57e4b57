//! Receipts: the kernel's record of what it decided, one hash chain a kernel. Normative: `docs/protocol.md`.
//!
//! A `decision` is written before dispatch or at a denial, an `outcome` when the tool server answered, a `summary`
//! for what was not worth a receipt each. Every receipt names the digest of the one before it; everything but an
//! allow is signed, and an allow is covered by the next signature through `previous`. Digests are of bodies, never
//! of signatures.

mod document;

use serde::{Deserialize, Serialize};

use crate::crypto::{PublicKey, Signature, SigningBackend};
use crate::digest::Digest;
use crate::error::{FormatError, JsonError, SignError};

/// The schema of a receipt.
pub const RECEIPT_SCHEMA: &str = "chio.receipt.v1";

/// The longest receipt that is read, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 64 << 10;

/// What a kernel did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It decided on a call.
    Decision(Decision),
    /// The tool server answered, failed or was given up.
    Outcome(Outcome),
    /// Decisions that have no receipt, or no outcome, of their own.
    Summary(Summary),
}

/// What was decided. What the call did not get far enough to have is absent; up to `proof.nonce`, what it has is claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// The denial code. In an allow: what would have been denied, were the mode `enforce`.
    pub code: Option<String>,
    /// The step at which the code arose.
    pub step: Option<String>,
    /// The mode the call was decided in: `enforce`, `report` or `off`.
    pub mode: String,
    /// The id of the leaf capability.
    pub capability_id: Option<String>,
    /// Who called.
    pub subject: Option<String>,
    /// The tool server that was called, cut to 64 bytes where its caller was not proven.
    pub tool_server: String,
    /// The tool that was called, likewise.
    pub tool_name: String,
    /// The digest of the arguments.
    pub action_hash: Option<Digest>,
    /// The digest of the proof's body.
    pub proof_hash: Option<Digest>,
}

/// Allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The call was dispatched.
    Allow,
    /// The call was not dispatched.
    Deny,
}

/// How a dispatched call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The sequence number of its decision.
    pub of: u64,
    /// How it ended.
    pub status: OutcomeStatus,
    /// The digest of the result's RFC 8785 bytes, if there is one.
    pub result_hash: Option<Digest>,
    /// How long the tool server took, in milliseconds.
    pub duration_ms: u64,
}

/// How a dispatched call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// The tool answered.
    Ok,
    /// The tool answered that it failed.
    ToolError,
    /// The tool server failed, and the call may have had an effect.
    Failed,
    /// The call never reached the tool server.
    NotReached,
    /// The tool server did not answer in time, and the call may have had an effect.
    TimedOut,
}

/// Decisions that have no receipt, or no outcome, of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many denials of unproven callers were not receipted one by one.
    pub suppressed: u64,
    /// The sequence numbers of decisions that never got an outcome.
    pub unfinished: Vec<u64>,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiptBody {
    /// Its place in the chain of its kernel, counted from 1.
    pub sequence: u64,
    /// The digest of the previous receipt's body; none in the first.
    pub previous: Option<Digest>,
    /// When, in Unix seconds.
    pub at: u64,
    /// The key of the kernel.
    pub kernel_key: PublicKey,
    /// What happened.
    pub event: Event,
}

/// The end of a chain: what the next receipt follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence number of the last receipt.
    pub sequence: u64,
    /// The digest of its body.
    pub digest: Digest,
}

/// A receipt as it is written. **Unverified** unless it comes from the kernel itself: see the crate `chio_audit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// What it says.
    pub body: ReceiptBody,
    /// The kernel's signature over the body; absent from an allow.
    pub signature: Option<Signature>,
}

impl ReceiptBody {
    /// Whether this kind of receipt is signed: every one but an allow.
    pub fn is_signed(&self) -> bool {
        !matches!(&self.event, Event::Decision(decision) if decision.verdict == Verdict::Allow)
    }

    /// The RFC 8785 bytes, which the signature covers and `previous` is the digest of.
    pub fn canonical(&self) -> Result<Vec<u8>, JsonError> {
        document::canonical(self)
    }
}

impl Receipt {
    /// Appends to a chain: the next receipt after `head`, signed where its kind is.
    /// Fails where the body has no canonical form or the key refuses.
    pub fn append(
        head: Option<ChainHead>,
        at: u64,
        event: Event,
        kernel: &dyn SigningBackend,
    ) -> Result<(Self, ChainHead), SignError> {
        let sequence = head.map_or(1, |head| head.sequence.saturating_add(1));
        let previous = head.map(|head| head.digest);
        let body = ReceiptBody { sequence, previous, at, kernel_key: kernel.public_key(), event };
        let bytes = body.canonical()?;
        let signature = if body.is_signed() { Some(kernel.sign(&bytes)?) } else { None };
        Ok((Self { body, signature }, ChainHead { sequence, digest: Digest::of(&bytes) }))
    }

    /// Reads a receipt.
    /// Fails where the text is not strict JSON, longer than [`MAX_RECEIPT_BYTES`], or not a receipt of this schema.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        document::parse(text)
    }

    /// The receipt as RFC 8785 bytes: one line of a JSON Lines file, without its end.
    pub fn to_line(&self) -> Result<Vec<u8>, JsonError> {
        document::line(self)
    }
}
