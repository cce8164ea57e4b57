//! `chio receipts`: always as a stream, so that the number of receipts does not matter.

pub(super) mod stream;

mod filter;

mod list;

mod show;

mod verify;

pub(crate) use self::verify::summary;
use crate::args::Receipts;
use crate::exit::{Exit, Failure};
use crate::print::Printer;

pub(crate) fn run(args: &Receipts, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        Receipts::List(args) => list::run(args, printer),
        Receipts::Show(args) => show::run(args, printer),
        Receipts::Verify(args) => verify::run(args, printer),
    }
}
