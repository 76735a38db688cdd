//! Configurations, secrets, certificates and registries of an application as ConfigMaps and
//! Secrets, and the certificates of its services.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;
use serde_json::json;

use super::scene::Scene;
use super::{At, metadata, names, object};
use crate::desired::{InputKey, InputKind};
use crate::driver::Refusal;
use crate::inputs::Files;
use crate::kube::material::{Input, Material};
use crate::kube::object::Object;
use crate::reason;

/// What one ConfigMap or Secret may hold.
const MAX_OBJECT_BYTES: usize = 1024 * 1024;

/// Files of a certificate, as process applications find them too.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

/// A place where an application uses an input.
struct Use {
    key: InputKey,
    at: At,
    /// Whether a change there needs new pods.
    restarts: bool,
    /// The key of a variable.
    variable: Option<String>,
}

/// The services that have containers, by the field that they stand in.
fn service_lists(application: &pb::Application) -> [(&'static str, &[pb::Service]); 2] {
    [
        ("initServices", &application.init_services),
        ("services", &application.services),
    ]
}

/// The input that a volume shows.
pub(super) fn of_volume(volume: &pb::Volume) -> Option<InputKey> {
    use pb::volume::Source;
    let (kind, reference) = match volume.source.as_ref()? {
        Source::Config(reference) => (InputKind::Configuration, reference),
        Source::Secret(reference) => (InputKind::Secret, reference),
        Source::Certificate(reference) => (InputKind::Certificate, reference),
        Source::HostPath(_) | Source::EmptyDir(_) | Source::Persistent(_) => return None,
    };
    let name = reference.name.clone();
    Some(InputKey { kind, name })
}

/// The input and key that a variable gets its value from.
pub(super) fn of_variable(variable: &pb::EnvVar) -> Option<(InputKey, &str)> {
    use pb::env_var_source::Source;
    match variable.value_from.as_ref()?.source.as_ref()? {
        Source::ConfigKeyRef(key) => Some((InputKey::configuration(&key.name), &key.key)),
        Source::SecretKeyRef(key) => Some((InputKey::secret(&key.name), &key.key)),
    }
}

/// Credentials of a registry as an input.
pub(super) fn of_registry(name: &str) -> InputKey {
    InputKey {
        kind: InputKind::Registry,
        name: name.to_owned(),
    }
}

/// Every use of an input, in the order of the document.
fn uses(application: &pb::Application) -> Vec<Use> {
    let mut found = Vec::new();
    let mut add = |key, at, restarts, variable| {
        found.push(Use {
            key,
            at,
            restarts,
            variable,
        });
    };
    for (index, volume) in application.volumes.iter().enumerate() {
        if let Some(key) = of_volume(volume) {
            let restarts = volume.on_change() == pb::OnChange::Restart;
            add(key, At::root("volumes").index(index), restarts, None);
        }
    }
    for (field, services) in service_lists(application) {
        for (index, service) in services.iter().enumerate() {
            let at = At::root(field).index(index);
            for (index, variable) in service.env.iter().enumerate() {
                if let Some((key, name)) = of_variable(variable) {
                    let at = at.field("env").index(index).field("valueFrom");
                    add(key, at, true, Some(name.to_owned()));
                }
            }
            if let Some(code) = &service.code {
                let key = InputKey::configuration(&code.configuration);
                add(key, at.field("code").field("configuration"), true, None);
            }
        }
    }
    for (index, name) in application.registries.iter().enumerate() {
        add(
            of_registry(name),
            At::root("registries").index(index),
            false,
            None,
        );
    }
    found
}

/// Inputs whose change needs new pods: those that do so in one of their uses.
pub(super) fn restarted(application: &pb::Application) -> BTreeSet<InputKey> {
    let uses = uses(application).into_iter();
    uses.filter(|each| each.restarts)
        .map(|each| each.key)
        .collect()
}

/// One object for each input, however often it is used.
pub(super) fn objects(scene: &Scene<'_>, material: &Material) -> Result<Vec<Object>, Refusal> {
    let mut objects = BTreeMap::new();
    for each in uses(scene.application) {
        let Some(input) = material.inputs.get(&each.key) else {
            let problem = format!("the desired state does not pin {}", each.key);
            return Err(each.at.wrong(problem));
        };
        if let Some(key) = &each.variable {
            check_variable(input, &each, key)?;
        }
        if objects.contains_key(&each.key) {
            continue;
        }
        let size: usize = input.files.values().map(bytes::Bytes::len).sum();
        if size > MAX_OBJECT_BYTES {
            let problem = format!(
                "{} has {size} bytes, an object of the cluster holds {MAX_OBJECT_BYTES}",
                each.key
            );
            return Err(each.at.wrong(problem));
        }
        let name = scene.input(&each.key, &each.at)?;
        let object = match each.key.kind {
            InputKind::Configuration => config_map(scene, name, input),
            InputKind::Secret => secret(scene, name, "Opaque", &input.files),
            InputKind::Certificate => secret(scene, name, "kubernetes.io/tls", &input.files),
            InputKind::Registry => pull_secret(scene, name, &input.files, &each)?,
        };
        objects.insert(each.key, object);
    }
    check_sub_paths(material)?;
    Ok(objects.into_values().collect())
}

/// What is mounted alone must be there: the kubelet would make an empty folder of it.
fn check_sub_paths(material: &Material) -> Result<(), Refusal> {
    let application = &material.application;
    for (field, services) in service_lists(application) {
        for (index, service) in services.iter().enumerate() {
            let at = At::root(field).index(index).field("volumeMounts");
            for (index, mount) in service.volume_mounts.iter().enumerate() {
                let mut volumes = application.volumes.iter();
                let volume = volumes.find(|volume| volume.name == mount.name);
                let Some(key) = volume.and_then(of_volume) else {
                    continue;
                };
                let files = material.inputs.get(&key).map(|input| &input.files);
                let is_there = files.is_some_and(|files| files.contains_key(&mount.sub_path));
                if !mount.sub_path.is_empty() && !is_there {
                    let problem = format!("key {:?} is not in {key}", mount.sub_path);
                    let at = at.index(index).field("subPath");
                    return Err(at.refuse(reason::KEY_NOT_FOUND, problem));
                }
            }
        }
    }
    Ok(())
}

/// The kubelet reads text only, and nothing that ends it.
fn check_variable(input: &Input, each: &Use, key: &str) -> Result<(), Refusal> {
    let Some(value) = input.files.get(key) else {
        let problem = format!("key {key:?} is not in {}", each.key);
        return Err(each.at.refuse(reason::KEY_NOT_FOUND, problem));
    };
    let is_text = std::str::from_utf8(value).is_ok_and(|text| !text.contains('\0'));
    // Of a ConfigMap it reads the keys for text only.
    let is_binary = each.key.kind == InputKind::Configuration
        && input.binary.iter().any(|binary| binary == key);
    if !is_text || is_binary {
        let problem = format!("key {key:?} of {} is no text", each.key);
        return Err(each.at.refuse(reason::KEY_NOT_FOUND, problem));
    }
    Ok(())
}

fn config_map(scene: &Scene<'_>, name: String, input: &Input) -> Object {
    let mut data = BTreeMap::new();
    let mut binary_data = BTreeMap::new();
    for (key, value) in &input.files {
        match std::str::from_utf8(value) {
            Ok(text) if !input.binary.contains(key) => {
                data.insert(key.clone(), text.to_owned());
            }
            Ok(_) | Err(_) => {
                binary_data.insert(key.clone(), ByteString(value.to_vec()));
            }
        }
    }
    object(&core::ConfigMap {
        metadata: metadata(scene, name),
        data: Some(data).filter(|data| !data.is_empty()),
        binary_data: Some(binary_data).filter(|data| !data.is_empty()),
        ..core::ConfigMap::default()
    })
}

fn secret(scene: &Scene<'_>, name: String, kind: &str, files: &Files) -> Object {
    let data: BTreeMap<String, ByteString> = files
        .iter()
        .map(|(key, value)| (key.clone(), ByteString(value.to_vec())))
        .collect();
    object(&core::Secret {
        metadata: metadata(scene, name),
        type_: Some(kind.to_owned()),
        data: Some(data).filter(|data| !data.is_empty()),
        ..core::Secret::default()
    })
}

/// Credentials in the form of Docker's configuration.
fn pull_secret(
    scene: &Scene<'_>,
    name: String,
    files: &Files,
    each: &Use,
) -> Result<Object, Refusal> {
    let text = |key: &str| {
        let value = files.get(key).map(|value| std::str::from_utf8(value));
        let Some(Ok(text)) = value else {
            let problem = format!("{} has no {key} that is text", each.key);
            return Err(each.at.refuse(reason::KEY_NOT_FOUND, problem));
        };
        Ok(text)
    };
    let (address, username, password) = (text("address")?, text("username")?, text("password")?);
    let both = ByteString(format!("{username}:{password}").into_bytes());
    let config = json!({
        "auths": { address: { "username": username, "password": password, "auth": both } }
    });
    let key = ".dockerconfigjson".to_owned();
    let files = Files::from([(key, config.to_string().into())]);
    Ok(secret(
        scene,
        name,
        "kubernetes.io/dockerconfigjson",
        &files,
    ))
}

/// The certificate of each service, renewed in place.
pub(super) fn credentials(scene: &Scene<'_>, material: &Material) -> Result<Vec<Object>, Refusal> {
    let mut objects = Vec::new();
    for (service, at) in scene.all_services() {
        let Some(found) = material.credentials.get(&service.name) else {
            let message = format!("{at}: its certificate is not issued yet");
            return Err(Refusal::passing(reason::CERTIFICATE_UNAVAILABLE, message));
        };
        let files = Files::from(
            [
                (CHAIN, &found.chain_pem),
                (KEY, &found.key_pem),
                (AUTHORITIES, &found.ca_pem),
            ]
            .map(|(name, text)| (name.to_owned(), text.clone().into())),
        );
        let name = names::credentials(scene.name(), &service.name);
        objects.push(secret(scene, name, "kubernetes.io/tls", &files));
    }
    Ok(objects)
}
