//! The configuration of a gateway: one TOML file. What is not known in it is an error, and so is all that could be found wrong
//! later: a gateway that has started does not fail for its configuration.

mod values;

mod ekey;

mod device;

mod rollout;

mod session;

mod check;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::route::{self, Routes};

pub use self::device::{
    Device, DeviceClient, DeviceHeaders, DeviceProfile, DeviceThreat, NewSessions, Reaction, Require, Status,
};
pub use self::ekey::{Ekey, EkeyClient, EkeyIssuer, EkeyKey};
pub use self::rollout::changed;
pub use self::session::{Registration, Session};
pub use self::values::{Count, Hash, Millis, Origin, Reference, Seconds, Url};

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
    /// Device keys: bearer tokens with the signature of an enrolled device.
    pub device: Option<Spanned<Device>>,
    /// When answers are sealed.
    pub sealed: Option<Sealed>,
    /// In which mode what is decided: the one part that is read again while the gateway runs.
    pub rollout: Option<Spanned<RolloutWith>>,
    /// Sessions that a password opens.
    pub session: Option<Spanned<Session>>,
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
    /// How long such a body may take to come.
    #[serde(default = "Millis::<30_000>::get")]
    pub covered_body_timeout_ms: Millis<30_000>,
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
    /// Whether its answers are sealed, and requests refused that do not ask for that.
    #[serde(default)]
    pub sealed: bool,
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

/// `[sealed]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Whether the answers of all routes are sealed.
    #[serde(default)]
    pub required: bool,
    /// The longest body of an answer that is sealed: it is read whole before anything is sent.
    #[serde(default = "Count::<1_048_576>::get")]
    pub max_body_bytes: Count<1_048_576>,
}

/// `[rollout]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutWith {
    /// Where this gateway runs; without it, what `CHIO_ENVIRONMENT` says.
    pub environment: Option<String>,
    /// Whether the service sees the credentials as a client has sent them, where nothing is enforced.
    pub pass_credentials: Option<bool>,
    /// The rules, of which the first that a request is of decides.
    #[serde(default)]
    pub rule: Vec<Spanned<RuleWith>>,
}

/// `[[rollout.rule]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleWith {
    /// Where it counts; without it, everywhere.
    pub environment: Option<String>,
    /// For requests by which scheme.
    pub scheme: Option<String>,
    /// For clients of which profile.
    pub profile: Option<String>,
    /// For which route, by its `tool`.
    pub route: Option<String>,
    /// In which mode they are decided.
    pub mode: Mode,
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

const HELP: &str = "`chio gateway --help` has an example; CONTRIBUTING.md names the file that tells of every setting";

impl Config {
    /// Reads a configuration.
    /// Fails with the first thing that is wrong with it, and where it is.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            at: error.span().map(|span| span.start),
            what: without_value(error.message()),
            help: HELP.to_owned(),
        })?;
        check::check(&config)?;
        Ok(config)
    }

    /// The routes.
    /// Fails where one is none, or two are the same; [`Self::parse`] has found that before.
    pub fn routes(&self) -> Result<Routes, route::RouteError> {
        let read = |route: &Spanned<Route>| {
            let Route { tool, scope, subcap, content_digest, sealed, public } = route.get_ref();
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
            if *sealed {
                read = read.sealed();
            }
            Ok(if *public { read.public() } else { read })
        };
        Routes::new(self.route.iter().map(read).collect::<Result<Vec<_>, route::RouteError>>()?)
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
