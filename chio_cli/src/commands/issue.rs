//! `chio issue`

use chio_core::capability::{CapabilityChain, CapabilityToken, Terms};
use serde_json::json;

use crate::args::Issue;
use crate::commands::terms::{self, Finished};
use crate::commands::{at, random};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{Printer, time};
use crate::review::Review;
use crate::source::{self, Source};

const TTL: u64 = 3600;

pub(crate) fn run(args: &Issue, printer: &Printer) -> Result<Exit, Failure> {
    let is_input = |source: &Option<Source>| source.as_ref().is_some_and(Source::is_standard_input);
    let (policy, grants) = (is_input(&args.grants.policy), is_input(&args.grants.grants));
    source::read_once([args.key.is_standard_input(), args.subject == "-", policy, grants])?;
    let issuer = files::read_key(&args.key)?;
    let subject = files::read_public_key(&args.subject)?;
    let granted = terms::granted(&args.grants, args.max_invocations)?;
    if granted.grants.is_empty() {
        return Err(Failure::usage("nothing is granted", "add --tool SERVER/TOOL, --policy FILE or --grants FILE"));
    }
    let issued_at = at(args.token.at)?;
    let terms = Terms {
        subject,
        audience: args.token.audience.clone().or(granted.audience),
        issued_at,
        expires_at: terms::end(issued_at, args.ttl.or(granted.ttl).unwrap_or(TTL))?,
        grants: granted.grants,
        max_depth: args.token.max_depth.or(granted.max_depth).unwrap_or_default(),
        serial: random()?,
    };
    let token = CapabilityToken::issue(terms, &issuer)
        .map_err(|error| Failure::usage(error, "see `chio issue --help` and docs/protocol.md"))?;
    let text = format!("Valid until {}. ", time(token.expires_at));
    let chain = CapabilityChain::root(token);
    let warnings = terms::warnings(&Review::of(&chain));
    let (subject, token) = (args.subject.as_str(), &args.token);
    Finished { chain, subject, token, warnings, is_sound: true, text, members: json!({}) }.write(printer)
}
