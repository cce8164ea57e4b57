//! The verbs, one a file.

mod attenuate;

mod call;

mod completions;

mod config;

mod demo;

mod explain;

mod inspect;

mod issue;

mod keygen;

mod man;

#[cfg(unix)]
mod device;

#[cfg(unix)]
mod gateway;

#[cfg(unix)]
mod http;

#[cfg(unix)]
mod mcp;

mod next;

mod receipts;

#[cfg(unix)]
mod session;

mod sign;

mod state;

mod terms;

mod verify;

use std::time::{SystemTime, UNIX_EPOCH};

use chio_audit::{ChainReport, ChainVerifier, ReceiptFault};
use chio_core::receipt::Receipt;

use crate::args::Command;
use crate::exit::{Exit, Failure};
use crate::print::Printer;

pub(crate) fn run(command: Command, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        Command::Demo => demo::run(printer),
        Command::Keygen(args) => keygen::run(&args, printer),
        Command::Issue(args) => issue::run(&args, printer),
        Command::Attenuate(args) => attenuate::run(&args, printer),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args, printer),
        Command::Inspect(args) => inspect::run(&args, printer),
        Command::Call(args) => call::run(args, printer),
        Command::Receipts(args) => receipts::run(&args, printer),
        Command::State(args) => state::run(&args, printer),
        Command::Config(args) => config::run(&args, printer),
        #[cfg(unix)]
        Command::Mcp(args) => mcp::run(args, printer),
        #[cfg(unix)]
        Command::Gateway(args) => gateway::run(&args, printer),
        #[cfg(unix)]
        Command::Device(args) => device::run(&args, printer),
        #[cfg(unix)]
        Command::Http(args) => http::run(&args, printer),
        #[cfg(unix)]
        Command::Session(args) => session::run(&args, printer),
        Command::Explain(args) => explain::run(&args, printer),
        Command::Completions(args) => completions::run(&args, printer),
        Command::Man(args) => man::run(&args, printer),
    }
}

/// The time that was asked for, or now.
fn at(at: Option<u64>) -> Result<u64, Failure> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    let at = at.or_else(now).filter(|at| *at <= chio_core::time::MAX_UNIX_SECONDS);
    at.ok_or_else(|| Failure::new("no usable time", "set the clock of this machine, or give --at in Unix seconds"))
}

/// What happens is told on standard error: the names of tools, codes and keys, and no value.
#[cfg(unix)]
fn log() {
    use std::io::IsTerminal as _;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logged = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .without_time()
        .try_init();
    // It can only be that there is a log already.
    drop(logged);
}

fn random() -> Result<String, Failure> {
    chio_core::crypto::random_hex().map_err(|error| Failure::new(error, "this machine cannot make secrets"))
}

/// Verifies receipts that are in memory.
fn verify_receipts(receipts: &[Receipt], kernel: chio_core::crypto::PublicKey) -> Result<ChainReport, ReceiptFault> {
    let mut verifier = ChainVerifier::new(Some(kernel));
    receipts.iter().try_for_each(|receipt| verifier.push(receipt))?;
    Ok(verifier.finish())
}
