//! The file of `--methods`: what becomes of which method, in TOML.

use chio_core::error::excerpt;
use chio_mcp::{Methods, Rule};
use toml::de::{DeTable, DeValue};

use crate::exit::Failure;
use crate::source::{Source, place_in};

const HELP: &str = "write lines such as \"resources/read\" = \"pass\"; the rules are pass, check and deny";
const MAX_BYTES: usize = 64 << 10;

/// Reads a table of methods. Fails with the line and column of what is wrong in it.
pub(super) fn read(source: &Source) -> Result<Methods, Failure> {
    let bytes = source.read("the methods", MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |at: usize, what: &dyn std::fmt::Display| {
        Failure::new(format!("the methods {source}, {}: {what}", place_in(&text, at)), HELP)
    };
    let table =
        DeTable::parse(&text).map_err(|error| wrong(error.span().map_or(0, |span| span.start), &error.message()))?;
    let mut methods = Methods::default();
    for (key, value) in table.get_ref() {
        let method = key.get_ref().as_ref();
        let rule = match value.get_ref() {
            DeValue::String(rule) => match rule.as_ref() {
                "pass" => Some(Rule::Pass),
                "check" => Some(Rule::Check),
                "deny" => Some(Rule::Deny),
                "list" => Some(Rule::List),
                _ => None,
            },
            _ => None,
        };
        let rule = rule.ok_or_else(|| {
            let what = format!("the rule of `{}` is \"pass\", \"check\" or \"deny\"", excerpt(method));
            wrong(value.span().start, &what)
        })?;
        methods.set(method, rule).map_err(|what| wrong(key.span().start, &what))?;
    }
    Ok(methods)
}
