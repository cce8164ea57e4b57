//! Whether the kernel's owner has turned the caller away, and what attacks lead to.

use std::time::Duration;

use chio_core::digest::Digest;

use crate::authority::VerifiedAuthority;
use crate::clock::Timer;
use crate::config::{Response, ThreatResponse};
use crate::denial::{Denial, Step};
use crate::fence::fenced;
use crate::store::{Standing, StandingStore};

/// Asks for the standing of the subject and of every issuer.
pub(crate) async fn check(
    authority: &VerifiedAuthority,
    store: &dyn StandingStore,
    timer: &dyn Timer,
    patience: Duration,
    now: u64,
) -> Result<(), Denial> {
    let down = |reason: String| Denial::StoreUnavailable { store: "standing", step: Step::Standing, reason };
    match fenced(timer, Some(patience), || store.worst(authority.principals(), now)).await {
        Ok(Ok(Standing::Good)) => Ok(()),
        Ok(Ok(Standing::Suspended { until })) if until <= now => Ok(()),
        Ok(Ok(Standing::Suspended { until })) => Err(Denial::SubjectSuspended { until }),
        Ok(Ok(Standing::Banned)) => Err(Denial::SubjectBanned),
        Ok(Err(error)) => Err(down(error.to_string())),
        Err(lapse) => Err(down(lapse.to_string())),
    }
}

/// Does what the configuration says a denial leads to. The call is denied whatever comes of it.
pub(crate) async fn respond(
    denial: &Denial,
    subject: Digest,
    threat: &ThreatResponse,
    store: &dyn StandingStore,
    timer: &dyn Timer,
    patience: Duration,
    now: u64,
) {
    let response = match denial {
        Denial::NonceReplayed => threat.replay,
        Denial::ProofSignatureInvalid if threat.signature != Response::Report => {
            let count = fenced(timer, Some(patience), || store.count_failure(subject, now)).await;
            let reached = matches!(count, Ok(Ok(count)) if count >= threat.signature_failures);
            if reached { threat.signature } else { Response::Report }
        }
        _ => Response::Report,
    };
    let standing = match response {
        Response::Report => return,
        Response::Suspend { seconds } => Standing::Suspended { until: now.saturating_add(seconds) },
        Response::Ban => Standing::Banned,
    };
    let set = fenced(timer, Some(patience), || store.worsen(subject, standing, now)).await;
    if !matches!(set, Ok(Ok(()))) {
        tracing::error!(store = "standing", "the response to an attack could not be stored");
    }
}
