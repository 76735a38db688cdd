//! What the status tells.

use std::time::Duration;

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, ApplicationStatus, InstanceState};

use crate::behaviour::Behaviour;
use crate::node::Node;
use crate::world::{Rules, World};

pub(super) async fn when_pods_run_then_instances_and_containers_are_told(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let second = pb::Service {
        name: "side".to_owned(),
        image: world.image().to_owned(),
        command: Behaviour::Serve.command(),
        ..pb::Service::default()
    };
    let app = world.app("web").copies(2).ready_by_file();
    node.run(&[app.with(|message| message.services.push(second))])
        .await?;

    // Pods and what keeps them are watched apart, so that one may be told of before the other.
    let all_ready = |status: &ApplicationStatus| {
        let mut instances = status.instances.iter();
        status.instances.len() == 2 && instances.all(|one| one.state() == InstanceState::Ready)
    };
    let status = node
        .until("web", "has two ready instances", all_ready)
        .await?;
    let pods = world.look().until_ready(world.space(), "web", 2).await?;
    for instance in &status.instances {
        ensure!(instance.service.is_empty(), "{instance:?}");
        ensure!(instance.revision == 1, "{instance:?}");
        ensure!(instance.start_time.is_some(), "{instance:?}");
        let names: Vec<&str> = instance
            .containers
            .iter()
            .map(|one| one.service.as_str())
            .collect();
        ensure!(names == ["main", "side"], "{names:?}");
        let all_ready = instance
            .containers
            .iter()
            .all(|one| one.state() == InstanceState::Ready && !one.image.is_empty());
        ensure!(all_ready, "{instance:?}");
        let pod = pods
            .iter()
            .find(|pod| pod.metadata.name.as_deref() == Some(instance.id.as_str()));
        let machine = pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone());
        ensure!(machine.as_deref() == Some(instance.machine.as_str()));
    }
    let is_available = status
        .conditions
        .iter()
        .any(|one| one.r#type == "Available" && one.status() == pb::ConditionStatus::True);
    ensure!(is_available, "{status:?}");
    Ok(())
}

pub(super) async fn when_a_container_ends_then_restarts_and_the_reason_are_told(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").behaves(Behaviour::CrashLater(2));

    node.desire(&[app])?;

    let is_told = |status: &ApplicationStatus| {
        status.instances.iter().any(|instance| {
            instance.containers.iter().any(|container| {
                let ended = container.last_termination.as_ref();
                container.restart_count > 0 && ended.is_some_and(|ended| ended.exit_code == 1)
            })
        })
    };
    let status = node.until("web", "tells of the restart", is_told).await?;
    let instance = &status.instances[0];
    ensure!(instance.restart_count > 0, "{instance:?}");
    Ok(())
}

pub(super) async fn when_a_running_pod_hangs_then_it_is_degraded_and_recovers(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world
        .app("web")
        .ready_by_file()
        .alive_by_file()
        .behaves(Behaviour::HangAfter(30));
    node.run(&[app]).await?;

    let is_degraded = |status: &ApplicationStatus| {
        status.state() == ApplicationState::Degraded && !status.reason.is_empty()
    };
    node.until("web", "is degraded", is_degraded).await?;

    let status = node.until_healthy("web").await?;
    ensure!(status.instances[0].restart_count > 0, "{status:?}");
    ensure!(status.serving_revision == 1, "{status:?}");
    Ok(())
}

pub(super) async fn when_things_happen_then_events_tell(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").within(world.deadline());
    node.run(std::slice::from_ref(&app)).await?;

    node.desire(&[app.image("registry.invalid/nobody/has-this:1")])?;

    node.until_state("web", ApplicationState::RolledBack)
        .await?;
    let tells = |status: &ApplicationStatus, reason: &str, is_warning: bool| {
        let mut events = status.events.iter();
        events.any(|event| event.reason == reason && event.is_warning == is_warning)
    };
    let all = |status: &ApplicationStatus| {
        let of_pod = |event: &pb::ApplicationEvent| {
            event.is_warning && event.object.starts_with("Pod") && event.message.contains("image")
        };
        status.events.iter().any(of_pod)
            && tells(status, "PROMOTED", false)
            && tells(status, "ROLLED_BACK", true)
    };
    let status = node.until("web", "tells what happened", all).await?;
    ensure!(status.events.len() <= 20, "{} events", status.events.len());
    Ok(())
}

pub(super) async fn when_the_cluster_has_machines_then_they_are_told(
    world: &dyn World,
) -> Result<()> {
    let node = world.node().await?;
    let there = world.look().objects(("v1", "Node"), "", "").await?;
    let mut machines = node
        .engine()?
        .machines()
        .ok_or_else(|| anyhow::anyhow!("the engine tells of no machines"))?;

    let all = machines.wait_for(|machines| machines.len() == there.len());
    let all = tokio::time::timeout(world.patience(), all).await??.clone();

    for object in there {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let machine = all.get(name);
        let machine = machine.ok_or_else(|| anyhow::anyhow!("{name} is not told of"))?;
        let info = &object["status"]["nodeInfo"];
        ensure!(
            info["architecture"] == machine.architecture.as_str(),
            "{machine:?}"
        );
        ensure!(
            info["kubeletVersion"] == machine.kubelet_version.as_str(),
            "{machine:?}"
        );
        let is_ready = machine
            .conditions
            .iter()
            .any(|one| one.r#type == "Ready" && one.status() == pb::ConditionStatus::True);
        ensure!(is_ready, "{machine:?}");
        ensure!(machine.capacity.contains_key("cpu"), "{machine:?}");
        ensure!(
            machine.labels.contains_key("kubernetes.io/hostname"),
            "{machine:?}"
        );
    }
    Ok(())
}

pub(super) async fn when_there_is_a_metrics_server_then_usage_is_told(
    world: &dyn World,
) -> Result<()> {
    world.set_usage(true).await?;
    let mut access = world.access(&Rules::none()).await?;
    access.settings.usage_period = Duration::from_millis(200);
    let mut node = Node::start(access).await?;
    node.run(&[world.app("web")]).await?;

    let is_told = |status: &ApplicationStatus| {
        let mut containers = status.instances.iter().flat_map(|one| &one.containers);
        containers.any(|one| one.memory_bytes > 0 && one.cpu_millis > 0)
    };
    node.until("web", "tells what it uses", is_told).await?;
    let mut machines = node
        .engine()?
        .machines()
        .ok_or_else(|| anyhow::anyhow!("the engine tells of no machines"))?;
    let is_told = machines.wait_for(|machines| {
        let mut used = machines.values().map(|machine| {
            let stats = machine.stats.as_ref();
            stats.map_or(0, |stats| stats.memory_used_bytes)
        });
        !machines.is_empty() && used.all(|bytes| bytes > 0)
    });
    tokio::time::timeout(world.patience(), is_told).await??;
    Ok(())
}

pub(super) async fn when_there_is_no_metrics_server_then_usage_is_absent_and_says_so(
    world: &dyn World,
) -> Result<()> {
    world.set_usage(false).await?;
    let node = world.node().await?;
    let mut machines = node
        .engine()?
        .machines()
        .ok_or_else(|| anyhow::anyhow!("the engine tells of no machines"))?;

    let says_so = machines.wait_for(|machines| {
        !machines.is_empty()
            && machines
                .values()
                .all(|one| one.stats.is_none() && !one.stats_unavailable.is_empty())
    });
    tokio::time::timeout(world.patience(), says_so).await??;
    Ok(())
}
