//! Reading the repository's documents: code blocks, links, headings, the tests they cite.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{not_told, repository};

/// A file of the repository, named from its root.
pub fn read(file: impl AsRef<Path>) -> String {
    let path = repository().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown file of the repository, named from its root.
pub fn all() -> Vec<PathBuf> {
    fn collect(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(repository().join(at)).unwrap() {
            let name = entry.unwrap().file_name();
            let path = at.join(&name);
            let hidden = name.to_str().is_none_or(|name| name.starts_with('.') || name == "target");
            match path.extension() {
                _ if hidden => {}
                _ if repository().join(&path).is_dir() => collect(&path, found),
                Some(extension) if extension == "md" => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(Path::new(""), &mut found);
    found.sort();
    found
}

/// A fenced block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its first fence, counted from 1.
    pub line: usize,
    /// What stands behind the fence, such as `sh`.
    pub language: String,
    pub text: String,
}

/// The fenced blocks of a document, in their order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(document.lines()) {
        match text.strip_prefix("```") {
            Some(language) if !inside => {
                blocks.push(Block { line, language: language.to_owned(), text: String::new() });
                inside = true;
            }
            Some("") => inside = false,
            _ if inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(text);
                block.text.push('\n');
            }
            _ => {}
        }
    }
    assert!(!inside, "a block has no end");
    blocks
}

/// What stands outside of the fenced blocks: the lines with their numbers, counted from 1.
pub fn prose(document: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut prose = Vec::new();
    for (line, text) in (1..).zip(document.lines()) {
        if text.starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push((line, text));
        }
    }
    prose
}

/// The lines of every `sh` block of a document.
pub fn commands(document: &str) -> String {
    let shell = blocks(document).into_iter().filter(|block| block.language == "sh");
    shell.map(|block| block.text).collect()
}

/// Runs a script as a person would who pastes it, and stops at the first command that fails. Returns what it printed.
pub fn run(script: &str, prepare: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let mut bash = Command::new("bash");
    let output = prepare(not_told(&mut bash).args(["-euo", "pipefail", "-c", script])).output().expect("bash is there");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// Whether a text prints what a document says that it prints: its lines in this order, others may stand between them;
/// `…` is where other words may be. Otherwise the line that is missing.
pub fn prints(said: &str, printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    for said in said.lines().filter(|line| !line.trim().is_empty()) {
        let fits = |line: &str| {
            let mut rest = line;
            said.split('…').all(|part| match rest.split_once(part) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
        };
        if !lines.any(fits) {
            return Err(said.to_owned());
        }
    }
    Ok(())
}

/// The targets of the links of a document, with their lines. What is code is no link.
pub fn links(document: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let lines = prose(document);
    // A link, and a piece of code, may be broken over the lines of a paragraph.
    for paragraph in lines.split(|(_, text)| text.trim().is_empty()) {
        let Some((first, _)) = paragraph.first() else { continue };
        let text: String = paragraph.iter().map(|(_, text)| format!("{text}\n")).collect();
        // Every second part is code; its line ends are kept for the numbers.
        let parts = text.split('`').enumerate();
        let outside = |(index, part): (usize, &str)| {
            if index % 2 == 0 { part.to_owned() } else { "\n".repeat(part.matches('\n').count()) }
        };
        let text: String = parts.map(outside).collect();
        let mut at = 0;
        while let Some(found) = text[at..].find("](") {
            let line = first + text[..at + found].matches('\n').count();
            at += found + 2;
            let target = text[at..].split(')').next().unwrap_or_default();
            links.push((line, target.to_owned()));
        }
    }
    links
}

/// The anchors of the headings of a document.
pub fn anchors(document: &str) -> Vec<String> {
    let heading = |text: &str| {
        let words = text.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?.to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
    };
    prose(document).into_iter().filter_map(|(_, line)| heading(line)).collect()
}

/// A test that a document names: `file.rs::function`. A file without a folder is one of `tests/tests`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cited {
    pub file: String,
    pub function: String,
}

/// The tests that a document names, with their lines.
pub fn cited(document: &str) -> Vec<(usize, Cited)> {
    let of_line = |(line, text): (usize, &str)| {
        let code: Vec<_> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        code.into_iter().filter_map(move |code| {
            let (file, function) = code.split_once(".rs::")?;
            let folder = if file.contains('/') { "" } else { "tests/tests/" };
            Some((line, Cited { file: format!("{folder}{file}.rs"), function: function.to_owned() }))
        })
    };
    prose(document).into_iter().flat_map(of_line).collect()
}

/// The functions of a source text that are tests, and are not left out.
pub fn tests(source: &str) -> Vec<String> {
    let mut is_test = false;
    let mut tests = Vec::new();
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test =
                (is_test || line == "#[test]" || line.starts_with("#[tokio::test")) && !line.starts_with("#[ignore");
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            if is_test {
                tests.push(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
            is_test = false;
        } else if !line.starts_with("//") {
            is_test = false;
        }
    }
    tests
}

#[cfg(test)]
mod self_tests {
    use super::*;

    #[test]
    fn links_and_tests_are_found_and_code_is_not() {
        let document =
            "# A b\n\nSee [x](a.md#b) and `[y](z)`, `over\ntwo` [lines](c.md).\n\n```sh\n[no](link)\n```\n`f.rs::t`\n";
        assert_eq!(links(document), [(3, "a.md#b".into()), (4, "c.md".into())]);
        assert_eq!(anchors("# A b\n## The `c` of d: e_f-g!\n"), ["a-b", "the-c-of-d-e_f-g"]);
        assert_eq!(cited(document), [(9, Cited { file: "tests/tests/f.rs".into(), function: "t".into() })]);
        assert_eq!(commands(document), "[no](link)\n");
    }

    #[test]
    fn a_function_is_a_test_where_it_says_so() {
        let source = "#[test]\n#[allow(x)] // y\nfn a() {\n}\nfn b() {}\n    #[test]\n    fn c(x in y) {\n#[test]\n#[ignore]\nfn d() {";
        assert_eq!(tests(source), ["a", "c"]);
    }

    #[test]
    fn what_is_printed_is_compared_line_by_line() {
        assert_eq!(prints("a … c\n\nd\n", "x\na b c\ny\nd e\n"), Ok(()));
        assert_eq!(prints("d\na\n", "a\nd\n"), Err("a".into()));
        assert_eq!(prints("a…b\n", "b a\n"), Err("a…b".into()));
    }
}
