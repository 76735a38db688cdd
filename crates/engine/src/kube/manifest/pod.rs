//! The template of the pods of an application.

use std::time::Duration;

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::scene::Scene;
use super::{At, container, inputs, metadata, names, object, placement, some, text, volume};
use crate::driver::Refusal;
use crate::kube::object::Object;

const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Words of the contract, which are Kubernetes' own.
const CLUSTER_FIRST_ON_HOST: &str = "ClusterFirstWithHostNet";

/// The account of an application that names none: without rights and without a token.
pub(super) fn service_account(scene: &Scene<'_>) -> Object {
    object(&core::ServiceAccount {
        metadata: metadata(scene, names::workload(scene.name())),
        automount_service_account_token: Some(false),
        ..core::ServiceAccount::default()
    })
}

/// The template of the pods; with the release, unless that is only being found out.
pub(super) fn template(scene: &Scene<'_>) -> Result<core::PodTemplateSpec, Refusal> {
    Ok(core::PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(scene.labels_with_release()),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(scene)?),
    })
}

fn spec(scene: &Scene<'_>) -> Result<core::PodSpec, Refusal> {
    let application = scene.application;
    let has_own_account = application.service_account.is_empty();
    let account = if has_own_account {
        names::workload(scene.name())
    } else {
        application.service_account.clone()
    };
    Ok(core::PodSpec {
        init_containers: some(container::init(scene)?),
        containers: container::all(scene)?,
        volumes: some(volume::all(scene)?),
        image_pull_secrets: some(pull_secrets(scene)?),
        service_account_name: Some(account),
        automount_service_account_token: has_own_account.then_some(false),
        // What other applications are called is not for the environment of this one.
        enable_service_links: Some(false),
        host_network: application.host_network.then_some(true),
        dns_policy: dns_policy(application),
        affinity: placement::affinity(application)?,
        tolerations: some(placement::tolerations(application)),
        priority_class_name: text(&application.priority_class),
        security_context: application.security.as_ref().map(security),
        restart_policy: restart_policy(application)?,
        termination_grace_period_seconds: Some(grace(application)),
        ..core::PodSpec::default()
    })
}

fn pull_secrets(scene: &Scene<'_>) -> Result<Vec<core::LocalObjectReference>, Refusal> {
    let at = At::root("registries");
    let registries = scene.application.registries.iter().enumerate();
    let secret = |(index, name): (usize, &String)| {
        let name = scene.input(&inputs::of_registry(name), &at.index(index))?;
        Ok(core::LocalObjectReference { name })
    };
    registries.map(secret).collect()
}

fn dns_policy(application: &pb::Application) -> Option<String> {
    match application.dns_policy.as_str() {
        "" if application.host_network => Some(CLUSTER_FIRST_ON_HOST.to_owned()),
        given => text(given),
    }
}

fn security(given: &pb::PodSecurity) -> core::PodSecurityContext {
    core::PodSecurityContext {
        run_as_user: given.run_as_user.map(i64::from),
        run_as_group: given.run_as_group.map(i64::from),
        run_as_non_root: given.run_as_non_root,
        fs_group: given.fs_group.map(i64::from),
        ..core::PodSecurityContext::default()
    }
}

/// What all services of a pod say; what runs for ever is always started again.
fn restart_policy(application: &pb::Application) -> Result<Option<String>, Refusal> {
    let is_job = matches!(
        application.workload(),
        pb::Workload::Job | pb::Workload::Cronjob
    );
    let mut found = None;
    for (index, service) in application.services.iter().enumerate() {
        let at = At::root("services").index(index).field("restartPolicy");
        let policy = match (service.restart_policy(), is_job) {
            (pb::RestartPolicy::Unspecified, true) => pb::RestartPolicy::OnFailure,
            (pb::RestartPolicy::Unspecified, false) => pb::RestartPolicy::Always,
            (given, _) => given,
        };
        if (policy == pb::RestartPolicy::Always) == is_job {
            let problem = if is_job {
                "a job ends; use on_failure or never"
            } else {
                "only a job or cronjob may end; use always"
            };
            return Err(at.wrong(problem));
        }
        if *found.get_or_insert(policy) != policy {
            return Err(at.wrong("must be the same for all services of an instance"));
        }
    }
    let word = match found.unwrap_or(pb::RestartPolicy::Always) {
        pb::RestartPolicy::Never => "Never",
        pb::RestartPolicy::OnFailure => "OnFailure",
        pb::RestartPolicy::Always | pb::RestartPolicy::Unspecified => return Ok(None),
    };
    Ok(Some(word.to_owned()))
}

/// The longest time that a service may take to end.
fn grace(application: &pb::Application) -> i64 {
    let services = application
        .services
        .iter()
        .chain(&application.init_services);
    let longest = services
        .map(|service| seconds(service.stop_grace_period, DEFAULT_GRACE))
        .max();
    longest.unwrap_or_default()
}

/// A duration in whole seconds, rounded up.
pub(super) fn seconds(given: Option<prost_types::Duration>, default: Duration) -> i64 {
    let duration = given
        .and_then(|given| Duration::try_from(given).ok())
        .unwrap_or(default);
    let more = u64::from(duration.subsec_nanos() > 0);
    i64::try_from(duration.as_secs().saturating_add(more)).unwrap_or(i64::MAX)
}
