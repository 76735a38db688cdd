//! The proxy: the route table that calls are looked up in, and the services behind it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::endpoint::{Endpoint, EndpointId, Instance, ServedFunction, Serves, State};
use super::error::CallError;
use super::invocation::{Invocation, Metadata};
use super::metrics;
use super::outbox::{GoAway, Outbox, Welcome};
use super::pending::PendingCall;
use super::pool::{FunctionStatus, Limits, Pool, Refusal};
use super::release::Release;
use super::route::{Route, RouteSet, StaleRoutes};
use super::service::{Link, Service};
use super::tally::Tally;

/// A call as it comes in.
#[derive(Debug)]
pub struct NewCall<'a> {
    /// Name of the service, or `application.service`.
    pub service: &'a str,
    /// Name of the function; the service's first when empty.
    pub function: &'a str,
    /// Opaque bytes.
    pub payload: Bytes,
    /// Free text for the function.
    pub metadata: Metadata,
    /// Not empty: safe to repeat.
    pub idempotency_key: String,
    /// Identity for logs.
    pub invocation_id: String,
    /// W3C trace context; empty for none.
    pub traceparent: String,
    /// Whether values are wanted as they come.
    pub is_stream: bool,
    /// When the caller stops waiting, if it said so.
    pub deadline: Option<Instant>,
}

/// A runtime as it comes in.
#[derive(Debug)]
pub struct NewEndpoint {
    /// Who it is.
    pub instance: Instance,
    /// Name of the service.
    pub service: String,
    /// Which calls it may get.
    pub serves: Serves,
    /// The functions it serves; none for any.
    pub functions: Vec<ServedFunction>,
    /// Calls it takes at the same time.
    pub slots: u32,
    /// Where its commands go.
    pub outbox: Arc<Outbox>,
}

/// A service in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Where its calls go.
    pub route: Arc<Route>,
    /// Its functions, by name.
    pub functions: Vec<FunctionStatus>,
}

/// The proxy of one node.
#[derive(Debug)]
pub struct Proxy {
    /// What calls read: never locked.
    table: ArcSwap<Table>,
    /// What the table is made from; held while it is made.
    sources: Mutex<Sources>,
    /// Held while a table is made durable and put in force, so that those happen in one order.
    setting: Mutex<()>,
    epochs: AtomicU64,
    limits: Limits,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Table {
    /// By service, and by `application.service`.
    by_name: HashMap<String, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    route: Arc<Route>,
    functions: Vec<Arc<str>>,
    /// What functions are called in metrics when callers choose the names.
    any: Arc<str>,
    service: Arc<Service>,
}

#[derive(Debug, Default)]
struct Sources {
    set: Arc<RouteSet>,
    /// Routes of services that were registered by address and have none in the set.
    registered: BTreeMap<String, Route>,
    closing: Option<GoAway>,
}

impl Proxy {
    /// Creates a proxy without routes.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let proxy = Arc::new(Self {
            table: ArcSwap::default(),
            sources: Mutex::default(),
            setting: Mutex::default(),
            epochs: AtomicU64::new(1),
            limits,
            tally: Arc::default(),
        });
        metrics::observe(&proxy);
        proxy
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Takes a call. Its deadline is the caller's or the route's, whichever is first.
    ///
    /// # Errors
    /// There is no such function, no room, no runtime, or no time left.
    pub fn invoke(&self, call: NewCall<'_>) -> Result<PendingCall, CallError> {
        let begun = Instant::now();
        let table = self.table.load();
        let found = table.by_name.get(call.service);
        let named = found.and_then(|entry| Some((entry, entry.function(call.function)?)));
        let Some((entry, function)) = named else {
            let error = CallError::FunctionNotFound {
                service: call.service.to_owned(),
                function: call.function.to_owned(),
            };
            metrics::unknown(&error, begun);
            return Err(error);
        };
        let label = if entry.functions.is_empty() {
            &entry.any
        } else {
            &function
        };
        let label = label.clone();
        let own_deadline = begun + entry.route.timeout;
        let invocation = Invocation {
            function,
            payload: call.payload,
            metadata: call.metadata,
            idempotency_key: call.idempotency_key,
            invocation_id: call.invocation_id,
            traceparent: call.traceparent,
            is_stream: call.is_stream,
            deadline: call
                .deadline
                .map_or(own_deadline, |given| given.min(own_deadline)),
        };
        PendingCall::begin(entry.service.clone(), Arc::new(invocation), label, begun)
    }

    /// Adds a runtime of a routed application.
    ///
    /// # Errors
    /// Why it may not attach.
    pub fn attach(&self, application: &str, newcomer: NewEndpoint) -> Result<Link, Refusal> {
        let lease_id = uuid::Uuid::new_v4().to_string();
        let entry = self.entry(&newcomer.service).ok_or(Refusal::NotRouted)?;
        if entry.route.application != application {
            return Err(Refusal::NotRouted);
        }
        self.join(&entry, newcomer, Some(lease_id))
    }

    /// Adds a server that is reached by address; makes a route when there is none.
    ///
    /// # Errors
    /// Why it may not be added.
    pub fn register(&self, newcomer: NewEndpoint, timeout: Duration) -> Result<Link, Refusal> {
        let entry = self.entry(&newcomer.service).unwrap_or_else(|| {
            let mut sources = self.sources.lock();
            let route = Route {
                application: String::new(),
                service: newcomer.service.clone(),
                active: Release {
                    revision: 0,
                    label: String::new(),
                },
                standby: None,
                functions: newcomer
                    .functions
                    .iter()
                    .map(|each| each.name.clone())
                    .collect(),
                timeout,
                queue_limit: None,
            };
            sources.registered.insert(newcomer.service.clone(), route);
            self.rebuild(&sources);
            // Nobody can take it back meanwhile: that needs the lock.
            self.entry(&newcomer.service)
                .expect("the route was just made")
        });
        self.join(&entry, newcomer, None)
    }

    /// Takes back the route that was made for a service registered by address.
    pub fn unregister(&self, service: &str) {
        let mut sources = self.sources.lock();
        if sources.registered.remove(service).is_some() {
            self.rebuild(&sources);
        }
    }

    fn join(
        &self,
        entry: &Entry,
        newcomer: NewEndpoint,
        lease_id: Option<String>,
    ) -> Result<Link, Refusal> {
        let id = EndpointId(self.epochs.fetch_add(1, Ordering::Relaxed));
        let functions = u32::try_from(newcomer.functions.len()).unwrap_or(u32::MAX);
        let welcome = lease_id.map(|lease_id| Welcome {
            epoch: id,
            lease_id,
            functions,
        });
        let endpoint = Endpoint {
            id,
            instance: newcomer.instance,
            serves: newcomer.serves,
            functions: newcomer.functions,
            slots: newcomer.slots,
            in_flight: 0,
            state: State::Ready,
            farewell: None,
            outbox: newcomer.outbox,
        };
        Link::attach(entry.service.clone(), endpoint, welcome)
    }

    /// Puts a table in force, after `persist` has made it durable.
    ///
    /// # Errors
    /// The table is stale, or `persist` failed; then nothing changed.
    pub fn set_routes<E: From<StaleRoutes>>(
        &self,
        set: RouteSet,
        persist: impl FnOnce(&RouteSet) -> Result<(), E>,
    ) -> Result<u64, E> {
        let _one_at_a_time = self.setting.lock();
        let present = self.sources.lock().set.clone();
        set.replaces(&present)?;
        let generation = set.generation();
        if set != *present {
            persist(&set)?;
            let mut sources = self.sources.lock();
            sources.set = Arc::new(set);
            self.rebuild(&sources);
        }
        Ok(generation)
    }

    /// Makes the table anew. Services that stay keep their pools, and with them their calls.
    fn rebuild(&self, sources: &Sources) {
        let now = Instant::now();
        let before = self.table.load_full();
        let mut after = Table::default();
        let routed = sources.set.routes();
        let names: HashSet<&str> = routed.iter().map(|route| route.service.as_str()).collect();
        let registered = sources.registered.values();
        let only_registered = registered.filter(|route| !names.contains(route.service.as_str()));
        let entries: Vec<Arc<Entry>> = routed
            .iter()
            .chain(only_registered)
            .map(|route| self.make_entry(&before, route, now))
            .collect();
        // A service's own name goes before what spells the same by application and service.
        for entry in &entries {
            after.by_name.insert(entry.route.full_name(), entry.clone());
        }
        for entry in entries {
            after.by_name.insert(entry.route.service.clone(), entry);
        }
        for entry in before.by_name.values() {
            let stays = after.by_name.get(entry.service.name().as_ref());
            if stays.is_none_or(|stays| !Arc::ptr_eq(&stays.service, &entry.service)) {
                entry.service.pool().unroute(&gone(), now);
            }
        }
        if let Some(farewell) = &sources.closing {
            for entry in after.by_name.values() {
                entry.service.pool().close(farewell, now);
            }
        }
        self.table.store(Arc::new(after));
    }

    fn make_entry(&self, before: &Table, route: &Route, now: Instant) -> Arc<Entry> {
        let present = before.by_name.get(&route.service).filter(|entry| {
            // The same name in another application is another service.
            let is_same = entry.route.application == route.application;
            entry.route.service == route.service && (is_same || entry.route.application.is_empty())
        });
        if let Some(entry) = present.filter(|entry| *entry.route == *route) {
            return entry.clone();
        }
        let route = Arc::new(route.clone());
        let service = if let Some(entry) = present {
            entry.service.pool().set_route(route.clone(), now);
            entry.service.clone()
        } else {
            let pool = Pool::new(route.clone(), self.limits, self.tally.clone(), now);
            Arc::new(Service::new(Arc::from(route.service.as_str()), pool))
        };
        Arc::new(Entry {
            any: Arc::from("any"),
            functions: route
                .functions
                .iter()
                .map(|name| Arc::from(name.as_str()))
                .collect(),
            route,
            service,
        })
    }

    fn entry(&self, service: &str) -> Option<Arc<Entry>> {
        let table = self.table.load();
        let entry = table.by_name.get(service)?;
        (entry.route.service == service).then(|| entry.clone())
    }

    /// Services in order of their names, all or one.
    #[must_use]
    pub fn services(&self, only: Option<&str>) -> Vec<ServiceStatus> {
        let entries = self.entries();
        let wanted = entries.iter().filter(|entry| {
            only.is_none_or(|name| name == entry.route.service || name == entry.route.full_name())
        });
        let status = |entry: &Arc<Entry>| ServiceStatus {
            route: entry.route.clone(),
            functions: entry.service.pool().functions(),
        };
        wanted.map(status).collect()
    }

    /// Ready endpoints, active and waiting calls of each service.
    pub(super) fn loads(&self) -> Vec<(Arc<str>, (usize, u32, usize))> {
        let load = |entry: &Arc<Entry>| {
            let pool = entry.service.pool();
            let (ready, active) = pool.load();
            (
                entry.service.name().clone(),
                (ready, active, pool.waiting()),
            )
        };
        self.entries().iter().map(load).collect()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let table = self.table.load();
        let by_service: BTreeMap<&str, &Arc<Entry>> = table
            .by_name
            .values()
            .map(|entry| (entry.route.service.as_str(), entry))
            .collect();
        by_service.into_values().cloned().collect()
    }

    /// Takes no more calls. Those that are there end; then the runtimes are sent away.
    pub fn close(&self) {
        let mut sources = self.sources.lock();
        sources.closing = Some(GoAway {
            reason: "SHUTDOWN",
            message: "the function service is shutting down".to_owned(),
            reconnect_after: Some(Duration::from_secs(1)),
        });
        self.rebuild(&sources);
    }
}

impl Entry {
    /// The function that a caller means.
    fn function(&self, name: &str) -> Option<Arc<str>> {
        match (name, self.functions.as_slice()) {
            // The runtimes say what they serve.
            (name, []) => Some(Arc::from(name)),
            ("", [first, ..]) => Some(first.clone()),
            (name, known) => known.iter().find(|each| ***each == *name).cloned(),
        }
    }
}

fn gone() -> GoAway {
    GoAway {
        reason: "NOT_ROUTED",
        message: "the service has no route any more".to_owned(),
        reconnect_after: None,
    }
}

#[cfg(test)]
mod tests;
