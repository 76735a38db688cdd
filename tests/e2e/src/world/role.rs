//! What core may do: the Roles that the chart installs, and what an installer adds.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// What the chart binds in each namespace of applications.
const ROLE: &str = include_str!("../../../../charts/edge/files/role.yaml");

/// What the chart binds in the whole cluster.
const CLUSTER_ROLE: &str = include_str!("../../../../charts/edge/files/cluster-role.yaml");

/// Rules beside those of the chart.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In each namespace.
    pub namespaced: Vec<Value>,
    /// In the whole cluster.
    pub cluster: Vec<Value>,
}

impl Rules {
    /// No others.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What raw objects of a kind of one's own need: the definition, and the objects.
    #[must_use]
    pub fn custom(group: &str, resource: &str) -> Self {
        let verbs = json!(["get", "list", "watch", "create", "patch", "delete"]);
        let definitions = json!({
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": verbs,
        });
        let objects = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
        Self {
            namespaced: vec![objects],
            // Whether others use the kind is asked before its definition goes.
            cluster: vec![
                definitions,
                json!({ "apiGroups": [group], "resources": [resource], "verbs": ["list", "get", "watch"] }),
            ],
        }
    }

    /// The Role of a namespace, complete.
    ///
    /// # Errors
    /// The committed file is no Role.
    pub fn role(&self, name: &str, space: &str) -> Result<Value> {
        let mut role = read(ROLE)?;
        role["metadata"] = json!({ "name": name, "namespace": space });
        extend(&mut role, &self.namespaced)?;
        Ok(role)
    }

    /// The ClusterRole, complete.
    ///
    /// # Errors
    /// The committed file is no ClusterRole.
    pub fn cluster_role(&self, name: &str) -> Result<Value> {
        let mut role = read(CLUSTER_ROLE)?;
        role["metadata"] = json!({ "name": name });
        extend(&mut role, &self.cluster)?;
        Ok(role)
    }
}

fn read(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).context("the committed role cannot be read")
}

fn extend(role: &mut Value, more: &[Value]) -> Result<()> {
    let rules = role["rules"].as_array_mut();
    let rules = rules.context("the committed role has no rules")?;
    rules.extend(more.iter().cloned());
    Ok(())
}
