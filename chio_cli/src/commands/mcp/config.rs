//! `chio mcp config`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::args::{ClientName, McpConfig};
use crate::commands::sign::check_holder;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{self, DIM, Printer, RESET, word};
use crate::source::Source;
use crate::write::{self, Audience};

const MAX_BYTES: usize = 4 << 20;

pub(super) fn run(args: &McpConfig, printer: &Printer) -> Result<Exit, Failure> {
    // What is written down has to work: it is looked at now, and not by a client that keeps its log to itself.
    let key = files::read_key(&Source::File(args.key.clone()))?;
    let (_, chain) = files::read_chain(&Source::File(args.capability.clone()))?;
    check_holder(&key, &chain)?;
    let entry = entry(args)?;
    let member = if args.client == ClientName::Vscode { "servers" } else { "mcpServers" };
    if !args.write {
        let block = json!({member: {&args.entry: entry}});
        let text = serde_json::to_string_pretty(&block).map_err(|error| Failure::new(error, "report this"))?;
        print::document(&format!("{text}\n"))?;
        return Ok(Exit::Done);
    }
    let path = match &args.file {
        Some(path) => path.clone(),
        None => usual_place(args.client)?,
    };
    merge(&path, member, args, entry)?;
    let text = format!(
        "{}: `{}` is there now.\n{DIM}Next: start the client again, and it finds the tools that the capability grants{RESET}\n",
        word(&path),
        chio_core::error::excerpt(&args.entry),
    );
    printer.answer(&json!({"file": path.to_string_lossy(), "entry": args.entry}), &text)?;
    Ok(Exit::Done)
}

/// The command that a client starts: a signer, and behind it the guard with the tool server, or what is guarded elsewhere.
fn entry(args: &McpConfig) -> Result<Value, Failure> {
    let chio = std::env::current_exe().map_err(|error| Failure::new(error, "where `chio` is cannot be told"))?;
    let chio = text(chio.as_os_str())?;
    let mut words = vec!["mcp".to_owned(), "sign".into()];
    for (flag, path) in [("--key", &args.key), ("--capability", &args.capability)] {
        words.extend([flag.to_owned(), absolute(path)?]);
    }
    if let Some(server_id) = &args.server_id {
        words.extend(["--server-id".to_owned(), server_id.clone()]);
    }
    if let Some(url) = &args.url {
        words.extend(["--url".to_owned(), url.clone()]);
    } else if args.root.is_empty() {
        return Err(Failure::usage("a guard that trusts no key denies every call", "name the issuer's as --root"));
    } else {
        words.extend(["--".to_owned(), chio.clone(), "mcp".into(), "guard".into()]);
        for root in &args.root {
            words.extend(["--root".to_owned(), files::read_public_key(root)?.to_string()]);
        }
        if let Some(server_id) = &args.server_id {
            words.extend(["--server-id".to_owned(), server_id.clone()]);
        }
        words.push("--".to_owned());
        for word in &args.command {
            words.push(text(word)?);
        }
    }
    let mut entry = json!({"command": chio, "args": words});
    if let (ClientName::Vscode, Some(entry)) = (args.client, entry.as_object_mut()) {
        entry.insert("type".into(), "stdio".into());
    }
    Ok(entry)
}

fn text(word: &std::ffi::OsStr) -> Result<String, Failure> {
    let wrong = |word: OsString| {
        let what = format!("`{}` has bytes that are no text, and JSON has no others", word.to_string_lossy());
        Failure::usage(what, "use a name of UTF-8 characters")
    };
    word.to_owned().into_string().map_err(wrong)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::new(error, "name the file by its whole path"))?;
    text(path.as_os_str())
}

/// Where a client has its configuration.
fn usual_place(client: ClientName) -> Result<PathBuf, Failure> {
    let home = || {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        home.map(PathBuf::from).ok_or_else(|| Failure::new("there is no HOME", "name the file as --file"))
    };
    Ok(match client {
        ClientName::ClaudeDesktop if cfg!(target_os = "macos") => {
            home()?.join("Library/Application Support/Claude/claude_desktop_config.json")
        }
        ClientName::ClaudeDesktop => match std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()) {
            Some(config) => PathBuf::from(config).join("Claude/claude_desktop_config.json"),
            None => home()?.join(".config/Claude/claude_desktop_config.json"),
        },
        ClientName::Cursor => home()?.join(".cursor/mcp.json"),
        ClientName::Vscode => PathBuf::from(".vscode/mcp.json"),
        ClientName::McpJson => PathBuf::from(".mcp.json"),
    })
}

/// Puts the entry among those that are there. Everything else stays as it is; a file that cannot be read is kept.
fn merge(path: &Path, member: &str, args: &McpConfig, entry: Value) -> Result<(), Failure> {
    let kept = "it was kept as it is; put the block of `chio mcp config` without --write into it by hand";
    let wrong = |what: &str| Failure::new(format!("the configuration `{}` {what}", path.display()), kept);
    let mut config = if path.exists() {
        let bytes = Source::File(path.to_owned()).read("the configuration", MAX_BYTES);
        match bytes {
            Ok(bytes) => serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|error| {
                wrong(&format!("is no plain JSON object (line {}, column {})", error.line(), error.column().max(1)))
            })?,
            Err(failure) if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) => {
                drop(failure);
                Map::new()
            }
            Err(failure) => return Err(failure),
        }
    } else {
        Map::new()
    };
    let servers = config.entry(member).or_insert_with(|| json!({}));
    let servers = servers.as_object_mut().ok_or_else(|| wrong(&format!("has a `{member}` that is no object")))?;
    if servers.contains_key(&args.entry) && !args.force {
        let what = format!("has an entry `{}` already", chio_core::error::excerpt(&args.entry));
        return Err(Failure { help: "give --force to replace it, or another name as --entry".into(), ..wrong(&what) });
    }
    servers.insert(args.entry.clone(), entry);
    let mut text = serde_json::to_string_pretty(&config).map_err(|error| Failure::new(error, "report this"))?;
    text.push('\n');
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| wrong(&format!("has no directory: {error}")))?;
    }
    write::write(path, text.as_bytes(), Audience::Owner, true)
}
