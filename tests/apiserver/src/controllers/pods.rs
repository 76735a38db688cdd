//! Pods of a workload: found by owner, adopted by selector.

use std::sync::Arc;

use serde_json::{Value, json};

use super::view::{
    controller, is_active, is_deleting, is_ready, is_selected, labels, namespace, owner_reference,
    text, uid,
};
use super::{Cluster, view};

impl Cluster {
    /// The objects of a resource that an owner controls. Orphans that its selector matches become
    /// its own, as long as it is not being deleted itself.
    pub(super) fn owned(&self, resource: &str, owner: &Value) -> Vec<Arc<Value>> {
        let space = namespace(owner);
        let own = uid(owner);
        let selector = owner.pointer("/spec/selector");
        let mut found = Vec::new();
        for object in self.store.list(resource, space) {
            match controller(&object) {
                controller if controller == own => found.push(object),
                "" if !is_deleting(owner)
                    && !is_deleting(&object)
                    && is_selected(selector, &labels(&object)) =>
                {
                    let reference = owner_reference(owner);
                    let adopted = self
                        .store
                        .edit(resource, space, view::name(&object), |object| {
                            let owners = &mut object["metadata"]["ownerReferences"];
                            match owners.as_array_mut() {
                                Some(owners) => owners.push(reference),
                                None => *owners = json!([reference]),
                            }
                        });
                    found.extend(adopted);
                }
                _ => {}
            }
        }
        found
    }
}

/// Which pods go first when there are too many: those that matter least.
pub(super) fn worst_first(pods: &mut [Arc<Value>]) {
    let rank = |pod: &Arc<Value>| {
        let phase = match text(pod, "/status/phase") {
            "Pending" | "" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let created = text(pod, "/metadata/creationTimestamp").to_owned();
        let version = text(pod, "/metadata/resourceVersion").parse::<u64>();
        (
            !text(pod, "/spec/nodeName").is_empty(),
            phase,
            is_ready(pod),
            // The youngest first.
            std::cmp::Reverse((created, version.unwrap_or(0))),
        )
    };
    pods.sort_by_key(rank);
}

/// The pods that count.
pub(super) fn active(pods: &[Arc<Value>]) -> Vec<Arc<Value>> {
    pods.iter().filter(|pod| is_active(pod)).cloned().collect()
}
