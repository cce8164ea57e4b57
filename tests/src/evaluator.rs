//! What the protocol says of a call, evaluated naively: over plain JSON, with nothing of the kernel in it.
//!
//! It was written from sections 3 to 8 of `docs/protocol.md`, and not from the code, so that the two can be held
//! against each other. It is slow, and it knows nothing of signatures: the tokens are supposed to be whose they say.

mod texts;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// A call: of what, at which kernel, and when.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub tool_server: &'a str,
    pub tool_name: &'a str,
    pub arguments: &'a Value,
    pub kernel: &'a str,
    pub now: u64,
}

/// How many calls were counted on which grant: the `id` of its token, and its place in it.
pub type Counts = HashMap<(String, usize), u64>;

/// Whether a chain allows a call: every token of it does, and the ceiling of its root if there is one. If so, the call
/// is counted.
pub fn allows(chain: &Value, ceiling: Option<&Value>, call: Call<'_>, counts: &mut Counts) -> bool {
    let tokens = array(chain);
    let below_ceiling = ceiling.is_none_or(|grants| array(grants).iter().any(|grant| covers(grant, call)));
    let spent: Option<Vec<_>> = tokens.iter().map(|token| token_allows(token, call, counts)).collect();
    let Some(spent) = spent.filter(|spent| below_ceiling && !spent.is_empty()) else { return false };
    for grant in spent.into_iter().flatten() {
        *counts.entry(grant).or_default() += 1;
    }
    true
}

/// None where the token denies; otherwise the grant that the call is counted on, if it is counted.
fn token_allows(token: &Value, call: Call<'_>, counts: &Counts) -> Option<Option<(String, usize)>> {
    let (from, to) = (token["issued_at"].as_u64()?, token["expires_at"].as_u64()?);
    let is_meant = token.get("audience").is_none_or(|name| name == call.kernel);
    if !(from <= call.now && call.now < to && is_meant) {
        return None;
    }
    let covering = array(&token["grants"]).iter().enumerate().filter(|(_, grant)| covers(grant, call));
    let covering: Vec<_> = covering.collect();
    if covering.iter().any(|(_, grant)| grant.get("max_invocations").is_none()) {
        return Some(None);
    }
    let id = token["id"].as_str()?.to_owned();
    for (place, grant) in covering {
        let counted = (id.clone(), place);
        if counts.get(&counted).copied().unwrap_or(0) < grant["max_invocations"].as_u64()? {
            return Some(Some(counted));
        }
    }
    None
}

/// Whether a grant covers a call.
pub fn covers(grant: &Value, call: Call<'_>) -> bool {
    if grant["tool_server"] != call.tool_server || grant["tool_name"] != call.tool_name {
        return false;
    }
    // No tool server of these calls tells the definitions of its tools.
    if grant.get("definition").is_some() {
        return false;
    }
    match grant.get("arguments").map(object) {
        None => true,
        Some(rules) if rules.is_empty() => object(call.arguments).is_empty(),
        Some(rules) => {
            let rules: Vec<_> = rules.iter().map(|(pointer, rule)| (reference_tokens(pointer), rule)).collect();
            holds(&rules.iter().map(|(tokens, rule)| (&tokens[..], *rule)).collect::<Vec<_>>(), call.arguments)
        }
    }
}

/// RFC 6901, section 4.
fn reference_tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// Rules at and below a place: the reference tokens that lead there from this place, and the rule.
type Rules<'a> = [(&'a [String], &'a Value)];

/// Section 6, at one place that is there.
fn holds(rules: &Rules<'_>, value: &Value) -> bool {
    if !own(rules).all(|rule| passes(rule, value)) {
        return false;
    }
    let names = names(rules);
    if names.is_empty() {
        return true;
    }
    match value {
        Value::Object(members) => {
            let named = members.iter().all(|(name, value)| match below(rules, name) {
                rules if rules.is_empty() => false,
                rules => holds(&rules, value),
            });
            let missing = |name: &String| !members.contains_key(name) && must_be_there(&below(rules, name));
            named && !names.into_iter().any(missing)
        }
        Value::Array(elements) => {
            let indices: Vec<String> = (0..elements.len()).map(|index| index.to_string()).collect();
            let named = indices.iter().zip(elements).all(|(index, value)| {
                let (by_index, by_star) = (below(rules, index), below(rules, "*"));
                let is_named = !by_index.is_empty() || !by_star.is_empty();
                is_named && [by_index, by_star].iter().all(|rules| rules.is_empty() || holds(rules, value))
            });
            let missing = |name: &String| name != "*" && !indices.contains(name) && must_be_there(&below(rules, name));
            named && !names.into_iter().any(missing)
        }
        _ => false,
    }
}

/// The rules of the place itself: one at most.
fn own<'a>(rules: &Rules<'a>) -> impl Iterator<Item = &'a Value> {
    rules.iter().filter(|(tokens, _)| tokens.is_empty()).map(|(_, rule)| *rule)
}

/// The names of the places directly below. If there are any, the place is closed.
fn names<'a>(rules: &Rules<'a>) -> BTreeSet<&'a String> {
    rules.iter().filter_map(|(tokens, _)| tokens.first()).collect()
}

/// The rules at and below the place of that name.
fn below<'a>(rules: &Rules<'a>, name: &str) -> Vec<(&'a [String], &'a Value)> {
    let starts = rules.iter().filter(|(tokens, _)| tokens.first().is_some_and(|token| token == name));
    starts.map(|(tokens, rule)| (&tokens[1..], *rule)).collect()
}

fn must_be_there(rules: &Rules<'_>) -> bool {
    match own(rules).next() {
        Some(rule) => rule.get("optional") != Some(&Value::Bool(true)),
        None => names(rules).into_iter().any(|name| must_be_there(&below(rules, name))),
    }
}

/// Section 7: whether a value passes a constraint. **A new type is a new arm.**
pub fn passes(constraint: &Value, value: &Value) -> bool {
    let of = |member: &str| &constraint[member];
    match of("constraint_type").as_str() {
        Some("exact") => same(of("value"), value),
        Some("range") => in_range(constraint, value),
        Some("one_of") => among(value, of("values")),
        Some("not_one_of") => !among(value, of("excluded")),
        Some("contains") => value.is_array() && array(of("required")).iter().all(|required| among(required, value)),
        Some("subset") => value.is_array() && array(value).iter().all(|element| among(element, of("allowed"))),
        Some("wildcard") => true,
        Some("all") => array(of("constraints")).iter().all(|constraint| passes(constraint, value)),
        Some("any") => array(of("constraints")).iter().any(|constraint| passes(constraint, value)),
        Some("path_containment") => texts::is_inside(value, of("root")),
        Some("max_length") => {
            value.as_str().is_some_and(|text| of("max").as_u64().is_some_and(|max| text.chars().count() as u64 <= max))
        }
        Some("pattern") => texts::matches(value, of("glob")),
        Some("cidr") => texts::is_in_network(value, of("network")),
        Some("shell_words") => texts::is_command(value, of("programs")),
        // What is not known denies. Not written here yet, and so not generated: `regex`, `url`, `url_safe`.
        _ => false,
    }
}

/// Whether two values have the same canonical text.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn among(value: &Value, values: &Value) -> bool {
    array(values).iter().any(|element| same(element, value))
}

fn in_range(constraint: &Value, value: &Value) -> bool {
    let Some(value) = value.as_f64() else { return false };
    let inclusive = |member: &str| constraint.get(member) != Some(&Value::Bool(false));
    let above = constraint
        .get("min")
        .and_then(Value::as_f64)
        .is_none_or(|min| if inclusive("min_inclusive") { value >= min } else { value > min });
    let below = constraint
        .get("max")
        .and_then(Value::as_f64)
        .is_none_or(|max| if inclusive("max_inclusive") { value <= max } else { value < max });
    above && below
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().expect("it was made as an object")
}
