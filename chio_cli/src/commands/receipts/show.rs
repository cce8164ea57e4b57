//! `chio receipts show`

use std::fmt::Write as _;

use chio_core::canonical::{self, Json, Limits};
use chio_core::receipt::{Event, Receipt, Verdict};
use serde_json::json;

use super::list::status;
use super::stream::{Line, Stream};
use crate::args::ReceiptsShow;
use crate::commands::inspect::members;
use crate::exit::{Exit, Failure};
use crate::print::{BOLD, DIM, GREEN, Printer, RESET, YELLOW};

pub(crate) fn run(args: &ReceiptsShow, printer: &Printer) -> Result<Exit, Failure> {
    let mut stream = if args.unverified {
        Stream::unverified(&args.file)?
    } else {
        Stream::verified(&args.file, args.kernel.as_deref())?
            .or_else("nothing is shown of a chain that does not hold; --unverified shows it all the same")
    };
    let (mut found, mut ending, mut last): (Option<Receipt>, Option<Receipt>, u64) = (None, None, 0);
    while let Some(line) = stream.next()? {
        let Line::Receipt(receipt) = line else { continue };
        last = last.max(receipt.body.sequence);
        if receipt.body.sequence == args.sequence {
            found.get_or_insert(*receipt);
        } else if matches!(&receipt.body.event, Event::Outcome(outcome) if outcome.of == args.sequence) {
            ending.get_or_insert(*receipt);
        }
    }
    let report = stream.finish()?;
    let found = found.ok_or_else(|| {
        let what = format!("there is no receipt {}", args.sequence);
        Failure::new(what, format!("the last one is {last}; `chio receipts list` lists them"))
    })?;
    let line = found.to_line().map_err(|error| Failure::new(error, "report this"))?;
    let json =
        canonical::parse(&line, Limits::bytes(line.len())).map_err(|error| Failure::new(error, "report this"))?;

    let mark = match report {
        Some(_) => format!("{GREEN}ok{RESET} the whole chain holds"),
        None => {
            format!("{YELLOW}{BOLD}NOT VERIFIED{RESET}{YELLOW}: this is what the file says, not what is true.{RESET}")
        }
    };
    let mut text = format!("{mark}\n{BOLD}receipt {}{RESET}\n", args.sequence);
    let body = json.as_object().and_then(|object| object.get("body")).and_then(Json::as_object);
    text.push_str(&members(body.into_iter().flat_map(canonical::Object::iter)));
    for (what, help) in related(&found, ending.as_ref()) {
        let _ = writeln!(text, "{what}{DIM}{help}{RESET}");
    }
    let outcome = ending.map(|receipt| receipt.body.sequence);
    printer.answer(&json!({"outcome": outcome, "receipt": json, "verified": report.is_some()}), &text)?;
    Ok(Exit::Done)
}

/// What else there is to know about a receipt, and where.
fn related(receipt: &Receipt, ending: Option<&Receipt>) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    match &receipt.body.event {
        Event::Decision(call) => {
            match ending.map(|ending| (&ending.body.event, ending.body.sequence)) {
                Some((Event::Outcome(outcome), sequence)) => {
                    let told = status(outcome.status);
                    lines.push((
                        format!("It ended with receipt {sequence}: {told} in {} ms.", outcome.duration_ms),
                        String::new(),
                    ));
                }
                _ if call.verdict == Verdict::Allow => lines.push(("It has no outcome.".to_owned(), String::new())),
                _ => {}
            }
            if receipt.signature.is_none() {
                lines.push(("It is signed by way of the next receipt.".to_owned(), String::new()));
            }
            if let Some(code) = &call.code {
                let code = chio_core::error::excerpt(code);
                lines.push((format!("`chio explain {code}`"), " says what the code means".to_owned()));
            }
        }
        Event::Outcome(outcome) => lines.push((format!("It ends the call of receipt {}.", outcome.of), String::new())),
        Event::Summary(_) => {}
    }
    lines
}
