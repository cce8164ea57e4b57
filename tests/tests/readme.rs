//! The README's commands run as written, and what the documents say of the code is so.

use std::process::Command;

use chio_kernel::Denial;
use chio_tests::documents::{self, commands, read};
use chio_tests::{repository, vectors};

#[test]
fn the_readmes_commands_run_as_written() {
    let script = commands(&read("README.md"));
    assert!(script.starts_with("cargo run"), "the first command shows it working");
    // The test command runs this very test.
    let script = script.replace("cargo test --workspace\n", "");
    let out = documents::run(&script, |bash| bash.current_dir(repository()));
    for expected in ["nonce_replayed", "NOT VERIFIED", "allow", "proof_binding_mismatch", "2 receipts, unbroken"] {
        assert!(out.contains(expected), "{expected}:\n{out}");
    }
}

/// The code table of the protocol has every code and its step, in the order of the enum.
#[test]
fn the_protocols_table_is_that_of_the_enum() {
    let text = read("docs/protocol.md");
    let rows: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            Denial::CODES.contains(&cells[0].as_str()).then(|| (cells[0].clone(), cells[1].clone()))
        })
        .collect();
    assert_eq!(rows.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(), Denial::CODES);
    for (name, vector) in vectors::all() {
        let Some(step) = vector.expected.step else { continue };
        let said = &rows.iter().find(|(code, _)| *code == name).unwrap().1;
        let fits = said == "any store" || said.split(", ").any(|said| said == step);
        assert!(fits, "{name}: the table says {said}, the kernel {step}");
    }
}

/// What an embedder pulls in, by the command of the protocol's design: at most 85 crates, at most 60 without features.
#[test]
fn an_embedder_pulls_in_few_crates() {
    let mut counted = Vec::new();
    for (features, most) in [(true, 85), (false, 60)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
        std::fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
        let kernel = repository().join("chio_kernel");
        let manifest = format!(
            "[package]\nname = \"embedder\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             chio_kernel = {{ path = {kernel:?}, default-features = {features} }}\n"
        );
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "-e", "normal", "--prefix", "none"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
        let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let crates: std::collections::BTreeSet<_> = tree.lines().map(name).collect();
        println!("default features {features}: {} crates", crates.len());
        assert!(crates.len() <= most, "{}: {crates:#?}", crates.len());
        // The embedder itself is one of them here, and none of those that it pulls in.
        counted.push(crates.len() - 1);
    }
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let said = format!("it pulls in {} crates in all, {} with", counted[0], counted[1]);
    assert!(readme.contains(&said), "{said}");
}

/// The core and the kernel together: at most 6,000 lines outside tests, blank ones not counted; the predicates on texts at
/// most 700 more.
#[test]
fn the_trusted_crates_can_be_read_in_an_afternoon() {
    fn lines(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| match path.file_name().unwrap().to_str().unwrap() {
                _ if path.is_dir() => lines(&path),
                "tests.rs" => 0,
                _ => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
                    code.filter(|line| !line.trim().is_empty()).count()
                }
            })
            .sum()
    }
    let total = lines(&repository().join("chio_core/src")) + lines(&repository().join("chio_kernel/src"));
    let predicates = lines(&repository().join("chio_predicates/src"));
    println!("{total} lines, and {predicates} of predicates");
    assert!(total <= 6_000, "{total} lines");
    assert!(predicates <= 700, "{predicates} lines");
}
