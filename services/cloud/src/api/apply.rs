//! `ApplyService`.

use std::collections::BTreeSet;

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::apply_service_server::ApplyService;
use tonic::{Request, Response, Status};

use super::{Api, answer, convert};
use crate::app::apply::Apply;

/// The most nodes that an answer names.
const MAX_NAMED: usize = 100;

#[tonic::async_trait]
impl ApplyService for Api {
    async fn apply(
        &self,
        request: Request<pb::ApplyRequest>,
    ) -> Result<Response<pb::ApplyResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let apply = Apply {
                namespace: asked.namespace,
                documents: asked.documents.into_iter().map(convert::message).collect(),
                prune_selector: asked.prune_selector,
                validate_only: asked.validate_only,
            };
            let outcome = self.app().apply(&caller, apply).await?;
            let names: BTreeSet<String> = outcome
                .affected
                .iter()
                .map(|(_, node)| node.to_string())
                .collect();
            Ok(pb::ApplyResponse {
                results: outcome.results.into_iter().map(convert::result).collect(),
                affected_nodes: names.into_iter().take(MAX_NAMED).collect(),
                affected_node_count: convert::count(outcome.affected.len()),
            })
        };
        answer(answered.await)
    }
}
