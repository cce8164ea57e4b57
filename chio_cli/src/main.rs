//! The `chio` command: words in, words out.

mod exit;

mod secrets;

mod print;

mod source;

mod args;

mod files;

mod interrupt;

mod write;

mod state;

mod rules;

mod config;

mod review;

mod explanations;

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::print::Printer;

fn main() -> ExitCode {
    // What was not understood may have asked for JSON all the same.
    let asks_for_json = || std::env::args_os().any(|word| word == "--json");
    let (printer, done) = match args::refuse_secrets(std::env::args_os()) {
        Err(failure) => (Printer::new(asks_for_json()), Err(failure)),
        Ok(()) => match Args::try_parse() {
            Ok(args) => {
                let printer = Printer::new(args.json);
                let done = commands::run(args.command, &printer);
                (printer, done)
            }
            Err(wrong) => (Printer::new(asks_for_json()), args::explain(&wrong)),
        },
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}
