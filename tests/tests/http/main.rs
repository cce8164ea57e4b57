//! `chio_http` from the outside: requests into the layer, and what reaches the service behind it.
#![cfg(not(shuttle))]

mod attacks;

mod ekey;

mod outcomes;

mod passing;

mod rollout;

mod sealed;

mod third_party;

mod world;
