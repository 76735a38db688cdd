//! Schemas of messages, enumerations and fields, in the dialect.

use std::collections::{BTreeMap, HashMap};

use baetyl_proto::{json as dialect, pool};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::backend::Face;

/// The schemas that were asked for, by name.
pub(super) struct Schemas<'c> {
    comments: &'c Comments,
    found: BTreeMap<String, Value>,
    /// How often a short name stands for something in the packages of the face.
    uses: HashMap<String, usize>,
}

impl<'c> Schemas<'c> {
    pub(super) fn new(face: Face, comments: &'c Comments) -> Self {
        let mut uses = HashMap::new();
        let pool = pool::descriptors();
        let is_shown =
            |package: &str| package == "baetyl.resource.v1" || face.packages().contains(&package);
        let messages = pool
            .all_messages()
            .filter(|message| is_shown(message.package_name()));
        let enums = pool
            .all_enums()
            .filter(|each| is_shown(each.package_name()));
        let names = messages
            .map(|message| message.name().to_owned())
            .chain(enums.map(|each| each.name().to_owned()));
        for name in names {
            *uses.entry(name).or_default() += 1;
        }
        let found = BTreeMap::from([("Problem".to_owned(), problem())]);
        Self {
            comments,
            found,
            uses,
        }
    }

    pub(super) fn finish(self) -> BTreeMap<String, Value> {
        self.found
    }

    /// The short name, with its area where two things have it.
    fn name(&self, name: &str, package: &str) -> String {
        if self.uses.get(name).is_none_or(|count| *count == 1) {
            return name.to_owned();
        }
        let area = package
            .trim_start_matches("baetyl.")
            .trim_end_matches(".v1");
        format!("{area}.{name}")
    }

    /// A schema of what a message looks like, by reference when it is ours.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        let name = self.name(message.name(), message.package_name());
        if !self.found.contains_key(&name) {
            // Before its fields are looked at, which may lead back to it.
            self.found.insert(name.clone(), Value::Null);
            let schema = self.object(message, &|_| true);
            self.found.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A schema of some fields of a message.
    pub(super) fn object(
        &mut self,
        message: &MessageDescriptor,
        is_shown: &dyn Fn(&FieldDescriptor) -> bool,
    ) -> Value {
        let behavior = pool::behavior(message);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(is_shown) {
            let mut schema = self.field(&field);
            if behavior.is_output_only(&field) {
                schema["readOnly"] = json!(true);
            }
            if behavior.is_input_only(&field) {
                schema["writeOnly"] = json!(true);
            }
            if behavior.is_required(&field) {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({"type": "object", "properties": properties});
        let comment = self.comments.of(&message.parent_file(), message.path());
        if !comment.is_empty() {
            schema["description"] = json!(comment);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// A schema of a field, with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let kind = field.kind();
        let mut schema = if field.is_map() {
            let entry = kind
                .as_message()
                .map(MessageDescriptor::map_entry_value_field);
            let value = entry.map_or_else(|| json!({}), |value| self.kind(&value.kind()));
            json!({"type": "object", "additionalProperties": value})
        } else if field.is_list() {
            json!({"type": "array", "items": self.kind(&kind)})
        } else {
            self.kind(&kind)
        };
        let message = field.parent_message();
        let mut comment = self
            .comments
            .of(&message.parent_file(), field.path())
            .to_owned();
        if let Some(oneof) = field
            .containing_oneof()
            .filter(|oneof| !oneof.is_synthetic())
        {
            let others: Vec<_> = oneof
                .fields()
                .filter(|other| other != field)
                .map(|other| format!("`{}`", other.json_name()))
                .collect();
            if !others.is_empty() {
                comment.push_str(&format!(" Excludes {}.", others.join(", ")));
            }
        }
        if !comment.is_empty() {
            schema["description"] = json!(comment.trim());
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "pattern": "^-?[0-9]+$"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "pattern": "^[0-9]+$"}),
            Kind::Enum(descriptor) => self.enumeration(descriptor),
            Kind::Message(message) => self.message(message),
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> Value {
        let name = self.name(descriptor.name(), descriptor.package_name());
        if !self.found.contains_key(&name) {
            let file = descriptor.parent_file();
            let mut description = self.comments.of(&file, descriptor.path()).to_owned();
            let allowed = dialect::allowed_names(descriptor);
            for value in descriptor.values() {
                let short = dialect::short_name(&value);
                if allowed.contains(&short) {
                    let comment = self.comments.of(&file, value.path());
                    description.push_str(&format!("\n- `{short}`: {comment}"));
                }
            }
            let schema = json!({"type": "string", "enum": allowed, "description": description});
            self.found.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Messages of google.protobuf, which are no objects with fields in JSON.
fn well_known(full_name: &str) -> Option<Value> {
    match full_name {
        "google.protobuf.Timestamp" => Some(json!({"type": "string", "format": "date-time"})),
        "google.protobuf.Duration" => {
            Some(json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"}))
        }
        "google.protobuf.FieldMask" => Some(json!({"type": "string"})),
        "google.protobuf.Struct" => Some(json!({"type": "object", "additionalProperties": true})),
        "google.protobuf.ListValue" => Some(json!({"type": "array", "items": {}})),
        "google.protobuf.Value" => Some(json!({})),
        _ => None,
    }
}

/// Whether a field is one text in a query.
pub(super) fn is_scalar(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => {
            let schema = well_known(message.full_name());
            schema.is_some_and(|schema| schema["type"] == "string")
        }
        _ => true,
    }
}

fn problem() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let violation = json!({
        "type": "object",
        "properties": {
            "field": text("Path of the field, as it was sent."),
            "description": text("What is wrong."),
            "reason": text("Stable UPPER_SNAKE word for programs."),
            "line": {"type": "integer", "description": "Line of the body, from 1."},
            "column": {"type": "integer", "description": "Column in the line, from 1."},
        },
        "required": ["field", "description"],
    });
    let precondition = json!({
        "type": "object",
        "properties": {
            "kind": text("UPPER_SNAKE kind of the condition."),
            "subject": text("What it is about."),
            "description": text("How it fails and what to do."),
        },
    });
    let resource = json!({
        "type": "object",
        "properties": {"kind": text("Its type."), "name": text("Its name.")},
    });
    json!({
        "type": "object",
        "description": "An error after RFC 9457.",
        "properties": {
            "type": text("Identifies the reason."),
            "title": text("The code for people."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "code": text("The gRPC code, for example `NOT_FOUND`."),
            "reason": text("Stable UPPER_SNAKE word for programs."),
            "detail": text("What happened, for people."),
            "retryable": {
                "type": "boolean",
                "description": "Whether the same request can succeed later.",
            },
            "retryAfter": text("How long to wait at least, for example `1.5s`."),
            "violations": {"type": "array", "items": violation},
            "preconditions": {"type": "array", "items": precondition},
            "resource": resource,
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "requestId": text("Identifies the request in logs."),
        },
        "required": ["type", "title", "status", "code", "reason", "detail", "retryable", "requestId"],
    })
}
