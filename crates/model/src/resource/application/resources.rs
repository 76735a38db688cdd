//! Requests and limits.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;

use crate::label;
use crate::quantity::Quantity;
use crate::violation::{Check, Path, reason};

/// Resources that each side may name.
const MAX_RESOURCES: usize = 32;

/// Whether a resource is one of those that every engine knows.
pub(super) fn is_common(resource: &str) -> bool {
    resource == "cpu" || resource == "memory"
}

/// Whether a resource is one that a cluster was taught, as `nvidia.com/gpu`.
fn is_extended(resource: &str) -> bool {
    let domain = resource.split_once('/').map(|(domain, _)| domain);
    let is_own = |domain: &str| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    domain.is_some_and(|domain| !is_own(domain)) && label::check_key(resource).is_ok()
}

pub(super) fn check(
    resources: &pb::Resources,
    kind: Option<pb::ApplicationType>,
    path: &Path,
    check: &mut Check,
) {
    let limits_path = path.field("limits");
    let limits = quantities(&resources.limits, kind, &limits_path, check);
    let requests_path = path.field("requests");
    let requests = quantities(&resources.requests, kind, &requests_path, check);
    for (resource, request) in requests {
        let limit = limits.get(resource).copied();
        let path = requests_path.field(resource);
        if limit.is_some_and(|limit| request > limit) {
            let description = "must not be more than the limit";
            check.add(&path, reason::OUT_OF_BOUNDS, description);
        } else if is_extended(resource) && limit != Some(request) {
            let description = "must be the same as the limit, since it is not shared";
            check.add(&path, reason::CONFLICT, description);
        }
    }
}

fn quantities<'a>(
    texts: &'a BTreeMap<String, String>,
    kind: Option<pb::ApplicationType>,
    path: &Path,
    check: &mut Check,
) -> BTreeMap<&'a str, Quantity> {
    check.count(path, texts.len(), MAX_RESOURCES);
    let is_process = kind == Some(pb::ApplicationType::Process);
    let mut found = BTreeMap::new();
    for (resource, text) in texts.iter().take(MAX_RESOURCES) {
        let path = path.field(resource);
        let is_of_pods = resource == "ephemeral-storage" || is_extended(resource);
        if !is_common(resource) && (is_process || !is_of_pods) {
            let description = match is_process {
                true => "must be cpu or memory",
                false => {
                    "must be cpu, memory, ephemeral-storage or a resource of the cluster such as \
                     nvidia.com/gpu"
                }
            };
            check.add(&path, reason::UNKNOWN_VALUE, description);
            continue;
        }
        let Some(quantity) = check_quantity(text, &path, check) else {
            continue;
        };
        if is_extended(resource) && !quantity.is_whole() {
            let description = "must be a whole number";
            check.add(&path, reason::INVALID_QUANTITY, description);
        }
        found.insert(resource.as_str(), quantity);
    }
    found
}

/// Reads a quantity that must be more than nothing.
pub(super) fn check_quantity(text: &str, path: &Path, check: &mut Check) -> Option<Quantity> {
    match Quantity::parse(text) {
        Ok(quantity) if quantity.is_zero() => {
            check.add(path, reason::OUT_OF_BOUNDS, "must be more than nothing");
            None
        }
        Ok(quantity) => Some(quantity),
        Err(error) => {
            check.add(path, reason::INVALID_QUANTITY, error.to_string());
            None
        }
    }
}
