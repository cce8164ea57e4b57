//! Devices whose keys are made by programs that nobody here wrote, and what an operator does.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::clients::script;
use crate::command::Running;
use crate::common::{Place, chio};
use crate::harness::{OK, Seen, recorder};

pub const ISSUER: &str = "https://issuer.example";

pub fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A gateway of devices, at a port, with a state.
fn configure(place: &Place, file: &str, (port, origin): (u16, &str), behind: std::net::SocketAddr, more: &str) {
    place.write(
        file,
        format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\norigin = \"{origin}\"\n[upstream]\nurl = \"http://{behind}\"\n\
             [[route]]\ntool = \"GET:/orders/:id\"\nscope = \"orders.read\"\n\
             [[route]]\ntool = \"POST:/orders\"\nscope = \"orders.write\"\n\
             [device]\n[[device.issuer]]\niss = \"{ISSUER}\"\naud = \"{origin}\"\njwks_file = \"jwks.json\"\n{more}"
        ),
    );
}

pub fn issuer(place: &Place) {
    place.chio("keygen --out oauth.key").done();
    let jwks = place.chio("http jwks oauth.key").done().to_owned();
    place.write("jwks.json", jwks);
}

pub fn token(place: &Place, file: &str, origin: &str, session: &str) {
    let words = format!(
        "http token --key oauth.key --issuer {ISSUER} --audience {origin} --subject alice --unbound --session {session} \
         --client app --scope orders.read"
    );
    place.write(file, place.chio(&words).done());
}

fn others(seen: &Seen) {
    for request in seen.lock().unwrap().iter() {
        assert!(request.contains("chio-subject: alice") && request.contains("chio-scheme: device"), "{request}");
        assert!(
            !request.contains("authorization:") && !request.contains("x-pop") && !request.contains("x-device"),
            "{request}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_openssl_and_of_webcrypto_enrol_and_sign() {
    let (behind, seen) = recorder(OK).await;
    let place = Place::empty();
    issuer(&place);
    let port = free();
    let origin = format!("http://127.0.0.1:{port}");
    configure(&place, "gateway.toml", (port, &origin), behind, "[kernel]\nstate = \"gateway.db\"\n");
    let mut running = Running::start(&place);
    running.next("listening");

    token(&place, "openssl.token", &origin, "session-1");
    let mut shell = Command::new("bash");
    shell.arg(script("device.sh")).args([&origin, "openssl.token", "GET", "/orders/42?a=1", "."]);
    let output = shell.current_dir(place.path("")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "201 200 401\n", "{}", String::from_utf8_lossy(&output.stderr));

    token(&place, "node.token", &origin, "session-2");
    let mut node = Command::new("node");
    node.arg(script("device.mjs")).args([&origin, "node.token", "GET", "/orders/42"]);
    match node.current_dir(place.path("")).stdin(Stdio::null()).output() {
        Err(_) => println!("skipped: there is no node"),
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let answered: Value = serde_json::from_slice(&output.stdout).unwrap();
            let statuses = ["enrolled", "first"].map(|name| answered[name].as_u64());
            assert_eq!(statuses, [Some(201), Some(200)], "{answered}");
            let codes = ["again", "elsewhere"].map(|name| answered[name].as_str());
            assert_eq!(codes, [Some("nonce_replayed"), Some("proof_signature_invalid")], "{answered}");
        }
    }
    others(&seen);
}

/// What the command says, while a gateway works with the state beside it.
pub fn says(place: &Place, words: &str, code: i32, what: &str) -> String {
    let output = place.command(chio()).args(words.split(' ')).stdin(Stdio::null()).output().unwrap();
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words}: {all}");
    assert!(all.contains(what), "{words}: no `{what}` in {all}");
    String::from_utf8(output.stdout).unwrap()
}

/// The id of the only device in a state.
fn the_device(place: &Place) -> String {
    let listed: Value = serde_json::from_str(&says(place, "--json device list gateway.db", 0, "")).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let device = &listed[0];
    assert_eq!((device["sub"].as_str(), device["name"].as_str()), (Some("alice"), Some("phone")), "{device}");
    assert_eq!((device["client"].as_str(), device["status"].as_str()), (Some("app"), Some("active")), "{device}");
    device["device_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_enrols_a_key_and_an_operator_turns_it_away() {
    let (behind, seen) = recorder(OK).await;
    let place = Place::empty();
    issuer(&place);
    let port = free();
    let origin = format!("http://127.0.0.1:{port}");
    token(&place, "alice.token", &origin, "session-1");
    place.chio("keygen --algorithm p256 --out phone.key").done();
    place.chio("keygen --out thief.key").done();
    configure(&place, "gateway.toml", (port, &origin), behind, "[kernel]\nstate = \"gateway.db\"\n");
    let mut running = Running::start(&place);
    running.next("listening");
    let enroll =
        |key: &str| format!("http enroll --url {origin} --key {key} --token alice.token --name phone --out {key}.json");
    let request = |key: &str| {
        format!("http request GET {origin}/orders/42 --device phone.key.json --key {key} --token alice.token")
    };
    says(&place, &enroll("phone.key"), 0, "Enrolled");
    says(&place, &enroll("thief.key"), 1, "session_of_another_device");
    says(&place, &request("phone.key"), 0, "ok");
    says(&place, &request("thief.key"), 3, "proof_signature_invalid");
    let id = the_device(&place);
    let shown = says(&place, &format!("device show gateway.db -- {id}"), 0, "alice");
    assert!(shown.contains("p256:04") && shown.contains("active"), "{shown}");
    says(&place, &format!("device suspend gateway.db --for 1h -- {id}"), 0, "suspended");
    says(&place, &request("phone.key"), 3, "device_suspended");
    says(&place, &format!("device ban gateway.db -- {id}"), 0, "banned");
    says(&place, "--json device list gateway.db", 0, "\"status\":\"banned\"");
    says(&place, &request("phone.key"), 3, "device_banned");
    says(&place, &enroll("phone.key"), 1, "is there already, and was kept");
    says(&place, &format!("{} --force", enroll("phone.key")), 1, "device_banned");
    says(&place, &format!("device reinstate gateway.db -- {id}"), 0, "welcome");
    says(&place, &request("phone.key"), 0, "ok");
    // By another word for the same.
    says(&place, &format!("state ban gateway.db scheme:device:{id}"), 0, "banned");
    says(&place, &request("phone.key"), 3, "device_banned");
    says(&place, &format!("state reinstate gateway.db scheme:device:{id}"), 0, "welcome");
    says(&place, &format!("state ban gateway.db client:{ISSUER}:app"), 0, "banned");
    says(&place, &request("phone.key"), 3, "client_banned");
    says(&place, &format!("device remove gateway.db -- {id}"), 0, "is forgotten");
    assert_eq!(says(&place, "--json device list gateway.db", 0, "[]"), "[]\n");
    says(&place, &format!("device ban gateway.db -- {}", "A".repeat(43)), 1, "there is no device of that id");
    says(&place, "device show gateway.db short", 2, "43 characters");
    assert_eq!(seen.lock().unwrap().len(), 2);
    others(&seen);
}

#[test]
fn what_is_wrong_with_devices_is_told_with_its_place() {
    let place = Place::empty();
    issuer(&place);
    let behind = "127.0.0.1:1".parse().unwrap();
    let check = |more: &str| {
        configure(&place, "gateway.toml", (1, "http://127.0.0.1:1"), behind, more);
        place.chio("gateway --config gateway.toml --check")
    };
    check("").done();
    for (more, what) in [
        ("[device.headers]\nnonce = \"authorization\"\n", "line 18, column 9…`authorization` means something else"),
        ("[device.headers]\nnonce = \"dpop\"\n", "`dpop` means something else"),
        ("[device.headers]\nnonce = \"Chio-Subject\"\n", "means something else"),
        ("[device.headers]\nnonce = \"x-forwarded-for\"\n", "means something else"),
        ("[device.headers]\nnonce = \"x_nonce\"\n", "means something else"),
        ("[device.headers]\nnonce = \"response-key\"\n", "means something else"),
        ("[device.headers]\nnonce = \"x-nonce\"\n", "means something else"),
        ("[device.headers]\nnonce = \"x-device-id\"\n", "two headers of a proof have this name"),
        ("[device.profile.a]\nclients = [\"x\"]\n[device.profile.b]\nclients = [\"x\"]\n", "and in another profile"),
        ("[device.profile.a]\nrequire = \"some\"\n", "line 18, column 11…`all`, `mutating`, `none`"),
        ("[device.client.a]\nstatus = \"gone\"\n", "`active`, `suspended`, `banned`"),
        ("[device.threat]\nreplay = \"kill\"\n", "`report`, `suspend`, `ban`"),
        ("[[route]]\ntool = \"POST:/device/enroll\"\n", "line 17, column 1…devices are enrolled at `/device/enroll`"),
    ] {
        check(more).failed(what);
    }
    let with = |line: &str| {
        let text = place.read("gateway.toml").replacen("[device]\n", &format!("[device]\n{line}\n"), 1);
        place.write("gateway.toml", text);
        place.chio("gateway --config gateway.toml --check")
    };
    for (line, what) in [
        ("window_secs = 61", "`window_secs` is at most 60"),
        ("default_profile = \"web\"", "there is no profile `web`"),
        ("abilities = \"\"", "`abilities` names a claim"),
        ("new_sessions = \"any\"", "`enrolled_devices` or `enroll`"),
        ("max_devices = 0", "at least 1"),
    ] {
        check("").done();
        with(line).failed(what);
    }
    // What is allowed, and should be known of.
    for (more, what) in [
        (
            "[device.profile.mobile]\nclients = [\"ios\"]\nrequire = \"mutating\"\n",
            "the profile `mobile` does not require",
        ),
        ("[device.threat]\nreplay = \"ban\"\n", "whoever captures a request"),
        ("[device.threat]\nsignature = \"suspend\"\n", "whoever steals a token"),
    ] {
        let run = check(more);
        run.done();
        assert!(run.stderr.contains(what), "{}", run.stderr);
    }
}
