//! One request to the API server: its path, its deadline, its caps, and whether it was answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::super::names::{APPLICATION_LABEL, OWNER_LABEL};

/// How long one request may take, the client's own repetitions of it included.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The most that is read of an answer. Objects are below 2 MiB, the list of all APIs of a cluster
/// with very many custom kinds is below 10 MiB.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How much of an answer that is no `Status` is told to people.
const MAX_TEXT_CHARS: usize = 200;

/// Asks for an object without its contents.
pub(super) const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// Asks for a list of objects without their contents.
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    accept: &'static str,
    body: Option<(&'static str, Bytes)>,
}

impl Call {
    /// Reads; `path` may have a query.
    pub(super) fn get(path: impl Into<String>, accept: &'static str) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept,
            body: None,
        }
    }

    /// Reads JSON.
    pub(super) fn json(path: impl Into<String>) -> Self {
        Self::get(path, JSON)
    }

    /// Applies an object.
    pub(super) fn apply(path: String, body: Bytes) -> Self {
        Self {
            method: Method::PATCH,
            path,
            accept: JSON,
            body: Some((APPLY, body)),
        }
    }

    /// Merges a value into the metadata of an object.
    pub(super) fn merge(path: String, change: &Value) -> Self {
        Self {
            method: Method::PATCH,
            path,
            accept: METADATA,
            body: Some((MERGE, change.to_string().into())),
        }
    }

    /// Deletes.
    pub(super) fn delete(path: String, options: &Value) -> Self {
        Self {
            method: Method::DELETE,
            path,
            accept: JSON,
            body: Some((JSON, options.to_string().into())),
        }
    }

    fn into_request(self) -> Result<Request<Body>, hyper::http::Error> {
        let request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(ACCEPT, self.accept);
        match self.body {
            Some((kind, bytes)) => request.header(CONTENT_TYPE, kind).body(Body::from(bytes)),
            None => request.body(Body::empty()),
        }
    }
}

/// Why a request did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The API server answered, and said no.
    Refused(Box<Refused>),
    /// There was no answer that could be read, or not in time.
    Unanswered(String),
    /// The object is another one than was asked for: its uid differs, or it is gone.
    Changed(String),
}

/// What the API server said.
#[derive(Debug)]
pub(super) struct Refused {
    /// Its answer; `code` is never 0.
    pub(super) status: Status,
    /// When it wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    /// Whether what was asked for does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.status.code == 404)
    }
}

/// How many requests are on their way at the same time, for all applications together. Each takes a
/// connection with some 60 KB of buffers, which stays for a while when it is idle: without a bound a
/// hundred applications that come at once take 40 MB. It takes four applications whose requests hang
/// to use them all; the others then wait for the deadline of one.
const AT_ONCE: usize = 16;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Requests {
    client: Client,
    /// In the order of asking, so that nobody is overtaken for ever.
    places: Arc<Semaphore>,
}

impl Requests {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Returns the client, for watches: these stay open, and take no place.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request when it has its turn, and reads the whole answer.
    ///
    /// # Cancel safety
    /// When dropped, the request may have been carried out or not.
    pub(super) async fn send(&self, call: Call) -> Result<Bytes, Trouble> {
        // Nobody closes the semaphore; if it were, there would be no turns to wait for.
        let _place = self.places.acquire().await;
        match tokio::time::timeout(DEADLINE, exchange(&self.client, call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Unanswered(format!(
                "no answer within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }

    /// As [`Requests::send`], and takes the answer apart.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, call: Call) -> Result<T, Trouble> {
        parse(&self.send(call).await?)
    }
}

/// Takes an answer apart.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(answer)
        .map_err(|error| Trouble::Unanswered(format!("the answer cannot be read: {error}")))
}

async fn exchange(client: &Client, call: Call) -> Result<Bytes, Trouble> {
    let request = call
        .into_request()
        .map_err(|error| Trouble::Unanswered(format!("the request cannot be made: {error}")))?;
    let response = client
        .send(request)
        .await
        .map_err(|error| Trouble::Unanswered(baetyl_service_kit::fault::chain(&error)))?;
    let retry_after = retry_after(&response);
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            let message = format!("the answer cannot be read: {error}");
            return Err(Trouble::Unanswered(message));
        }
    };
    if code.is_success() {
        return Ok(bytes);
    }
    Err(Trouble::Refused(Box::new(refused(
        code.as_u16(),
        &bytes,
        retry_after,
    ))))
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn refused(code: u16, body: &[u8], retry_after: Option<Duration>) -> Refused {
    // Proxies and bare paths answer with text.
    let mut status = serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        let text: String = text.trim().chars().take(MAX_TEXT_CHARS).collect();
        Status::failure(&text, "")
    });
    if status.code == 0 {
        status.code = code;
    }
    let told = status.details.as_ref().map(|d| d.retry_after_seconds);
    let told = told.filter(|seconds| *seconds > 0);
    Refused {
        status,
        retry_after: retry_after
            .or_else(|| told.map(|seconds| Duration::from_secs(seconds.into()))),
    }
}

/// What is read of every object.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Seen {
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) metadata: SeenMetadata,
}

/// What is read of the metadata of every object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SeenMetadata {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: i64,
    pub(super) deletion_timestamp: Option<String>,
    labels: Option<std::collections::BTreeMap<String, String>>,
}

impl SeenMetadata {
    /// Returns the uid of the node that owns it; empty when none does.
    pub(super) fn owner(&self) -> &str {
        self.label(OWNER_LABEL)
    }

    /// Returns the application that it belongs to; empty when it belongs to none.
    pub(super) fn application(&self) -> &str {
        self.label(APPLICATION_LABEL)
    }

    fn label(&self, name: &str) -> &str {
        let labels = self.labels.as_ref();
        labels
            .and_then(|labels| labels.get(name))
            .map_or("", |value| value)
    }
}

/// Writes a text as one segment of a path, or as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(byte.into());
        } else {
            path.push('%');
            path.push(DIGITS[usize::from(byte >> 4)].into());
            path.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
    path
}

#[cfg(test)]
mod tests;
