//! `[session]`: sessions that a password opens, and a MAC proves.

use serde::Deserialize;

use super::values::{Count, Reference, Seconds};
use crate::opaque::rules::{self, DeskRules};

/// `[session]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// What `chio session setup` made: the same at all gateways of a service.
    pub setup: Reference,
    /// What the paths of registration and login begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Who may register.
    #[serde(default)]
    pub registration: Registration,
    /// What sessions of those are for who register without an invitation.
    pub scope: Option<String>,
    /// How long a session lasts.
    #[serde(default = "Seconds::<3600>::get")]
    pub session_secs: Seconds<3600>,
    /// How long a login may take, at most 60 s.
    #[serde(default = "Seconds::<60>::get")]
    pub login_secs: Seconds<60>,
    /// How far the time of a request may be from now.
    #[serde(default = "Seconds::<5>::get")]
    pub window_secs: Seconds<5>,
    /// How many sessions a user may have.
    #[serde(default = "Count::<64>::get")]
    pub sessions_of_user: Count<64>,
    /// How many logins may be under way.
    #[serde(default = "Count::<10_000>::get")]
    pub logins: Count<10_000>,
    /// How many of them may come from one address. Behind a balancer that is the balancer's.
    #[serde(default = "Count::<64>::get")]
    pub logins_of_peer: Count<64>,
    /// How many registrations and logins may begin in a minute from one address.
    #[serde(default = "Count::<60>::get")]
    pub starts_of_peer: Count<60>,
    /// How many of them for one user.
    #[serde(default = "Count::<10>::get")]
    pub starts_of_peer_for_user: Count<10>,
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Nobody.
    #[default]
    Closed,
    /// Who has an invitation.
    Invited,
    /// Everybody.
    Open,
}

fn prefix() -> String {
    DeskRules::default().prefix
}

impl Session {
    /// What the desk goes by.
    pub fn rules(&self) -> DeskRules {
        let count = |number: u32| u64::from(number);
        DeskRules {
            prefix: self.prefix.clone(),
            registration: match self.registration {
                Registration::Closed => rules::Registration::Closed,
                Registration::Invited => rules::Registration::Invited,
                Registration::Open => rules::Registration::Open,
            },
            scope: self.scope.clone(),
            session_secs: self.session_secs.seconds(),
            login_secs: self.login_secs.seconds(),
            window_secs: self.window_secs.seconds(),
            sessions_of_user: count(self.sessions_of_user.count()),
            logins: count(self.logins.count()),
            logins_of_peer: count(self.logins_of_peer.count()),
            starts_of_peer: count(self.starts_of_peer.count()),
            starts_of_peer_for_user: count(self.starts_of_peer_for_user.count()),
        }
    }
}
