//! The objects that an application brings itself: raw manifests, or a chart that is rendered.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;
use bytes::Bytes;
use serde_json::Value;

use super::cluster::Cluster;
use super::material::Material;
use super::object::{Object, ObjectKey};
use super::settings::KubeSettings;
use crate::desired::InputKey;
use crate::driver::Refusal;
use crate::inputs::Files;
use crate::reason;

pub mod helm;
mod json;
mod yaml;

/// The most bytes of YAML that are read of one application.
const MAX_BYTES: usize = 16 << 20;

/// The most objects of one application.
const MAX_OBJECTS: usize = super::manifest::MAX_OBJECTS;

/// What an application brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sourced {
    /// Its objects, as they were written; see [`super::manifest::dress`].
    pub objects: Vec<Object>,
    /// Hooks of a chart. They are not run: our own apply knows no moments before and after it.
    pub hooks: Vec<ObjectKey>,
}

/// Reads the objects of a `manifest` application, or renders those of a `helm` application.
/// The cluster is asked what it can do for a chart only.
///
/// # Errors
/// [`Refusal`] that names key, document and line, or what the chart says; a passing one when the
/// cluster could not be asked or `helm` is not there.
///
/// # Cancel safety
/// When dropped, `helm` is killed and its files are removed.
pub async fn objects(
    cluster: &Cluster,
    material: &Material,
    settings: &KubeSettings,
) -> Result<Sourced, Refusal> {
    let application = &material.application;
    if let Some(source) = &application.manifest {
        let files = values_of(material, &source.configuration)?.clone();
        let keys = source.keys.clone();
        let read = tokio::task::spawn_blocking(move || manifests(&files, &keys));
        let objects = read.await.map_err(|_| stopped())??;
        let hooks = Vec::new();
        return Ok(Sourced { objects, hooks });
    }
    let Some(source) = &application.helm else {
        let message = "the application has neither manifests nor a chart";
        return Err(Refusal::lasting(reason::INVALID_APPLICATION, message));
    };
    let chart = chart(material, source, settings)?;
    let capabilities = cluster.capabilities().await?;
    helm::render(&settings.helm_program, chart, &capabilities).await
}

/// The runtime is being shut down.
fn stopped() -> Refusal {
    Refusal::passing(reason::PREPARING, "the engine is stopping")
}

fn values_of<'a>(material: &'a Material, configuration: &str) -> Result<&'a Files, Refusal> {
    let key = InputKey::configuration(configuration);
    let input = material.inputs.get(&key).ok_or_else(|| {
        let message = format!("the desired state does not pin {key}");
        Refusal::lasting(reason::INVALID_APPLICATION, message)
    })?;
    Ok(&input.files)
}

fn chart(
    material: &Material,
    source: &pb::HelmChart,
    settings: &KubeSettings,
) -> Result<helm::Chart, Refusal> {
    let application = &material.application;
    let files = values_of(material, &source.configuration)?;
    let archive = files.get(&source.key).ok_or_else(|| {
        let (key, configuration) = (&source.key, &source.configuration);
        let message = format!("helm.key: configuration {configuration} has no key {key:?}");
        Refusal::lasting(reason::KEY_NOT_FOUND, message)
    })?;
    let mut values: Vec<Bytes> = Vec::new();
    if !source.values_configuration.is_empty() {
        values.extend(
            values_of(material, &source.values_configuration)?
                .values()
                .cloned(),
        );
    }
    if let Some(own) = &source.values {
        values.push(json::text(own).into());
    }
    let first = |texts: [&str; 2]| {
        let mut texts = texts.into_iter();
        texts
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    Ok(helm::Chart {
        release: first([&source.release_name, &application.name]),
        namespace: first([&application.kube_namespace, &settings.namespace]),
        archive: archive.clone(),
        values,
    })
}

/// Reads manifests: YAML 1.1 as `kubectl` reads it, one or many documents under each key; all keys
/// when none are named. Lists are taken apart. Takes up to a second for the largest.
///
/// # Errors
/// [`Refusal`] with key, document and line: a key that is not there, text that cannot be read, a
/// document that is no object, or more than can be taken.
pub fn manifests(files: &Files, keys: &[String]) -> Result<Vec<Object>, Refusal> {
    let all: Vec<String>;
    let keys = if keys.is_empty() {
        all = files.keys().cloned().collect();
        &all
    } else {
        keys
    };
    let mut objects = Vec::new();
    let mut size = 0;
    for key in keys {
        let text = files.get(key).ok_or_else(|| {
            let message = format!("manifest.keys: the configuration has no key {key:?}");
            Refusal::lasting(reason::KEY_NOT_FOUND, message)
        })?;
        size += text.len();
        if size > MAX_BYTES {
            return Err(too_large(key));
        }
        let place = format!("manifest {key:?}");
        objects.extend(yaml::objects(&place, text)?);
        if objects.len() > MAX_OBJECTS {
            return Err(too_many(&place));
        }
    }
    if objects.is_empty() {
        return Err(invalid("the manifests hold no object".to_owned()));
    }
    leave_to_autoscalers(&mut objects);
    Ok(objects)
}

fn invalid(message: String) -> Refusal {
    Refusal::lasting(reason::INVALID_OBJECT, message)
}

fn too_large(key: &str) -> Refusal {
    invalid(format!(
        "manifest {key:?}: the manifests are larger than {} MiB together",
        MAX_BYTES >> 20
    ))
}

fn too_many(place: &str) -> Refusal {
    invalid(format!(
        "{place}: there are more than {MAX_OBJECTS} objects"
    ))
}

/// Removes the number of replicas from workloads that an autoscaler of the set keeps: two who set
/// it would undo each other for ever.
fn leave_to_autoscalers(objects: &mut [Object]) {
    let scaled: BTreeSet<(Option<String>, String, String)> = objects
        .iter()
        .filter(|object| object.key().kind == "HorizontalPodAutoscaler")
        .filter_map(|object| {
            let of = &object.body()["spec"]["scaleTargetRef"];
            let (kind, name) = (of["kind"].as_str()?, of["name"].as_str()?);
            let namespace = object.key().namespace.clone();
            Some((namespace, kind.to_owned(), name.to_owned()))
        })
        .collect();
    for object in objects {
        let key = object.key();
        let this = (key.namespace.clone(), key.kind.clone(), key.name.clone());
        if scaled.contains(&this) {
            object.edit(|body| {
                if let Some(Value::Object(spec)) = body.get_mut("spec") {
                    spec.remove("replicas");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
