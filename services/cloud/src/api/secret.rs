//! `SecretService`.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::secret_service_server::SecretService;
use tonic::{Request, Response, Status};

use super::{Answers, Api, Told, answer};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

#[tonic::async_trait]
impl SecretService for Api {
    type WatchSecretsStream = Answers<pb::WatchSecretsResponse>;

    async fn create_secret(
        &self,
        request: Request<pb::CreateSecretRequest>,
    ) -> Result<Response<pb::CreateSecretResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let create = Create {
                namespace: asked.namespace,
                message: asked.secret.map(Message::from),
                request_id: asked.request_id,
                validate_only: asked.validate_only,
            };
            let view = self.app().create(&caller, Kind::Secret, create).await?;
            Ok(pb::CreateSecretResponse {
                secret: self.message(view).await?.into_secret(),
            })
        };
        answer(answered.await)
    }

    async fn get_secret(
        &self,
        request: Request<pb::GetSecretRequest>,
    ) -> Result<Response<pb::GetSecretResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let view = self
                .app()
                .get(&caller, Kind::Secret, &asked.namespace, &asked.name)
                .await?;
            let message = match asked.include_values {
                true => view.message_with_values(),
                false => view.message(),
            };
            Ok(pb::GetSecretResponse {
                secret: message.into_secret(),
            })
        };
        answer(answered.await)
    }

    async fn list_secrets(
        &self,
        request: Request<pb::ListSecretsRequest>,
    ) -> Result<Response<pb::ListSecretsResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let list = List {
                namespace: asked.namespace,
                filter: asked.filter,
                page_size: asked.page_size,
                page_token: asked.page_token,
                order_by: asked.order_by,
            };
            let page = self.app().list(&caller, Kind::Secret, &list).await?;
            let messages = self.messages(page.views).await?;
            Ok(pb::ListSecretsResponse {
                secrets: messages
                    .into_iter()
                    .filter_map(Message::into_secret)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            })
        };
        answer(answered.await)
    }

    async fn update_secret(
        &self,
        request: Request<pb::UpdateSecretRequest>,
    ) -> Result<Response<pb::UpdateSecretResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let update = Update {
                namespace: asked.namespace,
                message: asked.secret.map(Message::from),
                validate_only: asked.validate_only,
                allow_missing: asked.allow_missing,
            };
            let view = self.app().update(&caller, Kind::Secret, update).await?;
            Ok(pb::UpdateSecretResponse {
                secret: self.message(view).await?.into_secret(),
            })
        };
        answer(answered.await)
    }

    async fn delete_secret(
        &self,
        request: Request<pb::DeleteSecretRequest>,
    ) -> Result<Response<pb::DeleteSecretResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let delete = Delete {
                namespace: asked.namespace,
                name: asked.name,
                etag: asked.etag,
                force: asked.force,
                validate_only: asked.validate_only,
                ..Delete::default()
            };
            self.app().delete(&caller, Kind::Secret, delete).await?;
            Ok(pb::DeleteSecretResponse {})
        };
        answer(answered.await)
    }

    async fn watch_secrets(
        &self,
        request: Request<pb::WatchSecretsRequest>,
    ) -> Result<Response<Self::WatchSecretsStream>, Status> {
        let watch = |asked: pb::WatchSecretsRequest| Watch {
            namespace: asked.namespace,
            filter: asked.filter,
            resume_token: asked.resume_token,
        };
        self.watch(request, Kind::Secret, watch, watched).await
    }
}

fn watched(told: Told) -> pb::WatchSecretsResponse {
    pb::WatchSecretsResponse {
        r#type: told.event,
        secret: told.message.and_then(Message::into_secret),
        resume_token: told.resume_token,
    }
}
