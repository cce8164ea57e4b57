//! Programs that nobody here wrote: curl and openssl in front, nginx and Python behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use chio_core::crypto::Keypair;
use chio_http::dpop::ProofClaims;
use chio_http::gateway::{ClientCertificates, tls_server};
use chio_http::jwk::{Jwk, jwks};
use chio_http::jws::sign;
use chio_kernel::clock::{Clock as _, SystemClock};
use tempfile::TempDir;

use crate::command::Running;
use crate::common::{Place, chio};
use crate::harness::{Client, Gateway, OK, Options, recorder, status, values};

/// Whether a program is there. Where it is not, it is said that the test was not run.
fn has(program: &str) -> bool {
    let there =
        Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status();
    if there.is_err() {
        println!("not run: there is no {program}");
    }
    there.is_ok()
}

fn run(directory: &Path, command: &str) {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap());
    let done = program.args(words).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// Authorities and certificates, made by openssl.
fn certificates() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::write(at.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        std::fs::write(at.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
        for authority in ["ca", "stranger"] {
            let new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
            run(at, &format!("{new} -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"));
        }
        for (name, authority) in [("server", "ca"), ("client", "ca"), ("other", "stranger")] {
            let kind = if name == "server" { "server" } else { "client" };
            let new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
            run(at, &format!("{new} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            let sign = format!("openssl x509 -req -days 1 -CA {authority}.pem -CAkey {authority}.key -CAcreateserial");
            run(at, &format!("{sign} -in {name}.csr -out {name}.pem -extfile {kind}.ext"));
        }
        directory
    })
    .path()
}

/// What curl prints, headers too; none where it got no answer.
async fn curl(words: &[&str]) -> Option<String> {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "-i", "--max-time", "20", "--noproxy", "*", "--cacert", "ca.pem"])
        .args(words)
        .current_dir(certificates());
    let done = curl.output().await.unwrap();
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).replace("HTTP/2 ", "HTTP/2.0 "))
}

async fn with_tls(options: Options, clients: &ClientCertificates) -> Gateway {
    let at = certificates();
    let key = std::fs::read(at.join("server.key")).unwrap();
    let mut options = options;
    options.serve.tls = Some(tls_server(&at.join("server.pem"), &key, clients).unwrap());
    options.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_come_by_tls() {
    let (upstream, seen) = recorder(OK).await;
    let gateway = with_tls(Options::to(upstream), &ClientCertificates::None).await;
    let url = format!("https://{}/a", gateway.address);
    for (version, line, via) in [("--http1.1", "HTTP/1.1 200", "1.1 chio"), ("--http2", "HTTP/2.0 200", "2 chio")] {
        let cookies = ["-H", "Cookie: a=1", "-H", "Chio-Subject: root", "-d", "body"];
        let answer = curl(&[&[version, url.as_str()], &cookies[..]].concat()).await.unwrap();
        assert!(answer.starts_with(line) && answer.ends_with("ok"), "{answer}");
        let request = seen.lock().unwrap().pop().unwrap();
        assert!(request.starts_with("POST /a HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"), "{request}");
        assert_eq!(values(&request, "x-forwarded-proto"), ["https"]);
        assert_eq!(values(&request, "via"), [via]);
        assert_eq!(values(&request, "cookie"), ["a=1"]);
        assert_eq!(values(&request, "content-length"), ["4"]);
        assert!(!request.contains("root") && values(&request, "transfer-encoding").is_empty(), "{request}");
    }
    // No plain HTTP, and nothing older than TLS 1.2.
    assert!(curl(&[&url.replace("https", "http")]).await.is_none());
    assert!(curl(&[&url, "--tls-max", "1.1"]).await.is_none());
    assert!(curl(&[&url, "--tls-max", "1.2"]).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients_are_verified() {
    let (upstream, _) = recorder(OK).await;
    let ours = certificates().join("ca.pem");
    let required = with_tls(Options::to(upstream), &ClientCertificates::Required(ours.clone())).await;
    let optional = with_tls(Options::to(upstream), &ClientCertificates::Optional(ours)).await;
    let none: &[&str] = &[];
    let client: &[&str] = &["--cert", "client.pem", "--key", "client.key"];
    let other: &[&str] = &["--cert", "other.pem", "--key", "other.key"];
    for (gateway, shown, is_let_in) in [
        (&required, none, false),
        (&required, client, true),
        (&required, other, false),
        (&optional, none, true),
        (&optional, client, true),
        (&optional, other, false),
    ] {
        let url = format!("https://{}/", gateway.address);
        let answer = curl(&[&[url.as_str()], shown].concat()).await;
        assert_eq!(answer.is_some_and(|answer| status(&answer) == 200), is_let_in, "{shown:?}");
    }
    assert!(required.metrics.text().contains("chio_http_handshakes_failed_total 2\n"), "{}", required.metrics.text());
}

/// What is behind is https, and is who it says it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_by_tls_is_verified() {
    let (upstream, _) = recorder(OK).await;
    let behind = with_tls(Options::to(upstream), &ClientCertificates::None).await;
    for (authority, wanted) in [("ca.pem", 200), ("stranger.pem", 502)] {
        let mut options = Options::to_url(&format!("https://{}", behind.address));
        options.proxy.ca_file = Some(certificates().join(authority));
        let answer = options.start().await.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(status(&answer), wanted, "{authority}");
    }
}

/// A program behind the gateway, ended with the test.
struct Behind(Child);

impl Drop for Behind {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to end, and not when it is killed.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Behind {
    fn at_a_port(command: impl FnOnce(u16) -> Command) -> (Self, std::net::SocketAddr) {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command(address.port()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let behind = Self(child);
        // Connections are refused until it listens: each try waits for the operating system's answer, not for a while.
        assert!((0..2_000_000).any(|_| std::net::TcpStream::connect(address).is_ok()), "it does not listen");
        (behind, address)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_python_is_reached() {
    if !has("python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let big = "0123456789abcdef".repeat(1 << 16);
    std::fs::write(directory.path().join("big.txt"), &big).unwrap();
    let (_behind, address) = Behind::at_a_port(|port| {
        let mut python = Command::new("python3");
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(directory.path());
        python
    });
    let gateway = Gateway::before(address).await;
    for _ in 0..3 {
        let answer = gateway.exchange("GET /big.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(status(&answer), 200);
        assert!(answer.split_once("\r\n\r\n").unwrap().1 == big, "the file has changed on its way");
    }
    assert_eq!(status(&gateway.exchange("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await), 404);
    let head = gateway.exchange("HEAD /big.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(values(&head, "content-length"), [big.len().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_is_reached() {
    if !has("nginx") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (_behind, address) = Behind::at_a_port(|port| {
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = paths.iter().map(|name| format!("{name}_temp_path {name};\n")).collect();
        let config = format!(
            "daemon off; pid nginx.pid; error_log stderr; worker_processes 1;\nevents {{}}\nhttp {{ {paths} access_log off;\n\
             underscores_in_headers on; server {{ listen 127.0.0.1:{port};\n\
             location /who {{ return 200 \"$http_chio_subject|$http_x_chio_subject|$http_x_forwarded_for|$host\"; }}\n\
             location /old {{ return 304; }} location /gone {{ return 204; }} }} }}\n"
        );
        std::fs::write(at.join("nginx.conf"), config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(at).arg("-c").arg(at.join("nginx.conf")).args(["-e", "stderr"]);
        nginx
    });
    let gateway = Gateway::before(address).await;
    let forged = "Chio-Subject: root\r\nChio_Subject: root\r\nX_Chio_Subject: root\r\nX-Forwarded-For: 6.6.6.6\r\n";
    let answer = gateway.exchange(&format!("GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{forged}\r\n")).await;
    assert!(answer.ends_with("\r\n\r\n||127.0.0.1|127.0.0.1"), "{answer}");
    for (path, wanted) in [("/old", 304), ("/gone", 204)] {
        let answer = gateway.exchange(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), wanted);
    }
}

const JWKS_SERVER: &str = "
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + '/server.pem', sys.argv[2] + '/server.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// The issuer's keys by https: from whoever a trusted authority vouches for, and from nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_issuer_come_by_tls_that_is_verified() {
    if !has("python3") {
        return;
    }
    let (upstream, seen) = recorder(OK).await;
    let place = Place::empty();
    let (issuer, agent) = (Keypair::generate().unwrap(), Keypair::generate().unwrap());
    place.write("jwks.json", jwks(&[issuer.public_key()]).unwrap());
    let (_behind, address) = Behind::at_a_port(|port| {
        let mut python = Command::new("python3");
        python.args(["-c", JWKS_SERVER, &port.to_string()]).arg(certificates()).current_dir(place.path(""));
        python
    });
    let origin = "https://api.example";
    place.write(
        "gateway.toml",
        format!(
            "[listen]\naddress = \"127.0.0.1:0\"\norigin = \"{origin}\"\n[upstream]\nurl = \"http://{upstream}\"\n\
             [[route]]\ntool = \"GET:/orders\"\n[[rfc9449.issuer]]\niss = \"issuer\"\naud = \"api\"\n\
             jwks_url = \"https://{address}/jwks.json\"\n"
        ),
    );
    let now = SystemClock.now().unwrap();
    let jkt = Jwk::of(&agent.public_key()).unwrap().thumbprint();
    let claims = format!(r#"{{"iss":"issuer","aud":"api","sub":"a","exp":{},"cnf":{{"jkt":"{jkt}"}}}}"#, now + 600);
    let token = sign(&issuer, "", claims.as_bytes()).unwrap();
    for (trusted, expected) in [("ca.pem", 200), ("stranger.pem", 503)] {
        let mut command = place.command(chio());
        command.env("SSL_CERT_FILE", certificates().join(trusted)).env_remove("SSL_CERT_DIR");
        let mut running = Running::run(command);
        let gateway = running.next("listening");
        let url = format!("{origin}/orders");
        let ask = async |nonce: Option<&str>| {
            let (now, token, url) = (SystemClock.now().unwrap(), Some(&*token), &*url);
            let (query, body, response_key) = (None, None, None);
            let claims = ProofClaims { method: "GET", url, now, token, nonce, query, body, response_key };
            let head = format!("Authorization: DPoP {}\r\nDPoP: {}", token.unwrap(), claims.sign(&agent).unwrap());
            let mut client = Client(tokio::net::TcpStream::connect(gateway).await.unwrap());
            let request = format!("GET /orders HTTP/1.1\r\nHost: api.example\r\n{head}\r\nConnection: close\r\n\r\n");
            client.write(&request).await;
            client.rest().await
        };
        let mut answer = ask(None).await;
        // Right after its start, with a state in memory, a gateway asks for a nonce of its own.
        if let [nonce] = values(&answer, "dpop-nonce")[..] {
            answer = ask(Some(nonce)).await;
        }
        assert_eq!(status(&answer), expected, "{trusted} {answer}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}
