//! Two releases of one revision: which of them gets the calls.

use std::sync::Arc;

use super::{Scene, calls, commands, end, endpoint, farewell, release, route};
use crate::app::endpoint::{Endpoint, Serves};
use crate::app::pool::Refusal;
use crate::app::route::Route;

/// A runtime of revision 1.
fn runtime(id: u64, label: &str) -> Endpoint {
    Endpoint {
        serves: Serves::Release(release(1, label)),
        ..endpoint(id, 1)
    }
}

/// Revision 1, with one release that is active and perhaps one that waits.
fn releases(active: &str, standby: Option<&str>) -> Arc<Route> {
    Arc::new(Route {
        active: release(1, active),
        standby: standby.map(|label| release(1, label)),
        ..route(1, None)
    })
}

fn given_old_serves_and_new_waits() -> Scene {
    let mut scene = Scene::new();
    scene
        .pool
        .set_route(releases("old", Some("new")), scene.now);
    scene
}

#[test]
fn given_a_standby_of_the_active_revision_when_calls_come_then_it_gets_none() {
    let mut scene = given_old_serves_and_new_waits();
    let new = scene.attach(runtime(1, "new"));
    let early = scene.submit();
    assert_eq!(scene.pool.load(), (0, 0), "a standby cannot take calls");

    let old = scene.attach(runtime(2, "old"));
    let waiting = scene.submit();
    while let [call] = &calls(&old)[..] {
        scene.answer(2, call.id);
    }

    assert!(calls(&new).is_empty());
    for reply in [early, waiting] {
        assert!(end(&reply).expect("an end").is_ok());
    }
}

#[test]
fn given_a_standby_of_the_active_revision_when_it_is_promoted_then_calls_move_and_the_old_drains() {
    let mut scene = given_old_serves_and_new_waits();
    let old = scene.attach(runtime(1, "old"));
    let new = scene.attach(runtime(2, "new"));
    let running = scene.submit();
    let waiting = scene.submit();
    let id = calls(&old)[0].id;

    scene.pool.set_route(releases("new", None), scene.now);

    assert_eq!(calls(&new).len(), 1);
    assert!(waiting.dispatched().is_some());
    assert!(commands(&old).is_empty(), "its call goes on");
    scene.answer(1, id);
    assert!(end(&running).expect("an end").is_ok());
    assert_eq!(farewell(&old), Some("NOT_ROUTED"));
    let again = scene.pool.attach(runtime(3, "old"), None, scene.now);
    assert_eq!(again, Err(Refusal::NotRouted));
}

#[test]
fn given_a_standby_of_the_active_revision_when_it_is_taken_back_then_it_goes_without_a_call() {
    let mut scene = given_old_serves_and_new_waits();
    let old = scene.attach(runtime(1, "old"));
    let new = scene.attach(runtime(2, "new"));
    scene.submit();
    scene.submit();

    scene.pool.set_route(releases("old", None), scene.now);

    let told = commands(&new);
    assert_eq!(told.len(), 1, "{told:?}");
    let again = scene.pool.attach(runtime(3, "new"), None, scene.now);
    assert_eq!(again, Err(Refusal::NotRouted));
    assert_eq!(calls(&old).len(), 1);
}

#[test]
fn when_roles_are_swapped_then_calls_follow() {
    let mut scene = given_old_serves_and_new_waits();
    let old = scene.attach(runtime(1, "old"));
    let new = scene.attach(runtime(2, "new"));

    scene
        .pool
        .set_route(releases("new", Some("old")), scene.now);
    scene.submit();
    assert_eq!((calls(&old).len(), calls(&new).len()), (0, 1));
    scene
        .pool
        .set_route(releases("old", Some("new")), scene.now);
    scene.submit();

    assert_eq!((calls(&old).len(), calls(&new).len()), (1, 0));
}

#[test]
fn when_a_runtime_or_the_route_names_no_release_then_the_revision_counts() {
    let mut scene = given_old_serves_and_new_waits();
    let unnamed = scene.attach(runtime(1, ""));
    scene.submit();
    assert_eq!(calls(&unnamed).len(), 1);

    let mut scene = Scene::new();
    scene.pool.set_route(releases("", None), scene.now);
    let named = scene.attach(runtime(1, "new"));
    scene.submit();

    assert_eq!(calls(&named).len(), 1);
}

#[test]
fn when_a_standby_comes_back_on_a_new_stream_then_it_still_waits() {
    let mut scene = given_old_serves_and_new_waits();
    let first = scene.attach(runtime(1, "new"));
    let mut again = runtime(2, "new");
    again.instance.id = "runtime-1".to_owned();

    let second = scene.attach(again);
    scene.submit();

    assert_eq!(farewell(&first), Some("SUPERSEDED"));
    assert!(calls(&second).is_empty());
    scene.pool.set_route(releases("new", None), scene.now);
    assert_eq!(calls(&second).len(), 1);
}
