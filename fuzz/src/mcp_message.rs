//! Messages of MCP, of a client that has no capability and of a tool server that says what it likes, in any order.

use std::sync::LazyLock;

use chio_kernel::Kernel;
use chio_mcp::guard::Waiting;
use chio_mcp::{FromClient, FromServer, Guard, GuardOptions, Relay as _, Session};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new(Kernel::builder(), GuardOptions::default()).unwrap());

/// One message a line, the client's where the first byte is even; the byte itself is part of it where it begins an object.
pub fn check(bytes: &[u8]) {
    let session = Session::<Waiting>::default();
    for line in bytes.split(|byte| *byte == b'\n').take(16) {
        let (is_server, text) = match line.split_first() {
            Some((b'{' | b'[' | b' ' | b'"', _)) | None => (false, line),
            Some((first, rest)) => (first % 2 == 1, rest),
        };
        if is_server {
            match pollster::block_on(GUARD.of_server(&session, text)) {
                FromServer::Forward(text) | FromServer::Back(text) => drop(members(&text)),
                FromServer::Instead(answers) => answers.iter().for_each(|answer| drop(members(answer))),
            }
            continue;
        }
        match pollster::block_on(GUARD.of_client(&session, text)) {
            FromClient::Forward(text) => {
                let members = members(&text);
                // Whichever of two members a reader takes: nobody calls a tool, or sees its list, without a capability.
                for (name, value) in &members {
                    let says = |method: &str| value.as_str().is_some_and(|said| said.eq_ignore_ascii_case(method));
                    assert!(!name.eq_ignore_ascii_case("method") || !says("tools/call"), "a call has passed");
                }
            }
            FromClient::Answer(answer) => {
                let members = members(&answer);
                assert!(members.iter().any(|(name, _)| name == "error" || name == "result"));
            }
            FromClient::Drop => {}
        }
    }
}

/// The members of one object on one line, none of which is there twice.
fn members(text: &str) -> Vec<(String, Value)> {
    assert!(!text.contains(['\r', '\n']), "more than one line");
    let Members(members) = serde_json::from_str(text).unwrap();
    for (index, (name, _)) in members.iter().enumerate() {
        assert!(members.iter().take(index).all(|(other, _)| other != name), "a member is there twice");
    }
    members
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    // What the others say may be a number that no `f64` holds: it passes as it is.
                    let value = if name.eq_ignore_ascii_case("method") {
                        map.next_value::<Value>()?
                    } else {
                        map.next_value::<IgnoredAny>().map(|_| Value::Null)?
                    };
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
