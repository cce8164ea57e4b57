//! What of a request is covered: the tool that it is a call of, and the arguments that a proof binds and grants judge.
//! A guard and a signer both ask here, so that they mean the same.
//!
//! Of `tools/call` the tool is the one it names, and the arguments are its own. Whatever else its parameters have, but for
//! `_meta`, is covered as `dev.chio/NAME` among them: a grant with rules has to name it, such as
//! `/dev.chio~1inputResponses`. Of every other method the tool is the method, and the arguments are its parameters but
//! for `_meta`.

use std::borrow::Cow;

use crate::json::{Object, joined, quoted};
use crate::message::{INVALID_PARAMS, Refusal};
use crate::meta::is_own;

/// What a request does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) tool_name: String,
    /// A JSON object, as it is written.
    pub(crate) arguments: String,
}

impl Action {
    pub(crate) fn of(id: &str, method: &str, params: Option<&Object<'_>>) -> Result<Self, Refusal> {
        let refuse = |what: &str| Err(Refusal { id: id.to_owned(), code: INVALID_PARAMS, what: what.to_owned() });
        let empty = || Cow::Borrowed("{}");
        if method != "tools/call" {
            let arguments = params.map_or_else(empty, |params| params.only(|member| member.name != "_meta").into());
            return Ok(Self { tool_name: method.to_owned(), arguments: arguments.into_owned() });
        }
        let Some((params, name)) = params.and_then(|params| Some((params, params.string("name")?))) else {
            return refuse("a `tools/call` has a `name`");
        };
        let arguments = params.find("arguments").map(|arguments| params.inner(arguments));
        let Some(arguments) = arguments.unwrap_or_else(|| Object::read("{}").ok()) else {
            return refuse("`arguments` is an object");
        };
        if arguments.members().iter().any(|member| is_own(&member.name)) {
            return refuse("an argument has a name that begins with `dev.chio/`");
        }
        let besides = params.members().iter().filter(|member| !matches!(&*member.name, "name" | "arguments" | "_meta"));
        let besides: Vec<_> = besides
            .map(|member| format!("{}:{}", quoted(&format!("dev.chio/{}", member.name)), params.value(member)))
            .collect();
        let own = arguments.members().iter().map(|member| arguments.whole(member));
        let arguments = joined(own.chain(besides.iter().map(String::as_str)));
        Ok(Self { tool_name: name.into_owned(), arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: &str, params: Option<&str>) -> Result<(String, String), String> {
        let params = params.map(|params| Object::read(params).unwrap());
        let action = Action::of("1", method, params.as_ref()).map_err(|refusal| refusal.what)?;
        Ok((action.tool_name, action.arguments))
    }

    #[test]
    fn all_of_the_parameters_but_meta_is_covered() {
        for (method, params, tool, arguments) in [
            ("tools/call", r#"{"name":"t"}"#, "t", "{}"),
            ("tools/call", r#"{"_meta":{"a":1},"name":"t","arguments":{"b" : 1e3}}"#, "t", r#"{"b" : 1e3}"#),
            (
                "tools/call",
                r#"{"requestState":"s","name":"t","inputResponses":{"q":1},"arguments":{"a":1}}"#,
                "t",
                r#"{"a":1,"dev.chio/requestState":"s","dev.chio/inputResponses":{"q":1}}"#,
            ),
            ("tools/call", r#"{"name":"t","task":{"ttl":1}}"#, "t", r#"{"dev.chio/task":{"ttl":1}}"#),
            ("resources/read", r#"{"uri":"a","_meta":{}}"#, "resources/read", r#"{"uri":"a"}"#),
            ("prompts/get", r#"{"name":"p","requestState":"s"}"#, "prompts/get", r#"{"name":"p","requestState":"s"}"#),
        ] {
            assert_eq!(action(method, Some(params)), Ok((tool.to_owned(), arguments.to_owned())), "{params}");
        }
        assert_eq!(action("tools/list", None), Ok(("tools/list".into(), "{}".into())));
        for params in [
            None,
            Some(r#"{"name":1}"#),
            Some(r#"{"name":"t","arguments":[]}"#),
            Some(r#"{"name":"t","arguments":null}"#),
            Some(r#"{"name":"t","arguments":{"dev.chio/task":1}}"#),
            Some(r#"{"name":"t","arguments":{"DEV.chio/x":1}}"#),
        ] {
            assert!(action("tools/call", params).is_err(), "{params:?}");
        }
    }
}
