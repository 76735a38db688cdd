//! What a program finds in its environment: what the application says, and the variables that
//! process applications have too.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;

use super::container::{container_port, literal};
use super::scene::Scene;
use super::{At, inputs, names, text, volume};
use crate::desired::InputKind;
use crate::driver::Refusal;

/// What variables of ours begin with.
const PREFIX: &str = "BAETYL_";

/// The variable with the machine's name.
const MACHINE: &str = "KUBE_NODE_NAME";

/// The variable in which a runtime of functions finds its release. Its value is the pod's label:
/// the release is a hash over the template and cannot stand in there itself.
const RELEASE: &str = "BAETYL_RELEASE";

/// Name of the pod's field with its number in a stateful set.
const NUMBER: &str = "metadata.labels['apps.kubernetes.io/pod-index']";

/// The environment of a service.
pub(super) fn of(
    scene: &Scene<'_>,
    service: &pb::Service,
    at: &At,
) -> Result<Vec<core::EnvVar>, Refusal> {
    let mut env = given(scene, service, at)?;
    common(scene, service, &mut env);
    for (index, port) in service.ports.iter().enumerate() {
        let number = container_port(port, &at.field("ports").index(index))?;
        let name = port.name.to_ascii_uppercase().replace('-', "_");
        env.push(own(&format!("PORT_{name}"), number.to_string()));
    }
    Ok(env)
}

/// What the application says.
fn given(scene: &Scene<'_>, service: &pb::Service, at: &At) -> Result<Vec<core::EnvVar>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut env = Vec::new();
    for (index, variable) in service.env.iter().enumerate() {
        let at = at.field("env").index(index);
        if variable.name.starts_with(PREFIX) {
            let problem = format!("names that begin with {PREFIX} are reserved");
            return Err(at.field("name").wrong(problem));
        }
        if !seen.insert(variable.name.as_str()) {
            let problem = format!("{:?} stands here twice", variable.name);
            return Err(at.field("name").wrong(problem));
        }
        env.push(self::variable(scene, variable, &at)?);
    }
    Ok(env)
}

fn variable(scene: &Scene<'_>, variable: &pb::EnvVar, at: &At) -> Result<core::EnvVar, Refusal> {
    let mut found = core::EnvVar {
        name: variable.name.clone(),
        ..core::EnvVar::default()
    };
    let Some((input, key)) = inputs::of_variable(variable) else {
        found.value = text(&literal(&variable.value));
        return Ok(found);
    };
    let name = scene.input(&input, &at.field("valueFrom"))?;
    let key = key.to_owned();
    let mut source = core::EnvVarSource::default();
    if input.kind == InputKind::Configuration {
        source.config_map_key_ref = Some(core::ConfigMapKeySelector {
            name,
            key,
            ..core::ConfigMapKeySelector::default()
        });
    } else {
        source.secret_key_ref = Some(core::SecretKeySelector {
            name,
            key,
            ..core::SecretKeySelector::default()
        });
    }
    found.value_from = Some(source);
    Ok(found)
}

/// What every program finds.
fn common(scene: &Scene<'_>, service: &pb::Service, env: &mut Vec<core::EnvVar>) {
    let application = scene.application;
    env.extend([
        own("NAMESPACE", &application.namespace),
        own("NODE_NAME", &scene.settings.node),
        own("APP_NAME", &application.name),
        own("APP_REVISION", scene.revision.to_string()),
        own("SERVICE_NAME", &service.name),
        own("RUN_MODE", "kube"),
        own("ROOT", "/"),
        own("CERT_DIR", volume::CERTIFICATE_FOLDER),
        of_pod("BAETYL_INSTANCE_ID", "metadata.name"),
    ]);
    if scene.is_function() {
        let label = format!("metadata.labels['{}']", names::RELEASE_LABEL);
        env.push(of_pod(RELEASE, &label));
    }
    if application.workload() == pb::Workload::Statefulset {
        env.push(of_pod("BAETYL_INSTANCE_INDEX", NUMBER));
    }
    if !env.iter().any(|variable| variable.name == MACHINE) {
        env.push(of_pod(MACHINE, "spec.nodeName"));
    }
}

fn own(name: &str, value: impl AsRef<str>) -> core::EnvVar {
    core::EnvVar {
        name: format!("{PREFIX}{name}"),
        value: text(&literal(value.as_ref())),
        ..core::EnvVar::default()
    }
}

/// A variable with what the cluster knows of the pod.
fn of_pod(name: &str, field: &str) -> core::EnvVar {
    core::EnvVar {
        name: name.to_owned(),
        value_from: Some(core::EnvVarSource {
            field_ref: Some(core::ObjectFieldSelector {
                field_path: field.to_owned(),
                ..core::ObjectFieldSelector::default()
            }),
            ..core::EnvVarSource::default()
        }),
        ..core::EnvVar::default()
    }
}
