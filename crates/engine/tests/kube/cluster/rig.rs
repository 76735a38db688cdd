//! An API server, the client side of the engine under its committed role, and objects to apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_apiserver::{ApiServer, Options, Request, Store};
use baetyl_engine::kube::cluster::{
    Applied, ApplyFailure, ApplyOptions, Checked, Cluster, Known, Rejection,
};
use baetyl_engine::kube::facts::{Health, ObjectFacts};
use baetyl_engine::kube::object::{Object, ObjectKey};
use baetyl_engine::kube::settings::KubeSettings;
use baetyl_engine::kube::watch::content;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

pub(crate) const OWNER: &str = "5d3c1b6e-1111-4222-8333-444455556666";
pub(crate) const APPLICATION: &str = "watcher";
pub(crate) const NAMESPACE: &str = "baetyl-edge";

/// The role that the chart binds.
const ROLE: &str = include_str!("../../../../../charts/edge/files/role.yaml");

/// What an installation adds that lets manifests bring namespaces and kinds of their own.
const EXTRA: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: extra}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [get, list, watch, create, patch, delete]}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch, create, patch, delete]
- {apiGroups: [example.com], resources: [widgets], verbs: [get, list, watch, create, patch, delete]}
- apiGroups: ['']
  resources: [configmaps, secrets, services, persistentvolumeclaims, pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch, create, patch, delete]
- {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch, create, patch, delete]}
";

pub(crate) struct Rig {
    pub(crate) server: ApiServer,
    pub(crate) cluster: Cluster,
    pub(crate) options: ApplyOptions,
}

impl Rig {
    /// Core as the chart installs it.
    pub(crate) async fn start() -> Self {
        Self::with(Options::default(), &[ROLE]).await
    }

    /// Core with the rights that manifests with kinds of their own need.
    pub(crate) async fn start_with_more() -> Self {
        Self::with(Options::default(), &[ROLE, EXTRA]).await
    }

    pub(crate) async fn with_options(options: Options) -> Self {
        Self::with(options, &[ROLE, EXTRA]).await
    }

    /// A rig in which core may do nothing.
    pub(crate) async fn start_without_rights() -> Self {
        Self::with(Options::default(), &[]).await
    }

    async fn with(options: Options, roles: &[&str]) -> Self {
        let server = ApiServer::start(options).await.unwrap();
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        server.store().create("namespaces", "", namespace).unwrap();
        let text = server.kube_config("core");
        // The chart writes it into every namespace of applications.
        let placed = format!("name: baetyl-core\n  namespace: {NAMESPACE}");
        for role in roles {
            let role = role.replace("name: baetyl-core", &placed);
            server.grant("core", &role).unwrap();
        }
        let file = Kubeconfig::from_yaml(&text).unwrap();
        let choice = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &choice).await;
        let mut config = config.unwrap();
        // What is repeated, and when, is what these tests are about.
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let settings = KubeSettings::new(OWNER, "edge-1");
        Self {
            server,
            cluster: Cluster::new(client, Arc::new(settings)),
            options: ApplyOptions::default(),
        }
    }

    pub(crate) fn store(&self) -> Store {
        self.server.store()
    }

    pub(crate) async fn check(&self, objects: &[Object]) -> Result<Checked, Rejection> {
        let known = self.known(objects);
        self.cluster.check(objects, &known, &self.options).await
    }

    pub(crate) async fn apply(&self, objects: &[Object]) -> Result<Applied, ApplyFailure> {
        let known = self.known(objects);
        let checked = self.cluster.check(objects, &known, &self.options).await;
        let checked = checked.map_err(|rejection| ApplyFailure {
            applied: Applied::default(),
            rejection,
        })?;
        self.cluster
            .apply(objects, &checked, &known, &self.options)
            .await
    }

    /// What the watches would show: objects with the owner label.
    pub(crate) fn known(&self, objects: &[Object]) -> Known {
        let mut known = BTreeMap::new();
        for object in objects {
            let key = object.key();
            let Some(live) = self.live(key) else {
                continue;
            };
            let labels = &live["metadata"]["labels"];
            if labels["baetyl.io/owner"] == OWNER && labels["baetyl.io/application"] == APPLICATION
            {
                known.insert(key.clone(), facts(&live));
            }
        }
        known
    }

    /// The object in the cluster.
    pub(crate) fn live(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        let resource = resource(key)?;
        let namespace = key.namespace.as_deref().unwrap_or_default();
        self.store().get(resource, namespace, &key.name)
    }

    /// Requests of core since the log was cleared: verb, resource, name.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let entries = self.server.log().entries();
        entries.into_iter().filter(|r| r.user == "core").collect()
    }

    /// Writes of core that were no dry runs, in order: `patch configmaps/a`.
    pub(crate) fn writes(&self) -> Vec<String> {
        let requests = self.requests();
        let writes = requests
            .iter()
            .filter(|r| !r.is_dry_run && ["patch", "create", "delete"].contains(&r.verb.as_str()));
        writes
            .map(|r| format!("{} {}/{}", r.verb, r.resource, r.name))
            .collect()
    }

    /// How many requests core has made, by verb.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.requests() {
            let verb = match (request.resource.as_str(), request.is_dry_run) {
                ("", _) => "discovery".to_owned(),
                (_, true) => "dry run".to_owned(),
                _ => request.verb,
            };
            *counts.entry(verb).or_default() += 1;
        }
        counts
    }
}

fn facts(live: &Value) -> ObjectFacts {
    let text = |name: &str| {
        live["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    ObjectFacts {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        generation: live["metadata"]["generation"].as_i64().unwrap_or(0),
        content: content(live),
        release: String::new(),
        is_controlled: false,
        is_deleting: live["metadata"]["deletionTimestamp"].is_string(),
        health: Health::Ready,
    }
}

/// The kinds that these tests look at.
fn resource(key: &ObjectKey) -> Option<&'static str> {
    Some(match key.kind.as_str() {
        "ConfigMap" => "configmaps",
        "CustomResourceDefinition" => "customresourcedefinitions.apiextensions.k8s.io",
        "Deployment" => "deployments.apps",
        "Job" => "jobs.batch",
        "Namespace" => "namespaces",
        "PersistentVolumeClaim" => "persistentvolumeclaims",
        "Pod" => "pods",
        "Secret" => "secrets",
        "Service" => "services",
        "StatefulSet" => "statefulsets.apps",
        "Widget" => "widgets.example.com",
        _ => return None,
    })
}

pub(crate) fn labels() -> Value {
    json!({
        "app.kubernetes.io/managed-by": "baetyl",
        "baetyl.io/owner": OWNER,
        "baetyl.io/application": APPLICATION,
    })
}

/// An object of the application.
pub(crate) fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Object {
    let mut body = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "labels": labels()},
    });
    let is_namespaced = !["Namespace", "CustomResourceDefinition"].contains(&kind);
    if is_namespaced {
        body["metadata"]["namespace"] = NAMESPACE.into();
    }
    let fields = rest.as_object().unwrap();
    for (name, value) in fields {
        body[name.as_str()] = value.clone();
    }
    Object::try_new(body).unwrap()
}

pub(crate) fn config_map(name: &str, value: &str) -> Object {
    object("v1", "ConfigMap", name, json!({"data": {"key": value}}))
}

pub(crate) fn pod_template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    })
}

pub(crate) fn deployment(name: &str) -> Object {
    let spec = json!({
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": pod_template(name),
    });
    object("apps/v1", "Deployment", name, json!({"spec": spec}))
}

pub(crate) fn service(name: &str) -> Object {
    let spec = json!({"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]});
    object("v1", "Service", name, json!({"spec": spec}))
}

/// A definition of the kind `Widget`, whose `size` is a number.
pub(crate) fn definition() -> Object {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
        },
    });
    let spec = json!({
        "group": "example.com",
        "scope": "Namespaced",
        "names": {
            "kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList",
        },
        "versions": [{
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": schema},
        }],
    });
    object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "widgets.example.com",
        json!({"spec": spec}),
    )
}

pub(crate) fn widget(name: &str, size: Value) -> Object {
    object(
        "example.com/v1",
        "Widget",
        name,
        json!({"spec": {"size": size}}),
    )
}

/// The same object with another value somewhere.
pub(crate) fn with(mut object: Object, pointer: &str, value: Value) -> Object {
    object.edit(|body| *body.pointer_mut(pointer).unwrap() = value);
    object
}

pub(crate) fn version(live: &Value) -> String {
    live["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn uid(live: &Value) -> String {
    live["metadata"]["uid"].as_str().unwrap().to_owned()
}
