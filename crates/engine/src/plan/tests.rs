//! Tests of the module `plan`.

mod law;
mod world;

use std::time::Duration;

use world::{World, job, pin, spec, with_port};

use super::*;
use crate::observed::Health;
use crate::reason;
use crate::record::Role;
use world::Wanted;

fn served() -> World {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), spec());
    world.succeed();
    world
}

fn starts(actions: &[Action]) -> usize {
    let is_start = |action: &&Action| matches!(action, Action::Start(..));
    actions.iter().filter(is_start).count()
}

fn stops(actions: &[Action]) -> usize {
    let is_stop = |action: &&Action| matches!(action, Action::Stop(_));
    actions.iter().filter(is_stop).count()
}

fn only(world: &World) -> InstanceId {
    let running = world.ids(|phase| matches!(phase, Phase::Running(_)));
    assert_eq!(running.len(), 1, "{running:?}");
    running[0].clone()
}

#[test]
fn when_it_is_new_then_files_come_before_the_instance_and_the_gate_before_serving() {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), spec());

    let first = world.settle();
    assert!(matches!(
        first[..],
        [Action::Begin { .. }, Action::Prepare(Role::Candidate, _)]
    ));
    world.complete();
    assert!(matches!(
        world.settle()[..],
        [Action::Start(Role::Candidate, _)]
    ));
    world.complete();
    assert!(
        world.settle().is_empty(),
        "it soaks, since nothing tells that it is ready"
    );
    world.now += SILENT_SOAK;
    assert!(matches!(world.settle()[..], [Action::Promote]));
    assert_eq!(world.record.serving.unwrap().pin, pin("one", "f1", "v1"));
}

#[test]
fn when_nothing_changed_then_there_is_nothing_to_do() {
    let mut world = served();

    assert!(world.plan().actions.is_empty());
}

#[test]
fn when_only_labels_changed_then_the_pin_follows_and_no_process_is_touched() {
    let mut world = served();
    let mut relabelled = pin("one", "f1", "v1");
    relabelled.revision = 2;
    relabelled.digest = baetyl_shadow::Digest::of(b"labels");
    world.want(&relabelled, spec());

    assert_eq!(world.settle(), [Action::Repin(Role::Serving, relabelled)]);
}

#[test]
fn when_a_reloaded_input_changed_then_files_are_switched_and_no_process_is_touched() {
    let mut world = served();
    let wanted = pin("one", "f2", "v1");
    world.want(&wanted, spec());

    let actions = world.succeed();

    let expected = [
        Action::Prepare(Role::Serving, wanted.clone()),
        Action::Repin(Role::Serving, wanted),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn when_a_restarting_input_changed_then_a_candidate_goes_through_the_gate() {
    let mut world = served();
    let old = only(&world);
    world.want(&pin("one", "f1", "v2"), spec());

    let actions = world.succeed();

    assert!(matches!(
        actions[0],
        Action::Begin {
            is_exclusive: false,
            ..
        }
    ));
    let promoted = actions
        .iter()
        .position(|one| *one == Action::Promote)
        .unwrap();
    let stopped = actions
        .iter()
        .position(|one| *one == Action::Stop(old.clone()));
    assert!(
        stopped.unwrap() > promoted,
        "the old one serves until the switch"
    );
    assert_ne!(only(&world), old);
}

#[test]
fn when_both_kinds_of_inputs_changed_then_the_old_one_keeps_its_files() {
    let mut world = served();
    let serving = world.record.serving.clone().unwrap();
    world.want(&pin("one", "f2", "v2"), spec());

    world.settle();

    assert_eq!(world.record.serving, Some(serving));
}

#[test]
fn when_the_candidate_ends_then_the_old_one_serves_on_and_nothing_is_tried_again() {
    let mut world = served();
    let old = only(&world);
    let bad = pin("two", "f1", "v1");
    world.want(&bad, spec());
    world.settle();
    world.complete();
    world.settle();
    let new = world.ids(|phase| matches!(phase, Phase::Launching))[0].clone();
    world.ended(&new, 3);

    let actions = world.succeed();

    let Action::Fail(verdict) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(verdict.reason, reason::EXITED);
    assert_eq!(starts(&actions), 0);
    assert_eq!(stops(&actions), 0);
    assert_eq!(only(&world), old);
    assert!(world.record.failed.is_some());
}

#[test]
fn when_it_failed_then_it_stays_so_until_digests_or_retry_change() {
    let mut world = served();
    let bad = pin("two", "f1", "v1");
    world.want(&bad, spec());
    world.settle();
    world.complete();
    world.settle();
    world.refuse_starts(true);
    world.succeed();
    assert!(world.plan().actions.is_empty());

    let mut again = bad.clone();
    again.retry = 1;
    world.want(&again, spec());
    assert!(matches!(world.plan().actions[..], [Action::Begin { .. }]));

    world.want(&pin("two", "f1", "v2"), spec());
    assert!(matches!(world.plan().actions[..], [Action::Begin { .. }]));

    world.want(&pin("one", "f1", "v1"), spec());
    world.settle();
    assert_eq!(world.record.failed, None, "going back forgets the failure");
}

#[test]
fn when_both_want_a_port_then_the_old_one_is_stopped_first_and_comes_back_on_failure() {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), with_port(spec(), 80));
    world.succeed();
    let old = only(&world);
    world.want(&pin("two", "f1", "v1"), with_port(spec(), 80));

    let actions = world.settle();
    assert!(matches!(
        actions[0],
        Action::Begin {
            is_exclusive: true,
            ..
        }
    ));
    assert_eq!(actions[1..], [Action::Stop(old)]);
    world.complete();
    world.settle();
    world.complete();
    world.settle();
    let new = world.ids(|phase| matches!(phase, Phase::Launching))[0].clone();
    world.running(&new, false);
    world.doom(&new);
    let actions = world.succeed();

    assert!(matches!(actions[0], Action::Fail(_)));
    assert_eq!(
        world.record.serving.as_ref().unwrap().pin,
        pin("one", "f1", "v1")
    );
    assert!(world.record.slot_of(&only(&world)).is_some());
}

#[test]
fn when_rollback_is_off_then_what_had_to_be_stopped_stays_down() {
    let mut stubborn = with_port(spec(), 80);
    stubborn.update.rollback = false;
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), stubborn.clone());
    world.succeed();
    world.want(&pin("two", "f1", "v1"), stubborn);
    world.settle();
    world.complete();
    world.settle();
    world.refuse_files(true);

    world.succeed();

    assert_eq!(world.record.serving, None);
    assert!(world.ids(Phase::is_live).is_empty());
}

#[test]
fn when_the_port_moved_then_both_overlap() {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), with_port(spec(), 80));
    world.succeed();
    world.want(&pin("two", "f1", "v1"), with_port(spec(), 81));

    assert!(matches!(
        world.plan().actions[..],
        [Action::Begin {
            is_exclusive: false,
            ..
        }]
    ));
}

#[test]
fn when_it_is_not_ready_in_time_then_it_fails_with_what_it_waits_for() {
    let mut world = served();
    world.want(&pin("two", "f1", "v1"), spec());
    world.settle();
    world.complete();
    world.settle();
    let new = world.ids(|phase| matches!(phase, Phase::Launching))[0].clone();
    world.running(&new, false);
    if let Phase::Running(health) = &mut world.observed.instances.get_mut(&new).unwrap().phase {
        health.probe_message = "readiness probe: no".into();
    }
    assert!(world.settle().is_empty());
    let deadline = world.plan().wake_at.unwrap();
    world.now = deadline;

    let actions = world.settle();

    let Action::Fail(verdict) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(verdict.reason, reason::PROBE_FAILED);
    assert!(
        verdict.message.contains("readiness probe: no"),
        "{}",
        verdict.message
    );
}

#[test]
fn when_it_becomes_unready_while_it_soaks_then_the_soak_starts_again() {
    let mut soaking = spec();
    soaking.update.soak = Duration::from_secs(10);
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), soaking);
    world.settle();
    world.complete();
    world.settle();
    world.complete();
    world.settle();
    let id = only(&world);

    world.now += Duration::from_secs(9);
    world.running(&id, false);
    world.settle();
    world.running(&id, true);
    world.settle();
    world.now += Duration::from_secs(9);
    assert!(world.settle().is_empty());
    world.now += Duration::from_secs(1);

    assert_eq!(world.settle(), [Action::Promote]);
}

#[test]
fn when_a_serving_instance_ends_then_it_is_started_again_after_its_delay() {
    let mut world = served();
    let old = only(&world);
    world.ended(&old, 1);

    let planned = world.plan();
    assert!(planned.actions.is_empty());
    world.now = planned.wake_at.unwrap();

    assert_eq!(starts(&world.settle()), 1);
    assert!(world.record.is_past(&old), "its log is kept");
}

#[test]
fn when_a_serving_instance_is_unknown_then_nothing_is_done_at_all() {
    let mut world = served();
    let id = only(&world);
    world.set(
        &id,
        Phase::Unknown {
            detail: String::new(),
        },
    );
    world.want(&pin("two", "f1", "v1"), spec());

    assert_eq!(world.plan(), Plan::default());
    world.wanted = Wanted::Absent;
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn when_it_is_not_wanted_then_all_is_stopped_discarded_and_removed() {
    let mut world = served();
    world.wanted = Wanted::Absent;

    let actions = world.succeed();

    assert!(matches!(
        actions[..],
        [Action::Stop(_), Action::Discard(_), Action::Remove]
    ));
}

#[test]
fn when_everything_is_halted_then_instances_stop_and_start_again_later() {
    let mut world = served();
    world.wanted = Wanted::Halt;
    assert_eq!(stops(&world.succeed()), 1);

    world.wanted = Wanted::Run(pin("one", "f1", "v1"));
    assert_eq!(starts(&world.succeed()), 1);
}

#[test]
fn when_the_wish_cannot_be_done_then_what_serves_is_kept_and_the_candidate_dropped() {
    let mut world = served();
    let old = only(&world);
    world.want(&pin("two", "f1", "v1"), spec());
    world.settle();
    world.wanted = Wanted::Hold;

    let actions = world.succeed();

    assert_eq!(actions[0], Action::Drop);
    assert_eq!(only(&world), old);
    assert_eq!(world.record.failed, None);
}

#[test]
fn when_a_reload_is_impossible_then_the_old_files_serve_and_the_pin_failed() {
    let mut world = served();
    world.want(&pin("one", "f2", "v1"), spec());
    world.settle();
    world.refuse_files(true);

    let actions = world.settle();
    assert!(
        matches!(&actions[0], Action::Fail(verdict) if verdict.reason == reason::RELOAD_FAILED)
    );
    // The files of what serves are made right again, and then nothing more happens.
    world.succeed();
    assert_eq!(
        world.record.serving.as_ref().unwrap().pin,
        pin("one", "f1", "v1")
    );
    assert!(world.plan().actions.is_empty());
}

#[test]
fn when_a_job_ends_well_then_it_is_never_started_again() {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), job());
    world.settle();
    world.complete();
    world.settle();
    world.complete();
    assert_eq!(world.settle()[0], Action::Promote);
    let id = only(&world);
    world.ended(&id, 0);

    assert!(world.succeed().is_empty());
    assert!(world.record.serving.as_ref().unwrap().slots[0].is_completed);
}

#[test]
fn when_a_job_fails_too_often_then_it_failed_until_it_is_retried() {
    let mut world = World::new();
    world.want(&pin("one", "f1", "v1"), job());
    world.settle();
    world.complete();
    world.settle();
    for _ in 0..JOB_ATTEMPTS {
        let launching = world.ids(|phase| matches!(phase, Phase::Launching));
        world.ended(&launching[0], 1);
        world.settle();
        world.now += Duration::from_secs(1);
        world.settle();
        world.complete_files();
        world.settle();
    }

    let failed = world.record.failed.clone().unwrap();
    assert_eq!(failed.reason, reason::JOB_FAILED);
    assert!(world.record.serving.is_none());
    world.succeed();
    let mut again = pin("one", "f1", "v1");
    again.retry = 1;
    world.want(&again, job());
    assert!(matches!(world.plan().actions[..], [Action::Begin { .. }]));
}

#[test]
fn when_a_doomed_instance_serves_then_it_is_stopped_once() {
    let mut world = served();
    let id = only(&world);
    world.doom(&id);

    assert_eq!(world.settle(), [Action::Stop(id)]);
}

#[test]
fn when_a_stray_appears_then_it_is_stopped_and_discarded() {
    let mut world = served();
    let stray = InstanceId::parse("app-stray").unwrap();
    let health = Health {
        pid: 7,
        started_at: std::time::SystemTime::UNIX_EPOCH,
        is_ready: true,
        was_ready: true,
        probe_message: String::new(),
        doomed: None,
    };
    let seen = crate::observed::Seen::new(Phase::Running(health), Duration::ZERO);
    world.observed.instances.insert(stray.clone(), seen);

    let actions = world.succeed();

    assert_eq!(
        actions,
        [Action::Stop(stray.clone()), Action::Discard(stray)]
    );
}
