//! The nonces that were spent.
//!
//! When one expires is decided by the kernels' clocks alone. It is kept for the clock tolerance longer, and whoever comes
//! so late that its nonce may be forgotten is denied.

use chio_kernel::store::{BoxFuture, KernelError, NonceAnswer, NonceClaim, NonceStore};
use redis::Value;

use super::RedisState;
use super::link::{Failure, Link, number};

impl NonceStore for RedisState {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        self.link.within(async move {
            match spend(&self.link, &claim).await {
                Err(Failure::Full) => Ok(NonceAnswer::Full),
                answer => Ok(answer?),
            }
        })
    }

    fn survives_restart(&self) -> bool {
        true
    }

    fn remembers_since(&self) -> Option<u64> {
        Some(self.link.since())
    }
}

async fn spend(link: &Link, claim: &NonceClaim) -> Result<NonceAnswer, Failure> {
    let deadline = link.deadline();
    link.saw(claim.now);
    let live = link.live(deadline).await?;
    let account = claim.account.to_string();
    let keys: [&[u8]; 3] = [&link.keys.epoch, &link.keys.accounts, &link.keys.nonces(&claim.account)];
    let answer = match link
        .run_on(
            &live,
            &link.scripts.claim,
            &keys,
            &[
                &live.epoch,
                number(claim.now).as_bytes(),
                number(claim.until).as_bytes(),
                claim.key.as_bytes(),
                account.as_bytes(),
                number(link.options.account_quota).as_bytes(),
                link.ended_before(claim.now).as_bytes(),
                &link.keys.nonces_of,
            ],
            deadline,
        )
        .await?
    {
        Value::Int(0) => NonceAnswer::Spent,
        Value::Int(1) => NonceAnswer::Replayed,
        Value::Int(2) => {
            tracing::warn!(
                "a call came too late: is the clock of this kernel behind the others' by more than the tolerance?"
            );
            NonceAnswer::Full
        }
        Value::Int(3) => NonceAnswer::QuotaExceeded,
        Value::Int(4) => {
            // Whoever asks next is told the new epoch; who is asked for it now need not succeed.
            link.give_up(&live);
            let _ = link.live(deadline).await;
            return Err(Failure::new("Redis has lost what it had: proofs made before are refused from now on"));
        }
        // The kernel has asked since when nonces are remembered, and was told the time before this one.
        Value::Int(5) => return Err(Failure::new("Redis has lost what it had since the call came")),
        _ => return Err(Failure::unexpected()),
    };
    if answer == NonceAnswer::Spent {
        link.replicated(&live, deadline).await?;
    }
    Ok(answer)
}
