//! What an agent may do: tokens, the grants in them, and chains of tokens that narrow each other.
//!
//! A call is allowed only if *every* token of its chain allows it. So a child that claims more than its parent
//! gains nothing, and no rule has to compare two grants.

mod constraint;

mod grant;

mod token;

mod chain;

pub use chio_predicates::path::normal as normal_path;

pub use self::chain::{CapabilityChain, MAX_CHAIN_BYTES, MAX_CHAIN_TOKENS};
pub use self::constraint::{Effort, Rule};
pub use self::grant::{ArgumentRules, Grant, GrantMismatch, MAX_NAME_BYTES};
pub use self::token::{CAPABILITY_SCHEMA, CapabilityToken, Terms};
