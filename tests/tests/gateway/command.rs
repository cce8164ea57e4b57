//! `chio gateway`, as an operator runs it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Place, chio};
use crate::harness::{Client, OK, recorder, status, values};

const LISTEN: &str = "[listen]\naddress = \"127.0.0.1:0\"\norigin = \"https://api.example\"\n";
const PUBLIC: &str = "[[route]]\ntool = \"GET:/orders/:id\"\npublic = true\n";

fn upstream(url: &str) -> String {
    format!("[upstream]\nurl = \"{url}\"\n")
}

/// A gateway that runs, ended with the test.
pub struct Running {
    pub child: Child,
    pub told: BufReader<ChildStderr>,
}

impl Running {
    pub fn start(place: &Place) -> Self {
        Self::run(place.command(chio()))
    }

    pub fn run(mut command: std::process::Command) -> Self {
        let mut child = command.args(["gateway", "--config", "gateway.toml"]).spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap());
        Self { child, told }
    }

    /// Where it says that it listens.
    pub fn next(&mut self, what: &str) -> std::net::SocketAddr {
        let start = format!("{what} on http://");
        let lines = self.told.by_ref().lines().map_while(Result::ok);
        let mut found = lines.filter_map(|line| line.strip_prefix(&start)?.trim().parse().ok());
        found.next().expect("it says where it listens")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut client = Client(tokio::net::TcpStream::connect(address).await.unwrap());
    client.write(&format!("{request} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n")).await;
    client.rest().await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_what_is_public_and_tells_its_operator_elsewhere() {
    let (behind, seen) = recorder(OK).await;
    let place = Place::empty();
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
    place.write("gateway.toml", format!("{LISTEN}{admin}{}{PUBLIC}", upstream(&format!("http://{behind}"))));
    let mut running = Running::start(&place);
    let (gateway, admin) = (running.next("listening"), running.next("admin"));
    assert_eq!(status(&exchange(gateway, "GET /orders/42").await), 200);
    for (request, expected) in [
        ("POST /orders/42", 404),
        ("GET /orders", 404),
        ("GET /orders/..", 400),
        ("GET /orders/%2e", 400),
        ("GET /healthz", 404),
        ("GET /readyz", 404),
        ("GET /metrics", 404),
        ("GET //healthz", 400),
    ] {
        let answer = exchange(gateway, request).await;
        assert_eq!(status(&answer), expected, "{request}");
        assert_eq!(values(&answer, "content-type"), ["application/problem+json"]);
    }
    let mut client = Client(tokio::net::TcpStream::connect(gateway).await.unwrap());
    client.write("GET /orders/42 HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&client.rest().await), 421);
    assert_eq!(seen.lock().unwrap().len(), 1);

    assert!(exchange(admin, "GET /healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(exchange(admin, "GET /readyz").await.ends_with("\r\n\r\nready\n"));
    let metrics = exchange(admin, "GET /metrics").await;
    for line in [
        "chio_http_requests_total{scheme=\"none\",decision=\"allow\",code=\"\",status=\"2xx\"} 1",
        "chio_http_requests_total{scheme=\"none\",decision=\"deny\",code=\"unknown_tool\",status=\"4xx\"} 5",
        "chio_http_requests_total{scheme=\"none\",decision=\"deny\",code=\"malformed_call\",status=\"4xx\"} 3",
        "chio_http_requests_total{scheme=\"none\",decision=\"deny\",code=\"unknown_tool_server\",status=\"4xx\"} 1",
    ] {
        assert!(metrics.lines().any(|written| written == line), "{metrics}");
    }
    for request in ["GET /orders/42", "POST /metrics", "GET /metrics/", "GET /"] {
        assert!(status(&exchange(admin, request).await) >= 404, "{request}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);

    kill_process(Pid::from_child(&running.child), Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || running.child.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_without_its_upstream() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::empty();
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
    place.write("gateway.toml", format!("{LISTEN}{admin}{}{PUBLIC}", upstream(&format!("http://{free}"))));
    let mut running = Running::start(&place);
    let (_, admin) = (running.next("listening"), running.next("admin"));
    assert_eq!(status(&exchange(admin, "GET /healthz").await), 200);
    let answer = exchange(admin, "GET /readyz").await;
    assert_eq!(status(&answer), 503);
    assert!(answer.ends_with("the upstream cannot be reached\n"));
}

/// The issuer of E-Keys beside the service answers for the gateway's own name, as the guard does.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_answers_at_its_origin_alone() {
    let place = Place::empty();
    place.chio("keygen --out ekey.key").done();
    let ekey = "[ekey.issuer]\niss = \"gateway\"\nprivate_key = \"ekey.key\"\n";
    place.write("gateway.toml", format!("{LISTEN}{}{PUBLIC}{ekey}", upstream("http://127.0.0.1:1")));
    let mut running = Running::start(&place);
    let gateway = running.next("listening");
    for (host, expected) in [("api.example", 401), ("elsewhere.example", 421)] {
        let mut client = Client(tokio::net::TcpStream::connect(gateway).await.unwrap());
        let kind = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close";
        client.write(&format!("POST /token HTTP/1.1\r\nHost: {host}\r\n{kind}\r\n\r\n{{}}")).await;
        assert_eq!(status(&client.rest().await), expected, "{host}");
    }
}

#[test]
fn nothing_is_served_without_a_guard() {
    let place = Place::empty();
    let guarded = "[[route]]\ntool = \"GET:/secret\"\nscope = \"read\"\n";
    place.write("gateway.toml", format!("{LISTEN}{}{PUBLIC}{guarded}", upstream("http://127.0.0.1:1")));
    for words in ["gateway --config gateway.toml", "gateway --config gateway.toml --check"] {
        place.chio(words).failed("line 9, column 1…no scheme by which anybody could call this route");
    }
    let keys = "[[rfc9449.issuer]]\niss = \"a\"\naud = \"b\"\njwks_file = \"none.json\"\n";
    place.write("gateway.toml", format!("{LISTEN}{}{guarded}{keys}", upstream("http://127.0.0.1:1")));
    for words in ["gateway --config gateway.toml", "gateway --config gateway.toml --check"] {
        place.chio(words).failed("the keys of `a`");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let place = Place::empty();
    let good = upstream("http://127.0.0.1:1");
    place.write("gateway.toml", format!("{LISTEN}{good}{PUBLIC}"));
    let checked = place.chio("gateway --config gateway.toml --check --json").json();
    assert_eq!(checked["routes"], 1);
    for (text, what) in [
        (format!("{LISTEN}typo = 1\n{good}{PUBLIC}"), "line 4, column 1…unknown field `typo`"),
        (format!("{LISTEN}max_connections = 0\n{good}{PUBLIC}"), "line 4, column 19…at least 1"),
        (format!("{LISTEN}{good}connect_timeout_ms = \"s3cr3t-value\"\n{PUBLIC}"), "line 6, column 22…invalid type"),
        (format!("{LISTEN}{good}connect_timeout = 1\n{PUBLIC}"), "unknown field `connect_timeout`…connect_timeout_ms"),
        (format!("{LISTEN}{}{PUBLIC}", upstream("http://user:s3cr3t-value@host")), "line 5, column 7…without a path"),
        (format!("{LISTEN}{}{PUBLIC}", upstream("http://host/path")), "without a path"),
        (format!("{LISTEN}{good}"), "there is no route"),
        (format!("{LISTEN}{good}{PUBLIC}{PUBLIC}"), "are for the same paths"),
        (format!("{LISTEN}{good}{PUBLIC}{}", PUBLIC.replace(":id", ":name")), "are for the same paths"),
        (format!("{LISTEN}{good}[[route]]\ntool = \"get:/a\"\npublic = true\n"), "line 6…`get:/a` is no route"),
        (format!("{LISTEN}{good}{PUBLIC}scope = \"a\"\n"), "needs nothing"),
        (format!("{LISTEN}[admin]\naddress = \"0.0.0.0:9\"\n{good}{PUBLIC}"), "line 4, column 1…other machines"),
        (
            format!(
                "{LISTEN}[tls]\ncertificate_file = \"a\"\nprivate_key = \"-----BEGIN s3cr3t-value\"\n{good}{PUBLIC}"
            ),
            "line 6, column 15…named by its file",
        ),
        (
            format!(
                "{LISTEN}[tls]\ncertificate_file = \"a\"\nprivate_key = \"b\"\nclient_certificates = \"required\"\n{good}{PUBLIC}"
            ),
            "go together",
        ),
        (
            format!("{LISTEN}[tls]\ncertificate_file = \"none.pem\"\nprivate_key = \"none.key\"\n{good}{PUBLIC}"),
            "`none.key` cannot be read",
        ),
        (
            format!("{LISTEN}{good}ca_file = \"gateway.toml\"\n{PUBLIC}").replace("http:", "https:"),
            "there is none in it",
        ),
        (format!("{}{good}{PUBLIC}", LISTEN.replace("api.example", "API.example")), "line 3, column 10…in lower case"),
        ("[listen".to_owned(), "line 1"),
        (
            format!("{LISTEN}{good}{PUBLIC}[ekey.issuer]\niss = \"a\"\nprivate_key = \"k\"\nttl_secs = 61\n"),
            "at most 60 s",
        ),
        (
            format!("{LISTEN}{good}{PUBLIC}[[rfc9449.issuer]]\niss = \"a\"\naud = \"b\"\n"),
            "one of `jwks_file` and `jwks_url`",
        ),
    ] {
        place.write("gateway.toml", &text);
        place.chio("gateway --config gateway.toml --check").failed(what);
    }
    place.chio("gateway").misused("--config");
}

/// As for every key: one that others can read is refused.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let place = Place::empty();
    let tls = "[tls]\ncertificate_file = \"a.pem\"\nprivate_key = \"a.key\"\n";
    place.write("a.key", "-----BEGIN PRIVATE KEY-----\n");
    place.write("gateway.toml", format!("{LISTEN}{tls}{}{PUBLIC}", upstream("http://127.0.0.1:1")));
    place.chio("gateway --config gateway.toml --check").failed("others can read the key…chmod 600");
    place.set_mode("a.key", 0o600);
    place.chio("gateway --config gateway.toml --check").failed("the private key is no key in PEM");
}
