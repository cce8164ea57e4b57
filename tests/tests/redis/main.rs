//! The state in Redis, against a real redis-server that each test starts, stops, kills, fills and empties.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod kernels;
mod others;
mod owner;
mod places;
mod receipts;
mod records;
mod server;
mod stores;
