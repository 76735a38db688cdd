//! Volumes of an application, and where its services see them.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use pb::volume::Source;

use super::service::{Around, check_folder};
use crate::id::{Inner, Kind, check_name as check_id};
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_VOLUMES: usize = 64;
const MAX_MOUNTS: usize = 64;
const MAX_VOLUME_NAME: usize = 63;

/// Whether a volume can be written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// A configuration or secret: read-only.
    Files,
    /// A folder.
    Folder,
}

/// Returns the volumes by name.
pub(super) fn normalise_volumes(
    volumes: &mut [pb::Volume],
    path: &Path,
    check: &mut Check,
) -> BTreeMap<String, VolumeKind> {
    check.count(path, volumes.len(), MAX_VOLUMES);
    let mut found = BTreeMap::new();
    for (index, volume) in volumes.iter_mut().take(MAX_VOLUMES).enumerate() {
        let path = path.index(index);
        let kind = check_source(volume, &path, check);
        normalise_on_change(volume, kind, &path.field("onChange"), check);
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

fn check_source(volume: &pb::Volume, path: &Path, check: &mut Check) -> VolumeKind {
    match &volume.source {
        None => {
            let description = "must have config, secret, hostPath, emptyDir or persistent";
            check.add(path, reason::REQUIRED, description);
            VolumeKind::Folder
        }
        Some(Source::Config(config)) => {
            let path = path.field("config").field("name");
            check_name(&config.name, Kind::Configuration, &path, check);
            VolumeKind::Files
        }
        Some(Source::Secret(secret)) => {
            let path = path.field("secret").field("name");
            check_name(&secret.name, Kind::Secret, &path, check);
            VolumeKind::Files
        }
        Some(Source::HostPath(host)) => {
            check_absolute(&host.path, &path.field("hostPath").field("path"), check);
            VolumeKind::Folder
        }
        Some(Source::EmptyDir(_) | Source::Persistent(_)) => VolumeKind::Folder,
    }
}

fn normalise_on_change(volume: &mut pb::Volume, kind: VolumeKind, path: &Path, check: &mut Check) {
    match (kind, pb::OnChange::try_from(volume.on_change)) {
        (VolumeKind::Files, Ok(pb::OnChange::Unspecified)) => {
            volume.set_on_change(pb::OnChange::Reload);
        }
        (VolumeKind::Files, Ok(pb::OnChange::Reload | pb::OnChange::Restart))
        | (VolumeKind::Folder, Ok(pb::OnChange::Unspecified)) => {}
        (VolumeKind::Folder, Ok(pb::OnChange::Reload | pb::OnChange::Restart)) => {
            check.absent(path, true, "belongs to configurations and secrets");
        }
        (_, Err(_)) => check.add(path, reason::UNKNOWN_VALUE, "must be reload or restart"),
    }
}

pub(super) fn normalise_mounts(
    mounts: &mut [pb::VolumeMount],
    around: &Around<'_>,
    path: &Path,
    check: &mut Check,
) {
    check.count(path, mounts.len(), MAX_MOUNTS);
    for (index, mount) in mounts.iter_mut().take(MAX_MOUNTS).enumerate() {
        let path = path.index(index);
        let name = path.field("name");
        match around.volumes.get(&mount.name) {
            Some(VolumeKind::Files) => mount.read_only = true,
            Some(VolumeKind::Folder) => {}
            None if mount.name.is_empty() => check.add(&name, reason::REQUIRED, "must be set"),
            None => check.add(&name, reason::UNKNOWN_NAME, "no volume has that name"),
        }
        check_absolute(&mount.mount_path, &path.field("mountPath"), check);
        let trimmed = mount.mount_path.trim_end_matches('/').len();
        mount.mount_path.truncate(trimmed.max(1));
    }
    check_overlaps(mounts, around, path, check);
}

/// Refuses two mounts at one path and, where mounts are links in a folder, one inside another.
fn check_overlaps(mounts: &[pb::VolumeMount], around: &Around<'_>, path: &Path, check: &mut Check) {
    let is_container = around.kind == Some(pb::ApplicationType::Container);
    for (index, mount) in mounts.iter().take(MAX_MOUNTS).enumerate() {
        let path = path.index(index).field("mountPath");
        let mount_path = mount.mount_path.as_str();
        for (other_index, other) in mounts.iter().take(MAX_MOUNTS).enumerate() {
            let rest = mount_path.strip_prefix(other.mount_path.as_str());
            if other_index < index && rest == Some("") && !mount_path.is_empty() {
                check.duplicate(&path, "a mount at that path");
            }
            if !is_container && rest.is_some_and(|rest| rest.starts_with('/')) {
                let description = format!("lies inside the mount of volume {:?}", other.name);
                check.add(&path, reason::CONFLICT, description);
            }
        }
    }
}

/// Checks the absolute path of something below the root folder.
fn check_absolute(folder: &str, path: &Path, check: &mut Check) {
    if folder.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return;
    }
    if !folder.starts_with('/') || folder.trim_matches('/').is_empty() {
        let description = "must be an absolute path below `/`";
        check.add(path, reason::INVALID_FORMAT, description);
    }
    check_folder(folder, path, check);
    let inner = folder.trim_matches('/');
    let is_plain = inner.split('/').all(|part| !part.is_empty() && part != ".");
    if !inner.is_empty() && !is_plain {
        let description = "must have neither `//` nor `.`";
        check.add(path, reason::INVALID_FORMAT, description);
    }
}
