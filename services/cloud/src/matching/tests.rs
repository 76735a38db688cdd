//! Matching on a store: what is written, and what a change would reach.

use baetyl_model::Kind;
use baetyl_proto::resource::v1 as pb;

use crate::seam::{Edit, ImpactPreview as _};
use crate::store::Stored;
use crate::testing::{Cloud, application, configuration, eventually, key, map, name, namespace};

async fn generation(cloud: &Cloud, node: &str) -> u64 {
    let placement = cloud.parts.matching.placement(&namespace(), &name(node));
    placement.map_or(0, |one| one.fence.generation.number())
}

async fn placed(cloud: &Cloud, node: &str, application: &str) {
    eventually("the application is placed", async || {
        let placement = cloud.parts.matching.placement(&namespace(), &name(node))?;
        placement
            .applications
            .contains_key(application)
            .then_some(())
    })
    .await;
}

async fn demo() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[("site", "demo")]).await;
    cloud.node("other", &[("site", "other")]).await;
    cloud.put(configuration("thresholds", "30")).await;
    cloud.put(application("watcher", "thresholds")).await;
    placed(&cloud, "demo", "watcher").await;
    cloud
}

#[tokio::test]
async fn when_nothing_changed_then_a_restart_writes_nothing() {
    let cloud = demo().await;
    let before = generation(&cloud, "demo").await;
    let sequence = cloud.store.sequence(&namespace()).await.unwrap();

    let cloud = cloud.restart().await;

    assert_eq!(generation(&cloud, "demo").await, before);
    assert_eq!(cloud.store.sequence(&namespace()).await.unwrap(), sequence);
}

#[tokio::test]
async fn when_something_else_changes_then_a_node_keeps_its_generation() {
    let cloud = demo().await;
    let before = (
        generation(&cloud, "demo").await,
        generation(&cloud, "other").await,
    );

    cloud.put(configuration("unused", "1")).await;
    cloud.put(configuration("thresholds", "31")).await;
    eventually("the node is told", async || {
        (generation(&cloud, "demo").await > before.0).then_some(())
    })
    .await;

    assert_eq!(generation(&cloud, "demo").await, before.0 + 1);
    assert_eq!(generation(&cloud, "other").await, before.1);
}

#[tokio::test]
async fn when_an_input_is_deleted_then_what_runs_is_kept_and_status_says_so() {
    let cloud = demo().await;
    let before = generation(&cloud, "demo").await;

    cloud.delete(key(Kind::Configuration, "thresholds")).await;
    let summary = eventually("status says so", async || {
        let summary = cloud
            .status
            .application(&namespace(), &name("watcher"))
            .await
            .unwrap();
        let mut conditions = summary.conditions.iter();
        conditions
            .any(|one| one.reason == "INPUT_MISSING")
            .then_some(summary)
    })
    .await;

    assert_eq!(summary.node_count, 1);
    assert_eq!(generation(&cloud, "demo").await, before);
}

#[tokio::test]
async fn when_two_applications_claim_a_port_then_the_conflict_is_visible() {
    let cloud = demo().await;
    let with_port = |name: &str| {
        let mut message = application(name, "thresholds");
        message.services[0].ports = vec![pb::Port {
            name: "http".to_owned(),
            host_port: 8080,
            ..pb::Port::default()
        }];
        message
    };
    cloud.put(with_port("first")).await;
    placed(&cloud, "demo", "first").await;

    cloud.put(with_port("second")).await;
    let status = eventually("the conflict is seen", async || {
        let status = cloud.node_status("demo").await;
        let mut conditions = status.conditions.iter();
        conditions
            .any(|one| one.reason == "PORT_CONFLICT")
            .then_some(status)
    })
    .await;

    let conflict = status
        .conditions
        .iter()
        .find(|one| one.r#type == "Conflict")
        .unwrap();
    let wanted = "application second is left out: port 8080/tcp belongs to first";
    assert_eq!(conflict.message, wanted);
    cloud.delete(key(Kind::Application, "first")).await;
    placed(&cloud, "demo", "second").await;
}

#[tokio::test]
async fn when_labels_match_and_the_mode_does_not_then_the_application_says_so() {
    let cloud = demo().await;
    let mut message = application("image", "thresholds");
    message.r#type = pb::ApplicationType::Container.into();
    message.services[0].program = None;
    message.services[0].image = "example.org/image:1".to_owned();
    cloud.put(message).await;

    let summary = eventually("matching saw it", async || {
        let summary = cloud
            .status
            .application(&namespace(), &name("image"))
            .await
            .unwrap();
        (summary.conditions[0].reason == "MODE_MISMATCH").then_some(summary)
    })
    .await;

    let wanted = "matched by label, not by mode: demo; container applications run on kube nodes";
    assert_eq!(summary.why, wanted);
    assert_eq!(summary.node_count, 0);
}

#[tokio::test]
async fn when_a_function_asks_for_a_cluster_then_only_kube_nodes_get_it() {
    let cloud = demo().await;
    let cluster = pb::Node {
        name: "cluster".to_owned(),
        labels: map(&[("site", "demo")]),
        node_mode: pb::NodeMode::Kube.into(),
        ..pb::Node::default()
    };
    cloud.put(cluster).await;
    cloud.put(configuration("code", "")).await;
    let function = |name: &str, machine_selector: &str| pb::Application {
        name: name.to_owned(),
        r#type: pb::ApplicationType::Function.into(),
        selector: "site = demo".to_owned(),
        machine_selector: machine_selector.to_owned(),
        services: vec![pb::Service {
            name: name.to_owned(),
            runtime: "python3".to_owned(),
            code: Some(pb::Code {
                configuration: "code".to_owned(),
            }),
            functions: vec![pb::FunctionSpec {
                name: "one".to_owned(),
                handler: "code.one".to_owned(),
            }],
            ..pb::Service::default()
        }],
        ..pb::Application::default()
    };

    cloud.put(function("plain", "")).await;
    cloud.put(function("placed", "gpu")).await;
    for (node, application) in [
        ("cluster", "placed"),
        ("cluster", "plain"),
        ("demo", "plain"),
    ] {
        placed(&cloud, node, application).await;
    }

    let summary = cloud
        .status
        .application(&namespace(), &name("placed"))
        .await
        .unwrap();

    let condition = &summary.conditions[0];
    assert_eq!(summary.node_count, 1);
    assert_eq!(condition.reason, "MODE_MISMATCH");
    let wanted =
        "matched by label, not by mode: demo; this one sets fields that only kube nodes have";
    assert_eq!(condition.message, wanted);
}

#[tokio::test]
async fn when_applications_use_certificates_and_registries_then_those_are_pinned() {
    let cloud = Cloud::start().await;
    let cluster = pb::Node {
        name: "cluster".to_owned(),
        labels: map(&[("site", "demo")]),
        node_mode: pb::NodeMode::Kube.into(),
        ..pb::Node::default()
    };
    cloud.put(cluster).await;
    let certificate = |key: &str| pb::Certificate {
        name: "tls".to_owned(),
        certificate_pem: "certificate".to_owned(),
        private_key_pem: key.to_owned(),
        ..pb::Certificate::default()
    };
    cloud.put(certificate("one")).await;
    cloud
        .put(pb::Registry {
            name: "private".to_owned(),
            address: "registry.example.com".to_owned(),
            username: "robot".to_owned(),
            password: "secret".to_owned(),
            ..pb::Registry::default()
        })
        .await;
    let tls = pb::volume::Source::Certificate(pb::ResourceRef {
        name: "tls".to_owned(),
    });
    let shop = pb::Application {
        name: "shop".to_owned(),
        r#type: pb::ApplicationType::Container.into(),
        selector: "site = demo".to_owned(),
        registries: vec!["private".to_owned()],
        services: vec![pb::Service {
            name: "shop".to_owned(),
            image: "shop:1".to_owned(),
            ..pb::Service::default()
        }],
        volumes: vec![pb::Volume {
            name: "tls".to_owned(),
            source: Some(tls),
            ..pb::Volume::default()
        }],
        ..pb::Application::default()
    };
    cloud.put(shop).await;
    placed(&cloud, "cluster", "shop").await;
    let placement = async || {
        let placement = cloud
            .parts
            .matching
            .placement(&namespace(), &name("cluster"));
        placement.expect("it was looked at")
    };
    let before = placement().await;

    cloud.put(certificate("two")).await;
    let after = eventually("the new certificate is pinned", async || {
        let now = placement().await;
        (now.fence > before.fence).then_some(now)
    })
    .await;

    let (old, new) = (&before.inputs["shop"], &after.inputs["shop"]);
    let names: Vec<&str> = old.keys().map(String::as_str).collect();
    assert_eq!(names, ["certificate/tls", "registry/private"]);
    assert_ne!(old["certificate/tls"], new["certificate/tls"]);
    assert_eq!(old["registry/private"], new["registry/private"]);
    assert_eq!(
        before.applications, after.applications,
        "the application is as it was"
    );
}

#[tokio::test]
async fn when_a_change_is_previewed_then_the_nodes_it_reaches_are_named() {
    let cloud = demo().await;
    let stored = async |kind: Kind, name: &str| -> Stored {
        cloud.store.get(&key(kind, name)).await.unwrap().unwrap()
    };
    let thresholds = stored(Kind::Configuration, "thresholds").await;
    let watcher = stored(Kind::Application, "watcher").await;
    let changed = Stored {
        digest: baetyl_model::Digest::of(b"new"),
        ..thresholds.clone()
    };
    let edit = |before: &Stored, after: Option<&Stored>| Edit {
        key: before.key.clone(),
        before: Some(before.clone()),
        after: after.cloned(),
    };
    let cases = [
        (
            "a changed input",
            vec![edit(&thresholds, Some(&changed))],
            vec!["demo"],
        ),
        (
            "the same input",
            vec![edit(&thresholds, Some(&thresholds))],
            vec![],
        ),
        (
            "a deleted application",
            vec![edit(&watcher, None)],
            vec!["demo"],
        ),
        (
            "an input that nothing uses any more",
            vec![edit(&watcher, None), edit(&thresholds, Some(&changed))],
            vec!["demo"],
        ),
    ];
    for (case, edits, wanted) in cases {
        let affected = cloud.parts.matching.affected_nodes(&edits).await.unwrap();

        let names: Vec<&str> = affected.iter().map(|(_, node)| node.as_str()).collect();
        assert_eq!(names, wanted, "{case}");
    }
}

#[tokio::test]
async fn when_a_resource_has_many_revisions_then_old_ones_go_and_pinned_ones_stay() {
    let cloud = demo().await;
    // A node that keeps what it has pins the first revision.
    cloud
        .put(pb::Node {
            name: "demo".to_owned(),
            labels: map(&[("site", "demo")]),
            sync_mode: pb::SyncMode::Local.into(),
            ..pb::Node::default()
        })
        .await;
    eventually("matching sees it", async || {
        let view = cloud.parts.matching.with_view(&namespace(), |view, _| {
            view.node(&name("demo")).is_some_and(|node| !node.is_cloud)
        });
        (view == Some(true)).then_some(())
    })
    .await;
    for round in 0..39 {
        cloud
            .put(configuration("thresholds", &format!("round {round}")))
            .await;
    }

    let kept = eventually("old revisions are dropped", async || {
        let key = key(Kind::Configuration, "thresholds");
        let kept = cloud.store.revisions(&key, None, 100).await.unwrap();
        (kept.len() < 40).then_some(kept)
    })
    .await;

    let numbers: Vec<u64> = kept.iter().map(|stored| stored.revision.number()).collect();
    let mut wanted: Vec<u64> = (21..=40).rev().collect();
    wanted.push(1);
    assert_eq!(numbers, wanted);
}
