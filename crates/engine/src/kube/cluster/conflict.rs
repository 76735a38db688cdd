//! Who else manages a field, and whether it is forced back: pure.
//!
//! What somebody edited by hand on an object of ours (`Update`) is drift, and is made right again.
//! What somebody declares (`Apply`) is meant to stay: it is reported, and taken over only when the
//! application asks for that.

use kube::core::response::StatusCause;

use super::super::names::SCALE_MANAGER;

/// A field that somebody else manages with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldConflict {
    /// Path of the field, without the dot in front.
    pub(super) field: String,
    /// Name of the other field manager.
    pub(super) manager: String,
    /// Whether it declares the field, rather than having edited it.
    pub(super) is_declared: bool,
}

impl FieldConflict {
    /// Reads the cause of a conflict. Its message is `conflict with "kubectl-edit" using apps/v1`
    /// or `… with subresource "scale" using apps/v1 at 2026-01-02T03:04:05Z` for an edit, and
    /// `conflict with "argocd"` for a declaration.
    pub(super) fn read(cause: &StatusCause) -> Self {
        let named = cause
            .message
            .strip_prefix("conflict with ")
            .and_then(quoted)
            .map(|(manager, rest)| (manager, rest.contains(" using ")));
        // What cannot be read is not forced.
        let (manager, is_edited) = named.unwrap_or_else(|| (cause.message.clone(), false));
        Self {
            field: cause.field.trim_start_matches('.').to_owned(),
            // What we hold for an autoscaler is ours to change.
            is_declared: !is_edited && manager != SCALE_MANAGER,
            manager,
        }
    }
}

/// Takes a quoted text from the front: the text, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                let inner = rest[..at].replace("\\\"", "\"").replace("\\\\", "\\");
                return Some((inner, &rest[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
