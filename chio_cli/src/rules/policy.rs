//! Policy files: grants and terms in TOML. Their format is told in `docs/guides/tokens.md`.

use std::ops::Range;

use chio_core::canonical::{Json, MAX_INTEGER, Number, Object};
use chio_core::capability::{Grant, MAX_CHAIN_BYTES, MAX_NAME_BYTES, Rule};
use chio_core::digest::Digest;
use chio_core::error::excerpt;
use serde_json::json;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::shorthand;
use crate::args::{ToolName, seconds};
use crate::exit::Failure;
use crate::source::{Source, place_in};

/// What a policy file says.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub(crate) ttl: Option<u64>,
    pub(crate) max_depth: Option<u64>,
    pub(crate) audience: Option<String>,
    pub(crate) grants: Vec<Grant>,
}

type Value<'a> = Spanned<DeValue<'a>>;
type Key<'a> = Spanned<DeString<'a>>;

const HELP: &str = "docs/guides/tokens.md tells how a policy file is written";

/// Reads a policy file. Fails with the line and column of what is wrong in it.
pub(crate) fn read_policy(source: &Source) -> Result<Policy, Failure> {
    const WHAT: &str = "the policy";
    let bytes = source.read(WHAT, MAX_CHAIN_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let file = File { name: format!("{WHAT} {source}"), text: &text };
    if let Err(error) = std::str::from_utf8(&bytes) {
        let at = error.valid_up_to();
        return Err(file.wrong(&(at..at), "the text is not UTF-8"));
    }
    let table = DeTable::parse(&text).map_err(|error| {
        let what = error.message().lines().collect::<Vec<_>>().join("; ").chars().take(200).collect::<String>();
        let help = if text.trim_start().starts_with("[{") { "JSON is given as --grants" } else { HELP };
        Failure { help: help.into(), ..file.wrong(&error.span().unwrap_or_default(), what) }
    })?;
    file.policy(table.get_ref())
}

/// A file, to say where in it something is wrong.
struct File<'a> {
    name: String,
    text: &'a str,
}

impl File<'_> {
    fn wrong(&self, span: &Range<usize>, what: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{}, {}: {what}", self.name, place_in(self.text, span.start)), HELP)
    }

    fn unknown(&self, key: &Key<'_>, of: &str, known: &[&str]) -> Failure {
        let name = key.get_ref();
        let hint = shorthand::nearest(name, known.iter().copied())
            .map_or_else(|| format!("it has {}", known.join(", ")), |name| format!("is `{name}` meant?"));
        self.wrong(&key.span(), format!("{of} has no `{}`; {hint}", excerpt(name)))
    }

    fn policy(&self, table: &DeTable<'_>) -> Result<Policy, Failure> {
        let mut policy = Policy::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "ttl" => policy.ttl = Some(self.ttl(value)?),
                "max_depth" => policy.max_depth = Some(self.whole("max_depth", value)?),
                "audience" => policy.audience = Some(self.name("audience", value)?.to_owned()),
                "grants" => policy.grants = self.grants(value)?,
                _ => return Err(self.unknown(key, "a policy", &["ttl", "max_depth", "audience", "grants"])),
            }
        }
        if policy.grants.is_empty() {
            let end = self.text.len();
            return Err(self.wrong(&(end..end), "it grants nothing: add [[grants]]"));
        }
        Ok(policy)
    }

    fn ttl(&self, value: &Value<'_>) -> Result<u64, Failure> {
        let read = match value.get_ref() {
            DeValue::String(text) => seconds(text).ok(),
            DeValue::Integer(_) => return self.whole("ttl", value).and_then(|seconds| self.positive(seconds, value)),
            _ => None,
        };
        read.ok_or_else(|| self.wrong(&value.span(), "`ttl` is written as \"90s\", \"15m\", \"1h\" or \"7d\""))
    }

    fn positive(&self, seconds: u64, value: &Value<'_>) -> Result<u64, Failure> {
        if seconds > 0 { Ok(seconds) } else { Err(self.wrong(&value.span(), "`ttl` is at least a second")) }
    }

    fn whole(&self, name: &str, value: &Value<'_>) -> Result<u64, Failure> {
        let number = value.get_ref().as_integer().and_then(|number| {
            let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
            number.filter(|number| *number <= MAX_INTEGER)
        });
        number.ok_or_else(|| self.wrong(&value.span(), format!("`{name}` is a whole number from 0 to {MAX_INTEGER}")))
    }

    fn text<'a>(&self, name: &str, value: &'a Value<'_>) -> Result<&'a str, Failure> {
        let text = value.get_ref().as_str();
        text.ok_or_else(|| self.wrong(&value.span(), format!("`{name}` is a text, in quotes")))
    }

    fn name<'a>(&self, name: &str, value: &'a Value<'_>) -> Result<&'a str, Failure> {
        let text = self.text(name, value)?;
        let good = (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let wrong = || self.wrong(&value.span(), format!("`{name}` has 1 to {MAX_NAME_BYTES} printable bytes"));
        good.then_some(text).ok_or_else(wrong)
    }

    fn grants(&self, value: &Value<'_>) -> Result<Vec<Grant>, Failure> {
        let tables = value.get_ref().as_array();
        let tables =
            tables.ok_or_else(|| self.wrong(&value.span(), "grants are tables: begin each with [[grants]]"))?;
        tables.iter().map(|value| self.grant(value)).collect()
    }

    fn grant(&self, value: &Value<'_>) -> Result<Grant, Failure> {
        const KNOWN: [&str; 6] = ["tool", "tool_server", "tool_name", "max_invocations", "definition", "arguments"];
        let table = value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong(&value.span(), "a grant is a table: begin it with [[grants]]"))?;
        let (mut tool, mut server, mut name) = (None, None, None);
        let mut grant = json!({});
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "tool" => {
                    let read = self.name("tool", value)?.parse::<ToolName>();
                    tool = Some(read.map_err(|what| self.wrong(&value.span(), format!("`tool`: {what}")))?);
                }
                "tool_server" => server = Some(self.name("tool_server", value)?.to_owned()),
                "tool_name" => name = Some(self.name("tool_name", value)?.to_owned()),
                "max_invocations" => {
                    put(&mut grant, "max_invocations", json!(self.whole("max_invocations", value)?));
                }
                "definition" => {
                    let digest = self.text("definition", value)?.parse::<Digest>();
                    let digest = digest
                        .map_err(|_| self.wrong(&value.span(), "`definition` is a digest: 64 lower-case hex digits"))?;
                    put(&mut grant, "definition", json!(digest));
                }
                "arguments" => put(&mut grant, "arguments", self.arguments(value)?),
                _ => return Err(self.unknown(key, "a grant", &KNOWN)),
            }
        }
        let tool = match (tool, server, name) {
            (Some(tool), None, None) => tool,
            (None, Some(server), Some(tool)) => ToolName { server, tool },
            _ => {
                let what = "a grant names its tool: `tool = \"SERVER/TOOL\"`, or `tool_server` and `tool_name`";
                return Err(self.wrong(&value.span(), what));
            }
        };
        put(&mut grant, "tool_server", json!(tool.server));
        put(&mut grant, "tool_name", json!(tool.tool));
        serde_json::from_value(grant).map_err(|error| self.wrong(&value.span(), error))
    }

    fn arguments(&self, value: &Value<'_>) -> Result<serde_json::Value, Failure> {
        let table = value.get_ref().as_table().ok_or_else(|| {
            self.wrong(&value.span(), "`arguments` is a table of rules, such as \"/path\" = \"path_containment:/srv\"")
        })?;
        let mut rules = json!({});
        for (key, value) in table {
            let pointer = key.get_ref();
            // Whether it is one is for the core to say.
            Grant::new("a", "a").argument(pointer, &json!({"constraint_type": "wildcard"})).map_err(|error| {
                let hint = if pointer.starts_with('/') { "" } else { "; it begins with a slash" };
                self.wrong(&key.span(), format!("{error}{hint}"))
            })?;
            let rule = self.rule(value)?;
            // Some rules are only compiled where they are used.
            let used = Grant::new("a", "a").argument(pointer, &rule);
            used.map_err(|error| self.wrong(&value.span(), error))?;
            put(&mut rules, pointer, json!(rule));
        }
        Ok(rules)
    }

    /// A rule in its short or long form. What is wrong inside it is told at its own place.
    fn rule(&self, value: &Value<'_>) -> Result<Json, Failure> {
        let table = match value.get_ref() {
            DeValue::String(text) => return shorthand::parse(text).map_err(|what| self.wrong(&value.span(), what)),
            DeValue::Table(table) => table,
            _ => {
                let what = "a rule is a text, such as \"range:1..100\", or a table with a `constraint_type`";
                return Err(self.wrong(&value.span(), what));
            }
        };
        let mut members = Vec::new();
        for (key, value) in table {
            let json = match value.get_ref() {
                DeValue::Array(inner) if key.get_ref() == "constraints" => {
                    Json::Array(inner.iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?)
                }
                _ => self.json(value)?,
            };
            members.push((key.get_ref().to_string(), json));
        }
        let json = Object::new(members).map_or(Json::Null, Json::Object);
        let checked = shorthand::known(&json).and_then(|()| Rule::from_value(&json).map_err(|error| error.to_string()));
        checked.map_err(|what| self.wrong(&place(table, value, &what), what))?;
        Ok(json)
    }

    fn json(&self, value: &Value<'_>) -> Result<Json, Failure> {
        let wrong = |what: &str| self.wrong(&value.span(), what);
        Ok(match value.get_ref() {
            DeValue::String(text) => Json::String(text.to_string()),
            DeValue::Boolean(flag) => Json::Bool(*flag),
            DeValue::Integer(number) => {
                let integer = i64::from_str_radix(number.as_str(), number.radix()).ok();
                // Its decimal digits are a JSON number, and strictly read as one.
                let json = integer.and_then(|integer| chio_core::canonical::to_json(&integer).ok());
                json.ok_or_else(|| wrong("an integer beyond ±9007199254740991 (2^53−1)"))?
            }
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().and_then(Number::new);
                Json::Number(number.ok_or_else(|| wrong("a number that JSON does not have"))?)
            }
            DeValue::Datetime(_) => return Err(wrong("a date is written as a text, in quotes")),
            DeValue::Array(items) => Json::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            DeValue::Table(table) => {
                let member = |(key, value): (&Key<'_>, &Value<'_>)| Ok((key.get_ref().to_string(), self.json(value)?));
                let members = table.iter().map(member).collect::<Result<_, Failure>>()?;
                Object::new(members).map(Json::Object).ok_or_else(|| wrong("a member is named twice"))?
            }
        })
    }
}

fn put(object: &mut serde_json::Value, name: &str, value: serde_json::Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// The member that an error speaks of, if it is there, or else the whole.
fn place(table: &DeTable<'_>, whole: &Value<'_>, what: &str) -> Range<usize> {
    let named = |name: &str| what.contains(&format!("`{}`", excerpt(name)));
    let is_type = |name: &str| name == "constraint_type";
    let found = table.iter().find(|(key, _)| !is_type(key.get_ref()) && named(key.get_ref()));
    let wrong_type = || table.iter().find(|(key, _)| is_type(key.get_ref()) && what.contains("is no constraint type"));
    match found.or_else(wrong_type) {
        Some((key, _)) if what.contains("has no member") => key.span(),
        Some((_, value)) => value.span(),
        None => whole.span(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, Failure> {
        let file = File { name: "p".to_owned(), text };
        let table = DeTable::parse(text).unwrap();
        file.policy(table.get_ref())
    }

    #[test]
    fn a_whole_policy() {
        let policy = read(
            r#"
            ttl = "15m"
            max_depth = 2
            audience = "kernel-a"

            [[grants]]
            tool = "files/read_file"
            max_invocations = 20
            definition = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            [grants.arguments]
            "/path" = "path_containment:/srv/docs"
            "/limit" = { constraint_type = "range", max = 100, min = 0.5, optional = true }
            "/x" = { constraint_type = "any", constraints = ["exact:1", { constraint_type = "wildcard" }] }

            [[grants]]
            tool_server = "a/b"
            tool_name = "c"
            arguments = {}
            "#,
        )
        .unwrap();
        assert_eq!((policy.ttl, policy.max_depth, policy.audience.as_deref()), (Some(900), Some(2), Some("kernel-a")));
        let grants = serde_json::to_value(&policy.grants).unwrap();
        let any = json!([{"constraint_type": "exact", "value": 1}, {"constraint_type": "wildcard"}]);
        let expected = json!([
            {"tool_server": "files", "tool_name": "read_file", "max_invocations": 20, "definition": "a".repeat(64), "arguments": {
                "/path": {"constraint_type": "path_containment", "root": "/srv/docs"},
                "/limit": {"constraint_type": "range", "max": 100, "min": 0.5, "optional": true},
                "/x": {"constraint_type": "any", "constraints": any},
            }},
            {"tool_server": "a/b", "tool_name": "c", "arguments": {}},
        ]);
        assert_eq!(grants, expected);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let grant = |lines: &str| format!("[[grants]]\ntool = \"a/b\"\n{lines}");
        let rule = |rule: &str| grant(&format!("[grants.arguments]\n\"/p\" = {rule}"));
        for (text, place, what) in [
            ("tll = \"1h\"".to_owned(), "line 1, column 1", "is `ttl` meant?"),
            ("ttl = \"1w\"\n".to_owned(), "line 1, column 7", "`ttl` is written"),
            ("ttl = 0\n".to_owned(), "line 1, column 7", "at least a second"),
            ("ttl = 1979-05-27\n".to_owned(), "line 1, column 7", "`ttl` is written"),
            ("max_depth = -1\n".to_owned(), "line 1, column 13", "a whole number"),
            ("max_depth = 9007199254740993\n".to_owned(), "line 1, column 13", "a whole number"),
            ("audience = \"\"\n".to_owned(), "line 1, column 12", "1 to 256"),
            ("ttl = \"1h\"\n".to_owned(), "line 2, column 1", "it grants nothing"),
            ("grants = 1".to_owned(), "line 1, column 10", "[[grants]]"),
            ("grants = [1]".to_owned(), "line 1, column 11", "[[grants]]"),
            ("[[grants]]\nmax_invocations = 1".to_owned(), "line 1, column 1", "names its tool"),
            ("[[grants]]\ntool = \"ab\"".to_owned(), "line 2, column 8", "SERVER/TOOL"),
            ("[[grants]]\ntool = 1".to_owned(), "line 2, column 8", "in quotes"),
            (grant("tool_name = \"b\""), "line 1, column 1", "names its tool"),
            (grant("max_invocation = 1"), "line 3, column 1", "is `max_invocations` meant?"),
            (grant("max_invocations = \"1\""), "line 3, column 19", "a whole number"),
            (grant("definition = \"AA\""), "line 3, column 14", "64 lower-case hex digits"),
            (grant("arguments = 1"), "line 3, column 13", "a table of rules"),
            (grant("[grants.arguments]\npath = \"wildcard\""), "line 4, column 1", "begins with a slash"),
            (rule("1"), "line 4, column 8", "a rule is a text"),
            (rule("\"rnge:1..2\""), "line 4, column 8", "is `range` meant?"),
            (rule("{ constraint_type = \"rnge\" }"), "line 4, column 28", "is `range` meant?"),
            (rule("{ constraint_type = \"range\" }"), "line 4, column 8", "needs a `min`"),
            (rule("{ constraint_type = \"range\", min = \"1\" }"), "line 4, column 43", "`min` is a number"),
            (rule("{ constraint_type = \"range\", min = 1, mx = 2 }"), "line 4, column 46", "no member `mx`"),
            (rule("{ constraint_type = \"exact\", value = 1979-05-27 }"), "line 4, column 45", "in quotes"),
            (rule("\"regex:(\""), "line 4, column 8", "no regular expression"),
            (rule("{ constraint_type = \"exact\", value = inf }"), "line 4, column 45", "JSON does not have"),
            (rule("{ constraint_type = \"exact\", value = 9007199254740993 }"), "line 4, column 45", "2^53"),
            (
                rule(
                    "{ constraint_type = \"any\", constraints = [\"wildcard\",\n  { constraint_type = \"path_containment\", root = \"é/../x\" }] }",
                ),
                "line 5, column 50",
                "an absolute path",
            ),
        ] {
            let failure = read(&text).unwrap_err();
            assert!(failure.what.contains(&format!("{place}: ")) && failure.what.contains(what), "{text}\n{failure:?}");
        }
    }
}
