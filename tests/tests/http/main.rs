//! `chio_http` from the outside: requests into the layer, and what reaches the service behind it.
#![cfg(not(shuttle))]

mod attacks;

mod device;

mod ekey;

mod opaque_vectors;

mod outcomes;

mod passing;

#[path = "../redis/server.rs"]
#[allow(dead_code)] // its own tests need more of it
mod redis;
mod rollout;

mod sealed;
mod session;

mod third_party;

mod world;
