//! `ActivationService` over gRPC.

use std::sync::LazyLock;
use std::time::SystemTime;

use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_server::ActivationService;
use baetyl_service_kit::fault::{self, Fault as _};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tonic::{Request, Response, Status};

use super::{Activated, Activation, ActivationError, Endpoints};

/// The service of the listener that asks for no client certificate.
#[derive(Clone, Debug)]
pub struct ActivationApi {
    activation: Activation,
    endpoints: Endpoints,
}

impl ActivationApi {
    /// Puts the service together.
    pub fn new(activation: Activation, endpoints: Endpoints) -> Self {
        Self {
            activation,
            endpoints,
        }
    }

    fn identity(&self, activated: Activated) -> wire::NodeIdentity {
        let servers = self.activation.authorities().servers();
        let chain = activated.chain.iter();
        wire::NodeIdentity {
            certificate_chain: chain.map(|each| each.to_vec().into()).collect(),
            authorities: vec![servers.certificate().to_vec().into()],
            namespace: activated.namespace.to_string(),
            node: activated.node.to_string(),
            node_uid: activated.uid.to_string(),
            sync_addresses: self.endpoints.sync.clone(),
            api_addresses: self.endpoints.api.clone(),
            expire_time: Some(activated.expire_time.into()),
            trust_domain: servers.trust_domain().to_string(),
        }
    }
}

#[tonic::async_trait]
impl ActivationService for ActivationApi {
    async fn activate(
        &self,
        request: Request<wire::ActivateRequest>,
    ) -> Result<Response<wire::ActivateResponse>, Status> {
        let request = request.into_inner();
        let activated = self
            .activation
            .activate(
                &request.token,
                &request.certificate_request,
                SystemTime::now(),
            )
            .await
            .map_err(refused)?;
        let identity = Some(self.identity(activated));
        Ok(Response::new(wire::ActivateResponse { identity }))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let request = request.into_inner();
        let activated = self
            .activation
            .renew(
                &request.certificate,
                &request.certificate_request,
                &request.signature,
                SystemTime::now(),
            )
            .await
            .map_err(refused)?;
        let identity = Some(self.identity(activated));
        Ok(Response::new(wire::RenewResponse { identity }))
    }
}

/// Counts and logs a refusal, and tells the caller.
pub(crate) fn refused(error: ActivationError) -> Status {
    let reason = error.reason();
    REFUSALS.add(1, &[KeyValue::new("reason", reason)]);
    if !matches!(error, ActivationError::Store(_)) {
        tracing::warn!(reason, "a device was refused");
    }
    fault::status(&error)
}

static REFUSALS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .u64_counter("identity_refusals_total")
        .with_description("Devices that were refused, by reason")
        .build()
});
