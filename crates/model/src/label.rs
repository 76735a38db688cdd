//! The alphabet of labels, as in Kubernetes.

/// The longest value, and the longest key without its prefix.
pub const MAX_LABEL: usize = 63;

/// The longest prefix of a key.
pub const MAX_PREFIX: usize = 253;

/// Says what is wrong with the key of a label or annotation.
///
/// Shape: letters, digits, `-`, `_` and `.`, alphanumeric at both ends, at most 63 characters;
/// before it, as one likes, a DNS name and `/`.
///
/// # Errors
/// What is wrong, for people.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
        return Err("the part before `/` must be a DNS name of at most 253 characters");
    }
    if name.is_empty() {
        return Err("must not be empty");
    }
    check_text(name)
}

/// Says what is wrong with the value of a label: as a key without prefix, or empty.
///
/// # Errors
/// What is wrong, for people.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Ok(());
    }
    check_text(value)
}

fn check_text(text: &str) -> Result<(), &'static str> {
    let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
    let may_stand = |byte: &u8| alphanumeric(byte) || b"-_.".contains(byte);
    let bytes = text.as_bytes();
    if bytes.len() > MAX_LABEL {
        return Err("may have at most 63 characters");
    }
    if !bytes.iter().all(may_stand) {
        return Err("may have letters, digits, `-`, `_` and `.` only");
    }
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return Err("must start and end with a letter or digit");
    }
    Ok(())
}

/// Whether a text is a DNS name as Kubernetes names its objects (RFC 1123): lower case, parts of
/// at most 63 characters, at most 253 together.
pub(crate) fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| {
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.len() <= MAX_LABEL
            && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
            && bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
    };
    text.len() <= MAX_PREFIX && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests;
