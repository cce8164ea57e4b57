//! `chio mcp guard`

use std::sync::Arc;

use chio_kernel::config::Mode;
use chio_kernel::{Kernel, Stores};
use chio_mcp::process::Patience;
use chio_mcp::{DenyAs, Guard, GuardOptions};

use super::ledger::ReceiptFile;
use super::{Between, check_url, exec, log, methods, not_standard_input};
use crate::args::{DenyAsName, McpGuard, ModeName};
use crate::commands::at;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::Printer;
use crate::state::{self, Place};

pub(super) fn run(args: &McpGuard, printer: &Printer) -> Result<Exit, Failure> {
    not_standard_input(args.config.as_ref())?;
    not_standard_input(args.methods.as_ref())?;
    let config = Config::gather(args.config.as_ref())?;
    let kernel_key = args.kernel_key.as_ref().or(config.kernel_key.as_ref());
    let roots = if args.root.is_empty() { &config.roots } else { &args.root };
    let names = if args.name.is_empty() { &config.names } else { &args.name };
    // The one that is named here stands above both in the file.
    let (state, receipts) = match (&args.state, &args.receipts) {
        (None, None) => (config.state, config.receipts.as_ref()),
        (state @ Some(_), _) => (state.as_deref().map(Place::read), None),
        // That a state is configured is not forgotten for it.
        (None, receipts) => (config.state, receipts.as_ref()),
    };
    if state.is_some() && receipts.is_some() {
        return Err(Failure::new(
            "a state and a file of receipts are configured",
            "a state has the receipts: name one",
        ));
    }
    not_standard_input(kernel_key)?;
    if roots.iter().any(|root| root == "-") {
        return Err(Failure::usage("standard input is the client's", "name the key, or its file, as --root"));
    }
    let options = GuardOptions {
        server_id: args
            .server_id
            .clone()
            .or(config.server_id)
            .unwrap_or_else(|| GuardOptions::DEFAULT_SERVER_ID.to_owned()),
        methods: args.methods.as_ref().map(methods::read).transpose()?.unwrap_or_default(),
        deny_as: match args.deny_as.or(config.deny_as) {
            Some(DenyAsName::Error) => DenyAs::Error,
            Some(DenyAsName::Result) | None => DenyAs::Result,
            Some(DenyAsName::Hide) => DenyAs::Hide,
        },
        mode: match args.mode.or(config.mode) {
            Some(ModeName::Enforce) | None => Mode::Enforce,
            Some(ModeName::Report) => Mode::Report,
            Some(ModeName::Off) => Mode::Off,
        },
    };
    let mut builder = Kernel::builder().settings(config.settings);
    for root in roots {
        builder = builder.trust_root(files::read_public_key(root)?);
    }
    for name in names {
        builder = builder.name(name);
    }
    let key = kernel_key.map(files::read_key).transpose()?;
    if let Some(path) = receipts {
        let receipts = Arc::new(ReceiptFile::open(path, key.as_ref())?);
        builder = builder.stores(Stores { receipts, ..Stores::default() });
    }
    check_url(args.upstream.as_deref())?;
    let command = exec::wrapped(&args.command)?;
    log();
    let key = match &state {
        Some(place) => {
            let (stores, _, key) = state::of_kernel(Some(place), key, &config.settings, at(None)?)?;
            builder = builder.stores(stores);
            key
        }
        None => key,
    };
    if let Some(key) = key {
        builder = builder.signing_key(key);
    }
    if roots.is_empty() && options.mode == Mode::Enforce {
        printer.warning("no key is trusted, so every call will be denied", "name the issuer's as --root");
    }
    let guard = Guard::new(builder, options);
    let guard =
        guard.map_err(|error| Failure::new(error, "name each --root once, and set the clock of this machine"))?;
    let kernel = guard.kernel().clone();
    let patience = Patience::TOOL_SERVER;
    let between = Between { front: &args.front, url: args.upstream.as_deref(), command: &command, patience };
    let ended = between.run(guard);
    // Denials that were only counted so far get their receipt.
    if let Err(error) = pollster::block_on(kernel.flush()) {
        printer.warning(
            &format!("the last receipt cannot be written: {error}"),
            "check the disk of --receipts or --state",
        );
    }
    ended
}
