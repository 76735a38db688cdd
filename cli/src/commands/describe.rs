//! `baetyl describe`: one resource in full, and why it is not what it should be.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::Document;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::document;
use baetyl_proto::json::WriteOptions;
use baetyl_proto::resource::v1::{
    Application, ApplicationStatus, Condition, MachineStatus, Node, NodeStatus,
};

use crate::args::{Form, ObjectArgs};
use crate::client::{Client, Wire, call};
use crate::failure::Failure;
use crate::output::{self, Table, age, bytes, dash, line, time, word};

pub(super) async fn run(client: &Client, form: Form, args: ObjectArgs) -> Result<(), Failure> {
    let channel = client.cloud().await?;
    let document = client.get(&channel, args.kind, &args.name, false).await?;
    if form != Form::Table {
        return output::documents(form, args.kind, &[document], true);
    }
    match &document.resource {
        Some(Resource::Node(node)) => describe_node(node),
        Some(Resource::Application(application)) => {
            let nodes = nodes(client, &channel, &application.name).await?;
            describe_application(application, &nodes);
        }
        _ => plain(&document),
    }
    Ok(())
}

fn plain(document: &Document) {
    line(document::to_yaml(std::slice::from_ref(document), WriteOptions::default()).trim_end());
}

fn describe_node(node: &Node) {
    let none = NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    field("Name", &node.name);
    field("Labels", &labels(&node.labels));
    field("Ready", &word(&status.readiness()));
    field("Mode", &word(&node.node_mode()));
    field("Last seen", &age(status.last_seen_time.as_ref()));
    let (wanted, taken, runs) = (
        status.desired_generation,
        status.accepted_generation,
        status.converged_generation,
    );
    field(
        "Generation",
        &format!("wanted {wanted}, on disk {taken}, running {runs}"),
    );
    field("Core", &dash(&status.core_version));
    field(
        "Certificate",
        &dash(&time(status.certificate_expire_time.as_ref())),
    );
    field("Why", &why(&status.why));
    conditions(&status.conditions);
    if !status.machines.is_empty() {
        line("\nMachines");
        machines(&status.machines);
    }
    if !status.applications.is_empty() {
        line("\nApplications");
        applications(&status.applications);
        line("\nInstances");
        instances(&status.applications);
    }
}

fn describe_application(application: &Application, nodes: &[wire::ApplicationNode]) {
    let status = application.status.clone().unwrap_or_default();
    field("Name", &application.name);
    field("Labels", &labels(&application.labels));
    field("Type", &word(&application.r#type()));
    field("Revision", &application.revision.to_string());
    field("Selector", &dash(&application.selector));
    let (healthy, count) = (status.healthy_node_count, status.node_count);
    field("Nodes", &format!("{healthy} of {count} healthy"));
    field("Why", &why(&status.why));
    conditions(&status.conditions);
    if nodes.is_empty() {
        return;
    }
    line("\nNodes");
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
    table.print();
    let all: Vec<_> = nodes
        .iter()
        .filter_map(|node| node.status.clone())
        .collect();
    line("\nInstances");
    instances(&all);
}

fn field(name: &str, value: &str) {
    line(&format!("{name:12} {value}"));
}

fn why(text: &str) -> String {
    if text.is_empty() {
        "– (it is what it should be)".to_owned()
    } else {
        text.to_owned()
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let all: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    dash(&all.join(", "))
}

fn conditions(conditions: &[Condition]) {
    if conditions.is_empty() {
        return;
    }
    line("\nConditions");
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        table.add(vec![
            condition.r#type.clone(),
            word(&condition.status()),
            dash(&condition.reason),
            age(condition.last_transition_time.as_ref()),
            dash(&condition.message),
        ]);
    }
    table.print();
}

fn machines(machines: &[MachineStatus]) {
    let mut table = Table::new(&["HOST", "ARCH", "SYSTEM", "CPU", "MEMORY", "DISK", "LOAD"]);
    for machine in machines {
        let stats = machine.stats.unwrap_or_default();
        let of = |used, total| format!("{} of {}", bytes(used), bytes(total));
        table.add(vec![
            machine.hostname.clone(),
            machine.architecture.clone(),
            dash(&machine.os_image),
            format!("{:.0}% of {}", stats.cpu_ratio * 100.0, stats.cpu_count),
            of(stats.memory_used_bytes, stats.memory_total_bytes),
            of(stats.disk_used_bytes, stats.disk_total_bytes),
            format!("{:.2}", stats.load1),
        ]);
    }
    table.print();
}

fn applications(applications: &[ApplicationStatus]) {
    let mut table = Table::new(&["NAME", "STATE", "WANTED", "SERVING", "REASON", "MESSAGE"]);
    for status in applications {
        table.add(vec![
            status.name.clone(),
            word(&status.state()),
            status.desired_revision.to_string(),
            status.serving_revision.to_string(),
            dash(&status.reason),
            dash(&status.message),
        ]);
    }
    table.print();
}

fn instances(applications: &[ApplicationStatus]) {
    let head = [
        "APP", "SERVICE", "STATE", "PID", "MEMORY", "RESTARTS", "STARTED", "LAST END", "WHY",
    ];
    let mut table = Table::new(&head);
    for status in applications {
        for instance in &status.instances {
            let last = instance.last_termination.as_ref();
            let last = last.map(|end| format!("{} ({})", end.reason, end.exit_code));
            table.add(vec![
                status.name.clone(),
                format!("{}/{}", instance.service, instance.index),
                word(&instance.state()),
                instance.pid.to_string(),
                bytes(instance.memory_bytes),
                instance.restart_count.to_string(),
                age(instance.start_time.as_ref()),
                dash(&last.unwrap_or_default()),
                dash(&instance.message),
            ]);
        }
    }
    table.print();
}

async fn nodes(
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
