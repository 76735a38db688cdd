//! Binding of PersistentVolumeClaims, and their protection while a pod uses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::view::{is_deleting, is_finished, items, milli, name, namespace, set, text, uid};
use super::{Cluster, StorageClass};

const CLAIMS: &str = "persistentvolumeclaims";
const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// Claims about which something was said, before that is forgotten.
const MAX_SAID: usize = 1000;

pub(super) fn sync(cluster: &mut Cluster) {
    let claims = cluster.store.list(CLAIMS, "");
    if claims.is_empty() {
        return;
    }
    let used = used(cluster);
    for claim in &claims {
        let key = (namespace(claim).to_owned(), name(claim).to_owned());
        protect(cluster, claim, used.contains(&key));
        if !is_deleting(claim) {
            bind(cluster, claim, used.contains(&key));
        }
    }
}

/// The claims that pods use.
fn used(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let pods = cluster.store.list("pods", "");
    let mut used = BTreeSet::new();
    for pod in pods.iter().filter(|pod| !is_finished(pod)) {
        for claim in claims_of(pod) {
            used.insert((namespace(pod).to_owned(), claim.to_owned()));
        }
    }
    used
}

/// Names of the claims that a pod mounts.
pub(super) fn claims_of(pod: &Value) -> impl Iterator<Item = &str> {
    items(pod, "/spec/volumes")
        .iter()
        .map(|volume| text(volume, "/persistentVolumeClaim/claimName"))
        .filter(|claim| !claim.is_empty())
}

fn protect(cluster: &Cluster, claim: &Arc<Value>, is_used: bool) {
    let finalizers = items(claim, "/metadata/finalizers");
    let is_protected = finalizers
        .iter()
        .any(|one| one.as_str() == Some(PROTECTION));
    let wanted = !is_deleting(claim) || is_used;
    if is_protected == wanted || (is_deleting(claim) && wanted) {
        return;
    }
    let mut next = finalizers.to_vec();
    next.retain(|one| one.as_str() != Some(PROTECTION));
    if wanted {
        next.push(PROTECTION.into());
    }
    // It may be gone meanwhile.
    let _ = cluster
        .store
        .edit(CLAIMS, namespace(claim), name(claim), |object| {
            set(object, &["metadata", "finalizers"], next);
        });
}

fn bind(cluster: &mut Cluster, claim: &Arc<Value>, is_used: bool) {
    if text(claim, "/status/phase") == "Bound" {
        grow(cluster, claim);
        return;
    }
    if text(claim, "/status/phase").is_empty() {
        let status = json!({ "phase": "Pending" });
        cluster.report(CLAIMS, claim, status);
        return;
    }
    let class = match class(cluster, claim) {
        Ok(class) => class,
        Err(class) => {
            let message = format!("storageclass.storage.k8s.io {class:?} not found");
            say_once(cluster, claim, true, "ProvisioningFailed", &message);
            return;
        }
    };
    if !class.is_immediate && !is_used {
        let message = "waiting for first consumer to be created before binding";
        say_once(cluster, claim, false, "WaitForFirstConsumer", message);
        return;
    }
    let size = text(claim, "/spec/resources/requests/storage");
    if !fits(claim, &class) {
        let message = format!(
            "failed to provision volume with StorageClass {:?}: no space left on device",
            class.name
        );
        say_once(cluster, claim, true, "ProvisioningFailed", &message);
        return;
    }
    let volume = format!("pvc-{}", uid(claim));
    let size = size.to_owned();
    let edited = cluster
        .store
        .edit(CLAIMS, namespace(claim), name(claim), |object| {
            set(object, &["spec", "volumeName"], volume.as_str());
        });
    if let Ok(claim) = edited {
        let message = format!("Successfully provisioned volume {volume}");
        cluster.happened(&claim, false, "ProvisioningSucceeded", &message);
        report_bound(cluster, &claim, &size);
    }
}

fn report_bound(cluster: &Cluster, claim: &Arc<Value>, size: &str) {
    let status = json!({
        "phase": "Bound",
        "accessModes": claim["spec"]["accessModes"],
        "capacity": { "storage": size },
    });
    cluster.report(CLAIMS, claim, status);
}

fn grow(cluster: &Cluster, claim: &Arc<Value>) {
    let wanted = text(claim, "/spec/resources/requests/storage");
    if milli(wanted) > milli(text(claim, "/status/capacity/storage")) {
        report_bound(cluster, claim, wanted);
    }
}

/// Says something the first time only; it is looked at in each round.
fn say_once(
    cluster: &mut Cluster,
    claim: &Arc<Value>,
    is_warning: bool,
    reason: &str,
    message: &str,
) {
    if cluster.said.len() > MAX_SAID {
        cluster.said.clear();
    }
    let key = format!("{}/{reason}", uid(claim));
    if cluster.said.insert(key) {
        cluster.happened(claim, is_warning, reason, message);
    }
}

/// Whether a pod can use its claims.
pub(super) enum Readiness {
    /// All of them are bound.
    Ready,
    /// They are bound in the next round, now that a pod waits for them.
    Soon,
    /// Not as things stand; the scheduler's sentence.
    Never(String),
}

/// Whether a pod can use its claims.
pub(super) fn readiness(cluster: &Cluster, pod: &Value) -> Readiness {
    for claim_name in claims_of(pod) {
        let Some(claim) = cluster.store.get(CLAIMS, namespace(pod), claim_name) else {
            return Readiness::Never(format!("persistentvolumeclaim {claim_name:?} not found"));
        };
        if is_deleting(&claim) {
            let message = format!("persistentvolumeclaim {claim_name:?} is being deleted");
            return Readiness::Never(message);
        }
        if text(&claim, "/status/phase") == "Bound" {
            continue;
        }
        return match class(cluster, &claim) {
            Ok(class) if fits(&claim, &class) => Readiness::Soon,
            _ => Readiness::Never("pod has unbound immediate PersistentVolumeClaims".to_owned()),
        };
    }
    Readiness::Ready
}

/// The class of a claim, or the name of one that is not there.
fn class(cluster: &Cluster, claim: &Value) -> Result<StorageClass, String> {
    let classes = &cluster.scene.storage;
    let name = match claim.pointer("/spec/storageClassName") {
        Some(name) => name.as_str().unwrap_or("").to_owned(),
        None => classes
            .first()
            .map_or_else(String::new, |class| class.name.clone()),
    };
    let found = classes.iter().find(|class| class.name == name).cloned();
    found.ok_or(name)
}

fn fits(claim: &Value, class: &StorageClass) -> bool {
    milli(text(claim, "/spec/resources/requests/storage")) <= milli(&class.largest)
}
