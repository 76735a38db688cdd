//! The local API: who may call, what it tells.

use std::collections::BTreeMap;

use baetyl_pki::Credentials;
use baetyl_proto::node::v1::node_service_client::NodeServiceClient;
use baetyl_proto::node::v1::{
    GetNodePropertiesRequest, GetNodeStatsRequest, GetNodeStatusRequest, StreamLogsRequest,
    UpdateNodePropertiesRequest, WatchNodeStatusRequest,
};
use baetyl_service_kit::fault::{Code, Problem};
use baetyl_service_kit::serve::Address;
use baetyl_service_kit::tls::Identity;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::cloud::{Cloud, soon};
use crate::edge::{Bearer, Place, Wish};

fn object(members: &[(&str, Kind)]) -> Option<Struct> {
    let fields = members.iter().map(|(key, kind)| {
        let kind = Some(kind.clone());
        ((*key).to_owned(), Value { kind })
    });
    Some(Struct {
        fields: fields.collect(),
    })
}

#[tokio::test]
async fn when_a_caller_shows_nothing_or_a_wrong_token_then_it_is_refused() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let other = baetyl_pki::BearerToken::generate().reveal().to_string();
    for (token, wanted) in [
        (None, "CREDENTIALS_MISSING"),
        (Some("bt_nonsense".to_owned()), "TOKEN_INVALID"),
        (Some(other), "TOKEN_INVALID"),
    ] {
        let channel = edge.channel(None).await;
        let mut client = NodeServiceClient::with_interceptor(channel, Bearer(token));

        let refused = client.get_node_status(GetNodeStatusRequest {}).await;

        let problem = Problem::from_status(&refused.unwrap_err());
        assert_eq!(problem.code, Code::Unauthenticated);
        assert_eq!(problem.reason, wanted);
    }
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_a_local_service_shows_its_certificate_then_it_needs_no_token() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    for service in ["function", "gateway"] {
        let file = edge.local.join(service).join("credentials.pem");
        let credentials = Credentials::load(&file).unwrap();
        let key = credentials.key().to_private_key_der();
        let identity = Identity::try_new((credentials.chain().to_vec(), key)).unwrap();
        let channel = edge.channel(Some(identity)).await;

        let answered = NodeServiceClient::new(channel)
            .get_node_status(GetNodeStatusRequest {})
            .await;

        let status = answered.unwrap().into_inner().status.unwrap();
        assert_eq!(
            (status.namespace.as_str(), status.node.as_str()),
            ("default", "demo")
        );
    }
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_status_is_watched_then_the_present_one_comes_first_and_changes_follow() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut node = edge.node().await;
    let watched = node.watch_node_status(WatchNodeStatusRequest {}).await;
    let mut changes = watched.unwrap().into_inner();
    let first = soon("the present status", changes.message()).await.unwrap();
    assert!(first.unwrap().status.unwrap().start_time.is_some());

    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;

    let settled = async {
        loop {
            let status = changes.message().await.unwrap().unwrap().status.unwrap();
            if status.connected && status.converged_generation == 1 {
                return status;
            }
        }
    };
    let status = soon("the change", settled).await;
    assert_eq!(status.epoch, 1);
    assert_eq!(status.applications[0].name, "watcher");
    edge.stop().await.unwrap();
    let ended = async { while let Ok(Some(_)) = changes.message().await {} };
    soon("the end of the watch", ended).await;
    cloud.stop().await;
}

#[tokio::test]
async fn when_properties_are_patched_then_they_are_kept_and_wanted_ones_shown() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).property("color", "green");
    wish.settle(&cloud, &mut session).await;
    let mut node = edge.node().await;
    let set = object(&[
        ("color", Kind::StringValue("red".into())),
        ("count", Kind::NumberValue(3.0)),
    ]);
    let request = UpdateNodePropertiesRequest { reported: set };
    node.update_node_properties(request).await.unwrap();
    let removal = object(&[("count", Kind::NullValue(0))]);
    let request = UpdateNodePropertiesRequest { reported: removal };
    node.update_node_properties(request).await.unwrap();
    edge.stop().await.unwrap();

    let edge = place.start().await;
    let answered = edge
        .node()
        .await
        .get_node_properties(GetNodePropertiesRequest {})
        .await;

    let properties = answered.unwrap().into_inner().properties.unwrap();
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.into())),
    };
    let wanted = BTreeMap::from([("color".to_owned(), text("green"))]);
    let reported = BTreeMap::from([("color".to_owned(), text("red"))]);
    assert_eq!(properties.desired, wanted);
    assert_eq!(properties.reported, reported);
    assert_eq!(properties.reported_times.len(), 1);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_properties_are_wrong_then_every_fault_is_named_and_nothing_changes() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut node = edge.node().await;
    let wrong = object(&[
        ("good", Kind::BoolValue(true)),
        ("list", Kind::ListValue(ListValue::default())),
        ("not a key", Kind::BoolValue(true)),
    ]);

    let request = UpdateNodePropertiesRequest { reported: wrong };
    let refused = node.update_node_properties(request).await.unwrap_err();

    let problem = Problem::from_status(&refused);
    assert_eq!(problem.code, Code::InvalidArgument);
    let fields: Vec<_> = problem
        .violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(fields, ["reported.list", "reported.not a key"]);
    let kept = node.get_node_properties(GetNodePropertiesRequest {}).await;
    let kept = kept.unwrap().into_inner().properties.unwrap();
    assert!(kept.reported.is_empty());
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_statistics_or_logs_are_asked_for_then_they_are_answered_or_refused_rightly() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let stats = edge
        .node()
        .await
        .get_node_stats(GetNodeStatsRequest {})
        .await;
    assert_eq!(stats.unwrap().into_inner().machines.len(), 1);
    let mut logs = edge.logs().await;
    for (application, tail_lines, wanted) in [
        ("nobody", None, "APPLICATION_NOT_FOUND"),
        ("", Some(1_000_000), "FIELD_VIOLATION"),
    ] {
        let request = StreamLogsRequest {
            application: application.into(),
            tail_lines,
            ..StreamLogsRequest::default()
        };

        let refused = logs.stream_logs(request).await.unwrap_err();

        assert_eq!(Problem::from_status(&refused).reason, wanted);
    }
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_api_listens_on_a_socket_then_the_same_credentials_open_it() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let folder = tempfile::tempdir().unwrap();
    let mut config = place.config();
    config.listen = Address::unix(folder.path().join("core.sock")).unwrap();
    let edge = place.start_with(config).await.unwrap();

    let pem = std::fs::read(edge.local.join("ca.pem")).unwrap();
    let roots = baetyl_pki::pem::certs(&pem).unwrap();
    let roots = baetyl_service_kit::tls::Roots::try_new(&roots).unwrap();
    let tls = baetyl_service_kit::serve::Target::tls(roots, None);
    let target = baetyl_service_kit::serve::Target::encrypted(
        &edge.address.to_string(),
        Some("localhost"),
        tls,
    );
    let channel = baetyl_service_kit::serve::connect(&target.unwrap(), &Default::default()).await;
    let bearer = Bearer(Some(edge.token()));
    let mut node = NodeServiceClient::with_interceptor(channel.unwrap(), bearer);

    let answered = node.get_node_status(GetNodeStatusRequest {}).await;

    assert!(answered.is_ok());
    edge.stop().await.unwrap();
    cloud.stop().await;
}
