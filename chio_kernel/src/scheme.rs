//! Other proofs of possession than the one of this protocol: a credential in, claims out.
//!
//! A scheme verifies its credential and says who calls, what they may do, and which nonce this spends. The kernel does
//! the rest, once, for all schemes: standing, replay, grants, budget, guards, receipt. A scheme answers with plain
//! values; it cannot make a witness.

use chio_core::capability::Grant;
use chio_core::digest::Digest;

use crate::call::ToolCall;
use crate::denial::Denial;
use crate::store::BoxFuture;

/// What a scheme found a credential to say.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Who calls, in the scheme's own text: a key, a thumbprint, a device.
    pub principal: String,
    /// The digest that names the credential; it can be revoked, and its nonces and counts are remembered under it. It
    /// must be of something the holder cannot vary, never of a signature.
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

/// A proof of possession of another protocol.
pub trait ProofScheme: Send + Sync {
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
}
