//! Server streams as lines of JSON.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use baetyl_service_kit::shutdown::Shutdown;
use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prost_reflect::DynamicMessage;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tonic::codec::Streaming;

use super::shown;
use crate::problem::{Problem, Refused};
use crate::rule::Rule;

/// One message a line; a last line `{"error": …}` holds the problem that ended the stream, if one
/// did.
pub(crate) struct Lines {
    pub(crate) messages: Streaming<DynamicMessage>,
    pub(crate) rule: Arc<Rule>,
    pub(crate) request_id: String,
    /// When the caller wants it to end.
    pub(crate) deadline: Option<Instant>,
    pub(crate) shutdown: Shutdown,
    /// Counted among the open streams until the last line is gone.
    #[expect(dead_code, reason = "held, never read")]
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Lines {
    /// Streams them.
    pub(crate) fn into_response(self) -> Response {
        let lines = stream::unfold(Some(self), |lines| async {
            let mut lines = lines?;
            match lines.next().await {
                Ok(Some(line)) => Some((Ok::<_, Infallible>(line), Some(lines))),
                Ok(None) => None,
                Err(problem) => Some((Ok(lines.last(&problem)), None)),
            }
        });
        let mut response = Response::new(Body::from_stream(lines));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Refused> {
        // The first arm that is ready ends the stream, or the message is taken: nothing is lost.
        let message = tokio::select! {
            biased;
            message = self.messages.message() => message,
            () = until(self.deadline) => return Err(Problem::deadline()),
            () = self.shutdown.draining() => return Err(Problem::stopping()),
        };
        let message = message.map_err(|status| Problem::from_status(&status))?;
        Ok(message.map(|message| {
            let mut line = shown(&self.rule, &message);
            line.push(b'\n');
            line.into()
        }))
    }

    fn last(&self, problem: &Problem) -> Bytes {
        let line = serde_json::json!({"error": problem.to_json(&self.request_id)});
        format!("{line}\n").into()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
