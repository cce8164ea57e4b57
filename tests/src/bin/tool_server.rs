//! A tool server that fails in every way there is, for tests of what stands before it.
//!
//! It speaks MCP on standard input and output. Its tools: `echo`; `hang`, which never answers; `die`, which ends with the
//! exit code 7; `twice`, which answers twice; `print`, which prints what is no message; `flood`, which sends `n` messages
//! before its answer; `ask`, which asks the client before it answers.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() {
    let mut out = std::io::stdout().lock();
    let mut say = |message: &Value| {
        let _ = writeln!(out, "{message}").and_then(|()| out.flush());
    };
    let mut asked = Value::Null;
    for line in std::io::stdin().lock().lines() {
        let Ok(Ok(message)) = line.map(|line| serde_json::from_str::<Value>(&line)) else { continue };
        let id = &message["id"];
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        match message["method"].as_str() {
            None => say(&json!({"jsonrpc": "2.0", "id": asked, "result": text(&message["result"].to_string())})),
            Some("initialize") => say(&answer(json!({
                "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "tool_server", "version": "1"},
            }))),
            Some("server/discover") => {
                say(&answer(json!({"supportedVersions": ["2026-07-28"], "resultType": "complete"})))
            }
            Some("ping") => say(&answer(json!({"pid": std::process::id()}))),
            Some("tools/list") => {
                let names = ["echo", "hang", "die", "twice", "print", "flood", "ask"];
                say(&answer(
                    json!({"tools": names.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))}),
                ));
            }
            Some("tools/call") => {
                let params = &message["params"];
                let arguments = &params["arguments"];
                match params["name"].as_str().unwrap_or_default() {
                    "echo" => say(&answer(text(arguments["message"].as_str().unwrap_or_default()))),
                    "hang" => {}
                    "die" => std::process::exit(7),
                    "twice" => {
                        say(&answer(text("one")));
                        say(&answer(text("two")));
                    }
                    "print" => {
                        say(&json!("this is no message"));
                        say(&answer(text("printed")));
                    }
                    "flood" => {
                        for number in 0..arguments["n"].as_u64().unwrap_or_default() {
                            say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
                                {"progressToken": params["_meta"]["progressToken"], "progress": number}}));
                        }
                        say(&answer(text("flooded")));
                    }
                    "ask" => {
                        asked = id.clone();
                        say(&json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"}));
                    }
                    _ => {
                        say(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "unknown tool"}}))
                    }
                }
            }
            Some(_) => {}
        }
    }
}
