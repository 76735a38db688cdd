//! One row for each kind of resource.

use baetyl_proto::cloud::v1::Document;
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::resource::v1 as wire;

use super::{age, dash, ready_machines, time};
use crate::client::Kind;

/// The head of the table of a kind.
pub(crate) fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Node => &[
            "NAME",
            "READY",
            "MODE",
            "MACHINES",
            "GENERATION",
            "APPS",
            "LAST SEEN",
            "WHY",
        ],
        Kind::Application => &[
            "NAME", "TYPE", "REVISION", "NODES", "SELECTOR", "AGE", "WHY",
        ],
        Kind::Configuration | Kind::Secret => &["NAME", "KEYS", "REVISION", "AGE"],
        Kind::Certificate => &["NAME", "SUBJECT", "NAMES", "EXPIRES", "REVISION", "AGE"],
        Kind::Registry => &["NAME", "ADDRESS", "USER", "REVISION", "AGE"],
        Kind::Namespace => &["NAME", "REVISION", "AGE", "DESCRIPTION"],
    }
}

/// The name of a resource.
pub(crate) fn name(document: &Document) -> &str {
    match &document.resource {
        Some(Resource::Namespace(it)) => &it.name,
        Some(Resource::Node(it)) => &it.name,
        Some(Resource::Application(it)) => &it.name,
        Some(Resource::Configuration(it)) => &it.name,
        Some(Resource::Secret(it)) => &it.name,
        Some(Resource::Certificate(it)) => &it.name,
        Some(Resource::Registry(it)) => &it.name,
        None => "",
    }
}

/// The row of a resource.
pub(crate) fn row(document: &Document) -> Vec<String> {
    match &document.resource {
        Some(Resource::Namespace(it)) => vec![
            it.name.clone(),
            it.revision.to_string(),
            age(it.create_time.as_ref()),
            dash(&it.description),
        ],
        Some(Resource::Node(it)) => node(it),
        Some(Resource::Application(it)) => application(it),
        Some(Resource::Configuration(it)) => vec![
            it.name.clone(),
            (it.data.len() + it.binary_data.len()).to_string(),
            it.revision.to_string(),
            age(it.create_time.as_ref()),
        ],
        Some(Resource::Secret(it)) => vec![
            it.name.clone(),
            it.keys.len().to_string(),
            it.revision.to_string(),
            age(it.create_time.as_ref()),
        ],
        Some(Resource::Certificate(it)) => certificate(it),
        Some(Resource::Registry(it)) => vec![
            it.name.clone(),
            it.address.clone(),
            it.username.clone(),
            it.revision.to_string(),
            age(it.create_time.as_ref()),
        ],
        None => Vec::new(),
    }
}

fn certificate(certificate: &wire::Certificate) -> Vec<String> {
    let none = wire::CertificateDetails::default();
    let details = certificate.details.as_ref().unwrap_or(&none);
    vec![
        certificate.name.clone(),
        dash(&details.subject),
        dash(&details.subject_alternative_names.join(",")),
        dash(&time(details.not_after.as_ref())),
        certificate.revision.to_string(),
        age(certificate.create_time.as_ref()),
    ]
}

fn node(node: &wire::Node) -> Vec<String> {
    let none = wire::NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    let seen = match status.readiness() {
        wire::Readiness::Online => "0s".to_owned(),
        _ => age(status.last_seen_time.as_ref()),
    };
    vec![
        node.name.clone(),
        word(&status.readiness()),
        word(&node.node_mode()),
        ready_machines(&status.machines),
        format!(
            "{}/{}",
            status.converged_generation, status.desired_generation
        ),
        format!(
            "{}/{}",
            status.healthy_application_count, status.application_count
        ),
        seen,
        dash(&status.why),
    ]
}

fn application(application: &wire::Application) -> Vec<String> {
    let none = wire::ApplicationSummary::default();
    let status = application.status.as_ref().unwrap_or(&none);
    vec![
        application.name.clone(),
        word(&application.r#type()),
        application.revision.to_string(),
        format!("{}/{}", status.healthy_node_count, status.node_count),
        dash(&application.selector),
        age(application.create_time.as_ref()),
        dash(&status.why),
    ]
}

/// An enumeration's value as the dialect writes it.
pub(crate) trait Word {
    /// Name of the value in the contract.
    fn full(&self) -> &'static str;
    /// Name of the enumeration in the contract.
    fn prefix() -> &'static str;
}

macro_rules! word {
    ($($type:ident $prefix:literal),* $(,)?) => {
        $(impl Word for wire::$type {
            fn full(&self) -> &'static str {
                self.as_str_name()
            }
            fn prefix() -> &'static str {
                $prefix
            }
        })*
    };
}

word!(
    Readiness "READINESS_",
    NodeMode "NODE_MODE_",
    ApplicationType "APPLICATION_TYPE_",
    Workload "WORKLOAD_",
    ApplicationState "APPLICATION_STATE_",
    InstanceState "INSTANCE_STATE_",
    ConditionStatus "CONDITION_STATUS_",
);

/// `online` for `READINESS_ONLINE`.
pub(crate) fn word<T: Word>(value: &T) -> String {
    let full = value.full();
    full.strip_prefix(T::prefix())
        .unwrap_or(full)
        .to_ascii_lowercase()
}
