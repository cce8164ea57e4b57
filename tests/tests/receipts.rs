//! Receipts: what is written when, what it takes to write one, and that no edit goes unseen.

use std::sync::Arc;

use chio_audit::{ChainReport, ChainVerifier, FaultKind, ReceiptFault};
use chio_core::receipt::{Event, OutcomeStatus, Receipt, Verdict};
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, Settings, SignedCall, Stores};
use chio_tests::world::{self, NOW, World, code, honest, kernel_key};

fn verify(receipts: &[Receipt]) -> Result<ChainReport, ReceiptFault> {
    let mut verifier = ChainVerifier::new(Some(chio_core::crypto::SigningBackend::public_key(&kernel_key())));
    receipts.iter().try_for_each(|receipt| verifier.push(receipt))?;
    Ok(verifier.finish())
}

/// allow 1, outcome 2, deny 3, allow 4, outcome 5
fn chain() -> Vec<Receipt> {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = world.kernel();
    assert_eq!(code(&kernel, honest("a")), "");
    assert_eq!(code(&kernel, honest("a")), "nonce_replayed");
    assert_eq!(code(&kernel, honest("b")), "");
    receipts.all()
}

#[test]
fn an_allow_is_written_before_its_effect_and_its_outcome_after() {
    let receipts = chain();
    let report = verify(&receipts).unwrap();
    assert_eq!((report.receipts, report.allowed, report.denied, report.unfinished), (5, 2, 1, 0));
    assert!(report.sealed);
    let [allow, outcome, deny, ..] = &receipts[..] else { panic!("five") };
    let Event::Decision(decision) = &allow.body.event else { panic!("a decision") };
    assert_eq!((decision.verdict, decision.code.as_deref(), decision.mode.as_str()), (Verdict::Allow, None, "enforce"));
    assert_eq!(decision.tool_name, "read_file");
    assert!(decision.proof_hash.is_some() && decision.action_hash.is_some() && allow.signature.is_none());
    let Event::Outcome(outcome) = &outcome.body.event else { panic!("an outcome") };
    assert_eq!((outcome.of, outcome.status), (1, OutcomeStatus::Ok));
    let Event::Decision(decision) = &deny.body.event else { panic!("a decision") };
    assert_eq!(decision.code.as_deref(), Some("nonce_replayed"));
    assert_eq!(decision.step.as_deref(), Some("proof.nonce"));
    assert!(deny.signature.is_some());
}

#[test]
fn an_allow_that_was_never_dispatched_is_seen() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = world.kernel();
    drop(pollster::block_on(kernel.authorize(honest("a"))).unwrap());
    let report = verify(&receipts.all()).unwrap();
    assert_eq!((report.allowed, report.unfinished, report.sealed), (1, 1, false));
}

#[test]
fn every_edit_drop_swap_and_splice_is_found() {
    let whole = chain();
    let fault = |receipts: &[Receipt]| verify(receipts).unwrap_err();

    for dropped in 0..whole.len() - 1 {
        let mut receipts = whole.clone();
        let gone = receipts.remove(dropped).body.sequence;
        assert_eq!(fault(&receipts), ReceiptFault { sequence: gone, kind: FaultKind::Missing { next: gone + 1 } });
    }
    for at in 0..whole.len() - 1 {
        let mut receipts = whole.clone();
        receipts.swap(at, at + 1);
        assert_eq!(fault(&receipts).sequence, whole[at].body.sequence);
    }
    let mut twice = whole.clone();
    twice.push(whole[4].clone());
    assert_eq!(fault(&twice), ReceiptFault { sequence: 5, kind: FaultKind::OutOfOrder { after: 5 } });

    // An edit of any member of any receipt: time, verdict, subject, hash, duration.
    for at in 0..whole.len() {
        let mut receipts = whole.clone();
        receipts[at].body.at += 1;
        assert_eq!(fault(&receipts).sequence, whole[at].body.sequence, "at");
        let mut receipts = whole.clone();
        match &mut receipts[at].body.event {
            Event::Decision(decision) => decision.subject = Some("somebody else".into()),
            Event::Outcome(outcome) => outcome.status = OutcomeStatus::NotReached,
            Event::Summary(summary) => summary.suppressed += 1,
        }
        assert_eq!(fault(&receipts).sequence, whole[at].body.sequence, "event");
    }
    let mut unsigned = whole.clone();
    unsigned[2].signature = None;
    assert_eq!(fault(&unsigned), ReceiptFault { sequence: 3, kind: FaultKind::SignatureMissing });
    // A denial turned into an allow, so that it need not be signed.
    let Event::Decision(decision) = &mut unsigned[2].body.event else { panic!("a denial") };
    decision.verdict = Verdict::Allow;
    // The allow after it is not signed either, so that one of the two was changed is all that can be said.
    assert_eq!(fault(&unsigned), ReceiptFault { sequence: 4, kind: FaultKind::DoesNotFollow });
    // The same allow, ended twice.
    let mut ended = whole.clone();
    let Event::Outcome(outcome) = &mut ended[4].body.event else { panic!("an outcome") };
    outcome.of = 1;
    let (again, _) = Receipt::append(
        Some(chio_core::receipt::ChainHead { sequence: 4, digest: ended[4].body.previous.unwrap() }),
        NOW,
        ended[4].body.event.clone(),
        &kernel_key(),
    )
    .unwrap();
    ended[4] = again;
    assert_eq!(fault(&ended), ReceiptFault { sequence: 5, kind: FaultKind::OutcomeOfNothing });
}

#[test]
fn a_receipt_of_another_kernel_is_found() {
    let store = Arc::new(MemoryReceipts::default());
    let world = World::new();
    let builder = world.builder.signing_key(world::thief());
    let kernel = builder.stores(Stores { receipts: Arc::<MemoryReceipts>::clone(&store), ..Stores::default() });
    let kernel: Kernel = kernel.build().unwrap();
    world.clock.set(NOW);
    assert_eq!(code(&kernel, honest("a")), "");
    let mut spliced = chain();
    spliced[1] = store.all()[1].clone();
    assert_eq!(verify(&spliced).unwrap_err(), ReceiptFault { sequence: 2, kind: FaultKind::Foreign });
    assert_eq!(verify(&store.all()).unwrap_err().kind, FaultKind::Foreign);
}

#[test]
fn receipts_survive_their_text() {
    for receipt in chain() {
        let line = receipt.to_line().unwrap();
        assert_eq!(Receipt::parse(&line).unwrap(), receipt);
        assert_eq!(
            line,
            chio_core::canonical::canonicalize(&line, chio_core::canonical::Limits::bytes(1 << 16))
                .unwrap()
                .into_owned()
        );
        assert_eq!(receipt.body.canonical().unwrap(), {
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            serde_json_canonicalizer::to_vec(&value["body"]).unwrap()
        });
    }
}

#[test]
fn a_flood_of_unproven_denials_buys_a_bounded_number_of_receipts() {
    let world = World::new();
    let (receipts, clock) = (Arc::clone(&world.receipts), world.clock.clone());
    let builder = world.builder.settings(Settings { unproven_receipts_per_second: 5, ..Settings::default() });
    let kernel = builder.build().unwrap();
    clock.set(NOW);
    for number in 0..100 {
        let call = SignedCall { proof: None, ..honest("a") };
        let denied = world::run(&kernel, call).unwrap_err();
        assert_eq!(denied.receipt.is_some(), number < 5);
    }
    // A proven caller always has its receipt; a captured call that is sent again proves nothing.
    assert_eq!(code(&kernel, honest("a")), "");
    assert!(world::run(&kernel, honest("a")).unwrap_err().receipt.is_none());
    for number in 0..20 {
        let denied = world::run(&kernel, world::call(&world::capability(), "{}", &number.to_string())).unwrap_err();
        assert_eq!(denied.denial.code(), "argument_missing");
        assert!(denied.receipt.is_some());
    }
    assert_eq!(receipts.all().len(), 5 + 2 + 20);
    clock.set(NOW + 1);
    assert_eq!(code(&kernel, honest("b")), "");
    let all = receipts.all();
    assert_eq!(all.len(), 27 + 1 + 2);
    let Event::Summary(summary) = &all[27].body.event else { panic!("a summary") };
    assert_eq!(summary.suppressed, 96);
    let report = verify(&all).unwrap();
    assert_eq!((report.denied, report.suppressed), (25, 96));
    // What is still only counted when the kernel stops can be summed up then.
    for _ in 0..7 {
        let _ = world::run(&kernel, SignedCall { proof: None, ..honest("a") });
    }
    pollster::block_on(kernel.flush()).unwrap();
    assert_eq!(verify(&receipts.all()).unwrap().suppressed, 96 + 2);
}

#[test]
fn a_first_receipt_that_names_one_before_it_does_not_follow() {
    let head = chio_core::receipt::ChainHead { sequence: 0, digest: chio_core::digest::Digest::of(b"none") };
    let event = Event::Summary(chio_core::receipt::Summary::default());
    let (first, _) = Receipt::append(Some(head), 1, event, &kernel_key()).unwrap();
    assert_eq!((first.body.sequence, first.signature.is_some()), (1, true));
    let fault = verify(&[first]).unwrap_err();
    assert_eq!(fault, ReceiptFault { sequence: 1, kind: FaultKind::DoesNotFollow });
    assert_eq!(fault.to_string(), format!("receipt 1 {}", FaultKind::DoesNotFollow));
}
