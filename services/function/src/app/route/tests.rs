//! Tables are taken whole, in order, and only when nothing in them is wrong.

use std::time::Duration;

use crate::app::release::Release;

use super::{MAX_ROUTES, Route, RouteSet, is_function_name, is_name};

fn release(revision: u64, label: &str) -> Release {
    Release {
        revision,
        label: label.to_owned(),
    }
}

fn route(application: &str, service: &str) -> Route {
    Route {
        application: application.to_owned(),
        service: service.to_owned(),
        active: release(1, ""),
        standby: None,
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
    wrong.active.label = "a".repeat(64);
    wrong.standby = Some(release(1, &"b".repeat(64)));

    let faults = faults(vec![route("sensors", "s"), wrong, route("other", "s")]);

    let expected = [
        ("routes[1].application", "NAME"),
        ("routes[1].service", "NAME"),
        ("routes[1].active_release", "OUT_OF_BOUNDS"),
        ("routes[1].standby_release", "OUT_OF_BOUNDS"),
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
    route.standby = Some(release(2, ""));

    let admitted = [0, 1, 2, 3].map(|revision| route.admits(&release(revision, "any")));

    assert_eq!(admitted, [false, true, true, false]);
}

#[test]
fn when_a_release_of_the_active_revision_is_standby_then_both_may_attach_and_no_other() {
    let mut route = route("a", "s");
    route.active = release(1, "old");
    route.standby = Some(release(1, "new"));

    let admitted = ["old", "new", "", "other"].map(|label| route.admits(&release(1, label)));

    assert_eq!(admitted, [true, true, true, false]);
}

#[test]
fn when_a_table_was_written_before_releases_had_labels_then_it_is_read() {
    let text = r#"{"generation": 4, "routes": [{
        "application": "a", "service": "s", "active_revision": 1, "standby_revision": 2,
        "functions": ["window"], "timeout": {"secs": 5, "nanos": 0}, "queue_limit": null
    }]}"#;

    let read: RouteSet = serde_json::from_str(text).expect("it is read");

    let mut expected = route("a", "s");
    expected.standby = Some(release(2, ""));
    assert_eq!(read.routes(), [expected]);
}

#[test]
fn when_a_table_was_written_then_it_reads_back_and_a_broken_one_does_not() {
    let mut route = route("a", "s");
    route.active = release(1, "old");
    route.standby = Some(release(1, "new"));
    let set = RouteSet::try_new(7, vec![route]).expect("the table is valid");
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
