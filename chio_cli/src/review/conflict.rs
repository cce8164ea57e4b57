//! Whether two grants of a tool, or two rules of an argument, exclude each other.
//!
//! What is told is certain: where it cannot be decided, or not with little effort, they are taken to be compatible.

use std::cell::Cell;

use chio_core::canonical::{self, Json};
use chio_core::capability::{ArgumentRules, Effort, Grant, Rule, normal_path};
use chio_core::error::excerpt;

use crate::rules::{is_known, shown};

/// How many comparisons are made. A chain that somebody else wrote could ask for more of them than there is time.
#[derive(Debug)]
pub(super) struct Patience(Cell<u32>);

impl Default for Patience {
    fn default() -> Self {
        Self(Cell::new(20_000))
    }
}

impl Patience {
    fn is_left(&self) -> bool {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// A grant with its rules, read once.
pub(super) struct Read<'a> {
    pub(super) grant: &'a Grant,
    /// None: any arguments.
    rules: Option<Rules>,
}

impl<'a> Read<'a> {
    pub(super) fn new(grant: &'a Grant) -> Self {
        Self { grant, rules: grant.arguments.as_ref().map(rules) }
    }
}

/// Why a grant covers nothing at all, whatever stands above it.
pub(super) fn never(here: &Read<'_>) -> Option<String> {
    if here.grant.max_invocations == Some(0) {
        return Some("it allows 0 calls".to_owned());
    }
    let rules = here.rules.as_ref()?;
    let dead = rules.iter().find(|(place, rule)| allows_nothing(&rule.json) && is_present(rules, place))?;
    Some(format!("no value satisfies the rule for `{}`: {}", excerpt(&dead.0), excerpt(&shown(&dead.1.json))))
}

/// Why no call is covered by both of two grants of the same tool: `here`, and `above` of the token `token`.
pub(super) fn conflict(here: &Read<'_>, above: &Read<'_>, token: usize, patience: &Patience) -> Option<String> {
    if let (Some(pinned), Some(other)) = (here.grant.definition, above.grant.definition)
        && pinned != other
    {
        return Some(format!("it pins another definition of the tool than token {token}"));
    }
    let (here, above) = (here.rules.as_ref()?, above.rules.as_ref()?);
    if !patience.is_left() {
        return None;
    }
    for (place, rule) in here {
        if !patience.is_left() {
            return None;
        }
        let needed = is_present(here, place);
        if needed && !is_named(above, place) {
            let place = excerpt(place);
            return Some(format!("it requires `{place}`, which token {token} does not grant"));
        }
        let other = above.iter().find(|(other, _)| other == place);
        let Some((_, other)) = other.filter(|_| needed || is_present(above, place)) else { continue };
        if excludes(rule, other, patience) {
            let [rule, other] = [rule, other].map(|rule| excerpt(&shown(&rule.json)));
            let place = excerpt(place);
            return Some(format!("at `{place}`, {rule} and {other} of token {token} exclude each other"));
        }
    }
    let missing =
        above.iter().find(|(place, _)| patience.is_left() && is_present(above, place) && !is_named(here, place));
    missing.map(|(place, _)| format!("token {token} requires `{}`, which it does not name", excerpt(place)))
}

struct Known {
    rule: Rule,
    json: Json,
}

type Rules = Vec<(String, Known)>;

fn rules(rules: &ArgumentRules) -> Rules {
    let known = |rule: &Rule| Some(Known { json: canonical::to_json(rule).ok()?, rule: rule.clone() });
    rules.iter().filter_map(|(pointer, rule)| Some((pointer.to_owned(), known(rule)?))).collect()
}

/// Whether whatever these rules cover has a value at this place, which has a rule.
fn is_present(rules: &Rules, place: &str) -> bool {
    // An array without elements has none at `*`.
    let certain = !place.split('/').any(|token| token == "*");
    let required =
        |at: &str| rules.iter().find(|(place, _)| place == at).is_none_or(|(_, known)| !known.rule.is_optional());
    certain && required(place) && ancestors(place).all(required)
}

/// The places on the way down to a place, itself not among them.
fn ancestors(place: &str) -> impl Iterator<Item = &str> {
    place.match_indices('/').filter_map(|(at, _)| place.get(..at))
}

/// Whether these rules let a value be there at all: everywhere on the way where only some names are let in, its name
/// is one of them.
fn is_named(rules: &Rules, place: &str) -> bool {
    if rules.is_empty() {
        return place.is_empty();
    }
    ancestors(place).all(|above| {
        let below = |other: &str| other.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
        let is_closed = rules.iter().any(|(other, _)| below(other));
        let rest = place.get(above.len().saturating_add(1)..).unwrap_or_default();
        let token = rest.split('/').next().unwrap_or_default();
        let is_index = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
        let names = |other: &str| {
            let rest = other.strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
            let other = rest.and_then(|rest| rest.split('/').next());
            // Where the value is an array, `*` names all of its elements; and what is asked about may be all of them.
            other.is_some_and(|other| other == token || is_index && other == "*" || token == "*")
        };
        !is_closed || rules.iter().any(|(other, _)| names(other))
    })
}

/// Whether no value satisfies both rules.
fn excludes(a: &Known, b: &Known, patience: &Patience) -> bool {
    json_excludes(&a.json, &b.json, patience)
}

fn json_excludes(a: &Json, b: &Json, patience: &Patience) -> bool {
    if !patience.is_left() {
        return false;
    }
    if let Some(excluded) = enumerated(a, b).or_else(|| enumerated(b, a)) {
        return excluded;
    }
    if let Some(excluded) = composed(a, b, patience).or_else(|| composed(b, a, patience)) {
        return excluded;
    }
    match (kind(a), kind(b)) {
        ("range", "range") => disjoint(a, b),
        ("path_containment", "path_containment") => {
            let root = |json| text(json, "root").and_then(normal_path).map(|root| format!("{root}/"));
            root(a).zip(root(b)).is_some_and(|(a, b)| !a.starts_with(&b) && !b.starts_with(&a))
        }
        (a, b) => class(a).zip(class(b)).is_some_and(|(a, b)| a != b),
    }
}

/// What is left of the few values that `a` lets through is for `b` to judge.
fn enumerated(a: &Json, b: &Json) -> Option<bool> {
    let values = match kind(a) {
        "exact" => vec![member(a, "value")?],
        "one_of" => member(a, "values")?.as_array()?.iter().collect(),
        // Whatever has these has no fewer.
        "contains" if kind(b) == "subset" => vec![member(a, "required")?],
        _ => return None,
    };
    let b = Rule::from_json(b).ok()?;
    Some(!values.into_iter().any(|value| b.allows(value, &Effort::default())))
}

fn composed(a: &Json, b: &Json, patience: &Patience) -> Option<bool> {
    let mut parts = member(a, "constraints")?.as_array()?.iter();
    match kind(a) {
        "all" => Some(parts.any(|part| json_excludes(part, b, patience))),
        "any" => Some(parts.all(|part| json_excludes(part, b, patience))),
        _ => None,
    }
}

/// Whether a rule lets nothing through: an empty list, ends in the wrong order, a type that nobody knows.
fn allows_nothing(rule: &Json) -> bool {
    match kind(rule) {
        "one_of" => member(rule, "values").and_then(Json::as_array).is_some_and(<[Json]>::is_empty),
        "range" => disjoint(rule, rule),
        "all" => parts(rule).iter().any(allows_nothing),
        "any" => parts(rule).iter().all(allows_nothing),
        name => !is_known(name),
    }
}

fn parts(rule: &Json) -> &[Json] {
    member(rule, "constraints").and_then(Json::as_array).unwrap_or_default()
}

/// Whether one range ends before the other begins.
fn disjoint(a: &Json, b: &Json) -> bool {
    let ends_before = |a: &Json, b: &Json| {
        let (Some(max), Some(min)) = (number(a, "max"), number(b, "min")) else { return false };
        let both_inclusive = flag(a, "max_inclusive") && flag(b, "min_inclusive");
        max < min || max <= min && !both_inclusive
    };
    ends_before(a, b) || ends_before(b, a)
}

/// The JSON type of the values that a constraint type lets through, if it is always the same.
fn class(constraint_type: &str) -> Option<&'static str> {
    match constraint_type {
        "range" => Some("number"),
        "contains" | "subset" => Some("array"),
        "path_containment" | "pattern" | "regex" | "url" | "url_safe" | "cidr" | "shell_words" | "max_length" => {
            Some("string")
        }
        _ => None,
    }
}

fn kind(rule: &Json) -> &str {
    text(rule, "constraint_type").unwrap_or_default()
}

fn member<'a>(rule: &'a Json, name: &str) -> Option<&'a Json> {
    rule.as_object()?.get(name)
}

fn text<'a>(rule: &'a Json, name: &str) -> Option<&'a str> {
    member(rule, name)?.as_str()
}

fn number(rule: &Json, name: &str) -> Option<f64> {
    if let Some(Json::Number(number)) = member(rule, name) { Some(number.get()) } else { None }
}

fn flag(rule: &Json, name: &str) -> bool {
    member(rule, name) != Some(&Json::Bool(false))
}
