//! `RevisionService`.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::revision_service_server::RevisionService;
use tonic::{Request, Response, Status};

use super::{Api, answer, convert};
use crate::app::history::{Named, Past};

#[tonic::async_trait]
impl RevisionService for Api {
    async fn list_revisions(
        &self,
        request: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let named = Named {
                namespace: asked.namespace,
                kind: asked.kind,
                name: asked.name,
            };
            let (size, token) = (asked.page_size, &asked.page_token);
            let (found, next_page_token) =
                self.app().revisions(&caller, &named, size, token).await?;
            Ok(pb::ListRevisionsResponse {
                revisions: found.into_iter().map(revision).collect(),
                next_page_token,
            })
        };
        answer(answered.await)
    }

    async fn get_revision(
        &self,
        request: Request<pb::GetRevisionRequest>,
    ) -> Result<Response<pb::GetRevisionResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let named = Named {
                namespace: asked.namespace,
                kind: asked.kind,
                name: asked.name,
            };
            let past = self
                .app()
                .revision_of(&caller, &named, asked.revision)
                .await?;
            let document = convert::document(past.view.message());
            Ok(pb::GetRevisionResponse {
                revision: Some(revision(past)),
                document: Some(document),
            })
        };
        answer(answered.await)
    }

    async fn rollback(
        &self,
        request: Request<pb::RollbackRequest>,
    ) -> Result<Response<pb::RollbackResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let named = Named {
                namespace: asked.namespace,
                kind: asked.kind,
                name: asked.name,
            };
            let (number, is_check) = (asked.revision, asked.validate_only);
            let (applied, affected) = self
                .app()
                .rollback(&caller, &named, number, is_check)
                .await?;
            Ok(pb::RollbackResponse {
                result: Some(convert::result(applied)),
                affected_node_count: convert::count(affected),
            })
        };
        answer(answered.await)
    }
}

fn revision(past: Past) -> pb::Revision {
    let stored = past.view.stored;
    pb::Revision {
        revision: stored.revision.number(),
        digest: stored.digest.to_string(),
        create_time: Some(stored.update_time.into()),
        author: stored.author,
        changes: convert::changes(past.changes),
        current: past.is_current,
    }
}
