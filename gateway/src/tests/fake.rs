//! Services that keep little and remember what they were asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baetyl_proto::cloud::v1::configuration_service_server::ConfigurationService;
use baetyl_proto::cloud::v1::*;
use baetyl_proto::function::v1::function_service_server::FunctionService;
use baetyl_proto::function::v1::*;
use baetyl_proto::resource::v1::Configuration;
use baetyl_service_kit::fault::{self, Fault, Resource, Violation};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Refusal {
    code: Code,
    reason: &'static str,
    message: &'static str,
    violations: Vec<Violation>,
    metadata: Vec<(&'static str, String)>,
}

impl Refusal {
    fn status(code: Code, reason: &'static str, message: &'static str) -> Status {
        fault::status(&Self {
            code,
            reason,
            message,
            violations: Vec::new(),
            metadata: Vec::new(),
        })
    }
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        self.code
    }

    fn reason(&self) -> &'static str {
        self.reason
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        self.metadata.clone()
    }

    fn violations(&self) -> Vec<Violation> {
        self.violations.clone()
    }

    fn resource(&self) -> Option<Resource> {
        (self.code == Code::NotFound).then(|| Resource {
            kind: "Configuration".to_owned(),
            name: "absent".to_owned(),
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        (self.code == Code::ResourceExhausted).then_some(Duration::from_millis(1500))
    }
}

#[derive(Debug, Default)]
struct Store {
    held: BTreeMap<String, Configuration>,
    /// The last request, as it prints, and its metadata.
    last: Option<(String, MetadataMap)>,
}

/// Configurations in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Configurations {
    store: Arc<Mutex<Store>>,
}

impl Configurations {
    /// The last request, as it prints.
    pub(super) fn last(&self) -> String {
        let store = self.store.lock().unwrap();
        store
            .last
            .as_ref()
            .map(|(request, _)| request.clone())
            .unwrap_or_default()
    }

    pub(super) fn last_metadata(&self, key: &str) -> Option<String> {
        let store = self.store.lock().unwrap();
        let (_, metadata) = store.last.as_ref()?;
        Some(metadata.get(key)?.to_str().unwrap().to_owned())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.store.lock().unwrap().held.keys().cloned().collect()
    }

    fn remember<T: std::fmt::Debug>(&self, request: Request<T>) -> T {
        let (metadata, _, message) = request.into_parts();
        let shown = format!("{message:?}");
        self.store.lock().unwrap().last = Some((shown, metadata));
        message
    }

    fn put(&self, mut configuration: Configuration, is_dry_run: bool) -> Configuration {
        let mut store = self.store.lock().unwrap();
        let before = store
            .held
            .get(&configuration.name)
            .map_or(0, |held| held.revision);
        configuration.revision = before + 1;
        configuration.etag = format!("u-{}", configuration.revision);
        if !is_dry_run {
            store
                .held
                .insert(configuration.name.clone(), configuration.clone());
        }
        configuration
    }

    fn held(&self, name: &str, etag: &str) -> Result<Configuration, Status> {
        let store = self.store.lock().unwrap();
        let held = store.held.get(name).ok_or_else(|| {
            Refusal::status(Code::NotFound, "CONFIGURATION_NOT_FOUND", "there is none")
        })?;
        if !etag.is_empty() && etag != held.etag {
            return Err(Refusal::status(
                Code::Aborted,
                "ETAG_MISMATCH",
                "it has changed",
            ));
        }
        Ok(held.clone())
    }
}

#[tonic::async_trait]
impl ConfigurationService for Configurations {
    async fn create_configuration(
        &self,
        request: Request<CreateConfigurationRequest>,
    ) -> Result<Response<CreateConfigurationResponse>, Status> {
        let request = self.remember(request);
        let configuration = request.configuration.unwrap_or_default();
        if configuration.name == "Bad Name" {
            let violations = vec![
                Violation::new("configuration.name", "INVALID", "must be lower case"),
                Violation::new("request_id", "INVALID", "must be a UUID"),
            ];
            return Err(fault::status(&fault::InvalidArgument { violations }));
        }
        let configuration = Some(self.put(configuration, request.validate_only));
        Ok(Response::new(CreateConfigurationResponse { configuration }))
    }

    async fn get_configuration(
        &self,
        request: Request<GetConfigurationRequest>,
    ) -> Result<Response<GetConfigurationResponse>, Status> {
        let request = self.remember(request);
        match request.name.as_str() {
            "slow" => std::future::pending().await,
            "busy" => Err(Refusal::status(
                Code::ResourceExhausted,
                "QUOTA",
                "too much",
            )),
            "broken" => Err(Refusal::status(Code::Internal, "DISK", "the disk is gone")),
            "hidden" => Err(Refusal::status(
                Code::Unauthenticated,
                "NO_TOKEN",
                "who are you",
            )),
            name => {
                let configuration = Some(self.held(name, "")?);
                Ok(Response::new(GetConfigurationResponse { configuration }))
            }
        }
    }

    async fn list_configurations(
        &self,
        request: Request<ListConfigurationsRequest>,
    ) -> Result<Response<ListConfigurationsResponse>, Status> {
        self.remember(request);
        let configurations = self.store.lock().unwrap().held.values().cloned().collect();
        Ok(Response::new(ListConfigurationsResponse {
            configurations,
            next_page_token: String::new(),
            resume_token: "r1".to_owned(),
        }))
    }

    async fn update_configuration(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Result<Response<UpdateConfigurationResponse>, Status> {
        let request = self.remember(request);
        let configuration = request.configuration.unwrap_or_default();
        self.held(&configuration.name, &configuration.etag)?;
        let configuration = Some(self.put(configuration, request.validate_only));
        Ok(Response::new(UpdateConfigurationResponse { configuration }))
    }

    async fn delete_configuration(
        &self,
        request: Request<DeleteConfigurationRequest>,
    ) -> Result<Response<DeleteConfigurationResponse>, Status> {
        let request = self.remember(request);
        self.held(&request.name, &request.etag)?;
        if !request.validate_only {
            self.store.lock().unwrap().held.remove(&request.name);
        }
        Ok(Response::new(DeleteConfigurationResponse {}))
    }

    type WatchConfigurationsStream =
        BoxStream<'static, Result<WatchConfigurationsResponse, Status>>;

    async fn watch_configurations(
        &self,
        request: Request<WatchConfigurationsRequest>,
    ) -> Result<Response<Self::WatchConfigurationsStream>, Status> {
        let request = self.remember(request);
        let event = |kind: EventType, token: &str| {
            Ok(WatchConfigurationsResponse {
                r#type: kind.into(),
                configuration: None,
                resume_token: token.to_owned(),
            })
        };
        let events = [
            event(EventType::Added, "t1"),
            event(EventType::Bookmark, "t2"),
        ];
        let too_old = || Refusal::status(Code::OutOfRange, "TOKEN_TOO_OLD", "list again");
        let stream = match request.resume_token.as_str() {
            "old" => return Err(too_old()),
            "breaks" => stream::iter(events)
                .chain(stream::iter([Err(too_old())]))
                .boxed(),
            "open" => stream::iter(events).chain(stream::pending()).boxed(),
            _ => stream::iter(events).boxed(),
        };
        Ok(Response::new(stream))
    }
}

/// Functions that answer with what they were sent.
#[derive(Debug)]
pub(super) struct Functions;

#[tonic::async_trait]
impl FunctionService for Functions {
    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let mut request = request.into_inner();
        if request.function == "raises" {
            return Err(fault::status(&Refusal {
                code: Code::Unknown,
                reason: "FUNCTION_RAISED",
                message: "the function raised ValueError: no",
                violations: Vec::new(),
                metadata: vec![("error-type", "ValueError".to_owned())],
            }));
        }
        if request.function == "page" {
            let html = "text/html".to_owned();
            request.metadata.insert("content-type".to_owned(), html);
            request
                .metadata
                .insert("not a header".to_owned(), "x".to_owned());
            request
                .metadata
                .insert("split".to_owned(), "a\r\nb: c".to_owned());
        }
        let key = request.idempotency_key;
        request.metadata.insert("key".to_owned(), key);
        Ok(Response::new(InvokeResponse {
            payload: request.payload,
            metadata: request.metadata,
            invocation_id: match request.invocation_id.as_str() {
                "" => "made".to_owned(),
                given => given.to_owned(),
            },
        }))
    }

    type InvokeStreamStream = BoxStream<'static, Result<InvokeStreamResponse, Status>>;

    async fn invoke_stream(
        &self,
        request: Request<InvokeStreamRequest>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        let request = request.into_inner();
        let pieces = request.payload.chunks(2).map(|piece| {
            Ok(InvokeStreamResponse {
                payload: piece.to_vec().into(),
                invocation_id: request.invocation_id.clone(),
            })
        });
        let pieces: Vec<_> = pieces.collect();
        Ok(Response::new(stream::iter(pieces).boxed()))
    }

    async fn list_functions(
        &self,
        _request: Request<ListFunctionsRequest>,
    ) -> Result<Response<ListFunctionsResponse>, Status> {
        let function = Function {
            service: "sensors".to_owned(),
            revision: 3,
            ..Function::default()
        };
        let functions = vec![function];
        Ok(Response::new(ListFunctionsResponse { functions }))
    }
}
