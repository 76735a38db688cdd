//! `RuntimeService`: where runtimes attach, and servers are registered by address.

use std::sync::Arc;
use std::time::Duration;

use baetyl_proto::function::v1 as wire;
use baetyl_proto::function::v1::runtime_service_server::RuntimeService;
use baetyl_service_kit::fault::{self, Code, Fault, InvalidArgument, Violation};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::access::{Access, AccessError, Caller};
use super::address::{Dialer, check_address};
use super::attach::{Heartbeat, Outgoing, Session, served};
use super::frames::duration;
use crate::app::endpoint::{Instance, MAX_SLOTS};
use crate::app::outbox::Outbox;
use crate::app::pool::Refusal;
use crate::app::proxy::Proxy;
use crate::app::registry::Registration;
use crate::app::reply::WINDOW_BYTES;
use crate::app::route::{DEFAULT_TIMEOUT, MAX_TIMEOUT, check_functions, is_name};

const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const MIN_LEASE: Duration = Duration::from_secs(1);
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_SLOTS: u32 = 16;
const MAX_ID_BYTES: usize = 128;

/// Serves `baetyl.function.v1.RuntimeService`.
#[derive(Debug, Clone)]
pub struct RuntimeApi {
    proxy: Arc<Proxy>,
    access: Arc<Access>,
    dialer: Dialer,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
}

/// A registration that is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error("a later start of this instance is registered")]
    Fenced,
    #[error("there are too many registrations")]
    TooMany,
    #[error("the function service is shutting down")]
    ShuttingDown,
    #[error("there is no such lease")]
    NoLease,
}

impl Fault for RegisterError {
    fn code(&self) -> Code {
        match self {
            Self::Fenced => Code::FailedPrecondition,
            Self::TooMany => Code::ResourceExhausted,
            Self::ShuttingDown => Code::Unavailable,
            Self::NoLease => Code::NotFound,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Fenced => "SUPERSEDED",
            Self::TooMany => "TOO_MANY_RUNTIMES",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::NoLease => "LEASE_NOT_FOUND",
        }
    }
}

impl From<Refusal> for RegisterError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fenced => Self::Fenced,
            Refusal::TooMany => Self::TooMany,
            // A route is made when there is none, so without one the proxy is about to end.
            Refusal::NotRouted | Refusal::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl RuntimeApi {
    /// Creates the service. Streams are tasks of `shutdown`.
    #[must_use]
    pub fn new(
        proxy: Arc<Proxy>,
        access: Arc<Access>,
        dialer: Dialer,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            proxy,
            access,
            dialer,
            heartbeat,
            shutdown,
        }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self
            .access
            .caller(request.extensions(), request.metadata())
            .await;
        caller.map_err(|error| fault::status(&error))
    }

    fn check_register(&self, caller: &Caller, service: &str) -> Result<(), Status> {
        let checked: Result<(), AccessError> = self.access.check_register(caller, service);
        checked.map_err(|error| fault::status(&error))
    }
}

#[tonic::async_trait]
impl RuntimeService for RuntimeApi {
    type AttachStream = Outgoing;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Outgoing>, Status> {
        let caller = self.caller(&request).await?;
        let outbox = Arc::new(Outbox::chunked(WINDOW_BYTES));
        let session = Session {
            proxy: self.proxy.clone(),
            access: self.access.clone(),
            caller,
            outbox: outbox.clone(),
            heartbeat: self.heartbeat,
        };
        let reading = session.run(request.into_inner());
        // It ends with the stream, which the proxy ends when it is closed.
        self.shutdown
            .spawn("attached runtime", OnCancel::Wait, reading);
        Ok(Response::new(Outgoing::new(outbox, self.heartbeat)))
    }

    async fn register_address(
        &self,
        request: Request<wire::RegisterAddressRequest>,
    ) -> Result<Response<wire::RegisterAddressResponse>, Status> {
        let caller = self.caller(&request).await?;
        let wanted = request.into_inner();
        self.check_register(&caller, &wanted.service)?;
        let (registration, lease) = registration(wanted).map_err(|error| fault::status(&error))?;
        let registered = self
            .dialer
            .register(registration, Instant::now())
            .map_err(|refusal| fault::status(&RegisterError::from(refusal)))?;
        Ok(Response::new(wire::RegisterAddressResponse {
            lease_id: registered.lease_id,
            lease_duration: Some(duration(lease)),
            epoch: registered.epoch.0,
        }))
    }

    async fn deregister(
        &self,
        request: Request<wire::DeregisterRequest>,
    ) -> Result<Response<wire::DeregisterResponse>, Status> {
        let caller = self.caller(&request).await?;
        let lease_id = request.into_inner().lease_id;
        let registry = self.dialer.registry();
        let Some(service) = registry.service_of(&lease_id) else {
            return Err(fault::status(&RegisterError::NoLease));
        };
        self.check_register(&caller, &service)?;
        registry.deregister(&lease_id, Instant::now());
        Ok(Response::new(wire::DeregisterResponse {}))
    }
}

fn registration(
    wanted: wire::RegisterAddressRequest,
) -> Result<(Registration, Duration), InvalidArgument> {
    let mut violations = Vec::new();
    let mut report = |field: &str, reason: &str, description: &str| {
        violations.push(Violation::new(field, reason, description));
    };
    let instance = wanted.instance.unwrap_or_default();
    if !(1..=MAX_ID_BYTES).contains(&instance.id.len()) {
        report("instance.id", "NAME", "must have 1 to 128 characters");
    }
    if !is_name(&wanted.service) {
        report("service", "NAME", "must be 1 to 63 of a-z, 0-9, - and .");
    }
    if let Err(problem) = check_address(&wanted.address) {
        report("address", "ADDRESS", &problem);
    }
    let slots = if wanted.slots == 0 {
        DEFAULT_SLOTS
    } else {
        wanted.slots
    };
    if slots > MAX_SLOTS {
        report("slots", "OUT_OF_BOUNDS", "must be at most 1024");
    }
    let lease = told(wanted.lease_duration, DEFAULT_LEASE);
    if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
        report(
            "lease_duration",
            "OUT_OF_BOUNDS",
            "must be between 1 s and 24 h",
        );
    }
    let timeout = told(wanted.timeout, DEFAULT_TIMEOUT);
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        report(
            "timeout",
            "OUT_OF_BOUNDS",
            "must be positive and at most 24 h",
        );
    }
    let names = wanted.functions.iter().map(|each| &each.name);
    check_functions(names, "functions", &mut violations);
    InvalidArgument::check(violations)?;
    let registration = Registration {
        service: wanted.service,
        instance: Instance {
            id: instance.id,
            incarnation: instance.incarnation,
            shard: 0,
        },
        functions: served(wanted.functions),
        address: wanted.address,
        slots,
        lease: Some(lease),
        timeout,
    };
    Ok((registration, lease))
}

/// A duration, or its default; negative ones are zero, which no bound here allows.
fn told(duration: Option<prost_types::Duration>, default: Duration) -> Duration {
    duration.map_or(default, |told| Duration::try_from(told).unwrap_or_default())
}
