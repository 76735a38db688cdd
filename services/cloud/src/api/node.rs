//! `NodeService`.

use baetyl_model::{Kind, Message, Name};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::node_service_server::NodeService;
use tonic::{Request, Response, Status};

use super::resource::{Get, Told};
use super::{Answers, Api, answer, duration, required};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::parsed;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

#[tonic::async_trait]
impl NodeService for Api {
    type WatchNodesStream = Answers<pb::WatchNodesResponse>;

    async fn create_node(
        &self,
        request: Request<pb::CreateNodeRequest>,
    ) -> Result<Response<pb::CreateNodeResponse>, Status> {
        let create = |asked: pb::CreateNodeRequest| Create {
            namespace: asked.namespace,
            message: asked.node.map(Message::from),
            request_id: asked.request_id,
            validate_only: asked.validate_only,
        };
        let made = self.create(request, Kind::Node, create).await;
        answer(made.map(|made| pb::CreateNodeResponse {
            node: made.into_node(),
        }))
    }

    async fn get_node(
        &self,
        request: Request<pb::GetNodeRequest>,
    ) -> Result<Response<pb::GetNodeResponse>, Status> {
        let get = |asked: pb::GetNodeRequest| Get {
            namespace: asked.namespace,
            name: asked.name,
            with_values: false,
        };
        let found = self.get(request, Kind::Node, get).await;
        answer(found.map(|found| pb::GetNodeResponse {
            node: found.into_node(),
        }))
    }

    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        let list = |asked: pb::ListNodesRequest| List {
            namespace: asked.namespace,
            filter: asked.filter,
            page_size: asked.page_size,
            page_token: asked.page_token,
            order_by: asked.order_by,
        };
        let page = self.list(request, Kind::Node, list).await;
        answer(page.map(|page| {
            pb::ListNodesResponse {
                nodes: page
                    .messages
                    .into_iter()
                    .filter_map(Message::into_node)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            }
        }))
    }

    async fn update_node(
        &self,
        request: Request<pb::UpdateNodeRequest>,
    ) -> Result<Response<pb::UpdateNodeResponse>, Status> {
        let update = |asked: pb::UpdateNodeRequest| Update {
            namespace: asked.namespace,
            message: asked.node.map(Message::from),
            validate_only: asked.validate_only,
            allow_missing: asked.allow_missing,
        };
        let made = self.update(request, Kind::Node, update).await;
        answer(made.map(|made| pb::UpdateNodeResponse {
            node: made.into_node(),
        }))
    }

    async fn delete_node(
        &self,
        request: Request<pb::DeleteNodeRequest>,
    ) -> Result<Response<pb::DeleteNodeResponse>, Status> {
        let delete = |asked: pb::DeleteNodeRequest| Delete {
            namespace: asked.namespace,
            name: asked.name,
            etag: asked.etag,
            remove_data: asked.remove_data,
            validate_only: asked.validate_only,
            ..Delete::default()
        };
        let deleted = self.delete(request, Kind::Node, delete).await;
        answer(deleted.map(|()| pb::DeleteNodeResponse {}))
    }

    async fn watch_nodes(
        &self,
        request: Request<pb::WatchNodesRequest>,
    ) -> Result<Response<Self::WatchNodesStream>, Status> {
        let watch = |asked: pb::WatchNodesRequest| Watch {
            namespace: asked.namespace,
            filter: asked.filter,
            resume_token: asked.resume_token,
        };
        let watched = |told: Told| pb::WatchNodesResponse {
            r#type: told.event,
            node: told.message.and_then(Message::into_node),
            resume_token: told.resume_token,
        };
        self.watch(request, Kind::Node, watch, watched).await
    }

    async fn create_join_token(
        &self,
        request: Request<pb::CreateJoinTokenRequest>,
    ) -> Result<Response<pb::CreateJoinTokenResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let lifetime = duration("lifetime", asked.lifetime)?;
            let node = self.node(&caller, &asked.namespace, &asked.name).await?;
            Ok(self
                .parts()
                .nodes
                .create_join_token(&node, lifetime)
                .await?)
        };
        answer(answered.await)
    }

    async fn get_node_properties(
        &self,
        request: Request<pb::GetNodePropertiesRequest>,
    ) -> Result<Response<pb::GetNodePropertiesResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let node = self.node(&caller, &asked.namespace, &asked.name).await?;
            let properties = self.parts().nodes.properties(&node).await?;
            Ok(pb::GetNodePropertiesResponse {
                properties: Some(properties),
            })
        };
        answer(answered.await)
    }

    async fn update_node_properties(
        &self,
        request: Request<pb::UpdateNodePropertiesRequest>,
    ) -> Result<Response<pb::UpdateNodePropertiesResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let node = self.node(&caller, &asked.namespace, &asked.name).await?;
            let patch = asked.desired.ok_or_else(|| required("desired"))?;
            let properties = self.parts().nodes.update_properties(&node, patch).await?;
            Ok(pb::UpdateNodePropertiesResponse {
                properties: Some(properties),
            })
        };
        answer(answered.await)
    }

    async fn retry_application(
        &self,
        request: Request<pb::RetryApplicationRequest>,
    ) -> Result<Response<pb::RetryApplicationResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let application = parsed("application", &asked.application, Name::parse)?;
            let node = self.node(&caller, &asked.namespace, &asked.name).await?;
            let nodes = &self.parts().nodes;
            let generation = nodes.retry_application(&node, &application).await?;
            Ok(pb::RetryApplicationResponse { generation })
        };
        answer(answered.await)
    }

    async fn revoke_node(
        &self,
        request: Request<pb::RevokeNodeRequest>,
    ) -> Result<Response<pb::RevokeNodeResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let node = self.node(&caller, &asked.namespace, &asked.name).await?;
            let revoked_count = self.parts().nodes.revoke(&node).await?;
            Ok(pb::RevokeNodeResponse { revoked_count })
        };
        answer(answered.await)
    }
}
