//! A set of services, the nodes it is for, and how a new revision replaces the old one.

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use prost::Message as _;

use super::{Rules, resource};
use crate::id::{Kind, Name};
use crate::selector::{self, Selector, SelectorError};
use crate::violation::{Check, Path, reason};

mod affinity;
mod chart;
mod cron;
mod environment;
pub mod feature;
mod function;
mod mount;
mod names;
mod placement;
mod port;
mod probe;
mod resources;
mod scale;
mod schedule;
mod scope;
mod security;
mod service;
mod template;
mod update;
mod uses;
mod volume;

/// The longest selector, in bytes.
pub const MAX_SELECTOR: usize = selector::MAX_BYTES;

/// The largest application, encoded: what every node keeps of it, and a page of a list of many.
pub const MAX_APPLICATION: usize = 1024 * 1024;

const MAX_SERVICES: usize = 32;
const MAX_INIT_SERVICES: usize = 16;

resource!(
    /// A checked application.
    Application,
    pb::Application
);

/// What an application uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Configuration, secret, certificate or registry.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// What a change of it does: a restart when any of its uses wants one.
    pub on_change: pb::OnChange,
}

impl Application {
    /// Returns what it is made of.
    pub fn application_type(&self) -> pb::ApplicationType {
        self.message.r#type()
    }

    /// Returns which nodes it is for.
    ///
    /// # Errors
    /// It was stored by another version with a grammar that this one does not read.
    pub fn selector(&self) -> Result<Selector, SelectorError> {
        Selector::parse(&self.message.selector)
    }

    /// Returns which machines of a cluster it is for; [`Selector::Everything`] when it says none.
    ///
    /// # Errors
    /// As [`Self::selector`].
    pub fn machine_selector(&self) -> Result<Selector, SelectorError> {
        Selector::parse_filter(&self.message.machine_selector)
    }

    /// Returns whether it asks for something that only a cluster can give, whatever its type.
    pub fn needs_cluster(&self) -> bool {
        scope::needs_cluster(&self.message)
    }

    /// Returns what it uses, sorted by kind and name, each once.
    pub fn inputs(&self) -> Vec<Input> {
        uses::inputs(&self.message)
    }

    /// Returns what it refers to, sorted, each once.
    pub fn references(&self) -> Vec<(Kind, Name)> {
        let inputs = self.inputs().into_iter();
        inputs.map(|input| (input.kind, input.name)).collect()
    }

    /// Returns what a core must be able to do to run it, sorted; see [`feature`].
    pub fn features(&self) -> Vec<&'static str> {
        feature::of(&self.message)
    }

    /// Returns the digest of what runs: equal ones mean that nothing has to be restarted. Labels,
    /// annotations, description, selectors over nodes, update strategy and what is around
    /// instances (autoscaling, disruption budget, timetable, ports of the cluster, sizes of
    /// claims) are not part of it; neither is the number of instances of containers.
    pub fn template_digest(&self) -> Digest {
        Digest::of(&template::of(&self.message).encode_to_vec())
    }
}

impl Rules for pb::Application {
    const KIND: Kind = Kind::Application;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        let root = Path::root();
        self.status = None;
        let kind = check_type(self, before, &root.field("type"), check);
        let largest = match kind {
            Some(pb::ApplicationType::Helm) => "helm",
            _ => "services",
        };
        check.bytes(&root.field(largest), self.encoded_len(), MAX_APPLICATION);
        check_selector(&self.selector, &root.field("selector"), check);
        names::check_application(self, kind, check);
        scope::check(self, kind, check);
        chart::check(self, kind, check);
        placement::normalise(self, check);
        if let Some(security) = &self.security {
            security::check_pod(security, &root.field("security"), check);
        }
        let has_services = kind.is_none_or(|kind| {
            use pb::ApplicationType::{Helm, Manifest};
            kind != Helm && kind != Manifest
        });
        if has_services {
            normalise_workload(self, kind, check);
            normalise_services(self, kind, check);
        }
        if let Some(before) = before {
            volume::check_kept(self, before, check);
        }
        let update = self.update.get_or_insert_default();
        update::normalise(update, &root.field("update"), check);
    }
}

fn normalise_services(
    message: &mut pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let root = Path::root();
    schedule::normalise(message, kind, check);
    let most_replicas = scale::normalise(message, kind, check);
    let scene = service::Scene {
        kind,
        workload: message.workload(),
        most_replicas,
        is_on_host_network: message.host_network,
    };
    let path = root.field("volumes");
    let volumes = volume::normalise(&mut message.volumes, &scene, &path, check);

    let path = root.field("services");
    if message.services.is_empty() {
        check.add(&path, reason::REQUIRED, "must have at least one service");
    }
    let lists = [
        ("services", &mut message.services, MAX_SERVICES, false),
        (
            "initServices",
            &mut message.init_services,
            MAX_INIT_SERVICES,
            true,
        ),
    ];
    let mut seen = service::Seen::default();
    for (field, services, most, is_init) in lists {
        // Others have been refused as a whole.
        if is_init && !scene.is_container() {
            continue;
        }
        let path = root.field(field);
        check.count(&path, services.len(), most);
        let around = service::Around {
            scene: &scene,
            volumes: &volumes,
            is_init,
        };
        for (index, service) in services.iter_mut().take(most).enumerate() {
            service::normalise(service, &around, &mut seen, &path.index(index), check);
        }
    }
}

/// Returns the type when it is known.
fn check_type(
    message: &pb::Application,
    before: Option<&pb::Application>,
    path: &Path,
    check: &mut Check,
) -> Option<pb::ApplicationType> {
    use pb::ApplicationType::{Container, Function, Helm, Manifest, Process, Unspecified};
    let known = "must be container, function, helm, manifest or process";
    if before.is_some_and(|before| before.r#type != message.r#type) {
        let description = "cannot change; delete the application and create it again";
        check.add(path, reason::IMMUTABLE, description);
    }
    match pb::ApplicationType::try_from(message.r#type) {
        Ok(kind @ (Container | Function | Helm | Manifest | Process)) => return Some(kind),
        Ok(Unspecified) => check.add(path, reason::REQUIRED, known),
        Err(_) => check.add(path, reason::UNKNOWN_VALUE, known),
    }
    None
}

/// Checks a label selector; the empty one is one, too.
fn check_selector(text: &str, path: &Path, check: &mut Check) {
    if text.len() > MAX_SELECTOR {
        check.bytes(path, text.len(), MAX_SELECTOR);
        return;
    }
    if let Err(error) = Selector::parse(text) {
        check.add(path, reason::INVALID_SELECTOR, error.to_string());
    }
}

fn normalise_workload(
    message: &mut pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let path = Path::root().field("workload");
    let is_function = kind == Some(pb::ApplicationType::Function);
    let is_process = kind == Some(pb::ApplicationType::Process);
    match pb::Workload::try_from(message.workload) {
        Ok(pb::Workload::Unspecified) => message.set_workload(pb::Workload::Deployment),
        Ok(pb::Workload::Deployment) => {}
        Ok(pb::Workload::Job) => {
            let why = "functions are no job; they wait for calls";
            check.absent(&path, is_function, why);
        }
        Ok(pb::Workload::Statefulset | pb::Workload::Daemonset | pb::Workload::Cronjob) => {
            let why = "belongs to container applications";
            check.absent(&path, is_function || is_process, why);
        }
        Err(_) => {
            let description = "must be deployment, statefulset, daemonset, job or cronjob";
            check.add(&path, reason::UNKNOWN_VALUE, description);
        }
    }
}
