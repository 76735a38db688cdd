//! Events: read, counted, bounded.

use serde_json::json;

use super::{Happening, MAX_EVENTS, MAX_KEPT, Timeline, happening};

fn event(name: &str, second: u32, message: &str, count: u32) -> Happening {
    let raw = json!({
        "metadata": {"name": name, "namespace": "edge", "resourceVersion": "1"},
        "involvedObject": {
            "kind": "Pod",
            "name": "web-1",
            "uid": "u1",
            "fieldPath": "spec.containers{web}",
        },
        "type": "Warning",
        "reason": "Unhealthy",
        "message": message,
        "count": count,
        "lastTimestamp": format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60),
    });
    happening(serde_json::from_value(raw).expect("an event"))
}

#[test]
fn when_an_event_is_of_the_newer_sort_then_its_series_says_how_often_and_when() {
    let raw = json!({
        "metadata": {"name": "e", "namespace": "edge"},
        "involvedObject": {"kind": "Pod", "name": "web-1", "uid": "u1"},
        "reason": "FailedScheduling",
        "type": "Warning",
        "message": "0/1 nodes are available",
        "firstTimestamp": null,
        "lastTimestamp": null,
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "series": {"count": 4, "lastObservedTime": "2026-01-01T00:01:00.500000Z"},
    });

    let seen = happening(serde_json::from_value(raw).expect("an event"));

    assert_eq!(seen.told.count, 4);
    assert_eq!(seen.told.object, "Pod/web-1");
    assert!(seen.told.is_warning);
    assert_eq!(seen.unhealthy, "");
    let told = seen.told.time.expect("a time");
    assert_eq!(told.nanos, 500_000_000);
}

#[test]
fn when_equal_events_come_from_several_objects_then_they_are_told_as_one() {
    let mut timeline = Timeline::default();

    timeline.add(event("e1", 1, "no answer", 2));
    timeline.add(event("e2", 3, "no answer", 3));
    timeline.add(event("e3", 2, "refused", 1));
    let told = timeline.told();

    let told: Vec<_> = told.iter().map(|e| (e.message.as_str(), e.count)).collect();
    assert_eq!(told, [("refused", 1), ("no answer", 5)]);
}

#[test]
fn when_there_are_many_then_the_newest_are_kept_and_told_oldest_first() {
    let mut timeline = Timeline::default();

    for second in 0..200 {
        let dropped = timeline.add(event(&format!("e{second}"), second, &second.to_string(), 1));
        assert_eq!(dropped.is_some(), second as usize >= MAX_KEPT, "{second}");
    }

    let told = timeline.told();
    assert_eq!(timeline.keys().count(), MAX_KEPT);
    assert_eq!(told.len(), MAX_EVENTS);
    assert_eq!(told[0].message, "180");
    assert_eq!(told[MAX_EVENTS - 1].message, "199");
}

#[test]
fn when_an_event_comes_again_then_it_replaces_itself() {
    let mut timeline = Timeline::default();

    timeline.add(event("e1", 1, "no answer", 1));
    timeline.add(event("e1", 9, "no answer", 7));

    let told = timeline.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].count, 7);
}

#[test]
fn when_a_probe_failed_before_the_container_started_then_that_is_not_what_it_says() {
    let mut timeline = Timeline::default();
    timeline.add(event("e1", 10, "no answer", 1));
    let seconds = |second: u64| {
        let start = super::super::wire::time(Some(&"2026-01-01T00:00:00Z".to_owned()));
        start.map(|start| start + std::time::Duration::from_secs(second))
    };

    let before = timeline.probe_message("u1", "web", seconds(5));
    let after = timeline.probe_message("u1", "web", seconds(11));
    let other = timeline.probe_message("u1", "side", seconds(5));

    assert_eq!(before, Some("no answer"));
    assert_eq!(after, None);
    assert_eq!(other, None);
}
