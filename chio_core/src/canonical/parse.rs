//! Reading a text: into a value, or only to see whether it is canonical.

use std::cmp::Ordering;

use super::lexer::{self, Sink, Text};
use super::value::{Json, Object, member_order};
use super::{Limits, number};
use crate::error::{JsonError, JsonErrorKind};

/// The value, and whether the text is its canonical one.
pub(super) fn parse(text: &[u8], limits: Limits) -> Result<(Json, bool), JsonError> {
    let mut reader = Reader::new(true);
    lexer::read(text, limits, &mut reader)?;
    Ok((reader.value, reader.is_canonical))
}

/// Whether a text is strict and canonical: one pass, nothing built.
pub(super) fn is_canonical(text: &[u8], limits: Limits) -> bool {
    lexer::read(text, limits, &mut Reader::new(false)).is_ok()
}

struct Reader<'a> {
    /// Whether a value is built. If not, what is not canonical ends the reading like an error. Nobody is told which.
    builds: bool,
    open: Vec<Open>,
    /// The parts of all open containers; where nothing is built, the last member of each.
    parts: Vec<Part<'a>>,
    /// The last value that was completed outside of every container: in the end, the document.
    value: Json,
    is_canonical: bool,
}

/// A container whose end has not been read.
struct Open {
    is_object: bool,
    /// Where its parts begin.
    from: usize,
    /// Whether its names ascend: sorted, and free of duplicates.
    is_sorted: bool,
}

/// An element, or a member with its name and its place, for the error if it turns out to be a duplicate.
struct Part<'a> {
    name: Text<'a>,
    at: usize,
    value: Json,
}

impl Reader<'_> {
    fn new(builds: bool) -> Self {
        Self { builds, open: Vec::new(), parts: Vec::new(), value: Json::Null, is_canonical: true }
    }

    fn note(&mut self, is_canonical: bool) -> Result<(), JsonErrorKind> {
        self.is_canonical &= is_canonical;
        if self.is_canonical || self.builds { Ok(()) } else { Err(JsonErrorKind::UnexpectedByte) }
    }

    fn complete(&mut self, value: Json) {
        match self.open.last() {
            _ if !self.builds => {}
            Some(Open { is_object: false, .. }) => self.parts.push(Part { name: Text::default(), at: 0, value }),
            // Its name was pushed with a `null` for a value.
            Some(_) => {
                if let Some(member) = self.parts.last_mut() {
                    member.value = value;
                }
            }
            None => self.value = value,
        }
    }
}

impl<'a> Sink<'a> for Reader<'a> {
    fn space(&mut self) -> Result<(), JsonErrorKind> {
        self.note(false)
    }

    fn word(&mut self, value: Option<bool>, _: usize) -> Result<(), JsonErrorKind> {
        self.complete(value.map_or(Json::Null, Json::Bool));
        Ok(())
    }

    fn number(&mut self, literal: &'a str, _: usize) -> Result<(), JsonErrorKind> {
        let is_plain = number::is_plainly_canonical(literal);
        if is_plain && !self.builds {
            return Ok(());
        }
        let value = number::parse(literal)?;
        self.complete(Json::from_double(value)?);
        self.note(is_plain || number::is_written_as(value, literal))
    }

    fn string(&mut self, text: Text<'a>, _: usize) -> Result<(), JsonErrorKind> {
        if self.builds {
            self.complete(Json::String(text.decode().into_owned()));
        }
        self.note(text.is_canonical)
    }

    fn name(&mut self, name: Text<'a>, at: usize) -> Result<(), JsonErrorKind> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let last = self.parts.get(open.from..).and_then(<[Part<'_>]>::last);
        let ascends = last.is_none_or(|last| member_order(&last.name.decode(), &name.decode()) == Ordering::Less);
        open.is_sorted &= ascends;
        if !self.builds {
            self.parts.truncate(open.from);
        }
        self.parts.push(Part { name, at, value: Json::Null });
        self.note(ascends && name.is_canonical)
    }

    fn open(&mut self, is_object: bool, _: usize) {
        self.open.push(Open { is_object, from: self.parts.len(), is_sorted: true });
    }

    fn close(&mut self, _: usize) -> Result<(), JsonError> {
        let Some(Open { is_object, from, is_sorted }) = self.open.pop() else { return Ok(()) };
        if !self.builds {
            self.parts.truncate(from);
            return Ok(());
        }
        let mut order: Vec<_> = Vec::new();
        if !is_sorted {
            let parts = self.parts.get(from..).unwrap_or_default();
            order.extend(parts.iter().map(|part| (part.name.decode(), part.at)));
            order.sort_unstable();
        }
        if let Some((_, second)) = order.iter().zip(order.iter().skip(1)).find(|(a, b)| a.0 == b.0) {
            return Err(JsonError::new(second.1, JsonErrorKind::DuplicateMember));
        }
        let parts = self.parts.drain(from..);
        let value = if is_object {
            let members = parts.map(|part| (part.name.decode().into_owned(), part.value)).collect();
            Json::Object(Object::new(members).ok_or(JsonError::new(0, JsonErrorKind::DuplicateMember))?)
        } else {
            Json::Array(parts.map(|part| part.value).collect())
        };
        self.complete(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{canonicalize, parse};
    use super::is_canonical;
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
                prop::collection::vec(("\"(a|b|aa|\u{e000}|\u{1f600}|\\\\n)?\"", inner), 0..4).prop_map(|members| {
                    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
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
        for text in ["{\"\\n\":1}", "{}", "[]", "null", "{\"a\":1,\"b\":[true,1.5,\"\\u0001\\n\"]}", "1e+21", "-5"] {
            assert!(is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
        for text in ["0.000001", "0.5", "-0.5", "123456789012345", "1e-7", "[[],{}]", "\"\\b\\f\\n\\r\\t\""] {
            assert!(is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
        for text in ["0.0000001", "1e0", "1.50", "-0.0", "[1,]", "[[]", "\"\\u000A\"", "\"\\u001F\"", "{\"a\":1 }"] {
            assert!(!is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
        for text in ["", " 1", "1 ", "{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "1.0", "\"\\u000a\"", "\"\\/\"", "-0"] {
            assert!(!is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
    }

    #[test]
    fn every_escape_is_read() {
        let read = |text: &str| parse(text.as_bytes(), LIMITS);
        let all = r#""\" \\ \/ \b \f \n \r \t \u00e9 \u0001 \ud83d\ude00""#;
        assert_eq!(read(all).unwrap(), Json::String("\" \\ / \u{8} \u{c} \n \r \t é \u{1} \u{1f600}".into()));
        for text in
            [r#""\a""#, r#""\u00g0""#, r#""\u+041""#, r#""\u004""#, r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#]
        {
            assert!(read(text).is_err(), "{text}");
        }
        for text in
            ["1.", "-", ".5", "1e", "1e+", "01", "+1", "1.e5", "--1", "0x1", "1..2", "\u{1}", "\"\u{1f}\"", "\"a"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read(" \t\r\n[ 1 , { \"a\" : null } ] ").unwrap(), read("[1,{\"a\":null}]").unwrap());
    }

    #[test]
    fn strings_are_read_eight_bytes_at_once_and_none_is_missed() {
        for length in if cfg!(miri) { 15..17 } else { 0..40 } {
            for (special, is_read) in [("\\n", true), ("\u{1f}", false), ("\0", false), ("é", true), ("\u{7f}", true)]
            {
                for at in 0..=length {
                    let text = format!("[\"{}{special}{}\",1]", "!".repeat(at), "#".repeat(length - at));
                    let read = parse(text.as_bytes(), LIMITS);
                    assert_eq!(read.is_ok(), is_read, "{text:?}");
                    let expected =
                        format!("{}{}{}", "!".repeat(at), special.replace("\\n", "\n"), "#".repeat(length - at));
                    let read = read.ok().and_then(|json| json.as_array()?.first()?.as_str().map(str::to_owned));
                    assert_eq!(read, is_read.then_some(expected));
                }
            }
        }
    }

    #[test]
    fn members_come_in_any_order_and_only_once() {
        let read = |text: &str| parse(text.as_bytes(), LIMITS);
        assert_eq!(read(r#"{"b":1,"a":2,"c":3}"#).unwrap().to_canonical_bytes(), br#"{"a":2,"b":1,"c":3}"#);
        for (text, at) in [
            (r#"{"a":1,"b":2,"a":3}"#, 13),
            (r#"{"a":1,"a":2}"#, 7),
            (r#"[{"b":1,"a":2,"\u0061":3}]"#, 14),
            (r#"{"x":{"b":1,"c":1,"b":2}}"#, 18),
        ] {
            assert_eq!(read(text).unwrap_err(), JsonError::new(at, JsonErrorKind::DuplicateMember), "{text}");
        }
        let without = read(r#"{"id":1,"grants":[],"signature":2}"#).unwrap();
        assert_eq!(without.canonical_bytes_without(&["id", "signature"]), br#"{"grants":[]}"#);
        assert_eq!(without.canonical_bytes_without(&["signature"]), br#"{"grants":[],"id":1}"#);
        assert_eq!(read("[1]").unwrap().canonical_bytes_without(&["id"]), b"[1]");
    }
}
