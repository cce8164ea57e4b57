//! The lines of the files below a directory.

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

use cap_std::fs::DirEntry;
use serde::{Deserialize, Serialize};

use super::tree::{self, Entries, MAX_ENTRIES, Tree};

/// How many levels of directories below the first are gone into.
const MAX_DEPTH: usize = 32;

/// The largest file that is searched, in bytes.
const MAX_FILE: usize = 4 << 20;

/// The most characters of a line that are shown.
const MAX_LINE: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchArguments {
    path: String,
    query: String,
    limit: Option<usize>,
}

#[derive(Default, Serialize)]
pub(super) struct Found {
    matches: Vec<Hit>,
    truncated: bool,
}

#[derive(Serialize)]
struct Hit {
    path: String,
    line: usize,
    text: String,
}

pub(super) fn search(tree: &Tree, arguments: &SearchArguments) -> Result<Found, String> {
    let limit = tree::limit(arguments.limit, 100, 1_000)?;
    let query = arguments.query.as_str();
    if query.is_empty() || query.contains('\n') {
        return Err("`query` is a part of a line, and not empty".into());
    }
    let (path, entries) = tree.entries(&arguments.path, MAX_ENTRIES)?;
    let mut search = Search { query, limit, left: MAX_ENTRIES, found: Found::default() };
    if search.directory(entries, path, 0).is_break() {
        search.found.truncated = true;
    }
    Ok(search.found)
}

/// A search under way. `Break` ends it early.
struct Search<'a> {
    query: &'a str,
    limit: usize,
    /// How many more entries may be looked at.
    left: usize,
    found: Found,
}

impl Search<'_> {
    fn directory(&mut self, (entries, more): Entries, path: &str, depth: usize) -> ControlFlow<()> {
        for (name, entry) in entries {
            let Some(left) = self.left.checked_sub(1) else { return ControlFlow::Break(()) };
            self.left = left;
            // What cannot be read is left out, and that it is missing is told.
            match self.entry(&entry, &format!("{path}/{name}"), depth) {
                Ok(flow) => flow?,
                Err(_) => self.found.truncated = true,
            }
        }
        self.found.truncated |= more;
        ControlFlow::Continue(())
    }

    /// An entry that is swapped for a link after it was looked at leads no further than below its own
    /// directory, for it is opened relative to that.
    fn entry(&mut self, entry: &DirEntry, path: &str, depth: usize) -> io::Result<ControlFlow<()>> {
        let kind = entry.metadata()?.file_type();
        if kind.is_dir() {
            if depth == MAX_DEPTH {
                return Err(ErrorKind::QuotaExceeded.into());
            }
            let entries = tree::entries(&entry.open_dir()?, self.left)?;
            return Ok(self.directory(entries, path, depth.saturating_add(1)));
        }
        let text = if kind.is_file() { text(entry)? } else { None };
        Ok(self.lines(text.as_deref().unwrap_or_default(), path))
    }

    fn lines(&mut self, text: &str, path: &str) -> ControlFlow<()> {
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| text.contains(self.query)) {
            if self.found.matches.len() == self.limit {
                return ControlFlow::Break(());
            }
            let text = text.chars().take(MAX_LINE).collect();
            self.found.matches.push(Hit { path: path.to_owned(), line, text });
        }
        ControlFlow::Continue(())
    }
}

/// The text of a file, if it is one that is searched.
fn text(entry: &DirEntry) -> io::Result<Option<String>> {
    let Some((file, _)) = tree::regular(entry.open_with(&tree::options())?)? else { return Ok(None) };
    let (content, too_large) = tree::take(file, MAX_FILE)?;
    Ok(if too_large { None } else { String::from_utf8(content).ok() })
}
