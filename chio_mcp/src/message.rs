//! JSON-RPC messages as MCP sends them: what kind each is, by rules that leave no two readings.

use std::borrow::Cow;

use chio_core::error::{JsonErrorKind, excerpt};

use crate::json::{Object, string};

/// A message, and the text it was read from.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) object: Object<'a>,
    pub(crate) kind: Kind<'a>,
}

/// What a message is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Request {
        id: Id<'a>,
        method: Cow<'a, str>,
    },
    Notification {
        method: Cow<'a, str>,
    },
    Response {
        id: Id<'a>,
    },
    /// An error of a message that had no id, or none that could be read.
    Unattributed,
}

/// The id of a request, as it is written and as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Id<'a> {
    pub(crate) text: &'a str,
    pub(crate) key: Key,
}

/// Ids that any reader could take for each other have one key: numbers as a double holds them, and texts of numbers as
/// those numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Number(u64),
    Text(String),
}

/// Why a message is not one, and what to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The id to answer to, as it is written: `null` where there is none.
    pub(crate) id: String,
    pub(crate) code: i64,
    pub(crate) what: String,
}

pub(crate) const PARSE_ERROR: i64 = -32700;
pub(crate) const INVALID_REQUEST: i64 = -32600;
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
pub(crate) const INVALID_PARAMS: i64 = -32602;

/// Members of a message, and of its parameters, that decide what it does. One that some readers take for them is refused.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMETERS: [&str; 10] =
    ["_meta", "name", "arguments", "uri", "inputResponses", "requestState", "task", "taskId", "ref", "argument"];

impl<'a> Message<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let refuse = |code, what: String| Err(Refusal { id: "null".into(), code, what });
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                return refuse(PARSE_ERROR, format!("byte {}: the text is not UTF-8", error.valid_up_to()));
            }
        };
        let object = match Object::read(text) {
            Ok(object) => object,
            Err(error) if matches!(error.kind, JsonErrorKind::NotJson(_)) => {
                return refuse(INVALID_REQUEST, "a message is one JSON object, and no batch".into());
            }
            Err(error) => return refuse(PARSE_ERROR, error.to_string()),
        };
        let id = match object.get("id") {
            None => None,
            Some("null") => Some(None),
            Some(text) => match Key::read(text) {
                Some(key) => Some(Some(Id { text, key })),
                None => return refuse(INVALID_REQUEST, "`id` is a string or a number".into()),
            },
        };
        let answered = id.as_ref().and_then(Option::as_ref).map_or("null", |id| id.text).to_owned();
        let refuse = |what: &str| Err(Refusal { id: answered, code: INVALID_REQUEST, what: what.into() });
        if let Some(name) = look_alike(&object, &MEMBERS) {
            return refuse(&format!("`{name}` is no member of a message, and some would read it as one"));
        }
        if object.string("jsonrpc").as_deref() != Some("2.0") {
            return refuse("`jsonrpc` is \"2.0\"");
        }
        let (result, error) = (object.get("result").is_some(), object.get("error").is_some());
        let kind = match (object.get("method"), id) {
            (Some(_), _) if result || error => return refuse("a message is a request or an answer, not both"),
            (Some(method), id) => {
                let Some(method) = string(method) else { return refuse("`method` is a string") };
                if let Some(params) = object.find("params") {
                    let Some(params) = object.inner(params) else { return refuse("`params` is an object") };
                    if let Some(name) = look_alike(&params, &PARAMETERS) {
                        return refuse(&format!("`params` has a member `{name}`, which some would read as another"));
                    }
                }
                match id {
                    Some(Some(id)) => Kind::Request { id, method },
                    Some(None) => return refuse("the `id` of a request is not null"),
                    None => Kind::Notification { method },
                }
            }
            (None, _) if result == error => return refuse("a message has a `method`, a `result` or an `error`"),
            (None, Some(Some(id))) => Kind::Response { id },
            (None, _) if error => Kind::Unattributed,
            (None, _) => return refuse("a `result` has an `id`"),
        };
        Ok(Self { object, kind })
    }

    pub(crate) fn params(&self) -> Option<Object<'a>> {
        self.object.object("params")
    }
}

/// The id of the request that a notification cancels.
pub(crate) fn cancelled(message: &Message<'_>) -> Option<Key> {
    match &message.kind {
        Kind::Notification { method } if method == "notifications/cancelled" => {
            message.params()?.get("requestId").and_then(Key::read)
        }
        _ => None,
    }
}

impl Key {
    /// The key of an id as it is written; none where it is neither a string nor a number.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let number_key = |number: f64| Self::Number(if number == 0.0 { 0 } else { number.to_bits() });
        match string(text) {
            Some(said) => Some(number(&said).map_or_else(|| Self::Text(said.into_owned()), number_key)),
            None if text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
                // One beyond all doubles is read as infinity by some.
                Some(text.parse().map_or_else(|_| Self::Text(text.to_owned()), number_key))
            }
            None => None,
        }
    }
}

/// The name of a member that is one of these but for its case, as some readers fold it.
fn look_alike(object: &Object<'_>, known: &[&str]) -> Option<String> {
    // Of names in ASCII the case is all there is to fold.
    let folds = |name: &str, known: &str| {
        if name.is_ascii() { name.eq_ignore_ascii_case(known) } else { folded(name) == folded(known) }
    };
    let differs = |name: &str| !known.contains(&name) && known.iter().any(|known| folds(name, known));
    object.members().iter().find(|member| differs(&member.name)).map(|member| excerpt(&member.name))
}

/// A name without case: upper and lower once each, so that `K` for Kelvin and the long `s` are letters like others.
pub(crate) fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        match Message::read(text.as_bytes()).map(|message| message.kind) {
            Ok(Kind::Request { .. }) => "request",
            Ok(Kind::Notification { .. }) => "notification",
            Ok(Kind::Response { .. }) => "response",
            Ok(Kind::Unattributed) => "unattributed",
            Err(_) => "refused",
        }
    }

    #[test]
    fn a_message_is_one_thing() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{}}"#, "request"),
            (r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}"#, "request"),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, "unattributed"),
            (r#"{"jsonrpc":"2.0","error":{}}"#, "unattributed"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":{"deep":[1]}}"#, "request"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, "refused"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "refused"),
            (r#"{"id":1,"method":"ping"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "refused"),
            (r#"{"jsonrpc":"2.0","result":{}}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"x"}"#, "refused"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"Name":"a"}}"#, "refused"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"tas\u{212a}\":1}}", "refused"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"param\u{17f}\":{}}", "refused"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "refused"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn ids_that_could_be_taken_for_each_other_are_one() {
        let key = |text: &str| Key::read(text).unwrap();
        for same in
            [["1", "1.0"], ["1", "\"1\""], ["1e0", "\" 1\""], ["0", "-0"], ["9007199254740992", "9007199254740993"]]
        {
            assert_eq!(key(same[0]), key(same[1]), "{same:?}");
        }
        for differ in [["1", "2"], ["\"a\"", "\"A\""], ["\"a\"", "\"b\""]] {
            assert_ne!(key(differ[0]), key(differ[1]), "{differ:?}");
        }
        assert_eq!(key("\"a\""), key("\"\\u0061\""));
        for no_id in ["true", "{}", "[1]", "null"] {
            assert!(Key::read(no_id).is_none());
        }
    }
}
