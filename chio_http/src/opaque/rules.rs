//! What a desk goes by.

use super::accounts::is_scope;
use super::scheme::WINDOW_SECS;
use crate::target::check_path;

/// How long a login may take at most, in seconds.
pub const MAX_LOGIN_SECS: u64 = 60;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    #[default]
    Closed,
    /// Who has an invitation.
    Invited,
    /// Everybody, under a name that nobody has.
    Open,
}

/// What a desk goes by.
#[derive(Clone, Debug)]
pub struct DeskRules {
    /// What its paths begin with: `/session`.
    pub prefix: String,
    /// Who may register.
    pub registration: Registration,
    /// What sessions of those are for who register without an invitation.
    pub scope: Option<String>,
    /// How long a session lasts, in seconds.
    pub session_secs: u64,
    /// How long a login may take, in seconds: at most [`MAX_LOGIN_SECS`].
    pub login_secs: u64,
    /// How far the time of a logout may be from now, in seconds.
    pub window_secs: u64,
    /// How many sessions a user may have.
    pub sessions_of_user: u64,
    /// How many logins may be under way.
    pub logins: u64,
    /// How many of them may come from one address.
    pub logins_of_peer: u64,
    /// How many registrations and logins may begin in a minute from one address.
    pub starts_of_peer: u64,
    /// How many of them for one user.
    pub starts_of_peer_for_user: u64,
}

impl Default for DeskRules {
    fn default() -> Self {
        Self {
            prefix: "/session".to_owned(),
            registration: Registration::Closed,
            scope: None,
            session_secs: 3600,
            login_secs: MAX_LOGIN_SECS,
            window_secs: WINDOW_SECS,
            sessions_of_user: 64,
            logins: 10_000,
            logins_of_peer: 64,
            starts_of_peer: 60,
            starts_of_peer_for_user: 10,
        }
    }
}

impl DeskRules {
    /// Fails where they are none.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_path = self.prefix.len() <= 256
            && self.prefix.len() > 1
            && !self.prefix.ends_with('/')
            && check_path(&self.prefix).is_ok();
        if !is_path {
            return Err("the prefix is a path such as `/session`, without a `/` at its end");
        }
        if !self.scope.as_deref().is_none_or(is_scope) {
            return Err("a scope is names with single spaces between them");
        }
        if !(1..=MAX_LOGIN_SECS).contains(&self.login_secs) {
            return Err("a login takes at most 60 s");
        }
        Ok(())
    }
}
