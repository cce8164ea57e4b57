//! The vectors of RFC 9807, and a client of other people, against the suite that sessions are opened with.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use chio_tests::third_party;
use opaque_ke::ksf::Identity;
use opaque_ke::rand::{CryptoRng, Error, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, Identifiers, Ristretto255, ServerLogin, ServerLoginParameters,
    ServerRegistration, ServerSetup, TripleDh,
};
use serde_json::{Value, json};

use crate::session::{Shared, open, place};
use crate::world::{NOW, ORIGIN};

/// Ours, with the key stretching of the vectors: none.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_010::Sha512>;
    type Ksf = Identity;
}

/// Gives out what it was given.
struct Script(Vec<u8>);

impl Script {
    fn of(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        unreachable!()
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&std::mem::replace(&mut self.0, rest));
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Script {}

/// All that the public interface of the crate lets be repeated, which is every message and every key of a login.
#[test]
fn the_vectors_of_the_rfc() {
    let Some(folder) = third_party("opaque_rfc9807") else { return };
    let vectors: Value = serde_json::from_slice(&std::fs::read(folder.join("rfc9807_vectors.json")).unwrap()).unwrap();
    let (mut real, mut fake) = (0, 0);
    for vector in vectors.as_array().unwrap() {
        let config = &vector["config"];
        if config["Group"] != "ristretto255" {
            continue;
        }
        let hex = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let input = |name: &str| hex(&vector["inputs"][name]);
        let output = |name: &str| hex(&vector["outputs"][name]);
        let context = hex(&config["Context"]);
        let identity = |name: &str| vector["inputs"].get(name).map(hex);
        let (client, server) = (identity("client_identity"), identity("server_identity"));
        let identifiers = || Identifiers { client: client.as_deref(), server: server.as_deref() };
        let parameters = || ServerLoginParameters { context: Some(&context), identifiers: identifiers() };
        let is_fake = config["Fake"] == "True";
        // The third is the key of users who are none; any will do where there is one.
        let third = if is_fake { input("client_public_key") } else { input("server_public_key") };
        let setup = [input("oprf_seed"), input("server_private_key"), third].concat();
        let setup = ServerSetup::<Suite>::deserialize(&setup).unwrap();
        let id = input("credential_identifier");
        let masking_key = if is_fake { input("masking_key") } else { vec![0; 64] };
        let of_server =
            [&masking_key[..], &input("masking_nonce"), &input("server_keyshare_seed"), &input("server_nonce")];
        if is_fake {
            let request = CredentialRequest::deserialize(&input("KE1")).unwrap();
            let started =
                ServerLogin::start(&mut Script::of(&of_server), &setup, None, request, &id, parameters()).unwrap();
            assert_eq!(started.message.serialize().to_vec(), output("KE2"));
            fake += 1;
            continue;
        }
        // A scalar is made of 64 bytes; the vectors have it reduced.
        let blind = |name: &str| [input(name), vec![0; 32]].concat();
        let password = input("password");
        let started = ClientRegistration::<Suite>::start(&mut Script(blind("blind_registration")), &password).unwrap();
        assert_eq!(started.message.serialize().to_vec(), output("registration_request"));
        let response = ServerRegistration::start(&setup, started.message, &id).unwrap().message;
        assert_eq!(response.serialize().to_vec(), output("registration_response"));
        let finish = ClientRegistrationFinishParameters::new(identifiers(), None);
        let finished = started.state.finish(&mut Script(input("envelope_nonce")), &password, response, finish).unwrap();
        assert_eq!(finished.message.serialize().to_vec(), output("registration_upload"));
        assert_eq!(finished.export_key.to_vec(), output("export_key"));
        let record = ServerRegistration::finish(finished.message);

        let of_client = [&blind("blind_login")[..], &input("client_keyshare_seed"), &input("client_nonce")];
        let started = ClientLogin::<Suite>::start(&mut Script::of(&of_client), &password).unwrap();
        assert_eq!(started.message.serialize().to_vec(), output("KE1"));
        let answered =
            ServerLogin::start(&mut Script::of(&of_server), &setup, Some(record), started.message, &id, parameters())
                .unwrap();
        assert_eq!(answered.message.serialize().to_vec(), output("KE2"));
        let finish = ClientLoginFinishParameters::new(Some(&context), identifiers(), None);
        let finished = started.state.finish(&mut Script(Vec::new()), &password, answered.message, finish).unwrap();
        assert_eq!(finished.message.serialize().to_vec(), output("KE3"));
        assert_eq!(finished.export_key.to_vec(), output("export_key"));
        assert_eq!(finished.session_key.to_vec(), output("session_key"));
        let third = CredentialFinalization::deserialize(&output("KE3")).unwrap();
        assert_eq!(answered.state.finish(third, parameters()).unwrap().session_key.to_vec(), output("session_key"));
        real += 1;
    }
    assert_eq!((real, fake), (2, 1));
}

/// One step of `@serenity-kit/opaque`.
fn step(peers: &Path, name: &str, parameters: &Value) -> Value {
    let script = chio_tests::repository().join("tests/peers/opaque.mjs");
    let mut node = Command::new("node")
        .env("CHIO_PEERS", peers)
        .arg(script)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(parameters.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Its keys are ours: a request that is proven by what it has agreed on passes. Wrong passwords and unknown users fail alike.
#[tokio::test]
async fn a_client_of_other_people_registers_and_logs_in() {
    let Some(peers) = chio_tests::peers() else { return };
    let shared = Shared::new();
    let mut gateway = shared.gateway(open());
    let password = "correct horse battery";
    let started = step(&peers, "startRegistration", &json!({"password": password}));
    let asked = json!({"user": "alice", "registration_request": started["registrationRequest"]});
    let (status, answer) = gateway.post("/session/register/start", &asked.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let finished = step(
        &peers,
        "finishRegistration",
        &json!({
            "password": password,
            "registrationResponse": answer["registration_response"],
            "clientRegistrationState": started["clientRegistrationState"],
        }),
    );
    let asked = json!({"user": "alice", "registration_record": finished["registrationRecord"]});
    assert_eq!(gateway.post("/session/register/finish", &asked.to_string()).await.0, 200);

    let mut outcomes = Vec::new();
    for (user, password) in [("alice", password), ("alice", "wrong"), ("nobody", password)] {
        let started = step(&peers, "startLogin", &json!({"password": password}));
        let asked = json!({"user": user, "login_request": started["startLoginRequest"]});
        let (status, answer) = gateway.post("/session/login/start", &asked.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let finished = step(
            &peers,
            "finishLogin",
            &json!({
                "password": password,
                "loginResponse": answer["login_response"],
                "clientLoginState": started["clientLoginState"],
            }),
        );
        outcomes.push((answer["login"].clone(), finished));
    }
    assert_eq!((&outcomes[1].1, &outcomes[2].1), (&Value::Null, &Value::Null));
    let (login, finished) = &outcomes[0];
    let asked = json!({"login": login, "login_finalization": finished["finishLoginRequest"]});
    let (status, answer) = gateway.post("/session/login/finish", &asked.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    // And our client, by the default stretching, is the same as theirs.
    let user = chio_http::opaque::User::parse("alice").unwrap();
    let stretch = chio_http::opaque::Stretch::default();
    let place = place();
    chio_http::opaque::client::login(&gateway, &place, (&user, password.as_bytes()), &stretch).await.unwrap();
    // The proof is made by Node's own crypto, from the text of docs/http.md.
    let headers = step(
        &peers,
        "prove",
        &json!({
            "sessionKey": finished["sessionKey"], "origin": ORIGIN, "session": answer["session"], "user": "alice",
            "method": "POST", "target": "/orders/1?a=1", "body": "{}", "timestamp": NOW.to_string(), "nonce": "n-1",
        }),
    );
    let send = || {
        let mut request = crate::world::bare("POST", "/orders/1?a=1");
        for (name, value) in headers.as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body(chio_http::Body::whole("{}")).unwrap()
    };
    assert_eq!(gateway.send(send()).await.status, 200);
    assert_eq!(gateway.send(send()).await.answer().1, "nonce_replayed");
}
