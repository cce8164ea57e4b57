//! One level of a JSON text, as it stands: where its members are, so that one can be cut out and nothing else is touched.
//!
//! The whole text is read by the strict reader of the core, so a member that is named twice, at any depth, half of a
//! surrogate pair or deep nesting is refused. What a number is worth is not asked: that is for what an action covers.

use std::borrow::Cow;
use std::ops::Range;

use chio_core::canonical::lexer::{self, Sink, Text};
use chio_core::canonical::{Limits, MAX_DEPTH};
use chio_core::error::{JsonError, JsonErrorKind};

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    /// From its name on, to the end of its value.
    whole: Range<usize>,
    value: Range<usize>,
}

/// An object as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// Reads a text that is an object.
    /// Fails where it is not strict JSON, but for the worth of its numbers, or not an object.
    pub(crate) fn read(text: &'a str) -> Result<Self, JsonError> {
        let outline = outline(text, Wanted::Members)?;
        if !text.trim_start_matches(SPACE).starts_with('{') {
            return Err(JsonError { at: 0, kind: JsonErrorKind::NotJson("a message is one JSON object".into()) });
        }
        let members = outline.members.into_iter().map(|(name, at, value)| Member {
            name: name.decode(),
            whole: at..value.end,
            value,
        });
        Ok(Self { text, members: members.collect() })
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The text of a member's value.
    pub(crate) fn value(&self, member: &Member<'_>) -> &'a str {
        self.text.get(member.value.clone()).unwrap_or_default()
    }

    /// The text of the value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|member| self.value(member))
    }

    /// The value of that name, where it is a string.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.get(name)?)
    }

    /// The value of that name, where it is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        Object::read(self.get(name)?).ok()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The same object with another value at a member that is there, or with the member in front of all others.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let part = |part: Option<&'a str>| part.unwrap_or_default();
        if let Some(Range { start, end }) = self.find(name).map(|member| member.value.clone()) {
            return [part(self.text.get(..start)), value, part(self.text.get(end..))].concat();
        }
        let brace = self.text.find('{').unwrap_or_default().saturating_add(1);
        let (before, after) = (part(self.text.get(..brace)), part(self.text.get(brace..)));
        let comma = if self.members.is_empty() { "" } else { "," };
        format!("{before}{}:{value}{comma}{after}", quoted(name))
    }

    /// The same object with those members alone that are wanted.
    pub(crate) fn only(&self, wanted: impl Fn(&Member<'_>) -> bool) -> String {
        joined(self.members.iter().filter(|member| wanted(member)).map(|member| self.whole(member)))
    }

    /// A member, name and value.
    pub(crate) fn whole(&self, member: &Member<'_>) -> &'a str {
        self.text.get(member.whole.clone()).unwrap_or_default()
    }
}

/// An object of members as they are written.
pub(crate) fn joined<'t>(members: impl Iterator<Item = &'t str>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The texts of the elements of an array; none where it is no array.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    let items = outline(text, Wanted::Items).ok()?.items;
    let is_array = text.trim_start_matches(SPACE).starts_with('[');
    is_array.then(|| items.into_iter().filter_map(|item| text.get(item)).collect())
}

/// What a text says that is a JSON string.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let raw = text.strip_prefix('"')?.strip_suffix('"')?;
    if raw.contains('\\') { serde_json::from_str(text).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text on one line: outside of its strings JSON has no other use for what ends one, and inside it is escaped.
pub(crate) fn one_line(text: &str) -> String {
    let text = text.trim_matches(SPACE);
    let has_ends = text.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    if has_ends { text.replace(['\r', '\n'], " ") } else { text.to_owned() }
}

pub(crate) const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Members,
    Items,
}

fn outline(text: &str, wanted: Wanted) -> Result<Outline<'_>, JsonError> {
    let mut outline = Outline { wanted, open: Vec::new(), names: Vec::new(), members: Vec::new(), items: Vec::new() };
    lexer::read(text.as_bytes(), Limits { bytes: text.len(), depth: MAX_DEPTH }, &mut outline)?;
    Ok(outline)
}

/// Checks every name at every depth, and keeps the places of what stands in the outermost container.
struct Outline<'a> {
    wanted: Wanted,
    /// Where in `names` those of each open container begin, and where in the text it does.
    open: Vec<(usize, usize)>,
    names: Vec<(Text<'a>, usize)>,
    members: Vec<(Text<'a>, usize, Range<usize>)>,
    items: Vec<Range<usize>>,
}

impl Outline<'_> {
    fn value(&mut self, value: Range<usize>) {
        if self.open.len() != 1 {
            return;
        }
        match self.wanted {
            Wanted::Items => self.items.push(value),
            Wanted::Members => {
                if let Some((name, at)) = self.names.last().copied() {
                    self.members.push((name, at, value));
                }
            }
        }
    }
}

impl<'a> Sink<'a> for Outline<'a> {
    fn space(&mut self) -> Result<(), JsonErrorKind> {
        Ok(())
    }

    fn word(&mut self, value: Option<bool>, at: usize) -> Result<(), JsonErrorKind> {
        let length = if value == Some(false) { 5 } else { 4 };
        self.value(at..at.saturating_add(length));
        Ok(())
    }

    fn number(&mut self, literal: &'a str, at: usize) -> Result<(), JsonErrorKind> {
        self.value(at..at.saturating_add(literal.len()));
        Ok(())
    }

    fn string(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind> {
        self.value(at..at.saturating_add(text.raw.len()).saturating_add(2));
        Ok(())
    }

    fn name(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind> {
        self.names.push((text, at));
        Ok(())
    }

    fn open(&mut self, _: bool, at: usize) {
        self.open.push((self.names.len(), at));
    }

    fn close(&mut self, end: usize) -> Result<(), JsonError> {
        let Some((from, start)) = self.open.pop() else { return Ok(()) };
        let names = self.names.get(from..).unwrap_or_default();
        if names.len() > 1 {
            let mut sorted: Vec<_> = names.iter().map(|(text, at)| (text.decode(), *at)).collect();
            sorted.sort_unstable();
            if let Some((_, second)) = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a.0 == b.0) {
                return Err(JsonError { at: second.1, kind: JsonErrorKind::DuplicateMember });
            }
        }
        self.names.truncate(from);
        self.value(start..end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_where_they_stand() {
        let text = " { \"a\" : 12345678901234567890 ,\"b\\n\":[{\"a\":1},\"}\"], \"c\":false,\"d\":{} , \"e\":null } ";
        let object = Object::read(text).unwrap();
        let found: Vec<_> = object.members().iter().map(|member| (&*member.name, object.value(member))).collect();
        let expected =
            [("a", "12345678901234567890"), ("b\n", "[{\"a\":1},\"}\"]"), ("c", "false"), ("d", "{}"), ("e", "null")];
        assert_eq!(found, expected);
        assert_eq!(
            object.only(|member| member.name == "a" || member.name == "e"),
            "{\"a\" : 12345678901234567890,\"e\":null}"
        );
        assert_eq!(Object::read("{\"a\": 1}").unwrap().with("a", "2"), "{\"a\": 2}");
        assert_eq!(Object::read(" {\"a\":1}").unwrap().with("b", "2"), " {\"b\":2,\"a\":1}");
        assert_eq!(Object::read("{ }").unwrap().with("b", "2"), "{\"b\":2 }");
        assert_eq!(items(" [1, [2],{\"a\":[3]} ]"), Some(vec!["1", "[2]", "{\"a\":[3]}"]));
        assert_eq!(items("{\"a\":1}"), None);
    }

    #[test]
    fn what_readers_take_differently_is_refused_at_every_depth() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for text in [
            "[]",
            "1",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"x\":[{\"y\":{\"a\":1,\"b\":2,\"a\":3}}]}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
            "{\"a\":\"\0\"}",
            "{}{}",
            "{\"a\":01}",
            "",
            &format!("{{\"a\":{deep}}}"),
        ] {
            assert!(Object::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_on_one_line_says_the_same() {
        let text = "\r\n{\"a\":\r\n\"b\\n\"\n}\r";
        assert_eq!(one_line(text), "{\"a\":  \"b\\n\" }");
    }

    proptest::proptest! {
        #[test]
        fn cutting_members_out_leaves_the_others_as_they_are(names in proptest::collection::btree_set("[a-c\\PC]{0,3}", 0..5), keep in 0_usize..5) {
            let members: Vec<_> = names.iter().map(|name| format!("{} : [1 , {}]", quoted(name), quoted(name))).collect();
            let text = format!("{{ {} }}", members.join(" , "));
            let object = Object::read(&text).unwrap();
            let kept = names.iter().nth(keep);
            let expected = kept.map_or("{}".to_owned(), |name| format!("{{{} : [1 , {}]}}", quoted(name), quoted(name)));
            proptest::prop_assert_eq!(object.only(|member| Some(&*member.name) == kept.map(String::as_str)), expected);
        }
    }
}
