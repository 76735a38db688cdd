//! `RouteService`: the route table, from core.

use std::sync::Arc;
use std::time::Duration;

use baetyl_proto::function::v1 as wire;
use baetyl_proto::function::v1::route_service_server::RouteService;
use baetyl_service_kit::fault::{self, Code, Fault, InvalidArgument};
use tonic::{Request, Response, Status};

use super::access::Access;
use crate::app::proxy::Proxy;
use crate::app::release::Release;
use crate::app::route::{DEFAULT_TIMEOUT, Route, RouteSet, StaleRoutes};
use crate::store::{RouteFile, StoreError};

/// Serves `baetyl.function.v1.RouteService`.
#[derive(Debug, Clone)]
pub struct RouteApi {
    proxy: Arc<Proxy>,
    access: Arc<Access>,
    file: RouteFile,
}

/// Why a table is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error(transparent)]
    Stale(#[from] StaleRoutes),
    #[error("the table cannot be stored")]
    Store(#[from] StoreError),
    #[error("the table was not set: the service is about to end")]
    Interrupted,
}

impl Fault for SetError {
    fn code(&self) -> Code {
        match self {
            Self::Stale(_) => Code::FailedPrecondition,
            Self::Store(_) => Code::Internal,
            Self::Interrupted => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Stale(_) => "STALE_ROUTES",
            Self::Store(_) => "ROUTES_NOT_STORED",
            Self::Interrupted => "SHUTTING_DOWN",
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Stale(stale) => vec![("generation", stale.present.to_string())],
            Self::Store(_) | Self::Interrupted => Vec::new(),
        }
    }
}

impl RouteApi {
    /// Creates the service.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, access: Arc<Access>, file: RouteFile) -> Self {
        Self {
            proxy,
            access,
            file,
        }
    }

    /// Makes the table durable, then puts it in force. Not undone when the caller goes away.
    async fn set(&self, set: RouteSet) -> Result<u64, SetError> {
        let (proxy, file) = (self.proxy.clone(), self.file.clone());
        let setting = tokio::task::spawn_blocking(move || {
            proxy.set_routes(set, |set| {
                file.save(set)?;
                let (generation, count) = (set.generation(), set.routes().len());
                tracing::info!(generation, count, "routes are set");
                Ok(())
            })
        });
        setting.await.map_err(|_| SetError::Interrupted)?
    }
}

#[tonic::async_trait]
impl RouteService for RouteApi {
    async fn set_routes(
        &self,
        request: Request<wire::SetRoutesRequest>,
    ) -> Result<Response<wire::SetRoutesResponse>, Status> {
        let caller = self
            .access
            .caller(request.extensions(), request.metadata())
            .await;
        caller
            .and_then(|caller| self.access.check_routes(&caller))
            .map_err(|error| fault::status(&error))?;
        let set = table(request.into_inner()).map_err(|error| fault::status(&error))?;
        let generation = self.set(set).await.map_err(|error| fault::status(&error))?;
        Ok(Response::new(wire::SetRoutesResponse { generation }))
    }
}

fn table(told: wire::SetRoutesRequest) -> Result<RouteSet, InvalidArgument> {
    let mut routes = Vec::with_capacity(told.routes.len());
    for each in told.routes {
        let timeout = match each.timeout {
            None => DEFAULT_TIMEOUT,
            // Negative ones are found to be too short later.
            Some(told) => Duration::try_from(told).unwrap_or_default(),
        };
        let standby = Release {
            revision: each.standby_revision,
            label: each.standby_release,
        };
        routes.push(Route {
            application: each.application,
            service: each.service,
            active: Release {
                revision: each.active_revision,
                label: each.active_release,
            },
            standby: Some(standby).filter(|standby| standby.revision != 0),
            functions: each.functions,
            timeout,
            queue_limit: Some(each.queue_limit).filter(|limit| *limit != 0),
        });
    }
    RouteSet::try_new(told.generation, routes)
}
