//! The state in Redis, against a real redis-server that each test starts, stops, kills, fills and empties.

mod faults;
mod kernels;
mod owner;
mod receipts;
mod server;
mod stores;
