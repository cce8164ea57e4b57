//! What passes, passes unchanged.

use chio_core::capability::Grant;
use chio_mcp::{FromClient, FromServer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wire::{Guarded, Signing, parse, read, request, result, said};

/// Through a signer and a guard, to the letter.
#[test]
fn a_request_reaches_the_tool_server_as_it_was_sent() {
    for text in [
        r#"{"jsonrpc":"2.0","id":12345678901234567890123,"method":"tools/call","params":{"name":"any","arguments":{"z":1,"a":[1.50]}}}"#,
        r#"{"method":"tools/call","params":{"arguments":{"b":"é\u00e9","a":null},"name":"any"},"id":"x","jsonrpc":"2.0","extra":{"n":1e999}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"any","_meta":{"progressToken":99999999999999999999}}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{},"name":"any"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/list","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{"x":{}},"clientInfo":{"name":"c"}}}"#,
        r#"{"jsonrpc":"2.0","id":6,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":8,"method":"resources/subscribe","params":{"uri":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":9,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.50}}"#,
        r#"{"jsonrpc":"2.0","id":77,"result":{"role":"assistant","n":1.0}}"#,
        r#"{"jsonrpc":"2.0","id":78,"error":{"code":-1,"message":"no"}}"#,
    ] {
        let (signing, guarded) = (Signing::new(vec![Grant::new("mcp", "any")]), Guarded::new());
        // Answers are to what was asked.
        for id in [77, 78] {
            guarded.server(&json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"}).to_string());
        }
        assert_eq!(guarded.forwarded(&signing.signed(text)), text);
    }
}

#[test]
fn what_the_tool_server_says_reaches_the_client_as_it_was_sent() {
    for text in [
        r#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"sampling/createMessage","params":{"maxTokens":1.0}}"#,
        r#"{"jsonrpc":"2.0","id":"e","method":"elicitation/create","params":{"_meta":{"a":1}}}"#,
        r#"{"jsonrpc":"2.0","id":0,"method":"roots/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":12345678901234567890,"progress":1}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a"},"x":1e999}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#,
    ] {
        let (signing, guarded) = (Signing::new(vec![Grant::new("mcp", "any")]), Guarded::new());
        assert_eq!(guarded.server(text), FromServer::Forward(text.to_owned()));
        assert_eq!(signing.server(text), FromServer::Forward(text.to_owned()));
    }
    // An answer is the same but for the receipts of a call, and for nothing at all where there is none.
    let (signing, guarded) = (Signing::new(vec![Grant::new("mcp", "any")]), Guarded::new());
    let back = |id: u64, method: &str, answer: &str| {
        guarded.forwarded(&signing.signed(&request(id, method, &json!({"name": "any", "arguments": {}}))));
        let FromServer::Forward(text) = guarded.server(answer) else { panic!("{answer}") };
        let FromServer::Forward(text) = signing.server(&text) else { panic!("{text}") };
        text
    };
    for (id, method, answer) in [
        (
            1,
            "initialize",
            r#"{"result":{"protocolVersion":"2025-11-25","big":123456789012345678901},"jsonrpc":"2.0","id":1}"#,
        ),
        (2, "ping", r#"{"jsonrpc":"2.0","id":2,"result":{}}"#),
        (3, "ping", r#"{"jsonrpc":"2.0","id":3,"result":{"_meta":{"a":1}}}"#),
        (4, "tools/call", r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32602,"message":"no","data":{"a":1e999}}}"#),
    ] {
        assert_eq!(back(id, method, answer), answer);
    }
    let answer =
        r#"{"jsonrpc":"2.0","id":5,"result":{"z":1.50,"content":[{"text":"é"}],"_meta":{"a":12345678901234567890}}}"#;
    let text = back(5, "tools/call", answer);
    let mut passed = parse(&text);
    let meta = passed["result"]["_meta"].as_object_mut().unwrap();
    assert!(meta.remove("dev.chio/receipt").is_some() && meta.remove("dev.chio/decision").is_some());
    assert_eq!(passed, parse(answer));
    assert!(text.contains(r#""z":1.50,"content":[{"text":"é"}]"#) && text.contains(r#""a":12345678901234567890"#));
}

/// A guard that remembers nothing from before it started gives out nonces; a signer takes them up by itself.
#[test]
fn a_signer_is_understood_by_a_guard_that_has_just_started() {
    let world = chio_tests::world::World::new();
    world.clock.set(chio_tests::world::NOW);
    let guarded = Guarded::of(world, chio_mcp::GuardOptions::default());
    let signing = Signing::new(vec![Grant::new("mcp", "read")]);
    let first = guarded.answered(&signing.signed(&read(1)));
    assert_eq!(first["error"]["data"]["code"], "proof_predates_kernel");
    let FromServer::Back(again) = signing.server(&first.to_string()) else { panic!("it is signed again") };
    assert_eq!(parse(&guarded.forwarded(&again)), parse(&read(1)));
    // From then on at once. Whoever stands between could otherwise have a call made twice: once it has answered, a guard that
    // says so again is not believed, but what it gives out is taken up.
    guarded.forwarded(&signing.signed(&read(2)));
    signing.server(&guarded.passed(&said(2, "x")).to_string());
    signing.signed(&read(3));
    let again = json!({"jsonrpc": "2.0", "id": 3, "error": first["error"]}).to_string();
    assert!(matches!(signing.server(&again), FromServer::Forward(_)));
    guarded.forwarded(&signing.signed(&read(6)));
    // What opens a connection brings a nonce, too.
    let signing = Signing::new(vec![Grant::new("mcp", "read")]);
    guarded.forwarded(&signing.signed(&request(4, "initialize", &json!({}))));
    let opened = guarded.passed(&result(4, &json!({}))).to_string();
    assert!(opened.contains("dev.chio/nonce"));
    assert_eq!(signing.server(&opened), FromServer::Forward(result(4, &json!({}))));
    guarded.forwarded(&signing.signed(&read(5)));
}

#[test]
fn what_cannot_be_signed_is_answered_for() {
    let signing = Signing::new(vec![Grant::new("mcp", "any")]);
    for params in [
        json!({"name": 1}),
        json!({"name": "a", "_meta": 1}),
        json!({"name": "a", "arguments": {"n": 9_007_199_254_740_993_u64}}),
    ] {
        let FromClient::Answer(text) = signing.client(&request(1, "tools/call", &params)) else { panic!("{params}") };
        assert_eq!(parse(&text)["error"]["code"], -32602);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\\PC]{1,6}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z\\PC]{1,6}", value(), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_called_passes_unchanged_and_comes_back_unchanged(
        arguments in object(), meta in prop::option::of(object()), answer in object(), number in 1_u64..1000,
    ) {
        let folds = |name: &String| name.to_uppercase().to_lowercase().starts_with("dev.chio");
        prop_assume!(!arguments.as_object().unwrap().keys().any(folds));
        let (signing, guarded) = (Signing::new(vec![Grant::new("mcp", "any")]), Guarded::new());
        let mut params = json!({"name": "any", "arguments": arguments});
        if let Some(meta) = meta {
            params["_meta"] = meta;
        }
        let sent = request(number, "tools/call", &params);
        prop_assert_eq!(guarded.forwarded(&signing.signed(&sent)), sent);
        let mut answer = answer;
        answer.as_object_mut().unwrap().remove("_meta");
        let FromServer::Forward(text) = guarded.server(&result(number, &answer)) else { panic!("it is an answer") };
        let FromServer::Forward(text) = signing.server(&text) else { panic!("it is an answer") };
        let mut passed = parse(&text);
        passed["result"].as_object_mut().unwrap().remove("_meta");
        prop_assert_eq!(&passed["result"], &answer);
    }

    /// No bytes at all make it panic, and what it forwards is one strict line.
    #[test]
    fn whatever_comes_is_decided_on(text in "\\PC{0,60}|[\\[\\]{}\",:0-9a-z\\\\ \\r\\n]{0,60}|\\{\"jsonrpc\":\"2.0\",\"id\":[0-9]{1,3},\"method\":\"[a-z/]{0,12}\"(,\"params\":[{}\\[\\]\":,a-z]{0,20})?\\}") {
        let (signing, guarded) = (Signing::new(vec![Grant::new("mcp", "any")]), Guarded::new());
        for decided in [guarded.client(&text), signing.client(&text)] {
            if let FromClient::Forward(text) = decided {
                prop_assert!(!text.contains(['\r', '\n']));
                parse(&text);
            }
        }
        guarded.server(&text);
        signing.server(&text);
        prop_assert!(matches!(guarded.server(&said(9999, "x")), FromServer::Instead(_)));
    }
}
