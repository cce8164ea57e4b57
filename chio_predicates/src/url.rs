//! URLs that every reader takes apart in the same way.
//!
//! The grammar is the part of RFC 3986 on which it, the WHATWG URL standard and the common libraries agree:
//! `scheme://host`, then perhaps `:port`, then perhaps a path from its first slash, then perhaps a query. ASCII only; no
//! user information, no fragment, no backslash, no dot segments. A host whose name has other letters is written as its
//! owner registered it, `xn--…`.

use std::net::IpAddr;

use crate::{address, path};

struct Url {
    /// In lower case.
    scheme: String,
    host: Host,
    port: Option<u16>,
    /// With its escapes decoded; `/` where there is none.
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
        let (scheme, rest) = text.split_once("://").filter(|_| text.bytes().all(known))?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        // A query right after the authority is read as part of it by some.
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let (host, port) = split_port(authority)?;
        let path = if path.is_empty() { "/" } else { path };
        is_scheme.then_some(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: Host::parse(host)?,
            port: port.map(read_port).transpose().ok()?,
            path: read_path(path)?,
        })
    }

    /// The port, given or meant.
    fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(&self.scheme))
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = address::parse(inside.strip_suffix(']')?).filter(IpAddr::is_ipv6)?;
            return Some(Self::Address(address));
        }
        let is_label = |label: &str| {
            matches!(label.len(), 1..=63)
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if text.len() > 253 || !text.split('.').all(is_label) {
            return None;
        }
        // What ends in a number is an address, and there is one notation for those.
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number =
            last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
        if is_number {
            return address::parse(text).filter(IpAddr::is_ipv4).map(Self::Address);
        }
        Some(Self::Name(text.to_ascii_lowercase()))
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = authority.find(']').unwrap_or_default();
    match authority.get(end..)?.find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(end.saturating_add(colon));
            Some((host, port.strip_prefix(':')))
        }
    }
}

fn read_port(text: &str) -> Result<u16, ()> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain).ok_or(())
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// Decodes a path once. Denied is one that says another thing when it is decoded by a server, or by two of them; and a
/// bracket, which RFC 3986 has in hosts alone and others have anywhere.
fn read_path(text: &str) -> Option<String> {
    if text.contains(['[', ']']) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) =
            part.split_at_checked(2).filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != b'/')?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    // Some servers drop what follows a semicolon before they look at the segment, or decode and read it again.
    let is_dots = |segment: &str| {
        segment.contains([';', '?', '#'])
            && path::has_no_name(segment.split([';', '?', '#']).next().unwrap_or_default())
    };
    let path = String::from_utf8(bytes).ok()?;
    (path::normal(&path).is_some() && !path.split('/').any(is_dots)).then_some(path)
}

/// Which URLs a tool may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlRule {
    schemes: Vec<String>,
    hosts: Option<Vec<HostRule>>,
    ports: Option<Vec<u16>>,
    path_prefix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Exactly(Host),
    /// `*.name`: any name below this one.
    Below(String),
}

impl HostRule {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.").map(Host::parse) {
            Some(Some(Host::Name(name))) => Some(Self::Below(format!(".{name}"))),
            Some(_) => None,
            None => Host::parse(text).map(Self::Exactly),
        }
    }
}

impl UrlRule {
    /// A rule of its parts. `schemes` is `http` and `https` where it is absent; `hosts` any host; `ports` the usual port of
    /// the scheme; `path_prefix` any path. A host may start with `*.`, for every name below.
    /// Fails where a part is empty or not as a URL has it.
    pub fn new(
        schemes: Option<Vec<String>>,
        hosts: Option<Vec<String>>,
        ports: Option<Vec<u64>>,
        path_prefix: Option<String>,
    ) -> Result<Self, &'static str> {
        let is_scheme = |scheme: &String| Url::parse(&format!("{scheme}://a")).is_some_and(|url| url.scheme == *scheme);
        let schemes = schemes.unwrap_or_else(|| vec!["http".into(), "https".into()]);
        if schemes.is_empty() || !schemes.iter().all(is_scheme) {
            return Err("`schemes` are names such as https, in lower case");
        }
        let read = |hosts: Vec<String>| hosts.iter().map(|text| HostRule::parse(text)).collect::<Option<Vec<_>>>();
        let hosts = hosts.map(|hosts| read(hosts).filter(|hosts| !hosts.is_empty()));
        let hosts = hosts.map(|hosts| hosts.ok_or("`hosts` are names, names below one (`*.NAME`) or addresses"));
        let port = |port: u64| u16::try_from(port).ok().filter(|port| *port > 0);
        let ports = ports.map(|ports| ports.into_iter().map(port).collect::<Option<Vec<_>>>());
        let ports =
            ports.map(|ports| ports.filter(|ports| !ports.is_empty()).ok_or("`ports` are numbers from 1 to 65535"));
        if path_prefix.as_ref().is_some_and(|prefix| path::normal(prefix).is_none()) {
            return Err("`path_prefix` is a path that starts with a slash, without escapes and dot segments");
        }
        Ok(Self { schemes, hosts: hosts.transpose()?, ports: ports.transpose()?, path_prefix })
    }

    /// How many things a URL is compared with.
    pub fn parts(&self) -> usize {
        let (hosts, ports) = (self.hosts.as_ref().map_or(0, Vec::len), self.ports.as_ref().map_or(0, Vec::len));
        self.schemes.len().saturating_add(hosts).saturating_add(ports)
    }

    /// Whether the text is such a URL.
    pub fn allows(&self, text: &str) -> bool {
        let Some(url) = Url::parse(text) else { return false };
        let is_host = |rule: &HostRule| match rule {
            HostRule::Exactly(host) => *host == url.host,
            HostRule::Below(suffix) => matches!(&url.host, Host::Name(name) if name.ends_with(suffix.as_str())),
        };
        let port = url.effective_port();
        let is_port = match &self.ports {
            Some(ports) => port.is_some_and(|port| ports.contains(&port)),
            None => port == default_port(&url.scheme),
        };
        self.schemes.contains(&url.scheme)
            && self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(is_host))
            && is_port
            && self.path_prefix.as_ref().is_none_or(|prefix| starts_with(&url.path, prefix))
    }
}

/// A prefix ends where a segment does: `/api` is none of `/apis`.
fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// Names that are not of the public internet by their last labels: RFC 6761 and 6762; what routers, containers and clusters
/// use inside; where clouds answer their machines; services whose names stand for private addresses, or for any at all.
/// They are the known ones.
const NOT_PUBLIC: &str = "\
    localhost local localdomain localdomain4 localdomain6 test example invalid onion alt home.arpa in-addr.arpa ip6.arpa \
    internal intranet intra private corp home lan localnet workgroup router domain dhcp fritz.box \
    svc default cluster k8s consul docker lxd incus novalocal openstacklocal ts.net \
    metadata.goog metadata.tencentyun.com metadata.cloud.ibm.com metadata.packet.net metadata.platformequinix.com \
    nip.io sslip.io xip.io xip.name ip6.name backname.io local-ip.co local-ip.sh plex.direct traefik.me localtest.me lvh.me \
    vcap.me fuf.me lacolhost.com localho.st localhost.direct lcl.host local.gd localdev.me 1u.ms rbndr.us rebind.it \
    rebind.network";

/// Whether the text is a URL of `http` or `https` whose host is, as far as its text tells, one of the public internet.
/// What address a name has is not asked: it can be another one each time.
pub fn is_public(text: &str) -> bool {
    let Some(url) = Url::parse(text) else { return false };
    let host = match url.host {
        Host::Address(address) => address::is_public(address),
        Host::Name(name) => {
            let ends = |suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            // The names at the top are letters. With others, as in `dns.kube-system`, it is a name of some network.
            let is_top = |top: &str| top.starts_with("xn--") || top.bytes().all(|byte| byte.is_ascii_alphabetic());
            name.rsplit_once('.').is_some_and(|(_, top)| is_top(top)) && !NOT_PUBLIC.split(' ').any(ends)
        }
    };
    host && matches!(url.scheme.as_str(), "http" | "https")
}

#[cfg(test)]
mod tests;
