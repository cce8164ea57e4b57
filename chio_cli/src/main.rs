//! The `chio` command: words in, words out.

mod args;

mod exit;

mod files;

mod print;

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::print::Printer;

fn main() -> ExitCode {
    let (printer, done) = match Args::try_parse() {
        Ok(args) => {
            let printer = Printer::new(args.json);
            let done = commands::run(args.command, &printer);
            (printer, done)
        }
        // What was not understood may have asked for JSON all the same.
        Err(wrong) => (Printer::new(std::env::args_os().any(|word| word == "--json")), args::explain(&wrong)),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}
