//! An object in a JSON text, as it stands: where its members are, so that one can be cut out and nothing else is touched.
//!
//! The whole text is read once, by the strict reader of the core, so a member that is named twice, at any depth, half of a
//! surrogate pair or deep nesting is refused. What a number is worth is not asked: that is for what an action covers.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use chio_core::canonical::lexer::{self, Sink, Text};
use chio_core::canonical::{Limits, MAX_DEPTH};
use chio_core::error::{JsonError, JsonErrorKind};

/// Members of objects in objects are known this deep from one reading: as deep as `dev.chio/call` is in a message.
const KNOWN_DEPTH: usize = 4;

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    /// From its name on, to the end of its value.
    whole: Range<usize>,
    value: Range<usize>,
    /// Those of its value, where that is an object and not too deep.
    members: Option<Members<'a>>,
}

type Members<'a> = Arc<[Member<'a>]>;

/// An object as it is written, in the text that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    text: &'a str,
    span: Range<usize>,
    members: Members<'a>,
}

impl<'a> Object<'a> {
    /// Reads a text that is an object.
    /// Fails where it is not strict JSON, but for the worth of its numbers, or not an object.
    pub(crate) fn read(text: &'a str) -> Result<Self, JsonError> {
        match outline(text)? {
            Container::Object(members) => Ok(Self { text, span: 0..text.len(), members: members.into() }),
            _ => Err(JsonError { at: 0, kind: JsonErrorKind::NotJson("a message is one JSON object".into()) }),
        }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.part(self.span.clone())
    }

    fn part(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The text of a member's value.
    pub(crate) fn value(&self, member: &Member<'_>) -> &'a str {
        self.part(member.value.clone())
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
        self.inner(self.find(name)?)
    }

    /// A member's value, where it is an object.
    pub(crate) fn inner(&self, member: &Member<'a>) -> Option<Object<'a>> {
        match &member.members {
            Some(members) => Some(Self { text: self.text, span: member.value.clone(), members: Arc::clone(members) }),
            None => Object::read(self.value(member)).ok(),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The same object with another value at a member that is there, or with the member in front of all others.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let Range { start, end } = self.span;
        if let Some(member) = self.find(name) {
            return [self.part(start..member.value.start), value, self.part(member.value.end..end)].concat();
        }
        self.with_first(&[(name, value)])
    }

    /// The same object with members in front of all others, none of which is there yet.
    pub(crate) fn with_first(&self, members: &[(&str, &str)]) -> String {
        let Range { start, end } = self.span;
        let brace = self.text().find('{').map_or(start, |at| start.saturating_add(at).saturating_add(1));
        let own = self.part(brace..end);
        let mut text = self.part(start..brace).to_owned();
        text.reserve(members.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum::<usize>());
        for (name, value) in members {
            text.extend([&*quoted(name), ":", value, ","]);
        }
        if self.members.is_empty() && !members.is_empty() {
            text.pop();
        }
        text.push_str(own);
        text
    }

    /// The same object with those members alone that are wanted.
    pub(crate) fn only(&self, wanted: impl Fn(&Member<'_>) -> bool) -> String {
        joined(self.members.iter().filter(|member| wanted(member)).map(|member| self.whole(member)))
    }

    /// A member, name and value.
    pub(crate) fn whole(&self, member: &Member<'_>) -> &'a str {
        self.part(member.whole.clone())
    }
}

/// An object of members as they are written.
pub(crate) fn joined<'t>(members: impl Iterator<Item = &'t str>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The texts of the elements of an array; none where it is no array.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    match outline(text).ok()? {
        Container::Array(items) => Some(items.into_iter().filter_map(|item| text.get(item)).collect()),
        _ => None,
    }
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

fn outline(text: &str) -> Result<Container<'_>, JsonError> {
    let mut outline = Outline { open: Vec::new(), names: Vec::new(), outermost: Container::Unknown };
    lexer::read(text.as_bytes(), Limits { bytes: text.len(), depth: MAX_DEPTH }, &mut outline)?;
    Ok(outline.outermost)
}

/// What is known of a container.
enum Container<'a> {
    Object(Vec<Member<'a>>),
    Array(Vec<Range<usize>>),
    Unknown,
}

/// Checks every name at every depth, and keeps what is in the outermost container, and in objects that are in it through
/// objects alone.
struct Outline<'a> {
    /// Where in `names` those of each container that is open begin, where in the text it does, and what is known of it.
    open: Vec<(usize, usize, Container<'a>)>,
    names: Vec<(Text<'a>, usize)>,
    outermost: Container<'a>,
}

impl<'a> Outline<'a> {
    fn value(&mut self, value: Range<usize>, members: Option<Members<'a>>) {
        match self.open.last_mut() {
            Some((_, _, Container::Object(all))) => {
                if let Some((name, at)) = self.names.last() {
                    all.push(Member { name: name.decode(), whole: *at..value.end, value, members });
                }
            }
            Some((_, _, Container::Array(all))) => all.push(value),
            Some(_) | None => {}
        }
    }
}

impl<'a> Sink<'a> for Outline<'a> {
    fn space(&mut self) -> Result<(), JsonErrorKind> {
        Ok(())
    }

    fn word(&mut self, value: Option<bool>, at: usize) -> Result<(), JsonErrorKind> {
        let length = if value == Some(false) { 5 } else { 4 };
        self.value(at..at.saturating_add(length), None);
        Ok(())
    }

    fn number(&mut self, literal: &'a str, at: usize) -> Result<(), JsonErrorKind> {
        self.value(at..at.saturating_add(literal.len()), None);
        Ok(())
    }

    fn string(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind> {
        self.value(at..at.saturating_add(text.raw.len()).saturating_add(2), None);
        Ok(())
    }

    fn name(&mut self, text: Text<'a>, at: usize) -> Result<(), JsonErrorKind> {
        self.names.push((text, at));
        Ok(())
    }

    fn open(&mut self, is_object: bool, at: usize) {
        let is_known = self.open.len() < KNOWN_DEPTH;
        let known = match self.open.last() {
            None if !is_object => Container::Array(Vec::new()),
            Some((_, _, Container::Object(_))) | None if is_object && is_known => Container::Object(Vec::new()),
            _ => Container::Unknown,
        };
        self.open.push((self.names.len(), at, known));
    }

    fn close(&mut self, end: usize) -> Result<(), JsonError> {
        let Some((from, start, known)) = self.open.pop() else { return Ok(()) };
        let names = self.names.get(from..).unwrap_or_default();
        if names.len() > 1 {
            let mut sorted: Vec<_> = names.iter().map(|(text, at)| (text.decode(), *at)).collect();
            sorted.sort_unstable();
            if let Some((_, second)) = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a.0 == b.0) {
                return Err(JsonError { at: second.1, kind: JsonErrorKind::DuplicateMember });
            }
        }
        self.names.truncate(from);
        if self.open.is_empty() {
            self.outermost = known;
        } else {
            let members = if let Container::Object(members) = known { Some(Arc::from(members)) } else { None };
            self.value(start..end, members);
        }
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
