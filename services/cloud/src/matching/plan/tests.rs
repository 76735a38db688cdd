//! The plan against brute force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use baetyl_model::{Digest, Kind, Name, Revision, Selector, Uid};
use baetyl_proto::resource::v1::{ApplicationType, CoreConfig, NodeMode};
use proptest::prelude::*;

use super::{Match, NodePlan, for_node, matches};
use crate::matching::view::{ApplicationFacts, Change, Claim, InputFacts, NodeFacts, View};

const SELECTORS: [&str; 5] = ["", "a = x", "a in (x, y)", "!a", "b != y"];
const KINDS: [ApplicationType; 5] = [
    ApplicationType::Process,
    ApplicationType::Function,
    ApplicationType::Container,
    ApplicationType::Helm,
    ApplicationType::Manifest,
];

fn name(prefix: &str, index: usize) -> Name {
    Name::parse(&format!("{prefix}-{index}")).unwrap()
}

fn uid(prefix: u8, index: usize) -> Uid {
    Uid::parse(&format!("00000000-0000-4000-8000-{prefix:04}{index:08}")).unwrap()
}

fn input_name(index: usize) -> Name {
    name("input", index)
}

fn claim(index: usize) -> Claim {
    match index {
        0 => Claim::Service("window".to_owned()),
        index => Claim::Port {
            protocol: "tcp".to_owned(),
            number: 8000 + u32::try_from(index).unwrap(),
        },
    }
}

fn node(index: usize, a: usize, b: usize, is_kube: bool) -> NodeFacts {
    let mut labels = BTreeMap::new();
    for (key, value) in [("a", a), ("b", b)] {
        if value > 0 {
            labels.insert(key.to_owned(), ["", "x", "y"][value].to_owned());
        }
    }
    NodeFacts {
        name: name("node", index),
        uid: uid(1, index),
        revision: Revision::FIRST,
        labels,
        mode: match is_kube {
            true => NodeMode::Kube,
            false => NodeMode::Process,
        },
        is_cloud: true,
        core: CoreConfig::default(),
    }
}

prop_compose! {
    fn nodes()(each in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>()), 0..6))
        -> Vec<NodeFacts>
    {
        let each = each.into_iter().enumerate();
        each.map(|(index, (a, b, is_kube))| node(index, a, b, is_kube)).collect()
    }
}

prop_compose! {
    fn application(index: usize)(
        selector in 0..SELECTORS.len(),
        kind in 0..KINDS.len(),
        needs_cluster in any::<bool>(),
        age in 0..4_u64,
        revision in 1..4_u64,
        claims in prop::collection::btree_set(0..4_usize, 0..3),
        inputs in prop::collection::btree_set(0..3_usize, 0..3),
    ) -> ApplicationFacts {
        ApplicationFacts {
            name: name("app", index),
            uid: uid(2, index),
            revision: Revision::new(revision).unwrap(),
            digest: Digest::of(format!("{index} {revision}").as_bytes()),
            template_digest: Digest::of(format!("{index}").as_bytes()),
            create_time: UNIX_EPOCH + Duration::from_secs(age),
            kind: KINDS[kind],
            needs_cluster,
            selector: Selector::parse(SELECTORS[selector]).unwrap(),
            inputs: inputs.into_iter().map(|one| (Kind::Secret, input_name(one))).collect(),
            claims: claims.into_iter().map(claim).collect(),
            features: Vec::new(),
        }
    }
}

fn applications() -> impl Strategy<Value = Vec<ApplicationFacts>> {
    (0..7_usize).prop_flat_map(|count| (0..count).map(application).collect::<Vec<_>>())
}

prop_compose! {
    fn changes()(
        nodes in nodes(),
        applications in applications(),
        inputs in prop::collection::btree_set(0..3_usize, 0..4),
    ) -> Vec<Change> {
        let nodes = nodes.into_iter().map(|one| Change::Node(Arc::new(one)));
        let applications = applications.into_iter().map(|one| Change::Application(Arc::new(one)));
        let inputs = inputs.into_iter().map(|one| {
            let facts = InputFacts {
                revision: Revision::FIRST,
                digest: Digest::of(&[u8::try_from(one).unwrap()]),
            };
            Change::Input(Kind::Secret, input_name(one), facts)
        });
        nodes.chain(applications).chain(inputs).collect()
    }
}

fn view(changes: &[Change]) -> View {
    let mut view = View::default();
    for change in changes {
        view.apply(change.clone());
    }
    view
}

fn plan(view: &View, node: &NodeFacts) -> NodePlan {
    for_node(view, node, &[], &BTreeMap::new())
}

/// An application is kept exactly when it fits and no older one that is kept claims the same.
fn kept(view: &View, node: &NodeFacts) -> BTreeSet<Name> {
    let mut left: Vec<&ApplicationFacts> = view.applications().collect();
    let mut kept: Vec<&ApplicationFacts> = Vec::new();
    while !left.is_empty() {
        let oldest = *left
            .iter()
            .min_by_key(|one| (one.create_time, one.uid.clone()))
            .unwrap();
        left.retain(|one| one.name != oldest.name);
        let clashes = kept
            .iter()
            .any(|one| !one.claims.is_disjoint(&oldest.claims));
        if matches(oldest, node) == Match::Full && !clashes {
            kept.push(oldest);
        }
    }
    kept.into_iter().map(|one| one.name.clone()).collect()
}

proptest! {
    #[test]
    fn when_a_node_is_planned_then_it_is_what_brute_force_says(changes in changes()) {
        let view = view(&changes);
        for node in view.nodes() {
            let plan = plan(&view, node);

            let delivered: BTreeSet<String> =
                plan.applications.iter().map(|one| one.name.clone()).collect();
            let wanted: BTreeSet<String> = kept(&view, node)
                .iter()
                .filter(|name| {
                    let inputs = &view.application(name).unwrap().inputs;
                    inputs.iter().all(|(kind, input)| view.input(*kind, input).is_some())
                })
                .map(Name::to_string)
                .collect();
            prop_assert_eq!(delivered, wanted);
            // Each that fits is delivered, or said to be left out, once.
            let fitting = view.applications().filter(|one| matches(one, node) == Match::Full);
            let told = plan.applications.len() + plan.conflicts.len() + plan.missing.len();
            prop_assert_eq!(told, fitting.count());
        }
    }

    #[test]
    fn when_changes_come_in_another_order_then_the_plan_is_the_same(
        (changes, shuffled) in changes().prop_flat_map(|all| {
            (Just(all.clone()), Just(all).prop_shuffle())
        }),
    ) {
        let (one, other) = (view(&changes), view(&shuffled));
        for node in one.nodes() {
            prop_assert_eq!(plan(&one, node), plan(&other, node));
        }
    }

    #[test]
    fn when_something_changes_then_only_touched_nodes_have_another_plan(
        before in changes(),
        after in changes(),
        gone in prop::collection::btree_set(0..7_usize, 0..3),
    ) {
        let old = view(&before);
        let mut new = old.clone();
        let mut touched = BTreeSet::new();
        for change in after {
            touched.extend(new.apply(change));
        }
        for index in gone {
            touched.extend(new.apply(Change::Removed(Kind::Application, name("app", index))));
            touched.extend(new.apply(Change::Removed(Kind::Secret, input_name(index))));
        }
        for node in new.nodes().filter(|node| !touched.contains(&node.name)) {
            let before = old.node(&node.name).map(|facts| plan(&old, facts));
            prop_assert_eq!(before, Some(plan(&new, node)));
        }
    }
}

fn two(first: ApplicationFacts, second: ApplicationFacts) -> (View, NodeFacts) {
    let node = node(0, 1, 0, false);
    let changes = [
        Change::Node(Arc::new(node.clone())),
        Change::Application(Arc::new(first)),
        Change::Application(Arc::new(second)),
    ];
    (view(&changes), node)
}

fn process(index: usize, age: u64) -> ApplicationFacts {
    ApplicationFacts {
        name: name("app", index),
        uid: uid(2, index),
        revision: Revision::FIRST,
        digest: Digest::of(b"body"),
        template_digest: Digest::of(b"template"),
        create_time: UNIX_EPOCH + Duration::from_secs(age),
        kind: ApplicationType::Process,
        needs_cluster: false,
        selector: Selector::parse("a = x").unwrap(),
        inputs: Vec::new(),
        claims: BTreeSet::new(),
        features: Vec::new(),
    }
}

#[test]
fn when_two_claim_a_port_then_the_older_keeps_it_and_both_are_named() {
    let claims = BTreeSet::from([claim(1)]);
    let younger = ApplicationFacts {
        claims: claims.clone(),
        ..process(0, 2)
    };
    let older = ApplicationFacts {
        claims,
        ..process(1, 1)
    };
    let (view, node) = two(younger, older);

    let plan = plan(&view, &node);

    assert_eq!(plan.applications[0].name, "app-1");
    let conflict = &plan.conflicts[0];
    assert_eq!(
        (conflict.application.as_str(), conflict.keeper.as_str()),
        ("app-0", "app-1")
    );
    assert_eq!(conflict.claim.to_string(), "port 8001/tcp");
}

#[test]
fn when_an_input_is_gone_then_what_runs_is_kept() {
    let orphan = ApplicationFacts {
        inputs: vec![(Kind::Configuration, input_name(0))],
        ..process(0, 1)
    };
    let (view, node) = two(orphan, process(1, 1));
    let held = super::wire::DesiredApplication {
        name: "app-0".to_owned(),
        uid: uid(2, 0).to_string(),
        revision: 7,
        ..Default::default()
    };

    let plan = for_node(&view, &node, std::slice::from_ref(&held), &BTreeMap::new());

    assert_eq!(plan.applications[0], held);
    assert_eq!(plan.applications[1].name, "app-1");
    assert_eq!(plan.missing[0].name, input_name(0));
}

#[test]
fn when_labels_match_and_the_mode_does_not_then_it_is_said() {
    let container = ApplicationFacts {
        kind: ApplicationType::Container,
        ..process(0, 1)
    };

    assert_eq!(
        matches(&container, &node(0, 1, 0, false)),
        Match::ByLabelNotByMode
    );
    assert_eq!(matches(&container, &node(0, 1, 0, true)), Match::Full);
    assert_eq!(matches(&container, &node(0, 2, 0, true)), Match::No);
}

#[test]
fn when_types_meet_modes_then_only_those_that_run_there_match() {
    let (process, function) = (ApplicationType::Process, ApplicationType::Function);
    let (container, helm) = (ApplicationType::Container, ApplicationType::Helm);
    let manifest = ApplicationType::Manifest;
    // Type, whether it needs a cluster; whether it runs on process and on kube nodes.
    let cases = [
        (process, false, true, false),
        (function, false, true, true),
        (function, true, false, true),
        (container, true, false, true),
        (helm, false, false, true),
        (manifest, false, false, true),
    ];
    for (kind, needs_cluster, on_process, on_kube) in cases {
        let application = ApplicationFacts {
            kind,
            needs_cluster,
            ..self::process(0, 1)
        };
        for (is_kube, expected) in [(false, on_process), (true, on_kube)] {
            let found = matches(&application, &node(0, 1, 0, is_kube)) == Match::Full;
            assert_eq!(found, expected, "{kind:?} {needs_cluster} {is_kube}");
        }
    }
}
