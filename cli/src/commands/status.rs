//! `baetyl status` and `baetyl version`.

use std::process::ExitCode;

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::system_service_client::SystemServiceClient;

use crate::args::Form;
use crate::client::{Client, Kind, call};
use crate::failure::Failure;
use crate::output::{self, age, line};

pub(super) async fn run(client: &Client, form: Form) -> Result<(), Failure> {
    let channel = client.cloud().await?;
    let request = wire::GetSystemStatusRequest {
        namespace: client.namespace.clone(),
    };
    let mut system = SystemServiceClient::new(channel.clone());
    let status = system.get_system_status(call(request)).await?.into_inner();
    if form != Form::Table {
        return output::message(form, "baetyl.cloud.v1.GetSystemStatusResponse", &status);
    }
    line(&format!(
        "cloud        {} up {}",
        status.version,
        age(status.start_time.as_ref())
    ));
    line(&format!("namespace    {}", client.namespace));
    let (all, online, converged) = (
        status.node_count,
        status.online_node_count,
        status.converged_node_count,
    );
    line(&format!(
        "nodes        {all}, {online} online, {converged} converged"
    ));
    line(&format!("applications {}", status.application_count));
    if status.pending_node_count > 0 {
        line(&format!(
            "matching     {} nodes wait",
            status.pending_node_count
        ));
    }
    for kind in [Kind::Node, Kind::Application] {
        let documents = client.list(&channel, kind, "").await?;
        if !documents.is_empty() {
            line("");
            output::documents(form, kind, &documents, false)?;
        }
    }
    Ok(())
}

/// The versions of the program and, when it can be asked, of the control plane.
pub(super) async fn version(client: Option<Client>, form: Form) -> Result<ExitCode, Failure> {
    let cloud = match client {
        Some(client) => ask(&client).await.ok(),
        None => None,
    };
    let own = env!("CARGO_PKG_VERSION");
    if form == Form::Table {
        line(&format!("baetyl {own}"));
        if let Some(cloud) = cloud {
            line(&format!(
                "cloud  {} (sync protocol {})",
                cloud.version, cloud.sync_protocol_version
            ));
        }
    } else {
        let cloud = cloud.map(|cloud| cloud.version);
        output::value(form, &serde_json::json!({"version": own, "cloud": cloud}))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &Client) -> Result<wire::GetVersionResponse, Failure> {
    let mut system = SystemServiceClient::new(client.cloud().await?);
    let answer = system.get_version(call(wire::GetVersionRequest {})).await?;
    Ok(answer.into_inner())
}
