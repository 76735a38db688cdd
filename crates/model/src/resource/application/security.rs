//! As whom containers run, and what they may do on their machine.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;

use super::mount::check_absolute;
use crate::violation::{Check, Path, reason};

const MAX_CAPABILITIES: usize = 64;
const MAX_CAPABILITY_BYTES: usize = 64;
const MAX_DEVICES: usize = 16;

/// Every capability.
const ALL: &str = "ALL";
/// The capability with which a program gets more rights whatever is said.
const SYS_ADMIN: &str = "SYS_ADMIN";

pub(super) fn check_pod(security: &pb::PodSecurity, path: &Path, check: &mut Check) {
    let ids = [
        ("runAsUser", security.run_as_user),
        ("runAsGroup", security.run_as_group),
        ("fsGroup", security.fs_group),
    ];
    check_ids(&ids, path, check);
    check_not_root(security.run_as_non_root, security.run_as_user, path, check);
}

pub(super) fn normalise_container(
    security: &mut pb::ContainerSecurity,
    path: &Path,
    check: &mut Check,
) {
    let ids = [
        ("runAsUser", security.run_as_user),
        ("runAsGroup", security.run_as_group),
    ];
    check_ids(&ids, path, check);
    check_not_root(security.run_as_non_root, security.run_as_user, path, check);

    let added = path.field("addCapabilities");
    check_capabilities(&security.add_capabilities, &added, check);
    let dropped = path.field("dropCapabilities");
    check_capabilities(&security.drop_capabilities, &dropped, check);
    for (index, capability) in security.drop_capabilities.iter().enumerate() {
        if security.add_capabilities.contains(capability) {
            check.add(&dropped.index(index), reason::CONFLICT, "is also added");
        }
    }

    let gains = *security
        .allow_privilege_escalation
        .get_or_insert(security.privileged);
    let adds = |name: &str| security.add_capabilities.iter().any(|added| added == name);
    if !gains && (security.privileged || adds(SYS_ADMIN) || adds(ALL)) {
        let path = path.field("allowPrivilegeEscalation");
        let description = "must be true when the container is privileged or adds SYS_ADMIN or ALL";
        check.add(&path, reason::CONFLICT, description);
    }
}

fn check_ids(ids: &[(&str, Option<i32>)], path: &Path, check: &mut Check) {
    for (field, id) in ids {
        if let Some(id) = id {
            check.range(&path.field(field), i64::from(*id), 0, i64::from(i32::MAX));
        }
    }
}

fn check_not_root(non_root: Option<bool>, user: Option<i32>, path: &Path, check: &mut Check) {
    if non_root == Some(true) && user == Some(0) {
        let description = "user 0 is refused by runAsNonRoot";
        check.add(&path.field("runAsUser"), reason::CONFLICT, description);
    }
}

fn check_capabilities(capabilities: &[String], path: &Path, check: &mut Check) {
    check.count(path, capabilities.len(), MAX_CAPABILITIES);
    let mut seen = BTreeSet::new();
    for (index, capability) in capabilities.iter().take(MAX_CAPABILITIES).enumerate() {
        let path = path.index(index);
        let may_stand = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        if capability.is_empty() {
            check.add(&path, reason::REQUIRED, "must name a capability");
        } else if capability.len() > MAX_CAPABILITY_BYTES || !capability.bytes().all(may_stand) {
            let description = "must be the name of a capability, such as NET_ADMIN";
            check.add(&path, reason::INVALID_NAME, description);
        } else if capability.starts_with("CAP_") {
            let description = "must be written without CAP_, as NET_ADMIN";
            check.add(&path, reason::INVALID_NAME, description);
        }
        if !seen.insert(capability) {
            check.duplicate(&path, "that capability");
        }
    }
}

/// Checks the devices of a container, which must be privileged to reach them.
pub(super) fn check_devices(service: &pb::Service, path: &Path, check: &mut Check) {
    let devices = path.field("devices");
    check.count(&devices, service.devices.len(), MAX_DEVICES);
    let mut seen = BTreeSet::new();
    for (index, device) in service.devices.iter().take(MAX_DEVICES).enumerate() {
        let path = devices.index(index).field("path");
        check_absolute(&device.path, &path, check);
        if !device.path.is_empty() && !seen.insert(&device.path) {
            check.duplicate(&path, "that device");
        }
    }
    let is_privileged = service
        .security
        .as_ref()
        .is_some_and(|security| security.privileged);
    if !service.devices.is_empty() && !is_privileged {
        let path = path.field("security").field("privileged");
        let description = "must be true for a container with devices";
        check.add(&path, reason::REQUIRED, description);
    }
}
