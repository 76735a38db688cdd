//! `NamespaceService`.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::namespace_service_server::NamespaceService;
use tonic::{Request, Response, Status};

use super::resource::{Get, Told};
use super::{Answers, Api, answer};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

#[tonic::async_trait]
impl NamespaceService for Api {
    type WatchNamespacesStream = Answers<pb::WatchNamespacesResponse>;

    async fn create_namespace(
        &self,
        request: Request<pb::CreateNamespaceRequest>,
    ) -> Result<Response<pb::CreateNamespaceResponse>, Status> {
        let create = |asked: pb::CreateNamespaceRequest| Create {
            namespace: String::new(),
            message: asked.namespace.map(Message::from),
            request_id: asked.request_id,
            validate_only: asked.validate_only,
        };
        let made = self.create(request, Kind::Namespace, create).await;
        answer(made.map(|made| pb::CreateNamespaceResponse {
            namespace: made.into_namespace(),
        }))
    }

    async fn get_namespace(
        &self,
        request: Request<pb::GetNamespaceRequest>,
    ) -> Result<Response<pb::GetNamespaceResponse>, Status> {
        let get = |asked: pb::GetNamespaceRequest| Get {
            namespace: String::new(),
            name: asked.name,
            with_values: false,
        };
        let found = self.get(request, Kind::Namespace, get).await;
        answer(found.map(|found| pb::GetNamespaceResponse {
            namespace: found.into_namespace(),
        }))
    }

    async fn list_namespaces(
        &self,
        request: Request<pb::ListNamespacesRequest>,
    ) -> Result<Response<pb::ListNamespacesResponse>, Status> {
        let list = |asked: pb::ListNamespacesRequest| List {
            namespace: String::new(),
            filter: asked.filter,
            page_size: asked.page_size,
            page_token: asked.page_token,
            order_by: asked.order_by,
        };
        let page = self.list(request, Kind::Namespace, list).await;
        answer(page.map(|page| {
            pb::ListNamespacesResponse {
                namespaces: page
                    .messages
                    .into_iter()
                    .filter_map(Message::into_namespace)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            }
        }))
    }

    async fn update_namespace(
        &self,
        request: Request<pb::UpdateNamespaceRequest>,
    ) -> Result<Response<pb::UpdateNamespaceResponse>, Status> {
        let update = |asked: pb::UpdateNamespaceRequest| Update {
            namespace: String::new(),
            message: asked.namespace.map(Message::from),
            validate_only: asked.validate_only,
            allow_missing: asked.allow_missing,
        };
        let made = self.update(request, Kind::Namespace, update).await;
        answer(made.map(|made| pb::UpdateNamespaceResponse {
            namespace: made.into_namespace(),
        }))
    }

    async fn delete_namespace(
        &self,
        request: Request<pb::DeleteNamespaceRequest>,
    ) -> Result<Response<pb::DeleteNamespaceResponse>, Status> {
        let delete = |asked: pb::DeleteNamespaceRequest| Delete {
            namespace: String::new(),
            name: asked.name,
            etag: asked.etag,
            force: asked.force,
            validate_only: asked.validate_only,
            ..Delete::default()
        };
        let deleted = self.delete(request, Kind::Namespace, delete).await;
        answer(deleted.map(|()| pb::DeleteNamespaceResponse {}))
    }

    async fn watch_namespaces(
        &self,
        request: Request<pb::WatchNamespacesRequest>,
    ) -> Result<Response<Self::WatchNamespacesStream>, Status> {
        let watch = |asked: pb::WatchNamespacesRequest| Watch {
            namespace: String::new(),
            filter: asked.filter,
            resume_token: asked.resume_token,
        };
        let watched = |told: Told| pb::WatchNamespacesResponse {
            r#type: told.event,
            namespace: told.message.and_then(Message::into_namespace),
            resume_token: told.resume_token,
        };
        self.watch(request, Kind::Namespace, watch, watched).await
    }
}
