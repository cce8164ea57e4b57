//! `chio_core` against test data and programs that nobody here wrote.
//!
//! * `rfc8785/`: the canonical texts of the authors of RFC 8785.
//! * `ed25519_speccheck/`, `wycheproof/`: signatures made to tell strict verifiers from lax ones.
//! * The number sequence of cyberphone/json-canonicalization: generated here, compared by its SHA-256.
//! * `serde_json_canonicalizer`: the same bytes wherever both write any, and what it does that ours must not.
//!
//! The data lies beside the repository (`shared/vectors`, see its README). Where it is absent, a test prints
//! that it is skipped; in CI that is a failure. Where the library is meant to differ from the data there is a
//! table of the differences, and the table is exact: a difference that no longer occurs fails the test too.

#![allow(clippy::doc_markdown)] // proper names are not code

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chio_core::canonical::{self, Json, Limits, MAX_DEPTH, Number};
use chio_core::crypto::{PublicKey, Signature};
use chio_core::error::{JsonError, JsonErrorKind};
use chio_tests::third_party;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const LIMITS: Limits = Limits::bytes(1 << 20);

fn read_json<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes_of_hex(digits: &str) -> Vec<u8> {
    hex::decode(digits).unwrap_or_else(|error| panic!("{digits}: {error}"))
}

// ---- RFC 8785 ----

/// The names of the files in a folder, without their extensions.
fn stems(folder: &Path) -> BTreeSet<String> {
    let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    fs::read_dir(folder).unwrap().map(|entry| stem(entry.unwrap())).collect()
}

#[test]
fn the_texts_of_rfc_8785_are_canonicalised_to_the_byte() {
    let Some(folder) = third_party("rfc8785") else { return };
    let names = stems(&folder.join("input"));
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(names, stems(&folder.join("output")));
    assert_eq!(names, stems(&folder.join("outhex")));

    for name in &names {
        let read =
            |kind: &str, extension: &str| fs::read(folder.join(kind).join(name).with_extension(extension)).unwrap();
        let (input, output) = (read("input", "json"), read("output", "json"));
        let outhex = String::from_utf8(read("outhex", "txt")).unwrap();
        assert_eq!(bytes_of_hex(&outhex.split_whitespace().collect::<String>()), output, "{name}");

        assert_eq!(canonical::canonicalize(&input, LIMITS).unwrap(), output, "{name}");
        assert_eq!(canonical::canonicalize(&output, LIMITS).unwrap(), output, "{name}");
        assert!(canonical::is_canonical(&output, LIMITS), "{name}");
        assert!(!canonical::is_canonical(&input, LIMITS), "{name}");
    }
}

// ---- Ed25519 edge cases ----

#[derive(Deserialize)]
struct EdgeCase {
    message: String,
    pub_key: String,
    signature: String,
}

/// Verifies by way of the texts that stand in documents. What does not parse does not verify.
fn verifies(key: &str, message: &[u8], signature: &str) -> bool {
    let (Ok(key), Ok(signature)) = (key.parse::<PublicKey>(), signature.parse::<Signature>()) else {
        return false;
    };
    key.verify(message, &signature)
}

/// The twelve cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020):
///
/// | case | what it is | refused because |
/// |---|---|---|
/// | 0, 1 | a key of small order | such a key verifies signatures that nobody made |
/// | 2 | R of small order, a key of mixed order | R of small order |
/// | 3 | R and key of mixed order | **accepted** |
/// | 4, 5 | a key of mixed order, valid only times the cofactor | the equation is checked as it stands |
/// | 6, 7 | S not below the group order | any signature could be made into a second one |
/// | 8, 9 | R of small order, not canonically encoded | both |
/// | 10, 11 | a key of small order, not canonically encoded | both |
///
/// Case 3 is valid under every equation in use. To refuse it would take a scalar multiplication that tells
/// mixed order from prime order; RFC 8032 does not ask for it, and only the owner of the key can make one.
#[test]
fn of_the_ed25519_edge_cases_only_number_3_verifies() {
    let Some(folder) = third_party("ed25519_speccheck") else { return };
    let cases: Vec<EdgeCase> = read_json(&folder.join("cases.json"));
    assert_eq!(cases.len(), 12);
    for case in &cases {
        assert!(case.pub_key.parse::<PublicKey>().is_ok() && case.signature.parse::<Signature>().is_ok());
    }
    let verified = cases.iter().map(|case| verifies(&case.pub_key, &bytes_of_hex(&case.message), &case.signature));
    let accepted: Vec<_> = verified.enumerate().filter_map(|(number, yes)| yes.then_some(number)).collect();
    assert_eq!(accepted, [3]);
}

// ---- Wycheproof ----
// Not used here, for later issues: `json_web_key`, `json_web_signature`, `hkdf_sha256`, `hmac_sha256`.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof {
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    public_key: Key,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    /// The raw Ed25519 key, or the uncompressed point.
    #[serde(alias = "uncompressed")]
    pk: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    tc_id: u32,
    comment: String,
    msg: String,
    sig: String,
    result: Expected,
}

/// Wycheproof also knows "acceptable". None of these files uses it, and one that did would not be read, so
/// that somebody decides what is right.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Valid,
    Invalid,
}

/// The cases on which the library and Wycheproof are meant to differ: file, `tcId`, why. There are none: lax
/// DER, an `s` out of range, non-canonical Ed25519 are invalid to Wycheproof too, and a high `s` is valid.
const DIFFERENCES: [(&str, u32, &str); 0] = [];

/// The form in which a signature stands in a file.
#[derive(Clone, Copy)]
enum Form {
    /// What the library reads: the bytes of an Ed25519 signature, the DER of ECDSA.
    OnTheWire,
    /// r and s of ECDSA, each as long as the order of the curve.
    P1363,
}

/// An algorithm: what precedes the hex digits of its texts, and what its crate says of signatures.
struct Algorithm {
    prefix: &'static str,
    der_of_p1363: fn(&[u8]) -> Option<Vec<u8>>,
    has_high_s: fn(&[u8]) -> bool,
}

macro_rules! ecdsa {
    ($curve:ident) => {
        Algorithm {
            prefix: concat!(stringify!($curve), ":"),
            der_of_p1363: |fixed| Some($curve::ecdsa::Signature::from_slice(fixed).ok()?.to_der().as_bytes().to_vec()),
            has_high_s: |der| $curve::ecdsa::Signature::from_der(der).is_ok_and(|it| it.normalize_s() != it),
        }
    };
}

const ED25519: Algorithm = Algorithm { prefix: "", der_of_p1363: |_| None, has_high_s: |_| false };
const P256: Algorithm = ecdsa!(p256);
const P384: Algorithm = ecdsa!(p384);

/// What is in a file.
#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    valid_with_high_s: usize,
    invalid: usize,
}

/// The bytes of a signature as the library reads them; none for an r or s that cannot be written as DER.
fn wire_bytes(case: &Case, algorithm: &Algorithm, form: Form) -> Option<Vec<u8>> {
    let bytes = bytes_of_hex(&case.sig);
    match form {
        Form::OnTheWire => Some(bytes),
        Form::P1363 => (algorithm.der_of_p1363)(&bytes),
    }
}

/// Asserts that the signatures of a file verify or not as it says, up to [`DIFFERENCES`].
fn check(file: &str, algorithm: &Algorithm, form: Form) -> Option<Tally> {
    let vectors: Wycheproof = read_json(&third_party("wycheproof")?.join(file));
    let mut tally = Tally::default();
    let mut found = Vec::new();
    for group in &vectors.test_groups {
        let key = format!("{}{}", algorithm.prefix, group.public_key.pk);
        // Every key is usable, so that no signature is refused for its key.
        assert!(key.parse::<PublicKey>().is_ok_and(|key| key.prepare().is_ok()), "{file}: {key}");
        for case in &group.tests {
            let wire = wire_bytes(case, algorithm, form);
            let high = wire.as_deref().is_some_and(algorithm.has_high_s);
            let verified = wire.is_some_and(|wire| {
                let signature = format!("{}{}", algorithm.prefix, hex::encode(wire));
                verifies(&key, &bytes_of_hex(&case.msg), &signature)
            });
            match case.result {
                Expected::Valid => {
                    tally.valid += 1;
                    tally.valid_with_high_s += usize::from(high);
                }
                Expected::Invalid => tally.invalid += 1,
            }
            if verified != (case.result == Expected::Valid) {
                println!("{file} {}: {:?}, {}", case.tc_id, case.result, case.comment);
                found.push(case.tc_id);
            }
        }
    }
    println!("{file}: {tally:?}");
    assert_eq!(tally.valid + tally.invalid, vectors.number_of_tests, "{file}");
    assert!(tally.valid > 0 && tally.invalid > 0, "{file}");
    let expected: Vec<_> = DIFFERENCES.iter().filter(|(of, ..)| *of == file).map(|(_, id, _)| *id).collect();
    assert_eq!(found, expected, "{file}: the cases that differ, and those meant to");
    Some(tally)
}

/// As [`check`], of a file that must have valid signatures with a high `s`; they verified as the others did.
fn check_ecdsa(file: &str, algorithm: &Algorithm, form: Form) {
    if let Some(tally) = check(file, algorithm, form) {
        assert!(tally.valid_with_high_s > 0, "{file}");
    }
}

#[test]
fn wycheproof_ed25519_verifies_as_it_says() {
    check("ed25519_test.json", &ED25519, Form::OnTheWire);
}

#[test]
fn wycheproof_p256_verifies_as_it_says_high_s_included() {
    check_ecdsa("ecdsa_secp256r1_sha256_test.json", &P256, Form::OnTheWire);
    check_ecdsa("ecdsa_secp256r1_sha256_p1363_test.json", &P256, Form::P1363);
}

#[test]
fn wycheproof_p384_verifies_as_it_says_high_s_included() {
    check_ecdsa("ecdsa_secp384r1_sha384_test.json", &P384, Form::OnTheWire);
    check_ecdsa("ecdsa_secp384r1_sha384_p1363_test.json", &P384, Form::P1363);
}

// ---- ES6 numbers ----

/// Doubles near 10^22/3, 10^21/3 and so on down to 10^-27/3. The sequence has them negative, then positive.
#[rustfmt::skip]
const THIRDS: [u64; 50] = [
    0x4466_9669_5dbd_1cc3, 0x4432_11ed_e497_4a35, 0x43fc_e97c_a0f2_1056, 0x43c7_2130_80c1_a6ac,
    0x4392_80f3_9a34_8556, 0x435d_9b1f_5d20_d557, 0x4327_af4c_4a80_aaac, 0x42f2_f2a3_6ecd_5556,
    0x42be_5105_7e15_5558, 0x4288_40d1_31aa_aaac, 0x4253_670d_c155_5557, 0x421f_0b49_3555_5557,
    0x41e8_d5d4_2aaa_aaac, 0x41b3_de43_5555_5556, 0x417f_ca05_5555_5556, 0x4149_6e6a_aaaa_aaab,
    0x4114_5855_5555_5555, 0x40e0_46aa_aaaa_aaab, 0x40aa_0aaa_aaaa_aaaa, 0x4074_d555_5555_5555,
    0x4040_aaaa_aaaa_aaab, 0x400a_aaaa_aaaa_aaab, 0x3fd5_5555_5555_5555, 0x3fa1_1111_1111_1111,
    0x3f6b_4e81_b4e8_1b4f, 0x3f35_d867_c3ec_e2a5, 0x3f01_79ec_9cbd_821e, 0x3ecb_f647_612f_3696,
    0x3e96_5e9f_80f2_9212, 0x3e61_e54c_6728_74db, 0x3e2c_a213_d840_baf8, 0x3df6_e80f_e033_c8c6,
    0x3dc2_533f_e68f_d3d2, 0x3d8d_51ff_d74c_861c, 0x3d57_74cc_ac3d_3817, 0x3d22_c3d6_f030_f9ac,
    0x3cee_0624_b381_8f79, 0x3cb8_04ea_2934_72c7, 0x3c83_3721_ba90_5bd3, 0x3c4e_be9c_5db3_c61e,
    0x3c18_987d_17c3_04e5, 0x3be3_ad30_dfcf_371d, 0x3baf_7b81_6618_582f, 0x3b79_2f9a_b813_79bf,
    0x3b44_2615_600f_9499, 0x3b10_1e77_800c_76e1, 0x3ad9_ca58_cce0_be35, 0x3aa4_a1e0_a3e6_fe90,
    0x3a70_8180_831f_320d, 0x3a3a_68cd_9e98_5016,
];

/// Edge cases of printing: powers of ten and their neighbours, the ends of the range, halves of a last digit.
#[rustfmt::skip]
const EDGES: [f64; 64] = [
    10.0, 5.0, 0.5, 0.05, 0.005, 0.0005, 5e-5, 5e-6, 5e-7, 5e-8, 5e-9, 5.06e-6, 5.006e-6, 5.0006e-6,
    5.000_06e-6, 5.000_006e-6, 5.000_000_6e-6, 5.000_000_06e-6, 5.000_000_006e-6, 5.000_000_000_6e-6,
    5.000_000_000_06e-6, 5.000_000_000_006e-6, 5.000_000_000_000_6e-6, 5.000_000_000_000_06e-6,
    5.000_000_000_000_006e-6, 5e-6, 1.0, -1.0, -0.999_999_999_999_999_3, -0.999_999_999_999_999_4,
    0.999_999_999_999_999_3, 0.999_999_999_999_999_4, 0.999_999_999_999_999_6, 0.999_999_999_999_999_8,
    -0.999_999_999_999_999_9, -0.999_999_999_999_999_9, 0.999_999_999_999_999_9, 0.999_999_999_999_999_9,
    0.299_999_999_999_999_93, 0.3, 0.300_000_000_000_000_04, 2.225_073_858_507_201_4e-308,
    2.225_073_858_507_2e-308, 2.225_073_858_507_201e-308, 1.797_693_134_862_315_7e308,
    -1.797_693_134_862_315_7e308, 9_007_199_254_740_992.0, -9_007_199_254_740_992.0,
    2.951_479_051_793_528_3e20, 9.999_999_999_999_997e22, 1e23, 1.000_000_000_000_000_1e23,
    9.999_999_999_999_997e20, 9.999_999_999_999_999e20, 1e21, 9.999_999_999_999_997e-7, 1e-6,
    333_333_333.333_333_2, 333_333_333.333_333_25, 333_333_333.333_333_3, 333_333_333.333_333_4,
    333_333_333.333_333_43, -3.333_333_333_333_333_3e-6, 1_424_953_923_781_206.2,
];

/// The doubles of the sequence, without end: zeros and the smallest subnormals, [`THIRDS`], [`EDGES`], 2,000
/// doubles from the smallest normal one upwards; then the chain of SHA-256 blocks that starts from 32 zero
/// bytes, each read as four little-endian doubles, of which zeros, infinities and NaNs are passed over.
fn es6_sequence() -> impl Iterator<Item = f64> {
    const SIGN: u64 = 1 << 63;
    let smallest = [0, SIGN, 1, SIGN | 1].into_iter();
    let negative_thirds = THIRDS.into_iter().map(|bits| bits | SIGN);
    let literal = smallest.chain(negative_thirds).chain(THIRDS).map(f64::from_bits).chain(EDGES);

    let first_normal = f64::MIN_POSITIVE.to_bits();
    let serial = (first_normal..first_normal + 2_000).map(f64::from_bits);

    let hash = |block: &[u8; 32]| -> [u8; 32] { Sha256::digest(block).into() };
    let blocks = std::iter::successors(Some(hash(&[0; 32])), move |block| Some(hash(block)));
    let hashed = blocks
        .flat_map(|block| [0, 8, 16, 24].map(|at| f64::from_le_bytes(block[at..at + 8].try_into().unwrap())))
        .filter(|value| value.is_finite() && *value != 0.0);

    literal.chain(serial).chain(hashed)
}

/// The text of a double: by the library, which reads it back as the same one; or, for the whole numbers that
/// the library does not hold (2^53 to 10^21), by `ryu-js`.
fn es6_text(value: f64) -> String {
    let text = ryu_js::Buffer::new().format_finite(value).to_owned();
    let Some(number) = Number::new(value) else {
        assert!((9_007_199_254_740_992.0..1e21).contains(&value.abs()), "{value:e} is refused");
        let refused = JsonErrorKind::IntegerOutOfRange;
        assert_eq!(canonical::parse(text.as_bytes(), LIMITS), Err(JsonError { at: 0, kind: refused }), "{text}");
        return text;
    };
    assert_eq!(Json::Number(number).to_canonical_bytes(), text.as_bytes(), "{value:e}");
    let Ok(Json::Number(read)) = canonical::parse(text.as_bytes(), LIMITS) else { panic!("{text} is not read") };
    // A negative zero is written `0`, and read as zero.
    assert_eq!(read.get().to_bits(), (value + 0.0).to_bits(), "{text}");
    assert!(canonical::is_canonical(text.as_bytes(), LIMITS), "{text}");
    text
}

/// How many of the first lines have which SHA-256, as cyberphone/json-canonicalization publishes them.
const ES6_CHECKSUMS: [(usize, &str); 4] = [
    (1_000, "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687"),
    (10_000, "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892"),
    (100_000, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"),
    (1_000_000, "49415fee2c56c77864931bd3624faad425c3c577d6d74e89a83bc725506dad16"),
];

fn check_es6_lines(most: usize) {
    let mut hasher = Sha256::new();
    for (index, value) in es6_sequence().take(most).enumerate() {
        hasher.update(format!("{:x},{}\n", value.to_bits(), es6_text(value)));
        if let Some((lines, checksum)) = ES6_CHECKSUMS.iter().find(|(lines, _)| *lines == index + 1) {
            assert_eq!(hex::encode(hasher.clone().finalize()), *checksum, "{lines} lines");
        }
    }
    assert!(ES6_CHECKSUMS.iter().any(|(lines, _)| *lines == most));
}

#[test]
fn a_hundred_thousand_numbers_are_written_as_ecmascript_does_and_read_back() {
    check_es6_lines(100_000);
}

#[test]
#[ignore = "ten seconds without optimisation"]
fn a_million_numbers_are_written_as_ecmascript_does_and_read_back() {
    check_es6_lines(1_000_000);
}

// ---- Differential: serde_json_canonicalizer ----

const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// A character, often one that JSON escapes or that UTF-8 and UTF-16 sort differently.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        any::<char>(),
        prop::char::range('\0', '\u{1f}'),
        prop::char::range('a', 'c'),
        prop::char::range('\u{e000}', '\u{ffff}'),
        prop::char::range('\u{10000}', '\u{10ffff}'),
        prop::sample::select(vec!['"', '\\', '/', '\u{7f}', '\u{80}', '\u{2028}', '\u{d7ff}']),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop::collection::vec(character(), 0..8).prop_map(String::from_iter)
}

/// A number that the library holds, as an integer or as a double.
fn number() -> impl Strategy<Value = Value> {
    let held = |value: &f64| Number::new(*value).is_some();
    prop_oneof![
        (-MAX_INTEGER..=MAX_INTEGER).prop_map(Value::from),
        prop::sample::select(vec![0, 1, -1, MAX_INTEGER, -MAX_INTEGER]).prop_map(Value::from),
        any::<u64>().prop_map(f64::from_bits).prop_filter("not held", held).prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        prop::sample::select(EDGES.to_vec()).prop_filter("not held", held).prop_map(Value::from),
        prop::sample::select(vec![-0.0, 5.0, 5e-324, f64::MAX, f64::MIN_POSITIVE]).prop_map(Value::from),
    ]
}

/// Any value, with containers nested up to 5 deep.
fn value() -> impl Strategy<Value = Value> {
    let scalar =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), string().prop_map(Value::from),];
    scalar.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((string(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_has_the_bytes_that_serde_json_canonicalizer_gives_it(value in value()) {
        let theirs = serde_json_canonicalizer::to_vec(&value).unwrap();
        prop_assert_eq!(canonical::canonical_json_bytes(&value).unwrap(), theirs.as_slice());
        // So has its text as `serde_json` writes it, and the canonical text itself.
        let text = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(&*canonical::canonicalize(&text, LIMITS).unwrap(), theirs.as_slice());
        prop_assert_eq!(&*canonical::canonicalize(&theirs, LIMITS).unwrap(), theirs.as_slice());
    }
}

// ---- What serde_json_canonicalizer does and must not be ours ----

fn refused<T>(at: usize, kind: JsonErrorKind) -> Result<T, JsonError> {
    Err(JsonError { at, kind })
}

#[test]
fn integers_beyond_doubles_are_refused_where_others_round_them() {
    // One signature would cover both.
    let rounded = br#"{"cents":9007199254740992}"#;
    for cents in [9_007_199_254_740_992_u64, 9_007_199_254_740_993] {
        let value = json!({ "cents": cents });
        assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), rounded);
        let out_of_range = JsonErrorKind::IntegerOutOfRange;
        assert_eq!(canonical::canonical_json_bytes(&value), refused(0, out_of_range.clone()));
        let text = value.to_string();
        assert_eq!(canonical::canonicalize(text.as_bytes(), LIMITS), refused(9, out_of_range));
    }
    for integer in [u64::MAX, u64::try_from(MAX_INTEGER).unwrap() + 1] {
        assert!(canonical::canonical_json_bytes(&integer).is_err(), "{integer}");
    }
    for integer in [i64::MIN, i64::MAX, -MAX_INTEGER - 1] {
        assert!(canonical::canonical_json_bytes(&integer).is_err(), "{integer}");
    }
    assert_eq!(canonical::canonical_json_bytes(&-MAX_INTEGER).unwrap(), b"-9007199254740991");
}

#[derive(Serialize)]
struct Station {
    reading: Reading,
}

#[derive(Serialize)]
struct Reading {
    celsius: f64,
}

#[test]
fn a_nested_nan_is_refused_where_others_write_null() {
    for celsius in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let station = Station { reading: Reading { celsius } };
        assert_eq!(serde_json_canonicalizer::to_vec(&station).unwrap(), br#"{"reading":{"celsius":null}}"#);
        let error = canonical::canonical_json_bytes(&station).unwrap_err();
        assert!(matches!(error.kind, JsonErrorKind::NotJson(_)), "{error}");
        assert!(canonical::canonical_json_bytes(&[Some(celsius)]).is_err());
    }
}

#[test]
fn a_member_named_twice_is_refused_at_its_second_name_where_others_keep_the_last() {
    for (text, kept, second) in [
        (r#"{"to":"a","to":"b"}"#, r#"{"to":"b"}"#, 10),
        (r#"{"to":"a", "\u0074o":"b"}"#, r#"{"to":"b"}"#, 11),
        (r#"[{"x":{"é":1,"b":2,"é":1}}]"#, r#"[{"x":{"b":2,"é":1}}]"#, 20),
        (r#"{"a":1,"a":2,"a":3}"#, r#"{"a":3}"#, 7),
        (r#"{"":0,"":{"":0}}"#, r#"{"":{"":0}}"#, 6),
    ] {
        let theirs: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&theirs).unwrap(), kept);
        assert_eq!(text.as_bytes()[second], b'"');
        let twice = JsonErrorKind::DuplicateMember;
        assert_eq!(canonical::parse(text.as_bytes(), LIMITS), refused(second, twice.clone()), "{text}");
        assert_eq!(canonical::canonicalize(text.as_bytes(), LIMITS), refused(second, twice), "{text}");
        assert!(!canonical::is_canonical(text.as_bytes(), LIMITS), "{text}");
    }
}

/// Arrays nested this deep, made as they are written, so that dropping them takes no stack.
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.checked_sub(1).map(Self))
    }
}

/// Runs something on a stack of 128 KiB. Should it not suffice, the whole test program aborts.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(128 * 1024).spawn(run).unwrap().join().unwrap();
}

/// `serde_json_canonicalizer` overflows its stack here, which cannot be shown without ending this program.
#[test]
fn a_value_nested_20_000_deep_is_refused_on_a_small_stack() {
    const DEEP: usize = 20_000;
    on_a_small_stack(|| {
        let too_deep = JsonErrorKind::TooDeep { limit: MAX_DEPTH };
        // No limit that is asked for is higher than the fixed one.
        for limits in [LIMITS, Limits { bytes: usize::MAX, depth: usize::MAX }] {
            for (open, innermost, close) in [("[", "", "]"), (r#"{"a":"#, "null", "}"), (r#"[{"a":"#, "[]", "}]")] {
                let text = format!("{}{innermost}{}", open.repeat(DEEP), close.repeat(DEEP));
                // The bracket that is one too many, counted in bytes.
                let per_level = open.len() / close.len();
                let at = MAX_DEPTH * per_level;
                assert_eq!(canonical::parse(text.as_bytes(), limits), refused(at, too_deep.clone()));
                assert_eq!(canonical::canonicalize(text.as_bytes(), limits), refused(at, too_deep.clone()));
                assert!(!canonical::is_canonical(text.as_bytes(), limits));
            }
        }
        // An array of depth 1 holds nothing.
        assert_eq!(canonical::canonical_json_bytes(&Nested(DEEP - 1)), refused(0, too_deep.clone()));
        assert_eq!(canonical::canonical_json_bytes(&Nested(MAX_DEPTH)), refused(0, too_deep));
    });
}

#[test]
fn a_value_nested_as_deep_as_allowed_is_read_and_written_on_a_small_stack() {
    on_a_small_stack(|| {
        let text = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let written = canonical::canonical_json_bytes(&Nested(MAX_DEPTH - 1)).unwrap();
        assert_eq!(written, text.as_bytes());
        let read = canonical::parse(text.as_bytes(), LIMITS).unwrap();
        assert_eq!(read.to_canonical_bytes(), text.as_bytes());
    });
}
