//! Reading the documents that a person names.

use std::path::Path;

use chio_core::capability::{CapabilityChain, MAX_CHAIN_BYTES};
use chio_core::crypto::{Keypair, PublicKey};
use chio_core::digest::Arguments;
use chio_core::dpop::MAX_PROOF_BYTES;
use chio_core::error::FormatError;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::secrets;
use crate::source::Source;

const MAX_KEY_BYTES: usize = 16 << 10;

/// A private key. One that others can read is refused.
pub(crate) fn read_key(source: &Source) -> Result<Keypair, Failure> {
    let bytes = Zeroizing::new(source.read("the key", MAX_KEY_BYTES)?);
    private_key(source, &bytes)
}

fn private_key(source: &Source, bytes: &[u8]) -> Result<Keypair, Failure> {
    const WHAT: &str = "the key";
    let pem = std::str::from_utf8(bytes).map_err(|_| {
        Failure::new(format!("{WHAT} {source} is not a text"), "`chio keygen` makes a key as PKCS#8 PEM")
    })?;
    if pem.trim().parse::<PublicKey>().is_ok() {
        let what = format!("{WHAT} {source} is a public key, not a private key");
        return Err(Failure::new(what, "name the file of the private key that it belongs to"));
    }
    if let Source::File(path) = source
        && pem.contains("-----BEGIN")
    {
        check_private(path)?;
    }
    Keypair::from_pkcs8_pem(pem)
        .map_err(|error| Failure::new(format!("{WHAT} {source}: {error}"), "`chio keygen --out FILE` makes one"))
}

#[cfg(unix)]
pub(crate) fn check_private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    // A file that is not there is told of when it is read.
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::new(format!("others can read the key `{path}`"), format!("chmod 600 '{path}'")));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_private(_: &Path) -> Result<(), Failure> {
    Ok(())
}

/// A public key: its text, a file that holds its text, or the file of a private key whose public half is meant.
pub(crate) fn read_public_key(text: &str) -> Result<PublicKey, Failure> {
    const WHAT: &str = "the key";
    const HELP: &str = "`chio keygen` prints the public key of the key it makes";
    let key = match (text.parse::<PublicKey>(), key_source(text)) {
        (Ok(key), _) => key,
        (Err(_), Some(source)) => {
            let bytes = Zeroizing::new(source.read(WHAT, MAX_KEY_BYTES)?);
            let in_file = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
            match in_file {
                Some(key) => key,
                None => private_key(&source, &bytes)?.public_key(),
            }
        }
        (Err(_), None) if secrets::is_private_key(text) || text.contains('\n') => {
            return Err(Failure::usage("the key is no public key and no file, and is not repeated here", HELP));
        }
        (Err(error), None) => {
            let what = format!("`{}` is no public key and no file: {error}", chio_core::error::excerpt(text));
            return Err(Failure::new(what, HELP));
        }
    };
    let usable = key.prepare().map(|_| ());
    usable.map_err(|error| Failure::new(error, "`chio keygen` makes one that can be used"))?;
    Ok(key)
}

/// Where a key is read from that is not there as text.
fn key_source(text: &str) -> Option<Source> {
    match text.parse() {
        Ok(Source::File(path)) if !path.exists() => None,
        // What looks like a key may be a file's name all the same.
        Ok(Source::Refused(..)) if !text.starts_with("env:") => {
            Path::new(text).exists().then(|| Source::File(text.into()))
        }
        Ok(source) => Some(source),
    }
}

/// The file of the private key that was named as somebody's key, if it was one.
pub(crate) fn key_file(text: &str) -> Option<&Path> {
    let path = Path::new(text);
    let is_read = text.parse::<PublicKey>().is_err() && matches!(text.parse(), Ok(Source::File(_)));
    (is_read && read_key(&Source::File(path.into())).is_ok()).then_some(path)
}

/// A capability chain.
pub(crate) fn read_chain(source: &Source) -> Result<(Vec<u8>, CapabilityChain), Failure> {
    const WHAT: &str = "the capability";
    let bytes = source.read(WHAT, MAX_CHAIN_BYTES)?;
    let chain = CapabilityChain::parse(&bytes).map_err(|error| format_failure(WHAT, source, &bytes, &error))?;
    Ok((bytes, chain))
}

/// The text of a proof.
pub(crate) fn read_proof(source: &Source) -> Result<Vec<u8>, Failure> {
    source.read("the proof", MAX_PROOF_BYTES)
}

/// The arguments of a call: JSON as it stands on the command line where it starts with `{`, else a file.
pub(crate) fn read_arguments(text: &str) -> Result<Arguments, Failure> {
    let limits = chio_core::canonical::Limits::bytes(Arguments::MAX_BYTES);
    // What is JSON is no file's name, and must not be told as one.
    if text.trim_start().starts_with(['{', '[', '"']) {
        return Arguments::parse(text.as_bytes(), limits).map_err(|error| {
            Failure::usage(
                format!("the arguments: {error}"),
                "they are one JSON object, such as '{\"path\": \"/docs\"}'",
            )
        });
    }
    let source: Source = text.parse().unwrap_or(Source::StandardInput);
    let bytes = source.read("the arguments", Arguments::MAX_BYTES)?;
    Arguments::parse(&bytes, limits)
        .map_err(|error| format_failure("the arguments", &source, &bytes, &FormatError::Json(error)))
}

/// What is wrong with a document, and where.
pub(crate) fn format_failure(what: &str, source: &Source, bytes: &[u8], error: &FormatError) -> Failure {
    let (place, why) = match error {
        FormatError::Json(error) => {
            let (line, column) = error.line_column(bytes);
            (format!(", line {line}, column {column}"), error.kind.to_string())
        }
        other => (String::new(), other.to_string()),
    };
    let help = match error {
        FormatError::Schema { .. } => "it is another kind of document, or of another version",
        _ => "is it the right file? was it changed, or cut off?",
    };
    Failure::new(format!("{what} {source}{place}: {why}"), help)
}
