//! What scenarios need of a cluster. They do not know which one it is.

mod fake;
pub(crate) mod helm;
mod program;
mod real;
mod role;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use baetyl_engine::kube::Client;

pub use fake::{FakeWorld, ROUND_TRIP};
pub use real::RealWorld;
pub use role::Rules;

use crate::application::App;
use crate::functions::{Functions, Issuer};
use crate::look::Look;
use crate::node::{Access, Node};

/// The namespaces of a world.
#[derive(Clone, Debug)]
pub struct Spaces {
    /// Where applications are that name none.
    pub apps: String,
    /// Another one that the installation allows.
    pub second: String,
    /// Where the parts of the platform would be.
    pub system: String,
    /// One that the installation does not allow.
    pub foreign: String,
}

/// Something that not every cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// More than one machine.
    Machines,
    /// A machine can be added.
    NewMachine,
    /// Claims of the default storage class are bound.
    Storage,
    /// The image has `httpd`.
    Httpd,
    /// The connection to the API server can be cut.
    Outage,
    /// The API server can forget its history, so that watches have to list anew.
    Expiry,
    /// Requests of the engine can be counted.
    RequestLog,
    /// A CustomResourceDefinition may be made.
    CustomResources,
    /// The program `helm`.
    Helm,
    /// Usage of machines and pods can be had or withheld.
    Usage,
    /// An image with the runtime host, whose pods reach a proxy in this process.
    RuntimeImage,
}

/// What the line between the engine and the API server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It carries.
    Open,
    /// Every connection is closed, old and new.
    Cut,
    /// Connections stay, and nothing comes through.
    Silent,
}

/// A cluster, and what can be done to it beside the engine.
#[async_trait(?Send)]
pub trait World: Send + Sync {
    /// A client that may do everything, for looking and for what others do.
    fn client(&self) -> Client;

    /// The namespaces.
    fn spaces(&self) -> &Spaces;

    /// An image with a busybox shell that every machine has.
    fn image(&self) -> &str;

    /// How long anything may take on a slow, busy cluster. It decides no test.
    fn patience(&self) -> Duration;

    /// How long the gate of a revision stays open that cannot pass it.
    fn deadline(&self) -> Duration;

    /// Why something cannot be had; `None` when it can.
    fn lacks(&self, need: Need) -> Option<String>;

    /// A port between 30000 and 32767 that nobody has.
    fn node_port(&self) -> u16;

    /// How a new node reaches the cluster: with an identity of its own that may do what the
    /// committed Role lists, and beside it what an installer adds.
    async fn access(&self, more: &Rules) -> Result<Access>;

    /// Adds a machine.
    async fn add_machine(&self, _name: &str) -> Result<()> {
        bail!("machines cannot be added")
    }

    /// Waits until it is time for a cron job that runs each minute, or says that it is.
    async fn tick(&self, space: &str, cron_job: &str) -> Result<()>;

    /// What the line between the engine and the API server does from now on.
    async fn set_line(&self, _line: Line) -> Result<()> {
        bail!("the connection cannot be cut")
    }

    /// Lets the API server forget its history.
    async fn forget_history(&self) -> Result<()> {
        bail!("the history cannot be forgotten")
    }

    /// Whether usage can be had from now on.
    async fn set_usage(&self, _is_there: bool) -> Result<()> {
        bail!("usage cannot be withheld")
    }

    /// Name of an image with the runtime host.
    fn runtime_image(&self) -> Option<String> {
        None
    }

    /// The host by which pods reach this process.
    fn proxy_host(&self) -> Option<String> {
        None
    }
}

impl dyn World + '_ {
    /// An application of one container that serves.
    #[must_use]
    pub fn app(&self, name: &str) -> App {
        App::container(name, self.image())
    }

    /// An administrator's eyes.
    #[must_use]
    pub fn look(&self) -> Look {
        Look::new(self.client(), self.patience())
    }

    /// Starts a node with the rights of the committed Role.
    ///
    /// # Errors
    /// It does not start.
    pub async fn node(&self) -> Result<Node> {
        Node::start(self.access(&Rules::none()).await?).await
    }

    /// Starts the function service of a node.
    ///
    /// # Errors
    /// It does not start, or [`Need::RuntimeImage`] is lacking.
    pub async fn functions(&self) -> Result<Arc<Functions>> {
        let image = self.runtime_image().context("no image of the runtime")?;
        let host = self.proxy_host().context("no host for runtimes")?;
        Ok(Arc::new(Functions::start(&host, &image).await?))
    }

    /// Starts a node with functions, with the rights of the committed Role.
    ///
    /// # Errors
    /// It does not start.
    pub async fn function_node(&self, functions: &Arc<Functions>, issuer: Issuer) -> Result<Node> {
        let access = self.access(&Rules::none()).await?;
        Node::start_with_functions(access, functions.clone(), Arc::new(issuer)).await
    }

    /// Namespace of applications that name none.
    #[must_use]
    pub fn space(&self) -> &str {
        &self.spaces().apps
    }
}
