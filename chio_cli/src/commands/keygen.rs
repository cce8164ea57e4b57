//! `chio keygen`

use std::fmt::Write as _;
use std::path::Path;

use chio_core::crypto::{Algorithm, Keypair};
use serde_json::json;

use crate::args::{AlgorithmName, Keygen};
use crate::commands::next;
use crate::exit::{Exit, Failure};
use crate::print::{BOLD, DIM, Printer, RESET};
use crate::write::{self, Audience};

pub(crate) fn run(args: &Keygen, printer: &Printer) -> Result<Exit, Failure> {
    let algorithm = match args.algorithm {
        AlgorithmName::Ed25519 => Algorithm::Ed25519,
        AlgorithmName::P256 => Algorithm::P256,
        AlgorithmName::P384 => Algorithm::P384,
    };
    if args.out == Path::new("-") {
        return Err(Failure::usage("a private key is not printed", "name a file: --out agent.key"));
    }
    let failed = |error: &dyn std::fmt::Display| Failure::new(error, "this machine cannot make keys");
    let key = Keypair::generate_for(algorithm).map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem().map_err(|error| failed(&error))?;
    write::write(&args.out, pem.as_bytes(), Audience::Owner, args.force)?;

    let (public_key, file) = (key.public_key(), args.out.display());
    let mut text = format!("{BOLD}{public_key}{RESET}\n");
    let _ = writeln!(text, "{DIM}The private key is in {file}: it stays there. Next:{RESET}");
    let _ = writeln!(text, "  {}", next::after_key(&args.out));
    let value =
        json!({"algorithm": algorithm.to_string(), "key_file": args.out.to_string_lossy(), "public_key": public_key});
    printer.answer(&value, &text)?;
    Ok(Exit::Done)
}
