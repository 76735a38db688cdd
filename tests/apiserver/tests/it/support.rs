//! A server, clients of it, and objects.

use std::time::Duration;

use baetyl_apiserver::{ApiServer, Options};
use kube::api::DynamicObject;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// How long a test waits for a level.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A server with the namespace `one`.
pub(crate) async fn server() -> ApiServer {
    server_with(Options::default()).await
}

pub(crate) async fn server_with(options: Options) -> ApiServer {
    let server = ApiServer::start(options).await.unwrap();
    let namespace = json!({ "metadata": { "name": "one" } });
    server.store().create("namespaces", "", namespace).unwrap();
    server
}

/// A client that tries nothing twice.
pub(crate) async fn client_as(server: &ApiServer, user: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&server.kube_config(user)).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

pub(crate) async fn client(server: &ApiServer) -> Client {
    client_as(server, "admin").await
}

/// A typed object from JSON.
pub(crate) fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// What the server said.
pub(crate) fn status<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("not an answer: {other:?}"),
    }
}

/// Fields of the causes of a status.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| cause.field.clone()).collect()
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "one" }, "data": data,
    })
}

pub(crate) fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "one" },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "a", "image": image }] },
            },
        },
    })
}

pub(crate) fn pod(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "one", "labels": labels },
        "spec": { "containers": [{ "name": "a", "image": "b:1" }] },
    })
}

/// Objects of a namespace whose kind is not known when this is compiled.
pub(crate) fn dynamic(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let kind = kube::api::GroupVersionKind::gvk(group, version, kind);
    let resource = kube::api::ApiResource::from_gvk(&kind);
    Api::namespaced_with(client.clone(), "one", &resource)
}
