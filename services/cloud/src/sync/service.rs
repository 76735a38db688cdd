//! `SyncService` over gRPC, on the listener that demands a client certificate.

use std::pin::Pin;
use std::sync::Arc;

use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_proto::sync::v1::sync_service_server::SyncService;
use baetyl_service_kit::fault;
use baetyl_service_kit::serve::Peer;
use baetyl_service_kit::shutdown::OnCancel;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::outgoing::{Down, Outgoing, QUEUE};
use super::{Admission, Parts, bodies, session};
use crate::activation::{ActivationError, Caller, service::refused};

/// The service of the sync listener.
#[derive(Clone, Debug)]
pub struct SyncApi {
    parts: Parts,
    admission: Arc<Admission>,
}

impl SyncApi {
    /// Puts the service together.
    pub fn new(parts: Parts) -> Self {
        let options = &parts.options;
        let admission = Admission::new(options.hello_rate, options.hello_burst, Instant::now());
        Self {
            admission: Arc::new(admission),
            parts,
        }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer
            .ok_or(ActivationError::CertificateMissing)
            .map_err(refused)?;
        let caller = self.parts.activation.resolve(&peer.certificates).await;
        caller.map_err(refused)
    }
}

fn overloaded(after: std::time::Duration) -> wire::SyncResponse {
    let goodbye = wire::Goodbye {
        reason: "OVERLOADED".to_owned(),
        message: "too many nodes come at once".to_owned(),
        reconnect_after: after.try_into().ok(),
    };
    wire::SyncResponse {
        frame: Some(Frame::Goodbye(goodbye)),
    }
}

#[tonic::async_trait]
impl SyncService for SyncApi {
    type SyncStream = ReceiverStream<Down>;
    type FetchBodiesStream =
        Pin<Box<dyn Stream<Item = Result<wire::FetchBodiesResponse, Status>> + Send>>;

    async fn sync(
        &self,
        request: Request<Streaming<wire::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (frames, receiver) = mpsc::channel(QUEUE);
        if let Err(after) = self.admission.admit(Instant::now()) {
            frames
                .try_send(Ok(overloaded(after)))
                .expect("the queue is new and has room");
            return Ok(Response::new(ReceiverStream::new(receiver)));
        }
        let caller = self.caller(&request).await?;
        let out = Outgoing::new(frames, self.parts.options.silence_timeout);
        let session = session::run(self.parts.clone(), caller, request.into_inner(), out);
        let shutdown = &self.parts.shutdown;
        shutdown.spawn("sync session", OnCancel::Wait, Box::pin(session));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn fetch_bodies(
        &self,
        request: Request<wire::FetchBodiesRequest>,
    ) -> Result<Response<Self::FetchBodiesStream>, Status> {
        let caller = self.caller(&request).await?;
        let bodies = bodies::fetch(
            Arc::clone(&self.parts.store),
            &self.parts.registry,
            &caller,
            request.into_inner(),
        )
        .await
        .map_err(|error| fault::status(&error))?;
        Ok(Response::new(Box::pin(bodies)))
    }
}
