//! What is required of whom: by the client application that a token was issued to, and never by what a request says of itself.

use std::collections::BTreeSet;
use std::fmt;

/// Which requests have to be signed by a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// All.
    #[default]
    All,
    /// Those whose method is not safe (RFC 9110 section 9.2.1), and those that open a tunnel.
    Mutating,
    /// None. One that is signed has to be signed well all the same.
    None,
}

impl Require {
    /// Whether a request has to be signed.
    pub fn covers(self, method: &str, is_upgrade: bool) -> bool {
        match self {
            Self::All => true,
            Self::Mutating => is_upgrade || !matches!(method, "GET" | "HEAD" | "OPTIONS"),
            Self::None => false,
        }
    }
}

/// A kind of client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The client applications that it is of.
    pub clients: Vec<String>,
    /// Which of their requests have to be signed.
    pub require: Require,
}

/// Why there are no such profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// Two have one name.
    Same(String),
    /// A client is of two.
    InTwo(String),
    /// The default is none of them.
    NoDefault(String),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(name) => write!(f, "there are two profiles `{name}`"),
            Self::InTwo(client) => write!(f, "the client `{client}` is in two profiles"),
            Self::NoDefault(name) => write!(f, "the default profile `{name}` is none of those that there are"),
        }
    }
}

impl std::error::Error for ProfileError {}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    all: Vec<Profile>,
    default: Option<String>,
}

impl Profiles {
    /// These, and the name of the one of a client that is in none. Without it, everything is required of such.
    /// Fails where it cannot be told which one a client is of.
    pub fn new(all: Vec<Profile>, default: Option<String>) -> Result<Self, ProfileError> {
        let (mut names, mut clients) = (BTreeSet::new(), BTreeSet::new());
        for profile in &all {
            if !names.insert(&profile.name) {
                return Err(ProfileError::Same(profile.name.clone()));
            }
            if let Some(twice) = profile.clients.iter().find(|client| !clients.insert(*client)) {
                return Err(ProfileError::InTwo(twice.clone()));
            }
        }
        if let Some(name) = default.as_ref().filter(|name| !names.contains(name)) {
            return Err(ProfileError::NoDefault(name.clone()));
        }
        Ok(Self { all, default })
    }

    /// The profile of a client application, and what is required of it.
    pub fn of(&self, client: Option<&str>) -> (Option<&str>, Require) {
        let has = |profile: &&Profile| client.is_some_and(|client| profile.clients.iter().any(|one| one == client));
        let default = || self.all.iter().find(|profile| Some(&profile.name) == self.default.as_ref());
        let found = self.all.iter().find(has).or_else(default);
        found.map_or((None, Require::All), |profile| (Some(&*profile.name), profile.require))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, clients: &[&str], require: Require) -> Profile {
        Profile { name: name.into(), clients: clients.iter().map(|&client| client.into()).collect(), require }
    }

    #[test]
    fn a_client_in_no_profile_has_the_default_or_the_strictest() {
        let all = || vec![profile("mobile", &["ios"], Require::All), profile("web", &["spa"], Require::Mutating)];
        let strict = Profiles::new(all(), None).unwrap();
        assert_eq!(strict.of(Some("spa")), (Some("web"), Require::Mutating));
        assert_eq!(strict.of(Some("ios")), (Some("mobile"), Require::All));
        for client in [None, Some("other"), Some("web"), Some("")] {
            assert_eq!(strict.of(client), (None, Require::All), "{client:?}");
        }
        let lax = Profiles::new(all(), Some("web".into())).unwrap();
        assert_eq!(lax.of(None), (Some("web"), Require::Mutating));
        assert_eq!(Profiles::default().of(Some("x")), (None, Require::All));
        let twice = vec![profile("a", &["x"], Require::All), profile("b", &["x"], Require::None)];
        assert_eq!(Profiles::new(twice, None).unwrap_err(), ProfileError::InTwo("x".into()));
        let same = vec![profile("a", &[], Require::All), profile("a", &[], Require::None)];
        assert_eq!(Profiles::new(same, None).unwrap_err(), ProfileError::Same("a".into()));
        assert_eq!(Profiles::new(all(), Some("c".into())).unwrap_err(), ProfileError::NoDefault("c".into()));
    }

    #[test]
    fn what_changes_something_is_mutating() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "QUERY", "PROPFIND"] {
            assert!(Require::Mutating.covers(method, false), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!Require::Mutating.covers(method, false) && Require::All.covers(method, false), "{method}");
            assert!(Require::Mutating.covers(method, true), "{method} that opens a tunnel");
        }
        assert!(!Require::None.covers("POST", true));
    }
}
