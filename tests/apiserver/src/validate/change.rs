//! What may not change.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::object::{copy_field, text};
use crate::quantity::Quantity;
use crate::refusal::Cause;

const IMMUTABLE: &str = "field is immutable";

/// Checks a new version of an object against the one that is there.
pub(crate) fn change(kind: &Kind, subresource: &str, live: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !subresource.is_empty() {
        return causes;
    }
    let mut fixed = |fields: &[&str]| {
        for field in fields {
            fixed_field(field, live, object, &mut causes);
        }
    };
    match &*kind.resource {
        "deployments.apps" | "daemonsets.apps" | "replicasets.apps" => fixed(&["spec.selector"]),
        "jobs.batch" => {
            fixed(&["spec.selector", "spec.completionMode", "spec.completions"]);
            job_template(live, object, &mut causes);
        }
        "statefulsets.apps" => stateful_set(live, object, &mut causes),
        "pods" => pod(live, object, &mut causes),
        "configmaps" => sealed(live, object, &["data", "binaryData"], &mut causes),
        "secrets" => {
            fixed(&["type"]);
            sealed(live, object, &["data"], &mut causes);
        }
        "persistentvolumeclaims" => claim(live, object, &mut causes),
        "services" => service(live, object, &mut causes),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
            if live["roleRef"] != object["roleRef"] =>
        {
            let detail = "cannot change roleRef";
            causes.push(Cause::invalid("roleRef", &object["roleRef"], detail));
        }
        "priorityclasses.scheduling.k8s.io" if live["value"] != object["value"] => {
            let detail = "may not be changed in an update.";
            causes.push(Cause::forbidden("value", detail));
        }
        "customresourcedefinitions.apiextensions.k8s.io" => {
            fixed(&[
                "spec.group",
                "spec.scope",
                "spec.names.plural",
                "spec.names.kind",
            ]);
        }
        "storageclasses.storage.k8s.io" => {
            fixed(&[
                "provisioner",
                "parameters",
                "reclaimPolicy",
                "volumeBindingMode",
            ]);
        }
        _ => {}
    }
    causes
}

fn at<'a>(object: &'a Value, field: &str) -> &'a Value {
    object
        .pointer(&format!("/{}", field.replace('.', "/")))
        .unwrap_or(&Value::Null)
}

fn fixed_field(field: &str, live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    if at(live, field) != at(object, field) {
        causes.push(Cause::invalid(field, at(object, field), IMMUTABLE));
    }
}

fn job_template(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let mut expected = live["spec"]["template"].clone();
    // A job that waits may still be told where its pods go.
    if live["spec"]["suspend"] == true && live["status"]["startTime"].is_null() {
        for part in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
            let new = &object["spec"]["template"]["spec"];
            copy_field(new, &mut expected["spec"], part);
        }
    }
    let found = &object["spec"]["template"];
    if expected != *found {
        causes.push(Cause::invalid("spec.template", found, IMMUTABLE));
    }
}

/// Compares two specs without some fields.
fn is_same_without(live: &Value, object: &Value, free: &[&str]) -> bool {
    let rest = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !free.contains(&field.as_str()));
        }
        spec
    };
    rest(live) == rest(object)
}

fn stateful_set(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let free = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    if !is_same_without(live, object, &free) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                      'template', 'updateStrategy', 'revisionHistoryLimit', \
                      'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        causes.push(Cause::forbidden("spec", detail));
    }
}

fn pod(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let rest = |object: &Value| {
        let mut spec = object["spec"].clone();
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        if let Some(spec) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
            ] {
                spec.remove(field);
            }
        }
        spec
    };
    if rest(live) != rest(object) {
        let detail = "pod updates may not change fields other than \
                      `spec.containers[*].image`,`spec.initContainers[*].image`,\
                      `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                      tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 \
                      if it was previously negative)";
        causes.push(Cause::forbidden("spec", detail));
    }
}

/// Configurations and secrets that are said not to change.
fn sealed(live: &Value, object: &Value, parts: &[&str], causes: &mut Vec<Cause>) {
    if live["immutable"] != true {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", detail));
    }
    for part in parts {
        if live[part] != object[part] {
            causes.push(Cause::forbidden(*part, detail));
        }
    }
}

fn claim(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let mut expected = live["spec"].clone();
    let size = |object: &Value| {
        let amount = text(object, "/spec/resources/requests/storage");
        Quantity::parse(amount)
    };
    let is_bound = text(live, "/status/phase") == "Bound";
    if is_bound {
        expected["resources"]["requests"] = object["spec"]["resources"]["requests"].clone();
    }
    // The controller that binds names the volume once.
    if expected["volumeName"].is_null() && !object["spec"]["volumeName"].is_null() {
        expected["volumeName"] = object["spec"]["volumeName"].clone();
    }
    if expected != object["spec"] {
        let detail = "spec is immutable after creation except resources.requests and \
                      volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", detail));
        return;
    }
    if let (Some(old), Some(new)) = (size(live), size(object))
        && old.is_more_than(new)
    {
        let detail = "field can not be less than status.capacity";
        causes.push(Cause::forbidden("spec.resources.requests.storage", detail));
    }
}

fn service(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let is_external = |object: &Value| object["spec"]["type"] == "ExternalName";
    if is_external(live) || is_external(object) {
        return;
    }
    let (old, new) = (
        text(live, "/spec/clusterIP"),
        text(object, "/spec/clusterIP"),
    );
    if !old.is_empty() && !new.is_empty() && old != new {
        let detail = "may not change once set";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([new]), detail));
    }
}
