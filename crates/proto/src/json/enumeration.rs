//! The names of enumerations: short in the dialect, full in the contract.

use prost_reflect::{EnumDescriptor, EnumValueDescriptor};

/// The name in the dialect: `APPLICATION_TYPE_FUNCTION` is `function`.
#[must_use]
pub fn short_name(value: &EnumValueDescriptor) -> String {
    let prefix = prefix(value.parent_enum());
    let name = value.name();
    name.strip_prefix(&prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// The names that a field may have, in the order of their numbers. `unspecified`, which means the
/// same as no value, is accepted too and not listed.
#[must_use]
pub fn allowed_names(descriptor: &EnumDescriptor) -> Vec<String> {
    let values = descriptor.values();
    values
        .filter(|value| !(value.number() == 0 && value.name().ends_with("_UNSPECIFIED")))
        .map(|value| short_name(&value))
        .collect()
}

/// The number of a short or full name; the case counts.
pub(super) fn number(descriptor: &EnumDescriptor, text: &str) -> Option<i32> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let upper = text.to_ascii_uppercase();
        let full = prefix(descriptor) + &upper;
        let value = descriptor.get_value_by_name(&full);
        return value
            .or_else(|| descriptor.get_value_by_name(&upper))
            .map(|value| value.number());
    }
    descriptor
        .get_value_by_name(text)
        .map(|value| value.number())
}

/// `ApplicationType` is `APPLICATION_TYPE_`, which `buf lint` asks of every value.
fn prefix(descriptor: &EnumDescriptor) -> String {
    let name = descriptor.name();
    let mut prefix = String::with_capacity(name.len() + 8);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(character.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}
