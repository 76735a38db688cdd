//! What a cluster holds of ours, without what differs between two runs: identities, times, counters.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::universe::SHAPE;
use crate::look::{APPLICATION, KINDS, OWNER};
use crate::world::{FakeWorld, World};

/// Objects by kind, namespace and name, and the pods of each application.
pub(super) type Snapshot = BTreeMap<String, Value>;

/// Takes a snapshot when nothing is on its way any more, or when it is as wanted.
pub(super) async fn settled(world: &FakeWorld, wanted: Option<&Snapshot>) -> Result<Snapshot> {
    let is_good = |snapshot: &Snapshot| match wanted {
        Some(wanted) => difference(wanted, snapshot).is_empty(),
        None => {
            let pods = snapshot.iter().filter(|(key, _)| key.starts_with("Pod "));
            pods.clone().all(|(_, pod)| pod["isSettled"] == true)
        }
    };
    let store = world.server().store();
    let found = store
        .wait_for(world.patience(), |_| {
            let snapshot = take(world);
            is_good(&snapshot).then_some(snapshot)
        })
        .await;
    // What it is then is told by the difference.
    Ok(found.unwrap_or_else(|_| take(world)))
}

/// Every key that differs, with both sides.
pub(super) fn difference(wanted: &Snapshot, found: &Snapshot) -> BTreeMap<String, [String; 2]> {
    let keys = wanted.keys().chain(found.keys());
    let mut differing = BTreeMap::new();
    for key in keys {
        let sides = [wanted.get(key), found.get(key)];
        if sides[0] != sides[1] {
            let text =
                sides.map(|side| side.map_or_else(|| "nothing".to_owned(), Value::to_string));
            differing.insert(key.clone(), text);
        }
    }
    differing
}

fn take(world: &FakeWorld) -> Snapshot {
    let store = world.server().store();
    let kinds = KINDS.iter().map(|(api_version, kind, plural)| {
        let resource = match api_version.split_once('/') {
            Some((group, _)) => format!("{plural}.{group}"),
            None => (*plural).to_owned(),
        };
        (*kind, resource)
    });
    let mut snapshot = Snapshot::new();
    for (kind, resource) in kinds {
        for object in store.list(&resource, "") {
            let labels = &object["metadata"]["labels"];
            if labels[OWNER] != "node-0" {
                continue;
            }
            if kind == "Pod" {
                let (key, pod) = pod(&object);
                let count = snapshot
                    .keys()
                    .filter(|other| other.starts_with(&key))
                    .count();
                snapshot.insert(format!("{key} #{count}"), pod);
                continue;
            }
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let space = text("/metadata/namespace").unwrap_or_default();
            let name = text("/metadata/name").unwrap_or_default();
            snapshot.insert(format!("{kind} {space}/{name}"), plain(&object));
        }
    }
    snapshot
}

/// A pod: only what it is, and whether it is where it belongs.
fn pod(object: &Value) -> (String, Value) {
    let labels = &object["metadata"]["labels"];
    let space = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let application = labels[APPLICATION].as_str().unwrap_or_default();
    let key = format!("Pod {space}/{application}");
    let conditions = object["status"]["conditions"].as_array();
    let is_ready = conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True")
    });
    let is_done = object["status"]["phase"] == "Succeeded";
    let is_going = object["metadata"]["deletionTimestamp"].is_string();
    let env = object["spec"]["containers"][0]["env"].as_array();
    let shape = env.and_then(|env| env.iter().find(|one| one["name"] == SHAPE));
    let value = json!({
        "release": labels["baetyl.io/release"],
        "shape": shape,
        "isSettled": (is_ready || is_done) && !is_going,
    });
    (key, value)
}

/// An object as it was applied, with what the server fills in and two runs have in common.
fn plain(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(fields) = plain.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = plain["metadata"].as_object_mut() {
        let given = [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "finalizers",
        ];
        for field in given {
            metadata.remove(field);
        }
    }
    if let Some(annotations) = plain["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, _| !key.starts_with("deployment.kubernetes.io/"));
        if annotations.is_empty() {
            plain["metadata"]
                .as_object_mut()
                .map(|one| one.remove("annotations"));
        }
    }
    if let Some(spec) = plain["spec"].as_object_mut() {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    // Each engine issues its own certificates.
    let name = plain["metadata"]["name"].as_str().unwrap_or_default();
    if name.contains("-tls-") {
        plain["data"] = Value::Null;
    }
    without_uids(&mut plain);
    plain
}

/// Numbers of revisions and identities of jobs stand in templates.
fn without_uids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.ends_with("controller-uid"));
            fields.values_mut().for_each(without_uids);
        }
        Value::Array(items) => {
            items.retain(|item| item["name"] != "BAETYL_APP_REVISION");
            items.iter_mut().for_each(without_uids);
        }
        _ => {}
    }
}
