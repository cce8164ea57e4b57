//! Recognising a text that already is canonical: one pass, nothing built.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::lexer::{self, Sink};
use super::value::member_order;
use super::{Limits, number, write};
use crate::error::{JsonError, JsonErrorKind};

pub(super) fn is_canonical(text: &[u8], limits: Limits) -> bool {
    lexer::read(text, limits, &mut Recogniser { open: Vec::new() }).is_ok()
}

/// For each container whose end has not been read, the last name in it, if it is an object that has one.
struct Recogniser<'a> {
    open: Vec<Option<Cow<'a, str>>>,
}

/// What is strict JSON and not canonical ends the reading like an error. Nobody is told which.
const NOT_CANONICAL: JsonErrorKind = JsonErrorKind::UnexpectedByte;

fn require(canonical: bool) -> Result<(), JsonErrorKind> {
    if canonical { Ok(()) } else { Err(NOT_CANONICAL) }
}

impl<'a> Sink<'a> for Recogniser<'a> {
    fn space(&mut self) -> Result<(), JsonErrorKind> {
        Err(NOT_CANONICAL)
    }

    fn word(&mut self, _: Option<bool>) -> Result<(), JsonErrorKind> {
        Ok(())
    }

    fn number(&mut self, literal: &'a str) -> Result<(), JsonErrorKind> {
        if literal.len() <= 15 && literal.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(());
        }
        let mut canonical = Vec::with_capacity(24);
        number::write(number::parse(literal)?, &mut canonical);
        require(canonical == literal.as_bytes())
    }

    fn string(&mut self, raw: &'a str) -> Result<(), JsonErrorKind> {
        let Cow::Owned(decoded) = lexer::decode(raw) else { return Ok(()) };
        require(write::is_written_as(&decoded, raw))
    }

    fn name(&mut self, raw: &'a str, _: usize) -> Result<(), JsonErrorKind> {
        self.string(raw)?;
        let name = lexer::decode(raw);
        let Some(last) = self.open.last_mut() else { return Ok(()) };
        // Ascending and never equal: sorted, and free of duplicates.
        require(last.as_ref().is_none_or(|last| member_order(last, &name) == Ordering::Less))?;
        *last = Some(name);
        Ok(())
    }

    fn open(&mut self, _: bool) {
        self.open.push(None);
    }

    fn close(&mut self) -> Result<(), JsonError> {
        self.open.pop();
        Ok(())
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
        for text in ["", " 1", "1 ", "{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "1.0", "\"\\u000a\"", "\"\\/\"", "-0"] {
            assert!(!is_canonical(text.as_bytes(), LIMITS), "{text}");
        }
    }
}
