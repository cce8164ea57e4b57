//! Stores and other foreign parts that are full, forget, lie or panic: each rule that holds against them.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chio_core::digest::Digest;
use chio_core::receipt::{ChainHead, Decision, Event, Receipt, ReceiptBody, Verdict};
use chio_kernel::clock::Clock;
use chio_kernel::scheme::{Claims, ProofScheme};
use chio_kernel::store::{
    Allowance, BoxFuture, DpopNonceStore, KernelError, MemoryReceipts, MemoryStandings, MemoryUsage, NonceAnswer,
    NonceClaim, ReceiptStore, Seal, Spending, Standing, StandingStore, UsageStore,
};
use chio_kernel::tool_server::{ToolFailure, ToolRequest, ToolServer};
use chio_kernel::{Denial, Kernel, Settings, SignedCall, Step, Stores, ToolCall};
use chio_tests::world::{self, ARGUMENTS, NOW, SERVER, TOOL, World, code, docs_grant, honest, issuer};

type Ends = Vec<Option<ChainHead>>;

/// Keeps the end of a chain, which somebody else can turn back.
#[derive(Default)]
struct Heads(Mutex<Ends>);

impl ReceiptStore for Heads {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        let mut heads = self.0.lock().unwrap();
        let sealed = seal(heads.last().copied().flatten()).map_err(|error| KernelError::new(error.to_string()));
        Box::pin(ready(sealed.map(|(receipt, head)| {
            heads.push(Some(head));
            receipt
        })))
    }
}

#[test]
fn a_chain_that_is_cut_under_a_running_kernel_is_not_signed_over() {
    let cut = |change: &dyn Fn(&mut Ends)| {
        let store = Arc::new(Heads::default());
        let clock = World::new().clock;
        let kernel = Kernel::builder()
            .trust_root(issuer().public_key())
            .clock(clock.clone())
            .tool_server(SERVER, world::echo())
            .stores(Stores { receipts: Arc::<Heads>::clone(&store), ..Stores::default() })
            .build()
            .unwrap();
        clock.set(NOW);
        assert_eq!(code(&kernel, honest("a")), "");
        change(&mut store.0.lock().unwrap());
        world::run(&kernel, honest("b")).map(|_| ()).map_err(|denied| denied.denial)
    };
    assert_eq!(cut(&|_| ()), Ok(()));
    let changes: [&dyn Fn(&mut Ends); 3] = [&|heads| heads.truncate(1), &|heads| heads.push(None), &|heads| {
        heads.push(heads.last().unwrap().map(|head| ChainHead { digest: Digest::of(b"other"), ..head }))
    }];
    for change in changes {
        let denial = cut(change).unwrap_err();
        assert_eq!((denial.code(), denial.step()), ("store_unavailable", Step::Receipt));
    }
}

/// An allow that nobody made: it needs no signature, so whoever can write to the store can make one.
fn forged(after: Option<ChainHead>) -> ChainHead {
    let event = Event::Decision(Decision {
        verdict: Verdict::Allow,
        code: None,
        step: None,
        mode: "enforce".into(),
        capability_id: None,
        subject: Some(world::agent().public_key().to_string()),
        tool_server: SERVER.into(),
        tool_name: "transfer_money".into(),
        action_hash: None,
        proof_hash: None,
    });
    let sequence = after.map_or(1, |head| head.sequence + 1);
    let previous = after.map(|head| head.digest);
    let body = ReceiptBody { sequence, previous, at: NOW, kernel_key: world::kernel_key().public_key(), event };
    ChainHead { sequence, digest: Digest::of(&body.canonical().unwrap()) }
}

#[test]
fn no_receipt_that_another_hand_adds_is_signed_over() {
    let added = |kept: usize, forgeries: usize| {
        let store = Arc::new(Heads::default());
        let clock = World::new().clock;
        let stores = Stores { receipts: Arc::<Heads>::clone(&store), ..Stores::default() };
        let builder = Kernel::builder().trust_root(issuer().public_key()).clock(clock.clone()).stores(stores);
        let kernel = builder.tool_server(SERVER, world::echo()).signing_key(world::kernel_key()).build().unwrap();
        clock.set(NOW);
        // Two calls, each with an allow and an outcome.
        assert_eq!((code(&kernel, honest("a")), code(&kernel, honest("b"))), ("", ""));
        let mut heads = store.0.lock().unwrap();
        heads.truncate(kept);
        for _ in 0..forgeries {
            let after = heads.last().copied().flatten();
            heads.push(Some(forged(after)));
        }
        drop(heads);
        code(&kernel, honest("c"))
    };
    assert_eq!(added(4, 0), "");
    for (kept, forgeries) in [(4, 1), (3, 2), (2, 3), (0, 5), (2, 2), (3, 0), (3, 1)] {
        assert_eq!(added(kept, forgeries), "store_unavailable", "{kept} kept, {forgeries} forged");
    }
}

/// Commits in groups: while it holds back, what it was given is neither kept nor lost yet.
#[derive(Default)]
struct Groups {
    heads: Heads,
    holds_back: AtomicBool,
}

impl ReceiptStore for Groups {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        let answer = self.heads.append(seal);
        if self.holds_back.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { answer }
    }
}

#[test]
fn a_group_of_receipts_that_is_kept_late_or_lost_does_not_stop_the_chain() {
    for lost in [0, 1, 2, 3] {
        let store = Arc::new(Groups::default());
        let world = World::new();
        let stores = Stores { receipts: Arc::<Groups>::clone(&store), ..Stores::default() };
        let kernel = World { builder: world.builder.stores(stores), ..world }.kernel();
        assert_eq!(code(&kernel, honest("a")), "");
        store.holds_back.store(true, Ordering::SeqCst);
        for nonce in ["b", "c", "d"] {
            assert_eq!(code(&kernel, honest(nonce)), "store_unavailable");
        }
        store.holds_back.store(false, Ordering::SeqCst);
        let mut heads = store.heads.0.lock().unwrap();
        assert_eq!(heads.len(), 2 + 3);
        heads.truncate(5 - lost);
        drop(heads);
        assert_eq!(code(&kernel, honest("e")), "", "{lost} lost");
        assert_eq!(code(&kernel, honest("f")), "", "{lost} lost");
    }
}

/// Makes every receipt, and keeps none, while it is down.
#[derive(Default)]
struct FullDisk {
    memory: MemoryReceipts,
    down: AtomicBool,
    made: AtomicUsize,
}

impl ReceiptStore for FullDisk {
    fn append(&self, seal: Seal) -> BoxFuture<'_, Result<Receipt, KernelError>> {
        if !self.down.load(Ordering::SeqCst) {
            return self.memory.append(seal);
        }
        self.made.fetch_add(1, Ordering::SeqCst);
        let last = self.memory.all().pop().unwrap().body;
        let digest = Digest::of(&last.canonical().unwrap());
        let _ = seal(Some(ChainHead { sequence: last.sequence, digest }));
        Box::pin(ready(Err(KernelError::new("no space left on device"))))
    }
}

#[test]
fn a_full_disk_does_not_make_a_strangers_denials_dear() {
    let store = Arc::new(FullDisk::default());
    let world = World::new();
    let clock = world.clock.clone();
    let settings = Settings { unproven_receipts_per_second: 5, ..Settings::default() };
    let stores = Stores { receipts: Arc::<FullDisk>::clone(&store), ..Stores::default() };
    let kernel = World { builder: world.builder.settings(settings).stores(stores), ..world }.kernel();
    let flood = || (0..100).for_each(|_| drop(world::run(&kernel, SignedCall { proof: None, ..honest("n") })));
    flood();
    store.down.store(true, Ordering::SeqCst);
    for second in 1..=3 {
        clock.set(NOW + second);
        store.made.store(0, Ordering::SeqCst);
        flood();
        let made = store.made.load(Ordering::SeqCst);
        assert!(made <= 6, "{made} signatures and writes for 100 denials in a second");
    }
    // Nothing of it is forgotten: when there is room again, it is summed up.
    store.down.store(false, Ordering::SeqCst);
    pollster::block_on(kernel.flush()).unwrap();
    let told: u64 = store
        .memory
        .all()
        .iter()
        .map(|receipt| match &receipt.body.event {
            Event::Summary(summary) => summary.suppressed,
            _ => 1,
        })
        .sum();
    // What was admitted and could not be written is in the log alone, as an error.
    assert!(told >= 400 - 3 * 5, "{told}");
}

#[test]
fn a_suspension_takes_no_bans_place_and_shortens_none() {
    let (store, who) = (MemoryStandings::default(), Digest::of(b"who"));
    let worst = |now| pollster::block_on(store.worst(&[Digest::of(b"other"), who], now)).unwrap();
    let worsen = |standing| pollster::block_on(store.worsen(who, standing, 0)).unwrap();
    worsen(Standing::Suspended { until: 60 });
    worsen(Standing::Suspended { until: 30 });
    assert_eq!((worst(59), worst(60)), (Standing::Suspended { until: 60 }, Standing::Good));
    worsen(Standing::Banned);
    worsen(Standing::Suspended { until: 90 });
    assert_eq!(worst(1000), Standing::Banned);
    pollster::block_on(store.set(who, Standing::Good)).unwrap();
    assert_eq!(worst(0), Standing::Good);
}

/// Who may delegate can get one more key banned for every call, where the kernel's owner has configured that.
#[test]
fn attacks_lead_to_a_bounded_number_of_standings() {
    let store = MemoryStandings::default();
    let who = |number: u32| Digest::of(&number.to_be_bytes());
    let worsen = |number, standing, now| pollster::block_on(store.worsen(who(number), standing, now));
    let worst = |number, now| pollster::block_on(store.worst(&[who(number)], now)).unwrap();
    worsen(0, Standing::Suspended { until: 10 }, 0).unwrap();
    (1..65_536).for_each(|number| worsen(number, Standing::Banned, 0).unwrap());
    assert!(worsen(65_536, Standing::Banned, 9).is_err(), "no room, and nobody's standing is forgotten for it");
    assert_eq!((worst(1, 9), worst(65_536, 9)), (Standing::Banned, Standing::Good));
    // What is known can get worse; what has ended makes room; the owner is not held to it.
    worsen(0, Standing::Suspended { until: 20 }, 9).unwrap();
    assert_eq!(worst(0, 10), Standing::Suspended { until: 20 });
    worsen(65_536, Standing::Banned, 20).unwrap();
    assert!(worsen(65_537, Standing::Banned, 20).is_err());
    pollster::block_on(store.set(who(65_537), Standing::Banned)).unwrap();
    assert_eq!(
        (worst(0, 20), worst(65_536, 20), worst(65_537, 20)),
        (Standing::Good, Standing::Banned, Standing::Banned)
    );
}

#[test]
fn one_account_cannot_fill_the_counts() {
    let store = MemoryUsage::default();
    let spend = |account: &str, number: u32, until, now| {
        let grant = Digest::of(format!("{account} {number}").as_bytes());
        let one = Allowance { grant, account: Digest::of(account.as_bytes()), limit: 1, until };
        pollster::block_on(store.spend(&[vec![one]], now)).unwrap()
    };
    let share = (1 << 20) / 8;
    for number in 0..share {
        assert!(matches!(spend("greedy", number, 10, 0), Spending::Spent(_)));
    }
    assert_eq!(spend("greedy", share, 10, 0), Spending::Full);
    assert!(matches!(spend("modest", 0, 10, 0), Spending::Spent(_)));
    assert_eq!(spend("greedy", 0, 10, 0), Spending::Exhausted { place: 0 });
    // What has expired is in nobody's way.
    assert!(matches!(spend("greedy", share, 20, 10), Spending::Spent(_)));
}

#[test]
fn nobody_is_denied_for_nonces_that_have_expired() {
    let store = DpopNonceStore::with_quota(1000, 100, Duration::ZERO);
    let claim = |nonce: String, account: &str, now, until| {
        let (key, account) = (Digest::of(nonce.as_bytes()), Digest::of(account.as_bytes()));
        store.claim(&NonceClaim { key, account, now, until })
    };
    // Older ones of others stand before them, and every call drops but a few.
    for number in 0..100 {
        assert_eq!(claim(format!("other {number}"), "other", 0, 10), NonceAnswer::Spent);
    }
    for number in 0..100 {
        assert_eq!(claim(format!("mine {number}"), "mine", 0, 10), NonceAnswer::Spent);
    }
    assert_eq!(claim("mine again".into(), "mine", 0, 10), NonceAnswer::QuotaExceeded);
    assert_eq!(claim("mine again".into(), "mine", 100, 110), NonceAnswer::Spent);
}

struct Panics;

impl Clock for Panics {
    fn now(&self) -> Result<u64, KernelError> {
        panic!("on purpose")
    }
}

impl ToolServer for Panics {
    fn has_tool(&self, _: &str) -> bool {
        panic!("on purpose")
    }

    fn call<'a>(&'a self, _: ToolRequest<'a>) -> BoxFuture<'a, Result<chio_core::canonical::Json, ToolFailure>> {
        panic!("on purpose")
    }
}

#[test]
fn foreign_code_that_panics_is_an_answer_that_denies() {
    std::panic::set_hook(Box::new(|_| ()));
    assert!(Kernel::builder().clock(Panics).build().is_err());
    let clock = World::new().clock;
    let builder = Kernel::builder().trust_root(issuer().public_key()).clock(clock.clone());
    let kernel = builder.tool_server(SERVER, Panics).build().unwrap();
    clock.set(NOW);
    assert_eq!(code(&kernel, honest("n")), "unknown_tool");
}

#[test]
fn a_chain_over_the_kernels_limit_is_not_read() {
    let world = World::new();
    let builder = world.builder.settings(Settings { chain_bytes: 100, ..Settings::default() });
    assert_eq!(code(&World { builder, ..world }.kernel(), honest("n")), "capability_malformed");
}

/// Claims to be whoever it is told.
struct Anybody;

impl ProofScheme for Anybody {
    type Credential = String;

    fn name(&self) -> &'static str {
        "anybody"
    }

    fn verify<'a>(&'a self, who: &'a String, _: &'a ToolCall, now: u64) -> BoxFuture<'a, Result<Claims, Denial>> {
        Box::pin(ready(Ok(Claims {
            principal: who.clone(),
            credential: Digest::of(b"one"),
            grants: vec![docs_grant()],
            expires_at: now + 60,
            nonce: who.len().to_string(),
            issued_at: now,
            proof_hash: None,
        })))
    }
}

#[test]
fn a_schemes_principal_is_short_and_printable() {
    let kernel = World::new().kernel();
    let answer = |who: String| {
        let call = kernel.authorize_by(&Anybody, &who, SERVER, TOOL, ARGUMENTS.as_bytes());
        pollster::block_on(call).err().map_or("", |denied| denied.denial.code())
    };
    assert_eq!(answer("x".repeat(256)), "");
    assert_eq!(answer("x".repeat(257)), "proof_malformed");
    assert_eq!(answer("a\nb".into()), "proof_malformed");
}

/// Answers with a standing, and counts how often it is written to.
struct Answers(Standing, AtomicUsize);

impl StandingStore for Answers {
    fn worst<'a>(&'a self, _: &'a [Digest], _: u64) -> BoxFuture<'a, Result<Standing, KernelError>> {
        Box::pin(ready(Ok(self.0)))
    }
    fn worsen(&self, _: Digest, _: Standing, _: u64) -> BoxFuture<'_, Result<(), KernelError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(())))
    }
    fn set(&self, _: Digest, _: Standing) -> BoxFuture<'_, Result<(), KernelError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(())))
    }
    fn count_failure(&self, _: Digest, _: u64, _: u64) -> BoxFuture<'_, Result<u64, KernelError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(u64::MAX)))
    }
}

#[test]
fn a_suspension_ends_at_its_second_whatever_the_store_still_says() {
    for (standing, answer) in [
        (Standing::Good, ""),
        (Standing::Suspended { until: NOW }, ""),
        (Standing::Suspended { until: NOW + 1 }, "subject_suspended"),
        (Standing::Banned, "subject_banned"),
    ] {
        let standings = Arc::new(Answers(standing, AtomicUsize::new(0)));
        let kernel = World::with_stores(Stores { standings, ..Stores::default() }).kernel();
        assert_eq!(code(&kernel, honest("n")), answer, "{standing:?}");
    }
}

#[test]
fn nothing_is_counted_where_nothing_comes_of_it() {
    let standings = Arc::new(Answers(Standing::Good, AtomicUsize::new(0)));
    let kernel =
        World::with_stores(Stores { standings: Arc::<Answers>::clone(&standings), ..Stores::default() }).kernel();
    let chain = world::capability();
    let forged = world::call_with(&chain, ARGUMENTS, world::body(&chain, ARGUMENTS, "n"), &world::thief());
    assert_eq!(code(&kernel, forged), "proof_signature_invalid");
    assert_eq!((code(&kernel, honest("a")), code(&kernel, honest("a"))), ("", "nonce_replayed"));
    assert_eq!(standings.1.load(Ordering::SeqCst), 0);
}
