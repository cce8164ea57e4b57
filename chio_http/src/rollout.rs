//! In which mode a request is decided: rules that an operator can change while a service runs.

use std::sync::{Arc, PoisonError, RwLock};

use chio_kernel::config::Mode;

/// A rule: what it names has to be so, and what it does not name may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutRule {
    /// The name of the scheme by which a request was presented.
    pub scheme: Option<String>,
    /// The profile of the client, as the scheme has found it.
    pub profile: Option<String>,
    /// The tool name of the route.
    pub route: Option<String>,
    /// The mode.
    pub mode: Mode,
}

impl RolloutRule {
    /// Whether every request that is of the other is of this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        let covers = |one: &Option<String>, other: &Option<String>| one.is_none() || one == other;
        covers(&self.scheme, &other.scheme)
            && covers(&self.profile, &other.profile)
            && covers(&self.route, &other.route)
    }
}

/// The rules, in their order: the first that a request is of decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// They.
    pub rules: Vec<RolloutRule>,
    /// The mode where no rule decides.
    pub otherwise: Mode,
    /// Whether the service behind sees `Authorization` and the proof, as a client has sent them, where nothing is enforced: one
    /// that reads them itself goes on working.
    pub passes_credentials: bool,
}

impl Rollout {
    /// One mode for everything.
    pub fn all(mode: Mode) -> Self {
        Self { rules: Vec::new(), otherwise: mode, passes_credentials: true }
    }

    /// The mode of a request. A rule that names a scheme is for no request that no scheme has taken, and one that names a
    /// profile for none whose token did not hold.
    pub fn mode(&self, route: &str, scheme: Option<&str>, profile: Option<&str>) -> Mode {
        let mut rules = self.rules.iter().filter(|rule| rule.is_of(route, scheme));
        let rule = rules.find(|rule| rule.profile.is_none() || rule.profile.as_deref() == profile);
        rule.map_or(self.otherwise, |rule| rule.mode)
    }

    /// The strictest that it can be, where nobody knows the profile.
    pub fn strictest_mode(&self, route: &str, scheme: Option<&str>) -> Mode {
        let profiles = self.rules.iter().filter_map(|rule| rule.profile.as_deref());
        let modes = profiles.map(|profile| self.mode(route, scheme, Some(profile)));
        modes.fold(self.mode(route, scheme, None), |strictest, mode| match (strictest, mode) {
            (Mode::Enforce, _) | (_, Mode::Enforce) => Mode::Enforce,
            (Mode::Report, _) | (_, Mode::Report) => Mode::Report,
            (Mode::Off, Mode::Off) => Mode::Off,
        })
    }

    /// The mode, where that does not depend on the profile.
    pub(crate) fn mode_of_any_profile(&self, route: &str, scheme: Option<&str>) -> Option<Mode> {
        match self.rules.iter().find(|rule| rule.is_of(route, scheme)) {
            None => Some(self.otherwise),
            Some(rule) if rule.profile.is_none() => Some(rule.mode),
            Some(_) => None,
        }
    }
}

impl RolloutRule {
    /// Whether it is for a request but for the profile.
    fn is_of(&self, route: &str, scheme: Option<&str>) -> bool {
        let is = |named: &Option<String>, it: Option<&str>| named.is_none() || named.as_deref() == it;
        is(&self.scheme, scheme) && is(&self.route, Some(route))
    }
}

/// What is in force at the moment. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Rollouts(Arc<RwLock<Arc<Rollout>>>);

impl Rollouts {
    /// These rules, to begin with.
    pub fn new(rollout: Rollout) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rollout))))
    }

    /// What is in force now. Who decides asks once for each request.
    pub fn now(&self) -> Arc<Rollout> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force, at once for every request that comes from now on.
    pub fn replace(&self, rollout: Rollout) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rollout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scheme: &str, profile: &str, route: &str, mode: Mode) -> RolloutRule {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        RolloutRule { scheme: named(scheme), profile: named(profile), route: named(route), mode }
    }

    #[test]
    fn the_first_rule_that_a_request_is_of_decides() {
        let rules = vec![
            rule("a", "", "GET:/x", Mode::Off),
            rule("a", "web", "", Mode::Report),
            rule("a", "", "", Mode::Enforce),
            rule("", "", "GET:/y", Mode::Report),
            rule("", "mobile", "", Mode::Off),
        ];
        let rollout = Rollout { rules, ..Rollout::all(Mode::Enforce) };
        let mode = |route, scheme, profile| rollout.mode(route, scheme, profile);
        assert_eq!(mode("GET:/x", Some("a"), Some("web")), Mode::Off);
        assert_eq!(mode("GET:/y", Some("a"), Some("web")), Mode::Report);
        assert_eq!(mode("GET:/y", Some("a"), None), Mode::Enforce);
        assert_eq!(mode("GET:/y", Some("b"), None), Mode::Report);
        assert_eq!(mode("GET:/y", None, None), Mode::Report);
        assert_eq!(mode("GET:/z", None, Some("mobile")), Mode::Off);
        // A scheme's rule is for none that no scheme took, a profile's for none that has none.
        assert_eq!(mode("GET:/x", None, None), Mode::Enforce);
        assert_eq!(mode("GET:/z", Some("b"), None), Mode::Enforce);
        let any = |route, scheme| rollout.mode_of_any_profile(route, scheme);
        assert_eq!(any("GET:/x", Some("a")), Some(Mode::Off));
        assert_eq!(any("GET:/y", Some("a")), None);
        assert_eq!(any("GET:/y", Some("b")), Some(Mode::Report));
        assert_eq!(any("GET:/z", Some("b")), None);
        let strictest = |route, scheme| rollout.strictest_mode(route, scheme);
        assert_eq!(strictest("GET:/x", Some("a")), Mode::Off, "no profile changes it");
        assert_eq!(strictest("GET:/y", Some("a")), Mode::Enforce);
        assert_eq!(strictest("GET:/y", Some("b")), Mode::Report, "the rule for all comes before that of a profile");
        assert_eq!(strictest("GET:/z", Some("b")), Mode::Enforce, "where no rule decides");
        let rules = vec![rule("", "web", "", Mode::Enforce), rule("", "", "", Mode::Report)];
        assert_eq!(Rollout { rules, ..Rollout::all(Mode::Off) }.strictest_mode("GET:/z", None), Mode::Enforce);
        let rules = vec![rule("", "web", "", Mode::Report)];
        assert_eq!(Rollout { rules, ..Rollout::all(Mode::Off) }.strictest_mode("GET:/z", None), Mode::Report);
        assert_eq!(Rollout::all(Mode::Report).mode_of_any_profile("GET:/z", None), Some(Mode::Report));
    }

    #[test]
    fn a_rule_covers_those_that_say_more() {
        let broad = rule("a", "", "", Mode::Off);
        assert!(broad.covers(&rule("a", "web", "GET:/x", Mode::Report)) && broad.covers(&broad));
        assert!(!broad.covers(&rule("b", "", "", Mode::Off)) && !broad.covers(&rule("", "", "", Mode::Off)));
        assert!(rule("", "", "", Mode::Off).covers(&broad));
    }
}
