//! Where pods run.

use anyhow::{Context as _, Result, ensure};
use baetyl_proto::resource::v1 as pb;
use pb::ApplicationState;
use serde_json::{Value, json};

use crate::world::World;

pub(super) async fn when_machines_are_selected_then_pods_run_there(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let machines = look.objects(("v1", "Node"), "", "").await?;
    let label = "kubernetes.io/hostname";
    let is_free = |machine: &&Value| {
        let taints = machine["spec"]["taints"].as_array();
        taints.is_none_or(Vec::is_empty)
    };
    let wanted = machines.iter().rev().find(is_free);
    let wanted = wanted.context("no machine is free")?["metadata"]["labels"][label].as_str();
    let wanted = wanted.context("the machine has no name")?;
    let app = world.app("web").copies(3);
    let app = app.with(|message| message.machine_selector = format!("{label}={wanted}"));

    node.run(&[app]).await?;

    for pod in look.until_ready(world.space(), "web", 3).await? {
        let place = pod.spec.and_then(|spec| spec.node_name);
        ensure!(place.as_deref() == Some(wanted), "a pod runs on {place:?}");
    }
    Ok(())
}

pub(super) async fn when_no_machine_fits_then_it_says_so_and_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").within(world.deadline());
    node.run(&[app.clone(), world.app("other")]).await?;
    let before = look.uids(world.space(), "web").await?;
    let nowhere = app.with(|message| message.machine_selector = "nobody.example/has=this".into());

    node.desire(&[nowhere, world.app("other").version("2")])?;

    let says_so = |status: &pb::ApplicationStatus| {
        status.reason == "UNSCHEDULABLE" && status.desired_revision == 2
    };
    node.until("web", "is unschedulable", says_so).await?;
    node.until_healthy("other").await?;
    let status = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;
    ensure!(status.reason == "UNSCHEDULABLE", "{status:?}");
    let gone = async || look.uids(world.space(), "web").await;
    look.until("the new pod is gone", gone, |pods| *pods == before)
        .await?;
    Ok(())
}

pub(super) async fn when_a_namespace_is_named_then_objects_are_there(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let second = world.spaces().second.clone();
    let app = world.app("web").port("http", 8080);

    node.run(&[app.clone().in_namespace(&second)]).await?;
    look.until_ready(&second, "web", 1).await?;
    ensure!(look.pods(world.space(), "web").await?.is_empty());

    node.run(&[app]).await?;
    look.until_ready(world.space(), "web", 1).await?;
    let owner = node.owner().to_owned();
    let left = async || look.all_of(&owner, &second).await;
    look.until("the other namespace is empty", left, |left| left.is_empty())
        .await?;
    let found = look.there(("v1", "Service"), world.space(), "web").await?;
    ensure!(found["spec"]["ports"][0]["port"] == json!(8080), "{found}");
    Ok(())
}

pub(super) async fn when_pods_must_be_apart_then_they_run_on_different_machines(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let apart = pb::PodAffinityTerm {
        label_selector: Some(pb::LabelSelector {
            match_labels: [("baetyl.io/application".to_owned(), "web".to_owned())].into(),
            ..pb::LabelSelector::default()
        }),
        topology_key: "kubernetes.io/hostname".to_owned(),
    };
    let app = world.app("web").copies(2).with(|message| {
        message.affinity = Some(pb::Affinity {
            pod_anti_affinity: Some(pb::PodAffinity {
                required_during_scheduling_ignored_during_execution: vec![apart],
                ..pb::PodAffinity::default()
            }),
            ..pb::Affinity::default()
        });
    });

    node.run(&[app]).await?;

    let pods = world.look().until_ready(world.space(), "web", 2).await?;
    let places = pods.into_iter().map(|pod| pod.spec?.node_name);
    let places: std::collections::BTreeSet<_> = places.collect();
    ensure!(places.len() == 2, "pods run on {places:?}");
    Ok(())
}

pub(super) async fn when_a_priority_is_named_then_pods_have_it(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let class = format!("{}-high", world.space());
    look.create(json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": { "name": class }, "value": 1000,
    }))
    .await?;
    let app = world.app("web");
    let named = |class: &str| {
        let class = class.to_owned();
        app.clone()
            .with(|message| message.priority_class = class)
            .within(world.deadline())
    };

    let ran = node.run(&[named(&class)]).await;
    let pods = look.until_ready(world.space(), "web", 1).await;
    node.desire(&[named("nobody-made-this")])?;
    let refused = node.until_state("web", ApplicationState::RolledBack).await;
    // It is the cluster's own, and goes whatever came of it.
    look.delete(("scheduling.k8s.io/v1", "PriorityClass"), "", &class)
        .await?;

    ran?;
    let priority = pods?.remove(0).spec.and_then(|spec| spec.priority);
    ensure!(priority == Some(1000), "the priority is {priority:?}");
    let status = refused?;
    ensure!(status.message.contains("nobody-made-this"), "{status:?}");
    Ok(())
}

pub(super) async fn when_the_network_of_the_machine_is_used_then_pods_have_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").with(|message| message.host_network = true);
    node.run(std::slice::from_ref(&app)).await?;
    let pods = look.until_ready(world.space(), "web", 1).await?;
    let spec = pods[0].spec.clone().context("the pod has no spec")?;
    ensure!(spec.host_network == Some(true), "{spec:?}");
    ensure!(
        spec.dns_policy.as_deref() == Some("ClusterFirstWithHostNet"),
        "{spec:?}"
    );

    // Two pods would fight for the ports of their machine: the old one goes first.
    node.run(&[app.version("2")]).await?;

    look.until_ready(world.space(), "web", 1).await?;
    let deployment = look
        .there(("apps/v1", "Deployment"), world.space(), "web")
        .await?;
    let surge = &deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"];
    ensure!(*surge == json!(0), "{deployment}");
    Ok(())
}
