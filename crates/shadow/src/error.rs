//! What can be wrong with what comes in.

/// An input breaks a bound or a rule; a variant per thing a caller can do.
///
/// [`Error::reason`] is stable and goes to people and programs; the text may change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not JSON.
    #[error("not readable as json at line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// The JSON is not an object.
    #[error("a json object is needed")]
    NotAnObject,
    /// A member is null where only a patch may say so.
    #[error("{path} is null; a document has no null members")]
    NullMember {
        /// Where, as a JSON pointer (RFC 6901).
        path: String,
    },
    /// Objects and arrays are nested too deeply.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// Levels that are allowed.
        limit: usize,
    },
    /// The compact JSON text is too long.
    #[error("larger than {limit_bytes} bytes")]
    TooLarge {
        /// Bytes that are allowed.
        limit_bytes: usize,
    },
    /// The text is not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("not a digest; it reads sha256:<64 hexadecimal digits>")]
    DigestInvalid,
    /// A section holds too many entries.
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// Entries that are allowed.
        limit: usize,
    },
    /// A key of a section or property is empty, too long, or has a wrong character.
    #[error("the key {key:?} is not valid")]
    KeyInvalid {
        /// The key, cut to 64 characters.
        key: String,
    },
    /// A property's value is not a boolean, number or text.
    #[error("the value of {key} is not a boolean, number or text")]
    NotAScalar {
        /// The property.
        key: String,
    },
    /// A property's value is too long.
    #[error("the value of {key} is larger than {limit_bytes} bytes")]
    ValueTooLarge {
        /// The property.
        key: String,
        /// Bytes that are allowed, as JSON.
        limit_bytes: usize,
    },
}

impl Error {
    /// Returns the stable reason, in UPPER_SNAKE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Json { .. } => "JSON_INVALID",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::NullMember { .. } => "NULL_MEMBER",
            Self::TooDeep { .. } => "TOO_DEEP",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::TooManyEntries { .. } => "TOO_MANY_ENTRIES",
            Self::KeyInvalid { .. } => "KEY_INVALID",
            Self::NotAScalar { .. } => "NOT_A_SCALAR",
            Self::ValueTooLarge { .. } => "VALUE_TOO_LARGE",
        }
    }

    pub(crate) fn key(key: &str) -> Self {
        let key = key.chars().take(64).collect();
        Self::KeyInvalid { key }
    }
}
