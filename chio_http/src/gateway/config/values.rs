//! Single values of a configuration: each is right, or is none.

use std::time::Duration;

use serde::Deserialize;

use crate::gateway::upstream::Target;
use crate::origin;

/// Where a secret is: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Reference(String);

impl Reference {
    /// The path of a file, or `env:NAME`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reference {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.contains('\n') || text.contains("-----BEGIN") {
            return Err("a secret is named by its file, or by `env:NAME`; it does not stand here itself");
        }
        Ok(Self(text))
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hash(String);

impl Hash {
    /// 64 lower-case hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (text.len() == 64 && is_hex).then_some(Self(text)).ok_or("the SHA-256 of a secret has 64 lower-case hex digits")
    }
}

/// A length of time in milliseconds, with its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Millis<const DEFAULT: u64>(u64);

impl<const DEFAULT: u64> Millis<DEFAULT> {
    pub(super) fn get() -> Self {
        Self(DEFAULT)
    }

    /// As it is.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const DEFAULT: u64> TryFrom<u64> for Millis<DEFAULT> {
    type Error = &'static str;

    fn try_from(millis: u64) -> Result<Self, Self::Error> {
        let good = (1..=86_400_000).contains(&millis);
        good.then_some(Self(millis)).ok_or("it is a number of milliseconds, from 1 to 86400000")
    }
}

/// A length of time in seconds, with its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Seconds<const DEFAULT: u64>(u64);

impl<const DEFAULT: u64> Seconds<DEFAULT> {
    pub(super) fn get() -> Self {
        Self(DEFAULT)
    }

    /// As it is.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl<const DEFAULT: u64> TryFrom<u64> for Seconds<DEFAULT> {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        (1..=86_400).contains(&seconds).then_some(Self(seconds)).ok_or("it is a number of seconds, from 1 to 86400")
    }
}

/// A number of things, with its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Count<const DEFAULT: u32>(u32);

impl<const DEFAULT: u32> Count<DEFAULT> {
    pub(super) fn get() -> Self {
        Self(DEFAULT)
    }

    /// As it is.
    pub fn count(self) -> u32 {
        self.0
    }

    /// The same, as a size.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const DEFAULT: u32> TryFrom<u32> for Count<DEFAULT> {
    type Error = &'static str;

    fn try_from(count: u32) -> Result<Self, Self::Error> {
        (count > 0).then_some(Self(count)).ok_or("it is a whole number, at least 1")
    }
}

/// `http://HOST:PORT` or `https://HOST`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url(pub Target);

impl TryFrom<String> for Url {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let help = "it is written as http://HOST:PORT or https://HOST, without a path, a user or a password";
        Target::read(&text).map(Self).ok_or(help)
    }
}

/// How clients know the service: `https://api.example.com`, in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(pub origin::Origin);

impl TryFrom<String> for Origin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = origin::Origin::parse(&text).ok().filter(|origin| origin.as_str() == text);
        read.map(Self).ok_or("an origin is written as https://api.example.com, in lower case, and has no path")
    }
}
