//! Looking at the cluster with the eyes of an administrator, beside the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::Instant;

/// How often is looked.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The label that names the application of an object.
pub const APPLICATION: &str = "baetyl.io/application";

/// The label that names the node that an object belongs to.
pub const OWNER: &str = "baetyl.io/owner";

/// Kinds that applications are made of: API version, kind, plural.
pub const KINDS: [(&str, &str, &str); 13] = [
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("v1", "Pod", "pods"),
];

/// Looks at a cluster.
#[derive(Clone)]
pub struct Look {
    client: Client,
    patience: Duration,
}

/// An API of objects of any kind; cluster scope when the namespace is empty.
#[must_use]
pub fn api(client: &Client, api_version: &str, kind: &str, space: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let known = KINDS.iter().find(|(_, known, _)| *known == kind);
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = match known {
        Some((_, _, plural)) => ApiResource::from_gvk_with_plural(&kind, plural),
        None => ApiResource::from_gvk(&kind),
    };
    if space.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), space, &resource)
    }
}

impl Look {
    /// Looks with this client, and waits so long at most.
    #[must_use]
    pub fn new(client: Client, patience: Duration) -> Self {
        Self { client, patience }
    }

    /// Looks until something is as it should be, and returns what was seen then.
    ///
    /// # Errors
    /// It does not become so; the message has what was seen last.
    pub async fn until<T: Debug>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T>,
        good: impl Fn(&T) -> bool,
    ) -> Result<T> {
        let deadline = Instant::now() + self.patience;
        loop {
            let seen = look().await;
            match seen {
                Ok(seen) if good(&seen) => return Ok(seen),
                seen if Instant::now() >= deadline => {
                    bail!("{what}: does not happen; last seen: {seen:?}")
                }
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Returns an object; `None` when it is not there.
    ///
    /// # Errors
    /// That cannot be found out.
    pub async fn object(
        &self,
        (api_version, kind): (&str, &str),
        space: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        let api = api(&self.client, api_version, kind, space);
        let found = api.get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// Returns an object that must be there.
    ///
    /// # Errors
    /// It is not, or that cannot be found out.
    pub async fn there(&self, kind: (&str, &str), space: &str, name: &str) -> Result<Value> {
        let found = self.object(kind, space, name).await?;
        found.with_context(|| format!("{} {space}/{name} is not there", kind.1))
    }

    /// Returns the objects of a kind that a label selector finds.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn objects(
        &self,
        (api_version, kind): (&str, &str),
        space: &str,
        selector: &str,
    ) -> Result<Vec<Value>> {
        let api = api(&self.client, api_version, kind, space);
        let found = api.list(&ListParams::default().labels(selector)).await?;
        let values = found.items.into_iter().map(serde_json::to_value);
        Ok(values.collect::<Result<_, _>>()?)
    }

    /// Returns kind and name of everything that belongs to a node in a namespace, pods left out.
    ///
    /// # Errors
    /// It cannot be listed.
    pub async fn all_of(&self, owner: &str, space: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (api_version, kind, _) in KINDS {
            if kind == "Pod" {
                continue;
            }
            let selector = format!("{OWNER}={owner}");
            for object in self.objects((api_version, kind), space, &selector).await? {
                let name = object.pointer("/metadata/name").and_then(Value::as_str);
                names.insert(format!("{kind}/{}", name.unwrap_or_default()));
            }
        }
        Ok(names)
    }

    /// Returns the pods of an application that are not on their way out. Pods that ended as a
    /// whole, evicted ones for instance, stay for a while as a record of it, and are left out unless
    /// a job made them.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn pods(&self, space: &str, application: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), space);
        let selector = format!("{APPLICATION}={application}");
        let found = api.list(&ListParams::default().labels(&selector)).await?;
        let pods = found.items.into_iter();
        Ok(pods
            .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_over(pod))
            .collect())
    }

    /// Returns the uids of an application's pods by their names.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn uids(&self, space: &str, application: &str) -> Result<BTreeMap<String, String>> {
        let pods = self.pods(space, application).await?;
        let uids = pods.into_iter();
        Ok(uids
            .map(|pod| (pod.name_any(), pod.uid().unwrap_or_default()))
            .collect())
    }

    /// Returns how often the containers of each pod were started again.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn restarts(&self, space: &str, application: &str) -> Result<i32> {
        let pods = self.pods(space, application).await?;
        let statuses = pods
            .into_iter()
            .filter_map(|pod| pod.status?.container_statuses);
        Ok(statuses.flatten().map(|one| one.restart_count).sum())
    }

    /// Waits until so many pods of an application are ready, and no others are there.
    ///
    /// # Errors
    /// It does not become so.
    pub async fn until_ready(
        &self,
        space: &str,
        application: &str,
        count: usize,
    ) -> Result<Vec<Pod>> {
        let what = format!("{count} pods of {application} are ready");
        let look = async || self.pods(space, application).await;
        self.until(&what, look, |pods| {
            pods.len() == count && pods.iter().all(is_ready)
        })
        .await
    }

    /// Returns the last line that the containers of a pod have written.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn last_line(&self, pod: &Pod, container: &str) -> Result<String> {
        let space = pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &space);
        let how = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(1),
            ..LogParams::default()
        };
        let text = api.logs(&pod.name_any(), &how).await?;
        Ok(text.trim_end().to_owned())
    }

    /// Returns all that the container of a pod has written.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn lines(&self, pod: &Pod, container: &str) -> Result<Vec<String>> {
        let space = pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &space);
        let how = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        let text = api.logs(&pod.name_any(), &how).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Waits until the last line of every pod of an application is this.
    ///
    /// # Errors
    /// It does not become so.
    pub async fn until_all_see(&self, space: &str, application: &str, line: &str) -> Result<()> {
        let what = format!("pods of {application} see {line:?}");
        let look = async || {
            let mut seen = Vec::new();
            for pod in self.pods(space, application).await? {
                seen.push(self.last_line(&pod, crate::application::MAIN).await?);
            }
            Ok(seen)
        };
        self.until(&what, look, |seen| {
            !seen.is_empty() && seen.iter().all(|one| one == line)
        })
        .await?;
        Ok(())
    }

    /// Creates an object as somebody else than the engine.
    ///
    /// # Errors
    /// It is refused.
    pub async fn create(&self, object: Value) -> Result<Value> {
        let (api_version, kind, space, _) = identity(&object);
        let api = api(&self.client, &api_version, &kind, &space);
        let object: DynamicObject = serde_json::from_value(object)?;
        let made = api.create(&PostParams::default(), &object).await?;
        Ok(serde_json::to_value(made)?)
    }

    /// Changes an object by hand, as `kubectl edit` does.
    ///
    /// # Errors
    /// It is refused.
    pub async fn edit(
        &self,
        (api_version, kind): (&str, &str),
        space: &str,
        name: &str,
        patch: &Value,
    ) -> Result<()> {
        let api = api(&self.client, api_version, kind, space);
        let by = PatchParams {
            field_manager: Some("kubectl-edit".to_owned()),
            ..PatchParams::default()
        };
        api.patch(name, &by, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Declares fields of an object as another manager, by server-side apply.
    ///
    /// # Errors
    /// It is refused.
    pub async fn declare(&self, manager: &str, object: &Value) -> Result<()> {
        let (api_version, kind, space, name) = identity(object);
        let api = api(&self.client, &api_version, &kind, &space);
        let by = PatchParams::apply(manager).force();
        api.patch(&name, &by, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Deletes an object as somebody else than the engine.
    ///
    /// # Errors
    /// It is refused.
    pub async fn delete(
        &self,
        (api_version, kind): (&str, &str),
        space: &str,
        name: &str,
    ) -> Result<()> {
        let api = api(&self.client, api_version, kind, space);
        api.delete(name, &Default::default()).await?;
        Ok(())
    }
}

/// API version, kind, namespace and name of an object.
fn identity(object: &Value) -> (String, String, String, String) {
    let text = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    (
        text("/apiVersion"),
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    )
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|one| one.phase.as_deref());
    // One that ends well when it is told to end was evicted, too.
    let is_of_job = pod.owner_references().iter().any(|one| one.kind == "Job");
    phase == Some("Failed") || (phase == Some("Succeeded") && !is_of_job)
}

/// Milliseconds of the hour, for what people compare by hand.
#[must_use]
pub fn clock(at: SystemTime) -> u128 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() % 3_600_000)
}

/// Whether a pod is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|one| one.conditions.as_ref());
    let mut all = conditions.into_iter().flatten();
    all.any(|one| one.type_ == "Ready" && one.status == "True")
}
