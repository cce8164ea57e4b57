//! Taking a state out, putting it in, and lists of revocations that are signed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use chio_store::{Kind, MAX_REVOCATION_LIST_BYTES, Record, RevocationList, Revoked, State};
use serde_json::json;

use crate::args::{StateApply, StateImport, StateName, StatePublish};
use crate::commands::at;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{self, GREEN, Printer, RESET};
use crate::source::{self, Source};
use crate::state::{alone, ask, beside, each};
use crate::write::{self, Audience};

/// No record is longer, in bytes: a value of 4 KiB in base64url, and what stands around it.
const MAX_RECORD_BYTES: u64 = 8192;

/// How many records are put in at once.
const TOGETHER: usize = 1000;

pub(super) fn export(args: &StateName) -> Result<Exit, Failure> {
    let state = beside(args, at(None)?)?;
    let mut out = print::lines();
    for kind in Kind::ALL {
        each(&*state, kind, |record| {
            let line = serde_json::to_string(&record).map_err(|error| Failure::new(error, "report this"))?;
            writeln!(out, "{line}").map_err(|error| print::closed(&error))
        })?;
    }
    out.flush().map_err(|error| print::closed(&error))?;
    Ok(Exit::Done)
}

pub(super) fn import(args: &StateImport, printer: &Printer) -> Result<Exit, Failure> {
    const WHAT: &str = "the export";
    // All of it is read before any of it is put in.
    let mut reader = BufReader::new(args.file.open(WHAT)?);
    let (mut records, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_RECORD_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| args.file.failure(WHAT, &error))? == 0 {
            break;
        }
        let record: Record = serde_json::from_slice(&line).map_err(|error| {
            let number = records.len().saturating_add(1);
            // What serde says repeats what stands there.
            let what = format!("{WHAT} {}, line {number}, column {}: it is no record", args.file, error.column());
            Failure::new(what, "it is to be what `chio state export` printed; nothing was changed")
        })?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(Failure::new(format!("{WHAT} {} is empty", args.file), "was it written to the end?"));
    }
    let state = alone(&args.state, at(None)?)?;
    let count = records.len();
    put(&*state, records)?;
    printer.answer(&json!({"records": count}), &format!("{GREEN}ok{RESET}     {count} records were put in\n"))?;
    Ok(Exit::Done)
}

/// Puts records in, so many at once that no kernel waits long.
fn put(state: &dyn State, mut records: Vec<Record>) -> Result<(), Failure> {
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(TOGETHER));
        ask(state.put(std::mem::replace(&mut records, rest)))?;
    }
    Ok(())
}

/// The number of the newest list of an issuer that a state knows; 0 where it knows none.
fn newest(state: &dyn State, of: &str) -> Result<u64, Failure> {
    let mut newest = 0;
    each(state, Kind::RevocationList, |record| {
        if let Record::RevocationList { issuer, sequence } = record
            && issuer == of
        {
            newest = newest.max(sequence);
        }
        Ok(())
    })?;
    Ok(newest)
}

pub(super) fn publish(args: &StatePublish, printer: &Printer) -> Result<Exit, Failure> {
    let key = files::read_key(&args.key)?;
    let issuer = key.public_key().to_string();
    let now = at(None)?;
    // A list is published again and again under one name. What is no list of this key is somebody's who needs it.
    if args.out.symlink_metadata().is_ok() {
        let there = Source::File(args.out.clone()).read("the list", MAX_REVOCATION_LIST_BYTES);
        if !there.is_ok_and(|there| RevocationList::verify(&there, &key.public_key()).is_ok()) {
            let what = format!("`{}` is there already, is no list of this key, and was kept", args.out.display());
            return Err(Failure::new(what, "name another file, or remove that one"));
        }
    }
    let state = beside(&args.state, now)?;
    let mut revoked = Vec::new();
    let mut unnamed: u64 = 0;
    each(&*state, Kind::Revocation, |record| {
        let Record::Revocation { what, .. } = record else { return Ok(()) };
        match what.parse::<Revoked>() {
            Ok(one) => revoked.push(one),
            Err(()) => unnamed = unnamed.saturating_add(1),
        }
        Ok(())
    })?;
    if unnamed > 0 {
        let what =
            format!("{unnamed} that a kernel has revoked itself are not on the list: only their digests are known");
        printer.warning(&what, "`chio state revoke` them by their id or key");
    }
    // The number first: should this end before the list is written, no other list has it.
    let (count, sequence) = (revoked.len(), ask(state.next_list(&issuer))?);
    let list = RevocationList::sign(sequence, now, revoked, &key);
    let list = list.map_err(|error| Failure::new(error, "check the key"))?;
    let text = serde_json::to_string(&list).map_err(|error| Failure::new(error, "report this"))?;
    write::write(&args.out, format!("{text}\n").as_bytes(), Audience::Everyone, true)?;
    let text = format!("{GREEN}ok{RESET}     list {sequence}: {count} revoked\n");
    printer.answer(&json!({"sequence": sequence, "revoked": count}), &text)?;
    Ok(Exit::Done)
}

/// A list, from a file or from where it is published.
fn list(file: &Source, what: &str) -> Result<Vec<u8>, Failure> {
    #[cfg(unix)]
    if let Source::File(path) = file
        && let Some(url) = path.to_str().filter(|text| text.starts_with("https://") || text.starts_with("http://"))
    {
        use chio_http::client::Client;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(format!("{what} {file}: {error}"), "nothing was changed; check the address")
        };
        let client = Client::new(url).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        let request = hyper::Request::new(chio_http::Body::empty());
        let asked = client.send(request, std::time::Duration::from_secs(30), MAX_REVOCATION_LIST_BYTES);
        let answer = runtime.block_on(asked).map_err(|error| failed(&error))?;
        if answer.status != hyper::StatusCode::OK {
            return Err(failed(&format_args!("the answer is {}", answer.status)));
        }
        return Ok(answer.body.into());
    }
    file.read(what, MAX_REVOCATION_LIST_BYTES)
}

pub(super) fn apply(args: &StateApply, printer: &Printer) -> Result<Exit, Failure> {
    const WHAT: &str = "the list";
    source::read_once([args.file.is_standard_input(), args.issuer == "-"])?;
    let issuer = files::read_public_key(&args.issuer)?;
    let bytes = list(&args.file, WHAT)?;
    let wrong =
        |what: &dyn std::fmt::Display| Failure::new(format!("{WHAT} {}: {what}", args.file), "nothing was changed");
    let list = RevocationList::verify(&bytes, &issuer).map_err(|error| wrong(&error))?;
    let state = beside(&args.state, at(None)?)?;
    let (known, sequence) = (newest(&*state, &issuer.to_string())?, list.body.sequence);
    if sequence < known {
        return Err(wrong(&format!("it is number {sequence} of its issuer, and number {known} was applied already")));
    }
    // Its number comes last: a list that was applied in part can be applied again.
    put(&*state, list.records())?;
    let count = list.body.revoked.len();
    let text = format!("{GREEN}ok{RESET}     list {sequence}: {count} revoked\n");
    printer.answer(&json!({"sequence": sequence, "revoked": count}), &text)?;
    Ok(Exit::Done)
}
