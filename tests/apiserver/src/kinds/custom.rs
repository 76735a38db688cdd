//! Kinds that custom resource definitions add.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Generation, Kind, Version};
use crate::object::{items, text};
use crate::schema::read_openapi;

/// The kind that a definition describes; `None` when it serves no version.
pub(crate) fn kind_of_definition(definition: &Value) -> Option<Kind> {
    let group = text(definition, "/spec/group");
    let plural = text(definition, "/spec/names/plural");
    let kind = text(definition, "/spec/names/kind");
    let mut versions: Vec<_> = items(definition, "/spec/versions")
        .iter()
        .filter(|version| version["served"] == true || version["storage"] == true)
        .collect();
    versions.sort_by_key(|version| version["storage"] != true);
    let has_scale = versions
        .iter()
        .any(|version| version.pointer("/subresources/scale").is_some());
    let versions: Vec<_> = versions.into_iter().map(read_version).collect();
    let texts = |pointer: &str| -> Vec<String> {
        let words = items(definition, pointer).iter().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let or = |found: &str, default: String| match found {
        "" => default,
        found => found.to_owned(),
    };
    (!versions.is_empty()).then(|| Kind {
        resource: format!("{plural}.{group}").into(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        list_kind: or(
            text(definition, "/spec/names/listKind"),
            format!("{kind}List"),
        ),
        plural: plural.to_owned(),
        singular: or(
            text(definition, "/spec/names/singular"),
            kind.to_lowercase(),
        ),
        short_names: texts("/spec/names/shortNames"),
        categories: texts("/spec/names/categories"),
        is_namespaced: text(definition, "/spec/scope") == "Namespaced",
        has_scale,
        generation: Generation::Content,
        returns_deleted: false,
        versions,
    })
}

fn read_version(version: &Value) -> Version {
    let (schema, root) = read_openapi(&version["schema"]["openAPIV3Schema"]);
    Version {
        name: text(version, "/name").to_owned(),
        has_status: version.pointer("/subresources/status").is_some(),
        schema: Arc::new(schema),
        root,
    }
}

/// What `status.acceptedNames` says of a definition.
pub(crate) fn accepted_names(definition: &Value) -> Value {
    let mut names = definition["spec"]["names"].clone();
    let kind = text(&names, "/kind").to_owned();
    if let Some(names) = names.as_object_mut() {
        names
            .entry("singular")
            .or_insert_with(|| json!(kind.to_lowercase()));
        names
            .entry("listKind")
            .or_insert_with(|| json!(format!("{kind}List")));
    }
    names
}
