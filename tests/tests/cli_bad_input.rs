//! `chio` and what a stranger can give it: files that are not what they should be, pipes that close, disks that
//! are full, words that are wrong. Each ends in one error with its help, and leaves nothing behind.
#![cfg(unix)]

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _, pipe};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use chio_core::capability::Grant;
use chio_tests::world;
use common::{MARKER, Place, READ, Run, chio, openssl};

/// How a command reads the file that is named in the place of `@`.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    PrivateKey,
    /// The text of a public key, a file with it, or the file of a private one.
    PublicKey,
    Proof,
    Receipts,
    Json,
    /// Anything, for show.
    Any,
}

use Reads::{Any, Json, PrivateKey, Proof, PublicKey, Receipts};

/// Every command with every file that it reads.
const SLOTS: &[(&str, Reads)] = &[
    ("issue --key @ --subject agent.key --tool a/b", PrivateKey),
    ("issue --key issuer.key --subject @ --tool a/b", PublicKey),
    ("issue --key issuer.key --subject agent.key --grants @", Json),
    ("attenuate --key @ --capability agent.cap --subject issuer.key", PrivateKey),
    ("attenuate --key agent.key --capability @ --subject issuer.key", Json),
    ("attenuate --key agent.key --capability agent.cap --subject @", PublicKey),
    ("sign --key @ --capability agent.cap $READ", PrivateKey),
    ("sign --key agent.key --capability @ $READ", Json),
    ("sign --key agent.key --capability agent.cap --tool files/read_file --arguments @", Json),
    ("verify --root @ --capability agent.cap --proof proof.json $READ", PublicKey),
    ("verify --root issuer.key --capability @ --proof proof.json $READ", Json),
    ("verify --root issuer.key --capability agent.cap --proof @ $READ", Proof),
    ("verify --root issuer.key --capability agent.cap --proof proof.json --tool a/b --arguments @", Json),
    ("inspect @", Any),
    ("call --key @ --root issuer.key --capability agent.cap $READ $SERVE", PrivateKey),
    ("call --key agent.key --root @ --capability agent.cap $READ $SERVE", PublicKey),
    ("call --key agent.key --root issuer.key --capability @ $READ $SERVE", Json),
    ("call --key agent.key --root issuer.key --capability agent.cap --tool a/b --arguments @ $SERVE", Json),
    ("call --key agent.key --root issuer.key --capability agent.cap $READ $SERVE --kernel-key @", PrivateKey),
    ("receipts verify @", Receipts),
    ("receipts list @", Receipts),
    ("receipts show @ 1", Receipts),
    ("receipts verify receipts.jsonl --kernel @", PublicKey),
];

/// The words of a command, with a file in its slot.
fn words(slot: &str, file: &str) -> String {
    let serve = "--files docs --mount /docs --receipts new.jsonl";
    slot.replace("$READ", READ).replace("$SERVE", serve).replace('@', file)
}

/// The words of every command that reads the file in one of these ways, for people and for programs.
fn with(file: &str, only: impl Fn(Reads) -> bool) -> Vec<(Reads, String)> {
    let slots = SLOTS.iter().filter(|(_, reads)| only(*reads));
    let both = |(slot, reads): &(&str, Reads)| ["", " --json"].map(|json| (*reads, words(slot, file) + json));
    slots.flat_map(both).collect()
}

/// Each of these commands refuses the file with these words, and leaves nothing behind.
fn all_refuse(place: &Place, file: &str, only: impl Fn(Reads) -> bool, what: &str) {
    for (_, words) in with(file, only) {
        place.chio(&words).failed(what);
    }
}

fn is_key(reads: Reads) -> bool {
    matches!(reads, PrivateKey | PublicKey)
}

fn is_any(_: Reads) -> bool {
    true
}

// --- files that cannot be read, or are nothing at all ---

#[test]
fn a_missing_file() {
    let place = Place::furnished();
    for (reads, words) in with("nowhere", is_any) {
        let what = match reads {
            PublicKey => "`nowhere` is no public key and no file",
            _ => "`nowhere` cannot be read: No such file or directory",
        };
        place.chio(&words).failed(what);
    }
    let serve = "call --key agent.key --root issuer.key --capability agent.cap $READ --files @";
    place.chio(&words(serve, "nowhere")).failed("No such file or directory");
    place.chio(&words(serve, "docs/a.md")).failed("Not a directory");
}

#[test]
fn a_directory() {
    let place = Place::furnished();
    for (_, words) in with("docs", is_any) {
        let (error, help) = place.chio(&words).failed("`docs` cannot be read").error_and_help();
        assert!(error.contains("Is a directory") && help.contains("name a file"), "{error} {help}");
    }
}

/// Root reads everything, unless it leaves its user namespace: then it owns its files, and no more.
#[test]
fn an_unreadable_file() {
    let place = Place::furnished();
    place.write("unreadable", "x");
    place.set_mode("unreadable", 0o000);
    let is_root = File::open(place.path("unreadable")).is_ok();
    let can_leave = || Command::new("unshare").args(["--user", "true"]).status().is_ok_and(|it| it.success());
    if is_root && !can_leave() {
        println!("skipped: root reads everything");
        return;
    }
    for (_, words) in with("unreadable", is_any) {
        let mut command = if is_root { place.command("unshare") } else { place.command(chio()) };
        if is_root {
            command.arg("--user").arg(chio());
        }
        let run = place.run(command.args(words.split_whitespace()), b"");
        run.failed("`unreadable` cannot be read: Permission denied");
    }
}

#[test]
fn an_empty_file() {
    let place = Place::furnished();
    for (file, contents) in [("nothing", ""), ("blank", " \n\t\n")] {
        place.write_private(file, contents);
        all_refuse(&place, file, |reads| reads != Receipts, &format!("`{file}` is empty"));
    }
    all_refuse(&place, "nothing", |reads| reads == Receipts, "the receipts `nothing`");
}

/// The same noise every time; its first byte is none that UTF-8 begins with.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise: Vec<u8> = (0..64 << 10)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    noise[0] = 0xff;
    noise
}

#[test]
fn a_file_of_noise() {
    let place = Place::furnished();
    place.write_private("noise", noise());
    for (reads, words) in with("noise", is_any) {
        let what = match reads {
            PrivateKey | PublicKey => "`noise` is longer than 16384 bytes",
            Proof => "`noise` is longer than 8192 bytes",
            Receipts => "`noise`, line 1…the text is not UTF-8",
            Json | Any => "`noise`, line 1, column 1…the text is not UTF-8",
        };
        place.chio(&words).failed(what);
    }
    place.write_private("noise", &noise()[..1000]);
    all_refuse(&place, "noise", is_key, "`noise` is not a text");
    // What a proof says is for the kernel to judge.
    let verify = words("verify --root issuer.key --capability agent.cap --proof noise $READ --json", "");
    assert_eq!(place.chio(&verify).json()["code"], "proof_malformed");
    place.chio(&verify).denied();
}

/// `chio` with less memory than the file of brackets is long, where memory can be limited.
fn cramped(place: &Place, words: &str) -> Command {
    let mut command = place.command("sh");
    command.args(["-c", "ulimit -v 90000 2>/dev/null; exec \"$0\" \"$@\""]).arg(chio()).args(words.split_whitespace());
    command
}

#[test]
fn a_hundred_megabytes_of_brackets() {
    let place = Place::furnished();
    // Not in the directory of the test, all of which is read before and after every run.
    let elsewhere = Place::empty();
    let path = elsewhere.path("brackets");
    let mut file = File::create(&path).unwrap();
    for _ in 0..100 {
        file.write_all(&[b'['; 1_000_000]).unwrap();
    }
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ends = |run: &Run| {
        run.failed("is longer than ");
        assert!(run.took < Duration::from_secs(5), "{run:#?}");
    };
    for (_, words) in with(path.to_str().unwrap(), is_any) {
        ends(&place.run(&mut cramped(&place, &words), b""));
    }
    for (_, words) in with("-", |reads| reads != PublicKey) {
        let input = Stdio::from(File::open(&path).unwrap());
        ends(&place.run(cramped(&place, &words).stdin(input), b""));
    }
}

/// More receipts than fit in the memory that there is.
#[test]
fn a_long_chain_of_receipts_is_verified_as_a_stream() {
    let place = Place::empty();
    let mut writer = Command::new(env!("CARGO_BIN_EXE_receipt_writer"));
    let mut writer = writer.arg("160000").stdout(Stdio::piped()).spawn().unwrap();
    let receipts = writer.stdout.take().unwrap();
    let run = place.run(cramped(&place, "receipts verify - --json").stdin(receipts), b"");
    assert!(writer.wait().unwrap().success());
    run.done();
    assert_eq!(run.json()["receipts"], 160_000);
}

#[test]
fn brackets_within_the_limits() {
    let place = Place::furnished();
    place.write_private("deep", "[".repeat(8000));
    let is_read = |reads| matches!(reads, Json | Any | Receipts);
    all_refuse(&place, "deep", is_read, "nested deeper than 64 levels");
    all_refuse(&place, "deep", is_key, "not a private key");
}

#[test]
fn standard_input_is_named_once() {
    let place = Place::furnished();
    for words in [
        "sign --key agent.key --capability - --tool a/b --arguments -",
        "verify --root issuer.key --capability - --proof - --tool a/b",
        "issue --key - --subject agent.key --grants -",
    ] {
        place.chio_given("{}", words).misused("standard input");
    }
}

// --- documents ---

#[test]
fn documents_of_another_version() {
    let place = Place::furnished();
    for file in ["agent.cap", "proof.json", "receipts.jsonl"] {
        let text = place.read(file);
        let later = text.replace("_token.v1", "_token.v2").replace("_proof.v1", "_proof.v2");
        place.write(&format!("{file}.v2"), later.replace("receipt.v1", "receipt.v2").lines().next().unwrap());
    }
    for (slot, reads) in SLOTS.iter().filter(|(slot, _)| slot.contains("--capability @")) {
        assert!(*reads == Json);
        place.chio(&words(slot, "agent.cap.v2")).failed("schema `chio.capability_token.v2`");
    }
    for (file, schema) in [
        ("agent.cap.v2", "chio.capability_token.v2"),
        ("proof.json.v2", "chio.dpop_proof.v2"),
        ("receipts.jsonl.v2", "chio.receipt.v2"),
    ] {
        place.chio(&format!("inspect {file}")).failed(&format!("schema `{schema}`"));
    }
    place.chio("receipts verify receipts.jsonl.v2").failed("line 1: schema `chio.receipt.v2`");
    let verify = "verify --root issuer.key --capability agent.cap --proof proof.json.v2 $READ";
    let denied = place.chio(&words(verify, ""));
    assert!(denied.denied().starts_with("deny   proof_schema_unsupported at proof.schema"), "{denied:#?}");
}

#[test]
fn documents_of_another_kind() {
    let place = Place::furnished();
    place.write("other.json", "{\"a\":1}");
    for file in ["proof.json", "call.json", "other.json", "grants.json", "arguments.json"] {
        for slot in ["sign --key agent.key --capability @ $READ", "receipts verify @"] {
            place.chio(&words(slot, file)).failed(&format!("`{file}`"));
        }
    }
    for file in ["agent.cap", "proof.json", "receipts.jsonl", "arguments.json"] {
        let issue = "issue --key issuer.key --subject agent.key --grants @";
        place.chio(&words(issue, file)).failed(&format!("the grants `{file}`"));
    }
    for file in ["other.json", "grants.json", "arguments.json"] {
        place.chio(&format!("inspect {file}")).failed(&format!("the document `{file}`"));
    }
    for file in ["agent.cap", "call.json", "other.json"] {
        let verify = words("verify --root issuer.key --capability agent.cap --proof @ $READ --json", file);
        assert_eq!(place.chio(&verify).json()["code"], "proof_malformed", "{file}");
    }
}

#[test]
fn json_that_is_not_strict() {
    let place = Place::furnished();
    for (text, place_of_it, what) in [
        ("{\"a\":1,\n \"a\":2}", "line 2, column 2", "a member is named twice"),
        ("{\"a\":1,}", "line 1, column 8", "this is not JSON"),
        ("{\"a\":1", "line 1, column 7", "ends inside a value"),
        ("{\"a\":9007199254740993}", "line 1, column 6", "2^53"),
        ("\u{feff}{}", "line 1, column 1", "this is not JSON"),
        ("{} {}", "line 1, column 4", "something follows"),
    ] {
        place.write("loose.json", text);
        for (_, words) in with("loose.json", |reads| matches!(reads, Json | Any)) {
            let (error, _) = place.chio(&words).failed(what).error_and_help();
            assert!(error.contains(place_of_it), "{error}");
        }
    }
}

#[test]
fn the_help_of_a_document_can_help() {
    let place = Place::furnished();
    place.write("later.cap", place.read("agent.cap").replace("_token.v1", "_token.v2"));
    place.write("loose.json", "{\"a\":1,}");
    for words in [
        "inspect later.cap",
        "sign --key agent.key --capability later.cap --tool a/b",
        "inspect loose.json",
        "inspect arguments.json",
        "issue --key issuer.key --subject agent.key --grants loose.json",
        "sign --key agent.key --capability agent.cap --tool a/b --arguments loose.json",
    ] {
        let (_, help) = place.chio(words).failed("").error_and_help();
        assert!(!help.contains("chio inspect"), "{words}: {help}");
    }
}

#[test]
fn no_control_character_of_a_document_reaches_the_terminal() {
    let place = Place::furnished();
    let grants = r#"[{"tool_server":"a","tool_name":"b","\u001b]0;title\u0007\n":1}]"#;
    place.write("coloured.json", grants);
    let run = place.chio("issue --key issuer.key --subject agent.key --grants coloured.json");
    let (error, _) = run.failed("unknown field").error_and_help();
    assert!(!error.contains(char::is_control), "{error:?}");
}

// --- keys ---

/// Every command that takes a key, and `inspect`, refuses this one.
fn wrong_key(place: &Place, file: &str, what: &str) {
    all_refuse(place, file, |reads| is_key(reads) || reads == Any, what);
}

#[test]
fn keys_of_another_kind() {
    let place = Place::furnished();
    for (words, what) in [
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "of another algorithm"),
        ("genpkey -algorithm X25519", "of another algorithm"),
        ("genpkey -algorithm ED448", "of another algorithm"),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521", "of another algorithm"),
        ("ecparam -name prime256v1 -genkey -noout", "PKCS#8"),
        ("genpkey -algorithm ED25519 -aes256 -pass pass:pass", "it is encrypted"),
    ] {
        let Some(_) = openssl(&place, &format!("{words} -out other.key")) else { return };
        place.set_mode("other.key", 0o600);
        wrong_key(&place, "other.key", what);
    }
}

#[test]
fn a_public_key_where_a_private_one_is_needed() {
    let place = Place::furnished();
    place.write_private("agent.pub", place.public_key("agent.key"));
    // Where a public key is needed, its text may stand in a file.
    all_refuse(&place, "agent.pub", |reads| reads == PrivateKey, "not a private key");
    let Some(_) = openssl(&place, "pkey -in agent.key -pubout -out agent.pem") else { return };
    place.set_mode("agent.pem", 0o600);
    wrong_key(&place, "agent.pem", "not a private key");
}

#[test]
fn a_damaged_key() {
    let place = Place::furnished();
    let pem = place.read("agent.key");
    let middle = pem.len() / 2;
    let cut = format!("{}{}", &pem[..middle], &pem[middle + 8..]);
    let unended = pem.split("-----END").next().unwrap().to_owned();
    for text in [cut, unended, pem.replace("MC4C", "MC4D"), pem[..middle].to_owned()] {
        place.write_private("damaged.key", text);
        wrong_key(&place, "damaged.key", "not a private key");
    }
}

#[test]
fn a_key_that_others_can_read() {
    let place = Place::furnished();
    place.write_private("open.key", place.read("agent.key"));
    for mode in [0o644, 0o640, 0o604, 0o666, 0o610] {
        place.set_mode("open.key", mode);
        for (_, words) in with("open.key", is_key) {
            let run = place.chio(&words);
            let (_, help) = run.failed("others can read the key `open.key`").error_and_help();
            assert_eq!(help, "chmod 600 'open.key'");
        }
    }
}

#[test]
fn a_public_key_that_others_can_read() {
    let place = Place::furnished();
    place.write("agent.pub", place.public_key("agent.key"));
    for (_, words) in with("agent.pub", |reads| reads == PublicKey) {
        let run = place.chio(&words);
        assert!(run.code == 0 || !run.stderr.contains("chmod"), "{run:#?}");
    }
}

#[test]
fn a_key_that_the_capability_is_not_for() {
    let place = Place::furnished();
    place.chio("keygen --algorithm p384 --out other.key").done();
    let both = [place.public_key("agent.key"), place.public_key("other.key")];
    for slot in [
        "sign --key other.key --capability agent.cap $READ",
        "call --key other.key --root issuer.key --capability agent.cap $READ $SERVE",
    ] {
        let run = place.chio(&words(slot, ""));
        let (error, _) = run.failed("the capability is for the key").error_and_help();
        assert!(both.iter().all(|key| error.contains(key)), "{error}");
    }
}

#[test]
fn a_public_key_that_is_none() {
    let place = Place::furnished();
    let zeros = "0".repeat(64);
    let key = place.public_key("agent.key");
    for (text, what) in [
        (zeros.clone(), "small order"),
        (format!("p256:04{}", "0".repeat(128)), "not a point"),
        (format!("p384:04{}", "0".repeat(192)), "not a point"),
        (key.to_uppercase(), "is no public key and no file"),
        (key[1..].to_owned(), "is no public key and no file"),
        (format!("p521:{key}"), "is no public key and no file"),
    ] {
        all_refuse(&place, &text, |reads| reads == PublicKey, what);
    }
}

// --- pipes and disks ---

/// A capability that is long, and longer when it is shown.
fn long_capability() -> Vec<u8> {
    let grant = |number: usize| Grant::new("files", format!("a_tool_with_a_name_and_the_number_{number}"));
    world::chain_bytes(&world::issue(world::terms((0..2000).map(grant).collect())))
}

#[test]
fn a_pipe_that_nobody_reads() {
    let place = Place::furnished();
    place.write("long.cap", long_capability());
    let closed = |words: &str| {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        place.run(place.command(chio()).args(words.split_whitespace()).stdout(writer), b"")
    };
    let sign = format!("sign --key agent.key --capability agent.cap {READ}");
    let receipts = "receipts verify receipts.jsonl";
    for words in ["demo", "demo --json", "inspect long.cap", "inspect agent.key", receipts, &sign] {
        closed(words).failed("standard output: Broken pipe");
    }

    // It closes while something long is written.
    let (reader, writer) = pipe().unwrap();
    let mut child = place.command(chio()).args(["inspect", "long.cap"]).stdout(writer).spawn().unwrap();
    let mut beginning = [0; 100];
    (&reader).read_exact(&mut beginning).unwrap();
    drop(reader);
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(told.starts_with("error: standard output: Broken pipe"), "{told}");

    // With standard error closed, too, the exit code alone can tell.
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let run = place.run(place.command(chio()).args(["inspect", "nowhere"]).stderr(writer), b"");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
}

#[test]
fn a_shell_pipe_to_true() {
    let place = Place::empty();
    let script = "\"$0\" demo | true; exit ${PIPESTATUS[0]}";
    let run = place.run(place.command("bash").args(["-c", script]).arg(chio()), b"");
    // Whoever is first: the demo was written, or the pipe was closed.
    if run.code == 0 {
        run.done();
    } else {
        run.failed("standard output: Broken pipe");
    }
}

#[test]
fn standard_output_on_a_full_disk() {
    let place = Place::furnished();
    let Ok(_) = File::options().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full");
        return;
    };
    let sign = format!("sign --key agent.key --capability agent.cap {READ}");
    let verify = "verify --root issuer.key --capability agent.cap --proof proof.json --tool files/read_file";
    for words in ["demo", "inspect agent.cap", "receipts verify receipts.jsonl", ISSUE, verify, &sign] {
        for json in ["", " --json"] {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let words = format!("{words}{json}");
            let run = place.run(place.command(chio()).args(words.split_whitespace()).stdout(full), b"");
            run.failed("standard output: No space left on device");
        }
    }
}

/// In a mount namespace of its own, so that the disk is gone when the command is, whatever happens.
#[test]
fn files_on_a_full_disk() {
    let place = Place::furnished();
    place.write("full/under", "");
    let script = "mount -t tmpfs -o size=4k chio full && printf %04096d 0 > full/filler || exit 77
        \"$0\" \"$@\"; code=$?
        [ \"$(ls -A full)\" = filler ] || { ls -A full; exit 78; }
        exit $code";
    let on_a_full_disk = |words: &str| {
        let mut command = place.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(chio());
        command.args(words.split_whitespace());
        command
    };
    match on_a_full_disk("--version").output() {
        Ok(output) if output.status.success() => {}
        other => {
            println!("skipped: no disk can be mounted: {other:?}");
            return;
        }
    }
    for words in [
        "keygen --out full/a.key".to_owned(),
        "keygen --out full/a.key --force".to_owned(),
        format!("{ISSUE} --out full/a.cap"),
        words(&format!("{CALL} --receipts full/a.jsonl"), ""),
    ] {
        let run = place.run(&mut on_a_full_disk(&words), b"");
        let (_, help) = run.failed("cannot be written: No space left on device").error_and_help();
        assert_eq!(help, "nothing was left behind; make room on the disk");
    }
}

const CALL: &str = "call --key agent.key --root issuer.key --capability agent.cap $READ --files docs --mount /docs";

const ISSUE: &str = "issue --key issuer.key --subject agent.key --tool a/b";

#[test]
fn files_that_cannot_be_written() {
    let place = Place::furnished();
    let call = words(CALL, "");
    for words in ["keygen --out", &format!("{ISSUE} --out"), &format!("{call} --receipts")] {
        place.chio(&format!("{words} nowhere/new")).failed("`nowhere/new` cannot be written: No such file");
        place.chio(&format!("{words} proof.json/new")).failed("`proof.json/new` cannot be written: Not a dir");
        place.chio(&format!("{words} docs")).failed("`docs` is there already, and was kept");
        place.chio(&format!("{words} agent.cap")).failed("`agent.cap` is there already, and was kept");
        // A link is kept, and nothing is written where it leads.
        symlink("target", place.path("link")).unwrap();
        let run = place.command(chio()).args(words.split_whitespace()).arg("link").output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        assert_eq!(std::fs::read_link(place.path("link")).unwrap().to_str(), Some("target"));
        assert!(!place.path("target").exists());
        std::fs::remove_file(place.path("link")).unwrap();
    }
    place.chio("keygen --force --out docs").failed("`docs` cannot be written");
}

#[test]
fn receipts_that_are_there_keep_the_call_from_being_made() {
    let place = Place::furnished();
    let run = place.chio(&words(&format!("{CALL} --receipts receipts.jsonl"), ""));
    let (_, help) = run.failed("`receipts.jsonl` is there already, and was kept").error_and_help();
    assert!(help.contains("the call was not made") && !help.contains("--force"), "{help}");
}

#[test]
fn receipts_that_cannot_be_written_keep_the_call_from_being_made() {
    let place = Place::furnished();
    for file in ["nowhere/new", "proof.json/new", "link"] {
        // A link to nothing: `call` has no --force, and the help names it.
        let _ = symlink("target", place.path("link"));
        let run = place.chio(&words(&format!("{CALL} --receipts @"), file));
        let (_, help) = run.failed(&format!("`{file}`")).error_and_help();
        assert!(help.contains("the call was not made") && !help.contains("--force"), "{help}");
    }
}

#[test]
fn the_error_names_the_file_that_was_meant() {
    let place = Place::furnished();
    let (error, _) = place.chio("keygen --out nowhere/new.key").failed("nowhere/new.key").error_and_help();
    assert!(!error.contains(".tmp"), "{error}");
}

#[test]
fn no_file_is_named_as_standard_input_is() {
    let place = Place::furnished();
    for words in [format!("{ISSUE} --out -"), words(&format!("{CALL} --receipts -"), "")] {
        let run = place.chio(&words);
        assert!(run.changed.is_empty(), "{run:#?}");
    }
}

#[test]
fn force_replaces_files_alone() {
    let place = Place::furnished();
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    for words in ["keygen", ISSUE] {
        // Not through `place.chio`, which reads every file.
        let words = format!("{words} --force --out pipe");
        let run = place.command(chio()).args(words.split_whitespace()).output().unwrap();
        assert!(!place.path("pipe").is_file(), "{run:?}");
        assert_eq!(run.status.code(), Some(1), "{run:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_served() {
    let place = Place::furnished();
    let call = words(CALL, "");
    let (error, _) = place.chio(&call.replace("--files docs", "--files nowhere")).error_and_help();
    assert!(!error.contains("cannot be served: cannot serve"), "{error}");
    let (_, help) = place.chio(&call.replace("--mount /docs", "--mount docs")).error_and_help();
    assert!(help.contains("--mount") || help.contains("absolute"), "{help}");
}

// --- words ---

/// Words that the parser refuses, and what it says of them.
const WRONG_WORDS: &[(&str, &str)] = &[
    ("", "Usage: chio"),
    ("frob", "unrecognized subcommand 'frob'"),
    ("help", "unrecognized subcommand 'help'"),
    ("--frob", "unexpected argument '--frob'"),
    ("demo extra", "unexpected argument 'extra'"),
    ("keygen", "--out <FILE>"),
    ("keygen --out a.key --algorithm rsa", "[possible values: ed25519, p256, p384]"),
    ("issue --key issuer.key --tool a/b", "--subject <KEY>"),
    ("issue --subject agent.key --tool a/b", "--key <FILE>"),
    ("issue --key issuer.key --subject agent.key --tool ab", "write it as SERVER/TOOL"),
    ("issue --key issuer.key --subject agent.key --tool /b", "write it as SERVER/TOOL"),
    ("issue --key issuer.key --subject agent.key --tool a/", "write it as SERVER/TOOL"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl 1w", "write it as 90s, 15m, 1h or 7d"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl 0", "write it as 90s, 15m, 1h or 7d"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl 1.5h", "write it as 90s, 15m, 1h or 7d"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl h", "write it as 90s, 15m, 1h or 7d"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl -1s", "'-1"),
    ("issue --key issuer.key --subject agent.key --tool a/b --ttl 999999999999999999d", "write it as 90s"),
    ("issue --key issuer.key --subject agent.key --tool a/b --max-depth many", "--max-depth <TOKENS>"),
    ("issue --key issuer.key --subject agent.key --tool a/b --at noon", "--at <SECONDS>"),
    ("sign --key agent.key --tool a/b", "--capability <FILE>"),
    ("sign --key agent.key --capability agent.cap", "--tool <SERVER/TOOL>"),
    ("sign --key agent.key --capability agent.cap --tool read_file", "write it as SERVER/TOOL"),
    ("verify --proof proof.json --capability agent.cap --tool a/b", "--root <KEY>"),
    ("verify --root issuer.key --capability agent.cap --tool a/b", "--proof <FILE>"),
    ("inspect", "<FILE>"),
    ("inspect agent.cap proof.json", "unexpected argument 'proof.json'"),
    ("call --key agent.key --root issuer.key --capability agent.cap --tool a/b", "--files <DIRECTORY>"),
    ("receipts", "Usage: chio receipts"),
    ("receipts frob", "unrecognized subcommand 'frob'"),
    ("receipts verify", "<FILE>"),
];

#[test]
fn wrong_words() {
    let place = Place::furnished();
    for (words, what) in WRONG_WORDS {
        let run = place.chio(words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
        assert!(run.changed.is_empty(), "{run:#?}");
        assert!(run.stderr.contains(what) && run.stderr.contains("--help"), "{run:#?}");
    }
}

#[test]
fn wrong_words_are_told_as_all_else() {
    let place = Place::furnished();
    // A command without a verb shows its help, as is the custom.
    for (words, _) in WRONG_WORDS.iter().filter(|(_, what)| !what.starts_with("Usage")) {
        place.chio(words).misused("");
        place.chio(&format!("--json {words}")).misused("");
    }
}

#[test]
fn words_that_make_no_sense() {
    let place = Place::furnished();
    let issue = "issue --key issuer.key --subject agent.key";
    let name = "x".repeat(257);
    for (words, what) in [
        ("keygen --out -".to_owned(), "a private key is not printed"),
        (issue.to_owned(), "nothing is granted"),
        (format!("{issue} --tool a/b --ttl 104249991375d"), "2^53"),
        (format!("{issue} --tool a/b --max-depth 9007199254740993"), "2^53"),
        (format!("{issue} --tool a/{name}"), "1 to 256"),
    ] {
        place.chio(&words).misused(what);
        place.chio(&format!("{words} --json")).misused(what);
    }
    let coloured = ["--tool", "a/\u{1b}[31m"];
    place.run(place.command(chio()).args(issue.split(' ')).args(coloured), b"").misused("1 to 256");
}

#[test]
fn inline_arguments_that_are_not_strict_json() {
    let place = Place::furnished();
    for (arguments, what) in [
        (format!(r#"{{"a":"{MARKER}","a":1}}"#), "a member is named twice"),
        (format!(r#"{{"a":"{MARKER}","\u0061":1}}"#), "a member is named twice"),
        (format!(r#"{{"a":"{MARKER}",}}"#), "this is not JSON"),
        (format!(r#"{{"a":"{MARKER}"}}1"#), "something follows the value"),
        (format!(r#"{{"a":"{MARKER}""#), "the text ends inside a value"),
        (format!(r"{{'a':'{MARKER}'}}"), "this is not JSON"),
        (r#"{"a":1e400}"#.to_owned(), "too large for a double"),
        (format!("{{\"a\":{}{}}}", "[".repeat(70), "]".repeat(70)), "nested deeper than 64"),
    ] {
        for slot in [
            "sign --key agent.key --capability agent.cap --tool files/read_file --arguments @",
            "verify --root issuer.key --capability agent.cap --proof proof.json --tool a/b --arguments @",
            "call --key agent.key --root issuer.key --capability agent.cap --tool a/b $SERVE --arguments @",
        ] {
            place.chio(&words(slot, &arguments)).misused(what);
            place.chio(&format!("{} --json", words(slot, &arguments))).misused(what);
        }
    }
}

#[test]
fn inline_arguments_that_are_no_object() {
    let place = Place::furnished();
    let sign = "sign --key agent.key --capability agent.cap --tool files/read_file --arguments";
    for arguments in [format!(r#"["{MARKER}"]"#), format!(r#""{MARKER}""#)] {
        place.chio(&format!("{sign} {arguments}")).misused("one JSON object");
    }
}

#[test]
fn numbers_out_of_range() {
    let place = Place::furnished();
    let far = 9_007_199_254_740_992_u64;
    for words in [
        format!("{ISSUE} --at {far}"),
        format!("{ISSUE} --ttl {far}"),
        format!("{ISSUE} --ttl +5"),
        format!("{ISSUE} --max-depth {far}"),
        format!("{ISSUE} --max-invocations {far}"),
        format!("sign --key agent.key --capability agent.cap {READ} --at {far}"),
    ] {
        let run = place.chio(&words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
        assert!(!run.stderr.contains("byte 0") && run.stderr.contains("--"), "{run:#?}");
    }
}

const NOT_UTF_8: &[u8] = b"\xff.new";

#[test]
fn a_name_of_an_input_that_is_not_utf_8() {
    let place = Place::furnished();
    let run = place.run(place.command(chio()).arg("inspect").arg(OsStr::from_bytes(NOT_UTF_8)), b"");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
}

#[test]
fn a_name_of_an_output_that_is_not_utf_8() {
    let place = Place::furnished();
    for words in ["keygen", ISSUE] {
        let out = [OsStr::new("--force"), OsStr::new("--out"), OsStr::from_bytes(NOT_UTF_8)];
        let run = place.run(place.command(chio()).args(words.split(' ')).args(out), b"");
        // Written and said, or refused.
        assert!(run.code == 0 || run.changed.is_empty(), "{run:#?}");
    }
}
