//! Arguments, and grants that are likely to cover them: well formed, nested, and wrong in one place now and then.

use serde_json::{Map, Value, json};

use crate::choices::Choices;

/// Names and strings that pointers and paths stumble over.
const NAMES: [&str; 10] = ["a", "b", "c", "0", "1", "*", "~", "a/b", "01", ""];
const STRINGS: [&str; 37] = [
    "a",
    "",
    "b",
    "/srv/docs/a.md",
    "/srv/docs",
    "/srv/docs/",
    "/",
    "/srv/docs/../x",
    "/srv/docs2",
    "//",
    "/srv/docs/\\",
    "/srv/docs/...",
    "/srv/docs/..a",
    "/srv/docs/ .\u{200b}/x",
    "/srv/docs/%2e%2e/x",
    "/srv/docs/100%",
    "/srv/docs/%u002e",
    "/srv/docs/\u{ff0e}.",
    "a/b.md",
    "a/b/c.md",
    "a/.../b.md",
    "10.1.2.3",
    "10.1.255.255",
    "10.2.0.0",
    "010.1.2.3",
    "2001:db8::1",
    "::ffff:10.1.2.3",
    "::ffff:a01:203",
    "git log --all",
    "git  'a $b' \"c d\"",
    "git $(id)",
    "git log; id",
    "git ~/a b=~",
    "ls",
    "\u{e9}",
    "e\u{301}",
    "1",
];
const GLOBS: [&str; 8] = ["a/*.md", "**", "*", "a/**", "**.md", "/srv/docs/*", "a/?.md", "/srv/**/a.md"];
const NETWORKS: [&str; 5] = ["10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "10.0.0.0/14"];
const ROOTS: [&str; 5] = ["/srv/docs", "/", "/srv/docs/", "/srv", "/srv/docs/a.md"];

/// Any value, with containers nested at most `depth` deep.
pub fn value(choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth == 0 { 6 } else { 10 }) {
        0 => json!(choices.below(4)),
        1 | 2 => json!(choices.of(&STRINGS)),
        3 => json!([1.5, -1.0, 1.0, 0.0, -2.5, 1e21][choices.below(6)]),
        4 => json!(choices.one_in(2)),
        5 => Value::Null,
        6 | 7 => (0..choices.below(4)).map(|_| value(choices, depth - 1)).collect(),
        _ => object(choices, depth - 1),
    }
}

fn object(choices: &mut Choices, depth: usize) -> Value {
    let members = (0..choices.below(4)).map(|_| (choices.of(&NAMES).to_owned(), value(choices, depth)));
    Value::Object(members.collect())
}

/// The arguments of a call: an object, with a member more often than not.
pub fn arguments(choices: &mut Choices) -> Value {
    let mut arguments = object(choices, 3);
    let member = (choices.of(&NAMES).to_owned(), value(choices, 3));
    arguments.as_object_mut().unwrap().extend([member]);
    arguments
}

/// Something else at one place of these arguments.
pub fn changed(choices: &mut Choices, arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    let members = arguments.as_object_mut().unwrap();
    let name = members.keys().nth(choices.below(members.len().max(1))).cloned().unwrap_or_default();
    match choices.below(4) {
        0 => drop(members.insert(name, value(choices, 3))),
        1 => drop(members.remove(&name)),
        2 => drop(members.insert(choices.of(&NAMES).to_owned(), value(choices, 2))),
        _ => match members.get_mut(&name) {
            Some(Value::Array(elements)) => elements.push(value(choices, 1)),
            Some(Value::Object(members)) => drop(members.insert(choices.of(&NAMES).to_owned(), value(choices, 1))),
            Some(Value::String(text)) => text.push_str(choices.of(&["/b", "/..", "x", "\0"])),
            _ => {}
        },
    }
    arguments
}

/// A grant of this tool that is likely to cover these arguments.
pub fn grant(choices: &mut Choices, (tool_server, tool_name): (&str, &str), arguments: &Value) -> Value {
    let mut grant = json!({"tool_server": tool_server, "tool_name": tool_name});
    if !choices.one_in(8) {
        let mut rules = Map::new();
        if !choices.one_in(24) {
            place(choices, "", arguments, &mut rules);
        }
        grant["arguments"] = Value::Object(rules);
    }
    if choices.one_in(4) {
        grant["max_invocations"] = json!([2, 1, 3, 4, 0][choices.below(5)]);
    }
    grant
}

/// Rules for a place and what is below it.
fn place(choices: &mut Choices, pointer: &str, value: &Value, rules: &mut Map<String, Value>) {
    let before = rules.len();
    let descends = !choices.one_in(if pointer.is_empty() { 10 } else { 2 });
    if descends {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if !choices.one_in(60) {
                        place(choices, &below(pointer, name), value, rules);
                    }
                }
            }
            Value::Array(elements) => {
                let star = choices.one_in(2);
                if star {
                    let nothing = Value::Null;
                    let first = elements.first().unwrap_or(&nothing);
                    let alike = elements.iter().all(|element| element == first);
                    if alike || choices.one_in(6) {
                        place(choices, &below(pointer, "*"), first, rules);
                    } else {
                        let any: Vec<_> = elements.iter().map(|element| constraint(choices, element, 1)).collect();
                        rules.insert(below(pointer, "*"), json!({"constraint_type": "any", "constraints": any}));
                    }
                }
                if !star || choices.one_in(3) {
                    for (index, value) in elements.iter().enumerate() {
                        place(choices, &below(pointer, &index.to_string()), value, rules);
                    }
                }
            }
            _ => {}
        }
        if choices.one_in(5) {
            // A place that may well not be there, with or without another below it.
            let mut pointer = below(pointer, choices.of(&NAMES));
            if choices.one_in(3) {
                pointer = below(&pointer, choices.of(&NAMES));
            }
            let elsewhere = crate::generate::value(choices, 1);
            let mut rule = constraint(choices, &elsewhere, 1);
            if !choices.one_in(10) {
                rule["optional"] = json!(true);
            }
            rules.entry(pointer).or_insert(rule);
        }
    }
    if rules.len() == before || choices.one_in(6) {
        let mut rule = constraint(choices, value, 2);
        if choices.one_in(4) {
            rule["optional"] = json!(choices.one_in(2));
        }
        rules.insert(pointer.to_owned(), rule);
    }
}

fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The types of constraints that are likely to fit a value. **A new type gets its name here and its arm below.**
fn types(value: &Value) -> Vec<&'static str> {
    let mut types = vec!["exact", "wildcard", "one_of", "not_one_of", "all", "any"];
    let special: &[&str] = match value {
        Value::Number(_) => &["range"],
        Value::Array(_) => &["contains", "subset"],
        Value::String(text) if text.starts_with('/') => &["path_containment", "path_containment", "pattern"],
        Value::String(text) if text.starts_with("git") => &["shell_words", "max_length"],
        Value::String(text) if text.contains("10.") || text.contains("::") => &["cidr"],
        Value::String(_) => &["max_length", "pattern"],
        _ => &[],
    };
    for _ in 0..3 {
        types.extend(special);
    }
    types
}

/// Those that fit nothing, or not this value.
const OTHERS: [&str; 9] = [
    "a_type_that_no_kernel_knows",
    "range",
    "path_containment",
    "contains",
    "subset",
    "max_length",
    "pattern",
    "cidr",
    "shell_words",
];

/// A constraint that is likely to let this value pass.
fn constraint(choices: &mut Choices, value: &Value, depth: usize) -> Value {
    let other = if choices.one_in(60) { Some(crate::generate::value(choices, 2)) } else { None };
    let value = other.as_ref().unwrap_or(value);
    let mut name = choices.of(&types(value));
    if choices.one_in(60) {
        name = choices.of(&OTHERS);
    }
    if depth == 0 && ["all", "any"].contains(&name) {
        name = "exact";
    }
    let members = match name {
        "range" => range(choices, value),
        "path_containment" => json!({"root": choices.of(&ROOTS)}),
        "max_length" => json!({"max": 20 - choices.below(20)}),
        "pattern" => json!({"glob": choices.of(&GLOBS)}),
        "cidr" => json!({"network": choices.of(&NETWORKS)}),
        "shell_words" => json!({"programs": if choices.one_in(8) { ["ls"] } else { ["git"] }}),
        "one_of" => json!({"values": around(choices, value)}),
        "not_one_of" => {
            let others: Vec<_> = (0..choices.below(3)).map(|_| crate::generate::value(choices, 1)).collect();
            json!({"excluded": others})
        }
        "contains" => {
            let elements = value.as_array().map_or(&[][..], Vec::as_slice);
            let required: Vec<_> = elements.iter().filter(|_| choices.one_in(2)).collect();
            json!({"required": if choices.one_in(24) { json!([value]) } else { json!(required) }})
        }
        "subset" => {
            let elements = value.as_array().cloned().unwrap_or_default();
            let allowed: Vec<_> = elements.into_iter().filter(|_| !choices.one_in(40)).collect();
            json!({"allowed": allowed})
        }
        "all" => {
            let constraints: Vec<_> =
                (0..=choices.below(2)).map(|_| constraint(choices, value, depth.saturating_sub(1))).collect();
            json!({"constraints": constraints})
        }
        "any" => {
            let elsewhere = crate::generate::value(choices, 1);
            let mut constraints = vec![constraint(choices, value, depth.saturating_sub(1))];
            constraints.insert(choices.below(2), constraint(choices, &elsewhere, depth.saturating_sub(1)));
            json!({"constraints": constraints})
        }
        "exact" => json!({"value": respelled(value)}),
        _ => json!({}),
    };
    let mut constraint = members;
    constraint["constraint_type"] = json!(name);
    constraint
}

/// A range around a number, or nearly.
fn range(choices: &mut Choices, value: &Value) -> Value {
    let middle = value.as_f64().unwrap_or(1.0);
    let mut range = json!({});
    let bounds = choices.below(3);
    for (bound, side, inclusive) in [("min", -1.0, "min_inclusive"), ("max", 1.0, "max_inclusive")] {
        if (bound == "min" && bounds == 1) || (bound == "max" && bounds == 2) {
            continue;
        }
        // Beside the number, on it, or just beyond.
        let distance = [1.0, 0.0, 0.5, 3.0, 2.0, 1.0, 7.0, -0.5][choices.below(8)];
        range[bound] = json!(middle + side * distance);
        if choices.one_in(2) {
            range[inclusive] = json!(!choices.one_in(4));
        }
    }
    range
}

/// A few values, this one among them more often than not.
fn around(choices: &mut Choices, value: &Value) -> Vec<Value> {
    let mut values: Vec<_> = (0..choices.below(3)).map(|_| crate::generate::value(choices, 1)).collect();
    if !choices.one_in(30) {
        values.insert(choices.below(values.len() + 1), respelled(value));
    }
    values
}

/// The same value in another type of number: `1` is `1.0`.
fn respelled(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(elements) => elements.iter().map(respelled).collect(),
        other => other.clone(),
    }
}
