//! A small world: an issuer, an agent, a helper of the agent, a thief; one tool server; a clock that is set by hand.

use std::sync::Arc;

use chio_core::canonical::Limits;
use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, Terms};
use chio_core::crypto::{Keypair, SigningBackend};
use chio_core::digest::Arguments;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::clock::{ManualClock, NoPatience};
use chio_kernel::store::MemoryReceipts;
use chio_kernel::tool_server::Tools;
use chio_kernel::{Completed, Denied, Kernel, KernelBuilder, SignedCall, Stores};
use serde_json::{Value, json};

/// When the calls of the tests are made, in Unix seconds.
pub const NOW: u64 = 1_790_000_000;

/// The tool server and the tool of most tests.
pub const SERVER: &str = "files";
pub const TOOL: &str = "read_file";

/// Arguments that the usual grant covers.
pub const ARGUMENTS: &str = r#"{"path":"/srv/docs/a.md"}"#;

pub fn issuer() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

pub fn agent() -> Keypair {
    Keypair::from_seed(&[2; 32])
}

pub fn helper() -> Keypair {
    Keypair::from_seed(&[3; 32])
}

pub fn thief() -> Keypair {
    Keypair::from_seed(&[4; 32])
}

pub fn kernel_key() -> Keypair {
    Keypair::from_seed(&[5; 32])
}

/// A serial that no other number gives.
pub fn serial(number: u64) -> String {
    format!("{number:032x}")
}

/// A grant of the usual tool below `/srv/docs`.
pub fn docs_grant() -> Grant {
    Grant::new(SERVER, TOOL)
        .argument("/path", &json!({"constraint_type": "path_containment", "root": "/srv/docs"}))
        .unwrap()
}

/// Terms for the agent: an hour from `NOW`, and one more token may follow.
pub fn terms(grants: Vec<Grant>) -> Terms {
    Terms {
        subject: agent().public_key(),
        audience: None,
        issued_at: NOW - 600,
        expires_at: NOW + 3000,
        grants,
        max_depth: 2,
        serial: serial(1),
    }
}

/// The usual capability: the agent may read below `/srv/docs`.
pub fn capability() -> CapabilityChain {
    issue(terms(vec![docs_grant()]))
}

pub fn issue(terms: Terms) -> CapabilityChain {
    CapabilityChain::root(CapabilityToken::issue(terms, &issuer()).unwrap())
}

/// What the agent hands on to its helper.
pub fn delegated(grants: Vec<Grant>) -> CapabilityChain {
    let terms = Terms { subject: helper().public_key(), max_depth: 1, serial: serial(2), ..terms(grants) };
    capability().attenuate(terms, &agent()).unwrap()
}

/// A proof of the usual call, as its signer would make it.
pub fn body(chain: &CapabilityChain, arguments: &str, nonce: &str) -> DpopProofBody {
    let arguments = Arguments::parse(arguments.as_bytes(), Limits::bytes(Arguments::MAX_BYTES)).unwrap();
    DpopProofBody::new(chain.leaf(), (SERVER, TOOL), &arguments, nonce, NOW)
}

pub fn chain_bytes(chain: &CapabilityChain) -> Vec<u8> {
    chain.to_json().unwrap().to_canonical_bytes()
}

/// A call with a proof that `signer` makes of `body`.
pub fn call_with(
    chain: &CapabilityChain,
    arguments: &str,
    body: DpopProofBody,
    signer: &dyn SigningBackend,
) -> SignedCall {
    SignedCall {
        tool_server: SERVER.to_owned(),
        tool_name: TOOL.to_owned(),
        arguments: arguments.as_bytes().to_vec(),
        capability: chain_bytes(chain),
        proof: Some(DpopProof::sign_with_backend(body, signer).unwrap().to_bytes().unwrap()),
    }
}

/// The usual call of the agent.
pub fn call(chain: &CapabilityChain, arguments: &str, nonce: &str) -> SignedCall {
    call_with(chain, arguments, body(chain, arguments, nonce), &agent())
}

/// The usual call, whole.
pub fn honest(nonce: &str) -> SignedCall {
    call(&capability(), ARGUMENTS, nonce)
}

/// Tools that answer with their arguments.
pub fn echo() -> Tools {
    Tools::new().tool(TOOL, |arguments: Value| Ok(arguments)).tool("search", |arguments: Value| Ok(arguments))
}

/// A kernel under construction, its clock, and its receipts.
pub struct World {
    pub builder: KernelBuilder,
    pub clock: ManualClock,
    pub receipts: Arc<MemoryReceipts>,
}

impl World {
    /// The usual kernel. It started long ago, so that it remembers every nonce that is still fresh.
    pub fn new() -> Self {
        Self::with_stores(Stores::default())
    }

    /// The same with other stores; the receipts are replaced.
    pub fn with_stores(stores: Stores) -> Self {
        let clock = ManualClock::at(NOW - 100_000);
        let receipts = Arc::new(MemoryReceipts::default());
        let builder = Kernel::builder()
            .trust_root(issuer().public_key())
            .name("kernel-a")
            .tool_server(SERVER, echo())
            .signing_key(kernel_key())
            .clock(clock.clone())
            .timer(NoPatience)
            .stores(Stores { receipts: Arc::<MemoryReceipts>::clone(&receipts), ..stores });
        Self { builder, clock, receipts }
    }

    /// Builds the kernel, and sets the clock to `NOW`.
    pub fn kernel(self) -> Kernel {
        let kernel = self.builder.build().unwrap();
        self.clock.set(NOW);
        kernel
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

pub fn run(kernel: &Kernel, call: SignedCall) -> Result<Completed, Denied> {
    pollster::block_on(kernel.call(call))
}

/// The code of the denial; empty where the call is allowed.
pub fn code(kernel: &Kernel, call: SignedCall) -> &'static str {
    match run(kernel, call) {
        Ok(completed) => {
            completed.result.unwrap();
            ""
        }
        Err(denied) => denied.denial.code(),
    }
}
