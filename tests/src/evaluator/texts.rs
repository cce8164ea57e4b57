//! Sections 7 and 8 of the protocol: the constraints that look inside a text.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// What looks like a dot or a separator, or becomes one in a Unicode normal form.
const LOOK_ALIKE: [char; 18] = [
    '\u{2024}', '\u{2025}', '\u{fe30}', '\u{fe52}', '\u{ff0e}', '\u{2044}', '\u{2100}', '\u{2101}', '\u{2105}',
    '\u{2106}', '\u{2215}', '\u{29f8}', '\u{ff0f}', '\u{2216}', '\u{29f5}', '\u{29f9}', '\u{fe68}', '\u{ff3c}',
];

/// A plain text.
fn is_plain(text: &str) -> bool {
    let is_escape = |after: &str| {
        let two: Vec<_> = after.chars().take(2).collect();
        matches!(two[..], ['u' | 'U', ..]) || (two.len() == 2 && two.iter().all(char::is_ascii_hexdigit))
    };
    let escapes = text.match_indices('%').any(|(at, _)| is_escape(&text[at + 1..]));
    let is_strange = |character: char| character.is_control() || character == '\\' || LOOK_ALIKE.contains(&character);
    !escapes && !text.contains(is_strange)
}

/// Characters that take no room.
fn takes_no_room(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The segments of a path that has a normal form.
fn segments(path: &Value) -> Option<Vec<&str>> {
    let path = path.as_str()?;
    if !path.starts_with('/') || !is_plain(path) {
        return None;
    }
    let segments: Vec<_> = path.strip_suffix('/').unwrap_or(path).split('/').skip(1).collect();
    // An empty one consists of nothing else, too.
    let is_nothing = |character: char| character == '.' || character.is_whitespace() || takes_no_room(character);
    (!segments.iter().any(|segment| segment.chars().all(is_nothing))).then_some(segments)
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
    let is_dots = |segment: &str| !segment.is_empty() && segment.chars().all(|character| character == '.');
    let [characters, glob] = [text, glob].map(|text| text.chars().collect::<Vec<_>>());
    is_plain(text) && !text.contains("//") && !text.split('/').any(is_dots) && rest_matches(&characters, &glob)
}

/// An address as 128 bits, and how many of them say that it is one of IPv4.
fn address(text: &str) -> Option<(u128, u32)> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some((u128::from(u32::from(address)) << 96, 32));
    }
    let address = text.parse::<Ipv6Addr>().ok().filter(|_| !text.contains('.'))?;
    let has_ipv4_inside = matches!(
        address.segments(),
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..]
    );
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
            (None, _) => !character.is_whitespace(),
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
