//! What is done to a chain of receipts is found, with the sequence number of the receipt; and what cannot be found is
//! told of by the verifier, or is missed by whoever kept a later head.

use chio_audit::{ChainReport, ChainVerifier, FaultKind, ReceiptFault};
use chio_core::crypto::Keypair;
use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Decision, Event, Outcome, OutcomeStatus, Receipt, Summary, Verdict};
use chio_tests::world::{NOW, kernel_key, thief};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::choices::{Choices, Tape, tapes};

const STATUSES: [OutcomeStatus; 5] = [
    OutcomeStatus::Ok,
    OutcomeStatus::ToolError,
    OutcomeStatus::Failed,
    OutcomeStatus::NotReached,
    OutcomeStatus::TimedOut,
];

fn verify(receipts: &[Receipt]) -> Result<ChainReport, ReceiptFault> {
    let mut verifier = ChainVerifier::new(Some(kernel_key().public_key()));
    receipts.iter().try_for_each(|receipt| verifier.push(receipt))?;
    Ok(verifier.finish())
}

fn text(choices: &mut Choices) -> String {
    choices.of(&["a", "read_file", "\u{e9}\u{1f600}", ""]).to_owned()
}

fn some<T>(choices: &mut Choices, make: impl FnOnce(&mut Choices) -> T) -> Option<T> {
    if choices.one_in(3) { None } else { Some(make(choices)) }
}

fn digest(choices: &mut Choices) -> Digest {
    Digest::of(&[u8::try_from(choices.below(256)).unwrap()])
}

fn decision(choices: &mut Choices, verdict: Verdict) -> Event {
    Event::Decision(Decision {
        verdict,
        code: some(choices, text),
        step: some(choices, text),
        mode: text(choices),
        capability_id: some(choices, text),
        subject: some(choices, text),
        tool_server: text(choices),
        tool_name: text(choices),
        action_hash: some(choices, digest),
        proof_hash: some(choices, digest),
    })
}

/// What a kernel did, one or more times. No two runs, and no two receipts, have the same time.
fn history(choices: &mut Choices, key: &Keypair, run: u64, length: usize) -> Vec<Receipt> {
    let (mut head, mut open, mut receipts) = (None, Vec::new(), Vec::new());
    for at in (0..length).map(|number| NOW + run * 1000 + u64::try_from(number).unwrap() * 2) {
        let sequence = head.map_or(1, |head: ChainHead| head.sequence + 1);
        let event = match choices.below(6) {
            2 => decision(choices, Verdict::Deny),
            3 | 4 if !open.is_empty() => {
                let of = open.remove(choices.below(open.len()));
                let status = STATUSES[choices.below(5)];
                let duration_ms = u64::try_from(choices.below(9)).unwrap();
                Event::Outcome(Outcome { of, status, result_hash: some(choices, digest), duration_ms })
            }
            5 => {
                let unfinished = (0..choices.below(3)).map(|number| u64::try_from(number).unwrap()).collect();
                Event::Summary(Summary { suppressed: u64::try_from(choices.below(9)).unwrap(), unfinished })
            }
            _ => {
                open.push(sequence);
                decision(choices, Verdict::Allow)
            }
        };
        let (receipt, next) = Receipt::append(head, at, event, key).unwrap();
        receipts.push(receipt);
        head = Some(next);
    }
    receipts
}

fn fault(sequence: usize, kind: FaultKind) -> Option<ReceiptFault> {
    Some(ReceiptFault { sequence: u64::try_from(sequence).unwrap(), kind })
}

fn missing(sequence: usize, next: usize) -> Option<ReceiptFault> {
    fault(sequence, FaultKind::Missing { next: u64::try_from(next).unwrap() })
}

/// The fault where receipt `sequence` is there, and the one after it names another digest. None where nothing after it
/// does: then it was an allow behind the last signature.
fn unfollowed(receipts: &[Receipt], sequence: usize) -> Option<ReceiptFault> {
    let next = receipts.get(sequence)?;
    // A signature that holds tells which of the two was changed.
    let is_sure = next.signature.is_some();
    if is_sure { fault(sequence, FaultKind::Changed) } else { fault(sequence + 1, FaultKind::DoesNotFollow) }
}

/// Changes one member of a body, in its text. None where it is no receipt any more, which is found by reading it.
fn edited(choices: &mut Choices, receipt: &Receipt) -> Option<(String, Receipt)> {
    let mut line: Value = serde_json::from_slice(&receipt.to_line().unwrap()).unwrap();
    let body = line["body"].as_object_mut().unwrap();
    let optional = ["action_hash", "code", "subject", "proof_hash", "result_hash", "capability_id", "step"];
    let name = if choices.one_in(5) {
        choices.of(&optional).to_owned()
    } else {
        body.keys().nth(choices.below(body.len())).unwrap().clone()
    };
    let drop_it = choices.one_in(6);
    let other = match body.get(&name) {
        _ if drop_it => None,
        Some(Value::Number(number)) => {
            let (number, change) = (number.as_u64().unwrap(), 1 + u64::from(choices.one_in(2)));
            Some(json!(if choices.one_in(2) { number.saturating_sub(change) } else { number + change }))
        }
        Some(Value::Array(_)) => Some(json!([7, 8, 9])),
        Some(Value::String(text)) => Some(match text.as_str() {
            "allow" => json!("deny"),
            "deny" => json!("allow"),
            "ok" => json!("failed"),
            text if text.parse::<Digest>().is_ok() && name != "kernel_key" => json!(digest(choices).to_string()),
            text => json!(format!("{text}x")),
        }),
        _ => Some(json!(digest(choices).to_string())),
    };
    let other = if name == "kernel_key" { Some(json!(thief().public_key().to_string())) } else { other };
    match other {
        Some(value) => drop(body.insert(name.clone(), value)),
        None => drop(body.remove(&name)),
    }
    let receipt = Receipt::parse(line.to_string().as_bytes()).ok()?;
    Some((name, receipt))
}

/// The fault of a chain in which one member of receipt `sequence` was changed.
fn fault_of_edit(name: &str, whole: &[Receipt], after: &[Receipt], sequence: usize) -> Option<ReceiptFault> {
    let (before, now) = (&whole[sequence - 1], &after[sequence - 1]);
    if now == before {
        return None;
    }
    match usize::try_from(now.body.sequence).unwrap() {
        _ if name == "kernel_key" => fault(sequence, FaultKind::Foreign),
        claimed if claimed > sequence => missing(sequence, claimed),
        claimed if claimed < sequence => {
            fault(claimed, FaultKind::OutOfOrder { after: u64::try_from(sequence - 1).unwrap() })
        }
        _ if before.signature.is_some() => fault(sequence, FaultKind::SignatureInvalid),
        _ if now.body.is_signed() => fault(sequence, FaultKind::SignatureMissing),
        _ if name == "previous" => fault(sequence, FaultKind::DoesNotFollow),
        _ => unfollowed(after, sequence),
    }
}

fn every_edit_is_found(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 1 + choices.below(12);
    let whole = history(choices, &kernel_key(), 0, length);
    let report = verify(&whole).unwrap();
    for _ in 0..8 {
        let at = choices.below(length);
        let mut receipts = whole.clone();
        let Some((name, receipt)) = edited(choices, &whole[at]) else { continue };
        receipts[at] = receipt;
        let expected = fault_of_edit(&name, &whole, &receipts, at + 1);
        prop_assert_eq!(verify(&receipts).err(), expected.clone(), "`{}` of {:?}", name, &receipts[at]);
        if expected.is_none() && receipts != whole {
            // An allow at the very end: the verifier says that nothing covers it, and its head is another.
            let answer = verify(&receipts).unwrap();
            prop_assert_eq!((at + 1, answer.sealed), (length, false));
            prop_assert_ne!(answer.head, report.head);
        }
    }
    Ok(())
}

fn every_lost_or_borrowed_signature_is_found(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 2 + choices.below(10);
    let whole = history(choices, &kernel_key(), 0, length);
    for (at, receipt) in whole.iter().enumerate() {
        let with = |signature| {
            let mut receipts = whole.clone();
            receipts[at].signature = signature;
            verify(&receipts).err()
        };
        if receipt.body.is_signed() {
            prop_assert_eq!(with(None), fault(at + 1, FaultKind::SignatureMissing));
        }
        for other in &whole {
            if other.signature.is_some() && other.signature != receipt.signature {
                prop_assert_eq!(with(other.signature.clone()), fault(at + 1, FaultKind::SignatureInvalid));
            }
        }
    }
    Ok(())
}

fn every_drop_swap_and_duplicate_is_found(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 2 + choices.below(10);
    let whole = history(choices, &kernel_key(), 0, length);
    let (from, to) = (choices.below(length), choices.below(length));
    let (from, to) = (from.min(to), from.max(to));

    // Cut out of the middle: one or more, up to but not with `to`.
    let mut receipts = whole.clone();
    receipts.drain(from..to);
    let expected = if from == to { None } else { missing(from + 1, to + 1) };
    prop_assert_eq!(verify(&receipts).err(), expected, "cut from {} to {}", from, to);

    let mut receipts = whole.clone();
    receipts.swap(from, to);
    let expected = if from == to { None } else { missing(from + 1, to + 1) };
    prop_assert_eq!(verify(&receipts).err(), expected, "swapped {} and {}", from, to);

    // Moved back.
    if from < to {
        let mut receipts = whole.clone();
        let moved = receipts.remove(from);
        receipts.insert(to, moved);
        prop_assert_eq!(verify(&receipts).err(), missing(from + 1, from + 2), "moved {} to {}", from, to);
    }

    // Put in once more: behind itself it comes too late, before itself too early.
    let (one, place) = (choices.below(length), choices.below(length + 1));
    let mut receipts = whole.clone();
    receipts.insert(place, whole[one].clone());
    let after = u64::try_from(place.max(one + 1)).unwrap();
    let expected =
        if place < one { missing(place + 1, one + 1) } else { fault(one + 1, FaultKind::OutOfOrder { after }) };
    prop_assert_eq!(verify(&receipts).err(), expected, "{} put in at {}", one, place);
    Ok(())
}

fn every_splice_is_found(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 2 + choices.below(10);
    let whole = history(choices, &kernel_key(), 0, length);
    let at = choices.below(length);

    // From another kernel: one receipt, or all from there on.
    let foreign = history(choices, &thief(), 0, length);
    let mut one = whole.clone();
    one[at] = foreign[at].clone();
    let tail = [&whole[..at], &foreign[at..]].concat();
    for receipts in [one, tail] {
        prop_assert_eq!(verify(&receipts).err(), fault(at + 1, FaultKind::Foreign));
    }

    // From another run of the same kernel, with the same key. Both sides of the seam are genuine, so no more can be said
    // than where it is: between the receipt that is named and the one beside it.
    let again = history(choices, &kernel_key(), 1, length);
    let mut one = whole.clone();
    one[at] = again[at].clone();
    let tail = [&whole[..at], &again[at..]].concat();
    if at == 0 {
        prop_assert_eq!(verify(&one).err(), unfollowed(&one, 1));
        // The other run as a whole is as good as this one: only a head that was kept tells them apart.
        prop_assert_ne!(verify(&tail).unwrap().head, verify(&whole).unwrap().head);
    } else {
        for receipts in [one, tail] {
            prop_assert_eq!(verify(&receipts).err(), unfollowed(&receipts, at), "at {}", at);
        }
    }
    Ok(())
}

/// What cannot be found, and who notices.
fn what_is_not_found_is_told(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 1 + choices.below(12);
    let whole = history(choices, &kernel_key(), 0, length);
    let known = verify(&whole).unwrap().head;

    // A tail that was cut off. What is left verifies; whoever kept the head misses it.
    let kept = choices.below(length);
    let report = verify(&whole[..kept]).unwrap();
    prop_assert_eq!(report.receipts, u64::try_from(kept).unwrap());
    prop_assert_eq!(report.head.map_or(0, |head| head.sequence), u64::try_from(kept).unwrap());
    prop_assert_ne!(report.head, known);
    prop_assert_eq!(report.sealed, kept > 0 && whole[kept - 1].signature.is_some());

    // Allows behind the last signature, written anew by somebody without the key, and more of them.
    let sealed = whole.iter().rposition(|receipt| receipt.signature.is_some()).map_or(0, |at| at + 1);
    let mut forged = whole[..sealed].to_vec();
    let mut head = verify(&forged).unwrap().head;
    for _ in 0..=choices.below(4) {
        // The key is asked for its public half alone: an allow is not signed.
        let (receipt, next) = Receipt::append(head, NOW + 1, decision(choices, Verdict::Allow), &kernel_key()).unwrap();
        prop_assert!(receipt.signature.is_none());
        forged.push(receipt);
        head = Some(next);
    }
    let report = verify(&forged).unwrap();
    prop_assert!(!report.sealed);
    prop_assert_ne!(report.head, known);

    // One signature behind them, and they are fixed.
    let end = Event::Summary(Summary::default());
    let (signed, _) = Receipt::append(known, NOW, end, &kernel_key()).unwrap();
    let mut covered = whole.clone();
    covered.push(signed);
    prop_assert!(verify(&covered).unwrap().sealed);
    if sealed < length {
        covered[sealed].body.at += 1;
        prop_assert_eq!(verify(&covered).err(), unfollowed(&covered, sealed + 1));
    }
    Ok(())
}

/// The whole file: one byte of one line. It reads the same, or not at all, or the fault is found; or it lay behind the
/// last signature.
fn every_byte_counts(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 1 + choices.below(8);
    let whole = history(choices, &kernel_key(), 0, length);
    for _ in 0..12 {
        let at = choices.below(length);
        let mut line = whole[at].to_line().unwrap();
        let place = (choices.below(256) << 8 | choices.below(256)) % line.len();
        line[place] = if choices.one_in(2) { b'0' } else { line[place] ^ (1 << choices.below(8)) };
        let Ok(receipt) = Receipt::parse(&line) else { continue };
        let mut receipts = whole.clone();
        receipts[at] = receipt;
        let is_last_allow = at + 1 == length && whole[at].signature.is_none();
        match verify(&receipts) {
            Ok(report) => prop_assert!(
                receipts == whole || (is_last_allow && !report.sealed),
                "{}",
                String::from_utf8_lossy(&line)
            ),
            Err(fault) => {
                let sequence = usize::try_from(fault.sequence).unwrap();
                let claimed = usize::try_from(receipts[at].body.sequence).unwrap();
                prop_assert!(
                    [at + 1, at + 2, claimed].contains(&sequence),
                    "{fault} in {}",
                    String::from_utf8_lossy(&line)
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::config(128))]

    #[test]
    fn an_edit_of_any_member_is_found(tape in tapes(400)) {
        every_edit_is_found(tape)?;
    }

    #[test]
    fn a_lost_or_borrowed_signature_is_found(tape in tapes(200)) {
        every_lost_or_borrowed_signature_is_found(tape)?;
    }

    #[test]
    fn a_drop_a_swap_and_a_duplicate_are_found(tape in tapes(200)) {
        every_drop_swap_and_duplicate_is_found(tape)?;
    }

    #[test]
    fn a_splice_is_found(tape in tapes(600)) {
        every_splice_is_found(tape)?;
    }

    #[test]
    fn a_cut_tail_and_what_no_signature_covers_are_told_of(tape in tapes(300)) {
        what_is_not_found_is_told(tape)?;
    }

    #[test]
    fn a_changed_byte_is_found(tape in tapes(300)) {
        every_byte_counts(tape)?;
    }
}
