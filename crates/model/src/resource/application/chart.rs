//! Applications whose objects come from elsewhere: raw manifests and Helm charts.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;
use prost::Message as _;
use prost_types::value::Kind as ValueKind;
use prost_types::{Struct, Value};

use super::names::MAX_RELEASE;
use crate::id::Kind;
use crate::label;
use crate::resource::configuration::check_key_name;
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

/// Keys that a manifest may list: each holds at least one object, and there are at most as many.
const MAX_KEYS: usize = 512;
const MAX_VALUES_BYTES: usize = 256 * 1024;

/// Checks what an application of this type is made from.
pub(super) fn check(
    message: &pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let root = Path::root();
    match kind {
        Some(pb::ApplicationType::Manifest) => {
            let path = root.field("manifest");
            match &message.manifest {
                Some(manifest) => check_manifest(manifest, &path, check),
                None => check.add(&path, reason::REQUIRED, "must say where the objects are"),
            }
        }
        Some(pb::ApplicationType::Helm) => {
            let path = root.field("helm");
            match &message.helm {
                Some(helm) => check_helm(helm, &path, check),
                None => check.add(&path, reason::REQUIRED, "must say where the chart is"),
            }
        }
        Some(
            pb::ApplicationType::Unspecified
            | pb::ApplicationType::Container
            | pb::ApplicationType::Function
            | pb::ApplicationType::Process,
        )
        | None => {}
    }
}

fn check_manifest(manifest: &pb::ManifestSource, path: &Path, check: &mut Check) {
    let configuration = path.field("configuration");
    let name = &manifest.configuration;
    check_name(name, Kind::Configuration, &configuration, check);
    let keys = path.field("keys");
    check.count(&keys, manifest.keys.len(), MAX_KEYS);
    let mut seen = BTreeSet::new();
    for (index, key) in manifest.keys.iter().take(MAX_KEYS).enumerate() {
        let path = keys.index(index);
        check_key_name(key, &path, check);
        if !seen.insert(key) {
            check.duplicate(&path, "that key");
        }
    }
}

fn check_helm(helm: &pb::HelmChart, path: &Path, check: &mut Check) {
    let configuration = path.field("configuration");
    let name = &helm.configuration;
    check_name(name, Kind::Configuration, &configuration, check);
    check_key_name(&helm.key, &path.field("key"), check);
    if let Some(values) = &helm.values {
        let path = path.field("values");
        check.bytes(&path, values.encoded_len(), MAX_VALUES_BYTES);
        check_values(values, &path, check);
    }
    if !helm.values_configuration.is_empty() {
        let path = path.field("valuesConfiguration");
        let name = &helm.values_configuration;
        check_name(name, Kind::Configuration, &path, check);
    }
    let release = helm.release_name.as_str();
    let is_release = label::is_dns_name(release) && release.len() <= MAX_RELEASE;
    if !release.is_empty() && !is_release {
        let description = format!(
            "must be lower-case letters, digits, `-` and `.`, at most {MAX_RELEASE} characters"
        );
        check.add(
            &path.field("releaseName"),
            reason::INVALID_NAME,
            description,
        );
    }
}

/// Numbers that are none have no form in YAML that charts read. The depth is bounded by what
/// decoding allows.
fn check_values(values: &Struct, path: &Path, check: &mut Check) {
    for (key, value) in &values.fields {
        check_value(value, &path.field(key), check);
    }
}

fn check_value(value: &Value, path: &Path, check: &mut Check) {
    match &value.kind {
        Some(ValueKind::NumberValue(number)) if !number.is_finite() => {
            check.add(path, reason::INVALID_FORMAT, "must be a finite number");
        }
        Some(ValueKind::StructValue(inner)) => check_values(inner, path, check),
        Some(ValueKind::ListValue(list)) => {
            for (index, value) in list.values.iter().enumerate() {
                check_value(value, &path.index(index), check);
            }
        }
        Some(
            ValueKind::NullValue(_)
            | ValueKind::NumberValue(_)
            | ValueKind::StringValue(_)
            | ValueKind::BoolValue(_),
        )
        | None => {}
    }
}
