//! Recognising a text that already is canonical: one pass, nothing built.
//!
//! `false` means only "not recognised"; what is wrong with a text, if anything is, the reader says.

use std::cmp::Ordering;

use super::parse::number_literal;
use super::value::member_order;
use super::{Limits, MAX_DEPTH, number};

pub(super) fn is_canonical(text: &[u8], limits: Limits) -> bool {
    if text.len() > limits.bytes {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else { return false };
    Scanner { text, at: 0, depth: limits.depth.min(MAX_DEPTH) }.document() == Some(())
}

/// A container whose end has not been read; an object with its last name, as it is written.
enum Open<'a> {
    Array,
    Object(&'a str),
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn document(mut self) -> Option<()> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            if !self.value(&mut open)? {
                continue;
            }
            loop {
                match open.last_mut() {
                    None => return (self.at == self.text.len()).then_some(()),
                    Some(Open::Array) => {
                        if self.more(b']')? {
                            break;
                        }
                    }
                    Some(Open::Object(last)) => {
                        if self.more(b'}')? {
                            let name = self.name()?;
                            if member_order(last, name) != Ordering::Less {
                                return None;
                            }
                            *last = name;
                            break;
                        }
                    }
                }
                open.pop();
            }
        }
    }

    /// Whether a whole value was read; otherwise a container was opened.
    fn value(&mut self, open: &mut Vec<Open<'a>>) -> Option<bool> {
        match self.peek()? {
            b'"' => self.string().map(|_| true),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            bracket @ (b'[' | b'{') => {
                if open.len() >= self.depth {
                    return None;
                }
                self.step(1);
                if self.eat(if bracket == b'[' { b']' } else { b'}' }) {
                    return Some(true);
                }
                open.push(if bracket == b'[' { Open::Array } else { Open::Object(self.name()?) });
                Some(false)
            }
            _ => self.number(),
        }
    }

    fn more(&mut self, end: u8) -> Option<bool> {
        if self.eat(b',') {
            return Some(true);
        }
        self.eat(end).then_some(false)
    }

    /// The name of a member. One with an escape is left to the reader, so that names compare as written.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        (!name.contains('\\') && self.eat(b':')).then_some(name)
    }

    fn word(&mut self, word: &str) -> Option<bool> {
        let found = self.rest().starts_with(word);
        self.step(word.len());
        found.then_some(true)
    }

    fn number(&mut self) -> Option<bool> {
        let literal = number_literal(self.rest())?;
        self.step(literal.len());
        if literal.len() <= 15 && literal.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(true);
        }
        let mut canonical = Vec::with_capacity(24);
        number::write(number::parse(literal).ok()?, &mut canonical);
        (canonical == literal.as_bytes()).then_some(true)
    }

    /// A string, without its quotes, as it is written.
    fn string(&mut self) -> Option<&'a str> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            self.step(plain);
            let tail = rest.get(plain..)?;
            match tail.first()? {
                b'"' => {
                    let text = self.text.get(start..self.at)?;
                    self.step(1);
                    return Some(text);
                }
                b'\\' => match tail.get(1)? {
                    b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => self.step(2),
                    b'u' if is_canonical_control(tail.get(2..6)?) => self.step(6),
                    _ => return None,
                },
                _ => return None,
            }
        }
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
}

/// `00` and the two lower-case digits of a control character that has no shorter escape.
fn is_canonical_control(digits: &[u8]) -> bool {
    match digits {
        [b'0', b'0', b'0', low] => matches!(low, b'0'..=b'7' | b'b' | b'e' | b'f'),
        [b'0', b'0', b'1', low] => matches!(low, b'0'..=b'9' | b'a'..=b'f'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{canonicalize, parse};
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits::bytes(1 << 20);

    fn nearly_json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            "null|true|false|nul|-0|0|00|1\\.0|1\\.5|1e21|1e\\+21|1e20|9007199254740991|9007199254740993|5e-324|-1",
            "\"[a-c\\\\/ubn\u{e000}\u{1f600}\u{1}]{0,5}\"",
            "\"(\\\\u00(0[0-9a-fA-F]|1[0-9a-f])|\\\\ud83d\\\\ude00|\\\\ud83d|\\\\/|\\\\n|é){0,3}\"",
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(("\"(a|b|aa|\u{e000}|\u{1f600}|\\\\n)?\"", inner), 0..4).prop_map(
                    |members| {
                        let members: Vec<_> =
                            members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                        format!("{{{}}}", members.join(","))
                    }
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn recognises_exactly_the_fixpoints_of_the_reader(text in nearly_json()) {
            let canonical = parse(text.as_bytes(), LIMITS).map(|value| value.to_canonical_bytes());
            if is_canonical(text.as_bytes(), LIMITS) {
                prop_assert_eq!(canonical.as_deref(), Ok(text.as_bytes()));
            }
            if let Ok(canonical) = canonical {
                prop_assert_eq!(&*canonicalize(&canonical, LIMITS).unwrap(), canonical.as_slice());
            }
        }
    }

    #[test]
    fn recognises_what_is_canonical() {
        for text in ["{}", "[]", "null", "{\"a\":1,\"b\":[true,1.5,\"\\u0001\\n\"]}", "1e+21", "-5"] {
            assert!(is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
        for text in
            ["", " 1", "1 ", "{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "1.0", "\"\\u000a\"", "\"\\/\"", "-0"]
        {
            assert!(!is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
    }
}
