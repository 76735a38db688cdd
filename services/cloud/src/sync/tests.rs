//! Sessions over real sockets, with a scripted edge.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_model::{Digest, Kind};
use baetyl_pki::{Authority, KeyPair, Profile, Validity};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_service_kit::fault::{Code, Problem};
use baetyl_service_kit::tls::Identity;
use baetyl_shadow::Section;
use prost::Message as _;
use tonic::Status;

use crate::testing::{
    Cloud, Device, Edge, Held, application, configuration, eventually, key, map, name, namespace,
    options,
};

mod hidden;

fn reason(status: &Status) -> String {
    Problem::from_status(status).reason
}

/// A cloud with the node `demo` on `site = demo`, the application `watcher` and its configuration.
async fn demo() -> (Cloud, Device) {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[("site", "demo")]).await;
    cloud.put(configuration("thresholds", "30")).await;
    cloud.put(application("watcher", "thresholds")).await;
    let device = cloud.join("demo").await;
    (cloud, device)
}

/// Opens a stream and takes the document with `watcher`.
async fn synced(cloud: &Cloud, device: &Device) -> (Edge, Held) {
    let mut edge = cloud.edge(device, device.hello()).await;
    edge.welcome().await;
    let held = edge.desired_where(|held| held.names() == ["watcher"]).await;
    (edge, held)
}

fn status_entry(name: &str, state: pb::ApplicationState, reason: &str) -> wire::ReportEntry {
    entry(&pb::ApplicationStatus {
        name: name.to_owned(),
        desired_revision: 1,
        state: state.into(),
        reason: reason.to_owned(),
        ..pb::ApplicationStatus::default()
    })
}

/// An application that is healthy with the inputs that its node was told.
fn healthy_entry(item: &wire::DesiredApplication) -> wire::ReportEntry {
    let digests = item.inputs.iter();
    let digests = digests.map(|it| (format!("{}/{}", it.kind, it.name), it.digest.clone()));
    entry(&pb::ApplicationStatus {
        name: item.name.clone(),
        desired_revision: item.revision,
        state: pb::ApplicationState::Healthy.into(),
        input_digests: digests.collect(),
        ..pb::ApplicationStatus::default()
    })
}

fn entry(status: &pb::ApplicationStatus) -> wire::ReportEntry {
    wire::ReportEntry {
        key: status.name.clone(),
        value: status.encode_to_vec().into(),
    }
}

fn report(sequence: u64, section: &str, entries: Vec<wire::ReportEntry>) -> wire::Report {
    let mut whole = Section::new();
    for entry in &entries {
        whole.insert(&entry.key, Digest::of(&entry.value)).unwrap();
    }
    wire::Report {
        sequence,
        section: section.to_owned(),
        entries,
        section_digest: whole.digest().to_string(),
        full: true,
        ..wire::Report::default()
    }
}

async fn acknowledged(edge: &mut Edge) -> u64 {
    loop {
        match edge.next().await {
            Some(Frame::ReportAck(ack)) => return ack.sequence,
            Some(Frame::Desired(_)) => {}
            other => panic!("ReportAck was expected, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn when_a_node_comes_first_then_it_gets_its_desired_state() {
    let (cloud, device) = demo().await;

    let (_edge, held) = synced(&cloud, &device).await;

    let item = &held.document.applications[0];
    assert_eq!(item.revision, 1);
    assert_eq!(item.features, ["process.v1"]);
    assert_eq!(held.input("watcher").name, "thresholds");
    assert_eq!(held.document.node_uid, device.identity.node_uid);
}

#[tokio::test]
async fn when_a_configuration_changes_then_newer_documents_come_in_order() {
    let (cloud, device) = demo().await;
    let (mut edge, first) = synced(&cloud, &device).await;

    let mut last = first.fence;
    for round in 0..10 {
        let stored = cloud
            .put(configuration("thresholds", &round.to_string()))
            .await;
        let wanted = stored.digest.to_string();
        let held = edge
            .desired_where(|held| held.input("watcher").digest == wanted)
            .await;
        assert!(held.fence.generation > last.generation, "round {round}");
        assert_eq!(held.document.applications[0].revision, 1, "round {round}");
        last = held.fence;
    }
}

#[tokio::test]
async fn when_a_label_changes_then_the_application_comes_and_goes() {
    let (cloud, device) = demo().await;
    let (mut edge, _) = synced(&cloud, &device).await;
    let node = |labels: &[(&str, &str)]| pb::Node {
        name: "demo".to_owned(),
        labels: map(labels),
        ..pb::Node::default()
    };

    cloud.put(node(&[("site", "other")])).await;
    edge.desired_where(|held| held.names().is_empty()).await;
    cloud.put(node(&[("site", "demo")])).await;

    edge.desired_where(|held| held.names() == ["watcher"]).await;
}

#[tokio::test]
async fn when_the_edge_holds_the_newest_then_nothing_is_sent() {
    let (cloud, device) = demo().await;
    let (edge, held) = synced(&cloud, &device).await;
    drop(edge);

    let mut edge = cloud.edge(&device, device.holding(&held)).await;
    edge.welcome().await;
    edge.send(Up::Heartbeat(wire::Heartbeat { sequence: 7 }))
        .await;

    match edge.next().await {
        Some(Frame::Heartbeat(heartbeat)) => assert_eq!(heartbeat.sequence, 7),
        other => panic!("the heartbeat was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn when_the_edge_is_ahead_then_its_epoch_is_raised_above_what_it_showed() {
    let (cloud, device) = demo().await;
    let (edge, held) = synced(&cloud, &device).await;
    drop(edge);
    let ahead = Held {
        fence: wire::Fence {
            epoch: 3,
            generation: held.fence.generation + 100,
        },
        ..held
    };

    let mut edge = cloud.edge(&device, device.holding(&ahead)).await;
    edge.welcome().await;
    let raised = edge.desired().await;

    assert_eq!(raised.fence.epoch, 4);
    assert_eq!(raised.names(), ["watcher"]);
    cloud.put(configuration("thresholds", "31")).await;
    let next = edge.desired().await;
    assert_eq!(next.fence.epoch, 4);
    assert_eq!(next.fence.generation, raised.fence.generation + 1);
}

#[tokio::test]
async fn when_the_same_fence_has_another_digest_then_the_epoch_is_raised() {
    let (cloud, device) = demo().await;
    let (edge, held) = synced(&cloud, &device).await;
    drop(edge);
    let other = Held {
        digest: Digest::of(b"other").to_string(),
        ..held
    };

    let mut edge = cloud.edge(&device, device.holding(&other)).await;
    edge.welcome().await;

    assert_eq!(edge.desired().await.fence.epoch, 1);
}

#[tokio::test]
async fn when_a_newer_stream_comes_then_the_older_is_superseded() {
    let (cloud, device) = demo().await;
    let (mut older, _) = synced(&cloud, &device).await;

    let (_newer, _) = synced(&cloud, &device).await;

    assert_eq!(older.goodbye().await.reason, "SUPERSEDED");
    assert!(older.next().await.is_none());
    assert_eq!(
        cloud.node_status("demo").await.readiness(),
        pb::Readiness::Online
    );
}

#[tokio::test]
async fn when_two_devices_alternate_then_the_condition_says_so() {
    let (cloud, device) = demo().await;
    let hello = |incarnation: &str| wire::Hello {
        incarnation: incarnation.to_owned(),
        ..device.hello()
    };
    let is_duplicate = async || {
        let status = cloud.node_status("demo").await;
        status
            .conditions
            .iter()
            .any(|one| one.r#type == "DuplicateNode")
    };

    let mut first = cloud.edge(&device, hello("one")).await;
    first.welcome().await;
    let mut second = cloud.edge(&device, hello("two")).await;
    second.welcome().await;
    assert!(!is_duplicate().await, "a restart is no duplicate");
    let mut third = cloud.edge(&device, hello("one")).await;
    third.welcome().await;

    assert!(is_duplicate().await);
}

#[tokio::test]
async fn when_a_stream_opens_and_closes_then_readiness_follows_at_once() {
    let (cloud, device) = demo().await;
    let readiness = async || cloud.node_status("demo").await.readiness();
    assert_eq!(readiness().await, pb::Readiness::Offline);

    let (edge, _) = synced(&cloud, &device).await;
    assert_eq!(readiness().await, pb::Readiness::Online);
    let before = cloud.store.sequence(&namespace()).await.unwrap();
    drop(edge);

    eventually("the node is offline", async || {
        (readiness().await == pb::Readiness::Offline).then_some(())
    })
    .await;
    eventually("watchers are told", async || {
        let events = cloud.store.events(&namespace(), before, 100).await.unwrap();
        events
            .iter()
            .any(|event| event.key == key(Kind::Node, "demo"))
            .then_some(())
    })
    .await;
    let why = cloud.node_status("demo").await.why;
    assert!(why.starts_with("offline since "), "{why}");
}

#[tokio::test]
async fn when_a_stream_is_silent_then_it_ends() {
    let quiet = crate::sync::SyncOptions {
        // Time enough for the greeting, on any machine.
        silence_timeout: Duration::from_secs(2),
        ..options()
    };
    let cloud = Cloud::start_with(quiet).await;
    cloud.node("demo", &[]).await;
    let device = cloud.join("demo").await;

    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;
    while edge.next().await.is_some() {}

    eventually("the node is offline", async || {
        let status = cloud.node_status("demo").await;
        (status.readiness() == pb::Readiness::Offline).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_reports_come_then_they_are_stored_and_acknowledged() {
    let (cloud, device) = demo().await;
    let (mut edge, held) = synced(&cloud, &device).await;
    let healthy = healthy_entry(&held.document.applications[0]);

    let fence = Some(held.fence);
    edge.send(Up::Accepted(wire::Accepted { fence })).await;
    edge.send(Up::Report(report(1, "applications", vec![healthy])))
        .await;
    edge.send(Up::Converged(wire::Converged { fence })).await;

    assert_eq!(acknowledged(&mut edge).await, 1);
    let status = eventually("the node converges", async || {
        let status = cloud.node_status("demo").await;
        let is_converged = status.converged_generation == held.fence.generation;
        is_converged.then_some(status)
    })
    .await;
    assert_eq!(status.why, "");
    assert_eq!(
        (status.application_count, status.healthy_application_count),
        (1, 1)
    );
    let summary = cloud
        .status
        .application(&namespace(), &name("watcher"))
        .await
        .unwrap();
    assert_eq!((summary.node_count, summary.healthy_node_count), (1, 1));
    assert_eq!(summary.why, "");
}

#[tokio::test]
async fn when_an_application_failed_then_status_says_why() {
    let (cloud, device) = demo().await;
    let (mut edge, held) = synced(&cloud, &device).await;
    let failed = status_entry("watcher", pb::ApplicationState::Failed, "PROGRAM_NOT_FOUND");
    let fence = Some(held.fence);

    edge.send(Up::Accepted(wire::Accepted { fence })).await;
    edge.send(Up::Report(report(1, "applications", vec![failed])))
        .await;
    acknowledged(&mut edge).await;

    let status = cloud.node_status("demo").await;
    assert_eq!(status.why, "application watcher failed: PROGRAM_NOT_FOUND");
    let summary = cloud
        .status
        .application(&namespace(), &name("watcher"))
        .await
        .unwrap();
    assert_eq!(summary.failed_node_count, 1);
    assert_eq!(summary.why, "demo: failed: PROGRAM_NOT_FOUND");
}

#[tokio::test]
async fn when_a_section_differs_then_it_is_asked_for_whole() {
    let (cloud, device) = demo().await;
    let (mut edge, _) = synced(&cloud, &device).await;
    let healthy = status_entry("watcher", pb::ApplicationState::Healthy, "");
    let partial = wire::Report {
        full: false,
        section_digest: Digest::of(b"other").to_string(),
        ..report(1, "applications", vec![healthy.clone()])
    };

    edge.send(Up::Report(partial)).await;
    assert_eq!(acknowledged(&mut edge).await, 1);
    match edge.next().await {
        Some(Frame::ResyncRequest(resync)) => assert_eq!(resync.sections, ["applications"]),
        other => panic!("ResyncRequest was expected, not {other:?}"),
    }
    edge.send(Up::Report(report(2, "applications", vec![healthy])))
        .await;

    assert_eq!(acknowledged(&mut edge).await, 2);
}

#[tokio::test]
async fn when_digests_of_hello_differ_then_welcome_names_the_sections() {
    let (cloud, device) = demo().await;
    let (mut edge, held) = synced(&cloud, &device).await;
    let healthy = status_entry("watcher", pb::ApplicationState::Healthy, "");
    let whole = report(1, "applications", vec![healthy]);
    let digest = whole.section_digest.clone();
    edge.send(Up::Report(whole)).await;
    acknowledged(&mut edge).await;
    drop(edge);

    let mut missing = Vec::new();
    for known in [digest.as_str(), "sha256:other"] {
        let hello = wire::Hello {
            section_digests: map(&[("applications", known)]),
            ..device.holding(&held)
        };
        let mut edge = cloud.edge(&device, hello).await;
        missing.push(edge.welcome().await.missing_sections);
    }

    assert_eq!(missing, [Vec::new(), vec!["applications".to_owned()]]);
}

#[tokio::test]
async fn when_the_contract_is_broken_then_goodbye_says_so() {
    let (cloud, device) = demo().await;
    let broken = wire::ReportEntry {
        key: "watcher".to_owned(),
        value: vec![0xff, 0xff].into(),
    };
    let cases: [(&str, Up); 4] = [
        ("a second hello", Up::Hello(device.hello())),
        ("a gap", Up::Report(report(3, "core", Vec::new()))),
        (
            "no status",
            Up::Report(report(1, "applications", vec![broken])),
        ),
        (
            "nothing was deleted",
            Up::Decommissioned(wire::Decommissioned {}),
        ),
    ];
    for (case, frame) in cases {
        let (mut edge, _) = synced(&cloud, &device).await;

        edge.send(frame).await;

        assert_eq!(edge.goodbye().await.reason, "PROTOCOL_ERROR", "{case}");
    }
}

#[tokio::test]
async fn when_hello_names_another_node_then_it_is_refused() {
    let (cloud, device) = demo().await;
    let hello = wire::Hello {
        node_uid: baetyl_model::Uid::random().to_string(),
        ..device.hello()
    };

    let mut edge = cloud.edge(&device, hello).await;

    assert_eq!(edge.goodbye().await.reason, "PROTOCOL_ERROR");
}

#[tokio::test]
async fn when_the_certificate_is_of_another_authority_then_it_is_refused() {
    let (cloud, device) = demo().await;
    let validity = Validity {
        now: std::time::SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    };
    let other = Authority::create("other", &"test.baetyl".parse().unwrap(), validity).unwrap();
    let key = KeyPair::generate();
    let uid = device.identity.node_uid.parse().unwrap();
    let profile = Profile::node("default".parse().unwrap(), "demo".parse().unwrap(), uid);
    let issued = other.issue(key.public_key(), &profile, validity).unwrap();
    let identity = Identity::try_new((other.chain(&issued), key.to_private_key_der())).unwrap();

    let mut client = SyncServiceClient::new(cloud.channel(identity));
    let refused = client
        .fetch_bodies(wire::FetchBodiesRequest::default())
        .await;

    assert!(refused.is_err());
}

#[tokio::test]
async fn when_a_node_is_revoked_then_its_stream_is_cut_and_it_is_refused() {
    let (cloud, device) = demo().await;
    let (mut edge, _) = synced(&cloud, &device).await;

    let count = cloud
        .operations
        .revoke(&namespace(), &name("demo"))
        .await
        .unwrap();

    assert_eq!(count, 1);
    assert_eq!(edge.goodbye().await.reason, "REVOKED");
    let refused = cloud.try_edge(&device, device.hello()).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "CERTIFICATE_REVOKED");
}

#[tokio::test]
async fn when_a_node_is_deleted_then_its_device_is_decommissioned_once() {
    let (cloud, device) = demo().await;
    let (mut edge, _) = synced(&cloud, &device).await;

    cloud.delete(key(Kind::Node, "demo")).await;
    let frame = loop {
        match edge.next().await {
            Some(Frame::Desired(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(frame, Some(Frame::Decommission(one)) if one.remove_data));
    edge.send(Up::Decommissioned(wire::Decommissioned {})).await;
    while edge.next().await.is_some() {}

    let refused = cloud.try_edge(&device, device.hello()).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "NODE_NOT_FOUND");
}

#[tokio::test]
async fn when_a_deleted_node_comes_back_then_it_is_decommissioned_although_a_new_one_exists() {
    let (cloud, device) = demo().await;
    cloud.delete(key(Kind::Node, "demo")).await;
    cloud.node("demo", &[("site", "demo")]).await;

    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;
    assert!(matches!(edge.next().await, Some(Frame::Decommission(_))));
    let wanted = wire::FetchBodiesRequest {
        bodies: vec![wire::BodyRef::default()],
    };
    let refused = edge.client.fetch_bodies(wanted).await.unwrap_err();

    assert_eq!(reason(&refused), "NOT_REFERENCED");
}

#[tokio::test]
async fn when_the_cloud_drains_then_goodbye_says_when_to_come_back() {
    let (cloud, device) = demo().await;
    let (mut edge, _) = synced(&cloud, &device).await;

    let stopping = cloud.stop();
    let (goodbye, ()) = tokio::join!(edge.goodbye(), stopping);

    assert_eq!(goodbye.reason, "SHUTDOWN");
    assert!(goodbye.reconnect_after.is_some());
}

#[tokio::test]
async fn when_too_many_come_at_once_then_some_are_sent_away_with_a_time() {
    let narrow = crate::sync::SyncOptions {
        hello_rate: 1,
        hello_burst: 1,
        ..options()
    };
    let cloud = Cloud::start_with(narrow).await;
    cloud.node("demo", &[]).await;
    let device = cloud.join("demo").await;

    let mut first = cloud.edge(&device, device.hello()).await;
    first.welcome().await;
    let mut second = cloud.edge(&device, device.hello()).await;
    let goodbye = second.goodbye().await;

    assert_eq!(goodbye.reason, "OVERLOADED");
    assert!(goodbye.reconnect_after.is_some());
}

fn body(held: &Held, application: &str, offset: u64) -> wire::BodyRef {
    let input = held.input(application);
    wire::BodyRef {
        kind: input.kind.clone(),
        name: input.name.clone(),
        digest: input.digest.clone(),
        offset,
    }
}

async fn fetch(edge: &mut Edge, bodies: Vec<wire::BodyRef>) -> Result<Vec<u8>, Status> {
    let request = wire::FetchBodiesRequest { bodies };
    let mut stream = edge.client.fetch_bodies(request).await?.into_inner();
    let mut bytes = Vec::new();
    let mut is_whole = false;
    while let Some(chunk) = stream.message().await? {
        assert!(chunk.data.len() <= 64 * 1024);
        bytes.extend_from_slice(&chunk.data);
        is_whole = chunk.end;
    }
    assert!(is_whole);
    Ok(bytes)
}

#[tokio::test]
async fn when_a_body_is_fetched_then_it_has_the_stored_bytes_from_any_offset() {
    let (cloud, device) = demo().await;
    cloud
        .put(configuration("thresholds", &"x".repeat(200_000)))
        .await;
    let (mut edge, held) = synced(&cloud, &device).await;
    let held = match held.input("watcher").revision {
        2 => held,
        _ => edge.desired().await,
    };

    let whole = fetch(&mut edge, vec![body(&held, "watcher", 0)])
        .await
        .unwrap();
    let rest = fetch(&mut edge, vec![body(&held, "watcher", 150_000)])
        .await
        .unwrap();

    assert_eq!(Digest::of(&whole).to_string(), held.input("watcher").digest);
    assert_eq!(rest, whole[150_000..]);
}

#[tokio::test]
async fn when_a_body_is_not_referenced_then_it_is_refused() {
    let (cloud, device) = demo().await;
    let secret = cloud.put(configuration("other", "secret")).await;
    let (mut edge, held) = synced(&cloud, &device).await;
    let good = body(&held, "watcher", 0);
    let cases = [
        (
            "another resource",
            wire::BodyRef {
                name: "other".to_owned(),
                digest: secret.digest.to_string(),
                ..good.clone()
            },
        ),
        (
            "another name",
            wire::BodyRef {
                name: "other".to_owned(),
                ..good.clone()
            },
        ),
        (
            "another kind",
            wire::BodyRef {
                kind: "secret".to_owned(),
                ..good.clone()
            },
        ),
    ];
    for (case, wanted) in cases {
        // One that is granted does not open the door for the others.
        let refused = fetch(&mut edge, vec![good.clone(), wanted])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{case}");
        assert_eq!(reason(&refused), "NOT_REFERENCED", "{case}");
    }
}

#[tokio::test]
async fn when_a_document_is_overtaken_then_its_bodies_can_still_be_fetched() {
    let (cloud, device) = demo().await;
    let (mut edge, first) = synced(&cloud, &device).await;
    cloud.put(configuration("thresholds", "31")).await;
    edge.desired().await;

    let bytes = fetch(&mut edge, vec![body(&first, "watcher", 0)])
        .await
        .unwrap();

    assert_eq!(
        Digest::of(&bytes).to_string(),
        first.input("watcher").digest
    );
}

#[tokio::test]
async fn when_the_cloud_was_down_then_changes_of_its_store_reach_the_node() {
    let (cloud, device) = demo().await;
    let (edge, held) = synced(&cloud, &device).await;
    drop(edge);
    cloud.stop().await;
    // Nobody follows the events of these.
    let changed = cloud.put(configuration("thresholds", "99")).await;
    cloud.delete(key(Kind::Application, "watcher")).await;
    cloud.put(application("second", "thresholds")).await;

    let cloud = cloud.restart().await;
    let mut edge = cloud.edge(&device, device.holding(&held)).await;
    edge.welcome().await;
    let next = edge.desired().await;

    assert_eq!(next.names(), ["second"]);
    assert_eq!(next.input("second").digest, changed.digest.to_string());
    assert!(next.fence.generation > held.fence.generation);
}

#[tokio::test]
async fn when_a_node_was_deleted_while_the_cloud_was_down_then_it_is_decommissioned() {
    let (cloud, device) = demo().await;
    cloud.stop().await;
    let commit = crate::store::Commit {
        preconditions: Vec::new(),
        writes: vec![crate::store::Write::Delete(key(Kind::Node, "demo"))],
    };
    cloud.store.commit(commit).await.unwrap();

    let cloud = cloud.restart().await;
    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;

    assert!(matches!(edge.next().await, Some(Frame::Decommission(_))));
}

#[tokio::test]
async fn when_a_node_owns_its_state_then_no_document_is_sent() {
    let (cloud, device) = demo().await;
    let (edge, _) = synced(&cloud, &device).await;
    drop(edge);
    cloud
        .put(pb::Node {
            name: "demo".to_owned(),
            labels: BTreeMap::new(),
            sync_mode: pb::SyncMode::Local.into(),
            ..pb::Node::default()
        })
        .await;
    eventually("matching sees it", async || {
        let view = cloud.parts.matching.with_view(&namespace(), |view, _| {
            view.node(&name("demo")).is_some_and(|node| !node.is_cloud)
        });
        (view == Some(true)).then_some(())
    })
    .await;

    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;
    edge.send(Up::Heartbeat(wire::Heartbeat { sequence: 1 }))
        .await;

    assert!(matches!(edge.next().await, Some(Frame::Heartbeat(_))));
}
