use super::*;
use proptest::prelude::*;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(hosts: &[&str]) -> UrlRule {
    UrlRule::new(None, Some(texts(hosts)), None, None).unwrap()
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn one_host_and_nothing_that_looks_like_it() {
    let good = rule(&["good.example"]);
    for url in [
        "http://good.example",
        "https://good.example/",
        "https://GOOD.Example/a/b?c=d&e=/../",
        "HTTPS://good.example:443/",
        "http://good.example:80",
        "https://good.example/a@b:c/d",
        "https://good.example/a%20b/%C3%A9",
        "https://good.example/?@evil.example",
        "https://good.example/a;b=c/d",
        "https://good.example/a%5Bb%5D/*?c[]=d",
    ] {
        assert!(good.allows(url), "{url}");
    }
    for url in [
        "",
        "good.example",
        "//good.example/",
        "https:good.example",
        "https:/good.example",
        "https:///good.example",
        "https://",
        "https:// good.example",
        " https://good.example",
        "https://good.example/ ",
        "https://good.example/a b",
        "https://good.example\n",
        "https://go\tod.example/",
        "ftp://good.example/",
        "file://good.example/",
        "javascript://good.example/%0aalert(1)",
        "https://evil.example/",
        "https://evil.example/good.example",
        "https://good.example.evil.example/",
        "https://evilgood.example/",
        "https://sub.good.example/",
        "https://good.example./",
        "https://.good.example/",
        "https://good..example/",
        "https://good.example@evil.example/",
        "https://evil.example@good.example/",
        "https://u:p@good.example/",
        "https://@good.example/",
        "https://evil.example\\@good.example/",
        "http://evil\\@good.example",
        "https://good.example\\@evil.example/",
        "https://good.example\\.evil.example/",
        "https://evil.example#@good.example/",
        "https://good.example#@evil.example/",
        "https://good.example/#a",
        "https://evil.example?@good.example/",
        "https://good.example?a=b",
        "https://good.example:80/",
        "https://good.example:8443/",
        "https://good.example:",
        "https://good.example:/",
        "https://good.example:0443/",
        "https://good.example:443:443/",
        "https://good.example:+443/",
        "https://good.example:99999/",
        "https://good%2eexample/",
        "https://good.example%2f.evil.example/",
        "https://good.example%00.evil.example/",
        "https://gооd.example/",
        "https://good。example/",
        "https://ｇｏｏｄ.example/",
        "https://good.example\u{ad}/",
        "https://xn--good-.example/",
        "https://good.example/../a",
        "https://good.example/a/./b",
        "https://good.example/%2e%2e/a",
        "https://good.example/%252e/a",
        "https://good.example/a%2fb",
        "https://good.example/a%5cb",
        "https://good.example/a%00",
        "https://good.example/a%0d%0ab",
        "https://good.example/%c0%ae/",
        "https://good.example/%zz",
        "https://good.example/a%",
        "https://good.example/%u002e/",
        "https://good.example/..;/a",
        "https://good.example/..%3f/a",
        "https://good.example/..%23/a",
        "https://good.example/.%2e;x/a",
        "https://good.example//a",
        "https://good.example/a//b",
        "https://good.example/ä",
        "https://good.example/<a>",
        "https://good.example/a\\b",
        "https://good.example/a[b",
        "https://good.example/a]b",
        "https://good.example/.%3f/a",
        "https://good.example/.*",
        "https://good.example/.%5B.%5D",
        "https://good.example/$x../a",
        "https://good.example/%7b..,a%7d",
        "https://good.example/%E2%80%A6",
        "https://good.example/%ef%bc%8e%ef%bc%8e/a",
        "https://[good.example]/",
        "https://good.example]/",
        "https://[/good.example",
        "://good.example/",
        "1http://good.example/",
        "ht tp://good.example/",
        "https://good.example|x/",
    ] {
        assert!(!good.allows(url), "{url:?}");
    }
}

#[test]
fn hosts_below_a_name() {
    let below = rule(&["*.good.example"]);
    for url in [
        "https://a.good.example/",
        "https://a.b.good.example/",
        "https://A.Good.Example/",
        "https://xn--bcher-kva.good.example/",
    ] {
        assert!(below.allows(url), "{url}");
    }
    for url in [
        "https://good.example/",
        "https://agood.example/",
        "https://.good.example/",
        "https://a.good.example./",
        "https://a.good.example.evil.example/",
    ] {
        assert!(!below.allows(url), "{url}");
    }
}

#[test]
fn addresses_have_one_notation() {
    let local = rule(&["127.0.0.1", "[::1]"]);
    for url in ["http://127.0.0.1/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/"] {
        assert!(local.allows(url), "{url}");
    }
    for url in [
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1./",
        "http://127.0.0.1.5/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://::1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[::1%25lo]/",
        "http://[::1%lo]/",
        "http://127.0.0.1:080/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
    ] {
        assert!(!local.allows(url), "{url}");
    }
}

#[test]
fn schemes_ports_and_paths() {
    let api = UrlRule::new(Some(texts(&["https", "wss"])), None, Some(vec![443, 8443]), Some("/api".into())).unwrap();
    for url in [
        "https://a.example/api",
        "wss://a.example:8443/api/",
        "https://a.example/api/x?y",
        "https://[2001:db8::1]:8443/api",
        "https://a.example/%61pi/x",
    ] {
        assert!(api.allows(url), "{url}");
    }
    for url in [
        "http://a.example/api",
        "https://a.example:444/api",
        "https://a.example/apis",
        "https://a.example/",
        "https://a.example/API",
        "https://a.example//api",
        "https://a.example/x/../api",
        "https://a.example/api/../x",
        "https://a.example/?/api",
        "ws://a.example:443/api",
    ] {
        assert!(!api.allows(url), "{url}");
    }
    let folder = UrlRule::new(None, None, None, Some("/api/".into())).unwrap();
    assert!(folder.allows("https://a.example/api/x") && !folder.allows("https://a.example/api"));
    let other = UrlRule::new(Some(texts(&["postgres"])), Some(texts(&["db.example"])), None, None).unwrap();
    assert!(other.allows("postgres://db.example/a") && !other.allows("postgres://db.example:5432/a"));
}

#[test]
fn a_rule_that_means_nothing_is_none() {
    let hosts = |host: &str| UrlRule::new(None, Some(texts(&[host])), None, None);
    for host in [
        "",
        "*",
        "*.",
        "*.*.a",
        "a.*",
        "https://a",
        "a/b",
        "a:1",
        "a@b",
        "ä.example",
        "a..b",
        "127.1",
        "*.127.0.0.1",
        "::1",
        "[::ffff:1.2.3.4]",
    ] {
        assert!(hosts(host).is_err(), "{host}");
    }
    assert!(UrlRule::new(None, Some(texts(&[])), None, None).is_err());
    for scheme in ["", "HTTPS", "https:", "1a", "https://a"] {
        assert!(UrlRule::new(Some(texts(&[scheme])), None, None, None).is_err(), "{scheme}");
    }
    assert!(UrlRule::new(Some(texts(&[])), None, None, None).is_err());
    assert!(
        UrlRule::new(None, None, Some(vec![]), None).is_err() && UrlRule::new(None, None, Some(vec![0]), None).is_err()
    );
    for prefix in ["", "a", "/a/../b", "//a", "/%61"] {
        assert!(UrlRule::new(None, None, None, Some(prefix.into())).is_err(), "{prefix}");
    }
}

#[test]
fn the_public_internet() {
    for url in [
        "https://www.rust-lang.org/",
        "http://1.1.1.1/",
        "https://[2606:4700::1111]/",
        "https://a.example.com/",
        "https://localhost.com/",
        "https://mylocal.io/",
        "https://default.com/",
        "https://notnip.io/",
        "https://a.xn--p1ai/",
        "https://xn--bcher-kva.ch:8443/x?y",
    ] {
        assert!(is_public(url), "{url}");
    }
    for url in [
        "http://localhost/",
        "http://LOCALHOST/",
        "http://a.localhost/",
        "http://localhost./",
        "http://metadata/",
        "http://metadata.google.internal/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.254.169.254./",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[::]/",
        "http://0.0.0.0/",
        "http://0/",
        "http://127.1/",
        "http://127.127.127.127/",
        "http://10.0.0.1/",
        "http://100.100.100.200/",
        "http://192.168.0.1/",
        "http://printer.local/",
        "http://a.svc/",
        "http://kubernetes.default.svc.cluster.local/",
        "http://127.0.0.1.nip.io/",
        "http://a.sslip.io/",
        "http://localtest.me/",
        "http://kubernetes.default/",
        "http://dns.kube-system/",
        "http://a.my_space/",
        "http://a.ns1/",
        "http://metadata.tencentyun.com/",
        "http://api.metadata.cloud.ibm.com/",
        "http://metadata.packet.net/",
        "http://metadata.platformequinix.com/",
        "http://7f000001.c0a80001.rbndr.us/",
        "http://a.traefik.me/",
        "http://localho.st/",
        "http://a.rebind.network/",
        "http://fritz.box/",
        "ftp://ftp.gnu.org/",
        "gopher://1.1.1.1/",
        "file:///etc/passwd",
        "http://1.1.1.1@127.0.0.1/",
        "http://127.0.0.1#@1.1.1.1/",
        "http://127.0.0.1\\@1.1.1.1/",
        "http://1.1.1.1 &@127.0.0.1/",
        "http://ⓛocalhost/",
        "http://①.①.①.①/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
    ] {
        assert!(!is_public(url), "{url}");
    }
}

/// Each by itself, and below it.
#[test]
fn what_is_known_is_not_public() {
    for name in NOT_PUBLIC.split(' ') {
        assert!(Host::parse(name) == Some(Host::Name(name.to_owned())), "{name:?}");
        assert!(!is_public(&format!("http://{name}/")) && !is_public(&format!("http://a.{name}/")), "{name}");
        assert!(is_public(&format!("http://a{}.com/", name.replace('.', "-"))), "{name}");
    }
}

/// Texts near URLs, made of what such checks have been fooled with.
fn near_urls() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "http",
        "https",
        "ftp",
        "a",
        ":",
        "/",
        "//",
        "://",
        "\\",
        "@",
        "#",
        "?",
        "%2e",
        "%2f",
        "%5c",
        "%00",
        "%41",
        "..",
        ".",
        ";",
        "good.example",
        "evil.example",
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "0177.1",
        "[::1]",
        "[::ffff:1.2.3.4]",
        "[",
        "]",
        ":80",
        ":443",
        ":0",
        ":99999",
        "xn--",
        "xn--a",
        "。",
        "ß",
        "é",
        "\u{ad}",
        " ",
        "\t",
        "\n",
        "\0",
        "&",
        "=",
        "_",
        "-",
        "1",
        "0",
        "LOCALHOST",
    ]);
    let head = prop::sample::select(vec!["http://", "https://", "HTTP://", "http:", "", "ws://"]);
    (head, prop::collection::vec(piece, 0..7)).prop_map(|(head, pieces)| format!("{head}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 4096 }, ..ProptestConfig::default() })]

    /// What passes is taken apart by a WHATWG parser as it is here. It knows more names of hosts that are none.
    #[test]
    fn a_whatwg_parser_agrees(text in near_urls()) {
        if let (Some(ours), Ok(theirs)) = (Url::parse(&text), ::url::Url::parse(&text)) {
            prop_assert_eq!(theirs.scheme(), &ours.scheme);
            prop_assert!(theirs.username().is_empty() && theirs.password().is_none() && theirs.fragment().is_none());
            let host = match theirs.host().unwrap() {
                ::url::Host::Domain(name) => Host::Name(name.to_owned()),
                ::url::Host::Ipv4(address) => Host::Address(address.into()),
                ::url::Host::Ipv6(address) => Host::Address(address.into()),
            };
            prop_assert_eq!(host, ours.host.clone());
            prop_assert_eq!(theirs.port_or_known_default(), ours.effective_port());
            // Of other schemes than those of the web, it leaves an empty path empty.
            let path = if theirs.path().is_empty() { "/" } else { theirs.path() };
            prop_assert_eq!(read_path(path), Some(ours.path.clone()));
        }
    }
}
