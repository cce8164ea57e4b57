//! The arguments of `chio mcp`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::source::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum Mcp {
    /// Stand before a tool server: every call is proven, granted and receipted, or denied
    ///
    /// SERVER is started, and spoken to on its standard input and output as an MCP client would; or it is an --upstream
    /// over HTTP. What a client says on our own standard input, or with --listen over HTTP, reaches it only if the kernel
    /// allows it. Nothing but the protocol is written to standard output; the server's exit code becomes ours.
    #[command(after_help = GUARD)]
    Guard(McpGuard),
    /// Stand beside a client: present a capability, and prove its possession, with every request
    ///
    /// To the client this is a stdio tool server. COMMAND is the guarded server, or what leads to it; or it is a --url
    /// over HTTP.
    #[command(after_help = SIGN)]
    Sign(McpSign),
    /// Print what a client needs in its configuration to use a guarded tool server
    Config(McpConfig),
    /// List the tools of a server, with the digests that a grant can pin
    Tools(McpTools),
    /// Become a command that ends when whoever started it does
    #[command(hide = true)]
    Exec(McpExec),
}

const GUARD: &str = "\
Methods, by default: `tools/call` is always checked, under the tool's own name.
`resources/read`, `prompts/get`, `completion/complete` and `tasks/…` are checked
as tools of these names. `tools/list` shows what the capability grants. What
opens and lists otherwise passes; any other request is denied. --methods
changes that, in TOML:
  \"resources/read\" = \"pass\"      \"x/y\" = \"check\"      \"prompts/list\" = \"deny\"";

const SIGN: &str = "\
Example: chio mcp sign --key agent.key --capability agent.cap -- \\
  chio mcp guard --root issuer.pub -- npx -y @modelcontextprotocol/server-filesystem /docs";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DenyAsName {
    /// A JSON-RPC error
    Error,
    /// The result of a tool that failed, which a model can read
    Result,
    /// As if there were no such tool
    Hide,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeName {
    /// Denials deny
    Enforce,
    /// Everything is verified; what would have been denied is recorded, and allowed
    Report,
    /// Nothing is verified
    Off,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct McpGuard {
    /// A configuration, a TOML file; what is given here stands above it: see `chio config show`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Source>,
    /// The name of the tool server, as capabilities have it: the SERVER of SERVER/TOOL [default: mcp]
    #[arg(long, value_name = "ID")]
    pub(crate) server_id: Option<String>,
    /// A key whose word counts: its public text, or the file of its key; may be repeated
    #[arg(long, short, value_name = "KEY")]
    pub(crate) root: Vec<String>,
    /// The name of the kernel, for capabilities with an audience; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// How a client is told that its capability does not cover a call [default: result]
    #[arg(long, value_enum)]
    pub(crate) deny_as: Option<DenyAsName>,
    /// What becomes of which method, as a TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) methods: Option<Source>,
    /// Whether denials deny [default: enforce]
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeName>,
    /// The kernel's private key, which signs the receipts, instead of a new one at every start
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel_key: Option<Source>,
    /// Keep the receipts in this file, one a line; one that has some already is gone on with, and needs --kernel-key
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
    /// Remember in this file what was spent, used, revoked and receipted, so that a restart forgets nothing; it is made where
    /// there is none. Without --kernel-key, its key is in the file `STATE.key` beside it. Several guards can share a Redis:
    /// redis://HOST:PORT, or `env:NAME` for a URL that has a password in it
    #[arg(long, value_name = "STATE", conflicts_with = "receipts")]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) front: Front,
    /// The tool server, over HTTP, instead of SERVER
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) upstream: Option<String>,
    /// The tool server, and its arguments
    #[arg(last = true, value_name = "SERVER", required_unless_present = "upstream")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Front {
    /// Serve Streamable HTTP at this address, at /mcp, instead of standard input and output
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// A web page that may call, by its origin, such as `https://example.com`; may be repeated
    #[arg(long, value_name = "ORIGIN", requires = "listen")]
    pub(crate) allow_origin: Vec<String>,
    /// A name in `Host` besides the address and those of this machine; may be repeated
    #[arg(long, value_name = "HOST", requires = "listen")]
    pub(crate) allow_host: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct McpSign {
    /// The agent's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: Source,
    /// The capability
    #[arg(long, short, value_name = "FILE")]
    pub(crate) capability: Source,
    /// The name of the tool server; without it, the only one that the capability names
    #[arg(long, value_name = "ID")]
    pub(crate) server_id: Option<String>,
    /// Verify the receipts of calls, and add them to this file; an answer that does not fit its receipt is not passed on
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
    /// The key of the guard's kernel, for --receipts; without it, that of the first receipt is taken at its word
    #[arg(long, value_name = "KEY", requires = "receipts")]
    pub(crate) kernel: Option<String>,
    #[command(flatten)]
    pub(crate) front: Front,
    /// The guarded tool server, over HTTP, instead of COMMAND
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<String>,
    /// What leads to the guarded tool server, and its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "url")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ClientName {
    /// Claude Desktop
    ClaudeDesktop,
    /// VS Code, in the workspace
    Vscode,
    /// Cursor, for all projects
    Cursor,
    /// `.mcp.json`, which Claude Code and others read in a project
    McpJson,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct McpConfig {
    /// The client
    #[arg(value_enum)]
    pub(crate) client: ClientName,
    /// The name of the entry
    #[arg(long, value_name = "NAME", default_value = "guarded")]
    pub(crate) entry: String,
    /// The agent's private key
    #[arg(long, short, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The capability
    #[arg(long, short, value_name = "FILE")]
    pub(crate) capability: PathBuf,
    /// A key whose word counts at the guard; may be repeated
    #[arg(long, short, value_name = "KEY")]
    pub(crate) root: Vec<String>,
    /// The name of the tool server
    #[arg(long, value_name = "ID")]
    pub(crate) server_id: Option<String>,
    /// Merge it into the client's configuration, instead of printing it
    #[arg(long)]
    pub(crate) write: bool,
    /// Where the client's configuration is, instead of its usual place
    #[arg(long, value_name = "FILE", requires = "write")]
    pub(crate) file: Option<PathBuf>,
    /// Replace an entry of this name
    #[arg(long, requires = "write")]
    pub(crate) force: bool,
    /// A tool server that is guarded elsewhere, over HTTP, instead of SERVER
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<String>,
    /// The tool server to guard, and its arguments
    #[arg(last = true, value_name = "SERVER", required_unless_present = "url")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct McpExec {
    /// Who started it
    pub(crate) parent: u32,
    /// The command, and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct McpTools {
    /// The tool server, and its arguments
    #[arg(last = true, value_name = "SERVER", required = true)]
    pub(crate) command: Vec<OsString>,
}
