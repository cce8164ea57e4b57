//! Where a document is read from: a file, standard input or the environment.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::PathBuf;
use std::str::FromStr;

use crate::exit::Failure;
use crate::secrets;

/// A file; `-` for standard input; `env:NAME` for the value of an environment variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    StandardInput,
    Variable(String),
    File(PathBuf),
    /// No name of a file, and perhaps a secret: it is not kept, so that nothing can repeat it.
    Refused(&'static str, &'static str),
}

const HELP: &str = "name a FILE that holds it, `-` for standard input, or `env:NAME` for an environment variable";

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            return Ok(Self::StandardInput);
        }
        if let Some(name) = text.strip_prefix("env:") {
            let good = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit();
            let is_name = !name.is_empty() && name.len() <= 128 && name.char_indices().all(good);
            return Ok(if is_name && !secrets::is_key(name) {
                Self::Variable(name.to_owned())
            } else {
                let what = "`env:` is followed by something that is no name of a variable, and is not repeated here";
                Self::Refused(what, "write the name without its value and without `$`, such as `env:AGENT_KEY`")
            });
        }
        Ok(if secrets::is_key(text) {
            Self::Refused("what looks like a key stands where a file is expected, and is not repeated here", HELP)
        } else if text.trim_start().starts_with(['{', '[', '"']) || text.contains('\n') {
            Self::Refused("a document stands where a file is expected, and is not repeated here", HELP)
        } else {
            Self::File(text.into())
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("on standard input"),
            Self::Variable(name) => write!(f, "in the environment variable `{name}`"),
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Refused(..) => f.write_str("on the command line"),
        }
    }
}

impl Source {
    pub(crate) fn is_standard_input(&self) -> bool {
        *self == Self::StandardInput
    }

    /// The bytes, at most `limit` of them.
    pub(crate) fn read(&self, what: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        self.open(what)?.take(most).read_to_end(&mut bytes).map_err(|error| self.failure(what, &error))?;
        if bytes.len() > limit {
            let what = format!("{what} {self} is longer than {limit} bytes");
            return Err(Failure::new(what, "is it the right file?"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            let help = match self {
                Self::Variable(_) => "the value of the variable is the document itself: set it, and export it",
                _ => "was it written to the end?",
            };
            return Err(Failure::new(format!("{what} {self} is empty"), help));
        }
        Ok(bytes)
    }

    /// The stream.
    pub(crate) fn open(&self, what: &str) -> Result<Box<dyn Read>, Failure> {
        match self {
            Self::StandardInput => Ok(Box::new(std::io::stdin())),
            Self::Variable(name) => {
                let value = std::env::var_os(name).ok_or_else(|| {
                    let help = format!("the value of `{name}` is the document itself: set it, and export it");
                    Failure::new(format!("{what}: the environment variable `{name}` is not set"), help)
                })?;
                Ok(Box::new(Cursor::new(value.into_encoded_bytes())))
            }
            Self::File(path) => Ok(Box::new(File::open(path).map_err(|error| self.failure(what, &error))?)),
            Self::Refused(why, help) => Err(Failure::usage(format!("{what}: {why}"), help)),
        }
    }

    pub(crate) fn failure(&self, what: &str, error: &std::io::Error) -> Failure {
        let help = match error.kind() {
            ErrorKind::NotFound => "check the path",
            ErrorKind::PermissionDenied => "check who may read it: `ls -l` tells",
            ErrorKind::IsADirectory => "it is a directory: name a file in it",
            _ => "check the file and the disk it is on",
        };
        Failure::new(format!("{what} {self} cannot be read: {error}"), help)
    }
}

/// Where the byte at an offset of a text stands, as people find it.
pub(crate) fn place_in(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count().saturating_add(1);
    format!("line {line}, column {column}")
}

/// Standard input can be only one thing.
pub(crate) fn read_once<const N: usize>(sources: [bool; N]) -> Result<(), Failure> {
    if sources.into_iter().filter(|is_standard_input| *is_standard_input).count() > 1 {
        return Err(Failure::usage("standard input is named twice", "`-` can stand in for one file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name_and_what_is_not() {
        let read = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(read("-"), Source::StandardInput);
        assert_eq!(read("env:AGENT_KEY_2"), Source::Variable("AGENT_KEY_2".into()));
        for name in ["agent.key", "./env:A", "./-", "a b", "p256"] {
            assert_eq!(read(name), Source::File(name.into()));
        }
        let hex = "ab".repeat(32);
        for text in [
            "env:",
            "env:$A",
            "env:2A",
            "env:a-b",
            &format!("env:{hex}"),
            &hex,
            "[{\"id\":1}]",
            " {}",
            "-----BEGIN PRIVATE KEY-----\nx",
            "a\nb",
        ] {
            assert!(matches!(read(text), Source::Refused(..)), "{text}");
            assert!(!format!("{:?}", read(text)).contains(&hex));
        }
    }
}
