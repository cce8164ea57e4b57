//! The receipts of an agent's own calls: verified when they come, and kept.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use chio_core::canonical::{self, Limits};
use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_core::dpop::DpopProof;
use chio_core::error::JsonError;
use chio_core::receipt::{Event, Receipt, Verdict};
use chio_kernel::Denial;

use crate::json::{Object, items};

/// What was signed with a request: what its receipts have to say.
#[derive(Clone, Debug)]
pub struct Signed {
    capability_id: String,
    tool_server: String,
    tool_name: String,
    action_hash: String,
    proof_hash: Digest,
    /// Whether its answer has to have receipts: a guard can let other requests than calls of tools pass without.
    is_call: bool,
}

impl Signed {
    pub(crate) fn new(proof: &DpopProof, is_call: bool) -> Result<Self, JsonError> {
        let body = &proof.body;
        Ok(Self {
            is_call,
            capability_id: body.capability_id.clone(),
            tool_server: body.tool_server.clone(),
            tool_name: body.tool_name.clone(),
            action_hash: body.action_hash.clone(),
            proof_hash: Digest::of(&body.canonical()?),
        })
    }
}

/// Verifies receipts, and writes those that hold as JSON Lines.
pub struct Keeper {
    kernel: Mutex<Option<PublicKey>>,
    out: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// Keeps the receipts of `kernel`; without one, of whatever kernel signs the first.
    pub fn new(kernel: Option<PublicKey>, out: impl Write + Send + 'static) -> Self {
        Self { kernel: Mutex::new(kernel), out: Mutex::new(Box::new(out)) }
    }

    /// Keeps the receipts of an answer. `result` is what was answered, without them.
    /// Fails where they are missing, do not hold, or speak of another call or another result.
    pub(crate) fn keep(
        &self,
        signed: &Signed,
        decision: Option<&str>,
        outcome: Option<&str>,
        result: &str,
    ) -> Result<(), String> {
        let read = |what: &str, text: Option<&str>| {
            let text = text.ok_or_else(|| format!("it has no receipt of its {what}"))?;
            Receipt::parse(text.as_bytes()).map_err(|error| format!("the receipt of its {what}: {error}"))
        };
        if !signed.is_call && decision.is_none() && outcome.is_none() {
            return Ok(());
        }
        // An answer that a guard gives itself, a denial, has one alone, and no outcome.
        if decision.is_none() && outcome.is_some() {
            let denial = read("denial", outcome)?;
            self.check_kernel(&denial)?;
            let Event::Decision(said) = &denial.body.event else { return Err("it is of no denial".into()) };
            if said.verdict != Verdict::Deny {
                return Err("it is of no denial".into());
            }
            check_call(said, signed)?;
            if !is_denial(result, said.code.as_deref().unwrap_or_default()) {
                return Err("it is of a denial, and the answer is none".into());
            }
            return self.write(&[&denial]);
        }
        let (decision, outcome) = (read("decision", decision)?, read("outcome", outcome)?);
        self.check_kernel(&outcome)?;
        let Event::Decision(said) = &decision.body.event else { return Err("its decision is none".into()) };
        if said.verdict != Verdict::Allow || decision.body.kernel_key != outcome.body.kernel_key {
            return Err("its decision allowed nothing, or is another kernel's".into());
        }
        check_call(said, signed)?;
        let Event::Outcome(ended) = &outcome.body.event else { return Err("its outcome is none".into()) };
        if ended.of != decision.body.sequence {
            return Err("its outcome is that of another decision".into());
        }
        // An allow is not signed by itself: it is covered by what follows it, or has to be for this.
        if outcome.body.sequence == decision.body.sequence.saturating_add(1) {
            let digest = decision.body.canonical().map(|bytes| Digest::of(&bytes)).ok();
            if outcome.body.previous != digest {
                return Err("its outcome does not follow its decision".into());
            }
        } else {
            self.check_kernel(&decision)?;
        }
        let hash = ended.result_hash.ok_or("it has no hash of the result")?;
        let canonical = canonical::canonicalize(result.as_bytes(), Limits::bytes(result.len()));
        if canonical.ok().map(|canonical| Digest::of(&canonical)) != Some(hash) {
            return Err("it is that of another result".into());
        }
        self.write(&[&decision, &outcome])
    }

    fn check_kernel(&self, receipt: &Receipt) -> Result<(), String> {
        let key = &receipt.body.kernel_key;
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        if kernel.as_ref().is_some_and(|kernel| kernel != key) {
            return Err("it is another kernel's".into());
        }
        let signed = receipt.body.canonical().ok().zip(receipt.signature.as_ref());
        if !signed.is_some_and(|(bytes, signature)| key.verify(&bytes, signature)) {
            return Err("its signature does not hold".into());
        }
        kernel.get_or_insert_with(|| key.clone());
        Ok(())
    }

    fn write(&self, receipts: &[&Receipt]) -> Result<(), String> {
        let mut lines = Vec::new();
        for receipt in receipts {
            lines.extend(receipt.to_line().map_err(|error| error.to_string())?);
            lines.push(b'\n');
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(&lines).and_then(|()| out.flush());
        written.map_err(|error| format!("it cannot be kept: {error}"))
    }
}

/// Whether a result says of a call no more than that it was denied with this code.
fn is_denial(result: &str, code: &str) -> bool {
    let Ok(object) = Object::read(result) else { return false };
    let is_known = |name: &str| matches!(name, "content" | "isError" | "resultType");
    let denials =
        [Denial::ToolNotGranted { token: 0 }, Denial::GuardDenied { guard: String::new(), reason: String::new() }];
    let mut told = denials.iter().map(|denial| format!("{} ({code})", denial.public()));
    let items = object.get("content").and_then(items).unwrap_or_default();
    let [item] = items.as_slice() else { return false };
    let text = Object::read(item).ok().filter(|item| item.members().len() == 2).and_then(|item| item.string("text"));
    let is_plain = |name: &str| is_known(name) || name == "_meta" && object.get("_meta") == Some("{}");
    object.members().iter().all(|member| is_plain(&member.name))
        && object.get("isError") == Some("true")
        && text.is_some_and(|text| told.any(|told| told == text))
}

fn check_call(said: &chio_core::receipt::Decision, signed: &Signed) -> Result<(), String> {
    let action_hash = said.action_hash.map(|hash| hash.to_string());
    for (what, is) in [
        ("capability", said.capability_id.as_ref() == Some(&signed.capability_id)),
        ("tool server", said.tool_server == signed.tool_server),
        ("tool", said.tool_name == signed.tool_name),
        ("arguments", action_hash.as_ref() == Some(&signed.action_hash)),
        ("proof", said.proof_hash == Some(signed.proof_hash)),
    ] {
        if !is {
            return Err(format!("it names another {what}"));
        }
    }
    Ok(())
}
