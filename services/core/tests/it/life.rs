//! The life of a node: goodbyes, renewal, the end.

use std::time::Duration;

use baetyl_core::{CoreError, Dependencies, Ended, Server};
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{Decommission, Goodbye, RenewCertificate};
use baetyl_service_kit::fault::Fault as _;
use prost::Message as _;

use crate::cloud::{Cloud, seconds, soon};
use crate::edge::{Place, Wish};

#[tokio::test]
async fn when_the_node_is_not_activated_then_core_says_what_to_do() {
    let place = Place::empty();

    let error = place.start_with(place.config()).await.err().unwrap();

    assert_eq!(error.reason(), "NODE_NOT_ACTIVATED");
    assert!(matches!(error, CoreError::Identity(_)));
    assert!(!place.config().data_folder.exists());
}

#[tokio::test]
async fn when_goodbye_names_a_time_then_the_node_stays_away_until_then() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    session.welcome(&[]).await;
    let wait = seconds(1);
    let before = tokio::time::Instant::now();

    let goodbye = Goodbye {
        reason: "OVERLOADED".into(),
        message: "come back later".into(),
        reconnect_after: Some(wait),
    };
    session.send(Down::Goodbye(goodbye)).await;
    session.closed().await;
    let again = cloud.session().await;

    assert!(before.elapsed() >= Duration::from_secs(1));
    drop(again);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_cloud_asks_for_renewal_then_the_next_session_shows_the_new_certificate() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    session.welcome(&[]).await;
    let old = session.peer.serial.clone();

    session
        .send(Down::RenewCertificate(RenewCertificate {}))
        .await;

    session.closed().await;
    let session = cloud.session().await;
    assert_ne!(session.peer.serial, old);
    let keys = cloud.renewed.borrow().clone();
    assert_eq!(keys, std::slice::from_ref(&session.peer.public_key));
    edge.stop().await.unwrap();
    drop(session);
    let edge = place.start().await;
    let session = cloud.session().await;
    assert_eq!(session.peer.public_key, keys[0]);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_certificate_nears_its_end_then_it_is_renewed_unasked() {
    let mut cloud = Cloud::start().await;
    let place = Place::empty();
    // Certificates begin five minutes early: two thirds and more of this life are over.
    cloud.activate(&place.config().identity_folder(), 61);
    let edge = place.start().await;

    let mut renewed = cloud.renewed.clone();
    let renewed = renewed.wait_for(|keys| !keys.is_empty());
    let key = soon("the renewal", renewed).await.unwrap()[0].clone();

    let shown = async {
        loop {
            let session = cloud.session().await;
            if session.peer.public_key == key {
                return;
            }
            session.welcome(&[]).await;
            session.closed().await;
        }
    };
    soon("the new certificate", shown).await;
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_node_is_deleted_then_it_removes_everything_and_ends() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;
    session.converged().await;

    session
        .send(Down::Decommission(Decommission { remove_data: true }))
        .await;

    let answered = |frame: &Up| matches!(frame, Up::Decommissioned(_)).then_some(());
    session.until("Decommissioned", answered).await;
    drop(session);
    assert_eq!(edge.ended().await.unwrap(), Ended::Decommissioned);
    let error = place.start_with(place.config()).await.err().unwrap();
    assert_eq!(error.reason(), "NODE_NOT_ACTIVATED");
    cloud.stop().await;
}

#[tokio::test]
async fn when_core_is_asked_to_end_then_the_stream_closes_at_once() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    session.welcome(&[]).await;

    let ended = edge.stop().await.unwrap();

    assert_eq!(ended, Ended::Drained);
    session.closed().await;
    cloud.stop().await;
}

#[tokio::test]
async fn when_core_ends_and_starts_again_then_the_applications_are_those_of_before() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;
    session.converged().await;
    let before = place.driver.running();
    edge.stop().await.unwrap();
    assert_eq!(place.driver.running(), before);

    let mut config = place.config();
    config.stop_mode = baetyl_core::StopMode::StopAll;
    let edge = place.start_with(config).await.unwrap();
    let mut session = cloud.session().await;
    session.welcome(&["applications"]).await;
    let adopted = async {
        loop {
            let report = session.report("applications").await;
            let is_healthy = report.entries.iter().any(|entry| {
                let status = ApplicationStatus::decode(entry.value.clone()).unwrap();
                status.state() == ApplicationState::Healthy
            });
            if is_healthy {
                return;
            }
        }
    };
    soon("the adopted application", adopted).await;

    assert_eq!(place.driver.running(), before);
    assert_eq!(place.driver.starts(), 1);
    edge.stop().await.unwrap();
    assert_eq!(place.driver.running(), []);
    cloud.stop().await;
}

#[tokio::test]
async fn when_no_driver_is_given_then_applications_run_as_processes_in_the_data_folder() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);

    let server = Server::bind(place.config(), Dependencies::default()).await;

    assert!(server.is_ok());
    assert!(place.config().applications_folder().exists());
    cloud.stop().await;
}
