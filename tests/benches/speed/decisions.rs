//! What deciding a call costs: chains that were seen and not, denials, large arguments.

use chio_core::crypto::Keypair;
use chio_kernel::SignedCall;

use crate::calls::{Caller, Guarded, Told};
use crate::measure::{Aim, Bench};

const DEPTHS: [u8; 3] = [1, 4, 16];

pub fn cached(bench: &mut Bench) {
    let arguments = Told::text(1024);
    for depth in DEPTHS {
        let (guarded, caller) = (Guarded::new(), Caller::of_depth(depth));
        let name = format!("allow, chain cached, depth {depth}");
        let prepare = || caller.call(&arguments, guarded.tick());
        bench.row(&name, Aim::Verifications(1.15), prepare, |call| guarded.allows(call));
    }
    let (guarded, caller) = (Guarded::new(), Caller::of_depth(1));
    let whole = |call: SignedCall| {
        let completed = pollster::block_on(guarded.kernel.call(call)).unwrap();
        assert!(completed.result.is_ok() && completed.receipt.is_ok());
    };
    let prepare = || caller.call(&arguments, guarded.tick());
    bench.row("the same with dispatch and the signed receipt of its outcome", Aim::None, prepare, whole);
}

pub fn never_seen(bench: &mut Bench) {
    let arguments = Told::text(1024);
    for depth in DEPTHS {
        let guarded = Guarded::new();
        let aim = Aim::Verifications(1.15 * (f64::from(depth) + 1.0));
        let prepare = || Caller::of_depth(depth).call(&arguments, guarded.tick());
        bench.row(&format!("allow, chain never seen, depth {depth}"), aim, prepare, |call| guarded.allows(call));
    }
}

/// The clock stands still here: in each second a hundred such denials are signed, and the others are what is measured.
pub fn denied(bench: &mut Bench) {
    let arguments = Told::text(1024);
    let (guarded, caller) = (Guarded::new(), Caller::of_depth(1));
    let now = guarded.tick();
    let other = Told::text(1000);
    let thief = Keypair::from_seed(&[99; 32]);
    let spent = caller.call(&arguments, now);
    guarded.allows(spent.clone());
    let misbound = || SignedCall { proof: caller.call(&other, now).proof, ..caller.call(&arguments, now) };
    let cases: [(&str, &str, &dyn Fn() -> SignedCall); 5] = [
        ("forged", "proof_signature_invalid", &|| caller.call_by(&thief, &arguments, now)),
        ("replayed", "nonce_replayed", &|| spent.clone()),
        ("expired", "proof_expired", &|| caller.call(&arguments, now - 1000)),
        ("misbound", "proof_binding_mismatch", &misbound),
        ("missing", "proof_missing", &|| SignedCall { proof: None, ..caller.call(&arguments, now) }),
    ];
    for (what, code, prepare) in cases {
        // Until what is unproven is only counted.
        (0..101).for_each(|_| guarded.denies(prepare(), code));
        let aim = Aim::Verifications(1.1);
        bench.row(&format!("deny, proof {what}"), aim, prepare, |call| guarded.denies(call, code));
    }
}

pub fn large_arguments(bench: &mut Bench) {
    let (caller, unruled) = (Caller::of_depth(1), Caller::without_rules());
    for (size, bytes) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let (text, records) = (Told::text(bytes), Told::records(bytes - (bytes >> 3)));
        let (loose_text, loose_records) = (Told::text(bytes - 64).loosely(), records.loosely());
        for (form, arguments, caller) in [
            ("one text, canonical", &text, &caller),
            ("one text, not canonical", &loose_text, &caller),
            ("records, canonical, no rules", &records, &unruled),
            ("records, not canonical, no rules", &loose_records, &unruled),
            ("records, canonical", &records, &caller),
            ("records, not canonical", &loose_records, &caller),
        ] {
            let guarded = Guarded::new();
            let sent = arguments.text.len();
            let aim = if bytes < 1 << 20 { Aim::Verifications(5.0) } else { Aim::Megabytes(200.0, sent) };
            let prepare = || caller.call(arguments, guarded.tick());
            bench.row(&format!("{size}: {form}"), aim, prepare, |call| guarded.allows(call));
        }
    }
}
