//! Names as Kubernetes has them, of things that exist in the cluster and of what we make there.

use baetyl_proto::resource::v1 as pb;

use crate::label;
use crate::violation::{Check, Path, reason};

/// The longest name of a Service, and of a label's value.
const MAX_LABEL: usize = label::MAX_LABEL;

/// What the name of a StatefulSet or CronJob may have: the cluster appends eleven characters.
const MAX_BEFORE_SUFFIX: usize = 52;

/// What the name of a job may have: a dash and the twelve digits of its release are appended.
const MAX_JOB: usize = 50;

/// The longest name of a chart's release: Helm's own bound.
pub(super) const MAX_RELEASE: usize = 53;

/// Checks the name of an object of the cluster, when there is one.
pub(super) fn check_object(name: &str, path: &Path, check: &mut Check) {
    if !name.is_empty() && !label::is_dns_name(name) {
        let description = "must be the name of an object in the cluster: lower-case letters, \
                           digits, `-` and `.`, alphanumeric at both ends of each part";
        check.add(path, reason::INVALID_NAME, description);
    }
}

/// Checks that the objects of an application can be named after it.
pub(super) fn check_application(
    message: &pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let path = Path::root().field("name");
    let name = message.name.as_str();
    let mut refuse = |description: String| check.add(&path, reason::INVALID_NAME, description);
    // What is no name at all is told once.
    if crate::Name::parse_for(crate::Kind::Application, name).is_err() {
        return;
    }
    match kind {
        Some(pb::ApplicationType::Container) => {}
        Some(pb::ApplicationType::Helm) => {
            let is_release = message
                .helm
                .as_ref()
                .is_some_and(|helm| helm.release_name.is_empty());
            if is_release && (name.len() > MAX_RELEASE || !label::is_dns_name(name)) {
                refuse(format!(
                    "is no name for a release, which has at most {MAX_RELEASE} characters; \
                     set helm.releaseName"
                ));
            }
            return;
        }
        Some(
            pb::ApplicationType::Unspecified
            | pb::ApplicationType::Function
            | pb::ApplicationType::Manifest
            | pb::ApplicationType::Process,
        )
        | None => return,
    }
    if !label::is_dns_name(name) {
        refuse(
            "is no name for an object in the cluster: each part between dots must start and \
                end with a letter or digit"
                .to_owned(),
        );
    }
    let (what, most) = match message.workload() {
        pb::Workload::Job => ("job", MAX_JOB),
        pb::Workload::Cronjob => ("cron job", MAX_BEFORE_SUFFIX),
        pb::Workload::Statefulset => ("statefulset", MAX_BEFORE_SUFFIX),
        pb::Workload::Unspecified | pb::Workload::Deployment | pb::Workload::Daemonset => {
            ("", usize::MAX)
        }
    };
    if name.len() > most {
        let length = name.len();
        refuse(format!(
            "of a {what} may have at most {most} characters, got {length}"
        ));
    }
    if message.workload() == pb::Workload::Statefulset && name.contains('.') {
        refuse("of a statefulset may have no `.`: its instances are hosts of that name".to_owned());
    }
    let most = longest_service(message);
    if name.len() > most {
        let length = name.len();
        refuse(format!(
            "may have at most {most} characters where the cluster's Service of it gets a suffix, \
             got {length}"
        ));
    }
}

/// How long the name may be, so that `app-<name>-nodeport` and the like are names of Services.
fn longest_service(message: &pb::Application) -> usize {
    let has_node_port = message
        .services
        .iter()
        .flat_map(|service| &service.ports)
        .any(|port| port.node_port != 0);
    let is_headless = message.workload() == pb::Workload::Statefulset;
    let suffix = match has_node_port || is_headless {
        true => "-headless".len(),
        false => 0,
    };
    // The name of a Service starts with a letter.
    let starts_with_digit = message
        .name
        .starts_with(|first: char| first.is_ascii_digit());
    let prefix = if starts_with_digit { "app-".len() } else { 0 };
    MAX_LABEL - suffix - prefix
}
