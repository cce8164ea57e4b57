//! `chio state`, beside a guard's kernel and alone: what is printed, what is changed, and what is refused.

mod common;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use chio_kernel::clock::SystemClock;
use chio_kernel::{Kernel, Settings};
use chio_store::{Entry, Records, Room, SqliteOptions, SqliteState, Table};
use chio_tests::world::{self, SERVER};
use common::{GRANTS, Place};
use tempfile::TempDir;

/// The path of the state, as `chio` runs elsewhere: a file in its own folder is read by the test while it runs, and a process
/// that closes a file has no lock on it any more.
fn state(folder: &TempDir) -> String {
    folder.path().join("state.db").to_string_lossy().into_owned()
}

/// A kernel of the place's issuer with a state.
fn kernel(place: &Place, folder: &TempDir) -> Kernel {
    let options = SqliteOptions::new(state(folder), 1);
    let state = Arc::new(SqliteState::open(&options).unwrap());
    Kernel::builder()
        .trust_root(place.public_key("issuer.key").parse::<chio_core::crypto::PublicKey>().unwrap())
        .tool_server(SERVER, world::echo())
        .signing_key(world::kernel_key())
        .clock(SystemClock)
        .settings(Settings::default())
        .stores(state.stores())
        .build()
        .unwrap()
}

fn code(place: &Place, kernel: &Kernel) -> &'static str {
    let signed = place.chio(&format!("sign --whole --key agent.key --capability agent.cap {}", common::READ));
    let call = chio_kernel::SignedCall::parse(signed.stdout.as_bytes(), &Settings::default()).unwrap();
    world::code(kernel, call)
}

fn place() -> Place {
    let place = Place::empty();
    for name in ["issuer", "agent", "kernel"] {
        place.chio(&format!("keygen --out {name}.key")).done();
    }
    place.write("grants.json", GRANTS);
    place.chio("issue --key issuer.key --subject agent.key --grants grants.json --out agent.cap").done();
    place
}

#[test]
fn what_is_revoked_and_banned_beside_a_kernel_is_denied_from_the_next_call_on() {
    let (place, folder) = (place(), tempfile::tempdir().unwrap());
    let state = |words: &str| place.chio(&format!("state {}", words.replace("STATE", &state(&folder))));
    let kernel = kernel(&place, &folder);
    assert_eq!(code(&place, &kernel), "");
    let agent = place.public_key("agent.key");
    for (change, expected, back) in [
        ("revoke STATE --capability agent.cap", "capability_revoked", "unrevoke STATE --capability agent.cap"),
        ("revoke STATE --key agent.key", "capability_revoked", "unrevoke STATE --key agent.key"),
        ("ban STATE agent.key", "subject_banned", "reinstate STATE agent.key"),
        ("suspend STATE agent.key --for 1h", "subject_suspended", "reinstate STATE agent.key"),
    ] {
        state(change).done();
        assert_eq!(code(&place, &kernel), expected, "{change}");
        state(back).done();
        assert_eq!(code(&place, &kernel), "", "{back}");
    }
    let none = state("unrevoke STATE --key agent.key");
    assert!(none.stderr.contains(&format!("warning: key {agent} was not revoked")), "{none:?}");
    // Only its kernel can make it smaller, or put spent nonces in.
    let export = state("export STATE");
    place.write("export.jsonl", export.done());
    state("compact STATE").failed("it is the state of the process");
    state("import STATE export.jsonl").failed("it is the state of the process");
    let shown = state("show STATE --json").json();
    assert_eq!((&shown["nonces"], &shown["receipts"]), (&5.into(), &14.into()));
    drop(kernel);
    state("compact STATE").done();
    state("import STATE export.jsonl").done();
    let kernel = self::kernel(&place, &folder);
    assert_eq!(code(&place, &kernel), "proof_predates_kernel", "an export may be older than the last call");
}

#[test]
fn records_are_counted_taken_out_and_put_in() {
    let (place, folder) = (place(), tempfile::tempdir().unwrap());
    let state = |words: &str| place.chio(&format!("state {}", words.replace("STATE", &state(&folder))));
    let open = || SqliteState::open(&SqliteOptions::new(self::state(&folder), 1)).unwrap();
    let entry = |name: &[u8]| {
        let (key, value) = (chio_core::digest::Digest::of(name), vec![0xff; 4096]);
        Entry { key, owner: key, value, until: None }
    };
    let kept = open();
    let room = Room { table: 9, owner: 9 };
    for table in [Table::Device, Table::Session, Table::Challenge] {
        pollster::block_on(Records::put(&kept, table, entry(b"one"), None, room, 1)).unwrap();
    }
    let shown = state("show STATE");
    assert!(shown.stdout.contains("records      challenge 1, device 1, session 1\n"), "{shown:?}");
    assert_eq!(state("show STATE --json").json()["records"]["device"], 1);
    let export = state("export STATE");
    place.write("export.jsonl", export.done());
    assert_eq!(export.stdout.lines().count(), 2, "what is under way is not among them");
    for table in [Table::Device, Table::Session] {
        pollster::block_on(kept.take(table, entry(b"one").key, 1)).unwrap().unwrap();
    }
    drop(kept);
    state("import STATE export.jsonl").done();
    let kept = open();
    for (table, expected) in [(Table::Device, Some(entry(b"one"))), (Table::Pending, None)] {
        assert_eq!(pollster::block_on(kept.get(table, entry(b"one").key, 1)).unwrap(), expected);
    }
    drop(kept);
    let line = export.stdout.lines().next().unwrap();
    for (from, to) in [("device", "challenge"), ("\"__", "\"__!"), ("\"owner\"", "\"Owner\"")] {
        place.write("wrong.jsonl", line.replacen(from, to, 1) + "\n");
        let wrong = state("import STATE wrong.jsonl");
        assert_ne!(wrong.code, 0, "{to}: {wrong:?}");
    }
}

#[test]
fn receipts_are_printed_for_whoever_verifies_them() {
    let (place, folder) = (place(), tempfile::tempdir().unwrap());
    let state = |words: &str| place.chio(&format!("state {}", words.replace("STATE", &state(&folder))));
    let kernel = kernel(&place, &folder);
    assert_eq!(code(&place, &kernel), "");
    drop(kernel);
    let receipts = state("receipts STATE");
    place.write("receipts.jsonl", receipts.done());
    let key = world::kernel_key().public_key();
    let verified = place.chio(&format!("receipts verify receipts.jsonl --kernel {key}"));
    verified.done();
    assert!(verified.stdout.contains("2 receipts, unbroken: 1 allowed"), "{verified:?}");
    let shown = state("show STATE");
    assert!(shown.stdout.contains(&key.to_string()), "{shown:?}");
}

#[test]
fn a_list_of_revocations_goes_from_one_state_to_another_and_never_back() {
    let (place, folder) = (place(), tempfile::tempdir().unwrap());
    let state = |words: &str| place.chio(&format!("state {}", words.replace("STATE", &state(&folder))));
    drop(kernel(&place, &folder));
    state("revoke STATE --key agent.key").done();
    state("publish STATE --key issuer.key --out first.json").done();
    state("revoke STATE --capability agent.cap").done();
    state("publish STATE --key issuer.key --out second.json").done();
    state("publish STATE --key issuer.key --out issuer.key")
        .failed("is there already, is no list of this key, and was kept");
    state("publish STATE --key agent.key --out second.json").failed("is no list of this key");
    for name in ["state.db", "state.db.lock"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let kernel = kernel(&place, &folder);
    state("apply STATE first.json --issuer agent.key").failed("another issuer's");
    place.write("forged.json", place.read("second.json").replace("\"sequence\":2", "\"sequence\":3"));
    state("apply STATE forged.json --issuer issuer.key").failed("was changed");
    assert_eq!(code(&place, &kernel), "");
    state("apply STATE second.json --issuer issuer.key").done();
    assert_eq!(code(&place, &kernel), "capability_revoked");
    // From where it is published.
    let list = place.read("second.json");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let published = std::thread::spawn(move || {
        for body in [list, "gone".to_owned()] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let status = if body == "gone" { "410 Gone" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    state(&format!("apply STATE {url}/second.json --issuer issuer.key")).done();
    state(&format!("apply STATE {url}/second.json --issuer issuer.key")).failed("the answer is 410 Gone");
    published.join().unwrap();
    state("apply STATE http://lists.example/second.json --issuer issuer.key").failed("neither an `https` URL");
    state("apply STATE first.json --issuer issuer.key").failed("number 2 was applied already");
    let shown = state("show STATE");
    assert!(shown.stdout.contains("capability ") && shown.stdout.contains("key "), "{shown:?}");
}

#[test]
fn the_environment_stands_above_the_file_and_is_told_where_it_is_wrong() {
    let place = Place::empty();
    place.write("chio.toml", "mode = \"report\"\nroots = [\"a.pub\"]\n");
    let show = |variables: &[(&str, &str)]| {
        let mut command = place.command(common::chio());
        command.args(["config", "show", "chio.toml", "--json"]).envs(variables.iter().copied());
        place.run(&mut command, b"")
    };
    let shown = show(&[("CHIO_MODE", "off"), ("CHIO_ROOTS", "b.pub, c.pub"), ("CHIO_THREAT_REPLAY", "suspend 1m")]);
    let shown = shown.json();
    assert_eq!((&shown["mode"]["value"], &shown["mode"]["from"]), (&"off".into(), &"CHIO_MODE".into()));
    assert_eq!(shown["roots"]["value"], "b.pub, c.pub");
    assert_eq!(shown["threat.replay"]["value"], "suspend 60s");
    for (variable, value) in
        [("CHIO_MODE", "of"), ("CHIO_ROOTS", "a,,b"), ("CHIO_PROOFS_TTL", "0s"), ("CHIO_STATE", "")]
    {
        show(&[(variable, value)]).failed(&format!("the environment variable {variable} is not written as"));
    }
    let secret = show(&[("CHIO_KERNEL_KEY", "-----BEGIN PRIVATE KEY-----")]);
    assert_eq!(secret.json()["kernel_key"]["value"], "hidden");
}
