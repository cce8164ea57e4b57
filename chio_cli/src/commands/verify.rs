//! `chio verify`

use chio_kernel::clock::ManualClock;
use chio_kernel::{Denial, Kernel, SignedCall};
use serde_json::json;

use crate::args::{CallArgs, Verify};
use crate::commands::at;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::print::{DIM, GREEN, Printer, RED, RESET};
use crate::source;

pub(crate) fn run(args: &Verify, printer: &Printer) -> Result<Exit, Failure> {
    let CallArgs { capability, arguments, .. } = &args.action;
    let root = args.root.iter().any(|root| root == "-");
    source::read_once([root, args.proof.is_standard_input(), capability.is_standard_input(), arguments == "-"])?;
    let at = at(args.at)?;
    let (capability, _) = files::read_chain(&args.action.capability)?;
    let proof = files::read_proof(&args.proof)?;
    let arguments = files::read_arguments(&args.action.arguments)?;

    // A kernel of its own that started long before: so it decides on the form of the nonce, and cannot know of replays.
    let clock = ManualClock::at(0);
    let mut builder = Kernel::builder().clock(clock.clone()).tool_server_elsewhere(&args.action.tool.server);
    for root in &args.root {
        builder = builder.trust_root(files::read_public_key(root)?);
    }
    for name in &args.name {
        builder = builder.name(name);
    }
    let kernel = builder.build().map_err(|error| Failure::new(error, "report this"))?;
    clock.set(at);
    let call = SignedCall {
        tool_server: args.action.tool.server.clone(),
        tool_name: args.action.tool.tool.clone(),
        arguments: arguments.canonical().to_vec(),
        capability,
        proof: Some(proof),
    };
    match pollster::block_on(kernel.authorize(call)) {
        Ok(_) => {
            let text = format!(
                "{GREEN}allow{RESET}  every signature, window and grant holds at {at}\n\
                 {DIM}Offline: replays, revocations and spent budgets are known to the kernel alone.{RESET}\n"
            );
            printer.answer(&json!({"decision": "allow", "at": at}), &text)?;
            Ok(Exit::Done)
        }
        Err(denied) => {
            deny(&denied.denial, printer)?;
            Ok(Exit::Denied)
        }
    }
}

/// Says that a call was denied, and why.
pub(crate) fn deny(denial: &Denial, printer: &Printer) -> Result<(), Failure> {
    let (code, step) = (denial.code(), denial.step().name());
    let text =
        format!("{RED}deny{RESET}   {code} at {step}: {denial}\n`chio explain {code}` {DIM}says what to do.{RESET}\n");
    printer.answer(&json!({"decision": "deny", "code": code, "step": step, "reason": denial.to_string()}), &text)
}
