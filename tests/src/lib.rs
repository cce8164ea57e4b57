//! What the tests share.
//!
//! These are tests: a failure is a panic with a message.

use std::path::PathBuf;

/// The folder of third-party test data beside the repository, or none: then the test prints that it is skipped.
///
/// # Panics
/// In CI, where it has to be there.
pub fn third_party(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} must be there in CI", path.display());
    println!("skipped: {} is not there", path.display());
    None
}
