//! `chio call`

use std::fmt::Write as _;
use std::sync::Arc;

use chio_core::receipt::Receipt;
use chio_kernel::files::FileServer;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, SignedCall, Stores};
use serde_json::json;

use crate::args::Call;
use crate::commands::{at, sign, verify};
use crate::exit::{Exit, Failure};
use crate::files::{self, Audience};
use crate::print::{DIM, Printer, RESET};

pub(crate) fn run(args: Call, printer: &Printer) -> Result<Exit, Failure> {
    let key = files::read_key(&args.key)?;
    let (capability, chain) = files::read_chain(&args.action.capability)?;
    let arguments = files::read_arguments(&args.action.arguments)?;
    let (kernel, receipts) = kernel(&args)?;
    if let Some(path) = args.receipts.as_ref().filter(|path| path.exists()) {
        let what = format!("`{}` is there already, and was kept", path.display());
        return Err(Failure::new(what, "name another file for the receipts; the call was not made"));
    }

    // The nonce is one that this kernel gives out: it started just now, and takes no other for half a minute.
    let nonce = kernel.new_nonce().map_err(|error| Failure::new(error, "this machine cannot make secrets"))?;
    let proof = sign::sign(&key, &chain, &args.action.tool, &arguments, nonce, at(None)?)?;
    let call = SignedCall {
        tool_server: args.action.tool.server,
        tool_name: args.action.tool.tool,
        arguments: arguments.canonical().to_vec(),
        capability,
        proof: Some(sign::text(&proof)?.into_bytes()),
    };
    let answer = pollster::block_on(kernel.call(call));
    if let Some(path) = &args.receipts {
        files::write(path, &lines(&receipts.all())?, Audience::Everyone, false)?;
    }
    let completed = match answer {
        Ok(completed) => completed,
        Err(denied) => {
            verify::deny(&denied.denial, printer)?;
            return Ok(Exit::Denied);
        }
    };
    let receipt = completed.receipt.map_err(|error| Failure::new(error, "the call was made; its receipt is lost"))?;
    let result = completed.result.map_err(|error| Failure::new(error, "the call was allowed; the tool refused it"))?;
    let mut text = serde_json::to_string_pretty(&result).map_err(|error| Failure::new(error, "report this"))?;
    let _ = write!(text, "\n{DIM}Allowed; receipt {} says so.", receipt.body.sequence);
    if let Some(path) = &args.receipts {
        let _ =
            write!(text, " Next:{RESET}\n  chio receipts verify {} --kernel {}", path.display(), kernel.public_key());
    }
    let _ = writeln!(text, "{RESET}");
    printer.answer(&json!({"decision": "allow", "result": result, "receipt": receipt.body.sequence}), &text)?;
    Ok(Exit::Done)
}

fn kernel(args: &Call) -> Result<(Kernel, Arc<MemoryReceipts>), Failure> {
    let opened = match &args.mount {
        Some(mount) => FileServer::mounted(&args.files, mount),
        None => FileServer::new(&args.files),
    };
    let server = opened.map_err(|error| {
        Failure::new(format!("`{}` cannot be served: {error}", args.files.display()), "name a directory you may read")
    })?;
    let receipts = Arc::new(MemoryReceipts::default());
    let stores = Stores { receipts: Arc::<MemoryReceipts>::clone(&receipts), ..Stores::default() };
    let mut builder = Kernel::builder().tool_server(&args.action.tool.server, server).stores(stores);
    for root in &args.root {
        builder = builder.trust_root(files::read_public_key(root)?);
    }
    for name in &args.name {
        builder = builder.name(name);
    }
    if let Some(source) = &args.kernel_key {
        builder = builder.signing_key(files::read_key(source)?);
    }
    let kernel = builder.build().map_err(|error| Failure::new(error, "set the clock of this machine"))?;
    Ok((kernel, receipts))
}

/// Receipts as JSON Lines.
fn lines(receipts: &[Receipt]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for receipt in receipts {
        bytes.extend(receipt.to_line().map_err(|error| Failure::new(error, "report this"))?);
        bytes.push(b'\n');
    }
    Ok(bytes)
}
