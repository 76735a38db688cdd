//! An application: what it is, and where it stands on each of its nodes.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::resource::v1::{Application, ApplicationStatus, ApplicationType};

use super::status::{self, Seen};
use super::{conditions, field, labels, part, why};
use crate::client::{Client, Wire, call};
use crate::failure::Failure;
use crate::output::{Table, age, dash, word};

pub(super) fn describe(application: &Application, nodes: &[wire::ApplicationNode]) {
    let status = application.status.clone().unwrap_or_default();
    field("Name", &application.name);
    field("Labels", &labels(&application.labels));
    field("Type", &word(&application.r#type()));
    let has_services = match application.r#type() {
        ApplicationType::Helm | ApplicationType::Manifest => false,
        ApplicationType::Container
        | ApplicationType::Function
        | ApplicationType::Process
        | ApplicationType::Unspecified => true,
    };
    if has_services {
        field("Workload", &word(&application.workload()));
    }
    field("Revision", &application.revision.to_string());
    field("Selector", &dash(&application.selector));
    if !application.machine_selector.is_empty() {
        field("Machines", &application.machine_selector);
    }
    let (healthy, count) = (status.healthy_node_count, status.node_count);
    field("Nodes", &format!("{healthy} of {count} healthy"));
    field("Why", &why(&status.why));
    conditions(&status.conditions);
    part("Nodes", &table(nodes));
    let seen = nodes.iter();
    let seen: Vec<Seen<'_>> = seen
        .filter_map(|node| Some((node.node.as_str(), node.status.as_ref()?)))
        .collect();
    // Of many nodes, what is as it should be would bury the rest.
    status::print("NODE", &seen, seen.len() <= 1);
}

fn table(nodes: &[wire::ApplicationNode]) -> Table {
    let mut table = Table::new(&[
        "NODE", "READY", "STATE", "WANTED", "SERVING", "SINCE", "WHY",
    ]);
    for node in nodes {
        let none = ApplicationStatus::default();
        let status = node.status.as_ref().unwrap_or(&none);
        let why = [node.why.as_str(), status.message.as_str()];
        let why = why
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        table.add(vec![
            node.node.clone(),
            word(&node.readiness()),
            word(&status.state()),
            node.desired_revision.to_string(),
            status.serving_revision.to_string(),
            age(status.transition_time.as_ref()),
            dash(why),
        ]);
    }
    table
}

/// Asks where an application stands on its nodes.
pub(super) async fn nodes(
    client: &Client,
    channel: &Wire,
    name: &str,
) -> Result<Vec<wire::ApplicationNode>, Failure> {
    let request = wire::ListApplicationNodesRequest {
        namespace: client.namespace.clone(),
        name: name.to_owned(),
        page_size: 1000,
        page_token: String::new(),
    };
    let mut service = ApplicationServiceClient::new(channel.clone());
    Ok(service
        .list_application_nodes(call(request))
        .await?
        .into_inner()
        .nodes)
}
