//! What passes, and how; and what each refusal is told as.

use chio_core::receipt::Event;
use chio_http::Caller;

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
