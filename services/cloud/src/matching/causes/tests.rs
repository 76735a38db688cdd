//! Tests of the module `causes`.

use baetyl_model::Kind;

use super::*;

fn key(name: &str) -> Key {
    Key {
        namespace: "default".parse().unwrap(),
        kind: Kind::Configuration,
        name: name.parse().unwrap(),
    }
}

#[test]
fn when_an_announced_change_arrives_then_it_waits_until_it_is_worked_off() {
    let mut causes = Causes::default();
    causes.announce(key("limits"), "one".into());
    assert_eq!(causes.waiting(), None, "it may still fail");

    causes.arrived(&key("other"));
    assert_eq!(causes.waiting(), None);
    causes.arrived(&key("limits"));
    assert_eq!(causes.waiting().as_deref(), Some("one"));

    causes.done();
    causes.arrived(&key("limits"));
    assert_eq!(causes.waiting(), None, "a change has one cause");
}

#[test]
fn when_announced_changes_never_arrive_then_they_are_forgotten() {
    let mut causes = Causes::default();
    for number in 0..=MOST {
        causes.announce(key(&format!("n{number}")), "one".into());
    }

    assert_eq!(causes.announced.len(), 1);
}
