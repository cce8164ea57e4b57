//! Other proofs of possession than the one of this protocol: a credential in, claims out.
//!
//! A scheme verifies its credential and says who calls, what they may do, and which nonce this spends. The kernel does
//! the rest: standing, replay, grants, budget, guards, receipt. A scheme answers with plain values, never a witness.

use chio_core::capability::{Grant, MAX_NAME_BYTES};
use chio_core::digest::Digest;

use crate::call::ToolCall;
use crate::config::Mode;
use crate::denial::Denial;
use crate::store::BoxFuture;

/// What a scheme found a credential to say.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Who calls, in the scheme's own text: a key, a thumbprint, a device. At most 256 bytes. The kernel puts the name
    /// of the scheme before it, and remembers its nonces and counts on its account.
    pub principal: String,
    /// The digest that names the credential, by which it can be revoked. It must be of something that the holder cannot
    /// vary, never of a signature.
    pub credential: Digest,
    /// What the credential allows.
    pub grants: Vec<Grant>,
    /// The first second at which the credential is no longer valid.
    pub expires_at: u64,
    /// The nonce that this call spends: 1 to 256 bytes.
    pub nonce: String,
    /// When the proof was made, in Unix seconds, by its own word. It is held to the kernel's own freshness rules, too.
    pub issued_at: u64,
    /// The digest of what was signed, for the receipt.
    pub proof_hash: Option<Digest>,
}

impl Claims {
    /// No scheme can speak of another's principals, or of the keys of this protocol.
    pub(crate) fn named_by(mut self, scheme: &str) -> Result<Self, Denial> {
        if self.principal.len() > MAX_NAME_BYTES || self.principal.chars().any(char::is_control) {
            return Err(Denial::ProofMalformed { reason: "its principal is too long, or unprintable".into() });
        }
        self.principal = format!("scheme:{scheme}:{}", self.principal);
        Ok(self)
    }
}

/// A proof of possession of another protocol.
pub trait ProofScheme: Send + Sync {
    /// Its name, such as `rfc9449`, without a colon: the principals of a scheme are its own.
    fn name(&self) -> &'static str;

    /// What is presented.
    type Credential: Send + Sync;

    /// Verifies that the presenter of the credential made this very call.
    /// Fails with the reason why not. It counts as a denial of a caller that has proven nothing.
    fn verify<'a>(
        &'a self,
        credential: &'a Self::Credential,
        call: &'a ToolCall,
        now: u64,
    ) -> BoxFuture<'a, Result<Claims, Denial>>;

    /// The mode of a call with it; without one, that of its tool server. It is asked when all else is verified.
    fn mode(&self, _: &Self::Credential) -> Option<Mode> {
        None
    }
}
