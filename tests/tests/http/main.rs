//! `chio_http` from the outside: requests into the layer, and what reaches the service behind it.
#![cfg(not(shuttle))]

mod attacks;

mod ekey;

mod opaque_vectors;

mod outcomes;

mod passing;

mod session;

mod third_party;

mod world;
