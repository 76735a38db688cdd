//! One rule as an operation of a path.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::comments::{Comments, summary};
use super::schema::{Schemas, is_scalar};
use crate::rule::template::Variable;
use crate::rule::{Body, Rule, field_at};

/// How deep the fields of a request are offered as query parameters.
const MAX_QUERY_DEPTH: usize = 3;

/// The path with its variables by their last names, so that all rules of one path are together.
pub(super) fn path(rule: &Rule) -> String {
    rule.template
        .rendered(|variable| parameter_name(rule, variable))
}

/// `application.name` is `name`, unless another variable is.
fn parameter_name(rule: &Rule, variable: &Variable) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let name = last(&variable.field);
    let same = rule
        .template
        .variables()
        .iter()
        .filter(|other| last(&other.field) == name);
    let name = if same.count() > 1 {
        variable.field.replace('.', "_")
    } else {
        name
    };
    camel_case(&name)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Describes a rule.
pub(super) fn describe(rule: &Rule, schemas: &mut Schemas<'_>, comments: &Comments) -> Value {
    let service = rule.rpc.parent_service();
    let comment = comments.of(&service.parent_file(), rule.rpc.path());
    let mut operation = json!({
        "operationId": operation_id(rule),
        "tags": [service.name()],
        "summary": summary(comment),
        "description": comment,
        "parameters": parameters(rule, schemas),
        "responses": {
            "200": answer(rule, schemas),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if let Some(body) = request_body(rule, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// The method's name, numbered for all but its first rule.
fn operation_id(rule: &Rule) -> String {
    let name = rule.rpc.name();
    let (first, rest) = name.split_at(1);
    let name = first.to_ascii_lowercase() + rest;
    match rule.index {
        0 => name,
        index => format!("{name}_{}", index + 1),
    }
}

fn parameters(rule: &Rule, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut parameters = Vec::new();
    for variable in rule.template.variables() {
        let field = field_at(&rule.rpc.input(), &variable.field);
        let Some(field) = field else {
            continue;
        };
        let name = parameter_name(rule, variable);
        parameters.push(parameter("path", &name, &field, true, schemas));
    }
    let mut query = Query {
        rule,
        schemas,
        parameters: &mut parameters,
    };
    query.add_fields(&rule.rpc.input(), "", "", 1);
    parameters.extend(headers(rule));
    parameters
}

fn parameter(
    place: &str,
    name: &str,
    field: &FieldDescriptor,
    is_required: bool,
    schemas: &mut Schemas<'_>,
) -> Value {
    let mut schema = schemas.field(field);
    let description = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("description"));
    let mut parameter = json!({"name": name, "in": place, "schema": schema});
    if let Some(description) = description {
        parameter["description"] = description;
    }
    if is_required {
        parameter["required"] = json!(true);
    }
    parameter
}

/// Collects the fields that a query can set.
struct Query<'q, 's, 'c> {
    rule: &'q Rule,
    schemas: &'s mut Schemas<'c>,
    parameters: &'q mut Vec<Value>,
}

impl Query<'_, '_, '_> {
    fn add_fields(&mut self, message: &MessageDescriptor, path: &str, shown: &str, depth: usize) {
        for field in message.fields() {
            let path = format!("{path}{}", field.name());
            let shown = format!("{shown}{}", field.json_name());
            if field.is_map() || self.is_elsewhere(&field, &path, depth) {
                continue;
            }
            if is_scalar(&field) {
                let is_required =
                    baetyl_proto::pool::behavior(message).is_required(&field) && depth == 1;
                let parameter = parameter("query", &shown, &field, is_required, self.schemas);
                self.parameters.push(parameter);
                continue;
            }
            if let (Kind::Message(inner), false) = (field.kind(), field.is_list())
                && depth < MAX_QUERY_DEPTH
            {
                self.add_fields(&inner, &format!("{path}."), &format!("{shown}."), depth + 1);
            }
        }
    }

    /// Whether the field is in the path, in the body or set by a header alone.
    fn is_elsewhere(&self, field: &FieldDescriptor, path: &str, depth: usize) -> bool {
        let mut variables = self.rule.template.variables().iter();
        let is_in_body = match &self.rule.body {
            Body::None => false,
            Body::Whole => true,
            Body::Field(body) | Body::Raw(body) => depth == 1 && body == field,
        };
        is_in_body || variables.any(|variable| variable.field == path)
    }
}

/// Headers by their names in the document.
fn headers(rule: &Rule) -> Vec<Value> {
    let has = |name: &str| rule.request_field(name).is_some();
    let mut names = vec!["RequestTimeout", "RequestId"];
    if rule.etag.is_some() {
        names.push("IfMatch");
    }
    if has("request_id") || has("idempotency_key") {
        names.push("IdempotencyKey");
    }
    if has("validate_only") {
        names.push("Prefer");
    }
    if matches!(rule.body, Body::Raw(_)) && has("invocation_id") {
        names.push("InvocationId");
    }
    let reference = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
    names.into_iter().map(reference).collect()
}

/// The headers that operations refer to.
pub(super) fn header_parameters() -> Value {
    let header = |name: &str, description: &str| {
        json!({
            "name": name,
            "in": "header",
            "description": description,
            "schema": {"type": "string"},
        })
    };
    json!({
        "RequestTimeout": header(
            "Request-Timeout",
            "How long the answer may take, for example `5s`; at most 1 h.",
        ),
        "RequestId": header("X-Request-Id", "Identifies the request in logs; made when absent."),
        "IfMatch": header("If-Match", "The etag that the resource must have."),
        "IdempotencyKey": header("Idempotency-Key", "Makes the request safe to repeat."),
        "Prefer": header("Prefer", "`dry-run` checks everything and stores nothing."),
        "InvocationId": header("invokeid", "Identity of the invocation; made when absent."),
    })
}

fn request_body(rule: &Rule, schemas: &mut Schemas<'_>) -> Option<Value> {
    match &rule.body {
        Body::None => None,
        Body::Raw(_) => Some(json!({"content": raw_content()})),
        Body::Field(field) => Some(json!({
            "required": true,
            "content": text_content(&schemas.field(field)),
        })),
        Body::Whole => {
            let variables = rule.template.variables();
            let is_shown = |field: &FieldDescriptor| {
                !variables
                    .iter()
                    .any(|variable| variable.field == field.name())
            };
            let schema = schemas.object(&rule.rpc.input(), &is_shown);
            Some(json!({"content": text_content(&schema)}))
        }
    }
}

fn text_content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}, "application/yaml": {"schema": schema}})
}

fn raw_content() -> Value {
    json!({"application/octet-stream": {}, "application/json": {}})
}

fn answer(rule: &Rule, schemas: &mut Schemas<'_>) -> Value {
    if rule.is_raw_response() {
        return json!({"description": "What was returned, as it is.", "content": raw_content()});
    }
    let schema = match &rule.response {
        Some(field) => schemas.field(field),
        None => schemas.message(&rule.rpc.output()),
    };
    if rule.rpc.is_server_streaming() {
        return json!({
            "description": "One message a line.",
            "content": {"application/x-ndjson": {"schema": schema}},
        });
    }
    let mut answer = json!({
        "description": "The answer.",
        "content": {"application/json": {"schema": schema}},
    });
    if has_etag(rule) {
        answer["headers"] = json!({"ETag": {
            "description": "The etag of the resource.",
            "schema": {"type": "string"},
        }});
    }
    answer
}

fn has_etag(rule: &Rule) -> bool {
    let kind = rule.response.as_ref().map(FieldDescriptor::kind);
    let shown = kind.and_then(|kind| kind.as_message().cloned());
    shown.is_some_and(|shown| shown.get_field_by_name("etag").is_some())
}
