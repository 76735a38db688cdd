//! Hands the route table of the functions to the function service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use baetyl_engine::{EngineHandle, Routes};
use baetyl_proto::function::v1::SetRoutesRequest;
use baetyl_proto::function::v1::route_service_client::RouteServiceClient;
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault::{Problem, chain};
use baetyl_service_kit::serve::{ConnectOptions, Target, connect_lazy};
use baetyl_service_kit::telemetry::propagation::{TracedChannel, traced};
use baetyl_shadow::Digest;
use prost::Message as _;
use tonic::Request;

use crate::field;
use crate::store::{Store, StoreError};

/// How long one call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// A table that was taken is set again this often: the function service may have lost its own, and
/// the same table changes nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// Until a table is taken, it is sent at least this often: both ends are on one machine.
const UNTIL_TAKEN: Bounds = Bounds {
    initial: Duration::from_millis(100),
    cap: Duration::from_secs(2),
    healthy_after: Duration::ZERO,
};

/// The function service holds a table with a higher generation: this store was emptied.
const STALE: &str = "STALE_ROUTES";

/// A table was not taken.
#[derive(Debug, thiserror::Error)]
enum RouteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the function service refused the route table: {0}")]
    Refused(Problem),
    #[error("the function service did not answer in time")]
    Deadline,
}

/// Sets the route table whenever it changed, until it is taken.
pub(crate) struct RouteSender {
    store: Arc<Store>,
    client: RouteServiceClient<TracedChannel>,
    engine: EngineHandle,
}

impl RouteSender {
    pub(crate) fn new(store: Arc<Store>, engine: EngineHandle, function: &Target) -> Self {
        let channel = connect_lazy(function, &ConnectOptions::default());
        let client = RouteServiceClient::new(traced(channel));
        Self {
            store,
            client,
            engine,
        }
    }

    /// Runs until the engine ends; dropping it between calls loses nothing.
    pub(crate) async fn run(self) {
        let mut routes = self.engine.routes();
        let mut backoff = Backoff::new(UNTIL_TAKEN);
        let mut floor = 0;
        loop {
            let table = routes.borrow_and_update().clone();
            let pause = match &table {
                None => AGAIN,
                Some(table) => match self.set(table, floor).await {
                    Ok(()) => {
                        backoff.healthy(Instant::now());
                        AGAIN
                    }
                    Err(error) => {
                        floor = next_floor(&error, floor);
                        let attempt = backoff.attempt() + 1;
                        let error = chain(&error);
                        tracing::debug!({ field::ATTEMPT } = attempt, error, "routes not set");
                        backoff.next_delay(Instant::now())
                    }
                },
            };
            tokio::select! {
                changed = routes.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn set(&self, table: &Arc<Routes>, floor: u64) -> Result<(), RouteError> {
        let mut request = SetRoutesRequest {
            generation: 0,
            routes: table.to_vec(),
        };
        let digest = Digest::of(&request.encode_to_vec());
        let generation = self
            .store
            .run(move |store| store.routes_generation(digest, floor));
        request.generation = generation.await?;
        let mut client = self.client.clone();
        let call = client.set_routes(Request::new(request));
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(RouteError::Refused(Problem::from_status(&status))),
            Err(_) => Err(RouteError::Deadline),
        }
    }
}

/// After a refusal as stale the next generation lies above the one that is in force; when that is
/// not told, above anything that was counted in steps of one.
fn next_floor(error: &RouteError, floor: u64) -> u64 {
    let RouteError::Refused(problem) = error else {
        return floor;
    };
    if problem.reason != STALE {
        return floor;
    }
    let told = problem.metadata.get("generation");
    match told.and_then(|text| text.parse::<u64>().ok()) {
        Some(in_force) => in_force.saturating_add(1),
        None => {
            let now = crate::value::now_millis().0;
            u64::try_from(now)
                .unwrap_or_default()
                .max(floor.saturating_add(1))
        }
    }
}
