//! The text of a receipt: one flat object, its members in canonical order.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    Decision, Event, MAX_RECEIPT_BYTES, Outcome, OutcomeStatus, RECEIPT_SCHEMA, Receipt, ReceiptBody, Summary, Verdict,
};
use crate::canonical::{self, Limits, ordered_json_bytes};
use crate::crypto::{PublicKey, Signature};
use crate::digest::Digest;
use crate::error::{FormatError, JsonError, document_error, excerpt};
use crate::time::MAX_UNIX_SECONDS;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    body: Flat<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Cow<'a, Signature>>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Decision,
    Outcome,
    Summary,
}

macro_rules! flat {
    ($($name:ident: $type:ty,)*) => {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Flat<'a> {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $name: Option<$type>,)*
        }

        impl<'a> Flat<'a> {
            fn empty() -> Self {
                Self { $($name: None,)* }
            }

            /// Whether no member is left: every one of them was one that its kind has.
            fn is_used_up(&self) -> bool {
                $(self.$name.is_none())&&*
            }
        }
    };
}

flat! {
    action_hash: Digest,
    at: u64,
    capability_id: Cow<'a, str>,
    code: Cow<'a, str>,
    decision: Verdict,
    duration_ms: u64,
    kernel_key: Cow<'a, PublicKey>,
    kind: Kind,
    mode: Cow<'a, str>,
    of: u64,
    previous: Digest,
    proof_hash: Digest,
    result_hash: Digest,
    schema: Cow<'a, str>,
    sequence: u64,
    status: OutcomeStatus,
    step: Cow<'a, str>,
    subject: Cow<'a, str>,
    suppressed: u64,
    tool_name: Cow<'a, str>,
    tool_server: Cow<'a, str>,
    unfinished: Vec<u64>,
}

fn flat(body: &ReceiptBody) -> Flat<'_> {
    let common = Flat {
        at: Some(body.at),
        kernel_key: Some(Cow::Borrowed(&body.kernel_key)),
        previous: body.previous,
        schema: Some(RECEIPT_SCHEMA.into()),
        sequence: Some(body.sequence),
        ..Flat::empty()
    };
    match &body.event {
        Event::Decision(decision) => Flat {
            action_hash: decision.action_hash,
            capability_id: decision.capability_id.as_deref().map(Cow::Borrowed),
            code: decision.code.as_deref().map(Cow::Borrowed),
            decision: Some(decision.verdict),
            kind: Some(Kind::Decision),
            mode: Some(decision.mode.as_str().into()),
            proof_hash: decision.proof_hash,
            step: decision.step.as_deref().map(Cow::Borrowed),
            subject: decision.subject.as_deref().map(Cow::Borrowed),
            tool_name: Some(decision.tool_name.as_str().into()),
            tool_server: Some(decision.tool_server.as_str().into()),
            ..common
        },
        Event::Outcome(outcome) => Flat {
            duration_ms: Some(outcome.duration_ms),
            kind: Some(Kind::Outcome),
            of: Some(outcome.of),
            result_hash: outcome.result_hash,
            status: Some(outcome.status),
            ..common
        },
        Event::Summary(summary) => Flat {
            kind: Some(Kind::Summary),
            suppressed: Some(summary.suppressed),
            unfinished: Some(summary.unfinished.clone()),
            ..common
        },
    }
}

pub(super) fn canonical(body: &ReceiptBody) -> Result<Vec<u8>, JsonError> {
    ordered_json_bytes(&flat(body))
}

pub(super) fn line(receipt: &Receipt) -> Result<Vec<u8>, JsonError> {
    let signature = receipt.signature.as_ref().map(Cow::Borrowed);
    ordered_json_bytes(&Line { body: flat(&receipt.body), signature })
}

pub(super) fn parse(text: &[u8]) -> Result<Receipt, FormatError> {
    let text = canonical::canonicalize(text, Limits::bytes(MAX_RECEIPT_BYTES))?;
    let line: Line<'_> = serde_json::from_slice(&text).map_err(|error| document_error(&error))?;
    let mut flat = line.body;
    let schema = flat.schema.take().unwrap_or_default();
    if schema != RECEIPT_SCHEMA {
        return Err(FormatError::Schema { expected: RECEIPT_SCHEMA, found: excerpt(&schema) });
    }
    let body = body(&mut flat).filter(|_| flat.is_used_up());
    let body = body.ok_or_else(|| FormatError::Document("a member is missing, or belongs to another kind".into()))?;
    let receipt = Receipt { body, signature: line.signature.map(Cow::into_owned) };
    if receipt.to_line()? != *text {
        return Err(FormatError::Document("it is not written as a receipt is: perhaps a `null` stands in it".into()));
    }
    Ok(receipt)
}

/// Takes the members out that its kind has.
fn body(flat: &mut Flat<'_>) -> Option<ReceiptBody> {
    let text = |member: &mut Option<Cow<'_, str>>| member.take().map(Cow::into_owned);
    let event = match flat.kind.take()? {
        Kind::Decision => Event::Decision(Decision {
            verdict: flat.decision.take()?,
            code: text(&mut flat.code),
            step: text(&mut flat.step),
            mode: text(&mut flat.mode)?,
            capability_id: text(&mut flat.capability_id),
            subject: text(&mut flat.subject),
            tool_server: text(&mut flat.tool_server)?,
            tool_name: text(&mut flat.tool_name)?,
            action_hash: flat.action_hash.take(),
            proof_hash: flat.proof_hash.take(),
        }),
        Kind::Outcome => Event::Outcome(Outcome {
            of: flat.of.take()?,
            status: flat.status.take()?,
            result_hash: flat.result_hash.take(),
            duration_ms: flat.duration_ms.take()?,
        }),
        Kind::Summary => {
            Event::Summary(Summary { suppressed: flat.suppressed.take()?, unfinished: flat.unfinished.take()? })
        }
    };
    Some(ReceiptBody {
        sequence: flat.sequence.take()?,
        previous: flat.previous.take(),
        at: flat.at.take().filter(|at| *at <= MAX_UNIX_SECONDS)?,
        kernel_key: flat.kernel_key.take()?.into_owned(),
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Keypair;

    fn receipts() -> [Receipt; 3] {
        let digest = |number: u8| Digest::of(&[number]);
        let decision = Decision {
            verdict: Verdict::Deny,
            code: Some("proof_expired".into()),
            step: Some("proof.freshness".into()),
            mode: "report".into(),
            capability_id: Some("a".repeat(64)),
            subject: Some("someone".into()),
            tool_server: "files".into(),
            tool_name: "read_file".into(),
            action_hash: Some(digest(1)),
            proof_hash: Some(digest(2)),
        };
        let outcome =
            Outcome { of: 7, status: OutcomeStatus::ToolError, result_hash: Some(digest(3)), duration_ms: 12 };
        let events = [
            Event::Decision(decision),
            Event::Outcome(outcome),
            Event::Summary(Summary { suppressed: 9, unfinished: vec![3, 4] }),
        ];
        events.map(|event| {
            let kernel_key = Keypair::from_seed(&[1; 32]).public_key();
            let body = ReceiptBody { sequence: 8, previous: Some(digest(4)), at: 1_000, kernel_key, event };
            Receipt {
                body,
                signature: Some(Signature::from_bytes(crate::crypto::Algorithm::Ed25519, vec![7; 64]).unwrap()),
            }
        })
    }

    #[test]
    fn a_receipt_survives_its_text_with_every_member() {
        for receipt in receipts() {
            let text = line(&receipt).unwrap();
            assert_eq!(parse(&text).as_ref(), Ok(&receipt));
            assert_eq!(
                text,
                canonical::canonical_json_bytes(&serde_json::from_slice::<serde_json::Value>(&text).unwrap()).unwrap()
            );
            let unsigned = Receipt { signature: None, ..receipt.clone() };
            assert_eq!(
                line(&unsigned).unwrap(),
                [br#"{"body":"#, canonical(&receipt.body).unwrap().as_slice(), b"}"].concat()
            );
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "dozens of texts take minutes under Miri")]
    fn a_text_that_would_be_written_otherwise_is_no_receipt() {
        for receipt in receipts() {
            let text = String::from_utf8(line(&receipt).unwrap()).unwrap();
            for (from, to) in [
                (r#""at":1000"#, r#""at":9007199254740992"#),
                (r#""sequence":8"#, r#""sequence":8,"suppressed":null"#),
                (r#""sequence":8"#, r#""sequence":null"#),
                (r#""sequence":8"#, r#""sequence":8,"more":1"#),
                ("chio.receipt.v1", "chio.receipt.v2"),
                (r#""kind":""#, r#""kind":"x"#),
                (r#""body":{"#, r#""body":{"result_hash":"","of":1,"#),
            ] {
                assert!(text.contains(from) && parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
            }
        }
        let last = text_at(MAX_UNIX_SECONDS);
        assert_eq!(parse(&last).unwrap().body.at, MAX_UNIX_SECONDS);
    }

    fn text_at(at: u64) -> Vec<u8> {
        let [mut receipt, ..] = receipts();
        receipt.body.at = at;
        line(&receipt).unwrap()
    }
}
