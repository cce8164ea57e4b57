//! One request at the gateway is one request at the upstream.

use crate::harness::{Gateway, OK, recorder, status};

/// Each of them has a second request in it, for whoever reads its length in the other way.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_request_is_read_out_of_a_body() {
    let second = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
    for (what, request) in [
        (
            "CL.TE",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"
            ),
        ),
        (
            "TE.CL",
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}"),
        ),
        ("TE alone", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}")),
        (
            "two lengths",
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n{second}"),
        ),
        ("a list of lengths", format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 36\r\n\r\n{second}")),
        ("a signed length", format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n{second}")),
        ("a negative length", format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{second}")),
        (
            "TE twice",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}"
            ),
        ),
        ("TE coded", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{chunked}")),
        ("TE gzip", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunked}")),
        ("TE with a tab", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n{chunked}")),
        ("TE in 1.0", format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        ("TE after a space", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n{chunked}")),
        (
            "a folded line",
            format!("POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
        ("a bare CR", format!("POST / HTTP/1.1\r\nHost: a\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        ("a NUL", "POST / HTTP/1.1\r\nHost: a\r\nX: \0\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (
            "a bad chunk size",
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x24\r\n{second}\r\n0\r\n\r\n"),
        ),
        (
            "a huge chunk size",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{second}\r\n0\r\n\r\n"
            ),
        ),
        (
            "a chunk without its end",
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nXX\r\n0\r\n\r\n{second}"),
        ),
    ] {
        let (upstream, seen) = recorder(OK).await;
        let gateway = Gateway::before(upstream).await;
        let mut client = gateway.connect().await;
        client.write(&request).await;
        // Only these can be read in one way alone. What is behind them in the connection is not read at all: it is closed by us.
        let is_read = matches!(what, "CL.TE" | "TE.CL" | "TE alone");
        if !is_read {
            // Nothing more comes: what the gateway waits for, it does not get.
            tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.unwrap();
        }
        let answers = client.rest().await;
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{what}: {answers}");
        let seen = seen.lock().unwrap();
        assert!(seen.len() <= 1, "{what}: {seen:?}");
        for request in &*seen {
            let is_one_length = !request.to_ascii_lowercase().contains("transfer-encoding")
                || !request.to_ascii_lowercase().contains("content-length");
            assert!(!request.starts_with("GET /smuggled") && is_one_length, "{what}: {request}");
        }
        if is_read {
            assert_eq!((seen.len(), status(&answers)), (1, 200), "{what}: {answers}");
        } else {
            let whole = seen.iter().filter(|request| !request.starts_with("BROKEN OFF")).count();
            assert_eq!(whole, 0, "{what}: {seen:?}");
            assert!(answers.is_empty() || status(&answers) >= 400, "{what}: {answers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_to_a_service_is_refused() {
    let (upstream, seen) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    for (request, wanted) in [
        ("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n", 405),
        ("TRACK / HTTP/1.1\r\nHost: a\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n", 417),
    ] {
        let answer = gateway.exchange(&format!("{request}Connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), wanted, "{request}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

/// A guard may have hashed it.
#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_get_is_not_lost() {
    for (request, end) in [
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "4\r\nbody\r\n0\r\n\r\n"),
        ("Content-Length: 4\r\n\r\nbody", "\r\n\r\nbody"),
    ] {
        let (upstream, seen) = recorder(OK).await;
        let gateway = Gateway::before(upstream).await;
        gateway.exchange(&format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{request}")).await;
        let seen = seen.lock().unwrap().join("");
        assert!(seen.ends_with(end), "{seen}");
    }
}

/// HTTP/2 is agreed on in the handshake of TLS, and nowhere else: what stands before us may have read HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_http_2_unasked() {
    let (upstream, seen) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    let mut client = gateway.connect().await;
    // The preface, settings, and `GET /` for the authority `a`.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    sent.extend_from_slice(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a");
    tokio::io::AsyncWriteExt::write_all(&mut client.0, &sent).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.unwrap();
    let answer = client.rest().await;
    assert!(answer.is_empty() || status(&answer) >= 400, "{answer:?}");
    assert!(seen.lock().unwrap().is_empty());
}
