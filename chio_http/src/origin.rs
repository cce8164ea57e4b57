//! Origins (RFC 6454), as they are configured, and the comparison of a proof's `htu` with a request (RFC 9449 section 4.3).

use std::borrow::Cow;
use std::fmt;

use chio_core::error::excerpt;

/// The scheme, the host and the port at which clients reach a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// In one spelling: lower case, no port where it is the scheme's own.
    text: String,
    scheme_bytes: usize,
}

impl Origin {
    /// Reads an origin such as `https://api.example.com` or `http://127.0.0.1:8080`.
    /// Fails where it is none, or has a path.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let parts = Parts::of(text).filter(|parts| parts.path.is_empty());
        let origin = parts.and_then(|parts| parts.origin());
        origin.ok_or_else(|| OriginError(if text.contains('@') { "…".to_owned() } else { excerpt(text) }))
    }

    /// In its one spelling: the name of the tool server.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether clients speak TLS.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// Whether a `Host` header, or an `:authority`, names it.
    pub fn is_named_by(&self, host: &str) -> bool {
        let scheme = self.text.get(..self.scheme_bytes).unwrap_or_default();
        let own = self.text.get(self.scheme_bytes..).and_then(|rest| rest.strip_prefix("://")).unwrap_or_default();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let is_own = |host: &str| !host.is_empty() && host.eq_ignore_ascii_case(own);
        is_own(host) || host.strip_suffix(port).is_some_and(is_own)
    }

    /// Whether `htu` is this origin with that path. Query and fragment are ignored (RFC 9449 section 4.3, check 9). The
    /// two are compared in their normal forms by syntax and by scheme (RFC 3986 sections 6.2.2 and 6.2.3). The path is one
    /// that [`crate::target`] accepts, and so is normal already.
    pub fn is_htu(&self, htu: &str, path: &str) -> bool {
        // What most clients send.
        if let Some(rest) = htu.strip_prefix(&*self.text)
            && rest == path
        {
            return true;
        }
        let cut = htu.find(['?', '#']).and_then(|at| htu.get(..at)).unwrap_or(htu);
        let Some(parts) = Parts::of(cut) else { return false };
        let is_here = parts.origin().is_some_and(|origin| origin == *self);
        is_here && normal(parts.path).is_some_and(|normal| normal == path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no origin such as `https://api.example.com`", self.0)
    }
}

impl std::error::Error for OriginError {}

struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    /// The parts of an absolute URL without query and fragment, and without a user.
    fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let end = rest.find(']')?;
                let (host, port) = authority.split_at_checked(end.checked_add(2)?)?;
                let is_address = host.bytes().all(|byte| byte.is_ascii_hexdigit() || b"[:.]".contains(&byte));
                (host, if port.is_empty() { "" } else { port.strip_prefix(':').filter(|_| is_address)? })
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_name)).then_some(Self { scheme, host, port, path })
    }

    fn origin(&self) -> Option<Origin> {
        let scheme = self.scheme.to_ascii_lowercase();
        let own = match scheme.as_str() {
            "https" => "443",
            "http" => "80",
            _ => return None,
        };
        let is_port = self.port.len() <= 5 && self.port.bytes().all(|byte| byte.is_ascii_digit());
        if !is_port || self.port.starts_with('0') {
            return None;
        }
        let mut text = format!("{scheme}://{}", self.host.to_ascii_lowercase());
        if !self.port.is_empty() && self.port != own {
            self.port.parse::<u16>().ok()?;
            text.push(':');
            text.push_str(self.port);
        }
        Some(Origin { text, scheme_bytes: scheme.len() })
    }
}

/// The normal form of a path by RFC 3986 section 6.2.2: escapes of what needs none undone, their digits in upper case, no
/// dot segments. None where it is no path.
fn normal(path: &str) -> Option<Cow<'_, str>> {
    if path.is_empty() {
        return Some(Cow::Borrowed("/"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    if !path.contains('%') && !path.contains("/.") {
        return Some(Cow::Borrowed(path));
    }
    let mut text = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            text.push(char::from(byte));
            continue;
        }
        let (high, low) = bytes.next().zip(bytes.next())?;
        let (high, low) = (high.to_ascii_uppercase(), low.to_ascii_uppercase());
        let escaped = crate::target::byte_of(high, low)?;
        if escaped.is_ascii_alphanumeric() || b"-._~".contains(&escaped) {
            text.push(char::from(escaped));
        } else {
            text.extend(['%', char::from(high), char::from(low)]);
        }
    }
    // RFC 3986 section 5.2.4.
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = text.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    Some(Cow::Owned(format!("/{}", kept.join("/"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, origin) in [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://a.example:80", "https://a.example:80"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), origin);
        }
        for text in [
            "",
            "api.example.com",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a:b",
            "https://a:0443",
            "https://a:70000",
            "https://a?b",
            "https://[::1",
            "https://[::1]x",
            "https://a%2eb",
            "https://é",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
        let told = Origin::parse("https://user:secret@a").unwrap_err().to_string();
        assert!(!told.contains("secret"), "{told}");
    }

    #[test]
    fn a_host_names_an_origin_or_does_not() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        for host in ["api.example.com", "API.example.com", "api.example.com:443"] {
            assert!(origin.is_named_by(host), "{host}");
        }
        for host in [
            "",
            ":443",
            "example.com",
            "api.example.com:80",
            "api.example.com:8443",
            "api.example.com.",
            "xapi.example.com",
        ] {
            assert!(!origin.is_named_by(host), "{host}");
        }
        let origin = Origin::parse("http://127.0.0.1:8080").unwrap();
        assert!(origin.is_named_by("127.0.0.1:8080") && !origin.is_named_by("127.0.0.1"));
    }

    #[test]
    fn an_htu_is_compared_in_normal_form() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        for (htu, path) in [
            ("https://api.example.com/a/b", "/a/b"),
            ("HTTPS://API.EXAMPLE.COM:443/a/b", "/a/b"),
            ("https://api.example.com/%61/b", "/a/b"),
            ("https://api.example.com/a/./c/../b", "/a/b"),
            ("https://api.example.com/caf%c3%a9", "/caf%C3%A9"),
            ("https://api.example.com/a?q=1#f", "/a"),
            ("https://api.example.com/a#f?x", "/a"),
            ("https://api.example.com", "/"),
            ("https://api.example.com?x=/y", "/"),
            ("https://api.example.com/a/..", "/"),
            ("https://api.example.com/../a", "/a"),
        ] {
            assert!(origin.is_htu(htu, path), "{htu}");
        }
        for (htu, path) in [
            ("http://api.example.com/a", "/a"),
            ("https://api.example.com:8443/a", "/a"),
            ("https://api.example.com./a", "/a"),
            ("https://api.example.com@evil.example/a", "/a"),
            ("https://user@api.example.com/a", "/a"),
            ("https://api.example.com/a/", "/a"),
            ("https://api.example.com/A", "/a"),
            ("https://api.example.com//a", "/a"),
            ("https://api.example.com/a%2Fb", "/a/b"),
            ("https://api.example.com\\a", "/a"),
            ("https://api.example.com/\\a", "/a"),
            ("https://api.example.com/a%", "/a"),
            ("https:/api.example.com/a", "/a"),
            ("/a", "/a"),
            ("", "/"),
            ("https://api.example.comx/a", "/a"),
        ] {
            assert!(!origin.is_htu(htu, path), "{htu}");
        }
    }
}
