//! Servers that are registered by address: their leases, and who follows whom.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::endpoint::{EndpointId, Instance, ServedFunction, Serves};
use super::outbox::Outbox;
use super::pool::Refusal;
use super::proxy::{NewEndpoint, Proxy};
use super::service::Link;

/// Most registrations at the same time.
const MAX_REGISTRATIONS: usize = 1024;

/// A server of functions, as it is registered.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Name of the service.
    pub service: String,
    /// Who it is.
    pub instance: Instance,
    /// The functions it serves; none for any.
    pub functions: Vec<ServedFunction>,
    /// Where it is.
    pub address: String,
    /// Calls it takes at the same time.
    pub slots: u32,
    /// How long it holds without renewal; `None` for ever.
    pub lease: Option<Duration>,
    /// The longest that a call may take, if a route has to be made.
    pub timeout: Duration,
}

/// Until when a registration holds; `None` for ever.
pub type LeaseEnd = Option<Instant>;

/// A registration that was taken.
#[derive(Debug)]
pub struct Registered {
    /// Names it.
    pub lease_id: String,
    /// Fences older ones of the same instance.
    pub epoch: EndpointId,
    /// What has to be driven, when this is no mere renewal.
    pub endpoint: Option<AddressEndpoint>,
}

/// The endpoint of a registration: to be driven by somebody who dials its address.
#[derive(Debug)]
pub struct AddressEndpoint {
    /// Its side of the service.
    pub link: Link,
    /// Where the server is.
    pub address: String,
    /// Until when it may get new calls; changed by renewals.
    pub lease_end: watch::Receiver<LeaseEnd>,
    key: Key,
}

/// Registrations of a proxy.
#[derive(Debug)]
pub struct Registry {
    proxy: Arc<Proxy>,
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    service: String,
    instance_id: String,
}

#[derive(Debug)]
struct Entry {
    lease_id: String,
    epoch: EndpointId,
    incarnation: u64,
    address: String,
    lease_end: watch::Sender<LeaseEnd>,
}

impl Registry {
    /// Creates a registry of servers for a proxy.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>) -> Self {
        Self {
            proxy,
            entries: Mutex::default(),
        }
    }

    /// Takes a registration, or renews it when the same start of the same instance comes again.
    ///
    /// # Errors
    /// A later start is there, or there are too many.
    pub fn register(&self, wanted: Registration, now: Instant) -> Result<Registered, Refusal> {
        let end = wanted.lease.map(|lease| now + lease);
        let key = Key {
            service: wanted.service.clone(),
            instance_id: wanted.instance.id.clone(),
        };
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(&key) {
            if entry.incarnation > wanted.instance.incarnation {
                return Err(Refusal::Fenced);
            }
            let is_held = entry.lease_end.borrow().is_none_or(|end| end > now);
            let is_same =
                entry.incarnation == wanted.instance.incarnation && entry.address == wanted.address;
            if is_held && is_same && !entry.lease_end.is_closed() {
                entry.lease_end.send_replace(end);
                return Ok(Registered {
                    lease_id: entry.lease_id.clone(),
                    epoch: entry.epoch,
                    endpoint: None,
                });
            }
        } else if entries.len() >= MAX_REGISTRATIONS {
            return Err(Refusal::TooMany);
        }
        let incarnation = wanted.instance.incarnation;
        let newcomer = NewEndpoint {
            instance: wanted.instance,
            service: wanted.service,
            serves: Serves::Always,
            functions: wanted.functions,
            slots: wanted.slots,
            outbox: Arc::new(Outbox::unchunked()),
        };
        let link = self
            .proxy
            .register(newcomer, wanted.timeout)
            .inspect_err(|_| {
                self.drop_unused_route(&entries, &key.service);
            })?;
        let (sender, receiver) = watch::channel(end);
        let entry = Entry {
            lease_id: uuid::Uuid::new_v4().to_string(),
            epoch: link.epoch(),
            incarnation,
            address: wanted.address.clone(),
            lease_end: sender,
        };
        let registered = Registered {
            lease_id: entry.lease_id.clone(),
            epoch: entry.epoch,
            endpoint: Some(AddressEndpoint {
                link,
                address: wanted.address,
                lease_end: receiver,
                key: key.clone(),
            }),
        };
        entries.insert(key, entry);
        Ok(registered)
    }

    /// The service of a registration.
    #[must_use]
    pub fn service_of(&self, lease_id: &str) -> Option<String> {
        let entries = self.entries.lock();
        let found = entries.iter().find(|(_, entry)| entry.lease_id == lease_id);
        found.map(|(key, _)| key.service.clone())
    }

    /// Ends a lease; the calls that the server has may end. False when there is no such lease.
    pub fn deregister(&self, lease_id: &str, now: Instant) -> bool {
        let entries = self.entries.lock();
        let Some(entry) = entries.values().find(|entry| entry.lease_id == lease_id) else {
            return false;
        };
        entry.lease_end.send_replace(Some(now));
        true
    }

    /// Forgets a registration whose endpoint has ended; the service's own route goes with the
    /// last one.
    pub fn forget(&self, endpoint: AddressEndpoint) {
        let AddressEndpoint { link, key, .. } = endpoint;
        let epoch = link.epoch();
        drop(link);
        let mut entries = self.entries.lock();
        if entries.get(&key).is_some_and(|entry| entry.epoch == epoch) {
            entries.remove(&key);
        }
        self.drop_unused_route(&entries, &key.service);
    }

    fn drop_unused_route(&self, entries: &HashMap<Key, Entry>, service: &str) {
        if !entries.keys().any(|each| each.service == service) {
            self.proxy.unregister(service);
        }
    }
}
