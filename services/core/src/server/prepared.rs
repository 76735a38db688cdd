//! Everything that is opened before anything runs.

use std::sync::Arc;

use baetyl_engine::ShimCommand;
use baetyl_engine::driver::Driver;
use baetyl_engine::driver::process::{ProcessConfig, ProcessDriver};
use baetyl_model::node_identity::NodeIdentityFile;
use baetyl_pki::BearerToken;
use tokio_util::task::TaskTracker;

use crate::authority::{AuthorityError, NodeAuthority};
use crate::config::Config;
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
    pub(super) driver: Arc<dyn Driver>,
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

        let lifetime = config.certificate_lifetime.0;
        let authority = NodeAuthority::open(&store, &current.document, lifetime)?;
        let authority = Arc::new(authority);
        let local = LocalFolder::new(config.local_folder());
        local.make()?;
        let token = local.open_token().map_err(AuthorityError::from)?;
        let credentials = LocalCredentials::open(local.clone(), authority.clone())?;
        let driver = match driver {
            Some(driver) => driver,
            None => Arc::new(processes(config, &current.document, programs)?),
        };
        Ok(Self {
            driver,
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
