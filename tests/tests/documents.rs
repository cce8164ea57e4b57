//! Documents are tested like code: what they name exists, what they link to is there, and what they tell to type works.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use chio_core::canonical::{self, Json, Limits};
use chio_core::capability::{CapabilityToken, Grant, Rule};
use chio_tests::documents::{self, Block, Cited};
use chio_tests::{repository, world};

use self::common::Place;

/// The guides, by their names from the root of the repository.
fn guides() -> Vec<PathBuf> {
    documents::all().into_iter().filter(|file| file.starts_with("docs/guides")).collect()
}

#[test]
fn every_test_that_a_document_names_is_one() {
    let mut named = 0;
    for file in documents::all() {
        for (line, Cited { file: source, function }) in documents::cited(&documents::read(&file)) {
            let place = format!("{}:{line}", file.display());
            assert!(repository().join(&source).is_file(), "{place}: there is no {source}");
            let tests = documents::tests(&documents::read(&source));
            assert!(tests.contains(&function), "{place}: {source} has no test {function}");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

/// A test of an attack that no document names is a threat that nobody reads of.
#[test]
fn every_attack_that_is_tested_stands_in_the_threat_model() {
    let model = documents::read("docs/threat-model.md");
    let named: BTreeSet<_> = documents::cited(&model).into_iter().map(|(_, cited)| cited).collect();
    for file in
        ["attacks", "threats", "stores", "receipts", "tracing", "mcp/attacks", "mcp/lists", "mcp/receipts", "mcp/http"]
    {
        let file = format!("tests/tests/{file}.rs");
        for function in documents::tests(&documents::read(&file)) {
            let cited = Cited { file: file.clone(), function };
            assert!(named.contains(&cited), "{cited:?}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    for file in documents::all() {
        for (line, link) in documents::links(&documents::read(&file)) {
            let place = format!("{}:{line}: {link}", file.display());
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let to = match path {
                "" => file.clone(),
                path => file.parent().unwrap_or(Path::new("")).join(path),
            };
            assert!(repository().join(&to).exists(), "{place}");
            if !anchor.is_empty() {
                assert!(documents::anchors(&documents::read(to)).iter().any(|known| known == anchor), "{place}");
            }
        }
    }
}

/// In an empty directory in which the repository is seen as `chio`, with the command `chio` on the path. A block of `text`
/// that follows one of `sh` is what that prints.
#[test]
fn what_a_guide_tells_to_type_does_what_it_says() {
    for guide in guides() {
        let blocks = documents::blocks(&documents::read(&guide));
        let shell: Vec<_> = blocks.iter().filter(|block| block.language == "sh").collect();
        let mut script = String::from("exec 2>&1\n");
        for Block { line, text, .. } in &shell {
            let _ = writeln!(script, "{text}printf '\\n=== %s\\n' {line}");
        }
        let place = Place::empty();
        symlink(repository(), place.path("chio")).unwrap();
        let bin = common::chio().parent().unwrap();
        let path = std::env::join_paths(
            std::iter::once(bin.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        )
        .unwrap();
        let all = documents::run(&script, |bash| {
            bash.current_dir(place.path("")).env("PATH", path).env("HOME", place.path("")).env_remove("XDG_CONFIG_HOME")
        });
        let mut rest = all.as_str();
        for pair in blocks.windows(2) {
            let [sh, said] = pair else { continue };
            let Some((printed, after)) =
                rest.split_once(&format!("\n=== {}\n", sh.line)).filter(|_| sh.language == "sh")
            else {
                continue;
            };
            rest = after;
            if said.language == "text" {
                let missing = documents::prints(&said.text, printed).err();
                assert_eq!(missing, None, "{}:{}, printed was:\n{printed}", guide.display(), said.line);
            }
        }
    }
}

/// Rust is compiled as a test of this crate's library (`src/lib.rs`); commands are run above; the rest is read here.
#[test]
fn no_block_of_a_guide_is_untested() {
    for guide in guides() {
        let blocks = documents::blocks(&documents::read(&guide));
        for (index, block) in blocks.iter().enumerate() {
            let place = format!("{}:{}", guide.display(), block.line);
            match block.language.as_str() {
                "sh" | "rust" => {}
                "rust,no_run" | "rust,ignore" => panic!("{place}: a block that is not run"),
                "text" => {
                    let above = index.checked_sub(1).and_then(|above| blocks.get(above));
                    assert!(above.is_some_and(|above| above.language == "sh"), "{place}: no command prints it");
                }
                "json" => accept_json(&place, &block.text),
                "toml" => accept_policy(&place, &block.text),
                other => panic!("{place}: a block of `{other}` is read by no test"),
            }
        }
        let compiled = documents::read("tests/src/lib.rs").contains(&format!("{:?}", Path::new("../..").join(&guide)));
        assert!(compiled || blocks.iter().all(|block| block.language != "rust"), "{} is not compiled", guide.display());
    }
}

/// Grants are those of a token that can be issued; a rule is one that a grant can have.
fn accept_json(place: &str, text: &str) {
    let json = canonical::parse(text.as_bytes(), Limits::bytes(1 << 20));
    let json = json.unwrap_or_else(|error| panic!("{place}: {error}"));
    if matches!(json, Json::Array(_)) {
        let grants: Vec<Grant> =
            serde_json::from_slice(&json.to_canonical_bytes()).unwrap_or_else(|error| panic!("{place}: {error}"));
        CapabilityToken::issue(world::terms(grants), &world::issuer())
            .unwrap_or_else(|error| panic!("{place}: {error}"));
    } else {
        Rule::from_json(&json).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
}

/// A policy is one that the command issues a capability by.
fn accept_policy(place: &str, text: &str) {
    let here = Place::furnished();
    here.write("policy.toml", text);
    let run = here.chio("issue --key issuer.key --subject agent.key --policy policy.toml --out policy.cap");
    assert_eq!(run.code, 0, "{place}: {run:#?}");
}
