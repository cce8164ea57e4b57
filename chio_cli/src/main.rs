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
    // A wrong flag ends here, with the usage and exit code 2.
    let args = Args::parse();
    let printer = Printer::new(args.json);
    match commands::run(args.command, &printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}
