//! The kernel as a stranger embeds it: modes, guards, schemes, refunds, responses to attacks, the synchronous door.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chio_core::capability::{Grant, Terms};
use chio_core::crypto::Keypair;
use chio_core::digest::Digest;
use chio_core::dpop::DpopProof;
use chio_core::receipt::{Event, OutcomeStatus};
use chio_kernel::config::{Mode, Patience, Response, ThreatResponse, TrustRoot};
use chio_kernel::dpop::{DpopConfig, DpopNonceStore, verify_dpop_proof};
use chio_kernel::guard::{Guard, GuardAnswer, GuardView};
use chio_kernel::scheme::{Claims, ProofScheme};
use chio_kernel::store::{Allowance, BoxFuture, Spending, UsageStore};
use chio_kernel::tool_server::{ToolFailure, ToolRequest, ToolServer, Tools};
use chio_kernel::{BuildError, Denial, Kernel, KernelError, Settings, SignedCall, Stores, ToolCall};
use chio_tests::world::{
    self, ARGUMENTS, NOW, SERVER, TOOL, World, agent, body, call, call_with, capability, code, docs_grant, honest,
    issue, issuer, terms, thief,
};
use serde_json::{Value, json};

type Seen = Arc<Mutex<Vec<(Vec<u8>, String)>>>;

struct Keeper(Seen);

impl ToolServer for Keeper {
    fn has_tool(&self, _: &str) -> bool {
        true
    }
    fn call<'a>(&'a self, request: ToolRequest<'a>) -> BoxFuture<'a, Result<chio_core::canonical::Json, ToolFailure>> {
        self.0.lock().unwrap().push((request.arguments.canonical().to_vec(), request.principal.to_owned()));
        Box::pin(ready(Ok(chio_core::canonical::Json::Null)))
    }
}

#[test]
fn a_call_reaches_its_tool_in_canonical_bytes() {
    let world = World::new();
    let seen = Seen::default();
    let keeper = Arc::clone(&seen);
    let builder = Kernel::builder().trust_root(issuer().public_key()).clock(world.clock.clone());
    let kernel = builder.tool_server(SERVER, Keeper(keeper)).build().unwrap();
    world.clock.set(NOW);
    let spaced = " { \"path\" : \"\\u002fsrv/docs/a.md\" } ";
    assert_eq!(code(&kernel, call(&capability(), spaced, "n")), "");
    assert_eq!(*seen.lock().unwrap(), [(ARGUMENTS.as_bytes().to_vec(), agent().public_key().to_string())]);
}

struct ByRole;

impl Guard for ByRole {
    fn name(&self) -> &str {
        "no b.md"
    }

    fn check<'a>(&'a self, view: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>> {
        let refused = view.call.arguments().canonical().windows(4).any(|window| window == b"b.md");
        let answer = if refused { GuardAnswer::Deny { reason: "not b".into() } } else { GuardAnswer::Allow };
        Box::pin(ready(Ok(answer)))
    }
}

#[test]
fn a_call_that_never_reached_its_tool_is_given_back() {
    struct Away;
    impl ToolServer for Away {
        fn has_tool(&self, _: &str) -> bool {
            true
        }
        fn call<'a>(&'a self, _: ToolRequest<'a>) -> BoxFuture<'a, Result<chio_core::canonical::Json, ToolFailure>> {
            Box::pin(ready(Err(ToolFailure::NotReached("away".into()))))
        }
    }
    let chain = issue(terms(vec![docs_grant().max_invocations(1)]));
    let world = World::new();
    let builder = Kernel::builder().trust_root(issuer().public_key()).clock(world.clock.clone());
    let kernel = builder.tool_server(SERVER, Away).build().unwrap();
    world.clock.set(NOW);
    for nonce in ["a", "b", "c"] {
        let completed = world::run(&kernel, call(&chain, ARGUMENTS, nonce)).unwrap();
        assert!(matches!(completed.result, Err(ToolFailure::NotReached(_))));
    }
    // Nor does a guard's no cost anything.
    let world = World::new();
    let kernel = World { builder: world.builder.guard(ByRole), ..world }.kernel();
    assert_eq!(code(&kernel, call(&chain, r#"{"path":"/srv/docs/b.md"}"#, "a")), "guard_denied");
    assert_eq!(code(&kernel, call(&chain, ARGUMENTS, "b")), "");
    assert_eq!(code(&kernel, call(&chain, ARGUMENTS, "c")), "budget_exhausted");
}

#[test]
fn a_grant_without_a_limit_is_taken_before_one_with() {
    let both = issue(terms(vec![docs_grant().max_invocations(1), docs_grant()]));
    let kernel = World::new().kernel();
    for nonce in ["a", "b", "c"] {
        assert_eq!(code(&kernel, call(&both, ARGUMENTS, nonce)), "");
    }
    let two = issue(terms(vec![docs_grant().max_invocations(1), docs_grant().max_invocations(2)]));
    let answers: Vec<_> = ["d", "e", "f", "g"].map(|nonce| code(&kernel, call(&two, ARGUMENTS, nonce))).into();
    assert_eq!(answers, ["", "", "", "budget_exhausted"]);
}

/// Forgets each count as soon as it is told that it may.
#[derive(Default)]
struct Forgetful(Mutex<Vec<Allowance>>);

impl UsageStore for Forgetful {
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> BoxFuture<'a, Result<Spending, KernelError>> {
        let mut spent = self.0.lock().unwrap();
        spent.retain(|spent| spent.until > now);
        let calls = |grant| u64::try_from(spent.iter().filter(|spent| spent.grant == grant).count()).unwrap();
        let left = places.iter().position(|place| place.iter().all(|one| calls(one.grant) >= one.limit));
        let answer = match left {
            Some(place) => Spending::Exhausted { place },
            None => Spending::Spent(places.iter().map(|place| place[0].grant).collect()),
        };
        if left.is_none() {
            spent.extend(places.iter().map(|place| place[0]));
        }
        Box::pin(ready(Ok(answer)))
    }

    fn refund<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>> {
        Box::pin(ready(Ok(())))
    }
}

#[test]
fn a_count_outlives_a_child_that_expires_early() {
    let usage: Arc<dyn UsageStore> = Arc::new(Forgetful::default());
    let world = World::with_stores(Stores { usage, ..Stores::default() });
    let clock = world.clock.clone();
    let kernel = world.kernel();
    let root = issue(terms(vec![docs_grant().max_invocations(1)]));
    let brief = Terms { subject: agent().public_key(), max_depth: 0, expires_at: NOW + 1, ..terms(vec![docs_grant()]) };
    let brief = root.attenuate(brief, &agent()).unwrap();
    assert_eq!(code(&kernel, call(&brief, ARGUMENTS, "a")), "");
    clock.set(NOW + 10);
    assert_eq!(code(&kernel, call(&root, ARGUMENTS, "b")), "budget_exhausted");
}

#[test]
fn report_mode_verifies_records_and_allows() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = World { builder: world.builder.mode(SERVER, Mode::Report), ..world }.kernel();
    let stolen = call_with(&capability(), ARGUMENTS, body(&capability(), ARGUMENTS, "n"), &thief());
    let authorized = pollster::block_on(kernel.authorize(stolen)).unwrap();
    assert_eq!(authorized.unenforced(), Some(&Denial::ProofSignatureInvalid));
    assert_eq!(authorized.principal(), "", "a name that is not proven is not passed on");
    let Event::Decision(decision) = &receipts.all()[0].body.event else { panic!("a decision") };
    assert_eq!((decision.mode.as_str(), decision.code.as_deref()), ("report", Some("proof_signature_invalid")));
    // There has to be a tool all the same.
    let call = SignedCall { tool_name: "no_such_tool".into(), ..honest("m") };
    assert_eq!(code(&kernel, call), "unknown_tool");
}

#[test]
fn off_mode_verifies_nothing_and_says_so() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = World { builder: world.builder.mode(SERVER, Mode::Off), ..world }.kernel();
    let bare = SignedCall { capability: Vec::new(), proof: None, ..honest("n") };
    assert_eq!(code(&kernel, bare), "");
    let Event::Decision(decision) = &receipts.all()[0].body.event else { panic!("a decision") };
    assert_eq!((decision.mode.as_str(), &decision.code), ("off", &None));
}

#[test]
fn a_subjects_mode_counts_for_its_proven_calls_alone() {
    for mode in [Mode::Report, Mode::Off] {
        let world = World::new();
        let builder = world.builder.subject_mode(agent().public_key(), mode);
        let kernel = World { builder, ..world }.kernel();
        let ungranted = r#"{"path":"/etc/passwd"}"#;
        assert_eq!(code(&kernel, call(&capability(), ungranted, "n")), "", "{mode:?}");
        // A thief who names the agent is still a thief.
        let stolen = call_with(&capability(), ARGUMENTS, body(&capability(), ARGUMENTS, "m"), &thief());
        assert_eq!(code(&kernel, stolen), "proof_signature_invalid");
        assert_eq!(code(&kernel, call(&capability(), ungranted, "n")), "nonce_replayed");
    }
    // And it can be stricter than the tool server's.
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let builder = world.builder.mode(SERVER, Mode::Report).subject_mode(agent().public_key(), Mode::Enforce);
    let kernel = World { builder, ..world }.kernel();
    assert_eq!(code(&kernel, call(&capability(), "{}", "n")), "argument_missing");
    let Event::Decision(decision) = &receipts.all()[0].body.event else { panic!("a decision") };
    assert_eq!(decision.mode, "enforce");
}

#[test]
fn attacks_lead_to_what_is_configured_and_by_default_to_nothing() {
    let stolen = |nonce: &str| call_with(&capability(), ARGUMENTS, body(&capability(), ARGUMENTS, nonce), &thief());
    let kernel = World::new().kernel();
    assert_eq!(code(&kernel, honest("n")), "");
    for number in 0..20 {
        assert_eq!(code(&kernel, honest("n")), "nonce_replayed");
        assert_eq!(code(&kernel, stolen(&number.to_string())), "proof_signature_invalid");
    }
    assert_eq!(code(&kernel, honest("m")), "", "whoever has captured a call cannot get its victim banned");

    let with = |threat: ThreatResponse| {
        let world = World::new();
        let builder = world.builder.settings(Settings { threat, ..Settings::default() });
        (world.clock.clone(), World { builder, ..world }.kernel())
    };
    let replay = Response::Suspend { seconds: 60 };
    let (clock, kernel) = with(ThreatResponse { replay, ..ThreatResponse::default() });
    assert_eq!(code(&kernel, honest("n")), "");
    assert_eq!(code(&kernel, honest("n")), "nonce_replayed");
    assert_eq!(code(&kernel, honest("m")), "subject_suspended");
    clock.set(NOW + 60);
    assert_eq!(code(&kernel, honest("m")), "");

    let threat = ThreatResponse { signature_failures: 3, signature: Response::Ban, ..ThreatResponse::default() };
    let (_, kernel) = with(threat);
    for number in 0..3 {
        assert_eq!(code(&kernel, stolen(&number.to_string())), "proof_signature_invalid");
    }
    assert_eq!(code(&kernel, honest("m")), "subject_banned");
}

#[test]
fn a_ceiling_holds_whatever_its_issuer_signs() {
    let world = World::new();
    let ceiling = Some(vec![docs_grant()]);
    let builder = Kernel::builder()
        .trust_root(TrustRoot { ceiling, ..TrustRoot::from(issuer().public_key()) })
        .clock(world.clock.clone())
        .tool_server(SERVER, world::echo());
    let kernel = builder.build().unwrap();
    world.clock.set(NOW);
    let everything = issue(terms(vec![Grant::new(SERVER, TOOL)]));
    assert_eq!(code(&kernel, call(&everything, ARGUMENTS, "n")), "");
    let denial = world::run(&kernel, call(&everything, r#"{"path":"/etc"}"#, "m")).unwrap_err().denial;
    assert_eq!((denial.code(), denial.step().name()), ("root_ceiling_exceeded", "grants"));
}

#[test]
fn a_kernel_that_cannot_be_built_says_why() {
    let key = issuer().public_key();
    assert_eq!(
        Kernel::builder().trust_root(key.clone()).trust_root(key.clone()).build().unwrap_err(),
        BuildError::TwoRoots(key)
    );
    let twice = Kernel::builder().tool_server("a", Tools::new()).tool_server("a", Tools::new());
    assert_eq!(twice.build().unwrap_err(), BuildError::TwoServers("a".into()));
    let clock = chio_kernel::clock::ManualClock::at(u64::MAX);
    assert_eq!(Kernel::builder().clock(clock).build().unwrap_err(), BuildError::Clock);
}

#[test]
fn a_tool_server_that_panics_hangs_or_refuses_has_its_outcome() {
    let tools = Tools::new()
        .tool(TOOL, |_: Value| -> Result<Value, String> { panic!("on purpose") })
        .async_tool("hangs", |_: Value| pending::<Result<Value, String>>())
        .tool("refuses", |_: Value| -> Result<Value, String> { Err("no such file".into()) })
        .tool("not_a_number", |_: Value| Ok(f64::NAN))
        .tool("typed", |number: u8| Ok(number));
    std::panic::set_hook(Box::new(|_| ()));
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let patience = Patience { tool_server: Some(Duration::from_secs(1)), ..Patience::default() };
    let builder = Kernel::builder()
        .trust_root(issuer().public_key())
        .clock(world.clock.clone())
        .timer(chio_kernel::clock::NoPatience)
        .settings(Settings { patience, ..Settings::default() })
        .stores(Stores { receipts: Arc::<chio_kernel::store::MemoryReceipts>::clone(&receipts), ..Stores::default() })
        .tool_server(SERVER, tools);
    let kernel = builder.build().unwrap();
    world.clock.set(NOW);
    for (tool, status) in [
        (TOOL, OutcomeStatus::Failed),
        ("hangs", OutcomeStatus::TimedOut),
        ("refuses", OutcomeStatus::ToolError),
        ("not_a_number", OutcomeStatus::Failed),
        ("typed", OutcomeStatus::ToolError),
    ] {
        let chain = issue(terms(vec![Grant::new(SERVER, tool)]));
        let mut body = body(&chain, ARGUMENTS, "n");
        body.tool_name = tool.into();
        let call = SignedCall { tool_name: tool.into(), ..call_with(&chain, ARGUMENTS, body, &agent()) };
        world::run(&kernel, call).unwrap().result.unwrap_err();
        let last = receipts.all().pop().unwrap();
        let Event::Outcome(outcome) = last.body.event else { panic!("an outcome") };
        assert_eq!(outcome.status, status, "{tool}");
    }
}

/// A toy scheme: the credential is the principal, and whoever names it has it.
struct ByName;

impl ProofScheme for ByName {
    type Credential = (String, String);

    fn name(&self) -> &'static str {
        "by-name"
    }

    fn verify<'a>(
        &'a self,
        (principal, nonce): &'a (String, String),
        _: &'a ToolCall,
        now: u64,
    ) -> BoxFuture<'a, Result<Claims, Denial>> {
        Box::pin(ready(Ok(Claims {
            principal: principal.clone(),
            credential: Digest::of(principal.as_bytes()),
            grants: vec![docs_grant().max_invocations(2)],
            expires_at: now + 60,
            nonce: nonce.clone(),
            issued_at: now,
            proof_hash: None,
        })))
    }
}

#[test]
fn another_scheme_has_the_same_replay_grants_budget_and_receipts() {
    let world = World::new();
    let receipts = Arc::clone(&world.receipts);
    let kernel = world.kernel();
    let by_name = |nonce: &str, arguments: &str| {
        let credential = (agent().public_key().to_string(), nonce.to_owned());
        let call = kernel.authorize_by(&ByName, &credential, SERVER, TOOL, arguments.as_bytes());
        match pollster::block_on(call) {
            Ok(authorized) => {
                let principal = authorized.principal().to_owned();
                pollster::block_on(authorized.finish(OutcomeStatus::Ok, None)).unwrap();
                principal
            }
            Err(denied) => denied.denial.code().to_owned(),
        }
    };
    assert_eq!(by_name("a", ARGUMENTS), format!("scheme:by-name:{}", agent().public_key()), "never mistaken for a key");
    assert_eq!(by_name("a", ARGUMENTS), "nonce_replayed");
    assert_eq!(by_name("b", "{}"), "argument_missing");
    assert_eq!(by_name("", ARGUMENTS), "nonce_malformed");
    assert!(by_name("c", ARGUMENTS).starts_with("scheme:by-name:"));
    assert_eq!(by_name("d", ARGUMENTS), "budget_exhausted");
    assert_eq!(by_name("e", "["), "malformed_call");
    pollster::block_on(kernel.revoke_capability(Digest::of(agent().public_key().to_string().as_bytes()))).unwrap();
    assert_eq!(by_name("f", ARGUMENTS), "capability_revoked");
    assert!(receipts.all().len() >= 10);
}

#[test]
fn the_synchronous_door_keeps_its_shape() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let config = DpopConfig::default();
    let store = DpopNonceStore::new(config.nonce_store_capacity, Duration::from_secs(config.proof_ttl_secs));
    let capability = capability();
    let capability = capability.leaf();
    let proof = |issued_at: u64, nonce: &str, key: &Keypair| {
        let body = chio_kernel::dpop::DpopProofBody { issued_at, ..body(&world::capability(), ARGUMENTS, nonce) };
        DpopProof::sign(body, key).unwrap()
    };
    let hash = proof(now, "n", &agent()).body.action_hash;
    let verify = |proof: &DpopProof| verify_dpop_proof(proof, capability, SERVER, TOOL, &hash, &store, &config);
    // Dated ahead as far as it may be: remembered past its own ttl, whatever the store's is.
    let good = proof(now, "n", &agent());
    assert_eq!(verify(&good), Ok(()));
    assert_eq!(verify(&good), Err(Denial::NonceReplayed));
    assert_eq!(verify(&proof(now, "m", &thief())), Err(Denial::ProofSignatureInvalid));
    assert!(matches!(verify(&proof(now - 302, "o", &agent())), Err(Denial::ProofExpired { .. })));
    assert!(matches!(verify(&proof(now + 100, "p", &agent())), Err(Denial::ProofFromFuture { .. })));
    assert_eq!(store.check_and_insert("q", &capability.id), Ok(true));
    assert_eq!(store.check_and_insert("q", &capability.id), Ok(false));
    assert_eq!(store.check_and_insert("q", "another capability"), Ok(true));
    assert!(chio_kernel::dpop::is_supported_dpop_schema(chio_kernel::dpop::DPOP_SCHEMA));
}

#[test]
fn what_a_holder_writes_costs_no_more_than_there_is_time_for() {
    // A derived token may carry anything: here, a great many constraints over a great many elements.
    let root = issue(terms(vec![Grant::new(SERVER, TOOL)]));
    let check = json!({"constraint_type": "not_one_of", "excluded": [1]});
    let rule = json!({"constraint_type": "all", "constraints": vec![check; 2_000]});
    let heavy = Grant::new(SERVER, TOOL).argument("/a/*", &rule).unwrap();
    let heavy = Terms { subject: agent().public_key(), max_depth: 0, ..terms(vec![heavy]) };
    let heavy = root.attenuate(heavy, &agent()).unwrap();
    let arguments = json!({"a": vec![2; 40_000]}).to_string();
    let kernel = World::new().kernel();
    // Every element satisfies every constraint: only what it would cost to find out denies it.
    assert_eq!(code(&kernel, call(&heavy, &arguments, "n")), "argument_constraint_violated");
    assert_eq!(code(&kernel, call(&heavy, r#"{"a":[2,2]}"#, "m")), "");
    // A large set is looked up, not walked through.
    let subset = json!({"constraint_type": "subset", "allowed": (0..20_000).collect::<Vec<_>>()});
    let grant = Grant::new(SERVER, TOOL).argument("/a", &subset).unwrap();
    let chain = issue(terms(vec![grant]));
    let arguments = json!({"a": (0..100_000).map(|n| n % 20_000).collect::<Vec<_>>()}).to_string();
    assert_eq!(code(&kernel, call(&chain, &arguments, "o")), "");
}

#[test]
fn no_kind_of_rule_is_free_to_ask() {
    let kernel = World::new().kernel();
    let root = issue(terms(vec![Grant::new(SERVER, TOOL)]));
    let answer = |rules: &[(String, Value)], arguments: &Value, nonce: &str| {
        let grant = rules.iter().fold(Grant::new(SERVER, TOOL), |grant, (at, rule)| grant.argument(at, rule).unwrap());
        let leaf = Terms { subject: agent().public_key(), max_depth: 0, ..terms(vec![grant]) };
        let chain = root.attenuate(leaf, &agent()).unwrap();
        code(&kernel, call(&chain, &arguments.to_string(), nonce))
    };
    // Each of these is satisfied: what denies it is what it would cost to find out, and all at once it would be much.
    let maybe = json!({"constraint_type": "wildcard", "optional": true});
    let many: Vec<_> = (0..1000).map(|index| (format!("/a/*/{index}"), maybe.clone())).collect();
    assert_eq!(answer(&many, &json!({"a": vec![json!({}); 10_000]}), "places"), "argument_constraint_violated");
    assert_eq!(answer(&many, &json!({"a": vec![json!({}); 10]}), "few places"), "");

    let required: Vec<_> = (0..2000).collect();
    let contains = json!({"constraint_type": "contains", "required": required});
    let any = json!({"constraint_type": "any", "constraints": [contains, {"constraint_type": "wildcard"}]});
    let any = [("/a/*".to_owned(), any)];
    assert_eq!(answer(&any, &json!({"a": vec![json!([0]); 5000]}), "contains"), "argument_constraint_violated");
    assert_eq!(answer(&any, &json!({"a": vec![json!([0]); 5]}), "few"), "");

    let inside = json!({"constraint_type": "path_containment", "root": "/"});
    let all = [("/a".to_owned(), json!({"constraint_type": "all", "constraints": vec![inside; 1000]}))];
    assert_eq!(
        answer(&all, &json!({"a": format!("/{}", "x".repeat(100_000))}), "long"),
        "argument_constraint_violated"
    );
    assert_eq!(answer(&all, &json!({"a": "/x"}), "short"), "");
}

#[test]
fn a_count_is_forgotten_with_the_token_above_it() {
    // Else a child that never expires would keep its counts for ever, and its root's account full.
    let usage = Arc::new(Forgetful::default());
    let stores = Stores { usage: Arc::<Forgetful>::clone(&usage), ..Stores::default() };
    let kernel = World::with_stores(stores).kernel();
    let root = issue(terms(vec![docs_grant()]));
    let grants = vec![docs_grant().max_invocations(1)];
    let eternal = Terms { subject: agent().public_key(), max_depth: 0, expires_at: 1 << 52, ..terms(grants) };
    let eternal = root.attenuate(eternal, &agent()).unwrap();
    assert_eq!(code(&kernel, call(&eternal, ARGUMENTS, "a")), "");
    let until: Vec<u64> = usage.0.lock().unwrap().iter().map(|spent| spent.until).collect();
    assert_eq!(until, [root.leaf().expires_at]);
}

#[test]
fn a_tool_reads_no_other_value_than_was_decided_on() {
    let chain = issue(terms(vec![Grant::new(SERVER, TOOL)]));
    let kernel = World::new().kernel();
    let hidden = r#"{"a":{"$serde_json::private::RawValue":"[1]"}}"#;
    let completed = world::run(&kernel, call(&chain, hidden, "n")).unwrap();
    assert!(matches!(completed.result, Err(ToolFailure::Tool(_))));
    // What grows in canonical form is held to the limit in that form.
    let grown = format!("{{\"a\":[{}]}}", vec!["1e15"; 200_000].join(","));
    assert!(grown.len() < 1 << 20);
    assert_eq!(code(&kernel, call_raw(&chain, &grown)), "call_too_large");
}

/// A call whose arguments no signer would take.
fn call_raw(chain: &chio_core::capability::CapabilityChain, arguments: &str) -> SignedCall {
    SignedCall { arguments: arguments.as_bytes().to_vec(), ..call(chain, "{}", "raw") }
}

#[test]
fn a_token_names_no_more_places_than_a_kernel_has_room_for() {
    let rule = json!({"constraint_type": "wildcard", "optional": true});
    let grant = |pointers: usize| {
        let at = |index: usize| format!("/{index}{}", "/".repeat(63));
        (0..pointers).fold(Grant::new(SERVER, TOOL), |grant, index| grant.argument(&at(index), &rule).unwrap())
    };
    let issue = |pointers| chio_core::capability::CapabilityToken::issue(terms(vec![grant(pointers)]), &issuer());
    assert!(issue(64).is_ok(), "4096 places");
    assert!(issue(65).is_err());
}

#[test]
fn a_call_is_read_from_one_object_with_five_members() {
    let whole =
        json!({"tool_server": "s", "tool_name": "t", "arguments": {"b": 1, "a": 2}, "capability": [], "proof": {}});
    let read = |call: &serde_json::Value| {
        chio_kernel::SignedCall::parse(call.to_string().as_bytes(), &chio_kernel::Settings::default())
    };
    let call = read(&whole).unwrap();
    assert_eq!((&*call.tool_server, &*call.tool_name), ("s", "t"));
    assert_eq!((&*call.arguments, &*call.capability), (&br#"{"a":2,"b":1}"#[..], &b"[]"[..]));
    assert_eq!(call.proof.as_deref(), Some(&b"{}"[..]));
    let with = |name: &str, value: serde_json::Value| {
        let mut call = whole.clone();
        call[name] = value;
        read(&call).map_err(|denial| denial.to_string())
    };
    assert_eq!(with("proof", json!(null)).unwrap().proof, None);
    assert!(with("tool_name", json!(1)).unwrap_err().contains("`tool_name` is a string"));
    assert!(with("more", json!(1)).unwrap_err().contains("no member `more`"));
    for name in ["tool_server", "tool_name", "arguments", "capability"] {
        let mut call = whole.clone();
        call.as_object_mut().unwrap().remove(name);
        assert!(read(&call).unwrap_err().to_string().contains(name), "{name}");
    }
}
