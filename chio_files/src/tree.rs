//! A directory that nothing leads out of, and the names under which it is seen.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use cap_std::fs::{Dir, DirEntry, File, Metadata, OpenOptions};
use chio_core::capability::normal_path;
use chio_core::error::excerpt;
use serde::{Deserialize, Serialize};

/// The most entries that are listed, or looked at by one search.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// The most bytes of text that one call reads.
const MAX_TEXT: usize = 1 << 20;

const NOT_NORMAL: &str = "is not an absolute path in normal form (docs/protocol.md, section 8)";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArguments {
    path: String,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    truncated: bool,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadArguments {
    path: String,
    offset: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Content {
    path: String,
    text: String,
    bytes: u64,
    truncated: bool,
}

/// The directory, and the absolute name it is seen under, without a slash at the end.
pub(super) struct Tree {
    dir: Dir,
    mount: String,
}

impl Tree {
    pub(super) fn new(dir: Dir, mount: &str) -> io::Result<Self> {
        let refused = || io::Error::new(ErrorKind::InvalidInput, format!("what it is seen under {NOT_NORMAL}"));
        let mount = normal_path(mount).ok_or_else(refused)?.to_owned();
        Ok(Self { dir, mount })
    }

    pub(super) fn list(&self, arguments: &ListArguments) -> Result<Listing, String> {
        let limit = limit(arguments.limit, 1_000, MAX_ENTRIES)?;
        let (_, (entries, truncated)) = self.entries(&arguments.path, limit)?;
        Ok(Listing { entries: entries.into_iter().map(describe).collect(), truncated })
    }

    pub(super) fn read(&self, arguments: &ReadArguments) -> Result<Content, String> {
        let (path, inside) = self.locate(&arguments.path)?;
        let limit = limit(arguments.limit, MAX_TEXT, MAX_TEXT)?;
        let unreadable = |error: io::Error| unreadable(path, &error);
        let not_a_file = || refused(path, "is not a regular file");
        // To open a device may do something. What counts is the check of the open handle: this one could be
        // outrun.
        if !self.dir.metadata(inside).map_err(unreadable)?.is_file() {
            return Err(not_a_file());
        }
        let file = self.dir.open_with(inside, &options()).map_err(unreadable)?;
        let (mut file, bytes) = regular(file).map_err(unreadable)?.ok_or_else(not_a_file)?;
        let offset = arguments.offset.unwrap_or(0);
        // Some file systems refuse to go far past the end.
        let (content, truncated) = if offset > bytes {
            (Vec::new(), false)
        } else {
            file.seek(SeekFrom::Start(offset)).and_then(|_| take(file, limit)).map_err(unreadable)?
        };
        let not_text = |at| refused(path, &format!("is not UTF-8 text at byte {}", offset.saturating_add(at)));
        let text = text(content, truncated).map_err(not_text)?;
        if truncated && text.is_empty() {
            return Err("`limit` is less than the next character".into());
        }
        Ok(Content { path: path.to_owned(), text, bytes, truncated })
    }

    /// The entries of a directory, and its path in normal form.
    pub(super) fn entries<'p>(&self, path: &'p str, most: usize) -> Result<(&'p str, Entries), String> {
        let (path, inside) = self.locate(path)?;
        let entries = self.dir.open_dir(inside).and_then(|dir| entries(&dir, most));
        Ok((path, entries.map_err(|error| unreadable(path, &error))?))
    }

    /// A path in normal form, and as it is relative to the directory.
    fn locate<'p>(&self, path: &'p str) -> Result<(&'p str, &'p str), String> {
        let path = normal_path(path).ok_or_else(|| refused(path, NOT_NORMAL))?;
        match path.strip_prefix(&*self.mount).map(|rest| (rest, rest.strip_prefix('/'))) {
            Some(("", _)) => Ok((path, ".")),
            Some((_, Some(inside))) => Ok((path, inside)),
            _ => Err(refused(path, &format!("is not below `{}/`", self.mount))),
        }
    }
}

/// The first entries of a directory by name, and whether there are more.
pub(super) type Entries = (BTreeMap<String, DirEntry>, bool);

/// At most `most` entries; no more are held in memory, however many there are.
pub(super) fn entries(dir: &Dir, most: usize) -> io::Result<Entries> {
    let (mut entries, mut more) = (BTreeMap::new(), false);
    for entry in dir.entries()? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if normal_path(&format!("/{name}")).is_none() {
            continue;
        }
        entries.insert(name, entry);
        if entries.len() > most {
            entries.pop_last();
            more = true;
        }
    }
    Ok((entries, more))
}

fn describe((name, entry): (String, DirEntry)) -> Entry {
    let metadata = entry.metadata().ok();
    let kind = match metadata.as_ref().map(Metadata::file_type) {
        Some(kind) if kind.is_file() => "file",
        Some(kind) if kind.is_dir() => "directory",
        Some(kind) if kind.is_symlink() => "symlink",
        _ => "other",
    };
    Entry { name, kind, bytes: metadata.filter(Metadata::is_file).map(|metadata| metadata.len()) }
}

/// For reading, and not waiting for somebody to write into a FIFO that took a file's place.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::custom_flags(&mut options, O_NONBLOCK);
    options
}

/// Its value is the system's, and the standard library does not name it.
#[cfg(unix)]
const O_NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    0x80
} else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    0x4000
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    0x800
} else {
    4
};

/// The file and its size in bytes if it is a regular file, which can be known of an open handle alone.
pub(super) fn regular(file: File) -> io::Result<Option<(File, u64)>> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata.len())))
}

/// At most `most` bytes from where the file stands, and whether there are more.
pub(super) fn take(file: File, most: usize) -> io::Result<(Vec<u8>, bool)> {
    let one_more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    file.take(one_more).read_to_end(&mut content)?;
    let more = content.len() > most;
    content.truncate(most);
    Ok((content, more))
}

/// The text, without a character that its end cuts if it is `truncated`; or the place of what is not UTF-8.
fn text(content: Vec<u8>, truncated: bool) -> Result<String, u64> {
    String::from_utf8(content).or_else(|error| {
        let end = error.utf8_error().valid_up_to();
        let cut = truncated && error.utf8_error().error_len().is_none();
        let mut content = error.into_bytes();
        content.truncate(end);
        let text = if cut { String::from_utf8(content).ok() } else { None };
        text.ok_or_else(|| u64::try_from(end).unwrap_or(u64::MAX))
    })
}

pub(super) fn limit(given: Option<usize>, default: usize, most: usize) -> Result<usize, String> {
    let limit = given.unwrap_or(default);
    let fits = (1..=most).contains(&limit);
    fits.then_some(limit).ok_or_else(|| format!("`limit` is from 1 to {most}"))
}

/// Tells the kind of an error alone: its text is not ours, and could say where on disk the directory is.
fn unreadable(path: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => refused(path, "does not exist"),
        ErrorKind::PermissionDenied => refused(path, "may not be read, or is a link to outside"),
        kind => refused(path, &format!("cannot be read: {kind}")),
    }
}

fn refused(path: &str, why: &str) -> String {
    format!("`{}` {why}", excerpt(path))
}
