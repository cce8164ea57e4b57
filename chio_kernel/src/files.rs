//! A read-only tool server of one directory. What its tools take and give is told by [`chio_files`].

use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::Arc;

use chio_core::canonical::Json;
use chio_files::Files;

use crate::clock::BoxFuture;
use crate::tool_server::{ToolFailure, ToolRequest, ToolServer};

/// The tools `list_files`, `read_file` and `search` of one directory. A call runs on a thread for what blocks, so that a
/// slow disk holds no executor up.
pub struct FileServer {
    files: Arc<Files>,
}

impl FileServer {
    /// Serves a directory under its own name: see [`Files::new`].
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { files: Arc::new(Files::new(root)?) })
    }

    /// Serves a directory under another absolute name: see [`Files::mounted`].
    pub fn mounted(root: impl AsRef<Path>, mount: &str) -> io::Result<Self> {
        Ok(Self { files: Arc::new(Files::mounted(root, mount)?) })
    }
}

impl ToolServer for FileServer {
    fn has_tool(&self, tool_name: &str) -> bool {
        Files::has_tool(tool_name)
    }

    fn call<'a>(&'a self, request: ToolRequest<'a>) -> BoxFuture<'a, Result<Json, ToolFailure>> {
        if !Files::has_tool(request.tool_name) {
            return Box::pin(ready(Err(ToolFailure::NotReached("there is no such tool".into()))));
        }
        let (files, tool_name) = (Arc::clone(&self.files), request.tool_name.to_owned());
        let arguments = request.arguments.clone();
        Box::pin(blocking::unblock(move || files.call(&tool_name, &arguments).map_err(ToolFailure::Tool)))
    }
}
