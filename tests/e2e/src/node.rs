//! A node whose engine works on the cluster: documents go in as the cloud gives them, the status
//! comes out. The engine runs in this process, on threads of its own, so that it can be killed
//! between any two calls and started again over the same store.

mod store;
mod wish;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use baetyl_engine::kube::access;
use baetyl_engine::kube::settings::KubeSettings;
use baetyl_engine::kube::{Dependencies, Engine};
use baetyl_engine::memory::{MemoryBodies, MemoryIssuer};
use baetyl_engine::{CertificateIssuer, EngineHandle, EngineStatus, LogQuery, StopMode};
use baetyl_proto::resource::v1 as pb;
use futures::StreamExt as _;
use pb::{ApplicationState, ApplicationStatus};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use crate::application::App;
use crate::functions::Functions;
use store::FileStore;
pub use wish::{Documents, Input};

/// How the engine of a node reaches its cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// With this file, whose identity has what the installation's Role lists.
    pub kubeconfig: PathBuf,
    /// What the installation says.
    pub settings: KubeSettings,
    /// How long anything may take on a slow, busy cluster.
    pub patience: Duration,
}

/// A node.
pub struct Node {
    access: Access,
    folder: TempDir,
    bodies: MemoryBodies,
    issuer: Arc<dyn CertificateIssuer>,
    functions: Option<Arc<Functions>>,
    documents: Documents,
    running: Option<Running>,
}

struct Running {
    engine: EngineHandle,
    runtime: Runtime,
}

impl Node {
    /// Starts a node that knows nothing.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub async fn start(access: Access) -> Result<Self> {
        Self::with(access, Arc::new(MemoryIssuer::default()), None).await
    }

    /// Starts a node with functions that knows nothing; services get their certificates from
    /// `issuer`.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub async fn start_with_functions(
        mut access: Access,
        functions: Arc<Functions>,
        issuer: Arc<dyn CertificateIssuer>,
    ) -> Result<Self> {
        access.settings.functions = Some(functions.settings().clone());
        Self::with(access, issuer, Some(functions)).await
    }

    async fn with(
        access: Access,
        issuer: Arc<dyn CertificateIssuer>,
        functions: Option<Arc<Functions>>,
    ) -> Result<Self> {
        let mut node = Self {
            access,
            folder: tempfile::tempdir()?,
            bodies: MemoryBodies::default(),
            issuer,
            functions,
            documents: Documents::default(),
            running: None,
        };
        node.start_again().await?;
        Ok(node)
    }

    /// Starts a node that wants what another one wants now, and has never wanted anything else.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub async fn start_like(access: Access, other: &Self) -> Result<Self> {
        let mut node = Self {
            access,
            folder: tempfile::tempdir()?,
            bodies: other.bodies.clone(),
            issuer: Arc::new(MemoryIssuer::default()),
            functions: None,
            documents: other.documents.clone(),
            running: None,
        };
        node.start_again().await?;
        Ok(node)
    }

    /// Starts the engine over what the last one left. It is told again what is desired, as core
    /// does.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("engine")
            .enable_all()
            .build()?;
        let access = self.access.clone();
        let dependencies = Dependencies {
            store: Arc::new(FileStore::open(self.folder.path().join("records"))?),
            bodies: Arc::new(self.bodies.clone()),
            certificates: self.issuer.clone(),
        };
        let starting = runtime.spawn(async move {
            let client = access::connect(Some(&access.kubeconfig)).await?;
            let engine = Engine::start(access.settings, client, dependencies).await?;
            Ok::<_, anyhow::Error>(engine)
        });
        let engine = starting.await?.context("the engine does not start")?;
        if let Some(set) = self.documents.desired() {
            engine.set_desired(set);
        }
        if let Some(functions) = &self.functions {
            runtime.spawn(functions.clone().follow(engine.clone()));
        }
        self.running = Some(Running { engine, runtime });
        Ok(())
    }

    /// Ends the engine as `kill -9` does: whatever it does is not done to the end.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }

    /// Ends the engine in good order; the applications go on.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            let stopping = running.engine.stop(StopMode::LeaveRunning);
            let stopped = timeout(self.access.patience, stopping).await;
            running.runtime.shutdown_background();
            stopped.context("the engine does not stop")?;
        }
        Ok(())
    }

    /// What the installation says.
    #[must_use]
    pub fn settings(&self) -> &KubeSettings {
        &self.access.settings
    }

    /// The value of the owner label.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.access.settings.owner
    }

    /// Says what inputs are from now on; takes effect with the next wish.
    ///
    /// # Errors
    /// The document is wrong.
    pub fn input(&mut self, input: Input) -> Result<()> {
        self.documents.input(input, &self.bodies)
    }

    /// Says a configuration of text.
    ///
    /// # Errors
    /// The document is wrong.
    pub fn configuration(&mut self, name: &str, values: &[(&str, &str)]) -> Result<()> {
        self.input(Input::configuration(name, values))
    }

    /// Says which applications are desired, and no others.
    ///
    /// # Errors
    /// A document is wrong, or refers to an input that was not said.
    pub fn desire(&mut self, applications: &[App]) -> Result<()> {
        self.documents.applications(applications, &self.bodies)?;
        if let (Some(running), Some(set)) = (&self.running, self.documents.desired()) {
            running.engine.set_desired(set);
        }
        Ok(())
    }

    /// Says the same applications again, with the inputs of now.
    ///
    /// # Errors
    /// As [`Self::desire`].
    pub fn desire_again(&mut self) -> Result<()> {
        let applications: Vec<App> = self.documents.wanted().cloned().collect();
        self.desire(&applications)
    }

    /// Returns where everything stands.
    ///
    /// # Errors
    /// The engine does not run.
    pub fn now(&self) -> Result<Arc<EngineStatus>> {
        Ok(self.engine()?.status().borrow().clone())
    }

    /// Returns the engine.
    ///
    /// # Errors
    /// It does not run.
    pub fn engine(&self) -> Result<&EngineHandle> {
        let running = self.running.as_ref().context("the engine does not run")?;
        Ok(&running.engine)
    }

    /// Waits until the status of the node is as it should be, and returns it.
    ///
    /// # Errors
    /// It does not become so; the message has what was seen last.
    pub async fn until_all(
        &self,
        what: &str,
        good: impl Fn(&EngineStatus) -> bool,
    ) -> Result<Arc<EngineStatus>> {
        let mut status = self.engine()?.status();
        let waiting = status.wait_for(|status| good(status));
        match timeout(self.access.patience, waiting).await {
            Ok(Ok(seen)) => Ok(seen.clone()),
            Ok(Err(_)) => bail!("the engine ended while waiting until {what}"),
            Err(_) => {
                let now = self.now()?;
                let seen = now.applications.values().map(|one| shown(one));
                let seen: Vec<String> = seen.collect();
                bail!("{what}: does not happen; last seen:\n{}", seen.join("\n"))
            }
        }
    }

    /// Waits until the status of an application is as it should be, and returns it.
    ///
    /// # Errors
    /// It does not become so; the message has what was seen last.
    pub async fn until(
        &self,
        application: &str,
        what: &str,
        good: impl Fn(&ApplicationStatus) -> bool,
    ) -> Result<ApplicationStatus> {
        let what = format!("{application}: {what}");
        let is_good = |status: &EngineStatus| {
            status
                .applications
                .get(application)
                .is_some_and(|one| good(one))
        };
        let status = self.until_all(&what, is_good).await?;
        status
            .applications
            .get(application)
            .map(|one| ApplicationStatus::clone(one))
            .with_context(|| format!("{what}: it is gone"))
    }

    /// Waits until an application is in a state in its desired revision.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_state(
        &self,
        application: &str,
        state: ApplicationState,
    ) -> Result<ApplicationStatus> {
        let revision = self.documents.revision(application);
        let what = format!("is {} in revision {revision}", state.as_str_name());
        let is_good = |status: &ApplicationStatus| {
            status.state() == state && status.desired_revision == revision
        };
        self.until(application, &what, is_good).await
    }

    /// Waits until an application is healthy in its desired revision, with its desired inputs.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_healthy(&self, application: &str) -> Result<ApplicationStatus> {
        let revision = self.documents.revision(application);
        let inputs = self.documents.digests(application);
        let is_good = |status: &ApplicationStatus| {
            status.state() == ApplicationState::Healthy
                && status.serving_revision == revision
                && inputs
                    .iter()
                    .all(|(key, digest)| status.input_digests.get(key) == Some(digest))
        };
        self.until(application, "is healthy", is_good).await
    }

    /// Waits until everything is as desired.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_converged(&self) -> Result<()> {
        let wanted = self.documents.fence();
        let is_good = |status: &EngineStatus| status.converged == wanted;
        self.until_all("everything is as desired", is_good).await?;
        Ok(())
    }

    /// Sets the applications and waits until everything is as desired.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn run(&mut self, applications: &[App]) -> Result<()> {
        self.desire(applications)?;
        self.until_converged().await
    }

    /// Reads the lines that an application has written so far.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn log(&self, application: &str) -> Result<Vec<String>> {
        let query = LogQuery {
            application: application.to_owned(),
            ..LogQuery::default()
        };
        let lines = self.engine()?.logs(query)?;
        let lines = timeout(self.access.patience, lines.collect::<Vec<_>>()).await?;
        let text = lines.into_iter().map(|line| anyhow::Ok(line?.text));
        text.collect()
    }

    /// Waits until a line stands in the log of an application.
    ///
    /// # Errors
    /// It does not.
    pub async fn until_logged(&self, application: &str, line: &str) -> Result<()> {
        let deadline = Instant::now() + self.access.patience;
        loop {
            let seen = self.log(application).await;
            if matches!(&seen, Ok(lines) if lines.iter().any(|one| one == line)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{application} does not write {line:?}; last seen: {seen:?}");
            }
            tokio::time::sleep(crate::look::LOOK_EVERY).await;
        }
    }

    /// What the documents say now.
    #[must_use]
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// How long anything may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.access.patience
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An application's status on a few lines.
#[must_use]
pub fn shown(status: &ApplicationStatus) -> String {
    let mut instances: BTreeMap<&str, String> = BTreeMap::new();
    for instance in &status.instances {
        let containers = instance.containers.iter();
        let containers: Vec<String> = containers
            .map(|one| format!("{} {} {}", one.service, one.reason, one.message))
            .collect();
        let text = format!(
            "{} {} {containers:?}",
            instance.state().as_str_name(),
            instance.reason
        );
        instances.insert(&instance.id, text);
    }
    format!(
        "{}: {} {} {:?}, desired {} serving {}, instances {instances:?}, conditions {:?}",
        status.name,
        status.state().as_str_name(),
        status.reason,
        status.message,
        status.desired_revision,
        status.serving_revision,
        status
            .conditions
            .iter()
            .map(|one| format!("{}={} {}", one.r#type, one.status, one.reason))
            .collect::<Vec<_>>(),
    )
}
