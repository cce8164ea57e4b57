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

use std::path::PathBuf;

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
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
