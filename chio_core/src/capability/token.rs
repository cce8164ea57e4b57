//! The capability token: what its subject may do, for how long, on whose word. Normative: `docs/protocol.md`.

use serde::{Deserialize, Serialize};

use super::grant::{ArgumentRules, Grant};
use crate::canonical::{self, Json, canonical_json_bytes, ordered_json_bytes};
use crate::crypto::{PublicKey, Signature, SigningBackend};
use crate::digest::{Digest, from_lower_hex};
use crate::error::{FormatError, JsonError, SignError, document_error, excerpt};
use crate::time::{MAX_UNIX_SECONDS, Window};

/// The schema of a capability token.
pub const CAPABILITY_SCHEMA: &str = "chio.capability_token.v1";

/// How many places in arguments a token may name: a pointer names one for each of its tokens, at a byte each.
const MAX_PLACES: usize = 4096;

/// A capability token as it was read or made. **Unverified**: it may be printed; only a kernel says whether it holds.
/// The members stand in canonical order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityToken {
    /// The kernel this token is for; without one, any kernel that trusts its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The first second at which it is no longer valid, in Unix time.
    pub expires_at: u64,
    /// What its subject may call.
    pub grants: Vec<Grant>,
    /// The digest of everything but itself and the signature, in text.
    pub id: String,
    /// The first second at which it is valid, in Unix time.
    pub issued_at: u64,
    /// Whose word it is.
    pub issuer: PublicKey,
    /// How many tokens may follow it in a chain.
    pub max_depth: u64,
    /// The id of the token it narrows; absent in a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// [`CAPABILITY_SCHEMA`].
    pub schema: String,
    /// 32 random hex digits, so that no two tokens are the same.
    pub serial: String,
    /// The issuer's signature over the rest, id included.
    pub signature: Signature,
    /// The key of the agent that may use it.
    pub subject: PublicKey,
}

/// What an issuer decides about a token; the rest follows from it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The key of the agent that may use it.
    pub subject: PublicKey,
    /// The kernel it is for, if it is for one alone: 1 to 256 bytes.
    pub audience: Option<String>,
    /// The first second at which it is valid, in Unix time.
    pub issued_at: u64,
    /// The first second at which it is no longer valid, in Unix time.
    pub expires_at: u64,
    /// What its subject may call.
    pub grants: Vec<Grant>,
    /// How many tokens may follow it in a chain; 0: it cannot be delegated.
    pub max_depth: u64,
    /// 32 lower-case hex digits from a random source ([`crate::crypto::random_hex`]).
    pub serial: String,
}

impl CapabilityToken {
    /// Issues a root token.
    /// Fails where the terms break a rule of the document, or the key refuses.
    pub fn issue(terms: Terms, issuer: &dyn SigningBackend) -> Result<Self, SignError> {
        Self::sign(terms, None, issuer)
    }

    /// Signs a token that narrows another one.
    pub(super) fn sign(terms: Terms, parent: Option<String>, issuer: &dyn SigningBackend) -> Result<Self, SignError> {
        let mut token = Self {
            audience: terms.audience,
            expires_at: terms.expires_at,
            grants: terms.grants,
            id: String::new(),
            issued_at: terms.issued_at,
            issuer: issuer.public_key(),
            max_depth: terms.max_depth,
            parent,
            schema: CAPABILITY_SCHEMA.to_owned(),
            serial: terms.serial,
            signature: Signature::none(),
            subject: terms.subject,
        };
        token.id = token.contents_id()?.to_string();
        let checked = token.check().and_then(|()| token.grants.iter().try_for_each(Grant::check_patterns));
        checked.map_err(|error| SignError::Document(error.to_string()))?;
        token.signature = issuer.sign(&token.signed_bytes()?)?;
        Ok(token)
    }

    /// Reads a token.
    /// Fails where a member is missing, unknown, of the wrong type or out of range, or the schema is another one.
    pub fn from_json(json: &Json) -> Result<Self, FormatError> {
        let object = json.as_object().ok_or_else(|| FormatError::Document("a token is an object".into()))?;
        let schema = object.get("schema").and_then(Json::as_str).unwrap_or_default();
        if schema != CAPABILITY_SCHEMA {
            return Err(FormatError::Schema { expected: CAPABILITY_SCHEMA, found: excerpt(schema) });
        }
        let text = json.to_canonical_bytes();
        let token: Self = serde_json::from_slice(&text).map_err(|error| document_error(&error))?;
        token.check()?;
        // What is written back must be what was read, or the signature would cover something else than what is used.
        if ordered_json_bytes(&token)? != text && canonical_json_bytes(&token)? != text {
            return Err(FormatError::Document("it is not written as a token is: perhaps a `null` stands in it".into()));
        }
        Ok(token)
    }

    fn check(&self) -> Result<(), FormatError> {
        let wrong = |what: &str| Err(FormatError::Document(what.to_owned()));
        if self.expires_at > MAX_UNIX_SECONDS || self.expires_at <= self.issued_at {
            return wrong("`expires_at` is not after `issued_at`");
        }
        if from_lower_hex::<16>(&self.serial).is_none() {
            return wrong("`serial` is 32 lower-case hex digits");
        }
        if self.id.parse::<Digest>().is_err() || self.parent.as_ref().is_some_and(|id| id.parse::<Digest>().is_err()) {
            return wrong("`id` and `parent` are digests: 64 lower-case hex digits");
        }
        if self.audience.as_ref().is_some_and(|name| name.is_empty() || name.len() > super::MAX_NAME_BYTES) {
            return wrong("`audience` has 1 to 256 bytes");
        }
        if self.grants.is_empty() {
            return wrong("`grants` is empty: the token allows nothing");
        }
        let places = |grant: &Grant| grant.arguments.as_ref().map_or(0, ArgumentRules::places);
        if self.grants.iter().map(places).sum::<usize>() > MAX_PLACES {
            return wrong("its rules name more than 4096 places");
        }
        self.grants.iter().try_for_each(Grant::check)
    }

    /// When it is valid.
    pub fn window(&self) -> Window {
        Window { issued_at: self.issued_at, expires_at: self.expires_at }
    }

    /// The id its contents have: the digest of everything but `id` and `signature`. A token that names another one is
    /// not the token it says it is.
    pub fn contents_id(&self) -> Result<Digest, JsonError> {
        Ok(Digest::of(&self.bytes_without(&["id", "signature"])?))
    }

    /// The bytes its signature covers: everything but `signature`.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, JsonError> {
        self.bytes_without(&["signature"])
    }

    fn bytes_without(&self, members: &[&str]) -> Result<Vec<u8>, JsonError> {
        Ok(canonical::to_json(self)?.canonical_bytes_without(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keypair;
    use serde_json::{Value, json};

    fn terms() -> Terms {
        Terms {
            subject: Keypair::from_seed(&[2; 32]).public_key(),
            audience: None,
            issued_at: 100,
            expires_at: 200,
            grants: vec![Grant::new("s", "t")],
            max_depth: 2,
            serial: "0".repeat(32),
        }
    }

    fn issue(terms: Terms) -> Result<CapabilityToken, SignError> {
        CapabilityToken::issue(terms, &Keypair::from_seed(&[1; 32]))
    }

    fn read(token: &Value) -> Result<CapabilityToken, FormatError> {
        CapabilityToken::from_json(&canonical::to_json(token).unwrap())
    }

    #[test]
    #[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
    fn terms_end_to_the_byte_and_to_the_second() {
        let rule = || json!({"constraint_type": "wildcard", "optional": true});
        let places = |number: usize| {
            let rules: serde_json::Map<_, _> = (0..number).map(|place| (format!("/{place}"), rule())).collect();
            let grant = json!({"tool_server": "s", "tool_name": "t", "arguments": rules});
            vec![serde_json::from_value(grant).unwrap(), Grant::new("s", "t")]
        };
        for (terms, is_good) in [
            (terms(), true),
            (Terms { expires_at: 101, ..terms() }, true),
            (Terms { expires_at: 100, ..terms() }, false),
            (Terms { expires_at: 99, ..terms() }, false),
            (Terms { expires_at: MAX_UNIX_SECONDS, ..terms() }, true),
            (Terms { expires_at: MAX_UNIX_SECONDS + 1, ..terms() }, false),
            (Terms { serial: "0".repeat(31), ..terms() }, false),
            (Terms { serial: "0".repeat(33), ..terms() }, false),
            (Terms { serial: "A".repeat(32), ..terms() }, false),
            (Terms { audience: Some(String::new()), ..terms() }, false),
            (Terms { audience: Some("a".repeat(256)), ..terms() }, true),
            (Terms { audience: Some("a".repeat(257)), ..terms() }, false),
            (Terms { grants: Vec::new(), ..terms() }, false),
            (Terms { grants: places(MAX_PLACES), ..terms() }, true),
            (Terms { grants: places(MAX_PLACES + 1), ..terms() }, false),
        ] {
            let shown = format!("{:.300}", format!("{terms:?}"));
            assert_eq!(issue(terms).is_ok(), is_good, "{shown}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "signatures take minutes under Miri")]
    fn what_is_read_is_what_was_signed() {
        let token = issue(terms()).unwrap();
        let json = serde_json::to_value(&token).unwrap();
        assert_eq!(read(&json).as_ref(), Ok(&token));
        assert_eq!(token.id.parse(), Ok(token.contents_id().unwrap()));
        assert!(token.issuer.verify(&token.signed_bytes().unwrap(), &token.signature));
        // Rules are kept in the order of their bytes, which is not that of RFC 8785.
        let rules =
            json!({"/\u{1f600}": {"constraint_type": "wildcard"}, "/\u{e000}": {"constraint_type": "wildcard"}});
        let grant = json!({"tool_server": "s", "tool_name": "t", "arguments": rules});
        let token = issue(Terms { grants: vec![serde_json::from_value(grant).unwrap()], ..terms() }).unwrap();
        assert_eq!(read(&serde_json::to_value(&token).unwrap()), Ok(token));
        let with = |name: &str, value: Value| {
            let mut json = json.clone();
            json[name] = value;
            read(&json)
        };
        assert!(with("parent", json!("a".repeat(64))).is_ok());
        for (name, value) in [
            ("parent", json!("a".repeat(63))),
            ("parent", json!("A".repeat(64))),
            ("parent", Value::Null),
            ("audience", Value::Null),
            ("id", json!("x".repeat(64))),
            ("id", json!("")),
            ("schema", json!("chio.capability_token.v2")),
            ("expires_at", json!("200")),
            ("issued_at", json!(200)),
            ("more", json!(1)),
            ("grants", json!([])),
            ("grants", json!([{"tool_server": "s", "tool_name": ""}])),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name}: {value}");
        }
    }
}
