//! The arguments of `chio config`.

use clap::{Args as ClapArgs, Subcommand};

use crate::source::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say whether a configuration is right, or where it is wrong
    Check(ConfigFile),
    /// Show every setting, what it is, and where that comes from
    Show(ConfigFile),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigFile {
    /// The configuration, a TOML file; environment variables such as CHIO_MODE stand above it
    pub(crate) file: Option<Source>,
}
