//! Environment variables.

use std::collections::BTreeSet;

use baetyl_proto::resource::v1 as pb;
use pb::env_var_source::Source;

use super::service::check_passed_text;
use crate::id::Kind;
use crate::resource::configuration::check_key_name;
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const MAX_VARIABLES: usize = 256;
const MAX_NAME_BYTES: usize = 253;
/// Variables that start so are the system's.
const RESERVED: &str = "BAETYL_";

/// The configuration or secret that a variable reads.
pub(super) fn reference(variable: &pb::EnvVar) -> Option<(Kind, &str)> {
    match variable.value_from.as_ref()?.source.as_ref()? {
        Source::ConfigKeyRef(key) => Some((Kind::Configuration, key.name.as_str())),
        Source::SecretKeyRef(key) => Some((Kind::Secret, key.name.as_str())),
    }
}

pub(super) fn check(variables: &[pb::EnvVar], path: &Path, check: &mut Check) {
    check.count(path, variables.len(), MAX_VARIABLES);
    let mut seen = BTreeSet::new();
    for (index, variable) in variables.iter().take(MAX_VARIABLES).enumerate() {
        let path = path.index(index);
        check_variable_name(&variable.name, &path.field("name"), check);
        if !variable.name.is_empty() && !seen.insert(variable.name.as_str()) {
            check.duplicate(&path.field("name"), "a variable of that name");
        }
        check_passed_text(&variable.value, &path.field("value"), check);
        let Some(value_from) = &variable.value_from else {
            continue;
        };
        if !variable.value.is_empty() {
            let description = "excludes valueFrom";
            check.add(&path.field("value"), reason::CONFLICT, description);
        }
        check_source(value_from, &path.field("valueFrom"), check);
    }
}

fn check_source(value_from: &pb::EnvVarSource, path: &Path, check: &mut Check) {
    let (field, kind, reference) = match &value_from.source {
        Some(Source::ConfigKeyRef(key)) => ("configKeyRef", Kind::Configuration, key),
        Some(Source::SecretKeyRef(key)) => ("secretKeyRef", Kind::Secret, key),
        None => {
            let description = "must have configKeyRef or secretKeyRef";
            check.add(path, reason::REQUIRED, description);
            return;
        }
    };
    let path = path.field(field);
    check_name(&reference.name, kind, &path.field("name"), check);
    check_key_name(&reference.key, &path.field("key"), check);
}

fn check_variable_name(name: &str, path: &Path, check: &mut Check) {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = !name.starts_with(|first: char| first.is_ascii_digit());
    if name.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
    } else if name.len() > MAX_NAME_BYTES || !starts_well || !name.bytes().all(may_stand) {
        let description = "must be letters, digits and `_`, not starting with a digit";
        check.add(path, reason::INVALID_NAME, description);
    } else if name.starts_with(RESERVED) {
        let description = "names that start with BAETYL_ are set by the system";
        check.add(path, reason::RESERVED, description);
    }
}
