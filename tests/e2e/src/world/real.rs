//! The cluster of `KUBECONFIG`: real pods, in namespaces of their own that are removed at the end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use baetyl_engine::kube::settings::KubeSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node as Machine, ServiceAccount};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Config};
use rand::Rng as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::role::Rules;
use super::wire::Wire;
use super::{Line, Need, Spaces, World, helm};
use crate::look::{self, KINDS, Look};
use crate::node::Access;

/// Names the image with a busybox shell.
const IMAGE: &str = "BAETYL_E2E_IMAGE";

/// Names the image with the runtime host.
const RUNTIME_IMAGE: &str = "BAETYL_E2E_RUNTIME_IMAGE";

/// Names the host by which pods reach this process: an address of this machine.
const PROXY_HOST: &str = "BAETYL_E2E_PROXY_HOST";

/// How long a token is good for.
const TOKEN_SECONDS: i64 = 6 * 3600;

/// A real cluster.
pub struct RealWorld {
    client: Client,
    config: Config,
    spaces: Spaces,
    suffix: String,
    image: String,
    runtime_image: Option<String>,
    proxy_host: Option<String>,
    wire: Wire,
    folder: TempDir,
    nodes: AtomicU32,
    machines: usize,
    has_storage: bool,
}

impl RealWorld {
    /// Makes namespaces in the cluster of `KUBECONFIG`.
    ///
    /// # Errors
    /// There is no such cluster, `BAETYL_E2E_IMAGE` is not set, or the namespaces cannot be made.
    pub async fn start() -> Result<Self> {
        let image = std::env::var(IMAGE);
        let image = image.with_context(|| format!("{IMAGE} must name an image with a shell"))?;
        let config = Config::infer()
            .await
            .context("no cluster: set KUBECONFIG")?;
        let client = Client::try_from(config.clone())?;
        let suffix: String = {
            let mut random = rand::rng();
            let letter = |_| char::from(random.random_range(b'a'..=b'z'));
            (0..6).map(letter).collect()
        };
        let spaces = Spaces {
            apps: format!("baetyl-e2e-{suffix}"),
            second: format!("baetyl-e2e-second-{suffix}"),
            system: format!("baetyl-e2e-system-{suffix}"),
            foreign: format!("baetyl-e2e-foreign-{suffix}"),
        };
        let machines: Api<Machine> = Api::all(client.clone());
        let machines = machines.list(&ListParams::default()).await?.items.len();
        let classes: Api<StorageClass> = Api::all(client.clone());
        let classes = classes.list(&ListParams::default()).await?.items;
        let has_storage = classes.into_iter().any(|class| {
            let annotations = class.metadata.annotations.unwrap_or_default();
            let default = annotations.get("storageclass.kubernetes.io/is-default-class");
            default.is_some_and(|value| value == "true")
        });
        let address = &config.cluster_url;
        let host = address.host().context("the address has no host")?;
        let port = match (address.port_u16(), address.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http")) => 80,
            (None, _) => 443,
        };
        let world = Self {
            wire: Wire::to(format!("{host}:{port}")).await?,
            folder: tempfile::tempdir()?,
            nodes: AtomicU32::new(0),
            runtime_image: std::env::var(RUNTIME_IMAGE).ok(),
            proxy_host: std::env::var(PROXY_HOST).ok(),
            client,
            config,
            spaces,
            suffix,
            image,
            machines,
            has_storage,
        };
        for space in world.all_spaces() {
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": space },
            });
            world.eyes().create(object).await?;
        }
        Ok(world)
    }

    /// Removes what scenarios left in the namespaces, so that each finds them empty.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn sweep(&self) -> Result<()> {
        for space in self.all_spaces() {
            for (api_version, kind, _) in KINDS {
                let api = look::api(&self.client, api_version, kind, space);
                for object in api.list(&ListParams::default()).await?.items {
                    let name = object.metadata.name.unwrap_or_default();
                    let is_given = matches!(name.as_str(), "default" | "kube-root-ca.crt");
                    if !is_given {
                        // Gone already is what is wanted.
                        let _ = api.delete(&name, &DeleteParams::background()).await;
                    }
                }
            }
        }
        self.sweep_definitions().await
    }

    /// Removes the kinds that nodes of this world brought.
    async fn sweep_definitions(&self) -> Result<()> {
        let kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let api = look::api(&self.client, kind.0, kind.1, "");
        for object in api.list(&ListParams::default()).await?.items {
            let labels = object.metadata.labels.unwrap_or_default();
            let is_ours = labels
                .get(look::OWNER)
                .is_some_and(|owner| owner.ends_with(&self.suffix));
            if is_ours {
                let name = object.metadata.name.unwrap_or_default();
                let _ = api.delete(&name, &DeleteParams::background()).await;
            }
        }
        Ok(())
    }

    /// Removes everything that was made, and waits until it is gone.
    ///
    /// # Errors
    /// Something is left.
    pub async fn end(self) -> Result<()> {
        for kind in ["ClusterRole", "ClusterRoleBinding"] {
            let api = look::api(&self.client, "rbac.authorization.k8s.io/v1", kind, "");
            for object in api.list(&ListParams::default()).await?.items {
                let name = object.metadata.name.unwrap_or_default();
                if name.starts_with("baetyl-e2e-") && name.ends_with(&self.suffix) {
                    api.delete(&name, &DeleteParams::default()).await?;
                }
            }
        }
        let api = look::api(&self.client, "v1", "Namespace", "");
        for space in self.all_spaces() {
            api.delete(space, &DeleteParams::default()).await?;
        }
        for space in self.all_spaces() {
            let look = async || Ok(api.get_opt(space).await?.is_some());
            let what = format!("namespace {space} is gone");
            self.eyes().until(&what, look, |is_there| !is_there).await?;
        }
        Ok(())
    }

    fn all_spaces(&self) -> [&str; 4] {
        let spaces = &self.spaces;
        [
            &spaces.apps,
            &spaces.second,
            &spaces.system,
            &spaces.foreign,
        ]
    }

    fn eyes(&self) -> Look {
        Look::new(self.client.clone(), self.patience())
    }

    /// Makes an identity with the committed Roles, and returns its token.
    async fn identity(&self, name: &str, more: &Rules) -> Result<String> {
        let system = &self.spaces.system;
        let eyes = self.eyes();
        eyes.create(json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": system },
        }))
        .await?;
        let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": system });
        for space in [&self.spaces.apps, &self.spaces.second] {
            eyes.create(more.role(name, space)?).await?;
            eyes.create(binding("RoleBinding", "Role", name, Some(space), &subject))
                .await?;
        }
        eyes.create(more.cluster_role(name)?).await?;
        let bound = binding("ClusterRoleBinding", "ClusterRole", name, None, &subject);
        eyes.create(bound).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), system);
        let wanted = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(name, &PostParams::default(), &wanted)
            .await?;
        let status = made.status.context("the token request has no status")?;
        Ok(status.token)
    }

    /// A kubeconfig over the wire that can be cut.
    fn kubeconfig(&self, token: &str) -> Value {
        let address = &self.config.cluster_url;
        let scheme = address.scheme_str().unwrap_or("https");
        let mut cluster = json!({ "server": format!("{scheme}://{}", self.wire.address()) });
        if scheme == "https" {
            let host = address.host().unwrap_or_default();
            let name = self.config.tls_server_name.as_deref().unwrap_or(host);
            cluster["tls-server-name"] = name.into();
            if self.config.accept_invalid_certs {
                cluster["insecure-skip-tls-verify"] = true.into();
            }
            if let Some(authorities) = &self.config.root_cert {
                let pem: String = authorities.iter().map(|one| pem(one)).collect();
                cluster["certificate-authority-data"] = STANDARD.encode(pem).into();
            }
        }
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{ "name": "e2e", "cluster": cluster }],
            "users": [{ "name": "e2e", "user": { "token": token } }],
            "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": "e2e" } }],
        })
    }
}

/// A certificate as text.
fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn binding(kind: &str, role: &str, name: &str, space: Option<&String>, subject: &Value) -> Value {
    let mut metadata = json!({ "name": name });
    if let Some(space) = space {
        metadata["namespace"] = space.as_str().into();
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name },
        "subjects": [subject],
    })
}

#[async_trait(?Send)]
impl World for RealWorld {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    fn image(&self) -> &str {
        &self.image
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(45)
    }

    fn lacks(&self, need: Need) -> Option<String> {
        let unless = |is_there: bool, why: &str| (!is_there).then(|| why.to_owned());
        match need {
            Need::Machines => unless(self.machines > 1, "the cluster has one machine only"),
            Need::Storage => unless(self.has_storage, "the cluster has no default StorageClass"),
            Need::Httpd | Need::Outage | Need::CustomResources => None,
            Need::NewMachine => unless(false, "a machine cannot be added to a real cluster"),
            Need::Expiry => unless(false, "a real API server cannot be told to forget"),
            Need::RequestLog => unless(false, "requests to a real API server are not counted"),
            Need::Usage => unless(false, "usage cannot be switched on a real cluster"),
            Need::Helm => helm::program().err(),
            Need::RuntimeImage => {
                let is_set = |value: &Option<String>| value.is_some();
                let missing = |name: &str| format!("{name} is not set");
                unless(is_set(&self.runtime_image), &missing(RUNTIME_IMAGE))
                    .or_else(|| unless(is_set(&self.proxy_host), &missing(PROXY_HOST)))
            }
        }
    }

    fn node_port(&self) -> u16 {
        rand::rng().random_range(31_000..=32_700)
    }

    async fn access(&self, more: &Rules) -> Result<Access> {
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let name = format!("baetyl-e2e-{number}-{}", self.suffix);
        let token = self.identity(&name, more).await?;
        let kubeconfig: PathBuf = self.folder.path().join(&name);
        std::fs::write(&kubeconfig, self.kubeconfig(&token).to_string())?;
        let mut settings = KubeSettings::new(name.clone(), name);
        settings.namespace.clone_from(&self.spaces.apps);
        settings.system_namespace.clone_from(&self.spaces.system);
        settings.allowed_namespaces = vec![self.spaces.apps.clone(), self.spaces.second.clone()];
        helm::set(&mut settings);
        Ok(Access {
            kubeconfig,
            settings,
            patience: self.patience(),
        })
    }

    async fn tick(&self, space: &str, cron_job: &str) -> Result<()> {
        let eyes = self.eyes();
        let last = async || {
            let found = eyes.there(("batch/v1", "CronJob"), space, cron_job).await?;
            Ok(found.pointer("/status/lastScheduleTime").cloned())
        };
        let before = last().await?;
        eyes.until("the cron job is run", last, |last| *last != before)
            .await?;
        Ok(())
    }

    async fn set_line(&self, line: Line) -> Result<()> {
        self.wire.set(line);
        Ok(())
    }

    async fn forget_history(&self) -> Result<()> {
        bail!("a real API server cannot be told to forget")
    }

    fn runtime_image(&self) -> Option<String> {
        self.runtime_image.clone()
    }

    fn proxy_host(&self) -> Option<String> {
        self.proxy_host.clone()
    }
}
