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
/// control character, no percent escape (`%2e`, `%252e`, `%u2215`), and no character that looks like a separator or a dot or
/// that a Unicode normal form turns into one.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c == '\\' || is_look_alike(c)) && !has_percent_escape(text)
}

/// Whether a segment is `.` or `..`, or could become it: Windows drops dots and spaces at the end, and HFS+ ignores
/// what is not seen.
pub(crate) fn has_no_name(segment: &str) -> bool {
    segment.chars().all(|c| c == '.' || c.is_whitespace() || is_unseen(c))
}

/// Marks that take no room or turn the direction of a line.
pub(crate) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

/// One dot leader, two dot leader, their vertical and small forms, the full-width dot; the fraction, division and big
/// solidus, the full-width slash, letters around a slash; the same for the backslash.
fn is_look_alike(c: char) -> bool {
    matches!(c, '\u{2024}' | '\u{2025}' | '\u{fe30}' | '\u{fe52}' | '\u{ff0e}')
        || matches!(c, '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}')
        || matches!(c, '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}')
        || matches!(c, '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_normal_form_and_what_has_not() {
        for (path, expected) in [
            ("/", ""),
            ("/srv/docs", "/srv/docs"),
            ("/srv/docs/", "/srv/docs"),
            ("/a b/.hidden/c..d/…", "/a b/.hidden/c..d/…"),
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
        ] {
            assert_eq!(normal(path), None, "{path:?}");
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
