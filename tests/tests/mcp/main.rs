//! MCP: the guard before a tool server, and the signer beside a client.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod wire;

mod attacks;

mod lists;

mod passing;

mod receipts;

mod streams;

mod running;

mod processes;

mod http;

mod peers;

mod peers_http;
