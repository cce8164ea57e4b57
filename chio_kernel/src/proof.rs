//! Whether the caller holds the key, for this very call, and has not made it before: the one place where it is decided.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_core::dpop::DpopProof;
use chio_core::error::FormatError;

use crate::authority::VerifiedAuthority;
use crate::call::ToolCall;
use crate::config::DpopConfig;
use crate::denial::{Denial, Step};
use crate::dpop::{self, Seen};
use crate::fence::Fence;
use crate::store::NonceStore;

/// A call whose caller is proven, and whose nonce is spent. It says nothing yet of what the caller may do.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing outside this file makes one.
/// let forged = chio_kernel::proof::ProvenCall { authority: todo!(), call: todo!(), proof_hash: None };
/// ```
/// ```
/// // Its name is all that can be had without a kernel.
/// fn takes(_: &chio_kernel::proof::ProvenCall) {}
/// ```
pub struct ProvenCall {
    authority: VerifiedAuthority,
    call: Arc<ToolCall>,
    proof_hash: Option<Digest>,
}

impl ProvenCall {
    pub(crate) fn authority(&self) -> &VerifiedAuthority {
        &self.authority
    }

    pub(crate) fn call(&self) -> &Arc<ToolCall> {
        &self.call
    }

    pub(crate) fn proof_hash(&self) -> Option<Digest> {
        self.proof_hash
    }
}

/// Verifies proofs, and spends their nonces.
pub(crate) struct Prover {
    pub(crate) config: DpopConfig,
    pub(crate) nonces: Arc<dyn NonceStore>,
    pub(crate) fence: Fence,
    /// Since when its nonces were remembered when the kernel started.
    pub(crate) since: Option<u64>,
    /// Drawn at random at the start. A nonce that begins with it was given out since, so no kernel saw it before.
    pub(crate) epoch: Option<String>,
}

impl Prover {
    /// The six steps.
    pub(crate) async fn prove(
        &self,
        authority: VerifiedAuthority,
        call: Arc<ToolCall>,
        proof: Option<&[u8]>,
        now: u64,
    ) -> Result<ProvenCall, Denial> {
        let proof = proof.ok_or(Denial::ProofMissing)?;
        let malformed = |error: FormatError| Denial::ProofMalformed { reason: error.to_string() };
        let (proof, signed) = DpopProof::parse_signed(proof).map_err(malformed)?;
        // Authority that came from another scheme has no key to check a signature with.
        let (subject, key) = authority.facts().subject.as_ref().ok_or(Denial::ProofMissing)?;
        let seen = Seen {
            subject,
            key,
            capability_id: authority.capability_id(),
            tool_server: call.tool_server(),
            tool_name: call.tool_name(),
            action_hash: &call.arguments().digest().to_string(),
        };
        dpop::check(&proof, Ok(&signed), seen, now, &self.config, |body| self.remembers(&body.nonce, body.issued_at))?;
        self.spend(authority.capability_id(), &proof.body.nonce, authority.facts().account, now).await?;
        Ok(ProvenCall { authority, call, proof_hash: Some(Digest::of(&signed)) })
    }

    /// What is left of the six steps when a scheme has done its own: freshness and the nonce.
    pub(crate) async fn prove_by_scheme(
        &self,
        authority: VerifiedAuthority,
        call: Arc<ToolCall>,
        nonce: &str,
        issued_at: u64,
        proof_hash: Option<Digest>,
        now: u64,
    ) -> Result<ProvenCall, Denial> {
        dpop::check_freshness(issued_at, now, &self.config)?;
        self.remembers(nonce, issued_at)?;
        self.spend(authority.capability_id(), nonce, authority.facts().account, now).await?;
        Ok(ProvenCall { authority, call, proof_hash })
    }

    /// What could have been used before the store began to remember must be refused: what is dated up to then *and the
    /// clock skew*. A comparison with then alone would let through what was dated ahead, or signed in the same second.
    fn remembers(&self, nonce: &str, issued_at: u64) -> Result<(), Denial> {
        let asked = || if self.nonces.survives_restart() { self.nonces.remembers_since() } else { self.since };
        let since = catch_unwind(AssertUnwindSafe(asked)).unwrap_or(Some(u64::MAX));
        let Some(begun) = since else { return Ok(()) };
        let accepted_after = begun.saturating_add(self.config.max_clock_skew_secs);
        // Where nonces were lost since the start, one that was given out may be among them.
        let given_out =
            since == self.since && self.epoch.as_ref().is_some_and(|epoch| nonce.starts_with(epoch.as_str()));
        if given_out || issued_at > accepted_after {
            return Ok(());
        }
        Err(Denial::ProofPredatesKernel { issued_at, accepted_after })
    }

    async fn spend(&self, scope: &str, nonce: &str, account: Digest, now: u64) -> Result<(), Denial> {
        let claim = dpop::claim(scope, nonce, account, now, &self.config)?;
        let answer = self.fence.ask(|| self.nonces.spend(claim)).await;
        dpop::spent(answer.map_err(|error| Denial::store_down("nonce", Step::ProofNonce, &error))?)
    }
}
