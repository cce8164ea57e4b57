//! A chain as a drawing: who gave what to whom, and what is left of it.

use std::fmt::Write as _;

use chio_core::capability::{ArgumentRules, CapabilityChain, CapabilityToken, Grant};
use chio_core::crypto::PublicKey;
use chio_core::error::excerpt;

use super::chain::{Review, Tool, Unusable};
use crate::exit::printable;
use crate::print::{BOLD, RESET, YELLOW, span, time, wrapped};
use crate::rules::shown;

/// A chain hop by hop, each with what it narrows, and what is left at the end.
pub(crate) fn chain(chain: &CapabilityChain, width: usize) -> String {
    let mut text = format!("  {BOLD}{}{RESET}\n", key(&chain.tokens().next().unwrap_or(chain.leaf()).issuer));
    let mut above: Option<&CapabilityToken> = None;
    for (index, token) in chain.tokens().enumerate() {
        if let Some(above) = above.filter(|above| above.subject != token.issuer) {
            let _ = writeln!(
                text,
                "  {YELLOW}╳ token {index} is issued by another key than {}{RESET}",
                key(&above.subject)
            );
            let _ = writeln!(text, "  {BOLD}{}{RESET}", key(&token.issuer));
        }
        let root = if index == 0 { ", the root" } else { "" };
        let _ = writeln!(text, "  │\n  │ {BOLD}token {index}{RESET}{root}");
        for line in hop(token, above, width.saturating_sub(4)).lines() {
            let _ = writeln!(text, "  │ {line}");
        }
        let holder = if index.saturating_add(1) == chain.len() { " holds it" } else { "" };
        let _ = writeln!(text, "  ▼\n  {BOLD}{}{RESET}{holder}", key(&token.subject));
        above = Some(token);
    }
    text
}

fn hop(token: &CapabilityToken, above: Option<&CapabilityToken>, width: usize) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&wrapped(&format!("  {name:<10}"), value, width));
    line("id", &token.id);
    let length = span(token.expires_at.saturating_sub(token.issued_at));
    line("valid", &format!("{} until {}, {length}", time(token.issued_at), time(token.expires_at)));
    if let Some(audience) = &token.audience {
        line("audience", &format!("a kernel named {}", excerpt(audience)));
    }
    line("max depth", &token.max_depth.to_string());
    let mut name = "grants";
    for grant in &token.grants {
        line(name, &format!("{}{}", tool(grant), calls(grant)));
        for rule in rules(grant) {
            line("            ", &rule);
        }
        name = "";
    }
    let mut name = "narrows";
    for change in above.map(|above| narrows(token, above)).unwrap_or_default() {
        line(name, &change);
        name = "";
    }
    text
}

/// What a token takes away from the one above it.
fn narrows(token: &CapabilityToken, above: &CapabilityToken) -> Vec<String> {
    let mut changes = Vec::new();
    let later = token.issued_at.saturating_sub(above.issued_at);
    let earlier = above.expires_at.saturating_sub(token.expires_at);
    if later > 0 {
        changes.push(format!("begins {} later", span(later)));
    }
    if earlier > 0 {
        changes.push(format!("ends {} earlier", span(earlier)));
    }
    if token.audience.is_some() && above.audience != token.audience {
        changes.push("names the kernel".to_owned());
    }
    let of_tool = |of: &CapabilityToken, like: &Grant| -> Vec<Grant> {
        of.grants.iter().filter(|grant| grant.names(&like.tool_server, &like.tool_name)).cloned().collect()
    };
    let mut seen: Vec<Vec<Grant>> = Vec::new();
    for grant in &above.grants {
        let (before, after) = (of_tool(above, grant), of_tool(token, grant));
        if seen.contains(&before) {
            continue;
        }
        if after.is_empty() {
            changes.push(format!("without {}", tool(grant)));
        } else if let Some(how) = differences(&before, &after) {
            changes.push(format!("{} by {how}", tool(grant)));
        }
        seen.push(before);
    }
    changes
}

fn differences(before: &[Grant], after: &[Grant]) -> Option<String> {
    let ([before], [after]) = (before, after) else { return (before != after).then(|| "other grants".to_owned()) };
    let rules = |grant: &Grant| {
        grant
            .arguments
            .clone()
            .map(|rules| rules.iter().map(|(at, rule)| (at.to_owned(), rule.clone())).collect::<Vec<_>>())
    };
    let mut parts = Vec::new();
    let fewer = after.max_invocations.filter(|calls| before.max_invocations.is_none_or(|before| *calls < before));
    parts.extend(fewer.map(|calls| format!("{calls} calls")));
    let pins = after.definition != before.definition && after.definition.is_some();
    parts.extend(pins.then(|| "the definition".to_owned()));
    let (before, after) = (rules(before), rules(after));
    if let Some(after) = after.filter(|after| before.as_ref() != Some(after)) {
        let before = before.unwrap_or_default();
        let changed: Vec<String> =
            after.iter().filter(|rule| !before.contains(rule)).map(|(at, _)| excerpt(at)).collect();
        parts.push(match changed.as_slice() {
            [] => "the names of its arguments".to_owned(),
            changed => format!("rules for {}", changed.join(", ")),
        });
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// What a chain as a whole allows.
pub(crate) fn allows(review: &Review<'_>, width: usize) -> String {
    let mut text = format!("{BOLD}As a whole it allows{RESET}\n");
    let Some(window) = review.window else {
        text.push_str("  nothing: its tokens are never valid at the same time\n");
        return text;
    };
    let life = span(window.expires_at.saturating_sub(window.issued_at));
    let mut when = format!("{} until {}, {life}", time(window.issued_at), time(window.expires_at));
    if !review.audiences.is_empty() {
        let names: Vec<String> = review.audiences.iter().map(|name| excerpt(name)).collect();
        let _ = write!(when, ", at a kernel named {}", names.join(" and "));
    }
    text.push_str(&wrapped("  from ", &when, width));
    if review.tools.is_empty() {
        text.push_str("  no call\n");
    }
    for tool in &review.tools {
        text.push_str(&of_tool(tool, width));
    }
    for Unusable { grant, why } in &review.unusable {
        text.push_str(&wrapped("  ", &format!("never {}: {why}", self::tool(grant)), width));
    }
    let _ = match review.remaining_depth {
        0 => writeln!(text, "  It cannot be handed on."),
        1 => writeln!(text, "  It can be narrowed and handed on once."),
        more => writeln!(text, "  It can be narrowed and handed on {more} times."),
    };
    text
}

fn of_tool(tool: &Tool<'_>, width: usize) -> String {
    let mut first = format!("{}/{}", printable(tool.server), printable(tool.name));
    if let Some((calls, token)) = tool.most_calls {
        let s = if calls == 1 { "" } else { "s" };
        let _ = write!(first, ", {calls} call{s} in all by token {token}");
    }
    let mut text = wrapped("  ", &first, width);
    for (index, grants) in tool.hops.iter().enumerate() {
        let mut begin = format!("    token {index:<2}");
        for (number, grant) in grants.iter().enumerate() {
            let mut rules = rules(grant);
            if rules.is_empty() {
                rules.push(if grant.arguments.is_some() { "no arguments" } else { "any arguments" }.to_owned());
            }
            for rule in rules {
                text.push_str(&wrapped(&format!("{begin} "), &rule, width));
                begin = " ".repeat(begin.chars().count());
            }
            if number.saturating_add(1) < grants.len() {
                let _ = writeln!(text, "{begin} or");
            }
        }
    }
    text
}

/// The rules of a grant, a line each, the pointers aligned.
fn rules(grant: &Grant) -> Vec<String> {
    let rules = || grant.arguments.iter().flat_map(ArgumentRules::iter);
    let pointer = |pointer: &str| if pointer.is_empty() { "(all)".to_owned() } else { excerpt(pointer) };
    let longest = rules().map(|(at, _)| pointer(at).chars().count()).max().unwrap_or_default().min(20);
    let shown = |(at, rule): (&str, &_)| {
        let rule = chio_core::canonical::to_json(rule).map(|json| shown(&json)).unwrap_or_default();
        format!("{:<longest$}  {}", pointer(at), printable(&rule))
    };
    rules().map(shown).collect()
}

fn tool(grant: &Grant) -> String {
    format!("{}/{}", printable(&grant.tool_server), printable(&grant.tool_name))
}

fn calls(grant: &Grant) -> String {
    let pinned = if grant.definition.is_some() { ", pinned" } else { "" };
    match grant.max_invocations {
        None => pinned.to_owned(),
        Some(1) => format!(", 1 call{pinned}"),
        Some(calls) => format!(", {calls} calls{pinned}"),
    }
}

/// A key that fits a line: of a long one, the beginning and the end.
fn key(key: &PublicKey) -> String {
    let text = key.to_string();
    match (text.get(..52), text.get(text.len().saturating_sub(11)..)) {
        (Some(begin), Some(end)) if text.len() > 64 => format!("{begin}…{end}"),
        _ => text,
    }
}
