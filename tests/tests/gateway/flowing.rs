//! Bodies pass as they come, in both directions.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::{Client, Gateway, LONG, OK, Options, Seen, read_request, recorder, status, upstream, values};

/// An upstream of one connection, whose end is played by the test.
async fn by_hand() -> (std::net::SocketAddr, mpsc::Receiver<TcpStream>) {
    let (sender, receiver) = mpsc::channel(4);
    let address = upstream(move |stream| {
        let sender = sender.clone();
        async move { drop(sender.send(stream).await) }
    })
    .await;
    (address, receiver)
}

async fn next(streams: &mut mpsc::Receiver<TcpStream>) -> Client {
    Client(tokio::time::timeout(LONG, streams.recv()).await.expect("it connects").unwrap())
}

/// The second event is not sent before the first has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_one_by_one() {
    let (address, mut streams) = by_hand().await;
    let gateway = Gateway::before(address).await;
    let mut client = gateway.connect().await;
    client.write("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n").await;
    let mut server = next(&mut streams).await;
    server.until("\r\n\r\n").await;
    server.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert_eq!(values(&client.until("\r\n\r\n").await, "content-type"), ["text/event-stream"]);
    for number in 0..3 {
        let event = format!("data: {number}\n\n");
        server.write(&format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert!(client.until(&event).await.ends_with("\r\n"));
    }
    // Where the client goes away, the upstream hears of it.
    drop(client);
    let ended = tokio::time::timeout(LONG, server.0.read(&mut [0; 16])).await.expect("it is told");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

/// The second part is not sent before the first has arrived; and an answer may come before the end.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_passes_as_it_comes() {
    let (address, mut streams) = by_hand().await;
    let gateway = Gateway::before(address).await;
    let mut client = gateway.connect().await;
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    let mut server = next(&mut streams).await;
    let mut arrived = server.until("first").await;
    client.write("6\r\nsecond\r\n").await;
    arrived += &server.until("second").await;
    client.write("0\r\n\r\n").await;
    server.until("0\r\n\r\n").await;
    assert_eq!(values(&arrived, "transfer-encoding"), ["chunked"]);
    server.write(OK).await;
    assert!(client.rest().await.ends_with("ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_except_those_that_say_who_calls() {
    let (address, mut streams) = by_hand().await;
    let gateway = Gateway::before(address).await;
    let mut client = gateway.connect().await;
    client
        .write(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTrailer: Content-Digest, Chio-Subject, Chio_Scope, Content-Length\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Digest: x\r\nChio-Subject: root\r\nChio_Scope: root\r\nContent-Length: 9\r\n\r\n",
        )
        .await;
    let mut server = next(&mut streams).await;
    let request = server.until("0\r\n").await;
    let request =
        if request.contains("content-digest: x") { request } else { request + &server.until("\r\n\r\n").await };
    assert!(
        request.contains("content-digest: x") && !request.contains("root") && !request.contains(": 9"),
        "{request}"
    );
    server
        .write(
            "HTTP/1.1 200 OK\r\nTrailer: Grpc-Status, Chio-Receipt\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
             Grpc-Status: 0\r\nChio-Receipt: 1\r\n\r\n",
        )
        .await;
    let answer = client.rest().await;
    assert!(answer.contains("grpc-status: 0") && !answer.contains("chio-receipt: 1"), "{answer}");
}

/// Nobody is told to go on before somebody is there who reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_go_on_is_told_to() {
    let (upstream, seen) = recorder(OK).await;
    let gateway = Gateway::before(upstream).await;
    let mut client = gateway.connect().await;
    client
        .write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("body").await;
    assert!(client.rest().await.ends_with("ok"));
    let seen = seen.lock().unwrap().join("");
    assert!(seen.ends_with("body") && values(&seen, "expect").is_empty(), "{seen}");

    // One whose body is too long is not.
    let answer = gateway
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 413);
}

/// What broke off is not made to look whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_broken_off() {
    for (answer, whole) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "0\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", "halfhalf"),
    ] {
        let seen = Seen::default();
        let address = upstream(move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                read_request(&mut stream, &seen).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        let got = Gateway::before(address).await.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        // How much of it comes through first is a matter of luck.
        assert!(!got.ends_with(whole), "{got}");
    }
}

/// Whoever knows whether it was acted on can send it again: not we.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_not_sent_again() {
    for before in [0, 1] {
        let seen = Seen::default();
        let kept = Arc::clone(&seen);
        let address = upstream(move |mut stream| {
            let kept = Arc::clone(&kept);
            async move {
                // As many as this are answered on a connection, then it is closed behind a request.
                for count in 0..=before {
                    let Some(request) = read_request(&mut stream, &kept).await else { return };
                    kept.lock().unwrap().push(request);
                    if count < before {
                        stream.write_all(OK.as_bytes()).await.unwrap();
                    }
                }
            }
        })
        .await;
        let gateway = Gateway::before(address).await;
        let mut client = gateway.connect().await;
        for _ in 0..before {
            client.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
            client.until("ok").await;
        }
        client.write("PUT /last HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1").await;
        assert_eq!(status(&client.rest().await), 502);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.iter().filter(|request| request.contains("/last")).count(), 1, "{seen:?}");
    }
}

/// An upstream that is slow in each of the ways that there are.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_without_end() {
    let (address, _streams) = by_hand().await;
    let mut options = Options::to(address);
    let soon = Duration::from_millis(50);
    (options.proxy.response_timeout, options.proxy.idle_timeout) = (soon, soon);
    options.proxy.connect_timeout = soon;
    let gateway = options.start().await;

    // No answer.
    let answer = gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 504);
    assert_eq!(values(&answer, "content-type"), ["application/problem+json"]);
    let answer =
        gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1").await;
    assert_eq!(status(&answer), 504);

    // The client's body does not go on.
    let answer =
        gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\n1").await;
    assert_eq!(status(&answer), 408);

    // Nor does it where it is read before the proxy.
    let mut options = Options::to(address);
    options.serve.idle_timeout = soon;
    let answer = options
        .start()
        .await
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\n1")
        .await;
    assert_eq!(status(&answer), 408);

    // The answer does not go on.
    let (other, mut streams) = by_hand().await;
    let mut options = Options::to(other);
    options.proxy.idle_timeout = soon;
    let gateway = options.start().await;
    let mut client = gateway.connect().await;
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut server = next(&mut streams).await;
    server.until("\r\n\r\n").await;
    server.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
    let answer = client.rest().await;
    assert!(answer.ends_with("\r\n\r\nhalf"), "{answer}");

    // It takes the connection, and shakes no hands.
    let mut options = Options::to_url(&format!("https://{address}"));
    options.proxy.connect_timeout = soon;
    let answer = options.start().await.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 504);
}

/// Nor is anything kept for a client that does not read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let (address, mut streams) = by_hand().await;
    let mut options = Options::to(address);
    options.serve.idle_timeout = Duration::from_millis(100);
    let gateway = options.start().await;
    let mut client = gateway.connect().await;
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = next(&mut streams).await;
    server.until("\r\n\r\n").await;
    server.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let part = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    let flood = async { while server.0.write_all(part.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(LONG, flood).await.expect("the upstream is told to stop");
    drop(client);
}
