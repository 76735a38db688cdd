//! What an application uses, and what a change of that does to it.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use pb::OnChange;
use pb::volume::Source;

use super::{Input, environment};
use crate::id::{Kind, Name};

/// One use of an input.
type Use<'a> = (Kind, &'a str, OnChange);

/// Returns the inputs, sorted by kind and name, each once with its strongest effect.
pub(super) fn inputs(message: &pb::Application) -> Vec<Input> {
    let mut found = BTreeMap::new();
    for (kind, name, on_change) in all(message) {
        // Stored by a version with other rules: what is no name refers to nothing.
        let Ok(name) = Name::parse(name) else {
            continue;
        };
        let entry = found.entry((kind, name)).or_insert(on_change);
        if on_change == OnChange::Restart {
            *entry = on_change;
        }
    }
    let input = |((kind, name), on_change)| Input {
        kind,
        name,
        on_change,
    };
    found.into_iter().map(input).collect()
}

fn all(message: &pb::Application) -> Vec<Use<'_>> {
    let mut uses: Vec<Use<'_>> = message.volumes.iter().filter_map(of_volume).collect();
    for service in message.services.iter().chain(&message.init_services) {
        // Running code and the environment of a process cannot be exchanged under it.
        let restarting = of_service(service);
        uses.extend(restarting.map(|(kind, name)| (kind, name, OnChange::Restart)));
    }
    // Images that run need no credentials any more.
    let registries = message.registries.iter();
    uses.extend(registries.map(|name| (Kind::Registry, name.as_str(), OnChange::Reload)));
    // Objects are rendered anew; what differs is applied.
    let manifest = message.manifest.iter().map(|one| &one.configuration);
    let helm = message.helm.iter();
    let charts = helm.flat_map(|one| [&one.configuration, &one.values_configuration]);
    let rendered = manifest.chain(charts).filter(|name| !name.is_empty());
    uses.extend(rendered.map(|name| (Kind::Configuration, name.as_str(), OnChange::Restart)));
    uses
}

fn of_volume(volume: &pb::Volume) -> Option<Use<'_>> {
    let (kind, input) = match volume.source.as_ref()? {
        Source::Config(config) => (Kind::Configuration, config),
        Source::Secret(secret) => (Kind::Secret, secret),
        Source::Certificate(certificate) => (Kind::Certificate, certificate),
        Source::HostPath(_) | Source::EmptyDir(_) | Source::Persistent(_) => return None,
    };
    Some((kind, input.name.as_str(), volume.on_change()))
}

/// Configurations and secrets whose change restarts a service.
fn of_service(service: &pb::Service) -> impl Iterator<Item = (Kind, &str)> {
    let program = service.program.iter().map(|program| &program.configuration);
    let code = service.code.iter().map(|code| &code.configuration);
    let files = program.chain(code).filter(|name| !name.is_empty());
    files
        .map(|name| (Kind::Configuration, name.as_str()))
        .chain(service.env.iter().filter_map(environment::reference))
}
