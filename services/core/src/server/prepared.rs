//! Everything that is opened before anything runs.

#[cfg(feature = "kube")]
use std::path::PathBuf;
use std::sync::Arc;

use baetyl_engine::ShimCommand;
use baetyl_engine::driver::Driver;
use baetyl_engine::driver::process::{ProcessConfig, ProcessDriver};
#[cfg(feature = "kube")]
use baetyl_engine::kube::settings::{FunctionSettings, KubeSettings};
use baetyl_model::node_identity::NodeIdentityFile;
use baetyl_pki::{BearerToken, ServerName};
use baetyl_service_kit::config::ConfigError;
use baetyl_service_kit::fault::Violation;
use tokio_util::task::TaskTracker;

use crate::authority::{AuthorityError, Issuance, NodeAuthority};
use crate::config::{Config, KubeConfig};
use crate::error::CoreError;
use crate::identity::{IdentityFolder, LiveIdentity};
use crate::local::{LocalCredentials, LocalFolder, make_private};
use crate::machine::Machine;
use crate::store::{Durable, Store, Tables};

/// Identity, store, authority and the local folder, opened.
pub(super) struct Prepared {
    pub(super) identity: Arc<LiveIdentity>,
    pub(super) store: Arc<Store>,
    pub(super) authority: Arc<NodeAuthority>,
    pub(super) local: LocalFolder,
    pub(super) credentials: Arc<LocalCredentials>,
    pub(super) token: BearerToken,
    pub(super) machine: Arc<Machine>,
    pub(super) runner: Runner,
}

/// What runs the applications.
pub(super) enum Runner {
    /// Processes of this machine, or a fake of them.
    Processes(Arc<dyn Driver>),
    /// A cluster.
    #[cfg(feature = "kube")]
    Cluster(Box<Cluster>),
}

/// How the cluster is reached and used.
#[cfg(feature = "kube")]
pub(super) struct Cluster {
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) settings: KubeSettings,
}

impl Runner {
    /// How the node's mode is called in reports.
    pub(super) fn node_mode(&self) -> &'static str {
        match self {
            Self::Processes(_) => "process",
            #[cfg(feature = "kube")]
            Self::Cluster(_) => "kube",
        }
    }
}

/// The programs that run applications.
pub(super) struct Programs {
    pub(super) shim: ShimCommand,
    pub(super) runtime: Vec<String>,
}

impl Prepared {
    /// Opens everything, the identity first: without one nothing is made. Blocks.
    pub(super) fn open(
        config: &Config,
        tables: Option<Box<dyn Tables>>,
        driver: Option<Arc<dyn Driver>>,
        programs: Programs,
    ) -> Result<Self, CoreError> {
        let folder = IdentityFolder::new(config.identity_folder());
        let identity = Arc::new(LiveIdentity::load(folder)?);
        make_private(&config.data_folder)?;
        let tables = match tables {
            Some(tables) => tables,
            None => Box::new(Durable::open(&config.store_file())?),
        };
        let store = Arc::new(Store::open(tables, &config.key_file())?);
        let current = identity.current();
        if store.claim(current.document.node_uid.as_str())? {
            tracing::warn!("the store was another node's and was emptied");
        }

        let issuance = issuance(config)?;
        let authority = NodeAuthority::open(&store, &current.document, issuance)?;
        let authority = Arc::new(authority);
        let local = LocalFolder::new(config.local_folder());
        local.make()?;
        let token = local.open_token().map_err(AuthorityError::from)?;
        let credentials = LocalCredentials::open(local.clone(), authority.clone())?;
        let runner = match (driver, &config.kube) {
            (Some(driver), _) => Runner::Processes(driver),
            (None, None) => {
                Runner::Processes(Arc::new(processes(config, &current.document, programs)?))
            }
            (None, Some(kube)) => cluster(config, kube, &current.document)?,
        };
        Ok(Self {
            runner,
            machine: Arc::new(Machine::new(&config.data_folder)),
            credentials: Arc::new(credentials),
            identity,
            store,
            authority,
            local,
            token,
        })
    }
}

/// How certificates of the node are issued. Runtimes in pods know the function service by another
/// name than `localhost`.
fn issuance(config: &Config) -> Result<Issuance, CoreError> {
    let mut function_hosts = Vec::new();
    if let Some(kube) = &config.kube {
        let address = kube.attach_address();
        let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let description = format!("must be host:port, got {address:?}");
            let violation = Violation::new("kube.attach_address", "INVALID", description);
            ConfigError::Invalid {
                violations: vec![violation],
            }
        })?;
        function_hosts.push(name);
    }
    Ok(Issuance {
        lifetime: config.certificate_lifetime.0,
        function_hosts,
    })
}

#[cfg(feature = "kube")]
fn cluster(
    config: &Config,
    kube: &KubeConfig,
    identity: &NodeIdentityFile,
) -> Result<Runner, CoreError> {
    let functions = match (&kube.runtime_image, &config.function_address) {
        (Some(image), Some(_)) => Some(FunctionSettings {
            runtime_image: image.clone(),
            attach_address: kube.attach_address(),
        }),
        (None, _) | (_, None) => None,
    };
    let settings = KubeSettings {
        namespace: kube.namespace.clone(),
        system_namespace: kube.system_namespace.clone(),
        allowed_namespaces: kube.namespaces(),
        functions,
        helm_program: kube.helm_program.clone(),
        kubelet_summary: kube.kubelet_summary,
        usage_period: kube.usage_period.0,
        ..KubeSettings::new(identity.node_uid.as_str(), identity.node.as_str())
    };
    Ok(Runner::Cluster(Box::new(Cluster {
        kubeconfig: kube.kubeconfig.clone(),
        settings,
    })))
}

#[cfg(not(feature = "kube"))]
fn cluster(_: &Config, _: &KubeConfig, _: &NodeIdentityFile) -> Result<Runner, CoreError> {
    let description = "this program was built without the engine for Kubernetes";
    let violation = Violation::new("kube", "UNSUPPORTED", description);
    Err(ConfigError::Invalid {
        violations: vec![violation],
    }
    .into())
}

fn processes(
    config: &Config,
    identity: &NodeIdentityFile,
    programs: Programs,
) -> Result<ProcessDriver, CoreError> {
    let folder = config.applications_folder();
    // Programs start in folders of their own, where a relative path would mean something else.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let settings = ProcessConfig {
        shim: programs.shim,
        runtime_program: programs.runtime,
        ..ProcessConfig::new(
            identity.namespace.as_str(),
            identity.node.as_str(),
            folder,
            config.function_attach(),
        )
    };
    // Its tasks end with the instances, which outlive core: nobody waits for them.
    Ok(ProcessDriver::new(settings, TaskTracker::new())?)
}
