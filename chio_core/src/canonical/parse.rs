//! The strict reader. Its stack is a vector as long as the nesting is deep.

use super::value::{Json, Object};
use super::{Limits, MAX_DEPTH, number};
use crate::error::{JsonError, JsonErrorKind};

pub(super) fn parse(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError::new(limits.bytes, JsonErrorKind::TooLarge { limit: limits.bytes }));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| JsonError::new(error.valid_up_to(), JsonErrorKind::NotUtf8))?;
    Reader { text, at: 0, depth: limits.depth.min(MAX_DEPTH) }.document()
}

/// A container whose end has not been read.
enum Open {
    Array(Vec<Json>),
    Object { members: Vec<Member>, name: String, named_at: usize },
}

struct Member {
    name: String,
    value: Json,
    at: usize,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn document(mut self) -> Result<Json, JsonError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let Some(mut value) = self.value_or_open(&mut open)? else { continue };
            loop {
                self.skip_space();
                let Some(container) = open.pop() else {
                    return if self.peek().is_none() {
                        Ok(value)
                    } else {
                        self.fail(JsonErrorKind::TrailingData)
                    };
                };
                match container {
                    Open::Array(mut items) => {
                        items.push(value);
                        if self.more(b']')? {
                            open.push(Open::Array(items));
                            break;
                        }
                        value = Json::Array(items);
                    }
                    Open::Object { mut members, name, named_at } => {
                        members.push(Member { name, value, at: named_at });
                        if self.more(b'}')? {
                            let (named_at, name) = self.name()?;
                            open.push(Open::Object { members, name, named_at });
                            break;
                        }
                        value = Json::Object(object(members)?);
                    }
                }
            }
        }
    }

    /// Reads a scalar or an empty container; or opens a container and leaves its first value to be read.
    fn value_or_open(&mut self, open: &mut Vec<Open>) -> Result<Option<Json>, JsonError> {
        self.skip_space();
        match self.peek() {
            None => self.fail(JsonErrorKind::UnexpectedEnd),
            Some(b'"') => Ok(Some(Json::String(self.string()?))),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(bracket @ (b'[' | b'{')) => {
                if open.len() >= self.depth {
                    return self.fail(JsonErrorKind::TooDeep { limit: self.depth });
                }
                self.step(1);
                self.skip_space();
                if bracket == b'[' {
                    if self.eat(b']') {
                        return Ok(Some(Json::Array(Vec::new())));
                    }
                    open.push(Open::Array(Vec::new()));
                } else {
                    if self.eat(b'}') {
                        return Ok(Some(Json::Object(Object::default())));
                    }
                    let (named_at, name) = self.name()?;
                    open.push(Open::Object { members: Vec::new(), name, named_at });
                }
                Ok(None)
            }
            Some(_) => self.fail(JsonErrorKind::UnexpectedByte),
        }
    }

    /// After an element: whether another follows.
    fn more(&mut self, end: u8) -> Result<bool, JsonError> {
        if self.eat(b',') {
            return Ok(true);
        }
        if self.eat(end) { Ok(false) } else { self.fail_unexpected() }
    }

    /// The name of a member, with its colon.
    fn name(&mut self) -> Result<(usize, String), JsonError> {
        self.skip_space();
        let at = self.at;
        if self.peek() != Some(b'"') {
            return self.fail_unexpected();
        }
        let name = self.string()?;
        self.skip_space();
        if self.eat(b':') { Ok((at, name)) } else { self.fail_unexpected() }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Option<Json>, JsonError> {
        if self.rest().starts_with(word) {
            self.step(word.len());
            Ok(Some(value))
        } else {
            self.fail(JsonErrorKind::UnexpectedByte)
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let literal = number_literal(self.rest());
        let value =
            literal.ok_or(JsonErrorKind::InvalidNumber).and_then(number::parse).and_then(Json::from_double);
        match value {
            Ok(value) => {
                self.step(literal.map_or(0, str::len));
                Ok(value)
            }
            Err(kind) => self.fail(kind),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.step(1);
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain =
                rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.step(plain);
            match self.peek() {
                Some(b'"') => {
                    self.step(1);
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.fail(JsonErrorKind::ControlCharacter),
                None => return self.fail(JsonErrorKind::UnexpectedEnd),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let plain = match self.rest().as_bytes().get(1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.fail(JsonErrorKind::InvalidEscape),
        };
        self.step(2);
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let Some(first) = code_unit(self.rest()) else { return self.fail(JsonErrorKind::InvalidEscape) };
        if let Some(c) = char::from_u32(first.into()) {
            self.step(6);
            return Ok(c);
        }
        let second = self.rest().get(6..).and_then(code_unit);
        let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        match pair {
            Some(c) => {
                self.step(12);
                Ok(c)
            }
            None => self.fail(JsonErrorKind::LoneSurrogate),
        }
    }

    fn skip_space(&mut self) {
        let space =
            self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.step(space);
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step(1);
        }
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
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

/// An object of these members; a name that stands twice is an error at its second place.
fn object(members: Vec<Member>) -> Result<Object, JsonError> {
    let mut order: Vec<(&str, usize)> =
        members.iter().map(|member| (member.name.as_str(), member.at)).collect();
    order.sort_unstable();
    let twice = order.iter().zip(order.iter().skip(1)).find(|(a, b)| a.0 == b.0).map(|(_, b)| b.1);
    if let Some(at) = twice {
        return Err(JsonError::new(at, JsonErrorKind::DuplicateMember));
    }
    let members: Vec<_> = members.into_iter().map(|member| (member.name, member.value)).collect();
    Object::new(members).ok_or(JsonError::new(0, JsonErrorKind::DuplicateMember))
}

/// The number at the start of a text: `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`
pub(super) fn number_literal(text: &str) -> Option<&str> {
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

/// The code unit of a `\uXXXX` at the start of a text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}
