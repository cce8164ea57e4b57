//! Whether a capability chain gives its leaf's subject any authority at all: the one place where it is decided.
//!
//! The order: trust, links, audience, windows (cheap, and the same whether the chain was seen before or not), then ids
//! and signatures (once, then cached), then revocation.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use chio_core::canonical::{self, Json, Limits};
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, MAX_CHAIN_BYTES};
use chio_core::crypto::{PreparedKey, PublicKey};
use chio_core::digest::Digest;
use chio_core::time::Window;
use lru::LruCache;

use crate::config::{Settings, TrustRoot};
use crate::denial::{Ceiling, Denial, Step};
use crate::fence::Lapse;
use crate::store::{KernelError, key_id};
use crate::sync::{Mutex, lock};

/// What a token contributes to a verified authority.
pub(crate) struct Layer {
    pub(crate) id: Digest,
    pub(crate) grants: Vec<Grant>,
    pub(crate) window: Window,
}

/// What was found out about a chain once, and holds for as long as the chain is what it is.
struct Facts {
    /// One a token, root first.
    layers: Vec<Layer>,
    /// The grants that the issuer of the root may give at most.
    ceiling: Option<Vec<Grant>>,
    /// Who calls.
    principal: String,
    /// The keys of the chain: the subject first, then the issuers from the root down.
    principals: Vec<Digest>,
    /// Where a subject's proof is by signature.
    subject: Option<(PublicKey, PreparedKey)>,
    capability_id: String,
    account: Digest,
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
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.facts.layers
    }

    pub(crate) fn ceiling(&self) -> Option<&[Grant]> {
        self.facts.ceiling.as_deref()
    }

    /// The subject first.
    pub(crate) fn principals(&self) -> &[Digest] {
        &self.facts.principals
    }

    pub(crate) fn subject(&self) -> Option<&(PublicKey, PreparedKey)> {
        self.facts.subject.as_ref()
    }

    /// On whose account nonces and counts are remembered: the root's, so that deriving tokens opens no new account.
    pub(crate) fn account(&self) -> Digest {
        self.facts.account
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
            layers: vec![Layer { id: credential, grants, window }],
            ceiling: None,
            principals: vec![key_id(&principal)],
            subject: None,
            capability_id: credential.to_string(),
            account: key_id(&principal),
            principal,
        };
        Unrevoked::new(Arc::new(facts))
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
        let cache = Mutex::new(Cache::new(settings.chain_cache_bytes));
        let roots = roots.into_iter().map(|root| (root.key.clone(), root)).collect();
        Self { roots, names, chain_bytes: settings.chain_bytes.min(MAX_CHAIN_BYTES), cache }
    }

    /// Verifies a chain at `now`. What remains is to ask whether [`Unrevoked::ids`] are revoked.
    pub(crate) fn verify(&self, chain: &[u8], now: u64) -> Result<Unrevoked, Denial> {
        let malformed = |reason: String| Denial::CapabilityMalformed { reason };
        if chain.len() > self.chain_bytes {
            return Err(malformed(format!("it is longer than {} bytes", self.chain_bytes)));
        }
        let key = Digest::of(chain);
        let seen = lock(&self.cache).get(&key);
        if let Some(facts) = seen {
            check_windows(facts.layers.iter().map(|layer| layer.window), now)?;
            return Ok(Unrevoked::new(facts));
        }
        // One chain has one entry, however it is written: else white space would buy a verification each time.
        let text = canonical::canonicalize(chain, Limits::bytes(self.chain_bytes));
        let text = text.map_err(|error| malformed(error.to_string()))?;
        if let Cow::Owned(text) = &text {
            return self.verify(text, now);
        }
        let json = canonical::parse(chain, Limits::bytes(self.chain_bytes));
        let json = json.map_err(|error| malformed(error.to_string()))?;
        let root = self.check_trust(&json)?;
        let tokens = CapabilityChain::from_json(&json).map_err(|error| malformed(error.to_string()))?.into_tokens();
        check_lifetime(&tokens, root)?;
        check_links(&tokens)?;
        self.check_audiences(&tokens)?;
        check_windows(tokens.iter().map(CapabilityToken::window), now)?;
        let facts = Arc::new(check_signatures(tokens, root)?);
        lock(&self.cache).put(key, chain.len(), Arc::clone(&facts));
        Ok(Unrevoked::new(facts))
    }

    /// Before anything is made of the chain: what nobody trusted has signed costs no more than reading it.
    fn check_trust(&self, chain: &Json) -> Result<&TrustRoot, Denial> {
        let first = chain.as_array().and_then(|tokens| tokens.first()?.as_object());
        let issuer = first.and_then(|token| token.get("issuer")?.as_str()?.parse::<PublicKey>().ok());
        let malformed =
            || Denial::CapabilityMalformed { reason: "it is no array of tokens with an issuer each".into() };
        let issuer = issuer.ok_or_else(malformed)?;
        self.roots.get(&issuer).ok_or(Denial::IssuerUntrusted { issuer })
    }

    fn check_audiences(&self, tokens: &[CapabilityToken]) -> Result<(), Denial> {
        let elsewhere =
            |token: &CapabilityToken| token.audience.as_ref().is_some_and(|name| !self.names.contains(name));
        match tokens.iter().position(elsewhere) {
            Some(token) => Err(Denial::CapabilityAudienceMismatch { token }),
            None => Ok(()),
        }
    }
}

fn check_lifetime(tokens: &[CapabilityToken], root: &TrustRoot) -> Result<(), Denial> {
    let seconds = tokens.first().map_or(0, |token| token.expires_at.saturating_sub(token.issued_at));
    match root.max_lifetime_secs {
        Some(max_seconds) if seconds > max_seconds => {
            Err(Denial::RootCeilingExceeded { ceiling: Ceiling::Lifetime { max_seconds } })
        }
        _ => Ok(()),
    }
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

/// The costly part, done once a chain.
fn check_signatures(tokens: Vec<CapabilityToken>, root: &TrustRoot) -> Result<Facts, Denial> {
    let mut ids = Vec::with_capacity(tokens.len());
    for (token, at) in tokens.iter().enumerate() {
        let malformed =
            |reason: &dyn std::fmt::Display| Denial::CapabilityMalformed { reason: format!("token {token}: {reason}") };
        let id = at.contents_id().map_err(|error| malformed(&error))?;
        if at.id.parse() != Ok(id) {
            return Err(Denial::CapabilityIdMismatch { token });
        }
        let issuer = at.issuer.prepare().map_err(|error| malformed(&error))?;
        let signed = at.signed_bytes().map_err(|error| malformed(&error))?;
        if !issuer.verify(&signed, &at.signature) {
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
    Ok(Facts {
        principals: keys.map(|key| key_id(&key.to_string())).collect(),
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
    ids: Vec<Digest>,
}

impl Unrevoked {
    fn new(facts: Arc<Facts>) -> Self {
        let issuers = facts.principals.iter().skip(1).map(Some).chain(std::iter::repeat(None));
        let of_tokens = facts.layers.iter().zip(issuers);
        let mut ids: Vec<_> = of_tokens.flat_map(|(layer, issuer)| [layer.id, *issuer.unwrap_or(&layer.id)]).collect();
        ids.extend(facts.principals.first());
        Self { facts, ids }
    }

    /// What must not be revoked: every token, and every key.
    pub(crate) fn ids(&self) -> &[Digest] {
        &self.ids
    }

    /// The authority, where the store answered that nothing is revoked.
    pub(crate) fn given(
        self,
        answer: Result<Result<Option<usize>, KernelError>, Lapse>,
    ) -> Result<VerifiedAuthority, Denial> {
        let down = |reason: String| Denial::StoreUnavailable { store: "revocation", step: Step::Authority, reason };
        match answer {
            Ok(Ok(None)) => Ok(VerifiedAuthority { facts: self.facts }),
            // Two ids a token, its own and its issuer's; the leaf's subject stands at the end.
            Ok(Ok(Some(index))) => {
                let token = (index / 2).min(self.facts.layers.len().saturating_sub(1));
                Err(Denial::CapabilityRevoked { token })
            }
            Ok(Err(error)) => Err(down(error.to_string())),
            Err(lapse) => Err(down(lapse.to_string())),
        }
    }
}

/// Verified chains by the digest of their text, least recently used dropped first, bounded by an estimate of their
/// memory: 32 times their text, which is what a list of short numbers, or of places, comes to.
/// Only what a trusted root signed gets in. It holds no right: windows, revocation and standing are checked each time.
struct Cache {
    entries: LruCache<Digest, (usize, Arc<Facts>), std::hash::RandomState>,
    bytes: usize,
    max_bytes: usize,
}

impl Cache {
    fn new(max_bytes: usize) -> Self {
        let entries = LruCache::unbounded_with_hasher(std::hash::RandomState::new());
        Self { entries, bytes: 0, max_bytes }
    }

    fn get(&mut self, key: &Digest) -> Option<Arc<Facts>> {
        self.entries.get(key).map(|(_, facts)| Arc::clone(facts))
    }

    fn put(&mut self, key: Digest, text_bytes: usize, facts: Arc<Facts>) {
        let bytes = text_bytes.saturating_mul(32);
        if let Some((replaced, _)) = self.entries.put(key, (bytes, facts)) {
            self.bytes = self.bytes.saturating_sub(replaced);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes > self.max_bytes {
            let Some((_, (dropped, _))) = self.entries.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "its digests take minutes under Miri")]
    fn the_cache_is_bounded_and_drops_what_was_used_longest_ago() {
        let facts = || {
            let id = Digest::of(b"id");
            let (principal, window) = (String::new(), Window { issued_at: 0, expires_at: 1 });
            VerifiedAuthority::of_scheme(principal, id, Vec::new(), window).facts
        };
        let key = |number: u32| Digest::of(&number.to_be_bytes());
        // Room for four texts of 16 bytes, at 32 bytes of memory for each.
        let mut cache = Cache::new(4 * 16 * 32);
        for number in 0..1000 {
            cache.put(key(number), 16, facts());
            assert!(cache.get(&key(0)).is_some(), "what is used stays");
            assert!(cache.entries.len() <= 4 && cache.bytes <= cache.max_bytes);
        }
        assert!(cache.get(&key(996)).is_none() && cache.get(&key(997)).is_some());
        // One that is put twice counts once; one that is larger than all of it is not kept.
        cache.put(key(999), 16, facts());
        assert_eq!(cache.bytes, 4 * 16 * 32);
        cache.put(key(1000), 65, facts());
        assert!(cache.entries.is_empty() && cache.bytes == 0);
    }
}
