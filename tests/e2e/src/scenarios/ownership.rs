//! What is ours is kept as it should be; what is not is never touched.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, ApplicationStatus};
use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::foreign::Foreign;
use crate::world::World;

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");

pub(super) async fn when_somebody_edits_an_object_then_it_is_made_right_again(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world
        .app("web")
        .files("limits", "/etc/limits")
        .port("http", 8080);
    node.run(&[app]).await?;
    let before = look.uids(world.space(), "web").await?;
    let selector = "baetyl.io/application=web";
    let maps = look.objects(CONFIG_MAP, world.space(), selector).await?;
    let map = maps[0]["metadata"]["name"].as_str().unwrap_or_default();

    let wrong = json!({ "spec": { "replicas": 0 } });
    look.edit(DEPLOYMENT, world.space(), "web", &wrong).await?;
    let wrong = json!({ "data": { "limit": "wrong" } });
    look.edit(CONFIG_MAP, world.space(), map, &wrong).await?;
    // Another number is another entry of the list, under the name of ours.
    let wrong = json!({ "name": "http", "port": 8081, "targetPort": 9 });
    let wrong = json!({ "spec": { "ports": [wrong] } });
    look.edit(("v1", "Service"), world.space(), "web", &wrong)
        .await?;

    let right = async || {
        let deployment = look.there(DEPLOYMENT, world.space(), "web").await?;
        let map = look.there(CONFIG_MAP, world.space(), map).await?;
        let service = look.there(("v1", "Service"), world.space(), "web").await?;
        let ports = service["spec"]["ports"].as_array();
        let ports = ports.map_or(&[][..], |ports| ports);
        let is_port = matches!(ports, [one] if one["port"] == 8080 && one["targetPort"] == 8080);
        let is_right = is_port && map["data"]["limit"] == "1\n";
        Ok(is_right && deployment["spec"]["replicas"] == 1)
    };
    look.until("everything is right again", right, |right| *right)
        .await?;
    look.until_ready(world.space(), "web", 1).await?;
    node.until_healthy("web").await?;
    ensure!(!before.is_empty());
    Ok(())
}

pub(super) async fn when_somebody_deletes_objects_then_they_come_back(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world
        .app("web")
        .files("limits", "/etc/limits")
        .port("http", 8080);
    node.run(&[app]).await?;
    let owner = node.owner().to_owned();
    let before = look.all_of(&owner, world.space()).await?;

    for name in &before {
        let (kind, name) = name.split_once('/').unwrap_or_default();
        let version = if kind == "Deployment" {
            "apps/v1"
        } else {
            "v1"
        };
        look.delete((version, kind), world.space(), name).await?;
    }

    let after = async || look.all_of(&owner, world.space()).await;
    look.until("everything is back", after, |after| *after == before)
        .await?;
    look.until_ready(world.space(), "web", 1).await?;
    let status = node.until_healthy("web").await?;
    let is_told = status.events.iter().any(|event| event.reason == "REPAIRED");
    ensure!(is_told, "no event tells of it: {status:?}");
    Ok(())
}

pub(super) async fn when_an_object_belongs_to_somebody_else_then_it_is_not_touched(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": world.space() },
        "spec": { "ports": [{ "port": 1 }], "selector": { "app": "theirs" } },
    });
    let made = look.create(theirs).await?;

    node.desire(&[world.app("web").port("http", 8080), world.app("other")])?;

    node.until_healthy("other").await?;
    let is_refused = |status: &ApplicationStatus| status.reason == "OBJECT_NOT_OURS";
    let status = node.until("web", "is refused", is_refused).await?;
    ensure!(status.message.contains("Service"), "{status:?}");
    let now = look.there(("v1", "Service"), world.space(), "web").await?;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    ensure!(version(&now) == version(&made), "it was touched: {now}");
    ensure!(look.pods(world.space(), "web").await?.is_empty());

    look.delete(("v1", "Service"), world.space(), "web").await?;
    node.desire(&[
        world.app("web").port("http", 8080).retried(),
        world.app("other"),
    ])?;
    node.until_healthy("web").await?;
    Ok(())
}

pub(super) async fn when_somebody_else_declares_a_field_then_it_is_a_conflict_unless_forced(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.run(&[world.app("web").copies(2)]).await?;
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": world.space() },
        "spec": { "replicas": 3 },
    });
    look.declare("somebody", &theirs).await?;

    let is_said = |status: &ApplicationStatus| {
        status
            .conditions
            .iter()
            .any(|one| one.r#type == "Conflict" && one.reason == "FIELD_CONFLICT")
    };
    let status = node.until("web", "tells of the conflict", is_said).await?;
    let message = status
        .conditions
        .iter()
        .find(|one| one.r#type == "Conflict");
    let message = message.map_or("", |one| one.message.as_str());
    ensure!(message.contains("somebody"), "{message}");
    ensure!(message.contains("replicas"), "{message}");
    let now = look.there(DEPLOYMENT, world.space(), "web").await?;
    ensure!(now["spec"]["replicas"] == 3, "it was taken over: {now}");

    let forced = world.app("web").copies(2);
    node.desire(&[forced.with(|message| message.force_conflicts = true)])?;

    let taken = async || look.there(DEPLOYMENT, world.space(), "web").await;
    look.until("the field is taken over", taken, |now| {
        now["spec"]["replicas"] == 2
    })
    .await?;
    node.until("web", "has no conflict", |status| !is_said(status))
        .await?;
    Ok(())
}

pub(super) async fn when_an_application_is_no_longer_desired_then_nothing_but_its_data_is_left(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world
        .app("web")
        .behaves(Behaviour::Keep("/data"))
        .ready_by_file()
        .data("/data", "")
        .files("limits", "/etc/limits")
        .port("http", 8080);
    node.run(&[app.clone(), world.app("other")]).await?;
    let other = look.uids(world.space(), "other").await?;

    node.run(&[world.app("other")]).await?;

    let owner = node.owner().to_owned();
    let left = async || look.all_of(&owner, world.space()).await;
    let is_right = |left: &std::collections::BTreeSet<String>| {
        let of_web = left.iter().filter(|name| name.contains("/web"));
        of_web.clone().count() == 1 && of_web.clone().all(|name| name.starts_with("Persistent"))
    };
    look.until("only the data is left", left, is_right).await?;
    ensure!(other == look.uids(world.space(), "other").await?);
    node.run(&[app, world.app("other")]).await?;
    look.until_all_see(world.space(), "web", "kept").await
}

pub(super) async fn when_others_have_objects_then_nobody_touches_them(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let foreign = Foreign::plant(&look, world.space(), "web").await?;
    let app = world.app("web").port("http", 8080).ready_by_file();
    let app = app.within(world.deadline());

    node.run(std::slice::from_ref(&app)).await?;
    foreign.check().await?;
    node.desire(&[app.clone().behaves(Behaviour::CrashAtOnce(1))])?;
    node.until_state("web", ApplicationState::RolledBack)
        .await?;
    foreign.check().await?;
    node.run(&[]).await?;
    foreign.check().await?;
    node.run(&[app]).await?;
    node.engine()?.decommission(true).await?;

    foreign.check().await
}

pub(super) async fn when_the_node_is_decommissioned_then_nothing_is_left(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let second = &world.spaces().second;
    node.configuration("limits", &[("limit", "1\n")])?;
    let web = world
        .app("web")
        .files("limits", "/etc/limits")
        .port("http", 8080);
    let job = world
        .app("job")
        .workload(pb::Workload::Job)
        .behaves(Behaviour::RunOnce("done", 0))
        .service(|service| service.set_restart_policy(pb::RestartPolicy::Never));
    let db = world
        .app("db")
        .workload(pb::Workload::Statefulset)
        .port("db", 5432);
    let agent = world.app("agent").workload(pb::Workload::Daemonset);
    let cleaner = world
        .app("cleaner")
        .workload(pb::Workload::Cronjob)
        .behaves(Behaviour::RunOnce("cleaned", 0))
        .service(|service| service.set_restart_policy(pb::RestartPolicy::Never))
        .with(|message| {
            message.cron = Some(pb::CronPolicy {
                schedule: "0 0 1 1 *".to_owned(),
                ..pb::CronPolicy::default()
            });
        });
    let elastic = world.app("elastic").limit("cpu", "100m").with(|message| {
        message.autoscaling = Some(pb::Autoscaling {
            min_replicas: 1,
            max_replicas: 2,
            metrics: vec![pb::ScalingMetric {
                resource: "cpu".to_owned(),
                average_utilization: 80,
                ..pb::ScalingMetric::default()
            }],
        });
        message.disruption_budget = Some(pb::DisruptionBudget {
            min_available: "1".to_owned(),
            max_unavailable: String::new(),
        });
    });
    let far = world.app("far").in_namespace(second);
    node.run(&[web, job, db, agent, cleaner, elastic, far])
        .await?;
    let there = look.all_of(node.owner(), world.space()).await?;
    ensure!(there.len() >= 10, "{there:?}");

    node.engine()?.decommission(true).await?;

    for space in [world.space(), second] {
        let left = look.all_of(node.owner(), space).await?;
        ensure!(left.is_empty(), "{left:?} are left in {space}");
    }
    let status = node.now()?;
    ensure!(status.applications.is_empty(), "{:?}", status.applications);
    Ok(())
}

pub(super) async fn when_the_node_is_decommissioned_then_its_data_goes_only_when_told(
    world: &dyn World,
) -> Result<()> {
    let look = world.look();
    for remove_data in [false, true] {
        let mut node = world.node().await?;
        let app = world
            .app("keeper")
            .behaves(Behaviour::Keep("/data"))
            .ready_by_file()
            .data("/data", "");
        node.run(&[app]).await?;

        node.engine()?.decommission(remove_data).await?;

        let left = async || look.all_of(node.owner(), world.space()).await;
        let is_right = |left: &std::collections::BTreeSet<String>| {
            let claims = left.iter().filter(|name| name.starts_with("Persistent"));
            left.len() == claims.count() && left.is_empty() == remove_data
        };
        look.until("only data that is to stay is left", left, is_right)
            .await?;
        for claim in left().await? {
            let (_, name) = claim.split_once('/').unwrap_or_default();
            look.delete(("v1", "PersistentVolumeClaim"), world.space(), name)
                .await?;
        }
    }
    Ok(())
}
