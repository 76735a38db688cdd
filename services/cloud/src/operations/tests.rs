//! Operations against a scripted edge.

use baetyl_proto::cloud::v1::{LogLine, StreamLogsResponse};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_service_kit::fault::{Code, Fault as _};
use futures::StreamExt as _;
use prost::Message as _;
use prost_types::value::Kind as ValueKind;

use super::{LogQuery, LogStream, OperationError};
use crate::testing::{
    Cloud, Device, Edge, application, configuration, eventually, name, namespace,
};

async fn demo() -> (Cloud, Device, Edge) {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[("site", "demo")]).await;
    cloud.put(configuration("thresholds", "30")).await;
    cloud.put(application("watcher", "thresholds")).await;
    let device = cloud.join("demo").await;
    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;
    edge.desired_where(|held| held.names() == ["watcher"]).await;
    (cloud, device, edge)
}

fn query() -> LogQuery {
    LogQuery {
        application: name("watcher"),
        service: String::new(),
        follow: true,
        tail_lines: Some(20_000),
        since: None,
        invocation: String::new(),
    }
}

async fn logs(cloud: &Cloud) -> Result<LogStream, OperationError> {
    cloud
        .operations
        .logs(&namespace(), &name("demo"), query())
        .await
}

fn lines(text: &str) -> Vec<u8> {
    let line = LogLine {
        text: text.to_owned(),
        ..LogLine::default()
    };
    StreamLogsResponse { lines: vec![line] }.encode_to_vec()
}

async fn opened(edge: &mut Edge) -> wire::ChannelOpen {
    match edge.next().await {
        Some(Frame::ChannelOpen(open)) => open,
        other => panic!("ChannelOpen was expected, not {other:?}"),
    }
}

fn value(kind: ValueKind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

fn patch(members: &[(&str, ValueKind)]) -> prost_types::Struct {
    let members = members.iter();
    prost_types::Struct {
        fields: members
            .map(|(key, kind)| ((*key).to_owned(), value(kind.clone())))
            .collect(),
    }
}

#[tokio::test]
async fn when_logs_are_asked_for_then_lines_come_until_the_edge_ends_them() {
    let (cloud, _device, mut edge) = demo().await;

    let (logs, open) = tokio::join!(logs(&cloud), opened(&mut edge));
    let mut logs = logs.unwrap();
    assert_eq!(open.credit_bytes, 256 * 1024);
    let Some(wire::channel_open::Operation::Logs(wanted)) = open.operation else {
        panic!("a query was expected");
    };
    assert_eq!(
        (wanted.application.as_str(), wanted.tail_lines),
        ("watcher", 10_000)
    );
    let channel_id = open.channel_id;
    for text in ["one", "two"] {
        let data = lines(text).into();
        edge.send(Up::ChannelData(wire::ChannelData { channel_id, data }))
            .await;
    }
    let close = wire::ChannelClose {
        channel_id,
        ..wire::ChannelClose::default()
    };
    edge.send(Up::ChannelClose(close)).await;

    let mut texts = Vec::new();
    while let Some(response) = logs.next().await {
        texts.push(response.unwrap().lines[0].text.clone());
    }
    assert_eq!(texts, ["one", "two"]);
    assert!(matches!(edge.next().await, Some(Frame::ChannelClose(_))));
}

#[tokio::test]
async fn when_lines_are_read_then_credit_comes_back() {
    let (cloud, _device, mut edge) = demo().await;
    let (logs, open) = tokio::join!(logs(&cloud), opened(&mut edge));
    let mut logs = logs.unwrap();
    let channel_id = open.channel_id;
    let chunk = lines(&"x".repeat(16_000));

    // More than one window, sent only within the credit.
    let mut credit = i64::from(open.credit_bytes);
    let mut sent = 0;
    let mut read = 0;
    let total = 40;
    while read < total {
        let length = i64::try_from(chunk.len()).unwrap();
        if sent < total && credit >= length {
            credit -= length;
            sent += 1;
            let data = chunk.clone().into();
            edge.send(Up::ChannelData(wire::ChannelData { channel_id, data }))
                .await;
            continue;
        }
        tokio::select! {
            line = logs.next() => {
                line.unwrap().unwrap();
                read += 1;
            }
            frame = edge.next() => match frame {
                Some(Frame::ChannelCredit(more)) => credit += i64::from(more.bytes),
                other => panic!("credit was expected, not {other:?}"),
            },
        }
    }

    assert_eq!((sent, read), (total, total));
}

#[tokio::test]
async fn when_the_edge_sends_beyond_its_credit_then_the_channel_ends_and_the_stream_goes_on() {
    let (cloud, _device, mut edge) = demo().await;
    let (logs, open) = tokio::join!(logs(&cloud), opened(&mut edge));
    // Nobody reads: no credit comes back beyond what the queue for the caller takes.
    let mut logs = logs.unwrap();
    let channel_id = open.channel_id;
    let chunk = lines(&"x".repeat(60_000));
    for _ in 0..20 {
        let data = chunk.clone().into();
        edge.send(Up::ChannelData(wire::ChannelData { channel_id, data }))
            .await;
    }

    let closed = loop {
        match edge.next().await {
            Some(Frame::ChannelClose(close)) => break close,
            Some(Frame::ChannelCredit(_)) => {}
            other => panic!("ChannelClose was expected, not {other:?}"),
        }
    };
    assert_eq!(
        (closed.channel_id, closed.reason.as_str()),
        (channel_id, "CREDIT_EXCEEDED")
    );
    let error = loop {
        if let Err(error) = logs.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.code(), Code::ResourceExhausted);
    edge.send(Up::Heartbeat(wire::Heartbeat { sequence: 1 }))
        .await;
    assert!(matches!(edge.next().await, Some(Frame::Heartbeat(_))));
}

#[tokio::test]
async fn when_the_caller_goes_then_the_edge_is_told() {
    let (cloud, _device, mut edge) = demo().await;
    let (logs, open) = tokio::join!(logs(&cloud), opened(&mut edge));

    drop(logs.unwrap());

    match edge.next().await {
        Some(Frame::ChannelClose(close)) => assert_eq!(close.channel_id, open.channel_id),
        other => panic!("ChannelClose was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn when_the_stream_ends_then_so_do_its_channels() {
    let (cloud, _device, mut edge) = demo().await;
    let (logs, _) = tokio::join!(logs(&cloud), opened(&mut edge));
    let mut logs = logs.unwrap();

    drop(edge);

    let error = logs.next().await.unwrap().unwrap_err();
    assert_eq!(
        (error.code(), error.reason()),
        (Code::Unavailable, "NODE_OFFLINE")
    );
    assert!(logs.next().await.is_none());
}

#[tokio::test]
async fn when_the_node_is_offline_then_logs_say_so() {
    let (cloud, _device, edge) = demo().await;
    drop(edge);
    eventually("the node is offline", async || {
        let status = cloud.node_status("demo").await;
        (status.readiness() == pb::Readiness::Offline).then_some(())
    })
    .await;

    let refused = logs(&cloud).await.unwrap_err();

    assert_eq!(
        (refused.code(), refused.reason()),
        (Code::Unavailable, "NODE_OFFLINE")
    );
}

#[tokio::test]
async fn when_too_many_channels_are_opened_then_one_more_is_refused() {
    let (cloud, _device, mut edge) = demo().await;
    let mut open = Vec::new();
    for _ in 0..crate::sync::MAX_CHANNELS {
        let (logs, _) = tokio::join!(logs(&cloud), opened(&mut edge));
        open.push(logs.unwrap());
    }

    let refused = logs(&cloud).await.unwrap_err();

    assert_eq!(
        (refused.code(), refused.reason()),
        (Code::ResourceExhausted, "CHANNEL_LIMIT")
    );
}

#[tokio::test]
async fn when_properties_are_wanted_then_the_node_is_told_and_answers() {
    let (cloud, _device, mut edge) = demo().await;
    let wanted = patch(&[
        ("rate", ValueKind::NumberValue(5.0)),
        ("name", ValueKind::StringValue("pump".to_owned())),
    ]);
    let (namespace, node) = (namespace(), name("demo"));

    let updated = cloud
        .operations
        .update_properties(&namespace, &node, wanted)
        .await
        .unwrap();
    assert_eq!(updated.desired.len(), 2);
    assert_eq!(updated.desired_times.len(), 2);
    let held = edge.desired().await;
    assert_eq!(
        held.document.properties["rate"],
        value(ValueKind::NumberValue(5.0))
    );
    let reported = value(ValueKind::NumberValue(4.0));
    let entry = wire::ReportEntry {
        key: "rate".to_owned(),
        value: reported.encode_to_vec().into(),
    };
    let report = wire::Report {
        sequence: 1,
        section: "properties".to_owned(),
        entries: vec![entry],
        ..wire::Report::default()
    };
    edge.send(Up::Report(report)).await;
    assert!(matches!(edge.next().await, Some(Frame::ReportAck(_))));
    let removal = patch(&[("name", ValueKind::NullValue(0))]);
    let updated = cloud
        .operations
        .update_properties(&namespace, &node, removal)
        .await
        .unwrap();

    assert_eq!(updated.desired.keys().collect::<Vec<_>>(), ["rate"]);
    assert_eq!(updated.reported["rate"], reported);
}

#[tokio::test]
async fn when_a_patch_is_wrong_then_every_violation_is_named_and_nothing_changes() {
    let (cloud, _device, _edge) = demo().await;
    let wrong = patch(&[
        ("", ValueKind::BoolValue(true)),
        (
            "list",
            ValueKind::ListValue(prost_types::ListValue::default()),
        ),
        ("good", ValueKind::BoolValue(true)),
    ]);
    let (namespace, node) = (namespace(), name("demo"));

    let refused = cloud
        .operations
        .update_properties(&namespace, &node, wrong)
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    let reasons: Vec<String> = refused
        .violations()
        .into_iter()
        .map(|one| one.reason)
        .collect();
    assert_eq!(reasons, ["KEY_INVALID", "NOT_A_SCALAR"]);
    let properties = cloud
        .operations
        .properties(&namespace, &node)
        .await
        .unwrap();
    assert!(properties.desired.is_empty());
}

#[tokio::test]
async fn when_an_application_is_retried_then_the_generation_carries_it() {
    let (cloud, _device, mut edge) = demo().await;
    let (namespace, node) = (namespace(), name("demo"));

    let retried = cloud
        .operations
        .retry(&namespace, &node, &name("watcher"))
        .await;
    let held = edge.desired().await;

    assert_eq!(held.fence.generation, retried.unwrap());
    assert_eq!(held.document.applications[0].retry, 1);
    let refused = cloud
        .operations
        .retry(&namespace, &node, &name("other"))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), "APPLICATION_NOT_DESIRED");
}

#[tokio::test]
async fn when_a_join_token_is_made_then_the_command_can_be_pasted() {
    let (cloud, _device, _edge) = demo().await;
    let (namespace, node) = (namespace(), name("demo"));

    let made = cloud
        .operations
        .create_join_token(&namespace, &node, None)
        .await
        .unwrap();

    let address = format!("https://{}", cloud.api_address);
    assert_eq!(
        made.command,
        format!("baetyl join --token {} {address}", made.token)
    );
    let short = Some(std::time::Duration::from_secs(1));
    let refused = cloud
        .operations
        .create_join_token(&namespace, &node, short)
        .await
        .unwrap_err();
    assert_eq!(refused.violations()[0].field, "lifetime");
}
