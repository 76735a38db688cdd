//! What an application is made of, in the form that the engine works with.
//!
//! Read from the stored body, which the server checked and filled with defaults. What another
//! version might have let through is checked again where it would lead out of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::desired::InputKey;

mod parse;

#[cfg(feature = "kube")]
pub(crate) use parse::{duration, update};

#[cfg(test)]
mod tests;

/// An application that this node can run.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSpec {
    /// Name of the application.
    pub name: String,
    /// Whether instances run to their end once per revision.
    pub is_job: bool,
    /// Copies of each service.
    pub replicas: u32,
    /// The services, in the order of the document.
    pub services: Vec<Arc<ServiceSpec>>,
    /// How a new revision replaces the old one.
    pub update: Update,
    /// Inputs whose change is switched in place; every other input restarts.
    pub reloaded: BTreeSet<InputKey>,
}

/// How a new revision replaces the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// How long it must stay ready.
    pub soak: Duration,
    /// How long it may take to become ready and soak.
    pub deadline: Duration,
    /// Whether a revision that had to be stopped first is started again on failure.
    pub rollback: bool,
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name, unique in the application.
    pub name: String,
    /// What runs.
    pub run: Run,
    /// Arguments after the entry.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<Variable>,
    /// Ports.
    pub ports: Vec<PortSpec>,
    /// Where volumes appear.
    pub mounts: Vec<Mount>,
    /// Upper bounds.
    pub limits: Limits,
    /// Probes.
    pub probes: Probes,
    /// When an ended instance is started again.
    pub restart: RestartPolicy,
    /// Working folder inside the root; the instance's own when absent.
    pub working_dir: Option<PathBuf>,
    /// How long SIGTERM may take.
    pub grace: Duration,
}

/// What a service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// A program.
    Program {
        /// Configuration with the program's folder; `None` for a program of the node.
        configuration: Option<InputKey>,
        /// Program and first arguments.
        entry: Vec<String>,
    },
    /// A function runtime.
    Functions {
        /// Which language.
        runtime: String,
        /// Name and handler of each function.
        functions: Vec<(String, String)>,
        /// Configuration with the code.
        code: InputKey,
        /// Calls at the same time.
        workers: u32,
        /// The longest that a call may take.
        timeout: Duration,
    },
}

/// One environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: Value,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// From the document.
    Literal(String),
    /// A key of an input.
    Key(InputKey, String),
}

/// Protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that a service listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Unique in the service.
    pub name: String,
    /// Number on the node; `None` lets the engine choose.
    pub fixed: Option<u16>,
    /// Its protocol.
    pub protocol: Protocol,
}

/// A volume as a service sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of the volume.
    pub volume: String,
    /// What is there.
    pub source: Source,
    /// Path below the root; only plain names.
    pub path: PathBuf,
}

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files of an input, switched in place when they change.
    Reloaded(InputKey),
    /// Files of an input, in a folder named by content.
    Fixed(InputKey),
    /// A folder of the node.
    Host(PathBuf),
    /// A fresh folder for each instance.
    Empty,
    /// A folder that outlives instances and revisions.
    Persistent,
}

/// Upper bounds of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Resident bytes.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
}

/// Probes of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Holds the others back until it succeeds once.
    pub startup: Option<Probe>,
    /// Decides that the instance can serve.
    pub readiness: Option<Probe>,
    /// Decides that the instance hangs.
    pub liveness: Option<Probe>,
}

/// A check and its rhythm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What to look at.
    pub check: Check,
    /// Time before the first check.
    pub initial_delay: Duration,
    /// Time between checks.
    pub period: Duration,
    /// Time that one check may take.
    pub timeout: Duration,
    /// Successes in a row that mean success, at least 1.
    pub successes: u32,
    /// Failures in a row that mean failure, at least 1.
    pub failures: u32,
}

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A command that ends with 0.
    Exec(Vec<String>),
    /// A GET that answers 200 to 399.
    Http {
        /// Path and query.
        path: String,
        /// Which port.
        port: PortRef,
    },
    /// A connection that is accepted.
    Tcp(PortRef),
    /// The file that a function runtime makes when it can serve.
    ReadyFile,
}

/// A port by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// One of the service's ports.
    Name(String),
    /// Any port of the loopback interface.
    Number(u16),
}

impl PortRef {
    /// Finds the number.
    ///
    /// # Errors
    /// The service has no such port; one sentence for people.
    pub fn resolve(&self, ports: &BTreeMap<String, u16>) -> Result<u16, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Name(name) => ports
                .get(name)
                .copied()
                .ok_or_else(|| format!("the service has no port {name:?}")),
        }
    }
}

/// When an ended instance is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Always.
    Always,
    /// When it ended with a failure.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// Whether ending with this code is the wanted end of an instance.
    #[must_use]
    pub fn is_completed_by(self, exit_code: i32) -> bool {
        self != Self::Always && exit_code == 0
    }
}

/// Name of the file that says that a function runtime can serve, in its working folder.
pub const READY_FILE: &str = "ready";

/// What a node can have only once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A fixed port.
    Port(Protocol, u16),
    /// A port on every machine of a cluster.
    NodePort(u16),
    /// The route key of a function service.
    Service(String),
}

impl AppSpec {
    /// Whether another revision cannot run beside this one: they would fight for a port. Runtimes
    /// of functions can, since routes tell their releases apart.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        let (own, wanted) = (self.claims(), other.claims());
        own.intersection(&wanted).any(|claim| match claim {
            Claim::Port(..) | Claim::NodePort(_) => true,
            Claim::Service(_) => false,
        })
    }

    /// Returns what no other application of the node may have.
    #[must_use]
    pub fn claims(&self) -> BTreeSet<Claim> {
        let mut claims = BTreeSet::new();
        for service in &self.services {
            for port in &service.ports {
                claims.extend(port.fixed.map(|number| Claim::Port(port.protocol, number)));
            }
            if matches!(service.run, Run::Functions { .. }) {
                claims.insert(Claim::Service(service.name.clone()));
            }
        }
        claims
    }

    /// Returns a service by its name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceSpec>> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Whether some service gives no sign of being ready, so that only time can tell.
    #[must_use]
    pub fn has_silent_service(&self) -> bool {
        let is_silent = |service: &Arc<ServiceSpec>| {
            service.probes.readiness.is_none() && service.probes.startup.is_none()
        };
        self.services.iter().any(is_silent)
    }
}
