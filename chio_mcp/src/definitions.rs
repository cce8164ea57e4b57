//! Lists of tools: the definition of each tool is remembered, and a list shows what a capability grants.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use chio_core::canonical::{self, Limits};
use chio_core::digest::Digest;
use chio_core::error::excerpt;

use crate::json::{Object, items, string};

/// The definitions that a tool server was seen to give.
#[derive(Debug, Default)]
pub struct Definitions {
    tools: Mutex<HashMap<String, Seen>>,
}

/// How many tools are remembered. One more is not: a grant that pins it covers nothing.
const MAX_TOOLS: usize = 10_000;

/// A tool as it was seen.
#[derive(Clone, Debug)]
struct Seen {
    first: Digest,
    now: Digest,
    /// Whether `now` is of the RFC 8785 bytes: a definition with numbers that have none cannot be pinned.
    can_be_pinned: bool,
    headers: Vec<(String, Vec<String>)>,
}

impl Definitions {
    /// The digest of a tool's definition, as it was last seen.
    pub fn digest(&self, tool_name: &str) -> Option<Digest> {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.get(tool_name).filter(|seen| seen.can_be_pinned).map(|seen| seen.now)
    }

    /// The arguments of a tool that are repeated in headers over HTTP (`x-mcp-header`): what follows `Mcp-Param-`, in lower
    /// case, and the names that lead to the argument. Nothing where the tool was not seen.
    pub(crate) fn headers(&self, tool_name: &str) -> Option<Vec<(String, Vec<String>)>> {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.get(tool_name).map(|seen| seen.headers.clone())
    }

    /// Remembers a definition, and says whether it is another than the one that was seen first.
    fn note(&self, tool_name: &str, text: &str) {
        let canonical = canonical::canonicalize(text.as_bytes(), Limits::bytes(text.len())).ok();
        let can_be_pinned = canonical.is_some();
        let now = Digest::of(canonical.as_deref().unwrap_or(text.as_bytes()));
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = tools.len() >= MAX_TOOLS;
        match tools.get_mut(tool_name) {
            Some(seen) if seen.now == now => (),
            Some(seen) => {
                let (was, is) = (seen.first, now);
                tracing::warn!(tool = excerpt(tool_name), %was, %is, "the tool server changed the definition of a tool");
                (seen.now, seen.can_be_pinned, seen.headers) = (now, can_be_pinned, headers_of(text));
            }
            None if is_full => tracing::warn!("more tools than are remembered"),
            None => {
                let headers = headers_of(text);
                tools.insert(tool_name.to_owned(), Seen { first: now, now, can_be_pinned, headers });
            }
        }
    }

    /// The result of a `tools/list` with the tools alone that `sees` says yes to, after all of them were remembered.
    /// Fails where it is no list of tools.
    pub(crate) fn filtered(&self, result: &str, sees: impl Fn(&str) -> bool) -> Result<String, &'static str> {
        let object = Object::read(result).map_err(|_| "the result is no object")?;
        let tools = object.get("tools").and_then(items).ok_or("its `tools` are no array")?;
        let mut named = Vec::with_capacity(tools.len());
        let mut once = HashSet::with_capacity(tools.len());
        for tool in tools {
            let name = Object::read(tool).ok().and_then(|tool| tool.string("name")).ok_or("a tool has no `name`")?;
            if !once.insert(name.clone()) {
                return Err("a tool is named twice");
            }
            self.note(&name, tool);
            named.push((name, tool));
        }
        let shown: Vec<_> = named.into_iter().filter(|(name, _)| sees(name)).map(|(_, tool)| tool).collect();
        let filtered = object.with("tools", &format!("[{}]", shown.join(",")));
        let object = Object::read(&filtered).map_err(|_| "the result is no object")?;
        // What one caller may see is nobody else's to keep.
        Ok(if object.get("cacheScope").is_some() { object.with("cacheScope", "\"private\"") } else { filtered })
    }
}

/// The arguments that a definition wants repeated in headers: those that plain `properties` lead to.
fn headers_of(definition: &str) -> Vec<(String, Vec<String>)> {
    fn walk(schema: &Object<'_>, path: &[String], found: &mut Vec<(String, Vec<String>)>) {
        let Some(properties) = schema.object("properties") else { return };
        for member in properties.members() {
            let Some(property) = properties.inner(member) else { continue };
            let below = [path, &[member.name.clone().into_owned()]].concat();
            if let Some(name) = property.get("x-mcp-header").and_then(string) {
                found.push((name.to_ascii_lowercase(), below.clone()));
            }
            walk(&property, &below, found);
        }
    }
    let mut found = Vec::new();
    if let Some(schema) = Object::read(definition).ok().and_then(|tool| tool.object("inputSchema")) {
        walk(&schema, &[], &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_what_is_seen_and_is_nobody_elses_to_keep() {
        let definitions = Definitions::default();
        let text = r#"{"tools":[{"name":"a","x":12345678901234567890},{"name":"b" ,"y":1}],"nextCursor":"c","ttlMs":1,"cacheScope":"public"}"#;
        let filtered = definitions.filtered(text, |name| name == "b").unwrap();
        assert_eq!(filtered, r#"{"tools":[{"name":"b" ,"y":1}],"nextCursor":"c","ttlMs":1,"cacheScope":"private"}"#);
        assert_eq!(definitions.digest("b"), Some(Digest::of(br#"{"name":"b","y":1}"#)));
        assert_eq!(definitions.digest("a"), None, "it has no canonical form");
        let changed = r#"{"tools":[{"name":"b","y":2}]}"#;
        assert_eq!(definitions.filtered(changed, |_| false).unwrap(), r#"{"tools":[]}"#);
        assert_eq!(definitions.digest("b"), Some(Digest::of(br#"{"name":"b","y":2}"#)));
        for wrong in ["[]", "{}", r#"{"tools":{}}"#, r#"{"tools":[{}]}"#, r#"{"tools":[{"name":"a"},{"name":"a"}]}"#] {
            assert!(definitions.filtered(wrong, |_| true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_that_stand_in_headers_are_known() {
        let tool = r#"{"name":"a","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},
            "place":{"properties":{"zone":{"x-mcp-header":"Zone"}}},"items":{"items":{"x-mcp-header":"No"}}}}}"#;
        let region = ("region".to_owned(), vec!["region".to_owned()]);
        assert_eq!(headers_of(tool), [region, ("zone".to_owned(), vec!["place".to_owned(), "zone".to_owned()])]);
    }
}
