//! What a client makes is accepted, and nothing else.

use chio_core::crypto::{Algorithm, Keypair};

use super::*;
use crate::jws::JwsError;

const URL: &str = "https://api.example.com/a";

struct World {
    key: Keypair,
    origin: Origin,
}

fn world() -> World {
    World { key: Keypair::from_seed(&[7; 32]), origin: Origin::parse("https://api.example.com").unwrap() }
}

impl World {
    fn asked(&self) -> Asked<'_> {
        Asked { method: "GET", origin: &self.origin, path: "/a", query: Some("q=1"), token: "token" }
    }

    fn signed(&self, header: &str, claims: &str) -> Result<Proof, ProofError> {
        let jwk = public_jwk(&self.key.public_key());
        let header = header.replace("JWK", &jwk);
        let text = jws::sign(&self.key, &header, claims.as_bytes()).unwrap();
        Proof::check(&text, self.asked(), &ProofRules::default())
    }

    fn with(&self, more: &str) -> Result<Proof, ProofError> {
        let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100{more}}}"#);
        self.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims)
    }
}

#[test]
fn what_a_client_makes_is_accepted() {
    for algorithm in Algorithm::ALL {
        let (key, world) = (Keypair::generate_for(algorithm).unwrap(), world());
        let made = ProofClaims {
            method: "GET",
            url: URL,
            now: 100,
            token: Some("token"),
            nonce: Some("n"),
            query: Some("q=1"),
            body: Some(b"body"),
            response_key: Some("key"),
        };
        let text = made.sign(&key).unwrap();
        let rules = ProofRules { htq: true, content_digest: true, ..ProofRules::default() };
        let proof = Proof::check(&text, world.asked(), &rules).unwrap();
        let thumbprint = Jwk::of(&key.public_key()).unwrap().thumbprint();
        assert_eq!((proof.key(), proof.issued_at(), proof.nonce()), (thumbprint, 100, Some("n")));
        assert_eq!(proof.check_response_key(Some("key")), Ok(true));
        for other in [None, Some("another"), Some("")] {
            assert_eq!(proof.check_response_key(other), Err(ProofError::ResponseKey), "{other:?}");
        }
        assert_eq!(signed_digest(&text), proof.digest());
        assert_eq!(proof.check_binding(thumbprint, true), Ok(()));
        assert_eq!(proof.check_binding(Thumbprint(Digest([0; 32])), true), Err(ProofError::Binding));
        assert_eq!((proof.check_time(100, &rules), proof.check_body(Some(b"body"), true)), (Ok(()), Ok(())));
        assert_eq!(proof.check_body(Some(b"other"), false), Err(ProofError::Body));
        assert_eq!(proof.check_body(None, false), Err(ProofError::Body));
        for other in [
            Asked { method: "POST", ..world.asked() },
            Asked { path: "/a/", ..world.asked() },
            Asked { query: Some("q=2"), ..world.asked() },
            Asked { query: None, ..world.asked() },
            Asked { token: "other", ..world.asked() },
            Asked { origin: &Origin::parse("https://b.example").unwrap(), ..world.asked() },
        ] {
            assert!(Proof::check(&text, other, &rules).is_err(), "{other:?}");
        }
    }
}

#[test]
fn a_header_that_is_known_makes_no_proof_hold_that_would_not() {
    let (world, known, rules) = (world(), OfOneToken::new(Digest::of(b"token")), ProofRules::default());
    let thief = World { key: Keypair::from_seed(&[8; 32]), origin: world.origin.clone() };
    let bound = Jwk::of(&world.key.public_key()).unwrap().thumbprint();
    let check = |text: &str, rules| Proof::check_bound(text, world.asked(), rules, (bound, false), &known);
    let proof = |by: &World, header: &str, id: u8| {
        let claims = format!(r#"{{"jti":"{id}","htm":"GET","htu":"{URL}","iat":100}}"#);
        let header = header.replace("JWK", &public_jwk(&by.key.public_key()));
        jws::sign(&by.key, &header, claims.as_bytes()).unwrap()
    };
    let usual = r#""typ":"dpop+jwt","jwk":JWK"#;
    // Nothing of what does not hold, or is bound to another key, is remembered.
    assert_eq!(check(&proof(&thief, usual, 1), &rules).err(), Some(ProofError::Binding));
    let first = proof(&world, usual, 1);
    let (signed, _) = first.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&[1; 64]));
    assert_eq!(check(&forged, &rules).err(), Some(ProofError::Signature));
    assert!(known.header.get().is_none());
    let read = check(&first, &rules).unwrap();
    assert!(known.header.get().is_some());
    let second = check(&proof(&world, usual, 2), &rules).unwrap();
    assert_eq!((read.key(), second.key()), (bound, bound));
    assert_ne!((read.id(), read.digest()), (second.id(), second.digest()));
    // The header of one and the signature of another.
    let (header, rest) = first.split_once('.').unwrap();
    let stolen = proof(&thief, usual, 3);
    let (_, stolen) = stolen.split_once('.').unwrap();
    assert_eq!(check(&format!("{header}.{stolen}"), &rules).err(), Some(ProofError::Signature));
    assert!(check(&format!("{header}A.{rest}"), &rules).is_err());
    // Other headers are read as ever.
    assert_eq!(check(&proof(&thief, usual, 4), &rules).err(), Some(ProofError::Binding));
    let other = check(&proof(&world, r#""typ":"JWT","jwk":JWK"#, 5), &rules);
    assert_eq!(other.err(), Some(ProofError::Type));
    let only = ProofRules { algs: vec![Alg::Es256], ..rules.clone() };
    assert_eq!(check(&first, &only).err(), Some(ProofError::Jws(JwsError::Alg)));
}

#[test]
fn a_proof_names_the_token_that_is_asked_with_and_no_other() {
    let (world, token, rules) = (world(), OfOneToken::new(Digest::of(b"token")), ProofRules::default());
    let bound = Jwk::of(&world.key.public_key()).unwrap().thumbprint();
    let check = |said: &str| {
        let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100,"ath":"{said}"}}"#);
        let header = format!(r#""typ":"dpop+jwt","jwk":{}"#, public_jwk(&world.key.public_key()));
        let text = jws::sign(&world.key, &header, claims.as_bytes()).unwrap();
        Proof::check_bound(&text, world.asked(), &rules, (bound, true), &token).err()
    };
    let its = ath("token");
    // The first time, and when its header is known.
    for _ in 0..2 {
        assert_eq!(check(&its), None);
        for other in ["", "x", &its[..42], &ath("other"), &ath(""), &its.to_uppercase(), &format!("{its}=")] {
            assert_eq!(check(other), Some(ProofError::Token), "{other}");
        }
    }
    assert!(token.header.get().is_some());
}

#[test]
fn each_check_has_its_answer() {
    let world = world();
    let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":100}}"#);
    let with_header = |header: &str| world.signed(header, &claims).err();
    assert_eq!(with_header(r#""typ":"dpop+jwt","jwk":JWK"#), None);
    assert_eq!(with_header(r#""typ":"application/DPoP+jwt","jwk":JWK"#), None);
    for typ in ["JWT", "dpop", "dpop+jwt ", "EKEY", ""] {
        assert_eq!(with_header(&format!(r#""typ":"{typ}","jwk":JWK"#)), Some(ProofError::Type), "{typ}");
    }
    assert_eq!(with_header(r#""jwk":JWK"#), Some(ProofError::Type));
    assert_eq!(with_header(r#""typ":"dpop+jwt""#), Some(ProofError::Key(JwkError::Malformed)));
    assert_eq!(
        with_header(r#""typ":"dpop+jwt","jwk":"JWK""#.replace("JWK", "x").as_str()),
        Some(ProofError::Key(JwkError::Malformed))
    );
    let private = r#""typ":"dpop+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"A","d":"A"}"#;
    assert_eq!(with_header(private), Some(ProofError::Key(JwkError::Secret)));
    let other = public_jwk(&Keypair::generate().unwrap().public_key());
    assert_eq!(with_header(&format!(r#""typ":"dpop+jwt","jwk":{other}"#)), Some(ProofError::Signature));

    for (from, to, claim) in [
        (r#""jti":"1","#, "", "jti"),
        (r#""jti":"1""#, r#""jti":1"#, "jti"),
        (r#""jti":"1""#, r#""jti":"""#, "jti"),
        (r#""htm":"GET","#, "", "htm"),
        (r#""htm":"GET""#, r#""htm":["GET"]"#, "htm"),
        (r#","iat":100"#, "", "iat"),
        (r#""iat":100"#, r#""iat":"100""#, "iat"),
        (r#""iat":100"#, r#""iat":-100"#, "iat"),
    ] {
        let claims = claims.replace(from, to);
        assert_eq!(
            world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims).err(),
            Some(ProofError::Claim(claim)),
            "{claims}"
        );
    }
    let long = format!(r#","x":0,"jti":"{}""#, "a".repeat(257));
    let long = claims.replace(r#""jti":"1""#, &long[7..]);
    assert_eq!(world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &long).err(), Some(ProofError::Claim("jti")));
    for (more, why) in [
        (r#","ath":"x""#, ProofError::Token),
        (r#","ath":1"#, ProofError::Claim("ath")),
        (r#","htq":"q=2""#, ProofError::Query),
        (r#","htq":"""#, ProofError::Query),
        (r#","content_digest":"x""#, ProofError::Claim("content_digest")),
        (r#","nonce":1"#, ProofError::Claim("nonce")),
        (r#","nonce":"""#, ProofError::Claim("nonce")),
        (r#","exp":"1""#, ProofError::Claim("exp")),
        (r#","htm":"POST""#, ProofError::Jws(JwsError::Claims)),
    ] {
        assert_eq!(world.with(more).err(), Some(why), "{more}");
    }
    let required = ProofRules { htq: true, ..ProofRules::default() };
    let text = ProofClaims { method: "GET", url: URL, now: 1, ..ProofClaims::default() }.sign(&world.key).unwrap();
    assert_eq!(Proof::check(&text, world.asked(), &required).err(), Some(ProofError::Query));
    let only = ProofRules { algs: vec![Alg::Es256], ..ProofRules::default() };
    assert_eq!(Proof::check(&text, world.asked(), &only).err(), Some(ProofError::Jws(JwsError::Alg)));
    let unbound = Proof::check(&text, world.asked(), &ProofRules::default()).unwrap();
    assert_eq!(unbound.check_binding(unbound.key(), true), Err(ProofError::Token));
    assert_eq!(unbound.check_binding(unbound.key(), false), Ok(()));
    assert_eq!(unbound.check_body(Some(b""), true), Err(ProofError::Body));
    assert_eq!(unbound.check_body(None, false), Ok(()));
}

#[test]
fn a_proof_is_fresh_within_a_window_and_its_own() {
    let (world, rules) = (world(), ProofRules::default());
    let at = |more: &str, now| world.with(more).unwrap().check_time(now, &rules);
    for now in [95, 100, 160] {
        assert_eq!(at("", now), Ok(()), "{now}");
    }
    assert!(matches!(at("", 94), Err(ProofError::Future { issued_at: 100, now: 94, max_ahead_secs: 5 })));
    assert!(matches!(at("", 161), Err(ProofError::Stale { issued_at: 100, now: 161, max_age_secs: 60 })));
    assert_eq!(at(r#","exp":130"#, 129), Ok(()));
    assert!(at(r#","exp":130"#, 130).is_err() && at(r#","exp":1000"#, 161).is_err());
    assert_eq!(at(r#","nbf":130"#, 125), Ok(()));
    assert!(at(r#","nbf":130"#, 124).is_err() && at(r#","nbf":1"#, 94).is_err());
    let fraction = |now| {
        let claims = format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":99.5}}"#);
        world.signed(r#""typ":"dpop+jwt","jwk":JWK"#, &claims).unwrap().check_time(now, &rules)
    };
    assert_eq!((fraction(95), fraction(159)), (Ok(()), Ok(())));
    assert!(fraction(94).is_err() && fraction(160).is_err());
}

#[test]
fn a_digest_of_a_body_has_the_form_of_rfc_9530() {
    // RFC 9530 appendix D: `{"hello": "world"}` and a line feed.
    let body = b"{\"hello\": \"world\"}\n";
    let sha256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    let sha512 = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    assert_eq!(content_digest(body), sha256);
    let both = format!("{sha256}, {sha512}");
    for text in [sha256, sha512, &both, &format!("md5=:AA==:,{sha256}")] {
        let digest = BodyDigest::parse(text).unwrap();
        assert!(digest.is_of(body) && !digest.is_of(b""), "{text}");
    }
    let half = format!("{sha256},sha-512=:{}:", Base64::encode_string(&[0; 64]));
    assert!(!BodyDigest::parse(&half).unwrap().is_of(body));
    for text in [
        "",
        "sha-256",
        "sha-256=::",
        "md5=:AA==:",
        "sha-256=AA",
        "sha-256=:AA==:",
        &sha256[..40],
        &format!("{sha256},{sha256}"),
        &sha256.to_uppercase(),
        &sha256.replace("=:", ":"),
    ] {
        assert_eq!(BodyDigest::parse(text), None, "{text}");
    }
}
