//! Paths: what is inside a directory.

/// An absolute path in normal form, or none.
///
/// Refused is whatever two programs could read differently: a path that is not absolute; an empty segment; a segment of
/// nothing but dots, spaces and characters that some file systems ignore; what [`is_plain`] refuses. One slash at the end
/// is dropped; the normal form of `/` is the empty text.
pub fn normal(path: &str) -> Option<&str> {
    if path == "/" {
        return Some("");
    }
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let segments = trimmed.strip_prefix('/')?;
    let is_name = |segment: &str| !has_no_name(segment);
    (is_plain(path) && segments.split('/').all(is_name)).then_some(trimmed)
}

/// Whether `path` is `root` or lies below it; both in [`normal`] form.
pub fn contains(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether every program that takes the text for a path or a name cuts it at the same places: there is no backslash, no
/// control character, no percent escape (`%2e`, `%252e`, `%u2215`), no brace that could be expanded, and no character that
/// looks like one that matters or that a Unicode normal form turns into one.
pub fn is_plain(text: &str) -> bool {
    let braces = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    !braces.is_some_and(|(inside, _)| inside.contains([',', '.']))
        && !text.chars().any(|c| c.is_control() || c == '\\' || is_look_alike(c))
        && !has_percent_escape(text)
}

/// Whether a segment is `.` or `..`, or could become it: Windows drops dots and spaces at the end, HFS+ ignores what is not
/// seen, and whoever expands globs and variables finds `..` by `.?`, and in `$a..` where there is no `a`.
pub(crate) fn has_no_name(segment: &str) -> bool {
    let dot = segment.trim_start_matches(is_unseen).starts_with('.');
    segment.chars().all(|c| c == '.' || c.is_whitespace() || is_unseen(c))
        || (dot && segment.contains(['*', '?', '[', '{', '(', '$']))
        || (segment.contains('$') && segment.matches(['.', '*', '?', '[', '{']).nth(1).is_some())
}

/// Marks that take no room or turn the direction of a line: what Unicode calls default ignorable, line and paragraph
/// separators, annotations.
pub(crate) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

fn has_percent_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        let mut digits = after.bytes();
        match digits.next() {
            Some(b'u' | b'U') => true,
            Some(first) => first.is_ascii_hexdigit() && digits.next().is_some_and(|second| second.is_ascii_hexdigit()),
            None => false,
        }
    })
}

/// What NFKC turns into a text with one of ``./\%:;@~$`'"*?[{#-`` in it; the vertical and small forms, of which most are;
/// slashes and backslashes of mathematics; the signs of yen and won, which some Windows takes for a backslash.
pub(crate) fn is_look_alike(c: char) -> bool {
    matches!(c, '\u{37e}' | '\u{1fef}' | '\u{2024}'..='\u{2026}' | '\u{2047}'..='\u{2049}')
        || matches!(c, '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{2488}'..='\u{249b}' | '\u{1f100}')
        || matches!(c, '\u{2a74}' | '\u{33c2}' | '\u{33c7}' | '\u{33d8}')
        || matches!(c, '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6b}')
        || matches!(c, '\u{ff02}'..='\u{ff05}' | '\u{ff07}' | '\u{ff0a}' | '\u{ff0d}'..='\u{ff0f}' | '\u{ff1a}')
        || matches!(c, '\u{ff1b}' | '\u{ff1f}' | '\u{ff20}' | '\u{ff3b}' | '\u{ff3c}' | '\u{ff40}' | '\u{ff5b}')
        || matches!(c, '\u{ff5e}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{2216}' | '\u{29f5}' | '\u{29f9}')
        || matches!(c, '\u{a5}' | '\u{20a9}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn what_has_a_normal_form_and_what_has_not() {
        for (path, expected) in [
            ("/", ""),
            ("/srv/docs", "/srv/docs"),
            ("/srv/docs/", "/srv/docs"),
            ("/a b/.hidden/c..d", "/a b/.hidden/c..d"),
            ("/*.md/a?/[id].tsx/{a}.json/b,{/$id.tsx/x (1).txt", "/*.md/a?/[id].tsx/{a}.json/b,{/$id.tsx/x (1).txt"),
            ("/\u{2764}\u{fe0f}/（1）", "/\u{2764}\u{fe0f}/（1）"),
            ("/50% off/100%", "/50% off/100%"),
            ("/9%ag/%g0%", "/9%ag/%g0%"),
            ("/ä/文書。", "/ä/文書。"),
            ("/a:b/c~1/$HOME", "/a:b/c~1/$HOME"),
        ] {
            assert_eq!(normal(path), Some(expected), "{path}");
        }
        for path in [
            "",
            "a",
            "./a",
            "../a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/...",
            "/a/.. /b",
            "/a/. ./b",
            "/a/\u{200c}../b",
            "/a/.\u{200b}./b",
            "/a/\u{feff}",
            "/a/ /b",
            "/a\\b",
            "\\a",
            "/a/..\\..\\b",
            "C:\\a",
            "/a\0b",
            "/a\nb",
            "/a\tb",
            "/a\u{7f}",
            "/a\u{85}b",
            "/%2e%2e/a",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%252e",
            "/%c0%ae%c0%ae/a",
            "/a%20b",
            "/%u2215a",
            "/\u{2025}/a",
            "/\u{2024}\u{2024}/a",
            "/\u{ff0e}\u{ff0e}/a",
            "/a\u{ff0f}b",
            "/a\u{2215}b",
            "/a\u{2044}b",
            "/a\u{ff3c}b",
            "/a\u{2216}b",
            "/\u{2105}",
            "file:///a",
            "/a/.?",
            "/a/.*/b",
            "/a/.[.]",
            "/a/.+(.)",
            "/a/.{.}",
            "/a/.$x.",
            "/a/\u{200b}.?",
            "/a/$x..",
            "/a/${x}..",
            "/a/$x.$y.",
            "/a/$x.*",
            "/a/$x.?",
            "/a/$x.[.]",
            "/a/$x.{y}",
            "/a/{..,b}",
            "/a/{.,b}.",
            "/a/{b,c/..,/d}",
            "/a/{{b},..}",
            "/a/{.}.",
            "/a/{-../}",
            "/a/{,b}..",
            "/a/.{b}",
            "/a/.$x",
            "/a/.\u{e0001}.",
            "/a/\u{34f}..",
            "/a/…",
            "/a\u{fe6a}2e",
            "/C\u{ff1a}",
        ] {
            assert_eq!(normal(path), None, "{path:?}");
        }
    }

    /// Through all of Unicode: what passes stays as harmless as it is in NFKC, and little else is denied.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn what_a_normal_form_makes_dangerous_is_denied_and_what_looks_alike() {
        let looks = "\u{2044}\u{2215}\u{29f8}\u{2216}\u{29f5}\u{29f9}\u{a5}\u{20a9}";
        for c in '\u{80}'..=char::MAX {
            let text = c.to_string();
            let mut forms = text.nfkc().chain(text.nfkd()).chain(text.nfc());
            let dangerous = forms.any(|c| r#"./\%:;@~$`'"*?[{#-"#.contains(c));
            let form = matches!(c, '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6b}');
            assert_eq!(is_look_alike(c), dangerous || form || looks.contains(c), "{c:?}");
            assert_eq!(is_plain(&text), !is_look_alike(c) && !c.is_control(), "{c:?}");
        }
    }

    #[test]
    fn what_is_not_seen_is_no_name() {
        for c in "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180e}\u{200b}\u{200f}\u{2028}\u{202e}\u{2060}\u{206f}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{fffb}\u{1bca0}\u{1d173}\u{e0000}\u{e0fff}".chars() {
            assert!(has_no_name(&format!("{c}")) && has_no_name(&format!(".{c}.")), "{c:?}");
        }
        for c in "a\u{e9}\u{301}\u{2764}\u{1160b}".chars() {
            assert!(!has_no_name(&format!("{c}")), "{c:?}");
        }
    }

    #[test]
    fn a_sibling_is_not_inside() {
        for (root, path, inside) in [
            ("/srv", "/srv", true),
            ("/srv", "/srv/a", true),
            ("/srv", "/srv2", false),
            ("/srv", "/SRV/a", false),
            ("/srv", "", false),
            ("", "", true),
            ("", "/a", true),
            // One text in two Unicode normal forms is two names.
            ("/caf\u{e9}", "/cafe\u{301}/a", false),
        ] {
            assert_eq!(contains(root, path), inside, "{path} in {root}");
        }
    }
}
