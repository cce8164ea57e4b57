//! What a chain as a whole allows, as far as it can be told without a call. It is a service to whoever reads it:
//! nothing relies on it, a kernel asks every token about every call.

mod conflict;

mod chain;

mod faults;

mod draw;

mod sample;

pub(crate) use self::chain::Review;
pub(crate) use self::draw::{allows, chain};
pub(crate) use self::faults::faults;
pub(crate) use self::sample::sample;
