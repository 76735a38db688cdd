//! What exactly of an application runs: how a route and a runtime name it.

/// Longest label of a release: clusters have it as the value of a label.
pub const MAX_LABEL_BYTES: usize = 63;

/// What exactly of an application runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Revision of the application.
    pub revision: u64,
    /// What tells releases of one revision apart, for example by their code. Opaque; empty when it
    /// is not known: then the revision alone counts.
    pub label: String,
}

impl Release {
    /// Whether two may be the same: the revisions are, and so are the labels where both are known.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let is_unknown = self.label.is_empty() || other.label.is_empty();
        self.revision == other.revision && (is_unknown || self.label == other.label)
    }
}

/// Whether a text can be the label of a release.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES
}

#[cfg(test)]
mod tests;
