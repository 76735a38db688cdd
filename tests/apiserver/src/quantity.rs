//! Amounts of resources such as `500m` or `64Mi`, and their one canonical spelling.

/// An amount in thousandths of a thousandth of a thousandth (nano), as the finest suffix is `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

const NANO: i128 = 1_000_000_000;

const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// Suffix and power of ten.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

impl Quantity {
    /// Reads an amount; `None` when it is none, or too large to be meant.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number_end = text
            .char_indices()
            .find(|(at, c)| {
                !(c.is_ascii_digit() || *c == '.' || *at == 0 && (*c == '+' || *c == '-'))
            })
            .map_or(text.len(), |(at, _)| at);
        let (number, suffix) = text.split_at(number_end);
        if let Some((_, power)) = BINARY.iter().find(|(known, _)| *known == suffix) {
            let nanos = nanos(number, 0)?.checked_mul(1_i128.checked_shl(*power)?)?;
            let format = Format::Binary;
            return Some(Self { nanos, format });
        }
        if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
            let nanos = nanos(number, *power)?;
            let format = Format::Decimal;
            return Some(Self { nanos, format });
        }
        let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        let nanos = nanos(number, power)?;
        let format = Format::Exponent;
        Some(Self { nanos, format })
    }

    pub(crate) fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether this is more than the other, whatever the spelling.
    pub(crate) fn is_more_than(self, other: Self) -> bool {
        self.nanos > other.nanos
    }

    /// The spelling that the server stores: the largest suffix that needs no fraction.
    pub(crate) fn canonical(self) -> String {
        let whole = self.nanos % NANO == 0;
        if self.format == Format::Binary && whole && (self.nanos / NANO).abs() >= 1024 {
            let value = self.nanos / NANO;
            let (suffix, power) = BINARY
                .iter()
                .rev()
                .find(|(_, power)| value % (1_i128 << power) == 0)
                .map_or(("", 0), |(suffix, power)| (*suffix, *power));
            return format!("{}{suffix}", value >> power);
        }
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let found = DECIMAL.iter().rev().find_map(|(suffix, power)| {
            let unit = 10_i128.checked_pow(u32::try_from(power + 9).ok()?)?;
            (self.nanos % unit == 0).then(|| (self.nanos / unit, *suffix, *power))
        });
        let (value, suffix, power) = found.unwrap_or((self.nanos, "n", -9));
        if self.format == Format::Exponent && power != 0 {
            return format!("{value}e{power}");
        }
        format!("{value}{suffix}")
    }
}

/// `number` times ten to `power`, in nanos; fractions of a nano are rounded up, as the server does.
fn nanos(number: &str, power: i32) -> Option<i128> {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || digits.len() > 30 {
        return None;
    }
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = power + 9 - i32::try_from(fraction.len()).ok()?;
    let magnitude = if scale >= 0 {
        value.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?
    } else {
        let unit = 10_i128.checked_pow(scale.unsigned_abs())?;
        value / unit + i128::from(value % unit != 0)
    };
    Some(sign * magnitude)
}

#[cfg(test)]
mod tests;
