//! Laws that hold in every world that random events lead to.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Conduct, Recipe, Wanted, World};
use crate::driver::Refusal;
use crate::kube::plan::{Action, Plan};
use crate::kube::record::{Role, is_data};
use crate::reason;

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
    Step,
    Control,
    Show,
    FinishDeletions,
    SlowToGo(bool),
    Blind(bool),
    Behave(u8, u8),
    RefuseCheck(u8),
    RefuseApply(u8),
    Remove(usize),
    Edit(usize),
    Restart,
    OtherSoftware(bool),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..4_u8, 0..2_u8, 0..2_u8, 0..2_u64).prop_map(|(template, files, values, retry)| {
            Happening::Want { template, files, values, retry }
        }),
        1 => (0..5_u8).prop_map(Happening::WantNothing),
        12 => Just(Happening::Step),
        6 => Just(Happening::Control),
        8 => Just(Happening::Show),
        2 => Just(Happening::FinishDeletions),
        1 => any::<bool>().prop_map(Happening::SlowToGo),
        2 => any::<bool>().prop_map(Happening::Blind),
        3 => (0..8_u8, 0..3_u8).prop_map(|(label, conduct)| Happening::Behave(label, conduct)),
        1 => (0..3_u8).prop_map(Happening::RefuseCheck),
        1 => (0..3_u8).prop_map(Happening::RefuseApply),
        1 => (0..8_usize).prop_map(Happening::Remove),
        1 => (0..8_usize).prop_map(Happening::Edit),
        1 => Just(Happening::Restart),
        1 => any::<bool>().prop_map(Happening::OtherSoftware),
        4 => (0..70_u64).prop_map(Happening::Wait),
    ]
}

fn refusal(which: u8) -> Option<Refusal> {
    match which {
        0 => None,
        1 => Some(Refusal::passing(reason::CLUSTER_UNAVAILABLE, "not now")),
        _ => Some(Refusal::lasting(reason::INVALID_OBJECT, "never")),
    }
}

fn happen(world: &mut World, happening: &Happening) {
    let nth = |world: &World, which: usize| {
        let keys: Vec<_> = world.objects.keys().cloned().collect();
        (!keys.is_empty()).then(|| keys[which % keys.len()].clone())
    };
    match *happening {
        Happening::Want {
            template,
            files,
            values,
            retry,
        } => {
            world.want(Recipe {
                template,
                files,
                values,
                retry,
            });
        }
        Happening::WantNothing(which) => {
            world.wanted = match which {
                0 => Wanted::Unknown,
                1 => Wanted::Hold { is_passing: true },
                2 => Wanted::Hold { is_passing: false },
                which => Wanted::Absent {
                    remove_data: which == 4,
                },
            };
        }
        Happening::Step => step(world),
        Happening::Control => world.control(),
        Happening::Show => world.show(),
        Happening::FinishDeletions => world.finish_deletions(),
        Happening::SlowToGo(is_slow) => world.is_slow_to_go = is_slow,
        Happening::Blind(is_blind) => world.is_blind = is_blind,
        Happening::Behave(which, conduct) => {
            let conduct = match conduct {
                0 => Conduct::Ready,
                1 => Conduct::Late,
                _ => Conduct::Broken,
            };
            let label = format!("t{}v{}r0", which % 4, which / 4);
            world.conduct.insert(label, conduct);
        }
        Happening::RefuseCheck(which) => world.refusals.0 = refusal(which),
        Happening::RefuseApply(which) => world.refusals.1 = refusal(which),
        Happening::Remove(which) => {
            if let Some(key) = nth(world, which) {
                world.objects.remove(&key);
            }
        }
        Happening::Edit(which) => {
            if let Some(key) = nth(world, which) {
                let real = world.objects.get_mut(&key).unwrap();
                real.version += 1;
                real.written += 1;
            }
        }
        Happening::Restart => {
            // Only the record outlives an engine, as it was stored; watches list anew.
            let stored = world.record.stored();
            world.record = crate::kube::record::KubeRecord::decode(&stored.bytes).unwrap();
            world.work = Default::default();
            world.show();
        }
        Happening::OtherSoftware(is_new) => {
            world.rendering = if is_new { "tomorrow" } else { "today" }.into();
        }
        Happening::Wait(seconds) => world.pass(Duration::from_secs(seconds)),
    }
}

/// Plans once, checks the plan, and carries it out.
fn step(world: &mut World) {
    let planned = world.plan();
    check(world, &planned);
    let changes = planned.actions.clone();
    world.carry_out(planned.actions);
    let lost = world.unaccounted();
    assert!(lost.is_empty(), "{changes:?} lost {lost:?}");
}

/// What no plan may do.
fn check(world: &World, planned: &Plan) {
    assert!(
        !world.is_blind || planned.actions.is_empty(),
        "acts while blind"
    );
    assert!(planned.actions.len() <= 1, "one step at a time");
    let Some(action) = planned.actions.first() else {
        return;
    };
    let is_kept = !matches!(world.wanted, Wanted::Absent { .. });
    match action {
        Action::Prune(targets) => {
            for key in targets.keys() {
                let mut wanted = world.record.releases().flat_map(|one| &one.objects);
                assert!(!wanted.any(|one| one == key), "prunes what a release has");
                let is_told = matches!(world.wanted, Wanted::Absent { remove_data: true });
                assert!(is_told || !is_data(key) || !is_kept, "prunes data");
            }
        }
        Action::Remove => {
            assert!(!is_kept);
            assert!(world.record.leaving.is_empty());
        }
        Action::Leave { .. } => assert!(!is_kept),
        Action::Promote => {
            let candidate = world.record.release(Role::Candidate).unwrap();
            assert!(candidate.is_applied, "promotes what was not applied");
            assert!(world.work.unseen.is_empty(), "promotes by an old sight");
            for (key, facts) in &world.facts.objects {
                let is_workload = key.api_version == "apps/v1";
                if is_workload && candidate.objects.contains(key) {
                    assert_eq!(facts.health, crate::kube::facts::Health::Ready);
                }
            }
        }
        Action::Begin(draft) => {
            assert!(is_kept);
            let failed = world.record.failed.as_ref();
            let is_again = failed.is_some_and(|failed| failed.pin == draft.pin);
            assert!(!is_again, "tries again what has failed");
        }
        Action::Apply(role) => {
            assert!(is_kept, "applies what is not wanted");
            assert_eq!(world.record.current().unwrap().0, *role);
        }
        Action::Fail(failing) if failing.goes_back => {
            let serving = world.record.serving.as_ref();
            let other = serving.is_none_or(|serving| serving.pin != failing.pin);
            assert!(other, "goes back to what failed");
        }
        _ => {}
    }
}

/// Plans and acts with nothing else happening, until nothing is left to do at this moment.
fn settle(world: &mut World) {
    for _ in 0..24 {
        let planned = world.plan();
        check(world, &planned);
        if planned.actions.is_empty() || world.is_removed {
            return;
        }
        world.carry_out(planned.actions);
        world.show();
    }
    panic!("planning does not end: {:?}", world.plan());
}

fn run(happenings: &[Happening]) -> World {
    let mut world = World::new();
    for happening in happenings {
        if world.is_removed {
            // The engine starts with a new record after that; data may be left.
            let objects = std::mem::take(&mut world.objects);
            world = World::new();
            world.objects = objects;
        }
        happen(&mut world, happening);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn when_anything_happens_then_plans_end_and_keep_the_rules(
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = run(&happenings);
        if !world.is_removed {
            world.show();
            settle(&mut world);
        }
    }

    #[test]
    fn when_all_goes_well_in_the_end_then_the_wish_runs_and_nothing_else(
        happenings in prop::collection::vec(happening(), 0..50),
        template in 0..4_u8,
    ) {
        let mut world = run(&happenings);
        if world.is_removed {
            return Ok(());
        }
        // Another retry than before: what failed meanwhile has failed for good.
        let wanted = Recipe { template, files: 0, values: 1, retry: 99 };
        let pin = world.want(wanted);
        world.succeed();

        let serving = world.record.serving.clone();
        prop_assert_eq!(serving.as_ref().map(|release| &release.pin), Some(&pin));
        prop_assert!(world.record.candidate.is_none());
        prop_assert!(world.record.leaving.is_empty());
        let own: Vec<_> = world.objects.keys().filter(|key| !is_data(key)).cloned().collect();
        let expected = wanted.objects();
        let expected: Vec<_> = expected.into_iter().filter(|key| !is_data(key)).collect();
        prop_assert_eq!(own, expected);
        prop_assert!(world.pods.values().all(|pod| pod.release == wanted.label()));
    }

    #[test]
    fn when_it_is_removed_in_the_end_then_nothing_is_left_but_data(
        happenings in prop::collection::vec(happening(), 0..50),
        remove_data in any::<bool>(),
    ) {
        let mut world = run(&happenings);
        world.wanted = Wanted::Absent { remove_data };
        if !world.is_removed {
            world.succeed();
        }
        prop_assert!(world.is_removed);
        prop_assert!(world.objects.keys().all(is_data));
        prop_assert!(world.pods.is_empty());
    }

    #[test]
    fn when_a_revision_breaks_then_the_one_before_is_what_runs(
        happenings in prop::collection::vec(happening(), 0..30),
        files in 0..2_u8,
    ) {
        let mut world = run(&happenings);
        if world.is_removed {
            return Ok(());
        }
        world.want(Recipe { template: 0, files, values: 0, retry: 77 });
        world.succeed();
        let before = world.record.serving.clone().unwrap();

        let bad = Recipe { template: 1, files, values: 1, retry: 78 };
        let pin = world.want(bad);
        world.conduct.insert(bad.label(), Conduct::Broken);
        for _ in 0..12 {
            world.control();
            world.show();
            settle(&mut world);
        }

        prop_assert_eq!(world.record.failed.as_ref().map(|failed| &failed.pin), Some(&pin));
        prop_assert!(world.record.candidate.is_none());
        let serving = world.record.serving.as_ref().unwrap();
        prop_assert_eq!(&serving.pin, &before.pin);
        prop_assert!(serving.is_applied);
        let workload = world.objects.iter().find(|(key, _)| key.kind == "Deployment");
        prop_assert_eq!(&workload.unwrap().1.label, &before.label);
        let own: Vec<_> = world.objects.keys().filter(|key| !is_data(key)).cloned().collect();
        let kept: Vec<_> = before.objects.iter().filter(|key| !is_data(key)).cloned().collect();
        prop_assert_eq!(own, kept);
    }
}
