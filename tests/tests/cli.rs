//! `chio` from end to end: every command where it works, its secrets, and openssl beside it.
//!
//! What goes in wrong is in `cli_bad_input.rs`.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use chio_kernel::Settings;
use chio_kernel::SignedCall;
use chio_tests::world::{self, NOW, World};
use common::{MARKER, Place, READ, openssl};
use serde_json::{Value, json};

const ALGORITHMS: [&str; 3] = ["ed25519", "p256", "p384"];

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

// --- what every run is held to ---

#[test]
#[should_panic(expected = "a key was told")]
fn a_key_on_standard_output_would_be_found() {
    let place = Place::furnished();
    place.run(place.command("cat").arg("agent.key"), b"");
}

#[test]
#[should_panic(expected = "an argument was told")]
fn an_argument_on_standard_error_would_be_found() {
    let place = Place::empty();
    place.run(place.command("sh").args(["-c", &format!("echo {MARKER} >&2")]), b"");
}

#[test]
#[should_panic(expected = "left behind")]
fn a_file_left_behind_would_be_found() {
    let place = Place::empty();
    let script = "echo x > partial; echo 'error: a' >&2; echo ' help: b' >&2; exit 1";
    place.run(place.command("sh").args(["-c", script]), b"").failed("");
}

// --- keys ---

#[test]
fn keygen_makes_a_key_of_each_algorithm() {
    let place = Place::empty();
    for (algorithm, length) in [("ed25519", 64), ("p256", 135), ("p384", 199)] {
        let made = place.chio(&format!("keygen --algorithm {algorithm} --out {algorithm}.key"));
        let key = place.public_key(&format!("{algorithm}.key"));
        let next =
            format!("The private key is in {algorithm}.key: it stays there. Next:\n  chio keygen --out agent.key\n");
        assert_eq!(made.done(), format!("{key}\n{next}"));
        assert_eq!(made.changed, [format!("{algorithm}.key")]);
        assert_eq!(place.mode(&format!("{algorithm}.key")), 0o600);
        assert_eq!(key.len(), length);
    }
    let made = place.chio("keygen --json --out other.key").json();
    let key = place.public_key("other.key");
    assert_eq!(made, json!({"algorithm": "ed25519", "key_file": "other.key", "public_key": key}));
}

#[test]
fn a_private_key_is_its_owners_whatever_the_umask() {
    let place = Place::empty();
    for umask in ["000", "022", "077"] {
        let script = format!("umask {umask}; exec \"$0\" keygen --force --out agent.key");
        place.run(place.command("sh").arg("-c").arg(script).arg(common::chio()), b"").done();
        assert_eq!(place.mode("agent.key"), 0o600);
    }
    place.set_mode("agent.key", 0o644);
    place.chio("keygen --force --out agent.key").done();
    assert_eq!(place.mode("agent.key"), 0o600);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let place = Place::furnished();
    let issue = "issue --key issuer.key --subject agent.key --tool a/b --out agent.cap";
    for command in ["keygen --out agent.key", issue] {
        // `failed` holds every file to its bytes before.
        let kept = place.chio(command);
        assert!(kept.failed("is there already, and was kept").error_and_help().1.contains("--force"));
        let file = command.rsplit(' ').next().unwrap();
        let replaced = place.chio(&format!("{command} --force"));
        replaced.done();
        assert_eq!(replaced.changed, [file]);
    }
}

#[test]
fn of_many_at_once_one_writes_the_key() {
    let place = Place::empty();
    let keygen = || place.command(common::chio()).args(["keygen", "--out", "agent.key"]).spawn().unwrap();
    let children: Vec<_> = (0..8).map(|_| keygen()).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let done: Vec<_> = outputs.iter().filter(|output| output.status.code() == Some(0)).collect();
    assert_eq!(done.len(), 1, "{outputs:?}");
    let told = String::from_utf8_lossy(&done[0].stdout).into_owned();
    assert_eq!(told.lines().next(), Some(place.public_key("agent.key").as_str()));
    assert_eq!(place.files().len(), 1);
}

// --- issue, sign, verify ---

#[test]
fn the_three_algorithms_issue_sign_and_verify() {
    let place = Place::empty();
    for algorithm in ALGORITHMS {
        place.chio(&format!("keygen --algorithm {algorithm} --out {algorithm}.key")).done();
    }
    for (issuer, agent) in [("ed25519", "p256"), ("p256", "p384"), ("p384", "ed25519")] {
        let file = format!("{agent}.cap");
        let subject = place.public_key(&format!("{agent}.key"));
        let words = format!("issue --key {issuer}.key --subject {subject} --tool files/read_file --out {file}");
        assert_eq!(place.chio(&words).changed, [file.as_str()]);
        assert_eq!(place.mode(&file), 0o644);
        let proof = place.chio(&format!("sign --key {agent}.key --capability {file} {READ}"));
        place.write("proof.json", proof.done());
        let root = place.public_key(&format!("{issuer}.key"));
        let verify = format!("verify --root {root} --proof proof.json --capability {file} {READ}");
        place.chio(&verify).done();
    }
}

#[test]
fn issue_says_what_it_wrote() {
    let place = Place::furnished();
    let words = format!("issue --key issuer.key --subject agent.key --tool a/b --at {NOW} --ttl 90s");
    let printed = place.chio(&words).json();
    assert_eq!(printed.as_array().unwrap().len(), 1);
    assert_eq!(printed[0]["expires_at"], NOW + 90);
    assert_eq!(printed[0]["subject"], place.public_key("agent.key"));

    let written = place.chio(&format!("{words} --out a.cap"));
    let id = serde_json::from_str::<Value>(&place.read("a.cap")).unwrap()[0]["id"].clone();
    let text = format!(
        "a.cap: capability {}\nValid until 2026-09-21T14:14:50Z. Next:\n  \
         chio sign --key agent.key --capability a.cap --tool a/b --arguments '{{}}'\n",
        id.as_str().unwrap()
    );
    assert_eq!(written.done(), text);

    let written = place.chio(&format!("--json {words} --out b.cap")).json();
    let id = serde_json::from_str::<Value>(&place.read("b.cap")).unwrap()[0]["id"].clone();
    let expected = json!({"capability_file": "b.cap", "expires_at": NOW + 90, "id": id, "warnings": []});
    assert_eq!(written, expected);
}

#[test]
fn issue_grants_what_it_is_told() {
    let place = Place::furnished();
    let words = "issue --key issuer.key --subject agent.key --tool files/list_files --tool git/a/b \
                 --grants grants.json --max-invocations 3 --max-depth 2 --audience kernel-a --ttl 7d";
    let token = place.chio(words).json()[0].take();
    assert_eq!(
        token["grants"],
        json!([
            {"tool_server": "files", "tool_name": "list_files", "max_invocations": 3},
            {"tool_server": "git", "tool_name": "a/b", "max_invocations": 3},
            {"tool_server": "files", "tool_name": "read_file",
             "arguments": {"/path": {"constraint_type": "path_containment", "root": "/docs"}}},
        ])
    );
    assert_eq!((&token["max_depth"], &token["audience"]), (&json!(2), &json!("kernel-a")));
    let life = token["expires_at"].as_u64().unwrap() - token["issued_at"].as_u64().unwrap();
    assert_eq!(life, 7 * 86_400);
}

#[test]
fn verify_allows_what_was_signed_and_denies_all_else() {
    let place = Place::furnished();
    let at = |seconds: u64| format!("--at {}", NOW + seconds);
    let issue = format!("issue --key issuer.key --subject agent.key --grants grants.json {}", at(0));
    place.write("fixed.cap", place.chio(&issue).done());
    let sign = format!("sign --key agent.key --capability fixed.cap {READ} {}", at(100));
    place.write("fixed.json", place.chio(&sign).done());

    let verify = format!("verify --root issuer.key --capability fixed.cap --proof fixed.json {READ}");
    let allowed = format!(
        "allow  every signature, window and grant holds at {}\n\
         Offline: replays, revocations and spent budgets are known to the kernel alone.\n",
        NOW + 100
    );
    assert_eq!(place.chio(&format!("{verify} {}", at(100))).done(), allowed);
    assert_eq!(
        place.chio(&format!("{verify} --json {}", at(100))).json(),
        json!({"decision": "allow", "at": NOW + 100})
    );

    let other = verify.replace("a.md", MARKER);
    let denied = place.chio(&format!("{other} {}", at(100)));
    let text = "deny   proof_binding_mismatch at proof.binding: the proof is for another `action_hash`\n\
                `chio explain proof_binding_mismatch` says what to do.\n";
    assert_eq!(denied.denied(), text);

    let agents = place.public_key("agent.key");
    let stranger = verify.replace("issuer.key", &agents);
    for (words, seconds, code, step) in [
        (other, 100, "proof_binding_mismatch", "proof.binding"),
        (verify.replace("read_file", "search"), 100, "proof_binding_mismatch", "proof.binding"),
        (verify.clone(), 68, "proof_from_future", "proof.freshness"),
        (verify.clone(), 401, "proof_expired", "proof.freshness"),
        (verify.clone(), 3600, "capability_expired", "authority"),
        (stranger, 100, "issuer_untrusted", "authority"),
    ] {
        let denied = place.chio(&format!("{words} --json {}", at(seconds)));
        denied.denied();
        let answer = denied.json();
        assert_eq!(members(&answer), BTreeSet::from(["code", "decision", "reason", "step"]));
        let told = (&answer["decision"], &answer["code"], &answer["step"]);
        assert_eq!(told, (&json!("deny"), &json!(code), &json!(step)));
    }
}

#[test]
fn an_audience_is_met_by_name() {
    let place = Place::furnished();
    let issue = "issue --key issuer.key --subject agent.key --tool files/read_file --audience kernel-a";
    place.write("named.cap", place.chio(issue).done());
    let call = format!("call --key agent.key --root issuer.key --capability named.cap --files docs {READ}");
    let call = format!("{call} --mount /docs");
    assert!(place.chio(&call).denied().contains("capability_audience_mismatch at authority"));
    place.chio(&format!("{call} --name kernel-b --name kernel-a")).done();
}

#[test]
fn sign_whole_prints_the_signed_call() {
    let place = Place::furnished();
    let sign = "sign --whole --key agent.key --capability agent.cap --tool files/read_file";
    let arguments = format!(r#"{{"path":"/docs/{MARKER}","n":1.50}}"#);
    let whole = place.chio(&format!("{sign} --arguments {arguments}"));
    let call = whole.json();
    let all = ["arguments", "capability", "proof", "tool_name", "tool_server"];
    assert_eq!(members(&call), BTreeSet::from(all));
    assert_eq!(call["arguments"], json!({"path": format!("/docs/{MARKER}"), "n": 1.5}));
    let capability: Value = serde_json::from_str(&place.read("agent.cap")).unwrap();
    assert_eq!(call["capability"], capability);
    assert_eq!(members(&call["proof"]), BTreeSet::from(["body", "signature"]));
    let read = SignedCall::parse(whole.stdout.as_bytes(), &Settings::default()).unwrap();
    assert_eq!((read.tool_server.as_str(), read.tool_name.as_str()), ("files", "read_file"));
}

/// The policy and the rules of the guide are ones that `chio` reads, and shows as they are written.
#[test]
fn the_guide_tells_what_is_so() {
    let place = Place::furnished();
    let guide = std::fs::read_to_string(chio_tests::repository().join("docs/guides/tokens.md")).unwrap();
    let section = guide.split_once("\n## Policy files\n").unwrap().1.split("\n## ").next().unwrap().to_owned();
    let policies: Vec<&str> =
        section.split("```toml\n").skip(1).map(|text| text.split("```").next().unwrap()).collect();
    assert!(!policies.is_empty());
    let issue = "issue --key issuer.key --subject agent.key --out policy.cap --force";
    for policy in policies {
        place.write("policy.toml", policy);
        let made = place.chio(&format!("{issue} --policy policy.toml"));
        made.done();
        assert_eq!(made.stderr, "", "a warning");
    }
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next());
    let rules: Vec<&str> = rows.filter(|rule| rule.contains(':') || ["wildcard", "url_safe"].contains(rule)).collect();
    assert_eq!(rules.len(), 16, "{rules:?}");
    for rule in rules {
        place.chio(&format!("{issue} --tool a/b --arg /x={rule} --arg /y=optional:{rule}")).done();
        let shown = place.chio("inspect policy.cap");
        assert!(shown.done().contains(&format!("/x  {rule}\n")), "{rule}: {shown:#?}");
        assert!(shown.stdout.contains(&format!("/y  optional:{rule}\n")), "{rule}: {shown:#?}");
    }
}

// --- call, receipts ---

#[test]
fn call_answers_and_keeps_receipts() {
    let place = Place::furnished();
    let call = format!("call --key agent.key --root issuer.key --capability agent.cap --files docs {READ}");
    let kept = "--mount /docs --kernel-key kernel.key --receipts kept.jsonl";
    let called = place.chio(&format!("{call} {kept}"));
    let kernel = place.public_key("kernel.key");
    let text = format!(
        "{{\n  \"bytes\": 6,\n  \"path\": \"/docs/a.md\",\n  \"text\": \"hello\\n\",\n  \"truncated\": false\n}}\n\
         Allowed; receipt 2 says how it ended. Next:\n  chio receipts verify kept.jsonl --kernel {kernel}\n"
    );
    assert_eq!(called.done(), text);
    assert_eq!(called.changed, ["kept.jsonl"]);

    let verify = format!("receipts verify kept.jsonl --kernel {kernel}");
    assert_eq!(place.chio(&verify).done(), "ok     2 receipts, unbroken: 1 allowed, 0 denied\n");
    let report = place.chio(&format!("{verify} --json")).json();
    assert_eq!(report["head"].as_str().unwrap().len(), 64);
    let expected = json!({
        "allowed": 1, "denied": 0, "head": report["head"], "receipts": 2, "sealed": true, "suppressed": 0,
        "unfinished": 0,
    });
    assert_eq!(report, expected);

    let result = json!({"bytes": 6, "path": "/docs/a.md", "text": "hello\n", "truncated": false});
    let answer = place.chio(&format!("{call} --mount /docs --json")).json();
    assert_eq!(answer, json!({"decision": "allow", "receipt": 2, "result": result}));
}

/// A text that is made plain for a terminal loses what only looks like a part of a colour.
#[test]
fn what_is_printed_is_the_document_to_the_byte() {
    let place = Place::furnished();
    place.write("grants.json", "[{\"tool_server\":\"files\",\"tool_name\":\"read_file\",\"arguments\":{\"/path\":{\"constraint_type\":\"exact\",\"value\":\"a\u{7f}b\u{9b}c\"}}}]");
    let printed = place.chio("issue --key issuer.key --subject agent.key --grants grants.json").done().to_owned();
    place.write("printed.cap", &printed);
    place.write("odd.json", "{\"path\":\"a\u{7f}b\u{9b}c\"}");
    let of = "--capability printed.cap --tool files/read_file --arguments odd.json";
    place.write("odd.proof", place.chio(&format!("sign --key agent.key {of}")).done());
    place.chio(&format!("verify --root issuer.key --proof odd.proof {of}")).done();
    let whole = place.chio(&format!("sign --whole --key agent.key {of}")).done().to_owned();
    assert!(whole.contains("a\u{7f}b\u{9b}c"), "{whole:?}");
    let shown = place.chio("--json inspect printed.cap").json();
    assert_eq!(shown["document"][0]["grants"][0]["arguments"]["/path"]["value"], "a\u{7f}b\u{9b}c");
}

#[test]
fn what_a_file_says_moves_no_cursor() {
    let place = Place::furnished();
    let said = "x\u{9b}31m \u{202e}y\u{7f} \u{1b}[31m ü\n";
    place.write("docs/a.md", said);
    let call = |words: &str| {
        place.chio(&format!(
            "{words} call --key agent.key --root issuer.key --capability agent.cap {READ} --files docs --mount /docs"
        ))
    };
    let shown = call("").done().to_owned();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{shown:?}");
    assert!(shown.contains(r"x\u009b31m \u202ey\u007f \u001b[31m ü\n"), "{shown:?}");
    // It is still JSON that says the same, and a program is given it as it is.
    let (json, _) = shown.rsplit_once("}\n").unwrap();
    let value: Value = serde_json::from_str(&format!("{json}}}")).unwrap();
    assert_eq!(value["text"], said);
    assert_eq!(call("--json").json()["result"]["text"], said);
}

#[test]
fn a_denied_call_has_its_receipt() {
    let place = Place::furnished();
    let call = "call --key agent.key --root issuer.key --capability agent.cap --files docs --mount /docs \
                --tool files/read_file --kernel-key kernel.key --receipts denied.jsonl --arguments";
    let denied = place.chio(&format!("{call} {{\"path\":\"/etc/{MARKER}\"}}"));
    let text = "deny   argument_constraint_violated at grants: token 0: the argument `/path` does not satisfy \
                `path_containment`\n`chio explain argument_constraint_violated` says what to do.\n";
    assert_eq!(denied.denied(), text);
    assert_eq!(denied.changed, ["denied.jsonl"]);
    assert!(!place.read("denied.jsonl").contains(MARKER));
    let verified = place.chio("receipts verify denied.jsonl --kernel kernel.key");
    assert_eq!(verified.done(), "ok     1 receipt, unbroken: 0 allowed, 1 denied\n");
}

/// What is called is there or not; that it was allowed is on record.
#[test]
fn a_tool_that_fails_has_its_receipts() {
    let place = Place::furnished();
    let call = "call --key agent.key --root issuer.key --capability agent.cap --files docs --mount /docs \
                --tool files/read_file --kernel-key kernel.key --receipts failed.jsonl --arguments";
    let failed = place.chio(&format!("{call} {{\"path\":\"/docs/none.md\"}}"));
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{failed:#?}");
    failed.error_and_help();
    assert_eq!(failed.changed, ["failed.jsonl"]);
    assert!(place.read("failed.jsonl").contains("\"status\":\"tool_error\""));
    let verified = place.chio("receipts verify failed.jsonl --kernel kernel.key");
    assert_eq!(verified.done(), "ok     2 receipts, unbroken: 1 allowed, 0 denied\n");
}

#[test]
fn a_tool_that_fails_tells_no_argument() {
    let place = Place::furnished();
    let call = "call --key agent.key --root issuer.key --capability agent.cap --files docs --mount /docs \
                --tool files/read_file --arguments";
    let failed = place.chio(&format!("{call} {{\"path\":\"/docs/{MARKER}\"}}"));
    let (error, help) = failed.failed("").error_and_help();
    assert!(error.contains("the call was allowed") && !help.contains("refused it"), "{error} {help}");
}

/// Three calls that were allowed and two that were not: eight receipts.
fn chain(kernel: World) -> Vec<String> {
    let receipts = kernel.receipts.clone();
    let kernel = kernel.kernel();
    for nonce in ["a", "b", "c"] {
        assert_eq!(world::code(&kernel, world::honest(nonce)), "");
    }
    for nonce in ["a", "b"] {
        assert_eq!(world::code(&kernel, world::honest(nonce)), "nonce_replayed");
    }
    let line = |receipt: &chio_core::receipt::Receipt| String::from_utf8(receipt.to_line().unwrap()).unwrap();
    receipts.all().iter().map(line).collect()
}

#[test]
fn whatever_is_done_to_receipts_is_found() {
    type Change<'a> = &'a dyn Fn(&mut Vec<String>);
    let place = Place::empty();
    let kernel = world::kernel_key().public_key();
    let honest = chain(World::new());
    let mut other = World::new();
    other.builder = other.builder.signing_key(world::thief());
    let foreign = chain(other);
    let changed = |change: Change| {
        let mut lines = honest.clone();
        change(&mut lines);
        lines.join("\n") + "\n"
    };
    let rows: &[(&str, Change)] = &[
        ("line 3: receipt 2 is out of order: it stands after 2", &|lines| lines.insert(2, lines[1].clone())),
        ("line 8: receipt 7 is out of order: it stands after 7", &|lines| lines.insert(7, lines[6].clone())),
        ("line 3: receipt 3 is missing: 4 stands in its place", &|lines| drop(lines.remove(2))),
        ("line 1: receipt 1 is missing: 2 stands in its place", &|lines| drop(lines.remove(0))),
        ("line 3: receipt 3 is missing: 4 stands in its place", &|lines| lines.swap(2, 3)),
        ("line 7: receipt 7 is missing: 8 stands in its place", &|lines| lines.swap(6, 7)),
        ("line 2: receipt 2 was changed: ", &|lines| {
            lines[1] = lines[1].replace("\"ok\"", "\"failed\"");
        }),
        // An allow has no signature of its own: the next receipt covers it.
        ("line 4: receipt 3 was changed: ", &|lines| {
            lines[2] = lines[2].replace("read_file", "read_fire");
        }),
        ("line 2: receipt 2 has lost its signature", &|lines| {
            lines[1] = lines[1].split(",\"signature\"").next().unwrap().to_owned() + "}";
        }),
        ("line 5: receipt 5 is another kernel's", &|lines| lines[4] = foreign[4].clone()),
        ("line 1: receipt 1 is another kernel's", &|lines| *lines = foreign.clone()),
        ("line 4…this is not JSON", &|lines| lines[3] = "receipt".into()),
        ("line 8…the text ends inside a value", &|lines| lines[7].truncate(40)),
    ];
    for (what, change) in rows {
        let text = changed(change);
        place.write("receipts.jsonl", &text);
        let verify = format!("receipts verify receipts.jsonl --kernel {kernel}");
        place.chio(&verify).failed(what);
        place.chio(&format!("{verify} --json")).failed(what);
        place.chio_given(&text, &format!("receipts verify - --kernel {kernel}")).failed(what);
    }

    let report = "ok     8 receipts, unbroken: 3 allowed, 2 denied\n";
    place.write("receipts.jsonl", changed(&|_| ()));
    let verify = format!("receipts verify receipts.jsonl --kernel {kernel}");
    assert_eq!(place.chio(&verify).done(), report);
    // Without a key the first receipt is believed, and that is said.
    let hint = "       --kernel KEY says whose they have to be\n";
    assert_eq!(place.chio("receipts verify receipts.jsonl").done(), format!("{report}{hint}"));
    // A tail that was cut off cannot be seen; a last allow that nothing covers can.
    place.write("receipts.jsonl", changed(&|lines| lines.truncate(5)));
    let cut = "ok     5 receipts, unbroken: 3 allowed, 0 denied, 1 without an outcome\n       \
               the last receipt is an allow that no signature covers yet\n";
    assert_eq!(place.chio(&verify).done(), cut);
}

// --- inspect, demo, standard input, help ---

#[test]
fn inspect_says_that_nothing_is_verified() {
    let place = Place::furnished();
    let token = serde_json::from_str::<Value>(&place.read("agent.cap")).unwrap()[0].clone();
    place.write("token.json", token.to_string());
    for (index, line) in place.read("receipts.jsonl").lines().enumerate() {
        place.write(&format!("receipt{index}.json"), line);
    }
    let rows = [
        ("agent.cap", "capability chain", "/path  path_containment:/docs"),
        ("token.json", "capability token", "grants    files/read_file"),
        ("proof.json", "proof of possession", "calls       files/read_file"),
        ("call.json", "signed call", "calls       files/read_file"),
        ("receipt0.json", "receipt", "decision      allow"),
        ("receipt1.json", "receipt", "status        ok"),
        ("agent.key", "private key", "algorithm   ed25519"),
    ];
    for (file, kind, line) in rows {
        let shown = place.chio(&format!("inspect {file}"));
        let warning = "NOT VERIFIED: this is what the file says, not what is true.\n";
        let Some(text) = shown.done().strip_prefix(warning) else { panic!("{shown:#?}") };
        assert_eq!(text.lines().next(), Some(kind));
        assert!(text.contains(line), "{shown:#?}");

        let value = place.chio(&format!("inspect --json {file}")).json();
        let mut all = BTreeSet::from(["document", "kind", "verified"]);
        // Of whatever has a capability in it, it is told what that allows.
        all.extend(["capability chain", "capability token", "signed call"].contains(&kind).then_some("allows"));
        assert_eq!(members(&value), all);
        assert_eq!((&value["verified"], &value["kind"]), (&json!(false), &json!(kind)));
        if kind != "private key" {
            let document: Value = serde_json::from_str(&place.read(file)).unwrap();
            assert_eq!(value["document"], document);
        }
    }
}

#[test]
fn inspect_shows_the_receipts_of_a_call() {
    let place = Place::furnished();
    let shown = place.chio("inspect receipts.jsonl");
    assert!(shown.done().starts_with("NOT VERIFIED"));
    assert!(shown.stdout.contains("decision      allow") && shown.stdout.contains("status        ok"));
}

#[test]
fn inspect_shows_whole_keys() {
    let place = Place::furnished();
    for algorithm in ["p256", "p384"] {
        place.chio(&format!("keygen --force --algorithm {algorithm} --out kernel.key")).done();
        let call = "call --key agent.key --root issuer.key --capability agent.cap --files docs --mount /docs \
                    --tool a/b --kernel-key kernel.key";
        place.chio(&format!("{call} --receipts {algorithm}.json")).denied();
        let shown = place.chio(&format!("inspect {algorithm}.json"));
        assert!(shown.done().contains(&place.public_key("kernel.key")), "{shown:#?}");
    }
}

#[test]
fn inspect_writes_nothing_to_the_terminal_but_text() {
    let place = Place::furnished();
    let rule = r#"{"constraint_type":"exact","value":"\u009b31mred\u007f\u202e\u001b[31m"}"#;
    let grants = format!(r#"[{{"tool_server":"files","tool_name":"x","arguments":{{"/a":{rule}}}}}]"#);
    place.write("coloured.json", grants);
    let issue = "issue --key issuer.key --subject agent.key --grants coloured.json --out coloured.cap";
    place.chio(issue).done();
    let shown = place.chio("inspect coloured.cap");
    let told = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(!shown.done().contains(told), "{shown:#?}");
}

#[test]
fn the_demo_allows_the_honest_call_and_denies_the_attacks() {
    let place = Place::empty();
    let play = || {
        let demo = place.chio("demo --json");
        demo.done();
        assert!(demo.took < Duration::from_secs(5), "{:?}", demo.took);
        assert!(demo.changed.is_empty());
        let rows = demo.json();
        let mut played = Vec::new();
        for row in rows.as_array().unwrap() {
            let all = ["attempt", "code", "decision", "microseconds", "step"];
            assert_eq!(members(row), BTreeSet::from(all));
            assert!(row["microseconds"].is_u64() && row["attempt"].is_string(), "{row}");
            match row["decision"].as_str() {
                Some("allow") => assert!(row["code"].is_null() && row["step"].is_null(), "{row}"),
                Some("deny") => assert!(row["code"].is_string() && row["step"].is_string(), "{row}"),
                _ => panic!("{row}"),
            }
            let member = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            played.push(["attempt", "decision", "step", "code"].map(member));
        }
        played
    };
    let played = play();
    let count = |decision: &str| played.iter().filter(|row| row[1] == decision).count();
    assert!(count("allow") >= 1 && count("deny") >= 8, "{played:#?}");
    assert_eq!(play(), played, "the same attempts, and the same answers");

    let text = place.chio("demo");
    for [attempt, decision, _, code] in &played {
        let told = |line: &str| line.starts_with(attempt) && line.contains(decision) && line.contains(code);
        assert!(text.done().lines().any(told), "{attempt}: {text:#?}");
    }
    let (allowed, denied) = (count("allow"), count("deny"));
    let receipts = format!("ok {} receipts, unbroken: {allowed} allowed, {denied} denied\n", 2 * allowed + denied);
    assert!(text.done().contains(&receipts), "{text:#?}");
}

#[test]
fn the_demo_plays_anywhere() {
    let place = Place::empty();
    place.write("docs/decisions/README.md", [0xff; 100]);
    place.chio("demo").done();
}

#[test]
fn a_file_may_be_standard_input() {
    let place = Place::furnished();
    let verify = "verify --root issuer.key --tool files/read_file";
    let issue = "issue --key issuer.key --subject agent.key";
    let rows = [
        ("agent.cap", format!("sign --key agent.key --capability - {READ}")),
        ("agent.key", format!("sign --key - --capability agent.cap {READ}")),
        ("proof.json", format!("verify --root issuer.key --capability agent.cap --proof - {READ}")),
        ("agent.cap", format!("verify --root issuer.key --capability - --proof proof.json {READ}")),
        ("arguments.json", format!("{verify} --capability agent.cap --proof proof.json --arguments -")),
        ("issuer.key", "issue --key - --subject agent.key --tool a/b".to_owned()),
        ("grants.json", format!("{issue} --grants -")),
        ("receipts.jsonl", "receipts verify - --kernel kernel.key".to_owned()),
        ("call.json", "inspect -".to_owned()),
        ("agent.key", "inspect -".to_owned()),
        (
            "kernel.key",
            format!(
                "call --key agent.key --root issuer.key --capability agent.cap {READ} --files docs --mount /docs \
                 --kernel-key -"
            ),
        ),
    ];
    for (file, words) in rows {
        place.chio_given(place.read(file), &words).done();
        // Without anything there, it is said which file was meant.
        place.chio(&words).failed("standard input");
    }
}

#[test]
fn help_and_version_say_what_there_is_to_know() {
    let place = Place::empty();
    let help = place.chio("--help");
    assert!(help.done().contains("Exit codes: 0 allowed or done, 1 failed, 2 wrong usage, 3 denied."));
    let commands = ["demo", "keygen", "issue", "sign", "verify", "inspect", "call", "receipts"];
    for command in commands {
        assert!(help.done().contains(&format!("\n  {command} ")), "{command}");
        let usage = format!("Usage: chio {command}");
        assert!(place.chio(&format!("{command} --help")).done().contains(&usage), "{command}");
    }
    let usage = "Usage: chio receipts verify [OPTIONS] <FILE>";
    assert!(place.chio("receipts verify --help").done().contains(usage));
    let version =
        format!("chio {} (P-256 and P-384: {})\n", env!("CARGO_PKG_VERSION"), chio_core::crypto::NIST_PROVIDER);
    assert_eq!(place.chio("--version").done(), version);
}

/// On a terminal there are colours and tables, which fit it; with `NO_COLOR`, no colours.
#[test]
fn a_terminal_gets_colours_and_tables() {
    let place = Place::furnished();
    let seen = |words: &str, columns: usize, no_color: &str| {
        let line = format!("stty rows 24 cols {columns}; exec \"$CHIO\" {words}");
        let mut command = place.command("script");
        command.args(["-qec", &line, "/dev/null"]).env("CHIO", common::chio()).env("TERM", "xterm");
        if no_color.is_empty() {
            command.env_remove("NO_COLOR")
        } else {
            command.env("NO_COLOR", no_color)
        };
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n"))
    };
    let list = "receipts list receipts.jsonl";
    let Some(table) = seen(list, 120, "") else {
        println!("skipped: there is no `script` to make a terminal");
        return;
    };
    assert!(table.contains("\u{1b}[32mallow\u{1b}[0m") && table.contains("about"), "{table}");
    for (words, columns) in [(list, 120), (list, 80), (list, 50), ("inspect agent.cap", 80), ("explain", 60)] {
        let plain = seen(words, columns, "1").unwrap();
        assert!(!plain.contains('\u{1b}'), "{plain}");
        // A key is not broken.
        let fits = |line: &str| line.chars().count() <= columns || line.split_whitespace().any(|word| word.len() == 64);
        assert!(plain.lines().all(fits), "{columns}: {plain}");
    }
    assert!(seen("inspect agent.cap", 80, "").unwrap().contains("\u{1b}[1mtoken 0\u{1b}[0m"));
}

// --- openssl ---

#[test]
fn openssl_reads_the_keys_of_chio() {
    let place = Place::empty();
    for (algorithm, told) in ALGORITHMS.into_iter().zip(["ED25519", "(256 bit)", "(384 bit)"]) {
        place.chio(&format!("keygen --algorithm {algorithm} --out agent.key --force")).done();
        let Some(read) = openssl(&place, "pkey -in agent.key -noout -text") else { return };
        assert!(read.lines().next().unwrap().contains(told), "{algorithm}: {read}");
        let hex: String = read.split("pub:").nth(1).unwrap().split("ASN1").next().unwrap().to_owned();
        let hex: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let key = place.public_key("agent.key");
        assert_eq!(key.rsplit(':').next(), Some(hex.as_str()), "the same public key");
    }
}

#[test]
fn chio_uses_the_keys_of_openssl() {
    let place = Place::furnished();
    for (words, algorithm) in [
        ("-algorithm ed25519", "ed25519"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "p256"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "p384"),
    ] {
        let Some(_) = openssl(&place, &format!("genpkey {words} -out other.key")) else { return };
        place.set_mode("other.key", 0o600);
        let shown = place.chio("--json inspect other.key").json();
        assert_eq!(shown["document"]["algorithm"], algorithm);
        let issue = "issue --key other.key --subject other.key --grants grants.json --out other.cap --force";
        place.chio(issue).done();
        let proof = place.chio(&format!("sign --key other.key --capability other.cap {READ}"));
        place.write("other.json", proof.done());
        let verify = format!("verify --root other.key --capability other.cap --proof other.json {READ}");
        place.chio(&verify).done();
    }
}
