//! `baetyl logs`: through the cloud, or from the node itself.

use baetyl_proto::cloud::v1 as cloud;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::cloud::v1::operation_service_client::OperationServiceClient;
use baetyl_proto::node::v1 as node;
use baetyl_proto::node::v1::log_service_client::LogServiceClient;
use prost_types::Timestamp;

use crate::args::{Form, LogsArgs};
use crate::client::{Client, Wire, call};
use crate::failure::Failure;
use crate::output;

/// A line of either service.
struct Line<'a> {
    time: Option<&'a Timestamp>,
    service: &'a str,
    stream: &'a str,
    text: &'a str,
    invocation: &'a str,
}

pub(super) async fn run(client: &Client, form: Form, args: LogsArgs) -> Result<(), Failure> {
    if args.edge {
        return from_node(client, form, args).await;
    }
    let channel = client.cloud().await?;
    let on = match args.node {
        Some(node) => node,
        None => only_node(client, &channel, &args.application).await?,
    };
    let request = cloud::StreamLogsRequest {
        namespace: client.namespace.clone(),
        node: on,
        application: args.application,
        service: args.service.unwrap_or_default(),
        follow: args.follow,
        tail_lines: Some(args.tail),
        since_time: None,
        invocation_id: args.invocation.unwrap_or_default(),
    };
    let mut service = OperationServiceClient::new(channel);
    let mut lines = service.stream_logs(request).await?.into_inner();
    while let Some(batch) = lines.message().await? {
        for line in &batch.lines {
            print(
                form,
                &Line {
                    time: line.time.as_ref(),
                    service: &line.service,
                    stream: &line.stream,
                    text: &line.text,
                    invocation: &line.invocation_id,
                },
            );
        }
    }
    Ok(())
}

async fn from_node(client: &Client, form: Form, args: LogsArgs) -> Result<(), Failure> {
    let request = node::StreamLogsRequest {
        application: args.application,
        service: args.service.unwrap_or_default(),
        follow: args.follow,
        tail_lines: Some(args.tail),
        since_time: None,
        invocation_id: args.invocation.unwrap_or_default(),
    };
    let mut service = LogServiceClient::new(client.core().await?);
    let mut lines = service.stream_logs(request).await?.into_inner();
    while let Some(batch) = lines.message().await? {
        for line in &batch.lines {
            print(
                form,
                &Line {
                    time: line.time.as_ref(),
                    service: &line.service,
                    stream: &line.stream,
                    text: &line.text,
                    invocation: &line.invocation_id,
                },
            );
        }
    }
    Ok(())
}

fn print(form: Form, line: &Line<'_>) {
    if matches!(form, Form::Json | Form::Yaml) {
        let shown = serde_json::json!({
            "time": line.time.map(ToString::to_string),
            "service": line.service,
            "stream": line.stream,
            "text": line.text,
            "invocationId": line.invocation,
        });
        output::line(&shown.to_string());
        return;
    }
    let time = line.time.map(ToString::to_string).unwrap_or_default();
    let clock = time.get(11..23).unwrap_or(&time).trim_end_matches('Z');
    let mark = if line.stream == "stderr" { "!" } else { " " };
    let service = line.service;
    output::line(&format!("{clock} {service}{mark} {}", line.text));
}

/// The node of an application that is on one node only.
async fn only_node(client: &Client, channel: &Wire, name: &str) -> Result<String, Failure> {
    let request = cloud::ListApplicationNodesRequest {
        namespace: client.namespace.clone(),
        name: name.to_owned(),
        page_size: 10,
        page_token: String::new(),
    };
    let mut service = ApplicationServiceClient::new(channel.clone());
    let page = service
        .list_application_nodes(call(request))
        .await?
        .into_inner();
    let mut names: Vec<_> = page.nodes.into_iter().map(|node| node.node).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Failure::failed(format!("{name} is on no node"))),
        _ => Err(Failure::usage(format!(
            "{name} is on several nodes, choose one: --node {}",
            names.join(" | ")
        ))),
    }
}
