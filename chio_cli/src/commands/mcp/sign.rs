//! `chio mcp sign`

use std::fs::OpenOptions;

use chio_mcp::process::Patience;
use chio_mcp::{Keeper, Signer};

use super::{Between, check_url, exec, log, not_standard_input};
use crate::args::McpSign;
use crate::commands::sign::check_holder;
use crate::exit::{Exit, Failure};
use crate::files;

pub(super) fn run(args: &McpSign) -> Result<Exit, Failure> {
    not_standard_input(Some(&args.key))?;
    not_standard_input(Some(&args.capability))?;
    let key = files::read_key(&args.key)?;
    let (_, chain) = files::read_chain(&args.capability)?;
    check_holder(&key, &chain)?;
    let signer = Signer::new(key, chain, args.server_id.clone());
    let mut signer = signer.map_err(|what| Failure::usage(what, "name the tool server as --server-id"))?;
    if let Some(path) = &args.receipts {
        let kernel = args.kernel.as_deref().map(files::read_public_key).transpose()?;
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
            let what = format!("the receipts `{}` cannot be written: {error}", path.display());
            Failure::new(what, "name a file where you may write")
        })?;
        signer = signer.keeping(Keeper::new(kernel, file));
    }
    check_url(args.url.as_deref())?;
    let command = exec::wrapped(&args.command)?;
    log();
    let patience = Patience::GUARD;
    Between { front: &args.front, url: args.url.as_deref(), command: &command, patience }.run(signer)
}
