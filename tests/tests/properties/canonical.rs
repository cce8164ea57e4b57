//! However a value is written, it has one canonical text, and no other value has that one. That the canonical text is
//! a fixpoint is tested in `chio_core`, and against another library in `third_party.rs`.

use chio_core::canonical::{self, Limits};
use chio_tests::evaluator;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::choices::{Choices, tapes};
use crate::generate;

const LIMITS: Limits = Limits::bytes(1 << 20);

/// A text of this value: other white space, another order, other escapes, other forms of a number.
fn written(choices: &mut Choices, value: &Value) -> String {
    let mut text = space(choices);
    match value {
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(|element| written(choices, element)).collect();
            text.push_str(&format!("[{}]", elements.join(",")));
            if elements.is_empty() {
                text.insert_str(text.len() - 1, &space(choices));
            }
        }
        Value::Object(members) => {
            let mut written_members = Vec::new();
            for (name, value) in members {
                let member = format!(
                    "{}{}{}:{}",
                    space(choices),
                    string(choices, name),
                    space(choices),
                    written(choices, value)
                );
                written_members.insert(choices.below(written_members.len() + 1), member);
            }
            text.push_str(&format!("{{{}}}", written_members.join(",")));
        }
        Value::String(value) => text.push_str(&string(choices, value)),
        Value::Number(number) => text.push_str(&self::number(choices, number.as_f64().unwrap())),
        other => text.push_str(&other.to_string()),
    }
    text + &space(choices)
}

fn space(choices: &mut Choices) -> String {
    (0..choices.below(3)).map(|_| *choices.of(&[&' ', &'\t', &'\n', &'\r'])).collect()
}

fn string(choices: &mut Choices, value: &str) -> String {
    let mut text = String::from('"');
    for character in value.chars() {
        match character {
            '/' if choices.one_in(3) => text.push_str("\\/"),
            '"' | '\\' | '\0'..='\u{1f}' => text.push_str(&escaped(choices, character)),
            _ if choices.one_in(6) => text.push_str(&escaped(choices, character)),
            _ => text.push(character),
        }
    }
    text + "\""
}

fn escaped(choices: &mut Choices, character: char) -> String {
    let upper = choices.one_in(2);
    let unit = |unit: &u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    character.encode_utf16(&mut [0; 2]).iter().map(unit).collect()
}

fn number(choices: &mut Choices, value: f64) -> String {
    let plain = format!("{value}");
    match choices.below(5) {
        1 => format!("{value:e}"),
        2 => format!("{value:E}").replace('E', "E+").replace("+-", "-"),
        // Digits that doubles skip are read only where the literal says that it is a double.
        _ if value.abs() > 1e20 => format!("{plain}.0"),
        3 if plain.contains('.') => format!("{plain}00"),
        4 if !plain.contains('.') => format!("{plain}.0"),
        _ => plain,
    }
}

proptest! {
    #![proptest_config(crate::config(256))]

    #[test]
    fn a_value_has_one_canonical_text_however_it_is_written(tape in tapes(800)) {
        let choices = &mut Choices::new(tape);
        let value = generate::value(choices, 4);
        let canonical = canonical::canonical_json_bytes(&value).unwrap();
        for _ in 0..3 {
            let text = written(choices, &value);
            let rewritten = canonical::canonicalize(text.as_bytes(), LIMITS);
            prop_assert_eq!(rewritten.as_deref(), Ok(&canonical[..]), "{}", text);
            let read = canonical::parse(text.as_bytes(), LIMITS).map(|value| value.to_canonical_bytes());
            prop_assert_eq!(read.as_ref(), Ok(&canonical), "{}", text);
            prop_assert_eq!(canonical::is_canonical(text.as_bytes(), LIMITS), text.as_bytes() == canonical, "{}", text);
        }
    }

    #[test]
    fn two_values_with_one_canonical_text_are_one_value(tape in tapes(400)) {
        let choices = &mut Choices::new(tape);
        let a = generate::value(choices, 3);
        let b = if choices.one_in(3) { a.clone() } else { generate::value(choices, 2) };
        let [text_a, text_b] = [&a, &b].map(|value| canonical::canonical_json_bytes(value).unwrap());
        let is_a = json!({"constraint_type": "exact", "value": a});
        prop_assert_eq!(text_a == text_b, evaluator::passes(&is_a, &b));
    }
}
