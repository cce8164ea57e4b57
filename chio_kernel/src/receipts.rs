//! Writing receipts: one for every decision about a proven caller, a bounded number for everything else.
//! A replay counts as everything else: whoever has captured a call can send it again without the key.

use std::sync::Arc;

use chio_core::crypto::SigningBackend;
use chio_core::digest::Digest;
use chio_core::error::{SignError, excerpt};
use chio_core::receipt::{ChainHead, Decision, Event, Receipt, Summary, Verdict};

use crate::authority::{Facts, VerifiedAuthority};
use crate::config::Mode;
use crate::fence::Fence;
use crate::proof::ProvenCall;
use crate::store::{KernelError, ReceiptStore};
use crate::sync::{Mutex, lock};

/// What has been found out about a call so far, for its receipt.
pub(crate) struct Found {
    pub(crate) decision: Decision,
    pub(crate) subject_id: Option<Digest>,
    pub(crate) root_id: Option<Digest>,
    pub(crate) subject_mode: Option<Mode>,
    pub(crate) is_proven: bool,
    /// What was verified of the one who is proven.
    pub(crate) facts: Option<Arc<Facts>>,
}

impl Found {
    pub(crate) fn new(tool_server: &str, tool_name: &str) -> Self {
        let decision = Decision {
            verdict: Verdict::Deny,
            code: None,
            step: None,
            mode: Mode::Enforce.name().to_owned(),
            capability_id: None,
            subject: None,
            tool_server: excerpt(tool_server),
            tool_name: excerpt(tool_name),
            action_hash: None,
            proof_hash: None,
        };
        Self { decision, subject_id: None, root_id: None, subject_mode: None, is_proven: false, facts: None }
    }

    pub(crate) fn authority(&mut self, authority: &VerifiedAuthority) {
        self.decision.capability_id = Some(authority.capability_id().to_owned());
        self.decision.subject = Some(authority.principal().to_owned());
        let principals = &authority.facts().principals;
        (self.subject_id, self.root_id) = (principals.first().copied(), principals.last().copied());
    }

    pub(crate) fn proven(&mut self, proven: &ProvenCall, subject_mode: Option<Mode>) {
        proven.call().tool_server().clone_into(&mut self.decision.tool_server);
        proven.call().tool_name().clone_into(&mut self.decision.tool_name);
        self.decision.proof_hash = proven.proof_hash();
        self.is_proven = true;
        self.facts = Some(Arc::clone(proven.authority().facts()));
        self.subject_mode = subject_mode;
    }
}

/// Appends to the kernel's chain of receipts.
pub(crate) struct Ledger {
    pub(crate) store: Arc<dyn ReceiptStore>,
    pub(crate) key: Arc<dyn SigningBackend>,
    pub(crate) fence: Fence,
    pub(crate) unproven: Mutex<Unproven>,
    /// Where its store may say that the chain ends: at what that confirmed last, or at what was made since.
    pub(crate) ends: Arc<Mutex<Vec<Option<ChainHead>>>>,
}

/// Denials of callers that have proven nothing: whoever can send bytes can cause them, so they buy only so many
/// signatures and writes a second. The rest is counted.
pub(crate) struct Unproven {
    per_second: u64,
    second: u64,
    written: u64,
    suppressed: u64,
    unfinished: Vec<u64>,
}

impl Unproven {
    pub(crate) fn new(per_second: u64, unfinished: Vec<u64>) -> Self {
        Self { per_second, second: 0, written: 0, suppressed: 0, unfinished }
    }

    /// Whether one more may be written, and what is to be summed up before; it is counted either way.
    fn admit(&mut self, now: u64) -> (bool, u64) {
        let before = self.take_suppressed(now);
        if now > self.second {
            (self.second, self.written) = (now, 0);
        }
        let admitted = self.written < self.per_second;
        let count = if admitted { &mut self.written } else { &mut self.suppressed };
        *count = count.saturating_add(1);
        (admitted, before)
    }

    /// What is to be summed up now, once a second.
    fn take_suppressed(&mut self, now: u64) -> u64 {
        if now > self.second { std::mem::take(&mut self.suppressed) } else { 0 }
    }
}

impl Ledger {
    /// Writes a receipt.
    pub(crate) async fn record(&self, event: Event, now: u64) -> Result<Receipt, KernelError> {
        let suppressed = lock(&self.unproven).take_suppressed(now);
        self.summarise(suppressed, now).await?;
        self.append(event, now).await
    }

    /// Writes the receipt of a denial that proves nothing about anyone, if there is room for one in this second.
    pub(crate) async fn record_unproven(&self, event: Event, now: u64) -> Result<Option<Receipt>, KernelError> {
        // Admitted first: while the store is down, a second has no more attempts than it would have receipts.
        let (admitted, suppressed) = lock(&self.unproven).admit(now);
        self.summarise(suppressed, now).await?;
        if !admitted {
            return Ok(None);
        }
        self.append(event, now).await.map(Some)
    }

    /// Sums up the denials that have no receipt, if there are any.
    pub(crate) async fn flush(&self, now: u64) -> Result<(), KernelError> {
        let suppressed = std::mem::take(&mut lock(&self.unproven).suppressed);
        self.summarise(suppressed, now).await
    }

    async fn summarise(&self, suppressed: u64, now: u64) -> Result<(), KernelError> {
        let unfinished = std::mem::take(&mut lock(&self.unproven).unfinished);
        if suppressed == 0 && unfinished.is_empty() {
            return Ok(());
        }
        let summary = Event::Summary(Summary { suppressed, unfinished: unfinished.clone() });
        let written = self.append(summary, now).await;
        if written.is_err() {
            let mut unproven = lock(&self.unproven);
            unproven.suppressed = unproven.suppressed.saturating_add(suppressed);
            unproven.unfinished.extend(unfinished);
        }
        written.map(|_| ())
    }

    async fn append(&self, event: Event, now: u64) -> Result<Receipt, KernelError> {
        let (key, ends) = (Arc::clone(&self.key), Arc::clone(&self.ends));
        let made = Arc::new(Mutex::new(None));
        let making = Arc::clone(&made);
        let seal = Box::new(move |head: Option<ChainHead>| {
            let mut ends = lock(&ends);
            if ends.is_empty() {
                ends.push(head);
            }
            if !ends.contains(&head) {
                return Err(SignError::Backend("the chain of receipts was cut or changed in its store".into()));
            }
            let (receipt, next) = Receipt::append(head, now, event, &*key)?;
            ends.retain(|end| end.map(|end| end.sequence) <= head.map(|head| head.sequence));
            ends.push(Some(next));
            *lock(&making) = Some(next);
            Ok((receipt, next))
        });
        let written = self.fence.ask(|| self.store.append(seal)).await?;
        let made = *lock(&made);
        let mut ends = lock(&self.ends);
        ends.retain(|end| end.map(|end| end.sequence) >= made.map(|made| made.sequence));
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_comes_late_opens_no_new_second() {
        let mut unproven = Unproven::new(2, Vec::new());
        let admitted: Vec<bool> = [10, 9, 10, 9, 10].into_iter().map(|now| unproven.admit(now).0).collect();
        assert_eq!(admitted, [true, true, false, false, false]);
        assert_eq!(
            (unproven.take_suppressed(9), unproven.take_suppressed(10), unproven.take_suppressed(11)),
            (0, 0, 3)
        );
    }
}
