//! The arguments of `chio gateway`.

use clap::{Args as ClapArgs, Subcommand};

use super::values::moment;
use crate::source::Source;

pub(super) const EXAMPLE: &str = "\
A configuration that passes one route on to everybody:
  [listen]
  address = \"127.0.0.1:8080\"
  origin = \"http://127.0.0.1:8080\"
  [upstream]
  url = \"http://127.0.0.1:9000\"
  [[route]]
  tool = \"GET:/orders/:id\"
  public = true";

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Gateway {
    /// The configuration, a TOML file
    #[arg(long, short, value_name = "FILE", required = true)]
    pub(crate) config: Option<Source>,
    /// Say whether it is right, or where it is wrong, and serve nothing
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Say who would have been denied, were everything enforced
    ///
    /// From the receipts of requests that the mode `report` has let through: for each route, code and principal how many, and
    /// from when to when. The chain is verified as it is read, and where it does not hold nothing is said.
    Report(GatewayReport),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayReport {
    /// The state of the gateway: its file, redis://HOST:PORT, or `env:NAME` for a URL that has a password in it
    #[arg(long, value_name = "STATE", required_unless_present = "receipts", conflicts_with = "receipts")]
    pub(crate) state: Option<String>,
    /// Receipts, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<Source>,
    /// The gateway's public key; without it, the key in the first receipt is taken at its word
    #[arg(long, value_name = "KEY")]
    pub(crate) kernel: Option<String>,
    /// Only from this time on: `2026-09-21`, `2026-09-21T14:00:00Z` or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<u64>,
}
