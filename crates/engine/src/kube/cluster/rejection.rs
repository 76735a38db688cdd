//! Why a set of objects was not accepted: every object and field that is at fault, at once.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::object::ObjectKey;
use super::request::Trouble;
use crate::driver::Refusal;
use crate::reason;

/// How many violations the sentence for people names; the rest is counted.
const NAMED: usize = 4;

/// The cluster did not accept something, or could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people, naming objects and fields.
    pub message: String,
    /// Whether the same will happen again until the application changes.
    pub is_final: bool,
    /// When the cluster wants to be asked again; `None` when it did not say.
    pub retry_after: Option<Duration>,
    /// What is wrong with which object; empty when the cluster could not be asked.
    pub violations: Vec<ObjectViolation>,
}

/// Something is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectViolation {
    /// Which object.
    pub object: ObjectKey,
    /// Path of the field: `spec.template.spec.containers[0].image`; empty for the whole object.
    pub field: String,
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people. Holds no values of secrets.
    pub message: String,
}

impl ObjectViolation {
    pub(super) fn new(
        object: &ObjectKey,
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            object: object.clone(),
            field: field.into(),
            reason,
            message: message.into(),
        }
    }

    /// Whether it stays until the application changes. The rest is up to the installation, or to
    /// another application.
    fn is_final(&self) -> bool {
        ![
            reason::CLUSTER_UNAVAILABLE,
            reason::FORBIDDEN,
            reason::KIND_NOT_FOUND,
            reason::NAMESPACE_NOT_FOUND,
            reason::QUOTA_EXCEEDED,
        ]
        .contains(&self.reason)
    }
}

impl std::fmt::Display for ObjectViolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            return write!(f, "{}: {}", self.object, self.message);
        }
        write!(f, "{}: {}: {}", self.object, self.field, self.message)
    }
}

impl Rejection {
    /// Sums violations up, of which there is at least one. One that lasts decides the reason.
    pub(super) fn of(violations: Vec<ObjectViolation>) -> Self {
        let lasting = violations.iter().find(|violation| violation.is_final());
        let deciding = lasting.or_else(|| violations.first());
        let reason = deciding.map_or(reason::INVALID_OBJECT, |violation| violation.reason);
        let mut message = String::new();
        for violation in violations.iter().take(NAMED) {
            let separator = if message.is_empty() { "" } else { "; " };
            let _ = write!(message, "{separator}{violation}");
        }
        if violations.len() > NAMED {
            let _ = write!(message, "; and {} more", violations.len() - NAMED);
        }
        Self {
            reason,
            message,
            is_final: lasting.is_some(),
            retry_after: None,
            violations,
        }
    }

    /// Fails with all violations, if there are any.
    pub(super) fn check(violations: Vec<ObjectViolation>) -> Result<(), Self> {
        if violations.is_empty() {
            return Ok(());
        }
        Err(Self::of(violations))
    }

    /// The cluster could not be asked, or not now; `doing` is what was tried: `apply Pod a/b`.
    pub(super) fn of_trouble(doing: &str, trouble: &Trouble) -> Self {
        let (reason, detail, retry_after) = match trouble {
            Trouble::Refused(refused) => {
                let status = &refused.status;
                let detail = format!("the cluster answered {}: {}", status.code, status.message);
                (reason::CLUSTER_UNAVAILABLE, detail, refused.retry_after)
            }
            Trouble::Unanswered(detail) => (reason::CLUSTER_UNAVAILABLE, detail.clone(), None),
            Trouble::Changed(detail) => (reason::OBJECT_CHANGED, detail.clone(), None),
        };
        Self {
            reason,
            message: format!("could not {doing}: {detail}"),
            is_final: false,
            retry_after,
            violations: Vec::new(),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self {
            reason: rejection.reason,
            message: rejection.message,
            is_final: rejection.is_final,
        }
    }
}
