//! Paths as text: what is inside a directory, without asking any file system.

/// An absolute path in normal form, or none.
///
/// Refused is whatever two programs could read differently: a path that is not absolute, an empty, `.` or `..`
/// segment, a NUL, a backslash (a separator to some). One slash at the end is dropped.
pub fn normal(path: &str) -> Option<&str> {
    if path == "/" {
        return Some("");
    }
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let segments = trimmed.strip_prefix('/')?;
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(['\0', '\\']);
    segments.split('/').all(plain).then_some(trimmed)
}

/// Whether `path` is `root` or lies below it; both in [`normal`] form.
pub(super) fn contains(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
