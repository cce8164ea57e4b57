//! State of Chio kernels that survives a restart.
//!
//! A kernel remembers with five small traits (`chio_kernel::store`). Here they are answered by one file, for one kernel
//! (`SqliteState`, feature `sqlite`), and by one Redis or Valkey, for several kernels behind one balancer (`RedisState`,
//! feature `redis`). What their owner asks and changes by hand is the same for both: [`State`]. So is what the schemes over
//! HTTP remember besides: [`Records`].
//!
//! Neither is part of what has to be trusted to read a call, but both are trusted to remember: a store that says `Spent`
//! twice has let a replay through.

mod records;

mod memory;

mod state;

mod list;

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "redis")]
mod redis;

pub use self::list::{
    ListError, MAX_REVOCATION_LIST_BYTES, REVOCATION_LIST_SCHEMA, RevocationList, RevocationListBody, Revoked,
};
pub use self::memory::MemoryRecords;
pub use self::records::{Entry, MAX_VALUE_BYTES, PAGE, Page, Put, Records, Room, Table};
#[cfg(feature = "redis")]
pub use self::redis::{ConnectError, RedisOptions, RedisState};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{OpenError, SqliteOptions, SqliteState};
pub use self::state::{Kind, Overview, Record, State, stores};
