//! `[rollout]`: its rules, and what of a configuration could have been changed beside them.

use chio_core::error::excerpt;
use chio_kernel::config::Mode as KernelMode;
use toml::Spanned;

use super::{Config, ConfigError, Mode, RuleWith, wrong};
use crate::rollout::{Rollout, RolloutRule};

impl From<Mode> for KernelMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Report => Self::Report,
            Mode::Off => Self::Off,
        }
    }
}

/// A rule without the place where it counts.
fn rule(with: &RuleWith) -> RolloutRule {
    let RuleWith { scheme, profile, route, mode, environment: _ } = with.clone();
    RolloutRule { scheme, profile, route, mode: mode.into() }
}

impl Config {
    /// This configuration with the rollout of another, and nothing else of it: what a gateway goes by that has started with this
    /// one. Fails where a rule is for what is not here.
    pub fn with_rollout_of(&self, other: &Self) -> Result<Self, ConfigError> {
        let config = Self { rollout: other.rollout.clone(), ..self.clone() };
        check(&config)?;
        Ok(config)
    }

    /// What is in force, in an environment that the process says where the file does not.
    /// Fails where a rule names an environment, and there is none.
    pub fn rollout(&self, environment: Option<&str>) -> Result<Rollout, ConfigError> {
        let all = Rollout::all(self.kernel.mode.into());
        let Some(with) = self.rollout.as_ref().map(Spanned::get_ref) else { return Ok(all) };
        let environment = with.environment.as_deref().or(environment).filter(|environment| !environment.is_empty());
        let mut rules = Vec::new();
        for one in &with.rule {
            match (one.get_ref().environment.as_deref(), environment) {
                (Some(_), None) => {
                    let help = "say `environment` in `[rollout]`, or set CHIO_ENVIRONMENT";
                    return Err(wrong(one.span().start, "nobody says in which environment this gateway runs", help));
                }
                (Some(named), Some(here)) if named != here => {}
                _ => rules.push(rule(one.get_ref())),
            }
        }
        Ok(Rollout { rules, passes_credentials: with.pass_credentials.unwrap_or(all.passes_credentials), ..all })
    }

    /// The names of the schemes that there are.
    fn schemes(&self) -> Vec<&'static str> {
        let named = [
            ("rfc9449", self.rfc9449.is_some()),
            ("ekey", self.ekey.is_some()),
            ("device", self.device.is_some()),
            ("session", self.session.is_some()),
        ];
        named.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }
}

/// What stands at the top of two configurations and is not the same in both, but for `[rollout]`: it is read at the start alone.
pub fn changed(before: &str, after: &str) -> Vec<String> {
    let table = |text: &str| toml::from_str::<toml::Table>(text).unwrap_or_default();
    let (before, after) = (table(before), table(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let names = names.into_iter().filter(|name| *name != "rollout" && before.get(*name) != after.get(*name));
    names.cloned().collect()
}

/// A rule that is for nothing was meant for something: it is wrong.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let Some(with) = config.rollout.as_ref().map(Spanned::get_ref) else { return Ok(()) };
    for (index, one) in with.rule.iter().enumerate() {
        let (at, named) = (one.span().start, one.get_ref());
        let empty = [&named.environment, &named.scheme, &named.profile, &named.route].into_iter().flatten();
        if empty.into_iter().any(String::is_empty) {
            return Err(wrong(at, "a rule names something that is empty", "leave out what may be anything"));
        }
        if let Some(scheme) = &named.scheme
            && !config.schemes().contains(&scheme.as_str())
        {
            let what = format!("there is no scheme `{}` here", excerpt(scheme));
            return Err(wrong(at, &what, &format!("there are: {}", config.schemes().join(", "))));
        }
        if let Some(profile) = &named.profile {
            // Devices alone have profiles.
            let devices = config.device.as_ref().map(Spanned::get_ref);
            if !devices.is_some_and(|devices| devices.profile.contains_key(profile)) {
                let what = format!("there is no profile `{}` here", excerpt(profile));
                return Err(wrong(at, &what, "profiles are those of `[device.profile.NAME]`"));
            }
            if named.scheme.as_deref().is_some_and(|scheme| scheme != "device") {
                return Err(wrong(at, "this rule never counts: its scheme has no profiles", "take one of the two out"));
            }
        }
        if let Some(name) = &named.route {
            let what = |what: &str| format!("the route `{}` {what}", excerpt(name));
            match config.route.iter().find(|route| route.get_ref().tool == *name) {
                None => return Err(wrong(at, &what("is none"), "name it as its `tool` does")),
                Some(route) if route.get_ref().public => {
                    return Err(wrong(at, &what("is open to everybody"), "take the rule out, or the route's `public`"));
                }
                Some(_) => {}
            }
        }
        let covers = |before: &&Spanned<RuleWith>| {
            let before = before.get_ref();
            let everywhere = before.environment.is_none() || before.environment == named.environment;
            everywhere && rule(before).covers(&rule(named))
        };
        if with.rule.iter().take(index).any(|before| covers(&before)) {
            let help = "put what is narrower first, or take this one out";
            return Err(wrong(at, "this rule never counts: one before it is for all that it is for", help));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[listen]\naddress = \"127.0.0.1:0\"\norigin = \"https://a.example\"\n[upstream]\n\
                        url = \"http://127.0.0.1:1\"\n[[ekey.key]]\niss = \"a\"\nkey = \"k\"\n[[route]]\ntool = \"GET:/a\"\n\
                        [[route]]\ntool = \"GET:/b\"\npublic = true\n";

    fn parsed(rollout: &str) -> Result<Config, (usize, String)> {
        Config::parse(&format!("{BASE}{rollout}"))
            .map_err(|error| (error.at.unwrap().saturating_sub(BASE.len()), error.what))
    }

    #[test]
    fn rules_that_are_for_nothing_are_found() {
        for (rollout, what) in [
            ("scheme = \"rfc9449\"", "no scheme `rfc9449`"),
            ("scheme = \"EKey\"", "no scheme `EKey`"),
            ("route = \"GET:/c\"", "the route `GET:/c` is none"),
            ("route = \"GET:/b\"", "is open to everybody"),
            ("profile = \"\"", "empty"),
            (
                "scheme = \"ekey\"\n[[rollout.rule]]\nmode = \"off\"\nscheme = \"ekey\"\nroute = \"GET:/a\"",
                "never counts",
            ),
            ("profile = \"web\"", "no profile `web`"),
            ("\n[[rollout.rule]]\nmode = \"off\"\nroute = \"GET:/a\"", "never counts"),
        ] {
            let (at, error) = parsed(&format!("[[rollout.rule]]\nmode = \"report\"\n{rollout}\n")).unwrap_err();
            assert!(error.contains(what), "{error}");
            assert_eq!(at > 20, what == "never counts", "{at}");
        }
        let devices = "[[device.issuer]]\niss = \"a\"\naud = \"b\"\njwks_file = \"c\"\n[device.profile.web]\n";
        let of_devices = |rule: &str| parsed(&format!("{devices}[[rollout.rule]]\nmode = \"report\"\n{rule}\n"));
        for good in ["profile = \"web\"", "scheme = \"device\"", "scheme = \"device\"\nprofile = \"web\""] {
            of_devices(good).unwrap();
        }
        assert!(of_devices("profile = \"other\"").unwrap_err().1.contains("no profile `other`"));
        assert!(of_devices("scheme = \"ekey\"\nprofile = \"web\"").unwrap_err().1.contains("never counts"));
        for wrong in ["mode = \"warn\"", "scheme = \"ekey\"", "mode = \"off\"\nsubject = \"a\""] {
            assert!(parsed(&format!("[[rollout.rule]]\n{wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_other_environments_do_not_count() {
        let rules = "[[rollout.rule]]\nenvironment = \"test\"\nmode = \"off\"\n[[rollout.rule]]\nroute = \"GET:/a\"\n\
                     mode = \"report\"\n";
        let config = parsed(rules).unwrap();
        assert!(config.rollout(None).unwrap_err().what.contains("in which environment"));
        assert!(config.rollout(Some("")).is_err());
        let mode = |rollout: Rollout| rollout.mode("GET:/a", None, None);
        assert_eq!(mode(config.rollout(Some("test")).unwrap()), KernelMode::Off);
        assert_eq!(mode(config.rollout(Some("live")).unwrap()), KernelMode::Report);
        // What the file says counts more than what the process is told.
        let config = parsed(&format!("[rollout]\nenvironment = \"live\"\n{rules}")).unwrap();
        assert_eq!(mode(config.rollout(Some("test")).unwrap()), KernelMode::Report);
        let none = parsed("").unwrap().rollout(None).unwrap();
        assert_eq!((none.mode("GET:/a", None, None), none.passes_credentials), (KernelMode::Enforce, true));
        assert!(!parsed("[rollout]\npass_credentials = false").unwrap().rollout(None).unwrap().passes_credentials);
    }

    #[test]
    fn what_else_was_changed_is_named() {
        let changed = |more: &str| changed(BASE, &format!("{more}{BASE}"));
        assert!(changed("").is_empty() && changed("# a comment\n").is_empty());
        assert!(super::changed(BASE, &format!("{BASE}[rollout]\nenvironment = \"a\"\n")).is_empty());
        assert_eq!(changed("[kernel]\nmode = \"off\"\n"), ["kernel"]);
        assert_eq!(super::changed(BASE, &BASE.replace("GET:/a", "GET:/z")), ["route"]);
    }
}
