//! What is printed: text for people, or one JSON value for programs.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

/// Prints the answer of a command.
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The answer, in the one form or the other. Text may have colour: it is taken out where nobody would see it.
    pub(crate) fn answer(&self, value: &Value, text: &str) -> Result<(), Failure> {
        raw(&if self.json { format!("{value}\n") } else { text.to_owned() })
    }

    /// What went wrong. A standard error that is closed leaves the exit code to tell.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure { what, help, exit } = failure;
        let _ = if self.json {
            let code = if *exit == Exit::Usage { "usage" } else { "failed" };
            writeln!(std::io::stderr(), "{}", json!({"error": code, "what": what, "help": help}))
        } else {
            writeln!(anstream::stderr(), "{RED}error:{RESET} {what}\n {DIM}help:{RESET} {help}")
        };
    }
}

/// A document that was asked for.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        Failure::new(format!("standard output: {error}"), "it was closed, or its disk is full; run the command again")
    })
}

/// What is no answer. Where standard error is closed, there is nobody to tell.
pub(crate) fn aside(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

pub(crate) const RED: &str = "\u{1b}[31m";
pub(crate) const GREEN: &str = "\u{1b}[32m";
pub(crate) const YELLOW: &str = "\u{1b}[33m";
pub(crate) const BOLD: &str = "\u{1b}[1m";
pub(crate) const DIM: &str = "\u{1b}[2m";
pub(crate) const RESET: &str = "\u{1b}[0m";

/// A time as people read it.
pub(crate) fn time(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| seconds.to_string(), |timestamp| timestamp.to_string())
}
