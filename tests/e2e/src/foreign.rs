//! Objects of others beside ours, which nobody of us may touch.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::look::{APPLICATION, Look, OWNER};

/// Objects of others, as they were made.
pub struct Foreign {
    look: Look,
    made: Vec<Value>,
}

impl Foreign {
    /// Makes objects of others in a namespace: some have the names that those of an application
    /// would have, one looks like one of ours, one belongs to another node.
    ///
    /// # Errors
    /// They cannot be made.
    pub async fn plant(look: &Look, space: &str, application: &str) -> Result<Self> {
        let other = json!({ OWNER: "another-node", APPLICATION: application });
        let kept = json!({ "app.kubernetes.io/managed-by": "somebody", APPLICATION: application });
        let objects = [
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "1" },
                "metadata": { "name": "of-somebody", "namespace": space } }),
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "1" },
                "metadata": { "name": "of-another-node", "namespace": space, "labels": other } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "stringData": { "a": "1" },
                "metadata": { "name": "of-somebody", "namespace": space, "labels": kept } }),
            json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "of-somebody", "namespace": space, "labels": kept },
                "spec": { "ports": [{ "port": 80 }], "selector": { "app": "of-somebody" } } }),
            json!({ "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": "of-somebody", "namespace": space, "labels": other } }),
        ];
        let mut made = Vec::new();
        for object in objects {
            made.push(look.create(object).await?);
        }
        Ok(Self {
            look: look.clone(),
            made,
        })
    }

    /// Checks that nobody has written to them.
    ///
    /// # Errors
    /// Somebody has, or it cannot be found out.
    pub async fn check(&self) -> Result<()> {
        for before in &self.made {
            let text = |pointer: &str| before.pointer(pointer).and_then(Value::as_str);
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            let (kind, name) = (kind.unwrap_or_default(), name.unwrap_or_default());
            let space = text("/metadata/namespace").unwrap_or_default();
            let now = self.look.there(("v1", kind), space, name).await?;
            for field in ["/metadata/uid", "/metadata/resourceVersion"] {
                let is_same = now.pointer(field) == before.pointer(field);
                ensure!(is_same, "{kind} {name} of somebody else was touched: {now}");
            }
        }
        Ok(())
    }
}
