//! Quantities in the Kubernetes grammar: `500m`, `1.5`, `64Mi`, `1e3`.

use std::str::FromStr;

/// Parts of a quantity: the smallest suffix is `n`, a billionth.
const NANO: u128 = 1_000_000_000;

/// The most digits of a number: together with the largest exponent, 18, what 128 bits hold.
const MAX_DIGITS: usize = 19;

/// An amount of something that is not negative, exact to a billionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: u128,
}

/// A text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is empty or has no digits.
    #[error("must be a number with an optional suffix, such as 500m or 64Mi")]
    Malformed,
    /// The suffix is none of those that are known.
    #[error("has an unknown suffix; use n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or e3")]
    Suffix,
    /// The number is below zero.
    #[error("must not be negative")]
    Negative,
    /// The number is larger than anything real.
    #[error("is too large")]
    TooLarge,
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// [`QuantityError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let end = unsigned.bytes().position(|byte| !is_number(byte));
        let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(QuantityError::Malformed);
        }
        if is_negative {
            return Err(QuantityError::Negative);
        }
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(QuantityError::TooLarge);
        }
        let scale = scale(suffix)?;
        let digits: u128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| QuantityError::Malformed)?;
        // The suffix as parts of a billionth: `numerator / denominator` of NANO.
        let scaled = digits
            .checked_mul(scale.numerator)
            .ok_or(QuantityError::TooLarge)?;
        let power = u32::try_from(fraction.len()).map_err(|_| QuantityError::TooLarge)?;
        let divisor = 10_u128.pow(power) * scale.denominator;
        // What is smaller than a billionth counts as one, as in Kubernetes.
        Ok(Self {
            nanos: scaled.div_ceil(divisor),
        })
    }

    /// Returns thousandths, rounded up: `1` of processors is 1000.
    pub fn millis(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANO / 1000)).unwrap_or(u64::MAX)
    }

    /// Returns whole units, rounded up: `1Ki` of memory is 1024 bytes.
    pub fn units(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANO)).unwrap_or(u64::MAX)
    }

    /// Returns whether it is a number of whole units.
    pub fn is_whole(self) -> bool {
        self.nanos.is_multiple_of(NANO)
    }

    /// Returns whether it is nothing at all.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// How many billionths one of a suffix is, as a fraction.
struct Scale {
    numerator: u128,
    denominator: u128,
}

fn scale(suffix: &str) -> Result<Scale, QuantityError> {
    let times = |numerator| {
        Ok(Scale {
            numerator,
            denominator: 1,
        })
    };
    match suffix {
        "n" => times(1),
        "u" => times(NANO / 1_000_000),
        "m" => times(NANO / 1000),
        "" => times(NANO),
        "k" => times(NANO * 10_u128.pow(3)),
        "M" => times(NANO * 10_u128.pow(6)),
        "G" => times(NANO * 10_u128.pow(9)),
        "T" => times(NANO * 10_u128.pow(12)),
        "P" => times(NANO * 10_u128.pow(15)),
        "E" => times(NANO * 10_u128.pow(18)),
        "Ki" => times(NANO << 10),
        "Mi" => times(NANO << 20),
        "Gi" => times(NANO << 30),
        "Ti" => times(NANO << 40),
        "Pi" => times(NANO << 50),
        "Ei" => times(NANO << 60),
        _ => exponent(suffix),
    }
}

/// Reads `e3`, `E-6`.
fn exponent(suffix: &str) -> Result<Scale, QuantityError> {
    let text = suffix
        .strip_prefix(['e', 'E'])
        .ok_or(QuantityError::Suffix)?;
    let power: i32 = text.parse().map_err(|_| QuantityError::Suffix)?;
    // Both bounds keep what follows inside of 128 bits.
    let magnitude = power.unsigned_abs();
    if magnitude > 18 {
        return Err(QuantityError::TooLarge);
    }
    let factor = 10_u128.pow(magnitude);
    if power < 0 {
        return Ok(Scale {
            numerator: NANO,
            denominator: factor,
        });
    }
    Ok(Scale {
        numerator: NANO * factor,
        denominator: 1,
    })
}

#[cfg(test)]
mod tests;
