//! What stands in `Authorization`, in one reading for the guard and for the desks.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

/// Somebody else might read another one: there are several, or one that is not printable ASCII, a word first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unclear;

impl Unclear {
    /// What a client is told of it.
    pub(crate) const TOLD: &str = "there is more than one `Authorization`, or one that can be read in two ways";
}

/// The word and the token of one value. What some would trim or take for a space is refused, whoever it is for: as of nobody, it
/// would go on where less is enforced.
pub(crate) fn word_and_token(value: &HeaderValue) -> Result<(&str, &str), Unclear> {
    // Besides what can be printed, a tab is text.
    let is_clear = |text: &&str| !text.contains('\t') && !text.starts_with(' ');
    let text = value.to_str().ok().filter(is_clear).ok_or(Unclear)?;
    let (word, token) = text.split_once(' ').unwrap_or((text, ""));
    Ok((word, token.trim_matches(' ')))
}

/// Those of the one that there is, or nothing.
pub(crate) fn authorization(headers: &HeaderMap) -> Result<Option<(&str, &str)>, Unclear> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unclear);
    }
    word_and_token(value).map(Some)
}

/// The token after `Bearer`, or nothing.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unclear> {
    let is_one = |(word, token): &(&str, &str)| word.eq_ignore_ascii_case("Bearer") && !token.is_empty();
    Ok(authorization(headers)?.filter(is_one).map(|(_, token)| token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn there_is_one_reading_of_it() {
        for (value, read, token) in [
            ("Bearer a.b", Some(("Bearer", "a.b")), Some("a.b")),
            ("bEARER   a ", Some(("bEARER", "a")), Some("a")),
            ("Bearer", Some(("Bearer", "")), None),
            ("Bearer ", Some(("Bearer", "")), None),
            ("DPoP a", Some(("DPoP", "a")), None),
        ] {
            let headers = headers(&[value.as_bytes()]);
            assert_eq!((authorization(&headers), bearer(&headers)), (Ok(read), Ok(token)), "{value:?}");
        }
        assert_eq!((authorization(&headers(&[])), bearer(&headers(&[]))), (Ok(None), Ok(None)));
        for unclear in ["Bearer\ta", "Bearer a\tb", "Bearer \ta", " Bearer a", "Bearer\u{e9} a", "Bearer a\u{a0}"] {
            assert_eq!(authorization(&headers(&[unclear.as_bytes()])), Err(Unclear), "{unclear:?}");
        }
        for two in [[b"Bearer a", b"Bearer a"], [b"Basic ab", b"Bearer a"]] {
            assert_eq!(bearer(&headers(&[two[0], two[1]])), Err(Unclear));
        }
    }
}
