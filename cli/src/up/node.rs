//! The node of `up`: added, activated as any device is, and waited for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use baetyl_init::{Activation, activate, is_activated};
use baetyl_model::node_identity::{NODE_FILE, NodeIdentityFile};
use baetyl_pki::files;
use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::node_service_client::NodeServiceClient;
use baetyl_proto::resource::v1::{Node, NodeMode, Readiness};
use futures::StreamExt as _;
use tonic::Code;

use super::Cloud;
use super::data::UpFolder;
use crate::client::{Wire, call, dial};
use crate::failure::Failure;

/// The tenant of the node.
const NAMESPACE: &str = "default";

/// The node, on its way.
pub(super) struct UpNode {
    nodes: NodeServiceClient<Wire>,
    name: String,
}

/// Adds the node unless it exists, and activates it unless it is.
pub(super) async fn ensure(cloud: &Cloud, data: &UpFolder, name: &str) -> Result<UpNode, Failure> {
    let wire = dial("cloud", &cloud.address, &cloud.ca, &cloud.token).await?;
    let mut nodes = NodeServiceClient::new(wire);
    let folder = data.node().join("identity");
    if is_activated(&folder) {
        // The ports may be others than at the start before.
        move_to(&folder, cloud)?;
    } else {
        add(&mut nodes, name).await?;
        let request = wire::CreateJoinTokenRequest {
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
            lifetime: None,
        };
        let token = nodes
            .create_join_token(call(request))
            .await?
            .into_inner()
            .token;
        let activation = Activation {
            address: cloud.address.clone(),
            token,
            folder,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            patience: Duration::from_secs(10),
        };
        activate(&activation)
            .await
            .map_err(|error| Failure::fault(&error))?;
    }
    let name = name.to_owned();
    Ok(UpNode { nodes, name })
}

/// Writes where the control plane is now into the node's identity.
fn move_to(folder: &Path, cloud: &Cloud) -> Result<(), Failure> {
    let path = folder.join(NODE_FILE);
    let text = files::read_public(&path).map_err(Failure::local)?;
    let mut identity = NodeIdentityFile::from_json(&text).map_err(Failure::local)?;
    identity.api_addresses = vec![cloud.address.trim_start_matches("https://").to_owned()];
    identity.sync_addresses = vec![cloud.sync.clone()];
    files::write_public(&path, identity.to_json().as_bytes()).map_err(Failure::local)
}

async fn add(nodes: &mut NodeServiceClient<Wire>, name: &str) -> Result<(), Failure> {
    let mut node = Node {
        name: name.to_owned(),
        namespace: NAMESPACE.to_owned(),
        labels: BTreeMap::from([("site".to_owned(), "demo".to_owned())]),
        ..Default::default()
    };
    node.set_node_mode(NodeMode::Process);
    let request = wire::CreateNodeRequest {
        namespace: NAMESPACE.to_owned(),
        node: Some(node),
        ..Default::default()
    };
    match nodes.create_node(call(request)).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::AlreadyExists => Ok(()),
        Err(status) => Err(status.into()),
    }
}

impl UpNode {
    /// Waits until the node's stream is open.
    pub(super) async fn until_online(mut self, patience: Duration) -> Result<(), Failure> {
        let request = wire::WatchNodesRequest {
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let mut changes = self.nodes.watch_nodes(request).await?.into_inner();
        let online = async {
            while let Some(change) = changes.next().await {
                let node = change?.node.unwrap_or_default();
                let status = node.status.unwrap_or_default();
                if node.name == self.name && status.readiness() == Readiness::Online {
                    return Ok(());
                }
            }
            Err(Failure::failed("the control plane ended".to_owned()))
        };
        tokio::time::timeout(patience, online).await.unwrap_or_else(|_| {
            let seconds = patience.as_secs();
            Err(Failure::failed(format!(
                "node {} is not online after {seconds} s; run again with BAETYL_LOG=info to see why",
                self.name
            )))
        })
    }
}
