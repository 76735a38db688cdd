//! A fake API server with watches on it, under the committed roles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_apiserver::{ApiServer, Options, Store};
use baetyl_engine::kube::access::Client;
use baetyl_engine::kube::facts::{AppFacts, ClusterFacts};
use baetyl_engine::kube::settings::KubeSettings;
use baetyl_engine::kube::watch::Watches;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Only a hanging test waits for so long.
pub(crate) const BOUND: Duration = Duration::from_secs(120);

/// The namespace of the applications.
pub(crate) const EDGE: &str = "baetyl-edge";

/// Who watches.
pub(crate) const CORE: &str = "core";

/// What core may do in a namespace.
pub(crate) fn role(namespace: &str) -> String {
    let role = include_str!("../../../../../charts/edge/files/role.yaml");
    let name = "name: baetyl-core";
    role.replace(name, &format!("{name}\n  namespace: {namespace}"))
}

/// What core may see of the cluster.
pub(crate) const CLUSTER_ROLE: &str =
    include_str!("../../../../../charts/edge/files/cluster-role.yaml");

/// The server and who watches it.
pub(crate) struct Rig {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
    pub(crate) watches: Watches,
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Rig {
    /// Starts with the committed roles and the settings of tests.
    pub(crate) async fn start() -> Self {
        Self::prepared(&[&role(EDGE), CLUSTER_ROLE], |_| (), |_| ()).await
    }

    /// Starts with what is there before, and with settings.
    pub(crate) async fn prepared(
        roles: &[&str],
        before: impl FnOnce(&ApiServer),
        change: impl FnOnce(&mut KubeSettings),
    ) -> Self {
        let server = ApiServer::start(Options::default()).await.expect("a port");
        let store = server.store();
        if store.get("namespaces", "", EDGE).is_none() {
            let namespace = json!({"metadata": {"name": EDGE}});
            store.create("namespaces", "", namespace).expect("new");
        }
        for role in roles {
            server.grant(CORE, role).expect("a role");
        }
        before(&server);
        let client = client(&server, CORE).await;
        let mut settings = KubeSettings::new("owner-1", "node-1");
        settings.retry_period = Duration::from_millis(20);
        settings.usage_period = Duration::from_secs(3600);
        change(&mut settings);
        let (tracker, end) = (TaskTracker::new(), CancellationToken::new());
        let watches = Watches::start(client.clone(), settings.into(), &tracker, end.clone());
        Self {
            server,
            client,
            watches,
            tracker,
            end,
        }
    }

    pub(crate) fn store(&self) -> Store {
        self.server.store()
    }

    pub(crate) async fn ready(&self) {
        timeout(BOUND, self.watches.ready()).await.expect("ready");
    }

    /// The facts of an application once they are so.
    pub(crate) async fn facts(
        &self,
        application: &str,
        so: impl FnMut(&Arc<AppFacts>) -> bool,
    ) -> Arc<AppFacts> {
        until(self.watches.facts(application), so).await
    }

    /// What can be seen of the cluster once that is so.
    pub(crate) async fn cluster(
        &self,
        so: impl FnMut(&Arc<ClusterFacts>) -> bool,
    ) -> Arc<ClusterFacts> {
        until(self.watches.cluster(), so).await
    }

    /// Waits until so many watches are open.
    pub(crate) async fn watched(&self, count: usize) {
        let opened = async {
            while self.server.log().open_watches() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(BOUND, opened).await.expect("open watches");
    }

    /// Ends everything, which must not take long.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        self.tracker.close();
        timeout(BOUND, self.tracker.wait()).await.expect("the end");
        self.server.stop().await;
    }
}

/// Waits for a level.
pub(crate) async fn until<T: Clone>(
    mut level: watch::Receiver<T>,
    so: impl FnMut(&T) -> bool,
) -> T {
    let reached = timeout(BOUND, level.wait_for(so)).await;
    reached.expect("in time").expect("it goes on").clone()
}

/// A client for a user of the server, without retries of its own.
pub(crate) async fn client(server: &ApiServer, user: &str) -> Client {
    let file = Kubeconfig::from_yaml(&server.kube_config(user)).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.expect("a configuration");
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// The labels of an application of ours.
pub(crate) fn labels(application: &str) -> BTreeMap<&str, &str> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by", "baetyl"),
        ("baetyl.io/owner", "owner-1"),
        ("baetyl.io/application", application),
    ])
}

/// Metadata of an object of ours.
pub(crate) fn ours(application: &str, name: &str) -> Value {
    json!({"name": name, "namespace": EDGE, "labels": labels(application)})
}

/// A configuration of an application.
pub(crate) fn config_map(application: &str, name: &str) -> Value {
    json!({"metadata": ours(application, name), "data": {"key": "value"}})
}

/// A deployment of an application.
pub(crate) fn deployment(application: &str) -> Value {
    json!({
        "metadata": ours(application, application),
        "spec": {
            "selector": {"matchLabels": {"baetyl.io/application": application}},
            "template": {
                "metadata": {"labels": labels(application)},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    })
}

/// A pod of an application that a controller made.
pub(crate) fn pod(application: &str, name: &str, containers: &[&str]) -> Value {
    let containers: Vec<_> = containers
        .iter()
        .map(|name| json!({"name": name, "image": "web:1"}))
        .collect();
    json!({
        "metadata": ours(application, name),
        "spec": {"nodeName": "n1", "containers": containers},
    })
}

/// Writes the status of a pod whose containers all run.
pub(crate) fn run(store: &Store, name: &str, restarts: u32) {
    let written = store.edit_status("pods", EDGE, name, |pod| {
        let containers = pod["spec"]["containers"].as_array().cloned();
        let statuses: Vec<_> = containers
            .into_iter()
            .flatten()
            .map(|container| {
                let mut status = json!({
                    "name": container["name"],
                    "image": "web:1",
                    "imageID": "",
                    "ready": true,
                    "started": true,
                    "restartCount": restarts,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                });
                if restarts > 0 {
                    status["lastState"] = json!({"terminated": {
                        "exitCode": 1,
                        "reason": "Error",
                        "startedAt": "2026-01-01T00:00:00Z",
                        "finishedAt": "2026-01-01T00:00:01Z",
                    }});
                }
                status
            })
            .collect();
        pod["status"] = json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": statuses,
        });
    });
    written.expect("a pod");
}

/// An event about an object.
pub(crate) fn event(name: &str, about: &Value, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": EDGE},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": about["metadata"]["name"],
            "namespace": EDGE,
            "uid": about["metadata"]["uid"],
            "fieldPath": "spec.containers{web}",
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:05Z",
        "lastTimestamp": "2026-01-01T00:00:05Z",
    })
}
