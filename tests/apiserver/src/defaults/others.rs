//! Defaults of everything but pods and workloads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::object::{child, meta_text, set_default, text};

pub(super) fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    let kind = text(spec, "/type").to_owned();
    if kind != "ExternalName" {
        set_default(spec, "ipFamilies", json!(["IPv4"]));
        set_default(spec, "ipFamilyPolicy", "SingleStack");
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if ["NodePort", "LoadBalancer"].contains(&kind.as_str()) {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        set_default(port, "protocol", "TCP");
        let number = port["port"].clone();
        set_default(port, "targetPort", number);
    }
    set_default(object, "status", json!({ "loadBalancer": {} }));
}

/// Text that writers give becomes data.
pub(super) fn secret(object: &mut Value) {
    set_default(object, "type", "Opaque");
    let taken = object.as_object_mut().and_then(|o| o.remove("stringData"));
    let Some(Value::Object(texts)) = taken else {
        return;
    };
    if let Some(data) = child(object, "data") {
        for (key, value) in texts {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, json!(encoded));
        }
    }
}

pub(super) fn claim(object: &mut Value) {
    set_default(&mut object["spec"], "volumeMode", "Filesystem");
    set_default(object, "status", json!({ "phase": "Pending" }));
}

pub(super) fn namespace(object: &mut Value) {
    let name = meta_text(object, "name").to_owned();
    if let Some(metadata) = child(object, "metadata") {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        labels["kubernetes.io/metadata.name"] = json!(name);
    }
    set_default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
    set_default(object, "status", json!({ "phase": "Active" }));
}

pub(super) fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = object.get_mut("roleRef") {
        set_default(role, "apiGroup", GROUP);
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if subject["kind"] == "User" || subject["kind"] == "Group" {
            set_default(subject, "apiGroup", GROUP);
        }
    }
}

pub(super) fn definition(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "conversion", json!({ "strategy": "None" }));
    if let Some(names) = spec.get_mut("names") {
        let kind = text(names, "/kind").to_owned();
        set_default(names, "singular", kind.to_lowercase());
        set_default(names, "listKind", format!("{kind}List"));
    }
}

pub(super) fn storage_class(object: &mut Value) {
    set_default(object, "reclaimPolicy", "Delete");
    set_default(object, "volumeBindingMode", "Immediate");
}

pub(super) fn priority_class(object: &mut Value) {
    set_default(object, "value", 0);
    set_default(object, "preemptionPolicy", "PreemptLowerPriority");
}

pub(super) fn network_policy(object: &mut Value) {
    let has_egress = !object["spec"]["egress"].is_null();
    let kinds = if has_egress {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    if let Some(spec) = child(object, "spec") {
        spec.entry("podSelector").or_insert_with(|| json!({}));
        spec.entry("policyTypes").or_insert(kinds);
    }
}
