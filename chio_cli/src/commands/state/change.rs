//! Changing what is revoked, and who is turned away.

use chio_core::capability::CapabilityChain;
use chio_core::digest::Digest;
use chio_kernel::store::Standing;
use chio_store::Revoked;
use serde_json::json;

use crate::args::{StateName, StateRevoke, StateSuspend, StateWho};
use crate::commands::at;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{GREEN, Printer, RESET, time};
use crate::source::Source;
use crate::state::{alone, ask, beside};

/// What is named by its id, its text or a file.
fn named(args: &StateRevoke) -> Result<Vec<Revoked>, Failure> {
    let capability = |text: &String| {
        if text.parse::<Digest>().is_ok() {
            return Ok(Revoked::Capability(text.clone()));
        }
        let source: Source = text.parse().unwrap_or(Source::StandardInput);
        let (_, chain): (_, CapabilityChain) = files::read_chain(&source)?;
        Ok(Revoked::Capability(chain.leaf().id.clone()))
    };
    let key = |text: &String| files::read_public_key(text).map(|key| Revoked::Key(key.to_string()));
    args.capability.iter().map(capability).chain(args.key.iter().map(key)).collect()
}

fn done(printer: &Printer, what: &str, all: &[Revoked]) -> Result<Exit, Failure> {
    let text: String = all.iter().map(|one| format!("{GREEN}ok{RESET}     {one} {what}\n")).collect();
    printer.answer(&json!({"changed": all}), &text)?;
    Ok(Exit::Done)
}

pub(super) fn revoke(args: &StateRevoke, printer: &Printer) -> Result<Exit, Failure> {
    let (all, now) = (named(args)?, at(None)?);
    let state = beside(&args.state, now)?;
    ask(state.put(all.iter().filter_map(|one| one.record(now)).collect()))?;
    done(printer, "is revoked", &all)
}

pub(super) fn unrevoke(args: &StateRevoke, printer: &Printer) -> Result<Exit, Failure> {
    let all = named(args)?;
    let state = beside(&args.state, at(None)?)?;
    let mut changed = Vec::new();
    for one in all {
        if let Some(id) = one.id()
            && ask(state.unrevoke(id))?
        {
            changed.push(one);
        } else {
            printer.warning(&format!("{one} was not revoked"), "`chio state show --all` lists what is");
        }
    }
    done(printer, "is revoked no more", &changed)
}

/// A principal of a scheme, as receipts name it, or a client application; neither is a key.
fn principal(text: &str) -> Option<&str> {
    let is_one = ["scheme:", "client:"].iter().any(|start| text.starts_with(start));
    Some(text).filter(|text| is_one && text.len() <= 1024 && !text.chars().any(char::is_control))
}

fn set(args: &StateWho, standing: Standing, what: &str, printer: &Printer) -> Result<Exit, Failure> {
    let who = match principal(&args.who) {
        Some(principal) => principal.to_owned(),
        None => files::read_public_key(&args.who)?.to_string(),
    };
    let state = beside(&args.state, at(None)?)?;
    ask(state.set_standing(&who, standing))?;
    printer.answer(&json!({"who": who, "standing": what}), &format!("{GREEN}ok{RESET}     {who} is {what}\n"))?;
    Ok(Exit::Done)
}

pub(super) fn ban(args: &StateWho, printer: &Printer) -> Result<Exit, Failure> {
    set(args, Standing::Banned, "banned", printer)
}

pub(super) fn suspend(args: &StateSuspend, printer: &Printer) -> Result<Exit, Failure> {
    let until = at(None)?.saturating_add(args.length);
    set(&args.who, Standing::Suspended { until }, &format!("suspended until {}", time(until)), printer)
}

pub(super) fn reinstate(args: &StateWho, printer: &Printer) -> Result<Exit, Failure> {
    set(args, Standing::Good, "welcome", printer)
}

pub(super) fn compact(args: &StateName, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    // What is not there is not made to be compacted.
    drop(beside(args, now)?);
    let state = alone(args, now)?;
    let size = || Ok::<_, Failure>(ask(state.overview())?.bytes.unwrap_or_default());
    let before = size()?;
    ask(state.compact(now))?;
    let after = size()?;
    let text = format!("{GREEN}ok{RESET}     {after} bytes, and {before} before\n");
    printer.answer(&json!({"bytes": after, "bytes_before": before}), &text)?;
    Ok(Exit::Done)
}
