//! The running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::faults::Faults;
use crate::http::serve;
use crate::log::RequestLog;
use crate::options::Options;
use crate::pod_logs::PodLogs;
use crate::rbac;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::store::Store;
use crate::usage::Usage;

/// How long connections have to end.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// An API server of Kubernetes in this process, on a port of the loopback interface.
///
/// It ends with [`stop`](Self::stop), or when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl ApiServer {
    /// Starts a server with the namespaces that every cluster has.
    ///
    /// # Errors
    /// No port could be had.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        let store = Store::new(Arc::clone(&shared));
        for name in NAMESPACES {
            store
                .create("namespaces", "", json!({ "metadata": { "name": name } }))
                .map_err(std::io::Error::other)?;
        }
        let tasks = TaskTracker::new();
        tasks.spawn(serve(listener, Arc::clone(&shared), tasks.clone()));
        Ok(Self {
            shared,
            address,
            tasks,
        })
    }

    /// Returns its address: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a configuration for clients as a user, in YAML. `admin` may do everything; other
    /// users may do what roles grant to them, or to the account that they are called after
    /// (`system:serviceaccount:<namespace>:<name>`).
    #[must_use]
    pub fn kube_config(&self, user: &str) -> String {
        let token = self.shared.users.add(user);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": { "server": self.url() } }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{
                "name": "test",
                "context": { "cluster": "test", "user": user, "namespace": "default" },
            }],
            "current-context": "test",
        });
        // JSON is YAML.
        format!("{config:#}\n")
    }

    /// Returns the bearer token of a user; adds the user when it is not known.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        self.shared.users.add(user)
    }

    /// Stores the roles and bindings of a text of several documents, as an administrator does.
    /// Roles that no binding of the text names are bound to the user. Namespaces that they are in
    /// must exist.
    ///
    /// # Errors
    /// The text cannot be read, holds something else, or the server refuses it.
    pub fn grant(&self, user: &str, yaml: &str) -> Result<(), Refusal> {
        let _ = self.shared.users.add(user);
        let store = self.store();
        for object in rbac::grant(user, yaml)? {
            store.apply(&object)?;
        }
        Ok(())
    }

    /// Applies every object of a text of several documents, as an administrator does.
    ///
    /// # Errors
    /// The text cannot be read, or the server refuses an object.
    pub fn install(&self, yaml: &str) -> Result<(), Refusal> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)
            .map_err(|error| Refusal::bad_request(error.to_string()))?;
        let store = self.store();
        for document in documents.iter().filter(|document| document.is_object()) {
            store.apply(document)?;
        }
        Ok(())
    }

    /// Returns what is stored, as an administrator in process.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(Arc::clone(&self.shared))
    }

    /// Returns the faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Returns the log of requests.
    #[must_use]
    pub fn log(&self) -> &RequestLog {
        &self.shared.log
    }

    /// Returns the output of containers.
    #[must_use]
    pub fn pod_logs(&self) -> &PodLogs {
        &self.shared.pod_logs
    }

    /// Returns what machines and containers use.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.shared.usage
    }

    /// Forgets the history: who watches or lists from an older version gets 410. Watches that are
    /// open and have seen everything go on.
    pub fn compact(&self) {
        self.shared.with(crate::state::State::compact);
    }

    /// Makes every watch that allows bookmarks send one.
    pub fn bookmark(&self) {
        self.shared.bookmarks.send_modify(|count| *count += 1);
    }

    /// Stops the server: connections are cut, and its tasks have ended.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        // Every task waits for the cancellation; the bound only guards the test.
        let _ = tokio::time::timeout(STOP_TIME, self.tasks.wait()).await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
