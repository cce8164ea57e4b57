//! IP addresses and networks.

use std::net::{IpAddr, Ipv6Addr};

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `ADDRESS/PREFIX`. The address is the first of the network.
    /// Fails where it is not, or is in another notation.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "a network is its first address and its prefix, such as 10.1.0.0/16 or 2001:db8::/32";
        let (address, prefix) = text.split_once('/').ok_or(WRONG)?;
        let first = parse(address).ok_or(WRONG)?;
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let prefix = prefix.parse().ok().filter(|prefix| digits && *prefix <= bits(first).1).ok_or(WRONG)?;
        let network = Self { first, prefix };
        let starts = bits(first).0 == network.masked(first);
        if starts { Ok(network) } else { Err(WRONG) }
    }

    /// Whether the text is an address of this network, in the one notation that all programs read alike.
    pub fn contains(&self, text: &str) -> bool {
        parse(text).is_some_and(|address| self.has(address))
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.masked(address) == bits(self.first).0
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let (value, width) = bits(address);
        let host_bits = width.saturating_sub(self.prefix);
        let network = value.checked_shr(host_bits).unwrap_or_default();
        network.checked_shl(host_bits).unwrap_or_default()
    }
}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// An address that all programs read alike: four decimal numbers without leading zeros, or groups of hex digits. Not one of
/// the sixth version that contains one of the fourth.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !text.contains('.') && !has_v4_inside(*address),
    })
}

/// IPv6 addresses with one of IPv4 inside: IPv4-compatible, IPv4-mapped and IPv4-translated, NAT64 (two), 6to4, Teredo.
const V4_INSIDE: [([u16; 8], u32); 7] = [
    ([0; 8], 96),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
];

/// The IANA registry of special-purpose addresses without those that are public, with what is multicast or reserved; and the
/// address at which Azure answers its machines.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// All that is public in IPv6, and what of it is not: protocols of the IETF, documentation (two), 6to4.
const GLOBAL_V6: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const NOT_PUBLIC_V6: [([u16; 8], u32); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

fn is_in(address: IpAddr, first: impl Into<IpAddr>, prefix: u32) -> bool {
    Network { first: first.into(), prefix }.has(address)
}

/// `::` and `::1` are among the compatible ones in form, and mean themselves. ISATAP can have any network in front.
fn has_v4_inside(address: Ipv6Addr) -> bool {
    let [.., flags, kind, _, _] = address.segments();
    let isatap = kind == 0x5efe && flags & 0xfcff == 0;
    let listed = || V4_INSIDE.iter().any(|(first, prefix)| is_in(address.into(), *first, *prefix));
    address.to_bits() > 1 && (isatap || listed())
}

/// Whether an address belongs to the public internet: not to this machine, a private or local network, a group, a
/// document, or the metadata service of a cloud.
pub(crate) fn is_public(address: IpAddr) -> bool {
    if address.is_ipv4() {
        return !NOT_PUBLIC_V4.iter().any(|(first, prefix)| is_in(address, *first, *prefix));
    }
    is_in(address, GLOBAL_V6.0, GLOBAL_V6.1)
        && !NOT_PUBLIC_V6.iter().any(|(first, prefix)| is_in(address, *first, *prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_in_one_notation() {
        for (network, passes, fails) in [
            (
                "10.1.0.0/16",
                vec!["10.1.0.0", "10.1.255.255"],
                vec![
                    "10.2.0.0",
                    "10.0.255.255",
                    "010.1.0.1",
                    "0x0a.1.0.1",
                    "0x0a010001",
                    "167837697",
                    "10.1.1",
                    "10.1.0.1.",
                    " 10.1.0.1",
                    "10.1.0.1 ",
                    "10.1.0.1/32",
                    "10.1.0.1:80",
                    "[10.1.0.1]",
                    "::ffff:10.1.0.1",
                    "::ffff:a01:1",
                    "::10.1.0.1",
                    "1０.1.0.1",
                    "10.1.0.256",
                    "",
                    "a",
                    "10.1.0.1\n",
                    "10。1。0。1",
                ],
            ),
            ("0.0.0.0/0", vec!["0.0.0.0", "255.255.255.255"], vec!["::", "::1", "::ffff:1.2.3.4"]),
            ("192.0.2.7/32", vec!["192.0.2.7"], vec!["192.0.2.6", "192.0.2.8"]),
            (
                "2001:db8::/32",
                vec!["2001:db8::1", "2001:DB8:0:0::1"],
                vec!["2001:db9::1", "2001:db8::1%eth0", "[2001:db8::1]", "2001:db8::1.2.3.4"],
            ),
            (
                "::/0",
                vec!["::1", "fe80::1", "::", "2606:4700::1111", "fe80::1:5efe:7f00:1", "fe80::5efe:1", "64:ff9c::1"],
                vec![
                    "::ffff:7f00:1",
                    "::ffff:0:7f00:1",
                    "::ffff:0:127.0.0.1",
                    "64:ff9b::7f00:1",
                    "64:ff9b:1:7f00::1",
                    "2001:0:7f00:1::",
                    "2002:7f00:1::",
                    "fe80::5efe:7f00:1",
                    "2606:4700::200:5efe:7f00:1",
                    "2606:4700::300:5efe:7f00:1",
                    "1.2.3.4",
                    "::2",
                ],
            ),
            ("::1/128", vec!["::1", "0:0:0:0:0:0:0:1"], vec!["::2", "127.0.0.1"]),
        ] {
            let rule = Network::parse(network).unwrap();
            for address in passes {
                assert!(rule.contains(address), "{network} should contain {address}");
            }
            for address in fails {
                assert!(!rule.contains(address), "{network} should not contain {address}");
            }
        }
        for network in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.1/8",
            "10.0.0.0/8 ",
            "010.0.0.0/8",
            "::/129",
            "2001:db8::1/32",
            "::ffff:0:0/96",
            "a/8",
            "10.0.0.0/8/8",
        ] {
            assert!(Network::parse(network).is_err(), "{network}");
        }
    }

    #[test]
    fn what_is_public() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.0",
            "2606:4700::1111",
            "2a00::1",
            "3ffe::1",
        ] {
            assert!(public(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }
}
