//! What the owner of a state asks and changes by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_core::receipt::ChainHead;
use chio_kernel::store::{BoxFuture, KernelError, Standing, key_id};
use redis::Value;

use super::RedisState;
use super::failure::{Failure, number, typed};
use super::{people, records};
use crate::records::{Page, Records, Table};
use crate::state::{self, Kind, Overview, Record, State};

/// How many records a page has, about.
const PAGE: u64 = 500;

/// How many accounts are asked for at a time.
const ACCOUNTS: u64 = 20;

type Line = [Vec<u8>; 5];
type Found = Vec<(Vec<u8>, Vec<u8>)>;

impl RedisState {
    /// Adds records, each as a letter and four members.
    pub(super) async fn put_all(&self, records: &[Line]) -> Result<(), Failure> {
        let (link, keys) = (&self.link, &self.link.keys);
        let all: [&[u8]; 7] = [
            &keys.revoked,
            &keys.standings,
            &keys.suspensions,
            &keys.usage,
            &keys.usage_accounts,
            &keys.accounts,
            &keys.lists,
        ];
        let mut arguments: Vec<&[u8]> =
            vec![&keys.usage_of, &keys.nonces_of, &keys.entries, &keys.entry_ends, &keys.entries_of];
        arguments.extend(records.iter().flatten().map(Vec::as_slice));
        link.change(&link.scripts.put, &all, &arguments).await?;
        Ok(())
    }

    /// One step through a hash or a sorted set.
    async fn scan(&self, command: &str, key: &[u8], cursor: &str, count: u64) -> Result<(String, Found), Failure> {
        let mut scan = redis::cmd(command);
        scan.arg(key).arg(cursor).arg("COUNT").arg(count);
        let (cursor, flat): (String, Vec<Vec<u8>>) = self.link.read(&scan).await?;
        let mut pairs = Vec::new();
        let mut flat = flat.into_iter();
        while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
            pairs.push((key, value));
        }
        Ok((cursor, pairs))
    }

    async fn hash(&self, kind: Kind, key: &[u8], from: Option<String>) -> Result<Page<Record>, Failure> {
        let (cursor, found) = self.scan("HSCAN", key, &from.map_or_else(|| Ok("0".into()), checked)?, PAGE).await?;
        let items = found.iter().map(|(key, value)| record(kind, key, value).ok_or_else(Failure::unexpected));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: (cursor != "0").then_some(cursor) })
    }

    /// Goes through the accounts, and through the nonces of each. `from` is `CURSOR/ACCOUNT,ACCOUNT…/CURSOR`: where to go on
    /// with the accounts, those that are still to be gone through, and where to go on in the first of these.
    async fn nonces(&self, from: Option<String>) -> Result<Page<Record>, Failure> {
        let wrong = || Failure::new("this is no place in the nonces");
        let (outer, accounts, inner) = match &from {
            None => (String::new(), Vec::new(), "0".to_owned()),
            Some(from) => {
                let mut parts = from.splitn(3, '/');
                let (Some(outer), Some(accounts), Some(inner)) = (parts.next(), parts.next(), parts.next()) else {
                    return Err(wrong());
                };
                let accounts = accounts.split(',').filter(|account| !account.is_empty()).map(str::parse::<Digest>);
                let accounts = accounts.collect::<Result<Vec<_>, _>>().map_err(|_| wrong())?;
                let outer = if outer.is_empty() { String::new() } else { checked(outer.to_owned())? };
                (outer, accounts, checked(inner.to_owned())?)
            }
        };
        // An empty cursor at the start; "0" behind the last page of accounts.
        let Some((account, left)) = accounts.split_first() else {
            if outer == "0" {
                return Ok(Page { items: Vec::new(), next: None });
            }
            let start = if outer.is_empty() { "0" } else { &outer };
            let (outer, found) = self.scan("ZSCAN", &self.link.keys.accounts, start, ACCOUNTS).await?;
            let accounts = found.into_iter().map(|(account, _)| String::from_utf8(account));
            let accounts = accounts.collect::<Result<Vec<_>, _>>().map_err(|_| Failure::unexpected())?;
            let next = (outer != "0" || !accounts.is_empty()).then(|| format!("{outer}/{}/0", accounts.join(",")));
            return Ok(Page { items: Vec::new(), next });
        };
        let (inner, found) = self.scan("ZSCAN", &self.link.keys.nonces(account), &inner, PAGE).await?;
        let nonce = |(key, until): &(Vec<u8>, Vec<u8>)| {
            let (key, until) = (digest(key)?, std::str::from_utf8(until).ok()?.parse().ok()?);
            Some(Record::Nonce { key, account: *account, until })
        };
        let items = found.iter().map(|pair| nonce(pair).ok_or_else(Failure::unexpected)).collect::<Result<_, _>>()?;
        let left = if inner == "0" { left } else { accounts.as_slice() };
        let texts: Vec<String> = left.iter().map(Digest::to_string).collect();
        let next = (outer != "0" || !left.is_empty()).then(|| format!("{outer}/{}/{inner}", texts.join(",")));
        Ok(Page { items, next })
    }

    async fn length(&self, command: &str, key: &[u8]) -> Result<u64, Failure> {
        self.link.read(redis::cmd(command).arg(key)).await
    }

    async fn survey(&self) -> Result<Overview, Failure> {
        let (link, keys) = (&self.link, &self.link.keys);
        let (mut nonces, mut cursor) = (0_u64, "0".to_owned());
        loop {
            let deadline = link.deadline();
            let live = link.live(deadline).await?;
            let arguments: [&[u8]; 2] = [cursor.as_bytes(), &keys.nonces_of];
            let answer = link.run_on(&live, &link.scripts.count, &[&keys.accounts], &arguments, deadline).await?;
            let (next, count): (String, u64) = typed(answer)?;
            nonces = nonces.saturating_add(count);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        let mut head = redis::cmd("HMGET");
        head.arg(&keys.head).arg("sequence").arg("digest").arg("key");
        let (sequence, hash, kernel_key): (Option<u64>, Option<String>, Option<String>) = link.read(&head).await?;
        let hash = hash.map(|hash| hash.parse()).transpose().map_err(|_| Failure::unexpected())?;
        let mut records = BTreeMap::new();
        for table in Table::ALL {
            let [of_table, ..] = keys.table(table);
            records.insert(table, self.length("HLEN", &of_table).await?);
        }
        Ok(Overview {
            nonces,
            usage: self.length("HLEN", &keys.usage).await?,
            revocations: self.length("HLEN", &keys.revoked).await?,
            standings: self.length("HLEN", &keys.standings).await?,
            receipts: sequence.zip(hash).map(|(sequence, digest)| ChainHead { sequence, digest }),
            kernel_key,
            unfinished: self.length("ZCARD", &keys.open).await?,
            records,
            remembers_since: link.since(),
            bytes: link.server().await?.bytes,
        })
    }

    async fn lines(&self, after: u64) -> Result<Page<Vec<u8>>, Failure> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.link.keys.receipts).arg(format!("({after}-0")).arg("+").arg("COUNT").arg(PAGE);
        let found: Vec<(String, Vec<Vec<u8>>)> = self.link.read(&range).await?;
        let last = found.last().and_then(|(id, _)| id.split_once('-')).map(|(sequence, _)| sequence.to_owned());
        let is_full = u64::try_from(found.len()).is_ok_and(|count| count >= PAGE);
        let line = |(_, entry): (String, Vec<Vec<u8>>)| entry.into_iter().nth(1).ok_or_else(Failure::unexpected);
        let items = found.into_iter().map(line).collect::<Result<_, _>>()?;
        Ok(Page { items, next: last.filter(|_| is_full) })
    }
}

/// A cursor, which is a number, and nothing else.
pub(super) fn checked(cursor: String) -> Result<String, Failure> {
    let is_number = (1..=20).contains(&cursor.len()) && cursor.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(cursor).ok_or_else(|| Failure::new("this is no place in the records"))
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}

/// A record from the key and the value of its hash.
fn record(kind: Kind, key: &[u8], value: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(value).ok()?;
    Some(match kind {
        Kind::Revocation => {
            let (at, what) = text.split_once(' ')?;
            Record::Revocation { id: digest(key)?, what: what.to_owned(), at: at.parse().ok()? }
        }
        Kind::Standing => {
            let (standing, who) = people::read(value)?;
            let until = match standing {
                Standing::Suspended { until } => Some(until),
                Standing::Banned | Standing::Good => None,
            };
            Record::Standing { id: digest(key)?, who: who.to_owned(), until }
        }
        Kind::Usage => {
            let mut parts = text.splitn(3, ' ');
            let (calls, until) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Record::Usage { grant: digest(key)?, account: parts.next()?.parse().ok()?, calls, until }
        }
        Kind::RevocationList => {
            Record::RevocationList { issuer: std::str::from_utf8(key).ok()?.to_owned(), sequence: text.parse().ok()? }
        }
        Kind::Nonce | Kind::Entry => return None,
    })
}

/// A record as a letter and four members.
fn line(record: Record) -> Line {
    let text = |number_of: u64| number(number_of).into_bytes();
    let bytes = |digest: Digest| digest.as_bytes().to_vec();
    let line = |letter: &[u8], members: [Vec<u8>; 4]| {
        let [one, two, three, four] = members;
        [letter.to_vec(), one, two, three, four]
    };
    match record {
        Record::Revocation { id, what, at } => line(b"r", [bytes(id), text(at), what.into_bytes(), Vec::new()]),
        Record::Standing { id, who, until } => {
            let until = until.map_or(Standing::Banned, |until| Standing::Suspended { until });
            line(b"s", [bytes(id), people::until(until).into_bytes(), who.into_bytes(), Vec::new()])
        }
        Record::Usage { grant, account, calls, until } => {
            line(b"u", [bytes(grant), text(calls), text(until), account.to_string().into_bytes()])
        }
        Record::Nonce { key, account, until } => {
            line(b"n", [bytes(key), text(until), account.to_string().into_bytes(), Vec::new()])
        }
        Record::RevocationList { issuer, sequence } => {
            line(b"v", [issuer.into_bytes(), text(sequence), Vec::new(), Vec::new()])
        }
        Record::Entry { table, key, owner, value, until } => {
            let rest = [table.name().as_bytes(), b" ", &value].concat();
            line(b"e", [bytes(key), records::until(until).into_bytes(), owner.to_string().into_bytes(), rest])
        }
    }
}

impl State for RedisState {
    fn entries(&self) -> &dyn Records {
        self
    }

    fn into_entries(self: Arc<Self>) -> Arc<dyn Records> {
        self
    }

    fn overview(&self) -> BoxFuture<'_, Result<Overview, KernelError>> {
        self.link.within(async move { Ok(self.survey().await?) })
    }

    fn records(&self, kind: Kind, from: Option<String>) -> BoxFuture<'_, Result<Page<Record>, KernelError>> {
        self.link.within(async move {
            let keys = &self.link.keys;
            Ok(match kind {
                Kind::Revocation => self.hash(kind, &keys.revoked, from).await?,
                Kind::Standing => self.hash(kind, &keys.standings, from).await?,
                Kind::Usage => self.hash(kind, &keys.usage, from).await?,
                Kind::RevocationList => self.hash(kind, &keys.lists, from).await?,
                Kind::Nonce => self.nonces(from).await?,
                Kind::Entry => self.listed(from).await?,
            })
        })
    }

    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), KernelError>> {
        self.link.within(async move {
            state::check(&records)?;
            let spends = |record: &Record| matches!(record, Record::Nonce { .. } | Record::Usage { .. });
            if records.iter().any(spends) {
                // Without its epoch every kernel begins another at its next claim, and refuses proofs from before.
                let deadline = self.link.deadline();
                let live = self.link.live(deadline).await?;
                let mut command = redis::cmd("HDEL");
                command.arg(&self.link.keys.epoch).arg("id");
                self.link.ask(&live, &command, deadline).await?;
            }
            let lines: Vec<Line> = records.into_iter().map(line).collect();
            Ok(self.put_all(&lines).await?)
        })
    }

    fn next_list(&self, issuer: &str) -> BoxFuture<'_, Result<u64, KernelError>> {
        let issuer = issuer.to_owned();
        self.link.within(async move {
            let deadline = self.link.deadline();
            let live = self.link.live(deadline).await?;
            let mut command = redis::cmd("HINCRBY");
            command.arg(&self.link.keys.lists).arg(issuer).arg(1);
            let next = typed(self.link.ask(&live, &command, deadline).await?)?;
            self.link.replicated(&live, deadline).await?;
            Ok(next)
        })
    }

    fn unrevoke(&self, id: Digest) -> BoxFuture<'_, Result<bool, KernelError>> {
        self.link.within(async move {
            let deadline = self.link.deadline();
            let live = self.link.live(deadline).await?;
            let mut command = redis::cmd("HDEL");
            command.arg(&self.link.keys.revoked).arg(id.as_bytes());
            let answer = self.link.ask(&live, &command, deadline).await?;
            self.link.replicated(&live, deadline).await?;
            Ok(answer != Value::Int(0))
        })
    }

    fn set_standing(&self, who: &str, standing: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        let who = who.to_owned();
        self.link.within(async move { Ok(people::set(&self.link, key_id(&who), standing, &who, true).await?) })
    }

    fn receipts(&self, after: u64) -> BoxFuture<'_, Result<Page<Vec<u8>>, KernelError>> {
        self.link.within(async move { Ok(self.lines(after).await?) })
    }

    fn compact(&self, now: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        self.link.within(async move {
            let (link, keys) = (&self.link, &self.link.keys);
            let all: [&[u8]; 6] =
                [&keys.epoch, &keys.accounts, &keys.usage, &keys.usage_accounts, &keys.standings, &keys.suspensions];
            let bound = link.ended_before(now);
            let arguments: [&[u8]; 3] = [bound.as_bytes(), &keys.nonces_of, &keys.usage_of];
            while typed::<u64>(link.change(&link.scripts.compact, &all, &arguments).await?)? > 0 {}
            Ok(self.expire(now).await?)
        })
    }
}
