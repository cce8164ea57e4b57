//! Writes a chain of so many receipts, calls that were allowed and their outcomes, to standard output: what is longer than
//! any test would like to keep.
//!
//! `cargo run --release -p chio_tests --bin receipt_writer -- 10000000 | chio receipts verify -`

use std::io::{BufWriter, Write as _};

use chio_core::receipt::{Decision, Event, Outcome, OutcomeStatus, Receipt, Verdict};
use chio_tests::world::{NOW, kernel_key};

fn main() {
    let many = std::env::args().nth(1).and_then(|many| many.parse().ok()).unwrap_or(0);
    let (key, mut head) = (kernel_key(), None);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for sequence in 1..=many {
        let event = if sequence % 2 == 0 {
            let (of, status) = (sequence - 1, OutcomeStatus::Ok);
            Event::Outcome(Outcome { of, status, result_hash: None, duration_ms: 1 })
        } else {
            Event::Decision(Decision {
                verdict: Verdict::Allow,
                code: None,
                step: None,
                mode: "enforce".into(),
                capability_id: Some("a".repeat(64)),
                subject: Some("b".repeat(64)),
                tool_server: "files".into(),
                tool_name: "read_file".into(),
                action_hash: None,
                proof_hash: None,
            })
        };
        let Ok((receipt, next)) = Receipt::append(head, NOW, event, &key) else { return };
        head = Some(next);
        // Whoever reads may have had enough.
        let Ok(line) = receipt.to_line() else { return };
        if out.write_all(&line).and_then(|()| out.write_all(b"\n")).is_err() {
            return;
        }
    }
}
