//! A set of services, the nodes it is for, and how a new revision replaces the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use prost::Message as _;

use super::{Rules, resource};
use crate::duration::{self, Bounds};
use crate::id::{Kind, Name};
use crate::selector::{self, Selector, SelectorError};
use crate::violation::{Check, Path, reason};

mod environment;
mod function;
mod mount;
mod port;
mod probe;
mod service;

/// The longest selector, in bytes.
pub const MAX_SELECTOR: usize = selector::MAX_BYTES;

/// The largest application, encoded: what every node keeps of it, and a page of a list of many.
pub const MAX_APPLICATION: usize = 1024 * 1024;

const MAX_SERVICES: usize = 32;
const MAX_REPLICAS: u32 = 64;
const DEFAULT_REPLICAS: u32 = 1;

const SOAK: Bounds = Bounds {
    least: Duration::ZERO,
    most: Duration::from_secs(3600),
    default: Duration::ZERO,
};

const DEADLINE: Bounds = Bounds {
    least: Duration::from_secs(1),
    most: Duration::from_secs(3600),
    default: Duration::from_secs(60),
};

resource!(
    /// A checked application.
    Application,
    pb::Application
);

/// A configuration or secret that an application uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Configuration or secret.
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

    /// Returns what it uses, sorted by kind and name, each once.
    pub fn inputs(&self) -> Vec<Input> {
        let mut found = BTreeMap::new();
        for (kind, name, on_change) in self.uses() {
            // Stored by a version with other rules: what is no name refers to nothing.
            let Ok(name) = Name::parse(name) else {
                continue;
            };
            let entry = found.entry((kind, name)).or_insert(on_change);
            if on_change == pb::OnChange::Restart {
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

    /// Returns what it refers to, sorted, each once.
    pub fn references(&self) -> Vec<(Kind, Name)> {
        let inputs = self.inputs().into_iter();
        inputs.map(|input| (input.kind, input.name)).collect()
    }

    /// Every use of a configuration or secret, and what a change there does.
    fn uses(&self) -> Vec<(Kind, &str, pb::OnChange)> {
        let mut uses = Vec::new();
        for volume in &self.message.volumes {
            match &volume.source {
                Some(pb::volume::Source::Config(config)) => {
                    uses.push((
                        Kind::Configuration,
                        config.name.as_str(),
                        volume.on_change(),
                    ));
                }
                Some(pb::volume::Source::Secret(secret)) => {
                    uses.push((Kind::Secret, secret.name.as_str(), volume.on_change()));
                }
                Some(
                    pb::volume::Source::HostPath(_)
                    | pb::volume::Source::EmptyDir(_)
                    | pb::volume::Source::Persistent(_),
                )
                | None => {}
            }
        }
        for service in &self.message.services {
            // Running code and the environment of a process cannot be exchanged under it.
            let restarted = service::restarting_uses(service);
            uses.extend(restarted.map(|(kind, name)| (kind, name, pb::OnChange::Restart)));
        }
        uses
    }

    /// Returns what a core must be able to do to run it, sorted: `process.v1`, `job.v1`.
    pub fn features(&self) -> Vec<&'static str> {
        let mut features = BTreeSet::new();
        match self.application_type() {
            pb::ApplicationType::Container => features.insert("container.v1"),
            pb::ApplicationType::Function => features.insert("function.v1"),
            pb::ApplicationType::Helm => features.insert("helm.v1"),
            pb::ApplicationType::Manifest => features.insert("manifest.v1"),
            pb::ApplicationType::Process => features.insert("process.v1"),
            pb::ApplicationType::Unspecified => false,
        };
        if self.message.workload() == pb::Workload::Job {
            features.insert("job.v1");
        }
        let is_persistent =
            |volume: &pb::Volume| matches!(volume.source, Some(pb::volume::Source::Persistent(_)));
        if self.message.volumes.iter().any(is_persistent) {
            features.insert("persistent-volume.v1");
        }
        features.into_iter().collect()
    }

    /// Returns the digest of what runs: equal ones mean that nothing has to be restarted. Labels,
    /// annotations, description, selector and update strategy are not part of it.
    pub fn template_digest(&self) -> Digest {
        let template = pb::Application {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            description: String::new(),
            selector: String::new(),
            update: None,
            ..self.message.clone()
        };
        Digest::of(&template.encode_to_vec())
    }
}

impl Rules for pb::Application {
    const KIND: Kind = Kind::Application;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        let root = Path::root();
        self.status = None;
        check.bytes(&root.field("services"), self.encoded_len(), MAX_APPLICATION);
        let kind = check_type(self, before, &root.field("type"), check);
        check_selector(&self.selector, &root.field("selector"), check);
        normalise_workload(self, kind, check);

        let replicas = *self.replicas.get_or_insert(DEFAULT_REPLICAS);
        let path = root.field("replicas");
        check.range(&path, i64::from(replicas), 1, i64::from(MAX_REPLICAS));

        let volumes = mount::normalise_volumes(&mut self.volumes, &root.field("volumes"), check);
        let path = root.field("services");
        if self.services.is_empty() {
            check.add(&path, reason::REQUIRED, "must have at least one service");
        }
        check.count(&path, self.services.len(), MAX_SERVICES);
        let around = service::Around {
            kind,
            is_job: self.workload() == pb::Workload::Job,
            replicas,
            volumes: &volumes,
        };
        let mut seen = service::Seen::default();
        for (index, service) in self.services.iter_mut().take(MAX_SERVICES).enumerate() {
            service::normalise(service, &around, &mut seen, &path.index(index), check);
        }

        let update = self.update.get_or_insert_default();
        normalise_update(update, &root.field("update"), check);
    }
}

/// Returns the type when it is one that can be deployed.
fn check_type(
    message: &pb::Application,
    before: Option<&pb::Application>,
    path: &Path,
    check: &mut Check,
) -> Option<pb::ApplicationType> {
    use pb::ApplicationType::{Container, Function, Helm, Manifest, Process, Unspecified};
    if before.is_some_and(|before| before.r#type != message.r#type) {
        let description = "cannot change; delete the application and create it again";
        check.add(path, reason::IMMUTABLE, description);
    }
    match pb::ApplicationType::try_from(message.r#type) {
        Ok(kind @ (Container | Function | Process)) => return Some(kind),
        Ok(Helm | Manifest) => {
            let description = "helm and manifest arrive with the Kubernetes engine; \
                               this version deploys process, function and container";
            check.add(path, reason::UNSUPPORTED, description);
        }
        Ok(Unspecified) => {
            let description = "must be process, function or container";
            check.add(path, reason::REQUIRED, description);
        }
        Err(_) => {
            let description = "must be process, function or container";
            check.add(path, reason::UNKNOWN_VALUE, description);
        }
    }
    None
}

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
    match pb::Workload::try_from(message.workload) {
        Ok(pb::Workload::Unspecified) => message.set_workload(pb::Workload::Deployment),
        Ok(pb::Workload::Deployment) => {}
        Ok(pb::Workload::Job) => {
            let is_function = kind == Some(pb::ApplicationType::Function);
            check.absent(
                &path,
                is_function,
                "functions are no job; they wait for calls",
            );
        }
        Err(_) => check.add(&path, reason::UNKNOWN_VALUE, "must be deployment or job"),
    }
}

fn normalise_update(update: &mut pb::UpdateStrategy, path: &Path, check: &mut Check) {
    duration::normalise(&mut update.soak, SOAK, &path.field("soak"), check);
    duration::normalise(
        &mut update.deadline,
        DEADLINE,
        &path.field("deadline"),
        check,
    );
    update.rollback.get_or_insert(true);
    let soak = update.soak.map(Duration::try_from);
    let deadline = update.deadline.map(Duration::try_from);
    if let (Some(Ok(soak)), Some(Ok(deadline))) = (soak, deadline)
        && soak >= deadline
    {
        let description = format!("must be shorter than the deadline, {deadline:?}");
        check.add(&path.field("soak"), reason::OUT_OF_BOUNDS, description);
    }
}
