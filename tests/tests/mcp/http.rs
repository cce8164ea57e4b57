//! Streamable HTTP: who may speak, what agrees with its headers, and which answers are whose.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::common::Place;
use crate::running::{Running, TOOL_SERVER, exchange, furnished, post};
use crate::wire::{call, parse, request};

fn serving(place: &Place) -> (Running, SocketAddr) {
    let words = ["mcp", "guard", "--root", "issuer.key", "--listen", "127.0.0.1:0", "--", TOOL_SERVER];
    let guard = Running::chio(place, &words);
    let address = guard.address();
    (guard, address)
}

/// A signer before a guard over HTTP.
fn signing(place: &Place, guard: SocketAddr) -> (Running, SocketAddr) {
    let url = format!("http://{guard}/mcp");
    let words =
        ["mcp", "sign", "--key", "agent.key", "--capability", "agent.cap", "--listen", "127.0.0.1:0", "--url", &url];
    let signer = Running::chio(place, &words);
    let address = signer.address();
    (signer, address)
}

fn initialize(address: SocketAddr) -> String {
    let opened = post(address, &[], &request(0, "initialize", &json!({"protocolVersion": "2025-11-25"})));
    assert_eq!(opened.status, 200, "{opened:?}");
    opened.header("mcp-session-id").unwrap().to_owned()
}

fn modern(id: u64, method: &str, mut params: Value) -> String {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    request(id, method, &params)
}

const MODERN: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

#[test]
fn only_those_of_this_machine_speak_and_only_as_they_should() {
    let place = furnished();
    let (_guard, address) = serving(&place);
    let ping = request(1, "ping", &json!({}));
    for (headers, status) in [
        (&[("Host", "evil.example")][..], 403),
        (&[("Host", "127.0.0.1.evil.example")], 403),
        (&[("Origin", "http://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "http://localhost"), ("Origin", "http://evil.example")], 403),
        (&[("Content-Type", "text/plain")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
        (&[("Content-Encoding", "gzip")], 415),
        // In these, one reader's `ping` is another's `tools/call`.
        (&[("Content-Type", "application/json; charset=utf-7")], 415),
        (&[("Content-Type", "application/json; charset=utf-16")], 415),
        (&[("Content-Type", "application/json; charset=\"shift_jis\"")], 415),
        (&[("Content-Type", "application/json; boundary=x")], 415),
        (&[("Content-Type", "Application/JSON; charset=\"UTF-8\"")], 400),
        (&[("Mcp-Session-Id", "nobody's")], 404),
        (&[("Mcp-Session-Id", "a"), ("Mcp-Session-Id", "b")], 400),
        (&[], 400),
    ] {
        let answered = post(address, headers, &ping);
        assert_eq!(answered.status, status, "{headers:?}: {answered:?}");
        assert!(parse(answered.body.trim())["error"]["code"].is_i64());
    }
    let line = |line: &str| exchange(address, &format!("{line} HTTP/1.1\r\nHost: localhost"), "").status;
    for (request, status) in [
        ("GET /", 404),
        ("GET /mcp/", 404),
        ("GET /mcp/../metrics", 404),
        ("POST //mcp", 404),
        ("GET http://localhost/other", 404),
        ("PUT /mcp", 405),
        ("OPTIONS /mcp", 405),
        ("GET /mcp", 405),
        ("DELETE /mcp", 405),
    ] {
        assert_eq!(line(request), status, "{request}");
    }
    // Two lengths, and one that is too long: it is refused before it is sent.
    let two = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\nContent-Length: 6";
    assert_eq!(exchange(address, two, "{}   ").status, 400);
    let both = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked";
    let smuggled = exchange(address, both, "0\r\n\r\nPOST /mcp HTTP/1.1\r\n\r\n");
    assert!([400, 404].contains(&smuggled.status) && smuggled.body.matches("HTTP/1.1").count() == 0, "{smuggled:?}");
    let long = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 16777217";
    assert_eq!(exchange(address, long, "").status, 413);
    for text in ["[]", "", "{}", "\u{feff}{}", "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]"] {
        assert_eq!(post(address, &[], text).status, 400, "{text}");
    }
}

#[test]
fn a_call_over_http_is_proven_like_any_other() {
    let place = furnished();
    let (_guard, guard) = serving(&place);
    let (_signer, signer) = signing(&place, guard);
    // With a session.
    let session = initialize(signer);
    let headers = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let told = post(signer, &headers, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!((told.status, told.body.as_str()), (202, ""));
    let echoed = post(signer, &headers, &call(1, "echo", &json!({"message": "hi"}))).json();
    assert_eq!(echoed["result"]["content"][0]["text"], "hi");
    assert!(echoed["result"]["_meta"]["dev.chio/receipt"]["signature"].is_string());
    assert_eq!(post(signer, &headers, &call(2, "secret", &json!({}))).json()["result"]["isError"], true);
    assert_eq!(
        post(guard, &headers, &call(3, "echo", &json!({"message": "hi"}))).json()["error"]["data"]["code"],
        "proof_missing"
    );
    assert_eq!(post(guard, &headers, &request(3, "tools/list", &json!({}))).json()["result"]["tools"], json!([]));
    let listed = post(signer, &headers, &request(4, "tools/list", &json!({}))).json();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 7);
    assert_eq!(
        exchange(signer, &format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}"), "").status,
        200
    );
    assert_eq!(post(signer, &headers, &request(5, "ping", &json!({}))).status, 404);
    // And in the revisions that have none.
    let headers = [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")];
    let echoed =
        post(signer, &headers, &modern(1, "tools/call", json!({"name": "echo", "arguments": {"message": "hi"}})))
            .json();
    assert_eq!(echoed["result"]["content"][0]["text"], "hi");
    let unknown = post(guard, &[MODERN, ("Mcp-Method", "x/y")], &modern(2, "x/y", json!({})));
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!(-32601)));
}

#[test]
fn a_header_that_says_something_else_than_its_message_is_refused() {
    let place = furnished();
    let (_guard, guard) = serving(&place);
    let (_signer, signer) = signing(&place, guard);
    let text = modern(1, "tools/call", json!({"name": "echo", "arguments": {"message": "hi"}}));
    let (method, name) = (("Mcp-Method", "tools/call"), ("Mcp-Name", "echo"));
    assert_eq!(post(signer, &[MODERN, method, name], &text).status, 200);
    for headers in [
        &[method, name][..],
        &[MODERN, name],
        &[MODERN, method],
        &[MODERN, method, ("Mcp-Name", "secret")],
        &[MODERN, ("Mcp-Method", "ping"), name],
        &[MODERN, method, name, ("Mcp-Name", "secret")],
        &[("MCP-Protocol-Version", "2025-11-25"), method, name],
        &[MODERN, MODERN, method, name],
    ] {
        for address in [signer, guard] {
            let answered = post(address, headers, &text);
            assert_eq!((answered.status, &answered.json()["error"]["code"]), (400, &json!(-32020)), "{headers:?}");
        }
    }
}

#[test]
fn what_a_request_brings_about_comes_on_its_own_stream() {
    let place = furnished();
    let (_guard, guard) = serving(&place);
    let (_signer, signer) = signing(&place, guard);
    let session = initialize(signer);
    let headers = [("Mcp-Session-Id", session.as_str())];
    let text =
        request(1, "tools/call", &json!({"name": "flood", "arguments": {"n": 50}, "_meta": {"progressToken": "mine"}}));
    let flooded = post(signer, &headers, &text);
    assert_eq!(flooded.header("content-type"), Some("text/event-stream"));
    let events: Vec<Value> = flooded.body.lines().filter_map(|line| line.strip_prefix("data: ")).map(parse).collect();
    let progress = events.iter().filter(|event| event["params"]["progressToken"] == "mine").count();
    assert!((1..=50).contains(&progress), "{progress}");
    let last = events.last().unwrap();
    assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(1), &json!("flooded")));
    // Another session hears nothing of it.
    let other = initialize(signer);
    assert_ne!(other, session);
    let echoed = post(signer, &[("Mcp-Session-Id", &other)], &call(1, "echo", &json!({"message": "x"})));
    assert_eq!((echoed.header("content-type"), echoed.json()["id"].as_u64()), (Some("application/json"), Some(1)));
}

#[test]
fn a_guard_before_another_http_server_passes_its_answers_alone() {
    use std::io::{BufRead as _, Read as _, Write as _};
    // What it answers, one connection each.
    let answers = [
        ("200 OK", "application/json", r#"{"jsonrpc":"2.0","id":1,"result":{"ok":true}}"#, (200, true)),
        ("200 OK", "application/json", r#"{"jsonrpc":"2.0","id":2,"result":{"ok":true}}"#, (502, false)),
        ("200 OK", "text/plain", r#"{"jsonrpc":"2.0","id":1,"result":{"ok":true}}"#, (502, false)),
        ("200 OK", "text/html", "<script>", (502, false)),
        ("200 OK", "application/json", r#"{"jsonrpc":"2.0","id":1,"result":{"ok":1,"ok":2}}"#, (200, false)),
        ("500 Oh", "text/html", "secret trace", (500, false)),
        ("401 No", "application/json", r#"{"error":"x"}"#, (401, false)),
        (
            "200 OK",
            "text/event-stream",
            "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"ok\":true}}\n\n",
            (200, true),
        ),
        (
            "200 OK",
            "text/event-stream",
            "event: other\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"ok\":true}}\n\n",
            (200, false),
        ),
    ];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    let seen = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for (status, media, body, _) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent).unwrap();
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nConnection: close\r\nX-Own: 1\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
            heads.push((head.to_lowercase(), String::from_utf8(sent).unwrap()));
        }
        heads
    });
    let place = furnished();
    let url = format!("http://{upstream}/deep/mcp");
    let guard =
        Running::chio(&place, &["mcp", "guard", "--root", "issuer.key", "--listen", "127.0.0.1:0", "--upstream", &url]);
    let address = guard.address();
    for (_, media, body, (status, passes)) in answers {
        let headers = [
            ("Origin", "http://localhost"),
            ("Accept-Encoding", "gzip"),
            ("Authorization", "Bearer x"),
            ("X-Hop", "1"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("Content-Type", "application/json;charset=utf-8"),
            ("Connection", "X-Hop"),
        ];
        let answered = post(address, &headers, &request(1, "ping", &json!({"_meta": {"dev.chio/call": {}, "a": 1}})));
        assert_eq!(
            (answered.status, answered.body.contains("\"ok\":true")),
            (status, passes),
            "{media} {body}: {answered:?}"
        );
        assert!(!answered.body.contains("secret") && !answered.body.contains("<script>"), "{answered:?}");
    }
    for (head, sent) in seen.join().unwrap() {
        assert!(head.starts_with("post /deep/mcp http/1.1"), "{head}");
        for gone in ["origin", "accept-encoding", "x-hop", "override", "charset"] {
            assert!(!head.contains(gone), "{gone}: {head}");
        }
        assert!(head.contains("authorization: bearer x") && head.contains(&format!("host: {upstream}")), "{head}");
        assert_eq!(sent, request(1, "ping", &json!({"_meta": {"a": 1}})));
    }
    // And when there is no such server any more, that is said.
    let gone = post(address, &[], &request(1, "ping", &json!({})));
    assert_eq!((gone.status, gone.json()["error"]["code"].as_i64()), (502, Some(-31004)));
}

#[test]
fn what_is_served_ends_in_order() {
    let place = furnished();
    let (mut guard, address) = serving(&place);
    let session = initialize(address);
    let pid =
        post(address, &[("Mcp-Session-Id", &session)], &request(1, "ping", &json!({}))).json()["result"]["pid"].clone();
    guard.signal(rustix::process::Signal::TERM);
    assert_eq!(guard.wait().code(), Some(0), "{}", guard.told());
    assert!(crate::running::is_gone(&pid));
    place.chio("mcp guard --root issuer.key --listen 127.0.0.1:0 --upstream ftp://a/").failed("no URL");
    let (_other, taken) = serving(&place);
    for address in ["192.0.2.1:1".to_owned(), taken.to_string()] {
        let words = format!("mcp guard --root issuer.key --listen {address} --upstream http://127.0.0.1:1/");
        let run = place.chio(&words);
        assert!(run.code == 1 && run.stderr.contains("cannot be listened at"), "{run:#?}");
    }
}

/// Requests without a session share processes: what is one client's is not another's.
#[test]
fn clients_that_share_a_process_hear_and_do_nothing_to_each_other() {
    use std::io::{Read as _, Write as _};
    let place = furnished();
    let (_guard, guard) = serving(&place);
    let (_signer, signer) = signing(&place, guard);
    let ask = |name: &str| {
        [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", name)].map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let call = |id: u64, name: &str, arguments: Value| {
        let headers = ask(name);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(signer, &headers, &modern(id, "tools/call", json!({"name": name, "arguments": arguments})))
    };
    // Somebody listens, and waits.
    let text = modern(1, "tools/call", json!({"name": "hang", "arguments": {}}));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hang\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut listener = std::net::TcpStream::connect(signer).unwrap();
    listener.write_all(head.as_bytes()).unwrap();
    // The tool server asks, and nobody can say whom: it is told so, and its question goes nowhere.
    let asked = call(2, "ask", json!({})).json();
    assert!(asked["result"]["content"][0]["text"].as_str().is_some_and(|text| text == "null"), "{asked}");
    // One that has the same id as what hangs, and one that does not read its answer.
    assert_eq!(call(1, "echo", json!({"message": "mine"})).json()["result"]["content"][0]["text"], "mine");
    let text =
        modern(3, "tools/call", json!({"name": "flood", "arguments": {"n": 2000}, "_meta": {"progressToken": "f"}}));
    let head = head.split("Mcp-Name").next().unwrap();
    let mut lazy = std::net::TcpStream::connect(signer).unwrap();
    lazy.write_all(format!("{head}Mcp-Name: flood\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes())
        .unwrap();
    for id in 4..8 {
        assert_eq!(call(id, "echo", json!({"message": "mine"})).json()["result"]["content"][0]["text"], "mine");
    }
    // It goes away: that cancels its own call, and no other.
    drop(lazy);
    assert_eq!(call(3, "echo", json!({"message": "mine"})).json()["result"]["content"][0]["text"], "mine");
    listener.shutdown(std::net::Shutdown::Write).unwrap();
    listener.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
    let mut heard = [0; 1024];
    let read = listener.read(&mut heard).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&heard[..read]).contains("roots/list"));
}

#[test]
fn a_page_that_may_call_is_told_so_by_its_browser() {
    let place = furnished();
    let words = [
        "mcp",
        "guard",
        "--root",
        "issuer.key",
        "--listen",
        "127.0.0.1:0",
        "--allow-origin",
        "https://app.example",
        "--",
        TOOL_SERVER,
    ];
    let guard = Running::chio(&place, &words);
    let address = guard.address();
    let preflight = |origin: &str| {
        let head = format!(
            "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST"
        );
        exchange(address, &head, "")
    };
    let allowed = preflight("https://app.example");
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (204, Some("https://app.example")));
    let refused = preflight("https://evil.example");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    let opened = post(address, &[("Origin", "https://app.example")], &request(0, "initialize", &json!({})));
    assert_eq!((opened.status, opened.header("access-control-expose-headers")), (200, Some("Mcp-Session-Id")));
}
