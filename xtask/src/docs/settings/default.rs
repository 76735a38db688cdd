//! Defaults: what the comment of a key says, and what `impl Default` sets.

use std::collections::BTreeMap;
use std::fmt;

use super::super::rust::{Function, functions, literals};
use super::find::written;

/// What `impl Default` of a type sets, as far as it is plain to see.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    values: BTreeMap<String, String>,
}

/// A default in the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Flag(bool),
    /// A text, number or path, to be found in the comment as it is.
    Plain(String),
    Seconds(u64),
}

impl Value {
    /// Whether a comment's words can mean this.
    pub(super) fn agrees_with(&self, told: &str) -> bool {
        let told = told.replace(['`', ' ', '_'], "").to_lowercase();
        let says = |text: &str| told.contains(&text.replace(['_', ' '], "").to_lowercase());
        match self {
            Self::Nothing => true,
            Self::Flag(true) => says("true") || says("yes"),
            Self::Flag(false) => says("false") || says("no"),
            Self::Plain(text) => says(text),
            Self::Seconds(seconds) => spellings(*seconds).iter().any(|text| says(text)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Plain(text) => write!(f, "`{text}`"),
            Self::Seconds(seconds) => {
                let spellings = spellings(*seconds);
                f.write_str(spellings.last().map_or("0s", String::as_str))
            }
        }
    }
}

/// `60s`, `1m`: the largest unit last.
fn spellings(seconds: u64) -> Vec<String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let fitting = units
        .iter()
        .filter(|(_, length)| seconds.is_multiple_of(*length));
    let fitting = fitting.filter(|(_, length)| *length == 1 || seconds >= *length);
    fitting
        .map(|(unit, length)| format!("{}{unit}", seconds / length))
        .collect()
}

impl Defaults {
    /// Reads `impl Default` of a type.
    pub(super) fn read(text: &str, name: &str) -> Self {
        let is_it =
            |f: &Function| f.name == "default" && f.of_trait == "Default" && f.of_type == name;
        let mut values = BTreeMap::new();
        let mut prefix = Vec::new();
        let function = functions(text).into_iter().find(is_it);
        let body = function.map(|function| function.body).unwrap_or_default();
        let fields = body.split_once("Self {").map_or("", |(_, fields)| fields);
        for line in fields.lines().map(str::trim) {
            match line.split_once(": ") {
                Some((field, value)) if value.ends_with('{') => prefix.push(format!("{field}.")),
                Some((field, value)) => {
                    let field = format!("{}{field}", prefix.concat());
                    values.insert(field, value.trim_end_matches(',').to_owned());
                }
                None if line == "}," => drop(prefix.pop()),
                None => {}
            }
        }
        Self { values }
    }

    /// What is set of the fields of a field.
    pub(super) fn below(&self, field: &str) -> Self {
        let start = format!("{field}.");
        let below = |(name, value): (&String, &String)| {
            Some((name.strip_prefix(&start)?.to_owned(), value.clone()))
        };
        Self {
            values: self.values.iter().filter_map(below).collect(),
        }
    }

    /// These with those over them.
    pub(super) fn overlaid(mut self, above: &Self) -> Self {
        self.values.extend(above.values.clone());
        self
    }

    /// The default of a field, if it is plain to see.
    pub(super) fn of(&self, field: &str) -> Option<Value> {
        value(self.values.get(field)?)
    }
}

fn value(code: &str) -> Option<Value> {
    if let Some(inside) = code.strip_prefix("Some(") {
        return value(inside.strip_suffix(')')?);
    }
    if matches!(code, "None" | "Vec::new()") {
        return Some(Value::Nothing);
    }
    if code == "String::new()" {
        return Some(Value::Plain("\"\"".to_owned()));
    }
    if let Ok(flag) = code.parse() {
        return Some(Value::Flag(flag));
    }
    if let Some(inside) = code.strip_prefix("HumanDuration::from_secs(") {
        let factors = inside.strip_suffix(')')?.split('*');
        let factors = factors.map(|factor| factor.trim().replace('_', "").parse::<u64>());
        let product = factors.into_iter().try_fold(1_u64, |product, factor| {
            factor.ok().and_then(|factor| product.checked_mul(factor))
        });
        return product.map(Value::Seconds);
    }
    if let Some(inside) = code.strip_prefix("ByteSize::mebibytes(") {
        return Some(Value::Plain(format!("{}Mi", inside.strip_suffix(')')?)));
    }
    if let Some(literal) = literals(code).first() {
        return Some(Value::Plain(literal.value.to_owned()));
    }
    if code.parse::<f64>().is_ok() || code.replace('_', "").parse::<u64>().is_ok() {
        return Some(Value::Plain(
            code.replace('_', "").trim_end_matches(".0").to_owned(),
        ));
    }
    let (kind, variant) = code.split_once("::")?;
    let is_variant = |text: &str| text.chars().all(char::is_alphanumeric);
    (is_variant(kind) && is_variant(variant)).then(|| Value::Plain(written(variant, true)))
}

/// The default that a comment says, and the comment without it.
pub(super) fn told(docs: &str) -> (Option<String>, String) {
    let start = if docs.starts_with("Default ") {
        Some(0)
    } else {
        docs.find(". Default ").map(|at| at + 2)
    };
    let Some(start) = start else {
        return (None, docs.to_owned());
    };
    let (before, rest) = docs.split_at(start);
    let (sentence, after) = rest.split_once(". ").unwrap_or((rest, ""));
    let default = sentence
        .trim_start_matches("Default ")
        .trim_end_matches('.');
    let meaning = format!("{before}{after}");
    (Some(default.to_owned()), meaning.trim().to_owned())
}

/// A duration or size as a file has it: `10 s` is written `10s`.
pub(super) fn spelled(default: &str) -> String {
    let plain = default.trim_matches('`');
    let digits = plain.trim_start_matches(|c: char| c.is_ascii_digit());
    let (count, unit) = plain.split_at(plain.len() - digits.len());
    let unit = match unit.trim() {
        "days" => "d",
        "min" => "m",
        unit @ ("ms" | "s" | "m" | "h" | "d" | "Ki" | "Mi" | "Gi") => unit,
        _ => return default.to_owned(),
    };
    format!("`{count}{unit}`")
}
