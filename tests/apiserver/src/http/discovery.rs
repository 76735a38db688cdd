//! Discovery: which kinds there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::{Kind, Version};
use crate::refusal::Refusal;
use crate::state::State;
use crate::usage::{ApiMode, METRICS};

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const REVIEWS: &str = "authorization.k8s.io";
const METRICS_VERSION: &str = "v1beta1";

/// What the server says of its own version.
pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": "v1.33.0",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2025-04-23T13:43:02Z",
        "goVersion": "go1.24.2",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// `/api`
pub(super) fn core_versions() -> Value {
    json!({ "kind": "APIVersions", "versions": ["v1"] })
}

/// Groups and their versions, the preferred one first.
fn groups(state: &State, metrics: ApiMode) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::<String, Vec<String>>::new();
    for kind in state.kinds.all() {
        let versions = groups.entry(kind.group.clone()).or_default();
        for version in &kind.versions {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
    }
    groups.remove("");
    if metrics != ApiMode::Absent {
        groups.insert(METRICS.to_owned(), vec![METRICS_VERSION.to_owned()]);
    }
    groups
}

fn group_value(name: &str, versions: &[String]) -> Value {
    let entry = |version: &String| json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    let versions: Vec<_> = versions.iter().map(entry).collect();
    json!({ "name": name, "versions": versions, "preferredVersion": versions.first() })
}

/// `/apis`
pub(super) fn group_list(state: &State, metrics: ApiMode) -> Value {
    let groups = groups(state, metrics);
    let groups = groups
        .iter()
        .map(|(name, versions)| group_value(name, versions));
    let groups: Vec<_> = groups.collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/apps`
pub(super) fn group(state: &State, metrics: ApiMode, name: &str) -> Result<Value, Refusal> {
    let groups = groups(state, metrics);
    let versions = groups.get(name).ok_or_else(Refusal::no_route)?;
    let mut value = group_value(name, versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Ok(value)
}

/// `/api/v1` and `/apis/apps/v1`
pub(super) fn resource_list(
    state: &State,
    metrics: ApiMode,
    group: &str,
    version: &str,
) -> Result<Value, Refusal> {
    let resources: Vec<_> = if group == METRICS {
        match metrics {
            ApiMode::Absent => return Err(Refusal::no_route()),
            ApiMode::Unavailable => return Err(Refusal::of_code(503)),
            ApiMode::Serving => metrics_resources(),
        }
    } else {
        let kinds = state.kinds.all().filter(|kind| kind.group == group);
        let kinds = kinds.filter_map(|kind| Some((kind, kind.version(version)?)));
        kinds
            .flat_map(|(kind, version)| resources(kind, version))
            .collect()
    };
    if resources.is_empty() {
        return Err(Refusal::no_route());
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": resources,
    }))
}

fn metrics_resources() -> Vec<Value> {
    let resource = |name: &str, is_namespaced: bool, kind: &str| {
        json!({
            "name": name, "singularName": "", "namespaced": is_namespaced, "kind": kind,
            "verbs": ["get", "list"],
        })
    };
    vec![
        resource("nodes", false, "NodeMetrics"),
        resource("pods", true, "PodMetrics"),
    ]
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    if kind.group == REVIEWS {
        return vec!["create"];
    }
    VERBS.to_vec()
}

/// Subresources with their kind and verbs.
fn subresources(kind: &Kind, version: &Version) -> Vec<(&'static str, String, Vec<&'static str>)> {
    let edit = || vec!["get", "patch", "update"];
    let mut found = Vec::new();
    if version.has_status {
        found.push(("status", kind.kind.clone(), edit()));
    }
    if kind.has_scale {
        found.push(("scale", "Scale".to_owned(), edit()));
    }
    match &*kind.resource {
        "pods" => {
            found.push(("binding", "Binding".to_owned(), vec!["create"]));
            found.push(("log", "Pod".to_owned(), vec!["get"]));
        }
        "nodes" => found.push(("proxy", "NodeProxyOptions".to_owned(), vec!["get"])),
        _ => {}
    }
    found
}

/// A resource and its subresources.
fn resources(kind: &Kind, version: &Version) -> Vec<Value> {
    let mut whole = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.is_namespaced,
        "kind": kind.kind,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        whole["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        whole["categories"] = json!(kind.categories);
    }
    let mut found = vec![whole];
    for (name, kind_name, verbs) in subresources(kind, version) {
        let mut value = json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.is_namespaced,
            "kind": kind_name,
            "verbs": verbs,
        });
        if name == "scale" {
            value["group"] = json!("autoscaling");
            value["version"] = json!("v1");
        }
        found.push(value);
    }
    found
}

/// Everything in one answer: of the core group, or of all others.
pub(super) fn aggregated(state: &State, metrics: ApiMode, is_core: bool) -> Value {
    let mut wanted = groups(state, metrics);
    if is_core {
        wanted = BTreeMap::from([(String::new(), vec!["v1".to_owned()])]);
    }
    let items = wanted.iter().map(|(name, versions)| {
        let versions: Vec<_> = versions
            .iter()
            .map(|version| aggregated_version(state, metrics, name, version))
            .collect();
        let mut metadata = json!({ "creationTimestamp": null });
        if !name.is_empty() {
            metadata["name"] = json!(name);
        }
        json!({ "metadata": metadata, "versions": versions })
    });
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn aggregated_version(state: &State, metrics: ApiMode, group: &str, version: &str) -> Value {
    if group == METRICS {
        let (resources, freshness) = match metrics {
            ApiMode::Serving => (metrics_discovery(), "Current"),
            ApiMode::Absent | ApiMode::Unavailable => (Vec::new(), "Stale"),
        };
        return json!({ "version": version, "resources": resources, "freshness": freshness });
    }
    let kinds = state.kinds.all().filter(|kind| kind.group == group);
    let kinds = kinds.filter_map(|kind| Some((kind, kind.version(version)?)));
    let resources: Vec<_> = kinds
        .map(|(kind, found)| {
            let id =
                |kind_name: &str| json!({ "group": group, "version": version, "kind": kind_name });
            let below = subresources(kind, found);
            let below: Vec<_> = below
                .into_iter()
                .map(|(name, kind_name, verbs)| {
                    json!({ "subresource": name, "responseKind": id(&kind_name), "verbs": verbs })
                })
                .collect();
            let scope = if kind.is_namespaced {
                "Namespaced"
            } else {
                "Cluster"
            };
            json!({
                "resource": kind.plural,
                "responseKind": id(&kind.kind),
                "scope": scope,
                "singularResource": kind.singular,
                "verbs": verbs(kind),
                "shortNames": kind.short_names,
                "categories": kind.categories,
                "subresources": below,
            })
        })
        .collect();
    json!({ "version": version, "resources": resources, "freshness": "Current" })
}

fn metrics_discovery() -> Vec<Value> {
    let resources = metrics_resources();
    let resources = resources.iter().map(|resource| {
        let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
        json!({
            "resource": resource["name"],
            "responseKind": { "group": METRICS, "version": METRICS_VERSION, "kind": resource["kind"] },
            "scope": scope,
            "singularResource": "",
            "verbs": resource["verbs"],
        })
    });
    resources.collect()
}
