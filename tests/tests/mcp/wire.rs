//! A signer and a guard, and the messages between them.

use std::sync::Arc;

use chio_core::capability::{CapabilityChain, Grant};
use chio_core::crypto::Keypair;
use chio_kernel::clock::ManualClock;
use chio_kernel::store::MemoryReceipts;
use chio_mcp::{FromClient, FromServer, Guard, GuardOptions, Relay, Session, Signer, guard, signer};
use chio_tests::world::{self, NOW, World};
use serde_json::{Value, json};

/// The name of the tool server.
pub const SERVER: &str = "mcp";

pub fn block<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

pub fn docs_grant() -> Grant {
    let below = json!({"constraint_type": "path_containment", "root": "/srv/docs"});
    Grant::new(SERVER, "read").argument("/path", &below).unwrap()
}

pub fn capability(grants: Vec<Grant>) -> CapabilityChain {
    world::issue(world::terms(grants))
}

/// A guard, with what its session remembers.
pub struct Guarded {
    pub guard: Guard,
    pub session: Session<guard::Waiting>,
    pub receipts: Arc<MemoryReceipts>,
}

impl Guarded {
    pub fn new() -> Self {
        Self::with(GuardOptions::default())
    }

    pub fn with(options: GuardOptions) -> Self {
        Self::of(World::new(), options)
    }

    pub fn of(world: World, options: GuardOptions) -> Self {
        let World { builder, clock, receipts } = world;
        let guard = Guard::new(builder, options).unwrap();
        clock.set(NOW);
        Self { guard, session: Session::default(), receipts }
    }

    pub fn client(&self, text: &str) -> FromClient {
        block(self.guard.of_client(&self.session, text.as_bytes()))
    }

    pub fn server(&self, text: &str) -> FromServer {
        block(self.guard.of_server(&self.session, text.as_bytes()))
    }

    /// The text that reaches the tool server.
    pub fn forwarded(&self, text: &str) -> String {
        match self.client(text) {
            FromClient::Forward(text) => text,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// What is answered instead of reaching the tool server.
    pub fn answered(&self, text: &str) -> Value {
        match self.client(text) {
            FromClient::Answer(text) => parse(&text),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The code of the denial.
    pub fn denied(&self, text: &str) -> String {
        let answer = self.answered(text);
        let text = || answer["result"]["content"][0]["text"].as_str()?.split_once(" (")?.1.strip_suffix(')');
        let code = answer["error"]["data"]["code"].as_str().or_else(text);
        code.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// What an answer of the tool server becomes.
    pub fn passed(&self, text: &str) -> Value {
        match self.server(text) {
            FromServer::Forward(text) => parse(&text),
            other => panic!("{text}: {other:?}"),
        }
    }
}

/// A signer, with what its session remembers.
pub struct Signing {
    pub signer: Signer,
    pub session: Session<signer::Waiting>,
}

impl Signing {
    pub fn new(grants: Vec<Grant>) -> Self {
        Self::of(world::agent(), capability(grants))
    }

    pub fn of(key: Keypair, capability: CapabilityChain) -> Self {
        let signer = Signer::new(key, capability, Some(SERVER.to_owned())).unwrap().clock(ManualClock::at(NOW));
        Self { signer, session: Session::default() }
    }

    pub fn client(&self, text: &str) -> FromClient {
        block(self.signer.of_client(&self.session, text.as_bytes()))
    }

    pub fn server(&self, text: &str) -> FromServer {
        block(self.signer.of_server(&self.session, text.as_bytes()))
    }

    /// The request with what it presents.
    pub fn signed(&self, text: &str) -> String {
        match self.client(text) {
            FromClient::Forward(text) => text,
            other => panic!("{text}: {other:?}"),
        }
    }
}

pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A request.
pub fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// A call of a tool.
pub fn call(id: u64, tool: &str, arguments: &Value) -> String {
    request(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
}

/// The usual call.
pub fn read(id: u64) -> String {
    call(id, "read", &json!({"path": "/srv/docs/a.md"}))
}

/// An answer.
pub fn result(id: u64, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

/// The answer of a tool that says something.
pub fn said(id: u64, text: &str) -> String {
    result(id, &json!({"content": [{"type": "text", "text": text}]}))
}
