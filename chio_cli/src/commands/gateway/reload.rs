//! What is in force, told at the start, and read again when the process is told to by SIGHUP.

use chio_http::gateway::config::{Config, changed};
use chio_http::rollout::{Rollout, Rollouts};
use chio_kernel::config::Mode;

use super::{configuration, text, wrong_at};
use crate::exit::Failure;
use crate::source::Source;

/// Where it runs, if the configuration does not say so.
const ENVIRONMENT: &str = "CHIO_ENVIRONMENT";

/// What a configuration puts in force.
pub(super) fn rollout(source: &Source, text: &str, config: &Config) -> Result<Rollout, Failure> {
    let environment = std::env::var(ENVIRONMENT).ok();
    config.rollout(environment.as_deref()).map_err(|error| wrong_at(source, text, error))
}

/// What is not enforced, one text for each rule.
pub(super) fn not_enforced(rollout: &Rollout) -> Vec<String> {
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let rules = rollout.rules.iter().filter(|rule| rule.mode != Mode::Enforce).map(|rule| {
        let of = [named("scheme", &rule.scheme), named("profile", &rule.profile), named("route", &rule.route)];
        let of: Vec<_> = of.into_iter().flatten().collect();
        let of = if of.is_empty() { "everything that no rule before it is for".to_owned() } else { of.join(", ") };
        format!("{}: {of}", rule.mode.name())
    });
    let otherwise = Some(rollout.otherwise).filter(|mode| *mode != Mode::Enforce);
    rules.chain(otherwise.map(|mode| format!("{}: everything that no rule is for", mode.name()))).collect()
}

/// Says what is not enforced.
pub(super) fn warn(rollout: &Rollout) {
    for one in not_enforced(rollout) {
        tracing::warn!("not enforced: {one}");
    }
}

/// Reads the configuration again.
pub(super) struct Reload {
    source: Source,
    /// As it was at the start.
    begun_with: String,
    rollouts: Rollouts,
}

impl Reload {
    pub(super) fn new(source: Source, begun_with: String, rollouts: Rollouts) -> Self {
        Self { source, begun_with, rollouts }
    }

    /// From now on, whenever the process is told to. To be called within a runtime.
    /// Fails where there can be no signals.
    pub(super) fn on_hangup(self) -> Result<(), Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = signal(SignalKind::hangup());
        let mut hangup = hangup.map_err(|error| Failure::new(error, "this machine has no room for another signal"))?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                self.once();
            }
        });
        Ok(())
    }

    /// What is wrong changes nothing.
    fn once(&self) {
        if self.source.is_standard_input() {
            tracing::error!("the configuration came by standard input, and cannot be read again");
            return;
        }
        let read = text(&self.source).and_then(|text| {
            let config = configuration(&self.source, &text)?;
            for name in changed(&self.begun_with, &text) {
                tracing::warn!("`{name}` is another than at the start: it takes a restart");
            }
            // The new rules are for the routes, the schemes and the profiles that there are, not for those that the file has.
            let begun = configuration(&self.source, &self.begun_with)?;
            let config = begun.with_rollout_of(&config).map_err(|error| wrong_at(&self.source, &text, error))?;
            rollout(&self.source, &text, &config)
        });
        match read {
            Err(failure) => tracing::error!("nothing was changed: {}", failure.what),
            Ok(rollout) => {
                warn(&rollout);
                self.rollouts.replace(rollout);
                tracing::info!("the rollout was read again");
            }
        }
    }
}
