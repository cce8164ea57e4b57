//! A chain of tokens, root first, each narrowing the one before it.

use super::token::{CapabilityToken, Terms};
use crate::canonical::{self, Json, Limits};
use crate::crypto::SigningBackend;
use crate::error::{FormatError, JsonError, SignError};

/// The most tokens in a chain.
pub const MAX_CHAIN_TOKENS: usize = 16;

/// The longest chain in bytes: 256 KiB.
pub const MAX_CHAIN_BYTES: usize = 256 << 10;

/// A chain of capability tokens, root first. **Unverified**: it may be printed; only a kernel says whether it holds.
/// It is never empty, so it always has a root and a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct CapabilityChain {
    above: Vec<CapabilityToken>,
    leaf: CapabilityToken,
}

impl CapabilityChain {
    /// The chain of a root token alone.
    pub fn root(token: CapabilityToken) -> Self {
        Self { above: Vec::new(), leaf: token }
    }

    /// Reads a chain from a JSON array.
    /// Fails where the text is not strict JSON, longer than [`MAX_CHAIN_BYTES`], no array of 1 to [`MAX_CHAIN_TOKENS`]
    /// tokens, or one of them is malformed.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        Self::from_json(&canonical::parse(text, Limits::bytes(MAX_CHAIN_BYTES))?)
    }

    /// Reads a chain from a JSON array.
    /// Fails as [`Self::parse`].
    pub fn from_json(json: &Json) -> Result<Self, FormatError> {
        let wrong = || FormatError::Document(format!("a chain is an array of 1 to {MAX_CHAIN_TOKENS} tokens"));
        let items = json.as_array().filter(|items| items.len() <= MAX_CHAIN_TOKENS).ok_or_else(wrong)?;
        let read = |(index, item)| {
            CapabilityToken::from_json(item).map_err(|error| match error {
                FormatError::Document(what) => FormatError::Document(format!("token {index}: {what}")),
                other => other,
            })
        };
        let mut above: Vec<_> = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let leaf = above.pop().ok_or_else(wrong)?;
        Ok(Self { above, leaf })
    }

    /// Narrows the chain by one token, offline, with the key of the leaf's subject.
    /// Fails where the key is not that of the leaf's subject, the leaf's `max_depth` does not allow another token, the
    /// terms break a rule of the document, or the key refuses.
    pub fn attenuate(&self, terms: Terms, holder: &dyn SigningBackend) -> Result<Self, SignError> {
        let refuse = |what: &str| Err(SignError::Document(what.to_owned()));
        if holder.public_key() != self.leaf.subject {
            return refuse("only the subject of the last token can narrow it, and this is another key");
        }
        if terms.max_depth >= self.leaf.max_depth || self.len() >= MAX_CHAIN_TOKENS {
            return refuse("the chain must not grow: `max_depth` has to be smaller than the last token's");
        }
        let leaf = CapabilityToken::sign(terms, Some(self.leaf.id.clone()), holder)?;
        let above = self.tokens().cloned().collect();
        Ok(Self { above, leaf })
    }

    /// The tokens, root first.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &CapabilityToken> {
        self.above.iter().chain(std::iter::once(&self.leaf))
    }

    /// The tokens, root first, for whoever wants to keep them.
    pub fn into_tokens(self) -> Vec<CapabilityToken> {
        let mut tokens = self.above;
        tokens.push(self.leaf);
        tokens
    }

    /// The last token: the one whose subject calls.
    pub fn leaf(&self) -> &CapabilityToken {
        &self.leaf
    }

    /// How many tokens there are: at least one.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.above.len().saturating_add(1)
    }

    /// The chain as a JSON array.
    pub fn to_json(&self) -> Result<Json, JsonError> {
        self.tokens().map(canonical::to_json).collect::<Result<_, _>>().map(Json::Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Grant;
    use crate::crypto::Keypair;

    fn terms(max_depth: u64) -> Terms {
        Terms {
            subject: Keypair::from_seed(&[1; 32]).public_key(),
            audience: None,
            issued_at: 100,
            expires_at: 200,
            grants: vec![Grant::new("s", "t")],
            max_depth,
            serial: "0".repeat(32),
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
    fn a_chain_has_one_to_sixteen_tokens_each_of_less_depth() {
        let holder = Keypair::from_seed(&[1; 32]);
        let root = CapabilityChain::root(CapabilityToken::issue(terms(100), &holder).unwrap());
        assert!(root.attenuate(terms(100), &holder).is_err() && root.attenuate(terms(101), &holder).is_err());
        assert!(root.attenuate(terms(1), &Keypair::from_seed(&[2; 32])).is_err());
        let mut chain = root;
        for number in 1..16 {
            chain = chain.attenuate(terms(100 - number), &holder).unwrap();
        }
        assert_eq!((chain.len(), chain.tokens().count()), (16, 16));
        assert!(chain.attenuate(terms(1), &holder).is_err());
        let json = chain.to_json().unwrap();
        assert_eq!(CapabilityChain::from_json(&json), Ok(chain));
        let mut items = json.as_array().unwrap().to_vec();
        items.push(items[0].clone());
        for wrong in [Json::Array(items), Json::Array(Vec::new()), Json::Null] {
            assert!(CapabilityChain::from_json(&wrong).is_err());
        }
        assert_eq!(MAX_CHAIN_BYTES, 262_144);
        let spaces = |number: usize| [b"[]".as_slice(), &b" ".repeat(number)].concat();
        let json_error = |text: &[u8]| matches!(CapabilityChain::parse(text), Err(FormatError::Json(_)));
        assert!(json_error(&spaces(MAX_CHAIN_BYTES - 1)) && !json_error(&spaces(MAX_CHAIN_BYTES - 2)));
    }
}
