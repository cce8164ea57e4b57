//! A call with one byte changed is denied.
//!
//! The law in full. A call is five texts: the names of tool server and tool, the arguments, the capability chain and
//! the proof. Change one byte of one of them, put one in or take one out, and the call is denied, and spends nothing;
//! unless what was changed is one of the three JSON documents, and it still has the same canonical text. Then it is the
//! same document, written in another way (white space between the parts, `\/` for `/`, `1.50` for `1.5`, `-0` for `0`,
//! another case in a `\u` escape), and the call is allowed as it was.

use chio_core::canonical;
use chio_core::capability::{Grant, Terms};
use chio_kernel::{Kernel, SignedCall};
use chio_tests::world::{SERVER, TOOL, World, agent, body, call_with, code, helper, issue, serial, terms, thief};
use proptest::prelude::*;
use serde_json::json;

use crate::choices::{Choices, Tape, tapes};
use crate::generate;

/// Some of every kind of JSON, and what can be written in several ways.
const ARGUMENTS: &str = r#"{"limit":1.5,"note":"é\u001f\n","none":[null,{"a":0}],"path":"/srv/docs/a.md"}"#;

#[derive(Clone, Copy, Debug)]
enum Part {
    ToolServer,
    ToolName,
    Arguments,
    Capability,
    Proof,
}

const PARTS: [Part; 5] = [Part::ToolServer, Part::ToolName, Part::Arguments, Part::Capability, Part::Proof];

#[derive(Clone, Copy, Debug)]
enum Edit {
    Replace(usize, u8),
    Insert(usize, u8),
    Delete(usize),
}

fn bytes(call: &SignedCall, part: Part) -> &[u8] {
    match part {
        Part::ToolServer => call.tool_server.as_bytes(),
        Part::ToolName => call.tool_name.as_bytes(),
        Part::Arguments => &call.arguments,
        Part::Capability => &call.capability,
        Part::Proof => call.proof.as_deref().unwrap(),
    }
}

/// The call with one byte of it changed. None where it is a name that is no longer text: it cannot be said.
fn edited(call: &SignedCall, part: Part, edit: Edit) -> Option<SignedCall> {
    let mut text = bytes(call, part).to_vec();
    match edit {
        Edit::Replace(at, byte) => text[at] = byte,
        Edit::Insert(at, byte) => text.insert(at, byte),
        Edit::Delete(at) => drop(text.remove(at)),
    }
    let mut call = call.clone();
    match part {
        Part::ToolServer => call.tool_server = String::from_utf8(text).ok()?,
        Part::ToolName => call.tool_name = String::from_utf8(text).ok()?,
        Part::Arguments => call.arguments = text,
        Part::Capability => call.capability = text,
        Part::Proof => call.proof = Some(text),
    }
    Some(call)
}

/// The canonical text of a part, in the words of other libraries; a name has no other text than itself.
fn canonical_text(call: &SignedCall, part: Part) -> Option<Vec<u8>> {
    let text = bytes(call, part);
    if matches!(part, Part::ToolServer | Part::ToolName) {
        return Some(text.to_vec());
    }
    serde_json_canonicalizer::to_vec(&serde_json::from_slice::<serde_json::Value>(text).ok()?).ok()
}

fn kernel() -> Kernel {
    World::new().kernel()
}

/// Holds an edit to the law, at a kernel that has not seen the call yet. Whether it left the document the same.
fn check(kernel: &Kernel, call: &SignedCall, part: Part, edit: Edit) -> Result<bool, String> {
    let Some(changed) = edited(call, part, edit) else { return Ok(false) };
    if canonical_text(&changed, part) == canonical_text(call, part) {
        // At a kernel of its own, since it spends the nonce.
        return match code(&self::kernel(), changed) {
            "" => Ok(true),
            code => Err(format!("the same {part:?} after {edit:?} is denied: {code}")),
        };
    }
    match code(kernel, changed) {
        "" => Err(format!("another {part:?} after {edit:?} is allowed")),
        _ => Ok(false),
    }
}

fn grants() -> Vec<Grant> {
    let anything = json!({"constraint_type": "wildcard"});
    let within = json!({"constraint_type": "path_containment", "root": "/srv/docs"});
    let grant = Grant::new(SERVER, TOOL).argument("/path", &within).unwrap();
    vec![["/limit", "/note", "/none"].iter().fold(grant, |grant, pointer| grant.argument(pointer, &anything).unwrap())]
}

/// The call of the agent's helper, by a chain of two tokens.
fn example() -> SignedCall {
    let onwards = Terms { subject: helper().public_key(), max_depth: 0, serial: serial(2), ..terms(grants()) };
    let chain = issue(terms(grants())).attenuate(onwards, &agent()).unwrap();
    call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "nonce-1"), &helper())
}

/// Every edit of a text of this length that `edits` names for its places.
fn every(call: &SignedCall, part: Part, edits: impl Fn(usize, u8) -> Vec<Edit>) {
    let (kernel, text) = (kernel(), bytes(call, part));
    let mut same = 0;
    for (at, byte) in text.iter().enumerate() {
        for edit in edits(at, *byte) {
            same += usize::from(check(&kernel, call, part, edit).unwrap_or_else(|failure| panic!("{failure}")));
        }
    }
    println!("{part:?}: {} bytes; the same document {same} times", text.len());
    // Nothing of it was spent.
    assert_eq!(code(&kernel, call.clone()), "");
}

fn every_bit(part: Part) {
    every(&example(), part, |at, byte| (0..8).map(|bit| Edit::Replace(at, byte ^ 1 << bit)).collect());
}

#[test]
fn every_flipped_bit_of_a_chain_denies() {
    every_bit(Part::Capability);
}

#[test]
fn every_flipped_bit_of_a_proof_denies() {
    every_bit(Part::Proof);
}

#[test]
fn every_flipped_bit_of_arguments_and_names_denies() {
    for part in [Part::Arguments, Part::ToolServer, Part::ToolName] {
        every_bit(part);
    }
}

#[test]
fn every_byte_taken_out_or_put_in_denies() {
    for part in PARTS {
        every(&example(), part, |at, _| vec![Edit::Delete(at), Edit::Insert(at, b' ')]);
    }
}

/// A call of any tool with any arguments, by a chain of one to three tokens.
fn any_call(choices: &mut Choices) -> SignedCall {
    let arguments = String::from_utf8(canonical::canonical_json_bytes(&generate::arguments(choices)).unwrap()).unwrap();
    let holders = [agent(), helper(), thief()];
    let terms = |number: usize| Terms {
        subject: holders[number].public_key(),
        max_depth: 4 - u64::try_from(number).unwrap(),
        serial: serial(u64::try_from(number).unwrap()),
        ..terms(vec![Grant::new(SERVER, TOOL)])
    };
    let last = choices.below(3);
    let chain =
        (1..=last).fold(issue(terms(0)), |chain, number| chain.attenuate(terms(number), &holders[number - 1]).unwrap());
    call_with(&chain, &arguments, body(&chain, &arguments, "nonce-1"), &holders[last])
}

fn any_edit(choices: &mut Choices, length: usize) -> Edit {
    let place = choices.below(256) << 8 | choices.below(256);
    let byte = match choices.below(3) {
        0 => *choices
            .of(&[&b' ', &b'\n', &b'"', &b'\\', &b'/', &b',', &b':', &b'{', &b'}', &b'[', &b']', &b'-', &b'.', &b'e']),
        1 => b'0' + u8::try_from(choices.below(10)).unwrap(),
        _ => u8::try_from(choices.below(256)).unwrap(),
    };
    match choices.below(3) {
        0 => Edit::Replace(place % length, byte),
        1 => Edit::Insert(place % (length + 1), byte),
        _ => Edit::Delete(place % length),
    }
}

fn any_edits_of_any_call(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let call = any_call(choices);
    let kernel = kernel();
    for _ in 0..24 {
        let part = PARTS[[2, 3, 4, 2, 3, 4, 0, 1][choices.below(8)]];
        let edit = any_edit(choices, bytes(&call, part).len());
        let story = |failure| format!("{failure}: {}", String::from_utf8_lossy(bytes(&call, part)));
        check(&kernel, &call, part, edit).map_err(story).map_err(TestCaseError::fail)?;
    }
    prop_assert_eq!(code(&kernel, call), "");
    Ok(())
}

proptest! {
    #![proptest_config(crate::config(96))]

    #[test]
    fn any_changed_byte_of_any_call_denies(tape in tapes(400)) {
        any_edits_of_any_call(tape)?;
    }
}
