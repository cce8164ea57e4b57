//! Servers and clients that nobody here wrote, over Streamable HTTP, and the official conformance suite.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chio_tests::peers;
use serde_json::{Value, json};

use crate::common::{Place, chio};
use crate::peers::{Client, new_node, script, without_receipts, words};
use crate::running::Running;
use crate::wire::parse;

/// A server of somebody else's, ended with the test.
struct Upstream {
    child: Child,
    url: String,
}

impl Upstream {
    /// One that says where it listens.
    fn announced(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, url }
    }

    /// One that is told a port, and answers there as soon as it can.
    fn at_a_port(command: impl FnOnce(u16) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command(port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Connections are refused until it listens: each try waits for the operating system's answer, not for a while.
        let listens = (0..2_000_000).any(|_| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert!(listens, "it does not listen");
        Self { child, url: format!("http://127.0.0.1:{port}/mcp") }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn modern_server(peers: &Path) -> Command {
    let mut command = Command::new(peers.join("python/bin/python"));
    command.arg(script("modern.py"));
    command
}

fn furnish(place: &Place, tools: &[&str]) {
    place.chio("keygen --out issuer.key").done();
    place.chio("keygen --out agent.key").done();
    let tools: Vec<Value> = tools.iter().map(|tool| json!({"tool_server": "mcp", "tool_name": tool})).collect();
    place.write("grants.json", Value::from(tools).to_string());
    place.chio("issue --key issuer.key --subject agent.key --grants grants.json --ttl 1d --out agent.cap").done();
}

fn guard(place: &Place, upstream: &[&str]) -> Running {
    let words = ["mcp", "guard", "--root", "issuer.key", "--listen", "127.0.0.1:0"];
    Running::chio(place, &[&words, upstream].concat())
}

fn url(running: &Running) -> String {
    format!("http://{}/mcp", running.address())
}

/// Every check of the suite has the same result against a server, and through a signer and a guard before it.
#[test]
fn the_conformance_suite_sees_no_difference() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    let tools = "simple_text image_content audio_content embedded_resource multiple_content_types tool_with_logging \
                 error_handling tool_with_progress sampling elicitation elicitation_sep1034_defaults \
                 elicitation_sep1330_enums reconnection";
    let tools: Vec<String> = tools.split_whitespace().map(|name| format!("test_{name}")).collect();
    let mut granted: Vec<&str> = tools.iter().map(String::as_str).collect();
    granted.extend(["json_schema_2020_12_tool", "resources/read", "prompts/get", "completion/complete"]);
    furnish(&place, &granted);
    let mut server = Command::new("node");
    server.arg(script("conformance_server.mjs")).args(["--port", "0"]).env("CHIO_PEERS", &peers);
    let server = Upstream::announced(server);
    let guard = guard(&place, &["--upstream", &server.url]);
    let guarded = url(&guard);
    let sign = [
        "mcp",
        "sign",
        "--key",
        "agent.key",
        "--capability",
        "agent.cap",
        "--listen",
        "127.0.0.1:0",
        "--url",
        &guarded,
    ];
    let signer = Running::chio(&place, &sign);
    let signed = url(&signer);
    let check = |url: &str| {
        let mut command = Command::new("python3");
        command.arg(script("conformance.py")).arg("--node").arg(new_node(&peers)).arg("--peers").arg(&peers);
        let output = command.args(["--url", url]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (parse(&String::from_utf8(output.stdout).unwrap()), told)
    };
    let (directly, told) = check(&server.url);
    let (between, told_between) = check(&signed);
    assert_eq!(between, directly, "{told}\n{told_between}");
    let scenarios = directly.as_object().unwrap();
    let passed = scenarios
        .values()
        .flat_map(|checks| checks.as_object().unwrap().values())
        .filter(|status| *status == "SUCCESS");
    println!("{} scenarios, {} checks passed", scenarios.len(), passed.clone().count());
    assert!(scenarios.len() >= 30 && passed.count() >= 40, "{told}");
    // It was asked at all.
    let unsigned = crate::running::post(guard_address(&guarded), &[], &crate::wire::read(1));
    assert!(unsigned.body.contains("proof_missing"));
}

fn guard_address(url: &str) -> std::net::SocketAddr {
    url.trim_start_matches("http://").trim_end_matches("/mcp").parse().unwrap()
}

/// A server of both kinds of revisions: behind a guard over HTTP, and as the guard's own processes; with a client that speaks
/// HTTP, and with one that does not.
#[test]
fn a_server_of_every_revision_over_http() {
    let Some(peers) = peers() else { return };
    let place = Place::empty();
    furnish(&place, &["echo", "slow", "big", "ask"]);
    let server = Upstream::at_a_port(|port| {
        let mut command = modern_server(&peers);
        command.arg(port.to_string());
        command
    });
    let python = peers.join("python/bin/python").to_string_lossy().into_owned();
    let program = script("modern.py").to_string_lossy().into_owned();
    let guards = [guard(&place, &["--upstream", &server.url]), guard(&place, &["--", &python, &program])];
    let steps = json!([
        {"op": "list"},
        {"op": "call", "name": "echo", "arguments": {"message": "héllo"}},
        {"op": "call", "name": "slow", "arguments": {"duration": 0.2, "steps": 3}, "progress": true},
        {"op": "call", "name": "ask", "arguments": {}},
        {"op": "call", "name": "big", "arguments": {"size": 700_000}},
        {"op": "call", "name": "die", "arguments": {}},
        {"op": "cancel", "name": "slow", "arguments": {"duration": 20, "steps": 100}},
        {"op": "call", "name": "echo", "arguments": {"message": "after"}},
    ]);
    for client in Client::ALL {
        let direct = client.run(
            &peers,
            &place,
            std::slice::from_ref(&server.url),
            &Value::from(steps.as_array().unwrap()[..5].to_vec()),
        );
        for (kind, guard) in ["a proxy", "processes"].into_iter().zip(&guards) {
            let guarded = format!("http://{}/mcp", guard.known_address());
            let sign = ["mcp", "sign", "--key", "agent.key", "--capability", "agent.cap"];
            let signer =
                Running::chio(&place, &[&sign, ["--listen", "127.0.0.1:0", "--url", &guarded].as_slice()].concat());
            let bridge = words(&[&[chio().to_str().unwrap()], &sign[..], &["--url", &guarded]].concat());
            let bridge: Vec<String> = bridge
                .iter()
                .map(|word| match word.as_str() {
                    "agent.key" | "agent.cap" => place.path(word).to_string_lossy().into_owned(),
                    _ => word.clone(),
                })
                .collect();
            for (way, server) in [("over HTTP", vec![url(&signer)]), ("on standard input", bridge)] {
                let told = format!("{client:?} {way} before {kind}");
                let between = client.run(&peers, &place, &server, &steps);
                assert_eq!((&between["era"], &between["protocol"]), (&direct["era"], &direct["protocol"]), "{told}");
                let step = |document: &Value, at: usize| without_receipts(&document["steps"][at]);
                let names = |document: &Value| -> Vec<Value> {
                    document["steps"][0]["result"]["tools"]
                        .as_array()
                        .unwrap_or_else(|| panic!("{told}: {document}"))
                        .iter()
                        .map(|tool| tool["name"].clone())
                        .collect()
                };
                assert_eq!(names(&between), ["echo", "slow", "big", "ask"], "{told}");
                assert_eq!(names(&direct).len(), 5);
                for at in [1, 3, 4] {
                    assert!(step(&between, at)["result"].is_object(), "{told}: {}", between["steps"][at]);
                    assert_eq!(step(&between, at), step(&direct, at), "{told}");
                }
                // It may come by another stream than the answer, which the last of it then does not outrun.
                let progress = between["steps"][2]["progress"].as_array().map_or(0, Vec::len);
                assert!((1..=3).contains(&progress), "{told}: {}", between["steps"][2]);
                assert!(
                    between["steps"][5].to_string().contains("tool_not_granted"),
                    "{told}: {}",
                    between["steps"][5]
                );
                assert_eq!(between["steps"][6]["result"]["cancelled"], true, "{told}: {}", between["steps"][6]);
                assert!(step(&between, 7).to_string().contains("Echo: after"), "{told}: {}", between["steps"][7]);
            }
        }
    }
}

/// With real certificates, and not without.
#[test]
fn an_upstream_is_spoken_to_by_tls() {
    let place = Place::empty();
    furnish(&place, &["echo"]);
    let subject = "req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.pem -days 2 -subj /CN=localhost";
    let names = format!(
        "{subject} -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    );
    if crate::common::openssl(&place, &names).is_none() {
        return;
    }
    let Some(peers) = peers() else { return };
    let mut server = Command::new("python3");
    let code = "import http.server, ssl, sys\n\
        class H(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_POST(self):\n\
        \x20       self.rfile.read(int(self.headers['content-length']))\n\
        \x20       body = b'{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"by\":\"tls\"}}'\n\
        \x20       self.send_response(200); self.send_header('content-type', 'application/json')\n\
        \x20       self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
        s = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('tls.pem', 'tls.key')\n\
        s.socket = c.wrap_socket(s.socket, server_side=True)\n\
        print('listening on https://localhost:%d/mcp' % s.server_port, flush=True)\n\
        s.serve_forever()\n";
    server.args(["-c", code]).current_dir(place.path(""));
    let server = Upstream::announced(server);
    let _ = peers;
    let ping = crate::wire::request(1, "ping", &json!({}));
    for (trusted, status) in [(true, 200), (false, 502)] {
        let mut command = place.command("env");
        let file = if trusted { "tls.pem" } else { "/dev/null" };
        command.arg(format!("SSL_CERT_FILE={file}")).arg(chio());
        let running = Running::start(
            command,
            &["mcp", "guard", "--root", "issuer.key", "--listen", "127.0.0.1:0", "--upstream", &server.url],
        );
        if trusted {
            let answered = crate::running::post(running.address(), &[], &ping);
            assert_eq!((answered.status, answered.body.contains("\"by\":\"tls\"")), (status, true), "{answered:?}");
        } else {
            let mut running = running;
            // Either nothing is trusted at all, which is said at the start, or this certificate is not.
            assert!(running.refuses_or(|address| crate::running::post(address, &[], &ping).status == status));
        }
    }
}
