//! The shape of a request: what two readers could take for two requests is refused before anything is decided.

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Uri, Version};

use crate::denied::Refusal;
use crate::origin::Origin;
use crate::target::{Target, TargetError};

/// What a request is for: its target, and by which of the service's origins.
pub(crate) fn shape<'a>(parts: &'a Parts, origins: &'a [Origin]) -> Result<(Target<'a>, &'a Origin), Refusal> {
    framing(&parts.headers)?;
    let uri = &parts.uri;
    // RFC 9112 section 3.2: only a proxy is sent a whole URL. In HTTP/2 there is always one.
    if parts.version < Version::HTTP_2 && (uri.scheme().is_some() || uri.authority().is_some()) {
        return Err(Refusal::Ambiguous("the target is no path"));
    }
    let text = uri.path_and_query().map(hyper::http::uri::PathAndQuery::as_str).unwrap_or_default();
    let target = Target::parse(text).map_err(|error| match error {
        TargetError::TooLong => Refusal::TargetTooLong,
        TargetError::NotAPath => Refusal::Ambiguous("the target is no path"),
        TargetError::Character | TargetError::Segment | TargetError::Escape => {
            Refusal::Ambiguous("the target can be read in two ways")
        }
        TargetError::Credential => Refusal::Ambiguous("credentials have no place in a target"),
    })?;
    let wrong = Refusal::Ambiguous("`Host` is missing, or there is more than one");
    let host = authority(uri, &parts.headers).map_err(|Unclear| wrong)?.ok_or(wrong)?;
    let origin = origins.iter().find(|origin| origin.is_named_by(host)).ok_or(Refusal::Misdirected)?;
    Ok((target, origin))
}

/// RFC 9112 section 6.3: where both stand there, two readers see two ends of the body.
fn framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let codings = headers.get_all(TRANSFER_ENCODING).iter().count();
    if lengths.saturating_add(codings) > 1 {
        return Err(Refusal::Ambiguous("it cannot be told how long the body is"));
    }
    Ok(())
}

/// A request that says twice for whom it is, in two ways, or in no text.
pub(crate) struct Unclear;

/// For whom a request is, by its own word: the same wherever that stands (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
/// Nothing where it does not say.
pub(crate) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, Unclear> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str()).transpose().map_err(|_| Unclear)?;
    if hosts.next().is_some() {
        return Err(Unclear);
    }
    match (uri.authority().map(hyper::http::uri::Authority::as_str), header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => Err(Unclear),
        (authority, header) => Ok(authority.or(header)),
    }
}

/// Whether the body is a form, which could have a credential in it: RFC 6750 section 2.2.
/// Fails where it is one in an encoding in which the same bytes are other letters.
pub(crate) fn is_form(headers: &HeaderMap) -> Result<bool, Refusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let mut is_form = false;
    for value in headers.get_all(CONTENT_TYPE) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        // A list of them is read by its first, by its last, or not at all.
        if !value.contains(FORM) {
            continue;
        }
        is_form = true;
        let mut charsets =
            value.split([';', ',']).filter_map(|one| one.split_once('=')).filter(|(name, _)| name.trim() == "charset");
        let is_known = |(_, charset): (&str, &str)| {
            ["utf-8", "utf8", "us-ascii", "iso-8859-1"].contains(&charset.trim().trim_matches('"'))
        };
        if !charsets.all(is_known) {
            return Err(Refusal::Ambiguous("a form is in UTF-8"));
        }
    }
    Ok(is_form)
}
