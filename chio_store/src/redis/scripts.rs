//! The scripts that Redis runs, each of them at once: nothing of another kernel comes between its commands.

use redis::Cmd;

/// A script, and the digest by which Redis knows it.
pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// Runs what is loaded.
    pub(super) fn by_hash(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        Self::command("EVALSHA", &self.hash, keys, arguments)
    }

    /// Loads and runs.
    pub(super) fn by_text(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        Self::command("EVAL", &self.text, keys, arguments)
    }

    fn command(name: &str, script: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len());
        for argument in keys.iter().chain(arguments) {
            command.arg(*argument);
        }
        command
    }
}

/// All of them.
pub(super) struct Scripts {
    pub(super) begin: Script,
    pub(super) settle: Script,
    pub(super) sweep: Script,
    pub(super) spend: Script,
    pub(super) refund: Script,
    pub(super) worsen: Script,
    pub(super) set_standing: Script,
    pub(super) count_failure: Script,
    pub(super) append: Script,
    pub(super) keep: Script,
    pub(super) take: Script,
    pub(super) owned: Script,
    pub(super) expire: Script,
    pub(super) put: Script,
    pub(super) count: Script,
    pub(super) compact: Script,
}

/// Drops what has expired. Those after it use it.
const DROP: &str = include_str!("lua/drop.lua");

/// What a record is made of, likewise.
const ENTRY: &str = include_str!("lua/entry.lua");

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            begin: Script::new(&[include_str!("lua/begin.lua")]),
            settle: Script::new(&[DROP, include_str!("lua/settle.lua")]),
            sweep: Script::new(&[DROP, include_str!("lua/sweep.lua")]),
            spend: Script::new(&[DROP, include_str!("lua/spend.lua")]),
            refund: Script::new(&[include_str!("lua/refund.lua")]),
            worsen: Script::new(&[include_str!("lua/worsen.lua")]),
            set_standing: Script::new(&[include_str!("lua/set_standing.lua")]),
            count_failure: Script::new(&[include_str!("lua/count_failure.lua")]),
            append: Script::new(&[include_str!("lua/append.lua")]),
            keep: Script::new(&[ENTRY, include_str!("lua/keep.lua")]),
            take: Script::new(&[ENTRY, include_str!("lua/take.lua")]),
            owned: Script::new(&[include_str!("lua/owned.lua")]),
            expire: Script::new(&[ENTRY, include_str!("lua/expire.lua")]),
            put: Script::new(&[include_str!("lua/put.lua")]),
            count: Script::new(&[include_str!("lua/count.lua")]),
            compact: Script::new(&[DROP, include_str!("lua/compact.lua")]),
        }
    }
}
