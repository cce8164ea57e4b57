//! What was really signed: keys, chains and proofs made from fixed seeds, and a naive second opinion on whether a text is
//! one of them. An attacker here has every text and the thief's key; so what verifies must have been signed.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chio_core::capability::{CapabilityChain, Grant, Terms};
use chio_core::crypto::{Algorithm, Keypair, P256Backend, Signature, SigningBackend};
use chio_core::digest::Digest;
use chio_core::dpop::{DpopProof, DpopProofBody};
use chio_kernel::clock::{ManualClock, NoPatience};
use chio_kernel::store::{BoxFuture, DpopNonceStore, KernelError, MemoryReceipts, NonceAnswer, NonceClaim, NonceStore};
use chio_kernel::{Kernel, Settings, Stores};
use chio_tests::world::{
    NOW, SERVER, TOOL, agent, capability, chain_bytes, docs_grant, echo, helper, issue, issuer, kernel_key, serial,
    terms, thief,
};
use serde_json::{Value, json};

use crate::reading;

/// An agent of the helper's, whose token cannot be handed on.
pub fn last() -> Keypair {
    Keypair::from_seed(&[6; 32])
}

/// An agent that signs with P-256.
pub fn phone() -> Keypair {
    Keypair::P256(P256Backend::from_scalar(&[7; 32]).unwrap())
}

/// Every key of this world, by its text.
static KEYS: LazyLock<HashMap<String, Keypair>> = LazyLock::new(|| {
    let keys = [issuer(), agent(), helper(), thief(), kernel_key(), last(), phone()];
    keys.into_iter().map(|key| (key.public_key().to_string(), key)).collect()
});

static KERNEL: LazyLock<Keypair> = LazyLock::new(kernel_key);

/// The key of an attacker.
pub static THIEF: LazyLock<Keypair> = LazyLock::new(thief);

/// The key of that text.
pub fn key(text: &Value) -> Option<&'static Keypair> {
    KEYS.get(text.as_str()?)
}

/// A chain that holds.
pub struct Genuine {
    pub chain: CapabilityChain,
    pub value: Value,
    pub text: Vec<u8>,
}

impl From<CapabilityChain> for Genuine {
    fn from(chain: CapabilityChain) -> Self {
        let text = chain_bytes(&chain);
        Self { value: serde_json::from_slice(&text).unwrap(), text, chain }
    }
}

impl Genuine {
    /// The key of its leaf's subject.
    pub fn holder(&self) -> &'static Keypair {
        &KEYS[&self.chain.leaf().subject.to_string()]
    }

    pub fn leaf_id(&self) -> &str {
        &self.chain.leaf().id
    }
}

fn exact(path: &str) -> Grant {
    Grant::new(SERVER, TOOL).argument("/path", &json!({"constraint_type": "exact", "value": path})).unwrap()
}

/// Chains that hold from `NOW - 600` on: one token, two, three; one for this kernel alone, with limits of every kind;
/// one whose subject signs with P-256. Every prefix of one is another.
pub static CHAINS: LazyLock<[Genuine; 5]> = LazyLock::new(|| {
    let root = capability();
    let below = |subject: Keypair, max_depth, number, grants| Terms {
        subject: subject.public_key(),
        max_depth,
        serial: serial(number),
        ..terms(grants)
    };
    let two = root.attenuate(below(helper(), 1, 2, vec![docs_grant().max_invocations(2)]), &agent()).unwrap();
    let three = two.attenuate(below(last(), 0, 3, vec![exact("/srv/docs/a.md")]), &helper()).unwrap();
    let search = Grant::new(SERVER, "search")
        .argument("/limit", &json!({"constraint_type": "range", "min": 1, "max": 100, "optional": true}))
        .and_then(|grant| grant.argument("/in/*", &json!({"constraint_type": "one_of", "values": ["a", "b"]})))
        .unwrap();
    let here = Terms {
        audience: Some("kernel-a".to_owned()),
        expires_at: NOW + 60,
        serial: serial(4),
        ..terms(vec![search.max_invocations(3), exact("/srv/docs/a.md").max_invocations(1)])
    };
    let phones = Terms { subject: phone().public_key(), serial: serial(5), ..terms(vec![docs_grant()]) };
    [root, two, three, issue(here), issue(phones)].map(Genuine::from)
});

/// Whether a text is a chain that holds at `now` for the usual kernel, by a reader and a canonicaliser that are not
/// ours, and by signing every token again. Returns its last token.
pub fn holds(text: &[u8], now: u64) -> Option<Value> {
    CapabilityChain::parse(text).ok()?;
    let chain: Value = serde_json::from_slice(&reading::canonical(text)?).ok()?;
    let mut above: Option<Value> = None;
    for token in chain.as_array()? {
        let (subject_above, parent, depth_above) = match &above {
            None => (CHAINS[0].value[0]["issuer"].clone(), None, u64::MAX),
            Some(above) => (above["subject"].clone(), Some(&above["id"]), above["max_depth"].as_u64()?),
        };
        let windows = token["issued_at"].as_u64()? <= now && now < token["expires_at"].as_u64()?;
        let audience = token.get("audience").is_none_or(|name| name == "kernel-a");
        let follows = token["issuer"] == subject_above && token.get("parent") == parent;
        if !windows || !audience || !follows || token["max_depth"].as_u64()? >= depth_above {
            return None;
        }
        let mut signed = token.clone();
        let signature = signed.as_object_mut()?.remove("signature")?;
        if token["id"] != contents_id(token) || !is_signed(key(&token["issuer"])?, &signed, &signature) {
            return None;
        }
        above = Some(token.clone());
    }
    above
}

/// The id that the contents of a token have.
pub fn contents_id(token: &Value) -> String {
    let mut contents = token.clone();
    if let Some(object) = contents.as_object_mut() {
        object.remove("id");
        object.remove("signature");
    }
    Digest::of(&serde_json_canonicalizer::to_vec(&contents).unwrap()).to_string()
}

/// The signature of a key over a value.
pub fn sign(key: &Keypair, value: &Value) -> Signature {
    key.sign(&serde_json_canonicalizer::to_vec(value).unwrap()).unwrap()
}

/// Whether a signature is the one that this key makes of a value; of P-256, or its twin with the other `s`.
pub fn is_signed(key: &Keypair, value: &Value, signature: &Value) -> bool {
    let Some(signature) = signature.as_str() else { return false };
    let ours = sign(key, value);
    signature == ours.to_string() || twin(&ours).is_some_and(|twin| signature == twin.to_string())
}

/// The same P-256 signature with `s` replaced by `n − s`.
pub fn twin(signature: &Signature) -> Option<Signature> {
    if signature.algorithm() != Algorithm::P256 {
        return None;
    }
    let raw = p256::ecdsa::Signature::from_der(signature.as_bytes()).ok()?;
    let (r, s) = raw.split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r, -*s).ok()?;
    Signature::from_bytes(Algorithm::P256, twin.to_der().as_bytes().to_vec()).ok()
}

/// The proof that the holder of a token makes of a call at `NOW`.
pub fn proof(token: &Value, tool: (&str, &str), action_hash: &str, nonce: &str) -> Option<DpopProof> {
    let holder = key(&token["subject"])?;
    let body = DpopProofBody {
        action_hash: action_hash.to_owned(),
        agent_key: holder.public_key(),
        capability_id: token["id"].as_str()?.to_owned(),
        issued_at: NOW,
        nonce: nonce.to_owned(),
        schema: "chio.dpop_proof.v1".to_owned(),
        tool_name: tool.1.to_owned(),
        tool_server: tool.0.to_owned(),
    };
    DpopProof::sign(body, holder).ok()
}

/// Nonces in memory that pretend to survive a restart, so that a proof may be as old as its time allows; and that one
/// kernel can be given anew for every run.
#[derive(Clone)]
pub struct Nonces(Arc<Mutex<DpopNonceStore>>);

impl Nonces {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Self::none())))
    }

    fn none() -> DpopNonceStore {
        DpopNonceStore::new(1024, Duration::from_secs(330))
    }

    /// Forgets every nonce.
    pub fn forget(&self) {
        *self.0.lock().unwrap() = Self::none();
    }
}

impl NonceStore for Nonces {
    fn spend(&self, claim: NonceClaim) -> BoxFuture<'_, Result<NonceAnswer, KernelError>> {
        Box::pin(ready(Ok(self.0.lock().unwrap().claim(&claim))))
    }

    fn survives_restart(&self) -> bool {
        true
    }
}

/// The kernel of the tests' world, with keys that are derived once: at `NOW`, and with this many receipts a second for
/// those who prove nothing.
pub fn kernel(unproven_receipts_per_second: u64) -> (Kernel, ManualClock, Nonces, Arc<MemoryReceipts>) {
    let clock = ManualClock::at(STARTED);
    let (nonces, receipts) = (Nonces::new(), Arc::new(MemoryReceipts::default()));
    let stores = Stores { nonces: Some(Arc::new(nonces.clone())), receipts: receipts.clone(), ..Stores::default() };
    let kernel = Kernel::builder()
        .trust_root(CHAINS[0].chain.leaf().issuer.clone())
        .name("kernel-a")
        .tool_server(SERVER, echo())
        .signing_key(KERNEL.clone())
        .clock(clock.clone())
        .timer(NoPatience)
        .settings(Settings { unproven_receipts_per_second, ..Settings::default() })
        .stores(stores)
        .build()
        .unwrap();
    clock.set(NOW);
    (kernel, clock, nonces, receipts)
}

/// When the kernels of this world started.
pub const STARTED: u64 = NOW - 100_000;
