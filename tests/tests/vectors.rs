//! One vector for each denial code: they are what the generator makes, the kernel answers them as they say, and no code
//! is without one.

use std::collections::BTreeMap;

use chio_kernel::Denial;
use chio_tests::repository;
use chio_tests::vectors::{self, Vector};

fn on_disk() -> BTreeMap<String, Vector> {
    let folder = repository().join("tests/vectors");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect()
}

/// With `CHIO_WRITE_VECTORS=1` in the environment, they are written first.
#[test]
fn the_vectors_are_what_the_generator_makes() {
    let made: BTreeMap<_, _> = vectors::all().into_iter().collect();
    if std::env::var_os("CHIO_WRITE_VECTORS").is_some() {
        for (name, vector) in &made {
            let text = format!("{}\n", serde_json::to_string_pretty(vector).unwrap());
            std::fs::write(repository().join(format!("tests/vectors/{name}.json")), text).unwrap();
        }
    }
    let found = on_disk();
    assert_eq!(made.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "other vectors than the generator's");
    for (name, vector) in &made {
        assert_eq!(
            vector, &found[name],
            "{name} differs: CHIO_WRITE_VECTORS=1 cargo test -p chio_tests --test vectors"
        );
    }
}

#[test]
fn every_vector_is_answered_as_it_says() {
    for (name, vector) in on_disk() {
        assert_eq!(vector.answer(), vector.expected, "{name}: {}", vector.description);
    }
}

#[test]
fn every_code_has_a_vector() {
    let vectors = on_disk();
    for code in Denial::CODES {
        assert_eq!(vectors[*code].expected.code.as_deref(), Some(*code));
    }
    assert_eq!(vectors.len(), Denial::CODES.len() + 1, "and there is one that is allowed");
    assert_eq!(vectors["allow"].expected.decision, "allow");
}
