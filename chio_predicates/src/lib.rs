//! What one text in a tool call may be: the predicates behind the constraint types of a capability that look inside a
//! string.
//!
//! Each is a function of texts alone: no file system, no resolver, no shell is asked. Whoever acts on the text later reads it
//! by rules of their own, so one principle holds for all of them: **a text that two programs could read differently is
//! refused**, whatever it would mean to the one or the other. Nothing is decoded, repaired or normalised first.
//!
//! The modules stand in reading order; each imports only from those above it.

pub mod path;

pub mod pattern;

pub mod address;

pub mod url;

pub mod words;

mod predicate;

pub use self::predicate::{MemberSource, Predicate};
