//! Access tokens of configured issuers, as JWT (RFC 7519, RFC 9068), each bound to a key or to a certificate (RFC 7800).

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chio_core::canonical::{Json, Object};
use chio_core::digest::Digest;
use lru::LruCache;

use crate::claims::{BadClaim, Seconds, has, needed, needed_time, text, time};
use crate::jwk::Thumbprint;
use crate::jws::{Alg, JwsError, MAX_TOKEN_BYTES, Unverified};
use crate::keys::{Keys, KeysError};

/// By how much the clocks of an issuer and this machine may differ, in seconds.
pub const MAX_DRIFT_SECS: u64 = 5;

/// How many verified tokens are remembered.
const CACHED: usize = 4096;

/// Who may issue tokens for this service.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its `iss`, exactly.
    pub name: String,
    /// The names of this service, one of which has to be in `aud`.
    pub audiences: Vec<String>,
    /// What it may sign with.
    pub algs: Vec<Alg>,
    /// Its keys.
    pub keys: Keys,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is no JWS that is read here, or its `alg` is not allowed.
    Jws(JwsError),
    /// Its `typ` is another.
    Type,
    /// It is of an issuer that is not configured, or signed with a key that the issuer does not have.
    Issuer,
    /// The signature is not the issuer's.
    Signature,
    /// A claim is missing, or of the wrong type or length.
    Claim(&'static str),
    /// It is for others.
    Audience,
    /// It is bound to no key: whoever has it could use it (RFC 9449 section 7.2).
    Unbound,
    /// It is bound to a certificate, and this connection has not shown that.
    Certificate,
    /// It is not valid yet.
    Early {
        /// From when on it is.
        from: u64,
        /// The time.
        now: u64,
    },
    /// It is no longer valid.
    Expired {
        /// Since when.
        expires_at: u64,
        /// The time.
        now: u64,
    },
    /// The issuer's keys cannot be had.
    Keys(String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jws(error) => write!(f, "{error}"),
            Self::Type => f.write_str("its `typ` is another"),
            Self::Issuer => f.write_str("its issuer, or the issuer's key, is not known here"),
            Self::Signature => f.write_str("its signature is not the issuer's"),
            Self::Claim(name) => write!(f, "its `{name}` is missing, or not as it has to be"),
            Self::Audience => f.write_str("it is for another audience"),
            Self::Unbound => f.write_str("it is bound to no key"),
            Self::Certificate => f.write_str("it is bound to another certificate"),
            Self::Early { from, now } => write!(f, "it is valid from {from}, and it is {now}"),
            Self::Expired { expires_at, now } => write!(f, "it expired at {expires_at}, and it is {now}"),
            Self::Keys(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TokenError {}

impl From<BadClaim> for TokenError {
    fn from(BadClaim(name): BadClaim) -> Self {
        Self::Claim(name)
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        if error == JwsError::Signature { Self::Signature } else { Self::Jws(error) }
    }
}

impl From<KeysError> for TokenError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Unknown => Self::Issuer,
            KeysError::Unavailable(_) | KeysError::Place(_) => Self::Keys(error.to_string()),
        }
    }
}

/// A token whose signature holds, from an issuer of this service. Whether it is valid now is another question.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing but a signature that holds makes one.
/// let forged = chio_http::access_token::AccessToken { ..todo!() };
/// ```
/// ```
/// fn takes(_: &chio_http::access_token::AccessToken) {}
/// ```
#[derive(Clone, Debug)]
pub struct AccessToken {
    subject: String,
    scope: Option<String>,
    begins: Option<Seconds>,
    expires_at: u64,
    key: Option<Thumbprint>,
    certificate: Option<Thumbprint>,
    digest: Digest,
}

impl AccessToken {
    /// Whether it is valid now.
    pub fn check_time(&self, now: u64) -> Result<(), TokenError> {
        check_time(self.begins, self.expires_at, now)
    }

    /// Whom it is about, by its issuer's word.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What it is for, separated by spaces.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Whether it is for this, among others.
    pub fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scope.as_deref().is_some_and(|all| all.split(' ').any(|one| one == scope))
    }

    /// The first second at which it is no longer valid.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The key that its holder has to have: `cnf.jkt`.
    pub fn key(&self) -> Option<Thumbprint> {
        self.key
    }

    /// The certificate that its holder has to show: `cnf.x5t#S256`.
    pub fn certificate(&self) -> Option<Thumbprint> {
        self.certificate
    }

    /// The digest of what was signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

pub(crate) fn check_time(begins: Option<Seconds>, expires_at: u64, now: u64) -> Result<(), TokenError> {
    if let Some(begins) = begins.filter(|begins| begins.ceil > now.saturating_add(MAX_DRIFT_SECS)) {
        return Err(TokenError::Early { from: begins.ceil, now });
    }
    if now >= expires_at { Err(TokenError::Expired { expires_at, now }) } else { Ok(()) }
}

/// The later of `iat` and `nbf`.
pub(crate) fn begins(claims: &Object) -> Result<Option<Seconds>, BadClaim> {
    let (issued, valid) = (time(claims, "iat")?, time(claims, "nbf")?);
    Ok([issued, valid].into_iter().flatten().max_by_key(|seconds| seconds.ceil))
}

/// What a token is bound to: `cnf.jkt` (RFC 9449 section 6.1), `cnf.x5t#S256` (RFC 8705 section 3.1), or both.
pub(crate) fn confirmation(claims: &Object) -> Result<(Option<Thumbprint>, Option<Thumbprint>), TokenError> {
    let confirmation = match claims.get("cnf") {
        None => return Err(TokenError::Unbound),
        Some(Json::Object(confirmation)) => confirmation,
        Some(_) => return Err(TokenError::Claim("cnf")),
    };
    let of = |name| match text(confirmation, name) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => Thumbprint::parse(text).map(Some).ok_or(TokenError::Claim("cnf")),
        Err(_) => Err(TokenError::Claim("cnf")),
    };
    match (of("jkt")?, of("x5t#S256")?) {
        (None, None) => Err(TokenError::Unbound),
        bound => Ok(bound),
    }
}

struct Cached {
    token: Arc<AccessToken>,
    issuer: usize,
    generation: u64,
}

/// Verifies access tokens, and remembers which hold.
pub struct AccessTokens {
    issuers: Vec<Issuer>,
    cache: Mutex<LruCache<Digest, Cached>>,
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl AccessTokens {
    /// Tokens of these issuers.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self { issuers, cache: Mutex::new(LruCache::new(NonZeroUsize::new(CACHED).unwrap_or(NonZeroUsize::MIN))) }
    }

    /// Verifies a token, once: a text that was found to hold holds for as long as its issuer has the same keys. When it is
    /// valid is looked at in every call.
    /// Fails where it is none of a configured issuer for this service.
    pub async fn verify(&self, text: &str) -> Result<Arc<AccessToken>, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Jws(JwsError::TooLong));
        }
        let name = Digest::of(text.as_bytes());
        if let Some(token) = self.cached(name) {
            return Ok(token);
        }
        let unverified = Unverified::parse(text, MAX_TOKEN_BYTES, &Alg::OF_ISSUERS)?;
        if unverified.header.get("typ").is_some() && !unverified.header_text("typ").is_some_and(is_access_token) {
            return Err(TokenError::Type);
        }
        // Whose it claims to be says only with whose keys to look at it.
        let claimed = unverified.unverified_claims().ok_or(TokenError::Jws(JwsError::Claims))?;
        let iss = needed(&claimed, "iss", 512)?;
        let found = self.issuers.iter().enumerate().find(|(_, issuer)| issuer.name == iss);
        let (index, issuer) = found.ok_or(TokenError::Issuer)?;
        if !issuer.algs.contains(&unverified.alg()) {
            return Err(TokenError::Jws(JwsError::Alg));
        }
        let (key, generation) = issuer.keys.find(&unverified).await?;
        let verified = unverified.verify(&key)?;
        let claims = verified.claims()?;
        if !has(&claims, "aud", &issuer.audiences)? {
            return Err(TokenError::Audience);
        }
        let (key, certificate) = confirmation(&claims)?;
        let token = Arc::new(AccessToken {
            subject: needed(&claims, "sub", 256)?.to_owned(),
            scope: text_of_scope(&claims)?,
            begins: begins(&claims)?,
            expires_at: needed_time(&claims, "exp")?.floor,
            key,
            certificate,
            digest: verified.digest(),
        });
        let cached = Cached { token: Arc::clone(&token), issuer: index, generation };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(name, cached);
        Ok(token)
    }

    fn cached(&self, name: Digest) -> Option<Arc<AccessToken>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Cached { token, issuer, generation } = cache.get(&name)?;
        let keys = &self.issuers.get(*issuer)?.keys;
        if keys.generation() != Some(*generation) {
            cache.pop(&name);
            return None;
        }
        keys.keep_fresh();
        Some(Arc::clone(token))
    }
}

fn text_of_scope(claims: &Object) -> Result<Option<String>, BadClaim> {
    Ok(text(claims, "scope")?.map(str::to_owned))
}

/// RFC 9068 section 2.1; many issuers say `JWT`.
fn is_access_token(typ: &str) -> bool {
    ["at+jwt", "application/at+jwt", "JWT"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::{Jwk, Jwks};
    use crate::jws::sign;
    use chio_core::crypto::{Algorithm, Keypair};

    const JKT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

    fn issuer(key: &Keypair) -> Issuer {
        let keys = Keys::fixed([Jwk::of(&key.public_key()).unwrap()].into_iter().collect());
        let (name, audiences) = ("https://issuer.example".into(), vec!["api".into(), "other".into()]);
        Issuer { name, audiences, algs: Alg::OF_ISSUERS.to_vec(), keys }
    }

    fn claims(change: (&str, &str)) -> String {
        let all = r#"{"iss":"https://issuer.example","aud":"api","sub":"agent","scope":"a b","iat":100,"exp":200,"cnf":{"jkt":"JKT"}}"#;
        assert!(all.contains(change.0), "{change:?}");
        all.replacen(change.0, change.1, 1).replace("JKT", JKT)
    }

    async fn verify(header: &str, claims: &str) -> Result<Arc<AccessToken>, TokenError> {
        let key = Keypair::from_seed(&[1; 32]);
        let text = sign(&key, header, claims.as_bytes()).unwrap();
        AccessTokens::new(vec![issuer(&key)]).verify(&text).await
    }

    #[tokio::test]
    async fn a_token_is_of_a_configured_issuer_for_this_service() {
        let token = verify(r#""typ":"at+jwt""#, &claims(("", ""))).await.unwrap();
        assert_eq!((token.subject(), token.scope(), token.expires_at()), ("agent", Some("a b"), 200));
        assert_eq!((token.key(), token.certificate()), (Thumbprint::parse(JKT), None));
        assert!(token.has_scope("a") && token.has_scope("b") && !token.has_scope("a b") && !token.has_scope(""));
        for header in ["", r#""typ":"JWT""#, r#""typ":"application/at+jwt""#, r#""typ":"AT+JWT""#] {
            assert!(verify(header, &claims(("", ""))).await.is_ok(), "{header}");
        }
        for header in [
            r#""typ":"dpop+jwt""#,
            r#""typ":"EKEY""#,
            r#""typ":"ekey""#,
            r#""typ":"id+jwt""#,
            r#""typ":1"#,
            r#""typ":"""#,
        ] {
            assert_eq!(verify(header, &claims(("", ""))).await.unwrap_err(), TokenError::Type, "{header}");
        }
        use TokenError::{Audience, Claim, Issuer, Jws, Unbound};
        for (from, to, why) in [
            ("issuer.example", "evil.example", Issuer),
            ("issuer.example", "issuer.example/", Issuer),
            (r#""iss":"https://issuer.example","#, "", Claim("iss")),
            (r#""aud":"api""#, r#""aud":"else""#, Audience),
            (r#""aud":"api""#, r#""aud":"api other""#, Audience),
            (r#""aud":"api""#, r#""aud":[]"#, Audience),
            (r#""aud":"api","#, "", Claim("aud")),
            (r#""sub":"agent","#, "", Claim("sub")),
            (r#""sub":"agent""#, r#""sub":"""#, Claim("sub")),
            (r#""scope":"a b""#, r#""scope":["a"]"#, Claim("scope")),
            (r#","exp":200"#, "", Claim("exp")),
            (r#""exp":200"#, r#""exp":"200""#, Claim("exp")),
            (r#""iat":100"#, r#""iat":null"#, Claim("iat")),
            (r#","cnf":{"jkt":"JKT"}"#, "", Unbound),
            (r#"{"jkt":"JKT"}"#, "{}", Unbound),
            (r#"{"jkt":"JKT"}"#, r#""JKT""#, Claim("cnf")),
            (r#"{"jkt":"JKT"}"#, r#"{"jkt":"short"}"#, Claim("cnf")),
            (r#"{"jkt":"JKT"}"#, r#"{"jkt":"JKT","x5t#S256":1}"#, Claim("cnf")),
            (r#""iat":100"#, r#""iat":100,"iat":100"#, Jws(JwsError::Claims)),
        ] {
            assert_eq!(verify("", &claims((from, to))).await.unwrap_err(), why, "{from} {to}");
        }
        assert!(verify("", &claims((r#""aud":"api""#, r#""aud":["x","other"]"#))).await.is_ok());
        let bound = verify("", &claims((r#"{"jkt":"JKT"}"#, r#"{"x5t#S256":"JKT"}"#))).await.unwrap();
        assert_eq!((bound.key(), bound.certificate()), (None, Thumbprint::parse(JKT)));
    }

    #[tokio::test]
    async fn a_token_of_another_key_or_another_algorithm_is_refused() {
        let (key, other) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let p256 = Keypair::generate_for(Algorithm::P256).unwrap();
        let text = |key: &Keypair| sign(key, "", claims(("", "")).as_bytes()).unwrap();
        let tokens = AccessTokens::new(vec![issuer(&key)]);
        assert_eq!(tokens.verify(&text(&other)).await.unwrap_err(), TokenError::Signature);
        assert_eq!(tokens.verify(&text(&p256)).await.unwrap_err(), TokenError::Issuer);
        let strict = AccessTokens::new(vec![Issuer { algs: vec![Alg::Es256], ..issuer(&key) }]);
        assert_eq!(strict.verify(&text(&key)).await.unwrap_err(), TokenError::Jws(JwsError::Alg));
        let long = format!("{}.{}", text(&key), "A".repeat(MAX_TOKEN_BYTES));
        assert_eq!(tokens.verify(&long).await.unwrap_err(), TokenError::Jws(JwsError::TooLong));
        // Of one issuer alone, whatever others there are.
        let named = |name: &str, key| Issuer { name: name.into(), ..issuer(key) };
        let two = AccessTokens::new(vec![named("https://issuer.example", &other), named("https://b.example", &key)]);
        assert_eq!(two.verify(&text(&key)).await.unwrap_err(), TokenError::Signature);
    }

    #[tokio::test]
    async fn when_it_is_valid_is_looked_at_in_every_call() {
        let token = verify("", &claims((r#""iat":100"#, r#""iat":100,"nbf":110"#))).await.unwrap();
        for now in [105, 110, 199] {
            assert_eq!(token.check_time(now), Ok(()), "{now}");
        }
        assert_eq!(token.check_time(104), Err(TokenError::Early { from: 110, now: 104 }));
        assert_eq!(token.check_time(200), Err(TokenError::Expired { expires_at: 200, now: 200 }));
        let fraction = verify("", &claims((r#""exp":200"#, r#""exp":199.5"#))).await.unwrap();
        assert!(fraction.check_time(199).is_err());
        let future = verify("", &claims((r#""iat":100"#, r#""iat":150"#))).await.unwrap();
        assert!(future.check_time(144).is_err() && future.check_time(145).is_ok());
    }

    #[tokio::test]
    async fn what_was_verified_with_keys_that_are_gone_is_verified_again() {
        let (key, other) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let set = |key: &Keypair| format!(r#"{{"keys":[{}]}}"#, crate::jwk::public_jwk(&key.public_key()));
        let path = std::env::temp_dir().join(format!("chio-http-keys-{}.json", std::process::id()));
        std::fs::write(&path, set(&key)).unwrap();
        let refresh = crate::keys::Refresh { unknown: std::time::Duration::ZERO, ..crate::keys::Refresh::default() };
        let keys = Keys::file(&path, refresh).unwrap();
        let tokens = AccessTokens::new(vec![Issuer { keys: keys.clone(), ..issuer(&key) }]);
        let text = sign(&key, "", claims(("", "")).as_bytes()).unwrap();
        let first = tokens.verify(&text).await.unwrap();
        assert!(Arc::ptr_eq(&first, &tokens.verify(&text).await.unwrap()), "it is remembered");
        std::fs::write(&path, set(&other)).unwrap();
        // A token of a type that is unknown has the keys read again.
        let p256 = sign(&Keypair::generate_for(Algorithm::P256).unwrap(), "", claims(("", "")).as_bytes()).unwrap();
        assert_eq!(tokens.verify(&p256).await.unwrap_err(), TokenError::Issuer);
        assert_eq!(tokens.verify(&text).await.unwrap_err(), TokenError::Signature);
        std::fs::remove_file(&path).unwrap();
        assert!(Jwks::parse(set(&key).as_bytes()).is_ok());
    }
}
