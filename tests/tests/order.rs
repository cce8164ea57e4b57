//! Which of two faults wins: for every pair of adjacent steps, a call with both is answered with the earlier one.
//!
//! Each fault is made on its own first, so that the pair is known to have both.

use std::future::{pending, ready};
use std::sync::Arc;

use chio_core::capability::{Grant, Terms};
use chio_core::dpop::DpopProof;
use chio_kernel::guard::{Guard, GuardAnswer, GuardView};
use chio_kernel::store::{
    BoxFuture, KernelError, MemoryStandings, ReceiptStore, Seal, Standing, StandingStore, key_id,
};
use chio_kernel::{Denial, Kernel, SignedCall, Stores};
use chio_tests::world::{self, ARGUMENTS, NOW, SERVER, TOOL, World, agent, docs_grant, issue, terms, thief};
use serde_json::json;

/// Everything that can be wrong at one step, in the order of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Arguments,
    Trust,
    Window,
    Id,
    Signature,
    Revoked,
    Banned,
    ProofForm,
    Schema,
    Sender,
    Binding,
    Freshness,
    ProofSignature,
    NonceForm,
    Grant,
    Exists,
    Budget,
    Guard,
    Receipt,
}

const ORDER: [(Fault, &str); 19] = [
    (Fault::Arguments, "malformed_call"),
    (Fault::Trust, "issuer_untrusted"),
    (Fault::Window, "capability_expired"),
    (Fault::Id, "capability_id_mismatch"),
    (Fault::Signature, "capability_signature_invalid"),
    (Fault::Revoked, "capability_revoked"),
    (Fault::Banned, "subject_banned"),
    (Fault::ProofForm, "proof_malformed"),
    (Fault::Schema, "proof_schema_unsupported"),
    (Fault::Sender, "proof_sender_mismatch"),
    (Fault::Binding, "proof_binding_mismatch"),
    (Fault::Freshness, "proof_expired"),
    (Fault::ProofSignature, "proof_signature_invalid"),
    (Fault::NonceForm, "nonce_malformed"),
    (Fault::Grant, "tool_not_granted"),
    (Fault::Exists, "unknown_tool"),
    (Fault::Budget, "budget_exhausted"),
    (Fault::Guard, "guard_denied"),
    (Fault::Receipt, "store_unavailable"),
];

struct No;

impl Guard for No {
    fn name(&self) -> &str {
        "no"
    }

    fn check<'a>(&'a self, _: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>> {
        Box::pin(ready(Ok(GuardAnswer::Deny { reason: "no".into() })))
    }
}

struct NoReceipts;

impl ReceiptStore for NoReceipts {
    fn append(&self, _: Seal) -> BoxFuture<'_, Result<chio_core::receipt::Receipt, KernelError>> {
        Box::pin(pending())
    }
}

fn answer(faults: &[Fault]) -> Denial {
    let has = |fault| faults.contains(&fault);
    let tool = if has(Fault::Exists) { "no_such_tool" } else { TOOL };
    let mut grant = Grant { tool_name: tool.to_owned(), ..docs_grant() };
    if has(Fault::Grant) {
        grant.tool_name = "another_tool".into();
    }
    if has(Fault::Budget) {
        grant = grant.max_invocations(0);
    }
    let expires_at = if has(Fault::Window) { NOW } else { NOW + 3000 };
    let chain = issue(Terms { expires_at, ..terms(vec![grant]) });
    let mut token = chain.leaf().clone();
    if has(Fault::Signature) {
        token.issued_at -= 1;
        token.id = token.contents_id().unwrap().to_string();
    }
    if has(Fault::Id) {
        token.issued_at -= 1;
    }
    let chain = chio_core::capability::CapabilityChain::root(token);

    let mut body = world::body(&chain, ARGUMENTS, if has(Fault::NonceForm) { "" } else { "nonce" });
    body.tool_name = tool.to_owned();
    if has(Fault::Schema) {
        body.schema = "chio.dpop_proof.v2".into();
    }
    if has(Fault::Sender) {
        body.agent_key = thief().public_key();
    }
    if has(Fault::Binding) {
        body.tool_server = "mail".into();
    }
    if has(Fault::Freshness) {
        body.issued_at = NOW - 1000;
    }
    let signer = if has(Fault::ProofSignature) { thief() } else { agent() };
    let mut proof = DpopProof::sign(body, &signer).unwrap().to_bytes().unwrap();
    if has(Fault::ProofForm) {
        proof.pop();
    }

    let standings = MemoryStandings::default();
    if has(Fault::Banned) {
        pollster::block_on(standings.set(key_id(&agent().public_key().to_string()), Standing::Banned)).unwrap();
    }
    let mut world = World::with_stores(Stores { standings: Arc::new(standings), ..Stores::default() });
    if has(Fault::Guard) {
        world.builder = world.builder.guard(No);
    }
    if has(Fault::Receipt) {
        let mut stores = Stores { receipts: Arc::new(NoReceipts), ..Stores::default() };
        if has(Fault::Banned) {
            stores.standings = Arc::new(MemoryStandings::default());
        }
        world.builder = world.builder.stores(stores);
    }
    if has(Fault::Trust) {
        world.builder = Kernel::builder().clock(world.clock.clone()).tool_server(SERVER, world::echo());
    }
    let kernel = world.kernel();
    if has(Fault::Revoked) {
        pollster::block_on(kernel.revoke_key(&agent().public_key())).unwrap();
    }
    let call = SignedCall {
        tool_server: SERVER.to_owned(),
        tool_name: tool.to_owned(),
        arguments: if has(Fault::Arguments) { b"{".to_vec() } else { ARGUMENTS.as_bytes().to_vec() },
        capability: world::chain_bytes(&chain),
        proof: Some(proof),
    };
    world::run(&kernel, call).unwrap_err().denial
}

#[test]
fn each_fault_alone_has_its_code() {
    for (fault, code) in ORDER {
        assert_eq!(answer(&[fault]).code(), code, "{fault:?}");
    }
}

#[test]
fn of_two_faults_the_earlier_step_answers() {
    for pair in ORDER.windows(2) {
        let ((first, code), (second, _)) = (pair[0], pair[1]);
        assert_eq!(answer(&[first, second]).code(), code, "{first:?} and {second:?}");
        assert_eq!(answer(&[second, first]).code(), code, "{first:?} and {second:?}");
    }
}

#[test]
fn steps_are_answered_in_their_order() {
    let steps: Vec<_> = ORDER.iter().map(|(fault, _)| answer(&[*fault]).step()).collect();
    assert!(steps.is_sorted(), "{steps:?}");
}

/// Of the four things that a proof binds, the first that does not match is named.
#[test]
fn a_binding_denial_names_the_member() {
    let kernel = World::new().kernel();
    let chain = world::capability();
    let other = "0".repeat(64);
    for (member, nonce) in ["capability_id", "tool_server", "tool_name", "action_hash"].into_iter().zip(1..) {
        let mut body = serde_json::to_value(world::body(&chain, ARGUMENTS, &nonce.to_string())).unwrap();
        body[member] = json!(other);
        let call = world::call_with(&chain, ARGUMENTS, serde_json::from_value(body).unwrap(), &agent());
        let denial = world::run(&kernel, call).unwrap_err().denial;
        assert!(denial.to_string().contains(member), "{denial}");
    }
}
