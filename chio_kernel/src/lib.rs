//! Enforcement of Chio: verify a signed tool call, guard it, dispatch it, keep the receipt.
//!
//! Each arrow consumes its left side, and only the file that draws it can make its right side:
//!
//! ```text
//! bytes ─ SignedCall                 unverified: may be printed, may not be used
//!           │ authority             trusted root · every signature · every window · every link · not revoked
//!         VerifiedAuthority
//!           │ standing, proof       the caller holds the key, for this call, and this nonce is spent
//!         ProvenCall
//!           │ grants, budget, guards
//!         AuthorizedCall            not Clone: one proof, one dispatch; its receipt is written
//!           │ dispatch
//!         Completed                 the result, and the receipt of the outcome
//! ```
//!
//! The modules, in reading order; each imports only from those above it. [`kernel`] is the overview and stands first.

pub mod kernel;

pub mod denial;

mod sync;

pub mod clock;

pub mod config;

mod fence;

pub mod store;

pub mod call;

pub mod authority;

mod standing;

pub mod dpop;

pub mod scheme;

pub mod proof;

mod grants;

mod budget;

pub mod guard;

pub mod tool_server;

#[cfg(feature = "files")]
pub mod files;

mod receipts;

mod builder;

pub use chio_core as core;

pub use self::builder::{BuildError, KernelBuilder, Stores};
pub use self::call::{SignedCall, ToolCall};
pub use self::config::Settings;
pub use self::denial::{Denial, Denied, Step};
pub use self::kernel::{AuthorizedCall, Kernel};
pub use self::store::KernelError;
pub use self::tool_server::Completed;
