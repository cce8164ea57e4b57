//! Claims of a token or a proof (RFC 7519), each of the type that it has to be.

use chio_core::canonical::{Json, Number, Object};

/// A claim that is missing, or of the wrong type or length: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadClaim(pub(crate) &'static str);

/// A time. NumericDate may have a fraction (RFC 7519 section 2), so it lies between two whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds {
    pub(crate) floor: u64,
    pub(crate) ceil: u64,
}

/// A text, where there is one.
pub(crate) fn text<'a>(claims: &'a Object, name: &'static str) -> Result<Option<&'a str>, BadClaim> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(BadClaim(name)),
    }
}

/// A text that has to be there, of 1 to `max` bytes.
pub(crate) fn needed<'a>(claims: &'a Object, name: &'static str, max: usize) -> Result<&'a str, BadClaim> {
    text(claims, name)?.filter(|text| (1..=max).contains(&text.len())).ok_or(BadClaim(name))
}

/// A time, where there is one.
pub(crate) fn time(claims: &Object, name: &'static str) -> Result<Option<Seconds>, BadClaim> {
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Json::Number(number)) => *number,
        Some(_) => return Err(BadClaim(name)),
    };
    let rounded = |value: f64| Number::new(value).and_then(whole).ok_or(BadClaim(name));
    if let Some(seconds) = whole(number) {
        return Ok(Some(Seconds { floor: seconds, ceil: seconds }));
    }
    Ok(Some(Seconds { floor: rounded(number.get().floor())?, ceil: rounded(number.get().ceil())? }))
}

/// The whole number that this is. Of one below 2^52 the sum with that has its digits as the last 52 bits: a time is read from
/// them, and not by way of a text.
fn whole(number: Number) -> Option<u64> {
    const BITS: u64 = 0x000f_ffff_ffff_ffff;
    const BEYOND: f64 = 4_503_599_627_370_496.0;
    let value = number.get();
    if (0.0..BEYOND).contains(&value) && value.fract() == 0.0 {
        return Some((value + BEYOND).to_bits() & BITS);
    }
    number.to_integer().and_then(|seconds| u64::try_from(seconds).ok())
}

/// A time that has to be there.
pub(crate) fn needed_time(claims: &Object, name: &'static str) -> Result<Seconds, BadClaim> {
    time(claims, name)?.ok_or(BadClaim(name))
}

/// Whether a claim that is one text or several has this one among them, as `aud` does.
pub(crate) fn has(claims: &Object, name: &'static str, wanted: &[String]) -> Result<bool, BadClaim> {
    let is_wanted = |text: &str| wanted.iter().any(|wanted| wanted == text);
    match claims.get(name) {
        Some(Json::String(text)) => Ok(is_wanted(text)),
        Some(Json::Array(items)) => {
            let texts: Option<Vec<_>> = items.iter().map(Json::as_str).collect();
            Ok(texts.ok_or(BadClaim(name))?.into_iter().any(is_wanted))
        }
        _ => Err(BadClaim(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chio_core::canonical::{Limits, parse};

    fn object(text: &str) -> Object {
        parse(text.as_bytes(), Limits::bytes(1000)).unwrap().as_object().unwrap().clone()
    }

    #[test]
    fn a_time_lies_between_two_whole_seconds() {
        let of = |text: &str| time(&object(&format!(r#"{{"t":{text}}}"#)), "t");
        assert_eq!(of("1800000000"), Ok(Some(Seconds { floor: 1_800_000_000, ceil: 1_800_000_000 })));
        assert_eq!(of("1.8e9"), Ok(Some(Seconds { floor: 1_800_000_000, ceil: 1_800_000_000 })));
        assert_eq!(of("1799999999.5"), Ok(Some(Seconds { floor: 1_799_999_999, ceil: 1_800_000_000 })));
        assert_eq!(time(&object("{}"), "t"), Ok(None));
        for wrong in ["-1", "-0.5", "\"1\"", "null", "[1]", "1e300"] {
            assert_eq!(of(wrong), Err(BadClaim("t")), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_whole_number_is_the_one_that_its_text_says(number in 0..1_u64 << 53, bits: u64) {
            let text = format!(r#"{{"t":{number}}}"#);
            let seconds = Seconds { floor: number, ceil: number };
            proptest::prop_assert_eq!(time(&object(&text), "t"), Ok(Some(seconds)));
            if let Some(number) = Number::new(f64::from_bits(bits)) {
                let by_text = number.to_integer().and_then(|number| u64::try_from(number).ok());
                proptest::prop_assert_eq!(whole(number), by_text);
            }
        }
    }

    #[test]
    fn the_numbers_around_2_to_the_52_are_read_exactly() {
        for number in [0, 1, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, (1 << 53) - 1] {
            let seconds = Seconds { floor: number, ceil: number };
            assert_eq!(time(&object(&format!(r#"{{"t":{number}}}"#)), "t"), Ok(Some(seconds)));
        }
        assert_eq!(time(&object(r#"{"t":-0}"#), "t"), Ok(Some(Seconds { floor: 0, ceil: 0 })));
    }

    #[test]
    fn one_text_or_several() {
        let wanted = ["a".to_owned()];
        let of = |text: &str| has(&object(&format!(r#"{{"aud":{text}}}"#)), "aud", &wanted);
        for (text, answer) in [
            (r#""a""#, Ok(true)),
            (r#"["b","a"]"#, Ok(true)),
            (r#""b""#, Ok(false)),
            (r#""a b""#, Ok(false)),
            ("[]", Ok(false)),
            (r#"["a",1]"#, Err(BadClaim("aud"))),
            ("1", Err(BadClaim("aud"))),
            ("{}", Err(BadClaim("aud"))),
        ] {
            assert_eq!(of(text), answer, "{text}");
        }
    }
}
