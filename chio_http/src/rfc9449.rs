//! The scheme `rfc9449`: an access token that is bound to a key, and a proof by that key.

use std::fmt;
use std::sync::Arc;

use chio_kernel::clock::BoxFuture;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::Claims;
use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::access_token::{AccessToken, AccessTokens};
use crate::client_certificate::ClientCertificate;
use crate::dpop::{Asked, Proof, ProofError, ProofRules};
use crate::failure::Failure;
use crate::issuer::TokenError;
use crate::jwk::Thumbprint;
use crate::scheme::{HttpScheme, Opened, Presented, Refused, Told, granted};
use crate::server_nonce::ServerNonces;
use chio_core::capability::Grant;
use chio_core::digest::Digest;

/// The header that a proof is in.
pub(crate) const PROOF: HeaderName = HeaderName::from_static("dpop");

/// RFC 9449 as a scheme of the kernel.
#[derive(Debug)]
pub struct Rfc9449 {
    tokens: AccessTokens,
    rules: Arc<ProofRules>,
    nonces: Arc<ServerNonces>,
}

impl Rfc9449 {
    /// Tokens of these issuers, with proofs by these rules.
    pub fn new(tokens: AccessTokens, rules: ProofRules, nonces: Arc<ServerNonces>) -> Self {
        Self { tokens, rules: Arc::new(rules), nonces }
    }

    async fn opened(&self, presented: Presented<'_>) -> Result<Box<dyn Opened>, Refused> {
        let token = self.tokens.verify(presented.token).await?;
        let claimed = Arc::clone(&token);
        self.bound(token, &presented).map_err(|failure| Refused::of(failure, told(&claimed), None))
    }

    fn bound(&self, token: Arc<AccessToken>, presented: &Presented<'_>) -> Result<Box<dyn Opened>, Failure> {
        let proof = the_proof(presented.headers)?;
        let key = token.key().ok_or(TokenError::Unbound)?;
        check_certificate(token.certificate(), presented.certificate)?;
        let proof = Proof::check_bound(proof, asked(presented), &self.rules, (key, true), token.proofs())?;
        let covers_response_key = proof.check_response_key(presented.response_key.map(|key| key.text))?;
        let route = presented.route;
        let is_granted = route.required_scope().is_none_or(|scope| token.has_scope(scope));
        Ok(Box::new(Bound {
            grants: is_granted.then(|| granted(presented.tool_server, route)).into_iter().collect(),
            needs_body: self.rules.content_digest || route.requires_digest(),
            rules: Arc::clone(&self.rules),
            nonces: Arc::clone(&self.nonces),
            token,
            proof,
            covers_response_key,
        }))
    }
}

/// The one proof of a request.
/// Fails where there is none, or several: RFC 9449 section 4.3, check 1.
pub(crate) fn the_proof(headers: &HeaderMap) -> Result<&str, ProofError> {
    let mut proofs = headers.get_all(PROOF).iter();
    let proof = proofs.next().ok_or(ProofError::Missing)?;
    if proofs.next().is_some() {
        return Err(ProofError::Several);
    }
    // What is no text is no proof either.
    Ok(proof.to_str().unwrap_or_default())
}

/// Whether the connection has shown the certificate that a token is bound to, if it is to any: RFC 8705 section 3.
pub(crate) fn check_certificate(
    bound: Option<Thumbprint>,
    shown: Option<&ClientCertificate>,
) -> Result<(), TokenError> {
    let is_shown = |bound: Thumbprint| shown.is_some_and(|shown| Digest::of(&shown.der) == bound.0);
    if bound.is_none_or(is_shown) { Ok(()) } else { Err(TokenError::Certificate) }
}

pub(crate) fn asked<'a>(presented: &Presented<'a>) -> Asked<'a> {
    let Presented { method, origin, target, token, .. } = *presented;
    Asked { method, origin, path: target.path(), query: target.query(), token }
}

/// The names of the algorithms that a proof may be signed with, separated by spaces: RFC 9449 section 7.1.
pub(crate) fn algs(rules: &ProofRules) -> String {
    let names: Vec<_> = rules.algs.iter().flat_map(|alg| alg.names()).copied().collect();
    names.join(" ")
}

fn told(token: &AccessToken) -> Told {
    let (subject, scope) = (token.subject().to_owned(), token.scope().map(str::to_owned));
    Told { subject, scope, subcap: Vec::new(), trace: None }
}

struct Bound {
    token: Arc<AccessToken>,
    proof: Proof,
    grants: Vec<Grant>,
    needs_body: bool,
    covers_response_key: bool,
    rules: Arc<ProofRules>,
    nonces: Arc<ServerNonces>,
}

impl Bound {
    /// What it comes to, which depends on no store.
    fn judged(&self, now: u64, body: Option<&[u8]>) -> Result<Claims, Failure> {
        self.token.check_time(now)?;
        let spent = self.nonces.spend(&self.proof, now)?;
        self.proof.check_time(now, &self.rules)?;
        self.proof.check_body(body, self.needs_body)?;
        Ok(Claims {
            principal: self.proof.key().to_string(),
            credential: self.token.digest(),
            grants: self.grants.clone(),
            expires_at: self.token.expires_at(),
            nonce: spent.nonce,
            issued_at: self.proof.issued_at(),
            proof_hash: Some(self.proof.digest()),
        })
    }
}

impl Opened for Bound {
    fn covers_body(&self) -> bool {
        self.proof.covers_body()
    }

    fn claims<'a>(&'a self, now: u64, body: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>> {
        Box::pin(std::future::ready(self.judged(now, body)))
    }

    fn told(&self) -> Told {
        told(&self.token)
    }

    fn renews_nonce(&self, now: u64) -> bool {
        self.proof.nonce().is_some() && self.nonces.spend(&self.proof, now).is_ok_and(|spent| spent.renews)
    }

    fn covers_response_key(&self) -> bool {
        self.covers_response_key
    }
}

impl HttpScheme for Rfc9449 {
    fn name(&self) -> &'static str {
        "rfc9449"
    }

    fn word(&self) -> &'static str {
        "DPoP"
    }

    fn challenge(&self) -> String {
        format!(r#"algs="{}""#, algs(&self.rules))
    }

    fn error(&self, failure: Option<&Failure>, denial: &Denial) -> Option<&'static str> {
        Some(match (failure, denial) {
            (Some(Failure::NoCredentials), _) => return None,
            (Some(Failure::Request(_)), _) => "invalid_request",
            (Some(Failure::Proof(ProofError::Nonce)), _) | (_, Denial::ProofPredatesKernel { .. }) => "use_dpop_nonce",
            (Some(Failure::Token(_)), _) => "invalid_token",
            (Some(Failure::Proof(_)), _) => "invalid_dpop_proof",
            _ if denial.code().starts_with("capability_") => "invalid_token",
            _ if denial.code().starts_with("proof_") || denial.code().starts_with("nonce_") => "invalid_dpop_proof",
            _ => "insufficient_scope",
        })
    }

    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>> {
        Box::pin(self.opened(presented))
    }

    fn new_nonce(&self, now: u64) -> Option<String> {
        self.nonces.give(now).ok()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bound")
    }
}
