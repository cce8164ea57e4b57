//! A row of the table: what it measures, in turns with what it is measured against.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use chio_core::crypto::{Keypair, SigningBackend as _};
use criterion::{Criterion, SamplingMode};
use ed25519_dalek::{Signature, VerifyingKey};
use rustix::time::{ClockId, clock_gettime};

/// What a row should come to.
#[derive(Clone, Copy)]
pub enum Aim {
    /// At most so many verifications.
    Verifications(f64),
    /// At most so many times what it is compared with.
    Times(f64),
    /// At least so many megabytes (10^6 bytes) a second, of so many bytes.
    Megabytes(f64, usize),
    /// At least so many times the throughput of one core.
    Cores(f64),
    /// None: the row is there to be known.
    None,
}

/// How long everything may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Full,
    /// `CHIO_BENCH_QUICK=1`, or `--quick`.
    Quick,
    /// Each row once, to see that it runs: `cargo test --benches`, or `--test`.
    Test,
}

pub struct Bench {
    criterion: Criterion,
    reference: Reference,
    filter: Option<String>,
    lines: Vec<Line>,
    pub scale: Scale,
}

struct Line {
    name: String,
    cost: String,
    verifications: f64,
    spread: (f64, f64),
    aim: String,
    seen: String,
    reached: &'static str,
}

/// What one turn took, in nanoseconds.
struct Turn {
    subject: f64,
    verify: f64,
    against: f64,
}

/// How many calls are made ready before they are timed: few enough to lie in a cache, as what has just arrived does.
const CHUNK: u64 = 32;

impl Bench {
    pub fn from_args() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| args.iter().any(|arg| arg == flag);
        let scale = if given("--test") || !given("--bench") {
            Scale::Test
        } else if given("--quick") || std::env::var_os("CHIO_BENCH_QUICK").is_some() {
            Scale::Quick
        } else {
            Scale::Full
        };
        let (warm_up, measurement) = if scale == Scale::Full { (500, 2_000) } else { (20, 80) };
        let criterion = Criterion::default()
            .without_plots()
            .configure_from_args()
            .warm_up_time(Duration::from_millis(warm_up))
            .measurement_time(Duration::from_millis(measurement))
            .sample_size(if scale == Scale::Full { 30 } else { 10 });
        let filter = args.into_iter().find(|arg| !arg.starts_with('-'));
        Self { criterion, reference: Reference::new(), filter, lines: Vec::new(), scale }
    }

    /// Whether the row was asked for: what it needs is not made otherwise.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }

    /// Measures `run` on what `prepare` makes.
    pub fn row<T>(&mut self, name: &str, aim: Aim, mut prepare: impl FnMut() -> T, run: impl FnMut(T)) {
        self.compare(name, aim, || (prepare(), ()), run, |()| {});
    }

    /// The same, compared with `against`.
    pub fn compare<T, U>(
        &mut self,
        name: &str,
        aim: Aim,
        mut prepare: impl FnMut() -> (T, U),
        mut run: impl FnMut(T),
        mut against: impl FnMut(U),
    ) {
        let turns = RefCell::new(Vec::new());
        let reference = &mut self.reference;
        let mut measure = |iterations: u64| {
            let mut total = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let chunk = left.min(CHUNK);
                left -= chunk;
                let prepared: Vec<_> = (0..chunk).map(|_| prepare()).collect();
                for (index, (subject, other)) in prepared.into_iter().enumerate() {
                    // Who goes first changes, so that neither always finds the caches as the other left them.
                    let (took, verify, other) = if index % 2 == 0 {
                        let verify = reference.timed();
                        let other = timed(|| against(other));
                        (timed(|| run(subject)), verify, other)
                    } else {
                        let took = timed(|| run(subject));
                        let other = timed(|| against(other));
                        (took, reference.timed(), other)
                    };
                    total += took;
                    let [subject, verify, against] = [took, verify, other].map(|time| time.as_nanos() as f64);
                    turns.borrow_mut().push(Turn { subject, verify, against });
                }
            }
            total
        };
        let mut group = self.criterion.benchmark_group("chio");
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(name, |bencher| bencher.iter_custom(&mut measure));
        group.finish();
        let turns = turns.into_inner();
        if !turns.is_empty() {
            self.lines.push(Line::new(name, aim, &turns));
        }
    }

    /// A row that is measured elsewhere.
    pub fn add_cores(&mut self, name: &str, aim: Aim, ratios: &[f64]) {
        let seen = median(ratios.to_vec());
        let Aim::Cores(least) = aim else { return };
        self.lines.push(Line {
            name: name.to_owned(),
            cost: String::new(),
            verifications: f64::NAN,
            spread: (quantile(ratios.to_vec(), 0.25), quantile(ratios.to_vec(), 0.75)),
            aim: format!("≥ {least} × one core"),
            seen: format!("{seen:.2}"),
            reached: reached(seen >= least),
        });
    }

    /// Prints the table, as Markdown, and Criterion's own summary.
    pub fn finish(self) {
        if self.scale == Scale::Test {
            return;
        }
        println!("\n| what | median | verifications (quartiles) | aim | seen | reached |");
        println!("|---|---|---|---|---|---|");
        for Line { name, cost, verifications, spread: (low, high), aim, seen, reached } in &self.lines {
            let verifications = if verifications.is_nan() { String::new() } else { format!("{verifications:.3}") };
            println!("| {name} | {cost} | {verifications} ({low:.3}–{high:.3}) | {aim} | {seen} | {reached} |");
        }
        println!("\nOne `verify_strict` took {:.1} µs (median of all).", self.reference.median() / 1e3);
        self.criterion.final_summary();
    }
}

impl Line {
    fn new(name: &str, aim: Aim, turns: &[Turn]) -> Self {
        // The first quarter is warming up.
        let turns = turns.get(turns.len() / 4..).unwrap_or(turns);
        let of = |value: fn(&Turn) -> f64| turns.iter().map(value).collect::<Vec<f64>>();
        let ratios = of(|turn| turn.subject / turn.verify);
        let cost = median(of(|turn| turn.subject));
        let verifications = median(ratios.clone());
        let (aim, seen, reached) = match aim {
            Aim::Verifications(most) => {
                (format!("≤ {most:.2} verifications"), format!("{verifications:.2}"), reached(verifications <= most))
            }
            Aim::Times(most) => {
                let times = median(of(|turn| turn.subject / turn.against));
                (format!("≤ {most} × its like"), format!("{times:.3}"), reached(times <= most))
            }
            Aim::Megabytes(least, bytes) => {
                let seen = bytes as f64 * 1e3 / cost;
                (format!("≥ {least} MB/s"), format!("{seen:.0} MB/s"), reached(seen >= least))
            }
            Aim::Cores(_) | Aim::None => ("–".into(), String::new(), "–"),
        };
        let spread = (quantile(ratios.clone(), 0.25), quantile(ratios, 0.75));
        let cost = if cost < 1e6 { format!("{:.1} µs", cost / 1e3) } else { format!("{:.2} ms", cost / 1e6) };
        Self { name: name.to_owned(), cost, verifications, spread, aim, seen, reached }
    }
}

fn reached(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// What a piece of work took of this thread's processor time. Whatever else the machine does meanwhile does not count;
/// nothing that is timed here waits.
fn timed(run: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let started = now();
    run();
    now() - started
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = ((values.len().saturating_sub(1)) as f64 * share) as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// The unit: `verify_strict` of a message as long as a proof, by a key that is decoded already. As many signatures as
/// no branch predictor learns by heart.
#[derive(Clone)]
pub struct Reference {
    key: VerifyingKey,
    signed: Vec<(Vec<u8>, Signature)>,
    next: usize,
    took: Vec<f64>,
}

impl Reference {
    pub fn new() -> Self {
        let signer = Keypair::from_seed(&[9; 32]);
        let key = VerifyingKey::try_from(signer.public_key().as_bytes()).unwrap();
        let signed = (0u16..512).map(|number| {
            let message = format!("{number:0471}").into_bytes();
            let signature = Signature::from_slice(signer.sign(&message).unwrap().as_bytes()).unwrap();
            (message, signature)
        });
        Self { key, signed: signed.collect(), next: 0, took: Vec::new() }
    }

    pub fn verify(&mut self) {
        let (message, signature) = &self.signed[self.next];
        self.next = (self.next + 1) % self.signed.len();
        assert!(black_box(self.key.verify_strict(black_box(message), signature)).is_ok());
    }

    fn timed(&mut self) -> Duration {
        let took = timed(|| self.verify());
        self.took.push(took.as_nanos() as f64);
        took
    }

    fn median(&self) -> f64 {
        median(self.took.clone())
    }
}
