//! What all applications of one engine share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use baetyl_process::InstanceId;
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::watch;

use crate::config::EngineConfig;
use crate::dependency::Dependencies;
use crate::driver::Refusal;
use crate::reason;
use crate::spec::Protocol;

/// Resident bytes of every instance that could be sampled.
pub(crate) type Samples = Arc<BTreeMap<InstanceId, u64>>;

/// What all applications of one engine share.
pub(crate) struct Context {
    pub(crate) config: EngineConfig,
    pub(crate) dependencies: Dependencies,
    pub(crate) ports: PortLedger,
    pub(crate) samples: watch::Receiver<Samples>,
}

/// Which ports of the node are given away, and to whom.
#[derive(Debug, Default)]
pub(crate) struct PortLedger {
    given: Mutex<BTreeMap<String, BTreeSet<u16>>>,
}

impl PortLedger {
    /// Replaces what an application has.
    pub(crate) fn set(&self, application: &str, ports: BTreeSet<u16>) {
        self.given.lock().insert(application.to_owned(), ports);
    }

    /// Takes back all that an application has.
    pub(crate) fn clear(&self, application: &str) {
        self.given.lock().remove(application);
    }

    /// Gives an application a port that nobody has and nobody listens on.
    pub(crate) fn allocate(
        &self,
        application: &str,
        context: &Context,
        protocol: Protocol,
    ) -> Result<u16, Refusal> {
        let mut given = self.given.lock();
        let range = context.config.port_range.clone();
        let (first, last) = (*range.start(), *range.end());
        let is_taken = |port: u16| given.values().any(|ports| ports.contains(&port));
        let driver = &context.dependencies.driver;
        let free = range
            .filter(|port| *port != 0)
            .find(|port| !is_taken(*port) && driver.is_free(*port, protocol));
        let Some(port) = free else {
            let message = format!("no free port from {first} to {last}");
            return Err(Refusal::passing(reason::NO_FREE_PORT, message));
        };
        given
            .entry(application.to_owned())
            .or_default()
            .insert(port);
        Ok(port)
    }
}

/// Longest part of an application's name in an id; ids have at most 64 characters.
const NAME_PART: usize = 46;
const RANDOM_PART: usize = 8;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Makes an id that sorts by time among those of its application and is never made twice.
pub(crate) fn fresh_id(application: &str, now: SystemTime) -> InstanceId {
    let name: String = application.chars().take(NAME_PART).collect();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut rest = since.as_millis() % 36_u128.pow(8);
    let mut time = [b'0'; 8];
    for digit in time.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 36).unwrap_or_default()];
        rest /= 36;
    }
    let mut rng = rand::rng();
    let random = (0..RANDOM_PART).map(|_| DIGITS[rng.random_range(0..DIGITS.len())]);
    let tail: String = time.into_iter().chain(random).map(char::from).collect();
    InstanceId::parse(&format!("{}-{tail}", name.trim_end_matches(['.', '-']))).unwrap_or_else(
        |_| InstanceId::parse(&format!("app-{tail}")).expect("letters, digits and a dash"),
    )
}

#[cfg(test)]
mod tests;
