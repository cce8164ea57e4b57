//! From serde to strict JSON. What `serde_json` would round, drop or turn into `null` is refused.

use std::fmt;

use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, Serializer};

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

macro_rules! integers {
    ($($method:ident($signed:ty))*; $($unsigned_method:ident($unsigned:ty))*) => {
        $(fn $method(self, value: $signed) -> Result<Json, Refused> {
            let magnitude = u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX);
            Json::from_integer(magnitude, value < 0).map_err(Refused)
        })*
        $(fn $unsigned_method(self, value: $unsigned) -> Result<Json, Refused> {
            Json::from_integer(u64::try_from(value).unwrap_or(u64::MAX), false).map_err(Refused)
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

    integers!(serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128);
              serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128));

    fn serialize_bool(self, value: bool) -> Result<Json, Refused> {
        Ok(Json::Bool(value))
    }
    fn serialize_f32(self, value: f32) -> Result<Json, Refused> {
        self.serialize_f64(value.into())
    }
    fn serialize_f64(self, value: f64) -> Result<Json, Refused> {
        Json::from_double(value).map_err(Refused)
    }
    fn serialize_char(self, value: char) -> Result<Json, Refused> {
        Ok(Json::String(value.into()))
    }
    fn serialize_str(self, value: &str) -> Result<Json, Refused> {
        Ok(Json::String(value.to_owned()))
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Json, Refused> {
        refuse("JSON has no bytes")
    }
    fn serialize_none(self) -> Result<Json, Refused> {
        Ok(Json::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Json, Refused> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Json, Refused> {
        Ok(Json::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Json, Refused> {
        Ok(Json::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Json, Refused> {
        Ok(Json::String(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Json, Refused> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Json, Refused> {
        wrap(Some(variant), value.serialize(self.inside()?)?)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Array, Refused> {
        self.array(None)
    }
    fn serialize_tuple(self, _: usize) -> Result<Array, Refused> {
        self.array(None)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array, Refused> {
        self.array(None)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Array, Refused> {
        self.array(Some(variant))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Map, Refused> {
        self.object(None)
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Map, Refused> {
        // What serde_json's feature `arbitrary_precision` makes of its numbers; any crate can switch it on.
        if name.starts_with("$serde_json") {
            return refuse("serde_json numbers of arbitrary precision are not doubles");
        }
        self.object(None)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map, Refused> {
        self.object(Some(variant))
    }
}

struct Array {
    items: Vec<Json>,
    inside: ToJson,
    wrapped_as: Option<&'static str>,
}

impl SerializeSeq for Array {
    type Ok = Json;
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.items.push(value.serialize(self.inside)?);
        Ok(())
    }
    fn end(self) -> Result<Json, Refused> {
        wrap(self.wrapped_as, Json::Array(self.items))
    }
}

macro_rules! like_a_sequence {
    ($($kind:ident::$method:ident)*) => {$(
        impl ser::$kind for Array {
            type Ok = Json;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                SerializeSeq::serialize_element(self, value)
            }
            fn end(self) -> Result<Json, Refused> {
                SerializeSeq::end(self)
            }
        }
    )*};
}

like_a_sequence!(SerializeTuple::serialize_element SerializeTupleStruct::serialize_field SerializeTupleVariant::serialize_field);

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
