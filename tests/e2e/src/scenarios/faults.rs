//! What goes wrong with a new revision: the one before serves without a gap, the reason is said,
//! and other applications go on meanwhile.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1 as pb;
use pb::ApplicationState;
use serde_json::json;

use crate::App;
use crate::application::probe;
use crate::behaviour::{Behaviour, READY};
use crate::node::{Input, Node};
use crate::witness::Witness;
use crate::world::World;

/// A good application whose next revision will be bad.
fn good(world: &dyn World) -> App {
    world.app("web").ready_by_file().within(world.deadline())
}

/// Replaces a good revision by a bad one, and checks that nobody notices but the status.
async fn survives(world: &dyn World, good: App, bad: App, reasons: &[&str]) -> Result<()> {
    let node = world.node().await?;
    survives_on(world, node, good, bad, reasons).await
}

async fn survives_on(
    world: &dyn World,
    mut node: Node,
    good: App,
    bad: App,
    reasons: &[&str],
) -> Result<()> {
    let look = world.look();
    let name = good.name().to_owned();
    let other = world.app("other");
    node.run(&[good.clone(), other.clone()]).await?;
    let pods = look.uids(world.space(), &name).await?;
    let witness = Witness::of(world.client(), world.space(), &name);
    witness.begin(pods.len(), world.patience()).await?;

    node.desire(&[bad, other.clone().version("2")])?;

    node.until_healthy("other").await?;
    let status = node
        .until_state(&name, ApplicationState::RolledBack)
        .await?;
    let reason = status.reason.as_str();
    ensure!(
        reasons.contains(&reason),
        "{reason}, not {reasons:?}: {status:?}"
    );
    ensure!(!status.message.is_empty(), "nothing is said: {status:?}");
    ensure!(status.serving_revision == 1, "{status:?}");
    let left = async || look.uids(world.space(), &name).await;
    look.until("only the old pods are there", left, |left| *left == pods)
        .await?;
    let least = witness.least();
    ensure!(
        least >= pods.len(),
        "only {least} pods were ready at one moment"
    );
    node.desire(&[good.version("3"), other.version("3")])?;
    node.until_healthy(&name).await?;
    node.until_converged().await
}

pub(super) async fn when_the_image_cannot_be_fetched_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let bad = good(world).image("registry.invalid/nobody/has-this:1");
    survives(world, good(world), bad, &["IMAGE_PULL_FAILED"]).await
}

pub(super) async fn when_the_digest_of_an_image_is_wrong_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let image = world.image();
    let name = image.split('@').next().unwrap_or(image);
    let bad = good(world).image(&format!("{name}@sha256:{}", "0".repeat(64)));
    survives(world, good(world), bad, &["IMAGE_PULL_FAILED"]).await
}

pub(super) async fn when_the_name_of_an_image_is_wrong_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let bad = good(world).image("registry.invalid/UPPER/name:1");
    survives(world, good(world), bad, &["IMAGE_INVALID"]).await
}

pub(super) async fn when_it_crashes_again_and_again_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let good = good(world).within(2 * world.deadline());
    let bad = good.clone().behaves(Behaviour::CrashAtOnce(3));
    survives(world, good, bad, &["CRASH_LOOP"]).await
}

pub(super) async fn when_a_probe_fails_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let bad = good(world).behaves(Behaviour::NeverReady);
    survives(world, good(world), bad, &["PROBE_FAILED"]).await
}

pub(super) async fn when_a_port_of_the_cluster_is_taken_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let port = world.node_port();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "of-somebody", "namespace": world.spaces().foreign },
        "spec": { "type": "NodePort", "selector": { "app": "none" },
            "ports": [{ "port": 80, "nodePort": port }] },
    });
    world.look().create(service).await?;
    let bad = good(world).service(|service| {
        service.ports.push(pb::Port {
            name: "http".to_owned(),
            container_port: 8080,
            node_port: port.into(),
            ..pb::Port::default()
        });
    });
    let reasons = ["INVALID_OBJECT", "PORT_CONFLICT", "PORT_IN_USE"];
    let tried = survives(world, good(world), bad, &reasons).await;
    let foreign = &world.spaces().foreign;
    let freed = world
        .look()
        .delete(("v1", "Service"), foreign, "of-somebody")
        .await;
    tried.and(freed)
}

pub(super) async fn when_two_applications_want_a_port_then_one_is_refused(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let on_host = |name: &str| {
        world.app(name).service(|service| {
            service.ports.push(pb::Port {
                name: "http".to_owned(),
                container_port: 8080,
                host_port: 18_080,
                ..pb::Port::default()
            });
        })
    };
    node.run(&[on_host("first")]).await?;

    node.desire(&[on_host("first"), on_host("second")])?;

    let is_refused = |status: &pb::ApplicationStatus| status.reason == "PORT_CONFLICT";
    node.until("second", "is refused", is_refused).await?;
    ensure!(world.look().pods(world.space(), "second").await?.is_empty());
    node.until_healthy("first").await?;
    node.run(&[on_host("second")]).await?;
    node.until_healthy("second").await?;
    Ok(())
}

pub(super) async fn when_the_disk_is_full_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let bad = good(world)
        .scratch("/scratch", "4Mi")
        .behaves(Behaviour::Script(
            "trap 'exit 0' TERM; dd if=/dev/zero of=/scratch/full bs=1M count=32; \
             sleep 86400 & wait"
                .to_owned(),
        ));
    survives(world, good(world), bad, &["EVICTED", "PROBE_FAILED"]).await
}

pub(super) async fn when_a_volume_cannot_be_had_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    // Machines share the volume, so that old and new may overlap.
    let source = pb::volume::Source::Persistent(pb::PersistentFolder {
        storage_class: "nobody-has-this-class".to_owned(),
        access_mode: "ReadWriteMany".to_owned(),
        ..pb::PersistentFolder::default()
    });
    let bad = good(world).mounts("data", "/data", source);
    survives(
        world,
        good(world),
        bad,
        &["UNSCHEDULABLE", "VOLUME_UNAVAILABLE"],
    )
    .await
}

pub(super) async fn when_it_hangs_then_the_old_revision_serves(world: &dyn World) -> Result<()> {
    let hanging = |app: App| {
        app.service(|service| {
            service.startup_probe = Some(pb::Probe {
                failure_threshold: 2,
                ..probe(&["test", "-e", READY])
            });
        })
    };
    let good = hanging(good(world)).within(2 * world.deadline());
    let bad = good.clone().behaves(Behaviour::NeverReady);
    survives(world, good, bad, &["PROBE_FAILED"]).await
}

pub(super) async fn when_a_key_is_missing_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    node.configuration("limits", &[("limit", "7")])?;
    node.input(Input::secret("login", &[("password", "of nobody")]))?;
    let bad = good(world).variable_of("LIMIT", "limits", "nobody-wrote-this");
    let reasons = ["KEY_NOT_FOUND", "INVALID_APPLICATION", "CONFIG_ERROR"];
    survives_on(world, node, good(world), bad, &reasons).await
}

pub(super) async fn when_it_uses_up_its_memory_then_the_old_revision_serves(
    world: &dyn World,
) -> Result<()> {
    let good = good(world)
        .limit("memory", "32Mi")
        .within(2 * world.deadline());
    let bad = good.clone().behaves(Behaviour::UseUpMemory);
    survives(world, good, bad, &["OUT_OF_MEMORY"]).await
}
