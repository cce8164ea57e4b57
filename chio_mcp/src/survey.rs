//! Asking a tool server for its tools: what an issuer looks at before anything is granted.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use chio_core::canonical::{self, Limits};
use chio_core::digest::Digest;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::json::{Object, items, quoted};
use crate::lines::{Line, Lines};
use crate::message::{Kind, Message};
use crate::process::{self, Process};
use crate::pump::MAX_MESSAGE_BYTES;

/// A tool as its server defines it.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What the server says of it.
    pub description: String,
    /// The digest that a grant can pin; none where the definition has no RFC 8785 form.
    pub definition: Option<Digest>,
}

/// How long to wait for an answer: 30 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most pages of a list.
const MAX_PAGES: usize = 1000;

/// Starts a tool server, asks it for its tools and ends it.
/// Fails where it cannot be started, does not answer in time, or its answers are none.
pub async fn tools(command: &[OsString]) -> io::Result<Vec<Tool>> {
    let (process, stdout, stdin) = Process::start(command)?;
    let mut server = Server { lines: Lines::new(stdout, MAX_MESSAGE_BYTES), stdin, id: 0 };
    let tools = server.tools().await;
    drop(server);
    process.end(process::Patience::TOOL_SERVER).await?;
    tools
}

struct Server {
    lines: Lines<ChildStdout>,
    stdin: ChildStdin,
    id: u32,
}

impl Server {
    async fn tools(&mut self) -> io::Result<Vec<Tool>> {
        let client = "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"chio\",\"version\":\"0\"}}";
        self.ask("initialize", client).await?;
        self.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}").await?;
        let (mut tools, mut params) = (Vec::new(), "{}".to_owned());
        for _ in 0..MAX_PAGES {
            let result = self.ask("tools/list", &params).await?;
            let object = Object::read(&result).map_err(|error| wrong(&error.to_string()))?;
            let page = object.get("tools").and_then(items).ok_or_else(|| wrong("its list of tools is none"))?;
            for tool in page {
                tools.push(read(tool).ok_or_else(|| wrong("a tool has no name"))?);
            }
            match object.string("nextCursor") {
                Some(cursor) => params = format!("{{\"cursor\":{}}}", quoted(&cursor)),
                None => return Ok(tools),
            }
        }
        Err(wrong("its list of tools has no end"))
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stdin.write_all(text.as_bytes()).await?;
        self.stdin.write_all(b"\n").await?;
        self.stdin.flush().await
    }

    async fn ask(&mut self, method: &str, params: &str) -> io::Result<String> {
        self.id = self.id.saturating_add(1);
        let id = self.id.to_string();
        // One that has ended does not read, either: what is told of it is the same.
        drop(
            self.send(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}"))
                .await,
        );
        let answer = async {
            loop {
                let text = match self.lines.next().await? {
                    Line::Text(text) => text,
                    Line::TooLong => return Err(wrong("its answer is too long")),
                    Line::End => return Err(wrong("it ended without an answer")),
                };
                let Ok(message) = Message::read(&text) else { continue };
                match &message.kind {
                    Kind::Response { id: answered } if answered.text == id => {
                        let result = message.object.get("result");
                        return result.map(str::to_owned).ok_or_else(|| wrong("it answered with an error"));
                    }
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(wrong("it did not answer in time")))
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the tool server: {what}"))
}

fn read(text: &str) -> Option<Tool> {
    let object = Object::read(text).ok()?;
    let definition = canonical::canonicalize(text.as_bytes(), Limits::bytes(text.len())).ok();
    Some(Tool {
        name: object.string("name")?.into_owned(),
        description: object.string("description").unwrap_or_default().into_owned(),
        definition: definition.map(|canonical| Digest::of(&canonical)),
    })
}
