//! What goes up: whole when wanted, changed entries otherwise, and never lost.

use std::collections::BTreeMap;

use baetyl_model::Digest;
use baetyl_proto::node::v1::UpdateNodePropertiesRequest;
use baetyl_proto::resource::v1::{ApplicationStatus, MachineStatus};
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{CoreReport, Report, ResyncRequest};
use baetyl_shadow::Section;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::cloud::Cloud;
use crate::edge::{Place, Wish};

fn digest_of(report: &Report) -> String {
    let mut section = Section::new();
    for entry in &report.entries {
        section
            .insert(&entry.key, Digest::of(&entry.value))
            .unwrap();
    }
    section.digest().to_string()
}

#[tokio::test]
async fn when_sections_are_missing_then_they_come_whole_and_readable() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session
        .welcome(&["core", "machines", "applications", "properties"])
        .await;

    let core = session.report("core").await;

    assert!(core.full);
    assert_eq!(core.section_digest, digest_of(&core));
    let read = CoreReport::decode(core.entries[0].value.clone()).unwrap();
    assert_eq!(read.node_mode, "process");
    assert!(read.certificate_expire_time.is_some());
    let resync = |section: &str| {
        Down::ResyncRequest(ResyncRequest {
            sections: vec![section.to_owned()],
        })
    };
    let machine = loop {
        session.send(resync("machines")).await;
        let machines = session.report("machines").await;
        if let [entry] = &machines.entries[..] {
            break MachineStatus::decode(entry.value.clone()).unwrap();
        }
    };
    assert!(
        machine
            .stats
            .is_some_and(|stats| stats.memory_total_bytes > 0)
    );
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_an_application_changes_then_its_entry_follows_at_once() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(&cloud, 1).application("watcher", "hello");
    wish.settle(&cloud, &mut session).await;

    let mut entries = BTreeMap::new();
    loop {
        let report = session.report("applications").await;
        assert!(!report.full);
        for entry in report.entries {
            let status = ApplicationStatus::decode(entry.value).unwrap();
            entries.insert(entry.key, status);
        }
        if entries
            .get("watcher")
            .is_some_and(|status| status.serving_revision == 1)
        {
            break;
        }
    }
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_stream_is_lost_then_hello_tells_what_changed_meanwhile() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let edge = place.start().await;
    let session = cloud.session().await;
    let before = session.hello.section_digests.clone();
    session.welcome(&[]).await;
    drop(session);
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.into())),
    };
    let reported = Struct {
        fields: BTreeMap::from([("color".to_owned(), text("green"))]),
    };
    let request = UpdateNodePropertiesRequest {
        reported: Some(reported),
    };
    edge.node()
        .await
        .update_node_properties(request)
        .await
        .unwrap();

    let after = loop {
        let session = cloud.session().await;
        let digests = session.hello.section_digests.clone();
        if digests["properties"] != before["properties"] {
            session.welcome(&["properties"]).await;
            let mut session = session;
            break session.report("properties").await;
        }
    };

    assert!(after.full);
    assert_eq!(after.entries.len(), 1);
    assert_eq!(after.section_digest, digest_of(&after));
    let value = Value::decode(after.entries[0].value.clone()).unwrap();
    assert_eq!(value, text("green"));
    edge.stop().await.unwrap();
    cloud.stop().await;
}
