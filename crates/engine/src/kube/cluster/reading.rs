//! What a refusal of the API server means: pure, from its `Status`.
//!
//! Sentences are looked at only where the API has no word: they have been the same over all
//! supported versions, and one that is not recognised is told as it is.

use kube::core::Status;
use kube::core::response::StatusCause;

use super::super::object::ObjectKey;
use super::conflict::FieldConflict;
use super::rejection::ObjectViolation;
use crate::reason;

/// The most characters of the server's text that are told on.
const MAX_TEXT_CHARS: usize = 400;

/// What a refusal means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Others manage fields that we want to set.
    Conflict(Vec<FieldConflict>),
    /// Nothing but fields that cannot change is wrong.
    Immutable(Vec<ObjectViolation>),
    /// The object, or what surrounds it, is at fault.
    Invalid(Vec<ObjectViolation>),
    /// Somebody wrote at the same moment; the same request may work now.
    Modified,
    /// The object is another one than it was.
    Changed,
    /// The object does not exist.
    NotFound,
    /// Its namespace does not exist.
    NamespaceMissing,
    /// The cluster does not serve its kind, or not yet.
    NotServed,
    /// A program that must be asked about it does not answer; it may be one that is yet to come.
    Unjudged,
    /// Not now.
    Busy,
}

impl Reading {
    /// Whether only an object that is there is refused like this.
    pub(super) fn is_of_existing(&self) -> bool {
        matches!(
            self,
            Self::Conflict(_) | Self::Immutable(_) | Self::Modified
        )
    }
}

/// Reads the answer to a request about an object.
pub(super) fn read(key: &ObjectKey, status: &Status) -> Reading {
    let text = status.message.as_str();
    if text.contains("failed calling webhook") || text.contains("does not support dry run") {
        return Reading::Unjudged;
    }
    if let Some(found) = malformed(key, text) {
        return Reading::Invalid(found);
    }
    // Its store says so with a code for its own failures.
    if text.contains("request is too large") {
        return Reading::Invalid(vec![whole(key, text)]);
    }
    match status.code {
        400 | 405 | 406 | 413 | 415 => Reading::Invalid(vec![whole(key, text)]),
        401 => {
            let message = "the cluster does not accept the credentials of this node";
            let violation = ObjectViolation::new(key, "", reason::FORBIDDEN, message);
            Reading::Invalid(vec![violation])
        }
        403 => forbidden(key, status),
        404 => missing(status),
        409 => conflict(status),
        422 => invalid(key, status),
        _ => Reading::Busy,
    }
}

/// Causes of the refusal.
fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |d| &d.causes)
}

fn whole(key: &ObjectKey, text: &str) -> ObjectViolation {
    let message = told(key, text);
    let field = decoded_field(text).unwrap_or_default();
    ObjectViolation::new(key, field, reason::INVALID_OBJECT, message)
}

fn missing(status: &Status) -> Reading {
    let details = status.details.as_ref();
    let is_namespace = details.is_some_and(|details| details.kind == "namespaces");
    if is_namespace || status.message.starts_with("namespaces \"") {
        return Reading::NamespaceMissing;
    }
    // About a kind that it does not serve the server names no object.
    if details.is_none_or(|details| details.name.is_empty()) {
        return Reading::NotServed;
    }
    Reading::NotFound
}

fn conflict(status: &Status) -> Reading {
    // Somebody made it since it was looked for, so that it is not ours.
    if status.reason == "AlreadyExists" {
        return Reading::Changed;
    }
    let conflicts: Vec<FieldConflict> = causes(status)
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(FieldConflict::read)
        .collect();
    if !conflicts.is_empty() {
        return Reading::Conflict(conflicts);
    }
    let text = status.message.to_ascii_lowercase();
    let names_uid = text.contains("uid in precondition")
        || text.contains("uid in the precondition")
        || text.contains("uid mismatch");
    if names_uid {
        return Reading::Changed;
    }
    Reading::Modified
}

fn invalid(key: &ObjectKey, status: &Status) -> Reading {
    let found: Vec<(bool, ObjectViolation)> = causes(status)
        .iter()
        .map(|cause| {
            let is_immutable = is_immutable(&cause.message);
            let reason = if is_immutable {
                reason::IMMUTABLE_FIELD
            } else {
                reason::INVALID_OBJECT
            };
            let message = told(key, &cause.message);
            let violation = ObjectViolation::new(key, &cause.field, reason, message);
            (is_immutable, violation)
        })
        .collect();
    if found.is_empty() {
        return Reading::Invalid(vec![whole(key, &status.message)]);
    }
    let is_immutable = found.iter().all(|(is_immutable, _)| *is_immutable);
    let violations = found.into_iter().map(|(_, violation)| violation).collect();
    if is_immutable {
        return Reading::Immutable(violations);
    }
    Reading::Invalid(violations)
}

/// Whether a sentence says that a field cannot change once the object is there.
fn is_immutable(text: &str) -> bool {
    const SENTENCES: [&str; 8] = [
        "immutable",
        "may not change once set",
        "may not be changed in an update",
        "cannot change roleRef",
        "updates to statefulset spec for fields other than",
        "pod updates may not change fields other than",
        "updates to parameters are forbidden",
        "updates to provisioner are forbidden",
    ];
    SENTENCES.iter().any(|sentence| text.contains(sentence))
}

fn forbidden(key: &ObjectKey, status: &Status) -> Reading {
    let is_ending = causes(status)
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating");
    if is_ending {
        return Reading::NamespaceMissing;
    }
    let text = status.message.as_str();
    let violation = if let Some(permission) = missing_permission(text) {
        let message = format!("this node lacks the permission to {permission}");
        ObjectViolation::new(key, "", reason::FORBIDDEN, message)
    } else if text.contains("exceeded quota") {
        ObjectViolation::new(key, "", reason::QUOTA_EXCEEDED, told(key, text))
    } else {
        // An admission rule of the cluster, which will say the same again.
        whole(key, text)
    };
    Reading::Invalid(vec![violation])
}

/// Takes verb, resource and place out of the sentence of the role check: `patch deployments.apps
/// in namespace edge`.
pub(super) fn missing_permission(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = rest
        .split_once("API group \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(group, _)| group);
    let namespace = rest
        .split_once("in the namespace \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let dot = if group.is_empty() { "" } else { "." };
    let place = match namespace {
        Some((namespace, _)) => format!("in namespace {namespace}"),
        None => "in the cluster".to_owned(),
    };
    Some(format!("{verb} {resource}{dot}{group} {place}"))
}

/// Fields that the object's schema does not have, or not so. The server has no word for these, and
/// answers with different codes.
fn malformed(key: &ObjectKey, text: &str) -> Option<Vec<ObjectViolation>> {
    let at = |field: &str, message: &str| {
        ObjectViolation::new(key, field, reason::INVALID_OBJECT, told(key, message))
    };
    if let Some((_, list)) = text.split_once("strict decoding error: ") {
        let found: Vec<_> = list
            .split("\", ")
            .filter_map(|entry| {
                let (what, field) = entry.split_once('"')?;
                Some(at(field.trim_end_matches('"'), what.trim()))
            })
            .collect();
        return (!found.is_empty()).then_some(found);
    }
    let (_, list) = text.split_once("failed to create typed patch object (")?;
    let (_, list) = list.split_once("): ")?;
    let found: Vec<_> = list
        .lines()
        .filter_map(|line| {
            let (field, what) = line.trim().strip_prefix('.')?.split_once(": ")?;
            Some(at(field, what))
        })
        .collect();
    if found.is_empty() {
        return Some(vec![at("", list)]);
    }
    Some(found)
}

/// The field in `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas
/// of type int32`.
fn decoded_field(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Go struct field ")?;
    let (path, _) = rest.split_once(' ')?;
    path.split_once('.').map(|(_, field)| field)
}

/// The server's sentence without the values of a secret, and not endless.
fn told(key: &ObjectKey, text: &str) -> String {
    // `expected string, got &value.valueUnstructured{…}` shows the value.
    let text = text.split(", got ").next().unwrap_or(text);
    let text = match text.rsplit_once(": ") {
        // `Invalid value: "…": must be …` shows it, too.
        Some((_, last)) if key.kind == "Secret" => last,
        _ => text,
    };
    text.trim().chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests;
