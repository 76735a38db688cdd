//! `NamespaceService`.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::namespace_service_server::NamespaceService;
use tonic::{Request, Response, Status};

use super::{Answers, Api, Told, answer};
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
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let create = Create {
                namespace: String::new(),
                message: asked.namespace.map(Message::from),
                request_id: asked.request_id,
                validate_only: asked.validate_only,
            };
            let view = self.app().create(&caller, Kind::Namespace, create).await?;
            Ok(pb::CreateNamespaceResponse {
                namespace: self.message(view).await?.into_namespace(),
            })
        };
        answer(answered.await)
    }

    async fn get_namespace(
        &self,
        request: Request<pb::GetNamespaceRequest>,
    ) -> Result<Response<pb::GetNamespaceResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let view = self
                .app()
                .get(&caller, Kind::Namespace, "", &asked.name)
                .await?;
            Ok(pb::GetNamespaceResponse {
                namespace: self.message(view).await?.into_namespace(),
            })
        };
        answer(answered.await)
    }

    async fn list_namespaces(
        &self,
        request: Request<pb::ListNamespacesRequest>,
    ) -> Result<Response<pb::ListNamespacesResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let list = List {
                namespace: String::new(),
                filter: asked.filter,
                page_size: asked.page_size,
                page_token: asked.page_token,
                order_by: asked.order_by,
            };
            let page = self.app().list(&caller, Kind::Namespace, &list).await?;
            let messages = self.messages(page.views).await?;
            Ok(pb::ListNamespacesResponse {
                namespaces: messages
                    .into_iter()
                    .filter_map(Message::into_namespace)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            })
        };
        answer(answered.await)
    }

    async fn update_namespace(
        &self,
        request: Request<pb::UpdateNamespaceRequest>,
    ) -> Result<Response<pb::UpdateNamespaceResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let update = Update {
                namespace: String::new(),
                message: asked.namespace.map(Message::from),
                validate_only: asked.validate_only,
                allow_missing: asked.allow_missing,
            };
            let view = self.app().update(&caller, Kind::Namespace, update).await?;
            Ok(pb::UpdateNamespaceResponse {
                namespace: self.message(view).await?.into_namespace(),
            })
        };
        answer(answered.await)
    }

    async fn delete_namespace(
        &self,
        request: Request<pb::DeleteNamespaceRequest>,
    ) -> Result<Response<pb::DeleteNamespaceResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let delete = Delete {
                namespace: String::new(),
                name: asked.name,
                etag: asked.etag,
                force: asked.force,
                validate_only: asked.validate_only,
                ..Delete::default()
            };
            self.app().delete(&caller, Kind::Namespace, delete).await?;
            Ok(pb::DeleteNamespaceResponse {})
        };
        answer(answered.await)
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
        self.watch(request, Kind::Namespace, watch, watched).await
    }
}

fn watched(told: Told) -> pb::WatchNamespacesResponse {
    pb::WatchNamespacesResponse {
        r#type: told.event,
        namespace: told.message.and_then(Message::into_namespace),
        resume_token: told.resume_token,
    }
}
