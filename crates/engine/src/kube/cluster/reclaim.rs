//! Takes back entries of lists that an edit left beside ours.
//!
//! The API server tells entries of a list apart by a key, such as the number of a port. Who edits the
//! key of ours leaves an entry that is theirs; applying makes ours anew beside it, and where both have
//! the same name the whole is refused. Then their part of the list is written over to our own apply,
//! as `kubectl` does when it moves from edits to declarations: the next apply removes what it does not
//! declare. See <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use std::collections::BTreeSet;

use kube::core::Status;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::names::FIELD_MANAGER;
use super::request::{Call, METADATA, Seen, Trouble};
use super::{Cluster, Target};

impl Cluster {
    /// Moves what others edited of some lists into our part of an object. Returns whether there was
    /// anything to move.
    pub(super) async fn reclaim(
        &self,
        target: &Target<'_>,
        uid: &str,
        lists: &BTreeSet<ListPath>,
    ) -> Result<bool, Trouble> {
        #[derive(Deserialize)]
        struct Live {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            resource_version: String,
            #[serde(default)]
            managed_fields: Vec<Value>,
        }
        let path = target.path();
        let Live { metadata } = self.requests.fetch(Call::get(&path, METADATA)).await?;
        let Some(managed_fields) = moved(metadata.managed_fields, lists) else {
            return Ok(false);
        };
        let change = json!({"metadata": {
            "uid": uid,
            "resourceVersion": metadata.resource_version,
            "managedFields": managed_fields,
        }});
        let path = format!("{path}?fieldManager={FIELD_MANAGER}");
        let _: Seen = self.requests.fetch(Call::merge(path, &change)).await?;
        Ok(true)
    }
}

/// Where a list is in an object, as `managedFields` write it: `f:spec`, `f:ports`.
pub(super) type ListPath = Vec<String>;

/// The lists in which a refused object would have an entry twice.
pub(super) fn doubled(status: &Status) -> BTreeSet<ListPath> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldValueDuplicate")
        .filter_map(|cause| {
            let (list, _) = cause.field.split_once('[')?;
            Some(list.split('.').map(|name| format!("f:{name}")).collect())
        })
        .collect()
}

/// `managedFields` in which our apply has what edits had of these lists; `None` when that changes
/// nothing.
fn moved(mut entries: Vec<Value>, lists: &BTreeSet<ListPath>) -> Option<Vec<Value>> {
    let is_whole = |entry: &Value| entry["subresource"].as_str().unwrap_or_default().is_empty();
    let ours = entries.iter().position(|entry| {
        is_whole(entry) && entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply"
    })?;
    let version = entries[ours]["apiVersion"].clone();
    let mut taken = Vec::new();
    for entry in &mut entries {
        // Fields of another version of the kind may be called otherwise.
        let is_edit =
            is_whole(entry) && entry["operation"] == "Update" && entry["apiVersion"] == version;
        let fields = entry["fieldsV1"].as_object_mut().filter(|_| is_edit);
        let Some(fields) = fields else { continue };
        for list in lists {
            taken.extend(take(fields, list));
        }
    }
    if taken.is_empty() {
        return None;
    }
    for fields in taken {
        join(&mut entries[ours]["fieldsV1"], fields);
    }
    entries.retain(|entry| entry["fieldsV1"] != json!({}));
    Some(entries)
}

/// Takes a part out of a set of fields, and gives it with the way to it. What is empty then goes,
/// since an empty set would say that the field itself is managed.
fn take(fields: &mut Map<String, Value>, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    let taken = if rest.is_empty() {
        fields.remove(first)?
    } else {
        let inner = fields.get_mut(first)?.as_object_mut()?;
        let taken = take(inner, rest)?;
        if inner.is_empty() {
            fields.remove(first);
        }
        taken
    };
    Some(json!({ first: taken }))
}

fn join(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                join(into.entry(name).or_insert_with(|| json!({})), value);
            }
        }
        (into, fields) => *into = fields,
    }
}

#[cfg(test)]
mod tests;
