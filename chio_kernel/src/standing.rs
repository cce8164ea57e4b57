//! Whether the kernel's owner has turned the caller away, and what attacks lead to.

use chio_core::digest::Digest;

use crate::authority::VerifiedAuthority;
use crate::config::{Response, ThreatResponse};
use crate::denial::{Denial, Step};
use crate::fence::Fence;
use crate::store::{Standing, StandingStore};

/// Asks for the standing of the subject and of every issuer.
pub(crate) async fn check(
    authority: &VerifiedAuthority,
    store: &dyn StandingStore,
    fence: &Fence,
    now: u64,
) -> Result<(), Denial> {
    match fence.ask(|| store.worst(&authority.facts().principals, now)).await {
        Ok(Standing::Good) => Ok(()),
        Ok(Standing::Suspended { until }) if until <= now => Ok(()),
        Ok(Standing::Suspended { until }) => Err(Denial::SubjectSuspended { until }),
        Ok(Standing::Banned) => Err(Denial::SubjectBanned),
        Err(error) => Err(Denial::store_down("standing", Step::Standing, &error)),
    }
}

/// Does what the configuration says a denial leads to. The call is denied whatever comes of it.
pub(crate) async fn respond(
    denial: &Denial,
    [subject, root]: [Digest; 2],
    threat: &ThreatResponse,
    store: &dyn StandingStore,
    fence: &Fence,
    now: u64,
) {
    let root_signature = if root == subject { Response::Report } else { threat.root_signature };
    let responses: &[_] = match denial {
        Denial::NonceReplayed => &[(subject, threat.replay, 0)],
        Denial::ProofSignatureInvalid => &[
            (subject, threat.signature, threat.signature_failures),
            (root, root_signature, threat.root_signature_failures),
        ],
        _ => &[],
    };
    for &(principal, response, failures) in responses {
        let standing = match response {
            Response::Report => continue,
            Response::Suspend { seconds } => Standing::Suspended { until: now.saturating_add(seconds) },
            Response::Ban => Standing::Banned,
        };
        if failures > 0 {
            let count = fence.ask(|| store.count_failure(principal, now, threat.forgiven_after_secs)).await;
            if !count.is_ok_and(|count| count >= failures) {
                continue;
            }
        }
        if fence.ask(|| store.worsen(principal, standing, now)).await.is_err() {
            tracing::error!(store = "standing", "the response to an attack could not be stored");
        }
    }
}
