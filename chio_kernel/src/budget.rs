//! Whether the grants have calls left: spent before dispatch, given back where the call never reached its tool server.

use std::sync::Arc;
use std::time::Duration;

use chio_core::digest::Digest;

use crate::clock::Timer;
use crate::denial::{Denial, Step};
use crate::fence::fenced;
use crate::grants::CoveredCall;
use crate::proof::ProvenCall;
use crate::store::{Allowance, Spending, UsageStore};

/// Spends calls of grants.
pub(crate) struct Budget {
    pub(crate) usage: Arc<dyn UsageStore>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) patience: Duration,
}

/// A call for which its grants are spent.
pub(crate) struct PaidCall {
    pub(crate) proven: ProvenCall,
    pub(crate) spent: Vec<Digest>,
}

impl Budget {
    pub(crate) async fn spend(&self, covered: CoveredCall, now: u64) -> Result<PaidCall, Denial> {
        let (tokens, places): (Vec<usize>, Vec<Vec<Allowance>>) =
            covered.places.into_iter().map(|place| (place.token, place.alternatives)).unzip();
        let down = |reason: String| Denial::StoreUnavailable { store: "usage", step: Step::Budget, reason };
        if places.is_empty() {
            return Ok(PaidCall { proven: covered.proven, spent: Vec::new() });
        }
        match fenced(&*self.timer, Some(self.patience), || self.usage.spend(&places, now)).await {
            Ok(Ok(Spending::Spent(spent))) => Ok(PaidCall { proven: covered.proven, spent }),
            Ok(Ok(Spending::Exhausted { place })) => {
                Err(Denial::BudgetExhausted { token: tokens.get(place).copied().unwrap_or_default() })
            }
            Ok(Ok(Spending::Full)) => Err(down("the capability has as many counts as one may have".into())),
            Ok(Err(error)) => Err(down(error.to_string())),
            Err(lapse) => Err(down(lapse.to_string())),
        }
    }

    /// Where it fails, the call stays spent: too few calls is the safe mistake.
    pub(crate) async fn refund(&self, spent: &[Digest]) {
        if spent.is_empty() {
            return;
        }
        let refunded = fenced(&*self.timer, Some(self.patience), || self.usage.refund(spent)).await;
        if !matches!(refunded, Ok(Ok(()))) {
            tracing::warn!(store = "usage", "a call that never reached its tool server stays spent");
        }
    }
}
