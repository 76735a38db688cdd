//! Who may do what: the roles and bindings that the server stores, asked as the real one asks
//! them.

mod escalation;
mod review;
mod users;

use serde_json::Value;

use crate::object::{Key, items, text};
use crate::refusal::{About, Refusal};
use crate::state::State;

pub(crate) use escalation::check_grants;
pub(crate) use review::review;
pub(crate) use users::{User, Users, grant};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What a request wants to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Plural, with the subresource: `pods/log`.
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Of requests for no resource.
    pub(crate) path: &'a str,
}

/// Paths that everybody may read.
const PUBLIC: [&str; 8] = [
    "/api", "/apis", "/version", "/healthz", "/livez", "/readyz", "/openapi", "/",
];

/// Whether a user may do something.
pub(crate) fn is_allowed(state: &State, user: &User, wanted: &Attributes<'_>) -> bool {
    if user.is_admin() {
        return true;
    }
    if wanted.resource.is_empty() {
        let is_public = PUBLIC.iter().any(|path| {
            let below = wanted.path.strip_prefix(path);
            below.is_some_and(|rest| rest.is_empty() || (*path != "/" && rest.starts_with('/')))
        });
        return is_public && wanted.verb == "get";
    }
    // Everybody may ask what they may do.
    if wanted.group == "authorization.k8s.io" && wanted.verb == "create" {
        return true;
    }
    rules(state, user, wanted.namespace)
        .iter()
        .any(|rule| covers(rule, wanted))
}

/// Refuses what a user may not do.
pub(crate) fn authorize(
    state: &State,
    user: &User,
    wanted: &Attributes<'_>,
) -> Result<(), Refusal> {
    if is_allowed(state, user, wanted) {
        return Ok(());
    }
    Err(forbidden(user, wanted))
}

fn forbidden(user: &User, wanted: &Attributes<'_>) -> Refusal {
    let Attributes {
        verb,
        group,
        resource,
        namespace,
        name,
        path,
    } = wanted;
    if resource.is_empty() {
        return Refusal::new(
            403,
            "Forbidden",
            format!(
                "forbidden: User {:?} cannot {verb} path {path:?}",
                user.name
            ),
        );
    }
    let place = match *namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let detail = format!(
        "User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}",
        user.name
    );
    let noun = resource.split('/').next().unwrap_or_default();
    Refusal::forbidden(About { group, noun }, name, &detail)
}

/// Every rule that counts for a user in a namespace; those for the whole cluster when it is empty.
fn rules(state: &State, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    let cluster_wide = state.objects("clusterrolebindings.rbac.authorization.k8s.io", "");
    for (_, binding) in cluster_wide {
        if binds(binding, user) {
            rules.extend(role_rules(state, binding, ""));
        }
    }
    if namespace.is_empty() {
        return rules;
    }
    for (_, binding) in state.objects("rolebindings.rbac.authorization.k8s.io", namespace) {
        if binds(binding, user) {
            rules.extend(role_rules(state, binding, namespace));
        }
    }
    rules
}

fn binds(binding: &Value, user: &User) -> bool {
    items(binding, "/subjects").iter().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => user.is_in(name),
            "ServiceAccount" => {
                let namespace = text(subject, "/namespace");
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn role_rules(state: &State, binding: &Value, namespace: &str) -> Vec<Value> {
    let name = text(binding, "/roleRef/name");
    let role = match text(binding, "/roleRef/kind") {
        "ClusterRole" => state.get(&format!("clusterroles.{GROUP}"), &Key::new("", name)),
        _ => state.get(&format!("roles.{GROUP}"), &Key::new(namespace, name)),
    };
    role.map(|role| items(role, "/rules").to_vec())
        .unwrap_or_default()
}

fn names(rule: &Value, field: &str, wanted: &str) -> bool {
    items(rule, field)
        .iter()
        .any(|word| word == "*" || word == wanted)
}

fn covers(rule: &Value, wanted: &Attributes<'_>) -> bool {
    let any_of_kind = wanted
        .resource
        .split_once('/')
        .map(|(_, subresource)| format!("*/{subresource}"));
    let has_resource = names(rule, "/resources", wanted.resource)
        || any_of_kind.is_some_and(|any| names(rule, "/resources", &any));
    let only = items(rule, "/resourceNames");
    names(rule, "/verbs", wanted.verb)
        && names(rule, "/apiGroups", wanted.group)
        && has_resource
        && (only.is_empty() || only.iter().any(|name| name == wanted.name))
}

#[cfg(test)]
mod tests;
