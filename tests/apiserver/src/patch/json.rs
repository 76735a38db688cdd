//! JSON patch (RFC 6902).

use serde_json::Value;

use crate::refusal::Refusal;

/// Applies the operations in their order.
///
/// # Errors
/// An operation cannot be done, or a test fails.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations = patch.as_array().ok_or_else(|| {
        Refusal::bad_request("error decoding patch: a list of operations is needed")
    })?;
    for operation in operations {
        operate(target, operation).map_err(|problem| {
            Refusal::new(
                422,
                "Invalid",
                format!(
                    "the server rejected our request due to an error in our request: {problem}"
                ),
            )
        })?;
    }
    Ok(())
}

fn operate(target: &mut Value, operation: &Value) -> Result<(), String> {
    let path = operation["path"]
        .as_str()
        .ok_or("an operation has no path")?;
    let value = || operation["value"].clone();
    let from = || operation["from"].as_str().ok_or("an operation has no from");
    let missing = |path: &str| format!("path {path:?} does not exist");
    match operation["op"].as_str().unwrap_or_default() {
        "add" => add(target, path, value()),
        "remove" => remove(target, path).map(|_| ()),
        "replace" => {
            let found = target.pointer_mut(path).ok_or_else(|| missing(path))?;
            *found = value();
            Ok(())
        }
        "test" => match target.pointer(path) {
            Some(found) if *found == operation["value"] => Ok(()),
            _ => Err(format!("testing value {path} failed")),
        },
        "copy" => {
            let from = from()?;
            let value = target.pointer(from).cloned();
            add(target, path, value.ok_or_else(|| missing(from))?)
        }
        "move" => {
            let value = remove(target, from()?)?;
            add(target, path, value)
        }
        other => Err(format!("unknown operation {other:?}")),
    }
}

/// Splits a path into its parent's and its last step, with the escapes undone.
fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| format!("path {path:?} is none"))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.insert(last, value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let at = match last.as_str() {
                "-" => Some(items.len()),
                index => index.parse().ok().filter(|at| *at <= items.len()),
            };
            items.insert(
                at.ok_or_else(|| format!("index {last:?} is out of bounds"))?,
                value,
            );
            Ok(())
        }
        _ => Err(format!("path {parent:?} does not exist")),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path)?;
    let removed = match target.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&last),
        Some(Value::Array(items)) => {
            let at: Option<usize> = last.parse().ok().filter(|at| *at < items.len());
            at.map(|at| items.remove(at))
        }
        _ => None,
    };
    removed.ok_or_else(|| format!("unable to remove nonexistent key: {last}"))
}
