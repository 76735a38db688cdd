//! Volumes of an application.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use pb::volume::Source;

use super::mount::check_absolute;
use super::placement::one_of;
use super::resources::check_quantity;
use super::{names, service};
use crate::id::{Inner, Kind, check_name as check_id};
use crate::quantity::Quantity;
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_VOLUMES: usize = 64;
const MAX_VOLUME_NAME: usize = 63;
const DEFAULT_SIZE: &str = "1Gi";
const DEFAULT_ACCESS: &str = "ReadWriteOnce";
/// The access that one pod has alone.
const ONE_POD: &str = "ReadWriteOncePod";

const ACCESS_MODES: [&str; 4] = [DEFAULT_ACCESS, "ReadWriteMany", "ReadOnlyMany", ONE_POD];
const HOST_TYPES: [&str; 7] = [
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
    "CharDevice",
    "BlockDevice",
];

/// What a mount must know of its volume.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// The files of an input: read-only.
    Files {
        /// Whether they change in place.
        reloads: bool,
    },
    /// A folder.
    Folder,
}

/// Fills and checks the volumes; returns them by name.
pub(super) fn normalise(
    volumes: &mut [pb::Volume],
    scene: &service::Scene,
    path: &Path,
    check: &mut Check,
) -> BTreeMap<String, VolumeKind> {
    check.count(path, volumes.len(), MAX_VOLUMES);
    let mut found = BTreeMap::new();
    for (index, volume) in volumes.iter_mut().take(MAX_VOLUMES).enumerate() {
        let path = path.index(index);
        let is_folder = normalise_source(volume, scene, &path, check);
        normalise_on_change(volume, is_folder, &path.field("onChange"), check);
        let kind = match is_folder {
            true => VolumeKind::Folder,
            false => VolumeKind::Files {
                reloads: volume.on_change() != pb::OnChange::Restart,
            },
        };
        let name = path.field("name");
        if volume.name.is_empty() {
            check.add(&name, reason::REQUIRED, "must be set");
            continue;
        }
        if let Err(error) = check_id(&volume.name, Inner::Dashes, 1, MAX_VOLUME_NAME) {
            check.add(&name, error.reason, error.description);
        }
        if found.insert(volume.name.clone(), kind).is_some() {
            check.duplicate(&name, "a volume of that name");
        }
    }
    found
}

/// Returns whether it is a folder rather than the files of an input.
fn normalise_source(
    volume: &mut pb::Volume,
    scene: &service::Scene,
    path: &Path,
    check: &mut Check,
) -> bool {
    let (field, kind, input) = match &mut volume.source {
        Some(Source::Config(config)) => ("config", Kind::Configuration, config),
        Some(Source::Secret(secret)) => ("secret", Kind::Secret, secret),
        Some(Source::Certificate(certificate)) => ("certificate", Kind::Certificate, certificate),
        Some(Source::HostPath(host)) => {
            check_host_path(host, scene, &path.field("hostPath"), check);
            return true;
        }
        Some(Source::EmptyDir(empty)) => {
            check_empty_dir(empty, scene, &path.field("emptyDir"), check);
            return true;
        }
        Some(Source::Persistent(folder)) => {
            normalise_persistent(folder, scene, &path.field("persistent"), check);
            return true;
        }
        None => {
            let description =
                "must have config, secret, certificate, hostPath, emptyDir or persistent";
            check.add(path, reason::REQUIRED, description);
            return true;
        }
    };
    check_name(&input.name, kind, &path.field(field).field("name"), check);
    false
}

fn check_host_path(host: &pb::HostPath, scene: &service::Scene, path: &Path, check: &mut Check) {
    check_absolute(&host.path, &path.field("path"), check);
    let path = path.field("type");
    scene.only_in_container(&path, !host.r#type.is_empty(), check);
    if scene.is_container()
        && !host.r#type.is_empty()
        && !HOST_TYPES.contains(&host.r#type.as_str())
    {
        let description = format!("must be {}", one_of(&HOST_TYPES));
        check.add(&path, reason::UNKNOWN_VALUE, description);
    }
}

fn check_empty_dir(empty: &pb::EmptyDir, scene: &service::Scene, path: &Path, check: &mut Check) {
    scene.only_in_container(&path.field("inMemory"), empty.in_memory, check);
    let size = path.field("sizeLimit");
    scene.only_in_container(&size, !empty.size_limit.is_empty(), check);
    if scene.is_container() && !empty.size_limit.is_empty() {
        check_quantity(&empty.size_limit, &size, check);
    }
}

fn normalise_persistent(
    folder: &mut pb::PersistentFolder,
    scene: &service::Scene,
    path: &Path,
    check: &mut Check,
) {
    let (size, class, access) = (
        path.field("size"),
        path.field("storageClass"),
        path.field("accessMode"),
    );
    if scene.kind == Some(pb::ApplicationType::Process) {
        let why = "a process node keeps a plain folder";
        check.absent(&size, !folder.size.is_empty(), why);
        check.absent(&class, !folder.storage_class.is_empty(), why);
        check.absent(&access, !folder.access_mode.is_empty(), why);
        return;
    }
    // A function application that says nothing of this fits process nodes, too.
    if scene.is_container() {
        if folder.size.is_empty() {
            DEFAULT_SIZE.clone_into(&mut folder.size);
        }
        if folder.access_mode.is_empty() {
            DEFAULT_ACCESS.clone_into(&mut folder.access_mode);
        }
    }
    if !folder.size.is_empty() {
        check_quantity(&folder.size, &size, check);
    }
    names::check_object(&folder.storage_class, &class, check);
    if !folder.access_mode.is_empty() && !ACCESS_MODES.contains(&folder.access_mode.as_str()) {
        let description = format!("must be {}", one_of(&ACCESS_MODES));
        check.add(&access, reason::UNKNOWN_VALUE, description);
    }
    let is_shared = match scene.workload {
        pb::Workload::Statefulset => false,
        pb::Workload::Daemonset => true,
        pb::Workload::Unspecified
        | pb::Workload::Deployment
        | pb::Workload::Job
        | pb::Workload::Cronjob => scene.most_replicas > 1,
    };
    if folder.access_mode == ONE_POD && is_shared {
        let description = "lets one instance have the folder, and there may be more of them";
        check.add(&access, reason::CONFLICT, description);
    }
}

fn normalise_on_change(volume: &mut pb::Volume, is_folder: bool, path: &Path, check: &mut Check) {
    match (is_folder, pb::OnChange::try_from(volume.on_change)) {
        (false, Ok(pb::OnChange::Unspecified)) => volume.set_on_change(pb::OnChange::Reload),
        (false, Ok(pb::OnChange::Reload | pb::OnChange::Restart))
        | (true, Ok(pb::OnChange::Unspecified)) => {}
        (true, Ok(pb::OnChange::Reload | pb::OnChange::Restart)) => {
            let why = "belongs to configurations, secrets and certificates";
            check.absent(path, true, why);
        }
        (_, Err(_)) => check.add(path, reason::UNKNOWN_VALUE, "must be reload or restart"),
    }
}

/// Refuses changes that a claim for storage cannot follow.
pub(super) fn check_kept(message: &pb::Application, before: &pb::Application, check: &mut Check) {
    let root = Path::root().field("volumes");
    for (index, volume) in message.volumes.iter().enumerate() {
        let kept = before.volumes.iter().find(|one| one.name == volume.name);
        let kept = kept.and_then(|kept| kept.source.as_ref());
        let (Some(Source::Persistent(new)), Some(Source::Persistent(old))) = (&volume.source, kept)
        else {
            continue;
        };
        let path = root.index(index).field("persistent");
        let access = |folder: &pb::PersistentFolder| or(&folder.access_mode, DEFAULT_ACCESS);
        let fixed = [
            (
                "storageClass",
                new.storage_class.clone(),
                old.storage_class.clone(),
            ),
            ("accessMode", access(new), access(old)),
        ];
        for (field, new, old) in fixed {
            if new != old {
                let description =
                    format!("cannot change from {old:?}; give the volume another name");
                check.add(&path.field(field), reason::IMMUTABLE, description);
            }
        }
        let size = |folder: &pb::PersistentFolder| {
            let text = or(&folder.size, DEFAULT_SIZE);
            Quantity::parse(&text).ok()
        };
        let shrinks = size(new).zip(size(old)).is_some_and(|(new, old)| new < old);
        if shrinks {
            let old = or(&old.size, DEFAULT_SIZE);
            let description = format!("can only grow, it was {old}");
            check.add(&path.field("size"), reason::IMMUTABLE, description);
        }
    }
}

fn or(text: &str, default: &str) -> String {
    let chosen = if text.is_empty() { default } else { text };
    chosen.to_owned()
}
