//! The calls of grants.

use chio_core::digest::Digest;
use chio_kernel::store::{Allowance, BoxFuture, KernelError, Spending, UsageStore};
use redis::Value;

use super::RedisState;
use super::failure::{Failure, number};
use super::link::Link;

/// As many as in memory: 2^20 grants, and an eighth of them a root capability.
const MAX_COUNTS: u64 = 1 << 20;
const MAX_COUNTS_OF_ACCOUNT: u64 = MAX_COUNTS / 8;

impl UsageStore for RedisState {
    fn spend<'a>(&'a self, places: &'a [Vec<Allowance>], now: u64) -> BoxFuture<'a, Result<Spending, KernelError>> {
        self.link.within(async move {
            match spend(&self.link, places, now).await {
                Err(Failure::Full) => Ok(Spending::Full),
                answer => Ok(answer?),
            }
        })
    }

    fn refund<'a>(&'a self, grants: &'a [Digest]) -> BoxFuture<'a, Result<(), KernelError>> {
        self.link.within(async move {
            let grants: Vec<&[u8]> = grants.iter().map(|grant| grant.as_bytes().as_slice()).collect();
            self.link.change(&self.link.scripts.refund, &[&self.link.keys.usage], &grants).await?;
            Ok(())
        })
    }
}

async fn spend(link: &Link, places: &[Vec<Allowance>], now: u64) -> Result<Spending, Failure> {
    let mut arguments: Vec<Vec<u8>> = vec![
        number(now).into_bytes(),
        link.ended_before(now).into_bytes(),
        link.keys.usage_of.clone(),
        number(MAX_COUNTS).into_bytes(),
        number(MAX_COUNTS_OF_ACCOUNT).into_bytes(),
        places.len().to_string().into_bytes(),
    ];
    for alternatives in places {
        arguments.push(alternatives.len().to_string().into_bytes());
        for one in alternatives {
            arguments.push(one.grant.as_bytes().to_vec());
            arguments.push(one.account.to_string().into_bytes());
            arguments.push(number(one.limit).into_bytes());
            arguments.push(number(one.until).into_bytes());
        }
    }
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let keys: [&[u8]; 3] = [&link.keys.usage, &link.keys.usage_accounts, &link.keys.epoch];
    let answer = link.change(&link.scripts.spend, &keys, &arguments).await?;
    read(&answer, places).ok_or_else(Failure::unexpected)
}

fn read(answer: &Value, places: &[Vec<Allowance>]) -> Option<Spending> {
    let Value::Array(answer) = answer else { return None };
    let at = |value: &Value| match value {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    match (answer.split_first()?, places.len()) {
        ((Value::Int(0), taken), count) if taken.len() == count => {
            let grants = taken
                .iter()
                .zip(places)
                .map(|(taken, alternatives)| Some(alternatives.get(at(taken)?.checked_sub(1)?)?.grant));
            Some(Spending::Spent(grants.collect::<Option<_>>()?))
        }
        ((Value::Int(1), [place]), _) => Some(Spending::Exhausted { place: at(place)? }),
        ((Value::Int(2), []), _) => Some(Spending::Full),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_script_can_say_is_believed() {
        let one = |name: &[u8]| {
            let grant = Digest::of(name);
            Allowance { grant, account: grant, limit: 1, until: 1 }
        };
        let places = [vec![one(b"a"), one(b"b")], vec![one(b"c")]];
        let said = |numbers: &[i64]| read(&Value::Array(numbers.iter().copied().map(Value::Int).collect()), &places);
        assert_eq!(said(&[0, 2, 1]), Some(Spending::Spent(vec![Digest::of(b"b"), Digest::of(b"c")])));
        assert_eq!(said(&[1, 1]), Some(Spending::Exhausted { place: 1 }));
        assert_eq!(said(&[2]), Some(Spending::Full));
        for wrong in [&[][..], &[0], &[0, 1], &[0, 3, 1], &[0, 0, 1], &[0, -1, 1], &[1], &[2, 1], &[3]] {
            assert_eq!(said(wrong), None, "{wrong:?}");
        }
        assert_eq!(read(&Value::Int(0), &places), None);
    }
}
