//! Namespaces: what may be created where, and how they end.

use serde_json::{Value, json};

use super::{DeleteOptions, Target};
use crate::object::{Key, finalizers, is_deleting};
use crate::refusal::{About, Cause, Refusal};
use crate::state::{ObjectId, State};

pub(super) const NAMESPACES: &str = "namespaces";

impl State {
    /// Refuses new objects in namespaces that are not there or are ending.
    pub(super) fn admit_into_namespace(&self, target: &Target, name: &str) -> Result<(), Refusal> {
        if target.namespace.is_empty() || !target.kind.is_namespaced {
            return Ok(());
        }
        let namespace = &target.namespace;
        let Some(found) = self.get(NAMESPACES, &Key::new("", namespace)) else {
            let about = About {
                group: "",
                noun: NAMESPACES,
            };
            return Err(Refusal::not_found(about, namespace));
        };
        if !is_deleting(found) {
            return Ok(());
        }
        let detail = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = Cause::new(
            "NamespaceTerminating",
            format!("namespace {namespace} is being terminated"),
            "metadata.namespace",
        );
        Err(Refusal::forbidden(target.kind.about(), name, &detail).with_causes(&[cause]))
    }

    /// Marks a namespace as ending; what is in it follows as a chore.
    pub(super) fn end_namespace(&mut self, id: &ObjectId, time: &str) {
        let (Some(kind), Some(live)) = (
            self.kinds.get(NAMESPACES).cloned(),
            self.object(id).cloned(),
        ) else {
            return;
        };
        let mut namespace = Value::clone(&live);
        namespace["metadata"]["deletionTimestamp"] = json!(time);
        namespace["status"]["phase"] = json!("Terminating");
        self.write(&kind, namespace);
    }

    /// Deletes what is in an ending namespace, and the namespace when nothing is left.
    pub(super) fn empty_namespace(&mut self, name: &str) {
        let id = ObjectId {
            resource: NAMESPACES.into(),
            key: Key::new("", name),
        };
        let ending = self.object(&id).filter(|found| is_deleting(found));
        let Some(namespace) = ending.cloned() else {
            return;
        };
        let kinds = self.kinds.all().filter(|kind| kind.is_namespaced);
        let kinds: Vec<_> = kinds.cloned().collect();
        let mut is_empty = true;
        for kind in kinds {
            let found = self.objects(&kind.resource, name);
            let found: Vec<_> = found
                .map(|(key, object)| (key.clone(), is_deleting(object)))
                .collect();
            for (key, is_ending) in found {
                is_empty = false;
                if !is_ending {
                    let resource = kind.resource.clone();
                    let id = ObjectId { resource, key };
                    self.delete_object(&kind, &id, &DeleteOptions::background());
                }
            }
        }
        // What went at once has left chores that look here again.
        let is_held = namespace["spec"]["finalizers"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name != "kubernetes"));
        if is_empty && !is_held && finalizers(&namespace).next().is_none() {
            self.remove(&id);
        }
    }
}
