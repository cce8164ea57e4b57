//! `chio receipts list`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};

use chio_core::receipt::{Event, OutcomeStatus, Receipt, Verdict};
use serde_json::json;

use super::filter::Filter;
use super::stream::{Line, Stream};
use super::verify::summary;
use crate::args::ReceiptsList;
use crate::exit::{Exit, Failure, printable};
use crate::print::{self, BOLD, DIM, GREEN, Printer, RED, RESET, YELLOW, closed, is_terminal, time, width, wrapped};

const COLUMNS: [&str; 7] = ["#", "time", "what", "code", "about", "subject", "capability"];

pub(crate) fn run(args: &ReceiptsList, printer: &Printer) -> Result<Exit, Failure> {
    let filter = Filter::new(&args.filter)?;
    let stream = if args.unverified {
        Stream::unverified(&args.file)?
    } else {
        Stream::verified(&args.file, args.kernel.as_deref())?
            .or_else("nothing is listed of a chain that does not hold; --unverified lists it all the same")
    };
    let mut found = Found::new()?;
    let total = found.collect(stream, &filter, printer.is_json())?;
    let skipped = args.limit.map_or(0, |limit| found.rows.saturating_sub(limit));
    found.print(skipped, &total, printer.is_json())?;
    Ok(Exit::Done)
}

/// The rows that were found. They wait in a file without a name, so that nothing is printed of a chain that turns out
/// not to hold, and nothing has to fit in memory.
struct Found {
    file: BufWriter<File>,
    rows: u64,
    widths: [usize; 7],
}

struct Total {
    read: u64,
    unreadable: u64,
    report: Option<chio_audit::ChainReport>,
}

fn unspooled(error: &std::io::Error) -> Failure {
    Failure::new(format!("no temporary file: {error}"), "make room in the directory for temporary files, or set TMPDIR")
}

impl Found {
    fn new() -> Result<Self, Failure> {
        let file = BufWriter::new(tempfile::tempfile().map_err(|error| unspooled(&error))?);
        Ok(Self { file, rows: 0, widths: COLUMNS.map(str::len) })
    }

    fn collect(&mut self, mut stream: Stream<'_>, filter: &Filter<'_>, as_json: bool) -> Result<Total, Failure> {
        let (mut read, mut unreadable) = (0u64, 0u64);
        while let Some(line) = stream.next()? {
            read = read.saturating_add(1);
            let row = match line {
                Line::Receipt(receipt) if !filter.lets_through(&receipt) => continue,
                Line::Receipt(receipt) if as_json => {
                    let line = receipt.to_line().map_err(|error| Failure::new(error, "report this"))?;
                    String::from_utf8_lossy(&line).into_owned()
                }
                Line::Receipt(receipt) => self.measured(&row(&receipt)),
                Line::Unreadable(_) if as_json => {
                    unreadable = unreadable.saturating_add(1);
                    continue;
                }
                Line::Unreadable(number) => {
                    unreadable = unreadable.saturating_add(1);
                    let about = format!("line {number} is no receipt");
                    self.measured(&[
                        "?".into(),
                        String::new(),
                        "unreadable".into(),
                        String::new(),
                        about,
                        String::new(),
                        String::new(),
                    ])
                }
            };
            writeln!(self.file, "{row}").map_err(|error| unspooled(&error))?;
            self.rows = self.rows.saturating_add(1);
        }
        Ok(Total { read, unreadable, report: stream.finish()? })
    }

    fn measured(&mut self, row: &[String; 7]) -> String {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
        row.join("\t")
    }

    /// Prints the rows after the first `skipped`.
    fn print(self, skipped: u64, total: &Total, as_json: bool) -> Result<(), Failure> {
        let mut file = self.file.into_inner().map_err(|error| unspooled(error.error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| unspooled(&error))?;
        let rows = BufReader::new(file).lines().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        let mut out = print::lines();
        let is_table = is_terminal() && !as_json;
        let print =
            |text: String, out: &mut dyn std::io::Write| out.write_all(text.as_bytes()).map_err(|error| closed(&error));
        if as_json {
            print(format!("{{\"of\":{},\"receipts\":[", total.read), &mut out)?;
        } else if is_table {
            if total.report.is_none() {
                print(
                    format!(
                        "{YELLOW}{BOLD}NOT VERIFIED{RESET}{YELLOW}: this is what the file says, not what is true.{RESET}\n"
                    ),
                    &mut out,
                )?;
            }
            let titles = COLUMNS.map(str::to_owned).join("\t");
            print(format!("{DIM}{}{RESET}\n", table_row(&titles, &self.widths)), &mut out)?;
        }
        let mut first = true;
        for row in rows {
            let row = row.map_err(|error| unspooled(&error))?;
            let text = match (as_json, is_table) {
                (true, _) if first => row,
                (true, _) => format!(",{row}"),
                (_, true) => format!("{}\n", table_row(&row, &self.widths)),
                _ => format!("{row}\n"),
            };
            first = false;
            print(text, &mut out)?;
        }
        if as_json {
            print(
                format!("],\"unreadable\":{},\"verified\":{}}}\n", json!(total.unreadable), total.report.is_some()),
                &mut out,
            )?;
        } else if is_table {
            let shown = self.rows.saturating_sub(skipped);
            let of = total.report.as_ref().map_or_else(|| format!("{} lines", total.read), summary);
            let mark = if total.report.is_some() { "ok " } else { "" };
            let end = wrapped(mark, &format!("{shown} shown of {of}"), width());
            print(end.replacen("ok ", &format!("{GREEN}ok{RESET} "), mark.len().min(1)), &mut out)?;
        }
        out.flush().map_err(|error| closed(&error))
    }
}

fn row(receipt: &Receipt) -> [String; 7] {
    let body = &receipt.body;
    let (sequence, at) = (body.sequence.to_string(), time(body.at));
    let text = |text: &Option<String>| printable(text.as_deref().unwrap_or_default());
    match &body.event {
        Event::Decision(call) => {
            let verdict = match call.verdict {
                Verdict::Allow => "allow",
                Verdict::Deny => "deny",
            };
            let about = printable(&format!("{}/{}", call.tool_server, call.tool_name));
            [sequence, at, verdict.into(), text(&call.code), about, text(&call.subject), text(&call.capability_id)]
        }
        Event::Outcome(outcome) => {
            let about = format!("of {}, {} ms", outcome.of, outcome.duration_ms);
            [sequence, at, status(outcome.status).into(), String::new(), about, String::new(), String::new()]
        }
        Event::Summary(summary) => {
            let about = format!(
                "{} denials counted only, {} calls without an outcome",
                summary.suppressed,
                summary.unfinished.len()
            );
            [sequence, at, "summary".into(), String::new(), about, String::new(), String::new()]
        }
    }
}

/// How a call ended, as a receipt says it.
pub(super) fn status(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Ok => "ok",
        OutcomeStatus::ToolError => "tool_error",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::NotReached => "not_reached",
        OutcomeStatus::TimedOut => "timed_out",
    }
}

/// A row that fits the terminal: keys and ids are cut, and at last the names of tools.
fn table_row(row: &str, widths: &[usize; 7]) -> String {
    const KEY: usize = 10;
    let mut widths = *widths;
    let [sequence, at, what, code, about, subject, capability] = &mut widths;
    (*subject, *capability) = ((*subject).min(KEY), (*capability).min(KEY));
    let gaps = 2usize.saturating_mul(6);
    let width = width();
    let room_beside = |others: [usize; 4]| width.saturating_sub(others.iter().sum::<usize>().saturating_add(gaps));
    // On a narrow terminal the keys go first, then what is long in the columns before them.
    let room = room_beside([*sequence, *at, *what, *code]);
    if room < about.saturating_add(*subject).saturating_add(*capability) {
        *capability = 0;
    }
    if room < about.saturating_add(*subject) {
        *subject = 0;
    }
    if room < (*about).min(16) {
        *at = (*at).min(11);
        *code = (*code).min(room_beside([*sequence, *at, *what, 16]));
    }
    *about = (*about).min(room_beside([*sequence, *at, *what, *code]).max(8));
    let mut text = String::new();
    for (cell, width) in row.split('\t').zip(widths).filter(|(_, width)| *width > 0) {
        let cut: String = if cell.chars().count() > width {
            cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        } else {
            cell.to_owned()
        };
        let colour = match cell {
            "allow" | "ok" => GREEN,
            "deny" => RED,
            "tool_error" | "failed" | "not_reached" | "timed_out" | "unreadable" => YELLOW,
            _ => "",
        };
        let reset = if colour.is_empty() { "" } else { RESET };
        let gap = " ".repeat(width.saturating_sub(cut.chars().count()));
        let _ = write!(text, "{colour}{cut}{reset}{gap}  ");
    }
    text.trim_end().to_owned()
}
