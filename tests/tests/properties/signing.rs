//! What is signed verifies, with every algorithm and at every length of a chain; and nothing else does.

use std::sync::Arc;

use chio_audit::ChainVerifier;
use chio_core::capability::{CapabilityChain, CapabilityToken, Terms};
use chio_core::crypto::{Keypair, P256Backend, P384Backend, SigningBackend};
use chio_core::dpop::DpopProof;
use chio_core::receipt::Receipt;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, Stores};
use chio_tests::world::{
    ARGUMENTS, NOW, SERVER, World, body, call_with, chain_bytes, docs_grant, echo, run, serial, terms,
};
use proptest::prelude::*;

use crate::choices::{Choices, Tape, tapes};

const MAX_TOKENS: usize = 16;

/// A key that no other number gives: of Ed25519 in most cases, of P-384 in few.
fn key(choices: &mut Choices, number: usize) -> Keypair {
    let seed = u8::try_from(100 + number).unwrap();
    match choices.below(8) {
        7 => Keypair::P384(P384Backend::from_scalar(&[seed; 48]).unwrap()),
        5 | 6 => Keypair::P256(P256Backend::from_scalar(&[seed; 32]).unwrap()),
        _ => Keypair::from_seed(&[seed; 32]),
    }
}

/// A chain of so many tokens; the first key issues it, and each of the others holds it in its turn.
fn chain(keys: &[Keypair]) -> CapabilityChain {
    let at = |number: usize, holder: &Keypair| {
        let number = u64::try_from(number).unwrap();
        let (subject, max_depth) = (SigningBackend::public_key(holder), 40 - number);
        Terms { subject, max_depth, serial: serial(number), ..terms(vec![docs_grant()]) }
    };
    let root = CapabilityChain::root(CapabilityToken::issue(at(0, &keys[1]), &keys[0]).unwrap());
    (2..keys.len()).fold(root, |chain, number| chain.attenuate(at(number, &keys[number]), &keys[number - 1]).unwrap())
}

fn everything_signed_verifies(tape: Tape) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(tape);
    let length = 1 + choices.below(MAX_TOKENS);
    let keys: Vec<_> = (0..=length).map(|number| key(choices, number)).collect();
    let (kernel_key, stranger) = (key(choices, 50), key(choices, 60));
    let agent = keys.last().unwrap();

    let chain = chain(&keys);
    let bytes = chain_bytes(&chain);
    prop_assert_eq!(chain.len(), length);
    prop_assert_eq!(&CapabilityChain::parse(&bytes).unwrap(), &chain);
    for (token, issuer) in chain.tokens().zip(&keys) {
        let signed = token.signed_bytes().unwrap();
        prop_assert!(SigningBackend::public_key(issuer).verify(&signed, &token.signature));
        prop_assert!(!SigningBackend::public_key(&stranger).verify(&signed, &token.signature));
        prop_assert_eq!(&token.contents_id().unwrap().to_string(), &token.id);
    }

    let call = call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "n"), agent);
    let proof = call.proof.clone().unwrap();
    let read = DpopProof::parse(&proof).unwrap();
    prop_assert_eq!(&read.to_bytes().unwrap(), &proof);
    prop_assert!(agent.public_key().verify(&read.body.canonical().unwrap(), &read.signature));

    let receipts = Arc::new(MemoryReceipts::default());
    let world = World::new();
    // `World` has a trust root and a key of its own.
    let kernel = Kernel::builder()
        .trust_root(keys[0].public_key())
        .signing_key(kernel_key.clone())
        .tool_server(SERVER, echo())
        .clock(world.clock.clone())
        .stores(Stores { receipts: Arc::<MemoryReceipts>::clone(&receipts), ..Stores::default() })
        .build()
        .unwrap();
    world.clock.set(NOW);
    prop_assert!(run(&kernel, call.clone()).is_ok());
    // The stranger has everything but the key.
    let forged = call_with(&chain, ARGUMENTS, body(&chain, ARGUMENTS, "m"), &stranger);
    let code = run(&kernel, forged).err().map(|denied| denied.denial.code());
    prop_assert_eq!(code, Some("proof_signature_invalid"));

    let mut verifier = ChainVerifier::new(Some(kernel_key.public_key()));
    for receipt in receipts.all() {
        let read = Receipt::parse(&receipt.to_line().unwrap()).unwrap();
        prop_assert_eq!(&read, &receipt);
        prop_assert_eq!(verifier.push(&read), Ok(()));
    }
    let report = verifier.finish();
    prop_assert_eq!((report.allowed, report.denied, report.sealed), (1, 1, true));
    Ok(())
}

proptest! {
    #![proptest_config(crate::config(48))]

    #[test]
    fn what_is_signed_verifies_at_every_length_of_a_chain(tape in tapes(40)) {
        everything_signed_verifies(tape)?;
    }

    #[test]
    fn a_signature_is_good_for_one_message_by_one_key(
        tape in tapes(8),
        message in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let choices = &mut Choices::new(tape);
        let (signer, other) = (key(choices, 1), key(choices, 2));
        let signature = signer.sign(&message).unwrap();
        let public = signer.public_key();
        prop_assert!(public.verify(&message, &signature));
        prop_assert!(public.prepare().unwrap().verify(&message, &signature));
        prop_assert!(!other.public_key().verify(&message, &signature));
        prop_assert!(!public.verify(&message, &other.sign(&message).unwrap()));
        let mut longer = message.clone();
        longer.push(0);
        prop_assert!(!public.verify(&longer, &signature));
        if !message.is_empty() {
            let mut changed = message.clone();
            changed[at.index(message.len())] ^= 1 << bit;
            prop_assert!(!public.verify(&changed, &signature));
        }
        // Keys and signatures survive their texts.
        prop_assert_eq!(public.to_string().parse(), Ok(public));
        prop_assert_eq!(signature.to_string().parse(), Ok(signature));
    }
}

#[test]
fn a_seventeenth_token_is_refused() {
    let keys: Vec<_> = (0..=MAX_TOKENS).map(|number| key(&mut Choices::new(Tape::default()), number)).collect();
    let full = chain(&keys);
    let more = Terms { max_depth: 0, serial: serial(99), ..terms(vec![docs_grant()]) };
    assert!(full.attenuate(more.clone(), &keys[MAX_TOKENS]).is_err());
    // A holder with a program of its own makes one all the same.
    let tail = CapabilityChain::root(CapabilityToken::issue(more, &keys[MAX_TOKENS]).unwrap());
    let texts = [full, tail].map(|chain| String::from_utf8(chain_bytes(&chain)).unwrap());
    let long = format!("{},{}", texts[0].strip_suffix(']').unwrap(), texts[1].strip_prefix('[').unwrap());
    assert!(CapabilityChain::parse(long.as_bytes()).is_err());
}
