//! A chain allows what every token of it allows, and nothing else: the kernel against the evaluator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use chio_audit::ChainVerifier;
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::Keypair;
use chio_core::digest::Arguments;
use chio_core::dpop::DpopProofBody;
use chio_kernel::config::TrustRoot;
use chio_kernel::{Kernel, SignedCall};
use chio_tests::evaluator::{self, Call, Counts};
use chio_tests::world::{NOW, SERVER, TOOL, World, call_with, echo, issuer, run, serial};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::choices::{Choices, Tape, tapes};
use crate::generate;

/// The tools that are granted and called; the first of them most often.
const TOOLS: [(&str, &str); 4] = [(SERVER, TOOL), (SERVER, TOOL), (SERVER, "search"), ("mail", TOOL)];

/// What a chain that is well formed, held by its caller and proven can be denied for.
const REASONS: [&str; 9] = [
    "capability_not_yet_valid",
    "capability_expired",
    "capability_audience_mismatch",
    "root_ceiling_exceeded",
    "tool_not_granted",
    "argument_missing",
    "argument_not_granted",
    "argument_constraint_violated",
    "budget_exhausted",
];

/// A root with a ceiling.
fn limited_issuer() -> Keypair {
    Keypair::from_seed(&[6; 32])
}

fn holder(depth: usize) -> Keypair {
    Keypair::from_seed(&[u8::try_from(10 + depth).unwrap(); 32])
}

/// Grants for a token, the first of them made for the arguments of the call; or for others that are like them.
fn grants(choices: &mut Choices, arguments: &Value) -> Vec<Value> {
    let mut grants = Vec::new();
    for _ in 0..choices.below(3) {
        let tool = TOOLS[choices.below(TOOLS.len())];
        let arguments = if choices.one_in(2) { generate::arguments(choices) } else { arguments.clone() };
        grants.push(generate::grant(choices, tool, &arguments));
    }
    let tool = TOOLS[if choices.one_in(30) { 2 } else { 0 }];
    grants.insert(choices.below(grants.len() + 1), generate::grant(choices, tool, arguments));
    grants
}

/// The terms of the token at that depth.
fn terms(choices: &mut Choices, depth: usize, number: u64, arguments: &Value) -> Terms {
    let grants = grants(choices, arguments);
    // Over, not yet, or ending while calls are made.
    let issued_at = if choices.one_in(60) { NOW + 1 } else { NOW - [10, 0, 600][choices.below(3)] };
    let expires_at = if issued_at < NOW && choices.one_in(60) { NOW } else { NOW + [600, 2, 60, 10][choices.below(4)] };
    let audience = [None, None, None, None, Some("kernel-a")][choices.below(5)];
    let audience = if choices.one_in(80) { Some("kernel-b") } else { audience };
    Terms {
        subject: holder(depth).public_key(),
        audience: audience.map(str::to_owned),
        issued_at,
        expires_at,
        grants: grants.into_iter().map(|grant| serde_json::from_value::<Grant>(grant).unwrap()).collect(),
        max_depth: 8 - u64::try_from(depth).unwrap(),
        serial: serial(number),
    }
}

fn document(chain: &CapabilityChain) -> Value {
    serde_json::from_slice(&chain.to_json().unwrap().to_canonical_bytes()).unwrap()
}

fn signed(
    chain: &CapabilityChain,
    (server, tool): (&str, &str),
    arguments: &Value,
    now: u64,
    nonce: usize,
) -> SignedCall {
    let holder = holder(chain.len() - 1);
    let read = Arguments::from_value(arguments).unwrap();
    let body = DpopProofBody::new(chain.leaf(), (server, tool), &read, format!("{nonce}"), now);
    let call = call_with(chain, &arguments.to_string(), body, &holder);
    SignedCall { tool_server: server.to_owned(), tool_name: tool.to_owned(), ..call }
}

/// How many calls were answered with each code; the empty one stands for allowed.
type Answers = BTreeMap<&'static str, usize>;

/// A family of chains that share tokens, and calls by them, as the tape says.
fn hold_against_each_other(tape: Tape, answers: &mut Answers) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let arguments = generate::arguments(choices);
    let ceiling = grants(choices, &arguments);
    let world = World::new();
    let limited = TrustRoot {
        ceiling: Some(ceiling.iter().map(|grant| serde_json::from_value(grant.clone()).unwrap()).collect()),
        ..TrustRoot::from(limited_issuer().public_key())
    };
    let (clock, receipts) = (world.clock.clone(), Arc::clone(&world.receipts));
    let builder = world.builder.trust_root(limited).tool_server("mail", echo());
    let kernel: Kernel = builder.build().unwrap();

    let limited = choices.one_in(5);
    let root = if limited { limited_issuer() } else { issuer() };
    let ceiling = limited.then(|| json!(ceiling));
    let mut chains =
        vec![CapabilityChain::root(CapabilityToken::issue(terms(choices, 0, 0, &arguments), &root).unwrap())];
    for number in 1..=u64::try_from(choices.below(4)).unwrap() {
        // Most often the last one is narrowed; a sibling shares what is counted.
        let parent = if choices.one_in(4) { choices.below(chains.len()) } else { chains.len() - 1 };
        let depth = chains[parent].len();
        let terms = terms(choices, depth, number, &arguments);
        chains.push(chains[parent].attenuate(terms, &holder(depth - 1)).unwrap());
    }

    let (mut counts, mut now, mut allowed) = (Counts::new(), NOW, 0);
    for nonce in 0..=choices.below(4) {
        let chain = if choices.one_in(4) { choices.below(chains.len()) } else { chains.len() - 1 };
        let chain = &chains[chain];
        let tool = TOOLS[if choices.one_in(16) { choices.below(TOOLS.len()) } else { 0 }];
        let changed = if choices.one_in(4) { generate::changed(choices, &arguments) } else { arguments.clone() };
        now += u64::from(choices.one_in(6));
        clock.set(now);
        let call = Call { tool_server: tool.0, tool_name: tool.1, arguments: &changed, kernel: "kernel-a", now };
        let document = document(chain);
        let expected = evaluator::allows(&document, ceiling.as_ref(), call, &mut counts);
        let answer = run(&kernel, signed(chain, tool, &changed, now, nonce));
        let code = answer.as_ref().err().map_or("", |denied| denied.denial.code());
        let story = || {
            let grants: Vec<_> = document.as_array().unwrap().iter().map(|token| &token["grants"]).collect();
            format!(
                "the evaluator says {expected}, the kernel `{code}`, of {tool:?} with {changed}, at {now}, by {}, below {ceiling:?}",
                json!(grants)
            )
        };
        prop_assert_eq!(code.is_empty(), expected, "{}", story());
        prop_assert!(expected || REASONS.contains(&code), "{}", story());
        *answers.entry(code).or_default() += 1;
        allowed += u64::from(expected);
    }
    // The receipts say the same.
    let mut verifier = ChainVerifier::new(Some(kernel.public_key()));
    prop_assert_eq!(receipts.all().iter().try_for_each(|receipt| verifier.push(receipt)), Ok(()));
    let report = verifier.finish();
    prop_assert_eq!((report.allowed, report.unfinished, report.sealed), (allowed, 0, true));
    Ok(())
}

#[test]
fn a_chain_allows_exactly_what_all_of_its_tokens_allow() {
    let answers = RefCell::new(Answers::new());
    let held = TestRunner::new(crate::config(512))
        .run(&tapes(1200), |tape| hold_against_each_other(tape, &mut answers.borrow_mut()));
    held.unwrap_or_else(|failure| panic!("{failure}"));
    let answers = answers.into_inner();
    println!("{answers:?}");
    // Neither side of the law is empty.
    let (allowed, all) = (answers[""], answers.values().sum::<usize>());
    assert!(all / 3 < allowed && allowed < all * 2 / 3, "{allowed} of {all} calls allowed");
}
