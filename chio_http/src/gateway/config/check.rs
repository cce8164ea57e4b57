//! What is only wrong together.

use chio_core::error::excerpt;
use toml::Spanned;

use super::{AdminAt, Clients, Config, ConfigError, Ekey, Route};
use crate::gateway::public::PublicRoute;

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
    for (index, route) in config.route.iter().enumerate() {
        let Route { tool, scope, subcap, public } = route.get_ref();
        let at = route.span().start;
        let help = "it is written as METHOD:/path, in which `:name` stands for one segment";
        if let Err(why) = PublicRoute::read(tool) {
            return Err(wrong(at, &format!("the route `{}`: {why}", excerpt(tool)), help));
        }
        if *public && (scope.is_some() || subcap.is_some()) {
            let help = "take out `public`, or else `scope` and `subcap`";
            return Err(wrong(at, "a route that is open to everybody needs no scope", help));
        }
        let same = |other: &Spanned<Route>| shape(&other.get_ref().tool) == shape(tool);
        if config.route.iter().take(index).any(same) {
            return Err(wrong(at, &format!("the route `{}` is there twice", excerpt(tool)), "name it once"));
        }
    }
    if let Some(rfc9449) = &config.rfc9449 {
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
    if let Some(ekey) = &config.ekey {
        let at = ekey.span().start;
        let Ekey { key, clock_skew_secs, issuer, .. } = ekey.get_ref();
        if clock_skew_secs.seconds() > 5 {
            return Err(wrong(at, "`clock_skew_secs` is at most 5", "set the clocks"));
        }
        if key.is_empty() && issuer.is_none() {
            return Err(wrong(at, "there is no key, so no token would count", "add `[[ekey.key]]` or `[ekey.issuer]`"));
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

fn wrong(at: usize, what: &str, help: &str) -> ConfigError {
    ConfigError { at: Some(at), what: what.to_owned(), help: help.to_owned() }
}

/// A template without the names of its parameters.
fn shape(tool: &str) -> String {
    let segments = tool.split('/').map(|segment| if segment.starts_with(':') { ":" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}
