//! Joining what is there with what one writer wants, and taking fields away.

use serde_json::{Map, Value};

use super::fields::FieldSet;
use super::path;
use crate::schema::{ListMerge, Node, Shape};

/// A wish that does not fit the kind: a path and what is wrong with it.
pub(crate) type TypedError = String;

/// How the merge looks at a value.
pub(super) enum View<'a> {
    /// One value.
    Leaf,
    /// Fields with owners of their own.
    Fields(&'a Map<String, Value>),
    /// Items with owners of their own.
    Items(&'a [Value], &'a ListMerge),
}

/// How a value of this type is owned: as a whole or by its parts. Empty maps and lists are leaves.
pub(super) fn view<'a>(node: Option<Node<'a>>, value: &'a Value) -> View<'a> {
    let is_granular = node.is_none_or(|node| match node.shape() {
        Shape::Struct(declared) => !declared.is_atomic(),
        Shape::Map { is_atomic, .. } => !is_atomic,
        Shape::List { .. } | Shape::Any => true,
        _ => false,
    });
    match value {
        Value::Object(fields) if is_granular && !fields.is_empty() => View::Fields(fields),
        Value::Array(items) if !items.is_empty() => match node.map(Node::shape) {
            Some(Shape::List { merge, .. }) if *merge != ListMerge::Atomic => {
                View::Items(items, merge)
            }
            _ => View::Leaf,
        },
        _ => View::Leaf,
    }
}

pub(super) fn child<'a>(node: Option<Node<'a>>, name: &str) -> Option<Node<'a>> {
    node.and_then(|node| node.field(name))
}

pub(super) fn item_of(node: Option<Node<'_>>) -> Option<Node<'_>> {
    node.and_then(Node::item)
}

/// Checks that an applied object fits its kind: every field is declared, and items of lists are
/// told apart.
pub(super) fn check(node: Node<'_>, value: &Value, at: &str, errors: &mut Vec<TypedError>) {
    match (node.shape(), value) {
        (_, Value::Null) | (Shape::Any, _) => {}
        (Shape::Struct(_) | Shape::Map { .. }, Value::Object(fields)) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                match node.field(name) {
                    Some(child) => check(child, value, &at, errors),
                    None if node.keeps_unknown() => {}
                    None => errors.push(format!("{at}: field not declared in schema")),
                }
            }
        }
        (Shape::List { merge, .. }, Value::Array(items)) => {
            check_items(node, merge, items, at, errors);
        }
        (Shape::Struct(_) | Shape::Map { .. }, _) => {
            errors.push(format!("{at}: expected map, got &{{{value}}}"));
        }
        (Shape::List { .. }, _) => errors.push(format!("{at}: expected list, got &{{{value}}}")),
        (Shape::Boolean, Value::Bool(_))
        | (Shape::Integer | Shape::Number, Value::Number(_))
        | (Shape::Text | Shape::Bytes | Shape::Time, Value::String(_))
        | (Shape::Quantity | Shape::Port, Value::String(_) | Value::Number(_)) => {}
        (Shape::Boolean, _) => errors.push(format!("{at}: expected boolean, got &{{{value}}}")),
        (Shape::Integer | Shape::Number, _) => errors.push(format!(
            "{at}: expected numeric (int or float), got {}",
            go_type(value)
        )),
        _ => errors.push(format!("{at}: expected string, got &{{{value}}}")),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    }
}

fn check_items(
    node: Node<'_>,
    merge: &ListMerge,
    items: &[Value],
    at: &str,
    errors: &mut Vec<TypedError>,
) {
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let edge = path::item(merge, item);
        let at_item = match &edge {
            Some(edge) => format!("{at}{}", path::display(edge)),
            None => format!("{at}[{index}]"),
        };
        if let ListMerge::Keys(keys) = merge {
            for key in keys {
                if item.get(&key.field).is_none() && key.default.is_none() {
                    errors.push(format!(
                        "{at}: element {index}: associative list with keys has an element that \
                         omits key field {:?} (and doesn't have default value)",
                        key.field
                    ));
                }
            }
        }
        if let Some(edge) = edge {
            if seen.contains(&edge) {
                let key = path::display(&edge);
                errors.push(format!("{at}: duplicate entries for key {key}"));
            }
            seen.push(edge);
        }
        if let Some(node) = node.item() {
            check(node, item, &at_item, errors);
        }
    }
}

/// What one writer wants, laid over what is there.
pub(super) fn merge(node: Option<Node<'_>>, live: &Value, wish: &Value) -> Value {
    match (view(node, live), view(node, wish)) {
        (View::Fields(live), View::Fields(wish)) => {
            let mut merged = live.clone();
            for (name, value) in wish {
                let value = match live.get(name) {
                    Some(live) => merge(child(node, name), live, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (View::Items(live, rule), View::Items(wish, _)) => {
            Value::Array(merge_items(item_of(node), rule, live, wish))
        }
        // An empty map or list of a part takes nothing away: its owner may want no items, others
        // still have theirs.
        (View::Fields(_), View::Leaf) if is_empty(wish) => live.clone(),
        (View::Items(..), View::Leaf) if is_empty(wish) => live.clone(),
        _ => wish.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Joins two lists: the wished order rules; what only the live list has comes before what is new
/// at its place.
fn merge_items(
    node: Option<Node<'_>>,
    rule: &ListMerge,
    live: &[Value],
    wish: &[Value],
) -> Vec<Value> {
    let edges = |items: &[Value]| -> Vec<Option<String>> {
        items.iter().map(|item| path::item(rule, item)).collect()
    };
    let (live_edges, wish_edges) = (edges(live), edges(wish));
    let mut merged = Vec::with_capacity(live.len() + wish.len());
    let mut next = 0;
    for (index, (wanted, edge)) in wish.iter().zip(&wish_edges).enumerate() {
        while next < live.len() && !wish_edges.contains(&live_edges[next]) {
            merged.push(live[next].clone());
            next += 1;
        }
        let found = live_edges.iter().position(|known| known == edge);
        merged.push(match found {
            Some(at) => merge(node, &live[at], wanted),
            None => wanted.clone(),
        });
        // What was wished up to here has been taken.
        while next < live.len() && wish_edges[..=index].contains(&live_edges[next]) {
            next += 1;
        }
    }
    let rest = live.iter().zip(&live_edges).skip(next);
    let rest = rest.filter(|(_, edge)| !wish_edges.contains(edge));
    merged.extend(rest.map(|(item, _)| item.clone()));
    merged
}

/// All fields of an object: its leaves, free keys and items.
pub(super) fn field_set(node: Option<Node<'_>>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(node, value, &mut set);
    set
}

fn collect(node: Option<Node<'_>>, value: &Value, set: &mut FieldSet) {
    match view(node, value) {
        View::Leaf => set.insert_here(),
        View::Fields(fields) => {
            for (name, value) in fields {
                collect(child(node, name), value, set.enter(path::field(name)));
            }
        }
        View::Items(items, rule) => {
            for item in items {
                let Some(edge) = path::item(rule, item) else {
                    continue;
                };
                let below = set.enter(edge);
                below.insert_here();
                if *rule != ListMerge::Set {
                    collect(item_of(node), item, below);
                }
            }
        }
    }
}

/// Takes away every path of the set with all that is below it. What is empty then goes too;
/// returns `None` when nothing is left of what was not empty before.
pub(super) fn remove(node: Option<Node<'_>>, value: &Value, set: &FieldSet) -> Option<Value> {
    let is_left = |below: Option<&FieldSet>| !below.is_some_and(FieldSet::is_member);
    match view(node, value) {
        View::Leaf => Some(value.clone()),
        View::Fields(fields) => {
            let mut left = Map::new();
            for (name, value) in fields {
                let below = set.below(&path::field(name));
                if !is_left(below) {
                    continue;
                }
                let kept = match below {
                    Some(below) => remove(child(node, name), value, below),
                    None => Some(value.clone()),
                };
                if let Some(kept) = kept {
                    left.insert(name.clone(), kept);
                }
            }
            (!left.is_empty()).then_some(Value::Object(left))
        }
        View::Items(items, rule) => {
            let mut left = Vec::new();
            for item in items {
                let below = path::item(rule, item).and_then(|edge| set.below(&edge));
                if !is_left(below) {
                    continue;
                }
                let kept = match below {
                    Some(below) => remove(item_of(node), item, below),
                    None => Some(item.clone()),
                };
                left.extend(kept);
            }
            (!left.is_empty()).then_some(Value::Array(left))
        }
    }
}
