//! Volumes of pods, where containers see them, and claims.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use pb::volume::Source;

use super::scene::Scene;
use super::{At, function, inputs, metadata, names, object, text};
use crate::driver::Refusal;
use crate::kube::object::Object;

/// What names of our own volumes begin with.
pub(super) const OWN: &str = "baetyl-";

/// Where a container finds its certificate.
pub(super) const CERTIFICATE_FOLDER: &str = "/var/run/baetyl/certificates";

const DEFAULT_SIZE: &str = "1Gi";
const DEFAULT_ACCESS_MODE: &str = "ReadWriteOnce";

/// Access modes that let several machines use a volume at a time.
const SHARED_MODES: [&str; 2] = ["ReadWriteMany", "ReadOnlyMany"];

/// Every volume of a pod.
pub(super) fn all(scene: &Scene<'_>) -> Result<Vec<core::Volume>, Refusal> {
    let mut volumes = Vec::new();
    for (index, volume) in scene.application.volumes.iter().enumerate() {
        volumes.extend(given(scene, volume, &At::root("volumes").index(index))?);
    }
    for (index, device) in devices(scene.application).into_iter().enumerate() {
        volumes.push(core::Volume {
            name: device_volume(index),
            host_path: Some(core::HostPathVolumeSource {
                path: device.to_owned(),
                type_: Some("CharDevice".to_owned()),
            }),
            ..core::Volume::default()
        });
    }
    for (service, _) in scene.all_services() {
        volumes.push(core::Volume {
            name: certificate_volume(service),
            secret: Some(core::SecretVolumeSource {
                secret_name: Some(names::credentials(scene.name(), &service.name)),
                ..core::SecretVolumeSource::default()
            }),
            ..core::Volume::default()
        });
    }
    if scene.is_function() {
        for (service, at) in scene.services() {
            volumes.extend(function::volumes(scene, service, &at)?);
        }
    }
    Ok(volumes)
}

/// A volume of the application; none where the stateful set gives each pod its own.
fn given(scene: &Scene<'_>, volume: &pb::Volume, at: &At) -> Result<Option<core::Volume>, Refusal> {
    let mut found = core::Volume {
        name: volume.name.clone(),
        ..core::Volume::default()
    };
    match &volume.source {
        None => return Err(at.wrong("has no source")),
        Some(Source::Config(_) | Source::Secret(_) | Source::Certificate(_)) => {
            let input = inputs::of_volume(volume).expect("it shows an input");
            let name = scene.input(&input, at)?;
            if matches!(volume.source, Some(Source::Config(_))) {
                found.config_map = Some(core::ConfigMapVolumeSource {
                    name,
                    ..core::ConfigMapVolumeSource::default()
                });
            } else {
                found.secret = Some(core::SecretVolumeSource {
                    secret_name: Some(name),
                    ..core::SecretVolumeSource::default()
                });
            }
        }
        Some(Source::HostPath(host)) => {
            found.host_path = Some(core::HostPathVolumeSource {
                path: host.path.clone(),
                type_: text(&host.r#type),
            });
        }
        Some(Source::EmptyDir(folder)) => {
            found.empty_dir = Some(core::EmptyDirVolumeSource {
                medium: folder.in_memory.then(|| "Memory".to_owned()),
                size_limit: text(&folder.size_limit).map(Quantity),
            });
        }
        Some(Source::Persistent(_)) => {
            if has_own_claims(scene.application) {
                return Ok(None);
            }
            found.persistent_volume_claim = Some(core::PersistentVolumeClaimVolumeSource {
                claim_name: names::claim(scene.name(), &volume.name),
                ..core::PersistentVolumeClaimVolumeSource::default()
            });
        }
    }
    Ok(Some(found))
}

/// Where a service sees volumes: `own` ones first, which nothing may cover.
pub(super) fn mounts(
    scene: &Scene<'_>,
    service: &pb::Service,
    own: Vec<core::VolumeMount>,
    at: &At,
) -> Result<Vec<core::VolumeMount>, Refusal> {
    let volumes: BTreeMap<&str, &pb::Volume> = scene
        .application
        .volumes
        .iter()
        .map(|volume| (volume.name.as_str(), volume))
        .collect();
    let mut mounts = own;
    let mut seen: BTreeSet<String> = mounts.iter().map(|own| own.mount_path.clone()).collect();
    let mut check = |path: &str, at: &At| match seen.insert(path.to_owned()) {
        true => Ok(()),
        false => Err(at.wrong(format_args!("something else is mounted at {path}"))),
    };
    for (index, mount) in service.volume_mounts.iter().enumerate() {
        let at = at.field("volumeMounts").index(index);
        let Some(volume) = volumes.get(mount.name.as_str()) else {
            return Err(at
                .field("name")
                .wrong(format_args!("no volume is named {:?}", mount.name)));
        };
        check(&mount.mount_path, &at.field("mountPath"))?;
        mounts.push(self::mount(scene, volume, mount, &at)?);
    }
    let devices = devices(scene.application);
    for (index, device) in service.devices.iter().enumerate() {
        check(
            &device.path,
            &at.field("devices").index(index).field("path"),
        )?;
        let number = devices.iter().position(|path| *path == device.path);
        mounts.push(core::VolumeMount {
            name: device_volume(number.expect("every device of every service is listed")),
            mount_path: device.path.clone(),
            ..core::VolumeMount::default()
        });
    }
    Ok(mounts)
}

fn mount(
    scene: &Scene<'_>,
    volume: &pb::Volume,
    mount: &pb::VolumeMount,
    at: &At,
) -> Result<core::VolumeMount, Refusal> {
    let is_input = inputs::of_volume(volume).is_some();
    if is_input && !mount.sub_path.is_empty() && volume.on_change() != pb::OnChange::Restart {
        let problem = "what is mounted so does not follow a reload: the volume must say restart";
        return Err(at.field("subPath").wrong(problem));
    }
    let is_own =
        matches!(volume.source, Some(Source::Persistent(_))) && has_own_claims(scene.application);
    Ok(core::VolumeMount {
        name: if is_own {
            names::claim_template(scene.name(), &volume.name)
        } else {
            volume.name.clone()
        },
        mount_path: mount.mount_path.clone(),
        read_only: (mount.read_only || is_input).then_some(true),
        sub_path: text(&mount.sub_path),
        ..core::VolumeMount::default()
    })
}

/// Where a service sees its certificate.
pub(super) fn certificate(service: &pb::Service) -> core::VolumeMount {
    core::VolumeMount {
        name: certificate_volume(service),
        mount_path: CERTIFICATE_FOLDER.to_owned(),
        read_only: Some(true),
        ..core::VolumeMount::default()
    }
}

fn certificate_volume(service: &pb::Service) -> String {
    own_name("tls", service)
}

/// Name of a volume that one service has of us.
pub(super) fn own_name(what: &str, service: &pb::Service) -> String {
    names::volume(&format!("{OWN}{what}"), &service.name)
}

fn device_volume(index: usize) -> String {
    format!("{OWN}device-{index}")
}

/// The devices of all services, each once.
fn devices(application: &pb::Application) -> Vec<&str> {
    let services = application
        .init_services
        .iter()
        .chain(&application.services);
    let mut found: Vec<&str> = Vec::new();
    for device in services.flat_map(|service| &service.devices) {
        if !found.contains(&device.path.as_str()) {
            found.push(&device.path);
        }
    }
    found
}

/// Whether each pod has claims of its own.
fn has_own_claims(application: &pb::Application) -> bool {
    application.workload() == pb::Workload::Statefulset
}

/// Whether a persistent volume may be in the way of a second pod on another machine.
pub(super) fn is_bound_to_one_machine(application: &pb::Application) -> bool {
    application
        .volumes
        .iter()
        .any(|volume| match &volume.source {
            Some(Source::Persistent(folder)) => !SHARED_MODES.contains(&access_mode(folder)),
            _ => false,
        })
}

/// The claims that the pods share.
pub(super) fn claims(scene: &Scene<'_>) -> Vec<Object> {
    if has_own_claims(scene.application) {
        return Vec::new();
    }
    persistent(scene.application)
        .map(|(volume, folder)| {
            object(&core::PersistentVolumeClaim {
                metadata: metadata(scene, names::claim(scene.name(), &volume.name)),
                spec: Some(claim(folder)),
                ..core::PersistentVolumeClaim::default()
            })
        })
        .collect()
}

/// The templates of which a stateful set gives each pod its claims. A claim that exists keeps its
/// size when the template's grows.
pub(super) fn claim_templates(scene: &Scene<'_>) -> Vec<core::PersistentVolumeClaim> {
    persistent(scene.application)
        .map(|(volume, folder)| {
            let mut metadata = metadata(scene, names::claim_template(scene.name(), &volume.name));
            metadata.namespace = None;
            core::PersistentVolumeClaim {
                metadata,
                spec: Some(claim(folder)),
                ..core::PersistentVolumeClaim::default()
            }
        })
        .collect()
}

fn persistent(
    application: &pb::Application,
) -> impl Iterator<Item = (&pb::Volume, &pb::PersistentFolder)> {
    let volumes = application.volumes.iter();
    volumes.filter_map(|volume| match &volume.source {
        Some(Source::Persistent(folder)) => Some((volume, folder)),
        _ => None,
    })
}

fn access_mode(folder: &pb::PersistentFolder) -> &str {
    match folder.access_mode.as_str() {
        "" => DEFAULT_ACCESS_MODE,
        given => given,
    }
}

fn claim(folder: &pb::PersistentFolder) -> core::PersistentVolumeClaimSpec {
    let size = text(&folder.size).unwrap_or_else(|| DEFAULT_SIZE.to_owned());
    core::PersistentVolumeClaimSpec {
        access_modes: Some(vec![access_mode(folder).to_owned()]),
        storage_class_name: text(&folder.storage_class),
        resources: Some(core::VolumeResourceRequirements {
            requests: Some([("storage".to_owned(), Quantity(size))].into()),
            ..core::VolumeResourceRequirements::default()
        }),
        ..core::PersistentVolumeClaimSpec::default()
    }
}
