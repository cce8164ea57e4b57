//! Every store answers as the one in memory does, whatever is asked in whatever order, and a restart changes nothing.

use chio_core::digest::Digest;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{
    Allowance, DpopNonceStore, MemoryRevocations, MemoryStandings, MemoryUsage, NonceClaim, NonceStore,
    RevocationStore, Standing, StandingStore, UsageStore, key_id,
};
use chio_store::{RedisOptions, RedisState, SqliteOptions, SqliteState};
use chio_tests::world::NOW;
use pollster::block_on;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use crate::server::{self, Redis};

/// What is asked, of few enough things that they meet.
#[derive(Clone, Debug)]
enum Ask {
    Nonce { nonce: u8, later: u8 },
    Spend { places: Vec<Vec<(u8, u8)>> },
    Refund { grant: u8 },
    Revoke { id: u8 },
    FirstRevoked { ids: Vec<u8> },
    Worsen { who: u8, standing: Option<u8> },
    Set { who: u8, standing: Option<Option<u8>> },
    Worst { who: Vec<u8> },
    Failure { who: u8, later: u8, forgive: u8 },
    Restart,
}

fn ask() -> impl Strategy<Value = Ask> {
    let small = || 0..6_u8;
    let some = move || proptest::collection::vec(small(), 0..4);
    prop_oneof![
        6 => (0..40_u8, 0..4_u8).prop_map(|(nonce, later)| Ask::Nonce { nonce, later }),
        4 => proptest::collection::vec(proptest::collection::vec((small(), 0..4_u8), 1..3), 1..4)
            .prop_map(|places| Ask::Spend { places }),
        1 => small().prop_map(|grant| Ask::Refund { grant }),
        1 => small().prop_map(|id| Ask::Revoke { id }),
        2 => some().prop_map(|ids| Ask::FirstRevoked { ids }),
        1 => (small(), proptest::option::of(0..9_u8)).prop_map(|(who, standing)| Ask::Worsen { who, standing }),
        1 => (small(), proptest::option::of(proptest::option::of(0..9_u8)))
            .prop_map(|(who, standing)| Ask::Set { who, standing }),
        2 => some().prop_map(|who| Ask::Worst { who }),
        2 => (small(), 0..9_u8, 0..9_u8).prop_map(|(who, later, forgive)| Ask::Failure { who, later, forgive }),
        1 => Just(Ask::Restart),
    ]
}

fn id(number: u8) -> Digest {
    key_id(&number.to_string())
}

/// A suspension for so many seconds, or a ban.
fn standing(until: Option<u8>) -> Standing {
    until.map_or(Standing::Banned, |seconds| Standing::Suspended { until: NOW + u64::from(seconds) })
}

/// The answer, as a text.
fn answer<S: NonceStore + UsageStore + RevocationStore + StandingStore>(store: &S, ask: &Ask, now: u64) -> String {
    match ask {
        Ask::Nonce { nonce, .. } => {
            // A nonce is of one capability, and that of one account.
            let claim = NonceClaim { key: id(*nonce), account: id(*nonce % 3), now, until: now + 330 };
            format!("{:?}", block_on(NonceStore::spend(store, claim)))
        }
        Ask::Spend { places } => {
            // A grant stands at one place alone, and has one limit.
            let mut seen = std::collections::HashSet::new();
            let allowance = |place: usize, (grant, limit): &(u8, u8)| Allowance {
                grant: key_id(&format!("{place} {grant}")),
                account: id(0),
                limit: u64::from(*limit),
                until: NOW + 100_000,
            };
            let places: Vec<Vec<_>> = (0..)
                .zip(places)
                .map(|(place, all)| {
                    all.iter().map(|one| allowance(place, one)).filter(|one| seen.insert(one.grant)).collect()
                })
                .collect();
            format!("{:?}", block_on(UsageStore::spend(store, &places, now)))
        }
        Ask::Refund { grant } => format!("{:?}", block_on(store.refund(&[key_id(&format!("0 {grant}"))]))),
        Ask::Revoke { id: number } => format!("{:?}", block_on(store.revoke(id(*number)))),
        Ask::FirstRevoked { ids } => {
            let ids: Vec<_> = ids.iter().map(|number| id(*number)).collect();
            format!("{:?}", block_on(store.first_revoked(&ids)))
        }
        Ask::Worsen { who, standing: to } => format!("{:?}", block_on(store.worsen(id(*who), standing(*to), now))),
        Ask::Set { who, standing: to } => {
            let to = to.map_or(Standing::Good, standing);
            format!("{:?}", block_on(store.set(id(*who), to)))
        }
        Ask::Worst { who } => {
            let who: Vec<_> = who.iter().map(|number| id(*number)).collect();
            format!("{:?}", block_on(store.worst(&who, now)))
        }
        Ask::Failure { who, forgive, .. } => {
            format!("{:?}", block_on(store.count_failure(id(*who), now, u64::from(*forgive))))
        }
        Ask::Restart => String::new(),
    }
}

/// All of the stores in memory, as one.
struct Memory {
    nonces: DpopNonceStore,
    usage: MemoryUsage,
    revocations: MemoryRevocations,
    standings: MemoryStandings,
}

macro_rules! as_part {
    ($($trait:ident . $part:ident { $($name:ident<$life:lifetime>($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {$(
        impl $trait for Memory {$(
            fn $name<$life>(&$life self, $($arg: $type),*) -> chio_kernel::store::BoxFuture<$life, Result<$answer, chio_kernel::store::KernelError>> {
                self.$part.$name($($arg),*)
            }
        )*}
    )*};
}

impl NonceStore for Memory {
    fn spend(
        &self,
        claim: NonceClaim,
    ) -> chio_kernel::store::BoxFuture<'_, Result<chio_kernel::store::NonceAnswer, chio_kernel::store::KernelError>>
    {
        NonceStore::spend(&self.nonces, claim)
    }

    fn survives_restart(&self) -> bool {
        true
    }
}

as_part! {
    UsageStore.usage {
        spend<'a>(places: &'a [Vec<Allowance>], now: u64) -> chio_kernel::store::Spending;
        refund<'a>(grants: &'a [Digest]) -> ();
    }
    RevocationStore.revocations {
        first_revoked<'a>(ids: &'a [Digest]) -> Option<usize>;
        revoke<'a>(id: Digest) -> ();
    }
    StandingStore.standings {
        worst<'a>(principals: &'a [Digest], now: u64) -> Standing;
        worsen<'a>(principal: Digest, standing: Standing, now: u64) -> ();
        set<'a>(principal: Digest, standing: Standing) -> ();
        count_failure<'a>(principal: Digest, now: u64, forgive: u64) -> u64;
    }
}

impl Memory {
    fn new() -> Self {
        Self {
            nonces: DpopNonceStore::new(CAPACITY, std::time::Duration::ZERO),
            usage: MemoryUsage::default(),
            revocations: MemoryRevocations::default(),
            standings: MemoryStandings::default(),
        }
    }
}

/// How many nonces are remembered: so few that accounts meet their quota, an eighth of it.
const CAPACITY: usize = 32;

#[test]
fn a_file_and_redis_answer_as_memory_does() {
    let (redis, runtime) = (Redis::start(&[]), Runtime::new().unwrap());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() });
    let number = std::cell::Cell::new(0);
    let ran = runner.run(&proptest::collection::vec(ask(), 0..60), |asked| {
        number.set(number.get() + 1);
        let (folder, memory) = (tempfile::tempdir().unwrap(), Memory::new());
        let path = folder.path().join("state.db");
        let open = || SqliteState::open(&SqliteOptions { nonce_capacity: CAPACITY, ..crate::options(&path) }).unwrap();
        let connect = || {
            let redis = redis.as_ref()?;
            let options = server::options(redis, "a", &ManualClock::at(server::START));
            let prefix = format!("model {}", number.get()).replace(' ', "-");
            let options = RedisOptions { prefix, account_quota: (CAPACITY / 8) as u64, ..options };
            Some(runtime.block_on(RedisState::connect(options)).unwrap())
        };
        let (mut file, mut shared) = (open(), connect());
        let mut now = NOW;
        for ask in &asked {
            // Within the time in which nothing is forgotten yet, which each store does in its own steps.
            if let Ask::Nonce { later, .. } | Ask::Failure { later, .. } = ask {
                now += u64::from(*later);
            }
            if matches!(ask, Ask::Restart) {
                drop(file);
                (file, shared) = (open(), connect());
            }
            let expected = answer(&memory, ask, now);
            prop_assert_eq!(answer(&file, ask, now), &*expected, "the file, {:?} of {:?}", ask, &asked);
            if let Some(shared) = &shared {
                prop_assert_eq!(answer(shared, ask, now), &*expected, "Redis, {:?} of {:?}", ask, &asked);
            }
        }
        Ok(())
    });
    ran.unwrap();
}
