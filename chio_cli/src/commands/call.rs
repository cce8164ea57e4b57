//! `chio call`

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chio_core::canonical::Object;
use chio_core::digest::Arguments;
use chio_core::receipt::Receipt;
use chio_kernel::files::FileServer;
use chio_kernel::store::MemoryReceipts;
use chio_kernel::{Kernel, SignedCall, Stores};
use serde_json::json;

use crate::args::{Call, CallArgs};
use crate::commands::{at, sign, verify};
use crate::exit::{Exit, Failure, escaped};
use crate::files;
use crate::print::{DIM, Printer, RESET};
use crate::source::{self, Source};
use crate::write::{Audience, Pending};

pub(crate) fn run(args: Call, printer: &Printer) -> Result<Exit, Failure> {
    let kernel_key = args.kernel_key.as_ref().is_some_and(Source::is_standard_input);
    let CallArgs { capability, arguments, .. } = &args.action;
    let root = args.root.iter().any(|root| root == "-");
    let inputs = [args.key.is_standard_input(), capability.is_standard_input(), arguments == "-", kernel_key, root];
    source::read_once(inputs)?;
    let key = files::read_key(&args.key)?;
    let (capability, chain) = files::read_chain(&args.action.capability)?;
    let arguments = files::read_arguments(&args.action.arguments)?;
    let (kernel, receipts) = kernel(&args)?;
    // Before the call is made it has to be known that its receipts can be kept.
    let pending = match &args.receipts {
        Some(path) if path == Path::new("-") => {
            return Err(Failure::usage("receipts are written to a file", "name one; the call was not made"));
        }
        Some(path) => Some(Pending::new(path, Audience::Everyone, false).map_err(|failure| Failure {
            help: "name a new file for the receipts, where you may write; the call was not made".into(),
            ..failure
        })?),
        None => None,
    };

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
    if let Some(pending) = pending {
        pending.finish(&lines(&receipts.all())?)?;
    }
    let completed = match answer {
        Ok(completed) => completed,
        Err(denied) => {
            verify::deny(&denied.denial, printer)?;
            return Ok(Exit::Denied);
        }
    };
    let receipt = completed.receipt.map_err(|error| Failure::new(error, "the call was made; its receipt is lost"))?;
    let result = completed.result.map_err(|error| {
        let what =
            format!("the call was allowed, and the tool failed: {}", without_values(&error.to_string(), &arguments));
        Failure::new(what, "check the arguments; the tools of a directory are told of in `chio call --help`")
    })?;
    let text = serde_json::to_string_pretty(&result).map_err(|error| Failure::new(error, "report this"))?;
    // A file that was read may say anything; to a terminal it is text.
    let mut text = escaped(&text);
    let _ = write!(text, "\n{DIM}Allowed; receipt {} says how it ended.", receipt.body.sequence);
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
    let server = opened
        .map_err(|error| Failure::new(error, "name a directory that you may read, and an absolute path as --mount"))?;
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

/// What a tool said, without the values that it repeats: an error tells none.
fn without_values(text: &str, arguments: &Arguments) -> String {
    let json = arguments.to_json();
    let values = json.as_object().into_iter().flat_map(Object::iter).filter_map(|(_, value)| value.as_str());
    values.filter(|value| !value.is_empty()).fold(text.to_owned(), |text, value| text.replace(value, "…"))
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
