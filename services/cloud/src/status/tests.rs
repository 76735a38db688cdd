//! Status in words.

use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;

use crate::testing::{Cloud, application, configuration, eventually, name, namespace};

fn reason(status: &pb::NodeStatus, condition: &str) -> String {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|one| one.r#type == condition);
    found.map(|one| one.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn when_a_node_comes_to_life_then_each_step_has_its_words() {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[]).await;

    let status = cloud.node_status("demo").await;
    assert_eq!(status.readiness(), pb::Readiness::Uninstalled);
    assert_eq!(status.why, "never activated");

    let device = cloud.join("demo").await;
    let status = cloud.node_status("demo").await;
    assert_eq!(status.readiness(), pb::Readiness::Offline);
    assert_eq!(status.why, "activated, and never connected");
    assert!(status.certificate_expire_time.is_some());

    let mut edge = cloud.edge(&device, device.hello()).await;
    edge.welcome().await;
    let held = edge.desired().await;
    let status = cloud.node_status("demo").await;
    assert_eq!(status.readiness(), pb::Readiness::Online);
    assert_eq!(status.why, "waiting for generation 1 to be accepted");
    assert_eq!(reason(&status, "Converged"), "NOT_ACCEPTED");

    let fence = Some(held.fence);
    edge.send(Up::Accepted(wire::Accepted { fence })).await;
    eventually("it waits to run", async || {
        let status = cloud.node_status("demo").await;
        (status.why == "waiting for generation 1 to run").then_some(())
    })
    .await;

    edge.send(Up::Converged(wire::Converged { fence })).await;
    let status = eventually("it has converged", async || {
        let status = cloud.node_status("demo").await;
        status.why.is_empty().then_some(status)
    })
    .await;
    assert_eq!(reason(&status, "Converged"), "CONVERGED");
    assert_eq!(reason(&status, "Ready"), "ONLINE");
    assert_eq!(
        (status.desired_generation, status.converged_generation),
        (1, 1)
    );
    let counts = cloud.status.counts(&namespace()).await.unwrap();
    assert_eq!((counts.online, counts.converged, counts.pending), (1, 1, 0));
}

#[tokio::test]
async fn when_an_application_is_on_many_nodes_then_they_come_in_pages() {
    let cloud = Cloud::start().await;
    for node in ["aa", "bb", "cc"] {
        cloud.node(node, &[("site", "demo")]).await;
    }
    cloud.put(configuration("thresholds", "30")).await;
    cloud.put(application("watcher", "thresholds")).await;
    let watcher = name("watcher");
    eventually("it is placed everywhere", async || {
        let summary = cloud
            .status
            .application(&namespace(), &watcher)
            .await
            .unwrap();
        (summary.node_count == 3).then_some(())
    })
    .await;

    let first = cloud
        .status
        .application_nodes(&namespace(), &watcher, None, 2)
        .await
        .unwrap();
    let after = Some(&name("bb"));
    let second = cloud
        .status
        .application_nodes(&namespace(), &watcher, after, 2)
        .await;

    let names = |nodes: &[super::ApplicationNode]| -> Vec<String> {
        nodes.iter().map(|one| one.node.clone()).collect()
    };
    assert_eq!(names(&first), ["aa", "bb"]);
    assert_eq!(names(&second.unwrap()), ["cc"]);
    assert_eq!(first[0].why, "aa is not online: never activated");
}
