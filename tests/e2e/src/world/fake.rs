//! The fake cluster: an API server and controllers in this process, for one scenario.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use baetyl_apiserver::controllers::{Controllers, Machine, Scene};
use baetyl_apiserver::{ApiMode, ApiServer, Options, Outage};
use baetyl_engine::kube::Client;
use baetyl_engine::kube::access;
use baetyl_engine::kube::settings::KubeSettings;
use serde_json::json;
use tempfile::TempDir;

use super::role::Rules;
use super::{Line, Need, Spaces, World, helm};
use crate::node::Access;

/// The image that every machine can fetch.
const IMAGE: &str = "registry.example/busybox:1";

/// An image with the runtime host.
const RUNTIME_IMAGE: &str = "registry.example/runtime:1";

/// How often the fake looks whether something is still as it was, when a test says that nothing
/// happens.
pub const ROUND_TRIP: Duration = Duration::from_millis(20);

/// A cluster of its own in this process.
pub struct FakeWorld {
    server: Arc<ApiServer>,
    controllers: Controllers,
    client: Client,
    spaces: Spaces,
    folder: TempDir,
    nodes: AtomicU32,
}

impl FakeWorld {
    /// Starts a cluster of two machines.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Self> {
        Self::with(Scene::default(), Options::default()).await
    }

    /// Starts a cluster for a scenario. Where real programs run, time is that of the wall clock.
    ///
    /// # Errors
    /// It does not start.
    pub async fn fitting(needs: &[Need]) -> Result<Self> {
        let mut scene = Scene::default();
        if needs.contains(&Need::RuntimeImage) {
            scene.speed = 1;
        }
        Self::with(scene, Options::default()).await
    }

    /// Starts a cluster in another way; machines and images are added to what the scene says.
    ///
    /// # Errors
    /// It does not start.
    pub async fn with(mut scene: Scene, mut options: Options) -> Result<Self> {
        options.kubelet = true;
        let server = Arc::new(ApiServer::start(options).await?);
        scene.images.insert(IMAGE.to_owned());
        if let Ok(program) = super::program::find() {
            scene.programs.insert(RUNTIME_IMAGE.to_owned(), program);
        }
        scene
            .machines
            .push(Machine::new("machine-2").label("disk", "ssd"));
        let controllers = Controllers::start(&server, scene)?;
        let spaces = Spaces {
            apps: "baetyl-edge".to_owned(),
            second: "line-2".to_owned(),
            system: "baetyl-edge-system".to_owned(),
            foreign: "of-somebody".to_owned(),
        };
        let store = server.store();
        for space in [
            &spaces.apps,
            &spaces.second,
            &spaces.system,
            &spaces.foreign,
        ] {
            store.create("namespaces", "", json!({ "metadata": { "name": space } }))?;
        }
        let folder = tempfile::tempdir()?;
        let admin = folder.path().join("admin");
        std::fs::write(&admin, server.kube_config("admin"))?;
        let client = access::connect(Some(&admin)).await?;
        Ok(Self {
            server,
            controllers,
            client,
            spaces,
            folder,
            nodes: AtomicU32::new(0),
        })
    }

    /// Why a need of scenarios cannot be met on this machine; `None` when it can.
    #[must_use]
    pub fn missing(need: Need) -> Option<String> {
        match need {
            Need::Machines
            | Need::NewMachine
            | Need::Storage
            | Need::Httpd
            | Need::Outage
            | Need::Expiry
            | Need::RequestLog
            | Need::CustomResources
            | Need::Usage => None,
            Need::RuntimeImage => super::program::find().err(),
            Need::Helm => helm::program().err(),
        }
    }

    /// The API server.
    #[must_use]
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// What nodes have written and what became of their pods, for whoever looks for a mistake.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = String::new();
        for request in self.server.log().entries() {
            let is_write = !["get", "list", "watch"].contains(&request.verb.as_str());
            if is_write && request.user.starts_with("core-") {
                let dry = if request.is_dry_run { " (dry run)" } else { "" };
                story.push_str(&format!(
                    "{} {} {} {}/{} {}{dry}\n",
                    crate::look::clock(request.at),
                    request.verb,
                    request.resource,
                    request.namespace,
                    request.name,
                    request.status
                ));
            }
        }
        let mut events = self.server.store().list("events", "");
        events.sort_by_key(|event| event["metadata"]["resourceVersion"].to_string());
        for event in events {
            let about = &event["involvedObject"];
            story.push_str(&format!(
                "{}/{} {} {} x{}\n",
                about["kind"], about["name"], event["reason"], event["message"], event["count"]
            ));
        }
        story
    }

    /// The controllers.
    #[must_use]
    pub fn controllers(&self) -> &Controllers {
        &self.controllers
    }
}

#[async_trait(?Send)]
impl World for FakeWorld {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    fn image(&self) -> &str {
        IMAGE
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn lacks(&self, need: Need) -> Option<String> {
        Self::missing(need)
    }

    fn node_port(&self) -> u16 {
        30_080
    }

    async fn access(&self, more: &Rules) -> Result<Access> {
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let user = format!("core-{number}");
        let kubeconfig = self.folder.path().join(&user);
        std::fs::write(&kubeconfig, self.server.kube_config(&user))?;
        let mut roles = vec![more.cluster_role(&user)?];
        for space in [&self.spaces.apps, &self.spaces.second] {
            roles.push(more.role(&user, space)?);
        }
        for role in roles {
            self.server.grant(&user, &role.to_string())?;
        }
        let mut settings = KubeSettings::new(format!("node-{number}"), format!("edge-{number}"));
        settings.allowed_namespaces = vec![self.spaces.apps.clone(), self.spaces.second.clone()];
        settings.retry_period = Duration::from_millis(100);
        helm::set(&mut settings);
        Ok(Access {
            kubeconfig,
            settings,
            patience: self.patience(),
        })
    }

    async fn add_machine(&self, name: &str) -> Result<()> {
        self.controllers.add_machine(&Machine::new(name))?;
        Ok(())
    }

    async fn tick(&self, space: &str, cron_job: &str) -> Result<()> {
        self.controllers.tick(space, cron_job)?;
        Ok(())
    }

    async fn set_line(&self, line: Line) -> Result<()> {
        let faults = self.server.faults();
        match line {
            Line::Open => faults.come_back(),
            Line::Cut => faults.go_away(Outage::Reset),
            Line::Silent => faults.go_away(Outage::Silent),
        }
        Ok(())
    }

    async fn forget_history(&self) -> Result<()> {
        self.server.compact();
        Ok(())
    }

    async fn set_usage(&self, is_there: bool) -> Result<()> {
        let mode = if is_there {
            ApiMode::Serving
        } else {
            ApiMode::Absent
        };
        self.server.usage().set_metrics(mode);
        self.server.usage().set_others(50_000_000, 8 << 20);
        Ok(())
    }

    fn runtime_image(&self) -> Option<String> {
        Some(RUNTIME_IMAGE.to_owned())
    }

    fn proxy_host(&self) -> Option<String> {
        Some("127.0.0.1".to_owned())
    }
}
