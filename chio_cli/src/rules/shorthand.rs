//! Rules for arguments in one word: `path_containment:/srv/docs`.

use chio_core::canonical::{self, Json, Limits, Object};
use chio_core::capability::Rule;
use chio_core::error::{JsonErrorKind, excerpt};

/// What stands behind the colon.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Nothing.
    Bare,
    /// One value, in this member.
    Value(&'static str),
    /// Several values, in this member.
    Values(&'static str),
    /// A text, in this member.
    Text(&'static str),
    /// Several texts, in this member.
    Texts(&'static str),
    /// A number, in this member.
    Number(&'static str),
    /// `MIN..MAX`.
    Range,
    /// It has only the long form.
    Long,
}

/// Every constraint type of the protocol, with an example.
const TYPES: &[(&str, Form, &str)] = &[
    ("exact", Form::Value("value"), "exact:main"),
    ("one_of", Form::Values("values"), "one_of:fast,slow"),
    ("not_one_of", Form::Values("excluded"), "not_one_of:main,release"),
    ("range", Form::Range, "range:1..100"),
    ("contains", Form::Values("required"), "contains:signed"),
    ("subset", Form::Values("allowed"), "subset:read,write"),
    ("wildcard", Form::Bare, "wildcard"),
    ("path_containment", Form::Text("root"), "path_containment:/srv/docs"),
    ("pattern", Form::Text("glob"), "pattern:*.md"),
    ("regex", Form::Text("pattern"), "regex:[a-z]+"),
    ("url", Form::Texts("hosts"), "url:api.example.com"),
    ("url_safe", Form::Bare, "url_safe"),
    ("cidr", Form::Text("network"), "cidr:10.0.0.0/8"),
    ("shell_words", Form::Texts("programs"), "shell_words:git,ls"),
    ("max_length", Form::Number("max"), "max_length:80"),
    ("all", Form::Long, r#"{"constraint_type":"all","constraints":[…]}"#),
    ("any", Form::Long, r#"{"constraint_type":"any","constraints":[…]}"#),
];

const OPTIONAL: &str = "optional:";

/// What `--arg POINTER=RULE` says. Fails with what is wrong, and where.
pub(crate) fn argument(text: &str) -> Result<(String, Json), String> {
    let (pointer, rule) = text.split_once('=').ok_or("has no `=` between pointer and rule")?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let pointer = excerpt(pointer);
        return Err(format!("`{pointer}` is no JSON Pointer: it begins with a slash, such as `/{pointer}`"));
    }
    let rule = parse(rule).map_err(|what| format!("`{}`: {what}", excerpt(pointer)))?;
    Ok((pointer.to_owned(), rule))
}

/// Reads a rule in its short or long form. What is checked is that it is one: its members are.
pub(crate) fn parse(text: &str) -> Result<Json, String> {
    let json = if text.trim_start().starts_with('{') {
        canonical::parse(text.as_bytes(), Limits::bytes(text.len())).map_err(|error| error.to_string())?
    } else {
        short(text)?
    };
    known(&json)?;
    Rule::from_value(&json).map_err(|error| error.to_string())?;
    Ok(json)
}

/// A type that nobody knows denies every value. In a rule that somebody writes it is a slip.
pub(crate) fn known(rule: &Json) -> Result<(), String> {
    let Some(name) = rule.as_object().and_then(|object| object.get("constraint_type")).and_then(Json::as_str) else {
        return Ok(());
    };
    if is_known(name) {
        return Ok(());
    }
    let nearest = nearest(name, TYPES.iter().map(|(name, ..)| *name));
    let hint = nearest.map(|name| format!("; is `{name}` meant?")).unwrap_or_default();
    Err(format!("`{}` is no constraint type{hint}", excerpt(name)))
}

/// Whether the protocol has this type.
pub(crate) fn is_known(constraint_type: &str) -> bool {
    TYPES.iter().any(|(name, ..)| *name == constraint_type)
}

/// What is most like a word, if anything is.
pub(crate) fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace([' ', '-'], "_");
    let scored = among.map(|other| (strsim::jaro_winkler(&word, other), other));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}

fn short(text: &str) -> Result<Json, String> {
    let (optional, text) = text.strip_prefix(OPTIONAL).map_or((false, text), |text| (true, text));
    let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
    let mut members = vec![("constraint_type".to_owned(), Json::String(name.to_owned()))];
    let object = |members| Object::new(members).map(Json::Object).ok_or_else(|| "a member is named twice".to_owned());
    let Some((_, form, example)) = TYPES.iter().find(|(known, ..)| *known == name) else {
        known(&object(members)?)?;
        return Err("it has no constraint type".to_owned());
    };
    match (form, value) {
        (Form::Bare, None) => {}
        (Form::Bare, Some(_)) => return Err(format!("`{name}` takes no value")),
        (Form::Long, _) => return Err(format!("`{name}` has only the long form: {example}")),
        (_, None) => return Err(format!("`{name}` needs a value, such as `{example}`")),
        (Form::Value(member), Some(value)) => members.push(((*member).to_owned(), scalar(value)?)),
        (Form::Values(member), Some(value)) => members.push(((*member).to_owned(), list(value, scalar)?)),
        (Form::Text(member), Some(value)) => members.push(((*member).to_owned(), Json::String(value.to_owned()))),
        (Form::Texts(member), Some(value)) => {
            members.push(((*member).to_owned(), list(value, |text| Ok(Json::String(text.to_owned())))?));
        }
        (Form::Number(member), Some(value)) => members.push(((*member).to_owned(), number(value, example)?)),
        (Form::Range, Some(value)) => {
            let (min, max) = value.split_once("..").ok_or_else(|| {
                "`range` is MIN..MAX, MIN.. or ..MAX, with both ends in it, such as `range:1..100`".to_owned()
            })?;
            for (member, bound) in [("min", min), ("max", max)].into_iter().filter(|(_, bound)| !bound.is_empty()) {
                members.push((member.to_owned(), number(bound, example)?));
            }
        }
    }
    if optional {
        members.push(("optional".to_owned(), Json::Bool(true)));
    }
    object(members)
}

fn read(text: &str) -> Result<Json, JsonErrorKind> {
    canonical::parse(text.as_bytes(), Limits::bytes(text.len())).map_err(|error| error.kind)
}

fn number(text: &str, example: &str) -> Result<Json, String> {
    let number = read(text).ok().filter(|json| matches!(json, Json::Number(_)));
    number.ok_or_else(|| format!("a number is expected, as in `{example}`"))
}

/// What reads as a number, `true`, `false`, `null` or quoted JSON is that; all else is a text.
fn scalar(text: &str) -> Result<Json, String> {
    let is_json = text.starts_with(['"', '[', '{']) || matches!(text, "true" | "false" | "null");
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    match read(text) {
        Ok(json) if is_json || is_number => Ok(json),
        Err(error) if is_json => Err(error.to_string()),
        Err(
            error @ (JsonErrorKind::IntegerOutOfRange
            | JsonErrorKind::NumberOverflow
            | JsonErrorKind::NumberLosesDigits),
        ) if is_number => Err(format!("{error}; if it is a text, put it in double quotes")),
        _ => Ok(Json::String(text.to_owned())),
    }
}

/// `a,b,c`, or a JSON array.
fn list(text: &str, item: impl Fn(&str) -> Result<Json, String>) -> Result<Json, String> {
    if text.starts_with('[') {
        return read(text).map_err(|error| error.to_string());
    }
    if text.split(',').any(str::is_empty) {
        return Err("a value of the list is empty; write the list as a JSON array if that is meant".to_owned());
    }
    text.split(',').map(item).collect::<Result<_, _>>().map(Json::Array)
}

/// A rule as it would be written: in its short form if it has one, which is known by reading it again.
pub(crate) fn shown(rule: &Json) -> String {
    let short = written(rule).filter(|text| short(text).as_ref() == Ok(rule));
    short.unwrap_or_else(|| String::from_utf8_lossy(&rule.to_canonical_bytes()).into_owned())
}

fn written(rule: &Json) -> Option<String> {
    let object = rule.as_object()?;
    let name = object.get("constraint_type")?.as_str()?;
    let (_, form, _) = TYPES.iter().find(|(known, ..)| *known == name)?;
    let text = |json: &Json| match json {
        // A text that would be read as something else stands in quotes.
        Json::String(text) if scalar(text).as_ref() == Ok(json) => text.clone(),
        other => String::from_utf8_lossy(&other.to_canonical_bytes()).into_owned(),
    };
    let value = match form {
        Form::Bare => String::new(),
        Form::Value(member) | Form::Number(member) => format!(":{}", text(object.get(member)?)),
        Form::Text(member) => format!(":{}", object.get(member)?.as_str()?),
        Form::Values(member) | Form::Texts(member) => {
            let values = object.get(member)?;
            let items = values.as_array()?;
            let is_plain =
                |item: &Json| !matches!(item, Json::Array(_) | Json::Object(_)) && !text(item).contains([',', '"']);
            if !items.is_empty() && items.iter().all(is_plain) {
                format!(":{}", items.iter().map(text).collect::<Vec<_>>().join(","))
            } else {
                format!(":{}", text(values))
            }
        }
        Form::Range => {
            let bound = |member| object.get(member).map(text).unwrap_or_default();
            format!(":{}..{}", bound("min"), bound("max"))
        }
        Form::Long => return None,
    };
    let is_optional = object.get("optional") == Some(&Json::Bool(true));
    Some(format!("{}{name}{value}", if is_optional { OPTIONAL } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Value {
        serde_json::to_value(short(text).unwrap()).unwrap()
    }

    #[test]
    fn short_forms() {
        for (text, rule) in [
            ("exact:main", json!({"constraint_type": "exact", "value": "main"})),
            ("exact:1", json!({"constraint_type": "exact", "value": 1})),
            ("exact:\"1\"", json!({"constraint_type": "exact", "value": "1"})),
            ("exact:", json!({"constraint_type": "exact", "value": ""})),
            ("exact:a:b", json!({"constraint_type": "exact", "value": "a:b"})),
            ("exact:null", json!({"constraint_type": "exact", "value": null})),
            ("exact:2026-09-21", json!({"constraint_type": "exact", "value": "2026-09-21"})),
            ("exact:007", json!({"constraint_type": "exact", "value": "007"})),
            ("one_of:a,1,true", json!({"constraint_type": "one_of", "values": ["a", 1, true]})),
            ("one_of:[\"a,b\"]", json!({"constraint_type": "one_of", "values": ["a,b"]})),
            ("one_of:[]", json!({"constraint_type": "one_of", "values": []})),
            ("not_one_of:a", json!({"constraint_type": "not_one_of", "excluded": ["a"]})),
            ("contains:a", json!({"constraint_type": "contains", "required": ["a"]})),
            ("subset:a,b", json!({"constraint_type": "subset", "allowed": ["a", "b"]})),
            ("range:1..100", json!({"constraint_type": "range", "min": 1, "max": 100})),
            ("range:..-1.5", json!({"constraint_type": "range", "max": -1.5})),
            ("range:0..", json!({"constraint_type": "range", "min": 0})),
            ("wildcard", json!({"constraint_type": "wildcard"})),
            ("optional:wildcard", json!({"constraint_type": "wildcard", "optional": true})),
            ("optional:range:..9", json!({"constraint_type": "range", "max": 9, "optional": true})),
            ("path_containment:/srv/a:b", json!({"constraint_type": "path_containment", "root": "/srv/a:b"})),
            ("pattern:*.md", json!({"constraint_type": "pattern", "glob": "*.md"})),
            ("regex:[a,b]+:", json!({"constraint_type": "regex", "pattern": "[a,b]+:"})),
            ("url:a.example,b.example", json!({"constraint_type": "url", "hosts": ["a.example", "b.example"]})),
            ("url_safe", json!({"constraint_type": "url_safe"})),
            ("cidr:fd00::/8", json!({"constraint_type": "cidr", "network": "fd00::/8"})),
            ("shell_words:git,7z", json!({"constraint_type": "shell_words", "programs": ["git", "7z"]})),
            ("max_length:80", json!({"constraint_type": "max_length", "max": 80})),
        ] {
            assert_eq!(read(text), rule, "{text}");
            // What is shown is what would be read.
            assert_eq!(shown(&short(text).unwrap()), text);
        }
    }

    #[test]
    fn what_has_no_short_form_is_shown_in_its_long_form() {
        for rule in [
            json!({"constraint_type": "range", "min": 1, "min_inclusive": false}),
            json!({"constraint_type": "all", "constraints": [{"constraint_type": "wildcard"}]}),
            json!({"constraint_type": "from_the_future", "a": 1}),
            json!({"constraint_type": "wildcard", "optional": false}),
            json!({"constraint_type": "url", "schemes": ["https"], "hosts": ["a.example"]}),
        ] {
            let json = canonical::to_json(&rule).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&shown(&json)).unwrap(), rule);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, what) in [
            ("path_containmnt:/srv", "is `path_containment` meant?"),
            ("/srv/docs", "is no constraint type"),
            ("", "is no constraint type"),
            ("wildcard:1", "takes no value"),
            ("range:5", "MIN..MAX"),
            ("range:a..b", "a number is expected"),
            ("range:..", "needs a `min` or a `max`"),
            ("exact", "needs a value"),
            ("exact:{", "ends inside a value"),
            ("exact:12345678901234567890", "double quotes"),
            ("one_of:a,,b", "is empty"),
            ("path_containment:docs", "an absolute path"),
            ("regex:(", "no regular expression"),
            ("pattern:[a-z]", "a glob knows"),
            ("cidr:10.0.0.1/8", "first address"),
            ("url:a/b", "`hosts`"),
            ("shell_words:git log", "names"),
            ("all:x", "only the long form"),
            ("{\"constraint_type\":\"exact\"}", "needs a `value`"),
            ("{\"constraint_type\":\"exac\",\"value\":1}", "is `exact` meant?"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains(what), "{text}: {wrong}");
        }
        for (text, what) in [("path=wildcard", "begins with a slash"), ("/path", "no `=`")] {
            assert!(argument(text).unwrap_err().contains(what), "{text}");
        }
        assert_eq!(argument("=wildcard").unwrap().0, "");
    }
}
