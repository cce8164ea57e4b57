//! The method table: what becomes of each request of a client. What is not in it is denied.

use std::collections::BTreeMap;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It passes, without what it presents.
    Pass,
    /// It passes to whoever is proven, and its answer shows what the capability grants: `tools/list` alone.
    List,
    /// It is a call, and the kernel decides. The tool is named by the call, or it is the method itself.
    Check,
    /// It is answered that there is no such method.
    Deny,
}

/// The default, by method.
pub const DEFAULT: [(&str, Rule); 24] = [
    ("tools/call", Rule::Check),
    ("tools/list", Rule::List),
    ("resources/read", Rule::Check),
    ("prompts/get", Rule::Check),
    ("completion/complete", Rule::Check),
    ("tasks/get", Rule::Check),
    ("tasks/result", Rule::Check),
    ("tasks/list", Rule::Check),
    ("tasks/cancel", Rule::Check),
    ("tasks/update", Rule::Check),
    ("initialize", Rule::Pass),
    ("server/discover", Rule::Pass),
    ("ping", Rule::Pass),
    ("logging/setLevel", Rule::Pass),
    ("resources/list", Rule::Pass),
    ("resources/templates/list", Rule::Pass),
    ("resources/subscribe", Rule::Pass),
    ("resources/unsubscribe", Rule::Pass),
    ("prompts/list", Rule::Pass),
    ("subscriptions/listen", Rule::Pass),
    ("notifications/initialized", Rule::Pass),
    ("notifications/cancelled", Rule::Pass),
    ("notifications/progress", Rule::Pass),
    ("notifications/roots/list_changed", Rule::Pass),
];

/// What every other `tasks/…` is: a call.
const TASKS: &str = "tasks/";

/// Requests without which no connection comes about. A signer presents nothing with them.
const LIFECYCLE: [&str; 3] = ["initialize", "server/discover", "ping"];

/// What becomes of each method.
#[derive(Clone, Debug)]
pub struct Methods {
    rules: BTreeMap<String, Rule>,
}

impl Default for Methods {
    fn default() -> Self {
        Self { rules: DEFAULT.into_iter().map(|(method, rule)| (method.to_owned(), rule)).collect() }
    }
}

impl Methods {
    /// Sets the rule of a method.
    /// Fails where it must not be changed: `tools/call` is always checked, and `tools/list` shows what is granted, or is
    /// denied; no other method is a list of tools.
    pub fn set(&mut self, method: &str, rule: Rule) -> Result<(), String> {
        match (method, rule) {
            ("tools/call", Rule::Check) | ("tools/list", Rule::List | Rule::Deny) => {}
            ("tools/call", _) => return Err("`tools/call` is always checked".into()),
            ("tools/list", _) => return Err("`tools/list` shows what is granted (\"list\"), or is denied".into()),
            (_, Rule::List) => return Err("`tools/list` alone can be a \"list\"".into()),
            _ => {}
        }
        self.rules.insert(method.to_owned(), rule);
        Ok(())
    }

    /// The rule of a method.
    pub fn rule(&self, method: &str) -> Rule {
        let default = if method.starts_with(TASKS) { Rule::Check } else { Rule::Deny };
        self.rules.get(method).copied().unwrap_or(default)
    }

    /// Whether a tool of this name could be taken for a method that is checked under its own.
    pub(crate) fn is_method(&self, name: &str) -> bool {
        self.rules.contains_key(name) || name.starts_with(TASKS)
    }
}

/// Whether a signer presents something with a request of this method.
pub(crate) fn is_presented(method: &str) -> bool {
    !LIFECYCLE.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_always_checked_and_what_is_unknown_is_denied() {
        let mut methods = Methods::default();
        for rule in [Rule::Pass, Rule::Deny, Rule::List] {
            assert!(methods.set("tools/call", rule).is_err());
        }
        assert!(methods.set("tools/list", Rule::Pass).is_err() && methods.set("x", Rule::List).is_err());
        for (method, rule) in
            [("tools/call", Rule::Check), ("Tools/call", Rule::Deny), ("x", Rule::Deny), ("tasks/new", Rule::Check)]
        {
            assert_eq!(methods.rule(method), rule, "{method}");
        }
        methods.set("x", Rule::Pass).unwrap();
        methods.set("resources/read", Rule::Pass).unwrap();
        assert_eq!((methods.rule("x"), methods.rule("resources/read")), (Rule::Pass, Rule::Pass));
    }
}
