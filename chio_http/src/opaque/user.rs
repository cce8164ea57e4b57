//! The names of users.

use std::fmt;

use chio_core::digest::Digest;

/// How long a name may be, in bytes.
const MAX_USER_BYTES: usize = 128;

/// The name of a user: 1 to 128 bytes of printable ASCII without spaces, and of letters and digits beyond ASCII. It is taken
/// byte for byte: another spelling is another user. Combining marks, controls and invisible characters have no place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(String);

impl User {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = |c: char| c.is_ascii_graphic() || !c.is_ascii() && c.is_alphanumeric();
        let is_name = (1..=MAX_USER_BYTES).contains(&text.len()) && text.chars().all(is_good);
        is_name.then(|| Self(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its records go by in a store.
    pub fn id(&self) -> Digest {
        Digest::of(format!("chio-session-user-v1\n{}", self.0).as_bytes())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
