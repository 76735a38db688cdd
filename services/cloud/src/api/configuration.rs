//! `ConfigurationService`.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::configuration_service_server::ConfigurationService;
use tonic::{Request, Response, Status};

use super::{Answers, Api, Told, answer};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

#[tonic::async_trait]
impl ConfigurationService for Api {
    type WatchConfigurationsStream = Answers<pb::WatchConfigurationsResponse>;

    async fn create_configuration(
        &self,
        request: Request<pb::CreateConfigurationRequest>,
    ) -> Result<Response<pb::CreateConfigurationResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let create = Create {
                namespace: asked.namespace,
                message: asked.configuration.map(Message::from),
                request_id: asked.request_id,
                validate_only: asked.validate_only,
            };
            let view = self
                .app()
                .create(&caller, Kind::Configuration, create)
                .await?;
            Ok(pb::CreateConfigurationResponse {
                configuration: self.message(view).await?.into_configuration(),
            })
        };
        answer(answered.await)
    }

    async fn get_configuration(
        &self,
        request: Request<pb::GetConfigurationRequest>,
    ) -> Result<Response<pb::GetConfigurationResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let view = self
                .app()
                .get(&caller, Kind::Configuration, &asked.namespace, &asked.name)
                .await?;
            Ok(pb::GetConfigurationResponse {
                configuration: self.message(view).await?.into_configuration(),
            })
        };
        answer(answered.await)
    }

    async fn list_configurations(
        &self,
        request: Request<pb::ListConfigurationsRequest>,
    ) -> Result<Response<pb::ListConfigurationsResponse>, Status> {
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
            let page = self.app().list(&caller, Kind::Configuration, &list).await?;
            let messages = self.messages(page.views).await?;
            Ok(pb::ListConfigurationsResponse {
                configurations: messages
                    .into_iter()
                    .filter_map(Message::into_configuration)
                    .collect(),
                next_page_token: page.next_page_token,
                resume_token: page.resume_token,
            })
        };
        answer(answered.await)
    }

    async fn update_configuration(
        &self,
        request: Request<pb::UpdateConfigurationRequest>,
    ) -> Result<Response<pb::UpdateConfigurationResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let update = Update {
                namespace: asked.namespace,
                message: asked.configuration.map(Message::from),
                validate_only: asked.validate_only,
                allow_missing: asked.allow_missing,
            };
            let view = self
                .app()
                .update(&caller, Kind::Configuration, update)
                .await?;
            Ok(pb::UpdateConfigurationResponse {
                configuration: self.message(view).await?.into_configuration(),
            })
        };
        answer(answered.await)
    }

    async fn delete_configuration(
        &self,
        request: Request<pb::DeleteConfigurationRequest>,
    ) -> Result<Response<pb::DeleteConfigurationResponse>, Status> {
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
            self.app()
                .delete(&caller, Kind::Configuration, delete)
                .await?;
            Ok(pb::DeleteConfigurationResponse {})
        };
        answer(answered.await)
    }

    async fn watch_configurations(
        &self,
        request: Request<pb::WatchConfigurationsRequest>,
    ) -> Result<Response<Self::WatchConfigurationsStream>, Status> {
        let watch = |asked: pb::WatchConfigurationsRequest| Watch {
            namespace: asked.namespace,
            filter: asked.filter,
            resume_token: asked.resume_token,
        };
        self.watch(request, Kind::Configuration, watch, watched)
            .await
    }
}

fn watched(told: Told) -> pb::WatchConfigurationsResponse {
    pb::WatchConfigurationsResponse {
        r#type: told.event,
        configuration: told.message.and_then(Message::into_configuration),
        resume_token: told.resume_token,
    }
}
