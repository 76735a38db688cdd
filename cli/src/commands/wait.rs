//! Waiting until applications are what they should be, with progress.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::resource::v1::{ApplicationState, Readiness};
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Wire, call};
use crate::failure::Failure;
use crate::output::{say, word};

/// How often is looked: the status is small, and the wait is a person's.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long an application may match no node before that is called its state.
const UNMATCHED_AFTER: Duration = Duration::from_secs(5);

/// Where one application stands on all its nodes.
enum Verdict {
    /// It is healthy everywhere.
    Done(usize),
    /// Something is on its way; says what.
    Underway(String),
    /// It failed for good somewhere.
    Failed(String),
    /// No node wants it.
    Unmatched,
}

/// Waits until each application is healthy in its revision on every node that wants it.
pub(super) async fn for_applications(
    client: &Client,
    channel: &Wire,
    applications: BTreeMap<String, u64>,
    timeout: Duration,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut left = applications;
    let mut failures = Vec::new();
    while !left.is_empty() {
        let mut still = BTreeMap::new();
        for (name, revision) in left {
            let verdict = look(client, channel, &name, revision).await?;
            let elapsed = started.elapsed();
            let text = match verdict {
                Verdict::Done(nodes) => {
                    let nodes = if nodes == 1 {
                        "1 node".to_owned()
                    } else {
                        format!("{nodes} nodes")
                    };
                    say(&format!(
                        "✓ {name} healthy on {nodes}  {:.2} s",
                        elapsed.as_secs_f64()
                    ));
                    continue;
                }
                Verdict::Failed(why) => {
                    say(&format!("✗ {name} {why}"));
                    failures.push(format!("{name} {why}"));
                    continue;
                }
                Verdict::Unmatched if elapsed >= UNMATCHED_AFTER => {
                    say(&format!("✓ {name} matches no node"));
                    continue;
                }
                Verdict::Unmatched => "waits for a node".to_owned(),
                Verdict::Underway(what) => what,
            };
            if said.get(&name) != Some(&text) {
                say(&format!("… {name} {text}"));
                said.insert(name.clone(), text);
            }
            still.insert(name, revision);
        }
        left = still;
        if started.elapsed() >= timeout && !left.is_empty() {
            let open: Vec<_> = left
                .keys()
                .map(|name| format!("{name} {}", said.get(name).map_or("", String::as_str)))
                .collect();
            failures.push(format!("after {}s: {}", timeout.as_secs(), open.join("; ")));
            break;
        }
        if !left.is_empty() {
            sleep_until(Instant::now() + LOOK_EVERY).await;
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::not_converged(format!(
        "not converged: {}\n  see `baetyl describe app NAME` and `baetyl logs NAME`",
        failures.join("; ")
    )))
}

async fn look(
    client: &Client,
    channel: &Wire,
    name: &str,
    revision: u64,
) -> Result<Verdict, Failure> {
    let mut service = ApplicationServiceClient::new(channel.clone());
    let mut nodes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListApplicationNodesRequest {
            namespace: client.namespace.clone(),
            name: name.to_owned(),
            page_size: 1000,
            page_token,
        };
        let page = service
            .list_application_nodes(call(request))
            .await?
            .into_inner();
        nodes.extend(page.nodes);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(judge(&nodes, revision))
}

fn judge(nodes: &[wire::ApplicationNode], revision: u64) -> Verdict {
    if nodes.is_empty() {
        return Verdict::Unmatched;
    }
    let mut underway = None;
    let mut healthy = 0;
    for node in nodes {
        let name = &node.node;
        let status = node.status.as_ref();
        let current = status.filter(|status| {
            status.desired_revision >= revision && node.desired_revision >= revision
        });
        let Some(status) = current else {
            let why = match node.readiness() {
                Readiness::Online => "is on its way",
                Readiness::Uninstalled => "waits, the node has not joined yet",
                Readiness::Offline | Readiness::Unspecified => "waits, the node is offline",
            };
            underway = Some(format!("{why} to {name}"));
            continue;
        };
        match status.state() {
            ApplicationState::Healthy | ApplicationState::Succeeded if node.why.is_empty() => {
                healthy += 1;
            }
            ApplicationState::Failed | ApplicationState::RolledBack => {
                let state = word(&status.state()).replace('_', " ");
                let (reason, message) = (&status.reason, &status.message);
                return Verdict::Failed(format!("{state} on {name}: {reason}, {message}"));
            }
            state => {
                let state = word(&state);
                let more = [status.message.as_str(), node.why.as_str()];
                let more = more.into_iter().find(|text| !text.is_empty());
                let more = more.map(|text| format!(": {text}")).unwrap_or_default();
                underway = Some(format!("{state} on {name}{more}"));
            }
        }
    }
    match underway {
        Some(what) if nodes.len() > 1 => {
            Verdict::Underway(format!("{healthy}/{} healthy, {what}", nodes.len()))
        }
        Some(what) => Verdict::Underway(what),
        None => Verdict::Done(healthy),
    }
}

#[cfg(test)]
mod tests {
    use baetyl_proto::resource::v1::ApplicationStatus;

    use super::*;

    fn node(state: ApplicationState, desired: u64) -> wire::ApplicationNode {
        let mut status = ApplicationStatus {
            name: "a".into(),
            desired_revision: desired,
            reason: "CRASH_LOOP".into(),
            ..Default::default()
        };
        status.set_state(state);
        wire::ApplicationNode {
            node: "demo".into(),
            status: Some(status),
            desired_revision: 2,
            ..Default::default()
        }
    }

    #[test]
    fn when_a_node_still_reports_the_old_revision_then_it_is_underway() {
        let verdict = judge(&[node(ApplicationState::Healthy, 1)], 2);
        assert!(matches!(verdict, Verdict::Underway(_)));
    }

    #[test]
    fn when_every_node_is_healthy_then_it_is_done() {
        let nodes = [
            node(ApplicationState::Healthy, 2),
            node(ApplicationState::Healthy, 3),
        ];
        assert!(matches!(judge(&nodes, 2), Verdict::Done(2)));
    }

    #[test]
    fn when_one_node_failed_then_it_says_where_and_why() {
        let nodes = [
            node(ApplicationState::Healthy, 2),
            node(ApplicationState::RolledBack, 2),
        ];
        let Verdict::Failed(why) = judge(&nodes, 2) else {
            panic!("must be failed");
        };
        assert!(why.contains("rolled back on demo: CRASH_LOOP"), "{why}");
    }
}
