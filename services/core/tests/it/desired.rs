//! The way of a desired state: fetched, persisted, acknowledged, applied; never backward.

use baetyl_model::Digest;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{Desired, Fence};

use crate::cloud::{Cloud, Mischief};
use crate::edge::{Place, Wish};

#[tokio::test]
async fn when_the_first_state_arrives_then_it_is_accepted_and_runs() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    assert_eq!(session.hello.node_uid, cloud.uid.as_str());
    assert_eq!(session.hello.held, None);
    assert_eq!(session.hello.protocol_version, 1);
    assert!(!session.hello.incarnation.is_empty());
    session.welcome(&[]).await;

    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;

    assert_eq!(session.converged().await, wish.fence);
    let status = edge.status().await;
    assert!(status.connected);
    assert_eq!(status.accepted_generation, 1);
    assert_eq!(status.applications.len(), 1);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_core_starts_again_then_hello_shows_what_is_held_and_nothing_is_fetched() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let wish = Wish::new(&cloud, 3).application("watcher", "hello");
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    wish.settle(&cloud, &mut session).await;
    session.converged().await;
    edge.stop().await.unwrap();
    session.closed().await;
    let fetched = cloud.bodies.lock().asked.len();

    let edge = place.start().await;
    let mut session = cloud.session().await;

    assert_eq!(session.hello.held, Some(wish.fence));
    assert_eq!(session.hello.converged, Some(wish.fence));
    let digest = Digest::of(&wish.encoded()).to_string();
    assert_eq!(session.hello.held_digest, digest);
    session.welcome(&[]).await;
    wish.send(&session).await;
    assert_eq!(session.accepted().await, wish.fence);
    assert_eq!(cloud.bodies.lock().asked.len(), fetched);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_cloud_is_gone_then_core_starts_with_what_it_holds() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;
    session.converged().await;
    edge.stop().await.unwrap();
    cloud.stop().await;

    let edge = place.start().await;

    let mut node = edge.node().await;
    let mut changes = node
        .watch_node_status(baetyl_proto::node::v1::WatchNodeStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let healthy = async {
        loop {
            let change = changes.message().await.unwrap().unwrap();
            let status = change.status.unwrap();
            assert!(!status.connected);
            if status.converged_generation == 1 && status.applications.len() == 1 {
                return status;
            }
        }
    };
    let status = crate::cloud::soon("the application", healthy).await;
    assert_eq!(status.accepted_generation, 1);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn when_an_older_state_arrives_then_it_is_refused() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let newer = Wish::new(&cloud, 5).application("newer", "n");
    newer.settle(&cloud, &mut session).await;

    let older = Wish::new(&cloud, 4).application("older", "o");
    cloud.offer_bodies(&older.bodies);
    older.send(&session).await;
    let newest = Wish::new(&cloud, 6).application("newest", "x");
    newest.settle(&cloud, &mut session).await;

    let older_bodies: Vec<String> = older
        .bodies
        .iter()
        .map(|body| Digest::of(body).to_string())
        .collect();
    let asked = cloud.bodies.lock().asked.clone();
    assert!(
        asked
            .iter()
            .all(|body| !older_bodies.contains(&body.digest))
    );
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_another_state_has_the_same_fence_then_the_next_session_shows_what_is_held() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let held = Wish::new(&cloud, 2).application("held", "h");
    held.settle(&cloud, &mut session).await;

    Wish::new(&cloud, 2)
        .application("other", "o")
        .send(&session)
        .await;

    session.closed().await;
    let mut session = cloud.session().await;
    let digest = Digest::of(&held.encoded()).to_string();
    assert_eq!(session.hello.held_digest, digest);
    session.welcome(&[]).await;
    let mut raised = Wish::new(&cloud, 2).application("other", "o");
    raised.fence.epoch = 2;
    raised.settle(&cloud, &mut session).await;
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_bodies_come_damaged_or_cut_then_they_are_fetched_until_whole() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("large", &"text ".repeat(5_000));
    cloud.bodies.lock().mischief.extend([
        Mischief::Refuse,
        Mischief::Cut,
        Mischief::Damage,
        Mischief::Cut,
    ]);

    wish.settle(&cloud, &mut session).await;

    assert_eq!(session.converged().await, wish.fence);
    let asked = cloud.bodies.lock().asked.clone();
    assert!(
        asked.iter().any(|body| body.offset == 1000),
        "resumed: {asked:?}"
    );
    assert!(cloud.bodies.lock().mischief.is_empty());
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_session_is_lost_while_fetching_then_the_next_one_goes_on_where_it_was() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("large", &"text ".repeat(5_000));
    // The first body is there to begin with, so that a fetch stops half way.
    cloud.offer_bodies(&wish.bodies);
    cloud.bodies.lock().mischief.extend([Mischief::Cut; 2]);
    wish.send(&session).await;
    let mut resumed = cloud.resumed.clone();
    let resuming = resumed.wait_for(|count| *count > 0);
    crate::cloud::soon("a resumed fetch", resuming)
        .await
        .unwrap();
    drop(session);

    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    wish.send(&session).await;

    assert_eq!(session.accepted().await, wish.fence);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_document_is_damaged_then_nothing_is_taken_and_the_session_starts_again() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    session.welcome(&[]).await;
    let damaged = Desired {
        fence: Some(Fence {
            epoch: 1,
            generation: 1,
        }),
        digest: Digest::of(b"another").to_string(),
        data: b"document".as_slice().into(),
        total_bytes: 8,
        end: true,
        traceparent: String::new(),
    };

    session.send(Down::Desired(damaged)).await;

    session.closed().await;
    let session = cloud.session().await;
    assert_eq!(session.hello.held, None);
    edge.stop().await.unwrap();
    cloud.stop().await;
}
