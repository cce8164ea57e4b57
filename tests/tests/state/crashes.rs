//! A kernel that is killed at random points under load, again and again, on one file.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use chio_core::capability::CapabilityChain;
use chio_core::digest::Digest;
use chio_core::dpop::DpopProof;
use chio_core::receipt::{Event, Verdict};
use chio_kernel::SignedCall;
use chio_store::State as _;
use chio_tests::world::{ARGUMENTS, call, code, issue, terms};
use pollster::block_on;

use crate::{kernel, limited, open};

/// Where the child finds its file, and which round it is.
const FILE: &str = "CHIO_TEST_STATE";
const ROUND: &str = "CHIO_TEST_ROUND";

/// How often it is killed; a number in `CHIO_CRASHES` changes it.
fn crashes() -> u64 {
    std::env::var("CHIO_CRASHES").ok().and_then(|number| number.parse().ok()).unwrap_or(200)
}

const THREADS: u64 = 4;
const BUDGET: u64 = 600;

fn capability() -> CapabilityChain {
    issue(terms(vec![limited(BUDGET)]))
}

/// What the child does: calls without end, and says what was allowed.
#[test]
fn child() {
    let (Some(path), Ok(round)) = (std::env::var_os(FILE), std::env::var(ROUND)) else { return };
    let kernel = kernel(open(Path::new(&path)).stores());
    let chain = capability();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (kernel, chain, round) = (&kernel, &chain, &round);
            scope.spawn(move || {
                for number in 0_u64.. {
                    let nonce = format!("{round}.{thread}.{number}");
                    let answer = code(kernel, call(chain, ARGUMENTS, &nonce));
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "said {nonce} {}", if answer.is_empty() { "allowed" } else { answer }).unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

fn proof_hash(call: &SignedCall) -> Digest {
    Digest::of(&DpopProof::parse_signed(call.proof.as_deref().unwrap()).unwrap().1)
}

#[test]
fn nothing_allowed_is_allowed_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path));
    let mut allowed: BTreeMap<String, Digest> = BTreeMap::new();
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    let chain = capability();
    let rounds = crashes();
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crashes::child", "--exact", "--nocapture"])
            .env(FILE, &path)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // After how many answers it is killed: somewhere within what it does then.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until = (chance >> 33) % 12;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        let mut note = |line: std::io::Result<String>| {
            let line = line.unwrap_or_default();
            let Some(said) = line.split_once("said ").map(|(_, said)| said) else { return 0 };
            let mut words = said.split_whitespace();
            if let (Some(nonce), Some("allowed")) = (words.next(), words.next()) {
                allowed.insert(nonce.to_owned(), proof_hash(&call(&chain, ARGUMENTS, nonce)));
            }
            1
        };
        while heard < until {
            let Some(line) = lines.next() else { break };
            heard += note(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was killed was said.
        for line in lines {
            note(line);
        }
    }

    let state = open(&path);
    let running = kernel(state.stores());
    for nonce in allowed.keys() {
        assert_eq!(code(&running, call(&chain, ARGUMENTS, nonce)), "nonce_replayed", "{nonce}");
    }
    drop(running);
    let receipts = crate::kernels::receipts(&state);
    let decided: HashSet<_> = receipts
        .iter()
        .filter_map(|receipt| match &receipt.body.event {
            Event::Decision(decision) if decision.verdict == Verdict::Allow => decision.proof_hash,
            _ => None,
        })
        .collect();
    let lost: Vec<_> = allowed.iter().filter(|(_, hash)| !decided.contains(hash)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let count = u64::try_from(decided.len()).unwrap();
    assert!(count <= BUDGET, "{count} calls were allowed");
    assert_eq!(block_on(state.overview()).unwrap().unfinished, 0, "what was left open is summed up");
    println!("{rounds} kills: {} allowed and said, {count} receipts of calls that were allowed", allowed.len());
    assert!(u64::try_from(allowed.len()).unwrap() >= rounds, "there was load");
    drop(Arc::clone(&state));
}
