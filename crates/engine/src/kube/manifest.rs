//! From an application to the objects of the cluster that run it. Pure: equal material gives equal
//! objects, and nothing is asked of the cluster.
//!
//! An instance is a pod, the services of an application are its containers, and one workload keeps
//! the pods. Objects hold exactly the fields that the application decides, so that server-side
//! apply owns these and no others.
//!
//! What changes pods is what their template says: inputs that restart have their content in the
//! name that the template uses, inputs that reload have a stable name. [`release_hash`] is taken
//! of the template itself, so it changes exactly when pods must be replaced. Texts are literal, as
//! on a process node: `$(NAME)` in an argument or variable is not replaced.
//!
//! | module | what |
//! |---|---|
//! | `scene` | what everything is rendered from |
//! | `inputs` | ConfigMaps and Secrets |
//! | `pod` | the template of pods |
//! | `container`, `environment`, `probe`, `function` | its containers |
//! | `volume` | what they mount, and claims |
//! | `placement` | which machines pods may use |
//! | `workload`, `network`, `scale` | what keeps pods, and what stands before them |
//! | `dress` | objects that somebody else wrote |

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::json;

use super::material::Material;
use super::names;
use super::object::Object;
use super::settings::KubeSettings;
use crate::desired::Pin;
use crate::driver::Refusal;

mod at;
mod container;
mod dress;
mod environment;
mod function;
mod inputs;
mod network;
mod placement;
mod pod;
mod probe;
mod scale;
mod scene;
mod volume;
mod workload;

use at::At;
pub use dress::{MAX_OBJECTS, Scope, dress};
use scene::Scene;

/// Renders a container or function application.
///
/// The order is that of their use: accounts, inputs, claims, Services, the workload, what scales
/// and protects it. No two objects have the same key.
///
/// # Errors
/// [`Refusal`] names the field: `services[0].env[2].valueFrom`.
pub fn manifest(material: &Material, settings: &KubeSettings) -> Result<Vec<Object>, Refusal> {
    let digests = material.inputs.iter();
    let scene = Scene::try_new(
        &material.application,
        settings,
        digests
            .map(|(key, input)| (key.clone(), input.digest))
            .collect(),
    )?
    .with_release(&material.release, material.revision);
    let mut objects = Vec::new();
    if scene.application.service_account.is_empty() {
        objects.push(pod::service_account(&scene));
    }
    objects.extend(inputs::objects(&scene, material)?);
    objects.extend(inputs::credentials(&scene, material)?);
    objects.extend(function::files(&scene));
    objects.extend(volume::claims(&scene));
    objects.extend(network::services(&scene)?);
    objects.push(workload::object(&scene)?);
    objects.extend(scale::autoscaler(&scene)?);
    objects.extend(scale::disruption_budget(&scene)?);
    Ok(objects)
}

/// Returns what the label `baetyl.io/release` says: 12 hexadecimal digits that change exactly when
/// pods must be replaced.
///
/// Of a container or function application it is taken over the template of its pods, of a job over
/// all of it, and over the retry counter. Replicas, soak, ports of Services, a timetable and
/// labels of the application are no part of it; neither is its revision. Of a chart or raw objects
/// it is taken over all that they are made of.
///
/// # Errors
/// As [`manifest`], as far as it does not need the values of inputs.
pub fn release_hash(
    application: &pb::Application,
    pin: &Pin,
    settings: &KubeSettings,
) -> Result<String, Refusal> {
    let content = match application.r#type() {
        pb::ApplicationType::Helm | pb::ApplicationType::Manifest => {
            let inputs: BTreeMap<String, String> = pin
                .inputs
                .iter()
                .map(|(key, digest)| (key.to_string(), digest.to_string()))
                .collect();
            json!({ "template": pin.template_digest.to_string(), "inputs": inputs })
        }
        _ => {
            let scene = Scene::try_new(application, settings, pin.inputs.clone())?;
            workload::replaced_by(&scene)?
        }
    };
    let whole = json!({ "content": content, "retry": pin.retry });
    let digest = Digest::of(whole.to_string().as_bytes());
    Ok(names::hex(&digest, names::RELEASE_DIGITS))
}

/// Returns what the annotation `baetyl.io/inputs` says: 12 hexadecimal digits over the inputs that
/// are switched in place.
#[must_use]
pub fn inputs_hash(application: &pb::Application, pin: &Pin) -> String {
    let restarted = inputs::restarted(application);
    let reloaded = pin
        .inputs
        .iter()
        .filter(|(key, _)| !restarted.contains(key));
    let lines: String = reloaded
        .map(|(key, digest)| format!("{key} {digest}\n"))
        .collect();
    names::hex(&Digest::of(lines.as_bytes()), names::RELEASE_DIGITS)
}

/// Makes an object of a typed one that has its name.
fn object<T: Serialize>(typed: &T) -> Object {
    let body = serde_json::to_value(typed).expect("typed objects are json");
    Object::try_new(body).expect("typed objects have a version, a kind and the name given here")
}

/// Metadata of an object of the application.
fn metadata(scene: &Scene<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(scene.namespace.to_owned()),
        labels: Some(scene.labels()),
        ..ObjectMeta::default()
    }
}

/// A list as an optional field.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// A text as an optional field.
fn text(given: &str) -> Option<String> {
    Some(given.to_owned()).filter(|given| !given.is_empty())
}

/// A number that the contract bounds well below what the cluster takes.
fn count(given: u32) -> i32 {
    i32::try_from(given).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
