//! `chio mcp tools`

use std::fmt::Write as _;

use serde_json::json;

use crate::args::McpTools;
use crate::exit::{Exit, Failure, printable};
use crate::print::{BOLD, DIM, Printer, RESET};

pub(super) fn run(args: &McpTools, printer: &Printer) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error, "this machine has no room for another process"))?;
    let program = args.command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    let command = super::exec::wrapped(&args.command)?;
    let tools = runtime.block_on(chio_mcp::survey::tools(&command)).map_err(|error| {
        let what = format!("`{}`: {error}", chio_core::error::excerpt(&program));
        Failure::new(what, "run the server by itself to see what it says")
    })?;
    let mut text = String::new();
    for tool in &tools {
        let digest = tool.definition.map_or_else(|| "cannot be pinned".to_owned(), |digest| digest.to_string());
        let about = printable(tool.description.lines().next().unwrap_or_default());
        let _ = writeln!(text, "{BOLD}{}{RESET}  {digest}\n  {DIM}{about}{RESET}", printable(&tool.name));
    }
    let _ = writeln!(text, "{DIM}{} tools. Pin one in a policy file: definition = \"…\"{RESET}", tools.len());
    let value: Vec<_> = tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "definition": tool.definition}))
        .collect();
    printer.answer(&json!({"tools": value}), &text)?;
    Ok(Exit::Done)
}
