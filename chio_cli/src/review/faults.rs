//! What is wrong with a chain that can be seen without knowing whom a kernel trusts.

use chio_core::capability::{CapabilityChain, CapabilityToken};

/// Why a kernel will refuse the chain, as far as the chain itself tells.
pub(crate) fn faults(chain: &CapabilityChain) -> Vec<String> {
    let mut faults = Vec::new();
    let mut above: Option<&CapabilityToken> = None;
    for (index, token) in chain.tokens().enumerate() {
        if let Some(fault) = fault(token, above) {
            faults.push(format!("a kernel will refuse the chain: token {index} {fault}"));
        }
        above = Some(token);
    }
    faults
}

fn fault(token: &CapabilityToken, above: Option<&CapabilityToken>) -> Option<&'static str> {
    if token.contents_id().is_ok_and(|id| id.to_string() != token.id) {
        return Some("is not the one its id names");
    }
    if !token.signed_bytes().is_ok_and(|bytes| token.issuer.verify(&bytes, &token.signature)) {
        return Some("was not signed by its issuer, or was changed since");
    }
    let Some(above) = above else {
        return token.parent.is_some().then_some("names a parent, and is the first: the chain begins above it");
    };
    if token.parent.as_ref() != Some(&above.id) || token.issuer != above.subject {
        return Some("does not follow from the one before it");
    }
    (token.max_depth >= above.max_depth).then_some("has a max_depth that is not smaller than that of the one before it")
}
