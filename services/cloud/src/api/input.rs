//! `ConfigurationService`, `SecretService`, `CertificateService` and `RegistryService`: what
//! applications use, four kinds alike.

use baetyl_model::{Kind, Message};
use baetyl_proto::cloud::v1 as pb;
use pb::certificate_service_server::CertificateService;
use pb::configuration_service_server::ConfigurationService;
use pb::registry_service_server::RegistryService;
use pb::secret_service_server::SecretService;
use tonic::{Request, Response, Status};

use super::resource::{Get, Told};
use super::{Answers, Api, answer};
use crate::app::delete::Delete;
use crate::app::list::List;
use crate::app::watch::Watch;
use crate::app::write::{Create, Update};

/// Whether values are asked for, by the field that says so when there is one.
macro_rules! asks_for {
    ($asked:ident) => {
        false
    };
    ($asked:ident $values:ident) => {
        $asked.$values
    };
}

/// The service of one kind; they differ in their names only.
macro_rules! service {
    ($service:ident, $kind:ident, $field:ident, $fields:ident, $into:ident,
     $create:ident $CreateRequest:ident $CreateResponse:ident,
     $get:ident $GetRequest:ident $GetResponse:ident { $($values:ident)? },
     $list:ident $ListRequest:ident $ListResponse:ident,
     $update:ident $UpdateRequest:ident $UpdateResponse:ident,
     $delete:ident $DeleteRequest:ident $DeleteResponse:ident,
     $watch:ident $WatchRequest:ident $WatchResponse:ident $WatchStream:ident $(,)?) => {
        #[tonic::async_trait]
        impl $service for Api {
            type $WatchStream = Answers<pb::$WatchResponse>;

            async fn $create(
                &self,
                request: Request<pb::$CreateRequest>,
            ) -> Result<Response<pb::$CreateResponse>, Status> {
                let create = |asked: pb::$CreateRequest| Create {
                    namespace: asked.namespace,
                    message: asked.$field.map(Message::from),
                    request_id: asked.request_id,
                    validate_only: asked.validate_only,
                };
                let made = self.create(request, Kind::$kind, create).await;
                answer(made.map(|made| pb::$CreateResponse { $field: made.$into() }))
            }

            async fn $get(
                &self,
                request: Request<pb::$GetRequest>,
            ) -> Result<Response<pb::$GetResponse>, Status> {
                let get = |asked: pb::$GetRequest| Get {
                    with_values: asks_for!(asked $($values)?),
                    namespace: asked.namespace,
                    name: asked.name,
                };
                let found = self.get(request, Kind::$kind, get).await;
                answer(found.map(|found| pb::$GetResponse { $field: found.$into() }))
            }

            async fn $list(
                &self,
                request: Request<pb::$ListRequest>,
            ) -> Result<Response<pb::$ListResponse>, Status> {
                let list = |asked: pb::$ListRequest| List {
                    namespace: asked.namespace,
                    filter: asked.filter,
                    page_size: asked.page_size,
                    page_token: asked.page_token,
                    order_by: asked.order_by,
                };
                let page = self.list(request, Kind::$kind, list).await;
                answer(page.map(|page| pb::$ListResponse {
                    $fields: page.messages.into_iter().filter_map(Message::$into).collect(),
                    next_page_token: page.next_page_token,
                    resume_token: page.resume_token,
                }))
            }

            async fn $update(
                &self,
                request: Request<pb::$UpdateRequest>,
            ) -> Result<Response<pb::$UpdateResponse>, Status> {
                let update = |asked: pb::$UpdateRequest| Update {
                    namespace: asked.namespace,
                    message: asked.$field.map(Message::from),
                    validate_only: asked.validate_only,
                    allow_missing: asked.allow_missing,
                };
                let made = self.update(request, Kind::$kind, update).await;
                answer(made.map(|made| pb::$UpdateResponse { $field: made.$into() }))
            }

            async fn $delete(
                &self,
                request: Request<pb::$DeleteRequest>,
            ) -> Result<Response<pb::$DeleteResponse>, Status> {
                let delete = |asked: pb::$DeleteRequest| Delete {
                    namespace: asked.namespace,
                    name: asked.name,
                    etag: asked.etag,
                    force: asked.force,
                    validate_only: asked.validate_only,
                    ..Delete::default()
                };
                let deleted = self.delete(request, Kind::$kind, delete).await;
                answer(deleted.map(|()| pb::$DeleteResponse {}))
            }

            async fn $watch(
                &self,
                request: Request<pb::$WatchRequest>,
            ) -> Result<Response<Self::$WatchStream>, Status> {
                let watch = |asked: pb::$WatchRequest| Watch {
                    namespace: asked.namespace,
                    filter: asked.filter,
                    resume_token: asked.resume_token,
                };
                let watched = |told: Told| pb::$WatchResponse {
                    r#type: told.event,
                    $field: told.message.and_then(Message::$into),
                    resume_token: told.resume_token,
                };
                self.watch(request, Kind::$kind, watch, watched).await
            }
        }
    };
}

service!(
    ConfigurationService, Configuration, configuration, configurations, into_configuration,
    create_configuration CreateConfigurationRequest CreateConfigurationResponse,
    get_configuration GetConfigurationRequest GetConfigurationResponse {},
    list_configurations ListConfigurationsRequest ListConfigurationsResponse,
    update_configuration UpdateConfigurationRequest UpdateConfigurationResponse,
    delete_configuration DeleteConfigurationRequest DeleteConfigurationResponse,
    watch_configurations WatchConfigurationsRequest WatchConfigurationsResponse
        WatchConfigurationsStream,
);

service!(
    SecretService, Secret, secret, secrets, into_secret,
    create_secret CreateSecretRequest CreateSecretResponse,
    get_secret GetSecretRequest GetSecretResponse { include_values },
    list_secrets ListSecretsRequest ListSecretsResponse,
    update_secret UpdateSecretRequest UpdateSecretResponse,
    delete_secret DeleteSecretRequest DeleteSecretResponse,
    watch_secrets WatchSecretsRequest WatchSecretsResponse WatchSecretsStream,
);

service!(
    CertificateService, Certificate, certificate, certificates, into_certificate,
    create_certificate CreateCertificateRequest CreateCertificateResponse,
    get_certificate GetCertificateRequest GetCertificateResponse {},
    list_certificates ListCertificatesRequest ListCertificatesResponse,
    update_certificate UpdateCertificateRequest UpdateCertificateResponse,
    delete_certificate DeleteCertificateRequest DeleteCertificateResponse,
    watch_certificates WatchCertificatesRequest WatchCertificatesResponse
        WatchCertificatesStream,
);

service!(
    RegistryService, Registry, registry, registries, into_registry,
    create_registry CreateRegistryRequest CreateRegistryResponse,
    get_registry GetRegistryRequest GetRegistryResponse {},
    list_registries ListRegistriesRequest ListRegistriesResponse,
    update_registry UpdateRegistryRequest UpdateRegistryResponse,
    delete_registry DeleteRegistryRequest DeleteRegistryResponse,
    watch_registries WatchRegistriesRequest WatchRegistriesResponse WatchRegistriesStream,
);
