//! The reverse proxy, against upstreams that write down every byte that arrives, and against programs that nobody here wrote.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod harness;

mod flowing;

mod headers;

mod limits;

mod smuggling;

mod upgrades;

mod passwords;
mod programs;

mod rollout;

mod command;

mod clients;

mod devices;

mod sealed;
