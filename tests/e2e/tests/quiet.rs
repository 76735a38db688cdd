//! What the engine asks of the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baetyl_apiserver::{ApiMode, Request};
use baetyl_e2e::application::App;
use baetyl_e2e::scenarios;
use baetyl_e2e::world::Rules;
use baetyl_e2e::{Behaviour, FakeWorld, Node, World};
use baetyl_proto::resource::v1 as pb;
use serde_json::{Value, json};

/// Applications of each kind.
fn applications(world: &dyn World) -> Vec<App> {
    let job = world
        .app("job")
        .workload(pb::Workload::Job)
        .behaves(Behaviour::RunOnce("done", 0))
        .service(|service| service.set_restart_policy(pb::RestartPolicy::Never));
    vec![
        world
            .app("web")
            .copies(2)
            .port("http", 8080)
            .ready_by_file(),
        world
            .app("db")
            .workload(pb::Workload::Statefulset)
            .data("/data", ""),
        world.app("agent").workload(pb::Workload::Daemonset),
        world.app("files").files("limits", "/etc/limits"),
        job,
        App::manifest("raw", "objects"),
    ]
}

fn by_core(request: &Request) -> bool {
    request.user.starts_with("core-")
}

/// Requests that sample usage, which the path tells.
fn is_sample(request: &Request) -> bool {
    request.path.contains("/metrics.k8s.io/") || request.path.contains("/stats/summary")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_changes_then_nothing_is_asked_but_watches_and_usage() {
    let world = FakeWorld::start().await.unwrap();
    world.server().usage().set_metrics(ApiMode::Serving);
    let mut access = world.access(&Rules::none()).await.unwrap();
    access.settings.usage_period = Duration::from_millis(200);
    let mut node = Node::start(access).await.unwrap();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "raw-map" },
        "data": { "key": "1" },
    });
    node.configuration("limits", &[("limit", "1")]).unwrap();
    node.configuration("objects", &[("all.yaml", &map.to_string())])
        .unwrap();
    let applications = applications(&world);
    node.run(&applications).await.unwrap();
    let log = world.server().log();
    let samples = || log.count(|request| by_core(request) && is_sample(request));
    let until_samples = async |count: usize| {
        while samples() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = world.patience();
    // What follows the last change, such as a look at what usage is served, is over then.
    let settled = samples() + 5;
    tokio::time::timeout(patience, until_samples(settled))
        .await
        .unwrap();
    log.clear();

    // Others are busy meanwhile, and the same is wanted again.
    let store = world.server().store();
    for number in 0..50 {
        let theirs = json!({ "metadata": { "name": format!("theirs-{number}") } });
        store.create("configmaps", "baetyl-edge", theirs).unwrap();
    }
    node.desire(&applications).unwrap();
    tokio::time::timeout(patience, until_samples(8))
        .await
        .unwrap();

    let asked: Vec<String> = log
        .entries()
        .iter()
        .filter(|request| by_core(request) && !is_sample(request))
        .map(|request| format!("{} {}?{}", request.method, request.path, request.query))
        .collect();
    assert!(asked.is_empty(), "{asked:#?}");
}

/// Scenarios that together use everything that the engine can do.
const BROAD: [&str; 16] = [
    "when_a_deployment_is_desired_then_pods_serve",
    "when_a_stateful_set_fails_then_it_goes_back",
    "when_a_failed_revision_is_retried_then_it_gets_another_chance",
    "when_a_daemon_set_is_desired_then_every_machine_runs_it",
    "when_a_job_ends_well_then_it_succeeded_and_runs_again_when_it_changes",
    "when_a_cron_job_is_due_then_a_job_runs",
    "when_it_scales_itself_then_nobody_else_sets_the_number",
    "when_there_is_a_disruption_budget_then_the_cluster_knows_it",
    "when_a_reloaded_input_changes_then_the_file_changes_and_nothing_restarts",
    "when_somebody_deletes_objects_then_they_come_back",
    "when_an_object_belongs_to_somebody_else_then_it_is_not_touched",
    "when_an_application_is_no_longer_desired_then_nothing_but_its_data_is_left",
    "when_the_node_is_decommissioned_then_nothing_is_left",
    "when_the_node_is_decommissioned_then_its_data_goes_only_when_told",
    "when_there_is_a_metrics_server_then_usage_is_told",
    "when_logs_are_read_then_lines_of_all_instances_come",
];

/// Verb, group and resource of everything that rules allow.
fn allowed(role: &Value) -> BTreeSet<(String, String)> {
    let mut allowed = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    for rule in role["rules"].as_array().expect("a role has rules") {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let (name, part) = resource.split_once('/').unwrap_or((&resource, ""));
                let mut qualified = name.to_owned();
                if !group.is_empty() {
                    qualified = format!("{name}.{group}");
                }
                if !part.is_empty() {
                    qualified = format!("{qualified}/{part}");
                }
                for verb in texts(&rule["verbs"]) {
                    assert_ne!(verb, "*", "no wildcard in {rule}");
                    assert_ne!(name, "*", "no wildcard in {rule}");
                    allowed.insert((verb, qualified.clone()));
                }
            }
        }
    }
    allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_scenarios_run_then_nothing_is_denied_and_all_that_is_listed_is_used() {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut denied: BTreeMap<String, u64> = BTreeMap::new();
    for name in BROAD {
        let world = FakeWorld::start().await.unwrap();
        world.server().usage().set_metrics(ApiMode::Serving);
        let scenario = scenarios::find(name).unwrap();
        (scenario.run)(&world).await.unwrap();
        for request in world
            .server()
            .log()
            .entries()
            .iter()
            .filter(|one| by_core(one))
        {
            if request.status == 403 {
                let what = format!("{} {}", request.verb, request.resource);
                *denied.entry(what).or_default() += 1;
            }
            // What applies an object that was not there needs to be allowed to create it.
            if request.verb == "patch" && request.status == 201 {
                used.insert(("create".to_owned(), request.resource.clone()));
            }
            used.insert((request.verb.clone(), request.resource.clone()));
        }
    }
    let rules = Rules::none();
    let mut listed = allowed(&rules.role("core", "baetyl-edge").unwrap());
    listed.extend(allowed(&rules.cluster_role("core").unwrap()));

    assert!(denied.is_empty(), "{denied:#?}");
    let idle: Vec<_> = listed.difference(&used).collect();
    assert!(idle.is_empty(), "listed but never used: {idle:#?}");
}
