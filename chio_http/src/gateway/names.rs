//! What the names of headers mean to a proxy.

use std::borrow::Cow;

/// What becomes of a header on its way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It goes on.
    End,
    /// It is of this connection alone.
    Hop,
    /// We say it, and nobody else: who calls, from where, and how they came.
    Ours,
    /// It asks that the request be read as another than it is.
    Override,
    /// It goes on, but under its own name only: how long a message is, for whom, and from whom.
    Vital,
}

impl Meaning {
    /// The meaning of a name in lower case, as `http` keeps them.
    pub(crate) fn of(name: &str) -> Self {
        // CGI, and all that came after it, makes one of `-`, `_` and whatever else is no letter: X_Chio_Subject is read
        // as X-Chio-Subject (RFC 3875 section 4.1.18).
        let plain = plain(name);
        match (Self::of_plain(&plain), &plain) {
            (meaning, Cow::Borrowed(_)) => meaning,
            (Self::End, Cow::Owned(_)) => Self::End,
            (Self::Override, Cow::Owned(_)) => Self::Override,
            // Under a name that some take for another it is neither.
            (_, Cow::Owned(_)) => Self::Ours,
        }
    }

    fn of_plain(name: &str) -> Self {
        const OURS: [&str; 7] =
            ["chio-", "x-auth-request-", "x-chio-", "x-forwarded-", "x-ssl-", "ssl-client-", "x-client-cert"];
        match name {
            // RFC 9110 section 7.6.1, RFC 9112 appendix C.2.2, RFC 9113 section 3.1, and the two that are a proxy's own
            // (RFC 9110 section 11.7).
            "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade" => Self::Hop,
            // RFC 7239, RFC 9440, and what went before them.
            "cf-connecting-ip"
            | "client-cert"
            | "client-cert-chain"
            | "client-ip"
            | "fastly-client-ip"
            | "forwarded"
            | "remote-addr"
            | "remote-user"
            | "true-client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-forwarded"
            | "x-authenticated-user"
            | "x-host"
            | "x-original-host"
            | "x-original-forwarded-for"
            | "x-real-ip"
            | "x-remote-addr"
            | "x-remote-ip"
            | "x-remote-user" => Self::Ours,
            "x-http-method"
            | "x-http-method-override"
            | "x-envoy-original-path"
            | "x-method-override"
            | "x-original-method"
            | "x-original-uri"
            | "x-original-url"
            | "x-rewrite-uri"
            | "x-waws-unencoded-url"
            | "x-rewrite-url" => Self::Override,
            "authorization" | "content-encoding" | "content-length" | "content-type" | "cookie" | "dpop" | "expect"
            | "host" | "trailer" | "via" => Self::Vital,
            name if OURS.iter().any(|start| name.starts_with(start)) => Self::Ours,
            _ => Self::End,
        }
    }

    /// Whether a field may stand behind a body: none that says how a message is framed, routed or authenticated (RFC 9110
    /// section 6.5.1), as some readers put trailers among the headers.
    pub(crate) fn may_trail(name: &str) -> bool {
        Self::of(name) == Self::End
            && !matches!(
                name,
                "age"
                    | "cache-control"
                    | "content-range"
                    | "date"
                    | "expires"
                    | "location"
                    | "range"
                    | "retry-after"
                    | "set-cookie"
                    | "vary"
                    | "warning"
            )
    }
}

/// A name with `-` for everything that is no letter or digit.
fn plain(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte == b'-' || byte.is_ascii_alphanumeric();
    if name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_same_however_it_is_spelt() {
        for (name, meaning) in [
            ("accept", Meaning::End),
            ("api_key", Meaning::End),
            ("chio-subject", Meaning::Ours),
            ("chio_subject", Meaning::Ours),
            ("chio.subject", Meaning::Ours),
            ("x_chio_subject", Meaning::Ours),
            ("x-chio_scope", Meaning::Ours),
            ("chiosubject", Meaning::End),
            ("x-forwarded-for", Meaning::Ours),
            ("x_forwarded_for", Meaning::Ours),
            ("forwarded", Meaning::Ours),
            ("connection", Meaning::Hop),
            ("transfer-encoding", Meaning::Hop),
            ("transfer_encoding", Meaning::Ours),
            ("content-length", Meaning::Vital),
            ("content_length", Meaning::Ours),
            ("x-http-method-override", Meaning::Override),
            ("x_http_method_override", Meaning::Override),
            ("client-cert", Meaning::Ours),
        ] {
            assert_eq!(Meaning::of(name), meaning, "{name}");
        }
        for name in ["chio-subject", "chio_subject", "content-length", "host", "authorization", "x_forwarded_for", "te"]
        {
            assert!(!Meaning::may_trail(name), "{name}");
        }
        assert!(Meaning::may_trail("grpc-status") && Meaning::may_trail("content-digest"));
    }
}
