//! From the message of an answer to an HTTP response.

use axum::body::Body;
use axum::response::Response;
use baetyl_proto::json::{View, WriteOptions};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost_reflect::{DynamicMessage, Value};

use crate::request::METADATA_PREFIX;
use crate::rule::Rule;

mod lines;

pub(crate) use lines::Lines;

/// What of a request matters for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    accepts_json: bool,
    if_none_match: Option<String>,
    is_dry_run: bool,
}

impl Asked {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            accepts_json: text(ACCEPT).is_some_and(|accept| accept.contains("application/json")),
            if_none_match: text(IF_NONE_MATCH).map(str::to_owned),
            is_dry_run: crate::request::has_dry_run(headers),
        }
    }
}

/// Answers with a message, or with the part of it that the rule shows.
pub(crate) fn unary(rule: &Rule, message: &DynamicMessage, asked: &Asked) -> Response {
    let mut response = match &rule.response {
        Some(field) if rule.is_raw_response() => {
            let value = message.get_field(field);
            let payload = value.as_bytes().cloned().unwrap_or_default();
            raw(message, payload, asked)
        }
        _ => json(rule, message, asked),
    };
    let headers = response.headers_mut();
    if let Some(id) = text_field(message, "invocation_id") {
        insert(headers, HeaderName::from_static("invokeid"), &id);
    }
    if asked.is_dry_run && rule.request_field("validate_only").is_some() {
        headers.insert("preference-applied", HeaderValue::from_static("dry-run"));
    }
    response
}

fn json(rule: &Rule, message: &DynamicMessage, asked: &Asked) -> Response {
    let etag = etag(rule, message).map(|etag| format!("\"{etag}\""));
    let is_known =
        etag.is_some() && etag == asked.if_none_match && rule.method == http::Method::GET;
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(Body::from(shown(rule, message)));
        let content_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    };
    if let Some(etag) = etag {
        insert(response.headers_mut(), ETAG, &etag);
    }
    response
}

/// A message, or the part of it that the rule shows, in JSON.
fn shown(rule: &Rule, message: &DynamicMessage) -> Vec<u8> {
    let options = WriteOptions::default();
    let written = match &rule.response {
        Some(field) => serde_json::to_vec(&View::field(field, &message.get_field(field), options)),
        None => serde_json::to_vec(&View::new(message, options)),
    };
    written.expect("keys are text, nothing else can fail")
}

/// The etag of the resource that is shown.
fn etag(rule: &Rule, message: &DynamicMessage) -> Option<String> {
    match &rule.response {
        Some(field) => text_field(message.get_field(field).as_message()?, "etag"),
        None => text_field(message, "etag"),
    }
}

fn text_field(message: &DynamicMessage, name: &str) -> Option<String> {
    let value = message.get_field_by_name(name)?;
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Bytes as they are; metadata travels in headers as far as headers can carry it.
fn raw(message: &DynamicMessage, payload: Bytes, asked: &Asked) -> Response {
    let mut headers = HeaderMap::new();
    let content_type = match looks_like_json(&payload, asked.accepts_json) {
        true => "application/json",
        false => "application/octet-stream",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let metadata = message.get_field_by_name("metadata");
    let metadata = metadata.as_ref().and_then(|metadata| metadata.as_map());
    for (key, value) in metadata.into_iter().flatten() {
        let (Some(key), Some(value)) = (key.as_str(), Value::as_str(value)) else {
            continue;
        };
        if key.eq_ignore_ascii_case("content-type") {
            insert(&mut headers, CONTENT_TYPE, value);
            continue;
        }
        if let Ok(name) = HeaderName::try_from(format!("{METADATA_PREFIX}{key}")) {
            insert(&mut headers, name, value);
        }
    }
    let mut response = Response::new(Body::from(payload));
    *response.headers_mut() = headers;
    response
}

/// Guesses from the first byte: objects and lists are hardly anything else, the rest of JSON only
/// when the caller asked for it.
fn looks_like_json(payload: &[u8], is_asked: bool) -> bool {
    match payload.trim_ascii_start().first() {
        Some(b'{' | b'[') => true,
        Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => is_asked,
        _ => false,
    }
}

/// Sets a header when the text can be one.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
