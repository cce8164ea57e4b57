//! Two threads at one kernel, compared with one; beside it what the machine gives to two threads that share nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chio_kernel::SignedCall;

use crate::calls::{Caller, Guarded, Told};
use crate::measure::{Aim, Bench, Reference, Scale};

pub fn two(bench: &mut Bench) {
    let name = "two cores: one kernel, one chain";
    if !bench.wants(name) {
        return;
    }
    let (rounds, calls) = match bench.scale {
        Scale::Full => (120, 400),
        Scale::Quick => (20, 100),
        Scale::Test => (1, 2),
    };
    let (arguments, caller, guarded) = (Told::text(1024), Caller::of_depth(1), Guarded::new());
    let prepare = || (0..calls).map(|_| caller.call(&arguments, guarded.tick())).collect::<Vec<SignedCall>>();
    let decide = |calls: Vec<SignedCall>| calls.into_iter().for_each(|call| guarded.allows(call));
    let verify = |mut reference: Reference| (0..calls).for_each(|_| reference.verify());
    let reference = Reference::new();
    let (mut of_kernel, mut of_machine) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let one = together(vec![prepare()], decide);
        let both = together(vec![prepare(), prepare()], decide);
        of_kernel.push(2.0 * one.as_secs_f64() / both.as_secs_f64());
        let one = together(vec![reference.clone()], verify);
        let both = together(vec![reference.clone(), reference.clone()], verify);
        of_machine.push(2.0 * one.as_secs_f64() / both.as_secs_f64());
    }
    bench.add_cores(name, Aim::Cores(1.9), &of_kernel);
    bench.add_cores("two cores: `verify_strict` alone, for what the machine gives", Aim::Cores(1.9), &of_machine);
}

/// How long it takes until all work is done, each part on a thread of its own, from the moment when all are there.
fn together<T: Send>(parts: Vec<T>, work: impl Fn(T) + Sync) -> Duration {
    let (missing, work) = (AtomicUsize::new(parts.len()), &work);
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let missing = &missing;
        let start = |part| {
            scope.spawn(move || {
                missing.fetch_sub(1, Ordering::SeqCst);
                while missing.load(Ordering::SeqCst) > 0 {
                    std::hint::spin_loop();
                }
                let started = Instant::now();
                work(part);
                (started, Instant::now())
            })
        };
        let threads: Vec<_> = parts.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = times.iter().map(|(started, _)| *started).min();
    let last = times.iter().map(|(_, ended)| *ended).max();
    last.unwrap().duration_since(first.unwrap())
}
