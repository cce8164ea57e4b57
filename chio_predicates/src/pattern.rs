//! Patterns: regular expressions and globs, in time that grows with the text and no faster.

use regex_lite::{Regex, RegexBuilder, escape};

use crate::path;

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// The largest compiled pattern, in bytes: about 500 steps of the automaton, such as `[a-z]{500}`.
const MAX_COMPILED_BYTES: usize = 16 << 10;

/// A pattern for a whole text.
///
/// It is compiled each time it is used: that takes microseconds, and a stranger who sends many takes no memory with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    expression: String,
    /// Of a pattern for names, its own text. What it matches must be a text that is read alike by all.
    glob: Option<String>,
}

impl Pattern {
    /// A regular expression: the whole text must match it, as if it stood between `\A` and `\z`. Neither look-around nor
    /// back references; `\d`, `\s`, `\w`, `\b` and `(?i)` know ASCII alone.
    pub fn regex(expression: String) -> Self {
        Self { expression, glob: None }
    }

    /// A glob: `?` is one character and `*` any number of them, none of them a slash; `**` is any text, between slashes at
    /// least one segment. Everything else is itself.
    /// Fails where it has what other globs give a meaning: brackets, braces, a backslash, `!` in front, or three stars.
    pub fn glob(glob: &str) -> Result<Self, &'static str> {
        if glob.contains(['[', ']', '{', '}', '\\']) || glob.starts_with('!') {
            return Err("a glob knows `?`, `*` and `**` alone: no brackets, braces, backslash, or `!` in front");
        }
        if glob.contains("***") {
            return Err("three stars mean nothing: `**` is any text already");
        }
        let any = |within: &str| within.split('*').map(one).collect::<Vec<_>>().join("[^/]*");
        let expression = glob.split("**").map(any).collect::<Vec<_>>().join("(?s:.*)");
        Ok(Self { expression, glob: Some(glob.to_owned()) })
    }

    /// Whether it can be used at all.
    /// Fails where it is no regular expression, or too long, or too large once it is compiled.
    pub fn check(&self) -> Result<(), &'static str> {
        self.compiled().map(|_| ())
    }

    /// What [`Self::matches`] costs at most for a text of that many bytes, in quarters of a microsecond. It grows with the
    /// steps of the automaton, which a number in braces multiplies up to the bound; each group takes room beside each step.
    pub fn cost(&self, text_bytes: usize) -> usize {
        let least = if self.expression.contains('{') { 512 } else { 0 };
        let steps = self.expression.len().max(least);
        let groups = self.expression.matches('(').count();
        let compiling = steps.saturating_mul(2).saturating_add(groups.saturating_mul(64)).saturating_add(32);
        let matching = text_bytes.saturating_mul((steps / 24).saturating_add(2));
        matching.saturating_add(compiling)
    }

    /// Whether the whole text matches. With a glob, a text that is not a plain name or path does not, whatever the stars
    /// would make of it; nor one that starts like an option, a home or a drive where the glob does not itself.
    pub fn matches(&self, text: &str) -> bool {
        let plain = || path::is_plain(text) && !text.contains("//") && !text.split('/').any(is_dots);
        let starts = |glob: &String| glob.starts_with(head(text));
        self.glob.as_ref().is_none_or(|glob| starts(glob) && plain())
            && self.compiled().is_ok_and(|regex| regex.is_match(text))
    }

    fn compiled(&self) -> Result<Regex, &'static str> {
        if self.expression.len() > MAX_PATTERN_BYTES {
            return Err("the pattern is longer than 1024 bytes");
        }
        // Alone first: `a)|(b` is none, and would become one between the parentheses.
        let compile = |expression: &str| RegexBuilder::new(expression).size_limit(MAX_COMPILED_BYTES).build();
        let whole = compile(&self.expression).and_then(|_| compile(&format!(r"\A(?:{})\z", self.expression)));
        whole.map_err(|_| "the pattern is no regular expression, or too large once it is compiled")
    }
}

fn one(literal: &str) -> String {
    literal.split('?').map(escape).collect::<Vec<_>>().join("[^/]")
}

/// What a program may take for more than the first characters of a name.
fn head(text: &str) -> &str {
    let hidden = || text.chars().next().filter(|c| path::is_unseen(*c)).map_or(0, char::len_utf8);
    let length = match text.as_bytes() {
        [b'-' | b'~', ..] => 1,
        [letter, b':', ..] if letter.is_ascii_alphabetic() => 2,
        _ => hidden(),
    };
    text.get(..length).unwrap_or_default()
}

/// Not empty, as it may be at either end.
fn is_dots(segment: &str) -> bool {
    !segment.is_empty() && path::has_no_name(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, passes, fails) in [
            ("", vec![""], vec!["a", "/"]),
            ("*", vec!["", "a", "a.b"], vec!["a/b", "/", "..", ".", "a\nb", "a\\b", "%2e%2e", "a\u{ff0f}b"]),
            (
                "**",
                vec!["", "a/b", "/"],
                vec!["a/../b", "a/./b", "..", "a\\b", "a/%2e%2e/b", "a\0b", "a\nb", "a/\u{2025}/b"],
            ),
            (
                "/srv/*/x",
                vec!["/srv/a/x"],
                vec!["/srv/a/b/x", "/srv//../x", "/srv/../x", "/srv/./x", "/srv/a/x/", "/srv/a/xy"],
            ),
            ("/srv/**", vec!["/srv/", "/srv/a/b"], vec!["/srv", "/srv/../etc", "/srv2/a"]),
            ("/srv/**/x", vec!["/srv/a/x", "/srv/a/b/x"], vec!["/srv/x", "/srv/../x"]),
            ("*.md", vec!["a.md", ".md"], vec!["a.md/b", "a.mdx", "amd", "a/b.md", "a.md\n"]),
            ("?.md", vec!["a.md", "ä.md"], vec![".md", "ab.md", "/.md"]),
            ("a.b+(c)|^$", vec!["a.b+(c)|^$"], vec!["aXb+(c)|^$", "a.bb(c)"]),
            ("café", vec!["caf\u{e9}"], vec!["cafe\u{301}"]),
            (
                "*",
                vec!["a-b~c", "1:2", "ab:c", ":a", "@a", "+a"],
                vec!["-", "-rf", "~", "~root", "C:", "c:a", "\u{ad}rf", "\u{ff0d}rf", ".?", "$a.."],
            ),
            ("?*", vec!["ab"], vec!["-a", "~a", "C:a"]),
            ("-*", vec!["-a", "-"], vec!["~", "a"]),
            ("~*", vec!["~", "~a"], vec!["-"]),
            ("C:*", vec!["C:", "C:a"], vec!["c:a", "D:a", "C"]),
            ("C*", vec!["Ca"], vec!["C:", "C:a"]),
        ] {
            let pattern = Pattern::glob(glob).unwrap();
            pattern.check().unwrap();
            for text in passes {
                assert!(pattern.matches(text), "{glob} should allow {text:?}");
            }
            for text in fails {
                assert!(!pattern.matches(text), "{glob} should deny {text:?}");
            }
        }
        for glob in ["[a-z]", "{a,b}", "a\\*", "!a", "***", "a]"] {
            assert!(Pattern::glob(glob).is_err(), "{glob}");
        }
    }

    #[test]
    fn regular_expressions_are_anchored() {
        for (regex, passes, fails) in [
            ("[a-z]+", vec!["abc"], vec!["abc1", "1abc", "", "abc\n", "\nabc", "ABC", "äbc"]),
            ("a|b", vec!["a", "b"], vec!["ab", "ax", "xb"]),
            ("(?m)^a$", vec!["a"], vec!["a\nb", "b\na", "a\n"]),
            ("(?s).*", vec!["", "a\nb"], vec![]),
            (".*", vec!["", "a"], vec!["a\nb", "\n"]),
            (r"\d{4}", vec!["2026"], vec!["٢٠٢٦", "20266", " 2026"]),
            (r"(?i)get", vec!["GET", "Get"], vec!["ge\u{17f}"]),
            (
                r"\w+@example\.com",
                vec!["a@example.com"],
                vec!["a@example.com.evil", "a@exampleXcom", "a@example.com\n", "a b@example.com"],
            ),
        ] {
            let pattern = Pattern::regex(regex.to_owned());
            pattern.check().unwrap();
            for text in passes {
                assert!(pattern.matches(text), "{regex} should allow {text:?}");
            }
            for text in fails {
                assert!(!pattern.matches(text), "{regex} should deny {text:?}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes under Miri")]
    fn what_is_no_pattern_matches_nothing() {
        let long = "a".repeat(MAX_PATTERN_BYTES + 1);
        let deep = "(".repeat(500) + &")".repeat(500);
        for regex in [
            "(",
            "a)|(b",
            "a)|(?:b",
            "*",
            "(?=a)",
            r"(a)\1",
            r"\p{L}",
            "a{9999}",
            "((a{100}){100}){100}",
            "[z-a]",
            &long,
            &deep,
        ] {
            let pattern = Pattern::regex(regex.to_owned());
            assert!(pattern.check().is_err(), "{regex}");
            assert!(!pattern.matches("") && !pattern.matches("a") && !pattern.matches("b"), "{regex}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes under Miri")]
    fn a_pattern_has_at_most_1024_bytes() {
        let class = |bytes: usize| format!("[{}]", "a".repeat(bytes - 2));
        assert!(Pattern::regex(class(MAX_PATTERN_BYTES)).matches("a"));
        assert!(!Pattern::regex(class(MAX_PATTERN_BYTES + 1)).matches("a"));
    }

    /// What it costs in fact was measured with patterns that come near to a bound.
    #[test]
    fn cost_grows_with_the_text_and_the_pattern() {
        let cost = |regex: String, bytes| Pattern::regex(regex).cost(bytes);
        assert_eq!((cost("a".into(), 0), cost("a".into(), 1000)), (34, 2034));
        assert_eq!((cost("a".repeat(1000), 0), cost("a".repeat(1000), 1000)), (2032, 45_032));
        assert_eq!((cost("a{9}".into(), 0), cost("a{9}".into(), 1000)), (1056, 24_056));
        assert_eq!(cost("()".repeat(144), 0), 32 + 576 + 144 * 64);
    }

    /// Patterns that take an engine with backtracking longer than there is time.
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes under Miri")]
    fn catastrophic_patterns_are_not() {
        let text = "a".repeat(100_000);
        for regex in ["(a+)+b", "(a|aa)+b", "(a*)*b", "(a|a?)+b", "([a-z]*)*[0-9]", "(a?){100}a{100}b"] {
            assert!(!Pattern::regex(regex.to_owned()).matches(&text), "{regex}");
        }
        assert!(!Pattern::glob("*a*a*a*a*a*a*a*a*b").unwrap().matches(&text));
    }
}
