//! The six steps of a proof of possession: pure, synchronous, in the order of the protocol.
//!
//! The synchronous door [`verify_dpop_proof`] is for programs that check a proof and do the rest themselves. A
//! [`crate::Kernel`] does the rest.

use chio_core::capability::CapabilityToken;
use chio_core::crypto::{PreparedKey, PublicKey};
use chio_core::dpop::MAX_NONCE_BYTES;
use chio_core::error::excerpt;

use crate::denial::{Binding, Denial};
use crate::store::{NonceAnswer, NonceClaim, key_id};

pub use crate::config::DpopConfig;
pub use crate::store::DpopNonceStore;
pub use chio_core::dpop::{DPOP_SCHEMA, DpopProof, DpopProofBody, is_supported_dpop_schema};

/// What the kernel sees of the call, which a proof has to match.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) subject: &'a PublicKey,
    pub(crate) key: &'a PreparedKey,
    pub(crate) capability_id: &'a str,
    pub(crate) tool_server: &'a str,
    pub(crate) tool_name: &'a str,
    pub(crate) action_hash: &'a str,
}

/// Steps 1 to 5: everything but the nonce. `signed` is what the signature covers, or why there is no such thing.
/// `extra_freshness` is asked at the end of step 4.
pub(crate) fn check(
    proof: &DpopProof,
    signed: Result<&[u8], String>,
    seen: Seen<'_>,
    now: u64,
    config: &DpopConfig,
    extra_freshness: impl FnOnce(&DpopProofBody) -> Result<(), Denial>,
) -> Result<(), Denial> {
    let body = &proof.body;
    if !is_supported_dpop_schema(&body.schema) {
        return Err(Denial::ProofSchemaUnsupported { found: excerpt(&body.schema) });
    }
    if &body.agent_key != seen.subject {
        return Err(Denial::ProofSenderMismatch);
    }
    for (member, said, is) in [
        (Binding::CapabilityId, body.capability_id.as_str(), seen.capability_id),
        (Binding::ToolServer, &body.tool_server, seen.tool_server),
        (Binding::ToolName, &body.tool_name, seen.tool_name),
        (Binding::ActionHash, &body.action_hash, seen.action_hash),
    ] {
        if said != is {
            return Err(Denial::ProofBindingMismatch { member });
        }
    }
    check_freshness(body.issued_at, now, config)?;
    extra_freshness(body)?;
    let signed = signed.map_err(|reason| Denial::ProofMalformed { reason })?;
    if seen.key.verify(signed, &proof.signature) { Ok(()) } else { Err(Denial::ProofSignatureInvalid) }
}

/// Step 4.
pub(crate) fn check_freshness(issued_at: u64, now: u64, config: &DpopConfig) -> Result<(), Denial> {
    let DpopConfig { proof_ttl_secs, max_clock_skew_secs, .. } = *config;
    if issued_at > now.saturating_add(max_clock_skew_secs) {
        return Err(Denial::ProofFromFuture { issued_at, now, max_clock_skew_secs });
    }
    if now > issued_at.saturating_add(proof_ttl_secs) {
        return Err(Denial::ProofExpired { issued_at, now, proof_ttl_secs });
    }
    Ok(())
}

/// Step 6, but for the store: its form, and for how long it has to be remembered.
///
/// Every nonce of this configuration is remembered equally long, from its first use to the last second at which any
/// proof used now could be fresh. So the oldest in a store is always the next to expire.
pub(crate) fn claim(
    scope: &str,
    nonce: &str,
    account: chio_core::digest::Digest,
    now: u64,
    config: &DpopConfig,
) -> Result<NonceClaim, Denial> {
    if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
        return Err(Denial::NonceMalformed { bytes: nonce.len() });
    }
    let life = config.max_clock_skew_secs.saturating_add(config.proof_ttl_secs);
    Ok(NonceClaim { key: crate::store::nonce_key(scope, nonce), account, now, until: now.saturating_add(life) })
}

/// Step 6: what the answer of the store means.
pub(crate) fn spent(answer: NonceAnswer) -> Result<(), Denial> {
    match answer {
        NonceAnswer::Spent => Ok(()),
        NonceAnswer::Replayed => Err(Denial::NonceReplayed),
        NonceAnswer::Full => Err(Denial::NonceStoreFull),
        NonceAnswer::QuotaExceeded => Err(Denial::NonceQuotaExceeded),
    }
}

/// Verifies a proof against a capability and a call, and spends its nonce, by the clock of the operating system.
///
/// `action_hash` is the digest of the arguments ([`chio_core::digest::Arguments::digest`]): hash them yourself. The
/// nonce is remembered for as long as `config` lets the proof be fresh, whatever the `ttl` of the store.
///
/// This is steps 1 to 6 and nothing else: it says that the holder of the capability's key made this call, once. It does
/// **not** say that the capability holds (issuer, window, chain, revocation, grants), and it cannot know which proofs
/// were used before the store was made. [`crate::Kernel`] does both.
/// Fails with the reason of the first step that does not hold.
pub fn verify_dpop_proof(
    proof: &DpopProof,
    capability: &CapabilityToken,
    tool_server: &str,
    tool_name: &str,
    action_hash: &str,
    store: &DpopNonceStore,
    config: &DpopConfig,
) -> Result<(), Denial> {
    let now = store.now().map_err(|_| Denial::ClockUnavailable)?;
    let key = capability.subject.prepare();
    let key = key.map_err(|error| Denial::CapabilityMalformed { reason: error.to_string() })?;
    let seen = Seen {
        subject: &capability.subject,
        key: &key,
        capability_id: &capability.id,
        tool_server,
        tool_name,
        action_hash,
    };
    let signed = proof.body.canonical();
    check(proof, signed.as_deref().map_err(ToString::to_string), seen, now, config, |_| Ok(()))?;
    let account = key_id(&capability.id);
    spent(store.claim(&claim(&capability.id, &proof.body.nonce, account, now, config)?))
}
