//! Processes: what is started is ended, in order and with its own exit code, whoever of them dies.

use rustix::process::Signal;
use serde_json::json;

use crate::running::{Running, TOOL_SERVER, furnished, is_gone};
use crate::wire::{call, request};

#[test]
fn input_that_ends_ends_the_tool_server_and_its_exit_code_is_ours() {
    let place = furnished();
    let mut signed = Running::signed(&place, &[TOOL_SERVER]);
    let pid = signed.ask(&request(1, "ping", &json!({})))["result"]["pid"].clone();
    assert_eq!(signed.ask(&call(2, "echo", &json!({"message": "hi"})))["result"]["content"][0]["text"], "hi");
    signed.close();
    assert_eq!(signed.wait().code(), Some(0));
    assert!(is_gone(&pid) && signed.ends());
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 0", 0)] {
        let mut guard = Running::guard(&place, &["sh", "-c", script]);
        assert_eq!(guard.wait().code(), Some(code), "{script}: {}", guard.told());
    }
}

#[test]
fn a_tool_server_that_dies_in_a_call_is_answered_for() {
    let place = furnished();
    let mut signed = Running::signed(&place, &[TOOL_SERVER]);
    signed.say(&call(1, "hang", &json!({})));
    signed.say(&call(2, "die", &json!({})));
    let mut answers = [signed.next(), signed.next()];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert!(answers.iter().all(|answer| answer["error"]["code"] == -31004), "{answers:?}");
    assert_eq!(signed.wait().code(), Some(7));
    // Killed from outside.
    let mut signed = Running::signed(&place, &[TOOL_SERVER]);
    let pid = signed.ask(&request(1, "ping", &json!({})))["result"]["pid"].clone();
    signed.say(&call(2, "hang", &json!({})));
    let killed = rustix::process::Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(killed, Signal::KILL).unwrap();
    assert_eq!(signed.next()["error"]["code"], -31004);
    assert_eq!(signed.wait().code(), Some(137));
}

#[test]
fn whoever_is_killed_leaves_nobody_behind() {
    let place = furnished();
    for stubborn in [false, true] {
        // One that neither ends with its input nor when it is asked to, and has a child that holds its streams.
        let script = format!("trap '' TERM INT HUP; {TOOL_SERVER}; tail -f /dev/null & tail -f /dev/null");
        let server: &[&str] = if stubborn { &["sh", "-c", &script] } else { &[TOOL_SERVER] };
        let mut signed = Running::signed(&place, server);
        let pid = signed.ask(&request(1, "ping", &json!({})))["result"]["pid"].clone();
        if stubborn {
            // What is between is killed; its tool server is asked, and then made to end.
            signed.close();
            assert!(!signed.wait().success());
        } else {
            signed.signal(Signal::KILL);
            signed.wait();
        }
        assert!(is_gone(&pid), "stubborn: {stubborn}");
    }
    // The guard itself is killed, and its tool server would not end by itself.
    let mut guard = Running::guard(
        &place,
        &[
            "sh",
            "-c",
            "trap '' TERM HUP; echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"pid\":'$$'}}'; tail -f /dev/null",
        ],
    );
    let pid = guard.next()["params"]["pid"].clone();
    guard.signal(Signal::KILL);
    guard.wait();
    assert!(is_gone(&pid));
}

#[test]
fn a_signal_is_handed_on() {
    let place = furnished();
    for (signal, name, code) in [(Signal::TERM, "TERM", 9), (Signal::INT, "INT", 10), (Signal::HUP, "HUP", 11)] {
        let ready = "echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}'";
        let script = format!("trap 'exit {code}' {name}; {ready}; tail -f /dev/null & wait");
        let mut guard = Running::guard(&place, &["sh", "-c", &script]);
        guard.next();
        guard.signal(signal);
        assert_eq!(guard.wait().code(), Some(code), "{name}: {}", guard.told());
    }
}

#[test]
fn what_a_tool_server_prints_goes_where_it_belongs() {
    let place = furnished();
    let mut signed =
        Running::signed(&place, &["sh", "-c", &format!("echo to-the-log >&2; echo printed; exec {TOOL_SERVER}")]);
    assert_eq!(signed.ask(&call(1, "print", &json!({})))["result"]["content"][0]["text"], "printed");
    let twice = signed.ask(&call(2, "twice", &json!({})));
    assert_eq!(twice["result"]["content"][0]["text"], "one");
    assert_eq!(signed.ask(&request(3, "ping", &json!({})))["id"], 3, "the second answer is dropped");
    assert!(signed.told().contains("to-the-log"));
    // Its question passes, and the client's answer to it.
    signed.say(&call(4, "ask", &json!({})));
    let question = signed.next();
    assert_eq!((&question["method"], &question["id"]), (&json!("roots/list"), &json!("q")));
    let answer = signed.ask(&json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}).to_string());
    assert_eq!(answer["result"]["content"][0]["text"], "{\"roots\":[]}");
}

/// Neither tokens nor proofs nor the values of arguments.
#[test]
fn nothing_secret_is_logged() {
    let place = furnished();
    let mut signed = Running::signed(&place, &[TOOL_SERVER]);
    let marker = crate::common::MARKER;
    signed.ask(&call(1, "echo", &json!({"message": marker})));
    signed.ask(&call(2, "secret", &json!({"message": marker})));
    signed
        .ask(&format!("{{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"x/y\",\"params\":{{\"a\":\"{marker}\",\"a\":1}}}}"));
    signed.say("{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{}}");
    signed.close();
    signed.wait();
    let told = signed.told();
    assert!(told.contains("tool_not_granted"), "what happens is told: {told}");
    let capability = place.read("agent.cap");
    let token = crate::wire::parse(&capability);
    for secret in [marker, token[0]["signature"].as_str().unwrap(), token[0]["serial"].as_str().unwrap()] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn receipts_are_kept_on_both_sides_and_go_on_at_the_next_start() {
    let place = furnished();
    place.chio("keygen --out kernel.key").done();
    let chio = crate::common::chio().to_str().unwrap();
    let kernel = place.public_key("kernel.key");
    for start in 0..2 {
        let sign = [
            "mcp",
            "sign",
            "--key",
            "agent.key",
            "--capability",
            "agent.cap",
            "--receipts",
            "mine.jsonl",
            "--kernel",
            &kernel,
            "--",
        ];
        let guard = [
            chio,
            "mcp",
            "guard",
            "--root",
            "issuer.key",
            "--kernel-key",
            "kernel.key",
            "--receipts",
            "all.jsonl",
            "--",
            TOOL_SERVER,
        ];
        let mut signed = Running::chio(&place, &[sign.as_slice(), &guard].concat());
        signed.ask(&request(0, "initialize", &json!({"protocolVersion": "2025-11-25"})));
        for id in 1..4 {
            assert!(signed.ask(&call(id, "echo", &json!({"message": "hi"})))["result"].is_object());
        }
        assert_eq!(signed.ask(&call(4, "secret", &json!({})))["result"]["isError"], true);
        // A second guard has no place in the same file.
        if start == 0 {
            let again = place.chio("mcp guard --root issuer.key --kernel-key kernel.key --receipts all.jsonl -- true");
            again.failed("another guard that is running");
        }
        signed.close();
        signed.wait();
    }
    let verified = place.chio(&format!("receipts verify all.jsonl --kernel {kernel}"));
    assert!(verified.done().contains("14 receipts, unbroken"), "{}", verified.stdout);
    let verified = place.chio(&format!("receipts verify mine.jsonl --kernel {kernel}"));
    assert!(verified.done().contains("14 receipts, unbroken"), "{}", verified.stdout);
    place.chio("mcp guard --root issuer.key --receipts all.jsonl -- true").failed("are not empty");
    let cut = place.read("all.jsonl").lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
    place.write("cut.jsonl", cut);
    place
        .chio("mcp guard --root issuer.key --kernel-key kernel.key --receipts cut.jsonl -- true")
        .failed("line 1: receipt 1 is missing");
}

#[test]
fn the_end_of_an_answer_is_not_lost_with_the_tool_server() {
    let place = furnished();
    // It answers at length, and ends at once; its client takes its time.
    let large = "x".repeat(3 << 20);
    place.write("answer", format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"text\":\"{large}\"}}}}\n"));
    let mut guard = Running::guard(&place, &["sh", "-c", "read line; cat answer; exit 3"]);
    guard.say(&request(1, "ping", &json!({})));
    assert_eq!(guard.next()["result"]["text"].as_str().map(str::len), Some(large.len()));
    assert_eq!(guard.wait().code(), Some(3));
}

#[test]
fn a_client_that_is_gone_is_noticed_whatever_the_tool_server_does() {
    let place = furnished();
    // It closed its own input, and goes on.
    let script = "exec 0<&-; echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}'; tail -f /dev/null";
    let mut guard = Running::guard(&place, &["sh", "-c", script]);
    guard.next();
    assert_eq!(guard.ask(&request(1, "ping", &json!({})))["error"]["code"], -31004);
    guard.close();
    assert!(!guard.wait().success());
}
