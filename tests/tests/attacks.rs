//! What must never work: a test for each row of the protocol's list of attacks.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::{Algorithm, Keypair, P256Backend, PublicKey, Signature, SigningBackend};
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_core::receipt::Receipt;
use chio_kernel::clock::ManualClock;
use chio_kernel::config::TrustRoot;
use chio_kernel::guard::{Guard, GuardAnswer, GuardView};
use chio_kernel::store::{
    BoxFuture, DpopNonceStore, KernelError, NonceAnswer, NonceClaim, NonceStore, ReceiptStore, RevocationStore, Seal,
};
use chio_kernel::tool_server::Tools;
use chio_kernel::{Denial, Kernel, Settings, SignedCall, Stores};
use chio_tests::world::{
    self, ARGUMENTS, NOW, SERVER, TOOL, World, agent, body, call, call_with, capability, code, delegated, docs_grant,
    helper, honest, issue, issuer, serial, terms, thief,
};
use serde_json::{Value, json};

/// A nonce store that outlives its kernel, as one on a disk would.
#[derive(Clone)]
struct Durable(Arc<DpopNonceStore>);

impl Durable {
    fn new(capacity: usize) -> Self {
        Self(Arc::new(DpopNonceStore::new(capacity, Duration::from_secs(330))))
    }
}

impl NonceStore for Durable {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        self.0.spend(claim)
    }

    fn survives_restart(&self) -> bool {
        true
    }
}

fn with_nonces(store: &Durable) -> World {
    World::with_stores(Stores { nonces: Some(Arc::new(store.clone())), ..Stores::default() })
}

fn dated(issued_at: u64, nonce: &str) -> SignedCall {
    let chain = capability();
    call_with(&chain, ARGUMENTS, DpopProofBody { issued_at, ..body(&chain, ARGUMENTS, nonce) }, &agent())
}

#[test]
fn a_proof_dated_ahead_is_a_replay_for_as_long_as_it_is_fresh() {
    let world = World::new();
    let clock = world.clock.clone();
    let kernel = world.kernel();
    let ahead = dated(NOW + 30, "ahead");
    assert_eq!(code(&kernel, ahead.clone()), "");
    for (now, answer) in [
        (NOW + 1, "nonce_replayed"),
        (NOW + 300, "nonce_replayed"),
        (NOW + 301, "nonce_replayed"),
        (NOW + 330, "nonce_replayed"),
        (NOW + 331, "proof_expired"),
    ] {
        clock.set(now);
        assert_eq!(code(&kernel, ahead.clone()), answer, "at {now}");
    }
}

#[test]
fn freshness_ends_to_the_second() {
    for (issued_at, answer) in
        [(NOW + 30, ""), (NOW + 31, "proof_from_future"), (NOW - 300, ""), (NOW - 301, "proof_expired")]
    {
        assert_eq!(code(&World::new().kernel(), dated(issued_at, "n")), answer, "{issued_at}");
    }
}

#[test]
fn a_flood_by_one_holder_makes_room_for_no_replay_and_locks_nobody_out() {
    let kernel = with_nonces(&Durable::new(64)).kernel();
    let first = honest("first");
    assert_eq!(code(&kernel, first.clone()), "");

    let root = issue(Terms { subject: thief().public_key(), serial: serial(7), ..terms(vec![docs_grant()]) });
    let mut answers = Vec::new();
    for number in 0..100_u64 {
        // Deriving a new token for every call opens no new account.
        let terms =
            Terms { subject: thief().public_key(), max_depth: 0, serial: serial(number), ..terms(vec![docs_grant()]) };
        let derived = root.attenuate(terms, &thief()).unwrap();
        let proof = body(&derived, ARGUMENTS, &number.to_string());
        answers.push(code(&kernel, call_with(&derived, ARGUMENTS, proof, &thief())));
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 8, "an eighth of 64");
    assert!(answers[8..].iter().all(|answer| *answer == "nonce_quota_exceeded"), "{answers:?}");
    assert_eq!(code(&kernel, first), "nonce_replayed");
    assert_eq!(code(&kernel, honest("second")), "");
}

#[test]
fn a_restart_forgets_no_nonce_of_a_durable_store() {
    let store = Durable::new(64);
    let used = honest("used");
    assert_eq!(code(&with_nonces(&store).kernel(), used.clone()), "");
    assert_eq!(code(&with_nonces(&store).kernel(), used), "nonce_replayed");
}

#[test]
fn a_kernel_that_forgets_refuses_what_could_have_been_used_before_it_started() {
    for issued_at in [NOW - 299, NOW, NOW + 30] {
        let used = dated(issued_at, "used");
        assert_eq!(code(&World::new().kernel(), used.clone()), "", "before the restart");
        // It restarts within the same second.
        let world = World::new();
        world.clock.set(NOW);
        let kernel = world.builder.build().unwrap();
        assert_eq!(code(&kernel, used.clone()), "proof_predates_kernel", "{issued_at}");
        // And later, for as long as the proof is fresh.
        world.clock.set(issued_at + 300);
        assert_eq!(code(&kernel, used), "proof_predates_kernel", "{issued_at}");
        // What it could not have seen before, it takes.
        world.clock.set(NOW + 31);
        assert_eq!(code(&kernel, dated(NOW + 31, "new")), "");
    }
}

#[test]
fn a_nonce_that_the_kernel_gave_out_is_taken_at_once_and_by_no_other_kernel() {
    let start = || {
        let world = World::new();
        world.clock.set(NOW);
        world.builder.build().unwrap()
    };
    let (kernel, restarted) = (start(), start());
    let given = dated(NOW, &kernel.new_nonce().unwrap());
    assert_eq!(code(&kernel, given.clone()), "");
    assert_eq!(code(&kernel, given.clone()), "nonce_replayed");
    assert_eq!(code(&restarted, given), "proof_predates_kernel");
}

#[test]
fn one_proof_at_two_kernels_with_one_store_from_64_threads_is_allowed_once() {
    let store = Durable::new(1 << 16);
    let kernels = [with_nonces(&store).kernel(), with_nonces(&store).kernel()];
    for round in 0..20 {
        let call = honest(&format!("round {round}"));
        let allowed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..64 {
                let (kernel, call, allowed) = (&kernels[thread % 2], call.clone(), &allowed);
                scope.spawn(move || {
                    let answer = code(kernel, call);
                    assert!(matches!(answer, "" | "nonce_replayed"), "{answer}");
                    allowed.fetch_add(usize::from(answer.is_empty()), Ordering::SeqCst);
                });
            }
        });
        assert_eq!(allowed.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_clock_set_back_makes_nothing_fresh_again() {
    let world = World::new();
    let clock = world.clock.clone();
    let kernel = world.kernel();
    let old = dated(NOW - 3600, "old");
    let used = honest("used");
    assert_eq!(code(&kernel, used.clone()), "");
    clock.set(NOW - 3600);
    assert_eq!(code(&kernel, old), "proof_expired");
    assert_eq!(code(&kernel, used.clone()), "nonce_replayed");
    clock.set(u64::MAX);
    assert_eq!(code(&kernel, honest("unreadable")), "clock_unavailable");
    // The store by itself, too: an expired nonce that was dropped stays expired.
    clock.set(NOW + 331);
    assert_eq!(code(&kernel, used.clone()), "proof_expired");
    clock.set(NOW);
    assert_eq!(code(&kernel, used), "proof_expired");
}

#[test]
fn a_token_cannot_be_given_other_grants_or_be_relayed() {
    let mut token = capability().leaf().clone();
    token.grants = vec![Grant::new(SERVER, TOOL)];
    // Re-issued by its own issuer, with the same id.
    token.signature = issuer().sign(&token.signed_bytes().unwrap()).unwrap();
    let kernel = World::new().kernel();
    assert_eq!(code(&kernel, call(&CapabilityChain::root(token), ARGUMENTS, "n")), "capability_id_mismatch");

    let relayed = |name: &str| {
        let chain = issue(Terms { audience: Some(name.to_owned()), ..terms(vec![docs_grant()]) });
        code(&kernel, call(&chain, ARGUMENTS, name))
    };
    assert_eq!(relayed("kernel-a"), "");
    assert_eq!(relayed("kernel-b"), "capability_audience_mismatch");
}

#[test]
fn a_chain_with_a_link_missing_swapped_or_signed_by_another_is_broken() {
    let kernel = World::new().kernel();
    let chain = delegated(vec![docs_grant()]);
    let grandchild = chain
        .attenuate(
            Terms { subject: thief().public_key(), max_depth: 0, serial: serial(3), ..terms(vec![docs_grant()]) },
            &helper(),
        )
        .unwrap();
    let tokens: Vec<Value> = serde_json::from_slice(&world::chain_bytes(&grandchild)).unwrap();
    let answer = |tokens: Value, signer: &Keypair, of: &CapabilityChain, nonce: &str| {
        let call = call_with(of, ARGUMENTS, body(of, ARGUMENTS, nonce), signer);
        code(&kernel, SignedCall { capability: tokens.to_string().into_bytes(), ..call })
    };
    assert_eq!(answer(json!(tokens), &thief(), &grandchild, "whole"), "");
    for (name, broken, expected) in [
        ("a link missing", json!([tokens[0], tokens[2]]), "delegation_broken"),
        ("the root missing", json!([tokens[1], tokens[2]]), "issuer_untrusted"),
        ("swapped", json!([tokens[0], tokens[2], tokens[1]]), "delegation_broken"),
        ("twice", json!([tokens[0], tokens[0]]), "delegation_broken"),
        ("no tokens", json!([]), "capability_malformed"),
        ("too many", json!(vec![tokens[0].clone(); 17]), "capability_malformed"),
    ] {
        assert_eq!(answer(broken, &thief(), &grandchild, name), expected, "{name}");
    }
    // A link that its parent's subject did not sign.
    let mut forged = chain.leaf().clone();
    forged.signature = thief().sign(&forged.signed_bytes().unwrap()).unwrap();
    let forged = json!([tokens[0], forged]);
    assert_eq!(answer(forged, &helper(), &chain, "forged"), "capability_signature_invalid");
    // A link that another key issued, correctly.
    let mut stranger = chain.leaf().clone();
    stranger.issuer = thief().public_key();
    stranger.id = stranger.contents_id().unwrap().to_string();
    stranger.signature = thief().sign(&stranger.signed_bytes().unwrap()).unwrap();
    let proof = DpopProofBody { capability_id: stranger.id.clone(), ..body(&chain, ARGUMENTS, "stranger") };
    let call = call_with(&chain, ARGUMENTS, proof, &helper());
    let capability = json!([tokens[0], stranger]).to_string().into_bytes();
    assert_eq!(code(&kernel, SignedCall { capability, ..call }), "delegation_broken");
    // A derived token that is presented as a root by a trusted issuer.
    assert!(chain.attenuate(terms(vec![docs_grant()]), &thief()).is_err(), "only the subject narrows");
}

#[test]
fn a_child_that_grants_more_gains_nothing() {
    let kernel = World::new().kernel();
    let wide = delegated(vec![Grant::new(SERVER, TOOL), Grant::new(SERVER, "search")]);
    let of_helper =
        |arguments: &str, nonce: &str| call_with(&wide, arguments, body(&wide, arguments, nonce), &helper());
    assert_eq!(code(&kernel, of_helper(ARGUMENTS, "inside")), "");
    assert_eq!(code(&kernel, of_helper(r#"{"path":"/etc/passwd"}"#, "outside")), "argument_constraint_violated");
    let mut search = body(&wide, ARGUMENTS, "search");
    search.tool_name = "search".into();
    let search = SignedCall { tool_name: "search".into(), ..call_with(&wide, ARGUMENTS, search, &helper()) };
    assert_eq!(code(&kernel, search), "tool_not_granted");
    // A longer life than the parent's.
    let world = World::new();
    let clock = world.clock.clone();
    let kernel = world.kernel();
    let long = Terms {
        subject: helper().public_key(),
        max_depth: 0,
        expires_at: NOW + 9_999_999,
        serial: serial(5),
        ..terms(vec![docs_grant()])
    };
    let long = capability().attenuate(long, &agent()).unwrap();
    clock.set(NOW + 3000);
    let late = DpopProofBody { issued_at: NOW + 3000, ..body(&long, ARGUMENTS, "late") };
    assert_eq!(code(&kernel, call_with(&long, ARGUMENTS, late, &helper())), "capability_expired");
}

#[test]
fn weak_keys_and_damaged_signatures_are_refused() {
    let kernel = World::new().kernel();
    // The identity, a point of order 2, one of order 4, one of order 8, and a y that is not reduced.
    for weak in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let subject: PublicKey = weak.parse().unwrap();
        assert!(subject.prepare().is_err(), "{weak}");
        let chain = issue(Terms { subject, ..terms(vec![docs_grant()]) });
        // The forgery that a key of small order accepts in a lax verifier: R the identity, s = 0.
        let forged = Signature::from_bytes(Algorithm::Ed25519, [vec![1], vec![0; 63]].concat()).unwrap();
        let proof = DpopProof { body: body(&chain, ARGUMENTS, "n"), signature: forged };
        let call = SignedCall {
            proof: Some(proof.to_bytes().unwrap()),
            capability: world::chain_bytes(&chain),
            ..honest("n")
        };
        assert_eq!(code(&kernel, call), "capability_malformed", "{weak}");
    }

    let good = DpopProof::parse(&honest("n").proof.unwrap()).unwrap();
    let text = good.signature.to_string();
    let p256 = P256Backend::from_scalar(&[9; 32]).unwrap();
    let der = p256.sign(&good.body.canonical().unwrap()).unwrap().to_string();
    for (name, signature, expected) in [
        ("trailing bytes", format!("{text}00"), "proof_malformed"),
        ("cut", text[..126].to_owned(), "proof_malformed"),
        ("upper case", text.to_uppercase(), "proof_malformed"),
        ("0x", format!("0x{}", &text[2..]), "proof_malformed"),
        ("zero", "0".repeat(128), "proof_signature_invalid"),
        ("of another algorithm", der, "proof_signature_invalid"),
        ("an ECDSA one with r = s = 0", "p256:3006020100020100".into(), "proof_signature_invalid"),
    ] {
        let mut value: Value = serde_json::from_slice(&good.to_bytes().unwrap()).unwrap();
        value["signature"] = json!(signature);
        let call = SignedCall { proof: Some(value.to_string().into_bytes()), ..honest("n") };
        assert_eq!(code(&kernel, call), expected, "{name}");
    }
    // Every single bit of an Ed25519 signature counts.
    for bit in 0..512 {
        let mut bytes = good.signature.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let signature = Signature::from_bytes(Algorithm::Ed25519, bytes).unwrap();
        let proof = DpopProof { signature, body: good.body.clone() }.to_bytes().unwrap();
        assert_eq!(
            code(&kernel, SignedCall { proof: Some(proof), ..honest("n") }),
            "proof_signature_invalid",
            "bit {bit}"
        );
    }
}

#[test]
fn the_other_signature_of_an_ecdsa_proof_is_a_replay() {
    let agent = P256Backend::from_scalar(&[9; 32]).unwrap();
    let chain = issue(Terms { subject: agent.public_key(), ..terms(vec![docs_grant()]) });
    let proof = DpopProof::sign_with_backend(body(&chain, ARGUMENTS, "n"), &agent).unwrap();
    let raw = p256::ecdsa::Signature::from_der(proof.signature.as_bytes()).unwrap();
    assert_eq!(raw, raw.normalize_s(), "ours are low");
    let (r, s) = raw.split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    let high = Signature::from_bytes(Algorithm::P256, high.to_der().as_bytes().to_vec()).unwrap();
    assert_ne!(high, proof.signature);
    let call = |signature: Signature| {
        let proof = DpopProof { signature, body: proof.body.clone() };
        SignedCall { capability: world::chain_bytes(&chain), proof: Some(proof.to_bytes().unwrap()), ..honest("n") }
    };
    let kernel = World::new().kernel();
    assert_eq!(code(&kernel, call(proof.signature.clone())), "");
    assert_eq!(code(&kernel, call(high.clone())), "nonce_replayed");
    assert_eq!(code(&World::new().kernel(), call(high)), "", "by itself it is a good signature");
}

#[test]
fn what_two_parsers_could_read_differently_is_refused_in_constant_stack() {
    let deep = "[".repeat(10_000);
    let object = |value: &str| format!("{{\"path\":{value}}}");
    let work = move || {
        let kernel = World::new().kernel();
        for (name, arguments, expected) in [
            ("a duplicate", r#"{"path":"/srv/docs/a","path":"/etc/passwd"}"#.to_owned(), "malformed_call"),
            (
                "an escaped duplicate",
                r#"{"path":"/srv/docs/a","p\u0061th":"/etc/passwd"}"#.to_owned(),
                "malformed_call",
            ),
            ("a batch", r#"[{"path":"/srv/docs/a"},{"path":"/etc/passwd"}]"#.to_owned(), "malformed_call"),
            ("10,000 nested arrays", deep.clone(), "call_too_large"),
            ("10,000 nested arrays, closed", object(&format!("{deep}{}", "]".repeat(10_000))), "call_too_large"),
            ("too large a number", object("1e400"), "malformed_call"),
            ("an integer that rounds", object("9007199254740993"), "malformed_call"),
            ("a lone surrogate", object(r#""\ud800""#), "malformed_call"),
            ("a surrogate pair the wrong way round", object(r#""\udc00\ud800""#), "malformed_call"),
            ("a byte order mark", format!("\u{feff}{ARGUMENTS}"), "malformed_call"),
            ("a NUL after it", format!("{ARGUMENTS}\0"), "malformed_call"),
            ("two values", format!("{ARGUMENTS}{ARGUMENTS}"), "malformed_call"),
            ("a comment", format!("{ARGUMENTS}//"), "malformed_call"),
            ("a trailing comma", r#"{"path":"/srv/docs/a",}"#.to_owned(), "malformed_call"),
            ("a raw newline", "{\"path\":\"/srv/docs/a\n\"}".to_owned(), "malformed_call"),
            ("NaN", object("NaN"), "malformed_call"),
            ("nothing", String::new(), "malformed_call"),
        ] {
            let call = SignedCall { arguments: arguments.into_bytes(), ..honest("n") };
            assert_eq!(code(&kernel, call), expected, "{name}");
        }
        let call = SignedCall { arguments: b"{\"path\":\"\xff\"}".to_vec(), ..honest("n") };
        assert_eq!(code(&kernel, call), "malformed_call", "invalid UTF-8");
        for (part, text) in [("capability", deep.clone()), ("proof", deep[..4000].to_owned())] {
            let mut call = honest("n");
            let expected = if part == "proof" { "proof_malformed" } else { "capability_malformed" };
            if part == "proof" {
                call.proof = Some(text.into_bytes());
            } else {
                call.capability = text.into_bytes();
            }
            assert_eq!(code(&kernel, call), expected);
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_member_of_another_case_is_another_member() {
    let kernel = World::new().kernel();
    let arguments = r#"{"Path":"/etc/passwd","path":"/srv/docs/a.md"}"#;
    assert_eq!(code(&kernel, call(&capability(), arguments, "n")), "argument_not_granted");
    assert_eq!(code(&kernel, call(&capability(), r#"{"Path":"/srv/docs/a.md"}"#, "m")), "argument_not_granted");
}

#[test]
fn no_spelling_of_a_path_leads_out() {
    let kernel = World::new().kernel();
    for (number, path) in [
        "/srv/docs/../../etc",
        "/srv/docs2",
        "//etc",
        "/srv/docs/a\u{0}",
        "/srv/docs/..",
        "/srv/docs/./../x",
        "/srv//docs/a",
        "srv/docs/a",
        "",
        "/",
        "/srv",
        "/srv/docs\\..\\..\\etc",
        "\\srv\\docs",
        "/srv/docs/a/../../../etc/passwd",
        " /srv/docs/a",
        "~/docs",
        "file:///srv/docs/a",
        "/SRV/docs/a",
        "/srv/docs\u{2215}..\u{2215}etc/../..",
        "/srv/docs/%2e%2e/%2e%2e/etc",
        "/srv/docs/\u{ff0e}\u{ff0e}/etc",
    ]
    .into_iter()
    .enumerate()
    {
        let arguments = json!({"path": path}).to_string();
        assert_eq!(
            code(&kernel, call(&capability(), &arguments, &number.to_string())),
            "argument_constraint_violated",
            "{path:?}"
        );
    }
}

#[test]
fn no_spelling_of_a_url_leads_elsewhere() {
    let rules = [json!({"constraint_type": "url", "hosts": ["good"]}), json!({"constraint_type": "url_safe"})];
    let kernel = World::new().kernel();
    for (number, rule) in rules.iter().enumerate() {
        let chain = issue(terms(vec![Grant::new(SERVER, TOOL).argument("/url", rule).unwrap()]));
        for url in
            ["http://evil\\@good", "http://0x7f.1/", "http://[::ffff:169.254.169.254]/", "http://good@169.254.169.254/"]
        {
            let arguments = json!({"url": url}).to_string();
            let answer = code(&kernel, call(&chain, &arguments, &format!("{number}{url}")));
            assert_eq!(answer, "argument_constraint_violated", "{rule}: {url}");
        }
    }
}

#[test]
fn no_more_than_64_bytes_of_what_a_stranger_wrote_are_kept() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = world.kernel();
    let marker = "MARKER".repeat(200_000);
    let chain = capability();
    let with = |change: &dyn Fn(&mut DpopProofBody)| {
        let mut body = body(&chain, ARGUMENTS, "n");
        change(&mut body);
        call_with(&chain, ARGUMENTS, body, &agent())
    };
    let calls = [
        (with(&|body| body.nonce.clear()), "nonce_malformed"),
        (with(&|body| body.nonce = marker[..257].to_owned()), "nonce_malformed"),
        (with(&|body| body.nonce.clone_from(&marker)), "proof_malformed"),
        (with(&|body| body.schema = marker[..4000].to_owned()), "proof_schema_unsupported"),
        (with(&|body| body.schema.clone_from(&marker)), "proof_malformed"),
        (SignedCall { tool_name: marker.clone(), ..honest("n") }, "call_too_large"),
        (SignedCall { tool_server: marker[..256].to_owned(), ..honest("n") }, "proof_binding_mismatch"),
        (
            SignedCall { capability: json!([{"schema": marker}]).to_string().into_bytes(), ..honest("n") },
            "capability_malformed",
        ),
    ];
    for (call, expected) in calls {
        let denied = world::run(&kernel, call).unwrap_err();
        assert_eq!(denied.denial.code(), expected);
        let told = format!("{denied} {:?} {}", denied.denial, denied.denial.public());
        assert!(told.matches("MARKER").count() <= 44, "{}", told.len());
    }
    for receipt in receipts.all() {
        let line = String::from_utf8(receipt.to_line().unwrap()).unwrap();
        assert!(line.matches("MARKER").count() <= 11, "{line}");
    }
    // The synchronous door is given a body that no parser has cut.
    let mut long = body(&chain, ARGUMENTS, &marker);
    long.schema = marker.clone();
    let proof = DpopProof::sign(long, &agent()).unwrap();
    let store = DpopNonceStore::new(8, Duration::from_secs(300));
    let (hash, config) = (proof.body.action_hash.clone(), chio_kernel::dpop::DpopConfig::default());
    let denial = chio_kernel::dpop::verify_dpop_proof(&proof, chain.leaf(), SERVER, TOOL, &hash, &store, &config);
    assert!(format!("{:?}", denial.unwrap_err()).len() < 128);
    assert!(store.is_empty());
}

#[test]
fn two_calls_racing_for_the_last_one_get_it_once() {
    for round in 0..50 {
        let kernel = World::new().kernel();
        let chain = issue(Terms { serial: serial(round), ..terms(vec![docs_grant().max_invocations(1)]) });
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = ["a", "b"]
                .map(|nonce| {
                    let (kernel, call) = (&kernel, call(&chain, ARGUMENTS, nonce));
                    scope.spawn(move || code(kernel, call))
                })
                .into_iter()
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 1, "{answers:?}");
        assert!(answers.contains(&"budget_exhausted"), "{answers:?}");
    }
}

#[test]
fn children_share_what_their_parent_has() {
    let kernel = World::new().kernel();
    let root = issue(terms(vec![docs_grant().max_invocations(3)]));
    let child = |number: u64| {
        let terms =
            Terms { subject: helper().public_key(), max_depth: 0, serial: serial(number), ..terms(vec![docs_grant()]) };
        root.attenuate(terms, &agent()).unwrap()
    };
    let answers: Vec<_> = (10..15)
        .map(|number| {
            let chain = child(number);
            code(&kernel, call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "n"), &helper()))
        })
        .collect();
    assert_eq!(answers, ["", "", "", "budget_exhausted", "budget_exhausted"]);
}

/// What goes wrong in the kernel's owner's own parts.
enum Broken {
    GuardPanics,
    GuardPanicsLater,
    GuardErrs,
    GuardHangs,
    NoncesHang,
    NoncesPanic,
    RevocationsErr,
    DiskFull,
}

struct BrokenGuard(Broken);

impl Guard for BrokenGuard {
    fn name(&self) -> &str {
        "broken"
    }

    fn check<'a>(&'a self, _: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>> {
        match self.0 {
            Broken::GuardPanics => panic!("on purpose"),
            Broken::GuardPanicsLater => Box::pin(async { panic!("on purpose") }),
            Broken::GuardErrs => Box::pin(ready(Err(KernelError::new("on purpose")))),
            _ => Box::pin(pending()),
        }
    }
}

struct BrokenStore(Broken);

impl NonceStore for BrokenStore {
    fn spend(&self, _: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        match self.0 {
            Broken::NoncesPanic => panic!("on purpose"),
            _ => Box::pin(pending()),
        }
    }

    fn survives_restart(&self) -> bool {
        true
    }
}

impl RevocationStore for BrokenStore {
    fn first_revoked<'a>(
        &'a self,
        _: &'a [chio_core::digest::Digest],
    ) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        Box::pin(ready(Err(KernelError::new("on purpose"))))
    }

    fn revoke(&self, _: chio_core::digest::Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        Box::pin(ready(Err(KernelError::new("on purpose"))))
    }
}

impl ReceiptStore for BrokenStore {
    fn append(&self, _: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        Box::pin(ready(Err(KernelError::new("no space left on device"))))
    }
}

#[test]
fn what_breaks_denies_and_nothing_is_dispatched() {
    std::panic::set_hook(Box::new(|_| ()));
    for (broken, expected) in [
        (Broken::GuardPanics, "guard_denied"),
        (Broken::GuardPanicsLater, "guard_denied"),
        (Broken::GuardErrs, "guard_denied"),
        (Broken::GuardHangs, "guard_denied"),
        (Broken::NoncesHang, "store_unavailable"),
        (Broken::NoncesPanic, "store_unavailable"),
        (Broken::RevocationsErr, "store_unavailable"),
        (Broken::DiskFull, "store_unavailable"),
    ] {
        let dispatched = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&dispatched);
        let tools = Tools::new().tool(TOOL, move |arguments: Value| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(arguments)
        });
        let world = World::new();
        let builder = Kernel::builder()
            .trust_root(issuer().public_key())
            .clock(world.clock.clone())
            .timer(chio_kernel::clock::NoPatience)
            .tool_server(SERVER, tools);
        let builder = match broken {
            Broken::NoncesHang | Broken::NoncesPanic => {
                builder.stores(Stores { nonces: Some(Arc::new(BrokenStore(broken))), ..Stores::default() })
            }
            Broken::RevocationsErr => {
                builder.stores(Stores { revocations: Arc::new(BrokenStore(broken)), ..Stores::default() })
            }
            Broken::DiskFull => builder.stores(Stores { receipts: Arc::new(BrokenStore(broken)), ..Stores::default() }),
            guard => builder.guard(BrokenGuard(guard)),
        };
        let kernel = builder.build().unwrap();
        world.clock.set(NOW);
        assert_eq!(code(&kernel, honest("n")), expected);
        assert_eq!(dispatched.load(Ordering::SeqCst), 0, "{expected}");
    }
}

#[test]
fn a_revoked_token_or_key_takes_everything_derived_with_it() {
    let chain = delegated(vec![docs_grant()]);
    let usual = |nonce: &str| call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, nonce), &helper());
    let tokens: Vec<CapabilityToken> = chain.tokens().cloned().collect();
    for (index, token) in tokens.iter().enumerate() {
        let kernel = World::new().kernel();
        assert_eq!(code(&kernel, usual("before")), "");
        pollster::block_on(kernel.revoke_capability(token.id.parse().unwrap())).unwrap();
        let denial = world::run(&kernel, usual("after")).unwrap_err().denial;
        assert_eq!(denial, Denial::CapabilityRevoked { token: index });
    }
    for (key, token) in [(issuer(), 0), (agent(), 1), (helper(), 1)] {
        let kernel = World::new().kernel();
        assert_eq!(code(&kernel, usual("before")), "");
        pollster::block_on(kernel.revoke_key(&key.public_key())).unwrap();
        let denial = world::run(&kernel, usual("after")).unwrap_err().denial;
        assert_eq!(denial, Denial::CapabilityRevoked { token });
    }
}

/// The kernel looks for a chain that it has verified by how its text ends.
#[test]
fn a_chain_that_ends_like_one_that_was_verified_is_not_that_one() {
    let kernel = World::new().kernel();
    let good = honest("first");
    assert_eq!(code(&kernel, good.clone()), "");
    let text = String::from_utf8(good.capability.clone()).unwrap();
    for (from, to) in [("read_file", "kill_file"), ("/srv/docs", "/etc/docs"), ("path_containment", "path_containmenu")]
    {
        let changed = text.replacen(from, to, 1);
        assert_eq!((changed.len(), &changed[text.len() - 256..]), (text.len(), &text[text.len() - 256..]));
        let call = SignedCall { capability: changed.into_bytes(), ..honest(from) };
        assert_ne!(code(&kernel, call), "", "{to}");
    }
    assert_eq!(code(&kernel, honest("last")), "");
}

#[test]
fn limits_end_to_the_byte_and_to_the_second() {
    let call = honest("n");
    let size = call.capability.len();
    for (chain_bytes, answer) in [(size, ""), (size - 1, "capability_malformed")] {
        let mut world = World::new();
        world.builder = world.builder.settings(Settings { chain_bytes, ..Settings::default() });
        assert_eq!(code(&world.kernel(), call.clone()), answer, "{chain_bytes} bytes");
    }
    let terms = terms(vec![docs_grant()]);
    let seconds = terms.expires_at - terms.issued_at;
    for (max_lifetime_secs, answer) in [(seconds, ""), (seconds - 1, "root_ceiling_exceeded")] {
        let root = TrustRoot { max_lifetime_secs: Some(max_lifetime_secs), ..issuer().public_key().into() };
        let clock = ManualClock::at(NOW - 100_000);
        let builder = Kernel::builder().trust_root(root).tool_server(SERVER, world::echo()).clock(clock.clone());
        let kernel = builder.build().unwrap();
        clock.set(NOW);
        assert_eq!(code(&kernel, call.clone()), answer, "{max_lifetime_secs} seconds");
    }
    for (nonce_bytes, answer) in [(0, "nonce_malformed"), (1, ""), (256, ""), (257, "nonce_malformed")] {
        assert_eq!(code(&World::new().kernel(), honest(&"n".repeat(nonce_bytes))), answer, "{nonce_bytes} bytes");
    }
    for (tool_name, answer) in [
        ("t".repeat(256), "proof_binding_mismatch"),
        ("t".repeat(257), "call_too_large"),
        (String::new(), "malformed_call"),
        ("read\nfile".to_owned(), "malformed_call"),
    ] {
        assert_eq!(code(&World::new().kernel(), SignedCall { tool_name, ..honest("n") }), answer);
    }
}
