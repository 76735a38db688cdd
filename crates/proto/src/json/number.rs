//! Numbers from their text, exactly.

/// The largest float below which every integer has a float of its own.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Reads an integer: digits, `0x` and `0o` of YAML, and floats without a fraction (`1.0`, `1e3`),
/// as canonical JSON asks. One that is too large for anything becomes the largest there is; a float
/// beyond 2^53 counts as such, since it does not say which integer it means.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = split_sign(text);
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ => (10, digits),
    };
    if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
        // Only overflow is left.
        return Some(sign * i128::from_str_radix(digits, radix).unwrap_or(i128::MAX));
    }
    let float = decimal(digits).filter(|float| radix == 10 && float.fract() == 0.0)?;
    if float >= EXACT_FLOAT {
        return Some(sign * i128::MAX);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    let whole = float as i128;
    Some(sign * whole)
}

/// Reads a float, also as `NaN`, `Infinity` and `-Infinity` of JSON and `.nan` and `.inf` of YAML.
/// A finite one that is out of range is none.
pub(super) fn float(text: &str) -> Option<f64> {
    let (sign, rest) = split_sign(text);
    let magnitude = match rest {
        "NaN" | ".nan" | ".NaN" | ".NAN" => f64::NAN,
        "Infinity" | ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
        _ if rest.starts_with("0x") || rest.starts_with("0o") => integer(rest)? as f64,
        _ => decimal(rest)?,
    };
    if sign < 0 {
        Some(-magnitude)
    } else {
        Some(magnitude)
    }
}

/// Whether a plain YAML scalar is a number of the core schema.
pub(super) fn is_yaml_number(text: &str) -> bool {
    let (_, rest) = split_sign(text);
    let is_special = matches!(rest, ".inf" | ".Inf" | ".INF");
    let is_nan = matches!(text, ".nan" | ".NaN" | ".NAN");
    is_special || is_nan || decimal(rest).is_some() || integer(text).is_some()
}

fn split_sign(text: &str) -> (i128, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

/// An unsigned decimal number that is finite.
fn decimal(text: &str) -> Option<f64> {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !is_number {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
