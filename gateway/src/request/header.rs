//! Headers that mean fields of a request.

use std::collections::HashMap;
use std::time::Duration;

use baetyl_proto::json::reason;
use baetyl_service_kit::config::HumanDuration;
use baetyl_service_kit::fault::Violation;
use http::header::IF_MATCH;
use http::request::Parts;
use http::{HeaderMap, Method};
use prost_reflect::{MapKey, Value};

use super::{Builder, is_text};
use crate::config::MAX_TIMEOUT;
use crate::problem::{Problem, Refused};
use crate::rule::{Body, EtagPlace};

/// What headers with metadata of an invocation begin with; the rest is the key.
pub(crate) const METADATA_PREFIX: &str = "x-metadata-";

impl Builder<'_> {
    pub(super) fn take_headers(&mut self, parts: &Parts) {
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        self.take_if_match(&parts.headers, is_read);
        if has_dry_run(&parts.headers) {
            self.take_dry_run(is_read);
        }
        // Methods without such a field are safe to repeat, or refuse the second call.
        for field in ["request_id", "idempotency_key"] {
            self.take_text_header(&parts.headers, "idempotency-key", field);
        }
        if let Body::Raw(_) = self.rule.body {
            self.take_text_header(&parts.headers, "invokeid", "invocation_id");
            self.take_metadata(&parts.headers);
        }
    }

    fn take_text_header(&mut self, headers: &HeaderMap, header: &str, field: &str) {
        let Some(value) = headers.get(header) else {
            return;
        };
        if !self
            .rule
            .request_field(field)
            .is_some_and(|field| is_text(&field))
        {
            return;
        }
        match value.to_str() {
            Ok(value) => self.set_agreeing(field, value, "the header"),
            Err(_) => self.refuse(header, reason::INVALID_FORMAT, "must be ASCII"),
        }
    }

    fn take_if_match(&mut self, headers: &HeaderMap, is_read: bool) {
        const HEADER: &str = "If-Match";
        let Some(value) = headers.get(IF_MATCH) else {
            return;
        };
        let etag = match value.to_str().map(str::trim) {
            // Updates and deletes never create unless they are told so.
            Ok("*") => return,
            Ok(text) => single_etag(text),
            Err(_) => None,
        };
        let place = match &self.rule.etag {
            Some(EtagPlace::Request) => "etag".to_owned(),
            Some(EtagPlace::Resource(field)) => format!("{}.etag", field.name()),
            None if is_read => return,
            None => {
                return self.refuse(HEADER, reason::UNKNOWN_FIELD, "this method takes no etag");
            }
        };
        match etag {
            Some(etag) => self.set_agreeing(&place, &etag, "the header If-Match"),
            None => self.refuse(HEADER, reason::INVALID_FORMAT, "must be one strong etag"),
        }
    }

    fn take_dry_run(&mut self, is_read: bool) {
        match self.rule.request_field("validate_only") {
            Some(field) => self.message.set_field(&field, Value::Bool(true)),
            None if is_read => {}
            // To run it for real would be the opposite of what was asked.
            None => self.refuse(
                "Prefer",
                reason::UNKNOWN_FIELD,
                "this method has no dry run",
            ),
        }
    }

    fn take_metadata(&mut self, headers: &HeaderMap) {
        let Some(field) = self
            .rule
            .request_field("metadata")
            .filter(|field| field.is_map())
        else {
            return;
        };
        let mut metadata = HashMap::new();
        for (name, value) in headers {
            let Some(key) = name.as_str().strip_prefix(METADATA_PREFIX) else {
                continue;
            };
            match std::str::from_utf8(value.as_bytes()) {
                Ok(text) => {
                    let key = MapKey::String(key.to_owned());
                    metadata.insert(key, Value::String(text.to_owned()));
                }
                Err(_) => self.refuse(name.as_str(), reason::INVALID_FORMAT, "must be UTF-8"),
            }
        }
        self.message.set_field(&field, Value::Map(metadata));
    }
}

/// Takes the quotes off; weak etags match nothing strongly, and of several only one can be it.
fn single_etag(text: &str) -> Option<String> {
    let etag = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let is_single = !etag.is_empty() && !etag.contains(['"', ',']) && !etag.starts_with("W/");
    is_single.then(|| etag.to_owned())
}

/// Whether `Prefer: dry-run` asks to store nothing.
pub(crate) fn has_dry_run(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("dry-run"))
}

/// The deadline that `Request-Timeout: 5s` asks for.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refused> {
    let Some(value) = headers.get("request-timeout") else {
        return Ok(None);
    };
    let parsed = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match parsed {
        Some(HumanDuration(timeout)) if !timeout.is_zero() && timeout <= MAX_TIMEOUT => {
            Ok(Some(timeout))
        }
        _ => {
            let problem = "must be a duration between 1ms and 1h, such as 5s";
            let violation = Violation::new("Request-Timeout", reason::INVALID_FORMAT, problem);
            Err(Problem::from_violations(vec![violation]))
        }
    }
}
