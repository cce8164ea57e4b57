//! Records: every store answers as a plain map does, whoever asks it, and of several who want the same one has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chio_core::digest::Digest;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::{Allowance, KernelError, NonceClaim, NonceStore, Spending, UsageStore, key_id};
use chio_store::{
    Entry, Kind, MAX_VALUE_BYTES, MemoryRecords, PAGE, Page, Put, Record, Records, RedisOptions, RedisState, Room,
    SqliteState, State, Table,
};
use chio_tests::world::NOW;
use pollster::block_on;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use crate::server::{self, Redis};
use crate::{open, options};

/// What is asked, of few enough things that they meet.
#[derive(Clone, Debug)]
enum Ask {
    Put { table: Table, key: u8, owner: u8, value: u8, replaces: Expects, life: Option<u8>, room: Room },
    Get { table: Table, key: u8 },
    Take { table: Table, key: u8 },
    List { table: Table, owner: Option<u8> },
    Later(u8),
    Restart,
}

/// What a put expects to be there.
#[derive(Clone, Copy, Debug)]
enum Expects {
    Nothing,
    WhatIsThere,
    Value(u8),
}

fn ask() -> impl Strategy<Value = Ask> {
    let table = || prop_oneof![Just(Table::Session), Just(Table::Device), Just(Table::Challenge)];
    let (key, owner) = (|| 0..6_u8, || 0..3_u8);
    let expects = prop_oneof![
        4 => Just(Expects::Nothing),
        3 => Just(Expects::WhatIsThere),
        1 => (0..4_u8).prop_map(Expects::Value)
    ];
    let room = (0..6_u64, 0..4_u64).prop_map(|(table, owner)| Room { table, owner });
    let put = (table(), key(), owner(), 0..4_u8, expects, proptest::option::of(0..9_u8), room);
    prop_oneof![
        8 => put.prop_map(|(table, key, owner, value, replaces, life, room)| {
            Ask::Put { table, key, owner, value, replaces, life, room }
        }),
        4 => (table(), key()).prop_map(|(table, key)| Ask::Get { table, key }),
        2 => (table(), key()).prop_map(|(table, key)| Ask::Take { table, key }),
        2 => (table(), proptest::option::of(owner())).prop_map(|(table, owner)| Ask::List { table, owner }),
        2 => (0..5_u8).prop_map(Ask::Later),
        1 => Just(Ask::Restart),
    ]
}

fn id(number: u8) -> Digest {
    key_id(&number.to_string())
}

fn entry(key: u8, owner: u8, value: &[u8], until: Option<u64>) -> Entry {
    Entry { key: id(key), owner: id(owner), value: value.to_vec(), until }
}

/// A value with everything in it that could be taken for something else.
fn value(number: u8) -> Vec<u8> {
    [b"inf 7 \0\n\xff ".as_slice(), &[number, 0]].concat()
}

/// The plain map.
#[derive(Default)]
struct Model(BTreeMap<(Table, [u8; 32]), Entry>);

impl Model {
    fn live(&self, table: Table, now: u64) -> Vec<Entry> {
        let of_table = self.0.iter().filter(|((of, _), _)| *of == table).map(|(_, entry)| entry);
        of_table.filter(|entry| entry.until.is_none_or(|until| until > now)).cloned().collect()
    }

    fn get(&self, table: Table, key: Digest, now: u64) -> Option<Entry> {
        self.live(table, now).into_iter().find(|entry| entry.key == key)
    }

    fn put(&mut self, table: Table, entry: Entry, replaces: Option<&[u8]>, room: Room, now: u64) -> Put {
        let (live, there) = (self.live(table, now), self.get(table, entry.key, now));
        let count = |is: &dyn Fn(&Entry) -> bool| live.iter().filter(|entry| is(entry)).count() as u64;
        if there.as_ref().map(|there| &*there.value) != replaces {
            Put::Differs
        } else if there.is_none() && count(&|_| true) >= room.table {
            Put::Full
        } else if there.is_none_or(|there| there.owner != entry.owner)
            && count(&|one| one.owner == entry.owner) >= room.owner
        {
            Put::OwnerFull
        } else {
            self.0.insert((table, entry.key.0), entry);
            Put::Kept
        }
    }

    /// The answer, as a text.
    fn answer(&mut self, ask: &Ask, now: u64) -> String {
        match ask {
            Ask::Put { table, key, replaces, room, .. } => {
                let (entry, replaces) = (self.asked(ask, now), self.expected(*table, *key, *replaces, now));
                format!("{:?}", self.put(*table, entry, replaces.as_deref(), *room, now))
            }
            Ask::Get { table, key } => format!("{:?}", self.get(*table, id(*key), now)),
            Ask::Take { table, key } => {
                let there = self.get(*table, id(*key), now);
                self.0.remove(&(*table, id(*key).0));
                format!("{there:?}")
            }
            Ask::List { table, owner } => {
                let owned = |entry: &Entry| owner.is_none_or(|owner| entry.owner == id(owner));
                let mut live = self.live(*table, now);
                live.retain(owned);
                format!("{live:?}")
            }
            Ask::Later(_) | Ask::Restart => String::new(),
        }
    }

    fn asked(&self, ask: &Ask, now: u64) -> Entry {
        let Ask::Put { key, owner, value: number, life, .. } = ask else { panic!("it is no put") };
        entry(*key, *owner, &value(*number), life.map(|life| now + u64::from(life)))
    }

    fn expected(&self, table: Table, key: u8, expects: Expects, now: u64) -> Option<Vec<u8>> {
        match expects {
            Expects::Nothing => None,
            Expects::WhatIsThere => self.get(table, id(key), now).map(|there| there.value),
            Expects::Value(number) => Some(value(number)),
        }
    }
}

fn all(store: &dyn Records, table: Table, owner: Option<Digest>, now: u64) -> Vec<Entry> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let Page { items, next } = block_on(store.list(table, owner, from, now)).unwrap();
        all.extend(items);
        from = next;
        if from.is_none() {
            break;
        }
    }
    all.sort_by_key(|entry: &Entry| entry.key.0);
    all.dedup();
    all
}

/// The answer of a store, as a text; the model says what a put means.
fn answer(store: &dyn Records, model: &Model, ask: &Ask, now: u64) -> String {
    match ask {
        Ask::Put { table, key, replaces, room, .. } => {
            let (entry, replaces) = (model.asked(ask, now), model.expected(*table, *key, *replaces, now));
            format!("{:?}", block_on(store.put(*table, entry, replaces.as_deref(), *room, now)).unwrap())
        }
        Ask::Get { table, key } => format!("{:?}", block_on(store.get(*table, id(*key), now)).unwrap()),
        Ask::Take { table, key } => format!("{:?}", block_on(store.take(*table, id(*key), now)).unwrap()),
        Ask::List { table, owner } => format!("{:?}", all(store, *table, owner.map(id), now)),
        Ask::Later(_) | Ask::Restart => String::new(),
    }
}

/// A state of a kernel, and what stands beside it.
fn two(path: &Path) -> [SqliteState; 2] {
    [SqliteState::open(&options(path)).unwrap(), SqliteState::beside(&options(path)).unwrap()]
}

fn connect(redis: &Redis, runtime: &Runtime, prefix: &str) -> [RedisState; 2] {
    ["a", "b"].map(|chain| {
        let options = server::options(redis, chain, &ManualClock::at(server::START));
        runtime.block_on(RedisState::connect(RedisOptions { prefix: prefix.to_owned(), ..options })).unwrap()
    })
}

#[test]
fn memory_a_file_and_redis_answer_as_a_plain_map_does() {
    let (redis, runtime) = (Redis::start(&[]), Runtime::new().unwrap());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() });
    let number = std::cell::Cell::new(0);
    let ran = runner.run(&proptest::collection::vec(ask(), 0..80), |asked| {
        number.set(number.get() + 1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let connect = || redis.as_ref().map(|redis| connect(redis, &runtime, &format!("records-{}", number.get())));
        let (mut model, memory) = (Model::default(), MemoryRecords::default());
        let (mut file, mut shared, mut now) = (two(&path), connect(), NOW);
        for (turn, ask) in asked.iter().enumerate() {
            match ask {
                Ask::Later(seconds) => now += u64::from(*seconds),
                Ask::Restart => {
                    drop(file);
                    (file, shared) = (two(&path), connect());
                }
                _ => {}
            }
            let [in_memory, of_file] =
                [&memory as &dyn Records, &file[turn % 2]].map(|store| answer(store, &model, ask, now));
            let of_redis = shared.as_ref().map(|shared| answer(&shared[turn % 2], &model, ask, now));
            let expected = model.answer(ask, now);
            prop_assert_eq!(in_memory, &*expected, "memory, {:?} of {:?}", ask, &asked);
            prop_assert_eq!(of_file, &*expected, "the file, {:?} of {:?}", ask, &asked);
            if let Some(of_redis) = of_redis {
                prop_assert_eq!(of_redis, &*expected, "Redis, {:?} of {:?}", ask, &asked);
            }
        }
        Ok(())
    });
    ran.unwrap();
}

const ROOM: Room = Room { table: 10_000, owner: 10_000 };

/// Does the same with every store, and two of those who work with it; one who works with what is in memory is both.
fn each(test: impl Fn(&str, [Arc<dyn Records>; 2])) {
    let memory: Arc<dyn Records> = Arc::new(MemoryRecords::default());
    test("memory", [Arc::clone(&memory), memory]);
    let folder = tempfile::tempdir().unwrap();
    test("a file", two(&folder.path().join("state.db")).map(|state| Arc::new(state) as _));
    if let Some(redis) = Redis::start(&[]) {
        let runtime = Runtime::new().unwrap();
        test("Redis", connect(&redis, &runtime, "chio").map(|state| Arc::new(state) as _));
    }
}

/// What 64 tasks are answered who ask two of them the same at once.
fn raced<T: Send + 'static>(
    stores: &[Arc<dyn Records>; 2],
    ask: impl AsyncFn(Arc<dyn Records>, u8) -> Result<T, KernelError> + Clone + Send + 'static,
) -> Vec<T> {
    let threads = (0..64_u8).map(|number| {
        let (store, ask) = (Arc::clone(&stores[usize::from(number % 2)]), ask.clone());
        std::thread::spawn(move || block_on(ask(store, number)).unwrap())
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn of_many_who_take_a_record_one_has_it() {
    each(|name, stores| {
        for round in 0..10 {
            let challenge = entry(round, 0, b"once", Some(NOW + 60));
            let kept = block_on(stores[0].put(Table::Challenge, challenge, None, ROOM, NOW)).unwrap();
            assert_eq!(kept, Put::Kept, "{name}");
            let taken = raced(&stores, async move |store, _| store.take(Table::Challenge, id(round), NOW).await);
            assert_eq!(taken.iter().flatten().count(), 1, "{name}");
            let again = block_on(stores[1].get(Table::Challenge, id(round), NOW)).unwrap();
            assert_eq!(again, None, "{name}");
        }
    });
}

#[test]
fn of_many_who_put_a_record_where_there_is_none_one_does() {
    each(|name, stores| {
        for round in 0..10 {
            let put = raced(&stores, async move |store, number| {
                store.put(Table::Device, entry(round, number, &[number], None), None, ROOM, NOW).await
            });
            assert_eq!(put.iter().filter(|put| **put == Put::Kept).count(), 1, "{name}: {put:?}");
            assert!(put.iter().all(|put| matches!(put, Put::Kept | Put::Differs)), "{name}: {put:?}");
            // And of many who change it as they have read it.
            let there = block_on(stores[0].get(Table::Device, id(round), NOW)).unwrap().unwrap();
            let put = raced(&stores, async move |store, number| {
                let new = entry(round, 0, &[200, number], None);
                store.put(Table::Device, new, Some(&there.value), ROOM, NOW).await
            });
            assert_eq!(put.iter().filter(|put| **put == Put::Kept).count(), 1, "{name}: {put:?}");
        }
    });
}

#[test]
fn there_is_no_more_room_for_many_at_once_than_for_one_after_the_other() {
    each(|name, stores| {
        let put = raced(&stores, async move |store, number| {
            let room = Room { table: 20, owner: 3 };
            store.put(Table::Pending, entry(number, number % 2, b"", Some(NOW + 9)), None, room, NOW).await
        });
        let count = |what| put.iter().filter(|put| **put == what).count();
        assert_eq!((count(Put::Kept), count(Put::OwnerFull)), (6, 58), "{name}: an owner has only so many");
        let put = raced(&stores, async move |store, number| {
            let room = Room { table: 20, owner: 3 };
            store.put(Table::Pending, entry(100 + number, 100 + number, b"", None), None, room, NOW).await
        });
        let count = |what| put.iter().filter(|put| **put == what).count();
        assert_eq!((count(Put::Kept), count(Put::Full)), (14, 50), "{name}: nor has the table more");
        // What is there can be changed all the same, but not given to an owner who has no room.
        let there = all(&*stores[1], Table::Pending, Some(id(0)), NOW).remove(0);
        let none = Room { table: 0, owner: 0 };
        let changed = Entry { value: b"x".to_vec(), ..there.clone() };
        let put = |entry: Entry| block_on(stores[0].put(Table::Pending, entry, Some(b""), none, NOW)).unwrap();
        assert_eq!(put(Entry { owner: id(77), ..changed.clone() }), Put::OwnerFull, "{name}");
        assert_eq!(put(changed), Put::Kept, "{name}");
        // And what has expired makes room.
        let room = Room { table: 15, owner: 1 };
        let later = entry(250, 0, b"", None);
        let early = block_on(stores[0].put(Table::Pending, later.clone(), None, room, NOW + 8)).unwrap();
        assert_eq!(early, Put::Full, "{name}");
        assert_eq!(block_on(stores[0].put(Table::Pending, later, None, room, NOW + 9)).unwrap(), Put::Kept, "{name}");
    });
}

#[test]
fn an_owner_has_its_own_page_by_page() {
    each(|name, stores| {
        let key = |number: u64| key_id(&format!("many {number}"));
        for number in 0..700_u64 {
            let owner = id(u8::from(number % 3 == 0));
            let until = (number % 7 == 0).then_some(NOW + 5);
            let entry = Entry { key: key(number), owner, value: number.to_be_bytes().to_vec(), until };
            let put = block_on(stores[0].put(Table::Session, entry, None, ROOM, NOW)).unwrap();
            assert_eq!(put, Put::Kept, "{name}");
        }
        let wanted = |owner: Option<u8>, now: u64| {
            let is = |number: &u64| {
                owner.is_none_or(|owner| owner == u8::from(number.is_multiple_of(3)))
                    && (now < NOW + 5 || !number.is_multiple_of(7))
            };
            let mut keys: Vec<_> = (0..700).filter(is).map(|number| key(number).0).collect();
            keys.sort_unstable();
            keys
        };
        for (owner, now) in [(Some(0), NOW), (Some(1), NOW + 5), (None, NOW), (None, NOW + 5), (Some(9), NOW)] {
            let found = all(&*stores[1], Table::Session, owner.map(id), now);
            let found: Vec<_> = found.iter().map(|entry| entry.key.0).collect();
            let wanted = if owner == Some(9) { Vec::new() } else { wanted(owner, now) };
            assert!(found == wanted, "{name}: {} of {}, {owner:?}", found.len(), wanted.len());
        }
        let first = block_on(stores[0].list(Table::Session, None, None, NOW)).unwrap();
        assert!(first.next.is_some() && first.items.len() <= PAGE, "{name}: {}", first.items.len());
        assert_eq!(all(&*stores[0], Table::Device, None, NOW), [], "{name}");
        assert!(block_on(stores[0].list(Table::Session, None, Some("no page".into()), NOW)).is_err(), "{name}");
    });
}

#[test]
fn a_value_has_4096_bytes_at_most() {
    each(|name, stores| {
        let longest = entry(1, 1, &vec![0xff; MAX_VALUE_BYTES], None);
        let put = |entry: Entry, replaces: Option<&[u8]>| {
            block_on(stores[0].put(Table::Account, entry, replaces, ROOM, NOW)).map_err(|error| error.to_string())
        };
        assert_eq!(put(longest.clone(), None), Ok(Put::Kept), "{name}");
        let longer = Entry { value: vec![0xff; MAX_VALUE_BYTES + 1], ..longest.clone() };
        assert_eq!(put(longer, Some(&longest.value)), Err("a record is too long to be kept".to_owned()), "{name}");
        assert_eq!(block_on(stores[1].get(Table::Account, id(1), NOW)).unwrap(), Some(longest.clone()), "{name}");
        assert_eq!(put(entry(2, 1, b"", None), None), Ok(Put::Kept), "{name}: and none is a value as well");
        assert_eq!(block_on(stores[1].take(Table::Account, id(1), NOW)).unwrap(), Some(longest), "{name}");
    });
}

/// Whoever stands beside a kernel may have another clock, and what it does is not told to the kernel.
#[test]
fn who_changes_records_beside_a_kernel_drops_none_of_its_counts_and_nonces() {
    let folder = tempfile::tempdir().unwrap();
    let [state, hand] = two(&folder.path().join("state.db"));
    let grant = Allowance { grant: id(1), account: id(1), limit: 1, until: NOW + 10 };
    let places = [vec![grant]];
    assert!(matches!(block_on(UsageStore::spend(&state, &places, NOW)).unwrap(), Spending::Spent(_)));
    let claim = NonceClaim { key: id(2), account: id(1), now: NOW, until: NOW + 330 };
    block_on(NonceStore::spend(&state, claim)).unwrap();
    block_on(Records::put(&hand, Table::Device, entry(1, 1, b"", None), None, ROOM, NOW + 100_000)).unwrap();
    block_on(hand.take(Table::Device, id(1), NOW + 100_000)).unwrap();
    assert_eq!(block_on(UsageStore::spend(&state, &places, NOW)).unwrap(), Spending::Exhausted { place: 0 });
    assert_eq!(block_on(hand.overview()).unwrap().nonces, 1);
}

#[test]
fn what_has_expired_goes_by_itself_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db"));
    let kept = |state: &SqliteState| block_on(state.overview()).unwrap().records[&Table::Challenge];
    for number in 0..1200_u64 {
        let entry = Entry { key: key_id(&number.to_string()), ..entry(0, 1, b"", Some(NOW + 1)) };
        drop(Records::put(&*state, Table::Challenge, entry, None, ROOM, NOW));
    }
    assert_eq!(kept(&state), 1200);
    let call = |now| drop(block_on(Records::take(&*state, Table::Device, id(0), now)).unwrap());
    call(NOW + 60);
    assert_eq!(kept(&state), 1200, "as long as calls can come late");
    let mut left = Vec::new();
    for _ in 0..3 {
        call(NOW + 61);
        left.push(kept(&state));
    }
    assert_eq!(*left.last().unwrap(), 0, "{left:?}");
    assert!(left[0] >= 200, "{left:?}");
}

#[test]
fn records_are_taken_out_and_put_in_and_one_that_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("from.db"));
    let tables = [Table::Device, Table::Session, Table::Challenge, Table::Pending, Table::Account, Table::Binding];
    for (number, table) in (0..).zip(tables) {
        let kept = Records::put(&*state, table, entry(number, 1, &value(number), Some(NOW + 9)), None, ROOM, NOW);
        block_on(kept).unwrap();
    }
    let taken = |state: &dyn State| {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = block_on(state.records(Kind::Entry, from)).unwrap();
            all.extend(page.items);
            from = page.next;
            if from.is_none() {
                return all;
            }
        }
    };
    let records = taken(&*state);
    let of: Vec<_> = records
        .iter()
        .map(|record| if let Record::Entry { table, .. } = record { Some(*table) } else { None })
        .collect();
    // What is under way begins anew.
    assert_eq!(of, [Table::Device, Table::Binding, Table::Account, Table::Session].map(Some));
    for record in &records {
        let line = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), *record, "{line}");
    }
    for table in Table::ALL {
        assert_eq!(serde_json::to_value(table).unwrap(), table.name());
        assert_eq!(Table::named(table.name()), Some(table));
    }
    let put_in = |to: &dyn State, name: &str| {
        // One of them is there, and otherwise.
        let own = entry(0, 2, b"own", None);
        block_on(to.entries().put(Table::Device, own.clone(), None, ROOM, NOW)).unwrap();
        for _ in 0..2 {
            block_on(to.put(records.clone())).unwrap();
        }
        let expected = entry(1, 1, &value(1), Some(NOW + 9));
        assert_eq!(block_on(to.entries().get(Table::Session, id(1), NOW)).unwrap(), Some(expected.clone()), "{name}");
        assert_eq!(all(to.entries(), Table::Session, Some(id(1)), NOW), [expected], "{name}");
        assert_eq!(block_on(to.entries().get(Table::Device, id(0), NOW)).unwrap(), Some(own), "{name}");
        assert_eq!(taken(to).len(), 4, "{name}");
        let overview = block_on(to.overview()).unwrap();
        assert_eq!((overview.records[&Table::Device], overview.records[&Table::Pending]), (1, 0), "{name}");
        let room = Room { table: 1, owner: 9 };
        let full = block_on(to.entries().put(Table::Session, entry(9, 9, b"", None), None, room, NOW)).unwrap();
        assert_eq!(full, Put::Full, "{name}: they are counted");
        assert_eq!(block_on(to.entries().get(Table::Session, id(1), NOW + 9)).unwrap(), None, "{name}: and end");
        let under_way =
            Record::Entry { table: Table::Challenge, key: id(1), owner: id(1), value: Vec::new(), until: None };
        assert!(block_on(to.put(vec![under_way])).is_err(), "{name}");
        let long = vec![0; MAX_VALUE_BYTES + 1];
        let long = Record::Entry { table: Table::Device, key: id(7), owner: id(1), value: long, until: None };
        assert!(block_on(to.put(vec![long])).is_err(), "{name}");
        assert!(block_on(to.records(Kind::Entry, Some("no place".into()))).is_err(), "{name}");
        block_on(to.compact(NOW + 100)).unwrap();
        assert_eq!(taken(to).len(), 1, "{name}: the one that has no end");
    };
    put_in(&*open(&folder.path().join("to.db")), "a file");
    if let Some(redis) = Redis::start(&[]) {
        let runtime = Runtime::new().unwrap();
        let [to, _] = connect(&redis, &runtime, "chio");
        put_in(&to, "Redis");
    }
}
