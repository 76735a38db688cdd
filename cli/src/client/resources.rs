//! Every kind of resource alike: as documents.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::cloud::v1::{Document, EventType};
use futures::stream::{BoxStream, StreamExt as _};
use tonic::Status;

use super::{Client, Kind, Wire, call};
use crate::failure::Failure;

/// How many resources are asked for at once.
const PAGE: i32 = 500;

/// A change of a watched resource; without a document it is a bookmark.
#[derive(Debug)]
pub(crate) struct Change {
    /// What happened.
    pub(crate) kind: EventType,
    /// The resource as it is now, or was at last.
    pub(crate) document: Option<Document>,
}

/// The requests of one kind; they differ in their names only.
macro_rules! kind {
    ($module:ident, $client:ident, $variant:ident, $field:ident, $fields:ident,
     $get:ident $GetRequest:ident, $list:ident $ListRequest:ident,
     $update:ident $UpdateRequest:ident, $delete:ident $DeleteRequest:ident,
     $watch:ident $WatchRequest:ident,
     { $($namespace:ident)? }, { $($values:ident)? }, { $($force:ident)? } { $($remove:ident)? }) => {
        mod $module {
            use super::*;
            use baetyl_proto::cloud::v1::$module::$client;

            fn document(resource: baetyl_proto::resource::v1::$variant) -> Document {
                Document { resource: Some(Resource::$variant(resource)) }
            }

            fn client(wire: &Wire) -> $client<Wire> {
                $client::new(wire.clone()).max_decoding_message_size(32 * 1024 * 1024)
            }

            pub(super) async fn get(
                wire: &Wire, _namespace: &str, name: &str, _show_values: bool,
            ) -> Result<Document, Status> {
                let request = wire::$GetRequest {
                    name: name.to_owned(),
                    $($namespace: _namespace.to_owned(),)?
                    $($values: _show_values,)?
                };
                let found = client(wire).$get(call(request)).await?.into_inner();
                Ok(document(found.$field.unwrap_or_default()))
            }

            pub(super) async fn page(
                wire: &Wire, _namespace: &str, filter: &str, page_token: String,
            ) -> Result<(Vec<Document>, String), Status> {
                let request = wire::$ListRequest {
                    filter: filter.to_owned(),
                    page_size: PAGE,
                    page_token,
                    $($namespace: _namespace.to_owned(),)?
                    ..Default::default()
                };
                let page = client(wire).$list(call(request)).await?.into_inner();
                let documents = page.$fields.into_iter().map(document).collect();
                Ok((documents, page.next_page_token))
            }

            pub(super) async fn update(
                wire: &Wire, _namespace: &str, resource: baetyl_proto::resource::v1::$variant,
            ) -> Result<Document, Status> {
                let request = wire::$UpdateRequest {
                    $field: Some(resource),
                    $($namespace: _namespace.to_owned(),)?
                    ..Default::default()
                };
                let updated = client(wire).$update(call(request)).await?.into_inner();
                Ok(document(updated.$field.unwrap_or_default()))
            }

            pub(super) async fn delete(
                wire: &Wire, _namespace: &str, name: &str, _force: bool, _remove_data: bool,
            ) -> Result<(), Status> {
                let request = wire::$DeleteRequest {
                    name: name.to_owned(),
                    $($namespace: _namespace.to_owned(),)?
                    $($force: _force,)?
                    $($remove: _remove_data,)?
                    ..Default::default()
                };
                client(wire).$delete(call(request)).await?;
                Ok(())
            }

            pub(super) async fn watch(
                wire: &Wire, _namespace: &str, filter: &str,
            ) -> Result<BoxStream<'static, Result<Change, Status>>, Status> {
                let request = wire::$WatchRequest {
                    filter: filter.to_owned(),
                    $($namespace: _namespace.to_owned(),)?
                    ..Default::default()
                };
                let changes = client(wire).$watch(request).await?.into_inner();
                let changes = changes.map(|change| {
                    change.map(|change| Change {
                        kind: change.r#type(),
                        document: change.$field.map(document),
                    })
                });
                Ok(changes.boxed())
            }
        }
    };
}

kind!(namespace_service_client, NamespaceServiceClient, Namespace, namespace, namespaces,
    get_namespace GetNamespaceRequest, list_namespaces ListNamespacesRequest,
    update_namespace UpdateNamespaceRequest, delete_namespace DeleteNamespaceRequest,
    watch_namespaces WatchNamespacesRequest, {}, {}, { force } {});
kind!(node_service_client, NodeServiceClient, Node, node, nodes,
    get_node GetNodeRequest, list_nodes ListNodesRequest,
    update_node UpdateNodeRequest, delete_node DeleteNodeRequest,
    watch_nodes WatchNodesRequest, { namespace }, {}, {} { remove_data });
kind!(application_service_client, ApplicationServiceClient, Application, application, applications,
    get_application GetApplicationRequest, list_applications ListApplicationsRequest,
    update_application UpdateApplicationRequest, delete_application DeleteApplicationRequest,
    watch_applications WatchApplicationsRequest, { namespace }, {}, {} {});
kind!(configuration_service_client, ConfigurationServiceClient, Configuration, configuration,
    configurations,
    get_configuration GetConfigurationRequest, list_configurations ListConfigurationsRequest,
    update_configuration UpdateConfigurationRequest,
    delete_configuration DeleteConfigurationRequest,
    watch_configurations WatchConfigurationsRequest, { namespace }, {}, { force } {});
kind!(secret_service_client, SecretServiceClient, Secret, secret, secrets,
    get_secret GetSecretRequest, list_secrets ListSecretsRequest,
    update_secret UpdateSecretRequest, delete_secret DeleteSecretRequest,
    watch_secrets WatchSecretsRequest, { namespace }, { include_values }, { force } {});
kind!(certificate_service_client, CertificateServiceClient, Certificate, certificate, certificates,
    get_certificate GetCertificateRequest, list_certificates ListCertificatesRequest,
    update_certificate UpdateCertificateRequest, delete_certificate DeleteCertificateRequest,
    watch_certificates WatchCertificatesRequest, { namespace }, {}, { force } {});
kind!(registry_service_client, RegistryServiceClient, Registry, registry, registries,
    get_registry GetRegistryRequest, list_registries ListRegistriesRequest,
    update_registry UpdateRegistryRequest, delete_registry DeleteRegistryRequest,
    watch_registries WatchRegistriesRequest, { namespace }, {}, { force } {});

/// Calls the function of the module of a kind.
macro_rules! dispatch {
    ($kind:expr, $function:ident ( $($argument:expr),* )) => {
        match $kind {
            Kind::Namespace => namespace_service_client::$function($($argument),*).await,
            Kind::Node => node_service_client::$function($($argument),*).await,
            Kind::Application => application_service_client::$function($($argument),*).await,
            Kind::Configuration => configuration_service_client::$function($($argument),*).await,
            Kind::Secret => secret_service_client::$function($($argument),*).await,
            Kind::Certificate => certificate_service_client::$function($($argument),*).await,
            Kind::Registry => registry_service_client::$function($($argument),*).await,
        }
    };
}

impl Client {
    /// Reads one resource.
    pub(crate) async fn get(
        &self,
        wire: &Wire,
        kind: Kind,
        name: &str,
        show_values: bool,
    ) -> Result<Document, Failure> {
        Ok(dispatch!(
            kind,
            get(wire, &self.namespace, name, show_values)
        )?)
    }

    /// Lists all resources of a kind that a selector matches.
    pub(crate) async fn list(
        &self,
        wire: &Wire,
        kind: Kind,
        filter: &str,
    ) -> Result<Vec<Document>, Failure> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = dispatch!(kind, page(wire, &self.namespace, filter, token));
            let (documents, next) = page?;
            all.extend(documents);
            if next.is_empty() {
                return Ok(all);
            }
            token = next;
        }
    }

    /// Replaces the spec of a resource.
    pub(crate) async fn update(
        &self,
        wire: &Wire,
        document: Document,
    ) -> Result<Document, Failure> {
        let namespace = &self.namespace;
        let updated = match document
            .resource
            .unwrap_or_else(|| Resource::Node(<_>::default()))
        {
            Resource::Namespace(it) => namespace_service_client::update(wire, namespace, it).await,
            Resource::Node(it) => node_service_client::update(wire, namespace, it).await,
            Resource::Application(it) => {
                application_service_client::update(wire, namespace, it).await
            }
            Resource::Configuration(it) => {
                configuration_service_client::update(wire, namespace, it).await
            }
            Resource::Secret(it) => secret_service_client::update(wire, namespace, it).await,
            Resource::Certificate(it) => {
                certificate_service_client::update(wire, namespace, it).await
            }
            Resource::Registry(it) => registry_service_client::update(wire, namespace, it).await,
        };
        Ok(updated?)
    }

    /// Deletes one resource.
    pub(crate) async fn delete(
        &self,
        wire: &Wire,
        kind: Kind,
        name: &str,
        force: bool,
        remove_data: bool,
    ) -> Result<(), Failure> {
        let namespace = &self.namespace;
        Ok(dispatch!(
            kind,
            delete(wire, namespace, name, force, remove_data)
        )?)
    }

    /// Watches all resources of a kind that a selector matches.
    pub(crate) async fn watch(
        &self,
        wire: &Wire,
        kind: Kind,
        filter: &str,
    ) -> Result<BoxStream<'static, Result<Change, Status>>, Failure> {
        Ok(dispatch!(kind, watch(wire, &self.namespace, filter))?)
    }
}
