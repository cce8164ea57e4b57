#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chio_fuzz::capability_chain::check(bytes));
