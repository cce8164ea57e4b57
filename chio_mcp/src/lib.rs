//! Chio for the Model Context Protocol: a guard before any tool server, a signer beside any client, neither changed.
//!
//! What passes is the text of each message. It is read strictly, decided on, and sent on as it was decided on, with
//! nothing but Chio's own entries of `_meta` put in or taken out: see `docs/mcp.md`.
//!
//! The modules, in reading order; each imports only from those above it.

mod json;

mod message;

pub mod meta;

pub mod methods;

mod action;

pub mod answer;

pub mod definitions;

pub mod relay;

pub mod keeper;

pub mod guard;

pub mod signer;

mod lines;

pub mod pump;

#[cfg(unix)]
pub mod process;

#[cfg(unix)]
pub mod survey;

pub mod http;

pub use self::answer::DenyAs;
pub use self::guard::{Guard, GuardOptions};
pub use self::keeper::Keeper;
pub use self::methods::{Methods, Rule};
pub use self::relay::{FromClient, FromServer, Relay, Session};
pub use self::signer::Signer;
