//! The headers of a request on its way to the upstream, and of an answer on its way back.

use hyper::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TE, UPGRADE, VIA};
use hyper::{HeaderMap, Version};

use super::names::Meaning;
use super::peer::Peer;
use super::problem::Problem;
use crate::caller::Caller;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What is known of a request besides its headers.
pub(crate) struct Known<'a> {
    pub(crate) peer: Option<&'a Peer>,
    pub(crate) caller: Option<&'a Caller>,
    /// For whom it is, by the client's word.
    pub(crate) authority: Option<&'a str>,
    /// For whom it is now.
    pub(crate) host: HeaderValue,
    pub(crate) version: Version,
    pub(crate) is_upgrade: bool,
}

/// The headers that go to the upstream.
/// Fails where one of them would have the request read as another, or who calls cannot be written.
pub(crate) fn to_upstream(mut headers: HeaderMap, known: &Known<'_>) -> Result<HeaderMap, Problem> {
    let named = options(&headers);
    let takes_trailers = tokens(&headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let cookie = one_cookie(&headers);
    let mut out = HeaderMap::with_capacity(headers.len().saturating_add(12));
    let mut last = None;
    for (name, value) in headers.drain() {
        // A name is given once for all of its values.
        if let Some(name) = name {
            let goes_on = match Meaning::of(name.as_str()) {
                Meaning::Override => {
                    return Err(Problem::Ambiguous("a header asks that the request be read as another"));
                }
                Meaning::Hop | Meaning::Ours => false,
                // The client was told to go on by us.
                Meaning::Vital => name != HOST && name != hyper::header::EXPECT && (name != COOKIE || cookie.is_none()),
                Meaning::End => true,
            };
            let is_named = || named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()));
            last = Some(name.clone()).filter(|_| goes_on && !is_named());
        }
        if let Some(name) = &last {
            out.append(name.clone(), value);
        }
    }
    if let Some(cookie) = cookie {
        out.insert(COOKIE, cookie);
    }
    out.insert(HOST, known.host.clone());
    if known.is_upgrade {
        out.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        out.insert(UPGRADE, WEBSOCKET);
    } else if takes_trailers {
        out.insert(CONNECTION, HeaderValue::from_static("te"));
        out.insert(TE, HeaderValue::from_static("trailers"));
    }
    // RFC 9110 section 7.6.3: who it went through, behind those before.
    let version = match known.version {
        Version::HTTP_10 => "1.0 chio",
        Version::HTTP_2 => "2 chio",
        _ => "1.1 chio",
    };
    out.append(VIA, HeaderValue::from_static(version));
    came_from(&mut out, known);
    who_calls(&mut out, known.caller)?;
    Ok(out)
}

/// `Forwarded` (RFC 7239), and the older names for the same.
fn came_from(out: &mut HeaderMap, known: &Known<'_>) {
    let Some(peer) = known.peer else { return };
    if let Some(address) = peer.x_forwarded_for() {
        out.insert("x-forwarded-for", address.clone());
    }
    let scheme = if peer.is_tls() { "https" } else { "http" };
    out.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
    let mut forwarded = peer.forwarded_for().to_owned();
    if let Some(authority) = known.authority
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        out.insert("x-forwarded-host", host);
        // An authority has no quotes and no backslashes.
        forwarded.push_str(";host=\"");
        forwarded.push_str(authority);
        forwarded.push('"');
    }
    if let Ok(forwarded) = HeaderValue::from_str(&forwarded) {
        out.insert("forwarded", forwarded);
    }
}

/// Who calls. None of it is left out for want of a way to write it: the service would take the caller for another.
fn who_calls(out: &mut HeaderMap, caller: Option<&Caller>) -> Result<(), Problem> {
    let Some(Caller { scheme, principal, subject, scope, subcap, receipt }) = caller else { return Ok(()) };
    let mut set = |name: &'static str, text: &str| {
        // What stands around a value is taken off by its reader.
        let value = HeaderValue::from_str(text).ok().filter(|_| text.trim() == text && text.is_ascii());
        out.insert(HeaderName::from_static(name), value.ok_or(Problem::Identity)?);
        Ok(())
    };
    set("chio-scheme", scheme)?;
    set("chio-principal", principal)?;
    if let Some(subject) = subject {
        set("chio-subject", subject)?;
    }
    if let Some(scope) = scope {
        set("chio-scope", scope)?;
    }
    if subcap.iter().any(|name| name.contains(' ')) {
        return Err(Problem::Identity);
    }
    if !subcap.is_empty() {
        set("chio-subcap", &subcap.join(" "))?;
    }
    if let Some(receipt) = receipt {
        set("chio-receipt", &receipt.to_string())?;
    }
    Ok(())
}

/// The headers that go back to the client. What begins with `Chio-` is said by the guard alone.
pub(crate) fn to_client(mut headers: HeaderMap, is_upgrade: bool) -> HeaderMap {
    let named = options(&headers);
    let mut out = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    for (name, value) in headers.drain() {
        if let Some(name) = name {
            let meaning = Meaning::of(name.as_str());
            let is_named = || named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()));
            // Where else the upstream could be reached is not for its clients (RFC 7838).
            let stays = matches!(meaning, Meaning::Hop | Meaning::Ours) || name == "alt-svc" || is_named();
            last = Some(name.clone()).filter(|_| !stays);
        }
        if let Some(name) = &last {
            out.append(name.clone(), value);
        }
    }
    if is_upgrade {
        out.remove(CONTENT_LENGTH);
        out.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        out.insert(UPGRADE, WEBSOCKET);
    }
    out
}

/// The fields behind a body.
pub(crate) fn trailers(trailers: HeaderMap) -> HeaderMap {
    let mut last = None;
    let mut out = HeaderMap::new();
    for (name, value) in trailers {
        if let Some(name) = name {
            last = Some(name.clone()).filter(|name| Meaning::may_trail(name.as_str()));
        }
        if let Some(name) = &last {
            out.append(name.clone(), value);
        }
    }
    out
}

/// The words of a header that is a list.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// The headers that `Connection` names besides those that are always of one connection.
fn options(headers: &HeaderMap) -> Vec<String> {
    let usual =
        |token: &str| ["close", "keep-alive", "upgrade", "te"].iter().any(|one| token.eq_ignore_ascii_case(one));
    tokens(headers, &CONNECTION).filter(|token| !usual(token)).map(str::to_owned).collect()
}

/// HTTP/2 may have cut the cookies apart (RFC 9113 section 8.2.3).
fn one_cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (first, second) = (cookies.next()?, cookies.next()?);
    let mut whole = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(cookie.as_bytes());
    }
    let mut whole = HeaderValue::from_bytes(&whole).ok()?;
    whole.set_sensitive(true);
    Some(whole)
}

/// Whether a request asks for a tunnel that we make: a WebSocket (RFC 6455 section 4.1), and nothing else. Through any
/// other, such as `h2c`, requests would go past the guard.
pub(crate) fn asks_for_websocket(version: Version, method: &hyper::Method, headers: &HeaderMap) -> bool {
    let mut upgrades = tokens(headers, &UPGRADE);
    version == Version::HTTP_11
        && *method == hyper::Method::GET
        && upgrades.next().is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
        && upgrades.next().is_none()
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(hyper::header::TRANSFER_ENCODING)
}

/// Whether an answer opens that tunnel.
pub(crate) fn opens_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = tokens(headers, &UPGRADE);
    upgrades.next().is_some_and(|to| to.eq_ignore_ascii_case("websocket")) && upgrades.next().is_none()
}
