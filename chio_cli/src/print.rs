//! What is printed: text for people, or one JSON value for programs.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::exit::{Exit, Failure, printable};

/// Prints the answer of a command.
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The answer, in the one form or the other. Text may have colour: it is taken out where nobody would see it.
    pub(crate) fn answer(&self, value: &Value, text: &str) -> Result<(), Failure> {
        if self.json { document(&format!("{value}\n")) } else { raw(text) }
    }

    /// What went wrong. A standard error that is closed leaves the exit code to tell.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure { what, help, exit } = failure;
        let code = if *exit == Exit::Usage { "usage" } else { "failed" };
        self.beside(&json!({"error": code, "what": what, "help": help}), &format!("{RED}error:{RESET} {what}"), help);
    }

    /// What is no failure, and should be known all the same.
    pub(crate) fn warning(&self, what: &str, help: &str) {
        let (what, help) = (printable(what), printable(help));
        self.beside(&json!({"warning": what, "help": help}), &format!("{YELLOW}warning:{RESET} {what}"), &help);
    }

    fn beside(&self, value: &Value, text: &str, help: &str) {
        let _ = if self.json {
            writeln!(std::io::stderr(), "{value}")
        } else {
            writeln!(anstream::stderr(), "{text}\n {DIM}help:{RESET} {help}")
        };
    }
}

/// A document that was asked for, to the byte: what takes colour out of a text would take more out of this one.
pub(crate) fn document(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| closed(&error))
}

/// A text for people.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| closed(&error))
}

/// Standard output, for what is printed line by line.
pub(crate) fn lines() -> std::io::BufWriter<anstream::AutoStream<std::io::StdoutLock<'static>>> {
    std::io::BufWriter::new(anstream::stdout().lock())
}

pub(crate) fn closed(error: &std::io::Error) -> Failure {
    Failure::new(format!("standard output: {error}"), "it was closed, or its disk is full; run the command again")
}

/// What is no answer. Where standard error is closed, there is nobody to tell.
pub(crate) fn aside(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

/// Whether a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// How wide a line may be: that of the terminal, within reason, and else 80.
pub(crate) fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stdout());
    terminal.map_or(80, |(width, _)| usize::from(width.0).clamp(40, 120))
}

pub(crate) const RED: &str = "\u{1b}[31m";
pub(crate) const GREEN: &str = "\u{1b}[32m";
pub(crate) const YELLOW: &str = "\u{1b}[33m";
pub(crate) const BOLD: &str = "\u{1b}[1m";
pub(crate) const DIM: &str = "\u{1b}[2m";
pub(crate) const RESET: &str = "\u{1b}[0m";

/// A time as people read it.
pub(crate) fn time(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| seconds.to_string(), |timestamp| timestamp.to_string())
}

/// A length of time as people read it: the two largest units that it has.
pub(crate) fn span(seconds: u64) -> String {
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")] {
        let count = left.checked_div(length).unwrap_or_default();
        left = left.checked_rem(length).unwrap_or_default();
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A text in lines of at most `width` characters, broken between words where it has any. The first line has `first`
/// before it, the others as many spaces.
pub(crate) fn wrapped(first: &str, text: &str, width: usize) -> String {
    let indent = first.chars().count();
    let room = width.saturating_sub(indent).max(20);
    let mut out = String::new();
    let mut line = String::new();
    let mut begin = first.to_owned();
    let mut end_line = |line: &mut String| {
        let _ = writeln!(out, "{}", format!("{begin}{line}").trim_end());
        begin = " ".repeat(indent);
        line.clear();
    };
    for word in text.split(' ') {
        let used = line.chars().count();
        if used > 0 && used.saturating_add(1).saturating_add(word.chars().count()) > room {
            end_line(&mut line);
        } else if used > 0 {
            line.push(' ');
        }
        for c in word.chars() {
            if line.chars().count() >= room {
                end_line(&mut line);
            }
            line.push(c);
        }
    }
    end_line(&mut line);
    out
}

/// A path as one word of a shell, so that a command can be copied.
pub(crate) fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = if text.starts_with('-') || text.starts_with("env:") { format!("./{text}") } else { text.into_owned() };
    quoted(&text)
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '=' | ':' | ',' | '@' | '%');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", printable(text).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (3600, "1h"), (3661, "1h 1m"), (7 * 86_400 + 5, "7d 5s")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("a  ", "one two three four five six", 24), "a  one two three four\n   five six\n");
        assert_eq!(wrapped("", &"x".repeat(45), 20), format!("{0}\n{0}\nxxxxx\n", "x".repeat(20)));
    }

    #[test]
    fn words_of_a_shell() {
        for (text, word) in [("a.cap", "a.cap"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("$A", "'$A'")] {
            assert_eq!(quoted(text), word);
        }
        assert_eq!(super::word(Path::new("-a")), "./-a");
    }
}
