//! The cloud away, the node away, both away: applications run on and nothing healthy restarts.

use anyhow::{Context as _, Result};
use baetyl_proto::node::v1::LocalNodeStatus;
use baetyl_proto::resource::v1::{ApplicationState, InstanceStatus};
use baetyl_tests::{Site, instances, repository, wait};

#[tokio::test]
async fn given_the_cloud_is_gone_when_core_starts_again_then_applications_run_on() -> Result<()> {
    let mut site = Site::start().await?;
    site.cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?
        .ok()?;
    let before = watcher(&site.node.until("healthy", is_healthy).await?)?;

    site.stop_cloud().await?;
    let away = site
        .node
        .until("away from the cloud", |status| !status.connected)
        .await?;
    assert_ne!(away.disconnect_reason, "");
    site.node.stop().await?;
    assert_eq!(instances(site.folder()), [before.pid]);
    site.node.start(&[])?;

    let status = site
        .node
        .until("healthy without a cloud", is_healthy)
        .await?;
    assert!(!status.connected, "{status:?}");
    assert_same(&before, &watcher(&status)?);
    site.start_cloud()?;
    let status = site
        .node
        .until("connected again", |status| {
            status.connected && is_healthy(status)
        })
        .await?;
    assert_same(&before, &watcher(&status)?);
    assert_eq!(instances(site.folder()), [before.pid]);
    Ok(())
}

#[tokio::test]
async fn given_both_were_away_when_the_configuration_was_changed_then_the_node_takes_it_without_a_restart()
-> Result<()> {
    let mut site = Site::start().await?;
    site.cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?
        .ok()?;
    let started = site.node.until("healthy", is_healthy).await?;
    let before = watcher(&started)?;

    site.stop_cloud().await?;
    site.node.stop().await?;
    site.start_cloud()?;
    let look = async || Ok(site.cli(&["status"]).await?.code);
    wait::until("the cloud's answer", look, |code| *code == 0).await?;
    let changed = std::fs::read_to_string(repository().join("examples/watcher/watcher.yaml"))?
        .replace("31.5", "30.25")
        .replace(
            "watcher.py: watcher.py",
            "watcher.py: examples/watcher/watcher.py",
        );
    site.cli_with(&["apply", "-f", "-"], changed.as_bytes())
        .await?
        .ok()?;
    site.node.start(&[])?;

    let look = async || Ok(site.cli(&["logs", "watcher"]).await?.stdout);
    let log = wait::until("the new limit in the log", look, |log| {
        log.contains("30.25")
    })
    .await?;
    let takes: Vec<_> = log.lines().filter(|line| line.contains("took")).collect();
    assert_eq!(takes.len(), 2, "each file once, in order: {takes:?}");
    assert!(
        takes[0].contains("31.5") && takes[1].contains("30.25"),
        "{takes:?}"
    );
    let is_newer = |status: &LocalNodeStatus| {
        is_healthy(status) && status.accepted_generation > started.accepted_generation
    };
    let status = site.node.until("converged", is_newer).await?;
    assert_same(&before, &watcher(&status)?);
    assert_eq!(instances(site.folder()), [before.pid]);
    Ok(())
}

fn is_healthy(status: &LocalNodeStatus) -> bool {
    status.converged_generation == status.accepted_generation
        && status.applications.len() == 1
        && status
            .applications
            .iter()
            .all(|app| app.state() == ApplicationState::Healthy)
}

fn watcher(status: &LocalNodeStatus) -> Result<InstanceStatus> {
    let app = status.applications.iter().find(|app| app.name == "watcher");
    let instance = app.and_then(|app| app.instances.first());
    instance
        .cloned()
        .with_context(|| format!("no instance in {status:?}"))
}

fn assert_same(before: &InstanceStatus, after: &InstanceStatus) {
    assert_eq!(
        (before.pid, before.start_time),
        (after.pid, after.start_time)
    );
    assert_eq!(after.restart_count, 0);
}
