//! What follows from a write, at once: garbage goes, finalizers of the server are worked off,
//! definitions become kinds.

use std::sync::Arc;

use serde_json::{Value, json};

use super::intake::now;
use super::namespaces::NAMESPACES;
use super::{Chore, DeleteOptions};
use crate::kinds::{DEFINITIONS, Kind, accepted_names, kind_of_definition};
use crate::object::{
    Key, add_finalizer, finalizers, has_finalizer, is_deleting, items, meta_text, metadata, owners,
    remove_finalizer,
};
use crate::refusal::{About, Refusal};
use crate::state::{ObjectId, State};

/// Dependents stay and forget this owner.
pub(super) const ORPHAN: &str = "orphan";
/// Dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Objects of a kind go before its definition.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl State {
    /// Does everything that follows from what was written.
    pub(crate) fn settle(&mut self) {
        while let Some(chore) = self.chores.pop_front() {
            match chore {
                Chore::Defined(id) => self.define(&id),
                Chore::Gone(id, last) => self.after_removal(&id, &last),
                Chore::Owned(_) | Chore::Deleting(_) if !self.options.collect_garbage => {}
                Chore::Owned(id) => self.collect(&id),
                Chore::Deleting(id) => self.go_on_deleting(&id),
            }
        }
    }

    fn object_and_kind(&self, id: &ObjectId) -> Option<(Arc<Value>, Arc<Kind>)> {
        let kind = self.kinds.get(&id.resource)?;
        Some((Arc::clone(self.object(id)?), Arc::clone(kind)))
    }

    fn after_removal(&mut self, id: &ObjectId, last: &Value) {
        if &*id.resource == DEFINITIONS {
            self.kinds.remove(&id.key.name);
        }
        if !self.options.collect_garbage {
            return;
        }
        let uid = meta_text(last, "uid");
        for dependent in self.dependents(uid) {
            self.collect(&dependent);
        }
        for owner in owners(last) {
            if let Some(owner) = self.by_uid(owner.uid).cloned() {
                self.chores.push_back(Chore::Deleting(owner));
            }
        }
        if !id.key.namespace.is_empty() {
            self.empty_namespace(&id.key.namespace);
        }
        if let Some(definition) = self.definition_of(&id.resource) {
            self.chores.push_back(Chore::Deleting(definition));
        }
    }

    fn definition_of(&self, resource: &Arc<str>) -> Option<ObjectId> {
        let id = ObjectId {
            resource: DEFINITIONS.into(),
            key: Key::new("", resource),
        };
        self.object(&id).is_some().then_some(id)
    }

    /// Deletes an object whose owners are all gone; forgets owners that are gone when one is
    /// there.
    fn collect(&mut self, id: &ObjectId) {
        let Some((object, kind)) = self.object_and_kind(id) else {
            return;
        };
        let gone: Vec<_> = owners(&object)
            .filter(|owner| self.by_uid(owner.uid).is_none())
            .map(|owner| owner.uid.to_owned())
            .collect();
        if gone.is_empty() || is_deleting(&object) {
            return;
        }
        if gone.len() == owners(&object).count() {
            self.delete_object(&kind, id, &DeleteOptions::background());
            return;
        }
        for uid in gone {
            self.disown(id, &uid);
        }
    }

    /// Takes one owner out of an object's references.
    fn disown(&mut self, id: &ObjectId, uid: &str) {
        let Some((object, kind)) = self.object_and_kind(id) else {
            return;
        };
        let mut object = Value::clone(&object);
        let metadata = metadata(&mut object);
        if let Some(Value::Array(references)) = metadata.get_mut("ownerReferences") {
            references.retain(|owner| owner["uid"] != uid);
            if references.is_empty() {
                metadata.remove("ownerReferences");
            }
        }
        self.write(&kind, object);
    }

    /// Does what an object that is being deleted waits for, as far as the server does it.
    fn go_on_deleting(&mut self, id: &ObjectId) {
        let Some(object) = self.object(id).filter(|found| is_deleting(found)).cloned() else {
            return;
        };
        let uid = meta_text(&object, "uid");
        if &*id.resource == NAMESPACES {
            self.empty_namespace(&id.key.name);
        } else if has_finalizer(&object, ORPHAN) {
            for dependent in self.dependents(uid) {
                self.disown(&dependent, uid);
            }
            self.drop_finalizer(id, ORPHAN);
        } else if has_finalizer(&object, FOREGROUND) {
            self.delete_dependents(uid);
            if !self.has_blocking_dependents(uid) {
                self.drop_finalizer(id, FOREGROUND);
            }
        } else if has_finalizer(&object, CLEANUP) && self.delete_all(&id.key.name) {
            self.drop_finalizer(id, CLEANUP);
        }
    }

    /// Deletes every object of a resource; returns whether none is left.
    fn delete_all(&mut self, resource: &str) -> bool {
        let Some(kind) = self.kinds.get(resource).cloned() else {
            return true;
        };
        let keys: Vec<_> = self
            .objects(resource, "")
            .map(|(key, object)| (key.clone(), is_deleting(object)))
            .collect();
        for (key, is_ending) in keys {
            if !is_ending {
                let resource = Arc::clone(&kind.resource);
                let id = ObjectId { resource, key };
                self.delete_object(&kind, &id, &DeleteOptions::background());
            }
        }
        self.objects(resource, "").next().is_none()
    }

    fn delete_dependents(&mut self, uid: &str) {
        for id in self.dependents(uid) {
            let Some((object, kind)) = self.object_and_kind(&id) else {
                continue;
            };
            if is_deleting(&object) || self.has_staying_owner(&object, uid) {
                continue;
            }
            let has_dependents = !self.dependents(meta_text(&object, "uid")).is_empty();
            let options = if has_dependents {
                DeleteOptions::foreground()
            } else {
                DeleteOptions::background()
            };
            self.delete_object(&kind, &id, &options);
        }
    }

    /// Whether the object has an owner other than this one that is not going.
    fn has_staying_owner(&self, object: &Value, except: &str) -> bool {
        owners(object).any(|owner| {
            let found = self.by_uid(owner.uid).and_then(|id| self.object(id));
            owner.uid != except && found.is_some_and(|found| !is_deleting(found))
        })
    }

    fn has_blocking_dependents(&self, uid: &str) -> bool {
        let blocks = |object: &Arc<Value>| {
            owners(object).any(|owner| owner.uid == uid && owner.blocks_deletion)
        };
        self.dependents(uid)
            .iter()
            .any(|id| self.object(id).is_some_and(blocks))
    }

    fn drop_finalizer(&mut self, id: &ObjectId, finalizer: &str) {
        let Some((object, kind)) = self.object_and_kind(id) else {
            return;
        };
        let mut object = Value::clone(&object);
        remove_finalizer(&mut object, finalizer);
        self.write(&kind, object);
        self.finish_deletion(id);
    }

    /// Removes an object that is being deleted once nothing holds it.
    pub(super) fn finish_deletion(&mut self, id: &ObjectId) {
        let Some(object) = self.object(id) else {
            return;
        };
        let is_waiting = object["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .is_some_and(|grace| grace > 0);
        let is_held = finalizers(object).next().is_some();
        // A namespace goes when it is empty, which is a chore of its own.
        let ends_here = &*id.resource != NAMESPACES;
        if ends_here && is_deleting(object) && !is_held && !is_waiting {
            self.remove(id);
        }
    }

    /// Takes up what a definition says, once it is established.
    fn define(&mut self, id: &ObjectId) {
        let Some(definition) = self.object(id).cloned() else {
            return;
        };
        let known = self.kinds.get(&id.key.name);
        if known.is_some_and(|kind| !kind.is_custom()) {
            // Built-in kinds stay what they are.
            return;
        }
        if is_established(&definition) {
            if let Some(kind) = kind_of_definition(&definition) {
                self.kinds.add(kind);
            }
        } else if self.options.establish_crds && !is_deleting(&definition) {
            self.establish_definition(id, &definition);
        }
    }

    /// Serves the kind of a definition.
    ///
    /// # Errors
    /// There is no such definition.
    pub(crate) fn establish(&mut self, name: &str) -> Result<(), Refusal> {
        let id = ObjectId {
            resource: DEFINITIONS.into(),
            key: Key::new("", name),
        };
        let Some(definition) = self.object(&id).cloned() else {
            let about = About {
                group: "apiextensions.k8s.io",
                noun: "customresourcedefinitions",
            };
            return Err(Refusal::not_found(about, name));
        };
        self.establish_definition(&id, &definition);
        self.settle();
        Ok(())
    }

    fn establish_definition(&mut self, id: &ObjectId, definition: &Value) {
        let Some(kind) = self.kinds.get(&id.resource).cloned() else {
            return;
        };
        let mut object = definition.clone();
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": now(),
            })
        };
        let stored = items(definition, "/spec/versions").iter();
        let stored = stored.filter(|version| version["storage"] == true);
        let stored: Vec<_> = stored.map(|version| version["name"].clone()).collect();
        object["status"] = json!({
            "acceptedNames": accepted_names(definition),
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "storedVersions": stored,
        });
        add_finalizer(&mut object, CLEANUP);
        self.write(&kind, object);
    }
}

fn is_established(definition: &Value) -> bool {
    items(definition, "/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}
