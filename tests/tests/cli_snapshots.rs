//! What `chio` says, word for word: every help, every refusal, and what it prints where it works.
//!
//! A file below `tests/cli` is a transcript. Its lines `$ chio …` are run, and what comes of them is compared with what
//! stands below; `? 1` is an exit code. To add a case, write its line, run with `SNAPSHOTS=overwrite`, and look at what
//! was written. In a line, `'…'` is one word, `@FILE` is what a file contains, `NAME=word` in front sets the
//! environment, and `< FILE` at the end is standard input.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use chio_core::capability::{CapabilityChain, Grant, Terms};
use chio_core::receipt::{Event, Receipt};
use chio_tests::world::{self, NOW, World};
use common::{Place, Run, chio};
use serde_json::json;

fn transcripts(kind: &str) -> Vec<PathBuf> {
    let folder = chio_tests::repository().join("tests/cli").join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

// --- the same files every time ---

fn place() -> Place {
    let place = Place::empty();
    for (name, key) in [
        ("issuer", world::issuer()),
        ("agent", world::agent()),
        ("helper", world::helper()),
        ("thief", world::thief()),
        ("kernel", world::kernel_key()),
    ] {
        place.write_private(&format!("{name}.key"), key.to_pkcs8_pem().unwrap().as_bytes());
        place.write(&format!("{name}.pub"), format!("{}\n", key.public_key()));
    }
    place.write("open.key", place.read("thief.key"));
    place.write("docs/a.md", "hello\n");
    place.write("arguments.json", r#"{"path":"/srv/docs/a.md"}"#);
    place.write("grants.json", r#"[{"tool_server": "files", "tool_name": "read_file", "max_invocations": 3}]"#);
    capabilities(&place);
    policies(&place);
    receipts(&place);
    configurations(&place);
    place
}

fn capabilities(place: &Place) {
    let limit = json!({"constraint_type": "range", "max": 100, "optional": true});
    let read = world::docs_grant().argument("/limit", &limit).unwrap().max_invocations(20);
    let capability = world::issue(world::terms(vec![read, Grant::new("files", "search")]));
    let below = json!({"constraint_type": "path_containment", "root": "/srv/docs/a"});
    let narrow = Grant::new("files", "read_file").argument("/path", &below).unwrap().max_invocations(5);
    let terms = Terms {
        subject: world::helper().public_key(),
        expires_at: NOW + 600,
        max_depth: 1,
        serial: world::serial(2),
        ..world::terms(vec![narrow, Grant::new("files", "delete")])
    };
    let narrowed = capability.attenuate(terms, &world::agent()).unwrap();
    let last = world::issue(Terms { max_depth: 0, ..world::terms(vec![world::docs_grant()]) });
    let named = world::issue(Terms { audience: Some("kernel-a".into()), ..world::terms(vec![world::docs_grant()]) });
    let write = |name: &str, chain: &CapabilityChain| place.write(name, world::chain_bytes(chain));
    write("agent.cap", &capability);
    write("helper.cap", &narrowed);
    write("last.cap", &last);
    write("named.cap", &named);
    place.write("changed.cap", place.read("agent.cap").replace("\"max\":100", "\"max\":101"));
    let call = world::call(&capability, world::ARGUMENTS, "a nonce");
    place.write("proof.json", call.proof.as_ref().unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (arguments, capability, proof) = (text(&call.arguments), text(&call.capability), text(&call.proof.unwrap()));
    place.write(
        "call.json",
        format!(
            r#"{{"arguments":{arguments},"capability":{capability},"proof":{proof},"tool_name":"read_file","tool_server":"files"}}"#
        ),
    );
}

fn configurations(place: &Place) {
    let good = r#"# What a guard has.
state = "state.db"
server_id = "docs"
roots = ["issuer.pub"]
mode = "report"

[proofs]
ttl = "2m"

[threat]
signature = "suspend 1h"
root_signature_failures = 50
"#;
    place.write("good.toml", good);
    for (name, from, to) in [
        ("bad-name", "mode =", "mod ="),
        ("bad-table", "[proofs]", "[proof]"),
        ("bad-value", "\"report\"", "\"reports\""),
        ("bad-list", "[\"issuer.pub\"]", "[1]"),
        ("bad-response", "suspend 1h", "suspend"),
        ("both", "mode =", "receipts = \"receipts.jsonl\"\nmode ="),
    ] {
        assert_ne!(good, good.replacen(from, to, 1), "{name}");
        place.write(&format!("{name}.toml"), good.replacen(from, to, 1));
    }
}

fn policies(place: &Place) {
    let good = r#"# What the agent may do.
ttl = "2h"
max_depth = 1

[[grants]]
tool = "files/read_file"
max_invocations = 20

[grants.arguments]
"/path" = "path_containment:/srv/docs"
"/limit" = { constraint_type = "range", max = 100, optional = true }
"#;
    place.write("policy.toml", good);
    for (name, from, to) in [
        ("syntax", "ttl = \"2h\"", "ttl = \"2h"),
        ("ttl", "\"2h\"", "\"2 hours\""),
        ("key", "max_depth", "max_dept"),
        ("depth", "max_depth = 1", "max_depth = -1"),
        ("tool", "files/read_file", "read_file"),
        ("no-tool", "tool = \"files/read_file\"\n", ""),
        ("calls", "= 20", "= \"20\""),
        ("pointer", "\"/path\"", "path"),
        ("type", "path_containment:", "path_contaiment:"),
        ("member", "max = 100", "max = 100, step = 5"),
        ("value", "max = 100", "max = \"100\""),
        ("rule", "\"path_containment:/srv/docs\"", "[\"/srv/docs\"]"),
        ("root", "/srv/docs", "srv/docs"),
    ] {
        assert!(good.contains(from), "{from}");
        place.write(&format!("policy-{name}.toml"), good.replacen(from, to, 1));
    }
    place.write("policy-empty.toml", "ttl = \"2h\"\n");
    place.write("methods-call.toml", "\"resources/read\" = \"pass\"\n\"tools/call\" = \"pass\"\n");
    place.write("methods-rule.toml", "\"resources/read\" = \"perhaps\"\n");
    place.write("methods-twice.toml", "\"x\" = \"pass\"\n\"x\" = \"deny\"\n");
}

fn receipts(place: &Place) {
    let world = World::new();
    let receipts = world.receipts.clone();
    let kernel = world.kernel();
    for nonce in ["a", "b", "a"] {
        world::code(&kernel, world::honest(nonce));
    }
    world::code(&kernel, world::call(&world::capability(), r#"{"path":"/etc/passwd"}"#, "c"));
    // How long a call takes is the one thing that differs.
    let mut head = None;
    let mut lines = Vec::new();
    for mut receipt in receipts.all() {
        if let Event::Outcome(outcome) = &mut receipt.body.event {
            outcome.duration_ms = 3;
        }
        let at = receipt.body.at + receipt.body.sequence;
        let (receipt, next) = Receipt::append(head, at, receipt.body.event, &world::kernel_key()).unwrap();
        head = Some(next);
        lines.push(String::from_utf8(receipt.to_line().unwrap()).unwrap());
    }
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    place.write("receipts.jsonl", text(&lines));
    place.write("tail.jsonl", text(&lines[2..]));
    place.write("changed.jsonl", text(&lines).replacen("\"ok\"", "\"failed\"", 1));
}

// --- transcripts ---

/// The words of a line; what is in single quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn run(place: &Place, line: &str) -> Run {
    let content = |word: String| match word.strip_prefix('@') {
        Some(file) => place.read(file),
        None => word,
    };
    let mut words = words(line);
    let mut input = None;
    if let Some(at) = words.iter().position(|word| word == "<") {
        input = Some(words.remove(at + 1));
        words.remove(at);
    }
    let at = words.iter().position(|word| word == "chio").unwrap_or_else(|| panic!("no `chio`: {line}"));
    let mut command = place.command(chio());
    command.env("COLUMNS", "80").env("NO_COLOR", "1");
    for word in words.drain(..at) {
        let (name, value) = word.split_once('=').unwrap();
        command.env(name, content(value.to_owned()));
    }
    command.args(words.into_iter().skip(1).map(content));
    if let Some(file) = input {
        command.stdin(File::open(place.path(&file)).unwrap());
    }
    place.run(&mut command, b"")
}

/// Digits of what is random: of every run of 32 hex digits or more that no file had at the beginning.
fn redacted(text: &str, known: &BTreeSet<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let (digits, after) = from.split_at(from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len()));
        out.push_str(before);
        let is_random = digits.len() >= 32 && !known.iter().any(|known| known.contains(digits));
        out.push_str(if is_random { "[HEX]" } else { digits });
        rest = after;
    }
    out + rest
}

fn check(path: &Path, judge: impl Fn(&Run)) {
    let place = place();
    let texts: Vec<String> = place.files().into_values().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    let digits = texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_hexdigit()));
    let known: BTreeSet<String> = digits.filter(|digits| digits.len() >= 32).map(str::to_owned).collect();
    let transcript = std::fs::read_to_string(path).unwrap();
    let mut actual = String::new();
    for line in transcript.lines() {
        if line.starts_with("# ") {
            let _ = writeln!(actual, "{line}");
        }
        let Some(line) = line.strip_prefix("$ ") else { continue };
        let run = run(&place, line);
        judge(&run);
        let _ = writeln!(actual, "$ {line}\n{}{}", redacted(&run.stdout, &known), redacted(&run.stderr, &known));
        let code = if run.code == 0 { String::new() } else { format!("? {}\n", run.code) };
        actual.truncate(actual.trim_end().len());
        let _ = writeln!(actual, "\n{code}");
    }
    let expected = snapbox::Data::read_from(path, None).raw();
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual.trim_end().to_owned() + "\n", expected);
}

#[test]
fn every_help() {
    for path in transcripts("help") {
        check(&path, |run| assert!(matches!(run.code, 0 | 2) && run.changed.is_empty(), "{run:#?}"));
    }
}

/// One error and one help, nothing left behind, and nothing on standard output.
#[test]
fn every_refusal() {
    for path in transcripts("refusals") {
        check(&path, |run| {
            if run.code == 2 {
                run.misused("");
            } else {
                run.failed("");
            }
        });
    }
}

#[test]
fn what_works() {
    for path in transcripts("works") {
        check(&path, |run| assert!(matches!(run.code, 0 | 3), "{run:#?}"));
    }
}

/// A verb that is added has to be in a transcript.
#[test]
fn every_verb_has_its_help() {
    fn verbs(place: &Place, words: &str, all: &mut Vec<String>) {
        all.push(words.to_owned());
        let help = run(place, &format!("{words} --help")).stdout;
        let Some((_, commands)) = help.split_once("Commands:\n") else { return };
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            if let Some(verb) =
                line.strip_prefix("  ").and_then(|line| line.split(' ').next()).filter(|verb| !verb.is_empty())
            {
                verbs(place, &format!("{words} {verb}"), all);
            }
        }
    }
    let place = Place::empty();
    let mut all = Vec::new();
    verbs(&place, "chio", &mut all);
    assert_eq!(all.len(), 60, "{all:?}");
    let transcripts: String = transcripts("help").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for words in all {
        for help in ["-h", "--help"] {
            assert!(transcripts.contains(&format!("$ {words} {help}\n")), "{words} {help}");
        }
    }
}
