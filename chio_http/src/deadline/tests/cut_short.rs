//! What several writes are made for, cut short between two of them: by a client that goes away, or a store that is late.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::device::client::{DeviceClient, DeviceTransport};
use crate::opaque::Invitation;

/// Where a store goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// It does not write what is put into a table.
    Before(Table),
    /// It writes that, and never says so.
    After(Table),
    /// It lists nothing.
    List,
    /// Its pages are empty, but for the last.
    Pages,
    /// While the password is replaced, somebody opens a session.
    Login,
    /// A session that is held for a device is another's before it can be kept for it.
    Another,
}

#[derive(Default)]
struct Faulty {
    records: MemoryRecords,
    at: Mutex<Option<At>>,
    /// How often the first of several pages was asked for.
    firsts: AtomicUsize,
}

impl Faulty {
    fn fails(&self, at: impl Into<Option<At>>) {
        *self.at.lock().unwrap() = at.into();
    }

    fn at(&self) -> Option<At> {
        *self.at.lock().unwrap()
    }
}

impl Records for Faulty {
    fn get(&self, table: Table, key: Digest, now: u64) -> Answer<'_, Option<Entry>> {
        self.records.get(table, key, now)
    }

    fn put<'a>(
        &'a self,
        table: Table,
        entry: Entry,
        replaces: Option<&'a [u8]>,
        room: Room,
        now: u64,
    ) -> Answer<'a, Put> {
        match self.at() {
            Some(At::Before(at)) if at == table => Box::pin(pending()),
            Some(At::After(at)) if at == table => {
                let put = self.records.put(table, entry, replaces, room, now);
                Box::pin(async move {
                    assert_eq!(put.await, Ok(Put::Kept));
                    pending().await
                })
            }
            Some(At::Login) if table == Table::Account => Box::pin(async move {
                let session = Entry { key: Digest::of(b"meanwhile"), value: b"{}".to_vec(), ..entry.clone() };
                assert_eq!(self.records.put(Table::Session, session, None, room, now).await, Ok(Put::Kept));
                self.records.put(table, entry, replaces, room, now).await
            }),
            Some(At::Another) if table == Table::Binding && replaces.is_some() => Box::pin(async move {
                let another = Entry { value: b"another".to_vec(), ..entry.clone() };
                assert_eq!(self.records.put(table, another, replaces, room, now).await, Ok(Put::Kept));
                self.records.put(table, entry, replaces, room, now).await
            }),
            _ => self.records.put(table, entry, replaces, room, now),
        }
    }

    fn take(&self, table: Table, key: Digest, now: u64) -> Answer<'_, Option<Entry>> {
        self.records.take(table, key, now)
    }

    fn list(&self, table: Table, owner: Option<Digest>, from: Option<String>, now: u64) -> Answer<'_, Page<Entry>> {
        match (self.at(), from.as_deref()) {
            (Some(At::List), _) => Box::pin(pending()),
            (Some(At::Pages), None) => {
                assert!(self.firsts.fetch_add(1, Ordering::Relaxed) < 9, "it asks for the first page for ever");
                Box::pin(std::future::ready(Ok(Page { items: Vec::new(), next: Some("2".to_owned()) })))
            }
            (Some(At::Pages), Some("2")) => self.records.list(table, owner, None, now),
            _ => self.records.list(table, owner, from, now),
        }
    }
}

/// Alice, who has a session, and an invitation to replace her password.
struct World {
    records: Arc<Faulty>,
    revocations: Arc<MemoryRevocations>,
    accounts: Accounts,
    asks: Asks,
    session: Digest,
    code: String,
}

impl World {
    async fn new() -> Self {
        let (records, revocations) = (Arc::new(Faulty::default()), Arc::new(MemoryRevocations::default()));
        let accounts = Accounts::new(Arc::<Faulty>::clone(&records), Arc::<MemoryRevocations>::clone(&revocations));
        let sessions =
            sessions(&kernel(), Arc::<Faulty>::clone(&records), Arc::<MemoryRevocations>::clone(&revocations));
        let asks = Asks(desk(&sessions, Arc::new(MemoryUsage::default())));
        let mut world = Self { records, revocations, accounts, asks, session: Digest::of(b""), code: String::new() };
        world.registers(b"password", None).await.unwrap();
        client::login(&world.asks, &place(), (&alice(), b"password"), &stretch()).await.unwrap();
        world.session = world.accounts.sessions(None, None, NOW).await.unwrap().items[0].id;
        let invitation = Invitation { user: alice(), scope: None, replaces: true, until: NOW + 60 };
        world.code = world.accounts.invite(&invitation, NOW).await.unwrap();
        world
    }

    async fn registers(&self, password: &[u8], code: Option<&str>) -> Result<(), ClientError> {
        client::register(&self.asks, &place(), (&alice(), password), code, &stretch()).await
    }

    async fn replaces(&self) -> Result<(), ClientError> {
        self.registers(b"another", Some(&self.code)).await
    }

    async fn has_sessions(&self) -> bool {
        self.records.fails(None);
        let sessions = self.records.list(Table::Session, None, None, NOW).await.unwrap();
        let is_revoked = self.revocations.first_revoked(&[self.session]).await.unwrap().is_some();
        assert_eq!(sessions.items.iter().all(|entry| entry.key != self.session), is_revoked);
        !sessions.items.is_empty()
    }
}

fn alice() -> User {
    User::parse("alice").unwrap()
}

fn place() -> Place {
    Place { origin: origin(), prefix: "/session".into() }
}

fn stretch() -> Stretch {
    Stretch::new(8, 1, 1).unwrap()
}

fn late() -> ClientError {
    ClientError::Refused { status: 503, code: "store_unavailable".to_owned() }
}

/// Waits for it for less than any deadline, and goes away.
async fn goes_away<T>(asked: impl Future<Output = T>) {
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err(), "it was answered");
}

/// Whoever has stolen a session has it no longer, though the client is told that it should try again.
#[tokio::test(start_paused = true)]
async fn a_password_that_is_replaced_ends_the_sessions_whatever_becomes_of_the_answer() {
    let world = World::new().await;
    world.records.fails(At::After(Table::Account));
    assert_eq!(at_the_deadline(world.replaces()).await.unwrap_err(), late());
    assert!(!world.has_sessions().await);

    for at in [At::After(Table::Account), At::Before(Table::Account)] {
        let world = World::new().await;
        world.records.fails(at);
        goes_away(world.replaces()).await;
        assert!(!world.has_sessions().await);
    }
    // One who knows the old password is quick.
    let world = World::new().await;
    world.records.fails(At::Login);
    world.replaces().await.unwrap();
    assert!(!world.has_sessions().await);
}

#[tokio::test(start_paused = true)]
async fn where_the_sessions_cannot_be_ended_the_password_stays_and_so_does_the_invitation() {
    let world = World::new().await;
    world.records.fails(At::List);
    assert_eq!(at_the_deadline(world.replaces()).await.unwrap_err(), late());
    assert!(world.has_sessions().await);
    world.replaces().await.unwrap();
    assert!(!world.has_sessions().await);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_is_not_the_last() {
    let world = World::new().await;
    world.records.fails(At::Pages);
    assert_eq!(world.accounts.end_all(&alice(), NOW).await, Ok(1));
    assert!(!world.has_sessions().await);
}

struct Enrolls(EnrollmentDesk);

impl DeviceTransport for Enrolls {
    fn post<'a>(&'a self, path: &'static str, token: &'a str, body: String) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            let authorization = format!("Bearer {token}");
            let answer = self.0.answer(post(path, &[("authorization", &authorization)], Body::whole(body))).await;
            let status = answer.status();
            let body = whole(answer.into_body(), 4096).await.unwrap();
            if status.is_success() { Ok(body.to_vec()) } else { Err(KernelError::new(status.as_str())) }
        })
    }
}

/// A session is not kept from its owner by a key that never became a device.
#[tokio::test(start_paused = true)]
async fn an_enrolment_that_is_cut_short_takes_the_session_from_nobody() {
    let records = Arc::new(Faulty::default());
    let (tokens, token) = issued(&Keypair::from_seed(&[1; 32]));
    let desk = |now| {
        let standings = || Arc::new(MemoryStandings::default());
        let records = Arc::<Faulty>::clone(&records);
        let book = DeviceBook::within(&deadline(), records, standings(), SessionRules::default());
        let clients = Clients::within(&deadline(), std::collections::BTreeMap::new(), standings());
        let (tokens, names) = (Arc::clone(&tokens), HeaderNames::default());
        let (book, clients) = (Arc::new(book), Arc::new(clients));
        Enrolls(EnrollmentDesk::new(tokens, book, clients, names, origin(), ManualClock::at(now)))
    };
    let (thief, owner) = (Keypair::from_seed(&[2; 32]), Keypair::from_seed(&[3; 32]));
    let enrolls = |key, now| {
        let (desk, token) = (desk(now), &token);
        async move { DeviceClient::enroll(&desk, key, &origin(), token, None).await.map(|_| ()) }
    };
    records.fails(At::Before(Table::Device));
    goes_away(enrolls(&thief, NOW)).await;
    records.fails(None);
    assert!(enrolls(&owner, NOW + 59).await.is_err());
    enrolls(&owner, NOW + 60).await.unwrap();
    let session = records.list(Table::Binding, None, None, NOW + 60).await.unwrap().items[0].key;
    // It is the owner's from then on, and by an enrolment that was not cut short for good.
    assert!(enrolls(&thief, NOW + 500).await.is_err());
    // Who loses it after all is no device that could be used in another session.
    records.take(Table::Binding, session, NOW + 500).await.unwrap().unwrap();
    records.fails(At::Another);
    assert!(enrolls(&thief, NOW + 500).await.is_err());
    assert_eq!(records.list(Table::Device, None, None, NOW + 500).await.unwrap().items.len(), 1);
}
