//! Sections 7 and 8 of the protocol: the constraints that look inside a text.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// A character of which NFKC makes something that matters, or that is taken for a slash or a backslash.
fn looks_alike(character: char) -> bool {
    let matters = |character: char| r#"./\%:;@~$`'"*?[{#-"#.contains(character);
    let others = ['\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}', '\u{a5}', '\u{20a9}'];
    let small = [0xfe10..=0xfe19, 0xfe30..=0xfe6b].iter().any(|range| range.contains(&u32::from(character)));
    !character.is_ascii() && (small || others.contains(&character) || [character].into_iter().nfkc().any(matters))
}

/// A plain text.
fn is_plain(text: &str) -> bool {
    let is_escape = |after: &str| {
        let two: Vec<_> = after.chars().take(2).collect();
        matches!(two[..], ['u' | 'U', ..]) || (two.len() == 2 && two.iter().all(char::is_ascii_hexdigit))
    };
    let escapes = text.match_indices('%').any(|(at, _)| is_escape(&text[at + 1..]));
    let is_strange = |character: char| character.is_control() || character == '\\' || looks_alike(character);
    let braces = text.find('{').zip(text.rfind('}')).and_then(|(open, close)| text.get(open..close));
    !escapes && !text.contains(is_strange) && !braces.is_some_and(|inside| inside.contains([',', '.']))
}

/// Characters that take no room.
fn takes_no_room(character: char) -> bool {
    let ranges = [
        0xad..=0xad,
        0x34f..=0x34f,
        0x61c..=0x61c,
        0x115f..=0x1160,
        0x17b4..=0x17b5,
        0x180b..=0x180f,
        0x200b..=0x200f,
        0x2028..=0x202e,
        0x2060..=0x206f,
        0x3164..=0x3164,
        0xfe00..=0xfe0f,
        0xfeff..=0xfeff,
        0xffa0..=0xffa0,
        0xfff0..=0xfffb,
        0x1bca0..=0x1bca3,
        0x1d173..=0x1d17a,
        0xe0000..=0xe0fff,
    ];
    ranges.iter().any(|range| range.contains(&u32::from(character)))
}

/// Rule 2 for paths: what names nothing, or could become what is above.
fn names_nothing(segment: &str) -> bool {
    let is_nothing = |character: char| character == '.' || character.is_whitespace() || takes_no_room(character);
    let count = |what: &str| segment.chars().filter(|character| what.contains(*character)).count();
    let begins = segment.chars().find(|character| !takes_no_room(*character));
    segment.chars().all(is_nothing)
        || (begins == Some('.') && count("*?[{($") > 0)
        || (count("$") > 0 && count(".*?[{") > 1)
}

/// The segments of a path that has a normal form.
fn segments(path: &Value) -> Option<Vec<&str>> {
    let path = path.as_str()?;
    if !path.starts_with('/') || !is_plain(path) {
        return None;
    }
    let segments: Vec<_> = path.strip_suffix('/').unwrap_or(path).split('/').skip(1).collect();
    // An empty one consists of nothing else, too.
    (!segments.iter().any(|segment| names_nothing(segment))).then_some(segments)
}

pub(super) fn is_inside(path: &Value, root: &Value) -> bool {
    match (segments(path), segments(root)) {
        (Some(path), Some(root)) => path.starts_with(&root),
        _ => false,
    }
}

/// A glob: `?` is one character, `*` any number, none of them a slash; `**` is any text.
pub(super) fn matches(text: &Value, glob: &Value) -> bool {
    fn rest_matches(text: &[char], glob: &[char]) -> bool {
        match glob {
            [] => text.is_empty(),
            ['*', '*', glob @ ..] => (0..=text.len()).any(|from| rest_matches(&text[from..], glob)),
            ['*', glob @ ..] => {
                let segment = text.iter().position(|character| *character == '/').unwrap_or(text.len());
                (0..=segment).any(|from| rest_matches(&text[from..], glob))
            }
            ['?', glob @ ..] => matches!(text, [one, text @ ..] if *one != '/' && rest_matches(text, glob)),
            [one, glob @ ..] => matches!(text, [other, text @ ..] if one == other && rest_matches(text, glob)),
        }
    }
    let (Some(text), Some(glob)) = (text.as_str(), glob.as_str()) else { return false };
    let is_dots = |segment: &str| !segment.is_empty() && names_nothing(segment);
    let [characters, glob] = [text, glob].map(|text| text.chars().collect::<Vec<_>>());
    let alike = characters.iter().zip(&glob).take_while(|(one, other)| one == other).count();
    let head = match characters[..] {
        ['-' | '~', ..] => 1,
        [letter, ':', ..] if letter.is_ascii_alphabetic() => 2,
        [first, ..] if takes_no_room(first) => 1,
        _ => 0,
    };
    alike >= head
        && is_plain(text)
        && !text.contains("//")
        && !text.split('/').any(is_dots)
        && rest_matches(&characters, &glob)
}

/// An address as 128 bits, and how many of them say that it is one of IPv4.
fn address(text: &str) -> Option<(u128, u32)> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some((u128::from(u32::from(address)) << 96, 32));
    }
    let address = text.parse::<Ipv6Addr>().ok().filter(|_| !text.contains('.'))?;
    let has_ipv4_inside = matches!(
        address.segments(),
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
            | [0, 0, 0, 0, 0xffff, 0, ..]
            | [0x64, 0xff9b, 0, 0, 0, 0, ..]
            | [0x64, 0xff9b, 1, ..]
            | [0x2002, ..]
            | [0x2001, 0, ..]
            | [_, _, _, _, 0 | 0x100 | 0x200 | 0x300, 0x5efe, ..]
    ) && u128::from(address) > 1;
    (!has_ipv4_inside).then_some((u128::from(address), 128))
}

pub(super) fn is_in_network(text: &Value, network: &Value) -> bool {
    let Some((first, prefix)) = network.as_str().and_then(|network| network.split_once('/')) else { return false };
    let (Some(text), Ok(prefix)) = (text.as_str().and_then(address), prefix.parse::<u32>()) else { return false };
    let Some(first) = address(first) else { return false };
    // So many bits in front are alike.
    first.1 == text.1 && (prefix == 0 || (first.0 ^ text.0) >> (128 - prefix) == 0)
}

/// A command line that a shell only splits into words.
pub(super) fn is_command(text: &Value, programs: &Value) -> bool {
    let Some(text) = text.as_str() else { return false };
    if text.contains(|character: char| (character.is_control() && character != '\t') || takes_no_room(character)) {
        return false;
    }
    // Whether the word has something in it yet; quotes alone are nothing.
    let (mut quote, mut before, mut begun) = (None, ' ', false);
    for character in text.chars() {
        let is_good = match (quote, character) {
            (Some(open), _) if character == open => before != '\\',
            (Some('\''), _) => character != '\t',
            (Some(_), _) => !['$', '`', '\\', '!', '\t'].contains(&character),
            (None, '\'' | '"' | ' ' | '\t') => true,
            (None, '#' | '=' | '%') => begun,
            (None, '~') => begun && ![':', '='].contains(&before),
            (None, '\u{2018}'..='\u{201e}') => false,
            (None, _) if character.is_ascii() => character.is_ascii_alphanumeric() || "+,-./:@_".contains(character),
            (None, _) => !character.is_whitespace() && !looks_alike(character),
        };
        if !is_good {
            return false;
        }
        (quote, begun) = match (quote, character) {
            (None, '\'' | '"') => (Some(character), begun),
            (Some(open), _) if character == open => (None, begun),
            (None, ' ' | '\t') => (None, false),
            _ => (quote, true),
        };
        before = character;
    }
    let first = text.trim_start_matches([' ', '\t']).split([' ', '\t']).next();
    let is_program = |program: &Value| program.as_str() == first && first != Some("");
    quote.is_none() && programs.as_array().is_some_and(|programs| programs.iter().any(is_program))
}
