//! `chio state`

mod change;

mod exchange;

mod show;

use crate::args::State;
use crate::exit::{Exit, Failure};
use crate::print::Printer;

pub(crate) fn run(args: &State, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        State::Show(args) => show::show(args, printer),
        State::Usage(args) => show::usage(args, printer),
        State::Receipts(args) => show::receipts(args),
        State::Revoke(args) => change::revoke(args, printer),
        State::Unrevoke(args) => change::unrevoke(args, printer),
        State::Ban(args) => change::ban(args, printer),
        State::Suspend(args) => change::suspend(args, printer),
        State::Reinstate(args) => change::reinstate(args, printer),
        State::Compact(args) => change::compact(args, printer),
        State::Export(args) => exchange::export(args),
        State::Import(args) => exchange::import(args, printer),
        State::Publish(args) => exchange::publish(args, printer),
        State::Apply(args) => exchange::apply(args, printer),
    }
}
