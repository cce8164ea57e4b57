//! From serde to strict JSON. What `serde_json` would round, drop or turn into `null` is refused.

use std::fmt;

use serde::ser::{self, Serialize, SerializeMap, Serializer};

use super::MAX_DEPTH;
use super::value::{Json, Object};
use crate::error::{JsonError, JsonErrorKind};

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Json, JsonError> {
    value.serialize(ToJson { left: MAX_DEPTH }).map_err(|Refused(kind)| JsonError::new(0, kind))
}

/// A serializer that may open `left` more containers inside each other.
#[derive(Clone, Copy)]
struct ToJson {
    left: usize,
}

#[derive(Debug)]
struct Refused(JsonErrorKind);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(JsonErrorKind::NotJson(message.to_string()))
    }
}

fn refuse<T>(what: &str) -> Result<T, Refused> {
    Err(Refused(JsonErrorKind::NotJson(what.to_owned())))
}

impl ToJson {
    fn inside(self) -> Result<Self, Refused> {
        let left = self.left.checked_sub(1).ok_or(Refused(JsonErrorKind::TooDeep { limit: MAX_DEPTH }))?;
        Ok(Self { left })
    }

    fn array(self, wrapped_as: Option<&'static str>) -> Result<Array, Refused> {
        let inside = if wrapped_as.is_some() { self.inside()? } else { self }.inside()?;
        Ok(Array { items: Vec::new(), inside, wrapped_as })
    }

    fn object(self, wrapped_as: Option<&'static str>) -> Result<Map, Refused> {
        let inside = if wrapped_as.is_some() { self.inside()? } else { self }.inside()?;
        Ok(Map { members: Vec::new(), name: None, inside, wrapped_as })
    }
}

/// The external tagging of an enum variant: `{"Variant": value}`.
fn wrap(name: Option<&'static str>, value: Json) -> Result<Json, Refused> {
    let Some(name) = name else { return Ok(value) };
    finish(vec![(name.to_owned(), value)])
}

fn finish(members: Vec<(String, Json)>) -> Result<Json, Refused> {
    Object::new(members).map(Json::Object).ok_or(Refused(JsonErrorKind::DuplicateMember))
}

/// The methods of a serializer that take no further type, as a table.
macro_rules! methods {
    ($($name:ident($($arg:tt: $type:ty),*) -> $of:ty = |$self:ident| $body:expr;)*) => {
        $(fn $name($self, $($arg: $type),*) -> Result<$of, Refused> { $body })*
    };
}

macro_rules! integers {
    ($($method:ident($type:ty))*) => {
        $(fn $method(self, value: $type) -> Result<Json, Refused> {
            let negative = i128::try_from(value).is_ok_and(|value| value < 0);
            let magnitude = i128::try_from(value).map(i128::unsigned_abs).unwrap_or(u128::MAX);
            Json::from_integer(u64::try_from(magnitude).unwrap_or(u64::MAX), negative).map_err(Refused)
        })*
    };
}

#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)] // one body serves every width
impl Serializer for ToJson {
    type Ok = Json;
    type Error = Refused;
    type SerializeSeq = Array;
    type SerializeTuple = Array;
    type SerializeTupleStruct = Array;
    type SerializeTupleVariant = Array;
    type SerializeMap = Map;
    type SerializeStruct = Map;
    type SerializeStructVariant = Map;

    integers!(serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
              serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128));

    methods! {
        serialize_bool(value: bool) -> Json = |self| Ok(Json::Bool(value));
        serialize_f32(value: f32) -> Json = |self| self.serialize_f64(value.into());
        serialize_f64(value: f64) -> Json = |self| Json::from_double(value).map_err(Refused);
        serialize_char(value: char) -> Json = |self| Ok(Json::String(value.into()));
        serialize_str(value: &str) -> Json = |self| Ok(Json::String(value.to_owned()));
        serialize_bytes(_: &[u8]) -> Json = |self| refuse("JSON has no bytes");
        serialize_none() -> Json = |self| Ok(Json::Null);
        serialize_unit() -> Json = |self| Ok(Json::Null);
        serialize_unit_struct(_: &'static str) -> Json = |self| Ok(Json::Null);
        serialize_unit_variant(_: &'static str, _: u32, variant: &'static str) -> Json = |self| Ok(Json::String(variant.into()));
        serialize_seq(_: Option<usize>) -> Array = |self| self.array(None);
        serialize_tuple(_: usize) -> Array = |self| self.array(None);
        serialize_tuple_struct(_: &'static str, _: usize) -> Array = |self| self.array(None);
        serialize_tuple_variant(_: &'static str, _: u32, variant: &'static str, _: usize) -> Array = |self| self.array(Some(variant));
        serialize_map(_: Option<usize>) -> Map = |self| self.object(None);
        serialize_struct(name: &'static str, _: usize) -> Map = |self| match name {
            // What serde_json's feature `arbitrary_precision` makes of its numbers; any crate can switch it on.
            "$serde_json::private::Number" => refuse("serde_json numbers of arbitrary precision are not doubles"),
            _ => self.object(None),
        };
        serialize_struct_variant(_: &'static str, _: u32, variant: &'static str, _: usize) -> Map = |self| self.object(Some(variant));
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Json, Refused> {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Json, Refused> {
        value.serialize(self)
    }
    #[rustfmt::skip]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self, _: &'static str, _: u32, variant: &'static str, value: &T,
    ) -> Result<Json, Refused> {
        wrap(Some(variant), value.serialize(self.inside()?)?)
    }
}

struct Array {
    items: Vec<Json>,
    inside: ToJson,
    wrapped_as: Option<&'static str>,
}

macro_rules! sequences {
    ($($kind:ident::$method:ident)*) => {$(
        impl ser::$kind for Array {
            type Ok = Json;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                self.items.push(value.serialize(self.inside)?);
                Ok(())
            }
            fn end(self) -> Result<Json, Refused> {
                wrap(self.wrapped_as, Json::Array(self.items))
            }
        }
    )*};
}

sequences!(SerializeSeq::serialize_element SerializeTuple::serialize_element SerializeTupleStruct::serialize_field SerializeTupleVariant::serialize_field);

struct Map {
    members: Vec<(String, Json)>,
    name: Option<String>,
    inside: ToJson,
    wrapped_as: Option<&'static str>,
}

impl SerializeMap for Map {
    type Ok = Json;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        match key.serialize(self.inside)? {
            Json::String(name) => {
                self.name = Some(name);
                Ok(())
            }
            _ => refuse("the name of a member is a string"),
        }
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let Some(name) = self.name.take() else { return refuse("a value without a name") };
        self.members.push((name, value.serialize(self.inside)?));
        Ok(())
    }
    fn end(self) -> Result<Json, Refused> {
        wrap(self.wrapped_as, finish(self.members)?)
    }
}

macro_rules! like_a_map {
    ($($kind:ident)*) => {$(
        impl ser::$kind for Map {
            type Ok = Json;
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
                self.members.push((name.to_owned(), value.serialize(self.inside)?));
                Ok(())
            }
            fn end(self) -> Result<Json, Refused> {
                SerializeMap::end(self)
            }
        }
    )*};
}

like_a_map!(SerializeStruct SerializeStructVariant);

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
