//! What is bounded, and how it ends.

use std::time::Duration;

use chio_http::gateway::Stopped;
use tokio::net::TcpListener;

use crate::harness::{Gateway, OK, Options, recorder, status, values};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_no_longer_than_it_may_be() {
    let (upstream, seen) = recorder(OK).await;
    let mut options = Options::to(upstream);
    options.proxy.max_body_bytes = 4;
    let gateway = options.start().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    assert_eq!(status(&gateway.exchange(&format!("{post}Content-Length: 4\r\n\r\nbody")).await), 200);
    assert_eq!(status(&gateway.exchange(&format!("{post}Content-Length: 5\r\n\r\nbody!")).await), 413);
    assert_eq!(seen.lock().unwrap().len(), 1);
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n1\r\n!\r\n0\r\n\r\n");
    assert_eq!(status(&gateway.exchange(&chunked).await), 413);
    assert!(seen.lock().unwrap().iter().skip(1).all(|request| request.starts_with("BROKEN OFF")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_no_longer_and_takes_no_longer_than_it_may() {
    let (upstream, seen) = recorder(OK).await;
    let mut options = Options::to(upstream);
    options.serve.max_head_bytes = 8192;
    options.serve.head_timeout = Duration::from_millis(50);
    let gateway = options.start().await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(status(&gateway.exchange(&long).await), 431);
    // A head that does not go on, and one that does not begin.
    for request in ["GET / HTTP/1.1\r\nHost:", ""] {
        let answer = gateway.exchange(request).await;
        assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    }
    assert!(seen.lock().unwrap().is_empty());
    // Nor does the head of a later request.
    let answer = gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost:").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_is_told_of_without_its_name() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = Gateway::before(port).await.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 502);
    assert_eq!(values(&answer, "content-type"), ["application/problem+json"]);
    assert!(answer.contains("\"code\":\"upstream_failed\"") && !answer.contains(&port.port().to_string()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished() {
    let (upstream, _) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    let mut idle = gateway.connect().await;
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.until("ok").await;
    let mut busy = gateway.connect().await;
    busy.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
    let address = gateway.address;
    while !gateway.metrics.text().contains("chio_http_requests_in_flight 1") {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(gateway.stop());
    // The one that is idle is closed; the other has its answer.
    assert_eq!(idle.rest().await, "");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    busy.write("dy").await;
    assert!(busy.rest().await.ends_with("ok"));
    assert_eq!(stopping.await.unwrap(), Stopped { cut_off: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_is_cut_off() {
    let (upstream, _) = recorder("").await;
    let mut options = Options::to(upstream);
    options.serve.stop_timeout = Duration::from_millis(50);
    let gateway = options.start().await;
    let mut client = gateway.connect().await;
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while !gateway.metrics.text().contains("chio_http_requests_in_flight 1") {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.stop().await, Stopped { cut_off: 1 });
}

/// What is counted has no word of a client's in it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted() {
    let (upstream, _) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    for path in ["/secret-1", "/secret-2"] {
        gateway.exchange(&format!("GET {path} HTTP/1.1\r\nHost: secret\r\nConnection: close\r\n\r\n")).await;
    }
    gateway.exchange("SECRET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n").await;
    let text = gateway.metrics.text();
    let line = "chio_http_requests_total{scheme=\"none\",decision=\"allow\",code=\"\",status=\"2xx\"} 2";
    assert!(text.lines().any(|written| written == line), "{text}");
    assert!(text.contains("chio_http_upstream_seconds_count 2"), "{text}");
    assert!(!text.to_ascii_lowercase().contains("secret"), "{text}");
}
