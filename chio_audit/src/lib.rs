//! Verifying a chain of receipts as a stream, in memory bounded by the calls under way.
//!
//! No kernel needs this, so it is no part of what has to be trusted to enforce: it is for whoever reads what a kernel wrote.

use std::collections::BTreeSet;
use std::fmt;

use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Event, Receipt, Verdict};

/// What is wrong with a chain, and at which receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFault {
    /// The sequence number of the receipt that is wrong; of a missing one, its own.
    pub sequence: u64,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What is wrong with a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It is not there.
    Missing {
        /// The sequence number of the one in its place.
        next: u64,
    },
    /// It stands in another place than its own.
    OutOfOrder {
        /// The sequence number of the one before it.
        after: u64,
    },
    /// It names another digest than that of the one before it, and which of the two was changed cannot be told.
    DoesNotFollow,
    /// It was changed: the next one, whose signature holds, names another digest.
    Changed,
    /// It is another kernel's.
    Foreign,
    /// It has lost its signature.
    SignatureMissing,
    /// It was changed: its signature does not hold.
    SignatureInvalid,
    /// It ends a call that was never allowed, or that has ended.
    OutcomeOfNothing,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { next } => write!(f, "is missing: {next} stands in its place"),
            Self::OutOfOrder { after } => write!(f, "is out of order: it stands after {after}"),
            Self::DoesNotFollow => f.write_str("does not follow the one before it: one of the two was changed"),
            Self::Changed => f.write_str("was changed: the next one, whose signature holds, names another digest"),
            Self::Foreign => f.write_str("is another kernel's"),
            Self::SignatureMissing => f.write_str("has lost its signature"),
            Self::SignatureInvalid => f.write_str("was changed: its signature does not hold"),
            Self::OutcomeOfNothing => f.write_str("ends a call that this chain never allowed, or that has ended"),
        }
    }
}

impl std::error::Error for FaultKind {}

/// What a chain that holds was found to contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// How many receipts there are.
    pub receipts: u64,
    /// How many calls were allowed.
    pub allowed: u64,
    /// How many calls were denied, one receipt each.
    pub denied: u64,
    /// How many denials were only counted.
    pub suppressed: u64,
    /// How many allowed calls have no outcome.
    pub unfinished: u64,
    /// Whether the last receipt is covered by a signature. One that is not could have been changed unseen.
    pub sealed: bool,
    /// The end of the chain. Receipts cut off behind it are missed only by whoever kept a later head.
    pub head: Option<ChainHead>,
}

/// Verifies a chain, one receipt at a time, in order.
#[derive(Debug)]
pub struct ChainVerifier {
    kernel: Option<PublicKey>,
    open: BTreeSet<u64>,
    report: ChainReport,
}

impl ChainVerifier {
    /// A verifier of the chain of `kernel`; without one, of whatever kernel wrote the first receipt.
    pub fn new(kernel: Option<PublicKey>) -> Self {
        Self { kernel, open: BTreeSet::new(), report: ChainReport::default() }
    }

    /// Takes the next receipt.
    /// Fails with the first fault of the chain. After one, nothing that follows is worth reading.
    pub fn push(&mut self, receipt: &Receipt) -> Result<(), ReceiptFault> {
        let body = &receipt.body;
        let fault = |sequence, kind| Err(ReceiptFault { sequence, kind });
        let here = |kind| fault(body.sequence, kind);

        if self.kernel.get_or_insert_with(|| body.kernel_key.clone()) != &body.kernel_key {
            return here(FaultKind::Foreign);
        }
        let before = self.report.head.map_or(0, |head| head.sequence);
        let expected = before.saturating_add(1);
        if body.sequence > expected {
            return fault(expected, FaultKind::Missing { next: body.sequence });
        }
        if body.sequence < expected {
            return here(FaultKind::OutOfOrder { after: before });
        }
        let Ok(bytes) = body.canonical() else { return here(FaultKind::SignatureInvalid) };
        match &receipt.signature {
            Some(signature) if !body.kernel_key.verify(&bytes, signature) => {
                return here(FaultKind::SignatureInvalid);
            }
            None if body.is_signed() => return here(FaultKind::SignatureMissing),
            _ => {}
        }
        if body.previous != self.report.head.map(|head| head.digest) {
            return match &receipt.signature {
                Some(_) if before > 0 => fault(before, FaultKind::Changed),
                _ => here(FaultKind::DoesNotFollow),
            };
        }
        match &body.event {
            Event::Decision(decision) if decision.verdict == Verdict::Allow => {
                self.open.insert(body.sequence);
                self.report.allowed = self.report.allowed.saturating_add(1);
            }
            Event::Decision(_) => self.report.denied = self.report.denied.saturating_add(1),
            Event::Outcome(outcome) => {
                if !self.open.remove(&outcome.of) {
                    return here(FaultKind::OutcomeOfNothing);
                }
            }
            Event::Summary(summary) => {
                self.report.suppressed = self.report.suppressed.saturating_add(summary.suppressed);
            }
        }
        self.report.receipts = self.report.receipts.saturating_add(1);
        self.report.sealed = receipt.signature.is_some();
        self.report.head = Some(ChainHead { sequence: body.sequence, digest: Digest::of(&bytes) });
        Ok(())
    }

    /// What the chain contains.
    pub fn finish(self) -> ChainReport {
        ChainReport { unfinished: u64::try_from(self.open.len()).unwrap_or(u64::MAX), ..self.report }
    }
}

impl fmt::Display for ReceiptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receipt {} {}", self.sequence, self.kind)
    }
}

impl std::error::Error for ReceiptFault {}
