//! Tests of the module `plan`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::kube::record::Role;
use crate::reason;

mod law;
mod world;

use world::{Conduct, DEADLINE, Recipe, Wanted, World, key, recipe};

/// A world in which template 0 serves.
fn serving() -> World {
    let mut world = World::new();
    world.want(recipe(0));
    world.succeed();
    assert!(world.record.serving.is_some());
    world
}

/// Plans, carries out and shows, until there is nothing to do.
fn run(world: &mut World) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..32 {
        let planned = world.plan();
        if planned.actions.is_empty() {
            return all;
        }
        all.extend(planned.actions.clone());
        world.carry_out(planned.actions);
        world.control();
        world.show();
    }
    panic!("planning does not end: {all:?}");
}

fn is_candidate_of(world: &World, template: u8) -> bool {
    let candidate = world.record.release(Role::Candidate);
    candidate.is_some_and(|one| one.pin == recipe(template).pin())
}

#[test]
fn when_something_is_wanted_first_then_it_is_checked_recorded_applied_and_promoted() {
    let mut world = World::new();
    let pin = world.want(recipe(0));

    let actions = run(&mut world);

    let draft = Recipe::objects(&recipe(0));
    assert!(matches!(&actions[0], Action::Prepare(one) if *one == pin));
    assert!(matches!(&actions[1], Action::Begin(one) if one.objects == draft));
    assert_eq!(actions[2], Action::Apply(Role::Candidate));
    assert_eq!(actions[3], Action::Promote);
    assert_eq!(actions.len(), 4);
}

#[test]
fn when_nothing_changes_then_nothing_is_planned() {
    let world = serving();

    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn when_only_files_change_then_they_are_applied_in_place_and_pods_are_told() {
    let mut world = serving();
    let pod = world.pods.keys().next().unwrap().clone();
    let pin = world.want(Recipe {
        files: 1,
        ..recipe(0)
    });

    let actions = run(&mut world);

    assert!(matches!(&actions[0], Action::Prepare(one) if *one == pin));
    assert!(matches!(&actions[1], Action::Repin(Role::Serving, _)));
    assert_eq!(actions[2], Action::Apply(Role::Serving));
    let told = vec![("edge".to_owned(), pod.clone())];
    assert_eq!(actions[3], Action::Touch(told, "files 1".into()));
    assert_eq!(actions[4], Action::Take(Role::Serving));
    assert_eq!(actions.len(), 5);
    assert!(world.pods.contains_key(&pod), "nothing is restarted");
}

#[test]
fn when_pods_were_not_told_then_the_inputs_are_not_taken() {
    let mut world = serving();
    world.want(Recipe {
        files: 1,
        ..recipe(0)
    });
    for _ in 0..3 {
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
    }

    let release = world.record.serving.as_ref().unwrap();
    assert_ne!(release.taken, release.pin.inputs);
    assert!(matches!(world.plan().actions[..], [Action::Touch(..)]));
}

#[test]
fn when_values_change_then_a_candidate_goes_through_the_gate() {
    let mut world = serving();
    world.want(Recipe {
        values: 1,
        ..recipe(0)
    });

    let actions = run(&mut world);

    assert!(matches!(&actions[1], Action::Begin(_)));
    assert!(actions.contains(&Action::Promote));
    let old = key("Secret", "app-values-0");
    let pruned = |action: &Action| matches!(action, Action::Prune(all) if all.contains_key(&old));
    assert!(actions.iter().any(pruned));
    assert!(!world.objects.contains_key(&old));
}

#[test]
fn when_the_kind_of_workload_changes_then_the_old_one_goes_after_the_gate() {
    let mut world = serving();
    world.want(Recipe {
        template: 2,
        ..recipe(0)
    });
    world.conduct.insert("t2v0r0".into(), Conduct::Late);

    run(&mut world);
    assert!(is_candidate_of(&world, 2));
    assert!(world.objects.contains_key(&key("Deployment", "app")));

    world.conduct.clear();
    world.control();
    world.show();
    run(&mut world);
    assert!(!world.objects.contains_key(&key("Deployment", "app")));
    assert!(world.objects.contains_key(&key("StatefulSet", "app")));
}

#[test]
fn when_a_failure_lasts_then_it_goes_back_at_once() {
    let mut world = serving();
    world.want(recipe(1));
    world.conduct.insert("t1v0r0".into(), Conduct::Broken);

    let actions = run(&mut world);

    let failing = |action: &Action| match action {
        Action::Fail(failing) => Some(failing.clone()),
        _ => None,
    };
    let failing = actions.iter().find_map(failing).unwrap();
    assert_eq!(failing.reason, reason::OBJECT_FAILED);
    assert!(failing.goes_back);
    assert!(actions.contains(&Action::Apply(Role::Serving)));
    assert!(!world.objects.contains_key(&key("Service", "app")));
    assert!(world.record.candidate.is_none());
    assert_eq!(world.plan(), Plan::default(), "it is not tried again");
}

#[test]
fn when_time_runs_out_then_it_goes_back() {
    let mut world = serving();
    world.want(recipe(1));
    world.conduct.insert("t1v0r0".into(), Conduct::Late);
    run(&mut world);

    assert_eq!(world.plan().wake_at, Some(world.now + DEADLINE));
    world.pass(DEADLINE);
    let actions = run(&mut world);

    let Action::Fail(failing) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(failing.reason, reason::DEADLINE_EXCEEDED);
    assert!(failing.message.starts_with("not ready within 60s: "));
    assert_eq!(world.record.serving.as_ref().unwrap().label, "t0v0r0");
}

#[test]
fn when_there_is_nothing_to_go_back_to_then_it_stays_and_is_promoted_when_it_gets_ready() {
    for template in [0, 3] {
        let mut world = World::new();
        if template == 3 {
            world = serving();
        }
        world.want(recipe(template));
        let label = recipe(template).label();
        world.conduct.insert(label.clone(), Conduct::Broken);
        run(&mut world);

        assert!(world.record.is_candidate_failed(), "template {template}");
        assert_eq!(world.plan(), Plan::default());

        world.conduct.clear();
        world.control();
        world.show();
        let actions = run(&mut world);
        assert_eq!(actions[0], Action::Promote);
        assert!(world.record.failed.is_none());
        assert_eq!(world.record.serving.as_ref().unwrap().label, label);
    }
}

#[test]
fn when_a_check_refuses_for_good_then_nothing_is_changed() {
    let mut world = serving();
    let before = world.objects.clone();
    world.want(recipe(1));
    world.refusals.0 = Some(Refusal::lasting(reason::INVALID_OBJECT, "spec.foo"));

    let actions = run(&mut world);

    assert!(matches!(&actions[0], Action::Prepare(_)));
    assert!(matches!(&actions[1], Action::Fail(_)));
    assert_eq!(actions.len(), 2);
    assert_eq!(world.objects, before);
    assert!(world.record.serving.as_ref().unwrap().is_applied);
}

#[test]
fn when_a_check_refuses_for_now_then_it_is_tried_again() {
    let mut world = serving();
    let pin = world.want(recipe(1));
    world.refusals.0 = Some(Refusal::passing(reason::FORBIDDEN, "not yet"));
    run(&mut world);

    let retry_at = world.plan().wake_at.unwrap();
    world.now = retry_at;

    assert_eq!(world.plan().actions, [Action::Prepare(pin)]);
}

#[test]
fn when_the_candidate_cannot_be_applied_for_good_then_what_serves_is_made_right() {
    let mut world = serving();
    world.want(recipe(1));
    world.refusals.1 = Some(Refusal::lasting(reason::INVALID_OBJECT, "no"));
    let mut actions = Vec::new();
    for _ in 0..5 {
        let planned = world.plan();
        actions.extend(planned.actions.clone());
        world.carry_out(planned.actions);
        world.show();
        if world.record.candidate.is_none() && world.record.failed.is_some() {
            break;
        }
    }
    world.refusals.1 = None;

    assert!(
        matches!(actions.last(), Some(Action::Fail(_))),
        "{actions:?}"
    );
    let actions = run(&mut world);
    assert!(actions.contains(&Action::Apply(Role::Serving)));
}

#[test]
fn when_the_wish_goes_back_then_the_candidate_is_dropped_without_a_check() {
    let mut world = serving();
    world.want(recipe(1));
    world.conduct.insert("t1v0r0".into(), Conduct::Late);
    run(&mut world);

    world.want(recipe(0));

    assert_eq!(world.plan().actions, [Action::Drop]);
    run(&mut world);
    assert!(world.record.failed.is_none());
    assert!(!world.objects.contains_key(&key("Service", "app")));
}

#[test]
fn when_another_revision_is_wanted_meanwhile_then_it_takes_the_place_of_the_candidate() {
    let mut world = serving();
    world.want(recipe(1));
    world.conduct.insert("t1v0r0".into(), Conduct::Late);
    run(&mut world);

    world.want(Recipe {
        values: 1,
        ..recipe(0)
    });
    let actions = run(&mut world);

    assert!(matches!(&actions[1], Action::Begin(_)));
    assert!(!actions.contains(&Action::Apply(Role::Serving)));
    assert_eq!(world.record.serving.as_ref().unwrap().label, "t0v1r0");
    assert!(!world.objects.contains_key(&key("Service", "app")));
}

#[test]
fn when_somebody_changes_or_removes_an_object_then_it_is_made_right_with_pauses() {
    let mut world = serving();
    let (changed, removed) = (key("Deployment", "app"), key("ConfigMap", "app-files"));
    for round in 0..3 {
        let real = world.objects.get_mut(&changed).unwrap();
        real.version += 1;
        real.written += 1;
        world.objects.remove(&removed);
        world.show();

        let planned = world.plan();
        let both = BTreeSet::from([changed.clone(), removed.clone()]);
        if round > 0 {
            assert!(planned.actions.is_empty(), "round {round}");
            world.now = planned.wake_at.unwrap();
        }
        assert_eq!(world.plan().actions, [Action::Repair(both)]);
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
        assert!(world.plan().actions.is_empty());
    }
}

#[test]
fn when_the_watches_lag_then_nothing_is_taken_for_drift() {
    let mut world = serving();
    world.want(recipe(1));
    for _ in 0..3 {
        let planned = world.plan();
        world.carry_out(planned.actions);
    }

    assert!(!world.work.unseen.is_empty());
    assert!(world.plan().actions.is_empty(), "{:?}", world.plan());
}

#[test]
fn when_nothing_is_seen_then_nothing_is_done() {
    let mut world = serving();
    world.want(recipe(1));
    world.is_blind = true;
    assert_eq!(world.plan(), Plan::default());

    world.wanted = Wanted::Absent { remove_data: true };
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn when_it_is_removed_then_data_stays_unless_it_is_to_go() {
    for remove_data in [false, true] {
        let mut world = serving();
        world.wanted = Wanted::Absent { remove_data };

        world.succeed();

        assert!(world.is_removed);
        let data = key("PersistentVolumeClaim", "app-data");
        assert_eq!(world.objects.contains_key(&data), !remove_data);
    }
}

#[test]
fn when_objects_take_time_to_go_then_they_are_waited_for_and_not_deleted_again() {
    let mut world = serving();
    world.is_slow_to_go = true;
    world.wanted = Wanted::Absent { remove_data: false };
    for _ in 0..2 {
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
    }

    assert!(world.plan().actions.is_empty(), "{:?}", world.plan());
    world.finish_deletions();
    world.show();
    world.succeed();
    assert!(world.is_removed);
}

#[test]
fn when_pods_are_left_then_the_application_is_still_there() {
    let mut world = serving();
    world.wanted = Wanted::Absent { remove_data: false };
    for _ in 0..3 {
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
    }

    assert!(!world.is_removed);
    world.control();
    world.show();
    assert_eq!(world.plan().actions, [Action::Remove]);
}

#[test]
fn when_a_certificate_is_old_then_it_is_renewed() {
    let mut world = serving();
    let due = world.clock + Duration::from_secs(100);
    world.record.renewals.insert("main".into(), due);
    assert_eq!(
        world.plan().wake_at,
        Some(world.now + Duration::from_secs(100))
    );

    world.pass(Duration::from_secs(100));

    let services = BTreeSet::from(["main".to_owned()]);
    assert_eq!(world.plan().actions, [Action::Renew(services)]);
}

#[test]
fn when_a_pod_holds_a_stateful_set_up_then_it_is_deleted() {
    let mut world = World::new();
    world.want(recipe(2));
    world.succeed();
    // The rollback of a stateful set waits for the pod that never gets ready.
    let mut stuck = world.pods.values().next().unwrap().clone();
    stuck.release = "bad".into();
    stuck.uid = "stuck".into();
    stuck.is_ready = false;
    world.pods.insert("app-0".into(), stuck);
    world.show();

    let pod = ObjectKey::namespaced("v1", "Pod", "edge", "app-0");
    let expected = Action::Recycle([(pod, "stuck".to_owned())].into());
    assert!(
        world.plan().actions.contains(&expected),
        "{:?}",
        world.plan()
    );
}

#[test]
fn when_other_software_renders_the_same_then_it_is_taken_in_place() {
    let mut world = serving();
    world.rendering = "tomorrow".into();

    let actions = run(&mut world);

    assert!(matches!(&actions[0], Action::Prepare(_)));
    assert!(matches!(&actions[1], Action::Repin(Role::Serving, _)));
    assert_eq!(actions[2], Action::Apply(Role::Serving));
    assert_eq!(actions.len(), 3);
}

#[test]
fn when_it_cannot_be_done_then_what_serves_is_kept() {
    let mut world = serving();
    world.want(recipe(1));
    world.conduct.insert("t1v0r0".into(), Conduct::Late);
    run(&mut world);

    world.wanted = Wanted::Hold { is_passing: true };
    assert!(world.plan().actions.is_empty(), "it passes");
    world.wanted = Wanted::Hold { is_passing: false };
    assert_eq!(world.plan().actions, [Action::Drop]);
}

#[test]
fn when_a_retry_is_asked_for_then_what_stands_in_the_way_goes_first() {
    let mut world = World::new();
    world.want(recipe(0));
    world.conduct.insert("t0v0r0".into(), Conduct::Broken);
    run(&mut world);
    assert!(world.record.is_candidate_failed());

    let pod = ObjectKey::namespaced("v1", "Pod", "edge", "app-9");
    world.work.obstructing.insert(pod.clone(), "pod-9".into());
    world.record.retry();
    world.conduct.clear();

    let actions = run(&mut world);
    let cleared = Action::Clear([(pod, "pod-9".to_owned())].into());
    assert!(actions.contains(&cleared), "{actions:?}");
    assert!(actions.contains(&Action::Promote));
}

#[test]
fn when_a_candidate_cannot_be_applied_for_too_long_then_it_goes_back() {
    let mut world = serving();
    world.want(recipe(1));
    world.refusals.1 = Some(Refusal::passing(reason::QUOTA_EXCEEDED, "no room"));
    for _ in 0..3 {
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
    }
    assert!(is_candidate_of(&world, 1));

    world.pass(DEADLINE);
    world.refusals.1 = None;
    let actions = run(&mut world);

    let Action::Fail(failing) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(failing.reason, reason::QUOTA_EXCEEDED);
    assert!(actions.contains(&Action::Apply(Role::Serving)));
}

#[test]
fn when_the_cluster_is_away_then_time_does_not_run_out() {
    let mut world = serving();
    world.want(recipe(1));
    world.refusals.1 = Some(Refusal::passing(reason::CLUSTER_UNAVAILABLE, "away"));
    for _ in 0..3 {
        let planned = world.plan();
        world.carry_out(planned.actions);
        world.show();
    }

    world.pass(DEADLINE);

    assert_eq!(world.plan().actions, [Action::Prepare(recipe(1).pin())]);
}
