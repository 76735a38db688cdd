//! `ApplicationService`.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::application_service_server::ApplicationService;
use tonic::{Request, Response, Status};

use super::resource::{Get, Told};
use super::{Answers, Api, answer, cut, page};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

#[tonic::async_trait]
impl ApplicationService for Api {
    type WatchApplicationsStream = Answers<pb::WatchApplicationsResponse>;

    async fn create_application(
        &self,
        request: Request<pb::CreateApplicationRequest>,
    ) -> Result<Response<pb::CreateApplicationResponse>, Status> {
        let create = |asked: pb::CreateApplicationRequest| Create {
            namespace: asked.namespace,
            message: asked.application.map(Message::from),
            request_id: asked.request_id,
            validate_only: asked.validate_only,
        };
        let made = self.create(request, Kind::Application, create).await;
        answer(made.map(|made| pb::CreateApplicationResponse {
            application: made.into_application(),
        }))
    }

    async fn get_application(
        &self,
        request: Request<pb::GetApplicationRequest>,
    ) -> Result<Response<pb::GetApplicationResponse>, Status> {
        let get = |asked: pb::GetApplicationRequest| Get {
            namespace: asked.namespace,
            name: asked.name,
            with_values: false,
        };
        let found = self.get(request, Kind::Application, get).await;
        answer(found.map(|found| pb::GetApplicationResponse {
            application: found.into_application(),
        }))
    }

    async fn list_applications(
        &self,
        request: Request<pb::ListApplicationsRequest>,
    ) -> Result<Response<pb::ListApplicationsResponse>, Status> {
        let list = |asked: pb::ListApplicationsRequest| List {
            namespace: asked.namespace,
            filter: asked.filter,
            page_size: asked.page_size,
            page_token: asked.page_token,
            order_by: asked.order_by,
        };
        let page = self.list(request, Kind::Application, list).await;
        answer(page.map(|page| {
            pb::ListApplicationsResponse {
                applications: page
                    .messages
                    .into_iter()
                    .filter_map(Message::into_application)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            }
        }))
    }

    async fn update_application(
        &self,
        request: Request<pb::UpdateApplicationRequest>,
    ) -> Result<Response<pb::UpdateApplicationResponse>, Status> {
        let update = |asked: pb::UpdateApplicationRequest| Update {
            namespace: asked.namespace,
            message: asked.application.map(Message::from),
            validate_only: asked.validate_only,
            allow_missing: asked.allow_missing,
        };
        let made = self.update(request, Kind::Application, update).await;
        answer(made.map(|made| pb::UpdateApplicationResponse {
            application: made.into_application(),
        }))
    }

    async fn delete_application(
        &self,
        request: Request<pb::DeleteApplicationRequest>,
    ) -> Result<Response<pb::DeleteApplicationResponse>, Status> {
        let delete = |asked: pb::DeleteApplicationRequest| Delete {
            namespace: asked.namespace,
            name: asked.name,
            etag: asked.etag,
            validate_only: asked.validate_only,
            ..Delete::default()
        };
        let deleted = self.delete(request, Kind::Application, delete).await;
        answer(deleted.map(|()| pb::DeleteApplicationResponse {}))
    }

    async fn watch_applications(
        &self,
        request: Request<pb::WatchApplicationsRequest>,
    ) -> Result<Response<Self::WatchApplicationsStream>, Status> {
        let watch = |asked: pb::WatchApplicationsRequest| Watch {
            namespace: asked.namespace,
            filter: asked.filter,
            resume_token: asked.resume_token,
        };
        let watched = |told: Told| pb::WatchApplicationsResponse {
            r#type: told.event,
            application: told.message.and_then(Message::into_application),
            resume_token: told.resume_token,
        };
        self.watch(request, Kind::Application, watch, watched).await
    }

    async fn list_application_nodes(
        &self,
        request: Request<pb::ListApplicationNodesRequest>,
    ) -> Result<Response<pb::ListApplicationNodesResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let (namespace, name) = (&asked.namespace, &asked.name);
            let view = self
                .app()
                .get(&caller, Kind::Application, namespace, name)
                .await?;
            let list = format!("{} nodes", view.stored.key);
            let (size, after) = page(asked.page_size, &asked.page_token, &list)?;
            let status = &self.parts().status;
            // One more than is asked for tells whether there is another page.
            let mut nodes = status
                .application_nodes(&view.stored, after.as_ref(), size + 1)
                .await?;
            let next_page_token = cut(&mut nodes, size, &list, |node| &node.node);
            Ok(pb::ListApplicationNodesResponse {
                nodes,
                next_page_token,
            })
        };
        answer(answered.await)
    }
}
