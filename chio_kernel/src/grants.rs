//! Whether every token of the chain grants the call.

use std::borrow::Cow;
use std::cell::OnceCell;

use chio_core::canonical::Json;
use chio_core::capability::{Effort, Grant, GrantMismatch};
use chio_core::digest::Digest;

use crate::authority::Facts;
use crate::call::ToolCall;
use crate::denial::{Ceiling, Denial};
use crate::proof::ProvenCall;
use crate::store::Allowance;

/// A call that every token grants, and for each token that counts its calls, the grants that it could be counted on.
pub(crate) struct CoveredCall {
    pub(crate) proven: ProvenCall,
    pub(crate) places: Vec<Place>,
}

/// A token that counts its calls.
pub(crate) struct Place {
    pub(crate) token: usize,
    pub(crate) alternatives: Vec<Allowance>,
}

impl CoveredCall {
    pub(crate) fn new(proven: ProvenCall, definition: &dyn Fn() -> Option<Digest>) -> Result<Self, Denial> {
        let authority = proven.authority().facts();
        let action = Action { call: proven.call(), arguments: OnceCell::new(), effort: Effort::default(), definition };
        if let Some(ceiling) = &authority.ceiling {
            let granted = ceiling.iter().any(|grant| action.answer(grant) == Some(Ok(())));
            if !granted {
                return Err(Denial::RootCeilingExceeded { ceiling: Ceiling::Grants });
            }
        }
        let mut places = Vec::new();
        // No token outlives the ones above it. One below it says nothing about how long its own count matters.
        let mut until = u64::MAX;
        for (token, layer) in authority.layers.iter().enumerate() {
            until = until.min(layer.window.expires_at);
            // A grant without a limit costs nothing, so it comes first.
            let Some(covering) = action.covering(token, &layer.grants)? else { continue };
            let allowance = |(index, grant): (usize, &Grant)| Allowance {
                grant: Digest::of_parts(&[layer.id.as_bytes(), index.to_string().as_bytes()]),
                account: authority.account,
                limit: grant.max_invocations.unwrap_or_default(),
                until,
            };
            places.push(Place { token, alternatives: covering.into_iter().map(allowance).collect() });
        }
        Ok(Self { proven, places })
    }
}

/// Whether a grant is of this tool, and of its definition as it is now.
fn is_of(grant: &Grant, tool_server: &str, tool_name: &str, definition: &dyn Fn() -> Option<Digest>) -> bool {
    grant.names(tool_server, tool_name) && grant.definition.is_none_or(|pinned| definition() == Some(pinned))
}

/// Whether the issuer's ceiling and every token have a grant of this tool, for whatever arguments.
pub(crate) fn name(facts: &Facts, tool_server: &str, tool_name: &str, definition: &dyn Fn() -> Option<Digest>) -> bool {
    let one_is = |grants: &[Grant]| grants.iter().any(|grant| is_of(grant, tool_server, tool_name, definition));
    facts.ceiling.as_deref().is_none_or(one_is) && facts.layers.iter().all(|layer| one_is(&layer.grants))
}

/// The call, and its arguments as a value once some grant has asked for them.
struct Action<'a> {
    call: &'a ToolCall,
    arguments: OnceCell<Cow<'a, Json>>,
    /// What all grants of all tokens together may cost: a holder writes the grants that it derives.
    effort: Effort,
    definition: &'a dyn Fn() -> Option<Digest>,
}

impl Action<'_> {
    /// What a grant says of the call; nothing where it is of another tool.
    fn answer(&self, grant: &Grant) -> Option<Result<(), GrantMismatch>> {
        if !is_of(grant, self.call.tool_server(), self.call.tool_name(), self.definition) {
            return None;
        }
        if grant.arguments.is_none() {
            return Some(Ok(()));
        }
        let arguments = self.arguments.get_or_init(|| self.call.arguments().to_json());
        Some(grant.covers(arguments, &self.effort))
    }

    /// The grants of a token that cover the call, with their places; nothing if one of them has no limit. Where none
    /// covers it, what is wrong with the first that names the tool.
    fn covering<'g>(&self, token: usize, grants: &'g [Grant]) -> Result<Option<Vec<(usize, &'g Grant)>>, Denial> {
        let mut covering = Vec::new();
        let mut mismatch = None;
        for (index, grant) in grants.iter().enumerate() {
            match self.answer(grant) {
                Some(Ok(())) if grant.max_invocations.is_none() => return Ok(None),
                Some(Ok(())) => covering.push((index, grant)),
                Some(Err(why)) if mismatch.is_none() => mismatch = Some(why),
                _ => {}
            }
        }
        if !covering.is_empty() {
            return Ok(Some(covering));
        }
        Err(match mismatch {
            None => Denial::ToolNotGranted { token },
            Some(GrantMismatch::Missing { pointer }) => Denial::ArgumentMissing { token, pointer },
            Some(GrantMismatch::NotGranted { pointer }) => Denial::ArgumentNotGranted { token, pointer },
            Some(GrantMismatch::Violated { pointer, constraint_type }) => {
                Denial::ArgumentConstraintViolated { token, pointer, constraint_type }
            }
        })
    }
}
