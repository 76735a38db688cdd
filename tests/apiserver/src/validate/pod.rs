//! Pods and their templates.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::names::{Form, fault};
use super::{metadata, not_negative, one_of};
use crate::object::{fields, items, text};
use crate::quantity::Quantity;
use crate::refusal::Cause;

/// Checks the `spec` of a pod at a path.
pub(super) fn check(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes = check_volumes(spec, path, causes);
    if spec["containers"].as_array().is_some_and(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, &format!("/{list}")).iter().enumerate() {
            let path = format!("{path}.{list}[{index}]");
            let name = text(container, "/name");
            if !names.insert(name) {
                let field = format!("{path}.name");
                causes.push(Cause::duplicate(field, &container["name"]));
            }
            check_container(container, &path, causes);
            check_mounts(container, &volumes, &path, causes);
            if spec["hostNetwork"] == true {
                check_host_ports(container, &path, causes);
            }
        }
    }
    one_of(
        spec,
        "restartPolicy",
        &["Always", "OnFailure", "Never"],
        path,
        causes,
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec, "dnsPolicy", &policies, path, causes);
    not_negative(spec, "terminationGracePeriodSeconds", path, causes);
    if spec["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|s| s < 1)
    {
        let field = format!("{path}.activeDeadlineSeconds");
        let value = &spec["activeDeadlineSeconds"];
        let detail = "must be between 1 and 2147483647, inclusive";
        causes.push(Cause::invalid(field, value, detail));
    }
    let selector = format!("{path}.nodeSelector");
    metadata::labels(spec, &selector, "/nodeSelector", causes);
    for (index, toleration) in items(spec, "/tolerations").iter().enumerate() {
        let path = format!("{path}.tolerations[{index}]");
        one_of(toleration, "operator", &["Equal", "Exists"], &path, causes);
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        one_of(toleration, "effect", &effects, &path, causes);
    }
}

fn check_volumes<'a>(spec: &'a Value, path: &str, causes: &mut Vec<Cause>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (index, volume) in items(spec, "/volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let name = text(volume, "/name");
        check_label(&volume["name"], &format!("{path}.name"), causes);
        if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), &volume["name"]));
        }
        let sources = volume.as_object().map_or(0, |fields| {
            fields.keys().filter(|field| *field != "name").count()
        });
        if sources == 0 {
            causes.push(Cause::required(path, "must specify a volume type"));
        } else if sources > 1 {
            let detail = "may not specify more than 1 volume type";
            causes.push(Cause::forbidden(path, detail));
        }
    }
    names
}

fn check_label(name: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(fault) = name.as_str().and_then(|name| fault(Form::Label, name)) {
        causes.push(Cause::invalid(path, name, &fault));
    }
}

fn check_container(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    check_label(&container["name"], &format!("{path}.name"), causes);
    let image = text(container, "/image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let field = format!("{path}.image");
        let detail = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(field, &container["image"], detail));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(container, "imagePullPolicy", &policies, path, causes);
    check_ports(container, path, causes);
    for (index, variable) in items(container, "/env").iter().enumerate() {
        check_variable(variable, &format!("{path}.env[{index}]"), causes);
    }
    check_resources(
        &container["resources"],
        &format!("{path}.resources"),
        causes,
    );
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            check_probe(&container[probe], &format!("{path}.{probe}"), causes);
        }
    }
}

fn check_ports(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut names = BTreeSet::new();
    for (index, port) in items(container, "/ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        for field in ["containerPort", "hostPort"] {
            let is_given = !port[field].is_null() && (field != "hostPort" || port[field] != 0);
            if is_given {
                check_port_number(&port[field], &format!("{path}.{field}"), causes);
            }
        }
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &path, causes);
        let name = text(port, "/name");
        if name.is_empty() {
            continue;
        }
        if name.len() > 15 || fault(Form::Label, name).is_some() {
            let detail = "must be no more than 15 characters of lower case letters, digits and '-'";
            causes.push(Cause::invalid(
                format!("{path}.name"),
                &port["name"],
                detail,
            ));
        }
        if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), &port["name"]));
        }
    }
}

/// A number or, where names are allowed, a name.
pub(super) fn check_port_number(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    let is_wrong = port
        .as_i64()
        .is_some_and(|number| !(1..=65_535).contains(&number));
    if is_wrong {
        let detail = "must be between 1 and 65535, inclusive";
        causes.push(Cause::invalid(path, port, detail));
    }
}

fn check_host_ports(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, port) in items(container, "/ports").iter().enumerate() {
        if port["hostPort"] != port["containerPort"] {
            let field = format!("{path}.ports[{index}].hostPort");
            let detail = "must match `containerPort` when `hostNetwork` is true";
            causes.push(Cause::invalid(field, &port["hostPort"], detail));
        }
    }
}

fn check_variable(variable: &Value, path: &str, causes: &mut Vec<Cause>) {
    let name = text(variable, "/name");
    if name.is_empty() || name.contains('=') {
        let detail = "a valid environment variable name must consist only of printable ASCII \
                      characters other than '='";
        causes.push(Cause::invalid(format!("{path}.name"), &json!(name), detail));
    }
    let from = &variable["valueFrom"];
    if !from.is_object() {
        return;
    }
    let field = format!("{path}.valueFrom");
    let sources = from.as_object().map_or(0, serde_json::Map::len);
    if !text(variable, "/value").is_empty() {
        let detail = "may not be specified when `value` is not empty";
        causes.push(Cause::invalid(field, &json!(""), detail));
    } else if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or \
                      `secretKeyRef`";
        causes.push(Cause::invalid(field, &json!(""), detail));
    } else if sources > 1 {
        let detail = "may not have more than one field specified at a time";
        causes.push(Cause::invalid(field, &json!(""), detail));
    }
}

fn check_mounts(container: &Value, volumes: &BTreeSet<&str>, path: &str, causes: &mut Vec<Cause>) {
    let mut paths = BTreeSet::new();
    for (index, mount) in items(container, "/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = text(mount, "/name");
        if !name.is_empty() && !volumes.contains(name) {
            causes.push(Cause::not_found(format!("{path}.name"), &mount["name"]));
        }
        let at = text(mount, "/mountPath");
        if !at.is_empty() && !paths.insert(at) {
            let field = format!("{path}.mountPath");
            causes.push(Cause::invalid(field, &mount["mountPath"], "must be unique"));
        }
        let below = text(mount, "/subPath");
        if below.starts_with('/') {
            let field = format!("{path}.subPath");
            let detail = "must be a relative path";
            causes.push(Cause::invalid(field, &mount["subPath"], detail));
        }
        if below.split('/').any(|step| step == "..") {
            let field = format!("{path}.subPath");
            let detail = "must not contain '..'";
            causes.push(Cause::invalid(field, &mount["subPath"], detail));
        }
    }
}

fn check_resources(resources: &Value, path: &str, causes: &mut Vec<Cause>) {
    let amount = |value: &Value| value.as_str().and_then(Quantity::parse);
    for part in ["limits", "requests"] {
        for (name, value) in fields(resources, &format!("/{part}")) {
            if amount(value).is_some_and(Quantity::is_negative) {
                let field = format!("{path}.{part}[{name}]");
                let detail = "must be greater than or equal to 0";
                causes.push(Cause::invalid(field, value, detail));
            }
            let is_known = name.contains('/')
                || ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str())
                || name.starts_with("hugepages-");
            if !is_known {
                let field = format!("{path}.{part}[{name}]");
                let detail = "must be a standard resource for containers";
                causes.push(Cause::invalid(field, &json!(name), detail));
            }
        }
    }
    for (name, wanted) in fields(resources, "/requests") {
        let limit = &resources["limits"][name];
        let is_more = match (amount(wanted), amount(limit)) {
            (Some(wanted), Some(limit)) => wanted.is_more_than(limit),
            _ => false,
        };
        if is_more {
            let limit = limit.as_str().unwrap_or_default();
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            causes.push(Cause::invalid(format!("{path}.requests"), wanted, &detail));
        }
    }
}

fn check_probe(probe: &Value, path: &str, causes: &mut Vec<Cause>) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let given = handlers.iter().filter(|h| probe[**h].is_object()).count();
    if given == 0 {
        let detail = "must specify a handler type";
        causes.push(Cause::required(path, detail));
    } else if given > 1 {
        let detail = "may not specify more than 1 handler type";
        causes.push(Cause::forbidden(path, detail));
    }
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(probe, field, path, causes);
    }
    for handler in ["httpGet", "tcpSocket", "grpc"] {
        let port = &probe[handler]["port"];
        check_port_number(port, &format!("{path}.{handler}.port"), causes);
    }
    let is_ready = path.ends_with("readinessProbe");
    if !is_ready && probe["successThreshold"].as_i64().is_some_and(|n| n != 1) {
        let field = format!("{path}.successThreshold");
        causes.push(Cause::invalid(
            field,
            &probe["successThreshold"],
            "must be 1",
        ));
    }
}
