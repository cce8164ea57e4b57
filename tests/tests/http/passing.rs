//! What passes, and how; and what each refusal is told as.

use chio_core::receipt::Event;
use chio_http::Caller;
use chio_http::dpop::ProofClaims;

use chio_http::Body;
use chio_http::guard::{BODIES_LIMIT, BODY_LIMIT};
use tower_service::Service as _;

use crate::world::*;

#[tokio::test]
async fn a_request_that_is_proven_passes_without_its_credentials_and_once() {
    let (mut world, client) = (world(), client());
    let proof = client.proof("GET", "/orders/42");
    let mut request = client.with_proof("GET", "/orders/42?q=1", &proof);
    request.headers_mut().insert("x-other", "kept".parse().unwrap());
    request.extensions_mut().insert(Caller {
        scheme: "forged",
        principal: "root".into(),
        subject: None,
        scope: None,
        subcap: Vec::new(),
        receipt: None,
    });
    let got = world.send(request).await;
    assert_eq!((got.status, &*got.body), (200, &b"answer"[..]));
    let seen = world.last();
    assert_eq!((&*seen.path, seen.headers["x-other"].as_str()), ("/orders/42?q=1", "kept"));
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("dpop"));
    let caller = seen.caller.unwrap();
    let principal = format!("scheme:rfc9449:{}", thumbprint(&client.key));
    assert_eq!((caller.scheme, &caller.principal, caller.receipt), ("rfc9449", &principal, Some(1)));
    assert_eq!((caller.subject.as_deref(), caller.scope.as_deref()), (Some("agent-1"), Some("orders read")));

    let replayed = world.send(client.with_proof("GET", "/orders/42?q=1", &proof)).await;
    assert_eq!(replayed.answer(), answer(401, "nonce_replayed", "invalid_dpop_proof"));
    assert_eq!(world.seen(), 1);
    let receipts = world.receipts.all();
    let Event::Decision(decision) = &receipts[0].body.event else { panic!() };
    assert_eq!((&*decision.tool_server, &*decision.tool_name), (ORIGIN, "GET:/orders/:id"));
    assert_eq!((decision.subject.as_ref(), decision.proof_hash.is_some()), (Some(&principal), true));
}

/// The answer tells the nonce to use, and the client that uses it passes.
async fn with_the_nonce_it_is_told(world: &mut World, first: hyper::Request<chio_http::Body>, code: &str) -> String {
    let client = client();
    let got = world.send(first).await;
    assert_eq!(got.answer(), answer(401, code, "use_dpop_nonce"), "{got:?}");
    let nonce = got.header("dpop-nonce");
    let claims = ProofClaims { nonce: Some(&nonce), ..client.claims("GET", ONE) };
    let proof = claims.sign(&client.key).unwrap();
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.status, 200);
    let replayed = world.send(client.with_proof("GET", "/orders/1", &proof)).await;
    assert_eq!(replayed.answer(), answer(401, "nonce_replayed", "invalid_dpop_proof"));
    nonce
}

#[tokio::test]
async fn right_after_a_start_a_client_is_told_what_to_do() {
    let client = client();
    for nonces in [false, true] {
        let setting = Setting { started: NOW, nonces, ..Setting::default() };
        let mut world = World::of(setting, vec![issuer(&issuer_key())]);
        let code = if nonces { "proof_malformed" } else { "proof_predates_kernel" };
        with_the_nonce_it_is_told(&mut world, client.request("GET", "/orders/1"), code).await;
        // A nonce of the kernel that went before is none of this one, and no way around its rule.
        let epoch = world.kernel.new_nonce().unwrap();
        for forged in [&*epoch, "x"] {
            let claims = ProofClaims { nonce: Some(forged), ..client.claims("GET", ONE) };
            let got = world.send(client.with_proof("GET", "/orders/1", &claims.sign(&client.key).unwrap())).await;
            assert_eq!(got.answer(), answer(401, "proof_malformed", "use_dpop_nonce"));
        }
    }
}

#[tokio::test]
async fn nonces_are_asked_for_where_the_switch_is_on_and_renewed_in_time() {
    let client = client();
    let mut world = World::of(Setting { nonces: true, ..Setting::default() }, vec![issuer(&issuer_key())]);
    let nonce = with_the_nonce_it_is_told(&mut world, client.request("GET", "/orders/1"), "proof_malformed").await;
    let at = |now, nonce: &str| {
        let claims = ProofClaims { now, nonce: Some(nonce), ..client.claims("GET", ONE) };
        client.with_proof("GET", "/orders/1", &claims.sign(&client.key).unwrap())
    };
    world.clock.set(NOW + 61);
    let got = world.send(at(NOW + 61, &nonce)).await;
    assert_eq!(got.status, 200);
    let renewed = got.header("dpop-nonce");
    assert!(!renewed.is_empty() && renewed != nonce);
    world.clock.set(NOW + 121);
    assert_eq!(world.send(at(NOW + 121, &nonce)).await.answer().2, "use_dpop_nonce");
    assert_eq!(world.send(at(NOW + 121, &renewed)).await.status, 200);
}

#[tokio::test]
async fn a_proof_that_was_spent_is_not_spent_again_as_another() {
    // Its nonce ends while it is fresh: it must not count as one without a nonce then.
    let client = client();
    let mut world = world();
    let nonces = chio_http::server_nonce::ServerNonces::with_key(world.kernel.clone(), false, &[9; 32]);
    let nonce = nonces.give(NOW - 115).unwrap();
    let claims = ProofClaims { nonce: Some(&nonce), ..client.claims("GET", ONE) };
    let proof = claims.sign(&client.key).unwrap();
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.status, 200);
    world.clock.set(NOW + 10);
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.answer().2, "use_dpop_nonce");
    assert_eq!(world.seen(), 1);
}

#[tokio::test]
async fn what_is_full_or_down_is_told_as_such() {
    use chio_kernel::config::DpopConfig;
    let client = client();
    let small = |builder: chio_kernel::KernelBuilder| {
        let dpop = DpopConfig { nonce_store_capacity: 8, ..DpopConfig::default() };
        builder.settings(chio_kernel::Settings { dpop, ..chio_kernel::Settings::default() })
    };
    let mut world = World::of(Setting { kernel: small, ..Setting::default() }, vec![issuer(&issuer_key())]);
    assert_eq!(world.send(client.request("GET", "/orders/1")).await.status, 200);
    let got = world.send(client.request("GET", "/orders/1")).await;
    assert_eq!(got.answer(), answer(429, "nonce_quota_exceeded", ""));
    assert_eq!((got.header("retry-after"), got.header("www-authenticate")), ("5".into(), String::new()));
    world.clock.set(u64::MAX);
    let got = world.send(client.request("GET", "/orders/1")).await;
    assert_eq!(got.answer(), answer(503, "clock_unavailable", ""));
}

#[tokio::test]
async fn an_issuer_whose_keys_cannot_be_had_is_nobodys_fault() {
    let keys = chio_http::keys::Keys::url("http://127.0.0.1:1/jwks", chio_http::keys::Refresh::default()).unwrap();
    let issuer = chio_http::issuer::Issuer { keys, ..issuer(&issuer_key()) };
    let mut world = World::of(Setting::default(), vec![issuer]);
    let got = world.send(client().request("GET", "/orders/1")).await;
    assert_eq!(got.answer(), answer(503, "store_unavailable", ""));
    assert!(!got.header("retry-after").is_empty() && !String::from_utf8(got.body).unwrap().contains("127.0.0.1"));
}

#[tokio::test]
async fn what_is_open_to_everybody_sees_no_credentials_either() {
    let mut world = world();
    assert_eq!(world.send(client().request("GET", "/about")).await.status, 200);
    let seen = world.last();
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("dpop"), "{seen:?}");
    assert_eq!(seen.caller, None);
    // What is none of ours is between the client and the service.
    let own = bare("GET", "/about").header("authorization", "Basic YTpi").body(Body::empty()).unwrap();
    assert_eq!(world.send(own).await.status, 200);
    assert_eq!(world.last().headers["authorization"], "Basic YTpi");
}

/// What a body takes is given back, however slowly it comes.
#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let (client, setting) = (client(), Setting { body_deadline: at_once(), ..Setting::default() });
    let mut world = World::of(setting, vec![issuer(&issuer_key())]);
    for _ in 0..=BODIES_LIMIT.div_ceil(BODY_LIMIT) {
        let claims = ProofClaims { body: Some(b"never"), ..client.claims("POST", ONE) };
        let proof = claims.sign(&client.key).unwrap();
        let request = client.with_proof("POST", "/orders/1", &proof).map(|_| in_steps([], false));
        let mut service = world.service.clone();
        let sent = tokio::spawn(async move { Got::of(service.call(request).await.unwrap()).await });
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        assert!(sent.is_finished(), "it is waited for");
        assert_eq!(sent.await.unwrap().answer(), answer(408, "body_too_late", ""));
    }
    assert_eq!(world.seen(), 0);
    let claims = ProofClaims { body: Some(b"whole"), ..client.claims("POST", ONE) };
    let request = client.with_proof("POST", "/orders/1", &claims.sign(&client.key).unwrap());
    assert_eq!(world.send(request.map(|_| Body::whole("whole"))).await.status, 200);
}

/// Whoever has one proof can send it with any number of bodies.
#[tokio::test]
async fn no_more_bodies_are_held_than_there_is_room_for() {
    let (mut world, client) = (world(), client());
    let never = || {
        let mut request = client.request("GET", "/orders/1").map(|_| in_steps([], false));
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        let mut service = world.service.clone();
        tokio::spawn(async move { service.call(request).await })
    };
    let waiting: Vec<_> = (0..BODIES_LIMIT.div_ceil(BODY_LIMIT)).map(|_| never()).collect();
    let refused = never();
    for _ in 0..BODIES_LIMIT.div_ceil(BODY_LIMIT) {
        tokio::task::yield_now().await;
    }
    assert!(refused.is_finished(), "it is answered at once");
    let refused = refused.await.unwrap().unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    waiting.into_iter().for_each(|waiting| waiting.abort());
    tokio::task::yield_now().await;
    assert_eq!(world.send(client.request("GET", "/orders/1")).await.status, 200);
}
