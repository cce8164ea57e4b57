//! Rules that `docs/threat-model.md` names and that no other test would miss, were they taken out.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, MAX_CHAIN_BYTES, Terms};
use chio_core::crypto::SigningBackend as _;
use chio_core::digest::Digest;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_core::error::excerpt;
use chio_core::receipt::{Decision, Event, Receipt, Verdict};
use chio_kernel::clock::NoPatience;
use chio_kernel::config::Mode;
use chio_kernel::guard::{Guard, GuardAnswer, GuardView};
use chio_kernel::store::{
    Allowance, BoxFuture, DpopNonceStore, KernelError, MemoryReceipts, NonceAnswer, NonceClaim, NonceStore,
    ReceiptStore, RevocationStore, Seal, Spending, Standing, StandingStore, UsageStore,
};
use chio_kernel::tool_server::Tools;
use chio_kernel::{Denial, Kernel, Settings, SignedCall, Stores};
use chio_tests::world::{
    self, ARGUMENTS, NOW, SERVER, TOOL, World, agent, body, call, call_with, capability, code, delegated, docs_grant,
    helper, honest, issue, issuer, terms,
};
use chio_tests::{documents, repository, vectors};
use serde_json::{Value, json};

/// How a store fails.
#[derive(Clone, Copy, Debug)]
enum Fails {
    WithAnError,
    ByPanicking,
    ByPanickingLater,
    ByNotAnswering,
}

impl Fails {
    fn answer<'a, T: Send + 'a>(self) -> BoxFuture<'a, Result<T, KernelError>> {
        match self {
            Self::WithAnError => Box::pin(ready(Err(KernelError::new("on purpose")))),
            Self::ByPanicking => panic!("on purpose"),
            Self::ByPanickingLater => Box::pin(async { panic!("on purpose") }),
            Self::ByNotAnswering => Box::pin(pending()),
        }
    }
}

/// Every store at once; a kernel is given one of them.
struct Failing(Fails);

impl NonceStore for Failing {
    fn spend(&self, _: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        self.0.answer()
    }
    fn survives_restart(&self) -> bool {
        true
    }
}

impl UsageStore for Failing {
    fn spend<'a>(&'a self, _: &'a [Vec<Allowance>], _: u64) -> BoxFuture<'a, Result<Spending, KernelError>> {
        self.0.answer()
    }
    fn refund<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>> {
        self.0.answer()
    }
}

impl RevocationStore for Failing {
    fn first_revoked<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        self.0.answer()
    }
    fn revoke(&self, _: Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        self.0.answer()
    }
}

impl StandingStore for Failing {
    fn worst<'a>(&'a self, _: &'a [Digest], _: u64) -> BoxFuture<'a, Result<Standing, KernelError>> {
        self.0.answer()
    }
    fn worsen(&self, _: Digest, _: Standing, _: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        self.0.answer()
    }
    fn set(&self, _: Digest, _: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        self.0.answer()
    }
    fn count_failure(&self, _: Digest, _: u64, _: u64) -> BoxFuture<'_, Result<u64, KernelError>> {
        self.0.answer()
    }
}

impl ReceiptStore for Failing {
    fn append(&self, _: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        self.0.answer()
    }
}

/// A tool server that counts the calls that reach it.
fn counting() -> (Tools, Arc<AtomicUsize>) {
    let dispatched = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dispatched);
    let tools = Tools::new().tool(TOOL, move |arguments: Value| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(arguments)
    });
    (tools, dispatched)
}

/// The usual kernel, whose tool server counts.
fn counted(stores: Stores, mode: Mode) -> (Kernel, Arc<AtomicUsize>) {
    let (tools, dispatched) = counting();
    let clock = World::new().clock;
    let builder = Kernel::builder().trust_root(issuer().public_key()).clock(clock.clone()).timer(NoPatience);
    let kernel = builder.tool_server(SERVER, tools).mode(SERVER, mode).stores(stores).build().unwrap();
    clock.set(NOW);
    (kernel, dispatched)
}

#[test]
fn a_store_that_fails_in_whatever_way_denies_and_nothing_is_dispatched() {
    std::panic::set_hook(Box::new(|_| ()));
    let chain = issue(terms(vec![docs_grant().max_invocations(1)]));
    for fails in [Fails::WithAnError, Fails::ByPanicking, Fails::ByPanickingLater, Fails::ByNotAnswering] {
        let store = || Arc::new(Failing(fails));
        let usual = Stores::default;
        for (stores, name, step) in [
            (Stores { nonces: Some(store()), ..usual() }, "nonce", "proof.nonce"),
            (Stores { usage: store(), ..usual() }, "usage", "budget"),
            (Stores { revocations: store(), ..usual() }, "revocation", "authority"),
            (Stores { standings: store(), ..usual() }, "standing", "standing"),
            (Stores { receipts: store(), ..usual() }, "receipt", "receipt"),
        ] {
            // A store of memory and nothing else would refuse the proof for another reason.
            let nonces = stores.nonces.unwrap_or_else(|| Arc::new(Durable(DpopNonceStore::new(8, Default::default()))));
            let (kernel, dispatched) = counted(Stores { nonces: Some(nonces), ..stores }, Mode::Enforce);
            let denial = world::run(&kernel, call(&chain, ARGUMENTS, "n")).unwrap_err().denial;
            let Denial::StoreUnavailable { store, step: at, .. } = denial else {
                panic!("{name}, {fails:?}: {denial}")
            };
            assert_eq!((store, at.name()), (name, step), "{fails:?}");
            assert_eq!(dispatched.load(Ordering::SeqCst), 0, "{name}, {fails:?}");
        }
    }
}

/// Nonces that outlive the kernel.
struct Durable(DpopNonceStore);

impl NonceStore for Durable {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        self.0.spend(claim)
    }
    fn survives_restart(&self) -> bool {
        true
    }
}

#[test]
fn no_mode_dispatches_a_call_whose_receipt_cannot_be_written() {
    for mode in [Mode::Enforce, Mode::Report, Mode::Off] {
        let stores = Stores { receipts: Arc::new(Failing(Fails::WithAnError)), ..Stores::default() };
        let (kernel, dispatched) = counted(stores, mode);
        assert_eq!(code(&kernel, honest("n")), "store_unavailable", "{mode:?}");
        let unproven = SignedCall { proof: None, ..honest("m") };
        let expected = if mode == Mode::Enforce { "proof_missing" } else { "store_unavailable" };
        assert_eq!(code(&kernel, unproven), expected, "{mode:?}");
        assert_eq!(dispatched.load(Ordering::SeqCst), 0, "{mode:?}");
    }
}

/// Says what it is told to say, and counts how often it is asked.
struct Says(GuardAnswer, Arc<AtomicUsize>);

impl Guard for Says {
    fn name(&self) -> &str {
        "says"
    }
    fn check<'a>(&'a self, _: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(self.0.clone())))
    }
}

#[test]
fn every_guard_is_asked_and_a_later_no_counts() {
    let asked = Arc::new(AtomicUsize::new(0));
    let says = |answer| Says(answer, Arc::clone(&asked));
    let no = || GuardAnswer::Deny { reason: "no".into() };
    let world = World::new();
    let builder = world.builder.guard(says(GuardAnswer::Allow)).guard(says(GuardAnswer::Allow)).guard(says(no()));
    let kernel = World { builder, ..world }.kernel();
    assert_eq!(code(&kernel, honest("n")), "guard_denied");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    // No guard is asked about a call that is not proven and granted.
    let unproven = SignedCall { proof: None, ..honest("m") };
    assert_eq!(code(&kernel, unproven), "proof_missing");
    assert_eq!(code(&kernel, call(&capability(), "{}", "o")), "argument_missing");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_chain_that_was_seen_before_expires_all_the_same() {
    let world = World::new();
    let clock = world.clock.clone();
    let kernel = world.kernel();
    let at = |now: u64, nonce: &str| {
        clock.set(now);
        let body = DpopProofBody { issued_at: now, ..body(&capability(), ARGUMENTS, nonce) };
        code(&kernel, call_with(&capability(), ARGUMENTS, body, &agent()))
    };
    assert_eq!(at(NOW, "a"), "");
    assert_eq!(at(NOW + 2999, "b"), "");
    assert_eq!(at(NOW + 3000, "c"), "capability_expired");
}

#[test]
fn a_nonce_is_spent_whatever_becomes_of_the_call() {
    let kernel = World::new().kernel();
    let ungranted = call(&capability(), "{}", "n");
    assert_eq!(code(&kernel, ungranted.clone()), "argument_missing");
    assert_eq!(code(&kernel, ungranted), "nonce_replayed");
    // What was denied before that step has spent nothing: else whoever holds a token could spend its nonces.
    assert_eq!(
        code(&kernel, call_with(&capability(), ARGUMENTS, body(&capability(), ARGUMENTS, "m"), &helper())),
        "proof_signature_invalid"
    );
    assert_eq!(code(&kernel, honest("m")), "");
}

/// What a stranger may be told: a few sentences, none of which names a key, a path, a number or a tool, and one for a
/// tool that is not granted and one that does not exist.
#[test]
fn a_stranger_is_told_nothing_of_the_policy() {
    let mut told = std::collections::BTreeMap::new();
    for (name, vector) in vectors::all() {
        if let Err(denied) = vector.decide() {
            let text = denied.denial.public();
            assert!(text.chars().all(|c| c.is_ascii_alphabetic() || " .".contains(c)), "{text}");
            told.insert(name, text);
        }
    }
    assert_eq!(told.len(), Denial::CODES.len());
    let texts: std::collections::BTreeSet<_> = told.values().collect();
    assert_eq!(texts.len(), 7, "{texts:?}");
    for same in [
        &[
            "unknown_tool_server",
            "unknown_tool",
            "tool_not_granted",
            "argument_missing",
            "argument_constraint_violated",
        ][..],
        &["issuer_untrusted", "capability_revoked", "capability_expired", "capability_audience_mismatch"],
        &["subject_suspended", "subject_banned"],
        &["nonce_store_full", "nonce_quota_exceeded", "store_unavailable", "clock_unavailable"],
    ] {
        assert!(same.iter().all(|code| told[*code] == told[same[0]]), "{same:?}");
    }
}

#[test]
fn one_holder_of_a_root_can_use_up_the_room_of_its_siblings_and_of_no_other() {
    // What docs/threat-model.md says is not defended: an issuer that minds issues a root to each.
    let nonces: Arc<dyn NonceStore> = Arc::new(Durable(DpopNonceStore::new(64, Default::default())));
    let kernel = World::with_stores(Stores { nonces: Some(nonces), ..Stores::default() }).kernel();
    let shared = delegated(vec![docs_grant()]);
    for number in 0..8 {
        let body = body(&shared, ARGUMENTS, &number.to_string());
        assert_eq!(code(&kernel, call_with(&shared, ARGUMENTS, body, &helper())), "");
    }
    assert_eq!(code(&kernel, honest("sibling")), "nonce_quota_exceeded");
    let other = issue(Terms { serial: world::serial(77), ..terms(vec![docs_grant()]) });
    assert_eq!(code(&kernel, call(&other, ARGUMENTS, "other")), "");
}

#[test]
fn no_setting_makes_a_kernel_read_a_longer_chain() {
    let large = "a".repeat(MAX_CHAIN_BYTES);
    let chain = issue(terms(vec![docs_grant(), Grant::new("other", large.get(..200).unwrap())]));
    let mut padded = world::chain_bytes(&chain);
    // White space, so that the chain itself is within the limit.
    padded.extend(vec![b' '; MAX_CHAIN_BYTES]);
    let settings = Settings { chain_bytes: 1 << 30, ..Settings::default() };
    let world = World::new();
    let builder = world.builder.settings(settings);
    let kernel = World { builder, ..world }.kernel();
    let call = SignedCall { capability: padded, ..call(&chain, ARGUMENTS, "n") };
    assert_eq!(code(&kernel, call), "capability_malformed");
}

/// What a comparison costs grows with the value: each of these looks at all of it.
#[test]
fn a_long_value_is_not_looked_at_for_ever() {
    let kernel = World::new().kernel();
    let root = issue(terms(vec![Grant::new(SERVER, TOOL)]));
    let check = json!({"constraint_type": "not_one_of", "excluded": [1]});
    let rule = json!({"constraint_type": "all", "constraints": vec![check; 1000]});
    let grant = Grant::new(SERVER, TOOL).argument("/a", &rule).unwrap();
    let leaf = Terms { subject: agent().public_key(), max_depth: 0, ..terms(vec![grant]) };
    let chain = root.attenuate(leaf, &agent()).unwrap();
    for (length, expected) in [(10, ""), (100_000, "argument_constraint_violated")] {
        let arguments = json!({"a": "x".repeat(length)}).to_string();
        assert_eq!(code(&kernel, call(&chain, &arguments, &length.to_string())), expected);
    }
}

#[test]
fn what_turns_a_line_around_is_not_told() {
    for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{9b}'] {
        assert_eq!(excerpt(&format!("a{c}b")), "a?b", "U+{:04X}", u32::from(c));
    }
}

#[test]
fn receipts_in_memory_are_bounded() {
    let store = MemoryReceipts::default();
    let key = world::kernel_key();
    let append = || {
        let key = key.clone();
        // An allow is not signed, and so is quickly made.
        let event = || {
            Event::Decision(Decision {
                verdict: Verdict::Allow,
                code: None,
                step: None,
                mode: String::new(),
                capability_id: None,
                subject: None,
                tool_server: String::new(),
                tool_name: String::new(),
                action_hash: None,
                proof_hash: None,
            })
        };
        pollster::block_on(store.append(Box::new(move |head| Receipt::append(head, NOW, event(), &key)))).unwrap();
    };
    (0..65_540).for_each(|_| append());
    let kept = store.all();
    assert_eq!((kept.len(), kept[0].body.sequence), (65_536, 5));
}

/// A signature covers the name of its schema: that of a token proves no call, and that of a proof issues no token.
#[test]
fn a_signature_of_one_kind_of_document_is_none_of_another() {
    let kernel = World::new().kernel();
    let chain = delegated(vec![docs_grant()]);
    let token = chain.leaf();
    // The agent signed this token, as it signs its calls.
    let proof = DpopProof { body: body(&capability(), ARGUMENTS, "n"), signature: token.signature.clone() };
    let call = SignedCall { proof: Some(proof.to_bytes().unwrap()), ..honest("n") };
    assert_eq!(code(&kernel, call), "proof_signature_invalid");
    let proof = DpopProof::sign(body(&capability(), ARGUMENTS, "m"), &agent()).unwrap();
    let forged = CapabilityToken { signature: proof.signature, ..token.clone() };
    let tokens = [capability().leaf().clone(), forged];
    let call = call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "m"), &helper());
    let capability = serde_json::to_vec(&tokens).unwrap();
    assert_eq!(code(&kernel, SignedCall { capability, ..call }), "capability_signature_invalid");
}

/// A token or a proof of another schema is refused, whatever else is right about it.
#[test]
fn a_document_of_another_schema_is_refused() {
    let kernel = World::new().kernel();
    let mut token = capability().leaf().clone();
    token.schema = "chio.capability_token.v2".into();
    token.id = token.contents_id().unwrap().to_string();
    token.signature = issuer().sign(&token.signed_bytes().unwrap()).unwrap();
    let chain = CapabilityChain::root(token);
    assert_eq!(code(&kernel, call(&chain, ARGUMENTS, "n")), "capability_malformed");
}

#[test]
fn what_is_built_is_what_was_locked_and_has_no_unsafe_code_of_ours() {
    let lock = documents::read("Cargo.lock");
    for package in lock.split("[[package]]").skip(1) {
        let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        let theirs = package.contains(registry) && package.contains("checksum = ");
        assert!(theirs || !package.contains("source = ") && package.contains("name = \"chio_"), "{package}");
    }
    // Fails where the manifests ask for something else than was locked.
    let locked = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--depth", "0"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));

    assert!(documents::read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for member in
        documents::read("Cargo.toml").split('"').filter(|word| word.starts_with("chio_") && !word.contains(' '))
    {
        if repository().join(member).join("Cargo.toml").is_file() {
            let manifest = documents::read(format!("{member}/Cargo.toml"));
            assert!(manifest.contains("[lints]\nworkspace = true"), "{member} has lints of its own");
        }
    }
}
