//! Callers, their calls and the kernels that decide them.

use std::sync::atomic::{AtomicU64, Ordering};

use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::{Keypair, SigningBackend};
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::clock::ManualClock;
use chio_kernel::tool_server::Tools;
use chio_kernel::{Kernel, KernelBuilder, SignedCall};
use chio_tests::world::{NOW, SERVER, TOOL, issuer, kernel_key, serial};
use serde::de::IgnoredAny;
use serde_json::json;

/// Never the same number twice.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A kernel and its clock, which goes on by a second for every hundred calls that are made ready: so nonces expire.
#[derive(Clone)]
pub struct Guarded {
    pub kernel: Kernel,
    pub clock: ManualClock,
    started: u64,
}

impl Guarded {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// All stores in memory unless `change` says otherwise. It started long ago, so it remembers what is fresh.
    pub fn with(change: impl FnOnce(KernelBuilder) -> KernelBuilder) -> Self {
        let clock = ManualClock::at(NOW - 100_000);
        let builder = Kernel::builder()
            .trust_root(issuer().public_key())
            .tool_server(SERVER, Tools::new().tool(TOOL, |_: IgnoredAny| Ok("done")))
            .signing_key(kernel_key())
            .clock(clock.clone());
        let kernel = change(builder).build().unwrap();
        clock.set(NOW);
        Self { kernel, clock, started: unique() }
    }

    pub fn tick(&self) -> u64 {
        let now = NOW + (unique() - self.started) / 100;
        self.clock.set(now);
        now
    }

    pub fn allows(&self, call: SignedCall) {
        let allowed = pollster::block_on(self.kernel.authorize(call));
        assert!(allowed.is_ok(), "{:?}", allowed.err());
    }

    pub fn denies(&self, call: SignedCall, code: &str) {
        let denied = pollster::block_on(self.kernel.authorize(call)).expect_err("it should be denied");
        assert_eq!(denied.denial.code(), code);
    }
}

/// Who holds a chain and signs calls by it.
pub struct Caller {
    chain: CapabilityChain,
    bytes: Vec<u8>,
    key: Keypair,
}

impl Caller {
    /// The holder of a new chain of that many tokens, each with the usual grant.
    pub fn of_depth(tokens: u8) -> Self {
        Self::new(tokens, Keypair::from_seed(&[100; 32]), &grant())
    }

    /// The holder of a capability without rules for arguments.
    pub fn without_rules() -> Self {
        Self::new(1, Keypair::from_seed(&[100; 32]), &Grant::new(SERVER, TOOL))
    }

    pub fn with_key(key: Keypair) -> Self {
        Self::new(1, key, &grant())
    }

    fn new(tokens: u8, key: Keypair, grant: &Grant) -> Self {
        let holder = |number: u8| if number == tokens { key.clone() } else { Keypair::from_seed(&[20 + number; 32]) };
        let terms = |number: u8| Terms {
            subject: holder(number).public_key(),
            audience: None,
            issued_at: NOW - 600,
            expires_at: NOW + 100_000_000,
            grants: vec![grant.clone()],
            max_depth: 16 - u64::from(number),
            serial: serial(unique()),
        };
        let mut chain = CapabilityChain::root(CapabilityToken::issue(terms(1), &issuer()).unwrap());
        for number in 2..=tokens {
            chain = chain.attenuate(terms(number), &holder(number - 1)).unwrap();
        }
        let bytes = chain.to_json().unwrap().to_canonical_bytes();
        Self { chain, bytes, key }
    }

    /// A call that was never made before, with arguments in any form.
    pub fn call(&self, arguments: &Told, now: u64) -> SignedCall {
        self.call_by(&self.key, arguments, now)
    }

    /// The same, its proof signed by another key than it names.
    pub fn call_by(&self, signer: &dyn SigningBackend, arguments: &Told, now: u64) -> SignedCall {
        let body = self.body(arguments, now);
        SignedCall {
            tool_server: SERVER.to_owned(),
            tool_name: TOOL.to_owned(),
            arguments: arguments.text.clone(),
            capability: self.bytes.clone(),
            proof: Some(DpopProof::sign_with_backend(body, signer).unwrap().to_bytes().unwrap()),
        }
    }

    pub fn body(&self, arguments: &Told, now: u64) -> DpopProofBody {
        DpopProofBody::new(self.chain.leaf(), (SERVER, TOOL), &arguments.read, serial(unique()), now)
    }
}

/// What the tokens here grant: one tool, its arguments a closed world.
fn grant() -> Grant {
    Grant::new(SERVER, TOOL)
        .argument("/path", &json!({"constraint_type": "path_containment", "root": "/srv/docs"}))
        .and_then(|grant| grant.argument("/limit", &json!({"constraint_type": "range", "min": 1, "max": 1000})))
        .and_then(|grant| grant.argument("/content", &json!({"constraint_type": "wildcard"})))
        .unwrap()
}

/// Arguments as they are sent, and as they are read.
pub struct Told {
    pub text: Vec<u8>,
    read: Arguments,
}

impl Told {
    fn new(text: String) -> Self {
        let text = text.into_bytes();
        let read = Arguments::parse(&text, chio_kernel::Settings::default().arguments).unwrap();
        Self { text, read }
    }

    /// Arguments of that many bytes, most of them one text of lines, in canonical form.
    pub fn text(bytes: usize) -> Self {
        let line = r"The kernel verifies both, spends the nonce, checks the grant, and signs a \u001b receipt.\n";
        let line = line.replace(r"\u001b ", "");
        let around = r#"{"content":"","limit":100,"path":"/srv/docs/reports/q3.md"}"#.len();
        let mut content = line.repeat((bytes - around) / line.len());
        content.push_str(&"x".repeat(bytes - around - content.len()));
        Self::new(format!(r#"{{"content":"{content}","limit":100,"path":"/srv/docs/reports/q3.md"}}"#))
    }

    /// Arguments of about that many bytes, most of them small records, in canonical form.
    pub fn records(bytes: usize) -> Self {
        let record = |number: usize| {
            format!(r#"{{"active":true,"id":{number},"name":"Ada Löwe","score":{}.25,"tags":["a","b"]}}"#, number % 97)
        };
        let around = r#"{"content":[],"limit":100,"path":"/srv/docs/reports/q3.json"}"#.len();
        let mut records: Vec<String> = Vec::new();
        let mut length = around;
        for next in (1..).map(record) {
            length += next.len() + 1;
            if length > bytes {
                break;
            }
            records.push(next);
        }
        let content = records.join(",");
        Self::new(format!(r#"{{"content":[{content}],"limit":100,"path":"/srv/docs/reports/q3.json"}}"#))
    }

    /// The same in a form that is not canonical: white space after every colon, and another order of the members.
    pub fn loosely(&self) -> Self {
        let text = String::from_utf8(self.text.clone()).unwrap();
        let (content, rest) = text[1..].split_once(r#","limit":"#).unwrap();
        let (limit, path) = rest[..rest.len() - 1].split_once(',').unwrap();
        let content = content
            .replace("\":", "\": ")
            .replace(r#""active": true,"#, "")
            .replace(r#""tags":"#, r#""active": true, "tags":"#);
        Self::new(format!(r#"{{{path}, "limit": {limit}, {content}}}"#))
    }
}
