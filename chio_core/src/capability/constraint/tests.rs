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
        (json!({"constraint_type": "range", "max": 3, "max_inclusive": false}), vec![json!(2.9)], vec![json!(3)]),
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
            vec![json!("/srv/docs"), json!("/srv/docs/"), json!("/srv/docs/a/b.md")],
            vec![
                json!("/srv/docs2"),
                json!("/srv"),
                json!("/"),
                json!(""),
                json!("srv/docs/a"),
                json!("/srv/docs/../../etc"),
                json!("/srv/docs/.."),
                json!("/srv/docs/..."),
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
            json!({"constraint_type": "max_length", "max": 3}),
            vec![json!(""), json!("abc"), json!("äöü")],
            vec![json!("abcd"), json!(3), json!(["a"]), json!(null)],
        ),
        (
            json!({"constraint_type": "pattern", "glob": "/srv/*/*.md"}),
            vec![json!("/srv/a/b.md")],
            vec![json!("/srv/a/b/c.md"), json!("/srv/../b.md"), json!(1)],
        ),
        (
            json!({"constraint_type": "regex", "pattern": "[a-z]{2,4}"}),
            vec![json!("abc")],
            vec![json!("abc1"), json!("a"), json!(["abc"])],
        ),
        (
            json!({"constraint_type": "url", "schemes": ["https"], "hosts": ["*.example.org"], "ports": [443, 8443], "path_prefix": "/v1"}),
            vec![json!("https://api.example.org:8443/v1/a?b")],
            vec![json!("https://example.org/v1"), json!("http://evil\\@api.example.org/v1"), json!({})],
        ),
        (json!({"constraint_type": "url"}), vec![json!("http://a/")], vec![json!("ftp://a/"), json!("a")]),
        (
            json!({"constraint_type": "url_safe"}),
            vec![json!("https://www.rust-lang.org/")],
            vec![json!("http://0x7f.1/"), json!("http://[::ffff:169.254.169.254]/"), json!(1)],
        ),
        (
            json!({"constraint_type": "cidr", "network": "10.0.0.0/8"}),
            vec![json!("10.1.2.3")],
            vec![json!("11.0.0.1"), json!("0xa.1.2.3"), json!(167_837_955)],
        ),
        (
            json!({"constraint_type": "shell_words", "programs": ["git", "ls"]}),
            vec![json!("git log -n 1"), json!("ls")],
            vec![json!("git log; id"), json!("rm"), json!(["git"]), json!("")],
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
        json!({"constraint_type": "wildcard", "max": 1}),
        json!({"constraint_type": "max_length"}),
        json!({"constraint_type": "max_length", "max": -1}),
        json!({"constraint_type": "max_length", "max": 1.5}),
        json!({"constraint_type": "max_length", "max": "1"}),
        json!({"constraint_type": "pattern", "pattern": "*"}),
        json!({"constraint_type": "pattern", "glob": "[a-z]"}),
        json!({"constraint_type": "regex", "pattern": "("}),
        json!({"constraint_type": "regex", "pattern": "a", "flags": "i"}),
        json!({"constraint_type": "all", "constraints": [{"constraint_type": "any", "constraints": [{"constraint_type": "regex", "pattern": "a)|(b"}]}]}),
        json!({"constraint_type": "url", "hosts": "a"}),
        json!({"constraint_type": "url", "hosts": [1]}),
        json!({"constraint_type": "url", "hosts": []}),
        json!({"constraint_type": "url", "ports": [65536]}),
        json!({"constraint_type": "url", "ports": 443}),
        json!({"constraint_type": "url", "path_prefix": null}),
        json!({"constraint_type": "url_safe", "hosts": ["a"]}),
        json!({"constraint_type": "cidr", "network": "10.0.0.1/8"}),
        json!({"constraint_type": "shell_words"}),
        json!({"constraint_type": "shell_words", "programs": ["git log"]}),
    ] {
        assert!(Rule::from_value(&constraint).is_err(), "{constraint}");
    }
}

/// Whoever sends a token cannot have its patterns compiled; whoever signs one is told.
#[test]
fn a_pattern_that_is_none_denies_where_it_is_read() {
    let bad = json!({"constraint_type": "regex", "pattern": "("});
    let read: Rule = serde_json::from_value(bad.clone()).unwrap();
    for value in [json!("("), json!(""), json!(null)] {
        assert!(!read.allows(&canonical::to_json(&value).unwrap(), &Effort::default()), "{value}");
    }
    let either = json!({"constraint_type": "any", "constraints": [bad, {"constraint_type": "exact", "value": "a"}]});
    let read: Rule = serde_json::from_value(either).unwrap();
    assert!(read.allows(&canonical::to_json("a").unwrap(), &Effort::default()));
}

/// As deep as a token may nest: it answers, and every level counts.
#[test]
#[cfg_attr(miri, ignore = "takes minutes under Miri")]
fn composites_at_depth() {
    for (leaf, value, allowed) in [
        (json!({"constraint_type": "exact", "value": 1}), json!(1), true),
        (json!({"constraint_type": "exact", "value": 1}), json!(2), false),
        (json!({"constraint_type": "from_the_future"}), json!(1), false),
    ] {
        let mut rule = leaf;
        for level in 0..24 {
            let kind = if level % 2 == 0 { "all" } else { "any" };
            rule = json!({"constraint_type": kind, "constraints": [rule, {"constraint_type": if level % 2 == 0 { "wildcard" } else { "never" }}]});
        }
        let rule = Rule::from_value(&rule).unwrap();
        assert_eq!(rule.allows(&canonical::to_json(&value).unwrap(), &Effort::default()), allowed);
    }
}

/// A text that is long, or compared with much, uses the effort up; then nothing is allowed.
#[test]
#[cfg_attr(miri, ignore = "takes minutes under Miri")]
fn texts_cost_effort() {
    let hosts: Vec<_> = (0..1000).map(|host| format!("h{host}.example")).collect();
    let programs: Vec<_> = (0..1000).map(|program| format!("p{program}")).collect();
    for (rule, value) in [
        (json!({"constraint_type": "regex", "pattern": "a*"}), json!("a".repeat(500))),
        (json!({"constraint_type": "regex", "pattern": "(a{50})*"}), json!("")),
        (json!({"constraint_type": "pattern", "glob": "**"}), json!("a".repeat(500))),
        (json!({"constraint_type": "url", "hosts": hosts}), json!("https://h1.example/")),
        (json!({"constraint_type": "shell_words", "programs": programs}), json!("p1")),
        (json!({"constraint_type": "max_length", "max": 100_000}), json!("a".repeat(4_000))),
        (json!({"constraint_type": "path_containment", "root": "/"}), json!(format!("/{}", "a".repeat(4_000)))),
        (json!({"constraint_type": "url"}), json!(format!("https://a.example/{}", "a".repeat(4_000)))),
        (json!({"constraint_type": "shell_words", "programs": ["p"]}), json!(format!("p {}", "a".repeat(4_000)))),
        (
            json!({"constraint_type": "all", "constraints": vec![json!({"constraint_type": "url_safe"}); 60]}),
            json!("https://a.com"),
        ),
        (json!({"constraint_type": "not_one_of", "excluded": []}), json!("a".repeat(4_000))),
        (
            json!({"constraint_type": "all", "constraints": vec![json!({"constraint_type": "not_one_of", "excluded": []}); 500]}),
            json!(1),
        ),
        (json!({"constraint_type": "subset", "allowed": [1]}), json!(vec![1; 500])),
    ] {
        let (rule, value) = (Rule::from_value(&rule).unwrap(), canonical::to_json(&value).unwrap());
        assert!(rule.allows(&value, &Effort::default()));
        assert!(!rule.allows(&value, &Effort(Cell::new(900))), "{}", rule.constraint_type());
    }
}

#[test]
fn a_rule_tells_its_type() {
    assert_eq!(rule(&json!({"constraint_type": "range", "min": 1})).constraint_type(), "range");
    assert_eq!(
        rule(&json!({"constraint_type": "not", "constraint": {"constraint_type": "wildcard"}})).constraint_type(),
        "not"
    );
}
