//! `chio issue`

use std::path::Path;

use chio_core::canonical::{self, Limits};
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, MAX_CHAIN_BYTES, Terms};
use chio_core::error::FormatError;
use chio_core::time::MAX_UNIX_SECONDS;
use serde_json::json;

use crate::args::Issue;
use crate::commands::{at, random};
use crate::exit::{Exit, Failure};
use crate::files::{self, Audience, Source};
use crate::print::{self, DIM, Printer, RESET, time};

pub(crate) fn run(args: Issue, printer: &Printer) -> Result<Exit, Failure> {
    files::read_once([args.key.is_standard_input(), args.grants.as_ref().is_some_and(Source::is_standard_input)])?;
    let issuer = files::read_key(&args.key)?;
    let subject = files::read_public_key(&args.subject)?;
    let mut grants: Vec<Grant> = args.tool.into_iter().map(|name| Grant::new(name.server, name.tool)).collect();
    for grant in &mut grants {
        grant.max_invocations = args.max_invocations;
    }
    if let Some(source) = &args.grants {
        grants.extend(read_grants(source)?);
    }
    if grants.is_empty() {
        return Err(Failure::usage("nothing is granted", "add --tool SERVER/TOOL, or --grants FILE"));
    }
    let issued_at = at(args.at)?;
    let expires_at = issued_at.saturating_add(args.ttl);
    if expires_at > MAX_UNIX_SECONDS {
        return Err(Failure::usage(
            "--ttl ends after the last second there is, 2^53−1",
            "write it as 90s, 15m, 1h or 7d",
        ));
    }
    let terms = Terms {
        subject,
        audience: args.audience,
        issued_at,
        expires_at,
        grants,
        max_depth: args.max_depth,
        serial: random()?,
    };
    let token = CapabilityToken::issue(terms, &issuer)
        .map_err(|error| Failure::usage(error, "see `chio issue --help` and docs/protocol.md"))?;
    let id = token.id.clone();
    let chain = CapabilityChain::root(token).to_json().map_err(|error| Failure::new(error, "shorten the grants"))?;
    let mut bytes = chain.to_canonical_bytes();
    bytes.push(b'\n');
    let Some(out) = args.out.as_ref().filter(|out| *out != Path::new("-")) else {
        print::raw(&String::from_utf8_lossy(&bytes))?;
        return Ok(Exit::Done);
    };
    files::write(out, &bytes, Audience::Everyone, args.force)?;
    let file = out.display();
    let text = format!(
        "{file}: capability {id}\n{DIM}Valid until {}. Next:{RESET}\n  \
         chio sign --key AGENT_KEY --capability {file} --tool SERVER/TOOL --arguments '{{…}}'\n",
        time(expires_at)
    );
    printer.answer(&json!({"capability_file": out.to_string_lossy(), "expires_at": expires_at, "id": id}), &text)?;
    Ok(Exit::Done)
}

fn read_grants(source: &Source) -> Result<Vec<Grant>, Failure> {
    const WHAT: &str = "the grants";
    let bytes = source.read(WHAT, MAX_CHAIN_BYTES)?;
    let wrong = |error: FormatError| files::format_failure(WHAT, source, &bytes, &error);
    // Strictly first, so that a duplicate member does not hide another.
    let json = canonical::parse(&bytes, Limits::bytes(MAX_CHAIN_BYTES)).map_err(|error| wrong(error.into()))?;
    serde_json::from_slice(&json.to_canonical_bytes()).map_err(|error| {
        let what = error.to_string();
        let what = what.split(" at line").next().unwrap_or_default();
        Failure::new(
            format!("{WHAT} {source}: {what}"),
            r#"they are a JSON array such as [{"tool_server": "files", "tool_name": "read_file"}]"#,
        )
    })
}
