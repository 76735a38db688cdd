//! Servers of `faas.Function` that are reached by address: the other transport of endpoints.
//!
//! A task per server takes calls out of the endpoint's outbox and makes unary calls of them, all
//! on one connection, which connects again by itself.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use baetyl_proto::faas::Message;
use baetyl_proto::faas::function_client::FunctionClient;
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault;
use baetyl_service_kit::serve::{ConnectOptions, MAX_MESSAGE_BYTES, Target, connect_lazy};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Status, TimeoutExpired};

use super::faas::{FUNCTION_NAME, INVOKE_ID, SERVICE_NAME};
use crate::app::calls::CallId;
use crate::app::error::{CallError, Reason};
use crate::app::invocation::{Answer, Failure, Invocation, Metadata, Outcome};
use crate::app::outbox::{CallCommand, Command, GoAway};
use crate::app::pool::Refusal;
use crate::app::registry::{AddressEndpoint, LeaseEnd, Registered, Registration, Registry};

/// How soon a server that could not be reached is tried again.
const RETRY: Bounds = Bounds {
    initial: Duration::from_millis(100),
    cap: Duration::from_secs(5),
    healthy_after: Duration::from_secs(10),
};

/// Most bytes of what a server says of an error.
const MAX_ERROR_BYTES: usize = 4 * 1024;

/// Registers servers and drives them.
#[derive(Debug, Clone)]
pub struct Dialer {
    registry: Arc<Registry>,
    shutdown: Shutdown,
}

impl Dialer {
    /// Creates a dialer whose tasks belong to `shutdown`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, shutdown: Shutdown) -> Self {
        Self { registry, shutdown }
    }

    /// The registrations.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes or renews a registration, whose address [`check_address`] has accepted.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn register(&self, wanted: Registration, now: Instant) -> Result<Registered, Refusal> {
        let mut registered = self.registry.register(wanted, now)?;
        if let Some(endpoint) = registered.endpoint.take() {
            match target(&endpoint.address) {
                Ok(target) => {
                    let driver = Driver::new(endpoint, self.registry.clone(), &target);
                    self.shutdown
                        .spawn("server by address", OnCancel::Wait, driver.run());
                }
                // Addresses are checked before they come here.
                Err(_) => self.registry.forget(endpoint),
            }
        }
        Ok(registered)
    }
}

/// Checks that an address is `http://` with a loopback host, or `unix:`.
///
/// # Errors
/// What is wrong with it.
pub fn check_address(address: &str) -> Result<(), String> {
    let target = target(address)?;
    if is_unix(address) {
        return Ok(());
    }
    let host = target
        .uri()
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if is_loopback {
        return Ok(());
    }
    Err("must be a loopback address: there is no TLS to other machines here".to_owned())
}

fn is_unix(address: &str) -> bool {
    address.starts_with("unix:")
}

fn target(address: &str) -> Result<Target, String> {
    // A URL of a socket has two slashes more than the form that is used here.
    let plain = match address.strip_prefix("unix://") {
        Some(path) => format!("unix:{path}"),
        None => address.to_owned(),
    };
    Target::plain(&plain).map_err(|error| error.to_string())
}

/// What makes calls of one server out of its endpoint's commands.
struct Driver {
    endpoint: AddressEndpoint,
    registry: Arc<Registry>,
    client: FunctionClient<Channel>,
    cancels: HashMap<CallId, AbortHandle>,
    backoff: Backoff,
    /// When a server that could not be reached is tried again.
    trust_at: Option<Instant>,
}

/// How a call ended on the way to a server.
struct Ended {
    id: CallId,
    outcome: Outcome,
    is_unreachable: bool,
}

impl Driver {
    fn new(endpoint: AddressEndpoint, registry: Arc<Registry>, target: &Target) -> Self {
        let channel = connect_lazy(target, &ConnectOptions::default());
        let client = FunctionClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self {
            endpoint,
            registry,
            client,
            cancels: HashMap::new(),
            backoff: Backoff::new(RETRY),
            trust_at: None,
        }
    }

    async fn run(mut self) {
        let service = self.endpoint.link.service().clone();
        tracing::info!(
            service = &*service,
            address = self.endpoint.address,
            "server registered"
        );
        let outbox = self.endpoint.link.outbox().clone();
        let mut lease_end = self.endpoint.lease_end.clone();
        let mut is_dismissed = false;
        let mut calls = FuturesUnordered::new();
        loop {
            let trust_at = self.trust_at;
            // All arms are cancel safe: a batch and an end are only taken whole.
            tokio::select! {
                biased;
                Some(ended) = calls.next(), if !calls.is_empty() => self.end(ended),
                batch = poll_fn(|context| outbox.poll_batch(context)) => {
                    let Some(batch) = batch else {
                        break;
                    };
                    calls.extend(batch.into_iter().filter_map(|command| self.take(command)));
                }
                () = sleep_until(trust_at.unwrap_or_else(Instant::now)), if trust_at.is_some() => {
                    self.trust_at = None;
                    self.endpoint.link.trust();
                }
                () = is_over(&mut lease_end), if !is_dismissed => {
                    is_dismissed = true;
                    self.endpoint.link.dismiss(GoAway {
                        reason: "LEASE_EXPIRED",
                        message: "the lease is over".to_owned(),
                        reconnect_after: None,
                    });
                }
            }
        }
        tracing::info!(
            service = &*service,
            address = self.endpoint.address,
            "server gone"
        );
        self.registry.forget(self.endpoint);
    }

    /// Begins a call, or cancels one; a cancelled one ends too.
    fn take(&mut self, command: Command) -> Option<impl Future<Output = Ended> + use<>> {
        let call = match command {
            Command::Call(call) => call,
            Command::Cancel { id, .. } => {
                if let Some(handle) = self.cancels.get(&id) {
                    handle.abort();
                }
                return None;
            }
            // There is no stream to say these on.
            Command::Welcome(_)
            | Command::Chunk { .. }
            | Command::Credit { .. }
            | Command::Ping(_)
            | Command::Pong(_)
            | Command::GoAway(_) => return None,
        };
        let id = call.id;
        let (handle, registration) = AbortHandle::new_pair();
        self.cancels.insert(id, handle);
        let made = make(
            self.client.clone(),
            self.endpoint.link.service().clone(),
            call,
        );
        let made = Abortable::new(made, registration);
        Some(async move {
            let (result, is_unreachable) = match made.await {
                Ok(Ok(answer)) => (Ok(answer), false),
                Ok(Err(failure)) => (Err(failure.clone()), matches!(failure, Failure::NotRun(_))),
                Err(Aborted) => (Err(Failure::Ran(CallError::Cancelled)), false),
            };
            let outcome = Outcome {
                result,
                run_time: Duration::ZERO,
            };
            Ended {
                id,
                outcome,
                is_unreachable,
            }
        })
    }

    fn end(&mut self, ended: Ended) {
        self.cancels.remove(&ended.id);
        let now = Instant::now();
        if ended.is_unreachable {
            // First nothing more goes there, then the call looks for another place.
            self.endpoint.link.suspect();
            let delay = self.backoff.next_delay(now.into_std());
            self.trust_at.get_or_insert(now + delay);
        } else if ended.outcome.result.is_ok() {
            self.backoff.healthy(now.into_std());
        }
        self.endpoint.link.listen().result(ended.id, ended.outcome);
    }
}

/// Completes when the lease is over and nobody renews it meanwhile. Cancel safe.
async fn is_over(lease_end: &mut watch::Receiver<LeaseEnd>) {
    loop {
        let end = *lease_end.borrow_and_update();
        let is_changed = async {
            // Without a registry there are no renewals.
            if lease_end.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(end) = end else {
            is_changed.await;
            continue;
        };
        tokio::select! {
            () = is_changed => {}
            () = sleep_until(end) => return,
        }
    }
}

/// Makes one call.
async fn make(
    mut client: FunctionClient<Channel>,
    service: Arc<str>,
    call: CallCommand,
) -> Result<Answer, Failure> {
    let invocation = call.invocation;
    let left = invocation
        .deadline
        .saturating_duration_since(Instant::now());
    let mut request = Request::new(message(&service, &invocation));
    request.set_timeout(left);
    if let Ok(value) = invocation.traceparent.parse()
        && !invocation.traceparent.is_empty()
    {
        request.metadata_mut().insert("traceparent", value);
    }
    let answered = client.call(request).await;
    let message = answered
        .map_err(|status| failure(&status, &service))?
        .into_inner();
    Ok(Answer {
        payload: message.payload,
        metadata: own_metadata(message.metadata, &service, &invocation),
    })
}

fn message(service: &str, invocation: &Invocation) -> Message {
    let mut metadata: BTreeMap<String, String> = invocation.metadata.iter().cloned().collect();
    metadata.insert(SERVICE_NAME.to_owned(), service.to_owned());
    metadata.insert(FUNCTION_NAME.to_owned(), invocation.function.to_string());
    metadata.insert(INVOKE_ID.to_owned(), invocation.invocation_id.clone());
    Message {
        id: 0,
        metadata,
        payload: invocation.payload.clone(),
    }
}

/// What the server added: most of them answer with the message that they got.
fn own_metadata(
    told: BTreeMap<String, String>,
    service: &str,
    invocation: &Invocation,
) -> Metadata {
    let sent = message(service, invocation).metadata;
    told.into_iter()
        .filter(|(key, value)| sent.get(key) != Some(value))
        .collect()
}

/// What a failed call means. A status that came over the wire has no source; one that was made
/// here, because something is wrong with the connection, has.
fn failure(status: &Status, service: &str) -> Failure {
    let no_runtime = || CallError::NoRuntime {
        service: service.to_owned(),
    };
    if let Some(source) = status.source() {
        tracing::debug!(
            service,
            error = fault::chain(source),
            "call of a server broke"
        );
        if has_source::<ConnectError>(source) {
            return Failure::NotRun(no_runtime());
        }
        if has_source::<TimeoutExpired>(source) {
            return Failure::Ran(CallError::Timeout);
        }
        return Failure::Ran(CallError::RuntimeDied { has_started: false });
    }
    let mut message = status.message().to_owned();
    message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
    let error = match status.code() {
        Code::DeadlineExceeded => CallError::Timeout,
        Code::Cancelled => CallError::Cancelled,
        Code::Unavailable => CallError::RuntimeDied { has_started: false },
        Code::ResourceExhausted => CallError::Overloaded {
            service: service.to_owned(),
            retry_after: RETRY.initial,
        },
        Code::Unimplemented => CallError::RuntimeFailed {
            reason: Reason::PROTOCOL,
            message,
        },
        // What a server of the predecessor says when the user's code raised is UNKNOWN; any
        // other code was chosen by that code.
        code => CallError::Raised {
            error_type: match code {
                Code::Unknown => String::new(),
                code => fault::name(code).to_owned(),
            },
            message,
            stack: String::new(),
        },
    };
    Failure::Ran(error)
}

fn has_source<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(each) = next {
        if each.is::<E>() {
            return true;
        }
        next = each.source();
    }
    false
}

#[cfg(test)]
mod tests;
