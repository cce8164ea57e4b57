//! Arguments that a chain allows, to have a call to show.

use std::collections::BTreeSet;

use chio_core::canonical::{self, Json, Object};
use chio_core::capability::{ArgumentRules, CapabilityChain, Effort, Grant, Rule};

use super::chain::Review;

/// A tool of a chain, with arguments that every token of it covers. None where none are found easily.
pub(crate) fn sample(chain: &CapabilityChain) -> Option<(String, String)> {
    let review = Review::of(chain);
    let covered = |tool: &super::chain::Tool<'_>| {
        let first: Option<Vec<&Grant>> = tool.hops.iter().map(|grants| grants.first().copied()).collect();
        let arguments = arguments(&first?)?;
        let effort = Effort::default();
        let is_covered = |grants: &Vec<&Grant>| grants.iter().any(|grant| grant.covers(&arguments, &effort).is_ok());
        let text = String::from_utf8(arguments.to_canonical_bytes()).ok()?;
        tool.hops.iter().all(is_covered).then(|| (format!("{}/{}", tool.server, tool.name), text))
    };
    review.tools.iter().find_map(covered)
}

fn arguments(grants: &[&Grant]) -> Option<Json> {
    let rules = |grant: &&Grant| -> Vec<(String, Rule)> {
        let rules = grant.arguments.iter().flat_map(ArgumentRules::iter);
        rules.map(|(pointer, rule)| (pointer.to_owned(), rule.clone())).collect()
    };
    let rules: Vec<(String, Rule)> = grants.iter().flat_map(rules).collect();
    let places: BTreeSet<&str> = rules.iter().map(|(place, _)| place.as_str()).collect();
    let mut members = Vec::new();
    for place in places {
        let here = || rules.iter().filter(|(other, _)| other == place).map(|(_, rule)| rule);
        if here().all(Rule::is_optional) {
            continue;
        }
        let name = place.strip_prefix('/').filter(|name| !name.contains(['/', '~']))?;
        let passes = |value: &Json| here().all(|rule| rule.allows(value, &Effort::default()));
        members.push((name.to_owned(), here().filter_map(value).find(passes)?));
    }
    Object::new(members).map(Json::Object)
}

/// A value that satisfies a rule, if one is easily named.
fn value(rule: &Rule) -> Option<Json> {
    of(&canonical::to_json(rule).ok()?)
}

fn of(rule: &Json) -> Option<Json> {
    let rule = rule.as_object()?;
    let first = |name| rule.get(name).and_then(Json::as_array).and_then(<[Json]>::first);
    match rule.get("constraint_type")?.as_str()? {
        "exact" => rule.get("value").cloned(),
        "one_of" => first("values").cloned(),
        "range" => rule.get("min").or_else(|| rule.get("max")).cloned(),
        "contains" => rule.get("required").cloned(),
        "subset" => Some(Json::Array(Vec::new())),
        "wildcard" | "max_length" => Some(Json::String(String::new())),
        "path_containment" => rule.get("root").cloned(),
        "any" | "all" => of(first("constraints")?),
        _ => None,
    }
}
