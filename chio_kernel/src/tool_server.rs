//! Tool servers: what a call is dispatched to.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};

use chio_core::canonical::{self, Json};
use chio_core::digest::{Arguments, Digest};
use chio_core::receipt::Receipt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{BoxFuture, KernelError};

/// What a tool server is given. The capability and the proof are not part of it: it has nothing to relay.
#[derive(Clone, Copy, Debug)]
pub struct ToolRequest<'a> {
    /// The tool.
    pub tool_name: &'a str,
    /// The arguments, in the very bytes that were decided on.
    pub arguments: &'a Arguments,
    /// Who calls: the text of the subject's key.
    pub principal: &'a str,
}

/// Why a tool server has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolFailure {
    /// The call never reached it, so nothing happened: what was spent is given back.
    NotReached(String),
    /// The tool answered that it failed. The text is for the caller.
    Tool(String),
    /// The tool server failed, and the call may have had an effect.
    Failed(String),
    /// The tool server did not answer in time, and the call may have had an effect.
    TimedOut,
}

impl fmt::Display for ToolFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached(why) => write!(f, "the tool server was not reached: {why}"),
            Self::Tool(why) => f.write_str(why),
            Self::Failed(why) => write!(f, "the tool server failed: {why}"),
            Self::TimedOut => f.write_str("the tool server did not answer in time"),
        }
    }
}

impl std::error::Error for ToolFailure {}

/// A call that was dispatched.
#[derive(Debug)]
pub struct Completed {
    /// What the tool answered.
    pub result: Result<Json, ToolFailure>,
    /// The receipt of the outcome. Where it could not be written, the call has had its effect all the same.
    pub receipt: Result<Receipt, KernelError>,
}

/// Something that has tools.
pub trait ToolServer: Send + Sync {
    /// Whether there is such a tool. One that cannot know says yes.
    fn has_tool(&self, tool_name: &str) -> bool;

    /// The digest of the tool's definition, as far as it is known. A grant that pins another one, or one that is not known,
    /// covers no call.
    fn definition(&self, _tool_name: &str) -> Option<Digest> {
        None
    }

    /// Calls a tool.
    fn call<'a>(&'a self, request: ToolRequest<'a>) -> BoxFuture<'a, Result<Json, ToolFailure>>;
}

type Handler = Box<dyn Fn(&Arguments) -> BoxFuture<'static, Result<Json, ToolFailure>> + Send + Sync>;

/// Tools made of closures with typed arguments.
#[derive(Default)]
pub struct Tools {
    tools: BTreeMap<String, Handler>,
}

impl Tools {
    /// No tools yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool that answers at once. It runs on the executor's thread: what takes long belongs into
    /// [`Self::async_tool`].
    /// Arguments that do not fit its type, and the `Err` of the closure, are answered with [`ToolFailure::Tool`].
    #[must_use]
    pub fn tool<A, R>(
        self,
        name: impl Into<String>,
        tool: impl Fn(A) -> Result<R, String> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + Send + 'static,
    {
        self.async_tool(name, move |arguments| ready(tool(arguments)))
    }

    /// Adds a tool that takes its time.
    #[must_use]
    pub fn async_tool<A, R, F>(mut self, name: impl Into<String>, tool: impl Fn(A) -> F + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + Send + 'static,
        F: Future<Output = Result<R, String>> + Send + 'static,
    {
        let handler = move |arguments: &Arguments| -> BoxFuture<'static, Result<Json, ToolFailure>> {
            match arguments.deserialize() {
                Ok(arguments) => {
                    let answer = tool(arguments);
                    Box::pin(async move {
                        let result = answer.await.map_err(ToolFailure::Tool)?;
                        canonical::to_json(&result)
                            .map_err(|error| ToolFailure::Failed(format!("its result is not strict JSON: {error}")))
                    })
                }
                Err(error) => Box::pin(ready(Err(ToolFailure::Tool(error.to_string())))),
            }
        };
        self.tools.insert(name.into(), Box::new(handler));
        self
    }
}

impl ToolServer for Tools {
    fn has_tool(&self, tool_name: &str) -> bool {
        self.tools.contains_key(tool_name)
    }

    fn call<'a>(&'a self, request: ToolRequest<'a>) -> BoxFuture<'a, Result<Json, ToolFailure>> {
        match self.tools.get(request.tool_name) {
            Some(tool) => tool(request.arguments),
            None => Box::pin(ready(Err(ToolFailure::NotReached("there is no such tool".into())))),
        }
    }
}
