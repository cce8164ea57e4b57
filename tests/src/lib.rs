//! What the tests share: a small world with fixed keys and a fixed time, the vectors that are made from it, naive models
//! to hold the code against, and reading the documents.
//!
//! These are tests: a failure is a panic with a message.
#![allow(clippy::missing_panics_doc)]

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct Readme;

#[doc = include_str!("../../docs/guides/embedding.md")]
#[cfg(doctest)]
pub struct EmbeddingGuide;

#[doc = include_str!("../../docs/guides/tokens.md")]
#[cfg(doctest)]
pub struct TokensGuide;

pub mod documents;

pub mod model;

pub mod evaluator;

pub mod vectors;

pub mod world;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Takes from a command what cargo tells this test of itself: build scripts that it leads to would take it for something
/// that has changed, and build what is built.
pub fn not_told(command: &mut Command) -> &mut Command {
    const OWN: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OWN.iter().any(|own| name.starts_with(own))) {
            command.env_remove(name);
        }
    }
    command
}

/// Where `.ci/peers` has installed what other people wrote, or none: then it is printed that the test is skipped.
pub fn peers() -> Option<PathBuf> {
    let peers = std::env::var_os("CHIO_PEERS");
    if peers.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI has to have them");
        println!("skipped: the peers are not there (`export CHIO_PEERS=$(.ci/peers)` installs them)");
    }
    peers.map(PathBuf::from)
}

/// What pip has installed there.
pub fn python_peers(peers: &Path) -> PathBuf {
    let lib = std::fs::read_dir(peers.join("python/lib")).unwrap().next().unwrap().unwrap().path();
    lib.join("site-packages")
}

/// The folder of third-party test data beside the repository, or none: then the test prints that it is skipped.
pub fn third_party(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} must be there in CI", path.display());
    println!("skipped: {} is not there", path.display());
    None
}
