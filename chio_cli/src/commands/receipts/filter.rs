//! Which receipts are meant.

use chio_core::receipt::{Decision, Event, Receipt, Verdict};

use crate::args::{DecisionName, KindName, ReceiptsFilter, ToolName};
use crate::exit::Failure;
use crate::explanations::{EXPLANATIONS, explanation};
use crate::files;
use crate::rules::nearest;

/// What a receipt has to be. A filter for calls lets only decisions through: outcomes and summaries name no call.
pub(super) struct Filter<'a> {
    args: &'a ReceiptsFilter,
    subject: Option<String>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(args: &'a ReceiptsFilter) -> Result<Self, Failure> {
        if let Some(code) = args.code.iter().find(|code| explanation(code).is_none()) {
            let code = chio_core::error::excerpt(code);
            let nearest = nearest(&code, EXPLANATIONS.iter().map(|explanation| explanation.code));
            let help = nearest.map_or("`chio explain` lists them all".to_owned(), |code| format!("is `{code}` meant?"));
            return Err(Failure::usage(format!("there is no denial code `{code}`"), help));
        }
        let is_id = |id: &String| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !args.capability.iter().all(is_id) {
            return Err(Failure::usage(
                "--capability is no id of a capability, nor the beginning of one",
                "`chio inspect FILE` shows the id: 64 hex digits",
            ));
        }
        let subject = args.subject.as_deref().map(files::read_public_key).transpose()?;
        Ok(Self { args, subject: subject.map(|key| key.to_string()) })
    }

    pub(super) fn lets_through(&self, receipt: &Receipt) -> bool {
        let ReceiptsFilter { code, decision, tool, capability, since, until, kind, .. } = self.args;
        let (at, event) = (receipt.body.at, &receipt.body.event);
        let kind_of = match event {
            Event::Decision(_) => KindName::Decision,
            Event::Outcome(_) => KindName::Outcome,
            Event::Summary(_) => KindName::Summary,
        };
        if kind.is_some_and(|kind| kind != kind_of)
            || since.is_some_and(|since| at < since)
            || until.is_some_and(|until| at >= until)
        {
            return false;
        }
        let asks_for_calls =
            !code.is_empty() || decision.is_some() || tool.is_some() || capability.is_some() || self.subject.is_some();
        match event {
            Event::Decision(decision) => self.lets_call_through(decision),
            _ => !asks_for_calls,
        }
    }

    fn lets_call_through(&self, call: &Decision) -> bool {
        let ReceiptsFilter { code, decision, tool, capability, .. } = self.args;
        let verdict = match call.verdict {
            Verdict::Allow => DecisionName::Allow,
            Verdict::Deny => DecisionName::Deny,
        };
        let is_tool = |tool: &ToolName| tool.server == call.tool_server && tool.tool == call.tool_name;
        let starts = |id: &String| call.capability_id.as_deref().is_some_and(|full| full.starts_with(id.as_str()));
        (code.is_empty() || call.code.as_ref().is_some_and(|told| code.contains(told)))
            && decision.is_none_or(|decision| decision == verdict)
            && tool.as_ref().is_none_or(is_tool)
            && capability.as_ref().is_none_or(starts)
            && self.subject.as_ref().is_none_or(|subject| call.subject.as_ref() == Some(subject))
    }
}
