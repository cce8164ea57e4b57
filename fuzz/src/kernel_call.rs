//! A whole kernel with memory stores, and a sequence of calls: genuine ones, and genuine ones with anything done to them
//! that needs no key, while time passes and capabilities are revoked.

use std::collections::{HashMap, HashSet};

use chio_audit::ChainVerifier;
use chio_core::canonical::{self, Limits};
use chio_core::capability::MAX_CHAIN_BYTES;
use chio_core::digest::Arguments;
use chio_core::dpop::MAX_PROOF_BYTES;
use chio_core::receipt::{Event, OutcomeStatus, Receipt, Verdict};
use chio_kernel::clock::ManualClock;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Denied, Kernel, Settings, SignedCall, Step};
use chio_tests::world::NOW;
use serde_json::Value;

use crate::bytes::Bytes;
use crate::genuine::{self, CHAINS, STARTED};
use crate::signed::{BY_WHAT_THEY_SAY, ELSEWHERE, SIGNED, Signed, said};
use crate::{capability_chain, dpop_proof, edit, reading};

/// A call as one text; or, where the first byte is one that starts no JSON, a sequence.
pub fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0..=8, program)) => sequence(&mut Bytes::new(program)),
        _ => one(bytes),
    }
}

// ---- One text ----

fn one(text: &[u8]) {
    let Some(call) = laws(text) else { return };
    let (kernel, ..) = genuine::kernel(0);
    let arguments = Arguments::parse(&call.arguments, Settings::default().arguments).ok();
    let readable = |name: &str| (1..=256).contains(&name.len()) && !name.chars().any(char::is_control);
    let is_call = arguments.is_some() && readable(&call.tool_server) && readable(&call.tool_name);
    let holds = genuine::holds(&call.capability, NOW);
    let proof = call.proof.as_deref().and_then(dpop_proof::read);
    let tool = (call.tool_server.as_str(), call.tool_name.as_str());
    let is_proven = match (&arguments, &holds, &proof) {
        (Some(arguments), Some(leaf), Some(proof)) => {
            let age = Some((NOW, 300, 30));
            dpop_proof::steps(proof, leaf, tool, &arguments.digest().to_string(), age).is_empty()
        }
        _ => false,
    };
    let answer = pollster::block_on(kernel.authorize(call.clone()));
    let step = answer.as_ref().err().map(|denied| denied.denial.step());
    assert_eq!(step == Some(Step::Call), !is_call);
    assert_eq!(is_call && (step.is_none() || step > Some(Step::Standing)), is_call && holds.is_some());
    assert_eq!(step.is_none() || step > Some(Step::ProofNonce), is_call && is_proven);
    capability_chain::laws(&call.capability);
    call.proof.as_deref().iter().for_each(|proof| dpop_proof::laws(proof));
}

/// What holds of a text, whoever wrote it.
fn laws(text: &[u8]) -> Option<SignedCall> {
    const MEMBERS: &[&str] = &["tool_server", "tool_name", "arguments", "capability", "proof"];
    let parsed = SignedCall::parse(text, &Settings::default());
    let read = canonical::canonicalize(text, Limits::bytes(2 << 20)).ok().and_then(|_| reading::canonical(text));
    let read = read.and_then(|read| serde_json::from_slice::<Value>(&read).ok()).filter(|read| {
        let names = ["tool_server", "tool_name"].iter().all(|name| read[name].is_string());
        let parts = ["arguments", "capability"].iter().all(|name| read.get(name).is_some());
        names && parts && reading::has_only(read, MEMBERS)
    });
    assert_eq!(parsed.is_ok(), read.is_some(), "{:?}", parsed.err());
    let (Ok(call), Some(read)) = (parsed, read) else { return None };

    let written = |name: &str| serde_json_canonicalizer::to_vec(&read[name]).unwrap();
    assert!(call.tool_server == read["tool_server"] && call.tool_name == read["tool_name"]);
    assert!(call.arguments == written("arguments") && call.capability == written("capability"));
    assert_eq!(call.proof.is_some(), read.get("proof").is_some_and(|proof| !proof.is_null()));
    assert!(call.proof.as_ref().is_none_or(|proof| *proof == written("proof")));
    let again = envelope(&call);
    assert!(SignedCall::parse(&again, &Settings::default()).as_ref() == Ok(&call), "as it is written");
    Some(call)
}

/// A call as one text, its parts as they are.
pub fn envelope(call: &SignedCall) -> Vec<u8> {
    let mut text = Vec::new();
    text.extend_from_slice(b"{\"arguments\":");
    text.extend_from_slice(&call.arguments);
    text.extend_from_slice(b",\"capability\":");
    text.extend_from_slice(&call.capability);
    if let Some(proof) = &call.proof {
        text.extend_from_slice(b",\"proof\":");
        text.extend_from_slice(proof);
    }
    let [server, name] = [&call.tool_server, &call.tool_name].map(|name| Value::from(name.as_str()));
    text.extend_from_slice(format!(",\"tool_name\":{name},\"tool_server\":{server}}}").as_bytes());
    text
}

// ---- A sequence ----

/// A kernel, and what is known of it without asking.
struct Run {
    kernel: Kernel,
    clock: ManualClock,
    /// What the clock shows; none where it cannot be read.
    shown: Option<u64>,
    /// What the kernel takes for now: its clock never runs backwards.
    now: u64,
    /// When a nonce of a capability was spent.
    spent: HashMap<(String, &'static str), u64>,
    used: HashMap<&'static str, u32>,
    revoked: HashSet<String>,
    allowed: HashSet<usize>,
    decisions: [u64; 2],
    finished: u64,
}

fn sequence(bytes: &mut Bytes<'_>) {
    let (kernel, clock, _, receipts) = genuine::kernel(1);
    let mut run = Run {
        kernel,
        clock,
        shown: Some(NOW),
        now: STARTED,
        spent: HashMap::new(),
        used: HashMap::new(),
        revoked: HashSet::new(),
        allowed: HashSet::new(),
        decisions: [0, 0],
        finished: 0,
    };
    for _ in 0..10 {
        if bytes.is_empty() {
            break;
        }
        match bytes.byte() % 16 {
            0 => run.show(Some(run.shown.unwrap_or(run.now) + u64::from(bytes.byte() % 32))),
            1 => run.show(Some(run.shown.unwrap_or(run.now) + u64::from(bytes.byte()) * 4)),
            2 => run.show(Some(run.shown.unwrap_or(run.now) - u64::from(bytes.byte()) * 16)),
            3 => run.show(None),
            4 => run.revoke(bytes),
            _ => {
                let call = call(bytes);
                run.send(&call, bytes.byte());
            }
        }
    }
    run.finish(&receipts);
}

impl Run {
    fn show(&mut self, shown: Option<u64>) {
        self.shown = shown;
        self.clock.set(shown.unwrap_or(u64::MAX));
    }

    fn revoke(&mut self, bytes: &mut Bytes<'_>) {
        // Mostly something that matters little, or a sequence would soon be over.
        let chain = CHAINS.get(bytes.below(16)).unwrap_or(&ELSEWHERE[0]);
        let tokens: Vec<_> = chain.chain.tokens().collect();
        let token = tokens[bytes.below(tokens.len())];
        if bytes.byte().is_multiple_of(2) {
            pollster::block_on(self.kernel.revoke_capability(token.id.parse().unwrap())).unwrap();
            self.revoked.insert(token.id.clone());
        } else {
            pollster::block_on(self.kernel.revoke_key(&token.subject)).unwrap();
            self.revoked.insert(token.subject.to_string());
        }
    }

    /// Sends a call: it is allowed if, and only if, it is one that was signed, in its time, with a nonce that is unspent
    /// and a limit that is not reached.
    fn send(&mut self, call: &SignedCall, how: u8) {
        self.now = self.now.max(self.shown.unwrap_or_default());
        let at = said(call).and_then(|said| BY_WHAT_THEY_SAY.get(&said).copied());
        let may = at.map(|at| (at, self.may(&SIGNED[at])));
        let answer = pollster::block_on(self.kernel.authorize(call.clone()));
        let step = answer.as_ref().err().map(|denied| denied.denial.step());
        let code = answer.as_ref().err().map_or("", |denied| denied.denial.code());

        if self.shown.is_none() {
            assert_eq!(code, "clock_unavailable");
            return;
        }
        match (may, is_strict(call)) {
            (Some((at, may)), true) => {
                let signed = &SIGNED[at];
                let proven = step.is_none() || step > Some(Step::ProofNonce);
                match may {
                    May::Call => assert_eq!(code, ""),
                    May::CallIfForgotten => assert!(matches!(code, "" | "nonce_replayed"), "{code}"),
                    May::Spend => assert!(proven && step.is_some(), "{code}"),
                    May::SpendIfForgotten => assert!(step >= Some(Step::ProofNonce), "{code}"),
                    May::Nothing => assert!(!proven, "{code}"),
                    May::Replay => assert_eq!(code, "nonce_replayed"),
                }
                if proven {
                    self.spent.insert((signed.chain.leaf_id().to_owned(), signed.nonce), self.now);
                }
                if step.is_none() {
                    assert!(self.allowed.insert(at), "one proof was allowed twice");
                    signed.limits.iter().for_each(|(limit, _)| *self.used.entry(limit).or_default() += 1);
                }
            }
            // A text that only a lenient reader takes for a genuine one, or none at all.
            _ => assert!(step.is_some() && step <= Some(Step::ProofSignature), "{code}"),
        }
        match answer {
            Ok(allowed) => {
                self.decisions[0] += 1;
                assert!(allowed.unenforced().is_none());
                assert_eq!(
                    Some(allowed.call().arguments().canonical()),
                    reading::canonical(&call.arguments).as_deref()
                );
                let arguments: Value = serde_json::from_slice(allowed.call().arguments().canonical()).unwrap();
                let decided = allowed.receipt().clone();
                assert!(matches!(&decided.body.event, Event::Decision(it) if it.verdict == Verdict::Allow));
                match how % 4 {
                    0 => {
                        let done = pollster::block_on(allowed.dispatch());
                        let result = serde_json::to_value(done.result.unwrap()).unwrap();
                        assert_eq!(result, arguments, "the tool was given something else");
                        done.receipt.unwrap();
                        self.finished += 1;
                    }
                    1 => {
                        pollster::block_on(allowed.finish(OutcomeStatus::Failed, None)).unwrap();
                        self.finished += 1;
                    }
                    // Never dispatched: its decision has no outcome.
                    _ => {}
                }
            }
            Err(denied) => self.denied(&denied),
        }
    }

    fn denied(&mut self, denied: &Denied) {
        self.decisions[1] += 1;
        let is_told = |receipt: &Receipt| {
            let Event::Decision(decision) = &receipt.body.event else { return false };
            decision.verdict == Verdict::Deny && decision.code.as_deref() == Some(denied.denial.code())
        };
        match &denied.receipt {
            Some(receipt) => assert!(is_told(receipt)),
            None => assert!(denied.denial.is_before_proof(), "a denial of a proven caller has its receipt"),
        }
    }

    /// What a genuine call is due.
    fn may(&self, signed: &Signed) -> May {
        let Signed { chain, nonce, issued_at, granted, limits, .. } = signed;
        let revoked = |text: String| self.revoked.contains(&text);
        let holds = CHAINS.iter().any(|one| std::ptr::eq(one, *chain))
            && chain.chain.tokens().all(|token| {
                let revoked = [token.id.clone(), token.subject.to_string(), token.issuer.to_string()].map(revoked);
                token.issued_at <= self.now && self.now < token.expires_at && !revoked.contains(&true)
            });
        if !holds || *issued_at > self.now + 30 || self.now > issued_at + 300 {
            return May::Nothing;
        }
        let spent = self.spent.get(&(chain.leaf_id().to_owned(), nonce)).copied();
        let left = limits.iter().all(|(limit, calls)| self.used.get(limit).is_none_or(|used| used < calls));
        match spent {
            Some(spent) if self.now <= spent + 330 => May::Replay,
            // It may be remembered for longer than it must.
            Some(_) if *granted && left => May::CallIfForgotten,
            Some(_) => May::SpendIfForgotten,
            None if *granted && left => May::Call,
            None => May::Spend,
        }
    }

    /// Every decision has its receipt or is counted, and the chain of receipts is whole.
    fn finish(mut self, receipts: &MemoryReceipts) {
        self.show(Some(self.now));
        pollster::block_on(self.kernel.flush()).unwrap();
        let mut verifier = ChainVerifier::new(Some(self.kernel.public_key()));
        for receipt in receipts.all() {
            verifier.push(&receipt).unwrap();
        }
        let report = verifier.finish();
        let [allowed, denied] = self.decisions;
        assert_eq!((report.allowed, report.denied + report.suppressed), (allowed, denied));
        assert_eq!(report.unfinished, allowed - self.finished);
    }
}

/// What a genuine call is due.
enum May {
    /// It is allowed.
    Call,
    /// The same, if the store has forgotten that its nonce was spent so long ago.
    CallIfForgotten,
    /// Its nonce is spent, and it is denied for what comes after.
    Spend,
    SpendIfForgotten,
    /// It was made before.
    Replay,
    /// It is denied before its nonce is asked for.
    Nothing,
}

/// Whether our own reader takes every part.
fn is_strict(call: &SignedCall) -> bool {
    let reads = |text: &[u8], bytes| canonical::canonicalize(text, Limits::bytes(bytes)).is_ok();
    let proof = call.proof.as_deref().is_some_and(|proof| reads(proof, MAX_PROOF_BYTES));
    proof && reads(&call.arguments, 1 << 20) && reads(&call.capability, MAX_CHAIN_BYTES)
}

/// A genuine call, or one with something done to it.
fn call(bytes: &mut Bytes<'_>) -> SignedCall {
    let mut call = bytes.choose(&SIGNED).call.clone();
    let what = bytes.byte() % 16;
    let part = bytes.below(3);
    let mut text = match part {
        0 => call.arguments.clone(),
        1 => call.capability.clone(),
        _ => call.proof.clone().unwrap_or_default(),
    };
    match what {
        0..=4 => return call,
        // Written otherwise.
        5 | 6 => {
            let rewrite = |text: &[u8], style| edit::write(&serde_json::from_slice(text).unwrap(), style);
            call.arguments = rewrite(&call.arguments, bytes.byte());
            call.capability = rewrite(&call.capability, bytes.byte());
            call.proof = call.proof.map(|proof| rewrite(&proof, bytes.byte()));
            return call;
        }
        // Parts of another one.
        7 | 8 => {
            let (other, which) = (&bytes.choose(&SIGNED).call, bytes.byte());
            let takes = |bit: u8| which >> bit & 1 != 0;
            let SignedCall { tool_server, tool_name, arguments, capability, proof } = call;
            return SignedCall {
                tool_name: if takes(0) { other.tool_name.clone() } else { tool_name },
                tool_server,
                arguments: if takes(1) { other.arguments.clone() } else { arguments },
                capability: if takes(2) { other.capability.clone() } else { capability },
                proof: if takes(3) { other.proof.clone() } else { proof },
            };
        }
        9 | 10 => {
            let mut value = serde_json::from_slice(&text).unwrap();
            edit::value(bytes, &mut value);
            text = edit::write(&value, bytes.byte());
        }
        11 => edit::text(bytes, &mut text),
        12 => text = bytes.take(32).to_vec(),
        13 => {
            let names =
                ["", "Files", "files ", "mail", "read_file", "write_file", "search", "files\0", "filesread_file"];
            let name = (*bytes.choose(&names)).to_owned();
            if part == 0 {
                call.tool_server = name
            } else {
                call.tool_name = name
            }
            return call;
        }
        // As one text, and read again.
        _ => {
            let mut whole = envelope(&call);
            edit::text(bytes, &mut whole);
            return laws(&whole).unwrap_or(call);
        }
    }
    match part {
        0 => call.arguments = text,
        1 => call.capability = text,
        _ => call.proof = Some(text).filter(|text| !text.is_empty()),
    }
    call
}
