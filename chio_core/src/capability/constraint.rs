//! Constraints on one argument: the core vocabulary of draft-niyikiza-oauth-attenuating-agent-tokens-01,
//! section 3.4, and `path_containment`.
//! A constraint of a type that is not known here denies every value: a token may carry it, a call by it fails.

use std::cell::Cell;
use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::path;
use crate::canonical::{self, Json, Limits, Number, Object};
use crate::digest::Digest;
use crate::error::{FormatError, excerpt};

/// How much may be compared for one call. Whoever derives a token writes its constraints, and whoever calls writes the
/// arguments: together they could ask for more comparisons than there is time. When it is used up, nothing is allowed.
#[derive(Clone, Debug)]
pub struct Effort(Cell<usize>);

impl Default for Effort {
    /// Four million places and comparisons: less than a second, and far more than a call has use for.
    fn default() -> Self {
        Self(Cell::new(4_000_000))
    }
}

impl Effort {
    /// Takes that much away, and says whether there was as much.
    pub(super) fn spend(&self, cost: usize) -> bool {
        let left = self.0.get().checked_sub(cost);
        self.0.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// The rule for one argument, as it stands in a grant: a constraint, and whether the argument may be absent.
/// It is written back exactly as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    source: Vec<u8>,
    optional: bool,
    constraint: Constraint,
}

#[derive(Clone, Debug, PartialEq)]
struct Constraint {
    constraint_type: String,
    check: Check,
}

/// A value by the digest of its canonical bytes: equal where the values are, and as long as any other.
type Text = Digest;

#[derive(Clone, Debug, PartialEq)]
enum Check {
    Exact(Text),
    Range { min: Option<Bound>, max: Option<Bound> },
    OneOf(HashSet<Text>),
    NotOneOf(HashSet<Text>),
    Contains(HashSet<Text>),
    Subset(HashSet<Text>),
    Wildcard,
    All(Vec<Constraint>),
    Any(Vec<Constraint>),
    PathContainment { root: String },
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    limit: Number,
    inclusive: bool,
}

impl Rule {
    /// Reads a rule from its JSON form.
    /// Fails where it is no object with a `constraint_type`, or a member of a known type is missing, unknown or of the
    /// wrong type. A constraint type that is not known is no error.
    pub fn from_json(json: &Json) -> Result<Self, FormatError> {
        let object = json.as_object().cloned().ok_or_else(|| wrong("a constraint is an object"))?;
        let mut members = Members(object);
        let optional = members.flag("optional")?.unwrap_or(false);
        Ok(Self { source: json.to_canonical_bytes(), optional, constraint: members.constraint()? })
    }

    /// A rule from any value that serialises to its JSON form, such as `serde_json::json!({…})`.
    /// Fails as [`Self::from_json`].
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, FormatError> {
        Self::from_json(&canonical::to_json(value)?)
    }

    /// The `constraint_type`.
    pub fn constraint_type(&self) -> &str {
        &self.constraint.constraint_type
    }

    /// Whether the argument may be absent.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether a value satisfies the constraint. What cannot be decided, or not with the effort that is left, is denied.
    pub fn allows(&self, value: &Json, effort: &Effort) -> bool {
        self.constraint.allows(value, effort)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = canonical::parse(&self.source, Limits::bytes(self.source.len()));
        source.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(&serde_json::Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Constraint {
    fn allows(&self, value: &Json, effort: &Effort) -> bool {
        if !effort.spend(1) {
            return false;
        }
        match &self.check {
            Check::Exact(expected) => text(value, effort).is_some_and(|text| text == *expected),
            Check::Range { min, max } => {
                let Json::Number(number) = value else { return false };
                let above = |bound: &Bound| *number > bound.limit || (bound.inclusive && *number == bound.limit);
                let below = |bound: &Bound| *number < bound.limit || (bound.inclusive && *number == bound.limit);
                min.iter().all(above) && max.iter().all(below)
            }
            Check::OneOf(values) => text(value, effort).is_some_and(|text| values.contains(&text)),
            Check::NotOneOf(excluded) => text(value, effort).is_some_and(|text| !excluded.contains(&text)),
            Check::Contains(required) => {
                effort.spend(required.len()) && texts(value, effort).is_some_and(|texts| required.is_subset(&texts))
            }
            Check::Subset(allowed) => texts(value, effort).is_some_and(|texts| texts.is_subset(allowed)),
            Check::Wildcard => true,
            Check::All(constraints) => constraints.iter().all(|constraint| constraint.allows(value, effort)),
            Check::Any(constraints) => constraints.iter().any(|constraint| constraint.allows(value, effort)),
            Check::PathContainment { root } => {
                let path = value.as_str().filter(|path| effort.spend(path.len() / 16));
                path.and_then(path::normal).is_some_and(|path| path::contains(root, path))
            }
            Check::Unknown => false,
        }
    }
}

/// The digest of a value; none where the effort does not suffice for the next such question.
fn text(value: &Json, effort: &Effort) -> Option<Text> {
    let bytes = value.to_canonical_bytes();
    effort.spend(bytes.len() / 16).then(|| Digest::of(&bytes))
}

/// The same of the elements of an array.
fn texts(value: &Json, effort: &Effort) -> Option<HashSet<Text>> {
    value.as_array()?.iter().map(|item| effort.spend(1).then(|| text(item, effort)).flatten()).collect()
}

/// The members of a constraint, taken out one by one; what is left over at the end is unknown.
struct Members(Object);

impl Members {
    fn constraint(mut self) -> Result<Constraint, FormatError> {
        let Some(Json::String(constraint_type)) = self.0.take("constraint_type") else {
            return Err(wrong("a constraint needs a `constraint_type`"));
        };
        let check = match constraint_type.as_str() {
            "exact" => {
                let value = self.0.take("value").ok_or_else(|| wrong("`exact` needs a `value`"))?;
                Check::Exact(Digest::of(&value.to_canonical_bytes()))
            }
            "range" => self.range()?,
            "one_of" => Check::OneOf(self.texts("values")?),
            "not_one_of" => Check::NotOneOf(self.texts("excluded")?),
            "contains" => Check::Contains(self.texts("required")?),
            "subset" => Check::Subset(self.texts("allowed")?),
            "wildcard" => Check::Wildcard,
            "all" => Check::All(self.constraints()?),
            "any" => Check::Any(self.constraints()?),
            "path_containment" => self.path_containment()?,
            _ => return Ok(Constraint { constraint_type: excerpt(&constraint_type), check: Check::Unknown }),
        };
        match self.0.iter().next() {
            None => Ok(Constraint { constraint_type, check }),
            Some((name, _)) => Err(wrong(&format!("`{constraint_type}` has no member `{}`", excerpt(name)))),
        }
    }

    fn range(&mut self) -> Result<Check, FormatError> {
        let min = self.bound("min", "min_inclusive")?;
        let max = self.bound("max", "max_inclusive")?;
        if min.is_none() && max.is_none() {
            return Err(wrong("`range` needs a `min` or a `max`"));
        }
        Ok(Check::Range { min, max })
    }

    fn bound(&mut self, limit: &str, inclusive: &str) -> Result<Option<Bound>, FormatError> {
        let flag = self.flag(inclusive)?;
        match self.0.take(limit) {
            Some(Json::Number(limit)) => Ok(Some(Bound { limit, inclusive: flag.unwrap_or(true) })),
            Some(_) => Err(wrong(&format!("`{limit}` is a number"))),
            None if flag.is_some() => Err(wrong(&format!("`{inclusive}` without `{limit}`"))),
            None => Ok(None),
        }
    }

    fn path_containment(&mut self) -> Result<Check, FormatError> {
        let root = match self.0.take("root") {
            Some(Json::String(root)) => path::normal(&root).map(str::to_owned),
            _ => None,
        };
        let root =
            root.ok_or_else(|| wrong("`path_containment` needs a `root`: an absolute path without `.` or `..`"))?;
        Ok(Check::PathContainment { root })
    }

    fn constraints(&mut self) -> Result<Vec<Constraint>, FormatError> {
        // Moved, not copied: at every level there would be one more copy of all that is below it.
        let read = |json: Json| match json {
            Json::Object(object) => Members(object).constraint(),
            _ => Err(wrong("a constraint is an object")),
        };
        let constraints: Vec<_> = self.list("constraints")?.into_iter().map(read).collect::<Result<_, _>>()?;
        if constraints.is_empty() {
            return Err(wrong("`constraints` must not be empty"));
        }
        Ok(constraints)
    }

    fn texts(&mut self, name: &str) -> Result<HashSet<Text>, FormatError> {
        Ok(self.list(name)?.iter().map(|value| Digest::of(&value.to_canonical_bytes())).collect())
    }

    fn list(&mut self, name: &str) -> Result<Vec<Json>, FormatError> {
        match self.0.take(name) {
            Some(Json::Array(items)) => Ok(items),
            _ => Err(wrong(&format!("`{name}` is a list"))),
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, FormatError> {
        match self.0.take(name) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(&format!("`{name}` is true or false"))),
        }
    }
}

fn wrong(what: &str) -> FormatError {
    FormatError::Document(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rule(value: &Value) -> Rule {
        Rule::from_value(value).unwrap()
    }

    #[test]
    #[allow(clippy::too_many_lines)] // one table
    fn what_passes_and_what_does_not() {
        let cases = [
            (
                json!({"constraint_type": "exact", "value": 1}),
                vec![json!(1), json!(1.0)],
                vec![json!("1"), json!(2), json!(true)],
            ),
            (
                json!({"constraint_type": "exact", "value": {"a": [1]}}),
                vec![json!({"a": [1]})],
                vec![json!({"a": [1], "b": 2}), json!({"a": []})],
            ),
            (
                json!({"constraint_type": "range", "min": 1, "max": 3}),
                vec![json!(1), json!(3), json!(2.5)],
                vec![json!(0), json!(3.1), json!("2"), json!(null)],
            ),
            (json!({"constraint_type": "range", "min": 1, "min_inclusive": false}), vec![json!(1.1)], vec![json!(1)]),
            (
                json!({"constraint_type": "one_of", "values": ["a", 1]}),
                vec![json!("a"), json!(1)],
                vec![json!("A"), json!(null)],
            ),
            (json!({"constraint_type": "one_of", "values": []}), vec![], vec![json!("a")]),
            (json!({"constraint_type": "not_one_of", "excluded": ["a"]}), vec![json!("b"), json!(1)], vec![json!("a")]),
            (
                json!({"constraint_type": "contains", "required": ["a"]}),
                vec![json!(["b", "a"])],
                vec![json!(["b"]), json!("a")],
            ),
            (
                json!({"constraint_type": "subset", "allowed": ["a", "b"]}),
                vec![json!([]), json!(["b"])],
                vec![json!(["c"]), json!("a"), json!({})],
            ),
            (json!({"constraint_type": "wildcard"}), vec![json!(null), json!({"x": 1})], vec![]),
            (
                json!({"constraint_type": "all", "constraints": [{"constraint_type": "range", "min": 1}, {"constraint_type": "not_one_of", "excluded": [2]}]}),
                vec![json!(3)],
                vec![json!(2), json!(0)],
            ),
            (
                json!({"constraint_type": "any", "constraints": [{"constraint_type": "exact", "value": 1}, {"constraint_type": "from_the_future"}]}),
                vec![json!(1)],
                vec![json!(2)],
            ),
            (json!({"constraint_type": "from_the_future", "whatever": 1}), vec![], vec![json!(1), json!(null)]),
            (
                json!({"constraint_type": "path_containment", "root": "/srv/docs"}),
                vec![json!("/srv/docs"), json!("/srv/docs/"), json!("/srv/docs/a/b.md"), json!("/srv/docs/...")],
                vec![
                    json!("/srv/docs2"),
                    json!("/srv"),
                    json!("/"),
                    json!(""),
                    json!("srv/docs/a"),
                    json!("/srv/docs/../../etc"),
                    json!("/srv/docs/.."),
                    json!("/srv/docs/./a"),
                    json!("/srv/docs//a"),
                    json!("//etc"),
                    json!("/srv/docs/a\u{0}b"),
                    json!("/srv/docs/..\\..\\etc"),
                    json!("/srv/docs/a//"),
                    json!(7),
                    json!(["/srv/docs"]),
                    json!("/SRV/docs/a"),
                ],
            ),
            (
                json!({"constraint_type": "path_containment", "root": "/"}),
                vec![json!("/"), json!("/etc")],
                vec![json!("etc"), json!("/../etc"), json!("//")],
            ),
        ];
        for (constraint, passes, fails) in cases {
            let rule = rule(&constraint);
            for value in passes {
                assert!(
                    rule.allows(&canonical::to_json(&value).unwrap(), &Effort::default()),
                    "{constraint} should allow {value}"
                );
            }
            for value in fails {
                assert!(
                    !rule.allows(&canonical::to_json(&value).unwrap(), &Effort::default()),
                    "{constraint} should deny {value}"
                );
            }
            assert_eq!(canonical::to_json(&rule), canonical::to_json(&constraint));
        }
    }

    #[test]
    fn malformed_constraints_are_refused() {
        for constraint in [
            json!(1),
            json!({}),
            json!({"constraint_type": 1}),
            json!({"constraint_type": "exact"}),
            json!({"constraint_type": "exact", "value": 1, "valve": 2}),
            json!({"constraint_type": "range"}),
            json!({"constraint_type": "range", "min": "1"}),
            json!({"constraint_type": "range", "min": 1, "max_inclusive": true}),
            json!({"constraint_type": "one_of", "values": "a"}),
            json!({"constraint_type": "all", "constraints": []}),
            json!({"constraint_type": "any", "constraints": [{"constraint_type": "wildcard", "optional": true}]}),
            json!({"constraint_type": "path_containment", "root": "docs"}),
            json!({"constraint_type": "path_containment", "root": "/srv/../docs"}),
            json!({"constraint_type": "wildcard", "optional": 1}),
        ] {
            assert!(Rule::from_value(&constraint).is_err(), "{constraint}");
        }
    }
}
