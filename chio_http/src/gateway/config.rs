//! The configuration of a gateway: one TOML file. What is not known in it is an error, and so is all that could be found wrong
//! later: a gateway that has started does not fail for its configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chio_core::error::excerpt;
use serde::Deserialize;
use toml::Spanned;

use super::upstream::Target;
use crate::route::{self, Routes};

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients come in.
    pub listen: Listen,
    /// TLS. Without it, clients speak plain HTTP.
    pub tls: Option<Spanned<Tls>>,
    /// Where an operator asks. Without it, nobody can.
    pub admin: Option<Spanned<AdminAt>>,
    /// Where requests go.
    pub upstream: Spanned<UpstreamAt>,
    /// What can be called. Any other request is refused.
    #[serde(default)]
    pub route: Vec<Spanned<Route>>,
    /// RFC 9449: access tokens with DPoP.
    pub rfc9449: Option<Spanned<Rfc9449>>,
    /// E-Key.
    pub ekey: Option<Spanned<Ekey>>,
    /// The kernel that decides.
    #[serde(default)]
    pub kernel: KernelWith,
}

/// `[listen]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The address, such as `127.0.0.1:8080`.
    pub address: SocketAddr,
    /// How clients know the service: the tool server's name in a capability, and the origin in a proof's `htu`.
    pub origin: Origin,
    /// What may stand in `Host` besides the authority of the origin.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How many connections there may be at once.
    #[serde(default = "Count::<1024>::get")]
    pub max_connections: Count<1024>,
    /// How many requests there may be at once in one HTTP/2 connection.
    #[serde(default = "Count::<100>::get")]
    pub max_streams: Count<100>,
    /// How long the head of a request may be.
    #[serde(default = "Count::<32_768>::get")]
    pub max_head_bytes: Count<32_768>,
    /// The longest body that a proof covers: it is read whole before anything is passed on.
    #[serde(default = "Count::<1_048_576>::get")]
    pub max_covered_body_bytes: Count<1_048_576>,
    /// How long a TLS handshake may take.
    #[serde(default = "Millis::<10_000>::get")]
    pub handshake_timeout_ms: Millis<10_000>,
    /// How long the head of a request may take to come.
    #[serde(default = "Millis::<15_000>::get")]
    pub head_timeout_ms: Millis<15_000>,
    /// How long a connection is kept in which there is no request.
    #[serde(default = "Millis::<60_000>::get")]
    pub idle_timeout_ms: Millis<60_000>,
    /// How long what is under way may take when the gateway is told to stop.
    #[serde(default = "Millis::<20_000>::get")]
    pub stop_timeout_ms: Millis<20_000>,
}

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key, in PEM.
    pub private_key: Reference,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client_certificates: Clients,
    /// Who signs those, in PEM.
    pub client_ca_file: Option<PathBuf>,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clients {
    /// They are not asked to.
    #[default]
    None,
    /// Those who have one do.
    Optional,
    /// Nobody comes in without one.
    Required,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminAt {
    /// The address: of this machine alone, unless `allow_remote` says otherwise.
    pub address: SocketAddr,
    /// Whether other machines may ask.
    #[serde(default)]
    pub allow_remote: bool,
}

/// `[upstream]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamAt {
    /// `http://HOST:PORT` or `https://HOST`, without a path.
    pub url: Url,
    /// Which `Host` it sees.
    #[serde(default)]
    pub host: Host,
    /// A file of the certificates that sign its own, instead of those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to be made.
    #[serde(default = "Millis::<5_000>::get")]
    pub connect_timeout_ms: Millis<5_000>,
    /// How long the head of an answer may take.
    #[serde(default = "Millis::<60_000>::get")]
    pub response_timeout_ms: Millis<60_000>,
    /// How long a body may take to go on.
    #[serde(default = "Millis::<60_000>::get")]
    pub idle_timeout_ms: Millis<60_000>,
    /// How long a WebSocket may be silent.
    #[serde(default = "Millis::<600_000>::get")]
    pub websocket_idle_timeout_ms: Millis<600_000>,
    /// How long a connection without a request is kept.
    #[serde(default = "Millis::<4_000>::get")]
    pub idle_connection_timeout_ms: Millis<4_000>,
    /// How many such connections are kept.
    #[serde(default = "Count::<256>::get")]
    pub idle_connections: Count<256>,
    /// The longest body of a request.
    #[serde(default = "Count::<10_485_760>::get")]
    pub max_body_bytes: Count<10_485_760>,
}

/// Which `Host` the upstream sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// Its own.
    #[default]
    Upstream,
    /// The one that the client named.
    Keep,
}

/// `[[route]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The tool's name: `GET:/orders/:id`.
    pub tool: String,
    /// The scope that an access token must have for it.
    pub scope: Option<String>,
    /// The finer right that an E-Key must have for it.
    pub subcap: Option<String>,
    /// Whether a proof must cover the body of its requests.
    #[serde(default)]
    pub content_digest: bool,
    /// Whether it is open to everybody.
    #[serde(default)]
    pub public: bool,
}

/// `[rfc9449]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rfc9449 {
    /// Whose access tokens count.
    pub issuer: Vec<Issuer>,
    /// How old a proof may be.
    #[serde(default = "Seconds::<60>::get")]
    pub proof_ttl_secs: Seconds<60>,
    /// How far ahead a proof may be dated, and how far tokens may be.
    #[serde(default = "Seconds::<5>::get")]
    pub clock_skew_secs: Seconds<5>,
    /// Whether proofs need a nonce of ours.
    #[serde(default)]
    pub server_nonce: bool,
    /// What a proof must have besides what the RFC says.
    #[serde(default)]
    pub require: Vec<Required>,
}

/// `[[rfc9449.issuer]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its name, as tokens have it.
    pub iss: String,
    /// How it names this service.
    pub aud: String,
    /// Where its keys are: a file.
    pub jwks_file: Option<PathBuf>,
    /// Where its keys are: an https URL, or http on this machine.
    pub jwks_url: Option<String>,
    /// How often they are fetched again.
    #[serde(default = "Seconds::<600>::get")]
    pub jwks_refresh_secs: Seconds<600>,
}

/// What a proof must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// The digest of the body.
    ContentDigest,
    /// The query.
    Htq,
    /// The hash of the token.
    Ath,
}

/// `[ekey]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ekey {
    /// The keys whose tokens count.
    #[serde(default)]
    pub key: Vec<EkeyKey>,
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
    /// For whom it may ask; empty for anybody.
    #[serde(default)]
    pub subs: Vec<String>,
    /// For what it may ask.
    pub actions: Vec<String>,
    /// The longest life of a token that it may ask for.
    #[serde(default = "Seconds::<60>::get")]
    pub max_ttl_secs: Seconds<60>,
    /// The highest limit that it may ask for.
    pub max_limit: Option<u64>,
}

/// `[kernel]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelWith {
    /// The private key that signs receipts; without it, a new one at every start.
    pub key: Option<Reference>,
    /// `memory`, a file, the URL of a Redis, or `env:NAME`.
    pub state: Option<String>,
    /// Whether denials deny.
    #[serde(default)]
    pub mode: Mode,
}

/// Whether denials deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// Everything is verified; what would have been denied is recorded, and allowed.
    Report,
    /// Nothing is verified.
    Off,
}

/// What is wrong with a configuration. Of its values, nothing is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The byte in the text at which it is wrong.
    pub at: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

const HELP: &str = "docs/guides/http.md tells of every setting";
const ROUTE: &str =
    "it is written as METHOD:/path, in which `:name` stands for one segment, and `*name` for all that are left";

impl Config {
    /// Reads a configuration.
    /// Fails with the first thing that is wrong with it, and where it is.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            at: error.span().map(|span| span.start),
            what: without_value(error.message()),
            help: HELP.to_owned(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The routes.
    /// Fails where one is none, or two are the same; [`Self::parse`] has found that before.
    pub fn routes(&self) -> Result<Routes, route::RouteError> {
        let read = |route: &Spanned<Route>| {
            let Route { tool, scope, subcap, content_digest, public } = route.get_ref();
            let mut read = route::Route::parse(tool)?;
            if let Some(scope) = scope {
                read = read.scope(scope);
            }
            if let Some(subcap) = subcap {
                read = read.subcap(subcap);
            }
            if *content_digest {
                read = read.with_digest();
            }
            Ok(if *public { read.public() } else { read })
        };
        Routes::new(self.route.iter().map(read).collect::<Result<Vec<_>, route::RouteError>>()?)
    }

    /// What is only wrong together.
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(tls) = &self.tls {
            let wants = tls.get_ref().client_certificates != Clients::None;
            if wants != tls.get_ref().client_ca_file.is_some() {
                return Err(wrong(
                    tls.span().start,
                    "`client_certificates` and `client_ca_file` go together",
                    "name the file of who signs the certificates of clients, and whether these are `optional` or `required`",
                ));
            }
        }
        if let Some(admin) = &self.admin {
            let AdminAt { address, allow_remote } = admin.get_ref();
            if !address.ip().is_loopback() && !allow_remote {
                return Err(wrong(
                    admin.span().start,
                    "the admin's address can be reached from other machines",
                    "use 127.0.0.1, or say `allow_remote = true` where the network keeps strangers out",
                ));
            }
            if address.port() != 0 && *address == self.listen.address {
                return Err(wrong(admin.span().start, "`[listen]` has this address", "the admin's is another one"));
            }
        }
        if self.route.is_empty() {
            return Err(ConfigError {
                at: None,
                what: "there is no route, so nothing could be called".to_owned(),
                help: "add one: `[[route]]`, `tool = \"GET:/orders/:id\"`".to_owned(),
            });
        }
        let mut routes = Vec::new();
        for route in &self.route {
            let Route { tool, scope, subcap, content_digest, public } = route.get_ref();
            let at = route.span().start;
            let read = route::Route::parse(tool).map_err(|error| wrong(at, &error.to_string(), ROUTE))?;
            if *public && (scope.is_some() || subcap.is_some() || *content_digest) {
                let help = "take out `public`, or else what it needs";
                return Err(wrong(at, "a route that is open to everybody needs nothing", help));
            }
            if !public && self.rfc9449.is_none() && self.ekey.is_none() {
                let help = "add `[rfc9449]` or `[ekey]`, or say `public = true` where everybody may call";
                return Err(wrong(at, "there is no scheme by which anybody could call this route", help));
            }
            routes.push(read);
            Routes::new(routes.clone()).map_err(|error| wrong(at, &error.to_string(), "name it once"))?;
        }
        if let Some(rfc9449) = &self.rfc9449 {
            let at = rfc9449.span().start;
            for issuer in &rfc9449.get_ref().issuer {
                if issuer.jwks_file.is_some() == issuer.jwks_url.is_some() {
                    let what = format!("the issuer `{}` has one of `jwks_file` and `jwks_url`", excerpt(&issuer.iss));
                    return Err(wrong(at, &what, "name where its keys are"));
                }
            }
            if rfc9449.get_ref().issuer.is_empty() {
                return Err(wrong(at, "there is no issuer, so no token would count", "add `[[rfc9449.issuer]]`"));
            }
        }
        if let Some(ekey) = &self.ekey {
            let at = ekey.span().start;
            let Ekey { key, clock_skew_secs, issuer, .. } = ekey.get_ref();
            if clock_skew_secs.seconds() > 5 {
                return Err(wrong(at, "`clock_skew_secs` is at most 5", "set the clocks"));
            }
            if key.is_empty() && issuer.is_none() {
                return Err(wrong(
                    at,
                    "there is no key, so no token would count",
                    "add `[[ekey.key]]` or `[ekey.issuer]`",
                ));
            }
            let lives = issuer.iter().flat_map(|issuer| {
                let clients = issuer.client.values().map(|client| client.max_ttl_secs.seconds());
                clients.chain([issuer.ttl_secs.seconds()])
            });
            if lives.max().is_some_and(|longest| longest > 60) {
                return Err(wrong(at, "an E-Key lives at most 60 s", "ask for one more often"));
            }
        }
        Ok(())
    }
}

fn wrong(at: usize, what: &str, help: &str) -> ConfigError {
    ConfigError { at: Some(at), what: what.to_owned(), help: help.to_owned() }
}

/// The value that is wrong may be a secret that stands in the wrong place.
fn without_value(message: &str) -> String {
    for (start, end) in
        [("invalid type: ", ", expected"), ("invalid value: ", ", expected"), ("unknown variant ", ", expected")]
    {
        if message.starts_with(start)
            && let Some((_, expected)) = message.rsplit_once(end)
        {
            return format!("{}, expected{expected}", start.trim_end_matches(": ").trim());
        }
    }
    message.lines().next().unwrap_or_default().to_owned()
}

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
    fn get() -> Self {
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
    fn get() -> Self {
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
    fn get() -> Self {
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

/// How clients know the service: `https://api.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const HELP: &str = "an origin is written as https://api.example.com, in lower case, and has no path";
        let target = Target::read(&text).ok_or(HELP)?;
        let is_plain = !text.ends_with('/') && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_plain && target.to_string() == text).then_some(Self(text)).ok_or(HELP)
    }
}
