//! Answers.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};

use super::Answer;
use super::accept::Form;
use crate::kinds::Kind;
use crate::object::meta_text;
use crate::refusal::Refusal;
use crate::rest::List;

pub(super) fn text(status: u16, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(media_type) = media_type.parse() {
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, media_type);
    }
    response
}

pub(super) fn json(status: u16, body: &Value) -> Answer {
    text(status, "application/json", format!("{body}\n"))
}

pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let mut answer = json(refusal.code, &refusal.to_value());
    let seconds = &refusal.details["retryAfterSeconds"];
    if let Ok(seconds) = seconds.to_string().parse() {
        let headers = answer.headers_mut();
        if refusal.details["retryAfterSeconds"].is_number() {
            headers.insert(http::header::RETRY_AFTER, seconds);
        }
    }
    answer
}

/// An answer in pieces.
pub(super) fn stream(
    media_type: &'static str,
    pieces: impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
) -> Answer {
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(media_type),
    );
    response
}

/// One object in the form that is asked for.
pub(super) fn object(status: u16, object: &Value, form: Form, warnings: &[String]) -> Answer {
    let mut answer = match form {
        Form::Metadata => json(status, &partial(object)),
        Form::Whole | Form::Aggregated => json(status, object),
    };
    for warning in warnings {
        let value = format!("299 - {}", Value::String(warning.clone()));
        if let Ok(value) = value.parse() {
            answer.headers_mut().append(http::header::WARNING, value);
        }
    }
    answer
}

/// The metadata of an object.
pub(super) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// A page of objects. Items of built-in kinds do not say what they are: the list does.
pub(super) fn list(kind: &Kind, api_version: &str, list: &List, form: Form) -> Answer {
    let mut metadata = json!({ "resourceVersion": list.version.to_string() });
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
    }
    if let Some(remaining) = list.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items: Vec<_> = list
        .items
        .iter()
        .map(|item| list_item(kind, item, form))
        .collect();
    // Real servers write empty lists of custom objects so.
    let is_custom = kind.group.contains('.') && !kind.group.ends_with(".k8s.io");
    let items = match items.is_empty() && is_custom {
        true => Value::Null,
        false => items.into(),
    };
    let (list_kind, api_version) = match form {
        Form::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1"),
        Form::Whole | Form::Aggregated => (kind.list_kind.as_str(), api_version),
    };
    let body = json!({
        "kind": list_kind, "apiVersion": api_version, "metadata": metadata, "items": items,
    });
    json(200, &body)
}

fn list_item(kind: &Kind, item: &Arc<Value>, form: Form) -> Value {
    if form == Form::Metadata {
        return partial(item);
    }
    let mut item = Value::clone(item);
    if let Some(fields) = item.as_object_mut().filter(|_| !kind.is_custom()) {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    item
}

/// A deletion that is done.
pub(super) fn deleted(kind: &Kind, last: &Value) -> Answer {
    let mut details = json!({
        "name": meta_text(last, "name"),
        "kind": kind.plural,
        "uid": meta_text(last, "uid"),
    });
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    success(200, details)
}

pub(super) fn success(status: u16, details: Value) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details,
    });
    json(status, &body)
}
