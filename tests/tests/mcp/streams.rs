//! Messages over byte streams: in order, of any size up to the limit, whatever comes between them.

use std::sync::Arc;

use chio_core::capability::Grant;
use chio_mcp::pump::{MAX_MESSAGE_BYTES, pump};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split};
use tokio::sync::Notify;

use crate::wire::{Guarded, Signing, call, parse, read, request, result, said};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A client and a tool server with a signer and a guard between them.
struct Between {
    client: DuplexStream,
    server: DuplexStream,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn between(grants: Vec<Grant>) -> Between {
    let (client, signer_side) = duplex(1 << 16);
    let (guard_side, server) = duplex(1 << 16);
    let (up, down) = duplex(1 << 16);
    let Signing { signer, .. } = Signing::new(grants);
    let Guarded { guard, .. } = Guarded::new();
    tokio::spawn(async move { pump(&signer, split(signer_side), split(up), &Notify::new()).await });
    let ended = tokio::spawn(async move { pump(&guard, split(down), split(guard_side), &Notify::new()).await });
    Between { client, server, ended }
}

#[test]
fn a_thousand_calls_in_flight_arrive_in_order_and_are_answered() {
    run(async {
        let Between { client, server, ended } = between(vec![Grant::new("mcp", "read")]);
        let (from_server, mut to_client) = split(client);
        let (from_client, mut to_server) = split(server);
        tokio::spawn(async move {
            for id in 0..1000 {
                to_client.write_all(format!("{}\n", call(id, "read", &json!({"n": id}))).as_bytes()).await.unwrap();
            }
            to_client.flush().await.unwrap();
            std::mem::forget(to_client);
        });
        let serving = tokio::spawn(async move {
            let mut lines = BufReader::new(from_client).lines();
            for id in 0..1000 {
                let line = lines.next_line().await.unwrap().unwrap();
                assert_eq!(line, call(id, "read", &json!({"n": id})));
                to_server.write_all(format!("{}\n", said(id, "x")).as_bytes()).await.unwrap();
            }
            (lines, to_server)
        });
        let mut lines = BufReader::new(from_server).lines();
        for id in 0..1000 {
            let line = parse(&lines.next_line().await.unwrap().unwrap());
            assert_eq!(line["id"], id);
            assert!(line["result"]["_meta"]["dev.chio/receipt"].is_object(), "{line}");
        }
        drop(serving.await.unwrap());
        ended.await.unwrap().unwrap();
    });
}

#[test]
fn a_result_of_five_mebibytes_passes() {
    run(async {
        let Between { client, server, .. } = between(vec![Grant::new("mcp", "read")]);
        let (from_server, mut to_client) = split(client);
        let (from_client, mut to_server) = split(server);
        to_client.write_all(format!("{}\n", read(1)).as_bytes()).await.unwrap();
        let mut lines = BufReader::new(from_client).lines();
        lines.next_line().await.unwrap().unwrap();
        let large = "é\\n\"".repeat(5 << 18);
        let sent = said(1, &large);
        tokio::spawn(async move {
            to_server.write_all(sent.as_bytes()).await.unwrap();
            to_server.write_all(b"\n").await.unwrap();
            std::mem::forget((to_server, lines));
        });
        let passed = parse(&BufReader::new(from_server).lines().next_line().await.unwrap().unwrap());
        assert_eq!(passed["result"]["content"][0]["text"], large);
    });
}

#[test]
fn what_comes_between_messages_harms_none() {
    run(async {
        let Between { client, server, .. } = between(vec![Grant::new("mcp", "read")]);
        let (from_server, mut to_client) = split(client);
        let (from_client, mut to_server) = split(server);
        let (mut answers, mut asked) = (BufReader::new(from_server).lines(), BufReader::new(from_client).lines());
        for (bytes, code) in [
            (b"\n \r\n".as_slice(), None),
            (b"\xef\xbb\xbf{}\n", Some(-32700)),
            (b"\xff\xfe\n", Some(-32700)),
            (b"\0\n", Some(-32700)),
            (b"[]\n", Some(-32600)),
            (b"nonsense\n", Some(-32700)),
        ] {
            to_client.write_all(bytes).await.unwrap();
            if let Some(code) = code {
                assert_eq!(parse(&answers.next_line().await.unwrap().unwrap())["error"]["code"], code, "{bytes:?}");
            }
        }
        // A hundred megabytes on one line: refused while they come.
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            to_client.write_all(&chunk).await.unwrap();
        }
        to_client.write_all(b"\n").await.unwrap();
        let refused = parse(&answers.next_line().await.unwrap().unwrap());
        assert!(refused["error"]["message"].as_str().unwrap().contains(&MAX_MESSAGE_BYTES.to_string()));
        to_client.write_all(format!("{}\r\n", read(1)).as_bytes()).await.unwrap();
        assert_eq!(asked.next_line().await.unwrap().unwrap(), read(1));
        to_server.write_all(b"Listening on stdio\n\xff\n\n").await.unwrap();
        to_server.write_all(format!("{}\r\n", said(1, "x")).as_bytes()).await.unwrap();
        assert_eq!(parse(&answers.next_line().await.unwrap().unwrap())["id"], 1);
    });
}

#[test]
fn both_ends_close_in_order_and_every_call_has_an_outcome() {
    run(async {
        // The tool server ends in the middle of a call.
        let Between { client, server, ended } = between(vec![Grant::new("mcp", "read")]);
        let (from_server, mut to_client) = split(client);
        to_client.write_all(format!("{}\n{}\n", read(1), request(2, "ping", &json!({}))).as_bytes()).await.unwrap();
        let mut asked = BufReader::new(server).lines();
        asked.next_line().await.unwrap().unwrap();
        asked.next_line().await.unwrap().unwrap();
        drop(asked);
        let mut all = String::new();
        BufReader::new(from_server).read_to_string(&mut all).await.unwrap();
        let mut ids: Vec<_> =
            all.lines().map(|line| (parse(line)["id"].as_u64(), parse(line)["error"]["code"].as_i64())).collect();
        ids.sort_unstable();
        assert_eq!(ids, [(Some(1), Some(-31004)), (Some(2), Some(-31004))]);
        ended.await.unwrap().unwrap();

        // The client ends: what is on the way is still answered.
        let (client, guard_side) = duplex(1 << 16);
        let (up, server) = duplex(1 << 16);
        let client_ended = Arc::new(Notify::new());
        let guarded = Guarded::new();
        let told = Arc::clone(&client_ended);
        let pumped = tokio::spawn(async move { pump(&guarded.guard, split(guard_side), split(up), &told).await });
        let (from_server, mut to_client) = split(client);
        to_client.write_all(format!("{}\n", request(1, "ping", &json!({}))).as_bytes()).await.unwrap();
        to_client.shutdown().await.unwrap();
        client_ended.notified().await;
        let (from_client, mut to_server) = split(server);
        let mut asked = BufReader::new(from_client).lines();
        asked.next_line().await.unwrap().unwrap();
        assert_eq!(asked.next_line().await.unwrap(), None);
        to_server.write_all(format!("{}\n", result(1, &json!({}))).as_bytes()).await.unwrap();
        to_server.shutdown().await.unwrap();
        drop((asked, to_server));
        let answer = BufReader::new(from_server).lines().next_line().await.unwrap().unwrap();
        assert_eq!(answer, result(1, &json!({})));
        pumped.await.unwrap().unwrap();
    });
}

/// Every one of them is denied at first by a guard that has just started, and goes back signed anew.
#[test]
fn a_client_that_does_not_wait_at_the_start_is_answered_all_the_same() {
    run(async {
        let (client, signer_side) = duplex(1 << 12);
        let (guard_side, server) = duplex(1 << 12);
        let (up, down) = duplex(1 << 12);
        let world = chio_tests::world::World::new();
        world.clock.set(chio_tests::world::NOW);
        let Guarded { guard, .. } = Guarded::of(world, chio_mcp::GuardOptions::default());
        let Signing { signer, .. } = Signing::new(vec![Grant::new("mcp", "read")]);
        tokio::spawn(async move { pump(&signer, split(signer_side), split(up), &Notify::new()).await });
        tokio::spawn(async move { pump(&guard, split(down), split(guard_side), &Notify::new()).await });
        let (from_server, mut to_client) = split(client);
        let (from_client, mut to_server) = split(server);
        tokio::spawn(async move {
            for id in 0..500 {
                to_client.write_all(format!("{}\n", read(id)).as_bytes()).await.unwrap();
            }
            std::mem::forget(to_client);
        });
        tokio::spawn(async move {
            let mut lines = BufReader::new(from_client).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                let id = parse(&line)["id"].as_u64().unwrap();
                to_server.write_all(format!("{}\n", said(id, "x")).as_bytes()).await.unwrap();
            }
        });
        let mut lines = BufReader::new(from_server).lines();
        let mut ids = Vec::new();
        while ids.len() < 500 {
            let line = parse(&lines.next_line().await.unwrap().unwrap());
            assert!(line["result"].is_object(), "{line}");
            ids.push(line["id"].as_u64().unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..500).collect::<Vec<_>>());
    });
}
