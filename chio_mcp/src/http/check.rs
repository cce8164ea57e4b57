//! Headers that repeat what a message says: where they differ from it, it is refused, for others may go by the header.

use base64ct::{Base64, Encoding as _};
use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::definitions::Definitions;
use crate::json::{Object, string};
use crate::message::{Kind, Message, Refusal};

/// The code that MCP has for it.
pub(crate) const HEADER_MISMATCH: i64 = -32020;

/// The first revision in which messages say what they are in headers, too.
const MODERN: &str = "2026-07-28";

pub(crate) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) const PARAMETER: &str = "mcp-param-";
const VERSION_MEMBER: &str = "io.modelcontextprotocol/protocolVersion";

/// The revision that a message says it is of.
pub(crate) fn version(message: &Message<'_>) -> Option<String> {
    let meta = message.params()?.object("_meta")?;
    meta.string(VERSION_MEMBER).map(std::borrow::Cow::into_owned)
}

/// Whether the headers say that the message is of a revision without sessions.
pub(crate) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get(VERSION).is_some_and(|version| version.as_bytes() >= MODERN.as_bytes())
}

/// What a request names: the tool, prompt, resource or task.
pub(crate) fn name(method: &str, params: Option<&Object<'_>>) -> Option<String> {
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ if method.starts_with("tasks/") => "taskId",
        _ => return None,
    };
    params?.string(member).map(std::borrow::Cow::into_owned)
}

/// Checks the headers of a message. With `definitions`, those of a tool's parameters, too.
pub(crate) fn headers(
    headers: &HeaderMap,
    message: &Message<'_>,
    definitions: Option<&Definitions>,
) -> Result<(), Refusal> {
    let (id, method) = match &message.kind {
        Kind::Request { id, method } => (id.text, method),
        Kind::Notification { method } => ("null", method),
        Kind::Response { .. } | Kind::Unattributed => return Ok(()),
    };
    let refuse = |what: String| Refusal { id: id.to_owned(), code: HEADER_MISMATCH, what };
    let single = |name: &str| single(headers, name).map_err(|what| refuse(what.to_owned()));
    let differs = |name: &str| refuse(format!("the header `{name}` does not say what the message does"));
    let params = message.params();
    let is_request = matches!(message.kind, Kind::Request { .. });
    let (said, version) = (single(VERSION.as_str())?, version(message));
    let is_modern = version.is_some() || is_modern(headers);
    match (&said, &version) {
        (Some(said), Some(version)) if said != version => return Err(differs(VERSION.as_str())),
        (None, Some(_)) => return Err(refuse(format!("the header `{VERSION}` is missing"))),
        (Some(_), None) if is_modern && is_request => return Err(differs(VERSION.as_str())),
        _ => {}
    }
    match single(METHOD.as_str())? {
        Some(said) if said != *method => return Err(differs(METHOD.as_str())),
        None if is_modern && is_request => return Err(refuse(format!("the header `{METHOD}` is missing"))),
        _ => {}
    }
    let required = matches!(&**method, "tools/call" | "prompts/get" | "resources/read");
    match (single(NAME.as_str())?, name(method, params.as_ref())) {
        (Some(said), named) if Some(said.as_str()) != named.as_deref() => return Err(differs(NAME.as_str())),
        (None, _) if is_modern && is_request && required => {
            return Err(refuse(format!("the header `{NAME}` is missing")));
        }
        _ => {}
    }
    let repeated: Vec<_> = headers.keys().filter_map(|name| name.as_str().strip_prefix(PARAMETER)).collect();
    let (Some(definitions), Some(params), "tools/call") = (definitions, params, &**method) else { return Ok(()) };
    let known = params.string("name").and_then(|tool| definitions.headers(&tool));
    let Some(known) = known else {
        return if repeated.is_empty() {
            Ok(())
        } else {
            Err(refuse("the tool has not been listed here, so its headers cannot be checked".into()))
        };
    };
    if !is_modern && repeated.is_empty() {
        return Ok(());
    }
    for (name, path) in known {
        let header = format!("{PARAMETER}{name}");
        let value = argument(&params, &path);
        match (single(&header)?, value) {
            (None, None) => {}
            (Some(said), Some(value)) if is_same(&said, &value) => {}
            _ => return Err(differs(&header)),
        }
    }
    Ok(())
}

/// The text of a header that stands at most once, decoded where it is encoded.
fn single(headers: &HeaderMap, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("a header that repeats the message stands there twice");
    }
    let text = value.to_str().map_err(|_| "a header that repeats the message is no plain text")?;
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        None => Ok(Some(text.to_owned())),
        Some(encoded) => {
            let bytes = Base64::decode_vec(encoded).map_err(|_| "a header that repeats the message is no Base64")?;
            String::from_utf8(bytes).map(Some).map_err(|_| "a header that repeats the message is no text")
        }
    }
}

/// An argument as a header has it.
pub(crate) struct Argument {
    pub(crate) text: String,
    is_number: bool,
}

/// The text of an argument as a header has it; none where there is none, or it is null.
pub(crate) fn argument(params: &Object<'_>, path: &[String]) -> Option<Argument> {
    let (last, above) = path.split_last()?;
    let mut object = params.object("arguments")?;
    for name in above {
        object = object.object(name)?;
    }
    let text = object.get(last)?;
    if text == "null" {
        return None;
    }
    let is_number = text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let said = string(text);
    Some(Argument { text: said.map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned), is_number })
}

fn is_same(said: &str, value: &Argument) -> bool {
    let Argument { text: value, is_number } = value;
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    said == value
        || *is_number && number(said).zip(number(value)).is_some_and(|(said, value)| said.total_cmp(&value).is_eq())
}

/// A text as a header can hold it.
pub(crate) fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if is_plain { text.to_owned() } else { format!("=?base64?{}?=", Base64::encode_string(text.as_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&'static str, &str)], text: &str, definitions: Option<&Definitions>) -> bool {
        let mut all = HeaderMap::new();
        for (name, value) in set {
            all.append(*name, value.parse().unwrap());
        }
        headers(&all, &Message::read(text.as_bytes()).unwrap(), definitions).is_ok()
    }

    #[test]
    fn a_header_says_what_the_message_does_or_it_is_refused() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"über","arguments":{"region":"eu","n":42},
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let version = ("mcp-protocol-version", "2026-07-28");
        let (method, name) = (("mcp-method", "tools/call"), ("mcp-name", "=?base64?w7xiZXI=?="));
        assert!(check(&[version, method, name], call, None));
        for wrong in [
            &[method, name][..],
            &[version, name],
            &[version, method],
            &[version, version, method, name],
            &[version, method, name, name],
            &[("mcp-protocol-version", "2025-11-25"), method, name],
            &[version, ("mcp-method", "tools/list"), name],
            &[version, ("mcp-method", "Tools/Call"), name],
            &[version, method, ("mcp-name", "other")],
            &[version, method, ("mcp-name", "=?base64?%%?=")],
        ] {
            assert!(!check(wrong, call, None), "{wrong:?}");
        }
        let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        assert!(check(&[], legacy, None) && check(&[("mcp-protocol-version", "2025-11-25")], legacy, None));
        assert!(
            !check(&[("mcp-name", "b")], legacy, None) && !check(&[version, method, ("mcp-name", "a")], legacy, None)
        );
        let definitions = Definitions::default();
        let listed = r#"{"tools":[{"name":"über","inputSchema":{"properties":{"region":{"x-mcp-header":"Region"},"n":{"x-mcp-header":"N"}}}}]}"#;
        let region = ("mcp-param-region", "eu");
        assert!(!check(&[version, method, name, region], call, Some(&definitions)), "it cannot be checked yet");
        definitions.filtered(listed, |_| true).unwrap();
        assert!(check(&[version, method, name, region, ("mcp-param-n", "42.0")], call, Some(&definitions)));
        assert!(check(
            &[version, method, name, region, ("mcp-param-n", "42"), ("mcp-param-x", "1")],
            call,
            Some(&definitions)
        ));
        for wrong in [
            &[version, method, name, region][..],
            &[version, method, name, ("mcp-param-region", "us"), ("mcp-param-n", "42")],
            &[version, method, name, region, region, ("mcp-param-n", "42")],
        ] {
            assert!(!check(wrong, call, Some(&definitions)), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_header_cannot_hold_is_encoded() {
        for (text, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encoded(text), header);
        }
    }
}
