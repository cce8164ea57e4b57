//! Writes the seeds of every target, made from the repository's vectors, into a folder:
//!
//! ```sh
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds -- FOLDER
//! ```
//!
//! Where the third-party vectors lie beside the repository, the JSON in them is added to `canonical_json`; what is kept
//! in `fuzz/corpus` was made without it.

use std::path::{Path, PathBuf};

use chio_core::digest::Digest;
use chio_fuzz::kernel_call::envelope;
use chio_kernel::SignedCall;
use chio_tests::{repository, vectors};

/// JSON on whose reading programs differ.
const JSON: &[&str] = &[
    r#"{"b":[1.5,-0,1e21,5e-324,0.000001,1e-7],"a":{"\u00e9":"\ud83d\ude00","\n":null}}"#,
    r#"[true,false,null,"\u0000\b\f\\\/"]"#,
    "[9007199254740991,9007199254740992,1e400,1e20]",
    "[333333333.3333333333,0.10000000000000001,1e23]",
    r#"{"a":1,"a":2}"#,
    r#""\ud83d""#,
    " \t\r\n{ } ",
    "{\"\u{e000}\":1,\"\u{1f600}\":2}",
];

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder to write to"));
    let seeds = Seeds(folder);
    for (name, vector) in vectors::all() {
        let call = SignedCall::from(vector.call);
        seeds.write("canonical_json", &serde_json::to_vec(&vector.expected).unwrap());
        seeds.write("canonical_json", &call.arguments);
        seeds.write("canonical_json", &call.capability);
        seeds.write("capability_chain", &call.capability);
        seeds.write("kernel_call", &envelope(&call));
        if let Some(proof) = &call.proof {
            seeds.write("canonical_json", proof);
            seeds.write("dpop_proof", proof);
        }
        // As programs: the name of a vector is as good a start as any, and tells them apart.
        for target in ["capability_chain", "dpop_proof", "kernel_call", "nonce_store"] {
            seeds.write(target, &[b"\x01", name.as_bytes()].concat());
        }
    }
    for text in JSON {
        seeds.write("canonical_json", text.as_bytes());
    }
    // Every genuine call once, as it is, and all of them twice.
    for call in 0..21 {
        seeds.write("kernel_call", &[1, 5, call, 0, 0, call, 5, call, 0, 0, 1]);
    }
    for chain in 0..5 {
        for edits in 0..7 {
            seeds.write("capability_chain", &[1, chain, edits, 0, 0, 0, 0, 1, 1, 1, 1, 3, 1, 0, 0, 6, 0, 0, 7, 0, 0]);
            seeds.write("dpop_proof", &[1, chain, 7, edits, 1, 0, 6]);
        }
    }
    let Some(rfc8785) = chio_tests::third_party("rfc8785/input") else { return };
    for entry in std::fs::read_dir(rfc8785).unwrap() {
        seeds.write("canonical_json", &std::fs::read(entry.unwrap().path()).unwrap());
    }
    let fuzz = repository().join("fuzz");
    println!("written; now, in {}: cargo +nightly fuzz run TARGET corpus/TARGET FOLDER/TARGET", fuzz.display());
}

struct Seeds(PathBuf);

impl Seeds {
    /// A file is named for its contents, as libFuzzer names its own.
    fn write(&self, target: &str, seed: &[u8]) {
        let folder: &Path = &self.0.join(target);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(&Digest::of(seed).to_string()[..40]), seed).unwrap();
    }
}
