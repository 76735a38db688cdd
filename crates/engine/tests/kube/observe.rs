//! Watches on a fake API server: what is seen, and when.

pub(crate) mod rig;

mod faults;
mod following;
mod usage;

use std::sync::Arc;

use baetyl_apiserver::Deletion;
use baetyl_engine::kube::facts::{AppFacts, ContainerState, Health};
use baetyl_engine::kube::object::ObjectKey;
use serde_json::json;

use rig::{CORE, EDGE, Rig, config_map, deployment, event, labels, ours, pod, role, run};

fn key(api_version: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced(api_version, kind, EDGE, name)
}

#[tokio::test]
async fn when_objects_are_there_and_come_and_go_then_the_facts_follow() {
    let before = |server: &baetyl_apiserver::ApiServer| {
        let store = server.store();
        store
            .create("configmaps", EDGE, config_map("web", "early"))
            .expect("new");
        store
            .create("secrets", EDGE, json!({"metadata": {"name": "foreign"}}))
            .expect("new");
    };
    let rig = Rig::prepared(&[&role(EDGE)], before, |_| ()).await;
    rig.ready().await;
    let store = rig.store();
    let early = rig.watches.facts("web").borrow().clone();

    store
        .create("deployments.apps", EDGE, deployment("web"))
        .expect("new");
    let both = rig.facts("web", |facts| facts.objects.len() == 2).await;
    let deleted = store.delete("configmaps", EDGE, "early", Deletion::default());
    deleted.expect("it was there");
    let late = rig.facts("web", |facts| facts.objects.len() == 1).await;

    assert!(early.objects.contains_key(&key("v1", "ConfigMap", "early")));
    let seen = &both.objects[&key("apps/v1", "Deployment", "web")];
    let stored = store.get("deployments.apps", EDGE, "web").expect("there");
    assert_eq!(Some(&*seen.uid), stored["metadata"]["uid"].as_str());
    assert_eq!(seen.generation, 1);
    assert!(matches!(seen.health, Health::Progressing { .. }));
    assert!(
        late.objects
            .contains_key(&key("apps/v1", "Deployment", "web"))
    );
    let names = rig.watches.applications().borrow().clone();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["web"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_the_status_changes_then_health_and_content_tell_it_apart_from_a_write() {
    let rig = Rig::start().await;
    let store = rig.store();
    let of = |facts: &Arc<AppFacts>| {
        facts
            .objects
            .get(&key("apps/v1", "Deployment", "web"))
            .cloned()
    };
    store
        .create("deployments.apps", EDGE, deployment("web"))
        .expect("new");
    let facts = rig.facts("web", |facts| of(facts).is_some()).await;
    let new = of(&facts).expect("seen");

    let status = store.edit_status("deployments.apps", EDGE, "web", |object| {
        object["status"] = json!({
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": 1,
            "availableReplicas": 1,
        });
    });
    status.expect("it is there");
    let is_ready =
        |facts: &Arc<AppFacts>| of(facts).is_some_and(|object| object.health == Health::Ready);
    let ready = of(&rig.facts("web", |facts| is_ready(facts)).await).expect("seen");
    let edited = store.edit("deployments.apps", EDGE, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    });
    edited.expect("it is there");
    let behind = of(&rig.facts("web", |facts| !is_ready(facts)).await).expect("seen");

    assert_eq!(new.content, ready.content);
    assert_ne!(new.resource_version, ready.resource_version);
    assert_ne!(ready.content, behind.content);
    rig.stop().await;
}

#[tokio::test]
async fn when_labels_change_then_objects_change_their_application() {
    let rig = Rig::start().await;
    let store = rig.store();
    store
        .create("configmaps", EDGE, config_map("one", "a"))
        .expect("new");
    rig.facts("one", |facts| facts.objects.len() == 1).await;

    let relabel = |name: &'static str, value: &'static str| {
        let edited = store.edit("configmaps", EDGE, "a", |object| {
            object["metadata"]["labels"][name] = json!(value);
        });
        edited.expect("it is there");
    };
    relabel("baetyl.io/application", "other");
    rig.facts("other", |facts| facts.objects.len() == 1).await;
    rig.facts("one", |facts| facts.objects.is_empty()).await;
    relabel("baetyl.io/owner", "somebody-else");
    rig.facts("other", |facts| facts.objects.is_empty()).await;
    relabel("baetyl.io/owner", "owner-1");
    rig.facts("other", |facts| facts.objects.len() == 1).await;

    rig.stop().await;
}

#[tokio::test]
async fn when_a_pod_runs_and_its_probe_fails_then_the_facts_say_what_it_said() {
    let rig = Rig::start().await;
    let store = rig.store();
    let stored = store.create("pods", EDGE, pod("web", "web-1", &["web"]));
    let stored = stored.expect("new");
    run(&store, "web-1", 0);
    let running = rig
        .facts("web", |facts| {
            facts.pods.get("web-1").is_some_and(|pod| pod.is_ready)
        })
        .await;

    let unready = store.edit_status("pods", EDGE, "web-1", |pod| {
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    });
    unready.expect("it is there");
    let failing = event("web-1.1", &stored, "Unhealthy", "probe failed: no answer");
    store.create("events", EDGE, failing).expect("new");
    let explained = rig
        .facts("web", |facts| {
            let pod = facts.pods.get("web-1");
            pod.is_some_and(|pod| !pod.containers[0].probe_message.is_empty())
        })
        .await;

    let container = &running.pods["web-1"].containers[0];
    assert!(matches!(container.state, ContainerState::Running { .. }));
    assert_eq!(running.pods["web-1"].machine, "n1");
    let container = &explained.pods["web-1"].containers[0];
    assert_eq!(container.probe_message, "probe failed: no answer");
    assert_eq!(explained.events.len(), 1);
    assert_eq!(explained.events[0].object, "Pod/web-1");
    rig.stop().await;
}

#[tokio::test]
async fn when_a_cluster_is_full_of_others_then_only_ours_is_asked_for_and_seen() {
    let before = |server: &baetyl_apiserver::ApiServer| {
        let store = server.store();
        for count in 0..250 {
            let name = format!("ours-{count}");
            store
                .create("configmaps", EDGE, config_map("web", &name))
                .expect("new");
        }
        for count in 0..150 {
            let name = format!("foreign-{count}");
            let foreign = json!({
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            });
            let foreign = store.create("pods", EDGE, foreign).expect("new");
            let noise = event(&format!("noise-{count}"), &foreign, "Pulled", "noise");
            store.create("events", EDGE, noise).expect("new");
        }
    };

    let rig = Rig::prepared(&[&role(EDGE)], before, |_| ()).await;
    rig.ready().await;

    let facts = rig.watches.facts("web").borrow().clone();
    assert_eq!(facts.objects.len(), 250);
    assert!(facts.pods.is_empty() && facts.events.is_empty());
    let entries = rig.server.log().entries();
    let lists = || entries.iter().filter(|entry| entry.verb == "list");
    assert!(lists().all(|entry| entry.query.contains("limit=100")));
    let unselected = lists().filter(|entry| !entry.query.contains("labelSelector="));
    assert!(
        unselected
            .clone()
            .all(|entry| ["events", "nodes"].contains(&&*entry.resource))
    );
    let pages = lists()
        .filter(|entry| entry.resource == "configmaps")
        .count();
    assert_eq!(pages, 3);
    rig.stop().await;
}

#[tokio::test]
async fn when_nothing_of_ours_changes_then_nothing_is_asked() {
    let rig = Rig::start().await;
    let store = rig.store();
    rig.ready().await;
    store
        .create("configmaps", EDGE, config_map("web", "a"))
        .expect("new");
    rig.facts("web", |facts| facts.objects.len() == 1).await;
    // Twelve kinds of objects, pods, events, machines.
    rig.watched(15).await;
    rig.server.log().clear();

    for count in 0..50 {
        let foreign = json!({"metadata": {"name": format!("foreign-{count}")}});
        store.create("secrets", EDGE, foreign).expect("new");
        rig.server.bookmark();
    }
    store
        .create("configmaps", EDGE, config_map("web", "b"))
        .expect("new");
    rig.facts("web", |facts| facts.objects.len() == 2).await;

    let asked = rig.server.log().entries();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(rig.server.log().open_watches(), 15);
    rig.stop().await;
}

#[tokio::test]
async fn when_a_machine_joins_then_it_is_told_with_what_it_has() {
    let rig = Rig::start().await;
    let node = json!({
        "metadata": {
            "name": "n1",
            "labels": {"node-role.kubernetes.io/worker": "", "site": "north"},
        },
    });
    let store = rig.store();
    store.create("nodes", "", node).expect("new");
    let told = store.edit_status("nodes", "", "n1", |node| {
        node["status"] = json!({
            "capacity": {"cpu": "2", "memory": "4Gi"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"kubeletVersion": "v1.33.0"},
        });
    });
    told.expect("it is there");

    let machines = rig.watches.machines();
    let machines = rig::until(machines, |machines| {
        machines
            .get("n1")
            .is_some_and(|machine| !machine.capacity.is_empty())
    })
    .await;
    let facts = rig
        .cluster(|facts| facts.machines_unavailable.is_empty())
        .await;

    assert_eq!(machines["n1"].roles, ["worker"]);
    assert_eq!(machines["n1"].kubelet_version, "v1.33.0");
    assert_eq!(machines["n1"].conditions[0].reason, "KUBELET_READY");
    assert_eq!(facts.blind_since, None);
    rig.stop().await;
}

#[tokio::test]
async fn when_a_permission_is_missing_then_it_is_named_and_the_rest_goes_on() {
    let without = role(EDGE).replace("secrets, ", "");
    let rig = Rig::prepared(&[&without], |_| (), |_| ()).await;
    rig.ready().await;
    let store = rig.store();
    store
        .create("configmaps", EDGE, config_map("web", "a"))
        .expect("new");
    rig.facts("web", |facts| facts.objects.len() == 1).await;

    let facts = rig.cluster(|facts| !facts.forbidden.is_empty()).await;
    rig.server.grant(CORE, &role(EDGE)).expect("a role");
    let secret = json!({"metadata": ours("web", "s"), "stringData": {"a": "b"}});
    store.create("secrets", EDGE, secret).expect("new");
    rig.facts("web", |facts| facts.objects.len() == 2).await;
    let repaired = rig.cluster(|facts| facts.forbidden.is_empty()).await;

    assert_eq!(
        facts.forbidden[EDGE],
        format!("no permission to list secrets in namespace {EDGE}")
    );
    assert_eq!(
        repaired.machines_unavailable,
        "no permission to list nodes in the cluster"
    );
    assert_eq!(repaired.blind_since, None);
    rig.stop().await;
}

#[tokio::test]
async fn when_an_application_changes_then_another_one_is_not_woken() {
    let rig = Rig::start().await;
    let store = rig.store();
    for application in ["one", "other"] {
        store
            .create("configmaps", EDGE, config_map(application, application))
            .expect("new");
        rig.facts(application, |facts| facts.objects.len() == 1)
            .await;
    }
    let mut other = rig.watches.facts("other");
    other.mark_unchanged();

    let created = store.create("pods", EDGE, pod("one", "one-1", &["web"]));
    created.expect("new");
    run(&store, "one-1", 0);
    rig.facts("one", |facts| facts.pods.values().any(|pod| pod.is_ready))
        .await;

    assert!(!other.has_changed().expect("it goes on"));
    assert!(!labels("one").is_empty());
    rig.stop().await;
}
