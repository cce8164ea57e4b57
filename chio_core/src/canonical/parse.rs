//! Reading a text into a value.

use super::lexer::{self, Sink};
use super::value::{Json, Object};
use super::{Limits, number};
use crate::error::{JsonError, JsonErrorKind};

pub(super) fn parse(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    let mut builder = Builder { open: Vec::new(), value: Json::Null };
    lexer::read(text, limits, &mut builder)?;
    Ok(builder.value)
}

struct Builder {
    open: Vec<Open>,
    /// The last value that was completed outside of every container: in the end, the document.
    value: Json,
}

/// A container whose end has not been read. A member has its place, for the error if it turns out to be a duplicate.
enum Open {
    Array(Vec<Json>),
    Object { members: Vec<(String, Json)>, places: Vec<usize> },
}

impl Builder {
    fn complete(&mut self, value: Json) {
        match self.open.last_mut() {
            Some(Open::Array(items)) => items.push(value),
            // Its name was pushed with a `null` for a value.
            Some(Open::Object { members, .. }) => {
                if let Some(member) = members.last_mut() {
                    member.1 = value;
                }
            }
            None => self.value = value,
        }
    }
}

impl<'a> Sink<'a> for Builder {
    fn space(&mut self) -> Result<(), JsonErrorKind> {
        Ok(())
    }

    fn word(&mut self, value: Option<bool>) -> Result<(), JsonErrorKind> {
        self.complete(value.map_or(Json::Null, Json::Bool));
        Ok(())
    }

    fn number(&mut self, literal: &'a str) -> Result<(), JsonErrorKind> {
        self.complete(Json::from_double(number::parse(literal)?)?);
        Ok(())
    }

    fn string(&mut self, raw: &'a str) -> Result<(), JsonErrorKind> {
        self.complete(Json::String(lexer::decode(raw).into_owned()));
        Ok(())
    }

    fn name(&mut self, raw: &'a str, at: usize) -> Result<(), JsonErrorKind> {
        if let Some(Open::Object { members, places }) = self.open.last_mut() {
            members.push((lexer::decode(raw).into_owned(), Json::Null));
            places.push(at);
        }
        Ok(())
    }

    fn open(&mut self, object: bool) {
        let (members, places) = (Vec::new(), Vec::new());
        self.open.push(if object { Open::Object { members, places } } else { Open::Array(Vec::new()) });
    }

    fn close(&mut self) -> Result<(), JsonError> {
        let value = match self.open.pop() {
            Some(Open::Array(mut items)) => {
                items.shrink_to_fit();
                Json::Array(items)
            }
            Some(Open::Object { members, places }) => {
                let mut order: Vec<(&str, usize)> =
                    members.iter().zip(places).map(|(member, at)| (member.0.as_str(), at)).collect();
                order.sort_unstable();
                let twice = order.iter().zip(order.iter().skip(1)).find(|(a, b)| a.0 == b.0);
                let at = twice.map_or(0, |(_, second)| second.1);
                let object = Object::new(members).ok_or(JsonError::new(at, JsonErrorKind::DuplicateMember))?;
                Json::Object(object)
            }
            None => Json::Null,
        };
        self.complete(value);
        Ok(())
    }
}
