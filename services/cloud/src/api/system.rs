//! `SystemService`.

use baetyl_model::Kind;
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::system_service_server::SystemService;
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::sync::PROTOCOL_VERSION;

/// Version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[tonic::async_trait]
impl SystemService for Api {
    async fn get_version(
        &self,
        _request: Request<pb::GetVersionRequest>,
    ) -> Result<Response<pb::GetVersionResponse>, Status> {
        Ok(Response::new(pb::GetVersionResponse {
            version: VERSION.to_owned(),
            sync_protocol_version: PROTOCOL_VERSION,
        }))
    }

    async fn get_system_status(
        &self,
        request: Request<pb::GetSystemStatusRequest>,
    ) -> Result<Response<pb::GetSystemStatusResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let namespace = caller.namespace(&asked.namespace)?;
            let app = self.app();
            let counts = self.parts().status.counts(&namespace).await?;
            Ok(pb::GetSystemStatusResponse {
                version: VERSION.to_owned(),
                start_time: Some(self.0.start_time.into()),
                store_id: app.store_id().to_owned(),
                node_count: app.count(&caller, Kind::Node, namespace.as_str()).await?,
                online_node_count: counts.online,
                converged_node_count: counts.converged,
                application_count: app
                    .count(&caller, Kind::Application, namespace.as_str())
                    .await?,
                pending_node_count: counts.pending,
            })
        };
        answer(answered.await)
    }
}
