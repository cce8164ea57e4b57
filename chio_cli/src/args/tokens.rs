//! The arguments of the verbs that make keys and capabilities.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::values::{ToolName, seconds, whole};
use crate::source::Source;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AlgorithmName {
    Ed25519,
    P256,
    P384,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Keygen {
    /// Where to write the private key (PKCS#8 PEM, readable by you alone)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The algorithm
    #[arg(long, value_enum, default_value = "ed25519")]
    pub(crate) algorithm: AlgorithmName,
    /// Replace a file that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

const RULES: &str = "\
A rule for an argument is POINTER=TYPE:VALUE. POINTER is a JSON Pointer:
  /path=path_containment:/srv/docs      /limit=range:1..100
  /mode=one_of:fast,slow                /note=optional:max_length:80
`optional:` lets the argument be absent. The long form takes any rule:
  '/n={\"constraint_type\":\"range\",\"min\":0,\"min_inclusive\":false}'
With a rule, arguments without one are refused: name them all. `wildcard`
allows any value. Types: exact, one_of, not_one_of, range, contains, subset,
wildcard, path_containment, pattern, regex, url, url_safe, cidr, shell_words,
max_length. docs/guides/tokens.md tells of them, and of policy files.";

/// What is granted.
#[derive(Debug, ClapArgs)]
pub(crate) struct GrantArgs {
    /// A tool that is granted; may be repeated
    #[arg(long, short, value_name = "SERVER/TOOL")]
    pub(crate) tool: Vec<ToolName>,
    /// A rule for an argument of every --tool; may be repeated
    #[arg(long, short, value_name = "RULE", requires = "tool")]
    pub(crate) arg: Vec<String>,
    /// Grants and terms as a TOML file, for people (docs/guides/tokens.md)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) policy: Option<Source>,
    /// Grants as a JSON array, as in a token (docs/protocol.md)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) grants: Option<Source>,
}

/// For how long, how far and for whom.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenArgs {
    /// How often it can be narrowed and handed on [default: 0]
    #[arg(long, value_name = "TOKENS", value_parser = whole)]
    pub(crate) max_depth: Option<u64>,
    /// The one kernel it is for, by name
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<String>,
    /// When it becomes valid, in Unix seconds, instead of now
    #[arg(long, value_name = "SECONDS", value_parser = whole)]
    pub(crate) at: Option<u64>,
    /// Where to write it; without it, it is printed
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a file that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = RULES)]
pub(crate) struct Issue {
    /// The issuer's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The agent's public key, or the file of its private key
    #[arg(long, short, value_name = "KEY")]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) grants: GrantArgs,
    /// How many calls each --tool allows
    #[arg(long, value_name = "CALLS", requires = "tool", value_parser = whole)]
    pub(crate) max_invocations: Option<u64>,
    /// How long it is valid, such as `90s`, `15m`, `1h` or `7d` [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) ttl: Option<u64>,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = RULES)]
pub(crate) struct Attenuate {
    /// The holder's private key: that of the capability's subject
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The capability to narrow
    #[arg(long, short, value_name = "FILE")]
    pub(crate) capability: Source,
    /// The public key of whoever gets it, or the file of its private key
    #[arg(long, short, value_name = "KEY")]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) grants: GrantArgs,
    /// How many calls each grant allows at most: of every --tool, or of what the capability grants
    #[arg(long, value_name = "CALLS", value_parser = whole)]
    pub(crate) max_invocations: Option<u64>,
    /// How long it is valid, such as `90s`, `15m`, `1h` or `7d` [default: as long as the capability]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) ttl: Option<u64>,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}
