//! Channels: within their credit, closed by either side.

use baetyl_proto::cloud::v1::StreamLogsResponse;
use baetyl_proto::sync::v1::channel_open::Operation;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::{ChannelClose, ChannelCredit, ChannelOpen, LogQuery};
use prost::Message as _;

use crate::cloud::{Cloud, Session};
use crate::edge::{Edge, Place, Wish};

fn logs(channel_id: u64, application: &str, follow: bool, credit_bytes: u32) -> Down {
    Down::ChannelOpen(ChannelOpen {
        channel_id,
        credit_bytes,
        operation: Some(Operation::Logs(LogQuery {
            application: application.into(),
            tail_lines: 100,
            follow,
            ..LogQuery::default()
        })),
        traceparent: String::new(),
    })
}

fn close_of(wanted: u64) -> impl Fn(&Up) -> Option<ChannelClose> {
    move |frame| match frame {
        Up::ChannelClose(close) if close.channel_id == wanted => Some(close.clone()),
        _ => None,
    }
}

async fn running(cloud: &mut Cloud, place: &Place) -> (Edge, Session) {
    let edge = place.start().await;
    let mut session = cloud.session().await;
    session.welcome(&[]).await;
    let wish = Wish::new(cloud, 1).application("watcher", "hello");
    wish.settle(cloud, &mut session).await;
    session.converged().await;
    (edge, session)
}

#[tokio::test]
async fn when_logs_of_an_unknown_application_are_wanted_then_the_channel_says_so() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let (edge, mut session) = running(&mut cloud, &place).await;

    session.send(logs(7, "nobody", false, 1000)).await;

    let close = session.until("the close", close_of(7)).await;
    assert_eq!(close.reason, "APPLICATION_NOT_FOUND");
    assert_eq!(close.code, 5);
    edge.stop().await.unwrap();
    cloud.stop().await;
}

/// The bytes and the lines of a frame of the channel.
fn lines_of(wanted: u64) -> impl Fn(&Up) -> Option<(usize, Vec<String>)> {
    move |frame| match frame {
        Up::ChannelData(data) if data.channel_id == wanted => {
            let read = StreamLogsResponse::decode(data.data.clone()).unwrap();
            let lines = read.lines.into_iter().map(|line| line.text);
            Some((data.data.len(), lines.collect()))
        }
        _ => None,
    }
}

#[tokio::test]
async fn when_logs_are_wanted_then_their_lines_come_and_the_channel_ends_well() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let (edge, mut session) = running(&mut cloud, &place).await;
    let [instance] = &place.driver.running()[..] else {
        panic!("one instance");
    };
    for text in ["one", "two", "three"] {
        place.driver.print(&instance.id, text);
    }

    session.send(logs(1, "watcher", false, 100_000)).await;

    let (_, lines) = session.until("lines", lines_of(1)).await;
    assert_eq!(lines, ["one", "two", "three"]);
    let close = session.until("the close", close_of(1)).await;
    assert_eq!((close.code, close.reason.as_str()), (0, ""));
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_credit_is_spent_then_the_channel_waits_for_more() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let (edge, mut session) = running(&mut cloud, &place).await;
    let instance = place.driver.running().remove(0);
    for number in 0..200 {
        let text = format!("line {number:04} {}", "x".repeat(400));
        place.driver.print(&instance.id, &text);
    }
    let (credit, mut given, mut used) = (10_000_u32, 10_000_usize, 0_usize);

    session.send(logs(1, "watcher", false, credit)).await;
    session.send(logs(2, "nobody", false, credit)).await;

    let mut lines = Vec::new();
    while lines.len() < 100 {
        let (bytes, more) = session.until("lines", lines_of(1)).await;
        used += bytes;
        assert!(used <= given, "{used} bytes within {given}");
        lines.extend(more);
        let more = ChannelCredit {
            channel_id: 1,
            bytes: u32::try_from(bytes).unwrap(),
        };
        given += bytes;
        session.send(Down::ChannelCredit(more)).await;
    }
    // The last 100 lines, as was asked for.
    assert!(lines[0].starts_with("line 0100 "));
    assert!(lines[99].starts_with("line 0199 "));
    session.until("the close", close_of(1)).await;
    edge.stop().await.unwrap();
    cloud.stop().await;
}

#[tokio::test]
async fn when_the_cloud_closes_a_channel_then_it_is_answered_and_frees_its_place() {
    let mut cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let (edge, mut session) = running(&mut cloud, &place).await;
    for id in 1..=16 {
        session.send(logs(id, "watcher", true, 1000)).await;
    }
    session.send(logs(17, "watcher", true, 1000)).await;
    let refused = session.until("the refusal", close_of(17)).await;
    assert_eq!(refused.reason, "TOO_MANY_CHANNELS");

    let close = ChannelClose {
        channel_id: 3,
        ..ChannelClose::default()
    };
    session.send(Down::ChannelClose(close)).await;

    session.until("the answer", close_of(3)).await;
    let instance = place.driver.running().remove(0);
    place.driver.print(&instance.id, "now");
    session.send(logs(18, "watcher", true, 1000)).await;
    let (_, lines) = session.until("lines", lines_of(18)).await;
    assert_eq!(lines, ["now"]);
    edge.stop().await.unwrap();
    cloud.stop().await;
}
