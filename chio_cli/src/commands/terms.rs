//! What `issue` and `attenuate` have in common: the terms of a token, and writing its chain.

use std::path::Path;

use chio_core::canonical::{self, Limits};
use chio_core::capability::{CapabilityChain, Grant, MAX_CHAIN_BYTES};
use chio_core::error::{FormatError, excerpt};
use chio_core::time::MAX_UNIX_SECONDS;
use serde_json::{Value, json};

use crate::args::{GrantArgs, TokenArgs};
use crate::commands::next;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{self, DIM, Printer, RESET};
use crate::review::Review;
use crate::rules::{Policy, argument, read_policy};
use crate::source::Source;
use crate::write::{self, Audience};

/// What is granted by flags, policy and JSON, in this order, and the other terms of the policy.
pub(super) fn granted(args: &GrantArgs, max_invocations: Option<u64>) -> Result<Policy, Failure> {
    let mut grants = Vec::new();
    let rules: Vec<(String, canonical::Json)> = args.arg.iter().map(|text| rule(text)).collect::<Result<_, _>>()?;
    for name in &args.tool {
        let mut grant = Grant::new(&name.server, &name.tool);
        for (pointer, rule) in &rules {
            grant = grant.argument(pointer, rule).map_err(|error| Failure::usage(format!("--arg: {error}"), RULES))?;
        }
        grant.max_invocations = max_invocations;
        grants.push(grant);
    }
    let mut policy = args.policy.as_ref().map(read_policy).transpose()?.unwrap_or_default();
    grants.append(&mut policy.grants);
    if let Some(source) = &args.grants {
        grants.extend(read_grants(source)?);
    }
    Ok(Policy { grants, ..policy })
}

const RULES: &str =
    "it is written as POINTER=TYPE:VALUE, such as /path=path_containment:/srv/docs; `--help` tells more";

fn rule(text: &str) -> Result<(String, canonical::Json), Failure> {
    let wrong = |what: String| Failure::usage(format!("--arg {what}"), RULES);
    let (pointer, rule) = argument(text).map_err(wrong)?;
    // Some rules are only compiled where they are used.
    Grant::new("a", "a").argument(&pointer, &rule).map_err(|error| {
        let (pointer, what) = (format!("`{}`", excerpt(&pointer)), error.to_string());
        wrong(if what.contains(&pointer) { what } else { format!("{pointer}: {what}") })
    })?;
    Ok((pointer, rule))
}

/// The end of a life that begins at `issued_at`.
pub(super) fn end(issued_at: u64, ttl: u64) -> Result<u64, Failure> {
    let expires_at = issued_at.saturating_add(ttl);
    if expires_at > MAX_UNIX_SECONDS {
        return Err(Failure::usage(
            "--ttl ends after the last second there is, 2^53−1",
            "write it as 90s, 15m, 1h or 7d",
        ));
    }
    Ok(expires_at)
}

const GRANTS: &str =
    r#"they are a JSON array such as [{"tool_server": "files", "tool_name": "read_file"}]; TOML is given as --policy"#;

fn read_grants(source: &Source) -> Result<Vec<Grant>, Failure> {
    const WHAT: &str = "the grants";
    let bytes = source.read(WHAT, MAX_CHAIN_BYTES)?;
    // Strictly first, so that a duplicate member does not hide another.
    canonical::parse(&bytes, Limits::bytes(MAX_CHAIN_BYTES)).map_err(|error| Failure {
        help: GRANTS.into(),
        ..files::format_failure(WHAT, source, &bytes, &FormatError::Json(error))
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = error.to_string();
        let what = excerpt_of(what.split(" at line").next().unwrap_or_default());
        let place = format!("line {}, column {}", error.line(), error.column().max(1));
        Failure::new(format!("{WHAT} {source}, {place}: {what}"), GRANTS)
    })
}

/// As long as what serde says, and no longer.
fn excerpt_of(what: &str) -> String {
    let cut: String = what.chars().take(200).collect();
    if what.len() <= 64 { excerpt(what) } else { cut }
}

/// What can never be used, as warnings.
pub(super) fn warnings(review: &Review<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if review.window.is_none() {
        warnings
            .push("nothing can ever be called: the tokens of the chain are never valid at the same time".to_owned());
    }
    for unusable in &review.unusable {
        let tool = excerpt(&format!("{}/{}", unusable.grant.tool_server, unusable.grant.tool_name));
        warnings.push(format!("the grant of {tool} can never be used: {}", unusable.why));
    }
    warnings
}

/// A chain that is finished: written to its file, or printed.
pub(super) struct Finished<'a> {
    pub(super) chain: CapabilityChain,
    pub(super) subject: &'a str,
    pub(super) token: &'a TokenArgs,
    pub(super) warnings: Vec<String>,
    /// Whether a kernel will not refuse it out of hand.
    pub(super) is_sound: bool,
    /// What is said of it besides, as text and as members of the answer.
    pub(super) text: String,
    pub(super) members: Value,
}

impl Finished<'_> {
    pub(super) fn write(self, printer: &Printer) -> Result<Exit, Failure> {
        const HELP: &str = "`chio inspect` shows what each token grants; the capability is made all the same";
        let json = self.chain.to_json().map_err(|error| Failure::new(error, "shorten the grants"))?;
        let mut bytes = json.to_canonical_bytes();
        // What cannot be read back is not written.
        CapabilityChain::parse(&bytes).map_err(|error| Failure::new(error, "shorten the grants"))?;
        bytes.push(b'\n');
        let out = self.token.out.as_ref().filter(|out| *out != Path::new("-"));
        if let Some(out) = out {
            write::write(out, &bytes, Audience::Everyone, self.token.force)?;
        }
        if out.is_none() || !printer.is_json() {
            self.warnings.iter().for_each(|warning| printer.warning(warning, HELP));
        }
        let Some(out) = out else {
            print::document(&String::from_utf8_lossy(&bytes))?;
            return Ok(Exit::Done);
        };
        let leaf = self.chain.leaf();
        let text = format!(
            "{}: capability {}\n{}{DIM}Next:{RESET}\n  {}\n",
            out.display(),
            leaf.id,
            self.text,
            if self.is_sound { next::after_capability(out, &self.chain, self.subject) } else { next::inspect(out) }
        );
        let mut value = json!({
            "capability_file": out.to_string_lossy(), "expires_at": leaf.expires_at, "id": leaf.id, "warnings": self.warnings,
        });
        if let (Some(value), Value::Object(members)) = (value.as_object_mut(), self.members) {
            value.extend(members);
        }
        printer.answer(&value, &text)?;
        Ok(Exit::Done)
    }
}
