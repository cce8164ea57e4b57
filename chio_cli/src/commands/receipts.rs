//! `chio receipts`

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};

use chio_core::receipt::{ChainReport, ChainVerifier, MAX_RECEIPT_BYTES, Receipt};
use serde_json::json;

use crate::args::ReceiptsVerify;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{DIM, GREEN, Printer, RESET};

/// `chio receipts verify`: as a stream, so that the number of receipts does not matter.
pub(crate) fn verify(args: &ReceiptsVerify, printer: &Printer) -> Result<Exit, Failure> {
    const WHAT: &str = "the receipts";
    const HELP: &str = "do not rely on these receipts; compare them with another copy";
    let kernel = args.kernel.as_deref().map(files::read_public_key).transpose()?;
    let mut verifier = ChainVerifier::new(kernel);
    let mut reader = BufReader::new(args.file.open(WHAT)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let most = u64::try_from(MAX_RECEIPT_BYTES).unwrap_or(u64::MAX).saturating_add(2);
        let read = reader.by_ref().take(most).read_until(b'\n', &mut line);
        if read.map_err(|error| args.file.failure(WHAT, &error))? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let receipt = Receipt::parse(&line)
            .map_err(|error| Failure::new(format!("{WHAT} {}, line {number}: {error}", args.file), HELP))?;
        let pushed = verifier.push(&receipt);
        pushed.map_err(|fault| Failure::new(format!("{WHAT} {}, line {number}: {fault}", args.file), HELP))?;
    }
    let report = verifier.finish();
    if report.receipts == 0 {
        return Err(Failure::new(format!("{WHAT} {}: there are none", args.file), "was it written to the end?"));
    }
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
