//! The arguments of `chio state`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::values::seconds;
use crate::source::Source;

/// What is done to a state. A kernel that works with it goes on, and minds what is changed from its next call on.
#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Show what a state has: numbers, what is revoked, and who is turned away
    Show(StateShow),
    /// Revoke capabilities and keys: with a capability all derived from it, with a key all that it issued or holds
    Revoke(StateRevoke),
    /// Take a revocation back
    Unrevoke(StateRevoke),
    /// Turn a principal away: whoever holds its key, and all that it issued
    Ban(StateWho),
    /// Turn a principal away for a while
    Suspend(StateSuspend),
    /// Welcome a principal again, and forgive its failed signatures
    Reinstate(StateWho),
    /// List how often grants were used
    Usage(StateName),
    /// Drop what has expired, and give back the room
    Compact(StateName),
    /// Print all that is remembered but the receipts, one JSON object a line
    Export(StateName),
    /// Add what an export has: nothing becomes weaker by it
    Import(StateImport),
    /// Print the receipts, one a line, for `chio receipts verify -`
    Receipts(StateName),
    /// Make a signed list of all that is revoked, for others to apply
    Publish(StatePublish),
    /// Revoke what a signed list has, unless it is older than one that was applied
    ///
    /// From an address: `curl --fail --silent URL | chio state apply state.db - --issuer KEY`
    Apply(StateApply),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateName {
    /// The state: its file, redis://HOST:PORT, or `env:NAME` for a URL that has a password in it
    #[arg(value_name = "STATE")]
    pub(crate) state: String,
    /// The kernel whose receipts are meant, by its public key, in a Redis that several kernels share
    #[arg(long, value_name = "KEY")]
    pub(crate) kernel: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateShow {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// List all that is revoked and all who are turned away, not the first 20 of each
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateRevoke {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// A capability: its id, or its file; may be repeated
    #[arg(long, short, value_name = "ID|FILE", required_unless_present = "key")]
    pub(crate) capability: Vec<String>,
    /// A key: its public text, or a file that holds it; may be repeated
    #[arg(long, short, value_name = "KEY")]
    pub(crate) key: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateWho {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// The principal: its public key, or a file that holds it; `scheme:NAME:WHO`, as receipts name it; or `client:ISSUER:ID`,
    /// an application before an HTTP API
    #[arg(value_name = "WHO")]
    pub(crate) who: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateSuspend {
    #[command(flatten)]
    pub(crate) who: StateWho,
    /// For how long: such as 90s, 15m, 1h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub(crate) length: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateImport {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// What `chio state export` printed
    pub(crate) file: Source,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StatePublish {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// The private key of the issuer of the list
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// Where to write the list; one of this key that is there is replaced
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StateApply {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// The list: a file, or an https URL
    #[arg(value_name = "FILE|URL")]
    pub(crate) file: Source,
    /// Whose it has to be: a public key, or a file that holds it
    #[arg(long, value_name = "KEY")]
    pub(crate) issuer: String,
}
