//! What the installation on the cluster says.

use std::time::Duration;

/// Namespace of applications that name none.
pub const DEFAULT_NAMESPACE: &str = "baetyl-edge";

/// Namespace of the parts of the platform.
pub const SYSTEM_NAMESPACE: &str = "baetyl-edge-system";

/// Settings of the engine for a cluster; core fills them from its own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeSettings {
    /// Uid of the node: the value of the owner label.
    pub owner: String,
    /// Name of the node, for `BAETYL_NODE_NAME`.
    pub node: String,
    /// Namespace of applications that name none.
    pub namespace: String,
    /// Namespace of the parts of the platform.
    pub system_namespace: String,
    /// Every namespace that applications may use, the default one included. Watches look here and
    /// nowhere else.
    pub allowed_namespaces: Vec<String>,
    /// Functions of this node; `None` where they cannot run.
    pub functions: Option<FunctionSettings>,
    /// The `helm` program that renders charts: a path, or a name that is looked up in `PATH`.
    pub helm_program: String,
    /// Whether usage is read from the kubelets where no metrics server is there. Default no, since
    /// it needs a strong right.
    pub kubelet_summary: bool,
    /// How often usage is sampled. Default 20 s.
    pub usage_period: Duration,
    /// How long until what could not be done is tried again. Default 1 s, doubling to 30 s.
    pub retry_period: Duration,
    /// How long a watch may be silent until it is opened anew, which is how a connection that died
    /// without a word is noticed. Default 100 s, since servers tell about every minute how far they
    /// are.
    pub watch_silence: Duration,
}

/// What function applications need on a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// Image of the runtime host; its program is called with `runtime --config <file>`.
    pub runtime_image: String,
    /// `host:port` where runtimes attach: `baetyl-function.baetyl-edge-system.svc:9012`. The host
    /// is the name under which the proxy's certificate is checked.
    pub attach_address: String,
}

impl KubeSettings {
    /// Returns the defaults for a node.
    #[must_use]
    pub fn new(owner: impl Into<String>, node: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            node: node.into(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            system_namespace: SYSTEM_NAMESPACE.to_owned(),
            allowed_namespaces: vec![DEFAULT_NAMESPACE.to_owned()],
            functions: None,
            helm_program: "helm".to_owned(),
            kubelet_summary: false,
            usage_period: Duration::from_secs(20),
            retry_period: Duration::from_secs(1),
            watch_silence: Duration::from_secs(100),
        }
    }
}
