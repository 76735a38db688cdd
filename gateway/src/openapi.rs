//! The OpenAPI 3.1 document of a face, from the same descriptors that requests are served by.

use std::collections::BTreeSet;

use baetyl_proto::pool;
use serde_json::{Map, Value, json};

use crate::backend::Face;
use crate::routes::Routes;
use crate::rule::{Rule, RuleError};

mod comments;
mod operation;
mod schema;
#[cfg(test)]
mod tests;

use comments::Comments;
use schema::Schemas;

/// Writes the document.
///
/// # Errors
/// A rule of the contract cannot be served.
pub fn document(face: Face) -> Result<Value, RuleError> {
    let routes = Routes::compile(face)?;
    let comments = Comments::read(pool::descriptors());
    let mut schemas = Schemas::new(face, &comments);
    let mut paths = Map::new();
    for rule in routes.rules() {
        let path = operation::path(rule);
        let operation = operation::describe(rule, &mut schemas, &comments);
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[rule.method.as_str().to_ascii_lowercase()] = operation;
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": face.title(),
            "version": "v1",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": tags(routes.rules(), &comments),
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": operation::header_parameters(),
            "responses": {"Problem": {
                "description": "An error; `reason` tells which.",
                "content": {"application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                }},
            }},
            "schemas": schemas.finish(),
        },
    }))
}

const INTRODUCTION: &str = "\
Canonical proto3 JSON, except that enumerations are lower case without their prefix. 64-bit \
integers are text, durations are seconds such as `5s`, bytes are base64. A field that has its \
default value is left out. Unknown fields are errors; every violation of a request is told at \
once. Bodies may be sent as YAML, too (`Content-Type: application/yaml`).\n\n\
Streams are one JSON message a line; a last line `{\"error\": …}` holds the problem that ended the \
stream, if one did.";

fn tags(rules: &[std::sync::Arc<Rule>], comments: &Comments) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for rule in rules {
        let service = rule.rpc.parent_service();
        if seen.insert(service.full_name().to_owned()) {
            let description = comments.of(&service.parent_file(), service.path());
            tags.push(json!({"name": service.name(), "description": description}));
        }
    }
    tags.sort_by(|left, right| left["name"].as_str().cmp(&right["name"].as_str()));
    tags
}
