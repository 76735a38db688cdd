//! Tests of the module `conflict`.

use super::*;

fn port(number: u16) -> Claim {
    Claim::Port(Protocol::Tcp, number)
}

fn claimants(rows: &[(&str, &[Claim], &[Claim])]) -> BTreeMap<String, Claimant> {
    let claimant = |(name, wants, has): &(&str, &[Claim], &[Claim])| {
        let claimant = Claimant {
            wants: wants.iter().cloned().collect(),
            has: has.iter().cloned().collect(),
        };
        ((*name).to_owned(), claimant)
    };
    rows.iter().map(claimant).collect()
}

#[test]
fn when_nobody_has_it_then_the_first_by_name_gets_it() {
    let obstacles = resolve(&claimants(&[
        ("b", &[port(80)], &[]),
        ("a", &[port(80)], &[]),
    ]));

    assert_eq!(obstacles.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(obstacles["b"].reason, reason::PORT_CONFLICT);
    assert!(!obstacles["b"].is_passing);
    assert_eq!(
        obstacles["b"].message,
        "tcp port 80 is used by application a"
    );
}

#[test]
fn when_one_serves_with_it_then_it_keeps_it() {
    let obstacles = resolve(&claimants(&[
        ("a", &[port(80)], &[]),
        ("b", &[port(80)], &[port(80)]),
    ]));

    assert_eq!(obstacles.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn when_the_owner_gives_it_up_then_the_next_one_waits() {
    let obstacles = resolve(&claimants(&[
        ("new", &[port(80)], &[]),
        ("old", &[port(81)], &[port(80)]),
    ]));

    assert_eq!(obstacles.keys().collect::<Vec<_>>(), ["new"]);
    assert!(obstacles["new"].is_passing);
}

#[test]
fn when_refused_for_one_and_waiting_for_another_then_it_is_refused() {
    let obstacles = resolve(&claimants(&[
        ("a", &[port(90)], &[port(90)]),
        ("b", &[port(80), port(90)], &[]),
        ("old", &[], &[port(80)]),
    ]));

    assert!(!obstacles["b"].is_passing);
}

#[test]
fn when_function_services_share_a_name_then_it_is_a_service_conflict() {
    let service = Claim::Service("sensors".into());
    let obstacles = resolve(&claimants(&[
        ("a", std::slice::from_ref(&service), &[]),
        ("b", &[service.clone(), Claim::Port(Protocol::Udp, 80)], &[]),
        ("c", &[port(80)], &[]),
    ]));

    assert_eq!(obstacles.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(obstacles["b"].reason, reason::SERVICE_CONFLICT);
}
