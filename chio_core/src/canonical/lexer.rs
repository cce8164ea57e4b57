//! The strict reader: the one definition of what a text must be. Its stack is a bit for each level of nesting.

use std::borrow::Cow;

use super::{Limits, MAX_DEPTH};
use crate::error::{JsonError, JsonErrorKind};

/// What becomes of the parts of a text, in the order in which they stand; `at` is where a part begins, a byte offset. An
/// error of a sink is one of the text.
pub trait Sink<'a> {
    /// White space between two parts.
    fn space(&mut self) -> Result<(), JsonErrorKind>;
    /// `null`, `true` or `false`.
    fn word(&mut self, value: Option<bool>, at: usize) -> Result<(), JsonErrorKind>;
    /// A number, as it is written: of the form that JSON has, and nothing more is said of it.
    fn number(&mut self, literal: &'a str, at: usize) -> Result<(), JsonErrorKind>;
    /// A string.
    fn string(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind>;
    /// The name of a member.
    fn name(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind>;
    /// The start of an object or array.
    fn open(&mut self, object: bool, at: usize);
    /// Its end, and the offset behind it.
    fn close(&mut self, end: usize) -> Result<(), JsonError>;
}

/// A string as it is written between its quotes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text<'a> {
    /// As it is written.
    pub raw: &'a str,
    has_escapes: bool,
    /// Whether each character stands there as RFC 8785 writes it.
    pub(super) is_canonical: bool,
}

/// Reads a whole text into a sink.
/// Fails where the text is not JSON, deeper or longer than the limits, or not to the sink's liking.
pub fn read<'a>(text: &'a [u8], limits: Limits, sink: &mut impl Sink<'a>) -> Result<(), JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError::new(limits.bytes, JsonErrorKind::TooLarge { limit: limits.bytes }));
    }
    let text = std::str::from_utf8(text).map_err(|e| JsonError::new(e.valid_up_to(), JsonErrorKind::NotUtf8))?;
    Lexer { text, at: 0, depth: limits.depth.min(MAX_DEPTH), open: 0, objects: 0, sink }.document()
}

struct Lexer<'a, 's, S> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// How many containers there are whose end has not been read, and which of them are objects: the innermost is the
    /// lowest bit.
    open: usize,
    objects: u64,
    sink: &'s mut S,
}

impl<'a, S: Sink<'a>> Lexer<'a, '_, S> {
    fn document(mut self) -> Result<(), JsonError> {
        loop {
            if !self.value_or_open()? {
                continue;
            }
            loop {
                self.space()?;
                if self.open == 0 {
                    return if self.peek().is_none() { Ok(()) } else { self.fail(JsonErrorKind::TrailingData) };
                }
                let object = self.objects & 1 == 1;
                if self.eat(b',') {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                if !self.eat(if object { b'}' } else { b']' }) {
                    return self.fail_unexpected();
                }
                self.sink.close(self.at)?;
                (self.open, self.objects) = (self.open.saturating_sub(1), self.objects >> 1);
            }
        }
    }

    /// Reads a scalar or an empty container; or opens a container, and its first value is still to be read.
    fn value_or_open(&mut self) -> Result<bool, JsonError> {
        self.space()?;
        match self.peek() {
            None => return self.fail(JsonErrorKind::UnexpectedEnd),
            Some(b'"') => {
                let (at, text) = (self.at, self.string()?);
                self.sink.string(text, at).map_err(|kind| JsonError::new(at, kind))?;
            }
            Some(b't') => self.word("true", Some(true))?,
            Some(b'f') => self.word("false", Some(false))?,
            Some(b'n') => self.word("null", None)?,
            Some(b'-' | b'0'..=b'9') => {
                let Some(literal) = number_literal(self.rest()) else {
                    return self.fail(JsonErrorKind::InvalidNumber);
                };
                self.sink.number(literal, self.at).map_err(|kind| JsonError::new(self.at, kind))?;
                self.step(literal.len());
            }
            Some(bracket @ (b'[' | b'{')) => {
                if self.open >= self.depth {
                    return self.fail(JsonErrorKind::TooDeep { limit: self.depth });
                }
                let object = bracket == b'{';
                self.sink.open(object, self.at);
                self.step(1);
                self.space()?;
                if self.eat(if object { b'}' } else { b']' }) {
                    self.sink.close(self.at)?;
                    return Ok(true);
                }
                (self.open, self.objects) = (self.open.saturating_add(1), self.objects << 1 | u64::from(object));
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
        let text = self.string()?;
        self.sink.name(text, at).map_err(|kind| JsonError::new(at, kind))?;
        self.space()?;
        if self.eat(b':') { Ok(()) } else { self.fail_unexpected() }
    }

    fn word(&mut self, word: &str, value: Option<bool>) -> Result<(), JsonError> {
        if !self.rest().starts_with(word) {
            return self.fail(JsonErrorKind::UnexpectedByte);
        }
        self.sink.word(value, self.at).map_err(|kind| JsonError::new(self.at, kind))?;
        self.step(word.len());
        Ok(())
    }

    fn string(&mut self) -> Result<Text<'a>, JsonError> {
        self.step(1);
        let start = self.at;
        let (mut has_escapes, mut is_canonical) = (false, true);
        loop {
            self.step(plain_bytes(self.rest().as_bytes()));
            match self.peek() {
                Some(b'"') => {
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    self.step(1);
                    return Ok(Text { raw, has_escapes, is_canonical });
                }
                Some(b'\\') => {
                    let (_, length, canonical) = escape(self.rest()).map_err(|kind| JsonError::new(self.at, kind))?;
                    (has_escapes, is_canonical) = (true, is_canonical && canonical);
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

/// How many bytes at the start of a text stand in a string as they are.
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    // Eight at once. What a borrow spoils lies behind the first byte that is found, and that is the lowest.
    const EACH: u64 = 0x0101_0101_0101_0101;
    let special = |word: u64| {
        let below = |word: u64, limit: u64| word.wrapping_sub(EACH.wrapping_mul(limit)) & !word & (EACH << 7);
        below(word, 0x20) | below(word ^ EACH.wrapping_mul(0x22), 1) | below(word ^ EACH.wrapping_mul(0x5c), 1)
    };
    let within = |found: u64| usize::try_from(found.trailing_zeros() >> 3).unwrap_or_default();
    for (index, word) in text.as_chunks().0.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return index.saturating_mul(8).saturating_add(within(found));
        }
    }
    // The last eight overlap with those before: whatever is found lies in the rest.
    let Some((start, last)) = text.split_last_chunk() else {
        return text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(text.len());
    };
    start.len().saturating_add(within(special(u64::from_le_bytes(*last))))
}

impl<'a> Text<'a> {
    /// What it says.
    pub fn decode(self) -> Cow<'a, str> {
        let raw = self.raw;
        if !self.has_escapes {
            return Cow::Borrowed(raw);
        }
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        loop {
            let (plain, tail) = rest.split_at_checked(plain_bytes(rest.as_bytes())).unwrap_or((rest, ""));
            out.push_str(plain);
            let Ok((c, length, _)) = escape(tail) else { return Cow::Owned(out) };
            out.push(c);
            rest = tail.get(length..).unwrap_or_default();
        }
    }
}

/// The character of the escape at the start of a text, how long the escape is, and whether RFC 8785 writes it so.
fn escape(text: &str) -> Result<(char, usize, bool), JsonErrorKind> {
    let c = match text.as_bytes().get(1) {
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
                let has_shorter = matches!(c, '\u{8}'..='\n' | '\u{c}' | '\r' | ' '..);
                let lower = !text.bytes().take(6).any(|byte| byte.is_ascii_uppercase());
                return Ok((c, 6, lower && !has_shorter));
            }
            let second = text.get(6..).and_then(code_unit);
            let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
            return pair.map(|c| (c, 12, false)).ok_or(JsonErrorKind::LoneSurrogate);
        }
        _ => return Err(JsonErrorKind::InvalidEscape),
    };
    Ok((c, 2, c != '/'))
}

/// The code unit of a `\uXXXX` at the start of a text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(u16::from_str_radix(digits, 16).ok()?)
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
