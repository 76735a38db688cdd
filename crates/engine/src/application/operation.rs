//! What runs beside an application's task: slow, and repeated until it works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_process::InstanceId;
use tokio::time::{Instant, sleep, timeout};

use crate::context::Context;
use crate::dependency::ServiceCredentials;
use crate::desired::Pin;
use crate::driver::{Launch, Observation, Preparation, Refusal};
use crate::observed::Doom;
use crate::{crash, reason};

/// How long a certificate may take.
const ISSUE_BOUND: Duration = Duration::from_secs(30);

/// A certificate is never asked for more often, whatever its lifetime.
const LEAST_LIFETIME: Duration = Duration::from_secs(1);

/// How an operation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Files of a release; the times at which credentials must be renewed.
    Prepared {
        number: u64,
        pin: Pin,
        result: Result<BTreeMap<String, Instant>, Refusal>,
    },
    /// An instance runs, or does not.
    Started {
        id: InstanceId,
        result: Result<Observation, Refusal>,
    },
    /// An instance was stopped.
    Stopped {
        id: InstanceId,
        doom: Option<Doom>,
        observation: Observation,
    },
    /// The files of an instance are gone.
    Discarded(InstanceId),
    /// The files and the record of the application are gone.
    Removed,
}

/// Issues credentials for some services, and makes the files of a release.
pub(super) async fn prepare(
    context: Arc<Context>,
    mut preparation: Preparation,
    services: Vec<String>,
    pin: Pin,
) -> Outcome {
    let number = preparation.release.number;
    let result = async {
        let mut renewals = BTreeMap::new();
        for service in services {
            let credentials = issue(&context, &preparation.release.application, &service).await?;
            renewals.insert(service.clone(), renewal(&credentials));
            preparation.credentials.insert(service, credentials);
        }
        context.dependencies.driver.prepare(preparation).await?;
        Ok(renewals)
    };
    Outcome::Prepared {
        number,
        pin,
        result: result.await,
    }
}

async fn issue(
    context: &Context,
    application: &str,
    service: &str,
) -> Result<ServiceCredentials, Refusal> {
    let issuing = context
        .dependencies
        .certificates
        .issue(application, service);
    let failure = match timeout(ISSUE_BOUND, issuing).await {
        Ok(Ok(credentials)) => return Ok(credentials),
        Ok(Err(error)) => baetyl_service_kit::fault::chain(&error),
        Err(_) => "it took too long".to_owned(),
    };
    Err(Refusal::passing(
        reason::CERTIFICATE_UNAVAILABLE,
        format!("no certificate for service {service}: {failure}"),
    ))
}

/// When two thirds of the lifetime are over.
fn renewal(credentials: &ServiceCredentials) -> Instant {
    let lifetime = credentials
        .not_after
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    Instant::now() + (lifetime * 2 / 3).max(LEAST_LIFETIME)
}

pub(super) async fn start(context: Arc<Context>, launch: Launch) -> Outcome {
    let id = launch.id.clone();
    crash::point("before_spawn");
    let result = context.dependencies.driver.start(launch).await;
    crash::point("after_spawn");
    Outcome::Started { id, result }
}

pub(super) async fn stop(
    context: Arc<Context>,
    id: InstanceId,
    grace: Duration,
    doom: Option<Doom>,
) -> Outcome {
    loop {
        match context.dependencies.driver.stop(&id, grace).await {
            Ok(observation) => {
                return Outcome::Stopped {
                    id,
                    doom,
                    observation,
                };
            }
            Err(error) => warn(&id, &error, "instance was not stopped; trying again"),
        }
        sleep(context.config.retry_period).await;
    }
}

pub(super) async fn discard(context: Arc<Context>, id: InstanceId) -> Outcome {
    while let Err(error) = context.dependencies.driver.remove(&id).await {
        warn(&id, &error, "instance was not removed; trying again");
        sleep(context.config.retry_period).await;
    }
    Outcome::Discarded(id)
}

pub(super) async fn remove(
    context: Arc<Context>,
    application: String,
    remove_data: bool,
) -> Outcome {
    let dependencies = &context.dependencies;
    loop {
        let forgotten = dependencies.driver.forget(&application, remove_data).await;
        let failure = match forgotten {
            Ok(()) => match dependencies.store.remove(&application).await {
                Ok(()) => return Outcome::Removed,
                Err(error) => baetyl_service_kit::fault::chain(&error),
            },
            Err(error) => baetyl_service_kit::fault::chain(&error),
        };
        tracing::warn!(
            app.name = application,
            error = failure,
            "application was not removed; trying again"
        );
        sleep(context.config.retry_period).await;
    }
}

fn warn(id: &InstanceId, error: &crate::driver::DriverError, what: &'static str) {
    tracing::warn!(
        instance.id = id.as_str(),
        error = baetyl_service_kit::fault::chain(error),
        what,
        "operation failed"
    );
}
