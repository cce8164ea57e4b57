//! Whole Unix seconds, and windows of them.
//!
//! Time is a plain `u64`: whole seconds since 1970-01-01T00:00:00Z, from 0 to 2^53−1. Nothing here reads a clock.

use crate::canonical::MAX_INTEGER;

/// The last second that a document can name.
pub const MAX_UNIX_SECONDS: u64 = MAX_INTEGER;

/// Where an instant lies relative to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InWindow {
    /// Before its first second.
    Before,
    /// Inside.
    Inside,
    /// At or after its end.
    After,
}

/// A window of validity: `issued_at ≤ now < expires_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first valid second.
    pub issued_at: u64,
    /// The first second that is no longer valid.
    pub expires_at: u64,
}

impl Window {
    /// Where `now` lies.
    pub fn at(self, now: u64) -> InWindow {
        if now < self.issued_at {
            InWindow::Before
        } else if now < self.expires_at {
            InWindow::Inside
        } else {
            InWindow::After
        }
    }

    /// How long it is, in seconds; 0 where it ends before it starts.
    pub fn seconds(self) -> u64 {
        self.expires_at.saturating_sub(self.issued_at)
    }
}
