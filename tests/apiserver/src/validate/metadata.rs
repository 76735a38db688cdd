//! Metadata: names, labels, annotations, owners.

use serde_json::{Value, json};

use super::names::{Form, fault, key_fault, value_fault};
use crate::kinds::Kind;
use crate::object::{fields, finalizers, items, meta_text};
use crate::refusal::Cause;

/// All annotations together, in bytes.
const MOST_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn check(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    check_name(kind, object, &mut causes);
    labels(object, "metadata.labels", "/metadata/labels", &mut causes);
    annotations(object, &mut causes);
    for name in finalizers(object) {
        if let Some(fault) = key_fault(name) {
            causes.push(Cause::invalid("metadata.finalizers", &json!(name), &fault));
        }
    }
    let owners = items(object, "/metadata/ownerReferences").iter();
    let controllers = owners.filter(|owner| owner["controller"] == true).count();
    if controllers > 1 {
        let field = "metadata.ownerReferences";
        let detail = "Only one reference can have Controller set to true";
        causes.push(Cause::invalid(field, &json!(controllers), detail));
    }
    causes
}

fn form(kind: &Kind) -> Form {
    match &*kind.resource {
        "namespaces" => Form::Label,
        "services" => Form::OldLabel,
        resource if resource.ends_with("rbac.authorization.k8s.io") => Form::Segment,
        _ => Form::Subdomain,
    }
}

fn check_name(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let field = "metadata.name";
    let name = meta_text(object, "name");
    if name.is_empty() {
        causes.push(Cause::required(field, "name or generateName is required"));
        return;
    }
    if let Some(fault) = fault(form(kind), name) {
        causes.push(Cause::invalid(field, &json!(name), &fault));
    }
    // The controller adds eleven characters of its own for each job.
    if &*kind.resource == "cronjobs.batch" && name.len() > 52 {
        let detail = "must be no more than 52 characters";
        causes.push(Cause::invalid(field, &json!(name), detail));
    }
}

/// Labels anywhere in an object.
pub(super) fn labels(object: &Value, path: &str, pointer: &str, causes: &mut Vec<Cause>) {
    for (key, value) in fields(object, pointer) {
        if let Some(fault) = key_fault(key) {
            causes.push(Cause::invalid(path, &json!(key), &fault));
        }
        if let Some(fault) = value_fault(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(path, value, &fault));
        }
    }
}

fn annotations(object: &Value, causes: &mut Vec<Cause>) {
    let path = "metadata.annotations";
    let mut size = 0;
    for (key, value) in fields(object, "/metadata/annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(fault) = key_fault(&key.to_lowercase()) {
            causes.push(Cause::invalid(path, &json!(key), &fault));
        }
    }
    if size > MOST_ANNOTATIONS {
        let message = format!("Too long: may not be more than {MOST_ANNOTATIONS} bytes");
        causes.push(Cause::new("FieldValueTooLong", message, path));
    }
}
