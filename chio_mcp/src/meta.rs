//! What Chio adds to the `_meta` of parameters and results, and takes out again, so that each side finds what the other sent.

use std::borrow::Cow;

use crate::json::{Object, quoted};
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
    own: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Taken<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.own.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// Whether a name is kept for Chio, however some reader folds it.
pub(crate) fn is_own(name: &str) -> bool {
    if name.is_ascii() {
        return name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    }
    folded(name).starts_with(PREFIX)
}

/// Takes Chio's own out of an object's `_meta`.
pub(crate) fn take(text: &str) -> Taken<'_> {
    let whole = || Taken { rest: Some(Cow::Borrowed(text)), own: Vec::new() };
    let Ok(object) = Object::read(text) else { return whole() };
    let Some(meta) = object.object("_meta") else { return whole() };
    let own: Vec<_> = meta.members().iter().filter(|member| is_own(&member.name)).collect();
    if own.is_empty() {
        return whole();
    }
    let own: Vec<_> = own.into_iter().map(|member| (member.name.clone(), meta.value(member))).collect();
    let left = meta.only(|member| !is_own(&member.name));
    let added = own.iter().find(|(name, _)| name == ADDED).map(|(_, value)| *value);
    let rest = match added {
        Some("\"_meta\"" | "\"params\"") if left == "{}" => {
            let rest = object.only(|member| member.name != "_meta");
            if rest == "{}" && added == Some("\"params\"") { None } else { Some(rest) }
        }
        _ => Some(object.with("_meta", &left)),
    };
    Taken { rest: rest.map(Cow::Owned), own }
}

/// Puts entries into an object's `_meta`. Where there is no object yet, or no `_meta` in it, it says so for [`take`].
pub(crate) fn put(text: Option<&str>, entries: &[(&str, &str)]) -> Option<String> {
    let object = text.map(Object::read).transpose().ok()?;
    let meta = object.as_ref().and_then(|object| object.object("_meta"));
    let added = match (&object, &meta) {
        (_, Some(_)) => None,
        (Some(object), None) if object.get("_meta").is_some() => return None,
        (Some(_), None) => Some("_meta"),
        (None, None) => Some("params"),
    };
    let added = added.map(|added| (ADDED, quoted(added)));
    let entries = entries.iter().copied().chain(added.iter().map(|(name, value)| (*name, value.as_str())));
    let new = with_all(meta.as_ref().map_or_else(|| "{}".to_owned(), |meta| meta.only(|_| true)), entries)?;
    Some(object.map_or_else(|| format!("{{\"_meta\":{new}}}"), |object| object.with("_meta", &new)))
}

/// Puts entries into the `_meta` of a result that is handed to a client, which needs to know of no more.
pub(crate) fn put_plainly(text: &str, entries: &[(&str, &str)]) -> Option<String> {
    let object = Object::read(text).ok()?;
    let meta = with_all(object.get("_meta").unwrap_or("{}").to_owned(), entries.iter().copied())?;
    Some(object.with("_meta", &meta))
}

/// An object with these entries; nothing where it is none.
fn with_all<'a>(mut text: String, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<String> {
    for (name, value) in entries {
        text = Object::read(&text).ok()?.with(name, value);
    }
    Some(text)
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
            let put = put(text, &[(CALL, "{\"x\":1}"), (NONCE, "\"n\"")]).unwrap();
            let taken = take(&put);
            assert_eq!(
                (taken.get(CALL), taken.get(NONCE), taken.get(RECEIPT)),
                (Some("{\"x\":1}"), Some("\"n\""), None)
            );
            let expected = text.map(|text| text.replace("{ \"a\" : 1 }", "{\"a\" : 1}"));
            assert_eq!(taken.rest.as_deref(), expected.as_deref(), "{text:?}");
        }
        assert_eq!(put(Some("{\"_meta\":1}"), &[(CALL, "1")]), None);
    }

    #[test]
    fn all_of_chios_own_is_taken_however_it_is_written() {
        let text = "{\"_meta\":{\"Dev.Chio/Call\":1,\"dev.ch\\u0069o/x\":2,\"dev.chi\\u006f/call\":3,\"dev.chio\":4}}";
        let taken = take(text);
        assert_eq!(taken.rest.as_deref(), Some("{\"_meta\":{\"dev.chio\":4}}"));
        assert_eq!(taken.get(CALL), Some("3"));
        // A marker takes nothing out that holds anything.
        let marked = take("{\"_meta\":{\"dev.chio/added\":\"params\",\"a\":1}}").rest.unwrap().into_owned();
        assert_eq!(marked, "{\"_meta\":{\"a\":1}}");
        let marked = take("{\"b\":1,\"_meta\":{\"dev.chio/added\":\"params\"}}").rest.unwrap().into_owned();
        assert_eq!(marked, "{\"b\":1}");
    }
}
