//! A proof that was allowed once is never allowed again while any clock in range finds it fresh: the store alone, and
//! the whole kernel.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chio_core::capability::{CapabilityChain, Terms};
use chio_core::digest::Digest;
use chio_core::dpop::DpopProofBody;
use chio_kernel::clock::ManualClock;
use chio_kernel::config::DpopConfig;
use chio_kernel::store::{BoxFuture, DpopNonceStore, KernelError, NonceAnswer, NonceClaim, NonceStore};
use chio_kernel::{Kernel, Settings, SignedCall, Stores};
use chio_tests::model::NonceModel;
use chio_tests::world::{ARGUMENTS, NOW, World, agent, body, call_with, code, docs_grant, issue, serial, terms};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::choices::{Choices, Tape, tapes};

/// Claims as the tape says: few nonces and accounts, times that run on, stand still or fall back, lives of all lengths
/// or of one.
fn claims(choices: &mut Choices) -> Vec<NonceClaim> {
    let life = if choices.one_in(2) { None } else { Some(1 + choices.below(20)) };
    let (nonces, accounts) = (1 + choices.below(30), 1 + choices.below(4));
    let mut now = 100_u64;
    let mut claims = Vec::new();
    for _ in 0..choices.below(120) {
        now += [0, 0, 0, 1, 1, 2, 7, 30][choices.below(8)];
        let late = if choices.one_in(5) { choices.below(12) } else { 0 };
        let life = life.unwrap_or_else(|| choices.below(20));
        let [late, life] = [late, life].map(|seconds| u64::try_from(seconds).unwrap());
        let number = |choices: &mut Choices, below| Digest::of(&[u8::try_from(choices.below(below)).unwrap()]);
        let (key, account) = (number(choices, nonces), number(choices, accounts));
        claims.push(NonceClaim { key, account, now: now - late, until: now - late + life });
    }
    claims
}

proptest! {
    #![proptest_config(crate::config(512))]

    /// A store of one shard: its limits are exact, so nothing is denied without a reason either.
    #[test]
    fn a_store_answers_as_the_model(capacity in 1..16_usize, quota in 1..16_usize, tape in tapes(600)) {
        let store = DpopNonceStore::with_quota(capacity, quota, Duration::ZERO);
        let mut model = NonceModel::new(capacity, quota);
        for claim in claims(&mut Choices::new(tape)) {
            let answer = store.claim(&claim);
            model.judge(claim, answer).map_err(|fault| TestCaseError::fail(format!("{fault}: {answer:?} to {claim:?}")))?;
            prop_assert!(store.len() <= capacity);
        }
    }

    /// A store of several shards may be full early. The law is the same.
    #[test]
    fn a_store_of_several_shards_keeps_the_law(quota in 1..200_usize, tape in tapes(600)) {
        let store = DpopNonceStore::with_quota(1 << 16, quota, Duration::ZERO);
        let mut model = NonceModel::new(1 << 16, quota);
        for claim in claims(&mut Choices::new(tape)) {
            let answer = store.claim(&claim);
            model.law(claim, answer).map_err(|fault| TestCaseError::fail(format!("{fault}: {answer:?} to {claim:?}")))?;
        }
    }
}

/// A store that is held against the model, and says of itself what it is told to.
struct Judged {
    store: DpopNonceStore,
    model: Mutex<NonceModel>,
    survives_restart: bool,
}

impl Judged {
    fn new((capacity, quota): (usize, usize), survives_restart: bool) -> Arc<Self> {
        let model = Mutex::new(NonceModel::new(capacity, quota));
        let store = DpopNonceStore::with_quota(capacity, quota, Duration::ZERO);
        Arc::new(Self { store, model, survives_restart })
    }
}

impl NonceStore for Judged {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        let answer = self.store.claim(&claim);
        self.model.lock().unwrap().judge(claim, answer).unwrap();
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn survives_restart(&self) -> bool {
        self.survives_restart
    }
}

/// A kernel, its clock, and what the protocol needs to know of the two.
struct Clocked {
    kernel: Kernel,
    clock: ManualClock,
    /// When it started, if its store forgets.
    forgets: Option<u64>,
    /// The latest time that it has read.
    now: u64,
    /// What no other kernel has, for the nonces that it gives out.
    number: usize,
}

impl Clocked {
    fn new(dpop: DpopConfig, nonces: &Arc<Judged>, started_at: u64, number: usize) -> Self {
        let world = World::with_stores(Stores { nonces: Some(Arc::<Judged>::clone(nonces)), ..Stores::default() });
        world.clock.set(started_at);
        let kernel = world.builder.settings(Settings { dpop, ..Settings::default() }).build().unwrap();
        let forgets = (!nonces.survives_restart).then_some(started_at);
        Self { kernel, clock: world.clock, forgets, now: started_at, number }
    }
}

/// A call that is sent again and again.
struct Sent {
    call: SignedCall,
    issued_at: u64,
    /// The kernel that gave out its nonce.
    of: Option<usize>,
    was_allowed: bool,
}

type Answers = BTreeMap<&'static str, usize>;

/// Signed calls of two capabilities that are valid for long, sent to kernels whose clocks do as they like.
struct Run {
    dpop: DpopConfig,
    limits: (usize, usize),
    sent: Vec<Sent>,
    /// The latest time that any clock showed.
    latest: u64,
}

impl Run {
    fn new(choices: &mut Choices) -> Self {
        let number = |choices: &mut Choices, below| u64::try_from(choices.below(below)).unwrap();
        let dpop = DpopConfig {
            proof_ttl_secs: 1 + number(choices, 20),
            max_clock_skew_secs: number(choices, 10),
            nonce_store_capacity: 1,
        };
        let limits = (1 + choices.below(10), 1 + choices.below(10));
        Self { dpop, limits, sent: Vec::new(), latest: NOW }
    }

    /// A new call, dated around the time that the clock shows.
    fn sign(&mut self, choices: &mut Choices, shown: u64, by: &Clocked) {
        let number = u64::try_from(choices.below(2)).unwrap();
        let window = Terms { issued_at: 0, expires_at: NOW * 2, serial: serial(number), ..terms(vec![docs_grant()]) };
        let chain: CapabilityChain = issue(window);
        let ahead = self.dpop.max_clock_skew_secs + u64::from(choices.one_in(8));
        let issued_at = shown + [0, ahead, ahead / 2][choices.below(3)] - u64::try_from(choices.below(3)).unwrap();
        let of = choices.one_in(4).then_some(by.number);
        let nonce = of.map_or_else(|| format!("{}", self.sent.len()), |_| by.kernel.new_nonce().unwrap());
        let body = DpopProofBody { issued_at, ..body(&chain, ARGUMENTS, &nonce) };
        let call = call_with(&chain, ARGUMENTS, body, &agent());
        self.sent.push(Sent { call, issued_at, of, was_allowed: false });
    }

    /// Step 4 of section 9, in the words of the protocol.
    fn is_not_fresh(&self, sent: &Sent, by: &Clocked) -> Option<&'static str> {
        let DpopConfig { proof_ttl_secs, max_clock_skew_secs, .. } = self.dpop;
        if sent.issued_at > by.now + max_clock_skew_secs {
            return Some("proof_from_future");
        }
        if by.now > sent.issued_at + proof_ttl_secs {
            return Some("proof_expired");
        }
        let forgotten = by.forgets.is_some_and(|start| sent.issued_at <= start + max_clock_skew_secs);
        (forgotten && sent.of != Some(by.number)).then_some("proof_predates_kernel")
    }

    /// Sends a call, one of the last more often than not, and holds the answer to the law.
    fn step(&mut self, choices: &mut Choices, to: &mut Clocked, answers: &mut Answers) -> Result<(), TestCaseError> {
        let back = if choices.one_in(4) { choices.below(40) } else { 0 };
        self.latest += [0, 0, 0, 0, 1, 1, 2, 9][choices.below(8)];
        let shown = self.latest - u64::try_from(back).unwrap();
        to.clock.set(shown);
        // Set back, it stands still until it has caught up.
        to.now = to.now.max(shown);
        if self.sent.is_empty() || choices.one_in(3) {
            self.sign(choices, shown, to);
        }
        let place = self.sent.len() - 1 - choices.below(8.min(self.sent.len()));
        let answer = code(&to.kernel, self.sent[place].call.clone());
        let sent = &self.sent[place];
        let told = format!("`{answer}` at {}, dated {}, {:?}", to.now, sent.issued_at, self.dpop);
        prop_assert!(!(sent.was_allowed && answer.is_empty()), "allowed twice: {}", told);
        match self.is_not_fresh(sent, to) {
            Some(expected) => prop_assert_eq!(answer, expected, "{}", told),
            // Which of these it is was held against the model in the store.
            None => prop_assert!(ANSWERS.contains(&answer), "{}", told),
        }
        self.sent[place].was_allowed |= answer.is_empty();
        *answers.entry(answer).or_default() += 1;
        Ok(())
    }
}

/// What a store says of a fresh proof.
const ANSWERS: [&str; 4] = ["", "nonce_replayed", "nonce_quota_exceeded", "nonce_store_full"];

/// One kernel after another, each with a store that forgets; the clock is not set back between two of them.
fn restarted(tape: Tape, answers: &mut Answers) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let mut run = Run::new(choices);
    let start = |run: &Run, number| Clocked::new(run.dpop, &Judged::new(run.limits, false), run.latest, number);
    let mut kernel = start(&run, 0);
    for _ in 0..choices.below(60) {
        if choices.one_in(16) {
            kernel = start(&run, kernel.number + 1);
        }
        run.step(choices, &mut kernel, answers)?;
    }
    Ok(())
}

/// Several kernels that share a store which survives them, each with a clock of its own.
fn sharing(tape: Tape, answers: &mut Answers) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let mut run = Run::new(choices);
    let nonces = Judged::new(run.limits, true);
    let start = |run: &Run, number| Clocked::new(run.dpop, &nonces, NOW - 100, number);
    let mut kernels: Vec<_> = (0..3).map(|number| start(&run, number)).collect();
    for _ in 0..choices.below(60) {
        let place = choices.below(kernels.len());
        if choices.one_in(16) {
            // It no longer knows the latest time that it has read.
            kernels[place] = start(&run, place);
        }
        run.step(choices, &mut kernels[place], answers)?;
    }
    Ok(())
}

fn hold(cases: u32, law: impl Fn(Tape, &mut Answers) -> Result<(), TestCaseError>) {
    let answers = RefCell::new(Answers::new());
    let held = TestRunner::new(crate::config(cases)).run(&tapes(500), |tape| law(tape, &mut answers.borrow_mut()));
    held.unwrap_or_else(|failure| panic!("{failure}"));
    let answers = answers.into_inner();
    println!("{answers:?}");
    assert!(answers[""] > 0 && answers["nonce_replayed"] > 0, "{answers:?}");
}

#[test]
fn no_proof_is_allowed_twice_by_a_kernel_that_forgets_at_its_restarts() {
    hold(96, restarted);
}

#[test]
fn no_proof_is_allowed_twice_by_kernels_that_share_a_store() {
    hold(96, sharing);
}
