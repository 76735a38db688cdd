//! What the engine must know of a revision to judge it; what it is rendered to is in its material.

use std::collections::BTreeSet;
use std::time::Duration;

use baetyl_model::Application;
use baetyl_proto::resource::v1 as pb;

use crate::driver::Refusal;
use crate::reason;
use crate::spec::{Claim, Protocol, Update, duration, update};

/// The longest that a call may take unless the service says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// One revision of an application, as far as it is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeSpec {
    /// Name of the application.
    pub name: String,
    /// Its Kubernetes namespace; empty for that of the installation.
    pub namespace: String,
    /// What it is made of.
    pub kind: pb::ApplicationType,
    /// How its instances are kept.
    pub workload: pb::Workload,
    /// How a new revision replaces the old one.
    pub update: Update,
    /// Its function services.
    pub functions: Vec<FunctionService>,
    /// What no other application of the node may have.
    pub claims: BTreeSet<Claim>,
    /// With how many instances an autoscaler begins; `None` where there is none.
    pub first_replicas: Option<u32>,
    /// Whether fields that somebody else declares are taken over.
    pub force_conflicts: bool,
}

/// One function service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionService {
    /// Its name: the route key.
    pub name: String,
    /// Names of its functions.
    pub functions: Vec<String>,
    /// The longest that a call may take.
    pub timeout: Duration,
}

impl KubeSpec {
    /// Reads the body of an application.
    ///
    /// # Errors
    /// [`Refusal`] when it is none, or has a type that does not run in a cluster.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let application = Application::decode(body).map_err(|error| {
            let message = format!("the application {error}");
            Refusal::lasting(reason::INVALID_APPLICATION, message)
        })?;
        let message = application.message();
        match message.r#type() {
            pb::ApplicationType::Container
            | pb::ApplicationType::Function
            | pb::ApplicationType::Helm
            | pb::ApplicationType::Manifest => {}
            pb::ApplicationType::Process | pb::ApplicationType::Unspecified => {
                return Err(Refusal::lasting(
                    reason::UNSUPPORTED_TYPE,
                    "applications of type process do not run in a cluster",
                ));
            }
        }
        Ok(Self {
            name: application.name().as_str().to_owned(),
            namespace: message.kube_namespace.clone(),
            kind: message.r#type(),
            workload: message.workload(),
            update: update(message.update.as_ref()),
            functions: functions(message),
            claims: claims(message),
            first_replicas: message
                .autoscaling
                .as_ref()
                .map(|scaling| message.replicas.unwrap_or(1).max(scaling.min_replicas)),
            force_conflicts: message.force_conflicts,
        })
    }

    /// Whether its pods carry the label of their release. Those of raw objects and of charts do
    /// not: they are replaced when their own template changes.
    #[must_use]
    pub fn labels_pods(&self) -> bool {
        match self.kind {
            pb::ApplicationType::Container | pb::ApplicationType::Function => true,
            pb::ApplicationType::Helm
            | pb::ApplicationType::Manifest
            | pb::ApplicationType::Process
            | pb::ApplicationType::Unspecified => false,
        }
    }

    /// Whether it runs to its end once.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.labels_pods() && self.workload == pb::Workload::Job
    }
}

fn functions(message: &pb::Application) -> Vec<FunctionService> {
    if message.r#type() != pb::ApplicationType::Function {
        return Vec::new();
    }
    let service = |given: &pb::Service| FunctionService {
        name: given.name.clone(),
        functions: given.functions.iter().map(|one| one.name.clone()).collect(),
        timeout: duration(given.timeout, DEFAULT_TIMEOUT),
    };
    message.services.iter().map(service).collect()
}

fn claims(message: &pb::Application) -> BTreeSet<Claim> {
    let mut claims = BTreeSet::new();
    let number = |port: u32| u16::try_from(port).ok().filter(|port| *port != 0);
    for service in &message.services {
        for port in &service.ports {
            let protocol = match port.protocol.as_str() {
                "udp" => Protocol::Udp,
                _ => Protocol::Tcp,
            };
            // On the network of its machine a container has the port itself.
            let on_machine = match port.host_port {
                0 if message.host_network => port.container_port,
                given => given,
            };
            claims.extend(number(on_machine).map(|port| Claim::Port(protocol, port)));
            claims.extend(number(port.node_port).map(Claim::NodePort));
        }
        if message.r#type() == pb::ApplicationType::Function {
            claims.insert(Claim::Service(service.name.clone()));
        }
    }
    claims
}

#[cfg(test)]
mod tests;
