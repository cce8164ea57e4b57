//! What is granted, as people write it.

mod shorthand;

mod policy;

pub(crate) use self::policy::{Policy, read_policy};
pub(crate) use self::shorthand::{argument, is_known, nearest, shown};
