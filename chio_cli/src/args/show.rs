//! The arguments of the verbs that show something.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::values::{ToolName, moment, whole};
use crate::source::Source;

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// A capability, proof, signed call, receipt or key
    pub(crate) file: Source,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// List receipts, one a line
    ///
    /// The whole chain is verified first, and where that fails nothing is listed. On a terminal it is a table;
    /// elsewhere the columns are separated by tabs: sequence, time, what, code, tool, subject, capability. Filters for
    /// calls let decisions through alone: outcomes and summaries name no call.
    List(ReceiptsList),
    /// Show one receipt whole
    ///
    /// The whole chain is verified first, and where that fails nothing is shown.
    Show(ReceiptsShow),
    /// Verify a chain of receipts: find what was changed, dropped, reordered or is another kernel's
    Verify(ReceiptsVerify),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptsVerify {
    /// Receipts, one a line
    pub(crate) file: Source,
    /// The kernel's public key; without it, the key in the first receipt is taken at its word
    #[arg(long, value_name = "KEY")]
    pub(crate) kernel: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum KindName {
    Decision,
    Outcome,
    Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum DecisionName {
    Allow,
    Deny,
}

/// Which receipts are meant: those that every filter lets through.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptsFilter {
    /// Only those with this denial code; may be repeated
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Vec<String>,
    /// Only decisions of this kind
    #[arg(long, value_enum)]
    pub(crate) decision: Option<DecisionName>,
    /// Only calls of this tool
    #[arg(long, value_name = "SERVER/TOOL")]
    pub(crate) tool: Option<ToolName>,
    /// Only calls by this key: its public text, or the file of its private key
    #[arg(long, value_name = "KEY")]
    pub(crate) subject: Option<String>,
    /// Only calls with this capability, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub(crate) capability: Option<String>,
    /// Only from this time on: `2026-09-21`, `2026-09-21T14:00:00Z` or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<u64>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<u64>,
    /// Only receipts of this kind
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindName>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptsList {
    /// Receipts, one a line
    pub(crate) file: Source,
    #[command(flatten)]
    pub(crate) filter: ReceiptsFilter,
    /// Only the last so many
    #[arg(long, value_name = "RECEIPTS", value_parser = whole)]
    pub(crate) limit: Option<u64>,
    /// The kernel's public key; without it, the key in the first receipt is taken at its word
    #[arg(long, value_name = "KEY", conflicts_with = "unverified")]
    pub(crate) kernel: Option<String>,
    /// Verify nothing: for a part of a chain, or one that is broken
    #[arg(long)]
    pub(crate) unverified: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptsShow {
    /// Receipts, one a line
    pub(crate) file: Source,
    /// The sequence number of the receipt
    #[arg(value_parser = whole)]
    pub(crate) sequence: u64,
    /// The kernel's public key; without it, the key in the first receipt is taken at its word
    #[arg(long, value_name = "KEY", conflicts_with = "unverified")]
    pub(crate) kernel: Option<String>,
    /// Verify nothing: for a part of a chain, or one that is broken
    #[arg(long)]
    pub(crate) unverified: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The code, such as `nonce_replayed`; without it, all are listed
    pub(crate) code: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// Write the pages of all commands into this directory, instead of printing one
    #[arg(long, short, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
    /// Replace pages that are there already
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}
