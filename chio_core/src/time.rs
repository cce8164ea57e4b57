//! Whole Unix seconds, and windows of them. Nothing here reads a clock.

use std::cmp::Ordering;

use crate::canonical::MAX_INTEGER;

/// The last second that a document can name: time is whole seconds since 1970-01-01T00:00:00Z, from 0 to 2^53−1.
pub const MAX_UNIX_SECONDS: u64 = MAX_INTEGER;

/// A window of validity: `issued_at ≤ now < expires_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first valid second.
    pub issued_at: u64,
    /// The first second that is no longer valid.
    pub expires_at: u64,
}

impl Window {
    /// Where `now` lies: before it, inside (`Equal`) or after.
    pub fn place_of(self, now: u64) -> Ordering {
        match now {
            _ if now < self.issued_at => Ordering::Less,
            _ if now < self.expires_at => Ordering::Equal,
            _ => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_its_first_second_and_not_its_last() {
        let window = Window { issued_at: 10, expires_at: 12 };
        for (now, place) in [
            (0, Ordering::Less),
            (9, Ordering::Less),
            (10, Ordering::Equal),
            (11, Ordering::Equal),
            (12, Ordering::Greater),
            (u64::MAX, Ordering::Greater),
        ] {
            assert_eq!(window.place_of(now), place, "{now}");
        }
    }
}
