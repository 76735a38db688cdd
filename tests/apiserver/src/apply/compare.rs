//! What differs between two versions of an object, as sets of fields.

use serde_json::Value;

use super::fields::FieldSet;
use super::merge::{View, child, field_set, item_of, view};
use super::path;
use crate::schema::{ListMerge, Node};

/// The difference of two objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: FieldSet,
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
}

/// Compares two versions.
pub(super) fn compare(node: Node<'_>, before: &Value, after: &Value) -> Difference {
    let mut difference = Difference::default();
    let Difference {
        added,
        removed,
        modified,
    } = &mut difference;
    walk(
        Some(node),
        before,
        after,
        &mut Sets {
            added,
            removed,
            modified,
        },
    );
    tidy(&mut difference);
    difference
}

/// Where the walk stands, in each of the three trees.
struct Sets<'a> {
    added: &'a mut FieldSet,
    removed: &'a mut FieldSet,
    modified: &'a mut FieldSet,
}

impl Sets<'_> {
    fn enter(&mut self, edge: &str) -> Sets<'_> {
        Sets {
            added: self.added.enter(edge.to_owned()),
            removed: self.removed.enter(edge.to_owned()),
            modified: self.modified.enter(edge.to_owned()),
        }
    }
}

fn walk(node: Option<Node<'_>>, before: &Value, after: &Value, sets: &mut Sets<'_>) {
    if before == after {
        return;
    }
    match (view(node, before), view(node, after)) {
        (View::Fields(old), View::Fields(new)) => {
            for (name, value) in new {
                let mut sets = sets.enter(&path::field(name));
                match old.get(name) {
                    Some(old) => walk(child(node, name), old, value, &mut sets),
                    None => insert_all(child(node, name), value, sets.added),
                }
            }
            for (name, value) in old {
                if !new.contains_key(name) {
                    insert_all(
                        child(node, name),
                        value,
                        sets.enter(&path::field(name)).removed,
                    );
                }
            }
        }
        (View::Items(old, rule), View::Items(new, _)) => {
            walk_items(node, rule, old, new, sets);
        }
        // From or to an empty value: its parts come or go.
        (View::Fields(_) | View::Items(..), View::Leaf) if is_container(after) => {
            insert_all(node, before, sets.removed);
        }
        (View::Leaf, View::Fields(_) | View::Items(..)) if is_container(before) => {
            insert_all(node, after, sets.added);
        }
        _ => sets.modified.insert_here(),
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array() || value.is_null()
}

fn walk_items(
    node: Option<Node<'_>>,
    rule: &ListMerge,
    old: &[Value],
    new: &[Value],
    sets: &mut Sets<'_>,
) {
    let find = |items: &'_ [Value], edge: &str| -> Option<usize> {
        items
            .iter()
            .position(|item| path::item(rule, item).as_deref() == Some(edge))
    };
    for item in new {
        let Some(edge) = path::item(rule, item) else {
            continue;
        };
        let mut sets = sets.enter(&edge);
        match find(old, &edge) {
            Some(at) => walk(item_of(node), &old[at], item, &mut sets),
            None => {
                sets.added.insert_here();
                if *rule != ListMerge::Set {
                    insert_all(item_of(node), item, sets.added);
                }
            }
        }
    }
    for item in old {
        let Some(edge) = path::item(rule, item) else {
            continue;
        };
        if find(new, &edge).is_none() {
            let sets = sets.enter(&edge);
            sets.removed.insert_here();
            if *rule != ListMerge::Set {
                insert_all(item_of(node), item, sets.removed);
            }
        }
    }
}

/// Adds all fields of a value.
fn insert_all(node: Option<Node<'_>>, value: &Value, set: &mut FieldSet) {
    *set = std::mem::take(set).union(&field_set(node, value));
}

/// Entering made edges that lead nowhere; sets without them compare and print well.
fn tidy(difference: &mut Difference) {
    let nothing = FieldSet::default();
    for set in [
        &mut difference.added,
        &mut difference.removed,
        &mut difference.modified,
    ] {
        *set = set.difference(&nothing);
    }
}
