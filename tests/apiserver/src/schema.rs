//! What fields a kind has: one description for built-in kinds and for custom resources, which
//! decoding, validation and server-side apply all read.

mod decode;
mod openapi;
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

pub(crate) use decode::{decode, violations};
pub(crate) use openapi::read_openapi;

const BUILT_IN: &str = include_str!("../schema/kubernetes-1.33.txt");

/// The shapes of the built-in kinds.
static KUBERNETES: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(text::read(BUILT_IN).expect("the committed text is well formed")));

/// Index of a type in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeId(usize);

/// A set of types that name one another.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    types: Vec<Type>,
    /// Named types; empty for custom resources.
    names: BTreeMap<String, TypeId>,
    /// Whether it describes a custom resource: then nulls, defaults and limits follow other rules.
    is_custom: bool,
}

/// One type.
#[derive(Debug, Default)]
pub(crate) struct Type {
    shape: Shape,
    limits: Option<Box<Limits>>,
}

/// What values of a type look like.
#[derive(Debug, Default)]
pub(crate) enum Shape {
    /// Anything, kept as it is.
    #[default]
    Any,
    Text,
    Bytes,
    Time,
    Integer,
    Number,
    Boolean,
    Quantity,
    /// A number or text.
    Port,
    Struct(Struct),
    /// Free keys.
    Map {
        value: TypeId,
        is_atomic: bool,
    },
    List {
        item: TypeId,
        merge: ListMerge,
    },
}

/// Declared fields.
#[derive(Debug, Default)]
pub(crate) struct Struct {
    fields: BTreeMap<String, Field>,
    is_atomic: bool,
    /// Whether fields that are not declared are kept.
    keeps_unknown: bool,
    /// A whole object with `apiVersion`, `kind` and `metadata`.
    is_embedded: bool,
}

/// One declared field.
#[derive(Debug)]
pub(crate) struct Field {
    id: TypeId,
    is_required: bool,
    /// How a strategic merge patch joins lists: the key of the items, empty for plain values.
    patch_key: Option<String>,
}

/// How items of a list are told apart when two writers meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListMerge {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By some of their fields.
    Keys(Vec<ListKey>),
}

/// A field that tells items apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListKey {
    pub(crate) field: String,
    /// What counts when the field is left out.
    pub(crate) default: Option<Value>,
}

/// What a custom resource demands of a value beyond its type.
#[derive(Debug, Default)]
struct Limits {
    is_nullable: bool,
    default: Option<Value>,
    allowed: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    /// Of text, in characters.
    length: (Option<u64>, Option<u64>),
    /// Of lists.
    items: (Option<u64>, Option<u64>),
}

/// A type together with the schema that it is of.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    schema: &'a Schema,
    id: TypeId,
}

impl Schema {
    /// The built-in kinds.
    pub(crate) fn kubernetes() -> Arc<Self> {
        Arc::clone(&KUBERNETES)
    }

    /// Finds a built-in type, for example `apps.v1.Deployment`.
    pub(crate) fn named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    pub(crate) fn node(&self, id: TypeId) -> Node<'_> {
        Node { schema: self, id }
    }

    fn add(&mut self, new: Type) -> TypeId {
        self.types.push(new);
        TypeId(self.types.len() - 1)
    }
}

/// The shape behind everything that is not declared.
static ANY: Type = Type {
    shape: Shape::Any,
    limits: None,
};

impl<'a> Node<'a> {
    fn definition(self) -> &'a Type {
        self.schema.types.get(self.id.0).unwrap_or(&ANY)
    }

    pub(crate) fn shape(self) -> &'a Shape {
        &self.definition().shape
    }

    pub(crate) fn is_custom(self) -> bool {
        self.schema.is_custom
    }

    fn limits(self) -> Option<&'a Limits> {
        self.definition().limits.as_deref()
    }

    fn at(self, id: TypeId) -> Self {
        Self {
            schema: self.schema,
            id,
        }
    }

    fn declared(self, name: &str) -> Option<&'a Field> {
        match self.shape() {
            Shape::Struct(declared) => declared.fields.get(name),
            _ => None,
        }
    }

    /// The type of a field of a struct or map; `None` where it is not known.
    pub(crate) fn field(self, name: &str) -> Option<Self> {
        match self.shape() {
            Shape::Struct(declared) => declared.fields.get(name).map(|field| self.at(field.id)),
            Shape::Map { value, .. } => Some(self.at(*value)),
            _ => None,
        }
    }

    /// The type of items of a list.
    pub(crate) fn item(self) -> Option<Self> {
        match self.shape() {
            Shape::List { item, .. } => Some(self.at(*item)),
            _ => None,
        }
    }

    /// How a strategic merge patch joins this list field.
    pub(crate) fn patch_key(self, name: &str) -> Option<&'a str> {
        self.declared(name)?.patch_key.as_deref()
    }

    /// Whether the field is declared, rather than a free key.
    pub(crate) fn declares(self, name: &str) -> bool {
        self.declared(name).is_some()
    }

    /// Whether fields that are not declared may be there.
    pub(crate) fn keeps_unknown(self) -> bool {
        match self.shape() {
            Shape::Struct(declared) => declared.keeps_unknown,
            Shape::Any => true,
            _ => false,
        }
    }
}

impl Struct {
    pub(crate) fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    pub(crate) fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(|(_, field)| field.is_required)
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
