//! A tape of random choices. What is generated depends on what was generated before it, down to single members of
//! arguments and the rules for them; so it is read from a tape, and shrinks as the tape does.

use std::fmt;

use proptest::prelude::*;

/// What is on a tape; in hex, so that a failure stays on a screen.
#[derive(Clone, Default)]
pub struct Tape(Vec<u8>);

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A tape that is read. At its end every choice is the first, so that what is generated comes to an end.
pub struct Choices {
    tape: std::vec::IntoIter<u8>,
}

impl Choices {
    pub fn new(tape: Tape) -> Self {
        Self { tape: tape.0.into_iter() }
    }

    /// A number below `count`, 256 at most.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.tape.next().unwrap_or(0)) % count
    }

    /// In one of so many cases; not at the end of the tape.
    pub fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == cases - 1
    }

    pub fn of<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }
}

/// Tapes of at most so many choices.
pub fn tapes(most: usize) -> impl Strategy<Value = Tape> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Tape)
}
