//! What must hold over every driver.

use std::sync::Arc;
use std::time::Duration;

use baetyl_engine::{LogQuery, Routes, StopMode, reason};
use futures::StreamExt as _;
use pb::ApplicationState::{Degraded, Failed, Healthy, RolledBack, Succeeded};

use crate::application::{alive, app, ready};
use crate::bench::{BOUND, Bench};
use crate::rig::Behaviour;

use baetyl_proto::resource::v1 as pb;

pub(crate) async fn when_an_application_is_desired_then_it_becomes_healthy_and_the_set_converges(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let fence = bench.desire([app("watcher").running(serve).ready_by(ready())]);

    let instance = bench.healthy("watcher", 1).await;

    bench.converged(fence).await;
    assert!(instance.pid > 0 && instance.start_time.is_some());
    assert_eq!(instance.machine, "machine");
    assert!(bench.rig.is_running(&instance));
    assert_eq!(bench.rig.running(), 1);
}

pub(crate) async fn when_a_reloaded_input_changes_then_files_switch_and_the_process_stays(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher")
        .running(serve)
        .with_files("limits", "/etc/watcher");
    bench.configure("limits", "limit", "31.5");
    bench.desire([watcher.clone()]);
    let before = bench.healthy("watcher", 1).await;
    assert_eq!(
        bench.rig.file("watcher", &before, "/etc/watcher/limit"),
        "31.5"
    );

    bench.configure("limits", "limit", "30.0");
    let fence = bench.desire([watcher]);
    bench.converged(fence).await;

    let status = bench.state("watcher", Healthy).await;
    let wanted = bench.input("configuration/limits").to_string();
    assert_eq!(status.input_digests["configuration/limits"], wanted);
    assert_eq!(
        bench.rig.file("watcher", &before, "/etc/watcher/limit"),
        "30.0"
    );
    let after = bench.only("watcher");
    assert_eq!((after.pid, after.id), (before.pid, before.id));
}

pub(crate) async fn when_a_restarting_input_changes_then_a_new_instance_replaces_the_old_one(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher")
        .running(serve)
        .env_from("LIMIT", "limits", "limit");
    bench.configure("limits", "limit", "31.5");
    let fence = bench.desire([watcher.clone()]);
    bench.converged(fence).await;
    let before = bench.only("watcher");
    assert_eq!(bench.rig.env(&before, "LIMIT").as_deref(), Some("31.5"));

    bench.configure("limits", "limit", "30.0");
    let fence = bench.desire([watcher]);
    bench.converged(fence).await;

    let after = bench.only("watcher");
    assert_ne!(after.id, before.id);
    assert_eq!(bench.rig.env(&after, "LIMIT").as_deref(), Some("30.0"));
    assert!(!bench.rig.is_running(&before));
}

pub(crate) async fn when_a_revision_ends_at_once_then_the_old_one_serves_on_until_it_is_corrected(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let exit = bench.rig.entry(Behaviour::Exit(3));
    let good = app("watcher").running(serve.clone()).ready_by(ready());
    bench.desire([good]);
    let before = bench.healthy("watcher", 1).await;

    bench.desire([app("watcher").running(exit).ready_by(ready())]);
    let status = bench.state("watcher", RolledBack).await;
    assert_eq!(status.reason, reason::EXITED);
    assert!(
        status.message.contains("exited with code 3"),
        "{}",
        status.message
    );
    assert_eq!((status.desired_revision, status.serving_revision), (2, 1));
    assert!(bench.rig.is_running(&before));

    // It stays so over a restart of the engine.
    let saves = bench.store.record("watcher").unwrap();
    bench.stop(StopMode::LeaveRunning).await;
    bench.start().await;
    let exit = bench.rig.entry(Behaviour::Exit(3));
    bench.desire([app("watcher").running(exit).ready_by(ready())]);
    let status = bench.state("watcher", RolledBack).await;
    assert_eq!(status.reason, reason::EXITED);
    let failed = |record: baetyl_engine::AppRecord| record.failed.unwrap().at;
    assert_eq!(
        failed(bench.store.record("watcher").unwrap()),
        failed(saves)
    );

    let fence = bench.desire([app("watcher").running(serve).ready_by(ready()).version("3")]);
    bench.converged(fence).await;
    assert!(!bench.rig.is_running(&before));
}

pub(crate) async fn when_a_revision_is_never_ready_then_it_is_rolled_back_at_its_deadline(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let idle = bench.rig.entry(Behaviour::Idle);
    bench.desire([app("watcher").running(serve).ready_by(ready())]);
    let before = bench.healthy("watcher", 1).await;

    bench.desire([app("watcher").running(idle).ready_by(ready()).within(8)]);
    let status = bench.state("watcher", RolledBack).await;

    assert_eq!(status.reason, reason::PROBE_FAILED);
    assert!(
        status.message.contains("readiness probe"),
        "{}",
        status.message
    );
    assert!(bench.rig.is_running(&before));
    bench
        .app("watcher", "only the old one is left", |app| {
            app.instances.len() == 1
        })
        .await;
    assert_eq!(bench.only("watcher").id, before.id);
}

pub(crate) async fn when_a_program_is_missing_then_only_its_application_failed(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let missing = bench.rig.entry(Behaviour::Missing);
    bench.desire([app("bad").running(missing), app("good").running(serve)]);

    let status = bench.state("bad", Failed).await;

    assert_eq!(status.reason, reason::PROGRAM_NOT_FOUND);
    assert_eq!(status.serving_revision, 0);
    bench.healthy("good", 1).await;
}

pub(crate) async fn when_a_failed_revision_is_retried_then_it_gets_another_chance(
    mut bench: Bench,
) {
    bench.rig.set_crashing(true);
    let fragile = bench.rig.entry(Behaviour::Fragile);
    let watcher = app("watcher").running(fragile).ready_by(ready());
    bench.desire([watcher.clone()]);
    bench.state("watcher", Failed).await;

    // Still broken: it fails again, by the cloud's counter this time.
    bench.desire([watcher.clone().retried(1)]);
    bench
        .until("tried again", |_| {
            let record = bench.store.record("watcher").unwrap();
            record.failed.is_some_and(|failed| failed.pin.retry == 1)
        })
        .await;

    bench.rig.set_crashing(false);
    bench.engine().retry("watcher").await.unwrap();

    bench.healthy("watcher", 1).await;
    assert!(bench.engine().retry("nobody").await.is_err());
}

pub(crate) async fn when_both_revisions_want_a_port_then_the_old_one_stops_first(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let port = bench.free_port();
    let watcher = app("watcher")
        .running(serve)
        .with_port(port)
        .ready_by(ready());
    bench.desire([watcher.clone().version("1")]);
    let before = bench.healthy("watcher", 1).await;
    assert_eq!(before.ports["http"], u32::from(port));

    let fence = bench.desire([watcher.version("2")]);
    bench.converged(fence).await;

    let after = bench.only("watcher");
    assert_eq!((after.revision, after.ports["http"]), (2, u32::from(port)));
    assert!(!bench.rig.is_running(&before));
}

pub(crate) async fn when_the_new_owner_of_a_port_fails_then_the_old_one_comes_back(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let exit = bench.rig.entry(Behaviour::Exit(3));
    let port = bench.free_port();
    bench.desire([app("watcher")
        .running(serve)
        .with_port(port)
        .ready_by(ready())]);
    let before = bench.healthy("watcher", 1).await;

    bench.desire([app("watcher")
        .running(exit)
        .with_port(port)
        .ready_by(ready())]);
    let status = bench
        .app("watcher", "rolled back and ready", |app| {
            let is_ready = |one: &pb::InstanceStatus| one.state() == pb::InstanceState::Ready;
            app.state() == RolledBack && app.instances.iter().any(is_ready)
        })
        .await;

    assert_eq!(status.reason, reason::EXITED);
    let after = bench.only("watcher");
    assert_eq!(after.revision, 1);
    assert_ne!(after.id, before.id);
}

pub(crate) async fn when_two_applications_want_a_port_then_one_is_refused_until_it_is_free(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let port = bench.free_port();
    let one = |name: &str| app(name).running(serve.clone()).with_port(port);
    bench.desire([one("later")]);
    bench.healthy("later", 1).await;

    // The one that has it keeps it, although the other one is first by name.
    bench.desire([one("earlier"), one("later")]);
    let status = bench.state("earlier", Failed).await;
    assert_eq!(status.reason, reason::PORT_CONFLICT);
    assert!(status.message.contains("later"), "{}", status.message);
    bench.healthy("later", 1).await;

    let fence = bench.desire([one("earlier")]);
    bench.converged(fence).await;
    bench.healthy("earlier", 1).await;
}

pub(crate) async fn when_an_instance_is_killed_then_another_one_takes_its_place(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve).ready_by(ready())]);
    let before = bench.healthy("watcher", 1).await;

    bench.rig.kill(&before);
    let status = bench
        .app("watcher", "another instance is ready", |app| {
            app.state() == Healthy && app.instances[0].id != before.id
        })
        .await;

    let after = &status.instances[0];
    assert_eq!(after.restart_count, 1);
    assert_eq!(after.last_termination.as_ref().unwrap().exit_code, 137);
    assert_ne!(after.pid, before.pid);
}

pub(crate) async fn when_it_ends_again_and_again_then_it_is_a_crash_loop(mut bench: Bench) {
    let fragile = bench.rig.entry(Behaviour::Fragile);
    bench.desire([app("watcher").running(fragile).ready_by(ready())]);
    let before = bench.healthy("watcher", 1).await;

    bench.rig.set_crashing(true);
    bench.rig.kill(&before);
    let status = bench
        .app("watcher", "a crash loop", |app| {
            app.reason == reason::CRASH_LOOP
        })
        .await;
    assert_eq!(status.state(), Degraded);
    assert!(status.instances[0].restart_count >= 2);

    bench.rig.set_crashing(false);
    bench.healthy("watcher", 1).await;
}

pub(crate) async fn when_a_liveness_probe_fails_then_the_instance_is_replaced(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve).alive_by(alive())]);
    let before = bench.healthy("watcher", 1).await;

    bench.rig.hang(&before);
    let status = bench
        .app("watcher", "another instance is ready", |app| {
            app.state() == Healthy && app.instances[0].id != before.id
        })
        .await;

    let last = status.instances[0].last_termination.clone().unwrap();
    assert_eq!(last.reason, reason::PROBE_FAILED);
    assert!(!bench.rig.is_running(&before));
}

pub(crate) async fn when_a_job_ends_well_then_it_succeeded_and_never_runs_again(mut bench: Bench) {
    let exit = bench.rig.entry(Behaviour::Exit(0));
    let job = app("report").running(exit).run_once();
    let fence = bench.desire([job.clone()]);
    let status = bench.state("report", Succeeded).await;
    bench.converged(fence).await;
    let id = status.instances[0].id.clone();
    assert_eq!(status.instances[0].state(), pb::InstanceState::Exited);

    let fence = bench.desire([job.clone().labelled("other")]);
    bench.converged(fence).await;
    bench.stop(StopMode::LeaveRunning).await;
    bench.start().await;
    let fence = bench.desire([job.labelled("other")]);
    bench.converged(fence).await;

    let status = bench.state("report", Succeeded).await;
    assert_eq!(
        (status.instances[0].id.as_str(), status.serving_revision),
        (id.as_str(), 2)
    );
}

pub(crate) async fn when_a_job_fails_for_good_then_it_failed(mut bench: Bench) {
    let exit = bench.rig.entry(Behaviour::Exit(3));
    bench.desire([app("report").running(exit).run_once().never_again()]);

    let status = bench.state("report", Failed).await;

    assert_eq!(status.reason, reason::JOB_FAILED);
    assert!(
        status.message.contains("exited with code 3"),
        "{}",
        status.message
    );
}

pub(crate) async fn when_the_engine_starts_again_then_it_adopts_what_runs(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher")
        .running(serve)
        .with_files("limits", "/etc/watcher")
        .ready_by(ready());
    bench.configure("limits", "limit", "31.5");
    bench.desire([watcher.clone()]);
    let before = bench.healthy("watcher", 1).await;

    bench.stop(StopMode::LeaveRunning).await;
    assert!(bench.rig.is_running(&before));
    bench.start().await;
    // Adopted before anything is desired.
    let adopted = bench.healthy("watcher", 1).await;
    assert_eq!((&adopted.id, adopted.pid), (&before.id, before.pid));
    assert_eq!(adopted.start_time, before.start_time);

    // And it still takes its configuration.
    bench.configure("limits", "limit", "30.0");
    let fence = bench.desire([watcher]);
    bench.converged(fence).await;
    assert_eq!(
        bench.rig.file("watcher", &before, "/etc/watcher/limit"),
        "30.0"
    );
    assert_eq!(bench.only("watcher").pid, before.pid);
}

pub(crate) async fn when_something_died_meanwhile_then_the_next_engine_starts_it_again(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher").running(serve).ready_by(ready());
    bench.desire([watcher.clone()]);
    let before = bench.healthy("watcher", 1).await;
    bench.stop(StopMode::LeaveRunning).await;

    bench.rig.kill(&before);
    bench
        .outside("killed", || !bench.rig.is_running(&before))
        .await;
    bench.start().await;
    bench.desire([watcher]);

    // Its shim may take a moment to notice.
    let status = bench
        .app("watcher", "another instance is ready", |app| {
            app.state() == Healthy && app.instances[0].id != before.id
        })
        .await;
    assert_eq!(status.instances[0].restart_count, 1);
}

pub(crate) async fn when_nobody_knows_an_instance_then_the_next_engine_removes_it(
    mut bench: Bench,
) {
    bench.stop(StopMode::LeaveRunning).await;
    bench.rig.plant().await;
    assert_eq!(bench.rig.running(), 1);

    bench.start().await;
    let fence = bench.desire([]);
    bench.converged(fence).await;

    assert_eq!(bench.rig.running(), 0);
}

pub(crate) async fn when_everything_is_stopped_then_the_next_engine_starts_it_again(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher").running(serve).ready_by(ready());
    bench.desire([watcher.clone()]);
    bench.healthy("watcher", 1).await;

    bench.stop(StopMode::StopAll).await;
    assert_eq!(bench.rig.running(), 0);
    bench.start().await;
    let fence = bench.desire([watcher]);
    bench.converged(fence).await;

    assert_eq!(bench.rig.running(), 1);
    let instance = bench.only("watcher");
    assert_eq!(instance.restart_count, 0, "stopping it was no failure");
    assert!(instance.last_termination.is_none());
}

pub(crate) async fn when_an_application_is_no_longer_desired_then_nothing_but_its_data_is_left(
    mut bench: Bench,
) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve).with_data("/var/lib/watcher")]);
    bench.healthy("watcher", 1).await;

    let fence = bench.desire([]);
    bench.converged(fence).await;

    assert_eq!(bench.rig.running(), 0);
    assert!(bench.store.record("watcher").is_none());
    assert!(bench.rig.has_data("watcher"));
    assert!(bench.engine().status().borrow().applications.is_empty());
}

pub(crate) async fn when_the_node_is_decommissioned_then_nothing_is_left(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let data = app("data")
        .running(serve.clone())
        .with_data("/var/lib/watcher");
    bench.desire([data, app("other").running(serve)]);
    bench.healthy("data", 1).await;

    let engine = bench.engine().clone();
    let done = tokio::time::timeout(BOUND, engine.decommission(true)).await;

    done.unwrap().unwrap();
    assert_eq!(bench.rig.running(), 0);
    assert!(bench.store.record("data").is_none());
    assert!(!bench.rig.has_data("data"));
    assert!(engine.status().borrow().applications.is_empty());
}

pub(crate) async fn when_it_uses_too_much_memory_then_it_is_killed_and_says_so(mut bench: Bench) {
    let greedy = bench.rig.entry(Behaviour::Greedy);
    let watcher = app("watcher").running(greedy).ready_by(ready());
    bench.desire([watcher.with_memory("64Mi")]);

    let status = bench.state("watcher", Failed).await;

    assert_eq!(status.reason, reason::OUT_OF_MEMORY);
    assert!(
        status.message.contains("is the limit"),
        "{}",
        status.message
    );
    bench
        .outside("it is gone", || bench.rig.running() == 0)
        .await;
}

pub(crate) async fn when_a_feature_is_missing_then_the_item_is_left_as_it_is(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher").running(serve);
    bench.desire([watcher.clone()]);
    let before = bench.healthy("watcher", 1).await;

    bench.desire([watcher.clone().version("2").needing("telepathy.v1")]);
    let status = bench.state("watcher", RolledBack).await;
    assert_eq!(status.reason, reason::UNSUPPORTED_FEATURE);
    assert!(status.message.contains("telepathy.v1"));
    assert!(bench.rig.is_running(&before));

    let fence = bench.desire([watcher]);
    bench.converged(fence).await;
    assert_eq!(bench.only("watcher").id, before.id);
}

pub(crate) async fn when_the_store_fails_then_nothing_starts_until_it_works(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.store.set_failing(true);
    bench.desire([app("watcher").running(serve)]);

    bench
        .app("watcher", "the store fails", |app| {
            app.reason == reason::STORE_UNAVAILABLE
        })
        .await;
    assert_eq!(bench.rig.running(), 0);

    bench.store.set_failing(false);
    bench.healthy("watcher", 1).await;
}

pub(crate) async fn when_a_body_is_missing_then_the_application_waits_for_it(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.configure("limits", "limit", "31.5");
    let missing = bench.input("configuration/limits");
    bench.bodies.remove(&missing);
    bench.desire([app("watcher")
        .running(serve)
        .with_files("limits", "/etc/watcher")]);

    let status = bench
        .app("watcher", "a body is missing", |app| {
            app.reason == reason::BODY_MISSING
        })
        .await;
    assert!(
        status.message.contains("configuration/limits"),
        "{}",
        status.message
    );

    bench.configure("limits", "limit", "31.5");
    bench.healthy("watcher", 1).await;
}

pub(crate) async fn when_a_function_is_desired_then_its_route_is_published(mut bench: Bench) {
    bench.configure(
        "sensors-code",
        "window.py",
        "def handler(event, context): return event",
    );
    let mut routes = bench.engine().routes();
    assert!(
        routes.borrow().is_none(),
        "nothing is known before something is desired"
    );
    bench.desire([app("sensors").serving_function("sensors-code")]);
    bench.healthy("sensors", 1).await;

    let table = routes.wait_for(|table| table.as_ref().is_some_and(|table| !table.is_empty()));
    let table = tokio::time::timeout(BOUND, table)
        .await
        .unwrap()
        .unwrap()
        .clone()
        .unwrap();
    assert_eq!(table[0].service, "sensors");
    assert_eq!(table[0].application, "sensors");
    assert_eq!(table[0].active_revision, 1);
    assert_eq!(table[0].functions, ["window"]);

    bench.desire([app("sensors").serving_function("sensors-code").version("2")]);
    let next = routes.wait_for(|table| {
        table
            .as_ref()
            .is_some_and(|table| table[0].active_revision == 2)
    });
    assert!(tokio::time::timeout(BOUND, next).await.unwrap().is_ok());
    bench.healthy("sensors", 2).await;

    // New code under the same revision is another release.
    let before = releases(&routes);
    bench.configure(
        "sensors-code",
        "window.py",
        "def handler(event, context): return 2",
    );
    let fence = bench.desire([app("sensors").serving_function("sensors-code").version("2")]);
    bench.converged(fence).await;
    let after = releases(&routes);
    assert_eq!((before.0, after.0), (2, 2));
    assert_ne!(before.1, after.1);

    // Nothing that runs changes: the runtimes go on, and the route still names what they said.
    let described = app("sensors").serving_function("sensors-code").version("2");
    let fence = bench.desire([described.described("windows of readings")]);
    bench.converged(fence).await;
    bench.healthy("sensors", 3).await;
    assert_eq!(releases(&routes), after);

    let fence = bench.desire([]);
    bench.converged(fence).await;
    assert!(routes.borrow().as_ref().unwrap().is_empty());
}

/// Revision and release that the only route leads to.
fn releases(routes: &tokio::sync::watch::Receiver<Option<Arc<Routes>>>) -> (u64, String) {
    let routes = routes.borrow();
    let [route] = &routes.as_ref().unwrap()[..] else {
        panic!("one route, not {routes:?}");
    };
    assert_eq!((route.standby_revision, &*route.standby_release), (0, ""));
    (route.active_revision, route.active_release.clone())
}

pub(crate) async fn when_there_are_several_copies_then_each_has_its_own_port(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    let watcher = app("watcher").running(serve).with_port(0).ready_by(ready());
    bench.desire([watcher.clone().copies(3)]);

    let status = bench.state("watcher", Healthy).await;

    let mut ports: Vec<u32> = status
        .instances
        .iter()
        .map(|one| one.ports["http"])
        .collect();
    let indexes: Vec<u32> = status.instances.iter().map(|one| one.index).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), indexes), (3, vec![0, 1, 2]));

    // Both revisions overlap, with other ports.
    let fence = bench.desire([watcher.copies(1)]);
    bench.converged(fence).await;
    assert!(!ports.contains(&bench.only("watcher").ports["http"]));
}

pub(crate) async fn when_logs_are_read_then_lines_of_all_instances_come(mut bench: Bench) {
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve).ready_by(ready())]);
    let first = bench.healthy("watcher", 1).await;
    bench.rig.print(&first, "serving");
    let query = LogQuery {
        application: "watcher".into(),
        follow: true,
        ..LogQuery::default()
    };
    let mut lines = bench.engine().logs(query.clone()).unwrap();
    let line = tokio::time::timeout(BOUND, lines.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        (line.text.as_str(), line.instance_id),
        ("serving", first.id.clone())
    );

    bench.rig.kill(&first);
    bench
        .app("watcher", "another instance is ready", |app| {
            app.state() == Healthy && app.instances[0].id != first.id
        })
        .await;
    let second = bench.only("watcher");
    bench.rig.print(&second, "serving");
    let line = tokio::time::timeout(BOUND, lines.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        (line.text.as_str(), line.instance_id),
        ("serving", second.id)
    );

    let ended = LogQuery {
        follow: false,
        ..query
    };
    let all = bench
        .engine()
        .logs(ended.clone())
        .unwrap()
        .collect::<Vec<_>>();
    assert_eq!(tokio::time::timeout(BOUND, all).await.unwrap().len(), 2);
    let unknown = LogQuery {
        application: "nobody".into(),
        ..ended
    };
    assert!(bench.engine().logs(unknown).is_err());
}

pub(crate) async fn when_a_certificate_gets_old_then_it_is_renewed_without_a_restart(
    mut bench: Bench,
) {
    bench.stop(StopMode::LeaveRunning).await;
    bench.issuer = baetyl_engine::memory::MemoryIssuer::new(Duration::from_millis(1500));
    bench.start().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve)]);
    let before = bench.healthy("watcher", 1).await;

    bench
        .outside("renewed", || bench.issuer.issued() >= 3)
        .await;

    assert_eq!(bench.healthy("watcher", 1).await.pid, before.pid);
}
