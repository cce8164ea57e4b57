//! The next command to run: one that works when it is copied.

use std::path::{Path, PathBuf};

use chio_core::capability::CapabilityChain;

use crate::files;
use crate::print::{quoted, word};
use crate::review::sample;

/// What to do with a new key. Beside an agent's key belongs an issuer's, and the other way round.
pub(super) fn after_key(out: &Path) -> String {
    let beside = |name: &str| out.with_file_name(name);
    let is_agents = out.file_name().is_some_and(|name| name.to_string_lossy().contains("agent"));
    let other = beside(if is_agents { "issuer.key" } else { "agent.key" });
    if !other.exists() {
        return format!("chio keygen --out {}", word(&other));
    }
    let (issuer, agent) = if is_agents { (other.as_path(), out) } else { (out, other.as_path()) };
    let capability = free(&beside("agent.cap"));
    let [issuer, agent, capability] = [issuer, agent, &capability].map(word);
    format!("chio issue --key {issuer} --subject {agent} --tool files/read_file --out {capability}")
}

/// What to do with a new capability: a call, where it is known who can sign one and what is granted.
pub(super) fn after_capability(file: &Path, chain: &CapabilityChain, subject: &str) -> String {
    let inspect = || inspect(file);
    let file = word(file);
    match (files::key_file(subject), sample(chain)) {
        (Some(key), Some((tool, arguments))) => {
            let (key, tool, arguments) = (word(key), quoted(&tool), quoted(&arguments));
            format!("chio sign --key {key} --capability {file} --tool {tool} --arguments {arguments}")
        }
        _ => inspect(),
    }
}

/// What can be done with any document.
pub(super) fn inspect(file: &Path) -> String {
    format!("chio inspect {}", word(file))
}

/// A name that no file has yet.
fn free(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let end = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    let others = (2u32..100).map(|number| path.with_file_name(format!("{stem}-{number}.{end}")));
    std::iter::once(path.to_owned())
        .chain(others)
        .find(|path| path.symlink_metadata().is_err())
        .unwrap_or(path.to_owned())
}
