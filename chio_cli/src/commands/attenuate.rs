//! `chio attenuate`

use chio_core::capability::{CapabilityChain, Grant, MAX_CHAIN_TOKENS, Terms};
use serde_json::json;

use crate::args::Attenuate;
use crate::commands::terms::{self, Finished};
use crate::commands::{at, random, sign};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{Printer, width};
use crate::review::{self, Review};
use crate::rules::Policy;
use crate::source::{self, Source};

pub(crate) fn run(args: &Attenuate, printer: &Printer) -> Result<Exit, Failure> {
    let is_input = |source: &Option<Source>| source.as_ref().is_some_and(Source::is_standard_input);
    let (policy, grants) = (is_input(&args.grants.policy), is_input(&args.grants.grants));
    let inputs =
        [args.key.is_standard_input(), args.capability.is_standard_input(), args.subject == "-", policy, grants];
    source::read_once(inputs)?;
    let holder = files::read_key(&args.key)?;
    let (_, chain) = files::read_chain(&args.capability)?;
    sign::check_holder(&holder, &chain)?;
    let subject = files::read_public_key(&args.subject)?;
    let granted = terms::granted(&args.grants, args.max_invocations)?;
    let max_depth = max_depth(args, &granted, &chain)?;
    let issued_at = at(args.token.at)?;
    let terms = Terms {
        subject,
        audience: args.token.audience.clone().or(granted.audience),
        issued_at,
        expires_at: expires_at(args.ttl.or(granted.ttl), issued_at, &chain)?,
        grants: if granted.grants.is_empty() { kept(&chain, args.max_invocations) } else { granted.grants },
        max_depth,
        serial: random()?,
    };
    let chain = chain
        .attenuate(terms, &holder)
        .map_err(|error| Failure::usage(error, "see `chio attenuate --help` and docs/protocol.md"))?;

    let review = Review::of(&chain);
    let mut warnings = review::faults(&chain);
    let is_sound = warnings.is_empty();
    warnings.extend(terms::warnings(&review));
    let text = review::allows(&review, width());
    let members = json!({"allows": review.to_json()});
    let (subject, token) = (args.subject.as_str(), &args.token);
    Finished { chain, subject, token, warnings, is_sound, text, members }.write(printer)
}

/// The grants of the leaf, for at most as many calls. Whatever is left out stays with the tokens above.
fn kept(chain: &CapabilityChain, max_invocations: Option<u64>) -> Vec<Grant> {
    let mut grants = chain.leaf().grants.clone();
    for grant in &mut grants {
        grant.max_invocations = match (grant.max_invocations, max_invocations) {
            (Some(calls), Some(most)) => Some(calls.min(most)),
            (calls, most) => calls.or(most),
        };
    }
    grants
}

fn max_depth(args: &Attenuate, granted: &Policy, chain: &CapabilityChain) -> Result<u64, Failure> {
    let above = chain.leaf().max_depth;
    if above == 0 {
        return Err(Failure::new(
            format!("the capability {} cannot be handed on: its max_depth is 0", args.capability),
            "ask its issuer for one that can: `chio issue --max-depth 1`",
        ));
    }
    if chain.len() >= MAX_CHAIN_TOKENS {
        let what =
            format!("the capability {} has {MAX_CHAIN_TOKENS} tokens, as many as a chain can have", args.capability);
        return Err(Failure::new(what, "ask for one with fewer hops"));
    }
    let asked = args.token.max_depth.or(granted.max_depth).unwrap_or_default();
    if asked >= above {
        let what = format!("a max_depth of {asked} is too large: the capability has {above}, and each token has less");
        return Err(Failure::usage(what, format!("write at most {}", above.saturating_sub(1))));
    }
    Ok(asked)
}

/// As long as was asked for; else for as long as the chain is valid.
fn expires_at(ttl: Option<u64>, issued_at: u64, chain: &CapabilityChain) -> Result<u64, Failure> {
    if let Some(ttl) = ttl {
        return terms::end(issued_at, ttl);
    }
    let end = chain.tokens().map(|token| token.expires_at).min().unwrap_or_default();
    if end <= issued_at {
        let what = format!("the capability is valid until {}, and nothing is left to hand on", crate::print::time(end));
        return Err(Failure::new(what, "get a new one"));
    }
    Ok(end)
}
