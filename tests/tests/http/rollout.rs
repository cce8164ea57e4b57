//! In which mode a request is decided, what reaches the service in each, and that nobody chooses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chio_core::receipt::{Decision, Event, Verdict};
use chio_http::Body;
use chio_http::dpop::{ProofClaims, ProofError};
use chio_http::failure::Failure;
use chio_http::guard::{BODIES_LIMIT, BODY_LIMIT};
use chio_http::rollout::{Rollout, RolloutRule, Rollouts};
use chio_http::scheme::{HttpScheme, Opened, Presented, Refused, Told};
use chio_kernel::clock::BoxFuture;
use chio_kernel::config::Mode;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::Claims;
use hyper::Request;
use hyper::header::HeaderValue;
use tower_service::Service as _;

use crate::world::*;

fn rule(scheme: Option<&str>, route: Option<&str>, mode: Mode) -> RolloutRule {
    RolloutRule { scheme: scheme.map(str::to_owned), profile: None, route: route.map(str::to_owned), mode }
}

fn world_with(rules: Vec<RolloutRule>) -> (World, Rollouts) {
    let rollouts = Rollouts::new(Rollout { rules, ..Rollout::all(Mode::Enforce) });
    let setting = Setting { rollouts: Some(rollouts.clone()), ..Setting::default() };
    (World::of(setting, vec![issuer(&issuer_key())]), rollouts)
}

fn bearer(path: &str) -> Request<Body> {
    bare("GET", path).header("authorization", "Bearer the-services-own").body(Body::empty()).unwrap()
}

fn stolen(path: &str) -> Request<Body> {
    Client { key: chio_core::crypto::Keypair::from_seed(&[66; 32]), ..client() }.request("GET", path)
}

fn decisions(world: &World) -> Vec<Decision> {
    let decision = |receipt: chio_core::receipt::Receipt| match receipt.body.event {
        Event::Decision(decision) => Some(decision),
        _ => None,
    };
    world.receipts.all().into_iter().filter_map(decision).collect()
}

#[tokio::test]
async fn each_mode_for_each_scheme_and_route() {
    const MODES: [Mode; 3] = [Mode::Enforce, Mode::Report, Mode::Off];
    let routes = ["GET:/orders/:id", "GET:/files/*path"];
    for mode in MODES {
        for scheme in [None, Some("rfc9449"), Some("ekey")] {
            for route in [None, Some(routes[0]), Some(routes[1])] {
                let (mut world, _) = world_with(vec![rule(scheme, route, mode)]);
                for (path, name) in [("/orders/1", routes[0]), ("/files/a", routes[1])] {
                    for (request, presented) in [(stolen(path), Some("rfc9449")), (bearer(path), None)] {
                        let is_its = route.is_none_or(|route| route == name)
                            && scheme.is_none_or(|scheme| presented == Some(scheme));
                        let effective = if is_its { mode } else { Mode::Enforce };
                        let status = world.send(request).await.status;
                        let place = format!("{mode:?} {scheme:?} {route:?} {path} {presented:?}");
                        assert_eq!(status, if effective == Mode::Enforce { 401 } else { 200 }, "{place}");
                        let decision = decisions(&world).pop().unwrap();
                        assert_eq!(decision.mode, effective.name(), "{place}");
                        let code = if presented.is_some() { "proof_sender_mismatch" } else { "proof_missing" };
                        let code = Some(code).filter(|_| effective != Mode::Off);
                        assert_eq!(decision.code.as_deref(), code, "{place}");
                        assert_eq!(decision.verdict == Verdict::Deny, effective == Mode::Enforce, "{place}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_enforced_goes_on_as_it_came_and_says_nobody_who_is_not_proven() {
    for mode in [Mode::Off, Mode::Report] {
        let (mut world, rollouts) = world_with(vec![rule(None, None, mode)]);
        assert_eq!(world.send(bearer("/orders/1")).await.status, 200);
        let seen = world.last();
        assert_eq!(seen.headers["authorization"], "Bearer the-services-own");
        let caller = seen.caller.unwrap();
        assert_eq!((caller.scheme, &*caller.principal, caller.subject), ("none", "", None));
        // A key for an answer is for the guard, and an answer to nobody is not sealed.
        let mut request = stolen("/orders/1");
        request.headers_mut().insert("response-key", HeaderValue::from_static("x"));
        let got = world.send(request).await;
        assert_eq!((got.status, &*got.body), (200, &b"answer"[..]));
        let seen = world.last();
        assert!(!seen.headers.contains_key("response-key") && seen.headers.contains_key("dpop"));
        // What can be read in two ways is refused all the same.
        let mut twice = bearer("/orders/1");
        twice.headers_mut().append("authorization", HeaderValue::from_static("Bearer another"));
        assert_eq!(world.send(twice).await.answer(), answer(400, "malformed_call", "invalid_request"));
        // Nor does what others could take for a credential pass as none.
        for odd in [&b"DPoP\ta"[..], b" DPoP a", b"DPoP a\xa0", b"Bearer \xff", b"DPoP a b", b"dPoP a, b"] {
            let mut request = bearer("/orders/1");
            request.headers_mut().insert("authorization", HeaderValue::from_bytes(odd).unwrap());
            assert_eq!(world.send(request).await.status, 400, "{odd:?}");
        }
        for others in ["Digest username=\"a\", uri=\"/\"", "Bearer 12|abc:d"] {
            let request = bare("GET", "/orders/1").header("authorization", others);
            assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 200, "{others}");
        }
        assert_eq!(world.send(bearer("/orders/1?access_token=a")).await.status, 400);
        assert_eq!(world.send(bearer("/nothing")).await.status, 404);

        rollouts.replace(Rollout { passes_credentials: false, ..Rollout::all(mode) });
        assert_eq!(world.send(stolen("/orders/1")).await.status, 200);
        let seen = world.last();
        assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("dpop"), "{seen:?}");
        rollouts.replace(Rollout::all(Mode::Enforce));
        assert_eq!(world.send(client().request("GET", "/orders/1")).await.status, 200);
        assert!(!world.last().headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn off_verifies_nothing_and_report_everything() {
    let client = client();
    let proof = client.proof("GET", "/orders/1");
    let (mut world, rollouts) = world_with(vec![rule(None, None, Mode::Off)]);
    for _ in 0..2 {
        assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.status, 200);
        assert_eq!(world.last().caller.unwrap().principal, "");
    }
    assert!(world.log.0.lock().unwrap().is_empty(), "there is nothing to tell of");
    // So it is fresh, and then it is not.
    rollouts.replace(Rollout::all(Mode::Report));
    for subject in [Some("agent-1"), None] {
        assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.status, 200);
        assert_eq!(world.last().caller.unwrap().subject.as_deref(), subject);
    }
    assert_eq!(decisions(&world).pop().unwrap().code.as_deref(), Some("nonce_replayed"));
    let events: Vec<_> = world.log.0.lock().unwrap().iter().map(|told| told.0).collect();
    assert_eq!(events, ["allowed", "replay_blocked"]);
}

/// Where nothing is enforced, a body that is too long to be judged is not held back, and comes whole.
#[tokio::test]
async fn a_body_that_cannot_be_judged_passes_whole_in_report_alone() {
    let client = client();
    let long = vec![7; BODY_LIMIT + 100_000];
    let request = |chunked: bool| {
        let claims = ProofClaims { body: Some(&long), ..client.claims("POST", ONE) };
        let proof = claims.sign(&client.key).unwrap();
        let body = if chunked { in_steps(long.chunks(100_000).map(Some), true) } else { Body::whole(long.clone()) };
        client.with_proof("POST", "/orders/1", &proof).map(|_| body)
    };
    for chunked in [false, true] {
        let (mut world, rollouts) = world_with(vec![rule(None, None, Mode::Report)]);
        assert_eq!(world.send(request(chunked)).await.status, 200);
        let seen = world.last();
        assert!(seen.body == long, "{} bytes", seen.body.len());
        assert_eq!(seen.caller.unwrap().principal, "");
        assert_eq!(decisions(&world).pop().unwrap().code.as_deref(), Some("call_too_large"));
        rollouts.replace(Rollout::all(Mode::Enforce));
        assert_eq!(world.send(request(chunked)).await.status, 413);
    }
}

/// Nor is one that takes too long, and the rest of it follows.
#[tokio::test]
async fn a_body_that_is_late_passes_whole_in_report_alone() {
    let client = client();
    let claims = ProofClaims { body: Some(b"one, two"), ..client.claims("POST", ONE) };
    let rollouts = Rollouts::new(Rollout::all(Mode::Report));
    let setting = Setting { rollouts: Some(rollouts.clone()), body_deadline: at_once(), ..Setting::default() };
    let mut world = World::of(setting, vec![issuer(&issuer_key())]);
    let request = || {
        let proof = claims.sign(&client.key).unwrap();
        let body = in_steps([Some(&b"one, "[..]), None, Some(b"two"), None], true);
        client.with_proof("POST", "/orders/1", &proof).map(|_| body)
    };
    assert_eq!(world.send(request()).await.status, 200);
    let seen = world.last();
    assert_eq!((&*seen.body, &*seen.caller.unwrap().principal), (&b"one, two"[..], ""));
    rollouts.replace(Rollout::all(Mode::Enforce));
    assert_eq!(world.send(request()).await.status, 408);
}

/// Bodies that never end keep nobody else out: what was read of them has gone on.
#[tokio::test]
async fn bodies_that_pass_without_being_judged_take_no_room() {
    let (client, rollouts) = (client(), Rollouts::new(Rollout::all(Mode::Report)));
    let setting = Setting { rollouts: Some(rollouts), body_deadline: at_once(), ..Setting::default() };
    let mut world = World::of(setting, vec![issuer(&issuer_key())]);
    let request = |body: Body| {
        let claims = ProofClaims { body: Some(b"one"), ..client.claims("POST", ONE) };
        client.with_proof("POST", "/orders/1", &claims.sign(&client.key).unwrap()).map(|_| body)
    };
    let never = || {
        let mut service = world.service.clone();
        let request = request(in_steps([Some(&b"one"[..])], false));
        tokio::spawn(async move { service.call(request).await })
    };
    let waiting: Vec<_> = (0..BODIES_LIMIT.div_ceil(BODY_LIMIT)).map(|_| never()).collect();
    for _ in 0..4 * waiting.len() {
        tokio::task::yield_now().await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the service waits for the rest");
    assert_eq!(world.send(request(Body::whole("one"))).await.status, 200);
    assert_ne!(world.last().caller.unwrap().principal, "", "it was judged");
}

#[tokio::test]
async fn no_header_chooses_a_laxer_mode() {
    let (mut world, _) = world_with(vec![rule(Some("rfc9449"), Some("GET:/files/*path"), Mode::Off)]);
    for (name, value) in [
        ("chio-mode", "off"),
        ("x-chio-mode", "report"),
        ("chio-scheme", "none"),
        ("chio-environment", "test"),
        ("x-original-url", "/files/a"),
        ("x-client-profile", "web"),
        ("x-forwarded-host", "elsewhere"),
    ] {
        let mut request = stolen("/orders/1");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        assert_eq!(world.send(request).await.status, 401, "{name}");
    }
    // What a client does choose is what it presents: for a stranger without credentials the scheme's rule is none.
    assert_eq!(world.send(bearer("/files/a")).await.status, 401);
    assert_eq!(world.send(stolen("/files/a")).await.status, 200);
    assert_eq!(world.seen(), 1);
}

/// A change in the midst of requests: each is decided by the one or by the other, and never by half of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_sees_half_of_a_change() {
    let one = Rollout { passes_credentials: true, ..Rollout::all(Mode::Report) };
    let other = Rollout { passes_credentials: false, ..Rollout::all(Mode::Off) };
    let (world, rollouts) = world_with(Vec::new());
    rollouts.replace(one.clone());
    let done = Arc::new(AtomicBool::new(false));
    let changing = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::SeqCst) {
                rollouts.replace(other.clone());
                rollouts.replace(one.clone());
            }
        }
    });
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut service = world.service.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..200 {
                let answer = tower_service::Service::call(&mut service, bearer("/orders/1")).await.unwrap();
                assert_eq!(answer.status(), 200);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    changing.join().unwrap();
    let modes: std::collections::BTreeMap<u64, String> = world
        .receipts
        .all()
        .into_iter()
        .filter_map(|receipt| match receipt.body.event {
            Event::Decision(decision) => Some((receipt.body.sequence, decision.mode)),
            _ => None,
        })
        .collect();
    let seen = world.seen.lock().unwrap();
    assert_eq!((seen.len(), modes.len()), (1600, 1600));
    for one in seen.iter() {
        let mode = &modes[&one.caller.as_ref().unwrap().receipt.unwrap()];
        assert_eq!(one.headers.contains_key("authorization"), mode == "report", "{mode}");
    }
}

static OPENED: AtomicUsize = AtomicUsize::new(0);
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

/// A scheme whose token is the name of a profile, and whose proof is never there.
struct Profiled;

struct OfProfile(String);

impl Opened for OfProfile {
    fn covers_body(&self) -> bool {
        false
    }

    fn claims<'a>(&'a self, _: u64, _: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>> {
        CLAIMED.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Err(ProofError::Missing.into())))
    }

    fn told(&self) -> Told {
        Told::default()
    }

    fn renews_nonce(&self, _: u64) -> bool {
        false
    }

    fn profile(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl HttpScheme for Profiled {
    fn name(&self) -> &'static str {
        "profiled"
    }

    fn word(&self) -> &'static str {
        "Bearer"
    }

    fn challenge(&self) -> String {
        "realm=\"x\"".into()
    }

    fn error(&self, _: Option<&Failure>, _: &Denial) -> Option<&'static str> {
        None
    }

    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>> {
        OPENED.fetch_add(1, Ordering::SeqCst);
        let profile = presented.token.to_owned();
        let opened: Result<Box<dyn Opened>, Refused> =
            if profile == "stolen" { Err(Failure::NoCredentials.into()) } else { Ok(Box::new(OfProfile(profile))) };
        Box::pin(std::future::ready(opened))
    }

    fn new_nonce(&self, _: u64) -> Option<String> {
        None
    }
}

/// A profile is the token's word, and what is off is not even opened where that does not depend on one.
#[tokio::test]
async fn a_profile_counts_where_the_token_holds_and_off_asks_for_nothing() {
    let of_profile = |profile: &str, mode| RolloutRule { profile: Some(profile.to_owned()), ..rule(None, None, mode) };
    let rules = vec![
        rule(Some("profiled"), Some("GET:/files/*path"), Mode::Off),
        of_profile("web", Mode::Off),
        of_profile("mobile", Mode::Report),
    ];
    let rollouts = Some(Rollouts::new(Rollout { rules, ..Rollout::all(Mode::Enforce) }));
    let mut world =
        World::of(Setting { rollouts, schemes: |_| vec![Box::new(Profiled)], ..Setting::default() }, Vec::new());
    for (path, profile, status, mode, opened, claimed) in [
        ("/orders/1", "web", 200, "off", 1, 0),
        ("/orders/1", "mobile", 200, "report", 1, 1),
        ("/orders/1", "server", 401, "enforce", 1, 1),
        ("/orders/1", "stolen", 401, "enforce", 1, 0),
        ("/files/a", "mobile", 200, "off", 0, 0),
        ("/files/a", "stolen", 200, "off", 0, 0),
    ] {
        OPENED.store(0, Ordering::SeqCst);
        CLAIMED.store(0, Ordering::SeqCst);
        let request = bare("GET", path).header("authorization", format!("Bearer {profile}"));
        let got = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(got.status, status, "{path} {profile}");
        assert_eq!(decisions(&world).pop().unwrap().mode, mode, "{path} {profile}");
        let seen = (OPENED.load(Ordering::SeqCst), CLAIMED.load(Ordering::SeqCst));
        assert_eq!(seen, (opened, claimed), "{path} {profile}");
    }
}
