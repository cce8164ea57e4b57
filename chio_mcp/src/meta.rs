//! What Chio adds to the `_meta` of parameters and results, and takes out again, so that each side finds what the other sent.

use std::borrow::Cow;

use crate::json::{Member, Object, joined, quoted};
use crate::message::folded;

/// What begins like this is Chio's own.
const PREFIX: &str = "dev.chio/";
/// A capability and a proof: what a call presents.
pub const CALL: &str = "dev.chio/call";
/// The receipt of the outcome of a call, or of its denial.
pub const RECEIPT: &str = "dev.chio/receipt";
/// The receipt of the decision that allowed a call.
pub const DECISION: &str = "dev.chio/decision";
/// A nonce that the guard's kernel gave out. A longer one that begins with it is one, too.
pub const NONCE: &str = "dev.chio/nonce";
/// Which containers were not there before: they are taken out again when they are empty.
const ADDED: &str = "dev.chio/added";

/// An object without Chio's own, and what that was.
pub(crate) struct Taken<'a> {
    /// What is left; nothing where the object itself was only added to hold it.
    pub(crate) rest: Option<Cow<'a, str>>,
    /// The `_meta` that had it.
    own: Option<Object<'a>>,
}

impl<'a> Taken<'a> {
    /// Whether there was nothing of it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.own.is_none()
    }

    /// What it is by one of Chio's own names.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.own.as_ref()?.get(name)
    }

    /// Likewise, as a member.
    pub(crate) fn member(&self, name: &str) -> Option<(&Object<'a>, &Member<'a>)> {
        self.own.as_ref().and_then(|own| Some((own, own.find(name)?)))
    }
}

/// Whether a name is kept for Chio, however some reader folds it.
pub(crate) fn is_own(name: &str) -> bool {
    if name.is_ascii() {
        return name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    }
    folded(name).starts_with(PREFIX)
}

/// Takes Chio's own out of the `_meta` of a member; nothing where there is no such member.
pub(crate) fn take_from<'a>(object: &Object<'a>, name: &str) -> Option<Taken<'a>> {
    let member = object.find(name)?;
    let whole = || Taken { rest: Some(Cow::Borrowed(object.value(member))), own: None };
    Some(object.inner(member).as_ref().map_or_else(whole, take))
}

/// Takes Chio's own out of an object's `_meta`.
fn take<'a>(object: &Object<'a>) -> Taken<'a> {
    let meta = object.object("_meta");
    let Some(own) = meta.filter(|meta| meta.members().iter().any(|member| is_own(&member.name))) else {
        return Taken { rest: Some(Cow::Borrowed(object.text())), own: None };
    };
    let left = own.only(|member| !is_own(&member.name));
    let added = own.get(ADDED);
    let rest = match added {
        Some("\"_meta\"" | "\"params\"") if left == "{}" => {
            let rest = object.only(|member| member.name != "_meta");
            if rest == "{}" && added == Some("\"params\"") { None } else { Some(rest) }
        }
        _ => Some(object.with("_meta", &left)),
    };
    Taken { rest: rest.map(Cow::Owned), own: Some(own) }
}

/// Puts entries into an object's `_meta`, of which none is there. Where there is no object yet, or no `_meta` in it, it
/// says so for [`take`].
/// Nothing where its `_meta` is no object.
pub(crate) fn put(object: Option<&Object<'_>>, entries: &[(&str, &str)]) -> Option<String> {
    let new = |added: &str| entries_of(&[entries, &[(ADDED, &*quoted(added))]].concat());
    match object {
        None => Some(entries_of(&[("_meta", &new("params"))])),
        Some(object) if object.find("_meta").is_none() => Some(object.with("_meta", &new("_meta"))),
        Some(_) => put_plainly(object?, entries),
    }
}

/// Puts entries into the `_meta` of a result that is handed to a client, which needs to know of no more.
pub(crate) fn put_plainly(object: &Object<'_>, entries: &[(&str, &str)]) -> Option<String> {
    let meta = match object.find("_meta") {
        Some(meta) => object.inner(meta)?.with_first(entries),
        None => entries_of(entries),
    };
    Some(object.with("_meta", &meta))
}

/// An object of entries.
fn entries_of(entries: &[(&str, &str)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    joined(entries.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_out_and_nothing_else_is_touched() {
        for text in [
            None,
            Some("{}"),
            Some("{ \"a\" : 1 }"),
            Some("{\"_meta\":{},\"a\":1}"),
            Some("{\"a\":1,\"_meta\":{\"progressToken\" : 12345678901234567890}}"),
            Some("{\"_meta\":{\"z\":1,\"b\":[2]}}"),
        ] {
            let object = text.map(|text| Object::read(text).unwrap());
            let put = put(object.as_ref(), &[(CALL, "{\"x\":1}"), (NONCE, "\"n\"")]).unwrap();
            let put = Object::read(&put).unwrap();
            let taken = take(&put);
            assert_eq!(
                (taken.get(CALL), taken.get(NONCE), taken.get(RECEIPT)),
                (Some("{\"x\":1}"), Some("\"n\""), None)
            );
            let expected = text.map(|text| text.replace("{ \"a\" : 1 }", "{\"a\" : 1}"));
            assert_eq!(taken.rest.as_deref(), expected.as_deref(), "{text:?}");
        }
        assert_eq!(put(Object::read("{\"_meta\":1}").ok().as_ref(), &[(CALL, "1")]), None);
    }

    #[test]
    fn all_of_chios_own_is_taken_however_it_is_written() {
        let text = "{\"_meta\":{\"Dev.Chio/Call\":1,\"dev.ch\\u0069o/x\":2,\"dev.chi\\u006f/call\":3,\"dev.chio\":4}}";
        let taken = take(&Object::read(text).unwrap());
        assert_eq!(taken.rest.as_deref(), Some("{\"_meta\":{\"dev.chio\":4}}"));
        assert_eq!(taken.get(CALL), Some("3"));
        // A marker takes nothing out that holds anything.
        let marked = take(&Object::read("{\"_meta\":{\"dev.chio/added\":\"params\",\"a\":1}}").unwrap())
            .rest
            .unwrap()
            .into_owned();
        assert_eq!(marked, "{\"_meta\":{\"a\":1}}");
        let marked = take(&Object::read("{\"b\":1,\"_meta\":{\"dev.chio/added\":\"params\"}}").unwrap())
            .rest
            .unwrap()
            .into_owned();
        assert_eq!(marked, "{\"b\":1}");
    }
}
