//! The vectors of `tests/vectors`: one for each denial code, for implementations in any language.
//!
//! A vector is a kernel, the calls it has seen, and a call with the answer it must get. Everything in it is text, so
//! that what is not JSON can stand there too; keys, times and nonces are fixed. What needs a failure names the one that
//! is to be injected.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use chio_core::canonical::Limits;
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_core::dpop::DpopProofBody;
use chio_kernel::clock::{ManualClock, NoPatience};
use chio_kernel::config::TrustRoot;
use chio_kernel::guard::{Guard, GuardAnswer, GuardView};
use chio_kernel::store::{
    BoxFuture, DpopNonceStore, KernelError, MemoryRevocations, MemoryStandings, NonceAnswer, NonceClaim, NonceStore,
    RevocationStore, Standing, StandingStore, key_id,
};
use chio_kernel::tool_server::Tools;
use chio_kernel::{AuthorizedCall, Denied, Kernel, Settings, SignedCall, Stores};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::world::{
    ARGUMENTS, NOW, SERVER, TOOL, agent, body, call, call_with, capability, chain_bytes, delegated, docs_grant, helper,
    honest, issue, issuer, kernel_key, serial, terms, thief,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What is wrong with the call, or with the kernel.
    pub description: String,
    pub kernel: KernelSetup,
    /// Calls that the kernel has allowed before, at the same time.
    pub before: Vec<Call>,
    /// The time of the call, in Unix seconds.
    pub now: u64,
    pub call: Call,
    pub expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelSetup {
    pub names: Vec<String>,
    pub trust_roots: Vec<Root>,
    pub tool_servers: Vec<ToolServer>,
    /// When it started. Its nonces do not survive a restart unless `durable`.
    pub started_at: u64,
    pub durable: bool,
    pub max_argument_bytes: usize,
    /// Live nonces in all, and of one root capability.
    pub nonce_capacity: usize,
    pub nonce_quota: usize,
    /// Ids of capabilities.
    pub revoked: Vec<String>,
    /// Public keys.
    pub banned: Vec<String>,
    pub suspended: Vec<Suspended>,
    /// `guard denies`, `nonce store fails`, `nonce store hangs` or `clock unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inject: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime_secs: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolServer {
    pub name: String,
    pub tools: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    pub key: String,
    pub until: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub tool_server: String,
    pub tool_name: String,
    pub arguments: String,
    pub capability: String,
    pub proof: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `allow` or `deny`.
    pub decision: String,
    pub code: Option<String>,
    pub step: Option<String>,
}

impl From<SignedCall> for Call {
    fn from(call: SignedCall) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            tool_server: call.tool_server,
            tool_name: call.tool_name,
            arguments: text(call.arguments),
            capability: text(call.capability),
            proof: call.proof.map(text),
        }
    }
}

impl From<Call> for SignedCall {
    fn from(call: Call) -> Self {
        Self {
            tool_server: call.tool_server,
            tool_name: call.tool_name,
            arguments: call.arguments.into_bytes(),
            capability: call.capability.into_bytes(),
            proof: call.proof.map(String::into_bytes),
        }
    }
}

impl Vector {
    /// What the kernel of this vector answers.
    pub fn answer(&self) -> Expected {
        match self.decide() {
            Ok(_) => expected("", ""),
            Err(denied) => expected(denied.denial.code(), denied.denial.step().name()),
        }
    }

    /// The same, whole.
    pub fn decide(&self) -> Result<AuthorizedCall, Denied> {
        let (kernel, clock) = self.kernel.build();
        clock.set(self.now);
        for before in &self.before {
            let answer = pollster::block_on(kernel.authorize(before.clone().into()));
            assert!(answer.is_ok(), "a call before it was denied: {:?}", answer.err());
        }
        if self.kernel.inject.as_deref() == Some("clock unreadable") {
            clock.set(u64::MAX);
        }
        pollster::block_on(kernel.authorize(self.call.clone().into()))
    }
}

impl KernelSetup {
    fn build(&self) -> (Kernel, ManualClock) {
        let clock = ManualClock::at(self.started_at);
        let key = |text: &String| text.parse::<PublicKey>().unwrap();
        let memory = DpopNonceStore::with_quota(self.nonce_capacity, self.nonce_quota, Duration::from_secs(330));
        let nonces = Arc::new(Nonces { memory, durable: self.durable, inject: self.inject.clone() });
        let (revocations, standings) = (MemoryRevocations::default(), MemoryStandings::default());
        for id in &self.revoked {
            pollster::block_on(revocations.revoke(id.parse::<Digest>().unwrap())).unwrap();
        }
        for banned in &self.banned {
            pollster::block_on(standings.set(key_id(banned), Standing::Banned)).unwrap();
        }
        for Suspended { key, until } in &self.suspended {
            pollster::block_on(standings.set(key_id(key), Standing::Suspended { until: *until })).unwrap();
        }
        let mut builder = Kernel::builder()
            .clock(clock.clone())
            .timer(NoPatience)
            .signing_key(kernel_key())
            .settings(Settings { arguments: Limits::bytes(self.max_argument_bytes), ..Settings::default() })
            .stores(Stores {
                nonces: Some(nonces),
                revocations: Arc::new(revocations),
                standings: Arc::new(standings),
                ..Stores::default()
            });
        for root in &self.trust_roots {
            let max_lifetime_secs = root.max_lifetime_secs;
            builder = builder.trust_root(TrustRoot { max_lifetime_secs, ..TrustRoot::from(key(&root.key)) });
        }
        for name in &self.names {
            builder = builder.name(name);
        }
        for server in &self.tool_servers {
            let add = |tools: Tools, tool: &String| tools.tool(tool, |arguments: Value| Ok(arguments));
            builder = builder.tool_server(&server.name, server.tools.iter().fold(Tools::new(), add));
        }
        if self.inject.as_deref() == Some("guard denies") {
            builder = builder.guard(No);
        }
        (builder.build().unwrap(), clock)
    }
}

/// Nonces in memory that pretend to survive a restart, fail or hang.
struct Nonces {
    memory: DpopNonceStore,
    durable: bool,
    inject: Option<String>,
}

impl NonceStore for Nonces {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        match self.inject.as_deref() {
            Some("nonce store fails") => Box::pin(ready(Err(KernelError::new("it is down")))),
            Some("nonce store hangs") => Box::pin(pending()),
            _ => self.memory.spend(claim),
        }
    }

    fn survives_restart(&self) -> bool {
        self.durable
    }
}

struct No;

impl Guard for No {
    fn name(&self) -> &str {
        "no"
    }

    fn check<'a>(&'a self, _: GuardView<'a>) -> BoxFuture<'a, Result<GuardAnswer, KernelError>> {
        Box::pin(ready(Ok(GuardAnswer::Deny { reason: "not on my watch".into() })))
    }
}

fn expected(code: &str, step: &str) -> Expected {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let decision = if code.is_empty() { "allow" } else { "deny" };
    Expected { decision: decision.to_owned(), code: some(code), step: some(step) }
}

fn setup() -> KernelSetup {
    KernelSetup {
        names: vec!["kernel-a".into()],
        trust_roots: vec![Root { key: issuer().public_key().to_string(), max_lifetime_secs: None }],
        tool_servers: vec![ToolServer { name: SERVER.into(), tools: vec![TOOL.into()] }],
        started_at: NOW - 100_000,
        durable: true,
        max_argument_bytes: 4096,
        nonce_capacity: 1024,
        nonce_quota: 128,
        revoked: Vec::new(),
        banned: Vec::new(),
        suspended: Vec::new(),
        inject: None,
    }
}

/// The capability with its leaf changed after it was signed.
fn changed(change: impl FnOnce(&mut CapabilityToken)) -> CapabilityChain {
    let mut token = capability().leaf().clone();
    change(&mut token);
    CapabilityChain::root(token)
}

fn proof(change: impl FnOnce(&mut DpopProofBody)) -> SignedCall {
    let chain = capability();
    let mut body = body(&chain, ARGUMENTS, "nonce-1");
    change(&mut body);
    call_with(&chain, ARGUMENTS, body, &agent())
}

fn with_proof(text: Option<&str>) -> SignedCall {
    SignedCall { proof: text.map(|text| text.as_bytes().to_vec()), ..honest("nonce-1") }
}

fn with_capability(text: &str) -> SignedCall {
    SignedCall { capability: text.as_bytes().to_vec(), ..honest("nonce-1") }
}

/// A call of another tool, or with other arguments, by its own capability.
fn of(tool_server: &str, tool_name: &str, arguments: &str, grants: Vec<Grant>) -> SignedCall {
    let chain = issue(terms(grants));
    let mut body = body(&chain, arguments, "nonce-1");
    (body.tool_server, body.tool_name) = (tool_server.to_owned(), tool_name.to_owned());
    let call = call_with(&chain, arguments, body, &agent());
    SignedCall { tool_server: tool_server.to_owned(), tool_name: tool_name.to_owned(), ..call }
}

/// Every vector, by name: an allowed call, and then every denial code in the order of the protocol.
#[allow(clippy::too_many_lines)] // one table
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |code: &str, step: &str, description: &str, call: SignedCall, kernel: KernelSetup| {
        let name = if code.is_empty() { "allow" } else { code }.to_owned();
        let expected = expected(code, step);
        let description = description.to_owned();
        all.push((name, Vector { description, kernel, before: Vec::new(), now: NOW, call: call.into(), expected }));
    };
    let usual = || honest("nonce-1");
    let inject = |what: &str| KernelSetup { inject: Some(what.to_owned()), ..setup() };

    add("", "", "an honest call", usual(), setup());
    add(
        "malformed_call",
        "call",
        "the arguments name a member twice",
        SignedCall { arguments: br#"{"path":"/srv/docs/a.md","path":"/etc/passwd"}"#.to_vec(), ..usual() },
        setup(),
    );
    add(
        "call_too_large",
        "call",
        "the arguments are over the limit of the kernel",
        SignedCall { arguments: format!(r#"{{"path":"{}"}}"#, "a".repeat(4096)).into_bytes(), ..usual() },
        setup(),
    );
    add(
        "unknown_tool_server",
        "grants",
        "the tool server is granted, and the kernel has none of that name",
        of("mail", TOOL, "{}", vec![Grant::new("mail", TOOL)]),
        setup(),
    );
    add(
        "unknown_tool",
        "grants",
        "the tool is granted, and the tool server has none of that name",
        of(SERVER, "write_file", "{}", vec![Grant::new(SERVER, "write_file")]),
        setup(),
    );

    add(
        "capability_malformed",
        "authority",
        "the capability is not a chain of tokens",
        with_capability("[{}]"),
        setup(),
    );
    add(
        "capability_id_mismatch",
        "authority",
        "the grants were changed and the id was kept",
        call(&changed(|token| token.grants = vec![Grant::new(SERVER, TOOL)]), ARGUMENTS, "nonce-1"),
        setup(),
    );
    add(
        "capability_signature_invalid",
        "authority",
        "the grants and the id were changed, and not signed anew",
        call(
            &changed(|token| {
                token.grants = vec![Grant::new(SERVER, TOOL)];
                token.id = token.contents_id().unwrap().to_string();
            }),
            ARGUMENTS,
            "nonce-1",
        ),
        setup(),
    );
    add(
        "issuer_untrusted",
        "authority",
        "the agent issued the capability to itself",
        call(
            &CapabilityChain::root(CapabilityToken::issue(terms(vec![docs_grant()]), &agent()).unwrap()),
            ARGUMENTS,
            "nonce-1",
        ),
        setup(),
    );
    add(
        "capability_not_yet_valid",
        "authority",
        "the capability becomes valid one second later",
        call(&issue(Terms { issued_at: NOW + 1, ..terms(vec![docs_grant()]) }), ARGUMENTS, "nonce-1"),
        setup(),
    );
    add(
        "capability_expired",
        "authority",
        "the capability expires at this very second",
        call(&issue(Terms { expires_at: NOW, ..terms(vec![docs_grant()]) }), ARGUMENTS, "nonce-1"),
        setup(),
    );
    add(
        "capability_audience_mismatch",
        "authority",
        "the capability is for another kernel",
        call(&issue(Terms { audience: Some("kernel-b".into()), ..terms(vec![docs_grant()]) }), ARGUMENTS, "nonce-1"),
        setup(),
    );
    let chain = delegated(vec![docs_grant()]);
    let of_helper = |capability: &str| {
        let call = call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "nonce-1"), &helper());
        SignedCall { capability: capability.as_bytes().to_vec(), ..call }
    };
    let tokens: Vec<Value> = serde_json::from_slice(&chain_bytes(&chain)).unwrap();
    let other_root: Vec<Value> =
        serde_json::from_slice(&chain_bytes(&issue(Terms { serial: serial(9), ..terms(vec![docs_grant()]) }))).unwrap();
    add(
        "delegation_broken",
        "authority",
        "the second token narrows another root than the first",
        of_helper(&json!([other_root[0], tokens[1]]).to_string()),
        setup(),
    );
    let mut deep = chain.leaf().clone();
    deep.max_depth = 2;
    let deep = serde_json::to_value(&deep).unwrap();
    add(
        "delegation_too_deep",
        "authority",
        "the max_depth of the second token is not smaller than that of the first",
        of_helper(&json!([tokens[0], deep]).to_string()),
        setup(),
    );
    add(
        "root_ceiling_exceeded",
        "authority",
        "the root lives longer than its issuer may let it",
        usual(),
        KernelSetup {
            trust_roots: vec![Root { key: issuer().public_key().to_string(), max_lifetime_secs: Some(3599) }],
            ..setup()
        },
    );
    add(
        "capability_revoked",
        "authority",
        "the capability is revoked",
        usual(),
        KernelSetup { revoked: vec![capability().leaf().id.clone()], ..setup() },
    );

    add(
        "subject_suspended",
        "standing",
        "the agent is suspended for one more second",
        usual(),
        KernelSetup { suspended: vec![Suspended { key: agent().public_key().to_string(), until: NOW + 1 }], ..setup() },
    );
    add(
        "subject_banned",
        "standing",
        "the issuer is banned",
        usual(),
        KernelSetup { banned: vec![issuer().public_key().to_string()], ..setup() },
    );

    add("proof_missing", "proof.form", "there is no proof", with_proof(None), setup());
    add(
        "proof_malformed",
        "proof.form",
        "the proof is not a document of the protocol",
        with_proof(Some("{}")),
        setup(),
    );
    add(
        "proof_schema_unsupported",
        "proof.schema",
        "the proof has a later schema",
        proof(|body| body.schema = "chio.dpop_proof.v2".into()),
        setup(),
    );
    add(
        "proof_sender_mismatch",
        "proof.sender",
        "a thief made the proof with its own key",
        {
            let chain = capability();
            let body = DpopProofBody { agent_key: thief().public_key(), ..body(&chain, ARGUMENTS, "nonce-1") };
            call_with(&chain, ARGUMENTS, body, &thief())
        },
        setup(),
    );
    add(
        "proof_binding_mismatch",
        "proof.binding",
        "the proof is for other arguments",
        SignedCall { arguments: br#"{"path":"/srv/docs/b.md"}"#.to_vec(), ..usual() },
        setup(),
    );
    add(
        "proof_from_future",
        "proof.freshness",
        "the proof is dated 31 seconds ahead",
        proof(|body| body.issued_at = NOW + 31),
        setup(),
    );
    add(
        "proof_expired",
        "proof.freshness",
        "the proof is 301 seconds old",
        proof(|body| body.issued_at = NOW - 301),
        setup(),
    );
    add(
        "proof_predates_kernel",
        "proof.freshness",
        "the kernel has forgotten its nonces, and could have seen the proof",
        usual(),
        KernelSetup { started_at: NOW - 30, durable: false, ..setup() },
    );
    add(
        "proof_signature_invalid",
        "proof.signature",
        "a thief signed in the name of the agent",
        call_with(&capability(), ARGUMENTS, body(&capability(), ARGUMENTS, "nonce-1"), &thief()),
        setup(),
    );
    add(
        "nonce_malformed",
        "proof.nonce",
        "the nonce has 257 bytes",
        proof(|body| body.nonce = "n".repeat(257)),
        setup(),
    );
    add("nonce_replayed", "proof.nonce", "the call was made before", usual(), setup());
    add(
        "nonce_store_full",
        "proof.nonce",
        "there is room for one live nonce, and there is one",
        usual(),
        KernelSetup { nonce_capacity: 1, nonce_quota: 2, ..setup() },
    );
    add(
        "nonce_quota_exceeded",
        "proof.nonce",
        "the capability may have one live nonce, and has one",
        usual(),
        KernelSetup { nonce_quota: 1, ..setup() },
    );

    add(
        "tool_not_granted",
        "grants",
        "the capability grants another tool",
        of(SERVER, TOOL, ARGUMENTS, vec![Grant::new(SERVER, "search")]),
        setup(),
    );
    add("argument_missing", "grants", "the path is missing", of(SERVER, TOOL, "{}", vec![docs_grant()]), setup());
    add(
        "argument_not_granted",
        "grants",
        "an argument is not named in the grant",
        of(SERVER, TOOL, r#"{"follow":true,"path":"/srv/docs/a.md"}"#, vec![docs_grant()]),
        setup(),
    );
    add(
        "argument_constraint_violated",
        "grants",
        "the path leads out of the directory",
        of(SERVER, TOOL, r#"{"path":"/srv/docs/../../etc"}"#, vec![docs_grant()]),
        setup(),
    );
    add(
        "budget_exhausted",
        "budget",
        "the grant allows no calls",
        of(SERVER, TOOL, ARGUMENTS, vec![docs_grant().max_invocations(0)]),
        setup(),
    );
    add("guard_denied", "guards", "a guard of the kernel's owner says no", usual(), inject("guard denies"));
    add("store_unavailable", "proof.nonce", "the nonce store fails", usual(), inject("nonce store fails"));
    add("clock_unavailable", "call", "the clock cannot be read", usual(), inject("clock unreadable"));

    for (name, vector) in &mut all {
        vector.before = match name.as_str() {
            "nonce_replayed" => vec![usual().into()],
            "nonce_store_full" | "nonce_quota_exceeded" => vec![honest("nonce-0").into()],
            _ => Vec::new(),
        };
    }
    all
}
