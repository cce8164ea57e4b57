//! The arguments of `chio gateway`.

use clap::Args as ClapArgs;

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
pub(crate) struct Gateway {
    /// The configuration, a TOML file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Source,
    /// Say whether it is right, or where it is wrong, and serve nothing
    #[arg(long)]
    pub(crate) check: bool,
}
