//! From a body to an object of its kind.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{FieldValidation, Target};
use crate::object::{meta_text, metadata, seconds};
use crate::refusal::{Cause, Refusal};
use crate::schema::decode;

/// Reads a body as an object of the target's kind; returns texts for `Warning` headers.
///
/// # Errors
/// It is of another kind or place, or has wrong types, or unknown fields where these are refused.
pub(super) fn take(
    target: &Target,
    object: &mut Value,
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, Refusal> {
    identify(target, object)?;
    decode_object(target, object, duplicates, validation)
}

/// Checks kind, name and namespace of a body, and fills in the namespace.
pub(super) fn identify(target: &Target, object: &mut Value) -> Result<(), Refusal> {
    if !object.is_object() {
        return Err(Refusal::bad_request(
            "couldn't get version/kind; json parse error: the body is no object",
        ));
    }
    for (field, label) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if object[field].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::bad_request(format!(
                "Object '{label}' is missing in '{object}'"
            )));
        }
    }
    let expected = target.api_version();
    if object["apiVersion"] != *expected {
        let found = object["apiVersion"].as_str().unwrap_or_default();
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version \
             ({expected})"
        )));
    }
    if object["kind"] != *target.kind.kind {
        let found = object["kind"].as_str().unwrap_or_default();
        return Err(Refusal::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: no kind {found:?} is registered for \
             this path",
            target.kind.kind, target.version, target.kind.kind
        )));
    }
    let name = meta_text(object, "name");
    if !target.name.is_empty() && !name.is_empty() && name != target.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = meta_text(object, "namespace");
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let metadata = metadata(object);
    if target.namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), json!(target.namespace));
    }
    if !target.name.is_empty() {
        metadata.insert("name".to_owned(), json!(target.name));
    }
    Ok(())
}

/// Decodes an object in place, and stores it in the version that is stored.
pub(super) fn decode_object(
    target: &Target,
    object: &mut Value,
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, Refusal> {
    let kind = &target.kind;
    let decoded = decode(target.version().node(), object);
    if !decoded.mismatches.is_empty() {
        if kind.is_custom() {
            let causes: Vec<Cause> = decoded.mismatches.iter().map(|m| m.cause()).collect();
            let name = meta_text(object, "name");
            return Err(Refusal::invalid(kind.about_kind(), name, &causes));
        }
        let sentence = decoded.mismatches[0].sentence();
        return Err(unreadable(target, &sentence));
    }
    object["apiVersion"] = json!(kind.api_version(&kind.storage().name));
    let duplicates = duplicates
        .iter()
        .map(|path| format!("duplicate field {path:?}"));
    let unknown = decoded.unknown.iter();
    let unknown = unknown.map(|path| format!("unknown field {path:?}"));
    let complaints: Vec<_> = duplicates.chain(unknown).collect();
    match validation {
        FieldValidation::Strict if !complaints.is_empty() => Err(unreadable(
            target,
            &format!("strict decoding error: {}", complaints.join(", ")),
        )),
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict | FieldValidation::Warn => Ok(complaints),
    }
}

fn unreadable(target: &Target, sentence: &str) -> Refusal {
    Refusal::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: {sentence}",
        target.kind.kind, target.version, target.kind.kind
    ))
}

/// Now, as the server writes it.
pub(super) fn now() -> String {
    seconds(SystemTime::now())
}
