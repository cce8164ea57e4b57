//! What an audit is told of: each request that had a token of a known issuer, and what became of it.

use chio_kernel::denial::Denial;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditEvent<'a> {
    /// `allowed`, `replay_blocked`, `expired`, `capability_mismatch`, `limit_reached`, `invalid_proof`, `invalid_token`,
    /// `turned_away` or `not_decided`.
    pub event: &'static str,
    /// The name of the scheme.
    pub scheme: &'static str,
    /// Whom the token is about, by its issuer's word. Only `allowed` says that it was them.
    pub sub: Option<&'a str>,
    /// The `trace` of an E-Key.
    pub trace: Option<&'a str>,
    /// The name of the route.
    pub action: &'a str,
    /// The time, in Unix seconds.
    pub at: u64,
}

/// Is told of events. It must neither wait nor fail.
pub trait Audit: Send + Sync {
    /// Takes note of one.
    fn record(&self, event: &AuditEvent<'_>);
}

/// Events as traces with the target `chio.audit`: what anybody can cause who has bytes to send, at the level of debugging.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracedAudit;

impl Audit for TracedAudit {
    fn record(&self, event: &AuditEvent<'_>) {
        let AuditEvent { event, scheme, sub, trace, action, at } = *event;
        if sub.is_none() {
            tracing::debug!(target: "chio.audit", event, scheme, action, at);
        } else {
            tracing::info!(target: "chio.audit", event, scheme, sub, trace, action, at);
        }
    }
}

/// The name of what a denial is, to an audit.
pub(crate) fn event_of(denial: &Denial) -> &'static str {
    match denial {
        Denial::NonceReplayed => "replay_blocked",
        Denial::CapabilityExpired { .. } | Denial::ProofExpired { .. } => "expired",
        Denial::BudgetExhausted { .. } => "limit_reached",
        Denial::SubjectSuspended { .. } | Denial::SubjectBanned => "turned_away",
        Denial::ToolNotGranted { .. }
        | Denial::ArgumentMissing { .. }
        | Denial::ArgumentNotGranted { .. }
        | Denial::ArgumentConstraintViolated { .. }
        | Denial::GuardDenied { .. } => "capability_mismatch",
        Denial::StoreUnavailable { .. }
        | Denial::ClockUnavailable
        | Denial::NonceStoreFull
        | Denial::NonceQuotaExceeded => "not_decided",
        _ if denial.code().starts_with("capability_") => "invalid_token",
        _ => "invalid_proof",
    }
}
