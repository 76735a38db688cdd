//! Reading the `openAPIV3Schema` of a custom resource.

use serde_json::{Value, json};

use super::{Field, Limits, ListKey, ListMerge, Schema, Shape, Struct, Type, TypeId};

/// Deeper schemas are cut: what is below is kept as it is.
const DEEPEST: usize = 64;

/// Reads a structural schema; returns it with the type of the whole object. `apiVersion`, `kind`
/// and `metadata` are those of every object.
pub(crate) fn read_openapi(description: &Value) -> (Schema, TypeId) {
    let built_in = Schema::kubernetes();
    let mut schema = Schema {
        is_custom: true,
        ..Schema::default()
    };
    let root = read(&mut schema, description, 0);
    let metadata = copy_built_in(&mut schema, &built_in, "meta.v1.ObjectMeta");
    let text = add(&mut schema, Shape::Text);
    if let Shape::Struct(root) = &mut schema.types[root.0].shape {
        for (name, id) in [("apiVersion", text), ("kind", text), ("metadata", metadata)] {
            root.fields.insert(name.to_owned(), plain_field(id));
        }
    }
    (schema, root)
}

fn plain_field(id: TypeId) -> Field {
    Field {
        id,
        is_required: false,
        patch_key: None,
    }
}

fn add(schema: &mut Schema, shape: Shape) -> TypeId {
    schema.add(Type {
        shape,
        limits: None,
    })
}

/// Copies a built-in type and all that it names; only used for types without circles.
fn copy_built_in(schema: &mut Schema, from: &Schema, name: &str) -> TypeId {
    match from.named(name) {
        Some(id) => copy(schema, from, id),
        None => add(schema, Shape::Any),
    }
}

fn copy(schema: &mut Schema, from: &Schema, id: TypeId) -> TypeId {
    let shape = match &from.types[id.0].shape {
        Shape::Any => Shape::Any,
        Shape::Text => Shape::Text,
        Shape::Bytes => Shape::Bytes,
        Shape::Time => Shape::Time,
        Shape::Integer => Shape::Integer,
        Shape::Number => Shape::Number,
        Shape::Boolean => Shape::Boolean,
        Shape::Quantity => Shape::Quantity,
        Shape::Port => Shape::Port,
        Shape::Map { value, is_atomic } => Shape::Map {
            value: copy(schema, from, *value),
            is_atomic: *is_atomic,
        },
        Shape::List { item, merge } => Shape::List {
            item: copy(schema, from, *item),
            merge: merge.clone(),
        },
        Shape::Struct(declared) => {
            let mut fields = std::collections::BTreeMap::new();
            for (name, field) in &declared.fields {
                let copied = Field {
                    id: copy(schema, from, field.id),
                    is_required: field.is_required,
                    patch_key: field.patch_key.clone(),
                };
                fields.insert(name.clone(), copied);
            }
            Shape::Struct(Struct {
                fields,
                is_atomic: declared.is_atomic,
                ..Struct::default()
            })
        }
    };
    add(schema, shape)
}

fn read(schema: &mut Schema, description: &Value, depth: usize) -> TypeId {
    if depth > DEEPEST {
        return add(schema, Shape::Any);
    }
    let is_true = |key: &str| description[key] == true;
    let shape = match description["type"].as_str().unwrap_or_default() {
        _ if is_true("x-kubernetes-int-or-string") => Shape::Port,
        "string" => match description["format"].as_str() {
            Some("byte") => Shape::Bytes,
            Some("date-time") => Shape::Time,
            _ => Shape::Text,
        },
        "integer" => Shape::Integer,
        "number" => Shape::Number,
        "boolean" => Shape::Boolean,
        "array" => {
            let item = read(schema, &description["items"], depth + 1);
            let merge = read_merge(description);
            Shape::List { item, merge }
        }
        "object" => read_object(schema, description, depth),
        _ => Shape::Any,
    };
    schema.add(Type {
        shape,
        limits: read_limits(description),
    })
}

fn read_object(schema: &mut Schema, description: &Value, depth: usize) -> Shape {
    let is_atomic = description["x-kubernetes-map-type"] == "atomic";
    let keeps_unknown = description["x-kubernetes-preserve-unknown-fields"] == true;
    let is_embedded = description["x-kubernetes-embedded-resource"] == true;
    let rest = &description["additionalProperties"];
    if rest.is_object() || rest == true {
        let value = read(schema, rest, depth + 1);
        return Shape::Map { value, is_atomic };
    }
    let mut fields = std::collections::BTreeMap::new();
    let required = description["required"].as_array();
    for (name, field) in description["properties"].as_object().into_iter().flatten() {
        let field = Field {
            id: read(schema, field, depth + 1),
            is_required: required.is_some_and(|names| names.contains(&json!(name))),
            patch_key: None,
        };
        fields.insert(name.clone(), field);
    }
    Shape::Struct(Struct {
        fields,
        is_atomic,
        keeps_unknown,
        is_embedded,
    })
}

fn read_merge(description: &Value) -> ListMerge {
    match description["x-kubernetes-list-type"].as_str() {
        Some("set") => ListMerge::Set,
        Some("map") => {
            let keys = description["x-kubernetes-list-map-keys"].as_array();
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            let properties = &description["items"]["properties"];
            let keys = keys.map(|field| ListKey {
                field: field.to_owned(),
                default: properties[field].get("default").cloned(),
            });
            ListMerge::Keys(keys.collect())
        }
        _ => ListMerge::Atomic,
    }
}

fn read_limits(description: &Value) -> Option<Box<Limits>> {
    let count = |key: &str| description[key].as_u64();
    let limits = Limits {
        is_nullable: description["nullable"] == true,
        default: description.get("default").cloned(),
        allowed: description["enum"].as_array().cloned().unwrap_or_default(),
        minimum: description["minimum"].as_f64(),
        maximum: description["maximum"].as_f64(),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
    };
    let is_empty = !limits.is_nullable
        && limits.default.is_none()
        && limits.allowed.is_empty()
        && (limits.minimum, limits.maximum) == (None, None)
        && (limits.length, limits.items) == ((None, None), (None, None));
    (!is_empty).then(|| Box::new(limits))
}
