//! Grants: one tool of one tool server, with rules for its arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::constraint::{Effort, Rule};
use crate::canonical::{Json, MAX_DEPTH};
use crate::digest::Digest;
use crate::error::{FormatError, excerpt};

/// The longest name of a tool server or tool, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The right to call one tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The rules for the arguments; without them, any arguments are granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<ArgumentRules>,
    /// The digest that the definition of the tool must have (of its RFC 8785 bytes); without it, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
    /// How many calls this grant allows in all, over every token that was derived from its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_invocations: Option<u64>,
    /// The tool, by its exact name.
    pub tool_name: String,
    /// The tool server, by its exact name.
    pub tool_server: String,
}

/// Why a grant does not cover a call of its tool. Pointers are cut to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantMismatch {
    /// A named argument is absent.
    Missing {
        /// Where it should be.
        pointer: String,
    },
    /// An argument is not named.
    NotGranted {
        /// Where it is.
        pointer: String,
    },
    /// An argument breaks its constraint.
    Violated {
        /// Where it is.
        pointer: String,
        /// The type of the constraint.
        constraint_type: String,
    },
}

impl Grant {
    /// A grant of one tool with any arguments, any number of times.
    pub fn new(tool_server: impl Into<String>, tool_name: impl Into<String>) -> Self {
        let (tool_server, tool_name) = (tool_server.into(), tool_name.into());
        Self { arguments: None, definition: None, max_invocations: None, tool_name, tool_server }
    }

    /// The same grant with a rule for the argument at `pointer` (RFC 6901). The first makes them a closed world.
    /// Fails where the pointer or the rule is malformed, or the pointer has a rule already.
    pub fn argument<T: Serialize + ?Sized>(mut self, pointer: &str, rule: &T) -> Result<Self, FormatError> {
        let mut rules = self.arguments.take().map(|rules| rules.rules).unwrap_or_default();
        if rules.insert(pointer.to_owned(), Arc::new(Rule::from_value(rule)?)).is_some() {
            return Err(FormatError::Document(format!("`{}` has two rules", excerpt(pointer))));
        }
        self.arguments = Some(ArgumentRules::of(rules)?);
        Ok(self)
    }

    /// The same grant for at most `calls` calls.
    #[must_use]
    pub fn max_invocations(mut self, calls: u64) -> Self {
        self.max_invocations = Some(calls);
        self
    }

    /// Whether this is a grant of that tool.
    pub fn names(&self, tool_server: &str, tool_name: &str) -> bool {
        self.tool_server == tool_server && self.tool_name == tool_name
    }

    /// Whether these arguments of a call of its tool are covered.
    /// Fails with the first place at which they are not.
    pub fn covers(&self, arguments: &Json, effort: &Effort) -> Result<(), GrantMismatch> {
        let place = Place { above: None, token: "" };
        self.arguments.as_ref().map_or(Ok(()), |rules| rules.root.cover(arguments, &place, effort))
    }

    /// What a token must not be signed with: a pattern that cannot be used.
    pub(super) fn check_patterns(&self) -> Result<(), FormatError> {
        let mut rules = self.arguments.iter().flat_map(ArgumentRules::iter);
        rules.try_for_each(|(_, rule)| rule.check_patterns())
    }

    /// What a token must not carry: an empty, over-long or unprintable name.
    pub(super) fn check(&self) -> Result<(), FormatError> {
        let good = |name: &str| !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        if good(&self.tool_server) && good(&self.tool_name) {
            return Ok(());
        }
        Err(FormatError::Document(format!("`tool_server` and `tool_name` have 1 to {MAX_NAME_BYTES} printable bytes")))
    }
}

/// Rules by JSON Pointer: a closed world.
///
/// At every object that has a named member, a member that is not named is refused, and a named one must be there
/// unless its rule is optional. An element of an array is named by its index or, for all of them, by `*`. No rules at
/// all grant no arguments at all.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgumentRules {
    rules: BTreeMap<String, Arc<Rule>>,
    root: Node,
}

/// A place in the arguments: its own rule, and the places below it that are named.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    rule: Option<Arc<Rule>>,
    /// By their tokens, sorted.
    children: Vec<(String, Node)>,
    closed: bool,
    /// Whether it must be there. A place without a rule of its own must where one below it must.
    required: bool,
}

impl ArgumentRules {
    fn of(rules: BTreeMap<String, Arc<Rule>>) -> Result<Self, FormatError> {
        let mut root = Node { closed: rules.is_empty(), ..Node::default() };
        for (pointer, rule) in &rules {
            let tokens = tokens(pointer).filter(|tokens| tokens.len() <= MAX_DEPTH).ok_or_else(|| {
                let pointer = excerpt(pointer);
                FormatError::Document(format!("`{pointer}` is not a JSON Pointer of at most {MAX_DEPTH} tokens"))
            })?;
            let mut node = &mut root;
            for token in tokens {
                node.closed = true;
                node = node.child_or_new(token)?;
            }
            node.rule = Some(Arc::clone(rule));
        }
        root.settle();
        Ok(Self { rules, root })
    }

    /// How many places the pointers name, those on the way counted.
    pub(super) fn places(&self) -> usize {
        self.rules.keys().map(|pointer| pointer.matches('/').count()).sum()
    }

    /// The rules, by pointer.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.rules.iter().map(|(pointer, rule)| (pointer.as_str(), &**rule))
    }
}

impl Node {
    // As deep as the tree of pointers and the value both are: at most as deep as a JSON text may be.
    fn cover(&self, value: &Json, place: &Place<'_>, effort: &Effort) -> Result<(), GrantMismatch> {
        if !effort.spend(self.children.len().saturating_add(1)) {
            return Err(place.violated("too much to compare"));
        }
        if let Some(rule) = self.rule.as_ref().filter(|rule| !rule.allows(value, effort)) {
            return Err(place.violated(rule.constraint_type()));
        }
        if !self.closed {
            return Ok(());
        }
        match value {
            Json::Object(object) => {
                for (name, value) in object.iter() {
                    let place = place.below(name);
                    let node = self.child(name).ok_or_else(|| place.not_granted())?;
                    node.cover(value, &place, effort)?;
                }
                self.none_missing(place, |name| object.get(name).is_some())
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let index = index.to_string();
                    let place = place.below(&index);
                    let nodes = [self.child(&index), self.child("*")];
                    if nodes.iter().all(Option::is_none) {
                        return Err(place.not_granted());
                    }
                    nodes.into_iter().flatten().try_for_each(|node| node.cover(item, &place, effort))?;
                }
                self.none_missing(place, |token| {
                    let index = token.parse().ok().filter(|index: &usize| *index < items.len());
                    token == "*" || index.is_some_and(|index| index.to_string() == token)
                })
            }
            _ => Err(place.violated("an object or array")),
        }
    }

    fn none_missing(&self, place: &Place<'_>, present: impl Fn(&str) -> bool) -> Result<(), GrantMismatch> {
        let missing = self.children.iter().find(|(token, node)| node.required && !present(token));
        missing.map_or(Ok(()), |(token, _)| Err(GrantMismatch::Missing { pointer: place.below(token).pointer() }))
    }

    fn child(&self, token: &str) -> Option<&Self> {
        let at = self.children.binary_search_by(|child| child.0.as_str().cmp(token)).ok()?;
        self.children.get(at).map(|child| &child.1)
    }

    fn child_or_new(&mut self, token: String) -> Result<&mut Self, FormatError> {
        let found = self.children.binary_search_by(|child| child.0.cmp(&token));
        let at = found.unwrap_or_else(|at| {
            self.children.insert(at, (token, Self::default()));
            at
        });
        self.children.get_mut(at).map(|child| &mut child.1).ok_or_else(|| FormatError::Document("no place".into()))
    }

    /// When all rules are in: what is required, and no more memory than that takes.
    fn settle(&mut self) {
        self.children.shrink_to_fit();
        self.children.iter_mut().for_each(|child| child.1.settle());
        let below = || self.children.iter().any(|child| child.1.required);
        self.required = self.rule.as_ref().map_or_else(below, |rule| !rule.is_optional());
    }
}

/// A place on the way down, written out only for an answer.
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    token: &'a str,
}

impl<'a> Place<'a> {
    fn below(&'a self, token: &'a str) -> Place<'a> {
        Place { above: Some(self), token }
    }

    fn pointer(&self) -> String {
        let mut tokens = Vec::new();
        let mut place = self;
        while let Some(above) = place.above {
            tokens.push(excerpt(place.token).replace('~', "~0").replace('/', "~1"));
            place = above;
        }
        let pointer: String = tokens.iter().rev().map(|token| format!("/{token}")).collect();
        excerpt(&pointer)
    }

    fn not_granted(&self) -> GrantMismatch {
        GrantMismatch::NotGranted { pointer: self.pointer() }
    }

    fn violated(&self, constraint_type: &str) -> GrantMismatch {
        GrantMismatch::Violated { pointer: self.pointer(), constraint_type: constraint_type.to_owned() }
    }
}

/// The reference tokens of a JSON Pointer (RFC 6901), unescaped.
fn tokens(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let unescape = |token: &str| {
        let escapes_are_whole = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        escapes_are_whole.then(|| token.replace("~1", "/").replace("~0", "~"))
    };
    pointer.strip_prefix('/')?.split('/').map(unescape).collect()
}

impl Serialize for ArgumentRules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for ArgumentRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Duplicate pointers cannot hide here: a document is read as strict JSON first.
        let rules = BTreeMap::<String, Rule>::deserialize(deserializer)?;
        let rules = rules.into_iter().map(|(pointer, rule)| (pointer, Arc::new(rule)));
        Self::of(rules.collect()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;
    use serde_json::{Value, json};

    fn answer(rules: &Value, arguments: &Value) -> &'static str {
        let grant = json!({"tool_server": "s", "tool_name": "t", "arguments": rules});
        let grant: Grant = serde_json::from_value(grant).unwrap();
        match grant.covers(&canonical::to_json(arguments).unwrap(), &Effort::default()) {
            Ok(()) => "covered",
            Err(GrantMismatch::Missing { .. }) => "missing",
            Err(GrantMismatch::NotGranted { .. }) => "not granted",
            Err(GrantMismatch::Violated { .. }) => "violated",
        }
    }

    #[test]
    fn arguments_are_a_closed_world() {
        let any = json!({"constraint_type": "wildcard"});
        let maybe = json!({"constraint_type": "wildcard", "optional": true});
        let one = json!({"constraint_type": "exact", "value": 1});
        for (rules, arguments, expected) in [
            (json!({}), json!({}), "covered"),
            (json!({}), json!({"a": 1}), "not granted"),
            (json!({"": any}), json!({"a": 1}), "covered"),
            (json!({"/a": one}), json!({"a": 1}), "covered"),
            (json!({"/a": one}), json!({"a": 2}), "violated"),
            (json!({"/a": one}), json!({}), "missing"),
            (json!({"/a": one}), json!({"A": 1}), "not granted"),
            (json!({"/a": one}), json!({"a": 1, "b": 1}), "not granted"),
            (json!({"/a": maybe}), json!({}), "covered"),
            (json!({"/a/b": one}), json!({"a": {"b": 1}}), "covered"),
            (json!({"/a/b": one}), json!({"a": {"b": 1, "c": 1}}), "not granted"),
            (json!({"/a/b": one}), json!({"a": 1}), "violated"),
            (json!({"/a/b": one}), json!({}), "missing"),
            (json!({"/a/b": maybe}), json!({}), "covered"),
            (json!({"/a": maybe, "/a/b": one}), json!({}), "covered"),
            (json!({"/a": maybe, "/a/b": one}), json!({"a": {}}), "missing"),
            (json!({"/a/*": one}), json!({"a": [1, 1]}), "covered"),
            (json!({"/a/*": one}), json!({"a": [1, 2]}), "violated"),
            (json!({"/a/*": one}), json!({"a": []}), "covered"),
            (json!({"/a/0": one}), json!({"a": [1, 1]}), "not granted"),
            (json!({"/a/0": one}), json!({"a": []}), "missing"),
            (json!({"/a/0": any, "/a/*": one}), json!({"a": [2]}), "violated"),
            (json!({"/a/*/b": one}), json!({"a": [{"b": 1}, {}]}), "missing"),
            (json!({"/a/01": one, "/a/*": any}), json!({"a": [1, 1]}), "missing"),
            (json!({"/*": one}), json!({"a": 1}), "not granted"),
            (json!({"/*": one}), json!({"*": 1}), "covered"),
            (json!({"/a~1b": one, "/c~0d": one}), json!({"a/b": 1, "c~d": 1}), "covered"),
        ] {
            assert_eq!(answer(&rules, &arguments), expected, "{rules} over {arguments}");
        }
    }

    #[test]
    fn a_key_that_is_no_pointer_is_refused() {
        let deep = "/a".repeat(65);
        for pointer in ["a", "/a~", "/~2", "#/a", &deep] {
            let rule = json!({"constraint_type": "wildcard"});
            assert!(Grant::new("s", "t").argument(pointer, &rule).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_grant_names_one_tool_in_printable_bytes() {
        let grant = Grant::new("files", "read_file");
        for (server, tool, expected) in [
            ("files", "read_file", true),
            ("files", "Read_file", false),
            ("File", "read_file", false),
            ("a", "b", false),
        ] {
            assert_eq!(grant.names(server, tool), expected, "{server}/{tool}");
        }
        let long = "n".repeat(MAX_NAME_BYTES);
        for (name, is_good) in [(&*long, true), (&format!("{long}n"), false), ("", false), ("a\nb", false), ("é", true)]
        {
            assert_eq!(Grant::new(name, "t").check().is_ok(), is_good, "{name:?}");
            assert_eq!(Grant::new("s", name).check().is_ok(), is_good, "{name:?}");
        }
    }

    #[test]
    fn a_mismatch_says_where() {
        let grant = |rules: Value| -> Grant {
            serde_json::from_value(json!({"tool_server": "s", "tool_name": "t", "arguments": rules})).unwrap()
        };
        let one = json!({"constraint_type": "exact", "value": 1});
        let pointer = |grant: &Grant, arguments: Value| match grant
            .covers(&canonical::to_json(&arguments).unwrap(), &Effort::default())
            .unwrap_err()
        {
            GrantMismatch::Missing { pointer } | GrantMismatch::NotGranted { pointer } => pointer,
            GrantMismatch::Violated { pointer, constraint_type } => format!("{pointer} {constraint_type}"),
        };
        let nested = grant(json!({"/a~0b~1c/d": one}));
        assert_eq!(pointer(&nested, json!({"a~b/c": {"d": 2}})), "/a~0b~1c/d exact");
        assert_eq!(pointer(&nested, json!({"a~b/c": {"d": 1, "e": 1}})), "/a~0b~1c/e");
        assert_eq!(pointer(&nested, json!({"a~b/c": {}})), "/a~0b~1c/d");
        assert_eq!(nested.arguments.as_ref().unwrap().places(), 2);
        assert_eq!(
            nested.arguments.as_ref().unwrap().iter().map(|(pointer, _)| pointer).collect::<Vec<_>>(),
            ["/a~0b~1c/d"]
        );
        let second = grant(json!({"/list/1": one, "/list/0": {"constraint_type": "wildcard"}}));
        assert_eq!(pointer(&second, json!({"list": [1]})), "/list/1");
        assert_eq!(pointer(&second, json!({"list": [1, 2]})), "/list/1 exact");
        assert_eq!(pointer(&second, json!({"list": [1, 1, 1]})), "/list/2");
        assert!(second.covers(&canonical::to_json(&json!({"list": [0, 1]})).unwrap(), &Effort::default()).is_ok());
        let first_and_last = grant(json!({"/list/01": one}));
        assert_eq!(pointer(&first_and_last, json!({"list": [1, 1]})), "/list/0");
        let pattern = json!({"constraint_type": "regex", "pattern": "("});
        assert!(
            grant(json!({"/a": pattern})).check_patterns().is_err()
                && grant(json!({"/a": one})).check_patterns().is_ok()
        );
    }
}
