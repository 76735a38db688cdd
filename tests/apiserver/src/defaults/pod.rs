//! Defaults of pods and of their templates.

use serde_json::{Value, json};

use crate::object::set_default;

/// Mode of files in volumes: 0644.
const FILE_MODE: i64 = 0o644;

/// A pod itself.
pub(super) fn pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    set_default(spec, "enableServiceLinks", true);
    set_default(spec, "serviceAccountName", "default");
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            requests_of_limits(container);
        }
    }
    let class = quality(spec);
    set_default(
        pod,
        "status",
        json!({ "phase": "Pending", "qosClass": class }),
    );
}

/// Whoever has limits requests them.
fn requests_of_limits(container: &mut Value) {
    let Some(limits) = container["resources"]["limits"].as_object().cloned() else {
        return;
    };
    set_default(&mut container["resources"], "requests", json!({}));
    for (name, amount) in limits {
        set_default(&mut container["resources"]["requests"], &name, amount);
    }
}

fn quality(spec: &Value) -> &'static str {
    let containers = spec["containers"].as_array();
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    let has =
        |container: &Value, part: &str, name: &str| !container["resources"][part][name].is_null();
    let names = ["cpu", "memory"];
    let is_guaranteed = containers.iter().all(|container| {
        let resources = &container["resources"];
        names.iter().all(|name| {
            has(container, "limits", name)
                && resources["limits"][name] == resources["requests"][name]
        })
    });
    let has_any = containers.iter().any(|container| {
        names
            .iter()
            .any(|name| has(container, "limits", name) || has(container, "requests", name))
    });
    match (is_guaranteed, has_any) {
        (_, false) => "BestEffort",
        (true, true) => "Guaranteed",
        (false, true) => "Burstable",
    }
}

/// The `spec` of a pod or of a template.
pub(super) fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    let account = spec["serviceAccountName"].clone();
    match (account, spec["serviceAccount"].clone()) {
        (Value::Null, Value::Null) => {}
        (Value::Null, old) => spec["serviceAccountName"] = old,
        (account, _) => spec["serviceAccount"] = account,
    }
    let on_host = spec["hostNetwork"] == true;
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            self::container(container, on_host);
        }
    }
    for volume in items(spec, "volumes") {
        self::volume(volume);
    }
}

fn items<'a>(parent: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    parent
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn container(container: &mut Value, on_host: bool) {
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    let image = container["image"].as_str().unwrap_or_default();
    let policy = if pulls_always(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_default(container, "imagePullPolicy", policy);
    for port in items(container, "ports") {
        set_default(port, "protocol", "TCP");
        if on_host {
            let number = port["containerPort"].clone();
            set_default(port, "hostPort", number);
        }
    }
    for variable in items(container, "env") {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            set_default(reference, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            self::probe(probe);
        }
    }
    for hook in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        if let Some(request) = container.pointer_mut(hook) {
            http_get(request);
        }
    }
}

/// Whether a reference names no version, or the newest.
fn pulls_always(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(probe: &mut Value) {
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        set_default(probe, field, value);
    }
    if let Some(request) = probe.get_mut("httpGet") {
        http_get(request);
    }
    if let Some(request) = probe.get_mut("grpc") {
        set_default(request, "service", "");
    }
}

fn http_get(request: &mut Value) {
    set_default(request, "path", "/");
    set_default(request, "scheme", "HTTP");
}

fn volume(volume: &mut Value) {
    let has_source = volume
        .as_object()
        .is_some_and(|fields| fields.keys().any(|field| field != "name"));
    if !has_source {
        set_default(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = volume.get_mut("hostPath") {
        set_default(path, "type", "");
    }
    let Some(projected) = volume.get_mut("projected") else {
        return;
    };
    for source in items(projected, "sources") {
        if let Some(token) = source.get_mut("serviceAccountToken") {
            set_default(token, "expirationSeconds", 3600);
        }
    }
}
