//! Where pods run.

use anyhow::{Context as _, Result, ensure};
use baetyl_proto::resource::v1::ApplicationState;
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

    let says_so = |status: &baetyl_proto::resource::v1::ApplicationStatus| {
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
