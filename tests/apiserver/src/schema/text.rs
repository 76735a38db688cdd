//! Reading the committed description of the built-in kinds; the file says how it is written.

use serde_json::json;

use super::{Field, ListKey, ListMerge, Schema, Shape, Struct, Type, TypeId};

/// Reads all types.
///
/// # Errors
/// The first line that cannot be read.
pub(super) fn read(text: &str) -> Result<Schema, String> {
    let mut schema = Schema::default();
    let lines = || text.lines().filter(|line| !line.starts_with('#'));
    for line in lines().filter(|line| !line.starts_with(' ')) {
        let (name, is_atomic) = split_mark(line);
        let id = schema.add(Type {
            shape: Shape::Struct(Struct {
                is_atomic,
                ..Struct::default()
            }),
            limits: None,
        });
        schema.names.insert(name.to_owned(), id);
    }
    let mut current = None;
    for line in lines() {
        let Some(field) = line.strip_prefix(' ') else {
            current = schema.named(split_mark(line).0);
            continue;
        };
        let (name, words) = field.split_once(' ').ok_or_else(|| line.to_owned())?;
        let (name, is_required) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (words, patch_key) = match words.split_once('~') {
            Some((words, key)) => (words, Some(key.to_owned())),
            None => (words, None),
        };
        let id = read_type(&mut schema, words).ok_or_else(|| line.to_owned())?;
        let owner = current.ok_or_else(|| line.to_owned())?;
        if let Shape::Struct(owner) = &mut schema.types[owner.0].shape {
            let field = Field {
                id,
                is_required,
                patch_key,
            };
            owner.fields.insert(name.to_owned(), field);
        }
    }
    Ok(schema)
}

fn split_mark(name: &str) -> (&str, bool) {
    match name.strip_suffix('@') {
        Some(name) => (name, true),
        None => (name, false),
    }
}

fn read_type(schema: &mut Schema, words: &str) -> Option<TypeId> {
    if words.starts_with('[') {
        let end = words.rfind(']')?;
        let item = read_type(schema, &words[1..end])?;
        let merge = read_merge(&words[end + 1..])?;
        return Some(add(schema, Shape::List { item, merge }));
    }
    let (name, is_atomic) = split_mark(words);
    if let Some(value) = name.strip_prefix('{') {
        let value = read_type(schema, value.strip_suffix('}')?)?;
        return Some(add(schema, Shape::Map { value, is_atomic }));
    }
    let shape = match name {
        "any" => Shape::Any,
        "string" => Shape::Text,
        "bytes" => Shape::Bytes,
        "time" => Shape::Time,
        "int" => Shape::Integer,
        "number" => Shape::Number,
        "bool" => Shape::Boolean,
        "quantity" => Shape::Quantity,
        "port" => Shape::Port,
        name => return schema.named(name),
    };
    Some(add(schema, shape))
}

fn add(schema: &mut Schema, shape: Shape) -> TypeId {
    schema.add(Type {
        shape,
        limits: None,
    })
}

fn read_merge(mark: &str) -> Option<ListMerge> {
    match mark {
        "" => return Some(ListMerge::Atomic),
        "=set" => return Some(ListMerge::Set),
        _ => {}
    }
    let keys = mark.strip_prefix(':')?.split(',');
    let keys = keys.map(|key| match key.split_once('=') {
        Some((field, default)) => ListKey {
            field: field.to_owned(),
            default: Some(json!(default)),
        },
        None => ListKey {
            field: key.to_owned(),
            default: None,
        },
    });
    Some(ListMerge::Keys(keys.collect()))
}
