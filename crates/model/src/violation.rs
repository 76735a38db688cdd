//! Collecting everything that is wrong with a document, with the path of each field.

use std::fmt::Write as _;

pub use baetyl_service_kit::fault::Violation;

/// The most violations that one document reports; what a person reads, and a bound for what a
/// hostile document costs.
pub const MAX_VIOLATIONS: usize = 256;

/// Why a field is refused: UPPER_SNAKE and stable, for programs.
pub mod reason {
    /// The field must be set.
    pub const REQUIRED: &str = "REQUIRED";
    /// The text is no name of the wanted sort.
    pub const INVALID_NAME: &str = "INVALID_NAME";
    /// A label's key or value is outside of the Kubernetes alphabet.
    pub const INVALID_LABEL: &str = "INVALID_LABEL";
    /// The text is no label selector.
    pub const INVALID_SELECTOR: &str = "INVALID_SELECTOR";
    /// The text is no quantity in the Kubernetes grammar.
    pub const INVALID_QUANTITY: &str = "INVALID_QUANTITY";
    /// The text has another form than it must have.
    pub const INVALID_FORMAT: &str = "INVALID_FORMAT";
    /// The value is none of those that are known.
    pub const UNKNOWN_VALUE: &str = "UNKNOWN_VALUE";
    /// The number or duration is too small or too large.
    pub const OUT_OF_BOUNDS: &str = "OUT_OF_BOUNDS";
    /// There are more bytes than are allowed.
    pub const TOO_LARGE: &str = "TOO_LARGE";
    /// There are more entries than are allowed.
    pub const TOO_MANY: &str = "TOO_MANY";
    /// The same name, port or path stands there twice.
    pub const DUPLICATE: &str = "DUPLICATE";
    /// Fields that exclude each other are set.
    pub const CONFLICT: &str = "CONFLICT";
    /// The field has no meaning for this type and would be ignored.
    pub const NOT_ALLOWED: &str = "NOT_ALLOWED";
    /// The name belongs to the system.
    pub const RESERVED: &str = "RESERVED";
    /// Nothing in the document has that name.
    pub const UNKNOWN_NAME: &str = "UNKNOWN_NAME";
    /// The field cannot change after it was created.
    pub const IMMUTABLE: &str = "IMMUTABLE";
    /// The contract knows it and this version does not do it yet.
    pub const UNSUPPORTED: &str = "UNSUPPORTED";

    /// Every reason with what it means, for the reference documentation.
    pub const ALL: [(&str, &str); 17] = [
        (REQUIRED, "the field must be set"),
        (INVALID_NAME, "the text is no name of the wanted sort"),
        (
            INVALID_LABEL,
            "a label is outside of the Kubernetes alphabet",
        ),
        (INVALID_SELECTOR, "the text is no label selector"),
        (
            INVALID_QUANTITY,
            "the text is no quantity such as 500m or 64Mi",
        ),
        (
            INVALID_FORMAT,
            "the text has another form than it must have",
        ),
        (UNKNOWN_VALUE, "the value is none of those that are known"),
        (
            OUT_OF_BOUNDS,
            "the number or duration is too small or too large",
        ),
        (TOO_LARGE, "there are more bytes than are allowed"),
        (TOO_MANY, "there are more entries than are allowed"),
        (DUPLICATE, "the same name, port or path stands there twice"),
        (CONFLICT, "fields that exclude each other are set"),
        (NOT_ALLOWED, "the field has no meaning for this type"),
        (RESERVED, "the name belongs to the system"),
        (UNKNOWN_NAME, "nothing in the document has that name"),
        (
            IMMUTABLE,
            "the field cannot change after the resource was created",
        ),
        (UNSUPPORTED, "this version does not do it yet"),
    ];
}

/// Path of a field in the JSON dialect: `services[0].functions[0].handler`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path(String);

impl Path {
    /// The document itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// A field by its JSON name, or a key of a map.
    pub(crate) fn field(&self, name: &str) -> Self {
        // A key comes from outside and may be as long as the document.
        const LONGEST: usize = 256;
        let end = name.floor_char_boundary(LONGEST);
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&name[..end]);
        if end < name.len() {
            path.push('…');
        }
        Self(path)
    }

    /// An element of a list, from 0.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut path = self.0.clone();
        // Writing to text cannot fail.
        let _ = write!(path, "[{index}]");
        Self(path)
    }
}

/// Collects violations, at most [`MAX_VIOLATIONS`].
#[derive(Debug, Default)]
pub(crate) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    pub(crate) fn add(
        &mut self,
        path: &Path,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        if self.violations.len() < MAX_VIOLATIONS {
            let violation = Violation::new(path.0.clone(), reason, description);
            self.violations.push(violation);
        }
    }

    /// Refuses a field that is set although it means nothing here.
    pub(crate) fn absent(&mut self, path: &Path, is_set: bool, why: &str) {
        if is_set {
            self.add(path, reason::NOT_ALLOWED, why);
        }
    }

    /// Refuses too many entries. The caller looks at the first `most` only.
    pub(crate) fn count(&mut self, path: &Path, count: usize, most: usize) {
        if count > most {
            let description = format!("may have at most {most} entries, got {count}");
            self.add(path, reason::TOO_MANY, description);
        }
    }

    /// Refuses too many bytes.
    pub(crate) fn bytes(&mut self, path: &Path, bytes: usize, most: usize) {
        if bytes > most {
            let description = format!("may have at most {most} bytes, got {bytes}");
            self.add(path, reason::TOO_LARGE, description);
        }
    }

    /// Refuses a number outside of the bounds, both included.
    pub(crate) fn range(&mut self, path: &Path, number: i64, least: i64, most: i64) {
        if !(least..=most).contains(&number) {
            let description = format!("must be {least} to {most}, got {number}");
            self.add(path, reason::OUT_OF_BOUNDS, description);
        }
    }

    pub(crate) fn duplicate(&mut self, path: &Path, what: &str) {
        self.add(
            path,
            reason::DUPLICATE,
            format!("{what} stands there twice"),
        );
    }

    pub(crate) fn finish(self) -> Vec<Violation> {
        self.violations
    }
}
