//! Where the services of an application see its volumes.

use baetyl_proto::resource::v1 as pb;

use super::service::{Around, check_folder};
use super::volume::VolumeKind;
use crate::violation::{Check, Path, reason};

const MAX_MOUNTS: usize = 64;

pub(super) fn normalise(
    mounts: &mut [pb::VolumeMount],
    around: &Around<'_>,
    path: &Path,
    check: &mut Check,
) {
    check.count(path, mounts.len(), MAX_MOUNTS);
    for (index, mount) in mounts.iter_mut().take(MAX_MOUNTS).enumerate() {
        let path = path.index(index);
        let name = path.field("name");
        let kind = around.volumes.get(&mount.name).copied();
        match kind {
            Some(VolumeKind::Files { .. }) => mount.read_only = true,
            Some(VolumeKind::Folder) => {}
            None if mount.name.is_empty() => check.add(&name, reason::REQUIRED, "must be set"),
            None => check.add(&name, reason::UNKNOWN_NAME, "no volume has that name"),
        }
        check_absolute(&mount.mount_path, &path.field("mountPath"), check);
        let trimmed = mount.mount_path.trim_end_matches('/').len();
        mount.mount_path.truncate(trimmed.max(1));
        if !mount.sub_path.is_empty() {
            check_sub_path(&mount.sub_path, kind, around, &path.field("subPath"), check);
        }
    }
    check_overlaps(mounts, around, path, check);
}

fn check_sub_path(
    sub_path: &str,
    kind: Option<VolumeKind>,
    around: &Around<'_>,
    path: &Path,
    check: &mut Check,
) {
    around.scene.only_in_container(path, true, check);
    if !around.scene.is_container() {
        return;
    }
    check_folder(sub_path, path, check);
    let is_plain = sub_path
        .split('/')
        .all(|part| !part.is_empty() && part != ".");
    if !is_plain {
        let description = "must be a relative path inside the volume";
        check.add(path, reason::INVALID_FORMAT, description);
    }
    if kind == Some(VolumeKind::Files { reloads: true }) {
        let description = "does not follow a reload; the volume must say onChange: restart";
        check.add(path, reason::CONFLICT, description);
    }
}

/// Refuses two mounts at one path and, where mounts are links in a folder, one inside another.
fn check_overlaps(mounts: &[pb::VolumeMount], around: &Around<'_>, path: &Path, check: &mut Check) {
    let is_container = around.scene.is_container();
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
pub(super) fn check_absolute(folder: &str, path: &Path, check: &mut Check) {
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
