//! What a decision costs, as a ratio to one `verify_strict` of ed25519-dalek that is measured in turns with it.
//!
//! `cargo bench`, or for some twenty seconds `CHIO_BENCH_QUICK=1 cargo bench`. What the rows mean, and what was seen:
//! `docs/performance.md`.

mod measure;

mod calls;

mod decisions;

mod load;

mod nist;

mod cores;

fn main() {
    let mut bench = measure::Bench::from_args();
    decisions::cached(&mut bench);
    decisions::never_seen(&mut bench);
    decisions::denied(&mut bench);
    load::revoked(&mut bench);
    load::live_nonces(&mut bench);
    decisions::large_arguments(&mut bench);
    nist::subjects(&mut bench);
    cores::two(&mut bench);
    bench.finish();
}
