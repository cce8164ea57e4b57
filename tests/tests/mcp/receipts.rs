//! Receipts of guarded calls: written by the guard, verified and kept by the signer.

use std::io::Write;
use std::sync::{Arc, Mutex};

use chio_core::capability::Grant;
use chio_core::digest::Digest;
use chio_core::receipt::{Event, OutcomeStatus, Receipt};
use chio_mcp::{FromServer, Keeper, Relay};
use chio_tests::world::{kernel_key, thief};
use serde_json::{Value, json};

use crate::wire::{Guarded, Signing, block, call, docs_grant, parse, read, request, result, said};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn keeping(kernel: Option<chio_core::crypto::PublicKey>) -> (Signing, Kept) {
    let kept = Kept::default();
    let Signing { signer, session } = Signing::new(vec![docs_grant()]);
    (Signing { signer: signer.keeping(Keeper::new(kernel, kept.clone())), session }, kept)
}

#[test]
fn a_call_has_its_receipts_with_the_hash_of_its_result() {
    let (guarded, (signing, kept)) = (Guarded::new(), keeping(Some(kernel_key().public_key())));
    guarded.forwarded(&signing.signed(&read(1)));
    let passed = guarded.passed(&said(1, "hello"));
    let FromServer::Forward(text) = signing.server(&passed.to_string()) else { panic!("its receipts hold") };
    assert!(text.contains("dev.chio/receipt"));
    let lines = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let receipts: Vec<_> = lines.lines().map(|line| Receipt::parse(line.as_bytes()).unwrap()).collect();
    let mut verifier = chio_audit::ChainVerifier::new(Some(kernel_key().public_key()));
    receipts.iter().for_each(|receipt| verifier.push(receipt).unwrap());
    assert_eq!((verifier.finish().allowed, receipts.len()), (1, 2));
    let Event::Outcome(outcome) = &receipts[1].body.event else { panic!("it is an outcome") };
    assert_eq!(outcome.status, OutcomeStatus::Ok);
    assert_eq!(outcome.result_hash, Some(Digest::of(br#"{"content":[{"text":"hello","type":"text"}]}"#)));
    // A tool that failed, and one that was denied, are on record as well.
    guarded.forwarded(&signing.signed(&read(2)));
    let failed = guarded.passed(&result(2, &json!({"content": [], "isError": true})));
    assert!(matches!(signing.server(&failed.to_string()), FromServer::Forward(_)));
    let denied = guarded.answered(&signing.signed(&call(3, "read", &json!({"path": "/etc"}))));
    assert!(matches!(signing.server(&denied.to_string()), FromServer::Forward(_)));
    let lines = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.lines().count(), 5);
    assert!(lines.contains("tool_error") && lines.contains("argument_constraint_violated") && !lines.contains("hello"));
    assert!(!lines.contains("/etc") && !lines.contains("/srv"));
}

/// Whoever stands between guard and signer can change an answer, or swap the receipts of two.
#[test]
fn an_answer_that_does_not_fit_its_receipt_is_not_passed_on() {
    let guarded = Guarded::new();
    let receipt = |result: &Value, name: &str| result["result"]["_meta"][name].clone();
    let (signing, _) = keeping(None);
    guarded.forwarded(&signing.signed(&read(1)));
    let honest = guarded.passed(&said(1, "hello"));
    guarded.forwarded(&signing.signed(&read(2)));
    let other = guarded.passed(&said(2, "hello"));
    assert!(matches!(signing.server(&other.to_string()), FromServer::Forward(_)));
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let changes: [Change<'_>; 8] = [
        ("another result", &|answer| answer["result"]["content"][0]["text"] = json!("bye")),
        ("no receipt", &|answer| drop(answer["result"].as_object_mut().unwrap().remove("_meta"))),
        ("a receipt", &|answer| drop(answer["result"]["_meta"].as_object_mut().unwrap().remove("dev.chio/receipt"))),
        ("another decision", &|answer| {
            answer["result"]["_meta"]["dev.chio/receipt"] = receipt(&other, "dev.chio/receipt")
        }),
        ("another proof", &|answer| answer["result"]["_meta"] = other["result"]["_meta"].clone()),
        ("signature", &|answer| answer["result"]["_meta"]["dev.chio/receipt"]["body"]["duration_ms"] = json!(77)),
        ("does not follow", &|answer| answer["result"]["_meta"]["dev.chio/decision"]["body"]["at"] = json!(1)),
        ("", &|_| {}),
    ];
    for (what, change) in changes {
        let (own, _) = keeping(None);
        let signed = own.signed(&read(1));
        // Of the same kernel, and of the call as this signer made it.
        let guarded = Guarded::new();
        guarded.forwarded(&signed);
        let mut answer = if what == "another proof" || what == "another decision" {
            honest.clone()
        } else {
            guarded.passed(&said(1, "hello"))
        };
        change(&mut answer);
        let decided = own.server(&answer.to_string());
        match decided {
            FromServer::Forward(_) => assert_eq!(what, ""),
            FromServer::Instead(texts) => assert_eq!(parse(&texts[0])["error"]["code"], -31005, "{what}"),
            FromServer::Back(_) => panic!("{what}"),
        }
    }
    // The kernel is the one that was named, or the first that was seen.
    let (own, _) = keeping(Some(thief().public_key()));
    let guarded = Guarded::new();
    guarded.forwarded(&own.signed(&read(1)));
    assert!(matches!(own.server(&guarded.passed(&said(1, "x")).to_string()), FromServer::Instead(_)));
}

#[test]
fn other_answers_need_no_receipt() {
    let (signing, kept) = keeping(None);
    for (id, method) in [(1, "resources/list"), (2, "ping"), (3, "initialize")] {
        signing.signed(&request(id, method, &json!({})));
        assert_eq!(signing.server(&result(id, &json!({"a": 1}))), FromServer::Forward(result(id, &json!({"a": 1}))));
    }
    assert!(kept.0.lock().unwrap().is_empty());
}

#[test]
fn a_call_that_never_reached_its_tool_server_is_given_back() {
    let guarded = Guarded::new();
    let signing = Signing::new(vec![Grant::new("mcp", "read").max_invocations(1)]);
    guarded.forwarded(&signing.signed(&read(1)));
    let answers = block(guarded.guard.give_up(&guarded.session, Some("1"), "it cannot be reached", false));
    assert_eq!(parse(&answers[0])["error"]["code"], -31004);
    guarded.forwarded(&signing.signed(&read(2)));
    assert_eq!(guarded.denied(&signing.signed(&read(3))), "budget_exhausted");
    // One that may have reached it is not.
    block(guarded.guard.give_up(&guarded.session, None, "it has ended", true));
    assert_eq!(guarded.denied(&signing.signed(&read(4))), "budget_exhausted");
    let statuses: Vec<_> = guarded
        .receipts
        .all()
        .into_iter()
        .filter_map(|receipt| match receipt.body.event {
            Event::Outcome(outcome) => Some(outcome.status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [OutcomeStatus::NotReached, OutcomeStatus::Failed]);
}
