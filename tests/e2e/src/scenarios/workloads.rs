//! Each way of keeping instances.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1 as pb;
use kube::ResourceExt as _;
use pb::{ApplicationState, Workload};

use crate::application::seconds;
use crate::behaviour::Behaviour;
use crate::witness::Witness;
use crate::world::World;

pub(super) async fn when_a_deployment_is_desired_then_pods_serve(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").copies(2).ready_by_file();

    node.run(&[app]).await?;

    let status = node.until_healthy("web").await?;
    let pods = world.look().until_ready(world.space(), "web", 2).await?;
    let mut names: Vec<String> = pods.iter().map(|pod| pod.name_any()).collect();
    let mut told: Vec<String> = status.instances.into_iter().map(|one| one.id).collect();
    names.sort();
    told.sort();
    ensure!(names == told, "{told:?} are told of, {names:?} are there");
    Ok(())
}

pub(super) async fn when_the_number_of_copies_changes_then_no_pod_is_replaced(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.run(&[world.app("web")]).await?;
    let first = look.uids(world.space(), "web").await?;

    node.run(&[world.app("web").copies(3)]).await?;
    look.until_ready(world.space(), "web", 3).await?;
    let three = look.uids(world.space(), "web").await?;
    node.run(&[world.app("web").copies(1)]).await?;
    look.until_ready(world.space(), "web", 1).await?;

    let is_kept = first
        .values()
        .all(|uid| three.values().any(|one| one == uid));
    ensure!(is_kept, "{first:?} were replaced by {three:?}");
    let last = look.uids(world.space(), "web").await?;
    let is_kept = last
        .values()
        .all(|uid| three.values().any(|one| one == uid));
    ensure!(is_kept, "{three:?} were replaced by {last:?}");
    Ok(())
}

pub(super) async fn when_a_stateful_set_is_desired_then_instances_have_names_and_volumes(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world
        .app("db")
        .workload(Workload::Statefulset)
        .copies(2)
        .behaves(Behaviour::Keep("/data"))
        .ready_by_file()
        .data("/data", "");
    node.run(std::slice::from_ref(&app)).await?;
    let pods = look.until_ready(world.space(), "db", 2).await?;
    for pod in &pods {
        let line = look.last_line(pod, "main").await?;
        ensure!(line == "fresh", "{} found {line:?}", pod.name_any());
    }

    node.run(&[app.version("2")]).await?;

    let pods = look.until_ready(world.space(), "db", 2).await?;
    let mut names: Vec<String> = pods.iter().map(|pod| pod.name_any()).collect();
    names.sort();
    ensure!(names == ["db-0", "db-1"], "the pods are {names:?}");
    for pod in &pods {
        let line = look.last_line(pod, "main").await?;
        ensure!(line == "kept", "{} found {line:?}", pod.name_any());
    }
    Ok(())
}

pub(super) async fn when_a_stateful_set_fails_then_it_goes_back(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world
        .app("db")
        .workload(Workload::Statefulset)
        .copies(2)
        .ready_by_file()
        .within(world.deadline());
    node.run(std::slice::from_ref(&app)).await?;
    let first = look.uids(world.space(), "db").await?;

    node.desire(&[app.behaves(Behaviour::NeverReady)])?;

    let status = node.until_state("db", ApplicationState::RolledBack).await?;
    ensure!(status.serving_revision == 1, "{status:?}");
    look.until_ready(world.space(), "db", 2).await?;
    let last = look.uids(world.space(), "db").await?;
    ensure!(first["db-0"] == last["db-0"], "the first was replaced");
    Ok(())
}

pub(super) async fn when_a_daemon_set_is_desired_then_every_machine_runs_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = everywhere(world).ready_by_file();
    node.run(std::slice::from_ref(&app)).await?;
    let machines = look.objects(("v1", "Node"), "", "").await?.len();
    look.until_ready(world.space(), "agent", machines).await?;
    let witness = Witness::of(world.client(), world.space(), "agent");
    witness.begin(machines, world.patience()).await?;

    node.run(&[app.version("2")]).await?;

    let pods = look.until_ready(world.space(), "agent", machines).await?;
    let mut places: Vec<_> = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
        .collect();
    places.sort();
    places.dedup();
    ensure!(places.len() == machines, "pods run on {places:?} only");
    let least = witness.least();
    ensure!(least >= machines, "only {least} of {machines} were ready");
    Ok(())
}

/// An application for every machine, tainted ones included.
fn everywhere(world: &dyn World) -> crate::App {
    world
        .app("agent")
        .workload(Workload::Daemonset)
        .with(|message| {
            message.tolerations.push(pb::Toleration {
                operator: "Exists".to_owned(),
                ..pb::Toleration::default()
            });
        })
}

pub(super) async fn when_a_machine_is_added_then_a_daemon_set_reaches_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.run(&[everywhere(world)]).await?;
    let before = look.pods(world.space(), "agent").await?.len();

    world.add_machine("machine-new").await?;

    let pods = look.until_ready(world.space(), "agent", before + 1).await?;
    let is_there = pods.iter().any(|pod| {
        let spec = pod.spec.as_ref();
        spec.and_then(|spec| spec.node_name.as_deref()) == Some("machine-new")
    });
    ensure!(is_there, "no pod runs on the new machine");
    let has_all = |status: &pb::ApplicationStatus| {
        status.instances.len() == before + 1 && status.state() == ApplicationState::Healthy
    };
    node.until("agent", "tells of the new machine", has_all)
        .await?;
    Ok(())
}

pub(super) async fn when_a_job_ends_well_then_it_succeeded_and_runs_again_when_it_changes(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let job = world.app("job").workload(Workload::Job);
    let job = job.with(|message| {
        message.services[0].set_restart_policy(pb::RestartPolicy::Never);
        message.job = Some(pb::JobPolicy {
            completions: Some(2),
            ..pb::JobPolicy::default()
        });
    });
    let first = job.clone().behaves(Behaviour::RunOnce("first", 0));
    node.run(&[first]).await?;
    node.until_state("job", ApplicationState::Succeeded).await?;
    node.until_logged("job", "first").await?;

    node.run(&[job.behaves(Behaviour::RunOnce("second", 0))])
        .await?;

    let status = node.until_state("job", ApplicationState::Succeeded).await?;
    ensure!(status.serving_revision == 2, "{status:?}");
    node.until_logged("job", "second").await?;
    let jobs = world
        .look()
        .objects(
            ("batch/v1", "Job"),
            world.space(),
            "baetyl.io/application=job",
        )
        .await?;
    ensure!(jobs.len() == 1, "the old job is still there");
    Ok(())
}

pub(super) async fn when_a_job_fails_for_good_then_it_failed(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let job = world
        .app("job")
        .workload(Workload::Job)
        .behaves(Behaviour::RunOnce("no", 3))
        .with(|message| {
            message.services[0].set_restart_policy(pb::RestartPolicy::Never);
            message.job = Some(pb::JobPolicy {
                backoff_limit: Some(1),
                ..pb::JobPolicy::default()
            });
        });

    node.desire(&[job, world.app("web")])?;

    node.until_healthy("web").await?;
    let status = node.until_state("job", ApplicationState::Failed).await?;
    ensure!(status.reason == "JOB_FAILED", "{status:?}");
    Ok(())
}

pub(super) async fn when_a_cron_job_is_due_then_a_job_runs(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let cron = world
        .app("cleaner")
        .workload(Workload::Cronjob)
        .behaves(Behaviour::RunOnce("cleaned", 0))
        .with(|message| {
            message.services[0].set_restart_policy(pb::RestartPolicy::Never);
            message.cron = Some(pb::CronPolicy {
                schedule: "* * * * *".to_owned(),
                starting_deadline: Some(seconds(60)),
                ..pb::CronPolicy::default()
            });
        });
    node.run(&[cron]).await?;
    node.until_healthy("cleaner").await?;

    world.tick(world.space(), "cleaner").await?;

    node.until_logged("cleaner", "cleaned").await?;
    let jobs = async || {
        let kind = ("batch/v1", "Job");
        let selector = "baetyl.io/application=cleaner";
        look.objects(kind, world.space(), selector).await
    };
    let has_run =
        |jobs: &Vec<serde_json::Value>| jobs.iter().any(|job| job["status"]["succeeded"] == 1);
    look.until("a run succeeds", jobs, has_run).await?;
    node.until_healthy("cleaner").await?;
    Ok(())
}

pub(super) async fn when_the_workload_changes_then_the_old_one_goes(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.run(&[world.app("web")]).await?;

    node.run(&[world.app("web").workload(Workload::Statefulset)])
        .await?;

    node.until_healthy("web").await?;
    let old = async || {
        look.object(("apps/v1", "Deployment"), world.space(), "web")
            .await
    };
    look.until("the deployment is gone", old, Option::is_none)
        .await?;
    let pods = look.until_ready(world.space(), "web", 1).await?;
    ensure!(pods[0].name_any() == "web-0", "{}", pods[0].name_any());
    Ok(())
}
