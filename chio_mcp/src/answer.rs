//! What Chio itself answers: refusals, denials, and answers of a tool server that is gone.

use chio_core::error::excerpt;
use chio_core::receipt::Receipt;
use chio_kernel::{Denial, Denied, Step};
use serde_json::{Map, Value, json};

use crate::message::{INVALID_PARAMS, Refusal};
use crate::meta;

/// The capability or the proof was not accepted, or there was none.
pub const NOT_PROVEN: i64 = -31001;
/// The capability does not cover the call.
pub const NOT_GRANTED: i64 = -31002;
/// The call cannot be decided now.
pub const UNAVAILABLE: i64 = -31003;
/// The tool server, or what stands for it, gave no answer that could be passed on.
pub const NO_ANSWER: i64 = -31004;
/// The answer does not fit its receipt: a signer says so to its client.
pub const RECEIPT_INVALID: i64 = -31005;

/// How a client is told that its capability does not cover a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenyAs {
    /// As a JSON-RPC error.
    Error,
    /// As the result of a tool that failed, which a model can read. The default.
    #[default]
    Result,
    /// As if there were no such tool.
    Hide,
}

/// An error. The id is a JSON text.
pub(crate) fn error(id: &str, code: i64, message: &str, data: Option<Value>) -> String {
    let mut error = json!({"code": code, "message": message});
    if let (Some(data), Some(error)) = (data, error.as_object_mut()) {
        error.insert("data".into(), data);
    }
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}")
}

/// A result. The id and the result are JSON texts.
pub(crate) fn result(id: &str, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

pub(crate) fn refusal(refusal: &Refusal) -> String {
    error(&refusal.id, refusal.code, &refusal.what, None)
}

/// A receipt as a JSON text.
pub(crate) fn receipt(receipt: &Receipt) -> Option<String> {
    receipt.to_line().ok().and_then(|line| String::from_utf8(line).ok())
}

/// The request that was denied.
pub(crate) struct Asked<'a> {
    pub(crate) id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) tool_name: &'a str,
    /// Whether it was made under a revision in which every result says what it is.
    pub(crate) is_modern: bool,
}

/// The answer to a call that was denied. It tells a stranger no policy: the code, and what is public of it.
pub(crate) fn denial(asked: &Asked<'_>, denied: &Denied, deny_as: DenyAs, nonce: Option<String>) -> String {
    let Denied { denial, receipt: written } = denied;
    let is_call = asked.method == "tools/call";
    let uncovered = denial.step() >= Step::Grants && !matches!(denial, Denial::StoreUnavailable { .. });
    if uncovered && deny_as == DenyAs::Hide {
        let what = if is_call { "Unknown tool" } else { "Not found" };
        return error(asked.id, INVALID_PARAMS, &format!("{what}: {}", excerpt(asked.tool_name)), None);
    }
    let receipt = written.as_deref().and_then(receipt).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    if uncovered && is_call && deny_as == DenyAs::Result {
        let text = format!("{} ({})", denial.public(), denial.code());
        let mut answer = json!({"content": [{"type": "text", "text": text}], "isError": true});
        if let Some(answer) = answer.as_object_mut() {
            if asked.is_modern {
                answer.insert("resultType".into(), "complete".into());
            }
            if let Some(receipt) = receipt {
                answer.insert("_meta".into(), json!({meta::RECEIPT: receipt}));
            }
        }
        return result(asked.id, &answer.to_string());
    }
    let mut data = Map::new();
    data.insert("code".into(), denial.code().into());
    if let Some(receipt) = receipt {
        data.insert(meta::RECEIPT.into(), receipt);
    }
    if let Some(nonce) = nonce {
        data.insert(meta::NONCE.into(), nonce.into());
    }
    let code = match denial {
        Denial::MalformedCall { .. } | Denial::CallTooLarge { .. } => INVALID_PARAMS,
        Denial::StoreUnavailable { .. }
        | Denial::ClockUnavailable
        | Denial::NonceStoreFull
        | Denial::NonceQuotaExceeded => UNAVAILABLE,
        _ if uncovered => NOT_GRANTED,
        _ => NOT_PROVEN,
    };
    error(asked.id, code, denial.public(), Some(data.into()))
}
