//! Constraints through a whole kernel: what docs/constraints.md says passes and what it says is denied.

use chio_core::capability::Grant;
use chio_tests::repository;
use chio_tests::world::{SERVER, TOOL, World, call, code, issue, terms};
use serde_json::{Value, json};

fn examples() -> Vec<Value> {
    let text = std::fs::read_to_string(repository().join("docs/constraints.md")).unwrap();
    let blocks = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect()
}

#[test]
fn the_examples_are_as_the_document_says() {
    let kernel = World::new().kernel();
    let mut number = 0;
    for example in examples() {
        let grant = Grant::new(SERVER, TOOL).argument("/value", &example["rule"]).unwrap();
        let chain = issue(terms(vec![grant]));
        for (values, expected) in [("passes", ""), ("denies", "argument_constraint_violated")] {
            for value in example[values].as_array().unwrap() {
                number += 1;
                let arguments = json!({"value": value}).to_string();
                let answer = code(&kernel, call(&chain, &arguments, &number.to_string()));
                assert_eq!(answer, expected, "{}: {value}", example["rule"]);
            }
        }
    }
    println!("{number} values");
    assert!(number > 200, "{number}");
}

#[test]
fn every_type_has_an_example_and_a_row() {
    let protocol = std::fs::read_to_string(repository().join("docs/protocol.md")).unwrap();
    let types = |value: &Value| value["rule"]["constraint_type"].as_str().unwrap().to_owned();
    let shown: Vec<_> = examples().iter().map(types).collect();
    let section = protocol.split("## 7. Constraints").nth(1).unwrap().split("## 8.").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for row in rows {
        assert!(shown.iter().any(|shown| shown == row) || row == "wildcard", "{row} has no example");
    }
    for shown in shown.iter().filter(|shown| *shown != "not_known_yet") {
        assert!(section.contains(&format!("| `{shown}` |")), "{shown} has no row");
    }
}
