//! From an HTTP request to the message of a call.

use std::sync::Arc;

use baetyl_proto::json::{self, Format, ReadOptions, Violation, reason};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use crate::problem::{Problem, Refused};
use crate::rule::template::{Path, percent_decoded};
use crate::rule::{Body, Rule};

mod header;

pub(crate) use header::{METADATA_PREFIX, has_dry_run, timeout};

/// The most query parameters that are looked at.
const MAX_PARAMETERS: usize = 256;

/// A request whose rule is known.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) rule: Arc<Rule>,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl Input {
    /// Builds the message, from body, path, query and headers in this order.
    pub(crate) fn message(mut self) -> Result<DynamicMessage, Refused> {
        let body = std::mem::take(&mut self.body);
        let mut builder = Builder {
            rule: &self.rule,
            message: DynamicMessage::new(self.rule.rpc.input()),
            violations: Vec::new(),
        };
        builder.take_body(body, &self.parts);
        builder.take_path(self.parts.uri.path());
        builder.take_query(self.parts.uri.query().unwrap_or_default());
        builder.take_headers(&self.parts);
        if builder.violations.is_empty() {
            return Ok(builder.message);
        }
        Err(Problem::from_text(json::Violations(builder.violations)))
    }
}

/// A message on its way, and what is wrong with it so far.
struct Builder<'r> {
    rule: &'r Rule,
    message: DynamicMessage,
    violations: Vec<Violation>,
}

impl Builder<'_> {
    fn refuse(&mut self, path: &str, reason: &'static str, message: impl Into<String>) {
        self.violations.push(Violation {
            path: path.to_owned(),
            reason,
            message: message.into(),
            at: None,
        });
    }

    fn take_body(&mut self, body: Bytes, parts: &Parts) {
        match &self.rule.body {
            Body::None if body.is_empty() => {}
            Body::None => self.refuse("body", reason::UNKNOWN_FIELD, "must be empty"),
            Body::Raw(field) => self.message.set_field(field, Value::Bytes(body)),
            Body::Whole | Body::Field(_) => match std::str::from_utf8(&body) {
                Ok(text) => self.take_text(text, format(parts)),
                Err(_) => self.refuse("body", reason::SYNTAX, "must be UTF-8"),
            },
        }
    }

    fn take_text(&mut self, text: &str, format: Format) {
        let options = ReadOptions::request();
        let outcome = match &self.rule.body {
            Body::Field(field) if text.trim_ascii().is_empty() => {
                let message = format!("must hold the {}", field.json_name());
                return self.refuse("body", reason::REQUIRED, message);
            }
            Body::Field(field) => json::parse(text, format)
                .and_then(|node| json::read_field(&mut self.message, field, &node, options)),
            _ => json::read(&self.rule.rpc.input(), text, format, options)
                .map(|message| self.message = message),
        };
        if let Err(violations) = outcome {
            self.violations.extend(violations.0);
        }
    }

    fn take_path(&mut self, path: &str) {
        let path = Path::parse(path);
        for (field, value) in self.rule.template.captures(&path) {
            match value {
                Some(value) => self.set_agreeing(field, &value, "the path"),
                None => self.refuse(field, reason::INVALID_FORMAT, "is malformed in the path"),
            }
        }
    }

    fn take_query(&mut self, query: &str) {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        for parameter in parameters.take(MAX_PARAMETERS) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let decoded = percent_decoded(name, true).zip(percent_decoded(value, true));
            let Some((name, value)) = decoded else {
                self.refuse("query", reason::INVALID_FORMAT, "is malformed");
                continue;
            };
            if self.belongs_into_body(&name) {
                self.refuse(&name, reason::UNKNOWN_FIELD, "belongs into the body");
                continue;
            }
            let outcome = json::set_from_text(&mut self.message, &name, &value);
            self.violations.extend(outcome.err());
        }
    }

    fn belongs_into_body(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        match &self.rule.body {
            Body::None => false,
            Body::Whole => true,
            Body::Field(field) | Body::Raw(field) => {
                field.name() == first || field.json_name() == first
            }
        }
    }

    /// Sets a field by its dotted path, unless it has the value already; one that has another value
    /// is refused.
    fn set_agreeing(&mut self, path: &str, value: &str, origin: &str) {
        match text_at(&self.message, path) {
            Some(present) if present == value => {}
            Some(present) => {
                let message = format!("must be {value:?} as in {origin}, got {present:?}");
                let path = self.in_body(path);
                self.refuse(&path, reason::CONFLICT, message);
            }
            None => {
                let outcome = json::set_from_text(&mut self.message, path, value);
                self.violations.extend(outcome.err());
            }
        }
    }

    /// The path as it is in the body, where that is one field of the message.
    fn in_body(&self, path: &str) -> String {
        let Body::Field(field) = &self.rule.body else {
            return path.to_owned();
        };
        let below = path
            .strip_prefix(field.name())
            .and_then(|path| path.strip_prefix('.'));
        below.unwrap_or(path).to_owned()
    }
}

/// JSON, unless it is said to be YAML. Tools send JSON under many names.
fn format(parts: &Parts) -> Format {
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match content_type {
        Some(content_type) if content_type.to_ascii_lowercase().contains("yaml") => Format::Yaml,
        _ => Format::Json,
    }
}

/// The text of a field by its dotted path, when it is text and set.
fn text_at(message: &DynamicMessage, path: &str) -> Option<String> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let value = message.get_field_by_name(name)?;
    match rest {
        Some(rest) => text_at(value.as_message()?, rest),
        None => value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    }
}

/// Whether a field is text, as everything is that headers can set.
fn is_text(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), prost_reflect::Kind::String) && !field.is_list()
}
