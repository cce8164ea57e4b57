//! Clients of RFC 9449 that nobody here wrote, with tokens of an issuer that nobody here wrote, before a service in Python.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::Running;
use crate::common::Place;
use crate::harness::{OK, recorder};

const ISSUER: &str = "https://issuer.example";

pub fn script(name: &str) -> String {
    chio_tests::repository().join("tests/peers").join(name).display().to_string()
}

fn issuer(place: &Place, alg: &str) {
    let mut node = Command::new("node");
    let folder = place.path("");
    let made = node.arg(script("dpop.mjs")).args(["issuer"]).arg(folder).args([alg, ISSUER]).status().unwrap();
    assert!(made.success());
}

fn asked(mut command: Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_people_are_let_through_once_a_proof() {
    let Some(peers) = chio_tests::peers() else { return };
    let (behind, seen) = recorder(OK).await;
    for (issuer_alg, server_nonce) in [("ES256", false), ("RS256", true), ("EdDSA", false)] {
        let place = Place::empty();
        issuer(&place, issuer_alg);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let origin = format!("http://127.0.0.1:{port}");
        place.write(
            "gateway.toml",
            format!(
                "[listen]\naddress = \"127.0.0.1:{port}\"\norigin = \"{origin}\"\n[upstream]\nurl = \"http://{behind}\"\n\
                 [[route]]\ntool = \"GET:/orders/:id\"\nscope = \"orders.read\"\n\
                 [[route]]\ntool = \"POST:/orders\"\nscope = \"orders.write\"\n\
                 [rfc9449]\nserver_nonce = {server_nonce}\n\
                 [[rfc9449.issuer]]\niss = \"{ISSUER}\"\naud = \"{origin}\"\njwks_file = \"jwks.json\"\n"
            ),
        );
        let mut running = Running::start(&place);
        running.next("listening");
        let folder = place.path("").display().to_string();
        for (library, alg) in [
            ("jose", "ES256"),
            ("jose", "ES384"),
            ("jose", "EdDSA"),
            ("dpop", "ES256"),
            ("dpop", "Ed25519"),
            ("oauth4webapi", "ES256"),
            ("oauth4webapi", "Ed25519"),
            ("requests_oauth2client", "ES256"),
            ("requests_oauth2client", "EdDSA"),
        ] {
            for (method, path) in [("GET", "/orders/42?full=1"), ("POST", "/orders")] {
                seen.lock().unwrap().clear();
                let url = format!("{origin}{path}");
                let mut command = if library == "requests_oauth2client" {
                    let mut python = Command::new(peers.join("python/bin/python"));
                    python.arg(script("dpop.py")).arg(&folder);
                    python
                } else {
                    let mut node = Command::new("node");
                    node.env("CHIO_PEERS", &peers).arg(script("dpop.mjs")).args(["call", &folder, library]);
                    node
                };
                command.args([alg, ISSUER, &origin, method, &url]);
                let answered = asked(command);
                let statuses = ["first", "other", "again"].map(|which| answered[which].as_u64());
                assert_eq!(statuses, [Some(200), Some(200), Some(401)], "{library} {alg} {method} {issuer_alg}");
                let seen = seen.lock().unwrap();
                assert_eq!(seen.len(), 2, "{library}: the one that was sent again did not arrive");
                for request in seen.iter() {
                    assert!(
                        request.contains("chio-subject: alice") && request.contains("chio-scheme: rfc9449"),
                        "{request}"
                    );
                    assert!(!request.contains("authorization:") && !request.contains("dpop:"), "{request}");
                }
            }
        }
    }
}
