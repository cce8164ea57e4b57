//! Reading what a person names, and writing so that nothing partial is left behind.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chio_core::capability::{CapabilityChain, MAX_CHAIN_BYTES};
use chio_core::crypto::{Keypair, PublicKey};
use chio_core::digest::Arguments;
use chio_core::dpop::MAX_PROOF_BYTES;
use chio_core::error::FormatError;
use zeroize::Zeroizing;

use crate::exit::Failure;

/// A file, or `-` for standard input.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    StandardInput,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::StandardInput } else { Self::File(text.into()) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl Source {
    pub(crate) fn is_standard_input(&self) -> bool {
        matches!(self, Self::StandardInput)
    }

    /// The bytes, at most `limit` of them.
    pub(crate) fn read(&self, what: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        self.open(what)?.take(most).read_to_end(&mut bytes).map_err(|error| self.failure(what, &error))?;
        if bytes.len() > limit {
            let what = format!("{what} {self} is longer than {limit} bytes");
            return Err(Failure::new(what, "is it the right file?"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::new(format!("{what} {self} is empty"), "was it written to the end?"));
        }
        Ok(bytes)
    }

    /// The stream.
    pub(crate) fn open(&self, what: &str) -> Result<Box<dyn Read>, Failure> {
        match self {
            Self::StandardInput => Ok(Box::new(std::io::stdin())),
            Self::File(path) => Ok(Box::new(File::open(path).map_err(|error| self.failure(what, &error))?)),
        }
    }

    pub(crate) fn failure(&self, what: &str, error: &std::io::Error) -> Failure {
        let help = match error.kind() {
            ErrorKind::NotFound => "check the path",
            ErrorKind::PermissionDenied => "check who may read it: `ls -l` tells",
            ErrorKind::IsADirectory => "it is a directory: name a file in it",
            _ => "check the file and the disk it is on",
        };
        Failure::new(format!("{what} {self} cannot be read: {error}"), help)
    }
}

const MAX_KEY_BYTES: usize = 16 << 10;

/// A private key. One that others can read is refused.
pub(crate) fn read_key(source: &Source) -> Result<Keypair, Failure> {
    const WHAT: &str = "the key";
    if let Source::File(path) = source {
        check_private(path)?;
    }
    let bytes = Zeroizing::new(source.read(WHAT, MAX_KEY_BYTES)?);
    let pem = std::str::from_utf8(&bytes).map_err(|_| {
        Failure::new(format!("{WHAT} {source} is not a text"), "`chio keygen` makes a key as PKCS#8 PEM")
    })?;
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
    let key = match text.parse::<PublicKey>() {
        Ok(key) => key,
        Err(_) if Path::new(text).exists() => {
            let source = Source::File(text.into());
            let bytes = Zeroizing::new(source.read("the key", MAX_KEY_BYTES)?);
            let in_file = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
            match in_file {
                Some(key) => key,
                None => read_key(&source)?.public_key(),
            }
        }
        Err(error) => {
            let what = format!("`{}` is no public key and no file: {error}", chio_core::error::excerpt(text));
            return Err(Failure::new(what, "`chio keygen` prints the public key of the key it makes"));
        }
    };
    let usable = key.prepare().map(|_| ());
    usable.map_err(|error| Failure::new(error, "`chio keygen` makes one that can be used"))?;
    Ok(key)
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

/// Who may read a file that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Owner,
    Everyone,
}

/// Writes a file whole or not at all. One that is there already is kept, unless `force` is given.
pub(crate) fn write(path: &Path, bytes: &[u8], audience: Audience, force: bool) -> Result<(), Failure> {
    Pending::new(path, audience, force)?.finish(bytes)
}

/// A file that is going to be written: it is known already that it can be.
pub(crate) struct Pending {
    path: PathBuf,
    file: tempfile::NamedTempFile,
    force: bool,
}

impl Pending {
    pub(crate) fn new(path: &Path, audience: Audience, force: bool) -> Result<Self, Failure> {
        match path.symlink_metadata() {
            Ok(_) if !force => return Err(unwritten(path, &ErrorKind::AlreadyExists.into())),
            Ok(metadata) if !metadata.is_file() => {
                return Err(Failure::new(
                    format!("`{}` cannot be written: it is no file, and was kept", path.display()),
                    "name another one",
                ));
            }
            _ => {}
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = new_file(directory, audience).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_owned(), file, force })
    }

    pub(crate) fn finish(mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.as_file().sync_all());
        written.map_err(|error| unwritten(&self.path, &error))?;
        let Self { path, file, force } = self;
        let kept = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        kept.map(|_| ()).map_err(|error| unwritten(&path, &error.error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    // The file that was begun beside it is no name that anybody gave.
    let why = error.to_string();
    let why = why.split(" at path ").next().unwrap_or_default();
    let what = format!("`{}` cannot be written: {why}", path.display());
    match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(
            format!("`{}` is there already, and was kept", path.display()),
            "name another file, or replace it with --force",
        ),
        ErrorKind::StorageFull => Failure::new(what, "nothing was left behind; make room on the disk"),
        _ => Failure::new(what, "nothing was left behind; check the directory and who may write to it"),
    }
}

/// Standard input can be only one thing.
pub(crate) fn read_once<const N: usize>(sources: [bool; N]) -> Result<(), Failure> {
    if sources.into_iter().filter(|is_standard_input| *is_standard_input).count() > 1 {
        return Err(Failure::usage("standard input is named twice", "`-` can stand in for one file"));
    }
    Ok(())
}

#[cfg(unix)]
fn new_file(directory: &Path, audience: Audience) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if audience == Audience::Owner { 0o600 } else { 0o644 };
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(directory)
}

#[cfg(not(unix))]
fn new_file(directory: &Path, _: Audience) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(directory)
}
