//! `chio demo`: one honest call, and everything that must not work.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::Keypair;
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::files::FileServer;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, SignedCall, Stores};
use serde_json::{Value, json};

use crate::commands::{at, random, receipts, verify_receipts};
use crate::exit::{Exit, Failure};
use crate::print::{BOLD, DIM, GREEN, Printer, RED, RESET};

pub(crate) fn run(printer: &Printer) -> Result<Exit, Failure> {
    let stage = Stage::new()?;
    let rows = stage.attempts()?.into_iter().map(|attempt| stage.play(attempt)).collect::<Result<Vec<_>, _>>()?;
    let surprise = rows.iter().find(|row| row.code != row.expected);
    let report = verify_receipts(&stage.receipts.all(), stage.kernel.public_key())
        .map_err(|fault| Failure::new(fault, "this is a bug: report it"))?;

    let mut text = format!(
        "{BOLD}A kernel guards {}, seen as /docs.{RESET} An agent may read files below /docs/decisions, three times.\n\n",
        stage.served.display()
    );
    let _ = writeln!(text, "{DIM}{:<53} {:<6} {:<15} {:<28} {:>5}{RESET}", "attempt", "answer", "step", "code", "µs");
    for Row { attempt, code, step, microseconds, .. } in &rows {
        let (colour, answer) = if code.is_empty() { (GREEN, "allow") } else { (RED, "deny") };
        let _ = writeln!(text, "{attempt:<53} {colour}{answer:<6}{RESET} {step:<15} {code:<28} {microseconds:>5}");
    }
    let _ = writeln!(text, "\n{GREEN}ok{RESET} {}", receipts::summary(&report));
    text.push_str("\nTry next:\n  chio keygen --out agent.key\n  chio issue --help\n  chio call --help\n");
    printer.answer(&rows.iter().map(Row::to_json).collect(), &text)?;
    match surprise {
        None => Ok(Exit::Done),
        Some(row) => {
            let what = format!("`{}` was answered `{}`, not `{}`", row.attempt, row.code, row.expected);
            Err(Failure::new(what, "this is a bug: report it"))
        }
    }
}

/// What was tried, and what came of it. An empty code is an allow.
struct Row {
    attempt: &'static str,
    expected: &'static str,
    code: &'static str,
    step: &'static str,
    microseconds: u64,
}

impl Row {
    fn to_json(&self) -> Value {
        let decision = if self.code.is_empty() { "allow" } else { "deny" };
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({
            "attempt": self.attempt, "decision": decision, "step": or_null(self.step), "code": or_null(self.code),
            "microseconds": self.microseconds,
        })
    }
}

struct Attempt {
    name: &'static str,
    expected: &'static str,
    call: SignedCall,
}

/// A kernel, an issuer, an agent, and a thief.
struct Stage {
    kernel: Kernel,
    receipts: Arc<MemoryReceipts>,
    served: PathBuf,
    issuer: Keypair,
    agent: Keypair,
    thief: Keypair,
    capability: CapabilityChain,
    now: u64,
    /// Lives as long as the stage: the directory that is served where the repository's own is not found.
    _directory: Option<tempfile::TempDir>,
}

const SERVER: &str = "files";
const TOOL: &str = "read_file";

impl Stage {
    fn new() -> Result<Self, Failure> {
        let keypair = || Keypair::generate().map_err(|error| Failure::new(error, "this machine cannot make keys"));
        let (issuer, agent, thief) = (keypair()?, keypair()?, keypair()?);
        let (docs, directory) = served()?;
        let unserved = |error| Failure::new(format!("`{}` cannot be served: {error}", docs.display()), "check it");
        let server = FileServer::mounted(&docs, "/docs").map_err(unserved)?;
        let receipts = Arc::new(MemoryReceipts::default());
        let kernel = Kernel::builder()
            .name("demo")
            .trust_root(issuer.public_key())
            .tool_server(SERVER, server)
            .stores(Stores { receipts: Arc::<MemoryReceipts>::clone(&receipts), ..Stores::default() })
            .build()
            .map_err(|error| Failure::new(error, "set the clock of this machine"))?;
        let now = at(None)?;
        let capability = CapabilityChain::root(token(&issuer, &agent, Some("demo"), now, vec![read_decisions()?])?);
        Ok(Self { kernel, receipts, served: docs, issuer, agent, thief, capability, now, _directory: directory })
    }

    fn attempts(&self) -> Result<Vec<Attempt>, Failure> {
        let path = r#"{"path":"/docs/decisions/README.md"}"#;
        let honest = self.call(&self.capability, path, |_| ())?;
        let attempt = |name, expected, call| Attempt { name, expected, call };
        let mut all = vec![
            attempt("an honest call", "", honest.clone()),
            attempt("the same call again", "nonce_replayed", honest.clone()),
            attempt(
                "a captured call with other arguments",
                "proof_binding_mismatch",
                SignedCall { arguments: br#"{"path":"/docs/protocol.md"}"#.to_vec(), ..honest.clone() },
            ),
            attempt(
                "a captured call aimed at another tool",
                "proof_binding_mismatch",
                SignedCall { tool_name: "search".into(), ..honest.clone() },
            ),
            attempt("a stolen token without a proof", "proof_missing", SignedCall { proof: None, ..honest.clone() }),
            attempt(
                "a stolen token with the thief's key",
                "proof_sender_mismatch",
                self.signed_by_thief(path, |body| body.agent_key = self.thief.public_key())?,
            ),
            attempt(
                "a stolen token, the thief signing in the agent's name",
                "proof_signature_invalid",
                self.signed_by_thief(path, |_| ())?,
            ),
            attempt(
                "a path out of the directory",
                "argument_constraint_violated",
                self.call(&self.capability, r#"{"path":"/docs/decisions/../../Cargo.toml"}"#, |_| ())?,
            ),
            attempt(
                "two paths in one call, one of them granted",
                "malformed_call",
                SignedCall {
                    arguments: br#"{"path":"/docs/decisions/README.md","path":"/etc/passwd"}"#.to_vec(),
                    ..honest.clone()
                },
            ),
            attempt(
                "10,000 nested arrays",
                "call_too_large",
                SignedCall { arguments: [b'['; 10_000].to_vec(), ..honest },
            ),
            attempt(
                "a proof from an hour ago",
                "proof_expired",
                self.call(&self.capability, path, |body| {
                    body.issued_at = body.issued_at.saturating_sub(3600);
                })?,
            ),
            attempt(
                "a proof from the future",
                "proof_from_future",
                self.call(&self.capability, path, |body| {
                    body.issued_at = body.issued_at.saturating_add(3600);
                })?,
            ),
            attempt(
                "a nonce of 325 bytes",
                "nonce_malformed",
                self.call(&self.capability, path, |body| {
                    body.nonce = body.nonce.repeat(5);
                })?,
            ),
        ];
        all.extend(self.attempts_with_other_capabilities(path)?);
        let spend = || self.call(&self.capability, path, |_| ());
        all.push(attempt("the second of three calls", "", spend()?));
        all.push(attempt("the third of three calls", "", spend()?));
        all.push(attempt("the fourth of three calls", "budget_exhausted", spend()?));
        Ok(all)
    }

    fn attempts_with_other_capabilities(&self, path: &str) -> Result<Vec<Attempt>, Failure> {
        let everything = || vec![Grant::new(SERVER, TOOL), Grant::new(SERVER, "search")];
        let issued_by = |issuer: &Keypair, audience: &str| {
            token(issuer, &self.agent, Some(audience), self.now, everything()).map(CapabilityChain::root)
        };
        // The same id, other grants.
        let mut widened = self.capability.leaf().clone();
        widened.grants = everything();
        let narrowed = self
            .capability
            .attenuate(terms(&self.agent, None, self.now, everything(), 0)?, &self.agent)
            .map_err(|error| Failure::new(error, "this is a bug: report it"))?;
        let child = self.call(&narrowed, r#"{"path":"/docs/protocol.md"}"#, |_| ())?;
        Ok(vec![
            Attempt {
                name: "a capability that the agent issued to itself",
                expected: "issuer_untrusted",
                call: self.call(&issued_by(&self.agent, "demo")?, path, |_| ())?,
            },
            Attempt {
                name: "a capability with its grants rewritten",
                expected: "capability_id_mismatch",
                call: self.call(&CapabilityChain::root(widened), path, |_| ())?,
            },
            Attempt {
                name: "a capability for another kernel",
                expected: "capability_audience_mismatch",
                call: self.call(&issued_by(&self.issuer, "production")?, path, |_| ())?,
            },
            Attempt {
                name: "a derived capability that claims more than its parent",
                expected: "argument_constraint_violated",
                call: child,
            },
        ])
    }

    /// A call that the agent signs, after `change` has been made to its proof.
    fn call(
        &self,
        capability: &CapabilityChain,
        arguments: &str,
        change: impl FnOnce(&mut DpopProofBody),
    ) -> Result<SignedCall, Failure> {
        self.signed_call(&self.agent, capability, arguments, change)
    }

    fn signed_by_thief(&self, arguments: &str, change: impl FnOnce(&mut DpopProofBody)) -> Result<SignedCall, Failure> {
        self.signed_call(&self.thief, &self.capability, arguments, change)
    }

    fn signed_call(
        &self,
        signer: &Keypair,
        capability: &CapabilityChain,
        arguments: &str,
        change: impl FnOnce(&mut DpopProofBody),
    ) -> Result<SignedCall, Failure> {
        let bug = |error: &dyn std::fmt::Display| Failure::new(error, "this is a bug: report it");
        let limits = chio_core::canonical::Limits::bytes(Arguments::MAX_BYTES);
        let arguments = Arguments::parse(arguments.as_bytes(), limits).map_err(|error| bug(&error))?;
        let nonce = self.kernel.new_nonce().map_err(|error| bug(&error))?;
        let mut body = DpopProofBody::new(capability.leaf(), (SERVER, TOOL), &arguments, nonce, self.now);
        change(&mut body);
        let proof = DpopProof::sign(body, signer).map_err(|error| bug(&error))?;
        SignedCall::new(capability, &proof, (SERVER, TOOL), &arguments).map_err(|error| bug(&error))
    }

    fn play(&self, Attempt { name, expected, call }: Attempt) -> Result<Row, Failure> {
        let started = Instant::now();
        let decided = pollster::block_on(self.kernel.authorize(call));
        let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (code, step) = match decided {
            Ok(authorized) => {
                let completed = pollster::block_on(authorized.dispatch());
                completed.result.map_err(|error| Failure::new(error, "this is a bug: report it"))?;
                ("", "")
            }
            Err(denied) => (denied.denial.code(), denied.denial.step().name()),
        };
        Ok(Row { attempt: name, expected, code, step, microseconds })
    }
}

fn read_decisions() -> Result<Grant, Failure> {
    Grant::new(SERVER, TOOL)
        .max_invocations(3)
        .argument("/path", &json!({"constraint_type": "path_containment", "root": "/docs/decisions"}))
        .map_err(|error| Failure::new(error, "this is a bug: report it"))
}

fn terms(
    agent: &Keypair,
    audience: Option<&str>,
    now: u64,
    grants: Vec<Grant>,
    max_depth: u64,
) -> Result<Terms, Failure> {
    Ok(Terms {
        subject: agent.public_key(),
        audience: audience.map(str::to_owned),
        issued_at: now,
        expires_at: now.saturating_add(3600),
        grants,
        max_depth,
        serial: random()?,
    })
}

fn token(
    issuer: &Keypair,
    agent: &Keypair,
    audience: Option<&str>,
    now: u64,
    grants: Vec<Grant>,
) -> Result<CapabilityToken, Failure> {
    CapabilityToken::issue(terms(agent, audience, now, grants, 1)?, issuer)
        .map_err(|error| Failure::new(error, "this is a bug: report it"))
}

/// The repository's own `docs`, or a directory that is made for the purpose.
fn served() -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let is_docs = |docs: &PathBuf| {
        let index = std::fs::read_to_string(docs.join("decisions/README.md"));
        index.is_ok_and(|index| index.starts_with("# Decisions")) && docs.join("protocol.md").is_file()
    };
    let found = here.ancestors().map(|above| above.join("docs")).find(is_docs);
    if let Some(docs) = found {
        return Ok((docs.canonicalize().unwrap_or(docs), None));
    }
    let unmade = |error: std::io::Error| Failure::new(format!("no temporary directory: {error}"), "check TMPDIR");
    let directory = tempfile::tempdir().map_err(unmade)?;
    let decisions = directory.path().join("decisions");
    std::fs::create_dir(&decisions).map_err(unmade)?;
    std::fs::write(decisions.join("README.md"), "A file to read.\n").map_err(unmade)?;
    Ok((directory.path().to_owned(), Some(directory)))
}
