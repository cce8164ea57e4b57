//! The arguments of the verbs that make and judge calls.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::values::{ToolName, whole};
use crate::source::Source;

/// The call that a proof is for.
#[derive(Debug, ClapArgs)]
pub(crate) struct CallArgs {
    /// The capability
    #[arg(long, short, value_name = "FILE")]
    pub(crate) capability: Source,
    /// The tool
    #[arg(long, short, value_name = "SERVER/TOOL")]
    pub(crate) tool: ToolName,
    /// The arguments: a JSON object, or a file that holds one
    #[arg(long, short, value_name = "JSON|FILE", default_value = "{}")]
    pub(crate) arguments: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Sign {
    /// The agent's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    #[command(flatten)]
    pub(crate) action: CallArgs,
    /// When it is signed, in Unix seconds, instead of now
    #[arg(long, value_name = "SECONDS", value_parser = whole)]
    pub(crate) at: Option<u64>,
    /// Print the whole signed call, not its proof alone
    #[arg(long)]
    pub(crate) whole: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// A key whose word counts: its public text, or the file of its private key; may be repeated
    #[arg(long, short, value_name = "KEY", required = true)]
    pub(crate) root: Vec<String>,
    /// The proof
    #[arg(long, short, value_name = "FILE")]
    pub(crate) proof: Source,
    #[command(flatten)]
    pub(crate) action: CallArgs,
    /// The name of the kernel, for capabilities with an audience
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// The time to verify at, in Unix seconds, instead of now
    #[arg(long, value_name = "SECONDS", value_parser = whole)]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Call {
    /// The agent's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// A key whose word counts: its public text, or the file of its private key; may be repeated
    #[arg(long, short, value_name = "KEY", required = true)]
    pub(crate) root: Vec<String>,
    #[command(flatten)]
    pub(crate) action: CallArgs,
    /// The directory that the tool server serves, read-only: `list_files`, `read_file`, `search`
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) files: PathBuf,
    /// The path under which the directory is seen, instead of its own
    #[arg(long, value_name = "PATH")]
    pub(crate) mount: Option<String>,
    /// The name of the kernel, for capabilities with an audience
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// The kernel's private key, which signs the receipts, instead of a new one
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel_key: Option<Source>,
    /// Where to write the receipts
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
}
