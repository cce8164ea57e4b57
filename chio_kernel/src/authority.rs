//! Whether a capability chain gives its leaf's subject any authority at all: the one place where it is decided.
//!
//! The order: trust, links, audience, windows (cheap, and the same whether the chain was seen before or not), then ids
//! and signatures (once, then cached), then revocation.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use chio_core::canonical::{self, Json, Limits};
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, MAX_CHAIN_BYTES};
use chio_core::crypto::{PreparedKey, PublicKey};
use chio_core::digest::Digest;
use chio_core::time::Window;
use lru::LruCache;

use crate::config::{Settings, TrustRoot};
use crate::denial::{Ceiling, Denial, Step};
use crate::store::{KernelError, key_id};
use crate::sync::{Mutex, lock};

/// What a token contributes to a verified authority.
pub(crate) struct Layer {
    pub(crate) id: Digest,
    pub(crate) grants: Vec<Grant>,
    pub(crate) window: Window,
}

/// What was found out about a chain once, and holds for as long as the chain is what it is.
pub(crate) struct Facts {
    /// The chain, to the byte.
    text: Vec<u8>,
    /// What must not be revoked: two ids a token, its own and its issuer's, and at the end that of the leaf's subject.
    revocable: Vec<Digest>,
    /// One a token, root first.
    pub(crate) layers: Vec<Layer>,
    /// The grants that the issuer of the root may give at most.
    pub(crate) ceiling: Option<Vec<Grant>>,
    /// Who calls.
    principal: String,
    /// The keys of the chain: the subject first, then the issuers from the root down.
    pub(crate) principals: Vec<Digest>,
    /// Where a subject's proof is by signature.
    pub(crate) subject: Option<(PublicKey, PreparedKey)>,
    capability_id: String,
    /// On whose account nonces and counts are remembered: the root's, so that deriving tokens opens no new account.
    pub(crate) account: Digest,
}

/// Authority that was verified, for the call at hand: a trusted root, every link, every signature, every window, and
/// nothing of it revoked.
///
/// ```compile_fail
/// // It has private fields and no constructor: nothing outside this file makes one.
/// let forged = chio_kernel::authority::VerifiedAuthority { facts: todo!() };
/// ```
/// ```
/// // Its name is all that can be had without a kernel.
/// fn takes(_: &chio_kernel::authority::VerifiedAuthority) {}
/// ```
pub struct VerifiedAuthority {
    facts: Arc<Facts>,
}

impl VerifiedAuthority {
    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Who calls: the text of the subject's key.
    pub fn principal(&self) -> &str {
        &self.facts.principal
    }

    /// The id of the leaf capability.
    pub fn capability_id(&self) -> &str {
        &self.facts.capability_id
    }

    /// Authority that a proof scheme vouches for. Only the kernel's scheme door calls this, with the claims of a scheme
    /// that its owner runs.
    pub(crate) fn of_scheme(principal: String, credential: Digest, grants: Vec<Grant>, window: Window) -> Unrevoked {
        let facts = Facts {
            text: Vec::new(),
            revocable: vec![credential, credential, key_id(&principal)],
            layers: vec![Layer { id: credential, grants, window }],
            ceiling: None,
            principals: vec![key_id(&principal)],
            subject: None,
            capability_id: credential.to_string(),
            account: key_id(&principal),
            principal,
        };
        Unrevoked { facts: Arc::new(facts) }
    }
}

/// Verifies chains against the trust roots and names of a kernel.
pub(crate) struct Authorities {
    roots: HashMap<PublicKey, TrustRoot>,
    names: Vec<String>,
    chain_bytes: usize,
    cache: Mutex<Cache>,
}

impl Authorities {
    pub(crate) fn new(roots: Vec<TrustRoot>, names: Vec<String>, settings: &Settings) -> Self {
        let entries = LruCache::unbounded_with_hasher(RandomState::new());
        let cache = Mutex::new(Cache { entries, bytes: 0, max_bytes: settings.chain_cache_bytes });
        let roots = roots.into_iter().map(|root| (root.key.clone(), root)).collect();
        Self { roots, names, chain_bytes: settings.chain_bytes.min(MAX_CHAIN_BYTES), cache }
    }

    /// Verifies a chain at `now`. What remains is to ask whether [`Unrevoked::ids`] are revoked.
    pub(crate) fn verify(&self, chain: &[u8], now: u64) -> Result<Unrevoked, Denial> {
        let malformed = |reason: String| Denial::CapabilityMalformed { reason };
        if chain.len() > self.chain_bytes {
            return Err(malformed(format!("it is longer than {} bytes", self.chain_bytes)));
        }
        // A keyed hash of a part: one of all of a long chain takes as long as a fifth of a verification. Two chains that
        // end alike take the one place there is for them from each other; which one is there is compared to the byte.
        let place = self.roots.hasher().hash_one((chain.len(), chain.rchunks(END).next()));
        let seen = lock(&self.cache).entries.get(&place).map(Arc::clone);
        if let Some(facts) = seen.filter(|facts| facts.text == chain) {
            check_windows(facts.layers.iter().map(|layer| layer.window), now)?;
            return Ok(Unrevoked { facts });
        }
        // One chain has one entry, however it is written: else white space would buy a verification each time.
        let read = canonical::parse_canonical(chain, Limits::bytes(self.chain_bytes));
        let (json, text) = read.map_err(|error| malformed(error.to_string()))?;
        if let Cow::Owned(text) = &text {
            return self.verify(text, now);
        }
        let root = self.check_trust(&json)?;
        let tokens = CapabilityChain::from_json(&json).map_err(|error| malformed(error.to_string()))?.into_tokens();
        check_lifetime(&tokens, root)?;
        check_links(&tokens)?;
        self.check_audiences(&tokens)?;
        check_windows(tokens.iter().map(CapabilityToken::window), now)?;
        let facts = Arc::new(check_signatures(chain, &json, tokens, root)?);
        lock(&self.cache).put(place, Arc::clone(&facts));
        Ok(Unrevoked { facts })
    }

    /// Before anything is made of the chain: what nobody trusted has signed costs no more than reading it.
    fn check_trust(&self, chain: &Json) -> Result<&TrustRoot, Denial> {
        let first = chain.as_array().and_then(|tokens| tokens.first()?.as_object());
        let issuer = first.and_then(|token| token.get("issuer")?.as_str()?.parse::<PublicKey>().ok());
        let reason = || "it is no array of tokens with an issuer each".into();
        let issuer = issuer.ok_or_else(|| Denial::CapabilityMalformed { reason: reason() })?;
        self.roots.get(&issuer).ok_or(Denial::IssuerUntrusted { issuer })
    }

    fn check_audiences(&self, tokens: &[CapabilityToken]) -> Result<(), Denial> {
        let names_another =
            |token: &CapabilityToken| token.audience.as_ref().is_some_and(|name| !self.names.contains(name));
        let token = tokens.iter().position(names_another);
        token.map_or(Ok(()), |token| Err(Denial::CapabilityAudienceMismatch { token }))
    }
}

fn check_lifetime(tokens: &[CapabilityToken], root: &TrustRoot) -> Result<(), Denial> {
    let seconds = tokens.first().map_or(0, |token| token.expires_at.saturating_sub(token.issued_at));
    let exceeded = root.max_lifetime_secs.filter(|max_seconds| seconds > *max_seconds);
    let exceeds = |max_seconds| Err(Denial::RootCeilingExceeded { ceiling: Ceiling::Lifetime { max_seconds } });
    exceeded.map_or(Ok(()), exceeds)
}

fn check_links(tokens: &[CapabilityToken]) -> Result<(), Denial> {
    let broken = |token, reason| Err(Denial::DelegationBroken { token, reason });
    if tokens.first().is_some_and(|root| root.parent.is_some()) {
        return broken(0, "it names a parent, and the chain does not start with that one");
    }
    for (token, (above, below)) in (1..).zip(tokens.iter().zip(tokens.iter().skip(1))) {
        if below.parent.as_ref() != Some(&above.id) {
            return broken(token, "it names another parent");
        }
        if below.issuer != above.subject {
            return broken(token, "it is not issued by the subject of its parent");
        }
        if below.max_depth >= above.max_depth {
            return Err(Denial::DelegationTooDeep { token, max_depth: below.max_depth });
        }
    }
    Ok(())
}

fn check_windows(windows: impl Iterator<Item = Window>, now: u64) -> Result<(), Denial> {
    for (token, window) in windows.enumerate() {
        let Window { issued_at, expires_at } = window;
        match window.place_of(now) {
            Ordering::Equal => {}
            Ordering::Less => return Err(Denial::CapabilityNotYetValid { token, issued_at, now }),
            Ordering::Greater => return Err(Denial::CapabilityExpired { token, expires_at, now }),
        }
    }
    Ok(())
}

/// The costly part, done once a chain. What a token's id and signature cover is what was read but for the two of them:
/// a token that is read is one that would be written the same.
fn check_signatures(text: &[u8], json: &Json, tokens: Vec<CapabilityToken>, root: &TrustRoot) -> Result<Facts, Denial> {
    let mut ids = Vec::with_capacity(tokens.len());
    for (token, (at, json)) in tokens.iter().zip(json.as_array().unwrap_or_default()).enumerate() {
        let id = Digest::of(&json.canonical_bytes_without(&["id", "signature"]));
        if at.id.parse() != Ok(id) {
            return Err(Denial::CapabilityIdMismatch { token });
        }
        let malformed = |error| Denial::CapabilityMalformed { reason: format!("token {token}: {error}") };
        let issuer = at.issuer.prepare().map_err(malformed)?;
        if !issuer.verify(&json.canonical_bytes_without(&["signature"]), &at.signature) {
            return Err(Denial::CapabilitySignatureInvalid { token });
        }
        ids.push(id);
    }
    let (Some(first), Some(leaf)) = (ids.first(), tokens.last()) else {
        return Err(Denial::CapabilityMalformed { reason: "the chain is empty".into() });
    };
    let malformed = |error| Denial::CapabilityMalformed { reason: format!("the last subject: {error}") };
    let subject = leaf.subject.prepare().map_err(malformed)?;
    // Every other subject is the issuer of the next token.
    let keys = std::iter::once(&leaf.subject).chain(tokens.iter().map(|token| &token.issuer));
    let principals: Vec<_> = keys.map(|key| key_id(&key.to_string())).collect();
    let pairs = ids.iter().zip(principals.iter().skip(1));
    Ok(Facts {
        text: text.to_vec(),
        revocable: pairs.flat_map(|(id, issuer)| [*id, *issuer]).chain(principals.first().copied()).collect(),
        principals,
        ceiling: root.ceiling.clone(),
        subject: Some((leaf.subject.clone(), subject)),
        capability_id: leaf.id.clone(),
        account: *first,
        principal: leaf.subject.to_string(),
        layers: ids
            .into_iter()
            .zip(tokens)
            .map(|(id, token)| Layer { id, window: token.window(), grants: token.grants })
            .collect(),
    })
}

/// A chain that holds, if nothing of it is revoked.
pub(crate) struct Unrevoked {
    facts: Arc<Facts>,
}

impl Unrevoked {
    /// What must not be revoked: every token, and every key.
    pub(crate) fn ids(&self) -> &[Digest] {
        &self.facts.revocable
    }

    /// The authority, where the store answered that nothing is revoked.
    pub(crate) fn given(self, answer: Result<Option<usize>, KernelError>) -> Result<VerifiedAuthority, Denial> {
        match answer {
            Ok(None) => Ok(VerifiedAuthority { facts: self.facts }),
            Ok(Some(index)) => {
                let token = (index / 2).min(self.facts.layers.len().saturating_sub(1));
                Err(Denial::CapabilityRevoked { token })
            }
            Err(error) => Err(Denial::store_down("revocation", Step::Authority, &error)),
        }
    }
}

/// Verified chains by how their text ends, least recently used dropped first, bounded by an estimate of their memory: 32
/// times their text, which is what a list of short numbers, or of places, comes to.
/// Only what a trusted root signed gets in. It holds no right: windows, revocation and standing are checked each time.
struct Cache {
    entries: LruCache<u64, Arc<Facts>, RandomState>,
    bytes: usize,
    max_bytes: usize,
}

/// The signature of the last token stands in these: it covers all tokens but for their signatures.
const END: usize = 256;

impl Cache {
    fn put(&mut self, place: u64, facts: Arc<Facts>) {
        let size = |facts: Arc<Facts>| facts.text.len().saturating_mul(32);
        self.bytes = self.bytes.saturating_add(size(Arc::clone(&facts)));
        let mut dropped = self.entries.put(place, facts);
        loop {
            self.bytes = self.bytes.saturating_sub(dropped.map_or(0, size));
            if self.bytes <= self.max_bytes {
                break;
            }
            dropped = self.entries.pop_lru().map(|(_, facts)| facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_drops_what_was_used_longest_ago() {
        let facts = |text: usize| {
            let id = Digest::of(b"id");
            let (principal, window) = (String::new(), Window { issued_at: 0, expires_at: 1 });
            let mut facts = VerifiedAuthority::of_scheme(principal, id, Vec::new(), window).facts;
            Arc::get_mut(&mut facts).unwrap().text = vec![0; text];
            facts
        };
        // Room for four texts of 16 bytes, at 32 bytes of memory for each.
        let entries = LruCache::unbounded_with_hasher(RandomState::new());
        let mut cache = Cache { entries, bytes: 0, max_bytes: 4 * 16 * 32 };
        let many = if cfg!(miri) { 10 } else { 1000 };
        for number in 0..many {
            cache.put(number, facts(16));
            assert!(cache.entries.get(&0).is_some(), "what is used stays");
            assert!(cache.entries.len() <= 4 && cache.bytes <= cache.max_bytes);
        }
        assert!(cache.entries.get(&(many - 4)).is_none() && cache.entries.get(&(many - 3)).is_some());
        // One that is put twice counts once; one that is larger than all of it is not kept.
        cache.put(many - 1, facts(16));
        assert_eq!(cache.bytes, 4 * 16 * 32);
        cache.put(many, facts(65));
        assert!(cache.entries.is_empty() && cache.bytes == 0);
    }
}
