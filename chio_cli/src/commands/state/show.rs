//! What a state has.

use std::fmt::Write as _;
use std::io::Write as _;

use chio_store::{Kind, Overview, Record, State};
use serde_json::{Value, json};

use crate::args::{StateName, StateShow};
use crate::commands::at;
use crate::exit::{Exit, Failure, printable};
use crate::print::{self, BOLD, DIM, Printer, RESET, time};
use crate::state::{ask, beside, each};

/// How many of a list are shown where not all are asked for.
const FIRST: usize = 20;

pub(super) fn show(args: &StateShow, printer: &Printer) -> Result<Exit, Failure> {
    let state = beside(&args.state, at(None)?)?;
    let overview = ask(state.overview())?;
    let records = |kind| first(&*state, kind, args.all || printer.is_json());
    let (revoked, standings) = (records(Kind::Revocation)?, records(Kind::Standing)?);
    let Overview { nonces, usage, receipts, kernel_key, unfinished, records: entries, remembers_since, bytes, .. } =
        &overview;
    let mut text = String::new();
    let sequence = receipts.map_or(0, |head| head.sequence);
    let row = |name: &str, value: &str| format!("{BOLD}{name:<12}{RESET} {value}\n");
    text.push_str(&row("kernel", kernel_key.as_deref().unwrap_or("none has written a receipt yet")));
    text.push_str(&row("remembers", &format!("since {}", time(*remembers_since))));
    text.push_str(&row("nonces", &nonces.to_string()));
    text.push_str(&row("counts", &format!("{usage} of grants")));
    text.push_str(&row("receipts", &format!("{sequence}; {unfinished} calls were allowed and have no outcome")));
    let entries_of: Vec<String> = entries
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(table, count)| format!("{} {count}", table.name()))
        .collect();
    if !entries_of.is_empty() {
        text.push_str(&row("records", &entries_of.join(", ")));
    }
    if let Some(bytes) = bytes {
        text.push_str(&row("size", &format!("{bytes} bytes")));
    }
    for (name, records, all) in
        [("revoked", &revoked, overview.revocations), ("turned away", &standings, overview.standings)]
    {
        text.push_str(&row(name, &all.to_string()));
        for record in records {
            let _ = writeln!(text, "  {}", told(record));
        }
        let rest = all.saturating_sub(u64::try_from(records.len()).unwrap_or(u64::MAX));
        if rest > 0 {
            let _ = writeln!(text, "  {DIM}and {rest} more: --all{RESET}");
        }
    }
    let value = json!({
        "bytes": bytes, "kernel_key": kernel_key, "nonces": nonces, "receipts": sequence,
        "receipts_head": receipts.map(|head| head.digest), "records": entries, "remembers_since": remembers_since, "revoked": revoked,
        "standings": standings, "unfinished": unfinished, "usage": usage,
    });
    printer.answer(&value, &text)?;
    Ok(Exit::Done)
}

fn first(state: &dyn State, kind: Kind, all: bool) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    if all {
        each(state, kind, |record| {
            records.push(record);
            Ok(())
        })?;
    } else {
        records = ask(state.records(kind, None))?.items;
        records.truncate(FIRST);
    }
    Ok(records)
}

/// A record, as people read it.
fn told(record: &Record) -> String {
    let or_id = |text: &str, id: &dyn std::fmt::Display| match text {
        "" => format!("the id {id}"),
        text => printable(text),
    };
    match record {
        Record::Revocation { id, what, at } => format!("{}, {}", or_id(what, id), time(*at)),
        Record::Standing { id, who, until: None } => format!("{}, banned", or_id(who, id)),
        Record::Standing { id, who, until: Some(until) } => {
            format!("{}, suspended until {}", or_id(who, id), time(*until))
        }
        Record::Usage { grant, account, calls, until } => {
            format!("{grant}\t{account}\t{calls}\t{}", time(*until))
        }
        Record::Nonce { key, .. } => key.to_string(),
        Record::RevocationList { issuer, sequence } => format!("{} {sequence}", printable(issuer)),
        Record::Entry { table, key, .. } => format!("{} {key}", table.name()),
    }
}

pub(super) fn usage(args: &StateName, printer: &Printer) -> Result<Exit, Failure> {
    let state = beside(args, at(None)?)?;
    if printer.is_json() {
        let all: Value = json!(first(&*state, Kind::Usage, true)?);
        printer.answer(&all, "")?;
        return Ok(Exit::Done);
    }
    let mut out = print::lines();
    let mut line = |text: &str| writeln!(out, "{text}").map_err(|error| print::closed(&error));
    line("grant\troot capability\tcalls\tkept until")?;
    each(&*state, Kind::Usage, |record| line(&told(&record)))?;
    out.flush().map_err(|error| print::closed(&error))?;
    Ok(Exit::Done)
}

pub(super) fn receipts(args: &StateName) -> Result<Exit, Failure> {
    let state = beside(args, at(None)?)?;
    let mut out = print::lines();
    let mut after = 0;
    loop {
        let page = ask(state.receipts(after))?;
        for line in &page.items {
            out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(|error| print::closed(&error))?;
        }
        let Some(next) = page.next else { break };
        after = next.parse().map_err(|_| Failure::new("the state has no next page", "report this"))?;
    }
    out.flush().map_err(|error| print::closed(&error))?;
    Ok(Exit::Done)
}
