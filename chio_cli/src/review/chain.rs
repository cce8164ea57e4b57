//! What is left of a chain's grants when every token has had its say.

use chio_core::capability::{CapabilityChain, CapabilityToken, Grant, MAX_CHAIN_TOKENS};
use chio_core::time::Window;
use serde_json::{Value, json};

use super::conflict::{Patience, Read, conflict, never};

/// What a chain allows. It is no proof that it does: nothing is verified here.
#[derive(Debug)]
pub(crate) struct Review<'a> {
    /// When all tokens are valid; none if they never are at once.
    pub(crate) window: Option<Window>,
    /// How many tokens can follow.
    pub(crate) remaining_depth: u64,
    /// The names that a kernel needs, all of them.
    pub(crate) audiences: Vec<&'a str>,
    /// What can be called.
    pub(crate) tools: Vec<Tool<'a>>,
    /// What the last token grants, and nobody can ever use.
    pub(crate) unusable: Vec<Unusable<'a>>,
}

/// A tool that can be called, and on which terms.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) server: &'a str,
    pub(crate) name: &'a str,
    /// The grants of it in each token, root first: one of each has to cover a call.
    pub(crate) hops: Vec<Vec<&'a Grant>>,
    /// The fewest calls that a token allows, and which token.
    pub(crate) most_calls: Option<(u64, usize)>,
}

/// A grant that can never be used.
#[derive(Debug)]
pub(crate) struct Unusable<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) why: String,
}

impl<'a> Review<'a> {
    pub(crate) fn of(chain: &'a CapabilityChain) -> Self {
        let tokens: Vec<&CapabilityToken> = chain.tokens().collect();
        let starts = tokens.iter().map(|token| token.issued_at).max().unwrap_or_default();
        let ends = tokens.iter().map(|token| token.expires_at).min().unwrap_or_default();
        let window = (starts < ends).then_some(Window { issued_at: starts, expires_at: ends });
        let mut audiences: Vec<&str> = tokens.iter().filter_map(|token| token.audience.as_deref()).collect();
        audiences.sort_unstable();
        audiences.dedup();
        let room = u64::try_from(MAX_CHAIN_TOKENS.saturating_sub(tokens.len())).unwrap_or_default();

        let patience = Patience::default();
        let mut usable: Vec<Vec<Read<'_>>> = Vec::new();
        let mut unusable = Vec::new();
        for token in &tokens {
            let (mut alive, mut dead) = (Vec::new(), Vec::new());
            for grant in &token.grants {
                let read = Read::new(grant);
                match why_never(&read, &usable, &tokens, &patience) {
                    None => alive.push(read),
                    Some(why) => dead.push(Unusable { grant, why }),
                }
            }
            usable.push(alive);
            unusable = dead;
        }
        let tools = if window.is_some() { tools(&usable) } else { Vec::new() };
        let remaining_depth = chain.leaf().max_depth.min(room);
        Self { window, remaining_depth, audiences, tools, unusable }
    }

    pub(crate) fn to_json(&self) -> Value {
        let tool = |tool: &Tool<'_>| {
            json!({
                "tool_server": tool.server, "tool_name": tool.name, "tokens": tool.hops,
                "max_invocations": tool.most_calls.map(|(calls, _)| calls),
            })
        };
        let unusable = |Unusable { grant, why }: &Unusable<'_>| json!({"tool_server": grant.tool_server, "tool_name": grant.tool_name, "reason": why});
        json!({
            "audiences": self.audiences,
            "expires_at": self.window.map(|window| window.expires_at),
            "issued_at": self.window.map(|window| window.issued_at),
            "remaining_depth": self.remaining_depth,
            "tools": self.tools.iter().map(tool).collect::<Vec<_>>(),
            "unusable": self.unusable.iter().map(unusable).collect::<Vec<_>>(),
        })
    }
}

fn why_never(
    here: &Read<'_>,
    usable: &[Vec<Read<'_>>],
    tokens: &[&CapabilityToken],
    patience: &Patience,
) -> Option<String> {
    if let Some(why) = never(here) {
        return Some(why);
    }
    let is_same = |other: &Grant| other.names(&here.grant.tool_server, &here.grant.tool_name);
    for (index, (alive, token)) in usable.iter().zip(tokens).enumerate() {
        if !token.grants.iter().any(is_same) {
            return Some(format!("token {index} does not grant this tool"));
        }
        let mut whys = Vec::new();
        for above in alive.iter().filter(|above| is_same(above.grant)) {
            match conflict(here, above, index, patience) {
                None => break,
                Some(why) => whys.push(why),
            }
        }
        if whys.len() == alive.iter().filter(|above| is_same(above.grant)).count() {
            let first = whys.into_iter().next();
            return Some(first.unwrap_or_else(|| format!("what token {index} grants of this tool can never be used")));
        }
    }
    None
}

fn tools<'a>(usable: &[Vec<Read<'a>>]) -> Vec<Tool<'a>> {
    let mut tools: Vec<Tool<'a>> = Vec::new();
    for leaf in usable.last().into_iter().flatten().map(|read| read.grant) {
        let (server, name) = (leaf.tool_server.as_str(), leaf.tool_name.as_str());
        if tools.iter().any(|tool| tool.server == server && tool.name == name) {
            continue;
        }
        let of_token = |grants: &Vec<Read<'a>>| -> Vec<&'a Grant> {
            grants.iter().map(|read| read.grant).filter(|grant| grant.names(server, name)).collect()
        };
        let hops: Vec<Vec<&Grant>> = usable.iter().map(of_token).collect();
        // One grant without a bound, and its token counts nothing.
        let calls = |grants: &Vec<&Grant>| {
            grants
                .iter()
                .map(|grant| grant.max_invocations)
                .try_fold(0u64, |sum, calls| Some(sum.saturating_add(calls?)))
        };
        let bounds = hops.iter().enumerate().filter_map(|(index, grants)| Some((calls(grants)?, index)));
        tools.push(Tool { server, name, most_calls: bounds.min(), hops });
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::capability::Terms;
    use chio_core::crypto::Keypair;

    const CALLS: &str = "it allows 0 calls";

    fn key() -> Keypair {
        Keypair::from_seed(&[7; 32])
    }

    fn terms(grants: &Value, max_depth: u64) -> Terms {
        Terms {
            subject: key().public_key(),
            audience: None,
            issued_at: 1000,
            expires_at: 2000,
            grants: serde_json::from_value(grants.clone()).unwrap(),
            max_depth,
            serial: "0".repeat(32),
        }
    }

    fn chain(tokens: &[Value]) -> CapabilityChain {
        let (root, rest) = tokens.split_first().unwrap();
        let mut chain = CapabilityChain::root(CapabilityToken::issue(terms(root, 20), &key()).unwrap());
        for (depth, grants) in (0..20).rev().zip(rest) {
            chain = chain.attenuate(terms(grants, depth), &key()).unwrap();
        }
        chain
    }

    fn of(arguments: &Value) -> Value {
        json!([{"tool_server": "s", "tool_name": "t", "arguments": arguments}])
    }

    fn rule(text: &str) -> Value {
        json!(crate::rules::argument(&format!("/a={text}")).unwrap().1)
    }

    /// Why the last of these tokens can never be used: an empty text where it can.
    fn why(tokens: &[Value]) -> String {
        let chain = chain(tokens);
        let review = Review::of(&chain);
        assert_eq!(review.tools.is_empty(), !review.unusable.is_empty());
        review.unusable.first().map(|unusable| unusable.why.clone()).unwrap_or_default()
    }

    #[test]
    fn rules_that_exclude_each_other() {
        for (above, here) in [
            ("exact:1", "exact:2"),
            ("exact:1", "one_of:2,3"),
            ("one_of:a,b", "exact:c"),
            ("range:1..5", "exact:6"),
            ("exact:6", "range:1..5"),
            ("range:1..5", "range:6..9"),
            ("path_containment:/srv/docs", "path_containment:/srv/docs2"),
            ("path_containment:/srv", "exact:/srv/../etc"),
            ("not_one_of:a,b", "one_of:a,b"),
            ("subset:a,b", "contains:c"),
            ("range:1..5", "path_containment:/srv"),
            ("subset:a", "range:1..5"),
            ("max_length:5", "subset:a"),
            ("cidr:10.0.0.0/8", "one_of:11.0.0.1,a"),
            ("pattern:*.md", "exact:a.txt"),
        ] {
            for (above, here) in [(above, here), (here, above)] {
                let why = why(&[of(&json!({"/a": rule(above)})), of(&json!({"/a": rule(here)}))]);
                assert!(why.contains("exclude each other"), "{above} {here}: {why}");
            }
        }
    }

    #[test]
    fn rules_that_a_value_satisfies() {
        for (above, here) in [
            ("exact:1", "exact:1.0"),
            ("one_of:a,b", "one_of:b,c"),
            ("range:1..5", "range:5..9"),
            ("path_containment:/srv", "path_containment:/srv/docs"),
            ("path_containment:/", "path_containment:/srv"),
            ("not_one_of:a", "one_of:a,b"),
            ("subset:a,b", "contains:a"),
            ("wildcard", "range:1..5"),
            ("max_length:5", "path_containment:/srv"),
        ] {
            for (above, here) in [(above, here), (here, above)] {
                assert_eq!(
                    why(&[of(&json!({"/a": rule(above)})), of(&json!({"/a": rule(here)}))]),
                    "",
                    "{above} {here}"
                );
            }
        }
        let exclusive = json!({"constraint_type": "range", "max": 5, "max_inclusive": false});
        let touching = [of(&json!({"/a": exclusive})), of(&json!({"/a": rule("range:5..9")}))];
        assert!(why(&touching).contains("exclude"));
        let any = json!({"constraint_type": "any", "constraints": [rule("exact:1"), rule("exact:2")]});
        let all = json!({"constraint_type": "all", "constraints": [rule("range:1.."), rule("range:..3")]});
        assert_eq!(why(&[of(&json!({"/a": any})), of(&json!({"/a": all}))]), "");
        assert!(why(&[of(&json!({"/a": any})), of(&json!({"/a": rule("exact:3")}))]).contains("exclude"));
        assert!(why(&[of(&json!({"/a": rule("exact:4")})), of(&json!({"/a": all}))]).contains("exclude"));
    }

    #[test]
    fn members_that_are_required_or_not_let_in() {
        let one = rule("exact:1");
        let maybe = rule("optional:exact:1");
        let other = rule("optional:exact:2");
        for (above, here, what) in [
            (json!({"/a": one}), json!({"/a": one, "/b": one}), "it requires `/b`, which token 0 does not grant"),
            (json!({"/a": one, "/b": one}), json!({"/a": one}), "token 0 requires `/b`, which it does not name"),
            (json!({}), json!({"/a": one}), "it requires `/a`"),
            (json!({"/a": one}), json!({}), "token 0 requires `/a`"),
            (json!({"/a/b": one}), json!({"/a/c": one}), "it requires `/a/c`"),
            (json!({"/a/b": one}), json!({"/a/c": maybe}), "token 0 requires `/a/b`"),
            (json!({"/a/*": one}), json!({"/a/b": one}), "it requires `/a/b`"),
            (json!({"/a": one}), json!({"/a": maybe, "/b": maybe}), ""),
            (json!({"/a": maybe}), json!({"/b": maybe}), ""),
            (json!({"/a": maybe}), json!({"/a": other}), ""),
            (json!({"/a": one}), json!({"/a": other}), "exclude each other"),
            (json!({"/a": one}), json!({"": rule("wildcard")}), ""),
            (json!({"/a": rule("wildcard")}), json!({"/a/b": one}), ""),
            (json!({"/a/*": one}), json!({"/a/0": one}), ""),
            (json!({"/a": maybe, "/a/b": one}), json!({"/a": maybe}), ""),
            (json!({"/a/*": one}), json!({"/b": one}), "it requires `/b`"),
        ] {
            let why = why(&[of(&above), of(&here)]);
            assert!(if what.is_empty() { why.is_empty() } else { why.contains(what) }, "{above} {here}: {why}");
        }
    }

    #[test]
    fn tools_and_calls() {
        let tool = |name: &str, calls: Option<u64>| {
            let mut grant = json!({"tool_server": "s", "tool_name": name});
            if let Some(calls) = calls {
                grant["max_invocations"] = json!(calls);
            }
            grant
        };
        assert_eq!(why(&[json!([tool("a", None)]), json!([tool("b", None)])]), "token 0 does not grant this tool");
        assert_eq!(why(&[json!([tool("a", None)]), json!([tool("a", Some(0))])]), CALLS);
        assert_eq!(
            why(&[json!([tool("a", Some(0))]), json!([tool("a", None)])]),
            "what token 0 grants of this tool can never be used"
        );
        let pinned = |digit: &str| {
            let mut grant = tool("a", None);
            grant["definition"] = json!(digit.repeat(64));
            json!([grant])
        };
        assert!(why(&[pinned("a"), pinned("b")]).contains("pins another definition"));
        assert_eq!(why(&[pinned("a"), pinned("a")]), "");
        assert_eq!(why(&[json!([tool("a", None)]), pinned("a")]), "");
        let chain = chain(&[
            json!([tool("a", Some(3)), tool("a", Some(4)), tool("b", None)]),
            json!([tool("a", Some(9)), tool("b", Some(2)), tool("b", None)]),
        ]);
        let review = Review::of(&chain);
        let calls: Vec<_> = review.tools.iter().map(|tool| (tool.name, tool.most_calls)).collect();
        assert_eq!(calls, [("a", Some((7, 0))), ("b", None)]);
        assert_eq!(review.remaining_depth, 14);
    }

    #[test]
    fn one_of_two_grants_is_enough() {
        let above = json!([
            {"tool_server": "s", "tool_name": "t", "arguments": {"/a": rule("exact:1")}},
            {"tool_server": "s", "tool_name": "t", "arguments": {"/a": rule("exact:2")}},
        ]);
        assert_eq!(why(&[above.clone(), of(&json!({"/a": rule("exact:2")}))]), "");
        assert!(why(&[above, of(&json!({"/a": rule("exact:3")}))]).contains("exclude each other"));
    }

    #[test]
    fn a_type_that_nobody_knows_lets_nothing_through() {
        let unknown = of(&json!({"/a": {"constraint_type": "from_the_future"}}));
        assert!(why(&[unknown]).contains("no value satisfies"));
    }
}
