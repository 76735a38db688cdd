//! Writing over what is there: by replacement, by patch, or by apply.

use std::sync::Arc;

use serde_json::{Value, json};

use super::intake::{now, take};
use super::{Outcome, Target, WriteOptions};
use crate::admission;
use crate::apply::{Managers, Writer, track_update};
use crate::defaults;
use crate::json::Body;
use crate::kinds::Generation;
use crate::object::{copy_field, finalizers, is_deleting, meta_text, metadata};
use crate::refusal::{Cause, Refusal};
use crate::state::State;
use crate::validate;

/// Metadata that stays what it is, whatever a body says.
const KEPT: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "generateName",
];

impl State {
    /// Replaces an object by a body.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn update(
        &mut self,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Refusal> {
        let mut object = body.value;
        let warnings = take(target, &mut object, &body.duplicates, options.validation)?;
        let live = self.live(target)?;
        if target.kind.is_custom() && meta_text(&object, "resourceVersion").is_empty() {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            );
            let about = target.kind.about_kind();
            return Err(Refusal::invalid(about, &target.name, &[cause]));
        }
        let object = self.replace(target, &live, object, None, options)?;
        Ok(Outcome {
            object,
            is_created: false,
            warnings,
        })
    }

    pub(super) fn live(&self, target: &Target) -> Result<Arc<Value>, Refusal> {
        self.object(&target.id())
            .cloned()
            .ok_or_else(|| target.not_found())
    }

    /// Stores a decoded object over the one that is there. `managers` are those of an apply; an
    /// edit is noted otherwise.
    pub(super) fn replace(
        &mut self,
        target: &Target,
        live: &Arc<Value>,
        mut object: Value,
        managers: Option<Managers>,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        let kind = &target.kind;
        check_conditions(target, live, &object)?;
        let forgets_managers = forgets_managers(&object);
        // Whoever edits may write the list, too, and so move fields from one to another.
        let written = Some(Managers::of(&object)).filter(|managers| !managers.is_empty());
        keep_metadata(live, &mut object);
        self.restrict(target, live, &mut object);
        defaults::fill(kind, &mut object);
        let mut causes = validate::object(kind, &object);
        causes.extend(validate::change(kind, &target.subresource, live, &object));
        causes.extend(new_finalizers(live, &object));
        if !causes.is_empty() {
            let about = kind.about_kind();
            return Err(Refusal::invalid(about, &target.name, &causes));
        }
        admission::admit(self, kind, Some(live), &mut object)?;
        self.count_generation(target, live, &mut object);
        let time = now();
        let version = kind.storage();
        let managers = managers.unwrap_or_else(|| {
            let writer = Writer {
                manager: &options.manager,
                api_version: &target.api_version(),
                subresource: &target.subresource,
                time: &time,
                has_status: version.has_status,
            };
            if forgets_managers {
                return Managers::default();
            }
            let before = written.unwrap_or_else(|| Managers::of(live));
            track_update(version.node(), before, live, &object, &writer)
        });
        managers.write(&mut object);
        copy_field(
            &live["metadata"],
            &mut object["metadata"],
            "resourceVersion",
        );
        if object == **live || is_same_but_for_times(live, &object) {
            return Ok(Arc::clone(live));
        }
        if options.is_dry_run {
            return Ok(Arc::new(object));
        }
        let stored = self.write(kind, object);
        self.finish_deletion(&target.id());
        self.settle();
        Ok(stored)
    }

    /// Puts back what this way of writing cannot change.
    fn restrict(&self, target: &Target, live: &Value, object: &mut Value) {
        let version = target.kind.storage();
        if target.subresource != "status" {
            if version.has_status {
                copy_field(live, object, "status");
            }
            return;
        }
        let status = object.get("status").cloned();
        let metadata = object["metadata"].clone();
        *object = Value::clone(live);
        if let (Some(status), Some(fields)) = (status, object.as_object_mut()) {
            fields.insert("status".to_owned(), status);
        }
        if target.kind.is_custom() {
            return;
        }
        object["metadata"] = metadata;
        if &*target.kind.resource == "deployments.apps" {
            copy_field(&live["metadata"], &mut object["metadata"], "labels");
        }
        copy_field(
            &live["metadata"],
            &mut object["metadata"],
            "ownerReferences",
        );
    }

    fn count_generation(&self, target: &Target, live: &Value, object: &mut Value) {
        let annotations = "/metadata/annotations";
        let is_same = |pointer: &str| live.pointer(pointer) == object.pointer(pointer);
        let is_status = target.subresource == "status";
        let has_changed = match target.kind.generation {
            Generation::Never => return,
            Generation::Spec => !is_same("/spec"),
            Generation::SpecAndAnnotations => {
                !is_same("/spec") || !is_status && !is_same(annotations)
            }
            Generation::Content => {
                let content = |object: &Value| {
                    let mut content = object.clone();
                    if let Some(fields) = content.as_object_mut() {
                        fields.remove("metadata");
                        if target.kind.storage().has_status {
                            fields.remove("status");
                        }
                    }
                    content
                };
                content(live) != content(object)
            }
        };
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
        let next = generation + i64::from(has_changed);
        metadata(object).insert("generation".to_owned(), json!(next));
    }
}

fn check_conditions(target: &Target, live: &Value, object: &Value) -> Result<(), Refusal> {
    let about = target.kind.about();
    let version = meta_text(object, "resourceVersion");
    if !version.is_empty() && version != meta_text(live, "resourceVersion") {
        return Err(Refusal::stale(about, &target.name));
    }
    let (wanted, uid) = (meta_text(object, "uid"), meta_text(live, "uid"));
    if !wanted.is_empty() && wanted != uid {
        let detail = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        );
        return Err(Refusal::conflict(about, &target.name, &detail));
    }
    Ok(())
}

/// Whether a body asks to forget all managers: an empty list, or one empty entry.
fn forgets_managers(object: &Value) -> bool {
    match object["metadata"]["managedFields"].as_array() {
        Some(entries) => entries.iter().all(|entry| *entry == json!({})),
        None => false,
    }
}

fn keep_metadata(live: &Value, object: &mut Value) {
    metadata(object);
    for field in KEPT {
        copy_field(&live["metadata"], &mut object["metadata"], field);
    }
}

/// Finalizers cannot be added to what is being deleted.
fn new_finalizers(live: &Value, object: &Value) -> Option<Cause> {
    if !is_deleting(live) {
        return None;
    }
    let added: Vec<_> = finalizers(object)
        .filter(|name| !finalizers(live).any(|known| known == *name))
        .map(|name| format!("{name:?}"))
        .collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers \
         []string{{{}}}",
        added.join(", ")
    );
    (!added.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &detail))
}

/// Whether nothing but the times in `managedFields` differs.
fn is_same_but_for_times(live: &Value, object: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut copy = object.clone();
        if let Some(entries) = copy["metadata"]["managedFields"].as_array_mut() {
            for entry in entries.iter_mut() {
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("time");
                }
            }
        }
        copy
    };
    timeless(live) == timeless(object)
}
