//! Constraints on one argument: the core vocabulary of draft-niyikiza-oauth-attenuating-agent-tokens-01,
//! section 3.4, and those that look inside a text, by [`chio_predicates`].
//! A constraint of a type that is not known here denies every value: a token may carry it, a call by it fails.

use std::cell::Cell;
use std::collections::HashSet;

use chio_predicates::{MemberSource, Predicate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical::{self, Json, Limits, Number, Object};
use crate::digest::Digest;
use crate::error::{FormatError, excerpt};

/// How much may be compared for one call. Whoever derives a token writes its constraints, and whoever calls writes the
/// arguments: together they could ask for more comparisons than there is time. When it is used up, nothing is allowed.
#[derive(Clone, Debug)]
pub struct Effort(Cell<usize>);

impl Default for Effort {
    /// Four million places and comparisons, a quarter of a microsecond each: a second, and far more than a call has use for.
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

/// Values are kept as the digests of their canonical bytes: equal where the values are, and each as long as any other.
#[derive(Clone, Debug, PartialEq)]
enum Check {
    Exact(Digest),
    Range { min: Option<Bound>, max: Option<Bound> },
    OneOf(HashSet<Digest>),
    NotOneOf(HashSet<Digest>),
    Contains(HashSet<Digest>),
    Subset(HashSet<Digest>),
    Wildcard,
    All(Vec<Constraint>),
    Any(Vec<Constraint>),
    Text(Predicate),
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
        let mut members = Members(json.as_object().cloned().ok_or_else(|| Members::wrong("a rule is an object"))?);
        let optional = members.flag("optional")?.unwrap_or(false);
        Ok(Self { source: json.to_canonical_bytes(), optional, constraint: members.constraint()? })
    }

    /// A rule from any value that serialises to its JSON form, such as `serde_json::json!({…})`.
    /// Fails as [`Self::from_json`], and where a pattern in it cannot be used.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, FormatError> {
        let rule = Self::from_json(&canonical::to_json(value)?)?;
        rule.check_patterns().map(|()| rule)
    }

    /// Whether the patterns in it can be used. Reading does not ask, or whoever sends a token could have many compiled: there,
    /// what is no pattern denies.
    pub(super) fn check_patterns(&self) -> Result<(), FormatError> {
        self.constraint.check_patterns()
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
        let json = canonical::to_json(&serde_json::Value::deserialize(deserializer)?);
        json.map_err(FormatError::from).and_then(|json| Self::from_json(&json)).map_err(serde::de::Error::custom)
    }
}

impl Constraint {
    fn check_patterns(&self) -> Result<(), FormatError> {
        match &self.check {
            Check::Text(predicate) => predicate.check().map_err(Members::wrong),
            Check::All(constraints) | Check::Any(constraints) => constraints.iter().try_for_each(Self::check_patterns),
            _ => Ok(()),
        }
    }

    fn allows(&self, value: &Json, effort: &Effort) -> bool {
        if !effort.spend(1) {
            return false;
        }
        match &self.check {
            Check::Exact(expected) => digest(value, effort).is_some_and(|digest| digest == *expected),
            Check::Range { min, max } => {
                let Json::Number(number) = value else { return false };
                let above = |bound: &Bound| *number > bound.limit || (bound.inclusive && *number == bound.limit);
                let below = |bound: &Bound| *number < bound.limit || (bound.inclusive && *number == bound.limit);
                min.iter().all(above) && max.iter().all(below)
            }
            Check::OneOf(values) => digest(value, effort).is_some_and(|digest| values.contains(&digest)),
            Check::NotOneOf(excluded) => digest(value, effort).is_some_and(|digest| !excluded.contains(&digest)),
            Check::Contains(required) => {
                effort.spend(required.len())
                    && digests(value, effort).is_some_and(|digests| required.is_subset(&digests))
            }
            Check::Subset(allowed) => digests(value, effort).is_some_and(|digests| digests.is_subset(allowed)),
            Check::Wildcard => true,
            Check::All(constraints) => constraints.iter().all(|constraint| constraint.allows(value, effort)),
            Check::Any(constraints) => constraints.iter().any(|constraint| constraint.allows(value, effort)),
            Check::Text(predicate) => {
                let text = value.as_str().filter(|text| effort.spend(predicate.cost(text)));
                text.is_some_and(|text| predicate.allows(text))
            }
            Check::Unknown => false,
        }
    }
}

/// The digest of a value; none where the effort does not suffice for the next such question.
fn digest(value: &Json, effort: &Effort) -> Option<Digest> {
    let bytes = value.to_canonical_bytes();
    effort.spend(bytes.len().div_ceil(4)).then(|| Digest::of(&bytes))
}

/// The same of the elements of an array.
fn digests(value: &Json, effort: &Effort) -> Option<HashSet<Digest>> {
    value.as_array()?.iter().map(|item| effort.spend(1).then(|| digest(item, effort)).flatten()).collect()
}

/// The members of a constraint, taken out one by one; what is left over at the end is unknown.
struct Members(Object);

impl Members {
    fn constraint(mut self) -> Result<Constraint, FormatError> {
        let Some(Json::String(constraint_type)) = self.0.take("constraint_type") else {
            return Err(Self::wrong("a constraint needs a `constraint_type`"));
        };
        let check = match constraint_type.as_str() {
            "exact" => {
                let value = self.0.take("value").map(|value| Digest::of(&value.to_canonical_bytes()));
                Check::Exact(value.ok_or_else(|| Self::wrong("`exact` needs a `value`"))?)
            }
            "range" => match (self.bound("min", "min_inclusive")?, self.bound("max", "max_inclusive")?) {
                (None, None) => return Err(Self::wrong("`range` needs a `min` or a `max`")),
                (min, max) => Check::Range { min, max },
            },
            "one_of" => Check::OneOf(self.values("values")?),
            "not_one_of" => Check::NotOneOf(self.values("excluded")?),
            "contains" => Check::Contains(self.values("required")?),
            "subset" => Check::Subset(self.values("allowed")?),
            "wildcard" => Check::Wildcard,
            "all" => Check::All(self.constraints()?),
            "any" => Check::Any(self.constraints()?),
            other => match Predicate::read(other, &mut self)? {
                Some(predicate) => Check::Text(predicate),
                None => return Ok(Constraint { constraint_type: excerpt(other), check: Check::Unknown }),
            },
        };
        match self.0.iter().next() {
            None => Ok(Constraint { constraint_type, check }),
            Some((name, _)) => Err(Self::wrong(&format!("`{constraint_type}` has no member `{}`", excerpt(name)))),
        }
    }

    fn bound(&mut self, limit: &str, inclusive: &str) -> Result<Option<Bound>, FormatError> {
        let flag = self.flag(inclusive)?;
        let number = |json| if let Json::Number(number) = json { Some(number) } else { None };
        match self.take(limit, "a number", number)? {
            None if flag.is_some() => Err(Self::wrong(&format!("`{inclusive}` without `{limit}`"))),
            limit => Ok(limit.map(|limit| Bound { limit, inclusive: flag.unwrap_or(true) })),
        }
    }

    fn constraints(&mut self) -> Result<Vec<Constraint>, FormatError> {
        // Moved, not copied: at every level there would be one more copy of all that is below it.
        let read = |json: Json| match json {
            Json::Object(object) => Members(object).constraint(),
            _ => Err(Self::wrong("a constraint is an object")),
        };
        let list = self.list("constraints")?.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Some(list).filter(|list| !list.is_empty()).ok_or_else(|| Self::wrong("`constraints` must not be empty"))
    }

    fn values(&mut self, name: &str) -> Result<HashSet<Digest>, FormatError> {
        Ok(self.list(name)?.iter().map(|value| Digest::of(&value.to_canonical_bytes())).collect())
    }

    fn list(&mut self, name: &str) -> Result<Vec<Json>, FormatError> {
        self.take(name, "a list", |json| if let Json::Array(items) = json { Some(items) } else { None })?
            .ok_or_else(|| Self::wrong(&format!("`{name}` is missing")))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, FormatError> {
        self.take(name, "true or false", |json| if let Json::Bool(flag) = json { Some(flag) } else { None })
    }

    fn take<T>(&mut self, name: &str, what: &str, read: fn(Json) -> Option<T>) -> Result<Option<T>, FormatError> {
        let read = |json| read(json).ok_or_else(|| Self::wrong(&format!("`{name}` is {what}")));
        self.0.take(name).map(read).transpose()
    }
}

impl MemberSource for Members {
    type Error = FormatError;

    fn text(&mut self, name: &str) -> Result<Option<String>, FormatError> {
        self.take(name, "a text", |json| if let Json::String(text) = json { Some(text) } else { None })
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, FormatError> {
        let read = |json: Json| json.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        self.take(name, "a list of texts", read)
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, FormatError> {
        self.take(name, "a whole number", |json| whole(&json))
    }

    fn numbers(&mut self, name: &str) -> Result<Option<Vec<u64>>, FormatError> {
        self.take(name, "a list of whole numbers", |json| json.as_array()?.iter().map(whole).collect())
    }

    fn wrong(what: &str) -> FormatError {
        FormatError::Document(what.to_owned())
    }
}

fn whole(json: &Json) -> Option<u64> {
    if let Json::Number(number) = json { number.to_integer()?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests;
