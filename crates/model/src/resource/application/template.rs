//! What decides what runs, and what decides only how many of it there are and who may reach it.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use pb::volume::Source;

/// The part of an application that decides what runs. Instances of containers come and go without
/// a new revision, so that their number is no part of it; that of processes is.
pub(super) fn of(message: &pb::Application) -> pb::Application {
    let mut template = pb::Application {
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: String::new(),
        selector: String::new(),
        update: None,
        cron: None,
        autoscaling: None,
        disruption_budget: None,
        force_conflicts: false,
        ..message.clone()
    };
    if message.r#type() == pb::ApplicationType::Container {
        template.replicas = None;
    }
    for port in template
        .services
        .iter_mut()
        .flat_map(|service| &mut service.ports)
    {
        port.service_port = 0;
        port.node_port = 0;
    }
    for volume in &mut template.volumes {
        if let Some(Source::Persistent(folder)) = &mut volume.source {
            folder.size.clear();
        }
    }
    template
}
