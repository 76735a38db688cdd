//! How a new revision replaces the old one.

use std::time::Duration;

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, ApplicationStatus};

use crate::behaviour::Behaviour;
use crate::witness::Witness;
use crate::world::World;

pub(super) async fn when_a_revision_is_replaced_then_never_fewer_pods_are_ready(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").copies(3).ready_by_file().soaks(1);
    node.run(std::slice::from_ref(&app)).await?;
    let witness = Witness::of(world.client(), world.space(), "web");
    witness.begin(3, world.patience()).await?;

    for version in ["2", "3"] {
        let slow = app.clone().behaves(Behaviour::ServeSlowly(1));
        node.run(&[slow.version(version)]).await?;
        world.look().until_ready(world.space(), "web", 3).await?;
    }

    let (least, pods) = (witness.least(), witness.pods());
    ensure!(least >= 3, "only {least} pods were ready at one moment");
    ensure!(pods == 9, "{pods} pods for three revisions of three");
    Ok(())
}

pub(super) async fn when_a_revision_must_soak_then_it_serves_only_afterwards(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let deadline = world.deadline().max(Duration::from_secs(8));
    let app = world.app("web").ready_by_file().within(deadline);
    node.run(std::slice::from_ref(&app)).await?;
    let short = app.clone().behaves(Behaviour::HangAfter(1)).soaks(6);

    node.desire(std::slice::from_ref(&short))?;
    let status = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;
    ensure!(status.serving_revision == 1, "{status:?}");

    node.run(&[short.behaves(Behaviour::Serve)]).await?;
    node.until_healthy("web").await?;
    Ok(())
}

pub(super) async fn when_the_first_revision_fails_then_it_says_so_until_it_gets_well(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world
        .app("web")
        .with(|message| message.machine_selector = "example/role=main".to_owned())
        .within(world.deadline());
    node.desire(&[app, world.app("other")])?;
    node.until_healthy("other").await?;
    let status = node.until_state("web", ApplicationState::Failed).await?;
    ensure!(status.serving_revision == 0, "{status:?}");
    ensure!(status.reason == "UNSCHEDULABLE", "{status:?}");

    let machines = look.objects(("v1", "Node"), "", "").await?;
    let labels = |value: serde_json::Value| serde_json::json!({ "metadata": { "labels": { "example/role": value } } });
    for machine in &machines {
        let name = machine["metadata"]["name"].as_str().unwrap_or_default();
        look.edit(("v1", "Node"), "", name, &labels("main".into()))
            .await?;
    }
    let healthy = node.until_healthy("web").await;
    for machine in &machines {
        let name = machine["metadata"]["name"].as_str().unwrap_or_default();
        look.edit(("v1", "Node"), "", name, &labels(serde_json::Value::Null))
            .await?;
    }

    ensure!(healthy?.serving_revision == 1);
    Ok(())
}

pub(super) async fn when_there_is_no_rollback_then_the_failed_revision_stays(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").ready_by_file().within(world.deadline());
    let app = app.without_rollback();
    node.run(std::slice::from_ref(&app)).await?;

    node.desire(&[app.behaves(Behaviour::CrashAtOnce(3))])?;

    let status = node.until_state("web", ApplicationState::Failed).await?;
    ensure!(status.reason == "CRASH_LOOP", "{status:?}");
    let pods = world.look().pods(world.space(), "web").await?;
    ensure!(
        pods.len() == 2,
        "old and new are not both there: {}",
        pods.len()
    );
    Ok(())
}

pub(super) async fn when_a_failed_revision_is_retried_then_it_gets_another_chance(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").ready_by_file().within(world.deadline());
    node.run(std::slice::from_ref(&app)).await?;
    let broken = app.behaves(Behaviour::CrashAtOnce(3));
    node.desire(std::slice::from_ref(&broken))?;
    let first = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;

    node.desire(&[broken.retried()])?;

    let is_trying = |status: &ApplicationStatus| status.state() == ApplicationState::Progressing;
    node.until("web", "is tried again", is_trying).await?;
    let second = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;
    ensure!(first.desired_revision == second.desired_revision);
    ensure!(second.reason == "CRASH_LOOP", "{second:?}");
    Ok(())
}

pub(super) async fn when_a_failed_revision_is_corrected_then_it_serves(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").ready_by_file().within(world.deadline());
    node.run(std::slice::from_ref(&app)).await?;
    let before = world.look().uids(world.space(), "web").await?;
    node.desire(&[app.clone().behaves(Behaviour::CrashAtOnce(3))])?;
    let failed = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;
    let is_said = failed
        .conditions
        .iter()
        .any(|one| one.r#type == "RolledBack" && one.status() == pb::ConditionStatus::True);
    ensure!(is_said, "no condition says so: {failed:?}");
    let is_told = failed
        .events
        .iter()
        .any(|event| event.reason == "ROLLED_BACK");
    ensure!(is_told, "no event tells so: {failed:?}");
    let after = async || world.look().uids(world.space(), "web").await;
    let look = world.look();
    look.until("only the old pods are there", after, |pods| *pods == before)
        .await?;

    node.run(&[app.version("3")]).await?;

    let status = node.until_healthy("web").await?;
    let is_said = status
        .conditions
        .iter()
        .any(|one| one.r#type == "RolledBack");
    ensure!(!is_said, "the condition still stands: {status:?}");
    Ok(())
}

pub(super) async fn when_something_else_is_wanted_meanwhile_then_the_newest_wins(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").ready_by_file();
    node.run(std::slice::from_ref(&app)).await?;
    node.desire(&[app.clone().behaves(Behaviour::NeverReady)])?;
    let is_trying =
        |status: &ApplicationStatus| status.desired_revision == 2 && status.instances.len() == 2;
    node.until("web", "is tried", is_trying).await?;

    node.run(&[app.version("3")]).await?;

    let status = node.until_healthy("web").await?;
    ensure!(status.serving_revision == 3, "{status:?}");
    world.look().until_ready(world.space(), "web", 1).await?;
    Ok(())
}
