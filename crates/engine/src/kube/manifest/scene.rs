//! What everything of one application is rendered from.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;

use super::inputs;
use super::{At, names};
use crate::desired::InputKey;
use crate::driver::Refusal;
use crate::kube::settings::KubeSettings;
use crate::reason;

/// An application, checked as a whole, with the digests of its inputs.
pub(super) struct Scene<'a> {
    pub(super) application: &'a pb::Application,
    pub(super) settings: &'a KubeSettings,
    /// Where its objects are.
    pub(super) namespace: &'a str,
    /// Empty while the release is only being found out.
    pub(super) release: &'a str,
    /// Revision with which the release began; 0 while it is only being found out.
    pub(super) revision: u64,
    digests: BTreeMap<InputKey, Digest>,
    restarted: BTreeSet<InputKey>,
}

impl<'a> Scene<'a> {
    /// Takes an application that consists of services.
    pub(super) fn try_new(
        application: &'a pb::Application,
        settings: &'a KubeSettings,
        digests: BTreeMap<InputKey, Digest>,
    ) -> Result<Self, Refusal> {
        match application.r#type() {
            pb::ApplicationType::Container => {}
            pb::ApplicationType::Function => {
                if settings.functions.is_none() {
                    let problem = "functions cannot run on this node: it has no function service";
                    return Err(At::root("type").refuse(reason::FUNCTIONS_UNAVAILABLE, problem));
                }
            }
            other => {
                let word = other.as_str_name().trim_start_matches("APPLICATION_TYPE_");
                let problem = format!("{} is not made of containers", word.to_lowercase());
                return Err(At::root("type").refuse(reason::UNSUPPORTED_TYPE, problem));
            }
        }
        if application.services.is_empty() {
            return Err(At::root("services").wrong("must have at least one service"));
        }
        check_names(application)?;
        Ok(Self {
            namespace: namespace(application, settings)?,
            restarted: inputs::restarted(application),
            application,
            settings,
            release: "",
            revision: 0,
            digests,
        })
    }

    /// Says which release it is.
    pub(super) fn with_release(mut self, release: &'a str, revision: u64) -> Self {
        self.release = release;
        self.revision = revision;
        self
    }

    /// Name of the application.
    pub(super) fn name(&self) -> &'a str {
        &self.application.name
    }

    /// Labels of every object.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        names::labels(&self.settings.owner, self.name())
    }

    /// Labels of workloads and pods.
    pub(super) fn labels_with_release(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(names::RELEASE_LABEL.to_owned(), self.release.to_owned());
        labels
    }

    /// Labels that select the pods.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        names::selector(&self.settings.owner, self.name())
    }

    pub(super) fn is_function(&self) -> bool {
        self.application.r#type() == pb::ApplicationType::Function
    }

    /// The services, init services not among them, with their paths.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'a pb::Service, At)> + use<'a> {
        placed("services", &self.application.services)
    }

    /// The init services with their paths.
    pub(super) fn init_services(&self) -> impl Iterator<Item = (&'a pb::Service, At)> + use<'a> {
        placed("initServices", &self.application.init_services)
    }

    /// Both, init services first, as they start.
    pub(super) fn all_services(&self) -> impl Iterator<Item = (&'a pb::Service, At)> + use<'a> {
        self.init_services().chain(self.services())
    }

    /// Name of the ConfigMap or Secret with an input's values.
    ///
    /// # Errors
    /// The desired state does not pin it.
    pub(super) fn input(&self, key: &InputKey, at: &At) -> Result<String, Refusal> {
        let Some(digest) = self.digests.get(key) else {
            return Err(at.wrong(format_args!("the desired state does not pin {key}")));
        };
        let content = self.restarted.contains(key).then_some(digest);
        Ok(names::input(self.name(), key, content))
    }
}

fn placed<'a>(
    field: &str,
    services: &'a [pb::Service],
) -> impl Iterator<Item = (&'a pb::Service, At)> + use<'a> {
    let at = At::root(field);
    let services = services.iter().enumerate();
    services.map(move |(index, service)| (service, at.index(index)))
}

/// Names of containers and volumes are labels, and each stands for one thing.
fn check_names(application: &pb::Application) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    let lists = [
        ("initServices", &application.init_services),
        ("services", &application.services),
    ];
    for (field, services) in lists {
        for (index, service) in services.iter().enumerate() {
            check_name(&service.name, &At::root(field).index(index), &mut seen)?;
        }
    }
    seen.clear();
    for (index, volume) in application.volumes.iter().enumerate() {
        let at = At::root("volumes").index(index);
        check_name(&volume.name, &at, &mut seen)?;
        if volume.name.starts_with(super::volume::OWN) {
            let problem = format!("names that begin with {} are reserved", super::volume::OWN);
            return Err(at.field("name").wrong(problem));
        }
    }
    Ok(())
}

fn check_name<'a>(name: &'a str, at: &At, seen: &mut BTreeSet<&'a str>) -> Result<(), Refusal> {
    let at = at.field("name");
    if !names::is_label(name) {
        return Err(at.wrong("must be lower-case letters, digits and `-`, at most 63"));
    }
    if !seen.insert(name) {
        return Err(at.wrong(format_args!("{name:?} stands here twice")));
    }
    Ok(())
}

/// The namespace of an application's objects, one that this node may use.
pub(super) fn namespace<'a>(
    application: &'a pb::Application,
    settings: &'a KubeSettings,
) -> Result<&'a str, Refusal> {
    let namespace = match application.kube_namespace.as_str() {
        "" => settings.namespace.as_str(),
        given => given,
    };
    if settings
        .allowed_namespaces
        .iter()
        .any(|allowed| allowed == namespace)
    {
        return Ok(namespace);
    }
    let problem = format!("this node may not use the namespace {namespace:?}");
    Err(At::root("kubeNamespace").refuse(reason::NAMESPACE_NOT_ALLOWED, problem))
}
