//! Sealed answers: what is in them, and a test for each attack.

use std::process::Command;

use chio_core::digest::Digest;
use chio_core::receipt::{Event, OutcomeStatus};
use chio_http::Body;
use chio_http::dpop::{ProofClaims, signed_digest};
use chio_http::guard::BODIES_LIMIT;
use chio_http::sealed::{MEDIA_TYPE, OpenError, ResponseSecret, Sealing, open};
use hyper::body::Body as _;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tower_service::Service as _;

use crate::world::*;

const KEY: &str = "response-key";

fn secret() -> ResponseSecret {
    ResponseSecret::from_bytes([77; 32])
}

/// A proof that covers a key, and the request with it.
fn asking(method: &str, path: &str, secret: &ResponseSecret) -> (String, Request<Body>) {
    let (client, url) = (client(), format!("{ORIGIN}{path}"));
    let claims = ProofClaims { response_key: Some(secret.header()), ..client.claims(method, &url) };
    let proof = claims.sign(&client.key).unwrap();
    let mut request = client.with_proof(method, path, &proof);
    request.headers_mut().insert(KEY, secret.header().parse().unwrap());
    (proof, request)
}

fn world_of(service: Echo) -> World {
    World::of(Setting { service, ..Setting::default() }, vec![issuer(&issuer_key())])
}

#[tokio::test]
async fn whoever_asks_is_answered_in_a_box_that_names_the_request() {
    let headers =
        vec![("set-cookie", "session=1"), ("x-other", "a"), ("content-type", "text/plain"), ("date", "a date")];
    let mut world = world_of(Echo { status: Some(StatusCode::CREATED), headers, ..Echo::default() });
    let secret = ResponseSecret::generate().unwrap();
    let (proof, request) = asking("GET", "/orders/1", &secret);
    let got = world.send(request).await;
    assert_eq!((got.status, got.header("content-type")), (201, MEDIA_TYPE.to_owned()));
    assert_eq!((got.header("cache-control"), got.header("date")), ("no-store".into(), "a date".into()));
    assert_eq!(got.header("content-length"), got.body.len().to_string());
    assert_eq!(got.headers.len(), 4, "nothing else stands outside: {:?}", got.headers);
    let answer = open(&secret, &got.body, signed_digest(&proof)).unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (201, &b"answer"[..]));
    assert_eq!(answer.headers["set-cookie"], "session=1");
    assert_eq!(answer.headers["x-other"], "a");
    assert!(!world.last().headers.contains_key(KEY), "no service sees the key");
    // The receipts are of what the service has answered, and name the request as the box does.
    let Event::Decision(decision) = &world.receipts.all()[0].body.event.clone() else { panic!() };
    assert_eq!(decision.proof_hash, Some(signed_digest(&proof)));
    let outcome = &world.outcomes().await[0];
    assert_eq!((outcome.status, outcome.result_hash), (OutcomeStatus::Ok, Some(Digest::of(b"answer"))));
}

/// Whoever stands in between puts a key of his own there, takes the client's out, or adds one.
#[tokio::test]
async fn a_key_that_the_proof_does_not_cover_is_refused_and_so_is_one_that_is_missing() {
    let mut world = world_of(Echo::default());
    let theirs = ResponseSecret::from_bytes([66; 32]);
    let bound = answer(401, "proof_binding_mismatch", "invalid_dpop_proof");
    let (_, mut request) = asking("GET", "/orders/1", &secret());
    request.headers_mut().insert(KEY, theirs.header().parse().unwrap());
    let got = world.send(request).await;
    assert_eq!(got.answer(), bound, "a refusal is not sealed either");
    let (_, mut request) = asking("GET", "/orders/1", &secret());
    request.headers_mut().remove(KEY);
    assert_eq!(world.send(request).await.answer(), bound);
    let mut request = client().request("GET", "/orders/1");
    request.headers_mut().insert(KEY, theirs.header().parse().unwrap());
    assert_eq!(world.send(request).await.answer(), bound);

    let malformed = answer(400, "proof_malformed", "invalid_request");
    let (_, mut request) = asking("GET", "/orders/1", &secret());
    request.headers_mut().append(KEY, theirs.header().parse().unwrap());
    assert_eq!(world.send(request).await.answer(), malformed);
    for wrong in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "!", &secret().header()[1..]] {
        let claims = client();
        let claims = ProofClaims { response_key: Some(wrong), ..claims.claims("GET", ONE) };
        let mut request = client().with_proof("GET", "/orders/1", &claims.sign(&client_key()).unwrap());
        request.headers_mut().insert(KEY, wrong.parse().unwrap());
        assert_eq!(world.send(request).await.answer(), malformed, "{wrong}");
    }
    assert_eq!(world.send(asking("HEAD", "/orders/1", &secret()).1).await.status, 400);
    let (_, mut request) = asking("GET", "/orders/1", &secret());
    request.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    assert_eq!(world.send(request).await.answer(), malformed);
    assert_eq!(world.seen(), 0);
}

#[tokio::test]
async fn the_answer_to_another_request_of_the_same_client_is_not_taken() {
    let mut world = world_of(Echo::default());
    let (first, request) = asking("GET", "/orders/1", &secret());
    let one = world.send(request).await.body;
    let (second, request) = asking("GET", "/orders/2", &secret());
    let other = world.send(request).await.body;
    assert!(open(&secret(), &one, signed_digest(&first)).is_ok());
    assert_eq!(open(&secret(), &other, signed_digest(&first)).unwrap_err(), OpenError::Request);
    assert_eq!(open(&secret(), &one, signed_digest(&second)).unwrap_err(), OpenError::Request);
}

#[tokio::test]
async fn what_cannot_be_sealed_is_not_sent_and_what_has_no_body_gets_one() {
    for service in [
        Echo { answer: Some(Answer::Endless), ..Echo::default() },
        Echo { answer: Some(Answer::Broken), ..Echo::default() },
        Echo { headers: vec![("content-type", "text/event-stream; charset=utf-8")], ..Echo::default() },
        Echo { headers: vec![("set-cookie", "secret=1")], answer: Some(Answer::Endless), ..Echo::default() },
    ] {
        let mut world = world_of(service);
        let got = world.send(asking("GET", "/orders/1", &secret()).1).await;
        assert_eq!(got.answer(), answer(502, "answer_not_sealed", ""));
        assert!(!got.headers.contains_key("set-cookie") && !String::from_utf8_lossy(&got.body).contains("part"));
        assert_eq!(world.outcomes().await[0].status, OutcomeStatus::Failed);
    }
    for (inner, outer) in [(204, 200), (206, 200), (304, 200), (302, 302), (404, 404), (500, 500)] {
        let mut world = world_of(Echo { status: Some(StatusCode::from_u16(inner).unwrap()), ..Echo::default() });
        let (proof, request) = asking("GET", "/orders/1", &secret());
        let got = world.send(request).await;
        assert_eq!(got.status, outer);
        assert_eq!(open(&secret(), &got.body, signed_digest(&proof)).unwrap().status.as_u16(), inner);
    }
}

#[tokio::test]
async fn where_it_is_required_nobody_is_answered_otherwise() {
    let required = Sealing { required: true, ..Sealing::default() };
    for (sealing, path) in [(Sealing::default(), "/vault/1"), (required, "/orders/1")] {
        let mut world = World::of(Setting { sealing, ..Setting::default() }, vec![issuer(&issuer_key())]);
        let got = world.send(client().request("GET", path)).await;
        assert_eq!(got.answer(), answer(400, "proof_malformed", "response_key_required"));
        assert_eq!(world.seen(), 0);
        let (proof, request) = asking("GET", path, &secret());
        let got = world.send(request).await;
        assert!(open(&secret(), &got.body, signed_digest(&proof)).is_ok());
        let bare = bare("GET", path).body(Body::empty()).unwrap();
        assert_eq!(world.send(bare).await.answer(), answer(401, "proof_missing", ""));
    }
}

#[tokio::test]
async fn no_more_answers_are_held_than_there_is_room_for() {
    let sealing = Sealing { body_limit: BODIES_LIMIT, ..Sealing::default() };
    let mut world = World::of(Setting { sealing, ..Setting::default() }, vec![issuer(&issuer_key())]);
    let held = world.service.call(asking("GET", "/orders/1", &secret()).1).await.unwrap();
    let got = world.send(asking("GET", "/orders/1", &secret()).1).await;
    assert_eq!((got.status, world.seen()), (503, 1), "it is refused before it has an effect");
    // Nor is there room while it is in some buffer, on its way.
    let mut body = held.into_body();
    let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
    let bytes = frame.unwrap().unwrap().into_data().unwrap();
    drop(body);
    let rest = bytes.slice(1..);
    drop(bytes);
    assert_eq!(world.send(asking("GET", "/orders/1", &secret()).1).await.status, 503);
    drop(rest);
    assert_eq!(world.send(asking("GET", "/orders/1", &secret()).1).await.header("content-type"), MEDIA_TYPE);
}

/// Python and JavaScript open what is sealed here.
#[test]
fn libsodium_opens_what_is_sealed_here() {
    let Some(peers) = chio_tests::peers() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (proof, request) = asking("GET", "/orders/1", &secret());
    let body = runtime.block_on(async { world_of(Echo::default()).send(request).await.body });
    let (sealed, key) = (hex::encode(&body), hex::encode([77; 32]));
    let python = "import sys\nfrom nacl.public import PrivateKey, SealedBox\nkey = PrivateKey(bytes.fromhex(sys.argv[1]))\n\
                  sys.stdout.buffer.write(SealedBox(key).decrypt(bytes.fromhex(sys.argv[2])))";
    let script = "const sodium = require('libsodium-wrappers')\nsodium.ready.then(() => {\n\
                  const [key, box] = process.argv.slice(-2).map(text => sodium.from_hex(text))\n\
                  const open = sodium.crypto_box_seal_open(box, sodium.crypto_scalarmult_base(key), key)\n\
                  process.stdout.write(Buffer.from(open)) })";
    let node = peers.join("python/bin/node");
    let node = if node.exists() { node } else { "node".into() };
    for (program, flag, text) in [(peers.join("python/bin/python"), "-c", python), (node, "-e", script)] {
        let done = Command::new(program).args([flag, text, &key, &sealed]).current_dir(&peers).output().unwrap();
        let plain = String::from_utf8(done.stdout).unwrap();
        let (head, body) =
            plain.split_once('\n').unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(body, "answer");
        let head: serde_json::Value = serde_json::from_str(head).unwrap();
        assert_eq!((&head["status"], &head["request"]), (&200.into(), &signed_digest(&proof).to_string().into()));
    }
}
