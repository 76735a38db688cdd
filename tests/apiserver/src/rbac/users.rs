//! Users, their tokens, and the roles that a text gives them.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::object::{items, meta_text, text};
use crate::refusal::Refusal;

/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    groups: Vec<String>,
}

impl User {
    fn new(name: &str) -> Self {
        let mut groups = vec!["system:authenticated".to_owned()];
        if name == "admin" {
            groups.push(MASTERS.to_owned());
        }
        if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            let namespace = account.split(':').next().unwrap_or_default();
            groups.push("system:serviceaccounts".to_owned());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        Self {
            name: name.to_owned(),
            groups,
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.is_in(MASTERS)
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }
}

/// Users by their bearer tokens.
#[derive(Debug)]
pub(crate) struct Users(Mutex<BTreeMap<String, User>>);

impl Default for Users {
    fn default() -> Self {
        let users = Self(Mutex::new(BTreeMap::new()));
        users.add("admin");
        users
    }
}

impl Users {
    /// Adds a user who may do nothing yet, unless it is known; returns the token.
    pub(crate) fn add(&self, name: &str) -> String {
        let token = format!("token-of-{name}");
        let mut users = self.0.lock();
        users
            .entry(token.clone())
            .or_insert_with(|| User::new(name));
        token
    }

    pub(crate) fn of_token(&self, token: &str) -> Option<User> {
        self.0.lock().get(token).cloned()
    }
}

/// Reads roles and bindings from a text of several documents. Roles that no binding of the text
/// names are bound to the user.
///
/// # Errors
/// A document cannot be read, or is none of these kinds.
pub(crate) fn grant(user: &str, yaml: &str) -> Result<Vec<Value>, Refusal> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let documents: Vec<_> = documents.into_iter().filter(Value::is_object).collect();
    let mut objects = Vec::new();
    for document in &documents {
        let kind = text(document, "/kind");
        if !["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"].contains(&kind) {
            return Err(Refusal::bad_request(format!("{kind} is no role")));
        }
        objects.push(document.clone());
        let is_bound = documents.iter().any(|other| {
            text(other, "/roleRef/kind") == kind
                && text(other, "/roleRef/name") == meta_text(document, "name")
        });
        if items(document, "/rules").is_empty() || is_bound || kind.ends_with("Binding") {
            continue;
        }
        let name = meta_text(document, "name");
        let mut metadata = json!({ "name": format!("{name}-{}", user.replace(':', "-")) });
        if kind == "Role" {
            metadata["namespace"] = json!(meta_text(document, "namespace"));
        }
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"),
            "metadata": metadata,
            "roleRef": { "apiGroup": super::GROUP, "kind": kind, "name": name },
            "subjects": [{ "apiGroup": super::GROUP, "kind": "User", "name": user }],
        }));
    }
    Ok(objects)
}
