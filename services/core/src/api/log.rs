//! `LogService`: the logs of the applications on the node.

use baetyl_engine::{EngineError, EngineHandle};
use baetyl_proto::node::v1::log_service_server::LogService;
use baetyl_proto::node::v1::{StreamLogsRequest, StreamLogsResponse};
use baetyl_service_kit::fault::{self, Code, Fault, InvalidArgument, Resource, Violation};
use baetyl_service_kit::shutdown::Shutdown;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::logs::{MAX_TAIL, log_fault, query_of};

/// Lines in one message.
const MAX_LINES: usize = 256;

/// Logs cannot be read.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the log cannot be read")]
    Driver(#[source] baetyl_engine::driver::DriverError),
}

impl Fault for LogError {
    fn code(&self) -> Code {
        match self {
            Self::Engine(error) => log_fault(error),
            Self::Driver(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.reason(),
            Self::Driver(_) => "LOGS_UNREADABLE",
        }
    }

    fn resource(&self) -> Option<Resource> {
        let Self::Engine(EngineError::UnknownApplication(name)) = self else {
            return None;
        };
        Some(Resource {
            kind: "Application".to_owned(),
            name: name.clone(),
        })
    }
}

/// The service.
pub(super) struct LogApi {
    engine: EngineHandle,
    shutdown: Shutdown,
}

impl LogApi {
    pub(super) fn new(engine: EngineHandle, shutdown: Shutdown) -> Self {
        Self { engine, shutdown }
    }
}

#[tonic::async_trait]
impl LogService for LogApi {
    type StreamLogsStream = BoxStream<'static, Result<StreamLogsResponse, Status>>;

    async fn stream_logs(
        &self,
        request: Request<StreamLogsRequest>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let request = request.into_inner();
        check(&request).map_err(|error| fault::status(&error))?;
        let lines = self
            .engine
            .logs(query_of(request))
            .map_err(|error| fault::status(&LogError::from(error)))?;
        let draining = self.shutdown.token().cancelled_owned();
        let messages = lines
            .take_until(draining)
            .ready_chunks(MAX_LINES)
            .map(|batch| {
                let lines: Result<Vec<_>, _> = batch.into_iter().collect();
                match lines {
                    Ok(lines) => Ok(StreamLogsResponse { lines }),
                    Err(error) => Err(fault::status(&LogError::Driver(error))),
                }
            });
        Ok(Response::new(messages.boxed()))
    }
}

fn check(request: &StreamLogsRequest) -> Result<(), InvalidArgument> {
    let mut violations = Vec::new();
    if request.application.is_empty() {
        let violation = Violation::new("application", "REQUIRED", "must not be empty");
        violations.push(violation);
    }
    if let Some(lines) = request.tail_lines.filter(|lines| *lines > MAX_TAIL) {
        let description = format!("must be at most {MAX_TAIL}, got {lines}");
        violations.push(Violation::new("tail_lines", "OUT_OF_BOUNDS", description));
    }
    InvalidArgument::check(violations)
}
