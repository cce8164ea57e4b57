//! `chio device`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chio_core::digest::Digest;
use chio_http::device::record::{Device as Enrolled, DeviceId};
use chio_http::device::token::owner;
use chio_http::jwk::public_jwk;
use chio_kernel::store::{Standing, key_id};
use chio_store::{Entry, Kind, Record, State, Table};
use serde_json::{Value, json};

use super::at;
use crate::args::{Device, DeviceList, DeviceSuspend, DeviceWho};
use crate::exit::{Exit, Failure, printable};
use crate::print::{BOLD, GREEN, Printer, RESET, time};
use crate::state::{ask, beside, each};

pub(super) fn run(args: &Device, printer: &Printer) -> Result<Exit, Failure> {
    match args {
        Device::List(args) => list(args, printer),
        Device::Show(args) => show(args, printer),
        Device::Suspend(DeviceSuspend { who, length }) => {
            let until = at(None)?.saturating_add(*length);
            set(who, Standing::Suspended { until }, &format!("suspended until {}", time(until)), printer)
        }
        Device::Ban(args) => set(args, Standing::Banned, "banned", printer),
        Device::Reinstate(args) => set(args, Standing::Good, "welcome", printer),
        Device::Remove(args) => remove(args, printer),
    }
}

/// Who is turned away, by the digest of what the kernel calls it.
fn turned_away(state: &dyn State, now: u64) -> Result<BTreeMap<[u8; 32], Standing>, Failure> {
    let mut standings = BTreeMap::new();
    each(state, Kind::Standing, |record| {
        if let Record::Standing { id, until, .. } = record
            && until.is_none_or(|until| now < until)
        {
            let standing = until.map_or(Standing::Banned, |until| Standing::Suspended { until });
            standings.insert(id.0, standing);
        }
        Ok(())
    })?;
    Ok(standings)
}

/// The state of a device: for programs, and for people.
fn status(device: &Enrolled, standings: &BTreeMap<[u8; 32], Standing>) -> (&'static str, Option<u64>) {
    match standings.get(&key_id(&device.id.principal()).0) {
        Some(Standing::Banned) => ("banned", None),
        Some(Standing::Suspended { until }) => ("suspended", Some(*until)),
        Some(Standing::Good) | None => ("active", None),
    }
}

fn value(device: &Enrolled, standings: &BTreeMap<[u8; 32], Standing>) -> Value {
    let jwk: Value =
        device.key.public_key().and_then(|key| serde_json::from_str(&public_jwk(key)).ok()).unwrap_or_default();
    let (status, until) = status(device, standings);
    let mut value = json!({
        "client": device.client, "device_id": device.id.to_string(), "enrolled_at": device.enrolled_at,
        "iss": device.issuer, "jwk": jwk, "name": device.name, "status": status, "sub": device.subject,
    });
    if let (Some(until), Some(value)) = (until, value.as_object_mut()) {
        value.insert("until".to_owned(), until.into());
    }
    value
}

fn said((status, until): (&str, Option<u64>)) -> String {
    until.map_or_else(|| status.to_owned(), |until| format!("{status} until {}", time(until)))
}

fn read(entry: &Entry) -> Option<Enrolled> {
    Enrolled::from_bytes(DeviceId(entry.key), &entry.value)
}

fn list(args: &DeviceList, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    let state = beside(&args.state, now)?;
    let standings = turned_away(&*state, now)?;
    let whose: Option<Digest> = match (&args.issuer, &args.subject) {
        (Some(issuer), Some(subject)) => Some(owner(issuer, subject)),
        _ => None,
    };
    let (mut all, mut text, mut from) = (Vec::new(), String::new(), None);
    loop {
        let page = ask(state.entries().list(Table::Device, whose, from, now))?;
        for entry in &page.items {
            let Some(device) = read(entry) else {
                printer.warning(&format!("the record {} is damaged", entry.key), "no request by this device passes");
                continue;
            };
            let name = device.name.as_deref().map(printable).unwrap_or_default();
            let (id, subject) = (device.id, printable(&device.subject));
            let status = said(status(&device, &standings));
            let _ = writeln!(text, "{BOLD}{id}{RESET}  {status}  {subject}  {name}");
            all.push(value(&device, &standings));
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    printer.answer(&Value::Array(all), &text)?;
    Ok(Exit::Done)
}

/// The record of a device that there is.
fn found(args: &DeviceWho, state: &dyn State, now: u64) -> Result<Enrolled, Failure> {
    let nobody = || Failure::new("there is no device of that id", "`chio device list` lists those that there are");
    let id = DeviceId::parse(&args.id).ok_or_else(nobody)?;
    let entry = ask(state.entries().get(Table::Device, id.0, now))?.ok_or_else(nobody)?;
    read(&entry).ok_or_else(|| Failure::new("the record of the device is damaged", "no request by it passes"))
}

fn show(args: &DeviceWho, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    let state = beside(&args.state, now)?;
    let device = found(args, &*state, now)?;
    let standings = turned_away(&*state, now)?;
    let mut text = String::new();
    let none = || "-".to_owned();
    for (name, value) in [
        ("device", device.id.to_string()),
        ("status", said(status(&device, &standings))),
        ("issuer", printable(&device.issuer)),
        ("subject", printable(&device.subject)),
        ("client", device.client.as_deref().map_or_else(none, printable)),
        ("name", device.name.as_deref().map_or_else(none, printable)),
        ("enrolled", time(device.enrolled_at)),
        ("key", device.key.public_key().map_or_else(none, ToString::to_string)),
    ] {
        let _ = writeln!(text, "{BOLD}{name:<9}{RESET} {value}");
    }
    printer.answer(&value(&device, &standings), &text)?;
    Ok(Exit::Done)
}

/// One that there is not is not named by mistake.
fn set(args: &DeviceWho, standing: Standing, what: &str, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    let state = beside(&args.state, now)?;
    let device = found(args, &*state, now)?;
    ask(state.set_standing(&device.id.principal(), standing))?;
    let id = device.id.to_string();
    printer.answer(&json!({"device_id": id, "standing": what}), &format!("{GREEN}ok{RESET}     {id} is {what}\n"))?;
    Ok(Exit::Done)
}

fn remove(args: &DeviceWho, printer: &Printer) -> Result<Exit, Failure> {
    let now = at(None)?;
    let state = beside(&args.state, now)?;
    let device = found(args, &*state, now)?;
    ask(state.entries().take(Table::Device, device.id.0, now))?;
    let id = device.id.to_string();
    printer.answer(&json!({"device_id": id, "removed": true}), &format!("{GREEN}ok{RESET}     {id} is forgotten\n"))?;
    Ok(Exit::Done)
}
