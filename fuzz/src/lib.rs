//! What the fuzz targets check. Each takes bytes and panics where a law is broken; `fuzz_targets/` has no more than the
//! doors, so that stable Rust can run the kept corpora too (`tests/tests/corpora.rs`).

pub mod bytes;

pub mod reading;

pub mod edit;

pub mod genuine;

pub mod signed;

pub mod canonical_json;

pub mod capability_chain;

pub mod dpop_proof;

pub mod kernel_call;

pub mod nonce_store;

pub mod http_request;

pub mod mcp_message;
