//! The arguments of `chio session`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::state::StateName;
use super::values::seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Make the secret of a service whose users log in with passwords
    ///
    /// All gateways of a service have the same, as `setup` in `[session]`. Whoever has it and the state can try passwords;
    /// whoever has one of them cannot. Without it, every account has to be registered again.
    Setup(SessionSetup),
    /// Invite a user to register: print a code that counts once
    Invite(SessionInvite),
    /// List the sessions that are open
    List(SessionList),
    /// End sessions, at once and at every gateway of the state
    Revoke(SessionRevoke),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SessionSetup {
    /// Where to write it: a new file that nobody else can read
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SessionInvite {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// Who
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// What the sessions of the account are for, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub(crate) scope: Option<String>,
    /// Register an account anew that is there: its sessions end with it
    #[arg(long)]
    pub(crate) replace: bool,
    /// How long the code counts
    #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = seconds)]
    pub(crate) life: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SessionList {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// Those of one user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SessionRevoke {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// One session, by what `chio session list` calls it; may be repeated
    #[arg(long, value_name = "ID", required_unless_present = "user")]
    pub(crate) id: Vec<String>,
    /// All sessions of a user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}
