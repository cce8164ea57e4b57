//! Laws: what holds for every chain, call, proof, nonce and receipt, and not for the examples alone.
//!
//! `PROPTEST_CASES=25600 cargo test -p chio_tests --test properties` looks a hundred times as hard.

mod choices;

mod generate;

mod canonical;

mod signing;

mod narrowing;

mod one_byte;

mod nonces;

mod receipts;

use proptest::test_runner::Config;

/// So many cases, where a property usually has 256. `PROPTEST_CASES` raises all of them alike.
fn config(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    let cases = u64::from(cases).saturating_mul(asked).div_ceil(256);
    let cases = u32::try_from(cases).unwrap_or(u32::MAX);
    Config { cases, failure_persistence: None, ..Config::default() }
}
