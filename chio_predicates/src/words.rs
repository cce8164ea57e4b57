//! Command lines that a shell only splits into words.

use crate::path::{is_look_alike, is_unseen};

/// Reads a command line that is nothing but words: no operator, no expansion, no comment, no line break, nothing that one of
/// the shells of `docs/constraints.md` would make something else of. Words may stand in quotes; the first one, the program,
/// may not. Tells `keep` each character and the number of its word, and answers how many words there are; none where there
/// is anything else.
fn read(line: &str, mut keep: impl FnMut(usize, char)) -> Option<usize> {
    let (mut words, mut is_inside) = (0_usize, false);
    // The last character of the word so far, as the program gets it.
    let mut before = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if matches!(c, ' ' | '\t') {
            (is_inside, before) = (false, None);
            continue;
        }
        words = words.saturating_add((!is_inside).into());
        is_inside = true;
        match c {
            '\'' | '"' if words == 1 => return None,
            '\'' | '"' => loop {
                match chars.next()? {
                    // To fish, that escapes the quote.
                    end if end == c && before == Some('\\') => return None,
                    end if end == c => break,
                    inside if is_literal(inside, c) => keep(words, *before.insert(inside)),
                    _ => return None,
                }
            },
            _ if is_plain(c, before) => keep(words, *before.insert(c)),
            _ => return None,
        }
    }
    Some(words)
}

/// What stands for itself in quotes. A line break would, and is refused: whoever logs the line or sends it on has two.
fn is_literal(c: char, quote: char) -> bool {
    !c.is_control() && !is_unseen(c) && (quote == '\'' || !matches!(c, '$' | '`' | '\\' | '!'))
}

/// What stands for itself outside of quotes. `#`, `~`, `=` and `%` do where something stands before them in the word, and a
/// pair of quotes around nothing is nothing to some shells. A tilde after `=` or `:` is the home of somebody.
fn is_plain(c: char, before: Option<char>) -> bool {
    match c {
        '#' | '=' | '%' => before.is_some(),
        '~' => before.is_some_and(|before| !matches!(before, ':' | '=')),
        _ if c.is_ascii() => c.is_ascii_alphanumeric() || "+,-./:@_".contains(c),
        // The quotes of other scripts are quotes to PowerShell.
        '\u{2018}'..='\u{201e}' => false,
        _ => !c.is_control() && !c.is_whitespace() && !is_unseen(c) && !is_look_alike(c),
    }
}

/// Whether it can name a program: one word, and not one that would set a variable.
pub fn is_program(name: &str) -> bool {
    !name.contains(['=', ' ', '\t']) && read(name, |_, _| ()) == Some(1)
}

/// Whether the line is nothing but words, and the first is one of these programs, letter for letter. What the program makes
/// of the other words is not judged.
pub fn starts_one_of(line: &str, programs: &[String]) -> bool {
    let first = line.split([' ', '\t']).find(|word| !word.is_empty());
    read(line, |_, _| ()).is_some() && first.is_some_and(|first| programs.iter().any(|program| program == first))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn split(line: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let count = read(line, |word, c| {
            words.resize(word, String::new());
            words[word - 1].push(c);
        })?;
        words.resize(count, String::new());
        Some(words)
    }

    #[test]
    fn words_and_what_is_more_than_words() {
        let programs = ["git".to_owned(), "/usr/bin/ls".to_owned()];
        for (line, words) in [
            ("git", vec!["git"]),
            ("  git \t status ", vec!["git", "status"]),
            ("git commit -m 'it''s $HOME; `x`'", vec!["git", "commit", "-m", "its $HOME; `x`"]),
            ("git log --since=\"two days\" HEAD~2", vec!["git", "log", "--since=two days", "HEAD~2"]),
            ("git show a#b ''", vec!["git", "show", "a#b", ""]),
            ("/usr/bin/ls ./a,b:c@d_e%+é", vec!["/usr/bin/ls", "./a,b:c@d_e%+é"]),
        ] {
            assert_eq!(
                split(line).as_deref(),
                Some(&*words.into_iter().map(str::to_owned).collect::<Vec<_>>()),
                "{line}"
            );
            assert!(starts_one_of(line, &programs), "{line}");
        }
        for line in [
            "",
            " ",
            "ls",
            "git2",
            "GIT",
            "'git'",
            "g''it",
            "\"git\"",
            "./git",
            "git;id",
            "git ; id",
            "git|id",
            "git||id",
            "git&",
            "git&&id",
            "git\nid",
            "git a\nid",
            "git a\r\nid",
            "git $(id)",
            "git `id`",
            "git \"$(id)\"",
            "git \"`id`\"",
            "git \"a\\\"b\"",
            "git $HOME",
            "git ${IFS}x",
            "git >f",
            "git <f",
            "git 2>&1",
            "git <(id)",
            "git (id)",
            "git {a,b}",
            "git *",
            "git ?",
            "git [a]",
            "git ~",
            "git ~root",
            "git a=~",
            "git #x",
            "git a\\ b",
            "git !!",
            "git \"!!\"",
            "git ^a^b",
            "git 'a",
            "git \"a",
            "git a'",
            "git '\n'",
            "git \0",
            "git '\0'",
            "git \u{a0}x",
            "git\u{a0}",
            "git a\u{2028}b",
            "git \u{202e}x",
            "git 'a\u{200b}'",
            "GIT_SSH=x git",
            "git =ls",
            "g\u{456}t",
            "ｇｉｔ",
            "git\u{b}x",
            "git \u{1b}[0m",
            "git a\u{85}b",
            "git ''~root",
            "git \"\"=id",
            "git ''#x",
            "git %self",
            "git 'a\\' 'b; id; \\'",
            "git a’;id",
            "git a\u{fe0f}",
            "git 'a\u{61c}'",
            "git \u{ff04}HOME",
            "git a\u{1fef}",
        ] {
            assert!(!starts_one_of(line, &programs), "{line:?}");
        }
    }

    #[test]
    fn names_of_programs() {
        for name in ["git", "/usr/bin/git", "g++", "x.y_z-1"] {
            assert!(is_program(name), "{name}");
        }
        for name in ["", "a b", " a", "a=b", "'a'", "a;b", "$a", "a\n", "~/a", "#a"] {
            assert!(!is_program(name), "{name:?}");
        }
    }

    /// Those that are there are asked. Names and `docs/constraints.md` agree.
    const SHELLS: [&str; 6] = ["sh", "dash", "bash", "zsh", "ksh", "fish"];

    /// The words that a real shell makes of a line.
    fn words_of(shell: &str, line: &str) -> Option<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("printf '%s\\0' {line}");
        let mut command = Command::new(shell);
        let output = command.args(["-c", &script]).current_dir(&folder).env("HOME", "/home/x").output().ok()?;
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {line:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.split_terminator('\0').map(str::to_owned).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 96 }, ..ProptestConfig::default() })]

        /// What passes is split by real shells as it is here.
        #[test]
        #[cfg_attr(miri, ignore = "starts shells")]
        fn shells_agree(line in r#"x([ \t]{1,2}[a-c$'"`\\~=:#!*?;&|<>(){}\[\]%^@\n\u{a0}é/-]{0,6}){1,3}"#) {
            if let Some(words) = split(&line) {
                for shell in SHELLS {
                    prop_assert!(words_of(shell, &line).is_none_or(|theirs| theirs == words), "{} {:?}", shell, line);
                }
            }
        }

        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[ -&(-~é]{0,8}", 0..4)) {
            prop_assume!(words.iter().all(|word| !word.ends_with('\\')));
            let quoted: String = words.iter().map(|word| format!(" '{word}'")).collect();
            let mut expected = vec!["x".to_owned()];
            expected.extend(words);
            prop_assert_eq!(split(&format!("x{quoted}")), Some(expected));
        }
    }
}
