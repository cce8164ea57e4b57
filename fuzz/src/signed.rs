//! Calls that were really signed, and how to tell them by what they say.

use std::collections::HashMap;
use std::sync::LazyLock;

use chio_core::canonical::Limits;
use chio_core::capability::{CapabilityChain, CapabilityToken, Terms};
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::SignedCall;
use chio_tests::world::{ARGUMENTS, NOW, SERVER, TOOL, docs_grant, issue, serial, terms, thief};

use crate::genuine::{CHAINS, Genuine};
use crate::reading;

/// A call that its holder signed.
pub struct Signed {
    pub call: SignedCall,
    /// The chain, as its holder has it.
    pub chain: &'static Genuine,
    pub nonce: &'static str,
    pub issued_at: u64,
    /// Whether its chain grants it, were there no limit.
    pub granted: bool,
    /// The limits it is counted on, and each one's calls.
    pub limits: &'static [(&'static str, u32)],
}

/// Chains whose every signature is good, and that no kernel of this world may take: for another kernel, and by a root
/// that nobody trusts.
pub static ELSEWHERE: LazyLock<[Genuine; 2]> = LazyLock::new(|| {
    let there = Terms { audience: Some("kernel-b".into()), serial: serial(6), ..terms(vec![docs_grant()]) };
    let token = CapabilityToken::issue(terms(vec![docs_grant()]), &thief()).unwrap();
    [issue(there), CapabilityChain::root(token)].map(Genuine::from)
});

pub static SIGNED: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    const A: &str = ARGUMENTS;
    const B: &str = r#"{"path":"/srv/docs/b/c.md"}"#;
    const SECRET: &str = r#"{"path":"/etc/passwd"}"#;
    const FIVE: &str = r#"{"in":["a","b"],"limit":5}"#;
    const MANY: &str = r#"{"in":["a"],"limit":500}"#;
    const TWO: &[(&str, u32)] = &[("two", 2)];
    const THREE: &[(&str, u32)] = &[("three", 3)];
    const ONE: &[(&str, u32)] = &[("one", 1)];
    let [c0, c1, c2, c3, c4] = CHAINS.each_ref();
    let [there, untrusted] = ELSEWHERE.each_ref();
    let signed = |chain: &'static Genuine, tool: &str, arguments: &str, nonce, after: u64, granted, limits| {
        let arguments = Arguments::parse(arguments.as_bytes(), Limits::bytes(1 << 20)).unwrap();
        let issued_at = NOW + after;
        let body = DpopProofBody::new(chain.chain.leaf(), (SERVER, tool), &arguments, nonce, issued_at);
        let proof = DpopProof::sign(body, chain.holder()).unwrap();
        let call = SignedCall::new(&chain.chain, &proof, (SERVER, tool), &arguments).unwrap();
        Signed { call, chain, nonce, issued_at, granted, limits }
    };
    vec![
        signed(c0, TOOL, A, "1", 0, true, &[]),
        signed(c0, TOOL, A, "1", 20, true, &[]),
        signed(c0, TOOL, B, "2", 5, true, &[]),
        signed(c0, TOOL, B, "1", 400, true, &[]),
        signed(c0, TOOL, SECRET, "3", 0, false, &[]),
        signed(c0, "search", FIVE, "4", 0, false, &[]),
        // Children share what their parent has.
        signed(c1, TOOL, A, "1", 0, true, TWO),
        signed(c1, TOOL, B, "2", 0, true, TWO),
        signed(c1, TOOL, A, "3", 100, true, TWO),
        signed(c2, TOOL, A, "1", 0, true, TWO),
        signed(c2, TOOL, B, "2", 0, false, &[]),
        signed(c3, "search", FIVE, "1", 0, true, THREE),
        signed(c3, "search", FIVE, "2", 0, true, THREE),
        signed(c3, "search", FIVE, "3", 10, true, THREE),
        signed(c3, "search", FIVE, "4", 20, true, THREE),
        signed(c3, "search", MANY, "5", 0, false, &[]),
        signed(c3, TOOL, A, "6", 0, true, ONE),
        signed(c3, TOOL, A, "7", 30, true, ONE),
        signed(c4, TOOL, A, "1", 0, true, &[]),
        signed(there, TOOL, A, "1", 0, false, &[]),
        signed(untrusted, TOOL, A, "1", 0, false, &[]),
    ]
});

/// What a call says, whoever writes it down and however.
pub type Said = [Vec<u8>; 5];

pub fn said(call: &SignedCall) -> Option<Said> {
    let [server, name] = [&call.tool_server, &call.tool_name].map(|name| name.clone().into_bytes());
    let part = |text: &[u8]| reading::canonical(text);
    Some([server, name, part(&call.arguments)?, part(&call.capability)?, part(call.proof.as_deref()?)?])
}

pub static BY_WHAT_THEY_SAY: LazyLock<HashMap<Said, usize>> =
    LazyLock::new(|| SIGNED.iter().enumerate().map(|(at, signed)| (said(&signed.call).unwrap(), at)).collect());
