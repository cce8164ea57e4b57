//! Access tokens as JWT (RFC 9068).

use std::sync::Arc;

use chio_core::canonical::Object;
use chio_core::digest::Digest;

use crate::claims::{Seconds, needed, needed_time, text};
use crate::dpop::OfOneToken;
use crate::issuer::{Issuer, TokenError, Tokens, begins, check_time, confirmation};
use crate::jwk::Thumbprint;
use crate::jws::Verified;

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
    proofs: OfOneToken,
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

    /// What its proofs have in common.
    pub(crate) fn proofs(&self) -> &OfOneToken {
        &self.proofs
    }
}

/// Verifies access tokens, and remembers which hold.
#[derive(Debug)]
pub struct AccessTokens(Tokens<AccessToken>);

impl AccessTokens {
    /// Tokens of these issuers.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self(Tokens::new(issuers))
    }

    /// Verifies a token. When it is valid is looked at in every call.
    /// Fails where it is none of a configured issuer for this service.
    pub async fn verify(&self, text: &str) -> Result<Arc<AccessToken>, TokenError> {
        self.0.verify(text, is_access_token, read).await
    }
}

fn read(verified: &Verified<'_>, claims: &Object, _: &Issuer, name: Digest) -> Result<AccessToken, TokenError> {
    let (key, certificate) = confirmation(claims)?;
    Ok(AccessToken {
        subject: needed(claims, "sub", 256)?.to_owned(),
        scope: text(claims, "scope")?.map(str::to_owned),
        begins: begins(claims)?,
        expires_at: needed_time(claims, "exp")?.floor,
        key,
        certificate,
        digest: verified.digest(),
        proofs: OfOneToken::new(name),
    })
}

/// RFC 9068 section 2.1; many issuers say `JWT`, or nothing.
pub(crate) fn is_access_token(typ: Option<&str>) -> bool {
    const KNOWN: [&str; 3] = ["at+jwt", "application/at+jwt", "JWT"];
    typ.is_none_or(|typ| KNOWN.iter().any(|known| typ.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::{Jwk, Jwks};
    use crate::jws::{Alg, JwsError, MAX_TOKEN_BYTES, sign};
    use crate::keys::Keys;
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
        use TokenError::{Audience, Claim, Issuer, Jws, Unbound};
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
