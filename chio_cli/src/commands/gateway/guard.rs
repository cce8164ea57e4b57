//! The guard of `chio gateway`, as it is configured: its schemes, its routes, and the issuer of E-Keys beside it.

mod device;

mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chio_core::crypto::PublicKey;
use chio_core::digest::Digest;
use chio_http::access_token::AccessTokens;
use chio_http::deadline::Deadline;
use chio_http::dpop::ProofRules;
use chio_http::ekey::{EKey, EKeyIssuer, EKeyRules, IssuerClient};
use chio_http::gateway::Desk;
use chio_http::gateway::config::{self, Config, Required};
use chio_http::issuer::Issuer;
use chio_http::jwk::{Jwks, jwks};
use chio_http::jws::Alg;
use chio_http::keys::{Keys, Refresh};
use chio_http::origin::Origin;
use chio_http::rollout::Rollouts;
use chio_http::scheme::HttpScheme;
use chio_http::sealed::Sealing;
use chio_http::server_nonce::ServerNonces;
use chio_http::{GuardLayer, GuardOptions, GuardedService, HttpGuard, Rfc9449};
use chio_kernel::clock::{SystemClock, ThreadTimer};
use chio_kernel::store::StandingStore;
use chio_kernel::{Kernel, Settings};

use self::device::Devices;
pub(super) use self::session::Kept;
use self::session::OfSessions;
use super::{WHAT, source};
use crate::exit::Failure;
use crate::files;

const HELP: &str = "see docs/guides/http.md";

fn wrong(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{WHAT}: {error}"), HELP)
}

/// What the kernel remembers, and for how long: as long as a proof of any scheme could be fresh.
pub(super) fn settings(config: &Config) -> Settings {
    let mut settings = Settings::default();
    let rfc9449 = config
        .rfc9449
        .as_ref()
        .map(|of| (of.get_ref().proof_ttl_secs.seconds(), of.get_ref().clock_skew_secs.seconds()));
    let ekey =
        config.ekey.as_ref().map(|of| (ProofRules::default().max_age_secs, of.get_ref().clock_skew_secs.seconds()));
    let device = config.device.as_ref().map(|of| device::window(of.get_ref()));
    let session = config.session.as_ref().map(|of| of.get_ref().window_secs.seconds()).map(|window| (window, window));
    let windows: Vec<_> = rfc9449.into_iter().chain(ekey).chain(device).chain(session).collect();
    if let (Some(age), Some(ahead)) = (windows.iter().map(|of| of.0).max(), windows.iter().map(|of| of.1).max()) {
        (settings.dpop.proof_ttl_secs, settings.dpop.max_clock_skew_secs) = (age, ahead);
    }
    settings
}

/// What a guard is made of, read before anything is opened or told.
pub(super) struct Read {
    service: GuardedService,
    options: GuardOptions,
    rfc9449: Option<(AccessTokens, ProofRules, bool)>,
    ekey: Option<(Vec<Issuer>, EKeyRules)>,
    device: Option<Devices>,
    session: Option<OfSessions>,
}

/// Reads what the configuration names.
pub(super) fn read(config: &Config, own: Option<&EKeyIssuer>, rollouts: &Rollouts) -> Result<Read, Failure> {
    let mut origins = vec![config.listen.origin.0.clone()];
    let scheme = if config.listen.origin.0.is_https() { "https" } else { "http" };
    let others = config.listen.hosts.iter().map(|host| Origin::parse(&format!("{scheme}://{host}")));
    origins.extend(others.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?);
    let body_limit = config.listen.max_covered_body_bytes.size();
    let routes = config.routes().map_err(|error| wrong(&error))?;
    let sealing = config.sealed.as_ref().map_or_else(Sealing::default, |sealed| Sealing {
        required: sealed.required,
        body_limit: sealed.max_body_bytes.size(),
    });
    let (rfc9449, ekey) = (config.rfc9449.as_ref(), config.ekey.as_ref());
    let session =
        config.session.as_ref().map(|of| OfSessions::read(of.get_ref(), &config.listen.origin.0)).transpose()?;
    Ok(Read {
        service: GuardedService { origins, routes, body_limit },
        options: GuardOptions {
            rollouts: Some(rollouts.clone()),
            sealing,
            body_deadline: Deadline::new(ThreadTimer, config.listen.covered_body_timeout_ms.duration()),
            ..GuardOptions::default()
        },
        rfc9449: rfc9449.map(|rfc9449| of_rfc9449(rfc9449.get_ref())).transpose()?,
        ekey: ekey.map(|ekey| of_ekey(ekey.get_ref(), config.listen.origin.0.as_str(), own)).transpose()?,
        device: config.device.as_ref().map(|device| Devices::read(device.get_ref())).transpose()?,
        session,
    })
}

impl Read {
    /// The guard around the proxy: nothing reaches that but through this. And the desks beside it.
    pub(super) fn guard(
        self,
        kernel: &Kernel,
        kept: &Kept,
        standings: &Arc<dyn StandingStore>,
    ) -> Result<(GuardLayer, Vec<Box<dyn Desk>>), Failure> {
        let mut schemes: Vec<Box<dyn HttpScheme>> = Vec::new();
        let mut desks: Vec<Box<dyn Desk>> = Vec::new();
        if let Some((tokens, rules, needs_nonce)) = self.rfc9449 {
            let nonces = ServerNonces::new(kernel.clone(), needs_nonce);
            let nonces = nonces.map_err(|error| Failure::new(error, "this machine cannot make secrets"))?;
            schemes.push(Box::new(Rfc9449::new(tokens, rules, Arc::new(nonces))));
        }
        if let Some((issuers, rules)) = self.ekey {
            schemes.push(Box::new(EKey::new(issuers, rules, kernel.clone())));
        }
        if let (Some(devices), Some(origin)) = (self.device, self.service.origins.first()) {
            let (scheme, desk) = devices.made(kernel, &kept.records, standings, origin);
            schemes.push(Box::new(scheme));
            desks.push(Box::new(desk));
        }
        if let Some(session) = self.session {
            let (scheme, desk) = session.made(kernel, kept)?;
            schemes.push(Box::new(scheme));
            desks.push(Box::new(desk));
        }
        let guard = HttpGuard::with(kernel.clone(), self.service, schemes, self.options);
        Ok((GuardLayer::new(guard.map_err(|error| wrong(&error))?), desks))
    }
}

fn rules(require: &[Required], max_age_secs: u64, max_ahead_secs: u64) -> ProofRules {
    ProofRules {
        max_age_secs,
        max_ahead_secs,
        content_digest: require.contains(&Required::ContentDigest),
        htq: require.contains(&Required::Htq),
        ..ProofRules::default()
    }
}

/// Issuers whose keys are in a file or at a URL.
fn issuers(all: &[config::Issuer]) -> Result<Vec<Issuer>, Failure> {
    let issuers = all.iter().map(|issuer| {
        let refresh = Refresh { every: Duration::from_secs(issuer.jwks_refresh_secs.seconds()), ..Refresh::default() };
        let keys = match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(path), _) => Keys::file(path, refresh),
            (_, url) => Keys::url(url.as_deref().unwrap_or_default(), refresh),
        };
        let help = "name the file, or the https URL, where the issuer's public keys are as a JWK Set";
        let keys = keys.map_err(|error| Failure::new(format!("the keys of `{}`: {error}", issuer.iss), help))?;
        let (name, audiences, algs) = (issuer.iss.clone(), vec![issuer.aud.clone()], Alg::OF_ISSUERS.to_vec());
        Ok(Issuer { name, audiences, algs, keys })
    });
    issuers.collect()
}

fn of_rfc9449(config: &config::Rfc9449) -> Result<(AccessTokens, ProofRules, bool), Failure> {
    let issuers = issuers(&config.issuer)?;
    let rules = rules(&config.require, config.proof_ttl_secs.seconds(), config.clock_skew_secs.seconds());
    Ok((AccessTokens::new(issuers), rules, config.server_nonce))
}

fn of_ekey(config: &config::Ekey, origin: &str, own: Option<&EKeyIssuer>) -> Result<(Vec<Issuer>, EKeyRules), Failure> {
    // Each key by its thumbprint, as E-Keys name it; an issuer has several while it changes them.
    let mut keys: BTreeMap<&str, Vec<PublicKey>> = BTreeMap::new();
    for one in &config.key {
        keys.entry(&one.iss).or_default().push(files::read_public_key(&one.key)?);
    }
    if let (Some(issuer), Some(own)) = (&config.issuer, own) {
        keys.entry(&issuer.iss).or_default().push(own.public_key());
    }
    let audience = config.aud.clone().unwrap_or_else(|| origin.to_owned());
    let issuers = keys.into_iter().map(|(name, keys)| {
        let set = jwks(&keys).and_then(|text| Jwks::parse(text.as_bytes())).map_err(|error| wrong(&error))?;
        let (name, audiences, algs) = (name.to_owned(), vec![audience.clone()], Alg::OF_PROOFS.to_vec());
        Ok(Issuer { name, audiences, algs, keys: Keys::fixed(set) })
    });
    let issuers = issuers.collect::<Result<Vec<_>, Failure>>()?;
    let age = ProofRules::default().max_age_secs;
    let proof = rules(&config.require, age, config.clock_skew_secs.seconds());
    Ok((issuers, EKeyRules { proof, ath: config.require.contains(&Required::Ath) }))
}

/// The issuer of E-Keys, where this gateway is one.
pub(super) fn issuer(config: &Config) -> Result<Option<EKeyIssuer>, Failure> {
    let Some(ekey) = config.ekey.as_ref().map(toml::Spanned::get_ref) else { return Ok(None) };
    let Some(issuer) = &ekey.issuer else { return Ok(None) };
    let key = files::read_key(&source(&issuer.private_key))?;
    let service = ekey.aud.clone().unwrap_or_else(|| config.listen.origin.0.as_str().to_owned());
    let clients = issuer.client.values().map(|client| {
        let secret: Digest = client.secret_sha256.as_str().parse().map_err(|error| wrong(&error))?;
        let audiences = if client.auds.is_empty() { vec![service.clone()] } else { client.auds.clone() };
        Ok(IssuerClient {
            secret,
            subjects: client.subs.clone(),
            audiences,
            actions: client.actions.clone(),
            scopes: client.scopes.clone(),
            subcaps: client.subcaps.clone(),
            max_ttl_secs: client.max_ttl_secs.seconds(),
            max_limit: client.max_limit,
        })
    });
    let clients = clients.collect::<Result<Vec<_>, Failure>>()?;
    let made = EKeyIssuer::new(&issuer.iss, key, clients, SystemClock);
    let help = "use a key of Ed25519 or P-256: `chio keygen`";
    made.map(Some).map_err(|error| Failure::new(format!("the issuer of E-Keys: {error}"), help))
}
