//! `chio gateway report`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chio_audit::ChainVerifier;
use chio_core::crypto::PublicKey;
use chio_core::receipt::{Decision, Event, Receipt, Verdict};
use serde_json::json;

use crate::args::{GatewayReport, StateName};
use crate::commands::at;
use crate::commands::receipts::stream::{Line, Stream};
use crate::exit::{Exit, Failure, printable};
use crate::files;
use crate::print::{BOLD, DIM, GREEN, Printer, RESET, time, width, wrapped};
use crate::source::Source;
use crate::state::{ask, beside};

/// How many rows are told apart. What is left is counted together.
const MAX_ROWS: usize = 10_000;

const HELP: &str = "do not rely on these receipts; compare them with another copy";

pub(super) fn run(args: &GatewayReport, printer: &Printer) -> Result<Exit, Failure> {
    let mut found = Found::default();
    match (&args.state, &args.receipts) {
        (_, Some(file)) => of_file(file, args, &mut found)?,
        (state, None) => of_state(state.as_deref().unwrap_or_default(), args, &mut found)?,
    }
    printer.answer(&found.value(), &found.text())?;
    Ok(Exit::Done)
}

fn of_file(file: &Source, args: &GatewayReport, found: &mut Found) -> Result<(), Failure> {
    let mut stream = Stream::verified(file, args.kernel.as_deref())?.or_else(HELP);
    while let Some(line) = stream.next()? {
        if let Line::Receipt(receipt) = line {
            found.take(&receipt, args.since);
        }
    }
    stream.finish().map(|_| ())
}

fn of_state(state: &str, args: &GatewayReport, found: &mut Found) -> Result<(), Failure> {
    let kernel: Option<PublicKey> = args.kernel.as_deref().map(files::read_public_key).transpose()?;
    let name = StateName { state: state.to_owned(), kernel: args.kernel.clone() };
    let (state, mut after) = (beside(&name, at(None)?)?, 0);
    let mut verifier = ChainVerifier::new(kernel);
    let wrong = |what: &dyn std::fmt::Display| Failure::new(format!("the receipts of the state: {what}"), HELP);
    loop {
        let page = ask(state.receipts(after))?;
        for line in &page.items {
            let receipt = Receipt::parse(line).map_err(|error| wrong(&error))?;
            verifier.push(&receipt).map_err(|fault| wrong(&fault))?;
            found.take(&receipt, args.since);
        }
        let Some(next) = page.next else { return Ok(()) };
        after = next.parse().map_err(|_| Failure::new("the state has no next page", "report this"))?;
    }
}

/// One route, one code, one principal.
#[derive(Clone, Copy, Debug)]
struct Row {
    count: u64,
    first: u64,
    last: u64,
}

#[derive(Default)]
struct Found {
    receipts: u64,
    /// Requests that were decided in each mode.
    modes: BTreeMap<&'static str, u64>,
    /// By route, code and principal; that one is empty where nobody is known, and none where there were too many.
    rows: BTreeMap<(String, String, Option<String>), Row>,
}

impl Found {
    fn take(&mut self, receipt: &Receipt, since: Option<u64>) {
        self.receipts = self.receipts.saturating_add(1);
        let at = receipt.body.at;
        let Event::Decision(decision) = &receipt.body.event else { return };
        if since.is_some_and(|since| at < since) {
            return;
        }
        let mode = match decision.mode.as_str() {
            "report" => "report",
            "off" => "off",
            _ => "enforce",
        };
        let count = self.modes.entry(mode).or_default();
        *count = count.saturating_add(1);
        let Decision { verdict: Verdict::Allow, code: Some(code), tool_name, subject, .. } = decision else { return };
        let mut key = (tool_name.clone(), code.clone(), Some(subject.clone().unwrap_or_default()));
        if self.rows.len() >= MAX_ROWS && !self.rows.contains_key(&key) {
            key = (String::new(), String::new(), None);
        }
        let row = self.rows.entry(key).or_insert(Row { count: 0, first: at, last: at });
        row.count = row.count.saturating_add(1);
        (row.first, row.last) = (row.first.min(at), row.last.max(at));
    }

    fn in_mode(&self, mode: &str) -> u64 {
        self.modes.get(mode).copied().unwrap_or_default()
    }

    fn denied(&self) -> u64 {
        self.rows.values().fold(0, |sum, row| sum.saturating_add(row.count))
    }

    fn value(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|((route, code, who), row)| {
            let scheme = who.as_deref().and_then(scheme_of);
            json!({
                "route": route, "code": code, "scheme": scheme, "subject": who, "count": row.count, "first": row.first,
                "last": row.last, "advice": advice(code),
            })
        });
        json!({
            "receipts": self.receipts, "would_be_denied": self.denied(), "rows": rows.collect::<Vec<_>>(),
            "decisions": {"enforce": self.in_mode("enforce"), "report": self.in_mode("report"), "off": self.in_mode("off")},
        })
    }

    fn text(&self) -> String {
        let (report, denied) = (self.in_mode("report"), self.denied());
        let mut text = String::new();
        for ((route, code, who), Row { count, first, last }) in &self.rows {
            let who = match who.as_deref() {
                None => "others, too many to be told apart".to_owned(),
                Some("") => "nobody who is known".to_owned(),
                Some(who) => printable(who),
            };
            let (route, code) = (printable(route), printable(code));
            let _ =
                writeln!(text, "{BOLD}{count:>6}{RESET}  {route}  {code}  {who}  {} to {}", time(*first), time(*last));
        }
        let mut codes: Vec<_> =
            self.rows.keys().map(|(_, code, _)| code.as_str()).filter(|code| !code.is_empty()).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            text.push_str(&wrapped(&format!("{}: ", printable(code)), advice(code), width()));
        }
        let _ = writeln!(
            text,
            "{GREEN}ok{RESET}     {} receipts, unbroken: {denied} of {report} requests in the mode `report` would have been denied",
            self.receipts
        );
        let off = self.in_mode("off");
        if off > 0 {
            let _ = writeln!(text, "{DIM}       {off} requests in the mode `off` were not looked at{RESET}");
        }
        text
    }
}

/// The principals of a scheme are its own.
fn scheme_of(who: &str) -> Option<&str> {
    who.strip_prefix("scheme:")?.split(':').next()
}

/// What is to be done before a code is enforced.
fn advice(code: &str) -> &'static str {
    match code {
        "proof_missing" => {
            "these clients send no credentials of a scheme yet: teach them, or leave their routes in `report`"
        }
        "proof_malformed" => "the proof, the nonce or the request was not understood: look at these clients' library",
        "proof_signature_invalid" | "proof_sender_mismatch" => {
            "the token was used with another key than its own: an error in the client, or a stolen token"
        }
        "proof_binding_mismatch" => {
            "the proof is for another URL, method, body or token: look for a proxy that rewrites, and at `origin`"
        }
        "proof_expired" | "proof_from_future" => "set the clocks of these clients, or make a proof for each request",
        "proof_predates_kernel" => "this passes by itself after a start; a state that lasts avoids it",
        "nonce_replayed" => "a request was sent twice: clients that retry need a new proof, and else it is an attack",
        "nonce_quota_exceeded" | "nonce_store_full" => "more requests than nonces are remembered for",
        "capability_expired" => "these clients use a token after its end: have them renew it in time",
        "capability_revoked" | "subject_banned" | "subject_suspended" => "they were turned away by you: this is meant",
        "tool_not_granted" => "the token lacks the scope, the action or the finer right that the route asks for",
        "budget_exhausted" => "the limit of the token was reached",
        "call_too_large" => "the body is longer than is judged: see `listen.max_covered_body_bytes`",
        code if code.starts_with("capability_") => {
            "the token is none that counts here: look at `iss`, `aud` and the keys"
        }
        _ => "`chio explain` tells of the code",
    }
}
