//! The configuration of a kernel: one TOML file, and environment variables that stand above it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chio_core::error::excerpt;
use chio_kernel::Settings;
use chio_kernel::config::Response;
use clap::ValueEnum as _;
use toml::de::{DeTable, DeValue};

use crate::args::{DenyAsName, ModeName, seconds, whole};
use crate::exit::Failure;
use crate::rules::nearest;
use crate::source::{Source, place_in};
use crate::state::Place;

/// What is configured. What is not, has its default.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) state: Option<Place>,
    pub(crate) receipts: Option<PathBuf>,
    pub(crate) kernel_key: Option<Source>,
    pub(crate) server_id: Option<String>,
    pub(crate) roots: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) mode: Option<ModeName>,
    pub(crate) deny_as: Option<DenyAsName>,
    pub(crate) settings: Settings,
    /// Where each came from that is no default.
    pub(crate) origins: BTreeMap<&'static str, String>,
}

/// A setting: its name in the file, how it is written, and its default.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    written: &'static str,
    pub(crate) default: &'static str,
}

const fn setting(name: &'static str, written: &'static str, default: &'static str) -> Setting {
    Setting { name, written, default }
}

const RESPONSE: &str = "\"report\", \"suspend 1h\" or \"ban\"";

/// All of them, as `chio config show` lists them.
pub(crate) const SETTINGS: [Setting; 18] = [
    setting("state", "the path of a file, the URL of a Redis, or env:NAME", "in memory"),
    setting("receipts", "the path of a file", "in memory, or in the state"),
    setting("kernel_key", "the path of a file, or env:NAME", "a new one, or that beside the state"),
    setting("server_id", "a name", "mcp"),
    setting("roots", "a list of keys, or of the files of keys", "none"),
    setting("names", "a list of names", "none"),
    setting("mode", "\"enforce\", \"report\" or \"off\"", "enforce"),
    setting("deny_as", "\"result\", \"error\" or \"hide\"", "result"),
    setting("proofs.ttl", "a time such as \"300s\" or \"5m\"", "300s"),
    setting("proofs.clock_skew", "a time such as \"30s\"", "30s"),
    setting("proofs.nonces", "a whole number, at least 8", "1048576"),
    setting("patience.store_ms", "a whole number of milliseconds, at least 1", "250"),
    setting("threat.replay", RESPONSE, "report"),
    setting("threat.signature", RESPONSE, "report"),
    setting("threat.signature_failures", "a whole number", "5"),
    setting("threat.root_signature", RESPONSE, "report"),
    setting("threat.root_signature_failures", "a whole number", "100"),
    setting("threat.forgiven_after", "a time such as \"60s\"", "60s"),
];

const HELP: &str = "`chio config show` lists what can be set; docs/guides/operations.md tells of it";
const MAX_BYTES: usize = 64 << 10;

impl Setting {
    /// The environment variable that stands above the file.
    pub(crate) fn variable(&self) -> String {
        format!("CHIO_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

impl Config {
    /// What the environment says, and below it the file.
    /// Fails with the line and column, or the variable, of what is wrong.
    pub(crate) fn gather(file: Option<&Source>) -> Result<Self, Failure> {
        let mut config = Self::default();
        if let Some(source) = file {
            config.read(source)?;
        }
        for setting in &SETTINGS {
            let variable = setting.variable();
            let Some(value) = std::env::var_os(&variable) else { continue };
            let texts = value.to_str().map(|value| value.split(',').map(str::trim).collect::<Vec<_>>());
            let list = matches!(setting.name, "roots" | "names");
            let texts = texts.map(|texts| if list { texts } else { vec![value.to_str().unwrap_or_default()] });
            if texts.is_none_or(|texts| config.set(setting, &texts).is_none()) {
                let what = format!("the environment variable {variable} is not written as {}", setting.written);
                return Err(Failure::new(what, HELP));
            }
            config.origins.insert(setting.name, variable);
        }
        Ok(config)
    }

    fn read(&mut self, source: &Source) -> Result<(), Failure> {
        const WHAT: &str = "the configuration";
        let bytes = source.read(WHAT, MAX_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        let wrong = |at: usize, what: &dyn std::fmt::Display| {
            Failure::new(format!("{WHAT} {source}, {}: {what}", place_in(&text, at)), HELP)
        };
        let table = DeTable::parse(&text)
            .map_err(|error| wrong(error.span().map_or(0, |span| span.start), &error.message()))?;
        let mut found = Vec::new();
        for (key, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(inner) => found.extend(
                    inner
                        .iter()
                        .map(|(name, value)| (format!("{}.{}", key.get_ref(), name.get_ref()), name.span(), value)),
                ),
                _ => found.push((key.get_ref().to_string(), key.span(), value)),
            }
        }
        for (name, span, value) in found {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                let meant = nearest(&name, SETTINGS.iter().map(|setting| setting.name));
                let hint = meant.map_or_else(String::new, |name| format!("; is `{name}` meant?"));
                return Err(wrong(span.start, &format!("there is no setting `{}`{hint}", excerpt(&name))));
            };
            let texts = match value.get_ref() {
                DeValue::String(text) => Some(vec![text.to_string()]),
                DeValue::Integer(number) => Some(vec![number.to_string()]),
                DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect(),
                _ => None,
            };
            let texts: Option<Vec<&str>> = texts.as_ref().map(|texts| texts.iter().map(String::as_str).collect());
            if texts.is_none_or(|texts| self.set(setting, &texts).is_none()) {
                return Err(wrong(value.span().start, &format!("`{name}` is written as {}", setting.written)));
            }
            self.origins.insert(setting.name, source.to_string());
        }
        Ok(())
    }

    /// Sets one; nothing where it is not written as it should be.
    fn set(&mut self, setting: &Setting, texts: &[&str]) -> Option<()> {
        let one = || if let [text] = texts { Some(*text).filter(|text| !text.is_empty()) } else { None };
        let many = || -> Option<Vec<String>> {
            texts.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty())).collect()
        };
        let number = || whole(one()?).ok();
        let time = || seconds(one()?).ok();
        let Settings { dpop, patience, threat, .. } = &mut self.settings;
        match setting.name {
            "state" => {
                let text = one()?;
                let is_named = text.starts_with("env:");
                self.state = Some(if is_named { Place::read(text) } else { Place::of(text, "hidden") });
            }
            "receipts" => self.receipts = Some(one()?.into()),
            "kernel_key" => self.kernel_key = Some(one()?.parse().ok()?),
            "server_id" => self.server_id = Some(one()?.to_owned()),
            "roots" => self.roots = many()?,
            "names" => self.names = many()?,
            "mode" => self.mode = Some(ModeName::from_str(one()?, false).ok()?),
            "deny_as" => self.deny_as = Some(DenyAsName::from_str(one()?, false).ok()?),
            "proofs.ttl" => dpop.proof_ttl_secs = time()?,
            "proofs.clock_skew" => dpop.max_clock_skew_secs = time()?,
            "proofs.nonces" => {
                let nonces = usize::try_from(number()?).ok();
                dpop.nonce_store_capacity = nonces.filter(|nonces| *nonces >= 8)?;
            }
            "patience.store_ms" => patience.store = Duration::from_millis(number().filter(|millis| *millis > 0)?),
            "threat.replay" => threat.replay = response(one()?)?,
            "threat.signature" => threat.signature = response(one()?)?,
            "threat.signature_failures" => threat.signature_failures = number()?,
            "threat.root_signature" => threat.root_signature = response(one()?)?,
            "threat.root_signature_failures" => threat.root_signature_failures = number()?,
            "threat.forgiven_after" => threat.forgiven_after_secs = time()?,
            _ => return None,
        }
        Some(())
    }

    /// What a setting is, as it would be written.
    pub(crate) fn value(&self, setting: &Setting) -> String {
        let Settings { dpop, patience, threat, .. } = &self.settings;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let told = match setting.name {
            "state" => self.state.as_ref().map(|place| match place {
                Place::File(path) => path.display().to_string(),
                Place::Redis(_, called) => format!("a Redis ({called})"),
                Place::Refused(_) => "hidden".to_owned(),
            }),
            "receipts" => path(&self.receipts),
            "kernel_key" => self.kernel_key.as_ref().map(|source| match source {
                Source::Refused(..) => "hidden".to_owned(),
                source => source.to_string(),
            }),
            "server_id" => self.server_id.clone(),
            "roots" if !self.roots.is_empty() => Some(self.roots.join(", ")),
            "names" if !self.names.is_empty() => Some(self.names.join(", ")),
            "mode" => self.mode.and_then(|mode| Some(mode.to_possible_value()?.get_name().to_owned())),
            "deny_as" => self.deny_as.and_then(|deny_as| Some(deny_as.to_possible_value()?.get_name().to_owned())),
            "proofs.ttl" => Some(format!("{}s", dpop.proof_ttl_secs)),
            "proofs.clock_skew" => Some(format!("{}s", dpop.max_clock_skew_secs)),
            "proofs.nonces" => Some(dpop.nonce_store_capacity.to_string()),
            "patience.store_ms" => Some(patience.store.as_millis().to_string()),
            "threat.replay" => Some(told(threat.replay)),
            "threat.signature" => Some(told(threat.signature)),
            "threat.signature_failures" => Some(threat.signature_failures.to_string()),
            "threat.root_signature" => Some(told(threat.root_signature)),
            "threat.root_signature_failures" => Some(threat.root_signature_failures.to_string()),
            "threat.forgiven_after" => Some(format!("{}s", threat.forgiven_after_secs)),
            _ => None,
        };
        told.unwrap_or_else(|| setting.default.to_owned())
    }
}

fn response(text: &str) -> Option<Response> {
    match text.split_once(' ') {
        None if text == "report" => Some(Response::Report),
        None if text == "ban" => Some(Response::Ban),
        Some(("suspend", time)) => Some(Response::Suspend { seconds: seconds(time).ok()? }),
        _ => None,
    }
}

fn told(response: Response) -> String {
    match response {
        Response::Report => "report".to_owned(),
        Response::Suspend { seconds } => format!("suspend {seconds}s"),
        Response::Ban => "ban".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is listed as the default is the default, and what is told can be written.
    #[test]
    fn defaults_are_as_they_are_told() {
        let config = Config::default();
        for setting in &SETTINGS {
            assert_eq!(config.value(setting), setting.default, "{}", setting.name);
        }
    }
}
