//! What depends on other objects: accounts and priorities of pods, addresses of services.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::object::{Key, items, meta_text, set_default, text};
use crate::refusal::{Cause, Refusal};
use crate::state::State;

/// Addresses of services: 10.96.0.10 and on.
const FIRST_ADDRESS: u32 = 0x0a60_000a;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Completes an object, or refuses it for what other objects say.
pub(crate) fn admit(
    state: &State,
    kind: &Kind,
    live: Option<&Arc<Value>>,
    object: &mut Value,
) -> Result<(), Refusal> {
    match &*kind.resource {
        "pods" if live.is_none() => admit_pod(state, kind, object),
        "services" => admit_service(state, kind, live.map(|live| &**live), object),
        _ => Ok(()),
    }
}

fn admit_pod(state: &State, kind: &Kind, pod: &mut Value) -> Result<(), Refusal> {
    let namespace = meta_text(pod, "namespace").to_owned();
    let name = meta_text(pod, "name").to_owned();
    let account = text(pod, "/spec/serviceAccountName").to_owned();
    let key = Key::new(&namespace, &account);
    if account != "default" && state.get("serviceaccounts", &key).is_none() {
        let detail = format!(
            "error looking up service account {namespace}/{account}: serviceaccount {account:?} \
             not found"
        );
        return Err(Refusal::forbidden(kind.about(), &name, &detail));
    }
    let class = text(pod, "/spec/priorityClassName");
    let priority = match class {
        "" => json!(0),
        "system-cluster-critical" => json!(2_000_000_000),
        "system-node-critical" => json!(2_000_001_000),
        class => match state.get("priorityclasses.scheduling.k8s.io", &Key::new("", class)) {
            Some(found) => found["value"].clone(),
            None => {
                let detail = format!("no PriorityClass with name {class} was found");
                return Err(Refusal::forbidden(kind.about(), &name, &detail));
            }
        },
    };
    let spec = &mut pod["spec"];
    set_default(spec, "priority", priority);
    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
    Ok(())
}

fn admit_service(
    state: &State,
    kind: &Kind,
    live: Option<&Value>,
    service: &mut Value,
) -> Result<(), Refusal> {
    let kind_of_service = text(service, "/spec/type").to_owned();
    if kind_of_service == "ExternalName" {
        return Ok(());
    }
    give_address(state, live, service);
    let needs_ports = ["NodePort", "LoadBalancer"].contains(&kind_of_service.as_str());
    if !needs_ports {
        return Ok(());
    }
    let own = Key::of(service);
    let mut taken: BTreeSet<i64> = state
        .objects("services", "")
        .filter(|(key, _)| **key != own)
        .flat_map(|(_, other)| items(other, "/spec/ports"))
        .filter_map(|port| port["nodePort"].as_i64())
        .collect();
    let mut causes = Vec::new();
    let count = items(service, "/spec/ports").len();
    for index in 0..count {
        let port = &mut service["spec"]["ports"][index];
        let field = format!("spec.ports[{index}].nodePort");
        let wanted = port["nodePort"].as_i64().filter(|port| *port != 0);
        let wanted = wanted.or_else(|| known_port(live, port));
        let free = || NODE_PORTS.clone().find(|port| !taken.contains(port));
        let Some(number) = wanted.or_else(free) else {
            causes.push(Cause::invalid(field, &json!(0), "no node port is free"));
            continue;
        };
        if !NODE_PORTS.contains(&number) {
            let detail = "provided port is not in the valid range. The range of valid ports is \
                          30000-32767";
            causes.push(Cause::invalid(field, &json!(number), detail));
        } else if !taken.insert(number) {
            let detail = "provided port is already allocated";
            causes.push(Cause::invalid(field, &json!(number), detail));
        }
        port["nodePort"] = json!(number);
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = meta_text(service, "name");
    Err(Refusal::invalid(kind.about_kind(), name, &causes))
}

/// The node port that the same port had before.
fn known_port(live: Option<&Value>, port: &Value) -> Option<i64> {
    let same =
        |known: &&Value| known["port"] == port["port"] && known["protocol"] == port["protocol"];
    let found = items(live?, "/spec/ports").iter().find(same)?;
    found["nodePort"].as_i64()
}

fn give_address(state: &State, live: Option<&Value>, service: &mut Value) {
    let known = live.map(|live| text(live, "/spec/clusterIP"));
    if text(service, "/spec/clusterIP").is_empty() {
        let address = match known {
            Some(known) if !known.is_empty() => known.to_owned(),
            _ => free_address(state),
        };
        service["spec"]["clusterIP"] = json!(address);
    }
    let address = service["spec"]["clusterIP"].clone();
    set_default(&mut service["spec"], "clusterIPs", json!([address]));
}

fn free_address(state: &State) -> String {
    let taken: BTreeSet<&str> = state
        .objects("services", "")
        .map(|(_, service)| text(service, "/spec/clusterIP"))
        .collect();
    (FIRST_ADDRESS..)
        .map(|number| std::net::Ipv4Addr::from(number).to_string())
        .find(|address| !taken.contains(address.as_str()))
        .unwrap_or_default()
}
