//! Laws that hold in every world that random events lead to.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Wanted, World, pin, spec, with_port};
use crate::observed::Phase;
use crate::plan::{Action, Plan};
use crate::record::Role;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    Want {
        template: u8,
        files: u8,
        values: u8,
        retry: u64,
    },
    WantNothing(u8),
    Complete,
    RefuseFiles(bool),
    RefuseStarts(bool),
    End {
        which: usize,
        code: i32,
    },
    Ready {
        which: usize,
        is_ready: bool,
    },
    Doom(usize),
    Unknown(usize),
    Broken(usize),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..3_u8, 0..2_u8, 0..2_u8, 0..2_u64).prop_map(|(template, files, values, retry)| {
            Happening::Want { template, files, values, retry }
        }),
        1 => (0..4_u8).prop_map(Happening::WantNothing),
        8 => Just(Happening::Complete),
        1 => any::<bool>().prop_map(Happening::RefuseFiles),
        1 => any::<bool>().prop_map(Happening::RefuseStarts),
        2 => (0..4_usize, 0..3_i32).prop_map(|(which, code)| Happening::End { which, code }),
        1 => (0..4_usize, any::<bool>())
            .prop_map(|(which, is_ready)| Happening::Ready { which, is_ready }),
        1 => (0..4_usize).prop_map(Happening::Doom),
        1 => (0..4_usize).prop_map(Happening::Unknown),
        1 => (0..4_usize).prop_map(Happening::Broken),
        4 => (0..70_u64).prop_map(Happening::Wait),
    ]
}

fn running(world: &World, which: usize) -> Option<baetyl_process::InstanceId> {
    let running = world.ids(|phase| matches!(phase, Phase::Running(_)));
    (!running.is_empty()).then(|| running[which % running.len()].clone())
}

fn happen(world: &mut World, happening: &Happening) {
    match *happening {
        Happening::Want {
            template,
            files,
            values,
            retry,
        } => {
            let name = format!("template {template}");
            let mut wanted = pin(&name, &format!("f{files}"), &format!("v{values}"));
            wanted.retry = retry;
            // Template 0 overlaps with all; 1 and 2 fight for a port.
            let made_of = match template {
                0 => spec(),
                _ => with_port(spec(), 80),
            };
            world.want(&wanted, made_of);
        }
        Happening::WantNothing(which) => {
            world.wanted = match which {
                0 => Wanted::Unknown,
                1 => Wanted::Hold,
                2 => Wanted::Halt,
                _ => Wanted::Absent,
            };
        }
        Happening::Complete => world.complete(),
        Happening::RefuseFiles(is_final) => world.refuse_files(is_final),
        Happening::RefuseStarts(is_final) => world.refuse_starts(is_final),
        Happening::Wait(seconds) => world.now += Duration::from_secs(seconds),
        Happening::End { which, code } => {
            if let Some(id) = running(world, which) {
                world.ended(&id, code);
            }
        }
        Happening::Ready { which, is_ready } => {
            if let Some(id) = running(world, which) {
                world.running(&id, is_ready);
            }
        }
        Happening::Doom(which) => {
            if let Some(id) = running(world, which) {
                world.doom(&id);
            }
        }
        Happening::Unknown(which) => {
            if let Some(id) = running(world, which) {
                world.set(
                    &id,
                    Phase::Unknown {
                        detail: String::new(),
                    },
                );
            }
        }
        Happening::Broken(which) => {
            if let Some(id) = running(world, which) {
                world.set(&id, Phase::Broken);
            }
        }
    }
}

/// What no plan may do.
fn check(world: &World, planned: &Plan) {
    let is_blind = world.observed.is_blind(&world.record);
    assert!(!is_blind || planned.actions.is_empty(), "acts while blind");
    let is_kept = !matches!(world.wanted, Wanted::Absent | Wanted::Halt);
    for action in &planned.actions {
        match action {
            Action::Stop(id) => {
                let phase = &world.observed.instances[id].phase;
                assert!(matches!(phase, Phase::Running(_) | Phase::Broken));
                let is_serving = world.live_of(Role::Serving).contains(id);
                let is_ill = match phase {
                    Phase::Running(health) => health.doomed.is_some(),
                    _ => true,
                };
                let is_displaced = world
                    .record
                    .candidate
                    .as_ref()
                    .is_some_and(|candidate| candidate.is_exclusive);
                assert!(
                    !is_kept || !is_serving || is_ill || is_displaced,
                    "stops what serves"
                );
            }
            Action::Start(role, _) => {
                assert!(is_kept, "starts what is not wanted");
                let other = match role {
                    Role::Serving => Role::Candidate,
                    Role::Candidate => Role::Serving,
                };
                let is_exclusive = world
                    .record
                    .candidate
                    .as_ref()
                    .is_some_and(|candidate| candidate.is_exclusive);
                assert!(
                    !is_exclusive || world.live_of(other).is_empty(),
                    "starts beside what it excludes"
                );
            }
            Action::Remove => {
                assert_eq!(world.wanted, Wanted::Absent);
                assert!(world.observed.instances.is_empty());
            }
            Action::Discard(id) => assert!(!world.observed.instances[id].phase.is_live()),
            Action::Begin { .. }
            | Action::Drop
            | Action::Repin(..)
            | Action::Prepare(..)
            | Action::Promote
            | Action::Fail(_) => {}
        }
    }
}

/// Plans and acts until nothing is left, checking every plan.
fn settle(world: &mut World) {
    for _ in 0..12 {
        let planned = world.plan();
        check(world, &planned);
        if planned.actions.is_empty() {
            return;
        }
        world.apply(planned.actions);
    }
    panic!("planning does not end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn when_anything_happens_then_plans_end_and_keep_the_rules(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut world = World::new();
        for happening in &happenings {
            if world.observed.is_removing {
                // The engine starts with a new record after that.
                break;
            }
            happen(&mut world, happening);
            settle(&mut world);
        }
    }

    #[test]
    fn when_all_goes_well_in_the_end_then_the_wish_runs_and_nothing_else(
        happenings in prop::collection::vec(happening(), 0..30),
        template in 0..3_u8,
    ) {
        let mut world = World::new();
        for happening in &happenings {
            if world.observed.is_removing {
                return Ok(());
            }
            happen(&mut world, happening);
            settle(&mut world);
        }
        if world.observed.is_removing {
            return Ok(());
        }
        // Another input than before: a candidate that ran out of time meanwhile has failed for good.
        happen(&mut world, &Happening::Want { template, files: 0, values: 9, retry: 99 });
        world.succeed();

        let Wanted::Run(wanted) = &world.wanted else {
            unreachable!("it was just wanted");
        };
        let serving = world.record.serving.as_ref();
        prop_assert_eq!(serving.map(|release| &release.pin), Some(wanted));
        prop_assert!(world.record.candidate.is_none());
        let live = world.ids(Phase::is_live);
        prop_assert_eq!(live.len(), world.live_of(Role::Serving).len());
        let slots = &serving.unwrap().slots;
        prop_assert!(slots.iter().all(|slot| world.observed.is_ready(slot)));
    }
}
