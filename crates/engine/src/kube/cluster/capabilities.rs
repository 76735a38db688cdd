//! What charts ask of the cluster: its version and its APIs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::core::discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::discovery::{Kinds, aggregated, look};
use super::rejection::Rejection;
use super::request::{Call, Trouble};
use super::{CONCURRENCY, Cluster};

/// How long an answer is used. Charts are rendered again only when something changed, or at a
/// start, when several are.
const KEPT: Duration = Duration::from_secs(300);

/// The most APIs that are told to charts.
const MAX_APIS: usize = 8192;

/// The most group versions that are asked for one by one, in clusters that cannot say all at once.
const MAX_GROUPS: usize = 256;

/// What the cluster can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Version of the cluster: `v1.33.2+k3s1`.
    pub version: String,
    /// Group versions and kinds, sorted: `apps/v1` and `apps/v1/Deployment`.
    pub apis: Vec<String>,
}

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct CapabilityCache(Mutex<Option<(Instant, Arc<Capabilities>)>>);

impl CapabilityCache {
    fn fresh(&self) -> Option<Arc<Capabilities>> {
        let kept = self.0.lock();
        let (at, capabilities) = kept.as_ref()?;
        (at.elapsed() < KEPT).then(|| Arc::clone(capabilities))
    }
}

impl Cluster {
    /// Asks for version and APIs of the cluster, at most every 5 minutes.
    ///
    /// # Errors
    /// [`Rejection`], passing, when the cluster could not be asked.
    pub async fn capabilities(&self) -> Result<Arc<Capabilities>, Rejection> {
        if let Some(fresh) = self.capabilities.fresh() {
            return Ok(fresh);
        }
        let asked = self.ask().await;
        let capabilities =
            asked.map_err(|trouble| Rejection::of_trouble("ask which APIs there are", &trouble))?;
        let capabilities = Arc::new(capabilities);
        *self.capabilities.0.lock() = Some((Instant::now(), Arc::clone(&capabilities)));
        Ok(capabilities)
    }

    async fn ask(&self) -> Result<Capabilities, Trouble> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let version: Version = self.requests.fetch(Call::json("/version")).await?;
        let mut apis = BTreeSet::new();
        for root in ["/api", "/apis"] {
            let call = Call::get(root, ACCEPT_AGGREGATED_DISCOVERY_V2);
            let answer: Value = self.requests.fetch(call).await?;
            for (api_version, kinds) in self.groups(&answer).await? {
                apis.extend(kinds.keys().map(|kind| format!("{api_version}/{kind}")));
                apis.insert(api_version.clone());
                self.discovery.keep(&api_version, kinds);
            }
        }
        Ok(Capabilities {
            version: version.git_version,
            apis: apis.into_iter().take(MAX_APIS).collect(),
        })
    }

    /// Reads the list of everything, or, from clusters before 1.30, of groups to be asked.
    async fn groups(&self, answer: &Value) -> Result<Vec<(String, Kinds)>, Trouble> {
        if answer["kind"] == "APIGroupDiscoveryList" {
            return Ok(listed(answer));
        }
        let names = named(answer).into_iter().take(MAX_GROUPS);
        stream::iter(names)
            .map(|name| async move {
                let kinds = look(&self.requests, &name).await?;
                Ok((name, kinds))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }
}

/// Group versions with their kinds, from the aggregated list.
fn listed(answer: &Value) -> Vec<(String, Kinds)> {
    let mut found = Vec::new();
    for group in answer["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            let Some(short) = version["version"].as_str() else {
                continue;
            };
            let api_version = match name {
                "" => short.to_owned(),
                name => format!("{name}/{short}"),
            };
            let resources = version["resources"].as_array().into_iter().flatten();
            let mut kinds = Kinds::new();
            for (kind, resource) in resources.filter_map(|r| aggregated(&api_version, r)) {
                kinds.entry(kind).or_insert_with(|| resource.into());
            }
            found.push((api_version, kinds));
        }
    }
    found
}

/// Names of group versions, from the plain lists.
fn named(answer: &Value) -> Vec<String> {
    let core = answer["versions"].as_array().into_iter().flatten();
    let core = core.filter_map(Value::as_str);
    let groups = answer["groups"].as_array().into_iter().flatten();
    let groups = groups.flat_map(|group| group["versions"].as_array().into_iter().flatten());
    let groups = groups.filter_map(|version| version["groupVersion"].as_str());
    core.chain(groups).map(str::to_owned).collect()
}
