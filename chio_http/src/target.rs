//! The target of a request: which path it names, by a text that no two readers take for two paths.
//!
//! What another program could read in another way is refused and never put right: a guard that decides on `/a` while the
//! service behind it opens `/b` guards nothing.

use std::borrow::Cow;
use std::fmt;

/// The longest target that is read, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 << 10;

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It does not begin with a `/`: it is empty, `*`, a whole URL or an authority.
    NotAPath,
    /// It is longer than [`MAX_TARGET_BYTES`].
    TooLong,
    /// A character that does not stand for itself everywhere: `\`, `;`, what is not ASCII, what is not printable.
    Character,
    /// `//`, or a segment `.` or `..`.
    Segment,
    /// An escape that is broken, has lower-case digits, or stands for what need not or must not be escaped.
    Escape,
    /// The query has a credential in it.
    Credential,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPath => "the target is no path",
            Self::TooLong => "the target is too long",
            Self::Character => "the target has a character that is not read alike everywhere",
            Self::Segment => "the path has an empty segment, `.` or `..`",
            Self::Escape => "the path has an escape that is not read alike everywhere",
            Self::Credential => "the query has a credential in it",
        })
    }
}

impl std::error::Error for TargetError {}

/// The path and the query of a request, as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads a target in origin-form (RFC 9112 section 3.2.1).
    /// Fails where it is another form, or ambiguous.
    pub fn parse(text: &'a str) -> Result<Self, TargetError> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        check_path(path)?;
        if let Some(query) = query {
            if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
                return Err(TargetError::Character);
            }
            if names_a_credential(query) {
                return Err(TargetError::Credential);
            }
        }
        Ok(Self { path, query })
    }

    /// The path, as it was sent.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query, as it was sent: what follows the first `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }
}

/// Checks that a path has one reading.
pub(crate) fn check_path(path: &str) -> Result<(), TargetError> {
    let Some(rest) = path.strip_prefix('/') else { return Err(TargetError::NotAPath) };
    // RFC 3986 section 3.3, without `;`: what follows it is cut off by some (RFC 2396 had it for parameters).
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'%') || b"-._~!$&'()*+,=:@".contains(&byte);
    if !path.bytes().all(is_plain) {
        return Err(TargetError::Character);
    }
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        // The last may be empty: `/a/` is another path than `/a`.
        if matches!(segment, "." | "..") || segment.is_empty() && segments.peek().is_some() {
            return Err(TargetError::Segment);
        }
        if segment.contains('%') {
            unescaped(segment)?;
        }
    }
    Ok(())
}

/// What a segment stands for.
/// Fails where an escape is broken, or stands for something that has another spelling or another meaning: what needs no
/// escape (RFC 3986 section 6.2.2.2), what ends a segment or a path where it is unescaped too early, and `%` itself,
/// which some unescape twice. What is left has to be UTF-8, so that there is no overlong `/`.
pub(crate) fn unescaped(segment: &str) -> Result<Cow<'_, str>, TargetError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let escaped = rest.next().zip(rest.next()).and_then(|(high, low)| byte_of(high, low));
        let escaped = escaped.ok_or(TargetError::Escape)?;
        let is_unreserved = escaped.is_ascii_alphanumeric() || b"-._~".contains(&escaped);
        if is_unreserved || escaped.is_ascii_control() || b"/\\%;?#".contains(&escaped) {
            return Err(TargetError::Escape);
        }
        bytes.push(escaped);
    }
    let text = String::from_utf8(bytes).map_err(|_| TargetError::Escape)?;
    // What is a control character beyond ASCII, too.
    if text.chars().any(char::is_control) { Err(TargetError::Escape) } else { Ok(Cow::Owned(text)) }
}

/// The byte of two upper-case hex digits: `%c3` and `%C3` would be two spellings of one path.
pub(crate) fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'A'..=b'F' => byte.checked_sub(b'A').and_then(|digit| digit.checked_add(10)),
        _ => None,
    };
    digit(high)?.checked_mul(16)?.checked_add(digit(low)?)
}

/// Whether a query, or a form, names a credential: RFC 6750 sections 2.2 and 2.3. Names are read as a form's are, and as those
/// read them who make an array of `name[]`, or write `_` for what is in none of their names.
pub(crate) fn names_a_credential(text: &str) -> bool {
    const NAME: &str = "access_token";
    text.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return name.eq_ignore_ascii_case(NAME);
        }
        let mut read = Vec::with_capacity(name.len());
        let mut bytes = name.bytes();
        while let Some(byte) = bytes.next() {
            let escaped = || {
                let mut ahead = bytes.clone();
                byte_of(ahead.next()?.to_ascii_uppercase(), ahead.next()?.to_ascii_uppercase())
            };
            let escaped = if byte == b'%' { escaped() } else { None };
            if escaped.is_some() {
                bytes.nth(1);
            }
            read.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        }
        let is_it = |name: &[u8]| {
            let mut name = name.trim_ascii().to_ascii_lowercase();
            name.iter_mut().filter(|byte| b". [".contains(byte)).for_each(|byte| *byte = b'_');
            name == NAME.as_bytes()
        };
        // Up to where a C string ends, and where an array begins.
        let name = read.split(|byte| *byte == 0).next().unwrap_or_default();
        is_it(name) || is_it(name.split(|byte| *byte == b'[').next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_two_readings_is_refused() {
        use TargetError::{Character, Credential, Escape, NotAPath, Segment};
        let refused = |text: &str| Target::parse(text).err();
        for (text, why) in [
            ("", NotAPath),
            ("*", NotAPath),
            ("a/b", NotAPath),
            ("http://api.example.com/a", NotAPath),
            ("api.example.com:443", NotAPath),
            ("?a=1", NotAPath),
            ("//a", Segment),
            ("/a//b", Segment),
            ("/a//", Segment),
            ("/a/.", Segment),
            ("/./a", Segment),
            ("/a/../b", Segment),
            ("/..", Segment),
            ("/a/%2e%2e/b", Escape),
            ("/a/%2E%2E/b", Escape),
            ("/a/.%2E/b", Escape),
            ("/a%2Fb", Escape),
            ("/a%2fb", Escape),
            ("/a%5Cb", Escape),
            ("/a%252Fb", Escape),
            ("/a%00", Escape),
            ("/a%0A", Escape),
            ("/a%7F", Escape),
            ("/%61", Escape),
            ("/%7E", Escape),
            ("/a%3Bb", Escape),
            ("/a%3Fb", Escape),
            ("/a%23b", Escape),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%-1", Escape),
            ("/caf%c3%a9", Escape),
            ("/%C0%AF", Escape),
            ("/%C2%85", Escape),
            ("/a%FF", Escape),
            ("/a;b", Character),
            ("/a;jsessionid=1", Character),
            ("/a\\b", Character),
            ("/a b", Character),
            ("/a\tb", Character),
            ("/a\0", Character),
            ("/é", Character),
            ("/a#b", Character),
            ("/a|b", Character),
            ("/a?b#c", Character),
            ("/a?b c", Character),
            ("/a?é", Character),
            ("/a?access_token=x", Credential),
            ("/a?b=1&Access_Token=x", Credential),
            ("/a?%61ccess%5ftoken=x", Credential),
            ("/a?access_token", Credential),
            ("/a?+access_token+=x", Credential),
            ("/a?access_token%00=x", Credential),
            ("/a?access_token%5b%5d=x", Credential),
            ("/a?access_token[a][b]=x", Credential),
            ("/a?access.token=x", Credential),
            ("/a?access+token[]=x", Credential),
            ("/a?access[token=x", Credential),
        ] {
            assert_eq!(refused(text), Some(why), "{text:?}");
        }
        let long = format!("/{}", "a".repeat(MAX_TARGET_BYTES));
        assert_eq!(refused(&long), Some(TargetError::TooLong));
        assert_eq!(refused(&long[1..]), Some(NotAPath));
    }

    #[test]
    fn a_path_with_one_reading_is_taken_as_it_is() {
        for text in ["/", "/a", "/a/", "/A", "/a.b/...", "/a:b@c/!$&'()*+,=~", "/caf%C3%A9", "/a%20b", "/a%22%3C"] {
            assert_eq!(Target::parse(text), Ok(Target { path: text, query: None }), "{text}");
        }
        let target = Target::parse("/a?x=//../%2e;\\&y=%zz?").unwrap();
        assert_eq!((target.path(), target.query()), ("/a", Some("x=//../%2e;\\&y=%zz?")));
        assert_eq!(Target::parse("/a?").unwrap().query(), Some(""));
        assert_eq!(Target::parse("/a?token=1&access_tokens=2").unwrap().query(), Some("token=1&access_tokens=2"));
        assert!(Target::parse("/a?access[token]=1&my.access.token=2&access=token").is_ok());
        assert_eq!(unescaped("a%20%C3%A9").unwrap(), "a é");
    }

    proptest::proptest! {
        /// A path that is taken is read alike by one who unescapes it before, after, once or twice.
        #[test]
        fn no_spelling_of_an_accepted_path_is_another(text in "/[a-c/%.;2EF5C\\\\0-1]{0,12}") {
            if let Ok(target) = Target::parse(&text) {
                let segments: Vec<_> = target.path()[1..].split('/').map(|segment| unescaped(segment).unwrap()).collect();
                let whole = segments.join("/");
                proptest::prop_assert_eq!(whole.split('/').count(), segments.len());
                proptest::prop_assert!(!whole.contains(['%', '\\', ';', '?', '#']));
                proptest::prop_assert!(segments.iter().all(|segment| !matches!(&**segment, "." | "..")));
            }
        }
    }
}
