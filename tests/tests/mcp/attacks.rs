//! What must never reach a tool server, and what must never reach a client.

use chio_core::capability::{CapabilityChain, Grant};
use chio_kernel::config::Mode;
use chio_mcp::{DenyAs, FromClient, FromServer, GuardOptions, Methods, Rule};
use chio_tests::world;
use serde_json::{Value, json};

use crate::wire::{Guarded, Signing, call, docs_grant, parse, read, request, result, said};

#[test]
fn a_call_without_a_proof_of_its_own_reaches_no_tool_server() {
    let guarded = Guarded::new();
    // The very first line, before anything was agreed on.
    assert_eq!(guarded.denied(&read(1)), "proof_missing");
    let signing = Signing::new(vec![docs_grant()]);
    let signed = signing.signed(&read(2));
    let edit = |edit: &dyn Fn(&mut Value)| {
        let mut message = parse(&signed);
        message["id"] = json!(3);
        edit(&mut message);
        message.to_string()
    };
    for (change, code) in [
        (
            edit(&|message| drop(message["params"]["_meta"]["dev.chio/call"].as_object_mut().unwrap().remove("proof"))),
            "proof_missing",
        ),
        (edit(&|message| message["params"]["arguments"]["path"] = json!("/srv/docs/b.md")), "proof_binding_mismatch"),
        (edit(&|message| message["params"]["name"] = json!("write")), "proof_binding_mismatch"),
        (edit(&|message| message["params"]["requestState"] = json!("x")), "proof_binding_mismatch"),
        (
            edit(&|message| message["params"]["inputResponses"] = json!({"q": {"action": "accept"}})),
            "proof_binding_mismatch",
        ),
        (edit(&|message| message["params"]["task"] = json!({"ttl": 1})), "proof_binding_mismatch"),
        (edit(&|message| message["params"]["unknown"] = json!(1)), "proof_binding_mismatch"),
        (
            edit(&|message| message["params"]["_meta"]["dev.chio/call"]["capability"] = json!([])),
            "capability_malformed",
        ),
    ] {
        assert_eq!(guarded.denied(&change), code, "{change}");
    }
    assert_eq!(guarded.session.under_way(), 0);
    // It holds, and once.
    guarded.forwarded(&signed);
    let again = edit(&|_| {});
    assert_eq!(guarded.denied(&again), "nonce_replayed");
    // At another tool server, or for a thief with the token.
    let other = Guarded::with(GuardOptions { server_id: "other".into(), ..GuardOptions::default() });
    assert_eq!(other.denied(&signing.signed(&read(4))), "proof_binding_mismatch");
    let stolen = world::issue(world::terms(vec![docs_grant()]));
    assert!(chio_mcp::Signer::new(world::thief(), stolen, None).is_err());
}

/// Each is one that some reader would take for a call, or for another one than was decided on.
#[test]
fn what_readers_take_differently_is_not_passed() {
    let guarded = Guarded::with(GuardOptions { mode: Mode::Off, ..GuardOptions::default() });
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let members = r#""jsonrpc":"2.0","id":1"#;
    for text in [
        format!(r#"[{{{members},"method":"ping"}}]"#),
        format!(r#"{{{members},"method":"ping","method":"tools/call"}}"#),
        format!(r#"{{{members},"method":"ping","Method":"tools/call"}}"#),
        format!("{{{members},\"method\":\"ping\",\"param\u{17f}\":{{}}}}"),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","name":"b"}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","Name":"b"}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","\u006eame":"b"}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","Arguments":{{}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"p":1,"p":2}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"x":[{{"p":1,"p":2}}]}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","_meta":{{}},"_meta":{{"a":1}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","_Meta":{{}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"p":"\ud800"}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"p":1e400}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"p":{deep}}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a","arguments":{{"p":9007199254740993}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"tools/list"}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"resources/read","arguments":{{}}}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":["a"]}}"#),
        format!(r#"{{{members},"method":"Tools/Call","params":{{"name":"a"}}}}"#),
        format!(r#"{{{members},"method":"tools/call ","params":{{"name":"a"}}}}"#),
        format!(r#"{{{members},"method":"tools/call","params":{{"name":"a"}},"result":{{}}}}"#),
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"a"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":[1],"method":"tools/call","params":{"name":"a"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"notifications/whatever"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":5,"result":{"roots":[{"uri":"file:///"}]}}"#.to_owned(),
        r#"{"id":1,"method":"tools/call","params":{"name":"a"}}"#.to_owned(),
        format!("\u{feff}{{{members},\"method\":\"ping\"}}"),
        format!("{{{members},\"method\":\"ping\",\"params\":{{\"a\":\"\0\"}}}}"),
        format!("{{{members},\"method\":\"ping\"}}\0"),
        format!("{{{members},\"method\":\"ping\"}} {{{members},\"method\":\"tools/call\"}}"),
    ] {
        let decided = guarded.client(&text);
        assert!(!matches!(decided, FromClient::Forward(_)), "{text}: {decided:?}");
    }
    let bytes = [br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""#.as_slice(), b"\xff\"}}"].concat();
    let decided = crate::wire::block(chio_mcp::Relay::of_client(&guarded.guard, &guarded.session, &bytes));
    assert!(!matches!(decided, FromClient::Forward(_)));
    assert_eq!(guarded.session.under_way(), 0);
}

/// A reader that ends a line at a carriage return would see two.
#[test]
fn a_message_is_sent_on_as_one_line() {
    let guarded = Guarded::new();
    let hidden = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":[\r{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}\r\n]}\r";
    let text = guarded.forwarded(hidden);
    assert!(!text.contains(['\r', '\n']));
    assert_eq!(parse(&text), parse(hidden));
    let FromServer::Forward(text) = guarded.server("{\"jsonrpc\":\"2.0\",\r\"method\":\"notifications/message\"}")
    else {
        panic!("it is a notification");
    };
    assert!(!text.contains('\r'));
}

#[test]
fn two_requests_that_could_be_taken_for_each_other_are_not_under_way_at_once() {
    let guarded = Guarded::new();
    let list = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
    let ping = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    guarded.forwarded(&list("1"));
    for id in ["1", "1.0", "\"1\"", "1e0", "\"1.0\"", "10e-1"] {
        assert_eq!(guarded.answered(&ping(id))["error"]["code"], -32600, "{id}");
    }
    guarded.forwarded(&ping("2"));
    // An answer to the list, as a server that rewrites numbers gives it, is the answer to the list.
    let tools = r#"{"jsonrpc":"2.0","id":1.0,"result":{"tools":[{"name":"secret"}]}}"#;
    assert_eq!(guarded.passed(tools)["result"]["tools"], json!([]));
    assert!(matches!(guarded.server(tools), FromServer::Instead(texts) if texts.is_empty()), "it was answered before");
    guarded.forwarded(&ping("1"));
}

#[test]
fn a_late_answer_to_what_was_cancelled_is_nobody_elses() {
    let guarded = Guarded::new();
    let signing = Signing::new(vec![docs_grant()]);
    let cancel = |id: u64| {
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}).to_string()
    };
    guarded.forwarded(&request(7, "tools/list", &json!({})));
    guarded.forwarded(&cancel(7));
    assert_eq!(guarded.answered(&request(7, "ping", &json!({})))["error"]["code"], -32600);
    let tools = result(7, &json!({"tools": [{"name": "secret"}]}));
    assert!(matches!(guarded.server(&tools), FromServer::Instead(texts) if texts.is_empty()));
    guarded.forwarded(&request(7, "ping", &json!({})));
    // A call that is cancelled has its outcome at once.
    guarded.forwarded(&signing.signed(&read(8)));
    let before = guarded.receipts.all().len();
    guarded.forwarded(&cancel(8));
    let all = guarded.receipts.all();
    assert_eq!(all.len(), before + 1);
    assert!(
        matches!(&all[before].body.event, chio_core::receipt::Event::Outcome(outcome) if outcome.status == chio_core::receipt::OutcomeStatus::TimedOut)
    );
    assert!(matches!(guarded.server(&said(8, "late")), FromServer::Instead(texts) if texts.is_empty()));
}

#[test]
fn what_a_tool_server_says_in_chios_name_is_not_passed() {
    let guarded = Guarded::new();
    let signing = Signing::new(vec![docs_grant()]);
    let lie = json!({"dev.chio/receipt": {"body": {}}, "DEV.CHIO/decision": 1, "dev.chio/nonce": "n", "other": 1});
    guarded.forwarded(&signing.signed(&read(1)));
    let passed = guarded.passed(&result(1, &json!({"content": [], "_meta": lie})));
    let meta = &passed["result"]["_meta"];
    assert_eq!(meta["other"], 1);
    assert!(meta["dev.chio/receipt"]["signature"].is_string(), "it is the guard's: {meta}");
    assert!(meta.get("DEV.CHIO/decision").is_none() && meta.get("dev.chio/nonce").is_none());
    guarded.forwarded(&request(2, "ping", &json!({})));
    assert_eq!(guarded.passed(&result(2, &json!({"_meta": lie}))), parse(&result(2, &json!({"_meta": {"other": 1}}))));
    guarded.forwarded(&signing.signed(&read(3)));
    let error = json!({"jsonrpc": "2.0", "id": 3, "error": {"code": 1, "message": "m", "data":
        {"code": "proof_predates_kernel", "dev.chio/nonce": "n"}}});
    let passed = guarded.passed(&error.to_string());
    assert_eq!(passed["error"]["data"], json!({"code": "proof_predates_kernel"}));
    // What it answers unasked is not passed at all.
    for text in [said(99, "x"), result(3, &json!({}))] {
        assert!(matches!(guarded.server(&text), FromServer::Instead(texts) if texts.is_empty()), "{text}");
    }
}

#[test]
fn an_answer_that_cannot_be_understood_is_answered_for_and_what_is_printed_besides_is_dropped() {
    let guarded = Guarded::new();
    let signing = Signing::new(vec![docs_grant()]);
    guarded.forwarded(&signing.signed(&read(1)));
    assert!(matches!(guarded.server("Server is running"), FromServer::Instead(texts) if texts.is_empty()));
    for text in
        [r#"{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}"#, r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud83d"}}"#]
    {
        assert!(matches!(guarded.server(text), FromServer::Instead(_)), "{text} was passed");
    }
    assert_eq!(guarded.session.under_way(), 0);
    let last = guarded.receipts.all().pop().unwrap();
    assert!(
        matches!(last.body.event, chio_core::receipt::Event::Outcome(outcome) if outcome.status == chio_core::receipt::OutcomeStatus::Failed)
    );
}

#[test]
fn a_method_that_is_not_listed_is_denied_and_a_call_is_checked_whatever_the_table_says() {
    let guarded = Guarded::new();
    for method in ["x/y", "resources/write", "Initialize", "tools/Call", "notifications/initialized", ""] {
        assert_eq!(guarded.answered(&request(1, method, &json!({})))["error"]["code"], -32601, "{method}");
    }
    for method in ["resources/read", "prompts/get", "completion/complete", "tasks/get", "tasks/anything", "tasks/"] {
        assert_eq!(guarded.denied(&request(1, method, &json!({}))), "proof_missing", "{method}");
    }
    let mut methods = Methods::default();
    methods.set("x/y", Rule::Pass).unwrap();
    methods.set("prompts/get", Rule::Deny).unwrap();
    methods.set("x/z", Rule::Check).unwrap();
    let guarded = Guarded::with(GuardOptions { methods, ..GuardOptions::default() });
    guarded.forwarded(&request(1, "x/y", &json!({})));
    assert_eq!(guarded.answered(&request(2, "prompts/get", &json!({})))["error"]["code"], -32601);
    assert_eq!(guarded.denied(&request(2, "x/z", &json!({}))), "proof_missing");
    assert_eq!(guarded.denied(&read(2)), "proof_missing");
}

#[test]
fn other_methods_are_granted_as_tools_of_their_names() {
    let uri = json!({"constraint_type": "exact", "value": "file:///a"});
    let grant = Grant::new("mcp", "resources/read").argument("/uri", &uri).unwrap();
    let (guarded, signing) = (Guarded::new(), Signing::new(vec![grant]));
    let read = |id, uri: &str| signing.signed(&request(id, "resources/read", &json!({"uri": uri})));
    guarded.forwarded(&read(1, "file:///a"));
    assert_eq!(guarded.answered(&read(2, "file:///b"))["error"]["data"]["code"], "argument_constraint_violated");
    // A tool that takes the name of a method gets none of its grants.
    let disguised = signing.client(&call(3, "resources/read", &json!({"uri": "file:///a"})));
    let FromClient::Forward(disguised) = disguised else { panic!("it is for the guard to see") };
    assert_eq!(guarded.answered(&disguised)["error"]["code"], -32602);
}

/// What a client sends beside the arguments, a tool takes for its word too.
#[test]
fn inputs_beside_the_arguments_are_granted_by_name() {
    let guarded = Guarded::new();
    let with_inputs = |id| {
        let params = json!({"name": "read", "arguments": {"path": "/srv/docs/a.md"}, "requestState": "s",
            "inputResponses": {"path": {"action": "accept", "content": {"path": "/etc/passwd"}}}});
        request(id, "tools/call", &params)
    };
    let closed = Signing::new(vec![docs_grant()]);
    assert_eq!(guarded.denied(&closed.signed(&with_inputs(1))), "argument_not_granted");
    let any = json!({"constraint_type": "wildcard", "optional": true});
    let named = docs_grant().argument("/dev.chio~1inputResponses", &any).unwrap();
    let named = named.argument("/dev.chio~1requestState", &any).unwrap();
    guarded.forwarded(&Signing::new(vec![named]).signed(&with_inputs(2)));
    guarded.forwarded(&Signing::new(vec![Grant::new("mcp", "read")]).signed(&with_inputs(3)));
}

#[test]
fn a_denial_is_told_as_its_owner_wants_and_tells_no_policy() {
    let signing = Signing::new(vec![docs_grant()]);
    let secret = call(1, "read", &json!({"path": "/etc/s3cr3t-value"}));
    let answer = |deny_as| {
        let guarded = Guarded::with(GuardOptions { deny_as, ..GuardOptions::default() });
        let text = signing.signed(&secret);
        signing.server(&said(1, ""));
        let answer = guarded.answered(&text);
        assert!(!answer.to_string().contains("s3cr3t-value") && !answer.to_string().contains("/srv/docs"), "{answer}");
        answer
    };
    let result = answer(DenyAs::Result);
    assert_eq!(result["result"]["isError"], true);
    assert!(result["result"].get("resultType").is_none());
    assert_eq!(result["result"]["_meta"]["dev.chio/receipt"]["body"]["code"], "argument_constraint_violated");
    let error = answer(DenyAs::Error);
    assert_eq!(
        (&error["error"]["code"], &error["error"]["data"]["code"]),
        (&json!(-31002), &json!("argument_constraint_violated"))
    );
    let hidden = answer(DenyAs::Hide);
    assert_eq!(hidden["error"], json!({"code": -32602, "message": "Unknown tool: read"}));
    // In the revisions where every result says what it is, this one does.
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let params = json!({"name": "read", "arguments": {"path": "/etc"}, "_meta": meta});
    let guarded = Guarded::new();
    let modern = guarded.answered(&signing.signed(&request(2, "tools/call", &params)));
    assert_eq!(modern["result"]["resultType"], "complete");
    // Codes are outside of what JSON-RPC keeps for itself.
    for code in [-31001, -31002, -31003, -31004, -31005] {
        assert!(!(-32768..=-32000).contains(&code));
    }
}

#[test]
fn a_child_that_claims_more_than_its_parent_gains_nothing_here_either() {
    let guarded = Guarded::new();
    let terms = chio_core::capability::Terms {
        subject: world::helper().public_key(),
        max_depth: 1,
        serial: world::serial(2),
        ..world::terms(vec![Grant::new("mcp", "read"), Grant::new("mcp", "write")])
    };
    let chain: CapabilityChain = crate::wire::capability(vec![docs_grant()]).attenuate(terms, &world::agent()).unwrap();
    let signing = Signing::of(world::helper(), chain);
    guarded.forwarded(&signing.signed(&read(1)));
    assert_eq!(
        guarded.denied(&signing.signed(&call(2, "read", &json!({"path": "/etc"})))),
        "argument_constraint_violated"
    );
    assert_eq!(guarded.denied(&signing.signed(&call(3, "write", &json!({})))), "tool_not_granted");
}

/// A tool server that is asked for its client's roots takes what is answered for its own.
#[test]
fn a_client_answers_what_the_tool_server_asked_and_once() {
    let guarded = Guarded::new();
    let roots = json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}).to_string();
    assert_eq!(guarded.client(&roots), FromClient::Drop);
    guarded.server(&json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"}).to_string());
    assert_eq!(guarded.client(&roots), FromClient::Forward(roots.clone()));
    assert_eq!(guarded.client(&roots), FromClient::Drop);
}

#[test]
fn an_answer_that_cannot_be_understood_is_nobody_elses_affair() {
    let guarded = Guarded::new();
    for id in [1, 2] {
        guarded.forwarded(&request(id, "ping", &json!({})));
    }
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let FromServer::Instead(texts) = guarded.server(&format!(r#"{{"result":{deep},"id":1,"jsonrpc":"2.0"}}"#)) else {
        panic!("it was passed")
    };
    assert_eq!((texts.len(), &parse(&texts[0])["id"]), (1, &json!(1)));
    for log in [r#"{"level":"info","msg":"started"}"#, r#"{"id":2,"method":"x","a":1,"a":2}"#] {
        assert!(matches!(guarded.server(log), FromServer::Instead(texts) if texts.is_empty()), "{log}");
    }
    guarded.passed(&result(2, &json!({})));
}
