//! `[ekey]`: what is configured of E-Key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Hash, Reference, Required, Seconds};

/// `[ekey]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ekey {
    /// The keys whose tokens count.
    #[serde(default)]
    pub key: Vec<EkeyKey>,
    /// How E-Keys name this service; without it, by its origin.
    pub aud: Option<String>,
    /// How far clocks may be apart, at most 5 s.
    #[serde(default = "Seconds::<5>::get")]
    pub clock_skew_secs: Seconds<5>,
    /// What a proof must have.
    #[serde(default)]
    pub require: Vec<Required>,
    /// The issuer that this gateway is itself.
    pub issuer: Option<EkeyIssuer>,
}

/// `[[ekey.key]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkeyKey {
    /// The issuer's name.
    pub iss: String,
    /// Its public key: as text, or a file of it.
    pub key: String,
}

/// `[ekey.issuer]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkeyIssuer {
    /// Its name.
    pub iss: String,
    /// Its private key.
    pub private_key: Reference,
    /// How long a token lives that nobody said it of, at most 60 s.
    #[serde(default = "Seconds::<30>::get")]
    pub ttl_secs: Seconds<30>,
    /// Who may ask.
    #[serde(default)]
    pub client: BTreeMap<String, EkeyClient>,
}

/// `[ekey.issuer.client.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkeyClient {
    /// The SHA-256 of its secret, 64 hex digits. The secret itself is in no configuration.
    pub secret_sha256: Hash,
    /// Whom it may ask for.
    pub subs: Vec<String>,
    /// For which services it may ask; without it, for this one.
    #[serde(default)]
    pub auds: Vec<String>,
    /// The actions that it may ask for, by their exact texts, such as `GET:/orders/:id`.
    pub actions: Vec<String>,
    /// The scopes that it may ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The finer rights that it may ask for.
    #[serde(default)]
    pub subcaps: Vec<String>,
    /// The longest life of a token that it may ask for.
    #[serde(default = "Seconds::<60>::get")]
    pub max_ttl_secs: Seconds<60>,
    /// The highest limit that it may ask for; without it, any, or none.
    pub max_limit: Option<u64>,
}
