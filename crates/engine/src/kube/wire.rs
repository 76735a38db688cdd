//! Reading what API servers write.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default: servers write so what holds nothing, such as the list of a new
/// kind, or the conditions of a definition that nobody has looked at.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
