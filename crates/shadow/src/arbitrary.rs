//! What the property tests draw: small documents and patches that collide often.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{Digest, Document, Epoch, Fence, Generation, Patch, Section, Stamp};

/// Few keys, so that two draws share most of them.
fn keys() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a", "b", "c", "d/~", ""]).prop_map(str::to_owned)
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        proptest::sample::select(vec![-2.0, -0.0, 1.0, 1.5, 2.0]).prop_map(Value::from),
        "[x-z]{0,2}".prop_map(Value::from),
    ]
}

fn object(members: BTreeMap<String, Value>) -> Value {
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

/// Values without null members, as documents hold them.
fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(4, 24, 4, |inner| {
        let element = prop_oneof![3 => inner.clone(), 1 => Just(Value::Null)];
        prop_oneof![
            vec(element, 0..3).prop_map(Value::from),
            btree_map(keys(), inner, 0..4).prop_map(object),
        ]
    })
}

/// Values with null members outside of arrays, as patches hold them.
fn changes() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![2 => values(), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        btree_map(keys(), inner, 0..4).prop_map(object)
    })
}

/// Any document.
pub(crate) fn documents() -> impl Strategy<Value = Document> {
    btree_map(keys(), values(), 0..5)
        .prop_map(|members| Document::try_from(object(members)).expect("drawn without nulls"))
}

/// Any patch.
pub(crate) fn patches() -> impl Strategy<Value = Patch> {
    btree_map(keys(), changes(), 0..5)
        .prop_map(|members| Patch::try_from(object(members)).expect("drawn with nulls in place"))
}

/// Two patches without a common key at the top.
pub(crate) fn disjoint_patches() -> impl Strategy<Value = (Patch, Patch)> {
    btree_map(keys(), (any::<bool>(), changes()), 0..5).prop_map(|members| {
        let side = |wanted| {
            let chosen = members.iter().filter(|(_, (side, _))| *side == wanted);
            let chosen = chosen.map(|(key, (_, value))| (key.clone(), value.clone()));
            Patch::try_from(object(chosen.collect())).expect("drawn with nulls in place")
        };
        (side(true), side(false))
    })
}

/// Few digests, so that two draws are often equal.
pub(crate) fn digests() -> impl Strategy<Value = Digest> {
    (0_u8..3).prop_map(|byte| Digest::of(&[byte]))
}

/// Fences around a few epochs and generations.
pub(crate) fn fences() -> impl Strategy<Value = Fence> {
    (0_u64..4, 0_u64..4)
        .prop_map(|(epoch, generation)| Fence::new(Epoch::new(epoch), Generation::new(generation)))
}

/// A fence with a digest.
pub(crate) fn stamps() -> impl Strategy<Value = Stamp> {
    (fences(), digests()).prop_map(|(fence, digest)| Stamp { fence, digest })
}

/// A section of a few entries.
pub(crate) fn sections() -> impl Strategy<Value = Section> {
    btree_map("[a-e]", digests(), 0..5)
        .prop_map(|entries| Section::try_from(entries).expect("drawn within the bounds"))
}

/// Shortens tables of documents.
pub(crate) fn document(value: Value) -> Document {
    Document::try_from(value).expect("a valid document")
}

/// Shortens tables of patches.
pub(crate) fn a_patch(value: Value) -> Patch {
    Patch::try_from(value).expect("a valid patch")
}

/// An object that is nested this deep.
pub(crate) fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "k": inner }))
}
