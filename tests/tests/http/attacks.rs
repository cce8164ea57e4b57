//! What must never reach the service behind, a test for each attack. Each is first shown to pass without the attack.

use chio_core::crypto::{Algorithm, Keypair};
use chio_http::dpop::{ProofClaims, ProofRules};
use chio_http::jwk::public_jwk;
use chio_http::jws;
use chio_http::route::{Route, Routes};
use chio_http::{Body, ClientCertificate};
use hyper::Request;
use serde_json::{Value, json};

use crate::world::*;

/// Sends what an attacker makes of a request, and sees that it does not pass, and that the owner's own still does.
async fn refused(request: Request<Body>, with: (u16, &str, &str)) {
    refused_by(Setting::default(), request, with).await;
}

async fn refused_by(setting: Setting, request: Request<Body>, with: (u16, &str, &str)) {
    let mut world = World::of(setting, vec![issuer(&issuer_key())]);
    let got = world.send(request).await;
    assert_eq!(got.answer(), answer(with.0, with.1, with.2), "{got:?}");
    assert_eq!(world.seen(), 0);
    let told = format!("{:?} {}", got.headers, String::from_utf8_lossy(&got.body));
    for secret in ["agent-1", "orders", ISSUER, "eyJ"] {
        assert!(!told.contains(secret), "a stranger is told of `{secret}`: {told}");
    }
}

const PROOF: &str = "invalid_dpop_proof";
const TOKEN: &str = "invalid_token";

#[tokio::test]
async fn a_replay() {
    let (mut world, client) = (world(), client());
    let (first, second) = (client.request("GET", "/orders/1"), client.proof("GET", "/orders/1"));
    let copy = first.headers()["dpop"].to_str().unwrap().to_owned();
    assert_eq!(world.send(first).await.status, 200);
    assert_eq!(
        world.send(client.with_proof("GET", "/orders/1", &copy)).await.answer(),
        answer(401, "nonce_replayed", PROOF)
    );
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &second)).await.status, 200);
}

#[tokio::test]
async fn a_stolen_token_with_another_key_or_without_a_proof() {
    let (thief, client) = (Client { key: Keypair::from_seed(&[66; 32]), ..client() }, client());
    refused(thief.request("GET", "/orders/1"), (401, "proof_sender_mismatch", PROOF)).await;
    let authorized =
        |value: String| bare("GET", "/orders/1").header("authorization", value).body(Body::empty()).unwrap();
    refused(authorized(format!("DPoP {}", client.token)), (401, "proof_missing", PROOF)).await;
    // A downgrade to a bearer token: RFC 9449 section 7.2.
    let mut world = world();
    for word in ["Bearer", "EKey", "Basic"] {
        let got = world.send(authorized(format!("{word} {}", client.token))).await;
        assert_eq!(got.answer(), answer(401, "proof_missing", ""), "{word}");
        assert_eq!(got.header("www-authenticate"), r#"DPoP algs="ES256 ES384 EdDSA Ed25519""#);
    }
    let mut unbound = token_claims();
    unbound.as_object_mut().unwrap().remove("cnf");
    let bearer = Client { token: token(&unbound), ..crate::world::client() };
    refused(bearer.request("GET", "/orders/1"), (401, "capability_malformed", TOKEN)).await;
    assert_eq!(world.seen(), 0);
}

#[tokio::test]
async fn a_proof_for_another_method_path_or_host() {
    let client = client();
    let captured = |method: &str, path: &str| client.proof(method, path);
    let mismatch = (401, "proof_binding_mismatch", PROOF);
    refused(client.with_proof("POST", "/orders/1", &captured("GET", "/orders/1")), mismatch).await;
    for path in ["/orders/2", "/Orders/1", "/orders/1/", "/orders", "/"] {
        refused(client.with_proof("GET", "/orders/1", &captured("GET", path)), mismatch).await;
    }
    for url in
        ["http://api.example.com/orders/1", "https://evil.example/orders/1", "https://api.example.com:8443/orders/1"]
    {
        let proof = client.claims("GET", url).sign(&client.key).unwrap();
        refused(client.with_proof("GET", "/orders/1", &proof), mismatch).await;
    }
    // A method that is asked for in another way is not the one that was proven.
    let mut request = client.with_proof("GET", "/orders/1", &captured("POST", "/orders/1"));
    request.headers_mut().insert("x-http-method-override", "POST".parse().unwrap());
    refused(request, mismatch).await;
}

#[tokio::test]
async fn another_query_where_the_proof_covers_it() {
    let client = client();
    let sign = |query| ProofClaims { query, ..client.claims("GET", ONE) }.sign(&client.key).unwrap();
    let (covering, silent) = (sign(Some("a=1")), sign(None));
    let mismatch = (401, "proof_binding_mismatch", PROOF);
    for path in ["/orders/1?a=2", "/orders/1", "/orders/1?a=1&a=2", "/orders/1?A=1", "/orders/1?a=%31"] {
        refused(client.with_proof("GET", path, &covering), mismatch).await;
    }
    assert_eq!(world().send(client.with_proof("GET", "/orders/1?a=1", &covering)).await.status, 200);
    // RFC 9449 leaves the query out: it is covered where the configuration says so.
    assert_eq!(world().send(client.with_proof("GET", "/orders/1?a=2", &silent)).await.status, 200);
    let strict = || Setting { rules: ProofRules { htq: true, ..ProofRules::default() }, ..Setting::default() };
    refused_by(strict(), client.with_proof("GET", "/orders/1?a=2", &silent), mismatch).await;
}

fn with_body(client: &Client, method: &str, covered: Option<&[u8]>, sent: &'static str) -> Request<Body> {
    let claims = ProofClaims { body: covered, ..client.claims(method, ONE) };
    let mut request = client.with_proof(method, "/orders/1", &claims.sign(&client.key).unwrap());
    *request.body_mut() = Body::whole(sent);
    request
}

#[tokio::test]
async fn another_body_where_the_proof_covers_it() {
    let client = client();
    let mismatch = (401, "proof_binding_mismatch", PROOF);
    for sent in ["other", "", "bod", "body "] {
        refused(with_body(&client, "POST", Some(b"body"), sent), mismatch).await;
    }
    let mut world = world();
    assert_eq!(world.send(with_body(&client, "POST", Some(b"body"), "body")).await.status, 200);
    assert_eq!(world.last().body, b"body");
    // The digest is looked at before the nonce is spent: a body that was changed on the way costs its sender nothing.
    let request = with_body(&client, "POST", Some(b"body"), "other");
    let proof = request.headers()["dpop"].to_str().unwrap().to_owned();
    assert_eq!(world.send(request).await.status, 401);
    let mut again = client.with_proof("POST", "/orders/1", &proof);
    *again.body_mut() = Body::whole("body");
    assert_eq!(world.send(again).await.status, 200);
    // Where the route, or the configuration, wants it covered.
    refused(with_body(&client, "PUT", None, "body"), mismatch).await;
    assert_eq!(world.send(with_body(&client, "PUT", Some(b"body"), "body")).await.status, 200);
    let strict = Setting { rules: ProofRules { content_digest: true, ..ProofRules::default() }, ..Setting::default() };
    refused_by(strict, with_body(&client, "POST", None, "body"), mismatch).await;
}

#[tokio::test]
async fn a_body_that_is_longer_than_can_be_judged() {
    let (mut world, client) = (world(), client());
    let long = vec![b'a'; chio_http::guard::BODY_LIMIT + 1];
    let claims = ProofClaims { body: Some(&long), ..client.claims("POST", ONE) };
    let mut request = client.with_proof("POST", "/orders/1", &claims.sign(&client.key).unwrap());
    *request.body_mut() = Body::whole(long.clone());
    assert_eq!(world.send(request).await.answer(), answer(413, "call_too_large", ""));
    // What no proof covers is not read here, of whatever length.
    let mut request = client.request("POST", "/orders/1");
    *request.body_mut() = Body::whole(long);
    assert_eq!(world.send(request).await.status, 200);
}

#[tokio::test]
async fn a_stale_and_a_future_proof() {
    let client = client();
    let dated = |now| ProofClaims { now, ..client.claims("GET", ONE) }.sign(&client.key).unwrap();
    for (now, with) in [(NOW - 61, (401, "proof_expired", PROOF)), (NOW + 6, (401, "proof_from_future", PROOF))] {
        refused(client.with_proof("GET", "/orders/1", &dated(now)), with).await;
    }
    for now in [NOW - 60, NOW + 5] {
        assert_eq!(world().send(client.with_proof("GET", "/orders/1", &dated(now))).await.status, 200);
    }
}

#[tokio::test]
async fn a_replay_while_the_proof_is_fresh_by_any_clock() {
    let (mut world, client) = (world(), client());
    let proof = ProofClaims { now: NOW + 5, ..client.claims("GET", ONE) }.sign(&client.key).unwrap();
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.status, 200);
    for (now, code) in [(NOW + 65, "nonce_replayed"), (NOW + 66, "proof_expired"), (NOW - 3600, "proof_expired")] {
        world.clock.set(now);
        assert_eq!(world.send(client.with_proof("GET", "/orders/1", &proof)).await.answer().1, code, "{now}");
    }
}

#[tokio::test]
async fn a_downgraded_algorithm() {
    let client = client();
    let proof = client.proof("GET", "/orders/1");
    let [_, payload, signature] = proof.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let jwk = public_jwk(&client.key.public_key());
    for alg in ["none", "None", "HS256", "RS256", "ES256", ""] {
        let header = format!(r#"{{"alg":"{alg}","typ":"dpop+jwt","jwk":{jwk}}}"#);
        let header = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::encode_string(header.as_bytes());
        for signature in [signature, ""] {
            let proof = format!("{header}.{payload}.{signature}");
            refused(client.with_proof("GET", "/orders/1", &proof), (401, "proof_malformed", PROOF)).await;
        }
    }
    let unsigned = |header: &str| {
        let encode = |text: &str| <base64ct::Base64UrlUnpadded as base64ct::Encoding>::encode_string(text.as_bytes());
        format!("{}.{}.", encode(header), encode(&token_claims().to_string()))
    };
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#] {
        let forger = Client { token: unsigned(header), ..crate::world::client() };
        refused(forger.request("GET", "/orders/1"), (401, "capability_malformed", TOKEN)).await;
    }
}

#[tokio::test]
async fn a_token_that_is_changed_expired_for_others_or_of_another_kind() {
    let with = |change: fn(&mut Value)| {
        let mut claims = token_claims();
        change(&mut claims);
        Client { token: token(&claims), ..client() }
    };
    for (change, code) in [
        ((|claims| claims["exp"] = json!(NOW)) as fn(&mut Value), "capability_expired"),
        (|claims| claims["nbf"] = json!(NOW + 6), "capability_not_yet_valid"),
        (|claims| claims["iat"] = json!(NOW + 6), "capability_not_yet_valid"),
        (|claims| claims["aud"] = json!("https://other.example"), "capability_audience_mismatch"),
        (|claims| claims["iss"] = json!("https://evil.example"), "capability_malformed"),
    ] {
        refused(with(change).request("GET", "/orders/1"), (401, code, TOKEN)).await;
    }
    let claims = token_claims().to_string();
    let forged = jws::sign(&Keypair::from_seed(&[66; 32]), r#""kid":"iss-1""#, claims.as_bytes()).unwrap();
    let forger = Client { token: forged, ..client() };
    refused(forger.request("GET", "/orders/1"), (401, "capability_signature_invalid", TOKEN)).await;
    // A proof in the place of a token, and a token in the place of a proof.
    let own = client();
    let proof = own.proof("GET", "/orders/1");
    let swapped = Client { token: proof.clone(), ..client() };
    refused(swapped.request("GET", "/orders/1"), (401, "capability_malformed", TOKEN)).await;
    refused(own.with_proof("GET", "/orders/1", &own.token), (401, "proof_malformed", PROOF)).await;
}

#[tokio::test]
async fn a_proof_made_for_another_token_of_the_same_key() {
    let client = client();
    let mut claims = token_claims();
    claims["jti"] = json!("other");
    let other = Client { token: token(&claims), ..crate::world::client() };
    let mismatch = (401, "proof_binding_mismatch", PROOF);
    refused(other.with_proof("GET", "/orders/1", &client.proof("GET", "/orders/1")), mismatch).await;
    let without = ProofClaims { token: None, ..client.claims("GET", ONE) };
    refused(client.with_proof("GET", "/orders/1", &without.sign(&client.key).unwrap()), mismatch).await;
}

#[tokio::test]
async fn a_token_without_the_scope_of_the_route() {
    let mut world = world();
    let client = client();
    let got = world.send(client.request("DELETE", "/orders/1")).await;
    assert_eq!(got.answer(), answer(403, "tool_not_granted", "insufficient_scope"));
    assert!(got.header("www-authenticate").contains("insufficient_scope"));
    let mut claims = token_claims();
    claims["scope"] = json!("orders administration admins admin");
    let admin = Client { token: token(&claims), ..client };
    assert_eq!(world.send(admin.request("DELETE", "/orders/1")).await.status, 200);
}

#[tokio::test]
async fn headers_that_stand_there_twice() {
    let client = client();
    let twice = |name: &'static str| {
        let mut request = client.request("GET", "/orders/1");
        let value = request.headers()[name].clone();
        request.headers_mut().append(name, value);
        request
    };
    refused(twice("dpop"), (401, "proof_malformed", PROOF)).await;
    refused(twice("authorization"), (400, "malformed_call", "invalid_request")).await;
    let joined = |name: &'static str| {
        let mut request = client.request("GET", "/orders/1");
        let value = request.headers()[name].to_str().unwrap().to_owned();
        request.headers_mut().insert(name, format!("{value}, {value}").parse().unwrap());
        request
    };
    refused(joined("dpop"), (401, "proof_malformed", PROOF)).await;
    refused(joined("authorization"), (400, "malformed_call", "invalid_request")).await;
    refused(twice("host"), (400, "malformed_call", "invalid_request")).await;
}

#[tokio::test]
async fn a_smuggled_length() {
    let client = client();
    for headers in [
        &[("content-length", "4"), ("transfer-encoding", "chunked")][..],
        &[("content-length", "4"), ("content-length", "5")],
        &[("content-length", "4"), ("content-length", "4")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "identity")],
    ] {
        let mut request = client.request("POST", "/orders/1");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        refused(request, (400, "malformed_call", "invalid_request")).await;
    }
}

#[tokio::test]
async fn credentials_where_they_have_no_place() {
    let client = client();
    refused(client.request("GET", "/orders/1?access_token=x"), (400, "malformed_call", "invalid_request")).await;
    let form = |more: &str, body: &'static str| {
        let mut request = client.request("POST", "/orders/1");
        let form = format!("application/x-www-form-urlencoded{more}");
        request.headers_mut().insert("content-type", form.parse().unwrap());
        *request.body_mut() = Body::whole(body);
        request
    };
    for (more, body) in [
        ("", "a=1&access_token=x"),
        ("; charset=utf-8", "access.token[]=x"),
        (", text/plain", "access_token=x"),
        // By which `A` is another byte.
        ("; charset=IBM037", "a=1"),
        ("; a=b; Charset = \"utf-16\"", "a=1"),
        ("; charset=utf-8; charset=utf-7", "a=1"),
    ] {
        refused(form(more, body), (400, "malformed_call", "invalid_request")).await;
    }
    let mut world = world();
    assert_eq!(world.send(form(" ; charset=\"UTF-8\"", "a=1&b=access_token")).await.status, 200);
    assert_eq!(world.last().body, b"a=1&b=access_token");
}

#[tokio::test]
async fn a_confused_path() {
    let client = client();
    for path in [
        "//orders/1",
        "/orders//1",
        "/orders/../orders/1",
        "/orders/%2e%2e/orders/1",
        "/./orders/1",
        "/orders/1;a=b",
        "/orders%2F1",
        "/orders%5C1",
        "/%6Frders/1",
        "/orders/%31",
        "/orders/1%00",
        "/orders/caf%c3%a9",
        "/files/a/%2e%2e/b",
    ] {
        refused(client.request("GET", path), (400, "malformed_call", "invalid_request")).await;
    }
    // Another case, a slash more: other paths, and here no routes.
    for path in ["/Orders/1", "/orders/1/", "/orders/", "/orders", "/", "/nothing"] {
        refused(client.request("GET", path), (404, "unknown_tool", "")).await;
    }
    refused(client.request("PATCH", "/orders/1"), (404, "unknown_tool", "")).await;
    let mut long = String::from("/files/");
    long.extend(std::iter::repeat_n('a', 9000));
    refused(client.request("GET", &long), (414, "call_too_large", "")).await;
    let absolute = client.request("GET", "https://api.example.com/orders/1");
    refused(absolute, (400, "malformed_call", "invalid_request")).await;
}

#[tokio::test]
async fn another_host() {
    let client = client();
    let at = |host: Option<&str>| {
        let mut request = client.request("GET", "/orders/1");
        request.headers_mut().remove("host");
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        request
    };
    for host in ["evil.example", "api.example.com.evil.example", "api.example.com:80", "127.0.0.1", ""] {
        refused(at(Some(host)), (421, "unknown_tool_server", "")).await;
    }
    refused(at(None), (400, "malformed_call", "invalid_request")).await;
    // By each origin, proofs are for that one.
    refused(at(Some("api.example.com:8443")), (401, "proof_binding_mismatch", PROOF)).await;
    assert_eq!(world().send(at(Some("API.example.com:443"))).await.status, 200);
    let mut two = client.request("GET", "https://api.example.com/orders/1");
    *two.version_mut() = hyper::Version::HTTP_2;
    two.headers_mut().insert("host", "evil.example".parse().unwrap());
    refused(two, (400, "malformed_call", "invalid_request")).await;
}

#[tokio::test]
async fn a_certificate_that_the_token_is_bound_to_as_well() {
    let der: Vec<u8> = b"a certificate".to_vec();
    let shown = |bytes: &[u8]| ClientCertificate { der: bytes.to_vec().into() };
    let mut claims = token_claims();
    claims["cnf"]["x5t#S256"] = json!(chio_http::dpop::ath("a certificate"));
    let client = Client { token: token(&claims), ..client() };
    let with = |certificate: Option<ClientCertificate>| {
        let mut request = client.request("GET", "/orders/1");
        // A header says nothing of it.
        request.headers_mut().insert("x-client-cert", "a certificate".parse().unwrap());
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        request
    };
    refused(with(None), (401, "proof_sender_mismatch", TOKEN)).await;
    refused(with(Some(shown(b"another"))), (401, "proof_sender_mismatch", TOKEN)).await;
    assert_eq!(world().send(with(Some(shown(&der)))).await.status, 200);
}

#[tokio::test]
async fn the_same_ecdsa_proof_with_the_other_s() {
    let key = Keypair::generate_for(Algorithm::P256).unwrap();
    let mut claims = token_claims();
    claims["cnf"] = json!({"jkt": thumbprint(&key)});
    let client = Client { key, token: token(&claims) };
    let proof = client.proof("GET", "/orders/1");
    let (input, signature) = proof.rsplit_once('.').unwrap();
    let raw = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::decode_vec(signature).unwrap();
    let low = p256::ecdsa::Signature::from_slice(&raw).unwrap();
    let high = p256::ecdsa::Signature::from_scalars(low.r(), -*low.s()).unwrap();
    let high = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::encode_string(&high.to_bytes());
    let other = format!("{input}.{high}");
    assert_ne!(other, proof);
    let mut world = world();
    assert_eq!(world.send(client.with_proof("GET", "/orders/1", &other)).await.status, 200, "others make them");
    let again = world.send(client.with_proof("GET", "/orders/1", &proof)).await;
    assert_eq!(again.answer(), answer(401, "nonce_replayed", PROOF));
}

/// `@` may be escaped and need not be, and a service that unescapes before it looks for its route reads both as one path.
#[tokio::test]
async fn another_spelling_of_a_stricter_route() {
    let client = client();
    refused(client.request("GET", "/orders/@me"), (403, "tool_not_granted", "insufficient_scope")).await;
    refused(client.request("GET", "/orders/%40me"), (404, "unknown_tool", "")).await;
    // What is another text in every reading is another order.
    for path in ["/orders/%40you", "/orders/@you", "/orders/a%40me"] {
        assert_eq!(world().send(client.request("GET", path)).await.status, 200, "{path}");
    }
    let routes = |texts: &[&str]| Routes::new(texts.iter().map(|text| Route::parse(text).unwrap()));
    let some = routes(&["GET:/:a", "GET:/@me", "GET:/caf%C3%A9/:a", "GET:/a:b/*c", "GET:/*rest"]).unwrap();
    for (path, tool) in [
        ("/@me", Some("GET:/@me")),
        ("/%40me", None),
        ("/%40you", Some("GET:/:a")),
        ("/caf%C3%A9/%40", Some("GET:/caf%C3%A9/:a")),
        ("/a:b/%20", Some("GET:/a:b/*c")),
        ("/a%3Ab/c", None),
        ("/a%3Ab", Some("GET:/:a")),
        ("/x/a%3Ab", Some("GET:/*rest")),
    ] {
        assert_eq!(some.find("GET", path).map(Route::tool_name), tool, "{path}");
    }
    assert!(routes(&["GET:/a@/:b", "GET:/a%40/:c"]).is_err() && routes(&["GET:/a@", "GET:/a%20"]).is_ok());
}

/// Services that know no case of letters, or no `/` at the end, are many: what they take for a guarded route is not public.
#[test]
fn a_public_route_is_no_way_around_a_guarded_one() {
    let guarded = ["GET:/orders/:id", "GET:/admin", "GET:/lists/", "GET:/caf%C3%A9", "GET:/v/*rest"];
    let all = guarded.map(|text| Route::parse(text).unwrap());
    let public = ["GET:/*rest", "GET:/", "GET:/:page"].map(|text| Route::parse(text).unwrap().public());
    let routes = Routes::new(all.into_iter().chain(public)).unwrap();
    for (path, tool) in [
        ("/orders/1", Some("GET:/orders/:id")),
        ("/orders/1/", None),
        ("/ORDERS/1", None),
        ("/Orders/1/", None),
        ("/admin", Some("GET:/admin")),
        ("/ADMIN", None),
        ("/admin/", None),
        ("/lists", None),
        ("/CAF%C3%89", None),
        ("/V/a/b", None),
        ("/", Some("GET:/")),
        ("/a", Some("GET:/:page")),
        ("/orders", Some("GET:/:page")),
        ("/orders/1/2", Some("GET:/*rest")),
        ("/administrator", Some("GET:/:page")),
        ("/a/", Some("GET:/*rest")),
    ] {
        assert_eq!(routes.find("GET", path).map(Route::tool_name), tool, "{path}");
    }
    // What is public within what is guarded stays public.
    let guarded = ["GET:/*rest", "GET:/:page", "GET:/docs/:id"].map(|text| Route::parse(text).unwrap());
    let public = ["GET:/login", "GET:/docs/intro"].map(|text| Route::parse(text).unwrap().public());
    let routes = Routes::new(guarded.into_iter().chain(public)).unwrap();
    for (path, is_public) in [("/login", true), ("/docs/intro", true), ("/Login", false), ("/docs/intro/", false)] {
        assert_eq!(routes.find("GET", path).map(Route::is_public), Some(is_public), "{path}");
    }
}
