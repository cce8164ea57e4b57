//! Tunnels: a WebSocket, and nothing else.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Gateway, OK, Options, recorder, status, upstream, values};

const OPEN: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An upstream that opens a WebSocket, and sends back what it gets.
async fn echo() -> std::net::SocketAddr {
    upstream(|mut stream| async move {
        let seen = crate::harness::Seen::default();
        let Some(request) = crate::harness::read_request(&mut stream, &seen).await else { return };
        assert_eq!(values(&request, "connection"), ["upgrade"]);
        assert_eq!(values(&request, "upgrade"), ["websocket"]);
        assert_eq!(values(&request, "sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
        // The first message of the server comes with its answer.
        stream.write_all(format!("{OPENED}hello").as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(count) = stream.read(&mut buffer).await
            && count > 0
        {
            stream.write_all(&buffer[..count]).await.unwrap();
        }
        let _ = stream.write_all(b"bye").await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways() {
    let gateway = Gateway::before(echo().await).await;
    let mut client = gateway.connect().await;
    client.write(OPEN).await;
    let opened = client.until("hello").await;
    assert_eq!(status(&opened), 101);
    assert_eq!(values(&opened, "upgrade"), ["websocket"]);
    assert_eq!(values(&opened, "connection"), ["upgrade"]);
    assert_eq!(values(&opened, "sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    for message in ["one", "two"] {
        client.write(message).await;
        assert_eq!(client.until(message).await, message);
    }
    // One side has ended: the other says what it has to say.
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "bye");
}

/// Another protocol would carry requests past the guard.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_websocket_is_asked_for() {
    for upgrade in ["h2c", "TLS/1.0", "websocket, h2c", "h2c\r\nUpgrade: websocket", "websocket/13"] {
        let (upstream, seen) = recorder(OK).await;
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
        let answer = Gateway::before(upstream).await.exchange(&request).await;
        assert_eq!(status(&answer), 200, "{upgrade}");
        let seen = seen.lock().unwrap().join("");
        assert!(values(&seen, "upgrade").is_empty() && values(&seen, "connection").is_empty(), "{seen}");
    }
    let (upstream, seen) = recorder(OK).await;
    let request = OPEN
        .replace("GET", "POST")
        .replace("keep-alive", "close")
        .replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(status(&Gateway::before(upstream).await.exchange(&request).await), 200);
    assert!(values(&seen.lock().unwrap().join(""), "upgrade").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_switches_unasked_is_not_followed() {
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", OPENED),
        (OPEN, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (OPEN, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"),
    ] {
        let (upstream, _) = recorder(answer).await;
        let gateway = Gateway::before(upstream).await;
        let mut client = gateway.connect().await;
        client.write(request).await;
        assert_eq!(status(&client.until("\r\n\r\n").await), 502, "{answer}");
    }
}

/// Less than a tunnel may be silent, by far.
const SOON: Duration = Duration::from_millis(150);

/// It is no way to have more connections than there may be, and it ends when nobody says anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_keeps_its_place_until_it_ends() {
    let mut options = Options::to(echo().await);
    options.serve.max_connections = 1;
    options.proxy.tunnel_idle_timeout = SOON * 4;
    let gateway = options.start().await;
    let mut client = gateway.connect().await;
    client.write(OPEN).await;
    client.until("hello").await;
    let mut second = gateway.connect().await;
    second.write(OPEN).await;
    // It is let in when the first one has been silent for too long, and not before.
    second.until("hello").await;
    let ended = tokio::time::timeout(SOON, client.0.read(&mut [0; 16])).await.expect("it had ended by then");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
