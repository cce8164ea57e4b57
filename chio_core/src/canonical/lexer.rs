//! The strict reader: the one definition of what a text must be. Its stack is a vector as long as the nesting is deep.

use std::borrow::Cow;

use super::{Limits, MAX_DEPTH};
use crate::error::{JsonError, JsonErrorKind};

/// What becomes of the parts of a text, in the order in which they stand. An error of a sink is one of the text.
pub(super) trait Sink<'a> {
    /// White space between two parts.
    fn space(&mut self) -> Result<(), JsonErrorKind>;
    /// `null`, `true` or `false`.
    fn word(&mut self, value: Option<bool>) -> Result<(), JsonErrorKind>;
    /// A number, as it is written.
    fn number(&mut self, literal: &'a str) -> Result<(), JsonErrorKind>;
    /// A string, as it is written between its quotes.
    fn string(&mut self, raw: &'a str) -> Result<(), JsonErrorKind>;
    /// The name of a member, likewise, and where it stands.
    fn name(&mut self, raw: &'a str, at: usize) -> Result<(), JsonErrorKind>;
    /// The start of an object or array.
    fn open(&mut self, object: bool);
    /// Its end.
    fn close(&mut self) -> Result<(), JsonError>;
}

/// Reads a whole text into a sink.
pub(super) fn read<'a>(text: &'a [u8], limits: Limits, sink: &mut impl Sink<'a>) -> Result<(), JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError::new(limits.bytes, JsonErrorKind::TooLarge { limit: limits.bytes }));
    }
    let text = std::str::from_utf8(text).map_err(|e| JsonError::new(e.valid_up_to(), JsonErrorKind::NotUtf8))?;
    Lexer { text, at: 0, depth: limits.depth.min(MAX_DEPTH), sink }.document()
}

struct Lexer<'a, 's, S> {
    text: &'a str,
    at: usize,
    depth: usize,
    sink: &'s mut S,
}

impl<'a, S: Sink<'a>> Lexer<'a, '_, S> {
    fn document(mut self) -> Result<(), JsonError> {
        // For each container whose end has not been read, whether it is an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            if !self.value_or_open(&mut open)? {
                continue;
            }
            loop {
                self.space()?;
                let Some(object) = open.last() else {
                    return if self.peek().is_none() { Ok(()) } else { self.fail(JsonErrorKind::TrailingData) };
                };
                if self.eat(b',') {
                    if *object {
                        self.name()?;
                    }
                    break;
                }
                if !self.eat(if *object { b'}' } else { b']' }) {
                    return self.fail_unexpected();
                }
                self.sink.close()?;
                open.pop();
            }
        }
    }

    /// Reads a scalar or an empty container; or opens a container, and its first value is still to be read.
    fn value_or_open(&mut self, open: &mut Vec<bool>) -> Result<bool, JsonError> {
        self.space()?;
        match self.peek() {
            None => return self.fail(JsonErrorKind::UnexpectedEnd),
            Some(b'"') => {
                let (at, raw) = (self.at, self.string()?);
                self.sink.string(raw).map_err(|kind| JsonError::new(at, kind))?;
            }
            Some(b't') => self.word("true", Some(true))?,
            Some(b'f') => self.word("false", Some(false))?,
            Some(b'n') => self.word("null", None)?,
            Some(b'-' | b'0'..=b'9') => {
                let Some(literal) = number_literal(self.rest()) else {
                    return self.fail(JsonErrorKind::InvalidNumber);
                };
                self.sink.number(literal).map_err(|kind| JsonError::new(self.at, kind))?;
                self.step(literal.len());
            }
            Some(bracket @ (b'[' | b'{')) => {
                if open.len() >= self.depth {
                    return self.fail(JsonErrorKind::TooDeep { limit: self.depth });
                }
                let object = bracket == b'{';
                self.step(1);
                self.sink.open(object);
                self.space()?;
                if self.eat(if object { b'}' } else { b']' }) {
                    self.sink.close()?;
                    return Ok(true);
                }
                open.push(object);
                if object {
                    self.name()?;
                }
                return Ok(false);
            }
            Some(_) => return self.fail(JsonErrorKind::UnexpectedByte),
        }
        Ok(true)
    }

    /// The name of a member, with its colon.
    fn name(&mut self) -> Result<(), JsonError> {
        self.space()?;
        let at = self.at;
        if self.peek() != Some(b'"') {
            return self.fail_unexpected();
        }
        let raw = self.string()?;
        self.sink.name(raw, at).map_err(|kind| JsonError::new(at, kind))?;
        self.space()?;
        if self.eat(b':') { Ok(()) } else { self.fail_unexpected() }
    }

    fn word(&mut self, word: &str, value: Option<bool>) -> Result<(), JsonError> {
        if !self.rest().starts_with(word) {
            return self.fail(JsonErrorKind::UnexpectedByte);
        }
        self.sink.word(value).map_err(|kind| JsonError::new(self.at, kind))?;
        self.step(word.len());
        Ok(())
    }

    /// A string, as it is written between its quotes. Every escape in it is one that [`decode`] knows.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        self.step(1);
        let start = self.at;
        loop {
            let rest = self.rest();
            let special = |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            self.step(rest.bytes().position(special).unwrap_or(rest.len()));
            match self.peek() {
                Some(b'"') => {
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    self.step(1);
                    return Ok(raw);
                }
                Some(b'\\') => {
                    let (_, length) = escape(self.rest()).map_err(|kind| JsonError::new(self.at, kind))?;
                    self.step(length);
                }
                Some(_) => return self.fail(JsonErrorKind::ControlCharacter),
                None => return self.fail(JsonErrorKind::UnexpectedEnd),
            }
        }
    }

    fn space(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            return Ok(());
        }
        self.sink.space().map_err(|kind| JsonError::new(self.at, kind))?;
        self.step(self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count());
        Ok(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.step(usize::from(found));
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn fail<T>(&self, kind: JsonErrorKind) -> Result<T, JsonError> {
        Err(JsonError::new(self.at, kind))
    }

    fn fail_unexpected<T>(&self) -> Result<T, JsonError> {
        let end = self.peek().is_none();
        self.fail(if end { JsonErrorKind::UnexpectedEnd } else { JsonErrorKind::UnexpectedByte })
    }
}

/// What a string says that the lexer has read.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, _)) = rest.split_once('\\') {
        out.push_str(plain);
        let tail = rest.get(plain.len()..).unwrap_or_default();
        let Ok((c, length)) = escape(tail) else { break };
        out.push(c);
        rest = tail.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of the escape at the start of a text, and how long the escape is.
fn escape(text: &str) -> Result<(char, usize), JsonErrorKind> {
    let plain = match text.as_bytes().get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = code_unit(text).ok_or(JsonErrorKind::InvalidEscape)?;
            if let Some(c) = char::from_u32(first.into()) {
                return Ok((c, 6));
            }
            let second = text.get(6..).and_then(code_unit);
            let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
            return pair.map(|c| (c, 12)).ok_or(JsonErrorKind::LoneSurrogate);
        }
        _ => return Err(JsonErrorKind::InvalidEscape),
    };
    Ok((plain, 2))
}

/// The code unit of a `\uXXXX` at the start of a text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// The number at the start of a text: `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`
fn number_literal(text: &str) -> Option<&str> {
    let digits = |from: usize| {
        let run = text.bytes().skip(from).take_while(u8::is_ascii_digit).count();
        (run > 0).then(|| from.saturating_add(run))
    };
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let start = usize::from(byte(0) == Some(b'-'));
    let mut at = if byte(start) == Some(b'0') { start.saturating_add(1) } else { digits(start)? };
    if byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if byte(at) == Some(b'.') {
        at = digits(at.saturating_add(1))?;
    }
    if matches!(byte(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(byte(at.saturating_add(1)), Some(b'+' | b'-')));
        at = digits(at.saturating_add(1).saturating_add(sign))?;
    }
    text.get(..at)
}
