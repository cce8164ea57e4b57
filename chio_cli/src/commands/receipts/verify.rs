//! `chio receipts verify`

use std::fmt::Write as _;

use chio_audit::ChainReport;
use serde_json::json;

use super::stream::Stream;
use crate::args::ReceiptsVerify;
use crate::exit::{Exit, Failure};
use crate::print::{DIM, GREEN, Printer, RESET};

pub(crate) fn run(args: &ReceiptsVerify, printer: &Printer) -> Result<Exit, Failure> {
    let mut stream = Stream::verified(&args.file, args.kernel.as_deref())?;
    while stream.next()?.is_some() {}
    let report = stream.finish()?.unwrap_or_default();
    let head = report.head.map(|head| head.digest.to_string()).unwrap_or_default();
    let ChainReport { receipts, allowed, denied, suppressed, unfinished, sealed, .. } = report;
    let mut text = format!("{GREEN}ok{RESET}     {}\n", summary(&report));
    if !sealed {
        text.push_str("       the last receipt is an allow that no signature covers yet\n");
    }
    if args.kernel.is_none() {
        let _ = writeln!(text, "{DIM}       --kernel KEY says whose they have to be{RESET}");
    }
    let value = json!({
        "allowed": allowed, "denied": denied, "head": head, "receipts": receipts, "sealed": sealed,
        "suppressed": suppressed, "unfinished": unfinished,
    });
    printer.answer(&value, &text)?;
    Ok(Exit::Done)
}

/// What a chain contains, in a line.
pub(crate) fn summary(report: &ChainReport) -> String {
    let ChainReport { receipts, allowed, denied, suppressed, unfinished, .. } = report;
    let s = if *receipts == 1 { "" } else { "s" };
    let mut text = format!("{receipts} receipt{s}, unbroken: {allowed} allowed, {denied} denied");
    if *suppressed > 0 {
        let _ = write!(text, ", {suppressed} denials counted only");
    }
    if *unfinished > 0 {
        let _ = write!(text, ", {unfinished} without an outcome");
    }
    text
}
