//! `chio mcp exec`: between a guard and its tool server, so that the one never outlives the other.
//!
//! A guard that is killed cannot end anything. Where the operating system can be asked to, it does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::McpExec;
use crate::exit::{Exit, Failure};

/// The command that is started for a command. Fails where there is none of its name.
pub(super) fn wrapped(command: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let Some((program, _)) = command.split_first() else { return Ok(Vec::new()) };
    if !exists(program) {
        return Err(not_started(program, &std::io::Error::other("there is no such program")));
    }
    let Ok(chio) = std::env::current_exe() else { return Ok(command.to_vec()) };
    let words =
        [chio.into_os_string(), "mcp".into(), "exec".into(), std::process::id().to_string().into(), "--".into()];
    Ok(words.into_iter().chain(command.iter().cloned()).collect())
}

fn exists(program: &OsStr) -> bool {
    if program.as_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|folder: PathBuf| folder.join(program)).any(|path| path.is_file())
}

pub(super) fn not_started(program: &OsStr, error: &std::io::Error) -> Failure {
    let what = format!("`{}` cannot be started: {error}", chio_core::error::excerpt(&program.to_string_lossy()));
    Failure::new(what, "is it installed, and on the PATH of whoever starts this?")
}

pub(super) fn run(args: &McpExec) -> Result<Exit, Failure> {
    let Some((program, arguments)) = args.command.split_first() else { return Ok(Exit::Usage) };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        // Where it cannot be asked for, a tool server still sees the end of its input.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
        if parent.and_then(|parent| u32::try_from(parent).ok()) != Some(args.parent) {
            // It ended before that was asked for.
            return Ok(Exit::Failed);
        }
    }
    Err(not_started(program, &Command::new(program).args(arguments).exec()))
}
