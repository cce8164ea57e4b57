//! How the command ends.

use std::fmt::{self, Write as _};
use std::process::ExitCode;

/// The exit codes, for scripts to rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: allowed, or done.
    Done,
    /// 1: it failed.
    Failed,
    /// 2: the command line was wrong.
    Usage,
    /// 3: the call was denied.
    Denied,
    /// What a command that was run ended with.
    #[cfg_attr(not(unix), allow(dead_code))]
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
            Exit::Code(code) => code,
        })
    }
}

/// Why the command failed, and what to do about it. Neither holds a secret.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    pub(crate) help: String,
}

impl Failure {
    pub(crate) fn new(what: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, what: printable(&what.to_string()), help: printable(&help.to_string()) }
    }

    pub(crate) fn usage(what: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what, help) }
    }
}

/// A text without what would move a cursor, colour a line or turn its direction.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '?' } else { c }).collect()
}

/// A JSON text of several lines in which those characters are escaped: it still says the same.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unseen(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

fn is_unseen(c: char) -> bool {
    c.is_control() || chio_core::error::excerpt(c.encode_utf8(&mut [0; 4])) == "?" && c != '?'
}
