//! Whether the grants have calls left: spent before dispatch, given back where the call never reached its tool server.

use std::sync::Arc;

use chio_core::digest::Digest;

use crate::denial::{Denial, Step};
use crate::fence::Fence;
use crate::grants::CoveredCall;
use crate::proof::ProvenCall;
use crate::store::{Allowance, KernelError, Spending, UsageStore};

/// Spends calls of grants.
pub(crate) struct Budget {
    pub(crate) usage: Arc<dyn UsageStore>,
    pub(crate) fence: Fence,
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
        if places.is_empty() {
            return Ok(PaidCall { proven: covered.proven, spent: Vec::new() });
        }
        let error = match self.fence.ask(|| self.usage.spend(&places, now)).await {
            Ok(Spending::Spent(spent)) => return Ok(PaidCall { proven: covered.proven, spent }),
            Ok(Spending::Exhausted { place }) => {
                return Err(Denial::BudgetExhausted { token: tokens.get(place).copied().unwrap_or_default() });
            }
            Ok(Spending::Full) => KernelError::new("the capability has as many counts as one may have"),
            Err(error) => error,
        };
        Err(Denial::store_down("usage", Step::Budget, &error))
    }

    /// Where it fails, the call stays spent: too few calls is the safe mistake.
    pub(crate) async fn refund(&self, spent: &[Digest]) {
        if spent.is_empty() {
            return;
        }
        if self.fence.ask(|| self.usage.refund(spent)).await.is_err() {
            tracing::warn!(store = "usage", "a call that never reached its tool server stays spent");
        }
    }
}
