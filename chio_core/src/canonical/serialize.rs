//! From serde to strict JSON. What `serde_json` would round, drop or turn into `null` is refused.

use std::fmt;
use std::io::Write as _;

use serde::ser::{self, Serialize, SerializeMap, Serializer};

use super::value::Json;
use super::write::write_string;
use super::{MAX_DEPTH, MAX_INTEGER};
use crate::error::{JsonError, JsonErrorKind};

/// The text of a value, its members in the order in which they come: canonical where they come in that of RFC 8785.
/// A name that stands twice, or a text that is too deep by the last level, is for the reader to refuse.
pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(1024);
    let text = ToText { out: &mut out, left: MAX_DEPTH };
    value.serialize(text).map_err(|kind| JsonError::new(0, kind))?;
    Ok(out)
}

/// A serializer that may open `left` more containers inside each other.
struct ToText<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl ser::Error for JsonErrorKind {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::NotJson(message.to_string())
    }
}

impl<'a> ToText<'a> {
    /// Opens a container; an enum variant is tagged from outside: `{"Variant": value}`.
    fn open(self, start: &str, variant: Option<&'static str>, end: &'static str) -> Result<Parts<'a>, JsonErrorKind> {
        let levels = if variant.is_some() { 2 } else { 1 };
        let left = self.left.checked_sub(levels).ok_or(JsonErrorKind::TooDeep { limit: MAX_DEPTH })?;
        if let Some(variant) = variant {
            self.out.push(b'{');
            write_string(variant, self.out);
            self.out.push(b':');
        }
        self.out.extend_from_slice(start.as_bytes());
        Ok(Parts { out: self.out, left, is_first: true, end })
    }
}

/// The methods of a serializer that take no further type, as a table.
macro_rules! methods {
    ($($name:ident($($arg:tt: $type:ty),*) -> $of:ty = |$self:ident| $body:expr;)*) => {
        $(fn $name($self, $($arg: $type),*) -> Result<$of, JsonErrorKind> { $body })*
    };
}

macro_rules! integers {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, value: $type) -> Result<(), JsonErrorKind> {
            let value = i64::try_from(value).ok().filter(|value| value.unsigned_abs() <= MAX_INTEGER);
            let value = value.ok_or(JsonErrorKind::IntegerOutOfRange)?;
            write!(self.out, "{value}").map_err(ser::Error::custom)
        })*
    };
}

#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, clippy::unit_arg)] // one body serves all
impl<'a> Serializer for ToText<'a> {
    type Ok = ();
    type Error = JsonErrorKind;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    integers!(serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
              serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128));

    methods! {
        serialize_bool(value: bool) -> () = |self| Ok(Json::Bool(value).write(self.out));
        serialize_f32(value: f32) -> () = |self| self.serialize_f64(value.into());
        serialize_f64(value: f64) -> () = |self| Json::from_double(value).map(|number| number.write(self.out));
        serialize_char(value: char) -> () = |self| self.serialize_str(value.encode_utf8(&mut [0; 4]));
        serialize_str(value: &str) -> () = |self| Ok(write_string(value, self.out));
        serialize_bytes(_: &[u8]) -> () = |self| Err(ser::Error::custom("JSON has no bytes"));
        serialize_none() -> () = |self| Ok(Json::Null.write(self.out));
        serialize_unit() -> () = |self| Ok(Json::Null.write(self.out));
        serialize_unit_struct(_: &'static str) -> () = |self| Ok(Json::Null.write(self.out));
        serialize_unit_variant(_: &'static str, _: u32, variant: &'static str) -> () = |self| self.serialize_str(variant);
        serialize_seq(_: Option<usize>) -> Parts<'a> = |self| self.open("[", None, "]");
        serialize_tuple(_: usize) -> Parts<'a> = |self| self.open("[", None, "]");
        serialize_tuple_struct(_: &'static str, _: usize) -> Parts<'a> = |self| self.open("[", None, "]");
        serialize_tuple_variant(_: &'static str, _: u32, variant: &'static str, _: usize) -> Parts<'a> = |self| self.open("[", Some(variant), "]}");
        serialize_map(_: Option<usize>) -> Parts<'a> = |self| self.open("{", None, "}");
        serialize_struct(name: &'static str, _: usize) -> Parts<'a> = |self| match name {
            // What serde_json's feature `arbitrary_precision` makes of its numbers; any crate can switch it on.
            "$serde_json::private::Number" => Err(ser::Error::custom("serde_json numbers of arbitrary precision are not doubles")),
            _ => self.open("{", None, "}"),
        };
        serialize_struct_variant(_: &'static str, _: u32, variant: &'static str, _: usize) -> Parts<'a> = |self| self.open("{", Some(variant), "}}");
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonErrorKind> {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), JsonErrorKind> {
        value.serialize(self)
    }
    #[rustfmt::skip]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self, _: &'static str, _: u32, variant: &'static str, value: &T,
    ) -> Result<(), JsonErrorKind> {
        let mut parts = self.open("{", None, "}")?;
        parts.member(variant, value)?;
        SerializeMap::end(parts)
    }
}

/// A container whose end has not been written.
struct Parts<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    is_first: bool,
    end: &'static str,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonErrorKind> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.value(value)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonErrorKind> {
        value.serialize(ToText { out: self.out, left: self.left })
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), JsonErrorKind> {
        self.part(name)?;
        self.out.push(b':');
        self.value(value)
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = JsonErrorKind;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonErrorKind> {
        let at = self.out.len().saturating_add(usize::from(!self.is_first));
        self.part(key)?;
        if self.out.get(at) != Some(&b'"') {
            return Err(ser::Error::custom("the name of a member is a string"));
        }
        self.out.push(b':');
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonErrorKind> {
        self.value(value)
    }
    fn end(self) -> Result<(), JsonErrorKind> {
        self.out.extend_from_slice(self.end.as_bytes());
        Ok(())
    }
}

macro_rules! containers {
    ($($kind:ident::$method:ident($($name:ident)?) $put:ident)*) => {$(
        impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = JsonErrorKind;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), JsonErrorKind> {
                self.$put($($name,)? value)
            }
            fn end(self) -> Result<(), JsonErrorKind> {
                SerializeMap::end(self)
            }
        }
    )*};
}

containers!(SerializeSeq::serialize_element() part SerializeTuple::serialize_element() part
            SerializeTupleStruct::serialize_field() part SerializeTupleVariant::serialize_field() part
            SerializeStruct::serialize_field(name) member SerializeStructVariant::serialize_field(name) member);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => match value.to_integer() {
                Some(whole) => serializer.serialize_i64(whole),
                None => serializer.serialize_f64(value.get()),
            },
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::canonical::canonical_json_bytes;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Wrapped(u8);

    #[derive(Serialize)]
    enum Kind {
        Unit,
        Newtype(Wrapped),
        Tuple(u8, u8),
        Struct { b: u8, a: Option<u8> },
    }

    #[test]
    fn every_shape_of_serde_has_its_text() {
        for (value, expected) in [
            (Kind::Unit, r#""Unit""#),
            (Kind::Newtype(Wrapped(5)), r#"{"Newtype":5}"#),
            (Kind::Tuple(1, 2), r#"{"Tuple":[1,2]}"#),
            (Kind::Struct { b: 1, a: Some(2) }, r#"{"Struct":{"a":2,"b":1}}"#),
            (Kind::Struct { b: 1, a: None }, r#"{"Struct":{"a":null,"b":1}}"#),
        ] {
            assert_eq!(canonical_json_bytes(&value).unwrap(), expected.as_bytes());
        }
        assert_eq!(canonical_json_bytes(&Wrapped(5)).unwrap(), b"5");
        assert_eq!(canonical_json_bytes(&('x', (), "y", [1.5])).unwrap(), br#"["x",null,"y",[1.5]]"#);
    }
}
