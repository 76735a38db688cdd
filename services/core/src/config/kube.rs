//! Settings of a node that is a cluster.

use std::path::PathBuf;

use baetyl_service_kit::config::HumanDuration;
use serde::{Deserialize, Serialize};

/// Settings of a node that is a cluster; every one has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubeConfig {
    /// Kubeconfig file, whose current context is used. Default none: core is a pod of the cluster
    /// and uses its service account.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of applications that name none. Default `baetyl-edge`.
    pub namespace: String,
    /// Namespace of the platform's own parts. Default `baetyl-edge-system`.
    pub system_namespace: String,
    /// Every namespace that applications may use; core needs its role in each. Default: the one
    /// of applications that name none.
    pub allowed_namespaces: Vec<String>,
    /// Image of the runtime hosts of functions. Default none: no functions on this node.
    pub runtime_image: Option<String>,
    /// `host:port` where runtimes attach to the function proxy, as pods reach it. Default
    /// `baetyl-function.<system namespace>.svc:9012`.
    pub attach_address: Option<String>,
    /// The `helm` program, which renders charts: a path, or a name that is looked up in `PATH`.
    /// Default `helm`.
    pub helm_program: String,
    /// Whether usage is read from the kubelets where no metrics server is there; needs `get` on
    /// `nodes/proxy`. Default no.
    pub kubelet_summary: bool,
    /// How often usage is sampled, 1s to 300s. Default 20s.
    pub usage_period: HumanDuration,
}

impl Default for KubeConfig {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            namespace: "baetyl-edge".to_owned(),
            system_namespace: "baetyl-edge-system".to_owned(),
            allowed_namespaces: Vec::new(),
            runtime_image: None,
            attach_address: None,
            helm_program: "helm".to_owned(),
            kubelet_summary: false,
            usage_period: HumanDuration::from_secs(20),
        }
    }
}

impl KubeConfig {
    /// Every namespace that applications may use, the default one first.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let others = self.allowed_namespaces.iter();
        let others = others.filter(|other| **other != self.namespace).cloned();
        std::iter::once(self.namespace.clone())
            .chain(others)
            .collect()
    }

    /// Where runtimes attach, as pods reach it.
    #[must_use]
    pub fn attach_address(&self) -> String {
        let default = || format!("baetyl-function.{}.svc:9012", self.system_namespace);
        self.attach_address.clone().unwrap_or_else(default)
    }

    pub(super) fn check(&self, wrong: &mut impl FnMut(&str, &str, String)) {
        let names = [
            ("kube.namespace", &self.namespace),
            ("kube.system_namespace", &self.system_namespace),
        ];
        let allowed = self.allowed_namespaces.iter();
        let allowed = allowed.map(|name| ("kube.allowed_namespaces", name));
        for (field, name) in names.into_iter().chain(allowed) {
            if !is_label(name) {
                let description = format!("must be a name of a namespace, got {name:?}");
                wrong(field, "INVALID", description);
            }
        }
        if self.helm_program.is_empty() {
            let description = "must not be empty".to_owned();
            wrong("kube.helm_program", "REQUIRED", description);
        }
        let period = self.usage_period.0.as_secs();
        if !(1..=300).contains(&period) {
            let description = format!("must be 1s to 300s, got {}", self.usage_period);
            wrong("kube.usage_period", "OUT_OF_BOUNDS", description);
        }
    }
}

/// Whether it is a label of DNS (RFC 1123).
fn is_label(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
