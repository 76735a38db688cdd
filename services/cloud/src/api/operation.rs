//! `OperationService`.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::operation_service_server::OperationService;
use baetyl_service_kit::fault;
use futures::StreamExt as _;
use tonic::{Request, Response, Status};

use super::{Answers, Api, answer};

#[tonic::async_trait]
impl OperationService for Api {
    type StreamLogsStream = Answers<pb::StreamLogsResponse>;

    async fn stream_logs(
        &self,
        request: Request<pb::StreamLogsRequest>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let node = self.node(&caller, &asked.namespace, &asked.node).await?;
            let lines = self.parts().nodes.stream_logs(&node, asked).await?;
            Ok(lines
                .map(|lines| lines.map_err(|error| fault::status(&*error)))
                .boxed())
        };
        answer(answered.await)
    }
}
