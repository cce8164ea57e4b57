//! `chio completions`

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::{Args, Completions};
use crate::exit::{Exit, Failure};
use crate::print::Printer;

pub(crate) fn run(args: &Completions, printer: &Printer) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "chio", &mut script);
    let script = String::from_utf8_lossy(&script);
    printer.answer(&json!({"shell": args.shell.to_string(), "script": script}), &script)?;
    Ok(Exit::Done)
}
