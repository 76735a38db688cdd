//! From the template of a workload to a pod.

use std::time::Duration;

use serde_json::{Value, json};

use super::Cluster;
use super::view::{name, namespace, owner_reference, set, text, uid};
use crate::Deletion;

/// A pod of a template that its owner controls. Its name is given by the caller.
pub(super) fn pod(template: &Value, owner: &Value) -> Value {
    let mut metadata = json!({ "ownerReferences": [owner_reference(owner)] });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{key}")) {
            metadata[key] = value.clone();
        }
    }
    json!({ "metadata": metadata, "spec": template["spec"] })
}

/// A pod whose name begins so and ends by chance.
pub(super) fn generated(template: &Value, owner: &Value, prefix: &str) -> Value {
    let mut pod = pod(template, owner);
    set(&mut pod, &["metadata", "generateName"], prefix);
    pod
}

/// How long until a refused pod is tried again.
const RETRY: Duration = Duration::from_secs(2);

impl Cluster {
    /// Creates a pod of an owner, as far as admission lets it through. A refusal is an event of
    /// the owner, and for a while nothing is tried again.
    ///
    /// # Errors
    /// The sentence of who refused it.
    pub(super) fn create_pod(&mut self, owner: &Value, pod: Value) -> Result<(), String> {
        if let Some((until, message)) = self.refused.get(uid(owner)).cloned()
            && !self.clock.is_over(until)
        {
            return Err(message);
        }
        self.refused.remove(uid(owner));
        let space = namespace(owner);
        let made = self.admit(space, &pod).and_then(|()| {
            let made = self.store.create("pods", space, pod);
            made.map(|_| ()).map_err(|refusal| refusal.message)
        });
        if let Err(message) = &made {
            let sentence = format!("Error creating: {message}");
            self.happened(owner, true, "FailedCreate", &sentence);
            let until = self.clock.after(RETRY);
            self.clock.wake(until);
            self.refused
                .insert(uid(owner).to_owned(), (until, message.clone()));
        }
        made
    }

    /// What the API server's admission looks up beside the object.
    fn admit(&self, namespace: &str, pod: &Value) -> Result<(), String> {
        let name = match text(pod, "/metadata/name") {
            "" => text(pod, "/metadata/generateName"),
            name => name,
        };
        let account = text(pod, "/spec/serviceAccountName");
        if !matches!(account, "" | "default")
            && self
                .store
                .get("serviceaccounts", namespace, account)
                .is_none()
        {
            return Err(format!(
                "pods {name:?} is forbidden: error looking up service account \
                 {namespace}/{account}: serviceaccount {account:?} not found"
            ));
        }
        let class = text(pod, "/spec/priorityClassName");
        if !matches!(
            class,
            "" | "system-cluster-critical" | "system-node-critical"
        ) && self
            .store
            .get("priorityclasses.scheduling.k8s.io", "", class)
            .is_none()
        {
            return Err(format!(
                "pods {name:?} is forbidden: no PriorityClass with name {class} was found"
            ));
        }
        Ok(())
    }

    /// Deletes a pod with its own grace period.
    pub(super) fn delete_pod(&self, pod: &Value) {
        let how = Deletion {
            uid: Some(uid(pod).to_owned()),
            ..Deletion::default()
        };
        // One that is gone already is what is wanted.
        let _ = self.store.delete("pods", namespace(pod), name(pod), how);
    }
}
