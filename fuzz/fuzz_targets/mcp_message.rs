#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chio_fuzz::mcp_message::check(bytes));
