//! The kept corpora on any toolchain: what a fuzzer once found worth keeping still holds.

use chio_tests::repository;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = repository().join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

macro_rules! replayed {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), chio_fuzz::$target::check);
        }
    )*};
}

replayed!(canonical_json capability_chain dpop_proof http_request kernel_call mcp_message nonce_store);
