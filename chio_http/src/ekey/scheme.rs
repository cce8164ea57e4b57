//! The scheme `ekey`.

use std::fmt;
use std::sync::Arc;

use chio_core::capability::Grant;
use chio_kernel::Kernel;
use chio_kernel::clock::BoxFuture;
use chio_kernel::denial::Denial;
use chio_kernel::scheme::Claims;

use super::token::{ALGS, EKeyToken, is_ekey};
use crate::dpop::{Proof, ProofError, ProofRules};
use crate::failure::Failure;
use crate::issuer::{Issuer, TokenError, Tokens};
use crate::rfc9449::{algs, asked, check_certificate, the_proof};
use crate::scheme::{HttpScheme, Opened, Presented, Refused, Told, granted};

/// What a proof for an E-Key has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EKeyRules {
    /// As for any proof.
    pub proof: ProofRules,
    /// Whether the proof must name the token by `ath`, which it may do anyhow.
    pub ath: bool,
}

/// E-Key as a scheme of the kernel.
pub struct EKey {
    tokens: Tokens<EKeyToken>,
    rules: Arc<EKeyRules>,
    kernel: Kernel,
}

impl fmt::Debug for EKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EKey").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl EKey {
    /// E-Keys of these issuers, of which those algorithms count alone that E-Keys are signed with.
    pub fn new(mut issuers: Vec<Issuer>, rules: EKeyRules, kernel: Kernel) -> Self {
        for issuer in &mut issuers {
            issuer.algs.retain(|alg| ALGS.contains(alg));
        }
        Self { tokens: Tokens::new(issuers), rules: Arc::new(rules), kernel }
    }

    async fn opened(&self, presented: Presented<'_>) -> Result<Box<dyn Opened>, Refused> {
        let token = self.tokens.verify(presented.token, is_ekey, EKeyToken::read).await?;
        let claimed = Arc::clone(&token);
        self.bound(token, &presented).map_err(|failure| Refused::of(failure, told(&claimed), None))
    }

    fn bound(&self, token: Arc<EKeyToken>, presented: &Presented<'_>) -> Result<Box<dyn Opened>, Failure> {
        check_certificate(token.certificate, presented.certificate)?;
        let proof = match token.key {
            Some(key) => {
                let (text, bound) = (the_proof(presented.headers)?, (key, self.rules.ath));
                let proof = Proof::check_bound(text, asked(presented), &self.rules.proof, bound, &token.proofs)?;
                if proof.nonce() != Some(&*token.trace) {
                    return Err(ProofError::Nonce.into());
                }
                Some(proof)
            }
            // The certificate was checked: it is bound to one of the two.
            None => None,
        };
        // TLS covers the header, too, but the digest of what was signed would be the same for each request with the token.
        let sent = presented.response_key.map(|key| key.text);
        let covers_response_key = match &proof {
            Some(proof) => proof.check_response_key(sent)?,
            None => false,
        };
        let route = presented.route;
        let is_granted = token.cap.covers(presented.method, presented.target.path(), route);
        let mut grant = granted(presented.tool_server, route);
        grant.max_invocations = token.cap.limit;
        Ok(Box::new(Bound {
            grants: is_granted.then_some(grant).into_iter().collect(),
            needs_body: self.rules.proof.content_digest || route.requires_digest(),
            rules: Arc::clone(&self.rules),
            kernel: self.kernel.clone(),
            token,
            proof,
            covers_response_key,
        }))
    }
}

fn told(token: &EKeyToken) -> Told {
    let EKeyToken { subject, trace, cap, .. } = token;
    let (scope, subcap) = (cap.scope.clone(), cap.subcap.clone());
    Told { subject: subject.clone(), scope, subcap, trace: Some(trace.clone()) }
}

struct Bound {
    token: Arc<EKeyToken>,
    /// None where it is bound to the certificate of the connection alone.
    proof: Option<Proof>,
    grants: Vec<Grant>,
    needs_body: bool,
    covers_response_key: bool,
    rules: Arc<EKeyRules>,
    kernel: Kernel,
}

impl Bound {
    /// What it comes to, which depends on no store.
    fn judged(&self, now: u64, body: Option<&[u8]>) -> Result<Claims, Failure> {
        let token = &*self.token;
        token.check_time(now)?;
        let (principal, nonce, issued_at) = match (&self.proof, token.certificate) {
            (Some(proof), _) => {
                proof.check_time(now, &self.rules.proof)?;
                proof.check_body(body, self.needs_body)?;
                // A trace that this kernel gave out since it started is one that no proof can be older than.
                let nonce = format!("{}:{}", token.trace, proof.id());
                (proof.key().to_string(), nonce, proof.issued_at())
            }
            // Nobody else can send on this connection: TLS does what a nonce does elsewhere.
            (None, Some(certificate)) => {
                let nonce = self.kernel.new_nonce().map_err(|error| TokenError::Keys(error.to_string()))?;
                (format!("x5t#S256:{certificate}"), nonce, now)
            }
            (None, None) => return Err(TokenError::Unbound.into()),
        };
        Ok(Claims {
            principal,
            credential: token.credential,
            grants: self.grants.clone(),
            expires_at: token.expires_at,
            nonce,
            issued_at,
            proof_hash: Some(self.proof.as_ref().map_or(token.digest, Proof::digest)),
        })
    }
}

impl Opened for Bound {
    fn covers_body(&self) -> bool {
        self.proof.as_ref().is_some_and(Proof::covers_body)
    }

    fn claims<'a>(&'a self, now: u64, body: Option<&'a [u8]>) -> BoxFuture<'a, Result<Claims, Failure>> {
        Box::pin(std::future::ready(self.judged(now, body)))
    }

    fn told(&self) -> Told {
        told(&self.token)
    }

    fn renews_nonce(&self, _: u64) -> bool {
        false
    }

    fn covers_response_key(&self) -> bool {
        self.covers_response_key
    }
}

impl HttpScheme for EKey {
    fn name(&self) -> &'static str {
        "ekey"
    }

    fn word(&self) -> &'static str {
        "EKey"
    }

    fn challenge(&self) -> String {
        format!(r#"algs="{}""#, algs(&self.rules.proof))
    }

    fn error(&self, failure: Option<&Failure>, denial: &Denial) -> Option<&'static str> {
        Some(match (failure, denial) {
            (Some(Failure::NoCredentials), _) => return None,
            (Some(Failure::Request(_)), _) => "invalid_request",
            (Some(Failure::Token(TokenError::Certificate) | Failure::Proof(_)), _) => "invalid_proof",
            (_, Denial::CapabilityExpired { .. }) => "expired_token",
            (Some(Failure::Token(_)), _) => "invalid_token",
            (_, Denial::NonceReplayed) => "replay_detected",
            _ if denial.code().starts_with("capability_") => "invalid_token",
            _ if denial.code().starts_with("proof_") || denial.code().starts_with("nonce_") => "invalid_proof",
            _ => "capability_mismatch",
        })
    }

    fn open<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<Box<dyn Opened>, Refused>> {
        Box::pin(self.opened(presented))
    }

    fn new_nonce(&self, _: u64) -> Option<String> {
        None
    }
}
