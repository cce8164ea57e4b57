//! The tools of one directory, read-only. `chio_kernel::files` makes a tool server of them.
//!
//! The directory is opened once; all else is opened relative to that handle (`openat2` with `RESOLVE_BENEATH`
//! on Linux), so neither `..` nor a link nor a directory that is swapped for a link meanwhile leads out of
//! it. Its tools take a JSON object of these members, and no others:
//!
//! - `list_files {path, limit?}`: the entries of a directory, sorted by name:
//!   `{entries: [{name, kind: "file"|"directory"|"symlink"|"other", bytes?}], truncated}`. `limit` is from 1 to
//!   10,000 entries, by default 1,000. `bytes` is the size of a regular file.
//! - `read_file {path, offset?, limit?}`: text of a regular UTF-8 file: `{path, text, bytes, truncated}`.
//!   `offset` and `limit` count bytes; `limit` is from 1 to 1 MiB, which is the default, and never cuts a
//!   character. `bytes` is the size of the whole file. From an offset past the end on, the text is empty.
//! - `search {path, query, limit?}`: the lines below a directory that contain `query`, as
//!   `{matches: [{path, line, text}], truncated}`. `limit` is from 1 to 1,000 lines, by default 100; `text` is
//!   the line's first 200 characters. Links are not followed; files that are not UTF-8 or larger than 4 MiB
//!   are passed over. `truncated` says that more was left out: by `limit`, after 10,000 entries, below 32
//!   levels of directories, or because it could not be read.
//!
//! What no path can name (a name that is not UTF-8, or has a backslash) is left out of listings and searches.
//!
//! A link that stays inside may be read through: what a `path_containment` grants is a place in the tree of
//! names, so whoever can make links in the directory decides what else of that directory is seen there.

mod tree;

mod search;

#[cfg(unix)]
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use chio_core::canonical::{self, Json};
use chio_core::digest::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::tree::Tree;

/// The tools `list_files`, `read_file` and `search` of one directory: see [the crate](self).
pub struct Files {
    tree: Tree,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

impl Files {
    /// Serves a directory under its own name: absolute, and with every link on the way to it resolved.
    /// Fails where it is not a directory that can be opened, or its name is none that a `path_containment` constraint
    /// can hold (not UTF-8, a backslash): [`Self::mounted`] takes another.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref();
        let name = std::fs::canonicalize(root).map_err(|error| cannot_serve(root, &error))?;
        let not_text = || io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
        let text = name.to_str().ok_or_else(not_text).map_err(|error| cannot_serve(root, &error))?;
        Self::mounted(&name, text)
    }

    /// Serves a directory under another absolute name: its `a.md` is `/docs/a.md` where it is mounted at
    /// `/docs`.
    /// Fails where it is not a directory that can be opened, or `mount` is not absolute or has an empty, `.` or `..`
    /// segment, a NUL or a backslash.
    pub fn mounted(root: impl AsRef<Path>, mount: &str) -> io::Result<Self> {
        let root = root.as_ref();
        let dir = Dir::open_ambient_dir(root, ambient_authority());
        let tree = dir.and_then(|dir| Tree::new(dir, mount)).map_err(|error| cannot_serve(root, &error))?;
        Ok(Self { tree })
    }

    /// Whether there is such a tool.
    pub fn has_tool(tool_name: &str) -> bool {
        matches!(tool_name, "list_files" | "read_file" | "search")
    }

    /// Calls a tool. It reads from the disk, and so may take its time.
    ///
    /// Fails with a text for the caller, which does not tell where the directory is.
    pub fn call(&self, tool_name: &str, arguments: &Arguments) -> Result<Json, String> {
        match tool_name {
            "list_files" => self.run(arguments, Tree::list),
            "read_file" => self.run(arguments, Tree::read),
            "search" => self.run(arguments, search::search),
            _ => Err("there is no such tool".into()),
        }
    }

    fn run<A: DeserializeOwned, R: Serialize>(
        &self,
        arguments: &Arguments,
        tool: fn(&Tree, &A) -> Result<R, String>,
    ) -> Result<Json, String> {
        let arguments: A = arguments.deserialize().map_err(|error| error.to_string())?;
        let result = tool(&self.tree, &arguments)?;
        canonical::to_json(&result).map_err(|error| format!("the result is not strict JSON: {error}"))
    }
}

fn cannot_serve(root: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot serve the files of `{}`: {error}", root.display()))
}
