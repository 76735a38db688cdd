//! The two ways of writing: apply, which declares, and update, which edits.

use serde_json::Value;

use super::compare::{Difference, compare};
use super::fields::FieldSet;
use super::managers::{Entry, Managers, Operation};
use super::merge::{TypedError, check, field_set, merge, remove};
use super::path;
use crate::refusal::{Cause, Refusal};
use crate::schema::{Node, Shape};

/// Who writes what.
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    /// Group and version of the request.
    pub(crate) api_version: &'a str,
    /// Empty, `status` or `scale`.
    pub(crate) subresource: &'a str,
    /// Now, as the server writes times.
    pub(crate) time: &'a str,
    /// Whether the kind keeps its status apart.
    pub(crate) has_status: bool,
}

/// What an apply makes of an object.
pub(crate) struct Applied {
    pub(crate) object: Value,
    pub(crate) managers: Managers,
}

/// Metadata that nobody owns, as the server writes it.
const SERVER_OWNED: [&[&str]; 11] = [
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:deletionTimestamp"],
];

impl Writer<'_> {
    fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: self.manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: self.time.to_owned(),
            fields,
        }
    }

    /// Takes away what this way of writing cannot change.
    fn own(&self, node: Node<'_>, mut fields: FieldSet) -> FieldSet {
        for path in SERVER_OWNED {
            fields.prune(path);
        }
        match self.subresource {
            "status" if node.is_custom() => fields.keep("f:status"),
            "status" => fields.prune(&["f:spec"]),
            _ if self.has_status => fields.prune(&["f:status"]),
            _ => {}
        }
        fields
    }
}

/// Applies what a manager declares to what is there (`null` when nothing is).
///
/// # Errors
/// `Ok(Err(..))`: other managers own fields with other values, and `force` is not set. `Err`: the
/// declaration does not fit the kind.
pub(crate) fn apply(
    node: Node<'_>,
    live: &Value,
    wish: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Result<Applied, Refusal>, Vec<TypedError>> {
    let mut errors = Vec::new();
    check(node, wish, "", &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut managers = Managers::of(live);
    if managers.is_empty() && live.is_object() {
        managers.set(before_first_apply(node, live, writer));
    }
    let mut wish = wish.clone();
    drop_nulls(&mut wish);
    let merged = merge(Some(node), live, &wish);
    let fields = writer.own(node, field_set(Some(node), &wish));
    let entry = writer.entry(Operation::Apply, fields);
    let last = managers.find(&entry).map(|entry| entry.fields.clone());
    let mut declared = managers.clone();
    declared.set(entry.clone());
    let object = match last {
        Some(last) => {
            let surplus = unowned(Some(node), &last, &declared.all());
            remove(Some(node), &merged, &surplus).unwrap_or_default()
        }
        None => merged,
    };
    let difference = own_difference(node, live, &object, writer);
    let changed = difference.modified.clone().union(&difference.added);
    if !force {
        let conflicts: Vec<_> = declared
            .others(&entry)
            .map(|other| (other, other.fields.intersection(&changed)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        if !conflicts.is_empty() {
            return Ok(Err(conflict(&conflicts)));
        }
    }
    declared.take_from_others(&entry, &changed.union(&difference.removed));
    Ok(Ok(Applied {
        object,
        managers: declared,
    }))
}

/// Notes an edit: what it changed is the editor's, what it took away is nobody's.
pub(crate) fn track_update(
    node: Node<'_>,
    mut managers: Managers,
    before: &Value,
    after: &Value,
    writer: &Writer<'_>,
) -> Managers {
    let difference = own_difference(node, before, after, writer);
    let changed = difference.modified.union(&difference.added);
    let entry = writer.entry(Operation::Update, FieldSet::default());
    managers.take_from_others(&entry, &changed.clone().union(&difference.removed));
    let mine = managers.find(&entry);
    let mine = mine.map(|entry| entry.fields.clone()).unwrap_or_default();
    let fields = mine.difference(&difference.removed).union(&changed);
    managers.set(writer.entry(Operation::Update, fields));
    managers
}

fn own_difference(
    node: Node<'_>,
    before: &Value,
    after: &Value,
    writer: &Writer<'_>,
) -> Difference {
    let all = if before.is_null() {
        Difference {
            added: field_set(Some(node), after),
            ..Difference::default()
        }
    } else {
        compare(node, before, after)
    };
    Difference {
        added: writer.own(node, all.added),
        removed: writer.own(node, all.removed),
        modified: writer.own(node, all.modified),
    }
}

/// Fields that were there before anybody was noted belong to this manager.
fn before_first_apply(node: Node<'_>, live: &Value, writer: &Writer<'_>) -> Entry {
    let mut entry = writer.entry(
        Operation::Update,
        writer.own(node, field_set(Some(node), live)),
    );
    entry.manager = "before-first-apply".to_owned();
    entry
}

/// Nulls in a declaration say nothing.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// What a manager once declared and nobody does now. A declared struct is held by whoever owns
/// something in it; an item of a list only by who owns the item.
fn unowned(node: Option<Node<'_>>, last: &FieldSet, owned: &FieldSet) -> FieldSet {
    let mut surplus = last.difference(owned);
    retain_structs(node, &mut surplus, owned);
    surplus
}

fn retain_structs(node: Option<Node<'_>>, surplus: &mut FieldSet, owned: &FieldSet) {
    let Some(node) = node else {
        return;
    };
    if let Shape::Struct(declared) = node.shape() {
        for name in declared.field_names() {
            let edge = path::field(name);
            let (Some(_), Some(owned)) = (surplus.below(&edge), owned.below(&edge)) else {
                continue;
            };
            let below = surplus.enter(edge);
            if !owned.is_empty() {
                below.remove_here();
            }
            retain_structs(node.field(name), below, owned);
        }
        return;
    }
    let below = match node.shape() {
        Shape::Map { .. } => node.field(""),
        _ => node.item(),
    };
    for edge in surplus.edges() {
        if let Some(owned) = owned.below(&edge) {
            retain_structs(below, surplus.enter(edge), owned);
        }
    }
}

fn conflict(conflicts: &[(&Entry, FieldSet)]) -> Refusal {
    let mut causes = Vec::new();
    let mut by_manager = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (entry, fields) in conflicts {
        for path in fields.paths() {
            let message = format!("conflict with {}", entry.display());
            causes.push(Cause::new("FieldManagerConflict", message, path.clone()));
            by_manager.entry(entry.display()).or_default().push(path);
        }
    }
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        ),
        many => {
            let lines = by_manager.iter().map(|(manager, paths)| {
                let paths: Vec<_> = paths.iter().map(|path| format!("- {path}")).collect();
                format!("conflicts with {manager}:\n{}", paths.join("\n"))
            });
            let lines: Vec<_> = lines.collect();
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                lines.join("\n")
            )
        }
    };
    Refusal::new(409, "Conflict", message).with_causes(&causes)
}
