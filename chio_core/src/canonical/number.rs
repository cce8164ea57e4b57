//! Numbers: which literals are read, and how one is written.

use crate::error::JsonErrorKind;

/// From here on ECMAScript, and so RFC 8785, writes a whole number with an exponent.
const EXPONENT_FROM: f64 = 1e21;

/// Whether a double may stand in strict JSON: finite, and not a whole number beyond ±(2^53−1) that
/// would be written as an integer.
pub(super) fn is_strict(value: f64) -> bool {
    let magnitude = value.abs();
    value.is_finite() && !(9_007_199_254_740_992.0..EXPONENT_FROM).contains(&magnitude)
}

/// Whether a literal that has the form of a JSON number is canonical at a glance: a decimal of at most 15 digits, which
/// a double keeps, without a zero at the end, and not so small that it would be written with an exponent.
pub(super) fn is_plainly_canonical(literal: &str) -> bool {
    let unsigned = literal.strip_prefix('-').unwrap_or(literal);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_shortest = !fraction.ends_with('0') && !unsigned.starts_with("0.00000") && literal != "-0";
    is_shortest && unsigned.len() <= 15 && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
}

/// The value of a literal that has the form of a JSON number.
pub(super) fn parse(literal: &str) -> Result<f64, JsonErrorKind> {
    let value: f64 = literal.parse().map_err(|_| JsonErrorKind::InvalidNumber)?;
    if !literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        // Up to there a double keeps every digit.
        let fits = value.abs() <= 9_007_199_254_740_991.0;
        return if fits { Ok(value) } else { Err(JsonErrorKind::IntegerOutOfRange) };
    }
    if !value.is_finite() {
        return Err(JsonErrorKind::NumberOverflow);
    }
    if !is_strict(value) {
        return Err(JsonErrorKind::IntegerOutOfRange);
    }
    if is_plainly_canonical(literal) {
        return Ok(value);
    }
    let (digits, exponent) = decimal(literal);
    if digits.is_empty() {
        return Ok(0.0);
    }
    // Seventeen digits tell every double of this range from its neighbours. More of them, a fraction that was rounded
    // away, and anything outside of the range are only kept if the double is written with the very same digits.
    let in_range = (f64::MIN_POSITIVE..EXPONENT_FROM).contains(&value.abs());
    let lost_fraction = exponent < 0 && value.fract() == 0.0;
    let kept = digits.len() <= 17 && in_range && !lost_fraction;
    if kept || decimal(&format!("{value:e}")) == (digits, exponent) {
        Ok(value)
    } else {
        Err(JsonErrorKind::NumberLosesDigits)
    }
}

/// The significant digits of a literal, without leading or trailing zeros, and the power of ten of the
/// last one. No digits at all stand for zero.
fn decimal(literal: &str) -> (String, i64) {
    let unsigned = literal.strip_prefix('-').unwrap_or(literal);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let trimmed = all.trim_end_matches('0');
    let dropped = all.len().saturating_sub(trimmed.len());
    let exponent = exponent
        .parse::<i64>()
        .unwrap_or(i64::MAX)
        .saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX))
        .saturating_add(i64::try_from(dropped).unwrap_or(i64::MAX));
    (trimmed.trim_start_matches('0').to_owned(), exponent)
}

/// Writes a finite double as ECMAScript does.
pub(super) fn write(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
}

/// Whether that is this literal.
pub(super) fn is_written_as(value: f64, literal: &str) -> bool {
    ryu_js::Buffer::new().format_finite(value) == literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (literal, expected) in [
            ("0", Ok(0.0)),
            ("-0", Ok(0.0)),
            ("-0.0e5", Ok(0.0)),
            ("9007199254740991", Ok(9_007_199_254_740_991.0)),
            ("-9007199254740991", Ok(-9_007_199_254_740_991.0)),
            ("9007199254740992", Err(JsonErrorKind::IntegerOutOfRange)),
            ("9007199254740993.0", Err(JsonErrorKind::IntegerOutOfRange)),
            ("9007199254740993e0", Err(JsonErrorKind::IntegerOutOfRange)),
            ("18446744073709551616", Err(JsonErrorKind::IntegerOutOfRange)),
            ("1e20", Err(JsonErrorKind::IntegerOutOfRange)),
            ("1E30", Ok(1e30)),
            ("1.0000000000000000000000001e30", Err(JsonErrorKind::NumberLosesDigits)),
            ("1000000000000000000000000000001.0", Err(JsonErrorKind::NumberLosesDigits)),
            ("333333333.33333329", Ok(333_333_333.333_333_3)),
            ("0.1000000000000000055511151231257827", Err(JsonErrorKind::NumberLosesDigits)),
            ("1.5000000000000000000000", Ok(1.5)),
            ("1e400", Err(JsonErrorKind::NumberOverflow)),
            ("1e-400", Err(JsonErrorKind::NumberLosesDigits)),
            ("1e99999999999999999999", Err(JsonErrorKind::NumberOverflow)),
            ("1e-99999999999999999999", Err(JsonErrorKind::NumberLosesDigits)),
            ("0e99999999999999999999", Ok(0.0)),
            ("5e-324", Ok(5e-324)),
            ("7e-324", Err(JsonErrorKind::NumberLosesDigits)),
            ("1.2345678901234567e-310", Err(JsonErrorKind::NumberLosesDigits)),
            ("9007199254740990.5", Err(JsonErrorKind::NumberLosesDigits)),
            ("4503599627370497.4", Err(JsonErrorKind::NumberLosesDigits)),
            ("2251799813685249.5", Ok(2_251_799_813_685_249.5)),
            ("100.0", Ok(100.0)),
        ] {
            assert_eq!(parse(literal), expected, "{literal}");
        }
    }
}
