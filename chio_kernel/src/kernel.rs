//! The pipeline, on one screen.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_core::error::excerpt;
use chio_core::receipt::{Event, Outcome, OutcomeStatus, Receipt, Verdict};
use chio_core::time::Window;
use tracing::Instrument as _;

use crate::authority::{Facts, VerifiedAuthority};
use crate::budget::PaidCall;
use crate::builder::{KernelBuilder, Parts, Server};
use crate::call::{SignedCall, ToolCall};
use crate::config::Mode;
use crate::denial::{Denial, Denied, Step};
use crate::fence::{Lapse, fenced};
use crate::grants::{self, CoveredCall};
use crate::receipts::Found;
use crate::scheme::{Claims, ProofScheme};
use crate::store::{KernelError, key_id};
use crate::tool_server::{Completed, ToolFailure, ToolRequest};
use crate::{guard, standing};

/// The guard between agents and tools. A clone is another handle to the same kernel.
#[derive(Clone)]
pub struct Kernel {
    parts: Arc<Parts>,
}

impl Kernel {
    /// Starts to build a kernel.
    pub fn builder() -> KernelBuilder {
        KernelBuilder::default()
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The key that signs this kernel's receipts.
    pub fn public_key(&self) -> PublicKey {
        self.parts.ledger.key.public_key()
    }

    /// A nonce that this kernel gives out. A proof with it is accepted from the first second on, even by a kernel
    /// whose nonces do not survive a restart.
    pub fn new_nonce(&self) -> Result<String, KernelError> {
        let random = chio_core::crypto::random_hex().map_err(|error| KernelError::new(error.to_string()))?;
        let epoch = self.parts.prover.epoch.as_deref().unwrap_or_default();
        Ok(format!("{epoch}{random}"))
    }

    /// Decides a call and dispatches it.
    /// Fails with the reason why it was denied. How the tool fared is in the result.
    pub async fn call(&self, call: SignedCall) -> Result<Completed, Denied> {
        Ok(self.authorize(call).await?.dispatch().await)
    }

    /// Decides a call. If it is allowed, its receipt is written, and it can be dispatched once.
    pub async fn authorize(&self, call: SignedCall) -> Result<AuthorizedCall, Denied> {
        self.decide_signed(&call, false).await
    }

    /// Decides on a call for a list of tools. Who calls is proven as ever, and there are receipts; grants, budgets and
    /// guards are not asked whether there may be a list, but [`AuthorizedCall::sees`] what may stand in it.
    pub async fn authorize_list(&self, call: SignedCall) -> Result<AuthorizedCall, Denied> {
        self.decide_signed(&call, true).await
    }

    async fn decide_signed(&self, call: &SignedCall, is_list: bool) -> Result<AuthorizedCall, Denied> {
        let SignedCall { tool_server, tool_name, arguments, capability, proof } = call;
        let presented = Presented::Chain { capability, proof: proof.as_deref(), is_list };
        self.decide(tool_server, tool_name, || self.read(tool_server, tool_name, arguments), presented, None).await
    }

    /// Decides a call that is proven by another scheme than the one of this protocol. Whoever has a handle to the kernel
    /// can bring a scheme, and what a scheme claims is believed: hand no handle to what is not trusted.
    pub async fn authorize_by<S: ProofScheme>(
        &self,
        scheme: &S,
        credential: &S::Credential,
        tool_server: &str,
        tool_name: &str,
        arguments: &[u8],
    ) -> Result<AuthorizedCall, Denied> {
        // The scheme runs first, behind the fence; the pipeline then takes its claims. A call or a clock that cannot be
        // read is met by the pipeline before them, which says so.
        let read = self.read(tool_server, tool_name, arguments);
        let claims = match (&read, self.parts.clock.now()) {
            (Ok(call), Ok(now)) => {
                let verify = || scheme.verify(credential, call, now);
                let verified = fenced(&*self.parts.timer, Some(self.parts.settings.patience.guard), verify).await;
                let lapsed = |lapse| Err(Denial::ProofMalformed { reason: format!("its scheme {lapse}") });
                verified.unwrap_or_else(lapsed).and_then(|claims| claims.named_by(scheme.name()))
            }
            _ => Err(Denial::ClockUnavailable),
        };
        self.decide(tool_server, tool_name, || read, Presented::Claims(claims), scheme.mode(credential)).await
    }

    /// Sums up, in a receipt, the denials that were only counted so far. Call it before the kernel is dropped.
    pub async fn flush(&self) -> Result<(), KernelError> {
        let now = self.parts.clock.now()?;
        self.parts.ledger.flush(now).await
    }

    /// Revokes a capability by its id, and with it every token derived from it. Immediate.
    pub async fn revoke_capability(&self, id: Digest) -> Result<(), KernelError> {
        self.parts.revocations.revoke(id).await
    }

    /// Revokes a key, and with it every token that it issued or holds. Immediate.
    pub async fn revoke_key(&self, key: &PublicKey) -> Result<(), KernelError> {
        self.parts.revocations.revoke(key_id(&key.to_string())).await
    }

    fn read(&self, tool_server: &str, tool_name: &str, arguments: &[u8]) -> Result<ToolCall, Denial> {
        ToolCall::parse(tool_server, tool_name, arguments, self.parts.settings.arguments)
    }

    /// Every decision is made, recorded and traced here.
    async fn decide(
        &self,
        tool_server: &str,
        tool_name: &str,
        read: impl FnOnce() -> Result<ToolCall, Denial>,
        presented: Presented<'_>,
        mode: Option<Mode>,
    ) -> Result<AuthorizedCall, Denied> {
        let started = Instant::now();
        let span = tracing::info_span!(
            "chio.call",
            tool_server = excerpt(tool_server),
            tool_name = excerpt(tool_name),
            decision = tracing::field::Empty,
            code = tracing::field::Empty,
            step = tracing::field::Empty,
            micros = tracing::field::Empty,
        );
        let decided = async {
            let mut found = Found::new(tool_server, tool_name);
            let Ok(now) = self.parts.clock.now() else {
                return Err(Denied { denial: Denial::ClockUnavailable, receipt: None });
            };
            let call = match read() {
                Ok(call) => Arc::new(call),
                Err(denial) => return Err(self.deny(denial, found, now).await),
            };
            found.decision.action_hash = Some(call.arguments().digest());
            let server_mode = mode.unwrap_or_else(|| self.parts.mode_of_server(tool_server));
            let decided = match server_mode {
                Mode::Off => Ok(Vec::new()),
                _ => self.pipeline(Arc::clone(&call), presented, now, &mut found).await,
            };
            // A subject's mode counts for a proven caller alone: a name that anyone can claim switches nothing off.
            let mode = found.subject_mode.unwrap_or(server_mode);
            mode.name().clone_into(&mut found.decision.mode);
            let (spent, unenforced) = match decided {
                Ok(spent) => (spent, None),
                Err(denial) => {
                    if let Some(subject) = found.subject_id {
                        let (threat, standings) = (&self.parts.settings.threat, &*self.parts.standings);
                        let root = found.root_id.unwrap_or(subject);
                        standing::respond(&denial, [subject, root], threat, standings, &self.parts.fence, now).await;
                    }
                    if mode == Mode::Enforce {
                        return Err(self.deny(denial, found, now).await);
                    }
                    // What was spent has been given back, or was never spent.
                    (Vec::new(), Some(denial))
                }
            };
            // Even where nothing is enforced, there has to be somewhere to dispatch to.
            if mode != Mode::Enforce
                && let Err(denial) = self.parts.check_exists(&call)
            {
                self.parts.budget.refund(&spent).await;
                return Err(self.deny(denial, found, now).await);
            }
            self.allow(call, spent, unenforced, found, now).await
        }
        .instrument(span.clone())
        .await;
        let denial = decided.as_ref().err().map(|denied| &denied.denial);
        span.record("decision", if denial.is_some() { "deny" } else { "allow" });
        if let Some(denial) = denial {
            span.record("code", denial.code()).record("step", denial.step().name());
        }
        span.record("micros", u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        span.in_scope(|| match denial {
            // Whoever can send bytes can cause these: a log at its usual level is not filled with them.
            Some(denial) if denial.is_before_proof() => tracing::debug!(code = denial.code(), "denied: {denial}"),
            Some(denial) => tracing::info!(code = denial.code(), "denied: {denial}"),
            None => {}
        });
        decided
    }

    /// Authority, standing, proof, grants, budget, guards: each takes what the one before it made. Returns what was
    /// spent.
    async fn pipeline(
        &self,
        call: Arc<ToolCall>,
        presented: Presented<'_>,
        now: u64,
        found: &mut Found,
    ) -> Result<Vec<Digest>, Denial> {
        let parts = &*self.parts;
        let is_list = matches!(presented, Presented::Chain { is_list: true, .. });
        let (authority, evidence) = self.authority(presented, now).await?;
        found.authority(&authority);
        standing::check(&authority, &*parts.standings, &parts.fence, now).await?;

        let proven = match evidence {
            Evidence::Proof(proof) => parts.prover.prove(authority, call, proof, now).await?,
            Evidence::Scheme { nonce, issued_at, proof_hash } => {
                parts.prover.prove_by_scheme(authority, call, &nonce, issued_at, proof_hash, now).await?
            }
        };
        found.proven(&proven, parts.mode_of_subject(proven.authority().principal()));
        if is_list || found.subject_mode == Some(Mode::Off) {
            return Ok(Vec::new());
        }

        let called = Arc::clone(proven.call());
        let definition = || parts.definition(called.tool_server(), called.tool_name());
        let covered = CoveredCall::new(proven, &definition)?;
        parts.check_exists(covered.proven.call())?;
        let paid: PaidCall = parts.budget.spend(covered, now).await?;
        let patience = parts.settings.patience.guard;
        if let Err(denial) = guard::ask(&parts.guards, &paid, &*parts.timer, patience, now).await {
            parts.budget.refund(&paid.spent).await;
            return Err(denial);
        }
        Ok(paid.spent)
    }

    async fn authority<'a>(
        &self,
        presented: Presented<'a>,
        now: u64,
    ) -> Result<(VerifiedAuthority, Evidence<'a>), Denial> {
        let parts = &*self.parts;
        let (unrevoked, evidence) = match presented {
            Presented::Chain { capability: [], proof: None, .. } => return Err(Denial::ProofMissing),
            Presented::Chain { capability, proof, is_list: _ } => {
                (parts.authorities.verify(capability, now)?, Evidence::Proof(proof))
            }
            Presented::Claims(claims) => {
                let Claims { principal, credential, grants, expires_at, nonce, issued_at, proof_hash } = claims?;
                if now >= expires_at {
                    return Err(Denial::CapabilityExpired { token: 0, expires_at, now });
                }
                let window = Window { issued_at: 0, expires_at };
                let unrevoked = VerifiedAuthority::of_scheme(principal, credential, grants, window);
                (unrevoked, Evidence::Scheme { nonce, issued_at, proof_hash })
            }
        };
        let answer = parts.fence.ask(|| parts.revocations.first_revoked(unrevoked.ids())).await;
        Ok((unrevoked.given(answer)?, evidence))
    }

    /// The receipt comes before the effect: a call whose receipt cannot be written is denied.
    async fn allow(
        &self,
        call: Arc<ToolCall>,
        spent: Vec<Digest>,
        unenforced: Option<Denial>,
        mut found: Found,
        now: u64,
    ) -> Result<AuthorizedCall, Denied> {
        let parts = &*self.parts;
        found.decision.code = unenforced.as_ref().map(|denial| denial.code().to_owned());
        found.decision.step = unenforced.as_ref().map(|denial| denial.step().name().to_owned());
        // A name that was not proven is none that a tool server should hear.
        let principal = found.decision.subject.clone().filter(|_| found.is_proven).unwrap_or_default();
        found.decision.verdict = Verdict::Allow;
        let facts = found.facts.filter(|_| found.decision.mode == Mode::Enforce.name());
        match parts.ledger.record(Event::Decision(found.decision), now).await {
            Ok(receipt) => {
                let (kernel, started) = (self.clone(), Instant::now());
                Ok(AuthorizedCall { kernel, call, principal, facts, spent, unenforced, receipt, now, started })
            }
            Err(error) => {
                parts.budget.refund(&spent).await;
                Err(Denied { denial: Denial::store_down("receipt", Step::Receipt, &error), receipt: None })
            }
        }
    }

    async fn deny(&self, denial: Denial, mut found: Found, now: u64) -> Denied {
        let ledger = &self.parts.ledger;
        found.decision.verdict = Verdict::Deny;
        found.decision.code = Some(denial.code().to_owned());
        found.decision.step = Some(denial.step().name().to_owned());
        let event = Event::Decision(found.decision);
        let written = if found.is_proven {
            ledger.record(event, now).await.map(Some)
        } else {
            ledger.record_unproven(event, now).await
        };
        if let Err(error) = &written {
            tracing::error!(store = "receipt", "the receipt of a denial could not be written: {error}");
        }
        Denied { denial, receipt: written.ok().flatten().map(Box::new) }
    }
}

/// What a caller presents.
enum Presented<'a> {
    Chain { capability: &'a [u8], proof: Option<&'a [u8]>, is_list: bool },
    Claims(Result<Claims, Denial>),
}

/// What is left of it to verify when the authority stands.
enum Evidence<'a> {
    Proof(Option<&'a [u8]>),
    Scheme { nonce: String, issued_at: u64, proof_hash: Option<Digest> },
}

/// A call that may be dispatched, once. Its receipt is written. Nothing is asked again: what is revoked from now on does
/// not hold it back.
///
/// It cannot be made by hand, and it cannot be dispatched twice:
///
/// ```compile_fail
/// async fn twice(call: chio_kernel::AuthorizedCall) {
///     call.dispatch().await;
///     call.dispatch().await;
/// }
/// ```
/// ```compile_fail
/// fn copy(call: &chio_kernel::AuthorizedCall) -> chio_kernel::AuthorizedCall {
///     call.clone()
/// }
/// ```
/// ```
/// async fn once(call: chio_kernel::AuthorizedCall) {
///     call.dispatch().await;
/// }
/// ```
#[must_use = "an authorized call that is not dispatched leaves a receipt without an outcome"]
pub struct AuthorizedCall {
    kernel: Kernel,
    call: Arc<ToolCall>,
    principal: String,
    facts: Option<Arc<Facts>>,
    spent: Vec<Digest>,
    unenforced: Option<Denial>,
    receipt: Receipt,
    now: u64,
    started: Instant,
}

impl AuthorizedCall {
    /// What is called.
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// Who calls: the text of the subject's key; empty where nothing is verified.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Whether its caller's capability grants a tool of the same tool server, for whatever arguments. A call of
    /// another mode than `enforce` sees every tool, as it may call every tool.
    pub fn sees(&self, tool_name: &str) -> bool {
        let tool_server = self.call.tool_server();
        let definition = || self.kernel.parts.definition(tool_server, tool_name);
        self.facts.as_ref().is_none_or(|facts| grants::name(facts, tool_server, tool_name, &definition))
    }

    /// What the call would have been denied for, were the mode `enforce`.
    pub fn unenforced(&self) -> Option<&Denial> {
        self.unenforced.as_ref()
    }

    /// The receipt of the decision.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Calls the tool server, and writes the receipt of the outcome.
    pub async fn dispatch(self) -> Completed {
        let request = ToolRequest {
            tool_name: self.call.tool_name(),
            arguments: self.call.arguments(),
            principal: &self.principal,
        };
        let parts = &*self.kernel.parts;
        let result = match parts.servers.get(self.call.tool_server()) {
            Some(Server::Here(server)) => {
                match fenced(&*parts.timer, parts.settings.patience.tool_server, || server.call(request)).await {
                    Ok(result) => result,
                    Err(Lapse::TimedOut) => Err(ToolFailure::TimedOut),
                    Err(Lapse::Panicked) => Err(ToolFailure::Failed("it panicked".into())),
                }
            }
            Some(Server::Elsewhere) | None => Err(ToolFailure::NotReached("its caller dispatches to it".into())),
        };
        let status = match &result {
            Ok(_) => OutcomeStatus::Ok,
            Err(ToolFailure::Tool(_)) => OutcomeStatus::ToolError,
            Err(ToolFailure::Failed(_)) => OutcomeStatus::Failed,
            Err(ToolFailure::NotReached(_)) => OutcomeStatus::NotReached,
            Err(ToolFailure::TimedOut) => OutcomeStatus::TimedOut,
        };
        let result_hash = result.as_ref().ok().map(|json| Digest::of(&json.to_canonical_bytes()));
        let receipt = self.finish(status, result_hash).await;
        Completed { result, receipt }
    }

    /// Writes the receipt of the outcome of a call that was dispatched by other means.
    /// Fails where the receipt cannot be written. The call has had its effect all the same.
    pub async fn finish(self, status: OutcomeStatus, result_hash: Option<Digest>) -> Result<Receipt, KernelError> {
        let parts = &*self.kernel.parts;
        if status == OutcomeStatus::NotReached {
            parts.budget.refund(&self.spent).await;
        }
        let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let of = self.receipt.body.sequence;
        // A clock that fails now does not undo what happened: the time of the decision stands in.
        let now = parts.clock.now().unwrap_or(self.now);
        let receipt = parts.ledger.record(Event::Outcome(Outcome { of, status, result_hash, duration_ms }), now).await;
        if let Err(error) = &receipt {
            tracing::error!(store = "receipt", "the receipt of an outcome could not be written: {error}");
        }
        receipt
    }

    /// The same, with the receipt of the decision before that of the outcome. It is signed where the other does not follow
    /// it at once, and so does not cover it by itself.
    pub async fn finish_both(
        self,
        status: OutcomeStatus,
        result_hash: Option<Digest>,
    ) -> Result<[Receipt; 2], KernelError> {
        let (mut decision, key) = (self.receipt.clone(), Arc::clone(&self.kernel.parts.ledger.key));
        let outcome = self.finish(status, result_hash).await?;
        if outcome.body.sequence != decision.body.sequence.saturating_add(1) {
            decision.signature = decision.body.canonical().ok().and_then(|bytes| key.sign(&bytes).ok());
        }
        Ok([decision, outcome])
    }
}

impl fmt::Debug for AuthorizedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizedCall({:?})", self.call)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}
