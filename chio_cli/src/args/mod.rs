//! The command line, as it is parsed.

mod values;

mod calls;

#[cfg(unix)]
mod mcp;

#[cfg(unix)]
mod gateway;

#[cfg(unix)]
mod http;

#[cfg(unix)]
mod session;

mod config;

mod show;

mod state;

#[cfg(unix)]
mod device;

mod tokens;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub(crate) use self::calls::{Call, CallArgs, Sign, Verify};
pub(crate) use self::config::Config;
#[cfg(unix)]
pub(crate) use self::device::{Device, DeviceList, DeviceSuspend, DeviceWho};
#[cfg(unix)]
pub(crate) use self::gateway::{Gateway, GatewayCommand, GatewayReport};
#[cfg(unix)]
pub(crate) use self::http::{Enroll, Http, JwksOf, Login, Logout, Register, Request, Token};
#[cfg(unix)]
pub(crate) use self::mcp::{
    ClientName, DenyAsName, Front, Mcp, McpConfig, McpExec, McpGuard, McpSign, McpTools, ModeName,
};
#[cfg(unix)]
pub(crate) use self::session::{Session, SessionInvite, SessionList, SessionRevoke, SessionSetup};
pub(crate) use self::show::{
    Completions, DecisionName, Explain, Inspect, KindName, Man, Receipts, ReceiptsFilter, ReceiptsList, ReceiptsShow,
    ReceiptsVerify,
};
pub(crate) use self::state::{
    State, StateApply, StateImport, StateName, StatePublish, StateRevoke, StateShow, StateSuspend, StateWho,
};
pub(crate) use self::tokens::{AlgorithmName, Attenuate, GrantArgs, Issue, Keygen, TokenArgs};
pub(crate) use self::values::{ToolName, seconds, whole};
use crate::exit::{Exit, Failure};
use crate::secrets;

const VERSION: &str = if cfg!(feature = "aws-lc") {
    concat!(env!("CARGO_PKG_VERSION"), " (P-256 and P-384: AWS-LC)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (P-256 and P-384: RustCrypto)")
};

const AFTER_HELP: &str = "\
Exit codes: 0 allowed or done, 1 failed, 2 wrong usage, 3 denied.
A FILE may be `-` for standard input, or `env:NAME` for the value of an
environment variable. Nothing secret is taken from the command line.";

/// The guard between an AI agent and its tools: issue capabilities, sign tool calls, verify them, keep their receipts.
#[derive(Debug, Parser)]
#[command(name = "chio", version = VERSION, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub(crate) struct Args {
    /// Print one JSON value, for programs
    #[arg(long, global = true, display_order = 1000)]
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
    /// Narrow a capability and hand it on, offline
    ///
    /// The holder of a capability signs another token behind it: for another key, with fewer tools, tighter rules or
    /// a shorter life. A call has to be allowed by every token of the chain, so nothing that is written here can widen
    /// it; what is not named stays as it is. A grant that can never be used is warned of, and what the chain as a whole
    /// allows is shown.
    Attenuate(Attenuate),
    /// Show what a file says, without verifying any of it
    Inspect(Inspect),
    /// Sign a call: print its proof of possession
    Sign(Sign),
    /// Verify a capability, a proof and a call, offline
    Verify(Verify),
    /// Sign one call, have it decided, and run it against a directory of files
    Call(Call),
    /// Work with receipts
    #[command(subcommand)]
    Receipts(Receipts),
    /// Show and change what kernels remember: revocations, standings, counts, receipts
    #[command(subcommand)]
    State(State),
    /// Check and show the configuration of a kernel
    #[command(subcommand)]
    Config(Config),
    /// Guard MCP tool servers, and sign beside MCP clients
    #[cfg(unix)]
    #[command(subcommand)]
    Mcp(Mcp),
    /// Stand before an HTTP API: a reverse proxy, in which the kernel decides
    ///
    /// It passes requests on to one upstream: bodies as they come, server-sent events and WebSockets too. It takes out what a
    /// client says of who it is, and says it itself. At an address of its own it tells an operator of its health and its
    /// counts. By SIGHUP it reads the rules of its rollout again. It ends when it is told to by SIGTERM or SIGINT, and what is
    /// under way by then is finished.
    #[cfg(unix)]
    #[command(after_help = gateway::EXAMPLE)]
    Gateway(Gateway),
    /// Show the devices that a gateway has enrolled, and turn them away
    #[cfg(unix)]
    #[command(subcommand)]
    Device(Device),
    /// Call HTTP APIs with proofs of possession
    #[cfg(unix)]
    #[command(subcommand)]
    Http(Http),
    /// Say who may log in, and end sessions
    #[cfg(unix)]
    #[command(subcommand)]
    Session(Session),
    /// Say what a denial code means, and what to do about it
    Explain(Explain),
    /// Print the completions of a shell
    ///
    /// bash: chio completions bash > ~/.local/share/bash-completion/completions/chio
    ///
    /// zsh: chio completions zsh > _chio, in a directory of $fpath
    ///
    /// fish: chio completions fish > ~/.config/fish/completions/chio.fish
    Completions(Completions),
    /// Print the manual page, or write all of them
    Man(Man),
}

/// What is wrong with a command line, as all else that is wrong is told. Help and version are no mistakes.
pub(crate) fn explain(wrong: &clap::Error) -> Result<Exit, Failure> {
    let text = wrong.render();
    match wrong.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            crate::print::raw(&text.ansi().to_string())?;
            Ok(Exit::Done)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // As is the custom, a command without its verb shows the help.
            crate::print::aside(&text.ansi().to_string());
            Ok(Exit::Usage)
        }
        _ => {
            let text = text.to_string();
            let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
            let what = parts.next().unwrap_or_default();
            let tips: Vec<String> = parts.by_ref().take_while(|part| !part.starts_with("Usage:")).collect();
            let usage = text.split("\n\n").find(|part| part.trim_start().starts_with("Usage:")).unwrap_or_default();
            let usage = usage.split_whitespace().collect::<Vec<_>>().join(" ");
            let tip = tips.iter().find_map(|tip| tip.strip_prefix("tip: ")).map(str::to_owned);
            // How to write a value, and not only that it is wrong, is the help.
            let what = what.trim_start_matches("error: ").to_owned();
            let (what, written) = match what.split_once("': write it as ").or_else(|| what.split_once("': write a ")) {
                Some((before, _)) => {
                    (format!("{before}'"), what.get(before.len().saturating_add(3)..).unwrap_or_default())
                }
                None => (what.clone(), ""),
            };
            let help = [written.to_owned(), tip.unwrap_or_default(), usage, "`--help` tells more".to_owned()];
            let help: Vec<String> = help.into_iter().filter(|part| !part.is_empty()).collect();
            Err(Failure::usage(what, help.join(". ")))
        }
    }
}

/// A private key has no place on a command line: others see it there, and a shell remembers it.
/// It is looked for before anything is parsed, so that no message can repeat it.
pub(crate) fn refuse_secrets(words: impl Iterator<Item = std::ffi::OsString>) -> Result<(), Failure> {
    for (place, word) in words.enumerate().skip(1) {
        if secrets::is_private_key(&word.to_string_lossy()) {
            return Err(Failure::usage(
                format!("word {place} of the command line is a private key, and is not repeated here"),
                "keys are read from a FILE, from `-` or from `env:NAME`; others may have seen this one: make a new one",
            ));
        }
    }
    Ok(())
}
