//! Everything but pods and workloads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::names::{Form, fault};
use super::{one_of, pod};
use crate::object::{fields, items, meta_text, text};
use crate::quantity::Quantity;
use crate::refusal::Cause;

/// All values of a configuration or secret together, in bytes.
const MOST_DATA: usize = 1024 * 1024;

/// Keys of configurations and secrets.
pub(super) fn keys(object: &Value, parts: &[&str], causes: &mut Vec<Cause>) {
    let mut size = 0;
    let mut known = BTreeSet::new();
    for part in parts {
        for (key, value) in fields(object, &format!("/{part}")) {
            size += value.as_str().map_or(0, str::len);
            let is_key = key.len() <= 253
                && !key.is_empty()
                && !matches!(key.as_str(), "." | "..")
                && key
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || [b'-', b'_', b'.'].contains(&c));
            if !is_key {
                let detail = "a valid config key must consist of alphanumeric characters, '-', \
                              '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex \
                              used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(
                    format!("{part}[{key}]"),
                    &json!(key),
                    detail,
                ));
            }
            if !known.insert(key) {
                let detail = "duplicate of key present in binaryData";
                causes.push(Cause::invalid(
                    format!("{part}[{key}]"),
                    &json!(key),
                    detail,
                ));
            }
        }
    }
    if size > MOST_DATA {
        let message = format!("Too long: may not be more than {MOST_DATA} bytes");
        causes.push(Cause::new("FieldValueTooLong", message, ""));
    }
}

pub(super) fn secret(object: &Value, causes: &mut Vec<Cause>) {
    keys(object, &["data"], causes);
    let needed: &[&str] = match text(object, "/type") {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    };
    for key in needed {
        if object["data"][key].is_null() {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
}

pub(super) fn service(spec: &Value, causes: &mut Vec<Cause>) {
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(spec, "type", &kinds, "spec", causes);
    let ports = items(spec, "/ports");
    let is_headless = spec["clusterIP"] == "None";
    if ports.is_empty() && !is_headless && spec["type"] != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        pod::check_port_number(&port["port"], &format!("{path}.port"), causes);
        pod::check_port_number(&port["targetPort"], &format!("{path}.targetPort"), causes);
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &path, causes);
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if !name.is_empty() {
            if let Some(fault) = fault(Form::Label, name) {
                causes.push(Cause::invalid(
                    format!("{path}.name"),
                    &port["name"],
                    &fault,
                ));
            }
            if !names.insert(name) {
                causes.push(Cause::duplicate(format!("{path}.name"), &port["name"]));
            }
        }
        let number = format!("{}/{}", port["port"], port["protocol"]);
        if !numbers.insert(number) {
            let value = json!({ "port": port["port"], "protocol": port["protocol"] });
            causes.push(Cause::duplicate(path.clone(), &value));
        }
        let has_node_port = port["nodePort"].as_i64().is_some_and(|port| port != 0);
        if has_node_port && (spec["type"] == "ClusterIP" || spec["type"] == "ExternalName") {
            let detail = "may not be used when `type` is 'ClusterIP'";
            causes.push(Cause::forbidden(format!("{path}.nodePort"), detail));
        }
    }
    super::metadata::labels(spec, "spec.selector", "/selector", causes);
}

pub(super) fn claim(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let modes = [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    let given = items(spec, "/accessModes");
    if given.is_empty() {
        let detail = "at least 1 access mode is required";
        causes.push(Cause::required(format!("{path}.accessModes"), detail));
    }
    for mode in given {
        if !mode.as_str().is_some_and(|mode| modes.contains(&mode)) {
            let field = format!("{path}.accessModes");
            causes.push(Cause::unsupported(field, mode, &modes));
        }
    }
    let field = format!("{path}.resources[storage]");
    let amount = spec.pointer("/resources/requests/storage");
    let Some(amount) = amount else {
        causes.push(Cause::required(field, ""));
        return;
    };
    let parsed = amount.as_str().and_then(Quantity::parse);
    if parsed.is_none_or(Quantity::is_negative) {
        let detail = "must be greater than or equal to 0";
        causes.push(Cause::invalid(field, amount, detail));
    }
}

pub(super) fn disruption_budget(spec: &Value, causes: &mut Vec<Cause>) {
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        causes.push(Cause::invalid("spec", &json!({}), detail));
    }
}

pub(super) fn definition(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let expected = format!("{}.{}", text(spec, "/names/plural"), text(spec, "/group"));
    let name = meta_text(object, "name");
    if name != expected {
        let detail = format!("must be spec.names.plural+\".\"+spec.group: {expected:?}");
        causes.push(Cause::invalid("metadata.name", &json!(name), &detail));
    }
    one_of(spec, "scope", &["Cluster", "Namespaced"], "spec", causes);
    let versions = items(spec, "/versions");
    let stored = versions.iter().filter(|v| v["storage"] == true).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(stored), detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
        let schema = version.pointer("/schema/openAPIV3Schema");
        match schema {
            None => causes.push(Cause::required(field, "schemas are required")),
            Some(schema) if schema["type"] != "object" => {
                let detail = "must be object at the root";
                let field = format!("{field}.type");
                causes.push(Cause::invalid(field, &schema["type"], detail));
            }
            Some(_) => {}
        }
    }
}
