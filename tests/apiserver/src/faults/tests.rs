//! Tests of the rules of faults.

use super::*;

fn facts(user: &str, verb: &str, resource: &str) -> Facts {
    Facts {
        user: user.to_owned(),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        ..Facts::default()
    }
}

#[test]
fn when_a_fault_is_for_the_next_requests_then_it_ends_after_them() {
    let faults = Faults::default();
    let filter = Filter {
        user: Some("core".to_owned()),
        verbs: vec!["patch"],
        ..Filter::default()
    };
    let id = faults.add(filter, When::Next(2), Fault::Answer(409));

    let mut found = Vec::new();
    for (user, verb) in [
        ("core", "get"),
        ("admin", "patch"),
        ("core", "patch"),
        ("core", "patch"),
        ("core", "patch"),
    ] {
        found.push(faults.plan(&facts(user, verb, "pods")).before.is_some());
    }

    assert_eq!(found, [false, false, true, true, false]);
    assert_eq!(faults.hits(id), 2);
}

#[test]
fn when_chances_have_the_same_seed_then_the_same_requests_fail() {
    let run = || {
        let faults = Faults::default();
        let when = When::Chance {
            per_mille: 300,
            seed: 7,
        };
        faults.add(Filter::default(), when, Fault::Answer(500));
        let plans = (0..50).map(|_| faults.plan(&facts("core", "get", "pods")));
        plans.map(|plan| plan.before.is_some()).collect::<Vec<_>>()
    };

    let first = run();

    assert_eq!(first, run());
    assert!(first.contains(&true) && first.contains(&false));
}

#[test]
fn when_a_request_is_refused_then_nothing_of_what_comes_after_counts() {
    let faults = Faults::default();
    faults.add(Filter::default(), When::Next(1), Fault::Answer(503));
    let after = faults.add(Filter::default(), When::Next(1), Fault::StoredThenCut);

    let first = faults.plan(&facts("core", "patch", "pods"));
    let second = faults.plan(&facts("core", "patch", "pods"));

    assert_eq!(first.before, Some(Fault::Answer(503)));
    assert_eq!(first.after, None);
    assert_eq!(second.after, Some(Fault::StoredThenCut));
    assert_eq!(faults.hits(after), 1);
}
