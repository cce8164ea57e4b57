//! What is only wrong together.

use std::collections::BTreeSet;

use chio_core::error::excerpt;
use toml::Spanned;

use super::{
    AdminAt, Clients, Config, ConfigError, Device, Ekey, Issuer, Registration, Route, Session, rollout, wrong,
};
use crate::device::enroll::{CHALLENGE_PATH, ENROLL_PATH};
use crate::device::possession::MAX_WINDOW_SECS;
use crate::gateway::names::Meaning;
use crate::route::{self, Routes};

const ROUTE: &str =
    "it is written as METHOD:/path, in which `:name` stands for one segment, and `*name` for all that are left";

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    if let Some(tls) = &config.tls {
        let wants = tls.get_ref().client_certificates != Clients::None;
        if wants != tls.get_ref().client_ca_file.is_some() {
            return Err(wrong(
                tls.span().start,
                "`client_certificates` and `client_ca_file` go together",
                "name the file of who signs the certificates of clients, and whether these are `optional` or `required`",
            ));
        }
    }
    if let Some(admin) = &config.admin {
        let AdminAt { address, allow_remote } = admin.get_ref();
        if !address.ip().is_loopback() && !allow_remote {
            return Err(wrong(
                admin.span().start,
                "the admin's address can be reached from other machines",
                "use 127.0.0.1, or say `allow_remote = true` where the network keeps strangers out",
            ));
        }
        if address.port() != 0 && *address == config.listen.address {
            return Err(wrong(admin.span().start, "`[listen]` has this address", "the admin's is another one"));
        }
    }
    if config.route.is_empty() {
        return Err(ConfigError {
            at: None,
            what: "there is no route, so nothing could be called".to_owned(),
            help: "add one: `[[route]]`, `tool = \"GET:/orders/:id\"`".to_owned(),
        });
    }
    let mut routes = Vec::new();
    for route in &config.route {
        let Route { tool, scope, subcap, content_digest, sealed, public } = route.get_ref();
        let at = route.span().start;
        routes.push(route::Route::parse(tool).map_err(|error| wrong(at, &error.to_string(), ROUTE))?);
        if *public && (scope.is_some() || subcap.is_some() || *content_digest || *sealed) {
            let help = "take out `public`, or else what it needs";
            return Err(wrong(at, "a route that is open to everybody needs nothing", help));
        }
        let has_scheme =
            config.rfc9449.is_some() || config.ekey.is_some() || config.device.is_some() || config.session.is_some();
        if !public && !has_scheme {
            let help =
                "add `[rfc9449]`, `[ekey]`, `[device]` or `[session]`, or say `public = true` where everybody may call";
            return Err(wrong(at, "there is no scheme by which anybody could call this route", help));
        }
        Routes::new(routes.clone()).map_err(|error| wrong(at, &error.to_string(), "name it once"))?;
    }
    if let Some(rfc9449) = &config.rfc9449 {
        issuers(rfc9449.span().start, &rfc9449.get_ref().issuer, "add `[[rfc9449.issuer]]`")?;
    }
    if let Some(device) = &config.device {
        issuers(device.span().start, &device.get_ref().issuer, "add `[[device.issuer]]`")?;
        self::device(config, device.span().start, device.get_ref())?;
    }
    if let Some(ekey) = &config.ekey {
        let at = ekey.span().start;
        let Ekey { key, clock_skew_secs, issuer, .. } = ekey.get_ref();
        if clock_skew_secs.seconds() > 5 {
            return Err(wrong(at, "`clock_skew_secs` is at most 5", "set the clocks"));
        }
        if key.is_empty() && issuer.is_none() {
            return Err(wrong(at, "there is no key, so no token would count", "add `[[ekey.key]]` or `[ekey.issuer]`"));
        }
        if issuer.is_some()
            && let Some(route) = config.route.iter().find(|route| route.get_ref().tool.ends_with(":/token"))
        {
            return Err(wrong(
                route.span().start,
                "the issuer of E-Keys answers at `/token`",
                "give the route another path",
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
    if let Some(of) = &config.session {
        session(config, of.span().start, of.get_ref())?;
    }
    rollout::check(config)
}

fn session(config: &Config, at: usize, session: &Session) -> Result<(), ConfigError> {
    session.rules().check().map_err(|what| wrong(at, what, "see docs/http.md"))?;
    if session.window_secs.seconds() > 60 {
        return Err(wrong(at, "`window_secs` is at most 60", "set the clocks"));
    }
    if session.scope.is_some() && session.registration != Registration::Open {
        let help = "take it out: an invitation says what the sessions of its user are for";
        return Err(wrong(at, "`scope` is for those who register without an invitation", help));
    }
    let has_its_path = |tool: &str| {
        let path = tool.split_once(':').map_or("", |(_, path)| path);
        path.strip_prefix(&*session.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(route) = config.route.iter().find(|route| has_its_path(&route.get_ref().tool)) {
        let help = "give the route another path, or `[session]` another `prefix`";
        return Err(wrong(route.span().start, "registration and login are at this path", help));
    }
    if config.ekey.as_ref().is_some_and(|ekey| ekey.get_ref().issuer.is_some()) && session.prefix == "/token" {
        return Err(wrong(at, "the issuer of E-Keys answers at `/token`", "give `[session]` another `prefix`"));
    }
    Ok(())
}

fn issuers(at: usize, issuers: &[Issuer], help: &str) -> Result<(), ConfigError> {
    for issuer in issuers {
        if issuer.jwks_file.is_some() == issuer.jwks_url.is_some() {
            let what = format!("the issuer `{}` has one of `jwks_file` and `jwks_url`", excerpt(&issuer.iss));
            return Err(wrong(at, &what, "name where its keys are"));
        }
    }
    if issuers.is_empty() {
        return Err(wrong(at, "there is no issuer, so no token would count", help));
    }
    Ok(())
}

fn device(config: &Config, at: usize, device: &Device) -> Result<(), ConfigError> {
    if device.window_secs.seconds() > MAX_WINDOW_SECS {
        return Err(wrong(at, "`window_secs` is at most 60", "set the clocks"));
    }
    if device.abilities.is_empty() {
        return Err(wrong(at, "`abilities` names a claim", "leave it out where that is `scope`"));
    }
    let mut names = BTreeSet::new();
    for name in device.headers.all() {
        let text = name.get_ref();
        if !is_own_name(text) {
            let what = format!("`{}` means something else as the name of a header, or is none", excerpt(text));
            return Err(wrong(name.span().start, &what, "in lower case, such as `x-device-id`"));
        }
        if !names.insert(text) {
            return Err(wrong(name.span().start, "two headers of a proof have this name", "give each its own"));
        }
    }
    let mut clients = BTreeSet::new();
    for (name, profile) in &device.profile {
        let mut all = profile.get_ref().clients.iter();
        if let Some(twice) = all.find(|client| !clients.insert(*client)) {
            let what = format!("the client `{}` is in `{}` and in another profile", excerpt(twice), excerpt(name));
            return Err(wrong(profile.span().start, &what, "name it in one"));
        }
    }
    if let Some(name) = device.default_profile.as_ref().filter(|name| !device.profile.contains_key(*name)) {
        let what = format!("there is no profile `{}`", excerpt(name));
        return Err(wrong(at, &what, "`default_profile` is one of `[device.profile.NAME]`"));
    }
    for path in [CHALLENGE_PATH, ENROLL_PATH] {
        let is_its = |route: &&Spanned<Route>| {
            route.get_ref().tool.split_once(':').is_some_and(|(_, template)| template == path)
        };
        if let Some(route) = config.route.iter().find(is_its) {
            let what = format!("devices are enrolled at `{path}`");
            return Err(wrong(route.span().start, &what, "give the route another path"));
        }
    }
    Ok(())
}

/// Whether a header of this name can be a scheme's own: it means nothing to HTTP, to a proxy, or to another scheme.
fn is_own_name(name: &str) -> bool {
    const STARTS: [&str; 6] = ["accept", "access-control-", "content-", "if-", "sec-", "www-"];
    const OTHERS: [&str; 24] = [
        "allow",
        "cache-status",
        "digest",
        "dpop-nonce",
        "etag",
        "from",
        "last-modified",
        "link",
        "max-forwards",
        "origin",
        "pragma",
        "prefer",
        "priority",
        "referer",
        "response-key",
        "server",
        "signature",
        "signature-input",
        "traceparent",
        "user-agent",
        "x-api-key",
        "x-csrf-token",
        "x-request-id",
        "x-requested-with",
    ];
    let is_spelt = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name.bytes().all(is_spelt)
        && Meaning::may_trail(name)
        && !STARTS.iter().any(|start| name.starts_with(start))
        && !OTHERS.contains(&name)
        && !["x-ts", "x-nonce", "x-pop"].contains(&name)
}
