//! Writing so that nothing partial is left behind.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::interrupt;

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
    begun: Begun,
    audience: Audience,
    force: bool,
}

/// A file that nobody sees yet. One without a name is gone with the process, whatever ends it.
enum Begun {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(tempfile::NamedTempFile),
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
        let begun = begin(directory(path), audience).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_owned(), begun, audience, force })
    }

    pub(crate) fn finish(self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { path, begun, audience, force } = self;
        let _whole = interrupt::hold();
        let written = match begun {
            #[cfg(target_os = "linux")]
            Begun::Unnamed(file) => fill(&file, bytes).and_then(|()| match name(&file, &path, force) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    persist(named(directory(&path), audience)?, &path, bytes, force)
                }
                named => named,
            }),
            Begun::Named(file) => persist(file, &path, bytes, force),
        };
        let _ = audience; // not everywhere of use
        written.map_err(|error| unwritten(&path, &error))
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn fill(mut file: &File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn persist(file: tempfile::NamedTempFile, path: &Path, bytes: &[u8], force: bool) -> std::io::Result<()> {
    fill(file.as_file(), bytes)?;
    let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(|_| ()).map_err(|error| error.error)
}

#[cfg(target_os = "linux")]
fn begin(directory: &Path, audience: Audience) -> std::io::Result<Begun> {
    use rustix::fs::{Mode, OFlags, open};
    let unnamed =
        open(directory, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(mode(audience)));
    // Not every file system has files without a name.
    unnamed.map_or_else(|_| named(directory, audience).map(Begun::Named), |file| Ok(Begun::Unnamed(file.into())))
}

#[cfg(not(target_os = "linux"))]
fn begin(directory: &Path, audience: Audience) -> std::io::Result<Begun> {
    named(directory, audience).map(Begun::Named)
}

/// Gives a file its name. One that is to be replaced is replaced at once.
#[cfg(target_os = "linux")]
fn name(file: &File, path: &Path, force: bool) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{AtFlags, CWD, linkat};
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |to: &Path| linkat(CWD, &itself, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(std::io::Error::from);
    if !force {
        return link(path);
    }
    let beside = directory(path).join(format!(".chio-{}.tmp", std::process::id()));
    link(&beside).map_err(|error| std::io::Error::other(error.to_string()))?;
    std::fs::rename(&beside, path).inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(unix)]
fn mode(audience: Audience) -> u32 {
    if audience == Audience::Owner { 0o600 } else { 0o644 }
}

#[cfg(unix)]
fn named(directory: &Path, audience: Audience) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(mode(audience));
    tempfile::Builder::new().permissions(permissions).tempfile_in(directory)
}

#[cfg(not(unix))]
fn named(directory: &Path, _: Audience) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(directory)
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
