//! Which headers arrive, on both sides.

use chio_http::Caller;

use crate::harness::{Gateway, OK, Options, recorder, status, values};

const CLOSE: &str = "Host: api.example\r\nConnection: close\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_one_connection_does_not_go_on() {
    let (upstream, seen) = recorder(
        "HTTP/1.1 200 OK\r\nConnection: x-inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
         Upgrade: h2c\r\nAlt-Svc: h2=\":1\"\r\nChio-Receipt: 7\r\nX-Outer: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Gateway::before(upstream).await;
    let answer = gateway
        .exchange(
            "GET /a?b=c%20d HTTP/1.1\r\nHost: api.example\r\nConnection: close, X-Private, te, Chio-Subject\r\n\
             X-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: x\r\nTrailer: x\r\nX-Public: 1\r\nX-Public: 2\r\nAuthorization: Bearer z\r\n\r\n",
        )
        .await;
    let request = seen.lock().unwrap().join("");
    assert!(request.starts_with("GET /a?b=c%20d HTTP/1.1\r\n"), "{request}");
    for name in ["x-private", "keep-alive", "proxy-authorization", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(values(&request, name).is_empty(), "{name} in {request}");
    }
    assert_eq!(values(&request, "connection"), ["te"]);
    assert_eq!(values(&request, "te"), ["trailers"]);
    assert_eq!(values(&request, "x-public"), ["1", "2"]);
    assert_eq!(values(&request, "authorization"), ["Bearer z"]);
    assert_eq!(values(&request, "via"), ["1.1 chio"]);
    assert_eq!(status(&answer), 200);
    for name in ["x-inner", "keep-alive", "proxy-authenticate", "upgrade", "alt-svc", "chio-receipt"] {
        assert!(values(&answer, name).is_empty(), "{name} in {answer}");
    }
    assert_eq!(values(&answer, "connection"), ["close"]);
    assert_eq!(values(&answer, "x-outer"), ["1"]);
    assert_eq!(values(&answer, "set-cookie"), ["a=1", "b=2"]);
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

/// However they are spelt, and with or without a caller of ours; nor can they be named away by `Connection`.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_said_by_us_alone() {
    let forged = "Chio-Subject: root\r\nCHIO-SUBJECT: root\r\nChio_Subject: root\r\nX_Chio_Subject: root\r\nX-Chio-Subject: root\r\n\
                  Chio.Subject: root\r\nChio-Scheme: root\r\nchio_scope: root\r\nChio-Scope: root\r\nChio-Receipt: root\r\nChio-Principal: root\r\n\
                  Chio-Anything: root\r\nRemote-User: root\r\nX-Auth-Request-User: root\r\nX-Authenticated-User: root\r\nX_Remote_User: root\r\nClient-Cert: root\r\nX-Forwarded-User: root\r\n\
                  Connection: chio-subject, chio-scheme\r\n";
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}{forged}\r\n");
    let (upstream, seen) = recorder(OK).await;
    assert_eq!(status(&Gateway::before(upstream).await.exchange(&request).await), 200);
    let caller = Caller {
        scheme: "rfc9449",
        principal: "scheme:rfc9449:abc".into(),
        subject: Some("alice".into()),
        scope: Some("read write".into()),
        subcap: vec!["lines".into(), "prices".into()],
        receipt: Some(42),
    };
    let options = Options { caller: Some(caller), ..Options::to(upstream) };
    assert_eq!(status(&options.start().await.exchange(&request).await), 200);
    let seen = seen.lock().unwrap();
    assert!(!seen[0].contains("root") && !seen[0].to_ascii_lowercase().contains("chio-"), "{}", seen[0]);
    assert!(!seen[1].contains("root"), "{}", seen[1]);
    for (name, value) in [
        ("chio-scheme", "rfc9449"),
        ("chio-principal", "scheme:rfc9449:abc"),
        ("chio-subject", "alice"),
        ("chio-scope", "read write"),
        ("chio-subcap", "lines prices"),
        ("chio-receipt", "42"),
    ] {
        assert_eq!(values(&seen[1], name), [value]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_right_does_not_become_two() {
    let (upstream, seen) = recorder(OK).await;
    let caller = Caller {
        scheme: "ekey",
        principal: "p".into(),
        subject: None,
        scope: None,
        subcap: vec!["read write".into()],
        receipt: None,
    };
    let gateway = Options { caller: Some(caller), ..Options::to(upstream) }.start().await;
    assert_eq!(status(&gateway.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}\r\n")).await), 500);
    assert!(seen.lock().unwrap().is_empty());
}

/// A name that a reader would read as another is not cut to fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_cannot_be_written_does_not_get_through() {
    for subject in ["admin ", " admin", "ad\r\nmin", "ad\nX: 1", "admin\u{a0}", "\u{430}dmin"] {
        let (upstream, seen) = recorder(OK).await;
        let caller = Caller {
            scheme: "rfc9449",
            principal: "p".into(),
            subject: Some(subject.into()),
            scope: None,
            subcap: Vec::new(),
            receipt: None,
        };
        let gateway = Options { caller: Some(caller), ..Options::to(upstream) }.start().await;
        let answer = gateway.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}\r\n")).await;
        assert_eq!(status(&answer), 500, "{subject:?}");
        assert!(!answer.contains("admin") && seen.lock().unwrap().is_empty(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_came_from_is_said_by_us_alone() {
    let (upstream, seen) = recorder(OK).await;
    let forged = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Host: 6.6.6.6\r\n\
                  X-Forwarded-Proto: 6.6.6.6\r\nX-Forwarded-Port: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nVia: 1.0 before\r\n";
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}{forged}\r\n");
    Gateway::before(upstream).await.exchange(&request).await;
    let mut keeps = Options::to(upstream);
    keeps.proxy.keeps_host = true;
    keeps.start().await.exchange(&request).await;
    let seen = seen.lock().unwrap();
    for request in &*seen {
        assert!(!request.contains("6.6.6.6"), "{request}");
        assert_eq!(values(request, "forwarded"), ["for=127.0.0.1;proto=http;host=\"api.example\""]);
        assert_eq!(values(request, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(values(request, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(request, "x-forwarded-host"), ["api.example"]);
        assert_eq!(values(request, "via"), ["1.0 before", "1.1 chio"]);
    }
    assert_eq!(values(&seen[0], "host"), [upstream.to_string()]);
    assert_eq!(values(&seen[1], "host"), ["api.example"]);
}

/// A guard decides on the method and the path that it sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_to_be_read_as_another_is_refused() {
    let (upstream, seen) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-Original-URL",
        "X-Original-Method",
        "X-Envoy-Original-Path",
        "X-WAWS-Unencoded-URL",
        "X-Rewrite-URL",
    ] {
        let answer = gateway.exchange(&format!("POST / HTTP/1.1\r\n{CLOSE}{name}: DELETE\r\n\r\n")).await;
        assert_eq!(status(&answer), 400, "{name}");
        assert_eq!(values(&answer, "content-type"), ["application/problem+json"]);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_head_has_its_length_and_no_body() {
    let (upstream, _) = recorder("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let answer = Gateway::before(upstream).await.exchange(&format!("HEAD / HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert_eq!(values(&answer, "content-length"), ["1234"]);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}
