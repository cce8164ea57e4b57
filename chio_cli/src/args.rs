//! The command line, as it is parsed.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::files::Source;

const VERSION: &str = if cfg!(feature = "aws-lc") {
    concat!(env!("CARGO_PKG_VERSION"), " (P-256 and P-384: AWS-LC)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (P-256 and P-384: RustCrypto)")
};

const AFTER_HELP: &str = "\
Exit codes: 0 allowed or done, 1 failed, 2 wrong usage, 3 denied.
A FILE may be `-` for standard input. Nothing secret is taken from the command line.";

/// The guard between an AI agent and its tools: issue capabilities, sign tool calls, verify them, keep their receipts.
#[derive(Debug, Parser)]
#[command(name = "chio", version = VERSION, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Print one JSON value, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch the kernel let a signed call through, and turn attacks away
    Demo,
    /// Make a key, and print its public half
    Keygen(Keygen),
    /// Issue a capability: what the holder of a key may call, and for how long
    Issue(Issue),
    /// Sign a call: print its proof of possession
    Sign(Sign),
    /// Verify a capability, a proof and a call, offline
    Verify(Verify),
    /// Show what a file says, without verifying any of it
    Inspect(Inspect),
    /// Sign one call, have it decided, and run it against a directory of files
    Call(Call),
    /// Work with receipts
    #[command(subcommand)]
    Receipts(Receipts),
}

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

#[derive(Debug, ClapArgs)]
pub(crate) struct Issue {
    /// The issuer's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The agent's public key, or the file of its private key
    #[arg(long, short, value_name = "KEY")]
    pub(crate) subject: String,
    /// A tool that is granted with any arguments; may be repeated
    #[arg(long, short, value_name = "SERVER/TOOL")]
    pub(crate) tool: Vec<ToolName>,
    /// Grants with rules for arguments: a JSON array, as in a token (docs/protocol.md)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) grants: Option<Source>,
    /// How long it is valid, such as `90s`, `15m`, `1h` or `7d`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    pub(crate) ttl: u64,
    /// How many calls each --tool allows
    #[arg(long, value_name = "CALLS", requires = "tool", value_parser = whole)]
    pub(crate) max_invocations: Option<u64>,
    /// How often it can be narrowed and handed on
    #[arg(long, value_name = "TOKENS", default_value_t = 0, value_parser = whole)]
    pub(crate) max_depth: u64,
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
pub(crate) struct Inspect {
    /// A capability, proof, signed call, receipt or key
    pub(crate) file: Source,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
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

/// `SERVER/TOOL`. The name of a tool may have slashes itself.
#[derive(Clone, Debug)]
pub(crate) struct ToolName {
    pub(crate) server: String,
    pub(crate) tool: String,
}

impl std::str::FromStr for ToolName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((server, tool)) if !server.is_empty() && !tool.is_empty() => {
                Ok(Self { server: server.to_owned(), tool: tool.to_owned() })
            }
            _ => Err("write it as SERVER/TOOL, such as files/read_file"),
        }
    }
}

/// Digits, and no more than a document can hold.
fn whole(text: &str) -> Result<u64, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= chio_core::canonical::MAX_INTEGER);
    number.ok_or("write a whole number, at most 2^53−1 (9007199254740991)")
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = whole(digits).ok().zip(factor).and_then(|(count, factor)| count.checked_mul(factor));
    seconds.filter(|seconds| *seconds > 0).ok_or("write it as 90s, 15m, 1h or 7d, at least a second")
}

/// What is wrong with a command line, as all else that is wrong is told. Help and version are no mistakes.
pub(crate) fn explain(wrong: &clap::Error) -> Result<Exit, Failure> {
    let text = wrong.render().to_string();
    match wrong.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            crate::print::raw(&text)?;
            Ok(Exit::Done)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // As is the custom, a command without its verb shows the help.
            crate::print::aside(&text);
            Ok(Exit::Usage)
        }
        _ => {
            let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
            let what = parts.next().unwrap_or_default();
            let usage = parts.find(|part| part.starts_with("Usage:")).unwrap_or_default();
            let help = format!("{usage} (`--help` tells more)");
            Err(Failure::usage(what.trim_start_matches("error: "), help.trim_start()))
        }
    }
}
