//! A second reader, made of serde_json alone: it tells what stands in a text and refuses nothing that serde_json takes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A text as serde_json reads it, and what it is lenient about.
#[derive(Debug, Default)]
pub struct Reading {
    pub value: Value,
    /// Whether an object names a member twice. The last one counts.
    pub duplicate: bool,
    /// How deep arrays and objects are nested.
    pub depth: usize,
    /// Whether a number lies where not every whole number is a double.
    pub large: bool,
    /// Whether RFC 8785 writes one of these as an integer.
    pub vague: bool,
}

impl Reading {
    pub fn of(text: &[u8]) -> Option<Self> {
        let mut reading = Self::default();
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = Part { reading: &mut reading, depth: 0 }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(Self { value, ..reading })
    }

    /// What another implementation of RFC 8785 writes for it.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json_canonicalizer::to_vec(&self.value).unwrap()
    }
}

/// The canonical text of a text by serde_json alone; none where it is refused or a member stands in it twice.
pub fn canonical(text: &[u8]) -> Option<Vec<u8>> {
    Reading::of(text).filter(|reading| !reading.duplicate).map(|reading| reading.canonical())
}

/// Whether a value is an object that has these members and no others.
pub fn has_exactly(value: &Value, members: &[&str]) -> bool {
    has_only(value, members) && value.as_object().is_some_and(|object| object.len() == members.len())
}

/// Whether a value is an object that has no members but these.
pub fn has_only(value: &Value, members: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|name| members.contains(&name.as_str())))
}

/// Whether a value is a text of so many lower-case hex digits.
pub fn is_hex(value: &Value, digits: usize) -> bool {
    let hex = |text: &str| text.len() == digits && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    value.as_str().is_some_and(hex)
}

struct Part<'r> {
    reading: &'r mut Reading,
    depth: usize,
}

impl Part<'_> {
    fn inside(&mut self) -> Part<'_> {
        self.reading.depth = self.reading.depth.max(self.depth + 1);
        Part { depth: self.depth + 1, reading: self.reading }
    }

    fn number(self, number: f64) {
        let large = number.abs() >= 9_007_199_254_740_992.0;
        self.reading.large |= large;
        self.reading.vague |= large && number.abs() < 1e21;
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.number(value as f64);
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.number(value as f64);
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.number(value);
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inside())? {
            items.push(item);
        }
        self.inside();
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        self.inside();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.inside())?;
            self.reading.duplicate |= members.insert(name, value).is_some();
        }
        Ok(members.into())
    }
}
