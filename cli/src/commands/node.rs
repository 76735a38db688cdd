//! `baetyl node`.

use std::time::Duration;

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::node_service_client::NodeServiceClient;
use baetyl_proto::resource::v1::{Node, NodeMode, NodeProperties};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Code;

use crate::args::{Form, Mode, NodeCommand};
use crate::client::{Client, Wire, call};
use crate::failure::Failure;
use crate::output::{self, Table, dash, line, say, time};

type Nodes = NodeServiceClient<Wire>;

pub(super) async fn run(client: &Client, form: Form, command: NodeCommand) -> Result<(), Failure> {
    let mut nodes = NodeServiceClient::new(client.cloud().await?);
    let namespace = client.namespace.clone();
    match command {
        NodeCommand::Add {
            name,
            labels,
            mode,
            lifetime,
        } => {
            let node_mode = match mode {
                Mode::Process => NodeMode::Process,
                Mode::Kube => NodeMode::Kube,
            };
            let node = Node {
                name,
                namespace,
                labels: labels.into_iter().collect(),
                node_mode: node_mode.into(),
                ..Default::default()
            };
            add(&mut nodes, form, node, lifetime).await
        }
        NodeCommand::Revoke { name } => {
            let request = wire::RevokeNodeRequest {
                namespace,
                name: name.clone(),
            };
            let done = nodes.revoke_node(call(request)).await?.into_inner();
            line(&format!(
                "node/{name} revoked, {} certificates",
                done.revoked_count
            ));
            Ok(())
        }
        NodeCommand::Retry { name, application } => {
            let request = wire::RetryApplicationRequest {
                namespace,
                name,
                application,
            };
            let done = nodes.retry_application(call(request)).await?.into_inner();
            line(&format!("tried again with generation {}", done.generation));
            Ok(())
        }
        NodeCommand::Properties { name, changes } => {
            properties(&mut nodes, form, namespace, name, &changes).await
        }
    }
}

async fn add(nodes: &mut Nodes, form: Form, node: Node, lifetime: Duration) -> Result<(), Failure> {
    let is_cluster = node.node_mode() == NodeMode::Kube;
    let (namespace, name) = (node.namespace.clone(), node.name.clone());
    let request = wire::CreateNodeRequest {
        namespace: namespace.clone(),
        node: Some(node),
        ..Default::default()
    };
    match nodes.create_node(call(request)).await {
        Ok(_) => say(&format!("node/{name} added")),
        Err(status) if status.code() == Code::AlreadyExists => {
            say(&format!(
                "node/{name} exists already, here is a new token for it"
            ));
        }
        Err(status) => return Err(status.into()),
    }
    let request = wire::CreateJoinTokenRequest {
        namespace,
        name,
        lifetime: Some(prost_types::Duration::try_from(lifetime).map_err(Failure::local)?),
    };
    let token = nodes.create_join_token(call(request)).await?.into_inner();
    if form != Form::Table {
        return output::message(form, "baetyl.cloud.v1.CreateJoinTokenResponse", &token);
    }
    let until = time(token.expire_time.as_ref());
    if is_cluster {
        say(&format!("run this against the cluster, before {until}:"));
        line(&installation(&token));
    } else {
        say(&format!("run this on the device, before {until}:"));
        line(&token.command);
    }
    Ok(())
}

/// The command that installs the chart; it runs core as a pod, which activates itself.
fn installation(token: &wire::CreateJoinTokenResponse) -> String {
    let (address, token) = (&token.address, &token.token);
    format!(
        "helm install baetyl-edge charts/edge --namespace baetyl-edge-system --create-namespace \
         --set cloud.address={address} --set cloud.joinToken={token}"
    )
}

async fn properties(
    nodes: &mut Nodes,
    form: Form,
    namespace: String,
    name: String,
    changes: &[String],
) -> Result<(), Failure> {
    let found = if changes.is_empty() {
        let request = wire::GetNodePropertiesRequest { namespace, name };
        nodes
            .get_node_properties(call(request))
            .await?
            .into_inner()
            .properties
    } else {
        let desired = Some(patch(changes)?);
        let request = wire::UpdateNodePropertiesRequest {
            namespace,
            name,
            desired,
        };
        nodes
            .update_node_properties(call(request))
            .await?
            .into_inner()
            .properties
    };
    let found = found.unwrap_or_default();
    if form != Form::Table {
        return output::message(form, "baetyl.resource.v1.NodeProperties", &found);
    }
    print(&found);
    Ok(())
}

fn print(properties: &NodeProperties) {
    let mut keys: Vec<_> = properties
        .desired
        .keys()
        .chain(properties.reported.keys())
        .collect();
    keys.sort();
    keys.dedup();
    let mut table = Table::new(&["KEY", "WANTED", "REPORTED", "REPORTED AT"]);
    for key in keys {
        table.add(vec![
            key.clone(),
            dash(&properties.desired.get(key).map(text).unwrap_or_default()),
            dash(&properties.reported.get(key).map(text).unwrap_or_default()),
            dash(&time(properties.reported_times.get(key))),
        ]);
    }
    table.print();
}

fn text(value: &Value) -> String {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::NumberValue(number)) => number.to_string(),
        Some(Kind::BoolValue(flag)) => flag.to_string(),
        _ => String::new(),
    }
}

/// `key=value` and `key-` as a merge patch.
fn patch(changes: &[String]) -> Result<Struct, Failure> {
    let mut patch = Struct::default();
    for change in changes {
        let (key, kind) = match (change.split_once('='), change.strip_suffix('-')) {
            (Some((key, value)), _) => (key, scalar(value)),
            (None, Some(key)) => (key, Kind::NullValue(0)),
            (None, None) => {
                return Err(Failure::usage(format!(
                    "{change:?} is neither key=value nor key-"
                )));
            }
        };
        patch
            .fields
            .insert(key.to_owned(), Value { kind: Some(kind) });
    }
    Ok(patch)
}

/// A JSON scalar as what it is, anything else as text.
fn scalar(text: &str) -> Kind {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Bool(flag)) => Kind::BoolValue(flag),
        Ok(serde_json::Value::Number(number)) => {
            Kind::NumberValue(number.as_f64().unwrap_or_default())
        }
        Ok(serde_json::Value::String(text)) => Kind::StringValue(text),
        _ => Kind::StringValue(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_properties_are_typed_then_scalars_keep_their_type() {
        let changes = ["a=1.5", "b=true", "c=on", "d-"].map(str::to_owned);

        let patch = patch(&changes).expect("a patch");

        let kinds: Vec<_> = patch
            .fields
            .values()
            .map(|value| value.kind.clone())
            .collect();
        assert_eq!(
            kinds,
            [
                Some(Kind::NumberValue(1.5)),
                Some(Kind::BoolValue(true)),
                Some(Kind::StringValue("on".to_owned())),
                Some(Kind::NullValue(0)),
            ]
        );
    }
}
