//! Tables are taken whole, in order, and only when nothing in them is wrong.

use std::time::Duration;

use super::{MAX_ROUTES, Route, RouteSet, is_function_name, is_name};

fn route(application: &str, service: &str) -> Route {
    Route {
        application: application.to_owned(),
        service: service.to_owned(),
        active_revision: 1,
        standby_revision: None,
        functions: vec!["window".to_owned()],
        timeout: Duration::from_secs(5),
        queue_limit: None,
    }
}

fn faults(routes: Vec<Route>) -> Vec<(String, String)> {
    let error = RouteSet::try_new(1, routes).expect_err("the table is wrong");
    let pairs = error
        .violations
        .into_iter()
        .map(|each| (each.field, each.reason));
    pairs.collect()
}

#[test]
fn when_several_routes_are_wrong_then_all_faults_are_named() {
    let mut wrong = route("Sensors", "");
    wrong.functions = vec!["a b".to_owned(), "twice".to_owned(), "twice".to_owned()];
    wrong.timeout = Duration::ZERO;
    wrong.queue_limit = Some(u32::MAX);

    let faults = faults(vec![route("sensors", "s"), wrong, route("other", "s")]);

    let expected = [
        ("routes[1].application", "NAME"),
        ("routes[1].service", "NAME"),
        ("routes[1].functions[0]", "NAME"),
        ("routes[1].functions[2]", "DUPLICATE"),
        ("routes[1].timeout", "OUT_OF_BOUNDS"),
        ("routes[1].queue_limit", "OUT_OF_BOUNDS"),
        ("routes[2].service", "DUPLICATE"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(faults, expected);
}

#[test]
fn when_dots_make_two_full_names_equal_then_the_second_is_refused() {
    let faults = faults(vec![route("a.b", "c"), route("a", "b.c")]);

    assert_eq!(
        faults,
        [("routes[1].service".to_owned(), "DUPLICATE".to_owned())]
    );
}

#[test]
fn when_there_are_too_many_routes_then_one_fault_says_so() {
    let routes = vec![route("a", "s"); MAX_ROUTES + 1];

    assert_eq!(
        faults(routes),
        [("routes".to_owned(), "TOO_MANY".to_owned())]
    );
}

#[test]
fn when_the_generation_is_lower_then_the_table_is_stale() {
    let at = |generation| RouteSet::try_new(generation, vec![]).expect("an empty table is valid");

    let stale = at(4).replaces(&at(5)).expect_err("4 is older than 5");

    assert_eq!((stale.offered, stale.present), (4, 5));
    assert!(at(5).replaces(&at(5)).is_ok());
    assert!(at(6).replaces(&at(5)).is_ok());
}

#[test]
fn when_a_revision_is_active_or_standby_then_it_may_attach() {
    let mut route = route("a", "s");
    route.standby_revision = Some(2);

    let admitted = [0, 1, 2, 3].map(|revision| route.admits(revision));

    assert_eq!(admitted, [false, true, true, false]);
}

#[test]
fn when_a_table_was_written_then_it_reads_back_and_a_broken_one_does_not() {
    let set = RouteSet::try_new(7, vec![route("a", "s")]).expect("the table is valid");
    let text = serde_json::to_string(&set).expect("a table can be written");

    let read: RouteSet = serde_json::from_str(&text).expect("it reads back");
    let broken = serde_json::from_str::<RouteSet>(&text.replace("\"s\"", "\"S\""));

    assert_eq!(read, set);
    assert!(broken.is_err());
}

#[test]
fn names_follow_the_rules() {
    let long = "a".repeat(64);
    for (text, is_right) in [
        ("a", true),
        ("a-b.c0", true),
        ("", false),
        ("-a", false),
        ("a.", false),
        ("A", false),
        ("a/b", false),
        (long.as_str(), false),
    ] {
        assert_eq!(is_name(text), is_right, "{text}");
    }
    for (text, is_right) in [
        ("my_Func.v2-x", true),
        ("", false),
        ("a b", false),
        ("ä", false),
    ] {
        assert_eq!(is_function_name(text), is_right, "{text}");
    }
}
