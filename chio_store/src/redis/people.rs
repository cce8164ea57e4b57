//! What is revoked, and who is suspended or banned.

use chio_core::digest::Digest;
use chio_kernel::store::{BoxFuture, KernelError, RevocationStore, Standing, StandingStore};
use redis::{Cmd, Value};

use super::RedisState;
use super::failure::{Failure, number};
use super::link::Link;

/// As many as in memory: the standings that attacks can lead to, and the principals whose failures are counted.
const MAX_STANDINGS: u64 = 65_536;

/// Members of a hash, in one go.
fn members(hash: &[u8], ids: &[Digest]) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(hash);
    for id in ids {
        command.arg(id.as_bytes());
    }
    command
}

impl RevocationStore for RedisState {
    fn first_revoked<'a>(&'a self, ids: &'a [Digest]) -> BoxFuture<'a, Result<Option<usize>, KernelError>> {
        self.link.within(async move {
            if ids.is_empty() {
                return Ok(None);
            }
            let found: Vec<Option<Vec<u8>>> = self.link.read(&members(&self.link.keys.revoked, ids)).await?;
            if found.len() != ids.len() {
                return Err(Failure::unexpected().into());
            }
            Ok(found.iter().position(Option::is_some))
        })
    }

    fn revoke(&self, id: Digest) -> BoxFuture<'_, Result<(), KernelError>> {
        self.link.within(async move {
            let at = self.link.now().map_err(|error| KernelError::new(error.to_string()))?;
            self.put_all(&[[b"r".to_vec(), id.as_bytes().to_vec(), number(at).into_bytes(), Vec::new(), Vec::new()]])
                .await?;
            Ok(())
        })
    }
}

/// A standing as a number: until when, -1 for a ban, 0 for none.
pub(super) fn until(standing: Standing) -> String {
    match standing {
        Standing::Good => "0".into(),
        Standing::Suspended { until } => number(until),
        Standing::Banned => "-1".into(),
    }
}

/// Reads a standing, and whose it is.
pub(super) fn read(value: &[u8]) -> Option<(Standing, &str)> {
    let (until, who) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let standing = if until == "-1" { Standing::Banned } else { Standing::Suspended { until: until.parse().ok()? } };
    Some((standing, who))
}

fn worse(a: Standing, b: Standing, now: u64) -> Standing {
    let end = |standing| match standing {
        Standing::Good => now,
        Standing::Suspended { until } => until,
        Standing::Banned => u64::MAX,
    };
    match end(a).max(end(b)) {
        u64::MAX => Standing::Banned,
        until if until > now => Standing::Suspended { until },
        _ => Standing::Good,
    }
}

impl StandingStore for RedisState {
    fn worst<'a>(&'a self, principals: &'a [Digest], now: u64) -> BoxFuture<'a, Result<Standing, KernelError>> {
        self.link.within(async move {
            if principals.is_empty() {
                return Ok(Standing::Good);
            }
            let found: Vec<Option<Vec<u8>>> = self.link.read(&members(&self.link.keys.standings, principals)).await?;
            if found.len() != principals.len() {
                return Err(Failure::unexpected().into());
            }
            let read = |value: Vec<u8>| read(&value).map(|(standing, _)| standing).ok_or_else(Failure::unexpected);
            let standings = found.into_iter().flatten().map(read).collect::<Result<Vec<_>, _>>()?;
            Ok(standings.into_iter().fold(Standing::Good, |a, b| worse(a, b, now)))
        })
    }

    fn worsen(&self, principal: Digest, standing: Standing, now: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        self.link.within(async move {
            let link = &self.link;
            match link
                .change(
                    &link.scripts.worsen,
                    &[&link.keys.standings, &link.keys.suspensions],
                    &[
                        principal.as_bytes(),
                        until(standing).as_bytes(),
                        number(now).as_bytes(),
                        number(MAX_STANDINGS).as_bytes(),
                        link.ended_before(now).as_bytes(),
                    ],
                )
                .await?
            {
                Value::Int(0) => Ok(()),
                Value::Int(1) => Err(KernelError::new("there is no room for another standing")),
                _ => Err(Failure::unexpected().into()),
            }
        })
    }

    fn set(&self, principal: Digest, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        self.link.within(async move { Ok(set(&self.link, principal, standing, "", false).await?) })
    }

    fn count_failure(&self, principal: Digest, now: u64, forgive: u64) -> BoxFuture<'_, Result<u64, KernelError>> {
        self.link.within(async move {
            let link = &self.link;
            let keys: [&[u8]; 2] = [&link.keys.failures, &link.keys.failed_last];
            match link
                .change(
                    &link.scripts.count_failure,
                    &keys,
                    &[
                        principal.as_bytes(),
                        number(now).as_bytes(),
                        number(forgive).as_bytes(),
                        number(MAX_STANDINGS).as_bytes(),
                    ],
                )
                .await?
            {
                Value::Int(count) => Ok(u64::try_from(count).map_err(|_| Failure::unexpected())?),
                _ => Err(Failure::unexpected().into()),
            }
        })
    }
}

/// Sets a standing, for better or worse.
pub(super) async fn set(
    link: &Link,
    who: Digest,
    standing: Standing,
    name: &str,
    forgives: bool,
) -> Result<(), Failure> {
    let forgives: &[u8] = if forgives { b"1" } else { b"0" };
    let keys: [&[u8]; 4] = [&link.keys.standings, &link.keys.suspensions, &link.keys.failures, &link.keys.failed_last];
    link.change(
        &link.scripts.set_standing,
        &keys,
        &[who.as_bytes(), until(standing).as_bytes(), name.as_bytes(), forgives],
    )
    .await?;
    Ok(())
}
