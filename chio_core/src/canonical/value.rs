//! A JSON value that holds the rules by construction.

use std::cmp::Ordering;

use super::number;
use crate::error::JsonErrorKind;

/// A strict JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A double that strict JSON can hold: finite, never a negative zero, and no whole number between 2^53 and 10^21.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Number(f64);

impl Eq for Number {}

impl Number {
    /// A number, where it is one that strict JSON can hold.
    pub fn new(value: f64) -> Option<Self> {
        number::is_strict(value).then_some(Self(if value == 0.0 { 0.0 } else { value }))
    }

    /// The double.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The whole number it is, if it is one of at most 2^53−1 in magnitude.
    pub fn to_integer(self) -> Option<i64> {
        let whole = self.0.fract() == 0.0 && self.0.abs() < 9_007_199_254_740_992.0;
        if whole { format!("{:.0}", self.0).parse().ok() } else { None }
    }
}

/// The members of an object, sorted as RFC 8785 sorts them, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// An object of these members, in any order; `None` where a name stands twice.
    pub fn new(mut members: Vec<(String, Json)>) -> Option<Self> {
        members.sort_by(|a, b| member_order(&a.0, &b.0));
        let unique = members.iter().zip(members.iter().skip(1)).all(|(a, b)| a.0 != b.0);
        unique.then_some(Self(members))
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let at = self.0.binary_search_by(|member| member_order(&member.0, name)).ok()?;
        self.0.get(at).map(|member| &member.1)
    }

    /// Takes the member of that name out.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.binary_search_by(|member| member_order(&member.0, name)).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Json {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(super) fn from_double(value: f64) -> Result<Self, JsonErrorKind> {
        if !value.is_finite() {
            return Err(JsonErrorKind::NotJson("JSON has no NaN and no infinity".into()));
        }
        Number::new(value).map(Self::Number).ok_or(JsonErrorKind::IntegerOutOfRange)
    }
}

/// The order of RFC 8785, section 3.2.3: by UTF-16 code units.
///
/// UTF-8 bytes sort as code points do, and the two orders differ in one place only: U+E000 to U+FFFF
/// (lead bytes EE and EF) come after the surrogates, and so after everything beyond U+FFFF (F0 to F4).
pub(super) fn member_order(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xee | 0xef) { byte | 0x10 } else { byte };
    let differ = a.bytes().zip(b.bytes()).find(|(a, b)| a != b);
    differ.map_or(a.len().cmp(&b.len()), |(a, b)| rank(a).cmp(&rank(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "its random texts take minutes under Miri")]
        fn members_sort_by_utf16(a in "\\PC{0,4}|[\u{e000}-\u{ffff}\u{10000}-\u{10ffff}]{0,3}", b in "\\PC{0,4}|[\u{e000}-\u{ffff}\u{10000}-\u{10ffff}]{0,3}") {
            proptest::prop_assert_eq!(member_order(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }
    }
}
