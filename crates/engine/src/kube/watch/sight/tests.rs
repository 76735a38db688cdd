//! When observation counts as broken.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{Need, Sights};

const MOMENT: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn when_a_vital_watch_breaks_for_more_than_a_moment_then_nothing_is_judged() {
    let sights = Sights::new();
    let sight = sights.add(Need::Vital, Some("edge"));
    sight.listed();

    sight.broken("pods cannot be watched".to_owned(), false);
    let (early, next) = sights.cluster(MOMENT, Instant::now());
    advance(MOMENT).await;
    let (late, _) = sights.cluster(MOMENT, Instant::now());

    assert_eq!(early.blind_since, None);
    assert_eq!(next, Some(Instant::now()));
    assert!(late.blind_since.is_some());
    assert_eq!(late.blind_reason, "pods cannot be watched");
}

#[tokio::test(start_paused = true)]
async fn when_a_watch_fails_again_then_since_when_stays_what_it_was() {
    let sights = Sights::new();
    let sight = sights.add(Need::Vital, None);
    sight.broken("first".to_owned(), false);
    advance(MOMENT).await;
    let (before, _) = sights.cluster(MOMENT, Instant::now());

    sight.broken("second".to_owned(), false);
    let (after, _) = sights.cluster(MOMENT, Instant::now());

    assert_eq!(after.blind_since, before.blind_since);
    assert_eq!(after.blind_reason, "second");
}

#[tokio::test(start_paused = true)]
async fn when_all_are_current_again_then_nothing_is_said() {
    let sights = Sights::new();
    let all = [
        sights.add(Need::Vital, Some("a")),
        sights.add(Need::Vital, Some("b")),
    ];
    for sight in &all {
        sight.broken("away".to_owned(), false);
    }
    advance(MOMENT).await;
    all[0].current();
    let (one, _) = sights.cluster(MOMENT, Instant::now());
    all[1].current();
    let (none, _) = sights.cluster(MOMENT, Instant::now());

    assert!(one.blind_since.is_some());
    assert_eq!((none.blind_since, none.blind_reason.as_str()), (None, ""));
}

#[tokio::test(start_paused = true)]
async fn when_a_permission_is_missing_then_only_its_namespace_is_concerned() {
    let sights = Sights::new();
    let open = sights.add(Need::Vital, Some("open"));
    let closed = sights.add(Need::Vital, Some("closed"));
    open.listed();

    closed.broken("no permission to list pods".to_owned(), true);
    advance(MOMENT).await;
    let (facts, _) = sights.cluster(MOMENT, Instant::now());

    assert_eq!(facts.blind_since, None);
    assert_eq!(facts.forbidden.len(), 1);
    assert_eq!(facts.forbidden["closed"], "no permission to list pods");
    assert!(sights.is_ready());
}

#[tokio::test(start_paused = true)]
async fn when_machines_and_events_cannot_be_seen_then_applications_can() {
    let sights = Sights::new();
    let machines = sights.add(Need::Machines, None);
    let events = sights.add(Need::Events, Some("edge"));

    machines.broken("no permission to list nodes".to_owned(), true);
    events.broken("no permission to list events".to_owned(), true);
    advance(MOMENT).await;
    let (facts, _) = sights.cluster(MOMENT, Instant::now());

    assert_eq!(facts.blind_since, None);
    assert_eq!(facts.machines_unavailable, "no permission to list nodes");
    assert!(sights.is_ready());
}

#[tokio::test]
async fn when_not_every_list_of_a_followed_kind_is_there_then_it_is_not_seen() {
    let sights = Sights::new();
    let kind = ("example.com".to_owned(), "Widget".to_owned());
    let need = || Need::Followed(kind.clone());
    let nobody = sights.followed(&kind);

    let one = sights.add(need(), Some("a"));
    let other = sights.add(need(), Some("b"));
    one.listed();
    let half = sights.followed(&kind);
    other.listed();
    let whole = sights.followed(&kind);
    other.broken("widgets cannot be watched".to_owned(), false);
    let broken = sights.followed(&kind);

    assert!(nobody.is_some());
    assert!(half.is_some());
    assert_eq!(whole, None);
    assert_eq!(broken.as_deref(), Some("widgets cannot be watched"));
}
