//! Log lines of an application, from its node to whoever asked.

use std::time::SystemTime;

use baetyl_model::Name;
use baetyl_proto::cloud::v1::StreamLogsResponse;
use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::sync::{ChannelError, LogChannel};

/// Responses that wait for the caller; the channel's credit bounds their bytes.
const QUEUE: usize = 8;

/// Lines of each instance when nothing is said, and the most.
const DEFAULT_TAIL: u32 = 100;
const MAX_TAIL: u32 = 10_000;

/// Which log lines.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// The application.
    pub application: Name,
    /// Only this service; all when empty.
    pub service: String,
    /// Goes on with new lines.
    pub follow: bool,
    /// Only the last lines of each instance; at most 10 000, 100 when nothing is said.
    pub tail_lines: Option<u32>,
    /// Only lines since then.
    pub since: Option<SystemTime>,
    /// Only lines of this invocation; all when empty.
    pub invocation: String,
}

impl From<LogQuery> for wire::LogQuery {
    fn from(query: LogQuery) -> Self {
        Self {
            application: query.application.to_string(),
            service: query.service,
            follow: query.follow,
            tail_lines: query.tail_lines.unwrap_or(DEFAULT_TAIL).min(MAX_TAIL),
            since_time: query.since.map(Into::into),
            invocation_id: query.invocation,
        }
    }
}

/// Log lines as they come, or why they do not.
pub type LogStream = ReceiverStream<Result<StreamLogsResponse, ChannelError>>;

/// Passes lines on until either end stops, as a task of `shutdown`.
pub(super) fn stream(mut channel: LogChannel, shutdown: &Shutdown) -> LogStream {
    let (lines, receiver) = mpsc::channel(QUEUE);
    let draining = shutdown.clone();
    let forwarding = async move {
        // Either arm ends it; a piece that is lost with the caller is lost for nobody.
        tokio::select! {
            outcome = forward(&mut channel, &lines) => if let Err(error) = outcome {
                lines.send(Err(error)).await.ok();
            },
            () = lines.closed() => {}
            () = draining.draining() => {}
        }
        channel.close().await;
    };
    shutdown.spawn("log stream", OnCancel::Wait, forwarding);
    ReceiverStream::new(receiver)
}

async fn forward(
    channel: &mut LogChannel,
    lines: &mpsc::Sender<Result<StreamLogsResponse, ChannelError>>,
) -> Result<(), ChannelError> {
    while let Some(bytes) = channel.next().await? {
        let length = bytes.len();
        let response = StreamLogsResponse::decode(bytes).map_err(|_| ChannelError::Broken)?;
        if lines.send(Ok(response)).await.is_err() {
            return Ok(());
        }
        channel.consumed(length).await?;
    }
    Ok(())
}
