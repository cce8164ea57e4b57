//! The E-Key itself: `typ: EKEY`.

use chio_core::canonical::{Json, Object};
use chio_core::digest::Digest;

use crate::claims::{Seconds, needed, needed_time};
use crate::dpop::OfOneToken;
use crate::issuer::{Issuer, TokenError, begins, check_time, confirmation};
use crate::jwk::Thumbprint;
use crate::jws::{Alg, Verified};
use crate::route::Route;

/// The longest life of an E-Key, in seconds.
pub const MAX_TTL_SECS: u64 = 60;

/// Its life where none is asked for, in seconds.
pub const DEFAULT_TTL_SECS: u64 = 30;

/// What an E-Key may be signed with.
pub const ALGS: [Alg; 2] = [Alg::Es256, Alg::Ed25519];

/// How many actions, or finer rights, one may name.
const MAX_NAMES: usize = 64;

/// What an E-Key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Templates of requests, such as `GET:/orders/:id`, which are matched as routes are.
    pub actions: Vec<Route>,
    /// Scopes, separated by spaces.
    pub scope: Option<String>,
    /// How many requests it allows in all.
    pub limit: Option<u64>,
    /// Names of finer rights within the actions.
    pub subcap: Vec<String>,
}

impl Cap {
    /// Reads what a token, or a request for one, is for: `action`, `scope`, `limit`, `subcap`, and nothing else.
    /// Fails where a member is unknown, or not as it has to be.
    pub fn from_json(json: &Json) -> Option<Self> {
        let object = json.as_object()?;
        if object.iter().any(|(name, _)| !["action", "scope", "limit", "subcap"].contains(&name)) {
            return None;
        }
        let actions: Option<Vec<_>> =
            texts(object.get("action")?)?.iter().map(|text| Route::parse(text).ok()).collect();
        let actions = actions.filter(|actions| !actions.is_empty())?;
        let scope = match object.get("scope") {
            None => None,
            Some(scope) => Some(scope.as_str()?.to_owned()),
        };
        let limit = match object.get("limit") {
            None => None,
            Some(Json::Number(limit)) => Some(u64::try_from(limit.to_integer()?).ok().filter(|limit| *limit > 0)?),
            Some(_) => return None,
        };
        let subcap = object.get("subcap").map_or(Some(Vec::new()), texts)?;
        Some(Self { actions, scope, limit, subcap })
    }

    /// As a token has it.
    pub fn to_json(&self) -> Json {
        let text = |text: &str| Json::String(text.to_owned());
        let actions = self.actions.iter().map(|action| text(action.tool_name())).collect();
        let mut members = vec![("action".to_owned(), Json::Array(actions))];
        members.extend(self.scope.as_deref().map(|scope| ("scope".to_owned(), text(scope))));
        members.extend(self.limit.and_then(number).map(|limit| ("limit".to_owned(), limit)));
        if !self.subcap.is_empty() {
            members.push(("subcap".to_owned(), Json::Array(self.subcap.iter().map(|name| text(name)).collect())));
        }
        Json::Object(Object::new(members).unwrap_or_default())
    }

    /// Whether it is for this request, of that route.
    pub fn covers(&self, method: &str, path: &str, route: &Route) -> bool {
        let has = |scope: &str| self.scope.as_deref().is_some_and(|all| all.split(' ').any(|one| one == scope));
        self.actions.iter().any(|action| action.is_of(method, path) && !action.passes_over(route))
            && route.required_scope().is_none_or(has)
            && route.required_subcap().is_none_or(|subcap| self.subcap.iter().any(|one| one == subcap))
    }
}

/// A whole number as JSON has it.
pub(super) fn number(value: u64) -> Option<Json> {
    chio_core::canonical::to_json(&value).ok()
}

/// One text or several.
fn texts(json: &Json) -> Option<Vec<String>> {
    match json {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(items) if items.len() <= MAX_NAMES => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

/// An E-Key whose signature holds, from an issuer of this service. Whether it is valid now is another question.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing but a signature that holds makes one.
/// let forged = chio_http::ekey::EKeyToken { ..todo!() };
/// ```
/// ```
/// fn takes(_: &chio_http::ekey::EKeyToken) {}
/// ```
#[derive(Clone, Debug)]
pub struct EKeyToken {
    pub(super) subject: String,
    pub(super) trace: String,
    pub(super) cap: Cap,
    pub(super) key: Option<Thumbprint>,
    pub(super) certificate: Option<Thumbprint>,
    pub(super) expires_at: u64,
    pub(super) credential: Digest,
    pub(super) digest: Digest,
    pub(super) proofs: OfOneToken,
    begins: Option<Seconds>,
}

/// The longest trace, in bytes.
const MAX_TRACE_BYTES: usize = 128;

impl EKeyToken {
    pub(super) fn check_time(&self, now: u64) -> Result<(), TokenError> {
        check_time(self.begins, self.expires_at, now)
    }

    pub(super) fn read(
        verified: &Verified<'_>,
        claims: &Object,
        issuer: &Issuer,
        name: Digest,
    ) -> Result<Self, TokenError> {
        let (key, certificate) = confirmation(claims)?;
        let (issued_at, expires_at) = (needed_time(claims, "iat")?, needed_time(claims, "exp")?.floor);
        if expires_at > issued_at.ceil.saturating_add(MAX_TTL_SECS) {
            return Err(TokenError::Claim("exp"));
        }
        let trace = needed(claims, "trace", MAX_TRACE_BYTES)?;
        if !is_trace(trace) {
            return Err(TokenError::Claim("trace"));
        }
        // What is remembered of it is remembered by what its issuer cannot give twice, and no other issuer at all: there is no
        // colon in a trace.
        let credential = Digest::of(format!("ekey:{}:{trace}", issuer.name).as_bytes());
        Ok(Self {
            subject: needed(claims, "sub", 256)?.to_owned(),
            trace: trace.to_owned(),
            cap: claims.get("cap").and_then(Cap::from_json).ok_or(TokenError::Claim("cap"))?,
            key,
            certificate,
            expires_at,
            credential,
            digest: verified.digest(),
            proofs: OfOneToken::new(name),
            begins: begins(claims)?,
        })
    }
}

/// 32 lower-case hex digits or more, which may have dots between them.
pub(super) fn is_trace(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().filter(|byte| is_digit(*byte)).count() >= 32 && text.bytes().all(|byte| is_digit(byte) || byte == b'.')
}

pub(super) fn is_ekey(typ: Option<&str>) -> bool {
    typ == Some("EKEY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::canonical::{Limits, parse};

    fn cap(text: &str) -> Option<Cap> {
        Cap::from_json(&parse(text.as_bytes(), Limits::bytes(10_000)).unwrap())
    }

    #[test]
    fn a_cap_has_what_it_may_have_and_nothing_else() {
        let full = r#"{"action":["GET:/a/:b"],"limit":3,"scope":"x y","subcap":["p"]}"#;
        let read = cap(full).unwrap();
        assert_eq!((read.limit, read.scope.as_deref(), &*read.subcap), (Some(3), Some("x y"), &["p".to_owned()][..]));
        assert_eq!(read.to_json().to_canonical_bytes(), full.as_bytes());
        assert_eq!(cap(r#"{"action":"GET:/a","subcap":"p"}"#).unwrap().subcap, ["p"]);
        for text in [
            "{}",
            "[]",
            r#"{"action":[]}"#,
            r#"{"action":1}"#,
            r#"{"action":"/a"}"#,
            r#"{"action":["GET:/a",1]}"#,
            r#"{"action":"GET:/a","limit":0}"#,
            r#"{"action":"GET:/a","limit":-1}"#,
            r#"{"action":"GET:/a","limit":1.5}"#,
            r#"{"action":"GET:/a","limit":"1"}"#,
            r#"{"action":"GET:/a","scope":[]}"#,
            r#"{"action":"GET:/a","more":1}"#,
            r#"{"action":"GET:/a","subcap":[1]}"#,
            r#"{"action":"GET:/a/../b"}"#,
        ] {
            assert_eq!(cap(text), None, "{text}");
        }
        let many = format!(r#"{{"action":[{}]}}"#, vec![r#""GET:/a""#; MAX_NAMES + 1].join(","));
        assert_eq!(cap(&many), None);
    }

    #[test]
    fn a_cap_covers_what_it_names() {
        let route = |text: &str| Route::parse(text).unwrap();
        let covers = |text: &str, path: &str, route: &Route| cap(text).unwrap().covers("GET", path, route);
        let (template, one) = (r#"{"action":"GET:/a/:x"}"#, r#"{"action":"GET:/a/1"}"#);
        let plain = route("GET:/a/:id");
        assert!(covers(template, "/a/1", &plain) && covers(one, "/a/1", &plain));
        assert!(!covers(one, "/a/2", &plain) && !covers(template, "/a/1/b", &plain));
        assert!(!covers(r#"{"action":"POST:/a/:x"}"#, "/a/1", &plain));
        let scoped = route("GET:/a/:id").scope("s");
        assert!(!covers(template, "/a/1", &scoped));
        assert!(covers(r#"{"action":"GET:/a/1","scope":"r s"}"#, "/a/1", &scoped));
        let finer = route("GET:/a/:id").subcap("p");
        assert!(!covers(template, "/a/1", &finer));
        assert!(covers(r#"{"action":"GET:/a/1","subcap":"p"}"#, "/a/1", &finer));
    }
}
