//! The canonical text of a value (RFC 8785, section 3.2).

use super::lexer::plain_bytes;
use super::number;
use super::value::Json;

impl Json {
    /// The RFC 8785 bytes of this value.
    pub fn to_canonical_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        out
    }

    // The reader and the serializer both end at MAX_DEPTH: so does this recursion over what they made.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(value) => number::write(value.get(), out),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => write_parts(*b"[]", items.iter(), out, Self::write),
            Self::Object(object) => write_object(object.iter(), out),
        }
    }

    /// The RFC 8785 bytes of this value, were these members not in it.
    pub fn canonical_bytes_without(&self, members: &[&str]) -> Vec<u8> {
        let Self::Object(object) = self else { return self.to_canonical_bytes() };
        let mut out = Vec::with_capacity(1024);
        write_object(object.iter().filter(|(name, _)| !members.contains(name)), &mut out);
        out
    }
}

fn write_object<'a>(members: impl Iterator<Item = (&'a str, &'a Json)>, out: &mut Vec<u8>) {
    write_parts(*b"{}", members, out, |(name, value), out| {
        write_string(name, out);
        out.push(b':');
        value.write(out);
    });
}

fn write_parts<T>([start, end]: [u8; 2], parts: impl Iterator<Item = T>, out: &mut Vec<u8>, put: fn(T, &mut Vec<u8>)) {
    out.push(start);
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(part, out);
    }
    out.push(end);
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, tail) = rest.split_at_checked(plain_bytes(rest)).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.push(b'"');
}
