//! The first stage: the token, of an identity provider that knows nothing of proof of possession.

use std::sync::Arc;

use chio_core::canonical::{Json, Object};
use chio_core::digest::Digest;

use crate::access_token::is_access_token;
use crate::claims::{BadClaim, Seconds, needed, needed_time, text};
use crate::issuer::{Issuer, TokenError, Tokens, begins, check_time};
use crate::jws::Verified;

/// Which claim says what a token is for, where it is not said.
pub const ABILITIES: &str = "scope";

/// A token whose signature holds, from an issuer of this service. Whether it is valid now is another question, and whether
/// it is used by its device yet another.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing but a signature that holds makes one.
/// let forged = chio_http::device::BearerToken { ..todo!() };
/// ```
/// ```
/// fn takes(_: &chio_http::device::BearerToken) {}
/// ```
#[derive(Clone, Debug)]
pub struct BearerToken {
    issuer: String,
    subject: String,
    client: Option<String>,
    sid: Option<String>,
    abilities: Vec<String>,
    begins: Option<Seconds>,
    expires_at: u64,
    text: Digest,
    digest: Digest,
    owner: Digest,
    session: Digest,
}

impl BearerToken {
    /// Whether it is valid now.
    pub fn check_time(&self, now: u64) -> Result<(), TokenError> {
        check_time(self.begins, self.expires_at, now)
    }

    /// Who issued it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom it is about, by its issuer's word.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The client application that it was issued to: `azp` or `client_id`.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The session that it is of, as a device signs it at its enrolment: `sid`; where there is none, each token is a session
    /// of its own, called by the digest of what its signature covers.
    pub fn session_text(&self) -> String {
        self.sid.clone().unwrap_or_else(|| self.digest.to_string())
    }

    /// Whether its session has a name, and so may have other tokens.
    pub fn has_sid(&self) -> bool {
        self.sid.is_some()
    }

    /// What it is for.
    pub fn abilities(&self) -> &[String] {
        &self.abilities
    }

    /// The fifth stage: whether it is for this, among others.
    pub fn has(&self, ability: &str) -> bool {
        self.abilities.iter().any(|one| one == ability)
    }

    /// The first second at which it is no longer valid.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The digest of its text, which is what a signed request covers.
    pub(crate) fn text(&self) -> Digest {
        self.text
    }

    /// Whose devices may be meant: the digest of issuer and subject.
    pub fn owner(&self) -> Digest {
        self.owner
    }

    /// The digest that names its session, by which that can be revoked.
    pub fn session(&self) -> Digest {
        self.session
    }
}

/// The digest that names a subject of an issuer.
pub fn owner(issuer: &str, subject: &str) -> Digest {
    Digest::of_parts(&[b"chio-device-subject", issuer.as_bytes(), subject.as_bytes()])
}

/// Verifies bearer tokens, and remembers which hold.
#[derive(Debug)]
pub struct BearerTokens {
    tokens: Tokens<BearerToken>,
    claim: String,
}

impl BearerTokens {
    /// Tokens of these issuers, in which `claim` says what they are for: a text with spaces, or an array of texts.
    pub fn new(issuers: Vec<Issuer>, claim: impl Into<String>) -> Self {
        Self { tokens: Tokens::new(issuers), claim: claim.into() }
    }

    /// Verifies a token. When it is valid is looked at in every call.
    /// Fails where it is none of a configured issuer for this service, or is bound to a key: then another scheme is to see
    /// the proof, and no thief gets around that here.
    pub async fn verify(&self, text: &str) -> Result<Arc<BearerToken>, TokenError> {
        let read = |verified: &Verified<'_>, claims: &Object, issuer: &Issuer, text: Digest| {
            read(&self.claim, verified, claims, issuer).map(|token| BearerToken { text, ..token })
        };
        self.tokens.verify(text, is_access_token, read).await
    }
}

fn read(claim: &str, verified: &Verified<'_>, claims: &Object, issuer: &Issuer) -> Result<BearerToken, TokenError> {
    if claims.get("cnf").is_some() {
        return Err(TokenError::Bound);
    }
    let subject = in_one_line(needed(claims, "sub", 256)?, "sub")?.to_owned();
    let named = |name: &'static str| match text(claims, name)? {
        None => Ok(None),
        Some(_) => in_one_line(needed(claims, name, 256)?, name).map(|text| Some(text.to_owned())),
    };
    let (azp, client_id, sid) = (named("azp")?, named("client_id")?, named("sid")?);
    // RFC 9068 section 2.2 has `client_id`, OpenID Connect Core section 2 `azp`; a token that is of two clients is of none.
    if azp.is_some() && client_id.is_some() && azp != client_id {
        return Err(TokenError::Claim("client_id"));
    }
    let name = in_one_line(&issuer.name, "iss")?;
    let digest = verified.digest();
    let session = match &sid {
        Some(sid) => Digest::of_parts(&[b"chio-device-session", name.as_bytes(), b"sid", sid.as_bytes()]),
        None => Digest::of_parts(&[b"chio-device-session", name.as_bytes(), b"token", digest.as_bytes()]),
    };
    Ok(BearerToken {
        issuer: name.to_owned(),
        owner: owner(name, &subject),
        subject,
        client: azp.or(client_id),
        sid,
        abilities: abilities(claims.get(claim))?,
        begins: begins(claims)?,
        expires_at: needed_time(claims, "exp")?.floor,
        text: digest,
        digest,
        session,
    })
}

/// What a device signs at its enrolment has one line for each of them.
fn in_one_line<'a>(text: &'a str, name: &'static str) -> Result<&'a str, BadClaim> {
    if text.chars().any(char::is_control) { Err(BadClaim(name)) } else { Ok(text) }
}

fn abilities(claim: Option<&Json>) -> Result<Vec<String>, BadClaim> {
    let is_one = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' ');
    let wrong = BadClaim("scope");
    match claim {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => {
            let all: Vec<_> = text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            if all.iter().all(|one| is_one(one)) { Ok(all) } else { Err(wrong) }
        }
        Some(Json::Array(items)) => {
            let one = |item: &Json| item.as_str().filter(|one| is_one(one)).map(str::to_owned).ok_or(wrong);
            items.iter().map(one).collect()
        }
        Some(_) => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::Jwk;
    use crate::jws::{Alg, sign};
    use crate::keys::Keys;
    use chio_core::crypto::Keypair;

    async fn verify(claim: &str, header: &str, claims: &str) -> Result<Arc<BearerToken>, TokenError> {
        let key = Keypair::from_seed(&[1; 32]);
        let keys = Keys::fixed([Jwk::of(&key.public_key()).unwrap()].into_iter().collect());
        let (name, audiences) = ("https://issuer.example".into(), vec!["api".into()]);
        let issuer = Issuer { name, audiences, algs: Alg::OF_ISSUERS.to_vec(), keys };
        let text = sign(&key, header, claims.as_bytes()).unwrap();
        BearerTokens::new(vec![issuer], claim).verify(&text).await
    }

    fn claims(more: &str) -> String {
        format!(r#"{{"iss":"https://issuer.example","aud":"api","sub":"alice","exp":200{more}}}"#)
    }

    #[tokio::test]
    async fn a_token_says_whose_session_it_is_of_and_what_it_is_for() {
        let full = claims(r#","sid":"s1","azp":"app","client_id":"app","scope":"a b","iat":100"#);
        let token = verify("scope", r#""typ":"at+jwt""#, &full).await.unwrap();
        assert_eq!((token.issuer(), token.subject(), token.client()), ("https://issuer.example", "alice", Some("app")));
        assert_eq!((token.session_text(), token.has_sid(), token.expires_at()), ("s1".to_owned(), true, 200));
        assert!(token.has("a") && token.has("b") && !token.has("a b") && !token.has(""));
        let same = verify("scope", "", &claims(r#","sid":"s1","exp2":1"#)).await.unwrap();
        assert_eq!((same.session(), same.owner()), (token.session(), token.owner()));
        let (one, other) = (
            verify("scope", "", &claims("")).await.unwrap(),
            verify("scope", "", &claims(r#","jti":"2""#)).await.unwrap(),
        );
        assert_ne!(one.session(), other.session(), "without a `sid` each token is a session");
        assert!(!one.has_sid() && one.session_text().len() == 64);
        // A `sid` is never taken for the digest of another token.
        let named = verify("scope", "", &claims(&format!(r#","sid":"{}""#, one.session_text()))).await.unwrap();
        assert_ne!(named.session(), one.session());
        let listed = verify("permissions", "", &claims(r#","scope":"a","permissions":["x","y"]"#)).await.unwrap();
        assert!(listed.has("x") && !listed.has("a"));
    }

    #[tokio::test]
    async fn a_token_that_is_bound_or_unclear_is_refused() {
        use TokenError::{Bound, Claim};
        for (more, why) in [
            (r#","cnf":{"jkt":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"}"#, Bound),
            (r#","cnf":{}"#, Bound),
            (r#","cnf":null"#, Bound),
            (r#","sid":"""#, Claim("sid")),
            (r#","sid":7"#, Claim("sid")),
            (r#","sid":"a\nb""#, Claim("sid")),
            (r#","azp":"one","client_id":"two""#, Claim("client_id")),
            (r#","azp":["one"]"#, Claim("azp")),
            (r#","scope":7"#, Claim("scope")),
            (r#","scope":["a b"]"#, Claim("scope")),
            (r#","scope":["a",1]"#, Claim("scope")),
        ] {
            assert_eq!(verify("scope", "", &claims(more)).await.unwrap_err(), why, "{more}");
        }
        for typ in ["dpop+jwt", "EKEY", "chio-session", "logout+jwt"] {
            let got = verify("scope", &format!(r#""typ":"{typ}""#), &claims("")).await;
            assert_eq!(got.unwrap_err(), TokenError::Type, "{typ}");
        }
        let line = claims("").replace("alice", r"al\nice");
        assert_eq!(verify("scope", "", &line).await.unwrap_err(), Claim("sub"));
    }
}
