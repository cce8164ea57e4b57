//! `chio explain`

use std::fmt::Write as _;

use chio_core::error::excerpt;
use serde_json::{Value, json};

use crate::args::Explain;
use crate::exit::{Exit, Failure};
use crate::explanations::{EXPLANATIONS, Explanation, explanation};
use crate::print::{BOLD, DIM, Printer, RESET, width, wrapped};
use crate::rules::nearest;

pub(crate) fn run(args: &Explain, printer: &Printer) -> Result<Exit, Failure> {
    let Some(code) = &args.code else {
        printer.answer(&EXPLANATIONS.iter().map(value).collect(), &all())?;
        return Ok(Exit::Done);
    };
    let plain = code.trim().trim_matches('`').to_ascii_lowercase().replace(['-', ' '], "_");
    let found = explanation(&plain).ok_or_else(|| {
        let nearest = nearest(&plain, EXPLANATIONS.iter().map(|explanation| explanation.code));
        let help = nearest.map_or_else(
            || "`chio explain` lists them all".to_owned(),
            |code| format!("is it `chio explain {code}`? `chio explain` lists them all"),
        );
        Failure::usage(format!("there is no denial code `{}`", excerpt(code)), help)
    })?;
    printer.answer(&value(found), &one(found))?;
    Ok(Exit::Done)
}

fn value(explanation: &Explanation) -> Value {
    let Explanation { code, step, what, why, remedy } = explanation;
    json!({"code": code, "step": step, "what": what, "why": why, "remedy": remedy})
}

fn one(explanation: &Explanation) -> String {
    let Explanation { code, step, what, why, remedy } = explanation;
    let mut text = format!("{BOLD}{code}{RESET} {DIM}at {step}{RESET}\n");
    for (title, told) in [("What happened", what), ("Why", why), ("What to do", remedy)] {
        let _ = write!(text, "\n{BOLD}{title}{RESET}\n{}", wrapped("  ", told, width()));
    }
    text
}

fn all() -> String {
    let longest = EXPLANATIONS.iter().map(|explanation| explanation.code.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Explanation { code, what, .. } in EXPLANATIONS {
        let first = what.split_once(". ").map_or(*what, |(first, _)| first);
        let line = wrapped(&format!("{code:<longest$}  "), first.trim_end_matches('.'), width());
        text.push_str(&line.replacen(code, &format!("{BOLD}{code}{RESET}"), 1));
    }
    let _ = writeln!(text, "\n{DIM}`chio explain CODE` says why, and what to do.{RESET}");
    text
}
