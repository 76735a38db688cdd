//! One thing that a check found.

use std::fmt;

/// A finding at a line; prints as `path:line: rule: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
    /// Whether it fails the run; otherwise it is only worth knowing.
    pub(crate) is_error: bool,
}

impl Finding {
    /// Something that must be changed.
    pub(crate) fn error(
        path: &str,
        line: usize,
        rule: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            message: message.into(),
            is_error: true,
        }
    }

    /// Something that may stay.
    pub(crate) fn note(
        path: &str,
        line: usize,
        rule: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            is_error: false,
            ..Self::error(path, line, rule, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "" } else { "note: " };
        let Self {
            path,
            line,
            rule,
            message,
            ..
        } = self;
        write!(f, "{path}:{line}: {kind}{rule}: {message}")
    }
}
