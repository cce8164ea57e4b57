//! The nonces that were spent.
//!
//! When one expires is decided by the kernels' clocks alone. It is kept for the clock tolerance longer, and whoever comes
//! so late that its nonce may be forgotten is denied.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError, NonceAnswer, NonceClaim, NonceStore};
use redis::Value;
use tokio::time::Instant;

use super::RedisState;
use super::failure::{Failure, number, typed};
use super::link::{Link, Live};

impl NonceStore for RedisState {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        self.link.within(async move {
            match spend(&self.link, &self.entered, &claim).await {
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

/// Spends a nonce: in one round trip, or two where its account is full or something is wrong.
///
/// The nonce is added first, and the epoch asked for after it. So where the epoch is the one that was known before, nothing
/// was lost in between, and what was forgotten until then is in the mark: no script has to hold the others off meanwhile,
/// which takes the server many times as long.
async fn spend(link: &Link, entered: &Entered, claim: &NonceClaim) -> Result<NonceAnswer, Failure> {
    let deadline = link.deadline();
    link.saw(claim.now);
    let live = link.live(deadline).await?;
    let (nonces, account) = (link.keys.nonces(&claim.account), claim.account.to_string());
    let until = number(link.until(claim));
    let mut commands = redis::pipe();
    commands.cmd("ZADD").arg(&nonces).arg("NX").arg(&until).arg(claim.key.as_bytes());
    commands.cmd("ZCARD").arg(&nonces);
    commands.cmd("HMGET").arg(&link.keys.epoch).arg("id").arg("since").arg("nonces");
    let is_entered = entered.has(&live, claim);
    if !is_entered {
        commands.cmd("ZADD").arg(&link.keys.accounts).arg("NX").arg(&until).arg(&account);
    }
    let mut answers = link.ask_all(&live, &commands, deadline).await?;
    answers.truncate(3);
    let (added, held, (id, since, complete)) = typed::<Answers>(Value::Array(answers))?;
    let now = claim.now;
    let answer = match (added, id, since) {
        (_, Some(id), Some(_)) if *id == *live.epoch && now > link.adopted() => {
            let is_complete = complete.is_none_or(|complete| now >= complete);
            match added {
                0 if is_complete => NonceAnswer::Replayed,
                1 if is_complete && held <= link.options.account_quota => {
                    if !is_entered {
                        entered.add(&live, claim);
                    }
                    NonceAnswer::Spent
                }
                _ => settle(link, &live, claim, added == 1, deadline).await?,
            }
        }
        (_, Some(id), Some(_)) if *id == *live.epoch => {
            // The kernel has asked since when nonces are remembered, and was told the time before this one.
            return Err(Failure::new("Redis has lost what it had since the call came"));
        }
        _ => {
            // Whoever asks next is told the new epoch; who is asked for it now need not succeed.
            link.give_up(&live);
            let _ = link.live(deadline).await;
            return Err(Failure::new("Redis has lost what it had: proofs made before are refused from now on"));
        }
    };
    if answer == NonceAnswer::Spent {
        link.replicated(&live, deadline).await?;
        if link.is_to_sweep() {
            // If it fails, the next one does more.
            let _ = sweep(link, &live, claim.now, deadline).await;
        }
    }
    Ok(answer)
}

/// Whether the nonce was added, how many its account has, and of the epoch the id, the beginning and the mark.
type Answers = (u64, u64, (Option<Vec<u8>>, Option<u64>, Option<u64>));

/// The accounts that this connection has entered in the index of those that have nonces, each with the second until which
/// it stays there: as long as the nonce does that it was entered with.
#[derive(Debug, Default)]
pub(super) struct Entered(Mutex<(u64, HashMap<Digest, u64>)>);

impl Entered {
    /// How many accounts are remembered. Where there are more, all are entered again.
    const MOST: usize = 4096;

    fn of(&self, live: &Live) -> MutexGuard<'_, (u64, HashMap<Digest, u64>)> {
        let mut entered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entered.0 != live.number() || entered.1.len() > Self::MOST {
            *entered = (live.number(), HashMap::new());
        }
        entered
    }

    fn has(&self, live: &Live, claim: &NonceClaim) -> bool {
        self.of(live).1.get(&claim.account).is_some_and(|until| claim.now <= *until)
    }

    fn add(&self, live: &Live, claim: &NonceClaim) {
        self.of(live).1.insert(claim.account, claim.until);
    }
}

/// Decides on a claim whose account is full, or that comes late. What it has added is taken back first.
async fn settle(
    link: &Link,
    live: &Live,
    claim: &NonceClaim,
    is_added: bool,
    deadline: Instant,
) -> Result<NonceAnswer, Failure> {
    let account = claim.account.to_string();
    let keys: [&[u8]; 3] = [&link.keys.epoch, &link.keys.accounts, &link.keys.nonces(&claim.account)];
    let is_added: &[u8] = if is_added { b"1" } else { b"0" };
    let arguments = [
        &*live.epoch,
        number(claim.now).as_bytes(),
        number(link.until(claim)).as_bytes(),
        claim.key.as_bytes().as_slice(),
        account.as_bytes(),
        number(link.options.account_quota).as_bytes(),
        link.ended_before(claim.now).as_bytes(),
        &link.keys.nonces_of,
        is_added,
        number(link.adopted()).as_bytes(),
    ]
    .map(<[u8]>::to_vec);
    let arguments = arguments.each_ref().map(Vec::as_slice);
    match link.run_on(live, &link.scripts.settle, &keys, &arguments, deadline).await? {
        Value::Int(0) => Ok(NonceAnswer::Spent),
        Value::Int(1) => Ok(NonceAnswer::Replayed),
        Value::Int(2) => {
            tracing::warn!(
                "a call came too late: is this kernel's clock behind the others' by more than the tolerance?"
            );
            Ok(NonceAnswer::Full)
        }
        Value::Int(3) => Ok(NonceAnswer::QuotaExceeded),
        Value::Int(4) => Err(Failure::new("Redis has lost what it had since the call came")),
        _ => Err(Failure::unexpected()),
    }
}

/// Drops some of what has expired.
async fn sweep(link: &Link, live: &Live, now: u64, deadline: Instant) -> Result<(), Failure> {
    let keys: [&[u8]; 2] = [&link.keys.epoch, &link.keys.accounts];
    let bound = link.ended_before(now);
    let arguments: [&[u8]; 2] = [bound.as_bytes(), &link.keys.nonces_of];
    link.run_on(live, &link.scripts.sweep, &keys, &arguments, deadline).await?;
    Ok(())
}
