//! Writes the seeds of every target, made from the repository's vectors, into a folder:
//!
//! ```sh
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds -- FOLDER
//! ```
//!
//! Where the third-party vectors lie beside the repository, the JSON in them is added to `canonical_json`; what is kept
//! in `fuzz/corpus` was made without it.

use std::path::PathBuf;

use chio_core::digest::Digest;
use chio_fuzz::kernel_call::envelope;
use chio_http::jwk::public_jwk;
use chio_kernel::SignedCall;
use chio_tests::{repository, vectors};

/// JSON on whose reading programs differ.
const TEXTS: &[(&str, &str)] = &[
    ("numbers", "[1.5,-0,-0.0,1e21,1E30,5e-324,0.000001,1e-7,100.0]"),
    ("escapes", r#"{"\u00e9":"\ud83d\ude00","\n":"\u0000\b\f\\\/"}"#),
    ("integer-beyond-doubles", "[9007199254740991,9007199254740992]"),
    ("integer-beyond-doubles-with-exponent", "9007199254740993e0"),
    ("overflow", "1e400"),
    ("digits-lost", "333333333.3333333333"),
    ("digits-lost-large", "1.0000000000000000000000001e30"),
    ("fraction-lost", "9007199254740990.5"),
    ("digits-lost-small", "7e-324"),
    ("member-twice", r#"{"a":1,"a":2}"#),
    ("member-twice-escaped", r#"{"a":1,"\u0061":2}"#),
    ("lone-surrogate", r#""\ud83d""#),
    ("sorted-by-utf16", "{\"\u{1f600}\":2,\"\u{e000}\":1}"),
    ("sorted-by-utf8", "{\"\u{e000}\":1,\"\u{1f600}\":2}"),
    ("white-space", " \t\r\n{ } "),
    (
        "as-deep-as-may-be",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ),
    (
        "too-deep",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ),
];

/// What must never work, as programs of the targets: a fuzzer starts from them, and a rule that is taken out is missed by
/// the replay of one.
const PROGRAMS: &[(&str, &str, &[u8])] = &[
    // A chain; how many edits; each: what, at which token, which other chain and token, and more; then how it is written.
    ("capability_chain", "one-token", &[0, 0]),
    ("capability_chain", "two-tokens", &[1, 0]),
    ("capability_chain", "three-tokens", &[2, 0]),
    ("capability_chain", "limits", &[3, 0]),
    ("capability_chain", "p256", &[4, 0]),
    ("capability_chain", "written-otherwise", &[2, 0, 15]),
    ("capability_chain", "member-twice", &[2, 0, 16]),
    ("capability_chain", "root-of-a-thief", &[0, 1, 15, 0, 0, 0]),
    ("capability_chain", "root-signed-by-a-thief", &[0, 1, 7, 0, 0, 0]),
    ("capability_chain", "child-of-a-thief", &[1, 1, 15, 1, 0, 0]),
    ("capability_chain", "child-signed-by-a-thief", &[1, 1, 7, 1, 0, 0]),
    ("capability_chain", "root-swapped", &[1, 1, 12, 0, 3, 0]),
    ("capability_chain", "link-left-out", &[2, 1, 4, 1, 0, 0]),
    ("capability_chain", "root-left-out", &[1, 1, 4, 0, 0, 0]),
    ("capability_chain", "link-twice", &[1, 1, 3, 1, 1, 1]),
    ("capability_chain", "order-swapped", &[1, 1, 0, 0, 0, 0, 4, 2, 0, 1]),
    ("capability_chain", "grants-of-another", &[1, 1, 5, 1, 0, 0, 4]),
    ("capability_chain", "grants-of-another-with-its-id", &[1, 2, 5, 1, 0, 0, 4, 6, 1, 0, 0]),
    ("capability_chain", "longer-life", &[3, 1, 5, 0, 0, 0, 6]),
    ("capability_chain", "null-member", &[0, 1, 2, 0, 0, 0, 3, 10, 5, 0]),
    // A holder who cheats: it signs its child with another's id, as deep as its own token, with a parent that is not.
    ("capability_chain", "child-signed-again", &[1, 1, 23, 1, 0, 0]),
    ("capability_chain", "id-of-other-contents", &[1, 2, 5, 1, 0, 0, 4, 55, 1, 0, 0]),
    ("capability_chain", "deeper-than-allowed", &[1, 2, 5, 1, 0, 0, 7, 23, 1, 0, 0]),
    ("capability_chain", "life-of-the-root", &[1, 2, 5, 1, 3, 0, 6, 23, 1, 0, 0]),
    ("capability_chain", "parent-of-another", &[1, 2, 5, 1, 2, 2, 5, 23, 1, 0, 0]),
    // A chain, an action, how many edits; each: what, which other chain, and more; then who signs, with which `s`.
    ("dpop_proof", "honest", &[0, 7, 0, 0]),
    ("dpop_proof", "honest-p256", &[3, 7, 0, 0]),
    ("dpop_proof", "honest-p256-high-s", &[3, 7, 0, 6, 0]),
    ("dpop_proof", "written-otherwise", &[2, 7, 0, 0, 15]),
    ("dpop_proof", "member-twice", &[0, 7, 0, 0, 16]),
    ("dpop_proof", "another-tool", &[0, 1, 0, 0]),
    ("dpop_proof", "names-that-run-together", &[0, 2, 0, 0]),
    ("dpop_proof", "signed-by-a-thief", &[0, 7, 0, 3, 1]),
    ("dpop_proof", "key-of-a-thief", &[0, 7, 0, 4, 1]),
    ("dpop_proof", "capability-of-another", &[0, 7, 1, 4, 2, 6, 1]),
    ("dpop_proof", "too-old", &[0, 7, 1, 6, 0, 0, 0, 6, 1]),
    ("dpop_proof", "as-old-as-may-be", &[0, 7, 1, 6, 0, 0, 1, 6, 1]),
    ("dpop_proof", "as-early-as-may-be", &[0, 7, 1, 6, 0, 0, 2, 6, 1]),
    ("dpop_proof", "too-early", &[0, 7, 1, 6, 0, 0, 3, 6, 1]),
    ("dpop_proof", "no-nonce", &[0, 7, 1, 3, 0, 0, 0, 6, 1]),
    ("dpop_proof", "long-nonce", &[0, 7, 1, 3, 0, 1, 0, 6, 1]),
    ("dpop_proof", "too-long-nonce", &[0, 7, 1, 3, 0, 1, 1, 6, 1]),
    // Steps: 0 to 4 for time and revocation, 5 for a call: which, what is done to it, to which part; how it ends.
    ("kernel_call", "replay", &[5, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
    ("kernel_call", "replay-of-a-proof-dated-ahead", &[5, 1, 0, 0, 0, 1, 77, 5, 1, 0, 0, 0]),
    ("kernel_call", "replay-written-otherwise", &[5, 18, 0, 0, 0, 5, 18, 5, 0, 15, 15, 15, 0]),
    ("kernel_call", "chain-that-ends-in-the-cache", &[5, 11, 0, 0, 0, 1, 16, 5, 14, 0, 0, 0]),
    ("kernel_call", "children-share-a-limit", &[5, 6, 0, 0, 0, 5, 7, 0, 0, 1, 5, 9, 0, 0, 0]),
    ("kernel_call", "limit-of-three", &[5, 11, 0, 0, 0, 5, 12, 0, 0, 0, 5, 13, 0, 0, 0, 5, 14, 0, 0, 0]),
    ("kernel_call", "not-granted", &[5, 4, 0, 0, 0, 5, 5, 0, 0, 0, 5, 10, 0, 0, 0, 5, 15, 0, 0, 0]),
    ("kernel_call", "elsewhere", &[5, 19, 0, 0, 0, 5, 20, 0, 0, 0]),
    ("kernel_call", "arguments-of-another", &[5, 0, 7, 0, 4, 2, 0]),
    ("kernel_call", "capability-of-another", &[5, 0, 7, 0, 18, 4, 0]),
    ("kernel_call", "proof-of-another", &[5, 0, 7, 0, 2, 8, 0]),
    ("kernel_call", "clock-set-back", &[1, 95, 5, 3, 0, 0, 0, 2, 30, 5, 0, 0, 0, 0]),
    ("kernel_call", "clock-unreadable", &[3, 5, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0]),
    ("kernel_call", "revoked-after-use", &[5, 0, 0, 0, 0, 4, 0, 0, 0, 5, 2, 0, 0, 0]),
    ("kernel_call", "key-revoked", &[4, 0, 0, 1, 5, 0, 0, 0, 0]),
    (
        "kernel_call",
        "many-denials",
        &[5, 19, 0, 0, 0, 5, 19, 0, 0, 0, 5, 19, 0, 0, 0, 5, 19, 0, 0, 0, 0, 1, 5, 19, 0, 0, 0],
    ),
    // Capacity, quota, how times go, the life; then claims: a nonce, its account, what time passes.
    ("nonce_store", "full", &[2, 2, 6, 10, 1, 1, 0, 2, 2, 0, 3, 3, 0, 3, 3, 175, 3, 3, 0]),
    ("nonce_store", "quota", &[9, 1, 6, 10, 1, 1, 0, 2, 1, 0, 2, 2, 0]),
    ("nonce_store", "late", &[9, 9, 2, 10, 1, 1, 0, 2, 2, 163, 1, 1, 229]),
    ("nonce_store", "sharded", &[0, 1, 7, 10, 1, 1, 0, 2, 1, 0, 3, 1, 0, 1, 1, 163]),
];

/// Targets that readers take differently, and messages that nobody may send.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("http_request", "path-and-query", "/orders/42?a=b&c=%2e%2E/../x?y"),
    ("http_request", "characters", "/a-._~!$&'()*+,=:@/%C3%A9%20%22/"),
    ("http_request", "dots", "/a/../b"),
    ("http_request", "dots-escaped", "/a/%2E%2e/b"),
    ("http_request", "dots-half-escaped", "/a/.%2E/b"),
    ("http_request", "slash-escaped", "/a%2Fb"),
    ("http_request", "backslash", "/a\\..\\b"),
    ("http_request", "slashes", "//elsewhere.example/a"),
    ("http_request", "at", "/@elsewhere.example:1/"),
    ("http_request", "whole-url", "https://elsewhere.example/"),
    ("http_request", "fragment", "/a#b"),
    ("http_request", "query-with-fragment", "/a?b#c"),
    ("http_request", "parameter", "/a;b=c/d"),
    ("http_request", "tab", "/a\t/b"),
    ("http_request", "credential", "/a?access%5Ftoken=b"),
    ("mcp_message", "call", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{}}}"#),
    ("mcp_message", "call-as-a-notification", r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#),
    ("mcp_message", "method-twice", r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#),
    ("mcp_message", "method-twice-escaped", r#"{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"tools/call"}"#),
    ("mcp_message", "method-escaped", r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002fcall"}"#),
    ("mcp_message", "method-of-another-case", r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#),
    ("mcp_message", "batch", r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}]"#),
    ("mcp_message", "request-and-answer", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}"#),
    (
        "mcp_message",
        "list",
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{"progressToken":1}}}"#,
    ),
    (
        "mcp_message",
        "asked-and-answered",
        "A{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
    ),
    (
        "mcp_message",
        "opened-and-answered",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"capabilities\":{}}}\nA{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"capabilities\":{\"tools\":{}}}}",
    ),
];

/// Members of a proof's header, besides its `alg`, and its claims, from which a fuzzer starts. `JWK` stands for the key's.
const PROOFS: &[(&str, &str, &str)] = &[
    ("proof", r#""typ":"dpop+jwt","jwk":JWK"#, CLAIMS),
    ("proof-of-another-type", r#""typ":"JWT","jwk":JWK"#, CLAIMS),
    ("proof-with-crit", r#""typ":"dpop+jwt","crit":["b64"],"b64":false,"jwk":JWK"#, CLAIMS),
    ("proof-with-two-keys", r#""typ":"dpop+jwt","jwk":{},"jwk":JWK"#, CLAIMS),
    ("proof-with-a-secret", r#""typ":"dpop+jwt","jwk":{"kty":"oct","k":"AQ"}"#, CLAIMS),
    (
        "proof-with-all-claims",
        r#""typ":"DPOP+JWT","jwk":JWK"#,
        r#"{"jti":"a","htm":"GET","htu":"HTTPS://API.example:443/orders/42","htq":"a=b","iat":1.8e9,"nonce":"n","exp":1900000000,"nbf":1}"#,
    ),
    (
        "proof-for-another-host",
        r#""typ":"dpop+jwt","jwk":JWK"#,
        r#"{"jti":"a","htm":"GET","htu":"https://api.example@elsewhere.example/orders/42","iat":1}"#,
    ),
    (
        "proof-with-a-claim-twice",
        r#""typ":"dpop+jwt","jwk":JWK"#,
        r#"{"htm":"POST","htm":"GET","jti":"a","htu":"https://api.example/orders/42","iat":1}"#,
    ),
];

const CLAIMS: &str = r#"{"jti":"a","htm":"GET","htu":"https://api.example/orders/42","iat":1800000000}"#;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder to write to"));
    let seeds = Seeds(folder);
    for (_, vector) in vectors::all() {
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
    }
    for (target, name, program) in PROGRAMS {
        let start: &[u8] = if *target == "nonce_store" { b"" } else { b"\x01" };
        seeds.named(target, name, &[start, program].concat());
    }
    for (name, text) in TEXTS {
        seeds.named("canonical_json", name, text.as_bytes());
    }
    for (target, name, text) in REQUESTS {
        seeds.named(target, name, text.as_bytes());
    }
    let jwk = public_jwk(&chio_fuzz::http_request::KEY.public_key());
    for (name, header, claims) in PROOFS {
        seeds.named("http_request", name, format!("\x01{}\n{claims}", header.replace("JWK", &jwk)).as_bytes());
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
    fn named(&self, target: &str, name: &str, seed: &[u8]) {
        let folder = self.0.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), seed).unwrap();
    }

    /// A file is named for its contents, as libFuzzer names its own.
    fn write(&self, target: &str, seed: &[u8]) {
        self.named(target, &Digest::of(seed).to_string()[..40], seed);
    }
}
