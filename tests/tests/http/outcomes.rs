//! What is on record of a request that passed, whoever goes away in between; and the modes.

use std::pin::Pin;

use chio_core::digest::Digest;
use chio_core::receipt::{Event, OutcomeStatus};
use chio_http::Body;
use chio_kernel::config::Mode;
use hyper::StatusCode;
use hyper::body::Body as _;
use tower_service::Service as _;

use crate::world::*;

async fn outcome_of(service: Echo, method: &str) -> (OutcomeStatus, Option<Digest>) {
    let mut world = World::of(Setting { service, ..Setting::default() }, vec![issuer(&issuer_key())]);
    world.send(client().request(method, "/orders/1")).await;
    let outcomes = world.outcomes().await;
    assert_eq!((outcomes.len(), outcomes[0].of), (1, 1));
    (outcomes[0].status, outcomes[0].result_hash)
}

#[tokio::test]
async fn an_answer_that_was_sent_is_on_record_with_its_digest() {
    let hash = Some(Digest::of(b"answer"));
    let with = |status| Echo { status: Some(status), ..Echo::default() };
    assert_eq!(outcome_of(Echo::default(), "GET").await, (OutcomeStatus::Ok, hash));
    assert_eq!(outcome_of(with(StatusCode::FOUND), "GET").await, (OutcomeStatus::Ok, hash));
    assert_eq!(outcome_of(with(StatusCode::NOT_FOUND), "GET").await, (OutcomeStatus::ToolError, hash));
    assert_eq!(outcome_of(with(StatusCode::BAD_GATEWAY), "GET").await, (OutcomeStatus::ToolError, hash));
    let told = Echo { outcome: Some(OutcomeStatus::TimedOut), ..with(StatusCode::GATEWAY_TIMEOUT) };
    assert_eq!(outcome_of(told, "GET").await, (OutcomeStatus::TimedOut, hash));
    let unreached = Echo { outcome: Some(OutcomeStatus::NotReached), ..with(StatusCode::BAD_GATEWAY) };
    assert_eq!(outcome_of(unreached, "GET").await, (OutcomeStatus::NotReached, None));
    let broken = Echo { answer: Some(Answer::Broken), ..Echo::default() };
    assert_eq!(outcome_of(broken, "GET").await, (OutcomeStatus::Failed, None));
}

#[tokio::test]
async fn whoever_goes_away_leaves_an_outcome() {
    let endless = || Echo { answer: Some(Answer::Endless), ..Echo::default() };
    let world = || World::of(Setting { service: endless(), ..Setting::default() }, vec![issuer(&issuer_key())]);
    // The client, while the answer is sent.
    let mut one = world();
    let mut body = one.service.call(client().request("GET", "/orders/1")).await.unwrap().into_body();
    std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
    assert!(one.outcomes().await.is_empty());
    drop(body);
    assert_eq!(one.outcomes().await[0].status, OutcomeStatus::Failed);
    // To HEAD no body is sent, and that is no failure.
    let mut head = world();
    drop(head.service.call(client().request("HEAD", "/orders/1")).await.unwrap());
    assert_eq!(head.outcomes().await[0].status, OutcomeStatus::Ok);
    // What is denied has none.
    let mut denied = world();
    denied.send(bare("GET", "/orders/1").body(Body::empty()).unwrap()).await;
    assert!(denied.outcomes().await.is_empty());
}

#[tokio::test]
async fn what_would_be_denied_passes_where_nothing_is_enforced_and_nobody_is_told_who_it_was() {
    let stolen = || Client { key: chio_core::crypto::Keypair::from_seed(&[66; 32]), ..client() };
    for (mode, code) in [(Mode::Report, Some("proof_sender_mismatch")), (Mode::Off, None)] {
        let mut world = World::of(Setting { mode, ..Setting::default() }, vec![issuer(&issuer_key())]);
        assert_eq!(world.send(stolen().request("GET", "/orders/1")).await.status, 200, "{mode:?}");
        let seen = world.last();
        let caller = seen.caller.unwrap();
        assert_eq!((caller.scheme, &*caller.principal, caller.subject, caller.scope), ("none", "", None, None));
        assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("dpop"), "not even here");
        let receipts = world.receipts.all();
        let Event::Decision(decision) = &receipts[0].body.event else { panic!() };
        assert_eq!((&*decision.mode, decision.code.as_deref()), (mode.name(), code));
        let bare = bare("GET", "/orders/1").body(Body::empty()).unwrap();
        assert_eq!(world.send(bare).await.status, 200);
        // What cannot be told apart is refused in every mode.
        assert_eq!(world.send(stolen().request("GET", "/orders/..")).await.status, 400);
        assert_eq!(world.send(stolen().request("GET", "/nothing")).await.status, 404);
    }
    let mut world = World::of(Setting { mode: Mode::Report, ..Setting::default() }, vec![issuer(&issuer_key())]);
    assert_eq!(world.send(client().request("DELETE", "/orders/1")).await.status, 200);
    assert_eq!(world.last().caller.unwrap().subject.as_deref(), Some("agent-1"), "this one is proven");
    // A replay is proven by nobody, though its token is good.
    let proof = client().proof("GET", "/orders/1");
    for subject in [Some("agent-1"), None] {
        assert_eq!(world.send(client().with_proof("GET", "/orders/1", &proof)).await.status, 200);
        let caller = world.last().caller.unwrap();
        assert_eq!((caller.subject.as_deref(), caller.scope.is_some()), (subject, subject.is_some()));
        assert_eq!(caller.principal.is_empty(), subject.is_none());
    }
}
